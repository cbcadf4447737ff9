//! One example of each view, with all of its fields set.

use crate::operator::view::*;
use std::collections::BTreeMap;

pub(super) fn tasks() -> TaskViews {
    let task = TaskView {
        task: "prime.17".into(),
        attempt: 2,
        framework: "f-1".into(),
        role: "eng/batch".into(),
        name: "prime".into(),
        state: "FINISHED".into(),
        reason: "exited with code 0".into(),
        agent: "a-7".into(),
        resources: resources(),
        exit_code: Some(0),
        fuel: Some(123_456),
        memory_bytes_peak: Some(1 << 20),
        wall_micros: Some(2_500),
        since_micros: 1_700_000_000_000_000,
    };
    TaskViews { tasks: vec![task] }
}

pub(super) fn agents() -> AgentViews {
    let agent = AgentView {
        agent: "a-7".into(),
        hostname: "node-7.example.org".into(),
        state: "connected".into(),
        incarnation: 7,
        architecture: "x86_64".into(),
        attributes: BTreeMap::from([("zone".into(), "a".into())]),
        resources: resources(),
        allocated: resources(),
        offered: resources(),
        tasks: 3,
        enforces: vec!["limit.memory".into()],
        build: "0.1.0".into(),
        revocable: resources(),
        region: "north".into(),
        zone: "n1".into(),
        duty: "draining".into(),
        maintenance: Some(MaintenanceView {
            from_micros: 1_700_000_000_000_000,
            until_micros: 1_700_000_060_000_000,
            manner: "drain".into(),
        }),
        reservations: vec![ReservationView {
            role: "eng/batch".into(),
            resources: resources(),
            fixed: resources(),
        }],
        volumes: vec![volume()],
        asked: vec![AskedView { framework: "f-1".into(), answer: "accepted".into() }],
    };
    AgentViews { agents: vec![agent] }
}

fn volume() -> VolumeView {
    VolumeView {
        agent: "a-7".into(),
        name: "models".into(),
        role: "eng/batch".into(),
        disk: 10.0,
        made_micros: 1_700_000_000_000_000,
    }
}

pub(super) fn volumes() -> VolumeViews {
    VolumeViews { volumes: vec![volume()] }
}

pub(super) fn frameworks() -> FrameworkViews {
    let framework = FrameworkView {
        framework: "f-1".into(),
        name: "nightly".into(),
        role: "eng/batch".into(),
        principal: "ada".into(),
        state: "connected".into(),
        allocated: resources(),
        offered: resources(),
        tasks: 3,
        suppressed: true,
        failover_timeout_seconds: 3_600,
    };
    FrameworkViews { frameworks: vec![framework] }
}

pub(super) fn roles() -> RoleViews {
    let role = RoleView {
        role: "eng/batch".into(),
        weight: 1.5,
        share: 0.25,
        dominant: "cpus".into(),
        allocated: resources(),
        frameworks: 1,
        weighted_share: 0.125,
        offered: resources(),
        consumed: resources(),
        guarantee: resources(),
        limit: resources(),
    };
    RoleViews { roles: vec![role] }
}

pub(super) fn why() -> WhyView {
    WhyView {
        sentences: vec!["2 agents: too little mem free.".into()],
        possible: 1,
        agents: BTreeMap::from([("too little mem free".into(), 2)]),
        ahead: 3,
        share: 0.25,
    }
}

pub(super) fn offers() -> OfferViews {
    let offer = OfferView {
        offer: "o-ff".into(),
        framework: "f-1".into(),
        framework_name: "nightly".into(),
        role: "eng/batch".into(),
        agent: "a-7".into(),
        resources: resources(),
        age_micros: 2_500,
        expires_in_micros: 30_000_000,
    };
    OfferViews { offers: vec![offer] }
}

pub(super) fn status() -> StatusView {
    StatusView {
        cluster: "hive".into(),
        build: "0.1.0".into(),
        agents_connected: 1,
        agents_known: 2,
        frameworks_connected: 3,
        frameworks_known: 4,
        tasks_staging: 5,
        tasks_running: 6,
        tasks_unreachable: 7,
        offers: 8,
        resources: resources(),
        allocated: resources(),
        summary: "6 tasks run on 1 agent".into(),
    }
}

pub(super) fn tokens() -> TokenViews {
    let token = TokenView {
        id: "t-1".into(),
        kind: "agent".into(),
        uses_left: 9,
        expires_micros: 1_700_000_000_000_000,
    };
    TokenViews { tokens: vec![token] }
}

fn resources() -> BTreeMap<String, f64> {
    BTreeMap::from([("cpus".into(), 1.5), ("mem".into(), 512.0)])
}

pub(super) fn modules() -> ModuleViews {
    let module = ModuleView {
        digest: "sha256:00".into(),
        kind: "component".into(),
        bytes: 70 << 20,
        stored_micros: 1_700_000_000_000_000,
    };
    ModuleViews { modules: vec![module] }
}
