//! The order of roles, case by case; S1 and S2 are worked cases of Mesos's own semantics.

use super::{Allocator, Begun};
use crate::policy::Policy;
use skep_protocol::{AgentId, AllocationId, FrameworkId, Resources, Role, Time, operator::Weight};

/// Roles of one framework each, on one agent that is the whole cluster.
struct Case {
    allocator: Allocator,
    allocations: u64,
}

fn resources(text: &str) -> Resources {
    text.parse().expect("resources")
}

fn framework(name: &str) -> FrameworkId {
    FrameworkId::new(name).expect("an id")
}

fn agent() -> AgentId {
    AgentId::new("cluster").expect("an id")
}

impl Case {
    fn of(total: &str) -> Self {
        let mut case = Self { allocator: Allocator::new(Policy::default()), allocations: 0 };
        case.set_total(total);
        case
    }

    fn set_total(&mut self, total: &str) {
        self.allocator.open(&agent(), resources(total));
    }

    fn weigh(&mut self, name: &str, millis: u64) {
        let role = Role::new(name).expect("a role");
        self.allocator.set_weight(&role, Weight::from_millis(millis).expect("a weight"));
    }

    fn add(&mut self, name: &str) {
        self.allocator.add_framework(&framework(name), &Role::new(name).expect("a role"));
        self.allocator.want(&framework(name));
    }

    /// Allocates, and says as what.
    fn allocate(&mut self, name: &str, held: &str) -> AllocationId {
        self.allocations += 1;
        let (id, held) = (AllocationId(self.allocations), resources(held));
        let task = (&held, Begun::Yes);
        let owner = framework(name);
        self.allocator.adopt(id, &owner, &agent(), held.clone(), task, Time::ZERO);
        id
    }

    fn free(&mut self, id: AllocationId, held: &str) {
        self.allocator.finish(id, &resources(held), Begun::Yes);
    }

    #[track_caller]
    fn expect<const N: usize>(&self, names: [&str; N]) {
        self.allocator.check();
        assert_eq!(self.allocator.roles_in_order(), names);
    }
}

#[test]
fn the_dominant_share_decides_and_follows_the_total() {
    let mut case = Case::of("cpus:200;mem:400");
    case.add("a");
    let of_a = case.allocate("a", "cpus:10;mem:10");
    case.add("b");
    let of_b = case.allocate("b", "cpus:2;mem:30");
    case.allocate("b", "cpus:2;mem:10");
    case.expect(["a", "b"]);
    case.add("c");
    case.allocate("c", "cpus:1;mem:4");
    case.add("d");
    case.allocate("d", "cpus:6;mem:30");
    case.expect(["c", "a", "d", "b"]);
    case.free(of_a, "cpus:10;mem:10");
    case.allocator.remove_framework(&framework("a"));
    case.free(of_b, "cpus:2;mem:30");
    case.expect(["c", "b", "d"]);
    case.set_total("cpus:50;mem:400");
    case.expect(["c", "b", "d"]);
    case.add("e");
    case.allocate("e", "cpus:1;mem:20");
    case.expect(["c", "b", "e", "d"]);
    case.set_total("cpus:50;mem:100");
    case.expect(["c", "b", "e", "d"]);
    case.allocate("c", "mem:31");
    case.expect(["b", "e", "d", "c"]);
    case.allocator.leave(&framework("d"));
    case.expect(["b", "e", "c"]);
    case.allocator.want(&framework("d"));
    case.expect(["b", "e", "d", "c"]);
}

#[test]
fn the_share_is_divided_by_the_weight() {
    let mut case = Case::of("cpus:100;mem:100");
    case.add("a");
    case.allocate("a", "cpus:8;mem:8");
    case.weigh("b", 3_000);
    case.add("b");
    let of_b = case.allocate("b", "cpus:9;mem:9");
    case.expect(["b", "a"]);
    case.add("c");
    case.allocate("c", "cpus:5;mem:5");
    case.expect(["b", "c", "a"]);
    case.weigh("d", 10_000);
    case.add("d");
    case.allocate("d", "cpus:12;mem:24");
    case.expect(["d", "b", "c", "a"]);
    case.free(of_b, "cpus:9;mem:9");
    case.allocator.remove_framework(&framework("b"));
    case.allocate("d", "cpus:8;mem:36");
    case.expect(["c", "d", "a"]);
    case.weigh("e", 100);
    case.add("e");
    case.allocate("e", "cpus:1;mem:1");
    case.expect(["c", "d", "a", "e"]);
}
