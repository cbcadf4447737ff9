//! The network between the master and its peers: connections as QUIC keeps them.
//!
//! ```text
//! dialled -> open -> hung up by one side, once all it said has arrived -> over
//!              |
//!              +-> broken: what is on its way is lost, each side finds out in its own time -> over
//! ```
//! Always holds: what one side says on a connection arrives in order, each word once, or the
//! connection is broken and nothing arrives any more. A short silence or a lost packet only makes
//! words late. What a process has said before it died may arrive, or not. Two connections of one
//! peer know nothing of each other: what was said on the older may arrive later.
//!
//! More than QUIC does: some words come twice in a row, since peers may repeat them.

use crate::{freeze::Whose, schedule::Event, sim::Sim};
use skep_master_core::{ConnectionId, Input as MasterInput};
use skep_protocol::{
    Time,
    agent::{ToAgent, ToMaster},
    framework::{Call, Event as ToFramework},
};
use std::{
    collections::{BTreeMap, VecDeque},
    ops::Range,
    time::Duration,
};

/// How long a connection may be silent before each side gives it up; as in `skep-transport`.
pub(crate) const SILENCE_MAX: Duration = Duration::from_secs(6);
/// How long it takes until it is given up.
const GIVEN_UP: Range<Duration> = SILENCE_MAX..Duration::from_secs(7);
/// How long it takes until a lost packet has come again.
const RETRANSMISSION: Range<Duration> = Duration::from_millis(20)..Duration::from_millis(1_000);
/// How long a peer waits before it dials again.
const PAUSE: Range<Duration> = Duration::from_millis(100)..Duration::from_millis(1_500);

/// What is said in one moment travels together, but for one word of so many.
const PARTED_ONCE_IN: u64 = 8;

/// A connection, by its number: no number is used twice.
pub(crate) type Link = ConnectionId;

/// Who dials the master.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Peer {
    Agent(usize),
    Framework(usize),
    /// A scheduler that comes with skep.
    Scheduler(usize),
}

/// One end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Master,
    Peer,
}

/// What travels.
#[derive(Debug)]
pub(crate) enum Word {
    FromAgent(ToMaster),
    ToAgent(ToAgent),
    FromFramework(Call),
    ToFramework(ToFramework),
    /// Nothing more comes from this side.
    HangUp,
}

impl Word {
    /// The same once more, if it may come twice: what is asked for once is answered once, and
    /// messages of tasks are not repeated by anybody.
    fn again(&self) -> Option<Self> {
        match self {
            Self::FromAgent(ToMaster::Sent { .. }) | Self::ToAgent(ToAgent::Message(_)) => None,
            Self::FromAgent(message) => Some(Self::FromAgent(message.clone())),
            Self::ToAgent(order) => Some(Self::ToAgent(order.clone())),
            Self::FromFramework(
                call @ (Call::Acknowledge { .. }
                | Call::Kill { .. }
                | Call::Reconcile { .. }
                | Call::Decline { .. }),
            ) => Some(Self::FromFramework(call.clone())),
            Self::ToFramework(
                event @ (ToFramework::StatusUpdates { .. }
                | ToFramework::TasksAccepted { .. }
                | ToFramework::Rescinded { .. }),
            ) => Some(Self::ToFramework(event.clone())),
            Self::FromFramework(_) | Self::ToFramework(_) | Self::HangUp => None,
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Network {
    connections: BTreeMap<Link, Connection>,
    count: u64,
    /// Peers that cannot reach the master, and until when.
    cut: BTreeMap<Peer, Time>,
}

#[derive(Debug)]
struct Connection {
    peer: Peer,
    at_master: End,
    at_peer: End,
}

#[derive(Debug)]
struct End {
    stage: Stage,
    /// Whether what is on its way to here is lost.
    is_deaf: bool,
    /// What is on its way to here; when the last of it was sent, and when it arrives.
    coming: VecDeque<Word>,
    last_sent: Time,
    last_arrival: Time,
    /// Nothing arrives here before.
    silent_until: Time,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Open,
    /// This side has hung up and may still hear.
    HungUp,
    /// This side knows that the connection is over.
    Over,
}

impl End {
    const fn new() -> Self {
        let (last_sent, last_arrival, silent_until) = (Time::ZERO, Time::ZERO, Time::ZERO);
        let coming = VecDeque::new();
        let (stage, is_deaf) = (Stage::Open, false);
        Self { stage, is_deaf, coming, last_sent, last_arrival, silent_until }
    }

    fn is_sound(&self) -> bool {
        self.stage == Stage::Open && !self.is_deaf
    }
}

impl Network {
    /// The newest connection of a peer that nothing has happened to.
    pub(crate) fn sound_link(&self, peer: Peer) -> Option<Link> {
        let is_sound = |connection: &Connection| {
            let Connection { peer: theirs, at_master, at_peer, .. } = connection;
            *theirs == peer && at_master.is_sound() && at_peer.is_sound()
        };
        self.connections.iter().rfind(|(_, known)| is_sound(known)).map(|(link, _)| *link)
    }

    /// All connections of a peer, or of all.
    pub(crate) fn links_of(&self, peer: Option<Peer>) -> Vec<Link> {
        let theirs = self.connections.iter();
        let theirs = theirs.filter(|(_, known)| peer.is_none_or(|peer| peer == known.peer));
        theirs.map(|(link, _)| *link).collect()
    }

    /// Lets nothing arrive at one side before.
    fn hush(&mut self, link: Link, side: Side, until: Time) {
        if let Some(end) = self.end(link, side) {
            end.silent_until = end.silent_until.max(until);
        }
    }

    pub(crate) fn peer_of(&self, link: Link) -> Option<Peer> {
        self.connections.get(&link).map(|connection| connection.peer)
    }

    fn end(&mut self, link: Link, side: Side) -> Option<&mut End> {
        let connection = self.connections.get_mut(&link)?;
        Some(match side {
            Side::Master => &mut connection.at_master,
            Side::Peer => &mut connection.at_peer,
        })
    }

    fn is_cut(&self, peer: Peer, now: Time) -> bool {
        self.cut.get(&peer).is_some_and(|until| *until > now)
    }
}

impl Side {
    const fn other(self) -> Self {
        match self {
            Self::Master => Self::Peer,
            Self::Peer => Self::Master,
        }
    }
}

impl Sim {
    /// Sends a word from one side; nothing happens if that side has no connection any more.
    pub(crate) fn send(&mut self, link: Link, from: Side, word: Word) {
        if self.network.end(link, from).is_none_or(|end| end.stage != Stage::Open) {
            return;
        }
        let mut delay = self.random.duration(&self.weather.delay);
        if self.random.once_in(self.weather.lost_once_in) {
            delay += self.random.duration(&RETRANSMISSION);
        }
        let again = self.random.once_in(self.weather.twice_once_in).then(|| word.again());
        let is_together = !self.random.once_in(PARTED_ONCE_IN);
        let now = self.now;
        let Some(end) = self.network.end(link, from.other()).filter(|end| !end.is_deaf) else {
            return;
        };
        if end.last_sent != now || !is_together {
            end.last_arrival = end.last_arrival.max(now + delay);
        }
        end.last_sent = now;
        let words = [Some(word), again.flatten()];
        let at = end.last_arrival;
        for word in words.into_iter().flatten() {
            end.coming.push_back(word);
            self.schedule.arrange(at, Event::Arrives { link, to: from.other() });
        }
    }

    /// Hangs up: what was said before still arrives.
    pub(crate) fn hang_up(&mut self, link: Link, side: Side) {
        self.send(link, side, Word::HangUp);
        if let Some(end) = self.network.end(link, side)
            && end.stage == Stage::Open
        {
            end.stage = Stage::HungUp;
        }
    }

    /// Hangs up for good: the process ends, and who comes after it hears nothing on its connection.
    pub(crate) fn leave(&mut self, link: Link, side: Side) {
        self.hang_up(link, side);
        if let Some(end) = self.network.end(link, side) {
            end.stage = Stage::Over;
        }
    }

    /// The next word arrives at one side.
    pub(crate) fn arrives(&mut self, link: Link, to: Side) {
        let now = self.now;
        let Some(end) = self.network.end(link, to) else { return };
        if end.silent_until > now {
            return self.schedule.arrange(end.silent_until, Event::Arrives { link, to });
        }
        if end.is_deaf || end.stage == Stage::Over {
            return;
        }
        let Some(word) = end.coming.pop_front() else { return };
        match (word, self.network.peer_of(link)) {
            (Word::HangUp, _) => self.break_link(link, Duration::ZERO..Duration::from_millis(50)),
            (Word::FromAgent(message), Some(Peer::Agent(agent))) => {
                let agent = self.agents[agent].id.clone();
                self.master_takes(MasterInput::Agent { connection: link, agent, message });
            }
            (Word::FromFramework(call), Some(Peer::Framework(framework))) => {
                let principal = self.frameworks[framework].principal();
                self.master_takes(MasterInput::Framework { connection: link, principal, call });
            }
            (Word::FromFramework(call), Some(Peer::Scheduler(scheduler))) => {
                let principal = self.shipped[scheduler].principal();
                if let Call::Put { blob } = &call {
                    self.store_blob(blob);
                }
                self.master_takes(MasterInput::Framework { connection: link, principal, call });
            }
            (Word::ToAgent(order), Some(Peer::Agent(agent))) => self.agent_is_told(agent, order),
            (Word::ToFramework(event), Some(Peer::Framework(framework))) => {
                self.framework_hears(framework, link, event);
            }
            (Word::ToFramework(event), Some(Peer::Scheduler(scheduler))) => {
                self.shipped_hears(scheduler, link, event);
            }
            (word, peer) => panic!("{word:?} is nothing that {peer:?} and the master say"),
        }
    }

    /// One side finds out that a connection is over.
    pub(crate) fn notices(&mut self, link: Link, side: Side) {
        let Some(end) = self.network.end(link, side).filter(|end| end.stage != Stage::Over) else {
            return;
        };
        end.stage = Stage::Over;
        let Some(peer) = self.network.peer_of(link) else { return };
        match (side, peer) {
            (Side::Master, _) => {
                self.master_takes(MasterInput::Disconnected { connection: link });
            }
            (Side::Peer, Peer::Agent(agent)) => self.agent_disconnected(agent, link),
            (Side::Peer, Peer::Framework(framework)) => {
                self.framework_disconnected(framework, link);
            }
            (Side::Peer, Peer::Scheduler(scheduler)) => self.shipped_disconnected(scheduler, link),
        }
        self.network.connections.retain(|_, connection| {
            connection.at_master.stage != Stage::Over || connection.at_peer.stage != Stage::Over
        });
    }

    /// Breaks a connection: what is on its way is lost, and each side finds out within the range.
    pub(crate) fn break_link(&mut self, link: Link, found_out: Range<Duration>) {
        for side in [Side::Master, Side::Peer] {
            if let Some(end) = self.network.end(link, side) {
                end.is_deaf = true;
            }
            let at = self.now + self.random.duration(&found_out);
            self.schedule.arrange(at, Event::Notices { link, side });
        }
    }

    /// Keeps a peer from the master for a while. A short silence is only a delay.
    pub(crate) fn cut(&mut self, peer: Peer, silence: Duration) {
        let until = self.now + silence;
        self.network.cut.insert(peer, until);
        for link in self.network.links_of(Some(peer)) {
            if silence >= SILENCE_MAX {
                self.break_link(link, GIVEN_UP);
            } else {
                self.network.hush(link, Side::Master, until);
                self.network.hush(link, Side::Peer, until);
            }
        }
    }

    /// Keeps the words of one side from the other for a while. Who hears nothing gives up, and
    /// says so; no new connection can be made.
    pub(crate) fn cut_one_way(&mut self, peer: Peer, deaf: Side, silence: Duration) {
        let until = self.now + silence;
        self.network.cut.insert(peer, until);
        for link in self.network.links_of(Some(peer)) {
            if silence < SILENCE_MAX {
                self.network.hush(link, deaf, until);
                continue;
            }
            if let Some(end) = self.network.end(link, deaf) {
                end.is_deaf = true;
            }
            let gives_up = self.now + self.random.duration(&GIVEN_UP);
            self.schedule.arrange(gives_up, Event::Notices { link, side: deaf });
            let hears = gives_up + self.random.duration(&self.weather.delay);
            self.schedule.arrange(hears, Event::Notices { link, side: deaf.other() });
        }
    }

    /// One side's process stands still: the other gives the connection up, and it finds that out
    /// when it goes on.
    pub(crate) fn fall_silent(&mut self, link: Link, silent: Side) {
        let was_deaf = self.network.end(link, silent).is_some_and(|end| end.is_deaf);
        self.break_link(link, GIVEN_UP);
        // What has arrived before is still read, unless something on the way was lost already.
        if let Some(end) = self.network.end(link, silent) {
            end.is_deaf = was_deaf;
        }
    }

    /// The peer gives a connection up and says so to nobody. What it has said before is heard,
    /// later than what it says on its next connection, perhaps.
    pub(crate) fn abandon(&mut self, link: Link) {
        let until = self.now + self.random.duration(&(Duration::ZERO..SILENCE_MAX));
        self.network.hush(link, Side::Master, until);
        let found_out = self.random.duration(&(Duration::ZERO..GIVEN_UP.end));
        self.schedule.arrange(self.now + found_out, Event::Notices { link, side: Side::Master });
        self.notices(link, Side::Peer);
    }

    /// Everybody can reach the master again.
    pub(crate) fn mend_network(&mut self) {
        self.network.cut.clear();
    }

    /// A process has died: its ends are over at once, the others find out later. Its last words
    /// may still arrive.
    pub(crate) fn drop_links(&mut self, side: Side, is_theirs: impl Fn(Peer) -> bool) {
        let links = self.network.connections.iter().filter(|(_, known)| is_theirs(known.peer));
        for link in links.map(|(link, _)| *link).collect::<Vec<_>>() {
            self.drop_link(link, side);
        }
    }

    /// The process at one side of a connection has died.
    pub(crate) fn drop_link(&mut self, link: Link, side: Side) {
        let is_silent = self.random.once_in(2);
        if let Some(end) = self.network.end(link, side) {
            end.stage = Stage::Over;
        }
        if let Some(end) = self.network.end(link, side.other()) {
            end.is_deaf |= is_silent;
        }
        let found_out = Duration::from_millis(1)..SILENCE_MAX;
        let (at, side) = (self.now + self.random.duration(&found_out), side.other());
        self.schedule.arrange(at, Event::Notices { link, side });
    }

    pub(crate) fn dial_later(&mut self, peer: Peer) {
        let at = self.now + self.random.duration(&PAUSE);
        self.schedule.arrange(at, Event::Dials { peer });
    }

    pub(crate) fn dials(&mut self, peer: Peer) {
        if !self.wants_connection(peer) {
            return;
        }
        let is_frozen = self.standstills.is_frozen(Whose::Master, self.now);
        if self.network.is_cut(peer, self.now) || self.master.process.is_none() || is_frozen {
            return self.dial_later(peer);
        }
        self.network.count += 1;
        let link = ConnectionId(self.network.count);
        let connection = Connection { peer, at_master: End::new(), at_peer: End::new() };
        self.network.connections.insert(link, connection);
        match peer {
            Peer::Agent(agent) => self.agent_connected(agent, link),
            Peer::Framework(framework) => self.framework_connected(framework, link),
            Peer::Scheduler(scheduler) => self.shipped_connected(scheduler, link),
        }
    }

    fn wants_connection(&self, peer: Peer) -> bool {
        match peer {
            Peer::Agent(agent) => self.agents[agent].wants_connection(),
            Peer::Framework(framework) => self.frameworks[framework].wants_connection(),
            Peer::Scheduler(scheduler) => self.shipped[scheduler].wants_connection(),
        }
    }
}
