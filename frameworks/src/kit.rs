//! What the tests of all frameworks run.

use crate::Work;
use skep_protocol::Digest;
use std::collections::BTreeMap;

/// A program that has one processor and 64 MiB.
pub(crate) fn work(module: &str) -> Work {
    Work {
        module: Digest::of(module.as_bytes()),
        name: "work".into(),
        args: Vec::new(),
        env: BTreeMap::new(),
        resources: "cpus:1;mem:64".parse().expect("resources"),
        deadline: None,
        kill_grace: None,
        heartbeat: None,
        lost_after: None,
    }
}
