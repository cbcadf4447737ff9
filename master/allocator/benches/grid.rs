//! Mesos's own grid: so many agents, so many frameworks; how long a first full pass takes, a pass
//! after every offer was declined with a filter, and single events; and how much memory it is.
//!
//! `cargo bench -p skep-allocator -- [AGENTS FRAMEWORKS ROLES]`; without numbers, the grid.
//! Each agent has 24 cpus and 4 GiB of memory and of disk, of which a part is in use, as in Mesos's
//! `HierarchicalAllocator_BENCHMARK_Test`. One row is one cluster; no statistics are made of it.

use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// What this process has computed so far: other work on the machine does not count.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.cast_unsigned(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

#[expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
fn main() {
    let measure = |agents, frameworks, roles| {
        println!("{}", skep_allocator::bench::measure(agents, frameworks, roles, processor_time));
    };
    let numbers: Vec<usize> = std::env::args().filter_map(|word| word.parse().ok()).collect();
    println!("{}", skep_allocator::bench::HEADER);
    if let [agents, frameworks, roles] = numbers[..] {
        measure(agents, frameworks, roles);
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        println!("{}", status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default());
        return;
    }
    for agents in [1_000, 5_000, 10_000, 20_000, 30_000, 50_000] {
        for frameworks in [1, 50, 100, 200, 500, 1_000, 3_000, 6_000] {
            measure(agents, frameworks, 1);
        }
    }
}
