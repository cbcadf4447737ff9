//! Slots over changes of the clock: exact examples, and every zone of the database against a clock
//! on the wall.

use super::*;
use jiff::{SignedDuration, civil::Weekday};

const MINUTE: SignedDuration = SignedDuration::from_mins(1);
const DAY: SignedDuration = SignedDuration::from_hours(24);

fn time_of(timestamp: Timestamp) -> Time {
    Time::from_micros(u64::try_from(timestamp.as_microsecond()).expect("after 1970"))
}

fn parsed(time: &str) -> Timestamp {
    time.parse().expect("a time")
}

/// The slots after a time, as people write them.
fn slots(schedule: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
    let times = Times::new(schedule, zone).expect("a schedule");
    let mut at = time_of(parsed(after));
    let mut slots = Vec::new();
    while slots.len() < count {
        at = times.after(at).expect("a search").expect("another");
        slots.push(times.text(at));
    }
    slots
}

#[test]
fn what_falls_into_the_hour_that_is_left_out_comes_once_as_soon_as_there_is_a_time_again() {
    let berlin = |schedule| slots(schedule, "Europe/Berlin", "2027-03-27T12:00:00Z", 3);
    for schedule in ["0,30 2 * * *", "10-50 2 * * *", "*/20 2 * * *", "7-59/13 2 * * *"] {
        assert_eq!(berlin(schedule)[0], "2027-03-28T03:00:00+02:00", "{schedule}");
    }
    assert_eq!(
        berlin("0,30 2 * * *")[1..],
        ["2027-03-29T02:00:00+02:00", "2027-03-29T02:30:00+02:00"]
    );
    let ranged = ["2027-03-28T01:00:00+01:00", "2027-03-28T03:00:00+02:00"];
    assert_eq!(berlin("0 1-3 * * *")[..2], ranged, "two o'clock and three are one moment");
    assert_eq!(
        berlin("30 1-3 * * *"),
        ["2027-03-28T01:30:00+01:00", "2027-03-28T03:00:00+02:00", "2027-03-28T03:30:00+02:00"]
    );
    let from_midnight = slots("15 */2 * * *", "Europe/Berlin", "2027-03-27T23:00:00Z", 3);
    assert_eq!(
        from_midnight,
        ["2027-03-28T00:15:00+01:00", "2027-03-28T03:00:00+02:00", "2027-03-28T04:15:00+02:00"]
    );
    assert_eq!(
        slots("15,45 30 2 * * *", "Europe/Berlin", "2027-03-28T00:59:59Z", 2),
        ["2027-03-28T03:00:00+02:00", "2027-03-29T02:30:15+02:00"],
        "seconds, too"
    );
}

#[test]
fn days_are_those_of_the_time_that_is_left_out() {
    let sundays = slots("30 2 * * 7", "Europe/Berlin", "2027-03-27T12:00:00Z", 2);
    assert_eq!(sundays, ["2027-03-28T03:00:00+02:00", "2027-04-04T02:30:00+02:00"]);
    let monday = slots("30 2 * * 1", "Europe/Berlin", "2027-03-27T12:00:00Z", 1);
    assert_eq!(monday, ["2027-03-29T02:30:00+02:00"]);
    // Midnight is left out.
    let santiago = slots("0,30 0 * * *", "America/Santiago", "2026-09-05T12:00:00Z", 2);
    assert_eq!(santiago, ["2026-09-06T01:00:00-03:00", "2026-09-07T00:00:00-03:00"]);
    // A whole day is left out, and the next one does not match the schedule.
    let apia = slots("0 12 30 12 *", "Pacific/Apia", "2011-12-01T00:00:00Z", 2);
    assert_eq!(apia, ["2011-12-31T00:00:00+14:00", "2012-12-30T12:00:00+14:00"]);
}

#[test]
fn half_an_hour_may_be_left_out_or_repeated() {
    let island = |schedule, after, count| slots(schedule, "Australia/Lord_Howe", after, count);
    assert_eq!(
        island("0,10,20,40 2 * * *", "2026-10-03T12:00:00Z", 3),
        ["2026-10-04T02:30:00+11:00", "2026-10-04T02:40:00+11:00", "2026-10-05T02:00:00+11:00"]
    );
    assert_eq!(
        island("15,45 1 * * *", "2027-04-03T12:00:00Z", 3),
        ["2027-04-04T01:15:00+11:00", "2027-04-04T01:45:00+11:00", "2027-04-05T01:15:00+10:30"]
    );
}

#[test]
fn in_the_hour_that_comes_twice_a_slot_is_served_once() {
    let berlin = |schedule, count| slots(schedule, "Europe/Berlin", "2026-10-24T12:00:00Z", count);
    assert_eq!(
        berlin("0,30 2 * * *", 3),
        ["2026-10-25T02:00:00+02:00", "2026-10-25T02:30:00+02:00", "2026-10-26T02:00:00+01:00"]
    );
    assert_eq!(
        berlin("0 1-3 * * *", 3),
        ["2026-10-25T01:00:00+02:00", "2026-10-25T02:00:00+02:00", "2026-10-25T03:00:00+01:00"]
    );
    assert_eq!(
        berlin("*/20 2 * * *", 4)[2..],
        ["2026-10-25T02:40:00+02:00", "2026-10-26T02:00:00+01:00"]
    );
    for minute in ["05", "30", "59"] {
        let second_pass = format!("2026-10-25T01:{minute}:00Z");
        let next = slots("30 2 * * *", "Europe/Berlin", &second_pass, 1);
        assert_eq!(next, ["2026-10-26T02:30:00+01:00"], "after {second_pass}");
    }
}

#[test]
fn a_schedule_of_every_hour_goes_by_elapsed_time() {
    let berlin = |after, count| slots("*/20 * * * *", "Europe/Berlin", after, count);
    assert_eq!(
        berlin("2026-10-25T00:30:00Z", 5),
        [
            "2026-10-25T02:40:00+02:00",
            "2026-10-25T02:00:00+01:00",
            "2026-10-25T02:20:00+01:00",
            "2026-10-25T02:40:00+01:00",
            "2026-10-25T03:00:00+01:00"
        ]
    );
    assert_eq!(
        berlin("2027-03-28T00:30:00Z", 3),
        ["2027-03-28T01:40:00+01:00", "2027-03-28T03:00:00+02:00", "2027-03-28T03:20:00+02:00"]
    );
    for every in ["15,45 * * * *", "15,45 0-23 * * *", "15,45 */1 * * *"] {
        let next = slots(every, "Europe/Berlin", "2027-03-28T00:30:00Z", 2);
        let expected = ["2027-03-28T01:45:00+01:00", "2027-03-28T03:15:00+02:00"];
        assert_eq!(next, expected, "{every}: half an hour lies between them");
    }
}

#[test]
fn a_slot_is_not_after_itself() {
    assert_eq!(
        slots("0 3 * * *", "UTC", "2026-03-28T03:00:00Z", 2),
        ["2026-03-29T03:00:00+00:00", "2026-03-30T03:00:00+00:00"]
    );
    assert_eq!(
        slots("30 2 * * *", "Europe/Vienna", "2026-03-29T01:00:00Z", 1),
        ["2026-03-30T02:30:00+02:00"],
        "nor is one that was made up for"
    );
    assert_eq!(
        slots("*/20 * * * * *", "UTC", "2026-01-01T00:00:00.5Z", 2),
        ["2026-01-01T00:00:20+00:00", "2026-01-01T00:00:40+00:00"]
    );
}

#[test]
fn what_is_no_schedule_is_refused_with_an_example() {
    let no = Times::new("every day", "UTC").expect_err("no schedule");
    assert!(no.starts_with("schedule: \"every day\"") && no.contains("0 3 * * *"), "{no}");
    let no = Times::new("0 3 * * *", "Mars/Base").expect_err("no zone");
    assert!(no.starts_with("zone: \"Mars/Base\""), "{no}");
}

#[test]
fn no_slot_any_more_is_told_apart_from_a_search_that_failed() {
    let now = time_of(parsed("2027-01-01T00:00:00Z"));
    let no_such_day = Times::new("0 0 30 2 *", "Europe/Berlin").expect("a schedule");
    assert_eq!(no_such_day.after(now), Ok(None));
    assert_eq!(
        no_such_day.check(now).expect_err("no day"),
        "schedule: \"0 0 30 2 *\" never comes: no day of the calendar from now on fits it"
    );
    let leap_day = Times::new("0 0 29 2 *", "Europe/Berlin").expect("a schedule");
    assert_eq!(leap_day.check(now), Ok(()));
    let error = leap_day.after(Time::from_micros(u64::MAX)).expect_err("no time of the calendar");
    assert!(error.to_string().starts_with("its next slot cannot be found: "), "{error}");
}

/// Whether a schedule names a time of day, written down without its text.
type Matches = fn(DateTime) -> bool;

/// Schedules that are searched around each change of each zone.
const SPARSE: [(&str, Matches); 12] = [
    ("0,30 2 * * *", |at| at.hour() == 2 && at.minute() % 30 == 0),
    ("30 1 * * *", |at| at.hour() == 1 && at.minute() == 30),
    ("0 1-3 * * *", |at| (1..=3).contains(&at.hour()) && at.minute() == 0),
    ("*/20 2 * * *", |at| at.hour() == 2 && at.minute() % 20 == 0),
    ("5-55/25 0,23 * * *", |at| [0, 23].contains(&at.hour()) && at.minute() % 25 == 5),
    ("15 */2 * * *", |at| at.hour() % 2 == 0 && at.minute() == 15),
    ("45 1-23/2 * * *", |at| at.hour() % 2 == 1 && at.minute() == 45),
    ("0 0 * * *", |at| at.hour() == 0 && at.minute() == 0),
    ("10 0-4 1-15 * *", |at| at.hour() <= 4 && at.minute() == 10 && at.day() <= 15),
    ("30 0-3 * * 0", |at| at.hour() <= 3 && at.minute() == 30 && at.weekday() == Weekday::Sunday),
    ("20 0-3 * 3,4,9,10 *", |at| {
        at.hour() <= 3 && at.minute() == 20 && [3, 4, 9, 10].contains(&at.month())
    }),
    ("50 * * * *", |at| at.minute() == 50),
];

/// Schedules with so many slots that they are searched once for all zones of the same changes.
const DENSE: [(&str, Matches); 3] = [
    ("* * * * *", |_| true),
    ("0-59/7 * * * *", |at| at.minute() % 7 == 0),
    ("* 0-22 * * *", |at| at.hour() <= 22),
];

/// What a person sees who looks at the clock on the wall every minute.
struct Wall {
    zone: TimeZone,
    around: Timestamp,
    from: Time,
    to: Time,
    /// What the clock shows, and when.
    shown: Vec<(Time, DateTime)>,
    /// When the clock shows a time of day, or a later one, for the first time.
    first: Vec<(Time, DateTime)>,
}

impl Wall {
    fn watched(zone: &TimeZone, around: Timestamp, hours: i64) -> Self {
        let (mut shown, mut first) = (Vec::new(), Vec::new());
        let begin = around - SignedDuration::from_hours(hours);
        let mut now = begin;
        let mut latest = zone.to_datetime(now);
        for _ in 0..2 * 60 * hours {
            now += MINUTE;
            let at = zone.to_datetime(now);
            shown.push((time_of(now), at));
            while latest < at {
                latest += MINUTE;
                first.push((time_of(now), latest));
            }
        }
        let (from, to) = (time_of(begin), time_of(now));
        Self { zone: zone.clone(), around, from, to, shown, first }
    }

    /// The slots of a schedule.
    fn slots(&self, of_hours: OfHours, at: Matches) -> Vec<Time> {
        let times = if of_hours == OfHours::Every { &self.shown } else { &self.first };
        let slots = times.iter().filter(|(_, shown)| at(*shown)).map(|(time, _)| *time);
        let mut slots: Vec<Time> = slots.collect();
        slots.dedup();
        slots
    }

    /// Compares them with what is searched.
    fn compare(&self, name: &str, (text, at): (&str, Matches)) {
        let mut times = Times::new(text, "UTC").expect("a schedule");
        times.zone = self.zone.clone();
        let next = |after| times.after(after).expect("a search").filter(|slot| *slot <= self.to);
        let first = next(self.from);
        let searched: Vec<Time> = std::iter::successors(first, |slot| next(*slot)).collect();
        let slots = self.slots(times.of_hours, at);
        let told = |slots: &[Time]| slots.iter().map(|at| times.text(*at)).collect::<Vec<_>>();
        if searched != slots {
            let why = format!("{text} in {name} around {}", self.around);
            assert_eq!(told(&searched), told(&slots), "{why}");
        }
        // From any moment the next slot is the same as on the way from the first.
        for minutes in [-61, -30, -1, 0, 1, 29, 59, 60] {
            let moment = time_of(self.around + MINUTE * minutes);
            let expected = slots.iter().find(|slot| **slot > moment).copied();
            let why = || format!("{text} in {name}, {minutes} min from {}", self.around);
            assert_eq!(next(moment), expected, "{}", why());
        }
    }
}

/// Each moment in which the zone's offset changes, found by looking at every day.
fn changes(zone: &TimeZone, from: Timestamp, to: Timestamp) -> Vec<Timestamp> {
    let mut changes = Vec::new();
    let mut day = from;
    while day < to {
        let (mut before, mut after) = (day, day + DAY);
        day = after;
        if zone.to_offset(before) == zone.to_offset(after) {
            continue;
        }
        let first = zone.to_offset(before);
        while after.as_second() - before.as_second() > 1 {
            let middle = before + (after.duration_since(before) / 2);
            let is_before = zone.to_offset(middle) == first;
            *(if is_before { &mut before } else { &mut after }) = middle;
        }
        changes.push(Timestamp::from_second(after.as_second()).expect("a time"));
    }
    changes
}

#[test]
fn all_zones_until_2040_have_the_slots_of_a_clock_on_the_wall() {
    let (from, to) = (parsed("2026-01-01T00:00:00Z"), parsed("2041-01-01T00:00:00Z"));
    let mut kinds = std::collections::BTreeSet::new();
    let (mut zones, mut all) = (0, 0);
    for name in jiff::tz::db().available() {
        let name = name.as_str();
        let zone = TimeZone::get(name).expect("a zone");
        let changes = changes(&zone, from, to);
        zones += 1;
        all += changes.len();
        for change in &changes {
            let wall = Wall::watched(&zone, *change, 8);
            SPARSE.iter().for_each(|schedule| wall.compare(name, *schedule));
        }
        let offsets = |change: &Timestamp| (zone.to_offset(*change), *change);
        if kinds.insert(changes.iter().map(offsets).collect::<Vec<_>>()) {
            for change in changes.iter().take(6) {
                let wall = Wall::watched(&zone, *change, 3);
                DENSE.iter().for_each(|schedule| wall.compare(name, *schedule));
            }
        }
        Wall::watched(&zone, parsed("2030-01-15T00:00:00Z"), 14).compare(name, SPARSE[0]);
    }
    assert!(zones > 500 && all > 5_000 && kinds.len() > 20, "{zones} {all} {}", kinds.len());
}
