//! The queue on a machine made up of numbers: threads that poll guests, in virtual time.

use super::*;

const MILLI: Duration = Duration::from_millis(1);
const SLICE: Duration = Duration::from_micros(400);

/// A machine with some processors, whose bursting threads only get what the others leave.
struct Machine {
    queue: Queue,
    now: Duration,
    processors: Vec<Option<Turn>>,
    used: HashMap<Id, Duration>,
    sleepers: HashMap<Id, Sleeper>,
    /// How many times as long everything takes, because others use the machine as well.
    slowness: u32,
    lateness: Vec<Duration>,
}

#[derive(Clone, Copy)]
struct Turn {
    id: Id,
    began: Duration,
}

/// A guest that wakes every so often and computes a little.
struct Sleeper {
    every: Duration,
    works: Duration,
    due: Duration,
    woken: bool,
}

impl Machine {
    fn new(processors: usize) -> Self {
        Self {
            queue: Queue::new(processors),
            now: Duration::ZERO,
            processors: vec![None; processors],
            used: HashMap::new(),
            sleepers: HashMap::new(),
            slowness: 1,
            lateness: Vec::new(),
        }
    }

    fn with_spinners(processors: usize, shares: &[u64]) -> Self {
        let mut machine = Self::new(processors);
        for (number, share) in (1..).zip(shares) {
            machine.queue.add(Duration::ZERO, Id(number), *share);
        }
        machine
    }

    fn add_sleeper(&mut self, id: Id, share: u64, every: Duration, works: Duration) {
        self.queue.add(self.now, id, share);
        self.sleepers.insert(id, Sleeper { every, works, due: self.now, woken: true });
    }

    fn run(&mut self, until: Duration) {
        let step = SLICE / 4;
        while self.now < until {
            for (id, sleeper) in &mut self.sleepers {
                if sleeper.due <= self.now && !sleeper.woken {
                    sleeper.woken = true;
                    self.queue.wake(self.now, *id);
                }
            }
            for place in 0..self.processors.len() {
                self.serve(place);
            }
            self.now += step;
        }
    }

    fn serve(&mut self, place: usize) {
        if let Some(Turn { id, began }) = self.processors[place] {
            let slice = self.sleepers.get(&id).map_or(SLICE, |sleeper| sleeper.works);
            if self.now - began < slice * self.slowness {
                return;
            }
            *self.used.entry(id).or_default() += slice;
            match self.sleepers.get_mut(&id) {
                None => self.queue.wake(self.now, id),
                Some(sleeper) => {
                    self.lateness.push(began - sleeper.due);
                    sleeper.due = self.now + sleeper.every;
                    sleeper.woken = false;
                }
            }
            let _ = self.queue.ran(self.now, id, slice, Ran::Goes);
        }
        let (now, queue) = (self.now, &mut self.queue);
        let next = queue.next(now, Band::InShare).or_else(|| queue.next(now, Band::Bursting));
        self.processors[place] = next.map(|id| Turn { id, began: now });
    }

    /// What a guest got, in thousandths of all that was computed.
    fn part(&self, id: u64) -> u64 {
        let all: Duration = self.used.values().sum();
        let part = self.used.get(&Id(id)).copied().unwrap_or_default() * 1_000;
        u64::try_from(part.as_nanos() / all.as_nanos().max(1)).expect("a thousand at most")
    }

    fn parts(&self, count: u64) -> Vec<u64> {
        (1..=count).map(|id| self.part(id)).collect()
    }
}

fn assert_close(actual: &[u64], expected: &[u64], tolerance: u64) {
    let close = |(a, b): (&u64, &u64)| a.abs_diff(*b) <= tolerance;
    assert!(actual.iter().zip(expected).all(close), "{actual:?} is not {expected:?}");
}

#[test]
fn shares_that_fill_one_processor_are_kept_exactly() {
    let mut machine = Machine::with_spinners(1, &[100, 200, 300, 400]);
    machine.run(Duration::from_secs(10));
    assert_close(&machine.parts(4), &[100, 200, 300, 400], 1);
}

#[test]
fn what_is_left_over_is_shared_in_proportion() {
    for processors in [1, 2] {
        let mut machine = Machine::with_spinners(processors, &[50, 100, 150, 200]);
        machine.run(Duration::from_secs(10));
        assert_close(&machine.parts(4), &[100, 200, 300, 400], 2);
    }
}

#[test]
fn promises_beyond_the_machine_are_kept_in_proportion() {
    let mut machine = Machine::with_spinners(1, &[400, 800, 1_000, 1_000]);
    machine.run(Duration::from_secs(10));
    assert_close(&machine.parts(4), &[125, 250, 312, 312], 2);
}

#[test]
fn shares_are_kept_in_proportion_while_others_use_most_of_the_machine() {
    for shares in [[100, 400, 250, 250], [50, 200, 125, 125], [10, 40, 25, 25]] {
        let mut machine = Machine::with_spinners(1, &shares);
        machine.slowness = 5;
        machine.run(Duration::from_secs(40));
        assert_close(&machine.parts(4), &[100, 400, 250, 250], 3);
    }
}

#[test]
fn a_hundred_small_shares_are_kept() {
    let mut machine = Machine::with_spinners(1, &[10; 100]);
    machine.run(Duration::from_secs(10));
    let least = machine.used.values().min().expect("some").as_micros();
    let most = machine.used.values().max().expect("some").as_micros();
    assert_eq!(machine.used.len(), 100);
    assert!(most - least <= 2 * SLICE.as_micros(), "{least} to {most} us");
}

#[test]
fn a_guest_alone_gets_all_and_owes_nothing_for_it() {
    let mut machine = Machine::with_spinners(1, &[10]);
    machine.run(Duration::from_secs(10));
    assert!(machine.used[&Id(1)] > Duration::from_millis(9_990));
    // Now there is a second one, and both have what is promised to them.
    machine.queue.add(machine.now, Id(2), 990);
    machine.used.clear();
    machine.run(Duration::from_secs(20));
    assert_close(&machine.parts(2), &[10, 990], 1);
}

#[test]
fn a_guest_that_waited_is_owed_a_period_of_its_share_and_no_more() {
    let mut machine = Machine::with_spinners(1, &[500, 500]);
    machine.add_sleeper(Id(3), 100, Duration::from_secs(9), MILLI);
    machine.run(Duration::from_secs(1));
    assert_eq!(machine.queue.guests[&Id(3)].state, State::Waiting);
    machine.queue.wake(machine.now, Id(3));
    assert_eq!(machine.queue.guests[&Id(3)].due, machine.queue.clock - PERIOD);
}

#[test]
fn a_waker_among_fifty_spinners_waits_for_one_slice() {
    for shares in [[20; 50], [39; 50]] {
        let mut machine = Machine::with_spinners(2, &shares);
        machine.add_sleeper(Id(99), 50, 10 * MILLI, MILLI / 10);
        machine.run(Duration::from_secs(5));
        assert!(machine.lateness.len() >= 400, "{} turns", machine.lateness.len());
        let mut lateness = machine.lateness.clone();
        lateness.sort_unstable();
        let worst = lateness[lateness.len() * 99 / 100];
        assert!(worst <= SLICE, "{worst:?} with shares of {}", shares[0]);
    }
}

#[test]
fn a_guest_that_wakes_all_the_time_gets_no_more_than_its_share() {
    let mut machine = Machine::with_spinners(1, &[900]);
    machine.add_sleeper(Id(2), 100, MILLI / 2, MILLI / 5);
    machine.run(Duration::from_secs(10));
    assert_close(&machine.parts(2), &[900, 100], 3);
}

/// Guests of one turn each, each begun as soon as the one before it has ended, beside a spinner.
/// Gives what they got, in thousandths.
fn part_of_a_stream(share: u64, turn: Duration) -> u64 {
    let mut queue = Queue::new(1);
    let mut used = [Duration::ZERO; 2];
    let mut now = Duration::ZERO;
    queue.add(now, Id(1), 1_000 - share);
    queue.add(now, Id(2), share);
    let mut next = 3;
    while now < Duration::from_secs(5) {
        let id = queue.next(now, Band::InShare).or_else(|| queue.next(now, Band::Bursting));
        let id = id.expect("somebody always has work");
        let (of, took, ran) =
            if id == Id(1) { (0, SLICE, Ran::Goes) } else { (1, turn, Ran::Ended) };
        now += took;
        used[of] += took;
        queue.wake(now, id);
        let _ = queue.ran(now, id, took, ran);
        if ran == Ran::Ended {
            queue.add(now, Id(next), share);
            next += 1;
        }
    }
    let part = used[1].as_nanos() * 1_000 / (used[0] + used[1]).as_nanos();
    u64::try_from(part).expect("a thousand at most")
}

#[test]
fn a_stream_of_short_guests_gets_no_more_than_the_share_of_one() {
    for (share, turn) in [(500, 3 * MILLI), (500, MILLI / 20), (100, MILLI), (10, MILLI / 2)] {
        let part = part_of_a_stream(share, turn);
        assert!(part <= share + 5, "{part} thousandths with a share of {share}, in {turn:?}");
        assert!(part + 20 >= share, "{part} thousandths with a share of {share}, in {turn:?}");
    }
}

#[test]
fn what_a_guest_left_unpaid_is_taken_over_once_and_by_its_like() {
    let mut queue = Queue::new(1);
    queue.add(Duration::ZERO, Id(1), 100);
    assert_eq!(queue.next(Duration::ZERO, Band::InShare), Some(Id(1)));
    let _ = queue.ran(MILLI, Id(1), MILLI, Ran::Ended);
    for (id, share) in [(2, 200), (3, 100), (4, 100)] {
        queue.add(MILLI, Id(id), share);
    }
    let due = |id| queue.guests[&Id(id)].due;
    assert_eq!([due(2), due(3), due(4)], [MILLI, 10 * MILLI, MILLI]);
    assert_eq!(queue.debts.len(), 0);
}

#[test]
fn a_guest_to_be_ended_goes_first_wherever_it_is() {
    let mut machine = Machine::with_spinners(1, &[100, 100, 100]);
    machine.run(Duration::from_secs(1));
    let (queue, now) = (&mut machine.queue, machine.now);
    // Its bucket is empty, or it waits, or others are ahead: it makes no difference.
    queue.add(now, Id(7), 1);
    let _ = queue.hasten(now, Id(3));
    if let Some(Turn { id, .. }) = machine.processors[0] {
        let _ = queue.ran(now, id, SLICE, Ran::Goes);
    }
    assert_eq!(queue.next(now, Band::InShare), Some(Id(3)));
    let _ = queue.ran(now, Id(3), SLICE, Ran::Ended);
    queue.wake(now, Id(3));
    assert!(!queue.guests.contains_key(&Id(3)));
}

#[test]
fn a_thread_of_the_lowest_rank_is_raised_once_for_a_guest_to_be_ended() {
    let mut queue = Queue::new(1);
    queue.add(Duration::ZERO, Id(1), 10);
    assert_eq!(queue.next(Duration::ZERO, Band::InShare), Some(Id(1)));
    queue.wake(MILLI, Id(1));
    assert!(!queue.ran(MILLI, Id(1), MILLI, Ran::Goes));
    assert_eq!(queue.next(MILLI, Band::InShare), None);
    assert_eq!(queue.next(MILLI, Band::Bursting), Some(Id(1)));
    assert!(queue.hasten(MILLI, Id(1)));
    assert!(!queue.hasten(MILLI, Id(1)));
    assert!(queue.ran(2 * MILLI, Id(1), MILLI, Ran::Goes), "the thread is to be lowered again");
    assert_eq!(queue.next(2 * MILLI, Band::InShare), Some(Id(1)));
}

#[test]
fn a_turn_that_is_held_up_beyond_its_refill_raises_its_thread() {
    let mut queue = Queue::new(1);
    queue.add(Duration::ZERO, Id(1), 100);
    assert_eq!(queue.next(Duration::ZERO, Band::InShare), Some(Id(1)));
    queue.wake(MILLI, Id(1));
    let _ = queue.ran(MILLI, Id(1), MILLI, Ran::Goes);
    let back = 10 * MILLI;
    assert_eq!(queue.refill_at(), Some(back + REFILL));
    assert_eq!(queue.next(MILLI, Band::Bursting), Some(Id(1)));
    assert_eq!(queue.refill_at(), Some(back + 2 * REFILL));
    assert_eq!(queue.held_up(back + REFILL), []);
    assert_eq!(queue.held_up(back + 2 * REFILL), [Id(1)]);
    assert_eq!(queue.held_up(back + 2 * REFILL), []);
    assert_eq!(queue.refill_at(), None);
}

#[test]
fn a_guest_without_a_share_runs_when_nobody_else_does() {
    let mut machine = Machine::with_spinners(1, &[0, 1_000]);
    machine.run(Duration::from_secs(10));
    assert_close(&machine.parts(2), &[1, 999], 1);
    let mut machine = Machine::with_spinners(1, &[0]);
    machine.run(Duration::from_secs(1));
    assert_eq!(machine.part(1), 1_000);
}

#[test]
fn a_wake_up_is_remembered_during_a_turn_and_needs_no_second_one() {
    let mut queue = Queue::new(2);
    let now = Duration::ZERO;
    queue.add(now, Id(1), 1_000);
    queue.wake(now, Id(1));
    assert_eq!(queue.next(now, Band::InShare), Some(Id(1)));
    assert_eq!(queue.next(now, Band::InShare), None, "it is handed out once");
    queue.wake(now, Id(1));
    queue.wake(now, Id(1));
    let _ = queue.ran(now, Id(1), Duration::ZERO, Ran::Goes);
    assert_eq!(queue.next(now, Band::InShare), Some(Id(1)));
    let _ = queue.ran(now, Id(1), Duration::ZERO, Ran::Goes);
    assert_eq!(queue.next(now, Band::InShare), None);
}
