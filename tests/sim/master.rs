//! The master's shell, simulated around the real core: its journal, its clock, its connections.

use crate::{
    clock::Clock,
    freeze::Whose,
    journal::{Disk, Journal, LastCommit, Row},
    network::{Side, Word},
    schedule::Event,
    sim::Sim,
};
use skep_master_core::{Answer, Change, Effect, Input, Master as Core, Policy, Record, RequestId};
use skep_protocol::{AgentId, Digest, Rejection, Time, operator::PeerKind};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// What stays, and what runs on it.
#[derive(Debug)]
pub(crate) struct Master {
    pub(crate) policy: Policy,
    pub(crate) disk: Disk<Record>,
    /// Those that are stored beside it.
    pub(crate) blobs: BTreeSet<Digest>,
    /// None: it is down.
    pub(crate) process: Option<Process>,
    pub(crate) runs: u64,
    requests: u64,
    answers: BTreeMap<RequestId, Result<Answer, Rejection>>,
}

/// One run of the master.
#[derive(Debug)]
pub(crate) struct Process {
    run: u64,
    pub(crate) clock: Clock,
    pub(crate) core: Core,
    pub(crate) journal: Journal<Record, Effect>,
    /// The earliest tick that is arranged.
    tick: Option<Time>,
    turns: u64,
    inbox: Inbox,
}

/// Whether something waits in the master's inbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Inbox {
    Idle,
    /// It will be idle after a while.
    Busy,
}

/// Of so many turns one is followed by a look at the core's invariants, which costs more than all
/// the rest; when a failure is told again all are.
pub(crate) const CHECKED_ONCE_IN: u64 = 16;
/// Of so many turns one is followed by a look at what a restart would make of the disk. It costs
/// more than the turn.
pub(crate) const REPLAYED_ONCE_IN: u64 = 64;

/// The module of every simulated task.
pub(crate) fn module() -> Digest {
    Digest::of(b"module")
}

impl Master {
    pub(crate) fn new(policy: Policy) -> Self {
        Self {
            policy,
            disk: Disk::new(),
            blobs: [module()].into(),
            process: None,
            runs: 0,
            requests: 0,
            answers: BTreeMap::new(),
        }
    }

    fn running(&mut self, run: u64) -> Option<&mut Process> {
        self.process.as_mut().filter(|process| process.run == run)
    }
}

impl Sim {
    pub(crate) fn start_master(&mut self) {
        if self.master.process.is_some() {
            return;
        }
        self.trace.fact(self.now, "the master starts");
        self.master.runs += 1;
        let run = self.master.runs;
        let records = self.master.disk.values().cloned();
        let core = Core::recover(records, self.master.policy.clone(), self.random.next());
        let (clock, journal) = (self.set_clock(), Journal::new());
        let (tick, turns, inbox) = (None, 0, Inbox::Idle);
        self.master.process = Some(Process { run, clock, core, journal, tick, turns, inbox });
        for digest in self.master.blobs.clone() {
            self.master_takes(Input::BlobStored { digest });
        }
    }

    /// Somebody has stored a blob at the master.
    pub(crate) fn store_blob(&mut self, blob: &[u8]) -> Digest {
        let digest = Digest::of(blob);
        self.master.blobs.insert(digest);
        self.master_takes(Input::BlobStored { digest });
        digest
    }

    pub(crate) fn crash_master(&mut self, last: LastCommit) {
        let Some(process) = self.master.process.take() else { return };
        self.trace.fact(self.now, "the master dies");
        process.journal.crash(&mut self.master.disk, last);
        self.standstills.end(Whose::Master);
        self.drop_links(Side::Master, |_| true);
    }

    /// Asks the master something, as a request on a stream of its own.
    pub(crate) fn ask(&mut self, input: impl FnOnce(RequestId) -> Input) -> RequestId {
        self.master.requests += 1;
        let request = RequestId(self.master.requests);
        self.master_takes(input(request));
        request
    }

    pub(crate) fn answer(&mut self, request: RequestId) -> Option<Result<Answer, Rejection>> {
        self.master.answers.remove(&request)
    }

    /// Has a new agent admitted, with a token of its own.
    pub(crate) fn admit_agent(&mut self) -> AgentId {
        let secret = Digest::of(&self.random.next().to_le_bytes());
        let (id, kind, uses) = (secret.hex(), PeerKind::Agent, 1);
        let ttl = Duration::from_secs(60);
        self.ask(|request| Input::CreateToken { request, id, secret, kind, uses, ttl });
        let name = "node".to_owned();
        let request = self.ask(|request| Input::Join { request, secret, name });
        loop {
            match self.answer(request) {
                Some(Ok(Answer::Admitted { id, .. })) => {
                    return AgentId::new(id).expect("the master makes good ids");
                }
                Some(other) => panic!("a good token was answered {other:?}"),
                None => self.step(),
            }
        }
    }

    pub(crate) fn master_takes(&mut self, input: Input) {
        let Some(process) = &mut self.master.process else { return };
        let effects = process.core.handle(process.clock.at(self.now), input.clone());
        if self.trace.is_told() || process.turns.is_multiple_of(CHECKED_ONCE_IN) {
            process.core.check_invariants();
        }
        self.trace.turn(self.now, &"master", &input, &effects);
        let is_idle = matches!(input, Input::Idle | Input::Tick);
        for effect in effects {
            match effect {
                Effect::Persist(record) => {
                    self.promises.master_records(&record);
                    process.journal.persist(self.now, row(record));
                }
                effect => process.journal.hold(effect),
            }
        }
        let run = process.run;
        if !is_idle && process.inbox == Inbox::Idle {
            process.inbox = Inbox::Busy;
            let at = self.now + self.random.duration(&self.weather.busy);
            self.schedule.arrange(at, Event::MasterIdles { run });
        }
        process.turns += 1;
        if process.turns.is_multiple_of(REPLAYED_ONCE_IN) {
            let rows = process.journal.will_hold(&self.master.disk);
            process.core.check_replay(rows.into_values());
        }
        self.master_carries_out();
        self.arrange_master_tick();
    }

    fn master_carries_out(&mut self) {
        while let Some(process) = &mut self.master.process {
            if process.journal.begin().is_some() {
                let run = process.run;
                let at = self.now + self.commit_time(Whose::Master);
                self.schedule.arrange(at, Event::MasterCommitted { run });
                continue;
            }
            match process.journal.release() {
                None => return,
                Some(Effect::SendAgent { connection, message }) => {
                    self.send(connection, Side::Master, Word::ToAgent(message));
                }
                Some(Effect::SendFramework { connection, event }) => {
                    self.promises.master_tells(&self.master.disk, &event);
                    self.send(connection, Side::Master, Word::ToFramework(event));
                }
                Some(Effect::Disconnect { connection }) => self.hang_up(connection, Side::Master),
                Some(Effect::Answer { request, answer }) => {
                    self.promises.master_answers(&self.master.disk, &answer);
                    self.master.answers.insert(request, answer);
                }
                Some(Effect::Persist(_)) => unreachable!("records are handed to the journal"),
            }
        }
    }

    fn arrange_master_tick(&mut self) {
        let Some(process) = &mut self.master.process else { return };
        let due = process.core.deadline().map(|due| process.clock.when(due).max(self.now));
        let Some(due) = due else { return };
        if process.tick.is_none_or(|tick| due < tick) {
            process.tick = Some(due);
            self.schedule.arrange(due, Event::MasterTicks { run: process.run });
        }
    }

    pub(crate) fn master_ticks(&mut self, run: u64) {
        let now = self.now;
        // It may come late, to a process that stood still.
        let is_due = |process: &&mut Process| process.tick.is_some_and(|tick| tick <= now);
        let Some(process) = self.master.running(run).filter(is_due) else { return };
        process.tick = None;
        let shown = process.clock.at(now);
        if process.core.deadline().is_some_and(|due| due <= shown) {
            self.master_takes(Input::Tick);
        } else {
            self.arrange_master_tick();
        }
    }

    pub(crate) fn master_idles(&mut self, run: u64) {
        let Some(process) = self.master.running(run) else { return };
        process.inbox = Inbox::Idle;
        self.master_takes(Input::Idle);
    }

    pub(crate) fn master_committed(&mut self, run: u64) {
        let Master { process, disk, .. } = &mut self.master;
        let Some(process) = process.as_mut().filter(|process| process.run == run) else { return };
        process.journal.committed(disk);
        self.master_carries_out();
    }
}

fn row(record: Record) -> Row<Record> {
    match record.change() {
        Change::Put => Row::Put(record.key(), record),
        Change::Delete => Row::Delete(record.key()),
    }
}
