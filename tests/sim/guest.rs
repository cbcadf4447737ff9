//! What a simulated guest does, from its arguments.
//!
//! | argument | what it says |
//! |---|---|
//! | first | for how many milliseconds it runs |
//! | second | with which code it exits |
//! | third | how often it says on the way how far it is |
//! | fourth | of how many attempts one fails, 0: none does |
//! | fifth | of how many attempts one takes thirty times as long, 0: none does |
//!
//! Always holds: an attempt does the same wherever and whenever it is started.

use crate::random::Random;
use skep_protocol::TaskKey;
use std::time::Duration;

/// How many times as long a slow attempt takes.
pub(crate) const SLOWNESS: u32 = 30;

/// What one attempt does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) time: Duration,
    pub(crate) code: i32,
    pub(crate) marks: u32,
}

impl Plan {
    pub(crate) fn of(args: &[String], key: &TaskKey) -> Self {
        let number = |place: usize| args.get(place).and_then(|text| text.parse::<u64>().ok());
        let code = args.get(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        let marks = args.get(2).and_then(|marks| marks.parse().ok()).unwrap_or(0);
        let mut chance = Random::new(seed(key));
        let mut is_one_of = |times: u64| times > 0 && chance.once_in(times);
        let fails = is_one_of(number(3).unwrap_or(0));
        let slowness = if is_one_of(number(4).unwrap_or(0)) { SLOWNESS } else { 1 };
        let code = if fails { 1 } else { code };
        Self { time: run_time(args) * slowness, code, marks }
    }
}

/// How long a guest with these arguments runs if nothing else is said.
pub(crate) fn run_time(args: &[String]) -> Duration {
    let millis = args.first().and_then(|millis| millis.parse().ok());
    Duration::from_millis(millis.unwrap_or(0))
}

/// FNV-1a over what an attempt is called.
fn seed(key: &TaskKey) -> u64 {
    let name = format!("{} {}", key.task, key.attempt.0);
    let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    name.bytes().fold(0xcbf2_9ce4_8422_2325, mix)
}
