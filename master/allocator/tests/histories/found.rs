//! Histories that random ones have found, kept as they were: generators change, and the numbers
//! that a seed stands for with them.

use crate::{
    cluster::Cluster,
    events::Event::{self, *},
};

fn replay(seed: u64, events: &[Event]) {
    let mut cluster = Cluster::new(seed);
    for event in events {
        cluster.apply(event);
        cluster.run();
        cluster.check();
    }
}

#[test]
fn what_was_held_for_a_guarantee_that_is_met_in_another_role() {
    replay(
        1,
        &[
            Add { framework: 4, roles: [1, 3], revocable: false },
            Guarantee { role: 2, cpus: 1 },
            Add { framework: 1, roles: [2, 5], revocable: false },
            SetAgent { agent: 3, cpus: 2, mem: 0, reserved: None, revocable: 0 },
            Add { framework: 0, roles: [0, 0], revocable: false },
            Want { framework: 4, least: 0, wants: 1 },
            Reserve { agent: 3, role: 1, cpus: 2 },
            SetAgent { agent: 4, cpus: 1, mem: 7, reserved: None, revocable: 1 },
            SetAgent { agent: 0, cpus: 7, mem: 7, reserved: None, revocable: 0 },
            Activate(4),
            Limit { role: 1, cpus: 3 },
            Want { framework: 4, least: 0, wants: 7 },
            Activate(1),
            SetAgent { agent: 1, cpus: 2, mem: 0, reserved: Some((1, 1)), revocable: 0 },
            RemoveAgent(4),
            Decline { offer: 533872655395526352, seconds: 6 },
            Accept(3784263760343293245),
            Accept(10189254046851330271),
            Decline { offer: 13823858301872190329, seconds: 4 },
            Want { framework: 1, least: 1, wants: 5 },
        ],
    );
}

#[test]
fn what_is_lent_stands_in_for_what_was_refused() {
    replay(
        0,
        &[
            Add { framework: 2, roles: [0, 0], revocable: false },
            Add { framework: 3, roles: [0, 0], revocable: true },
            Activate(3),
            Want { framework: 3, least: 0, wants: 1 },
            SetAgent { agent: 0, cpus: 1, mem: 0, reserved: None, revocable: 1 },
            Decline { offer: 0, seconds: 1 },
            Activate(2),
        ],
    );
}

#[test]
fn one_that_is_looked_at_by_itself_is_served_in_pieces() {
    replay(
        0,
        &[
            SetAgent { agent: 1, cpus: 2, mem: 0, reserved: None, revocable: 1 },
            Add { framework: 4, roles: [0, 0], revocable: false },
            Add { framework: 2, roles: [1, 0], revocable: true },
            SetAgent { agent: 0, cpus: 0, mem: 0, reserved: None, revocable: 0 },
            Activate(4),
            Decline { offer: 0, seconds: 0 },
            Want { framework: 2, least: 2, wants: 3 },
            Decline { offer: 0, seconds: 1 },
            Suppress(2),
            Activate(2),
        ],
    );
}

#[test]
fn what_is_left_of_pieces_is_not_added_to_the_last() {
    replay(
        0,
        &[
            SetAgent { agent: 0, cpus: 2, mem: 0, reserved: None, revocable: 1 },
            Add { framework: 4, roles: [0, 1], revocable: true },
            SetAgent { agent: 3, cpus: 3, mem: 0, reserved: Some((0, 2)), revocable: 1 },
            RemoveAgent(0),
            Want { framework: 4, least: 2, wants: 5 },
            Activate(4),
            SetAgent { agent: 0, cpus: 2, mem: 0, reserved: None, revocable: 1 },
            Accept(13409350436913666877),
            Decline { offer: 0, seconds: 0 },
            Decline { offer: 10809426588963187607, seconds: 1 },
            Decline { offer: 0, seconds: 0 },
        ],
    );
}

#[test]
fn what_is_reserved_meets_a_guarantee_and_leaves_more_to_others() {
    replay(
        0,
        &[
            Guarantee { role: 2, cpus: 1 },
            Add { framework: 3, roles: [3, 4], revocable: false },
            SetAgent { agent: 0, cpus: 0, mem: 0, reserved: None, revocable: 0 },
            SetAgent { agent: 0, cpus: 0, mem: 0, reserved: Some((1, 1)), revocable: 0 },
            SetAgent { agent: 4, cpus: 0, mem: 0, reserved: None, revocable: 0 },
            Activate(3),
            SetAgent { agent: 1, cpus: 1, mem: 0, reserved: None, revocable: 0 },
            Limit { role: 3, cpus: 0 },
            Accept(0),
            NoQuota(0),
            Limit { role: 0, cpus: 0 },
            Add { framework: 3, roles: [2, 2], revocable: false },
        ],
    );
}

#[test]
fn pieces_are_in_order_of_terms() {
    replay(
        2,
        &[
            Add { framework: 1, roles: [3, 1], revocable: true },
            Add { framework: 2, roles: [0, 4], revocable: false },
            SetAgent { agent: 2, cpus: 3, mem: 0, reserved: None, revocable: 0 },
            SetAgent { agent: 0, cpus: 5, mem: 0, reserved: None, revocable: 1 },
            Activate(2),
            Decline { offer: 3303537019819549608, seconds: 1 },
            Accept(82301930893578221),
            Want { framework: 1, least: 2, wants: 5 },
            Activate(1),
            Decline { offer: 0, seconds: 1 },
            Accept(5076581183736865503),
            Accept(6939143520311657249),
            Decline { offer: 0, seconds: 1 },
            Decline { offer: 0, seconds: 0 },
            SetAgent { agent: 2, cpus: 0, mem: 0, reserved: Some((3, 2)), revocable: 1 },
            Decline { offer: 0, seconds: 0 },
        ],
    );
}

#[test]
fn pieces_of_what_is_reserved_and_what_is_not() {
    replay(
        0,
        &[
            Limit { role: 2, cpus: 0 },
            Add { framework: 3, roles: [1, 3], revocable: false },
            SetAgent { agent: 2, cpus: 1, mem: 0, reserved: None, revocable: 0 },
            SetAgent { agent: 1, cpus: 0, mem: 0, reserved: None, revocable: 0 },
            SetAgent { agent: 0, cpus: 1, mem: 0, reserved: None, revocable: 0 },
            Activate(3),
            Add { framework: 3, roles: [3, 4], revocable: false },
            Decline { offer: 3236684625042092300, seconds: 0 },
            Decline { offer: 2377324446559557852, seconds: 0 },
            Want { framework: 3, least: 2, wants: 3 },
            Decline { offer: 6511795597037807657, seconds: 0 },
            Accept(0),
            NoQuota(0),
            Release(0),
            NoQuota(0),
            SetAgent { agent: 1, cpus: 2, mem: 0, reserved: None, revocable: 0 },
            Decline { offer: 0, seconds: 1 },
            Decline { offer: 0, seconds: 0 },
            SetAgent { agent: 0, cpus: 1, mem: 0, reserved: Some((1, 2)), revocable: 0 },
            Decline { offer: 0, seconds: 0 },
        ],
    );
}

#[test]
fn pieces_are_by_orders_that_are_made_anew() {
    replay(
        0,
        &[
            Add { framework: 1, roles: [0, 2], revocable: false },
            SetAgent { agent: 1, cpus: 5, mem: 0, reserved: None, revocable: 0 },
            Locate { agent: 1, zone: 0, elsewhere: false, gpus: 1 },
            Want { framework: 1, least: 2, wants: 3 },
            SetAgent { agent: 2, cpus: 4, mem: 0, reserved: Some((0, 1)), revocable: 0 },
            Activate(1),
            Use { offer: 5888105822994092078, cpus: 1, mem: 0, seconds: 1 },
            Use { offer: 0, cpus: 1, mem: 0, seconds: 0 },
            Use { offer: 0, cpus: 1, mem: 0, seconds: 0 },
            Release(223175817996679846),
            Locate { agent: 1, zone: 0, elsewhere: true, gpus: 0 },
            Say { framework: 1, role: 2, least: [2, 0], wants: [3, 0], terms: None },
        ],
    );
}

#[test]
fn pieces_are_by_orders_of_all_roles() {
    replay(
        0,
        &[
            Guarantee { role: 1, cpus: 2 },
            Add { framework: 1, roles: [4, 4], revocable: false },
            Add { framework: 0, roles: [3, 5], revocable: true },
            SetAgent { agent: 3, cpus: 4, mem: 0, reserved: Some((1, 1)), revocable: 1 },
            Limit { role: 3, cpus: 3 },
            Want { framework: 1, least: 2, wants: 3 },
            Guarantee { role: 5, cpus: 1 },
            Activate(0),
            SetAgent { agent: 0, cpus: 3, mem: 0, reserved: Some((0, 1)), revocable: 0 },
            Limit { role: 5, cpus: 0 },
            Weigh { role: 4, millis: 1600 },
            Decline { offer: 390038120529127910, seconds: 0 },
            Activate(1),
        ],
    );
}

#[test]
fn pieces_of_what_is_lent_are_by_orders_that_are_made_anew() {
    replay(
        0,
        &[
            SetAgent { agent: 0, cpus: 2, mem: 0, reserved: None, revocable: 1 },
            SetAgent { agent: 1, cpus: 0, mem: 0, reserved: None, revocable: 0 },
            SetAgent { agent: 2, cpus: 2, mem: 0, reserved: None, revocable: 1 },
            SetAgent { agent: 3, cpus: 5, mem: 0, reserved: None, revocable: 1 },
            SetAgent { agent: 4, cpus: 0, mem: 1, reserved: None, revocable: 1 },
            Add { framework: 2, roles: [4, 4], revocable: false },
            Add { framework: 1, roles: [5, 2], revocable: true },
            Activate(2),
            Guarantee { role: 4, cpus: 1 },
            Suppress(0),
            Decline { offer: 353550672314969100, seconds: 1 },
            Guarantee { role: 0, cpus: 1 },
            Join { framework: 0, role: 0 },
            ReviveIn { framework: 0, role: 0 },
            Decline { offer: 0, seconds: 9 },
            SuppressIn { framework: 1, role: 2 },
            Want { framework: 1, least: 2, wants: 3 },
            Activate(1),
        ],
    );
}

/// What is met of a guarantee below a role leaves more of the role's own to others in it.
#[test]
fn what_a_role_is_owed_itself_when_less_is_missing_below_it() {
    replay(
        0,
        &[
            Add { framework: 3, roles: [2, 3], revocable: true },
            Want { framework: 3, least: 1, wants: 6 },
            Guarantee { role: 0, cpus: 4 },
            Guarantee { role: 5, cpus: 6 },
            Add { framework: 1, roles: [4, 3], revocable: false },
            Activate(1),
            Guarantee { role: 2, cpus: 6 },
            SetAgent { agent: 2, cpus: 6, mem: 5, reserved: Some((1, 2)), revocable: 0 },
            Guarantee { role: 2, cpus: 2 },
            Activate(3),
        ],
    );
}
