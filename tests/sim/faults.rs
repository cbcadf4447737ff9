//! What goes wrong, and the weather it goes wrong in.

use crate::{
    clock::{Clock, Wrongness},
    framework::Older,
    freeze::Whose,
    journal::LastCommit,
    network::{Peer, SILENCE_MAX, Side},
    schedule::Event,
    sim::Sim,
};
use skep_agent_core::Input;
use std::{ops::Range, time::Duration};

/// One kind of misfortune; whom it strikes is drawn when it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A connection breaks; what is on its way is lost.
    BrokenConnection,
    /// A peer gives a connection up and dials again; what it has said is still heard, late.
    HalfBrokenConnection,
    /// A peer cannot reach the master for a while, nor the master it.
    Partition,
    /// Words go one way only for a while.
    OneWayPartition,
    /// A peer moves to another address: for a moment nothing comes through.
    AddressChange,
    /// An agent's process dies.
    AgentCrash,
    /// A node dies: the agent's process, and its executors with it.
    NodeCrash,
    /// An agent is stopped in good order and started again.
    AgentStop,
    ExecutorCrash,
    MasterCrash,
    /// Another instance of a framework takes over; the older one may still be there.
    Failover,
    /// A process is stopped and goes on later.
    Freeze,
    /// No write of a disk ends for a while.
    DeadDisk,
    /// A framework leaves for good.
    Departure,
}

/// How the world treats the cluster.
#[derive(Clone, Debug)]
pub(crate) struct Weather {
    /// How long a word travels.
    pub(crate) delay: Range<Duration>,
    /// Of so many words the packet of one is lost, and what follows waits until it comes again.
    pub(crate) lost_once_in: u64,
    /// Of so many words that may, one comes twice.
    pub(crate) twice_once_in: u64,
    /// How long a commit takes.
    pub(crate) commit: Range<Duration>,
    /// Of so many commits one takes as long as `stall`.
    pub(crate) stall_once_in: u64,
    pub(crate) stall: Range<Duration>,
    /// How long the master's inbox is not empty once something has come.
    pub(crate) busy: Range<Duration>,
    /// How long transfers, compilations and starts of executors take.
    pub(crate) work: Range<Duration>,
    /// How long an executor takes to end.
    pub(crate) dying: Range<Duration>,
    /// How wrong the clocks are that are set from now on.
    pub(crate) clocks: Wrongness,
    /// How long whatever has died stays down, and who is cut off stays so.
    pub(crate) outage: Range<Duration>,
    /// What goes wrong, and how much time passes between two faults.
    pub(crate) faults: Vec<Fault>,
    pub(crate) peace: Range<Duration>,
}

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

impl Weather {
    /// A good network, a good disk, and nothing goes wrong.
    pub(crate) const fn calm() -> Self {
        Self {
            delay: Duration::from_micros(100)..millis(2),
            lost_once_in: u64::MAX,
            twice_once_in: u64::MAX,
            commit: Duration::from_micros(200)..millis(5),
            stall_once_in: u64::MAX,
            stall: Duration::from_secs(1)..Duration::from_secs(12),
            busy: Duration::from_micros(1)..millis(4),
            work: millis(1)..millis(100),
            dying: millis(1)..millis(20),
            clocks: Wrongness::NONE,
            outage: millis(10)..Duration::from_secs(40),
            faults: Vec::new(),
            peace: millis(100)..Duration::from_secs(8),
        }
    }

    /// Words travel for seconds, and disks stall.
    pub(crate) fn slow() -> Self {
        Self {
            delay: millis(1)..Duration::from_secs(2),
            commit: millis(1)..millis(800),
            stall_once_in: 100,
            work: millis(1)..Duration::from_secs(8),
            dying: millis(1)..Duration::from_secs(4),
            ..Self::calm()
        }
    }

    /// Every tenth packet is lost.
    pub(crate) fn lossy() -> Self {
        Self { delay: millis(1)..millis(200), lost_once_in: 10, twice_once_in: 10, ..Self::calm() }
    }

    pub(crate) fn with(self, faults: &[Fault]) -> Self {
        Self { faults: faults.to_vec(), ..self }
    }
}

impl Sim {
    /// How long the commit takes that begins now.
    pub(crate) fn commit_time(&mut self, whose: Whose) -> Duration {
        let Weather { commit, stall, stall_once_in, .. } = &self.weather;
        let range = if self.random.once_in(*stall_once_in) { stall } else { commit };
        self.random.duration(range) + self.standstills.disk_rests(whose, self.now)
    }

    /// The clock of a process that starts now.
    pub(crate) fn set_clock(&mut self) -> Clock {
        let Wrongness { skew_max, drift_max } = self.weather.clocks;
        let skew = self.random.duration(&(Duration::ZERO..skew_max * 2 + millis(1)));
        let drift = self.random.number(0..drift_max * 2 + 1);
        // The millisecond is there for the range not to be empty, and is no wrongness.
        let skew = if skew_max.is_zero() { skew_max } else { skew };
        Clock::set(self.now, self.weather.clocks, skew, drift)
    }

    /// Lets the weather's faults begin.
    pub(crate) fn next_fault(&mut self) {
        if let Some(fault) = self.random.pick(&self.weather.faults).copied() {
            let at = self.now + self.random.duration(&self.weather.peace);
            self.schedule.arrange(at, Event::Strikes { fault });
        }
    }

    pub(crate) fn strikes(&mut self, fault: Fault) {
        if self.weather.faults.is_empty() {
            return;
        }
        self.trace.fact(self.now, &format!("{fault:?} strikes"));
        self.strike(fault);
        self.next_fault();
    }

    /// Everybody who is connected to the master, or may be.
    fn peers(&self) -> Vec<Peer> {
        let [agents, frameworks, schedulers] = self.counts();
        let peers = (0..agents).map(Peer::Agent).chain((0..frameworks).map(Peer::Framework));
        peers.chain((0..schedulers).map(Peer::Scheduler)).collect()
    }

    /// The peer is silent until its connection goes on from another address.
    fn change_address(&mut self, peer: Peer) {
        let silence = self.random.duration(&(millis(10)..Duration::from_secs(3)));
        self.cut(peer, silence);
    }

    /// How many agents, frameworks and schedulers there are.
    fn counts(&self) -> [usize; 3] {
        [self.agents.len(), self.frameworks.len(), self.shipped.len()]
    }

    fn strike(&mut self, fault: Fault) {
        let outage = self.random.duration(&self.weather.outage);
        let [agents, frameworks, schedulers] = self.counts().map(|n| (0..n).collect::<Vec<_>>());
        let peer = *self.random.pick(&self.peers()).expect("somebody is there");
        let agent = *self.random.pick(&agents).expect("an agent is there");
        let [framework, scheduler] =
            [frameworks, schedulers].map(|all| self.random.pick(&all).copied());
        match fault {
            Fault::BrokenConnection => {
                if let Some(link) = self.network.sound_link(peer) {
                    self.break_link(link, millis(1)..SILENCE_MAX);
                }
            }
            Fault::HalfBrokenConnection => {
                if let Some(link) = self.network.sound_link(peer) {
                    self.abandon(link);
                }
            }
            Fault::Partition => self.cut(peer, outage),
            Fault::OneWayPartition => {
                let deaf = if self.random.once_in(2) { Side::Master } else { Side::Peer };
                self.cut_one_way(peer, deaf, outage);
            }
            Fault::AddressChange => self.change_address(peer),
            Fault::AgentCrash => {
                let last = self.last_commit();
                self.crash_agent(agent, last);
                self.schedule.arrange(self.now + outage, Event::AgentStarts { agent });
            }
            Fault::NodeCrash => {
                let last = self.last_commit();
                self.crash_node(agent, last);
                self.schedule.arrange(self.now + outage, Event::AgentStarts { agent });
            }
            Fault::AgentStop => self.agent_takes(agent, Input::Stop),
            Fault::ExecutorCrash => self.kill_an_executor(agent),
            Fault::MasterCrash => {
                let last = self.last_commit();
                self.crash_master(last);
                self.schedule.arrange(self.now + outage, Event::MasterStarts);
            }
            Fault::Failover => {
                let older = if self.random.once_in(2) { Older::Dead } else { Older::StillThere };
                match (framework, scheduler) {
                    (Some(_), Some(scheduler)) if self.random.once_in(2) => {
                        self.replace_shipped(scheduler);
                    }
                    (Some(framework), _) => self.fail_over(framework, older),
                    (None, Some(scheduler)) => self.replace_shipped(scheduler),
                    (None, None) => {}
                }
            }
            Fault::Freeze => {
                let whose = if self.random.once_in(4) { Whose::Master } else { Whose::Peer(peer) };
                self.freeze(whose, outage);
            }
            Fault::DeadDisk => {
                let agents = Whose::Peer(Peer::Agent(agent));
                let whose = if self.random.once_in(3) { Whose::Master } else { agents };
                self.standstills.stick(whose, self.now + outage);
            }
            Fault::Departure => {
                if let Some(framework) = framework {
                    self.tear_down(framework);
                }
            }
        }
    }

    /// Whether the commit that a crash interrupts reaches the disk.
    const fn last_commit(&mut self) -> LastCommit {
        if self.random.once_in(2) { LastCommit::Done } else { LastCommit::Undone }
    }

    fn kill_an_executor(&mut self, agent: usize) {
        let executors = self.agents[agent].executors.keys();
        if let Some(executor) = self.random.pick(&executors).cloned() {
            self.stop_executor(agent, &executor);
        }
    }

    /// An agent that was stopped is started again.
    pub(crate) fn restart_agent_later(&mut self, agent: usize) {
        let at = self.now + self.random.duration(&self.weather.outage);
        self.schedule.arrange(at, Event::AgentStarts { agent });
    }

    /// Nothing goes wrong any more: the network is mended, and what is down is started. Who stands
    /// still goes on in time.
    pub(crate) fn heal(&mut self) {
        self.trace.fact(self.now, "all faults end");
        self.set_back_max = self.weather.clocks.skew_max * 2;
        self.weather = Weather::calm();
        self.mend_network();
        self.start_master();
        for agent in 0..self.agents.len() {
            self.start_agent(agent);
        }
        self.promises.is_healed(self.now);
    }
}
