//! How every property test runs: how many cases, and from which seed.
//!
//! Each run draws the same cases, so that no test fails by chance. Fresh cases are asked for by
//! `PROPTEST_RNG_SEED` and `PROPTEST_CASES`; `cargo xtask fuzz` does so again and again. What a
//! test draws depends on its seed alone, so the seed that is printed repeats a failure.

use proptest::test_runner::{Config, RngSeed};
use std::env;

/// The seed of a run that asks for no other.
pub const SEED: u64 = 15;

/// The environment variable that names another seed.
pub const SEED_VARIABLE: &str = "PROPTEST_RNG_SEED";

/// Runs `count` cases from [`SEED`]; the environment may say another number and another seed.
///
/// A failure is kept beside the tests' source. A test that makes its `TestRunner` itself names its
/// file for that: `Config { source_file: Some(file!()), ..skep_properties::cases(64) }`.
#[expect(clippy::print_stdout, reason = "cargo shows it where the test fails")]
pub fn cases(count: u32) -> Config {
    let config = with(count, env::var_os("PROPTEST_CASES").is_some(), Config::default());
    println!("{} cases from {SEED_VARIABLE}={}", config.cases, config.rng_seed);
    config
}

/// What `environment` leaves open is filled in.
fn with(count: u32, cases_are_said: bool, environment: Config) -> Config {
    let cases = if cases_are_said { environment.cases } else { count };
    let rng_seed = match environment.rng_seed {
        RngSeed::Random => RngSeed::Fixed(SEED),
        said => said,
    };
    Config { cases, rng_seed, ..environment }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{prelude::any, strategy::ValueTree as _, test_runner::TestRunner};

    fn drawn(config: Config) -> Vec<u64> {
        let mut runner = TestRunner::new(config);
        let strategy = proptest::collection::vec(any::<u64>(), 8);
        let tree = proptest::strategy::Strategy::new_tree(&strategy, &mut runner);
        tree.expect("numbers").current()
    }

    fn environment(rng_seed: RngSeed) -> Config {
        Config { cases: 7, rng_seed, ..Config::default() }
    }

    #[test]
    fn without_a_word_of_the_environment_the_same_cases_are_drawn_each_time() {
        let config = || with(48, false, environment(RngSeed::Random));
        assert_eq!((config().cases, config().rng_seed), (48, RngSeed::Fixed(SEED)));
        assert_eq!(drawn(config()), drawn(config()));
    }

    #[test]
    fn the_environment_says_how_many_cases_and_from_which_seed() {
        let config = |seed| with(48, true, environment(RngSeed::Fixed(seed)));
        assert_eq!((config(3).cases, config(3).rng_seed), (7, RngSeed::Fixed(3)));
        assert_eq!(drawn(config(3)), drawn(config(3)));
        assert_ne!(drawn(config(3)), drawn(config(SEED)));
    }
}
