//! `skep bench tasks`: how fast tasks go through master, agent and executor, end to end.
//!
//! Two figures that say different things: how long one task takes on an otherwise idle cluster,
//! from the launch on an offer in hand to its acknowledged end; and how many a second go through
//! when there are always more to do.

use crate::{
    args,
    failure::{Result, Sentence},
    foreground, output,
    private::on_its_cluster,
    signals::unless_told_to_end,
    stdout,
};
use serde::Serialize;
use skep_framework::{Cluster, Driver, Offer, Scheduler};
use skep_protocol::{
    AllocationId, Amount, Attempt, Digest, OfferId, Resources, Role, StatusUpdate, TaskId,
    TaskSpec, TaskState,
    framework::{Answer, FrameworkInfo},
};
use std::time::{Duration, Instant};

/// `(module (func (export "_start")))`: starts, and has nothing to do.
const NOOP: &[u8] = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x07\x0a\x01\x06_start\0\0\
    \x0a\x04\x01\x02\0\x0b";
/// What each task asks for: as many fit at once as a small machine can hold.
const CPUS: Amount = Amount::millis(100);
const MEM_MIB: Amount = Amount::units(16);
/// Tasks in flight while throughput is measured: enough that none of the processes ever waits.
const IN_FLIGHT: usize = 4_000;
/// Tasks run first and not counted: the module is compiled and its executor started.
const WARM_UP: usize = 20;

/// What was measured.
#[derive(Debug, Serialize)]
struct Figures {
    one_at_a_time: Latency,
    throughput: Throughput,
}

#[derive(Debug, Serialize)]
struct Latency {
    tasks: usize,
    p50_micros: u128,
    p99_micros: u128,
    max_micros: u128,
}

#[derive(Debug, Serialize)]
struct Throughput {
    tasks: usize,
    seconds: f64,
    tasks_per_second: f64,
}

pub(in crate::commands) async fn tasks(args: args::BenchTasks) -> Result {
    let format = args.client.output;
    let work = async |cluster| measure(cluster, &args).await;
    let figures = on_its_cluster(&args.client, &args.walls, work).await?;
    match format {
        args::Format::Json => output::json(&figures)?,
        args::Format::Table => stdout::print(&figures.words())?,
    }
    Ok(())
}

async fn measure(cluster: Cluster, args: &args::BenchTasks) -> Result<Figures> {
    let mut bench = Bench {
        module: unless_told_to_end(cluster.push(NOOP)).await??,
        number: 0,
        one_at_a_time: WARM_UP + args.latency.get(),
        many: args.count.get(),
        launched_at: Instant::now(),
        latencies: Vec::new(),
        flow: Flow::OneAtATime,
        failure: None,
    };
    let info = FrameworkInfo {
        name: "bench".into(),
        role: Role::default(),
        failover_timeout: foreground::FAILOVER_TIMEOUT,
        ..FrameworkInfo::default()
    };
    foreground::run(&cluster, info, &mut bench).await?;
    cluster.close().await;
    bench.figures()
}

/// Launches tasks one at a time, and then as many as there are.
struct Bench {
    module: Digest,
    number: usize,
    /// How many to run alone, and how many together after them.
    one_at_a_time: usize,
    many: usize,
    launched_at: Instant,
    latencies: Vec<Duration>,
    flow: Flow,
    failure: Option<String>,
}

enum Flow {
    OneAtATime,
    Together { since: Instant, allocation: Option<AllocationId>, launched: usize, ended: usize },
    Over { took: Duration },
}

impl Bench {
    fn task(&mut self) -> TaskSpec {
        self.number += 1;
        let id = TaskId::new(format!("noop-{}", self.number)).expect("a plain name");
        let mut spec = TaskSpec::new(id, self.module, Resources::new(CPUS, MEM_MIB));
        spec.attempt = Attempt::FIRST;
        spec
    }

    fn some(&mut self, count: usize) -> Vec<TaskSpec> {
        (0..count).map(|_| self.task()).collect()
    }

    fn ended(&mut self, driver: &mut Driver) {
        match &mut self.flow {
            Flow::OneAtATime => {
                self.latencies.push(self.launched_at.elapsed());
                if self.latencies.len() == self.one_at_a_time {
                    let since = Instant::now();
                    let (allocation, launched, ended) = (None, 0, 0);
                    self.flow = Flow::Together { since, allocation, launched, ended };
                }
            }
            Flow::Together { since, allocation, launched, ended } => {
                *ended += 1;
                let (left, room) = (self.many - *launched, IN_FLIGHT + *ended - *launched);
                let count = room.min(left);
                if *ended == self.many {
                    self.flow = Flow::Over { took: since.elapsed() };
                    driver.stop();
                } else if let Some(allocation) = *allocation
                    && (count == left || count > IN_FLIGHT / 4)
                    && count > 0
                {
                    *launched += count;
                    let tasks = self.some(count);
                    driver.enqueue(allocation, tasks);
                }
            }
            Flow::Over { .. } => {}
        }
    }

    fn figures(mut self) -> Result<Figures> {
        if let Some(failure) = self.failure {
            return Err(Sentence(failure).into());
        }
        let Flow::Over { took } = self.flow else {
            return Err(Sentence("the benchmark was cut off".into()).into());
        };
        let counted = &mut self.latencies[WARM_UP..];
        counted.sort_unstable();
        let at = |part: f64| {
            #[expect(
                clippy::cast_precision_loss,
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a place in a list of thousands"
            )]
            let place = (counted.len() as f64 * part) as usize;
            counted[place.min(counted.len() - 1)].as_micros()
        };
        let one_at_a_time = Latency {
            tasks: counted.len(),
            p50_micros: at(0.5),
            p99_micros: at(0.99),
            max_micros: at(1.0),
        };
        let seconds = took.as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "a count of tasks")]
        let tasks_per_second = self.many as f64 / seconds;
        let throughput = Throughput { tasks: self.many, seconds, tasks_per_second };
        Ok(Figures { one_at_a_time, throughput })
    }
}

impl Scheduler for Bench {
    fn resource_offers(&mut self, driver: &mut Driver, offers: Vec<Offer>) {
        for offer in offers {
            let count = match &mut self.flow {
                Flow::OneAtATime if self.number == self.latencies.len() => 1,
                Flow::Together { launched, .. } if *launched == 0 => {
                    *launched = self.many.min(IN_FLIGHT);
                    *launched
                }
                _ => {
                    driver.decline(offer.id, None);
                    continue;
                }
            };
            let tasks = self.some(count);
            self.launched_at = Instant::now();
            driver.launch(&offer, tasks);
        }
    }

    fn launch_answered(&mut self, _: &mut Driver, _: Option<OfferId>, answer: &Answer) {
        if let (Flow::Together { allocation, .. }, Answer::Launched { allocation: got, .. }) =
            (&mut self.flow, answer)
        {
            *allocation = Some(*got);
        }
    }

    fn status_update(&mut self, driver: &mut Driver, update: &StatusUpdate) {
        match &update.state {
            TaskState::Ended(outcome) if outcome.is_success() => self.ended(driver),
            TaskState::Ended(outcome) => {
                self.failure = Some(format!("task {} {outcome}", update.key.task));
                driver.stop();
            }
            _ => {}
        }
    }
}

impl Figures {
    fn words(&self) -> String {
        let Self { one_at_a_time: one, throughput: all } = self;
        format!(
            "one at a time   {} tasks: p50 {} us, p99 {} us, max {} us\n\
             all at once     {} tasks in {:.2} s: {:.0} a second",
            one.tasks,
            one.p50_micros,
            one.p99_micros,
            one.max_micros,
            all.tasks,
            all.seconds,
            all.tasks_per_second,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_module_that_does_nothing_is_a_module() {
        let text = r#"(module (func (export "_start")))"#;
        assert_eq!(wat::parse_str(text).expect("a module"), NOOP);
    }
}
