//! What the scheduler launches, when, and what it starts again: exact calls.

use super::*;
use crate::run::plan::Shape;
use skep_protocol::{
    AgentId, Amount, Digest, Source, TaskKey, TaskSpec, Time,
    framework::{Call, Event, Filters, FrameworkInfo, Operation},
    outcome::LostBy,
};

/// A scheduler, its driver, and the ends of its channels.
struct Kit {
    scheduler: RunScheduler,
    driver: Driver,
    told: mpsc::UnboundedReceiver<Told>,
    orders: mpsc::UnboundedSender<Order>,
}

fn id(text: &str) -> TaskId {
    TaskId::new(text).expect("an id")
}

fn framework() -> FrameworkId {
    FrameworkId::new("f").expect("an id")
}

fn agent() -> AgentId {
    AgentId::new("a").expect("an id")
}

/// A job of `count` tasks of one cpu and 64 MiB, subscribed.
fn kit(count: usize) -> Kit {
    let each = Resources::new(Amount::units(1), Amount::units(64));
    let task = |i| TaskSpec::new(id(&format!("j.{i}")), Digest::of(b"m"), each.clone());
    let tasks: Vec<_> = (0..count).map(task).collect();
    let texts = vec![None; tasks.len()];
    let job = Job { id: "j".into(), tasks, texts, least: each.clone(), shape: Shape::Many };
    let (tell, told) = mpsc::unbounded_channel();
    let (orders, ordered) = mpsc::unbounded_channel();
    let info = FrameworkInfo {
        name: "run".into(),
        role: skep_protocol::Role::default(),
        failover_timeout: Duration::ZERO,
        ..FrameworkInfo::default()
    };
    let mut kit = Kit {
        scheduler: RunScheduler::new(job, tell, ordered),
        driver: Driver::new(info, None),
        told,
        orders,
    };
    kit.driver.connected();
    kit.hear(Event::Subscribed { framework: framework(), state: [].into() });
    kit
}

impl Kit {
    fn hear(&mut self, event: Event) -> Vec<Call> {
        self.driver.handle(Time::ZERO, event, &mut self.scheduler);
        self.driver.take_calls()
    }

    fn offer(&mut self, number: u64, resources: &str) -> Vec<Call> {
        self.hear(Event::Offers { offers: vec![Self::an_offer(number, resources)] })
    }

    fn an_offer(number: u64, resources: &str) -> Offer {
        Offer {
            id: OfferId(number),
            agent: agent(),
            hostname: "node".into(),
            role: skep_protocol::Role::default(),
            resources: resources.parse().expect("resources"),
            attributes: BTreeMap::new(),
            architecture: "x86_64".into(),
            enforces: vec![],
            expires: Time::ZERO,
            reserved: BTreeMap::new(),
            revocable: Resources::none(),
            unavailable: None,
            volumes: Vec::new(),
        }
    }

    fn answered(&mut self, offer: u64, allocation: u64) -> Vec<Call> {
        let answer = Answer::Launched {
            allocation: AllocationId(allocation),
            agent: agent(),
            refused: vec![],
        };
        self.hear(Event::Answered { offer: Some(OfferId(offer)), operation: 0, answer })
    }

    fn update(&mut self, task: &str, attempt: u32, state: TaskState) -> Vec<Call> {
        let attempt = Attempt(attempt);
        let update = StatusUpdate {
            key: TaskKey { framework: framework(), task: id(task), attempt },
            seq: 0,
            agent: Some(agent()),
            state,
            source: Source::Agent,
            at: Time::ZERO,
            usage: None,
            result: vec![],
            last_words: String::new(),
            outputs: Vec::new(),
        };
        self.hear(Event::StatusUpdates { updates: vec![update] })
    }

    fn ended(&mut self) -> Vec<(usize, &'static str)> {
        let told = std::iter::from_fn(|| self.told.try_recv().ok());
        told.filter_map(|told| match told {
            Told::Ended { place, update } => Some((place, update.state.name())),
            _ => None,
        })
        .collect()
    }
}

/// The tasks of a launch, as `id#attempt`.
fn launched(call: &Call) -> Vec<String> {
    let tasks = match call {
        Call::Accept { operations, .. } => {
            let Operation::Launch { tasks } = &operations[0] else { panic!("{operations:?}") };
            tasks
        }
        Call::Enqueue { tasks, .. } => tasks,
        other => panic!("no launch: {other:?}"),
    };
    let name = |task: &TaskSpec| format!("{}#{}", task.task, task.attempt);
    tasks.iter().map(|task| name(task.as_ref().expect("a spec"))).collect()
}

fn finished() -> TaskState {
    TaskState::Ended(Outcome::Exited { code: 0 })
}

fn lost() -> TaskState {
    TaskState::Ended(Outcome::Lost { why: LostBy::ExecutorEnded })
}

#[test]
fn twice_as_many_tasks_as_fit_are_launched_and_the_rest_waits() {
    let mut kit = kit(10);
    let calls = kit.offer(1, "cpus:2;mem:4096");
    assert_eq!(launched(&calls[0]), ["j.0#1", "j.1#1", "j.2#1", "j.3#1"]);
    assert_eq!(calls.len(), 1);
}

#[test]
fn few_tasks_are_spread_over_the_offers_that_come_together() {
    let mut kit = kit(6);
    let offers = [(1, "cpus:4;mem:4096"), (2, "cpus:2;mem:4096")];
    let offers = offers.map(|(number, resources)| Kit::an_offer(number, resources));
    let calls = kit.hear(Event::Offers { offers: offers.into() });
    assert_eq!(launched(&calls[0]), ["j.0#1", "j.1#1", "j.2#1", "j.3#1"]);
    assert_eq!(launched(&calls[1]), ["j.4#1", "j.5#1"]);
}

#[test]
fn an_attempt_that_lives_on_is_killed_and_the_task_started_again() {
    let mut kit = kit(1);
    kit.offer(1, "cpus:1;mem:64");
    kit.answered(1, 1);
    kit.update("j.0", 1, TaskState::Unreachable);
    kit.offer(2, "cpus:1;mem:64");
    let rejection = Rejection::DuplicateTask { task: id("j.0"), newest: Attempt(1) };
    let calls = kit.update("j.0", 2, TaskState::Ended(Outcome::Refused { rejection }));
    assert_eq!(calls, [Call::Kill { task: id("j.0") }, Call::Revive { roles: [].into() }]);
    assert_eq!(launched(&kit.offer(3, "cpus:1;mem:64")[0]), ["j.0#3"]);
}

#[test]
fn a_task_whose_agent_is_stopped_in_order_is_started_elsewhere() {
    let mut kit = kit(1);
    kit.offer(1, "cpus:1;mem:64");
    kit.answered(1, 1);
    let stopped = TaskState::Ended(Outcome::Killed { by: KilledBy::AgentStopped });
    assert_eq!(kit.update("j.0", 1, stopped), [Call::Revive { roles: [].into() }]);
    assert_eq!(kit.ended(), []);
}

#[test]
fn an_offer_that_no_task_fits_into_is_declined_for_a_while() {
    let mut kit = kit(1);
    let filters = Filters { refuse: Some(TOO_SMALL_REFUSE) };
    let declined = Call::Decline { offers: vec![OfferId(1)], filters };
    assert_eq!(kit.offer(1, "cpus:0.5;mem:4096"), [declined]);
}

#[test]
fn a_half_empty_queue_is_filled_up_without_an_offer() {
    let mut kit = kit(10);
    kit.offer(1, "cpus:2;mem:4096");
    kit.answered(1, 9);
    assert_eq!(kit.update("j.0", 1, finished()), []);
    let calls = kit.update("j.1", 1, finished());
    // It drained at once, so it is made twice as deep: two in flight, eight wanted.
    assert_eq!(launched(&calls[0]), ["j.4#1", "j.5#1", "j.6#1", "j.7#1", "j.8#1", "j.9#1"]);
    assert_eq!(calls[1..], [Call::Suppress { roles: [].into() }], "nothing waits any more");
}

#[test]
fn a_lost_task_is_started_again_as_a_new_attempt_three_in_all() {
    let mut kit = kit(1);
    for attempt in 1..=3 {
        let calls = kit.offer(attempt.into(), "cpus:1;mem:64");
        assert_eq!(launched(&calls[0]), [format!("j.0#{attempt}")]);
        kit.answered(attempt.into(), attempt.into());
        let calls = kit.update("j.0", attempt, lost());
        let expected = if attempt < 3 { vec![Call::Revive { roles: [].into() }] } else { vec![] };
        assert_eq!(calls, expected);
    }
    assert_eq!(kit.ended(), [(0, "LOST")]);
}

#[test]
fn a_task_out_of_reach_is_started_elsewhere_and_its_old_result_is_not_taken() {
    let mut kit = kit(1);
    kit.offer(1, "cpus:1;mem:64");
    kit.answered(1, 1);
    kit.update("j.0", 1, TaskState::Unreachable);
    assert_eq!(launched(&kit.offer(2, "cpus:1;mem:64")[0]), ["j.0#2"]);
    kit.answered(2, 2);
    kit.update("j.0", 1, finished());
    assert_eq!(kit.ended(), []);
    kit.update("j.0", 2, finished());
    assert_eq!(kit.ended(), [(0, "FINISHED")]);
}

#[test]
fn a_recalled_task_waits_again_however_often() {
    let mut kit = kit(1);
    for attempt in 1..=5 {
        kit.offer(attempt.into(), "cpus:1;mem:64");
        kit.answered(attempt.into(), attempt.into());
        let recalled = TaskState::Ended(Outcome::Refused { rejection: Rejection::Recalled });
        assert_eq!(kit.update("j.0", attempt, recalled), [Call::Revive { roles: [].into() }]);
    }
    assert_eq!(kit.ended(), []);
}

#[test]
fn the_framework_is_torn_down_when_it_is_ordered_to() {
    let mut kit = kit(1);
    kit.scheduler.woken(&mut kit.driver);
    assert_eq!(kit.driver.take_calls(), []);
    kit.orders.send(Order::Stop).expect("the scheduler listens");
    kit.scheduler.woken(&mut kit.driver);
    assert_eq!(kit.driver.take_calls(), [Call::Teardown]);
}
