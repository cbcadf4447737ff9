//! The network between the master and its peers: connections as QUIC keeps them.
//!
//! ```text
//! dialled -> open -> hung up by one side, once all it said has arrived -> over
//!              |
//!              +-> broken: what is on its way is lost, each side finds out in its own time -> over
//! ```
//! Always holds: what one side says on a connection arrives in order, each word once, or the
//! connection is broken and nothing arrives any more. A short silence only makes words late. What
//! a process has said before it died may arrive, or not.

use crate::{schedule::Event, sim::Sim};
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
    /// Nothing arrives before.
    silent_until: Time,
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
        let (last_sent, last_arrival) = (Time::ZERO, Time::ZERO);
        let coming = VecDeque::new();
        Self { stage: Stage::Open, is_deaf: false, coming, last_sent, last_arrival }
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
        let delay = self.random.duration(&self.weather.delay);
        let is_together = !self.random.once_in(PARTED_ONCE_IN);
        let now = self.now;
        let Some(end) = self.network.end(link, from.other()).filter(|end| !end.is_deaf) else {
            return;
        };
        if end.last_sent != now || !is_together {
            end.last_arrival = end.last_arrival.max(now + delay);
        }
        end.last_sent = now;
        end.coming.push_back(word);
        let at = end.last_arrival;
        self.schedule.arrange(at, Event::Arrives { link, to: from.other() });
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

    /// The next word arrives at one side.
    pub(crate) fn arrives(&mut self, link: Link, to: Side) {
        let Some(connection) = self.network.connections.get(&link) else { return };
        if connection.silent_until > self.now {
            return self.schedule.arrange(connection.silent_until, Event::Arrives { link, to });
        }
        let Some(end) = self.network.end(link, to) else { return };
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
            (Word::ToAgent(order), Some(Peer::Agent(agent))) => self.agent_is_told(agent, order),
            (Word::ToFramework(event), Some(Peer::Framework(framework))) => {
                self.framework_hears(framework, event);
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
        let links = self.network.connections.iter().filter(|(_, known)| known.peer == peer);
        for link in links.map(|(link, _)| *link).collect::<Vec<_>>() {
            if silence >= SILENCE_MAX {
                self.break_link(link, SILENCE_MAX..SILENCE_MAX + Duration::from_secs(1));
            } else if let Some(connection) = self.network.connections.get_mut(&link) {
                connection.silent_until = connection.silent_until.max(until);
            }
        }
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
    }

    pub(crate) fn dial_later(&mut self, peer: Peer) {
        let at = self.now + self.random.duration(&PAUSE);
        self.schedule.arrange(at, Event::Dials { peer });
    }

    pub(crate) fn dials(&mut self, peer: Peer) {
        if !self.wants_connection(peer) {
            return;
        }
        if self.network.is_cut(peer, self.now) || self.master.process.is_none() {
            return self.dial_later(peer);
        }
        self.network.count += 1;
        let link = ConnectionId(self.network.count);
        let (at_master, at_peer) = (End::new(), End::new());
        let silent_until = Time::ZERO;
        let connection = Connection { peer, at_master, at_peer, silent_until };
        self.network.connections.insert(link, connection);
        match peer {
            Peer::Agent(agent) => self.agent_connected(agent, link),
            Peer::Framework(framework) => self.framework_connected(framework, link),
        }
    }

    fn wants_connection(&self, peer: Peer) -> bool {
        match peer {
            Peer::Agent(agent) => self.agents[agent].wants_connection(),
            Peer::Framework(framework) => self.frameworks[framework].wants_connection(),
        }
    }
}
