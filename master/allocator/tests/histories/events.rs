//! What may happen to a cluster.

use crate::{AGENTS, FRAMEWORKS, ROLES};
use proptest::prelude::*;
use skep_protocol::task::Terms;

/// One thing that happens; numbers choose among what there is.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    SetAgent { agent: usize, cpus: u64, mem: u64, reserved: Option<(usize, u64)>, revocable: u64 },
    RemoveAgent(usize),
    CloseAgent(usize),
    OpenAgent(usize),
    PartAgent(usize),
    Add { framework: usize, roles: [usize; 2], revocable: bool },
    Remove(usize),
    Activate(usize),
    Deactivate(usize),
    Suppress(usize),
    Revive(usize),
    Want { framework: usize, least: u64, wants: u64 },
    WantAnything(usize),
    Weigh { role: usize, millis: u64 },
    Guarantee { role: usize, cpus: u64 },
    Limit { role: usize, cpus: u64 },
    NoQuota(usize),
    Accept(usize),
    Decline { offer: usize, seconds: u64 },
    Release(usize),
    Reserve { agent: usize, role: usize, cpus: u64 },
    Wait(u64),
    // What follows comes in wide histories only.
    Locate { agent: usize, zone: usize, elsewhere: bool, gpus: u64 },
    Can { framework: usize, revocable: bool, anywhere: bool, gpus: bool },
    Join { framework: usize, role: usize },
    Say { framework: usize, role: usize, least: [u64; 2], wants: [u64; 2], terms: Option<Terms> },
    SayAnything { framework: usize, role: usize },
    Wish { framework: usize, role: usize, floors: Option<Vec<u64>>, zone: Option<usize> },
    SuppressIn { framework: usize, role: usize },
    ReviveIn { framework: usize, role: usize },
    Use { offer: usize, cpus: u64, mem: u64, seconds: u64 },
    Fill { held: usize },
    Unreserve { agent: usize, role: usize, cpus: u64 },
    Pin { agent: usize, cpus: u64 },
    Unpin(usize),
}

pub(crate) fn event() -> impl Strategy<Value = Event> {
    let (a, f, r) = (0..AGENTS, 0..FRAMEWORKS, 0..ROLES.len());
    prop_oneof![
        4 => (a.clone(), 0..9_u64, 0..9_u64, proptest::option::of((r.clone(), 1..3_u64)), 0..2_u64)
            .prop_map(|(agent, cpus, mem, reserved, revocable)| {
                Event::SetAgent { agent, cpus, mem, reserved, revocable }
            }),
        1 => a.clone().prop_map(Event::RemoveAgent),
        1 => a.clone().prop_map(Event::CloseAgent),
        1 => a.clone().prop_map(Event::OpenAgent),
        1 => a.clone().prop_map(Event::PartAgent),
        3 => (f.clone(), [r.clone(), r.clone()], any::<bool>())
            .prop_map(|(framework, roles, revocable)| Event::Add { framework, roles, revocable }),
        1 => f.clone().prop_map(Event::Remove),
        3 => f.clone().prop_map(Event::Activate),
        1 => f.clone().prop_map(Event::Deactivate),
        1 => f.clone().prop_map(Event::Suppress),
        2 => f.clone().prop_map(Event::Revive),
        3 => (f.clone(), 0..3_u64, 0..8_u64)
            .prop_map(|(framework, least, wants)| Event::Want { framework, least, wants }),
        1 => f.clone().prop_map(Event::WantAnything),
        1 => (r.clone(), 1..5_000_u64).prop_map(|(role, millis)| Event::Weigh { role, millis }),
        1 => (r.clone(), 1..8_u64).prop_map(|(role, cpus)| Event::Guarantee { role, cpus }),
        1 => (r.clone(), 0..8_u64).prop_map(|(role, cpus)| Event::Limit { role, cpus }),
        1 => r.clone().prop_map(Event::NoQuota),
        6 => any::<usize>().prop_map(Event::Accept),
        6 => (any::<usize>(), 0..9_u64)
            .prop_map(|(offer, seconds)| Event::Decline { offer, seconds }),
        4 => any::<usize>().prop_map(Event::Release),
        1 => (a, r, 1..3_u64).prop_map(|(agent, role, cpus)| Event::Reserve { agent, role, cpus }),
        3 => (0..4_u64).prop_map(Event::Wait),
    ]
}

/// What happens in a cluster whose frameworks say more, of each of their roles for itself.
pub(crate) fn wide_event() -> impl Strategy<Value = Event> {
    prop_oneof![3 => event(), 2 => wide()]
}

fn wide() -> impl Strategy<Value = Event> {
    let (a, f, r) = (0..AGENTS, 0..FRAMEWORKS, 0..ROLES.len());
    let terms = || {
        let of = prop_oneof![Just(Terms::Regular), Just(Terms::Revocable)];
        proptest::option::of(of)
    };
    prop_oneof![
        2 => (a.clone(), 0..3_usize, any::<bool>(), 0..2_u64)
            .prop_map(|(agent, zone, elsewhere, gpus)| {
                Event::Locate { agent, zone, elsewhere, gpus }
            }),
        1 => (f.clone(), any::<[bool; 3]>()).prop_map(|(framework, [revocable, anywhere, gpus])| {
            Event::Can { framework, revocable, anywhere, gpus }
        }),
        2 => (f.clone(), r.clone()).prop_map(|(framework, role)| Event::Join { framework, role }),
        6 => (f.clone(), r.clone(), [0..3_u64, 0..3_u64], [0..9_u64, 0..9_u64], terms())
            .prop_map(|(framework, role, least, wants, terms)| {
                Event::Say { framework, role, least, wants, terms }
            }),
        1 => (f.clone(), r.clone())
            .prop_map(|(framework, role)| Event::SayAnything { framework, role }),
        2 => (
            f.clone(), r.clone(),
            proptest::option::of(proptest::collection::vec(0..4_u64, 0..3)),
            proptest::option::of(0..3_usize),
        )
            .prop_map(|(framework, role, floors, zone)| {
                Event::Wish { framework, role, floors, zone }
            }),
        1 => (f.clone(), r.clone())
            .prop_map(|(framework, role)| Event::SuppressIn { framework, role }),
        2 => (f, r.clone()).prop_map(|(framework, role)| Event::ReviveIn { framework, role }),
        6 => (any::<usize>(), 0..4_u64, 0..4_u64, prop_oneof![Just(0_u64), 1..99_u64])
            .prop_map(|(offer, cpus, mem, seconds)| Event::Use { offer, cpus, mem, seconds }),
        2 => any::<usize>().prop_map(|held| Event::Fill { held }),
        1 => (a.clone(), r, 1..3_u64)
            .prop_map(|(agent, role, cpus)| Event::Unreserve { agent, role, cpus }),
        1 => (a.clone(), 1..3_u64).prop_map(|(agent, cpus)| Event::Pin { agent, cpus }),
        1 => a.prop_map(Event::Unpin),
        1 => (any::<usize>(), 9..3_600_u64)
            .prop_map(|(offer, seconds)| Event::Decline { offer, seconds }),
        1 => (4..600_u64).prop_map(Event::Wait),
    ]
}
