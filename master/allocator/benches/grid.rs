//! Mesos's own grid: so many agents, so many frameworks; how long a first full pass takes, a pass
//! after every offer was declined with a filter, and single events; and how much memory it is.
//!
//! `cargo bench -p skep-allocator -- [AGENTS FRAMEWORKS ROLES]`; without numbers, the grid.
//! Each agent has 24 cpus and 4 GiB of memory and of disk, of which a part is in use, as in Mesos's
//! `HierarchicalAllocator_BENCHMARK_Test`. One row is one cluster; no statistics are made of it.

use std::time::Instant;

#[expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
fn main() {
    let begin = Instant::now();
    let measure = |agents, frameworks, roles| {
        println!(
            "{}",
            skep_allocator::bench::measure(agents, frameworks, roles, || begin.elapsed())
        );
    };
    let numbers: Vec<usize> = std::env::args().filter_map(|word| word.parse().ok()).collect();
    println!("{}", skep_allocator::bench::HEADER);
    if let [agents, frameworks, roles] = numbers[..] {
        return measure(agents, frameworks, roles);
    }
    for agents in [1_000, 5_000, 10_000, 20_000, 30_000, 50_000] {
        for frameworks in [1, 50, 100, 200, 500, 1_000, 3_000, 6_000] {
            measure(agents, frameworks, 1);
        }
    }
}
