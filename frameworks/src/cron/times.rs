//! The slots of a schedule, in a time zone.

use croner::{
    Cron,
    parser::{CronParser, Seconds},
};
use jiff::{Timestamp, Zoned, tz::TimeZone};
use skep_protocol::Time;

/// Times of day that come again.
#[derive(Clone, Debug)]
pub struct Times {
    cron: Cron,
    zone: TimeZone,
}

impl Times {
    /// Reads a schedule.
    ///
    /// # Errors
    /// A sentence that names the field.
    pub fn new(schedule: &str, zone: &str) -> Result<Self, String> {
        let parser = CronParser::builder().seconds(Seconds::Optional).build();
        let cron = parser.parse(schedule).map_err(|error| {
            format!(
                "schedule: {schedule:?}: {error}; write minute, hour, day of month, month and day \
                 of week, such as 0 3 * * *"
            )
        })?;
        let zone = TimeZone::get(zone).map_err(|_| {
            format!("zone: {zone:?} is no time zone: write one as Europe/Vienna or UTC")
        })?;
        Ok(Self { cron, zone })
    }

    /// The first slot after a time; none if there is none any more.
    pub fn after(&self, time: Time) -> Option<Time> {
        let from = self.zoned(time)?;
        let next = self.cron.find_next_occurrence(&from, false).ok()?;
        let micros = u64::try_from(next.timestamp().as_microsecond()).ok()?;
        Some(Time::from_micros(micros))
    }

    /// A time for people.
    pub fn text(&self, time: Time) -> String {
        self.zoned(time).map_or_else(
            || "never".into(),
            |zoned| zoned.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
        )
    }

    fn zoned(&self, time: Time) -> Option<Zoned> {
        let micros = i64::try_from(time.as_micros()).ok()?;
        Some(Timestamp::from_microsecond(micros).ok()?.to_zoned(self.zone.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The slots after a time, as people write them.
    fn slots(schedule: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
        let times = Times::new(schedule, zone).expect("a schedule");
        let after: Timestamp = after.parse().expect("a time");
        let micros = u64::try_from(after.as_microsecond()).expect("after 1970");
        let mut at = Time::from_micros(micros);
        let mut slots = Vec::new();
        while slots.len() < count {
            at = times.after(at).expect("another");
            slots.push(times.text(at));
        }
        slots
    }

    #[test]
    fn times_are_those_of_the_zone_over_its_changes() {
        assert_eq!(
            slots("30 2 * * *", "Europe/Vienna", "2026-03-28T12:00:00Z", 2),
            ["2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"],
            "there is no 2:30 when summer time begins: as soon as there is a time again"
        );
        assert_eq!(
            slots("0 3 * * *", "UTC", "2026-03-28T03:00:00Z", 2),
            ["2026-03-29T03:00:00+00:00", "2026-03-30T03:00:00+00:00"],
            "a slot is not after itself"
        );
        assert_eq!(
            slots("*/20 * * * * *", "UTC", "2026-01-01T00:00:01Z", 2),
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
}
