//! The slots of a schedule, in a time zone.
//!
//! croner reads a schedule and finds the next time of day that it names, on a calendar without
//! zones; what that is in a zone is decided here. Between two changes of its clock a zone has one
//! offset: such a *stretch* is searched as a whole, one after the other.
//!
//! A schedule of particular hours has each of its times of day once: where the clock jumps over
//! some, they come together as soon as there is a time again, and where it repeats some, the first
//! counts. A schedule of every hour goes by elapsed time, as cron does: nothing is made up for, and
//! what is repeated comes again.

use croner::{
    Cron,
    errors::CronError,
    parser::{CronParser, Seconds},
};
use jiff::{
    Timestamp,
    civil::DateTime,
    tz::{Offset, TimeZone, TimeZoneTransition},
};
use skep_protocol::Time;
use std::ops::Bound;

/// Times of day that come again.
#[derive(Clone, Debug)]
pub struct Times {
    cron: Cron,
    zone: TimeZone,
    of_hours: OfHours,
}

/// Which hours a schedule names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OfHours {
    Every,
    Particular,
}

/// A search that failed, where a slot may well be.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("its next slot cannot be found: {why}; apply another schedule")]
pub struct SearchError {
    why: String,
}

/// A time between two changes of a zone's clock.
struct Stretch {
    offset: Offset,
    /// The first moment after it; none if it does not end.
    end: Option<Timestamp>,
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
        let every = cron.pattern.hours.values().len() == 24;
        let of_hours = if every { OfHours::Every } else { OfHours::Particular };
        Ok(Self { cron, zone, of_hours })
    }

    /// Checks that there is a slot after a time.
    ///
    /// # Errors
    /// A sentence that names the field.
    pub fn check(&self, time: Time) -> Result<(), String> {
        let schedule = self.cron.as_str();
        match self.after(time) {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err(format!(
                "schedule: {schedule:?} never comes: no day of the calendar from now on fits it"
            )),
            Err(error) => Err(format!("schedule: {schedule:?}: {error}")),
        }
    }

    /// The first slot after a time; none if the calendar holds none any more.
    ///
    /// # Errors
    /// What the search met.
    pub fn after(&self, time: Time) -> Result<Option<Time>, SearchError> {
        let Some(slot) = self.search(timestamp(time)?)? else { return Ok(None) };
        let micros = u64::try_from(slot.as_microsecond()).map_err(failed)?;
        Ok(Some(Time::from_micros(micros)))
    }

    fn search(&self, time: Timestamp) -> Result<Option<Timestamp>, SearchError> {
        let (before, mut stretch) = self.stretch_of(time);
        let local = stretch.offset.to_datetime(time);
        // Times of day that were served before the clock was put back.
        let served =
            before.filter(|served| self.of_hours == OfHours::Particular && local < *served);
        let mut from = served.map_or(Bound::Excluded(local), Bound::Included);
        loop {
            let Some(next) = self.next(from)? else { return Ok(None) };
            let slot = stretch.offset.to_timestamp(next).map_err(failed)?;
            let Some(end) = stretch.end.filter(|end| slot >= *end) else { return Ok(Some(slot)) };
            let ended = stretch.offset.to_datetime(end);
            stretch = self.stretch_from(end);
            let begins = stretch.offset.to_datetime(end);
            from = Bound::Included(match self.of_hours {
                OfHours::Every => begins,
                // `next` is the first from `ended` on, so it tells whether one was jumped over.
                OfHours::Particular if next < begins => return Ok(Some(end)),
                OfHours::Particular => begins.max(ended),
            });
        }
    }

    /// The stretch around a time, and what the clock showed when the one before it ended.
    fn stretch_of(&self, time: Timestamp) -> (Option<DateTime>, Stretch) {
        let offset = self.zone.to_offset(time);
        // A change at this very moment has taken place.
        let soon = time.checked_add(jiff::SignedDuration::from_nanos(1)).unwrap_or(time);
        let change = self.zone.preceding(soon).next();
        let before = change.map(|change| {
            let at = change.timestamp();
            let earlier = at.checked_sub(jiff::SignedDuration::from_nanos(1)).unwrap_or(at);
            self.zone.to_offset(earlier).to_datetime(at)
        });
        (before, Stretch { offset, end: self.change_after(time) })
    }

    /// The stretch that begins with a change.
    fn stretch_from(&self, change: Timestamp) -> Stretch {
        Stretch { offset: self.zone.to_offset(change), end: self.change_after(change) }
    }

    fn change_after(&self, time: Timestamp) -> Option<Timestamp> {
        self.zone.following(time).next().map(|change: TimeZoneTransition<'_>| change.timestamp())
    }

    /// The first time of day that the schedule names, on a calendar without zones.
    fn next(&self, from: Bound<DateTime>) -> Result<Option<DateTime>, SearchError> {
        let (start, inclusive) = match from {
            Bound::Included(start) => (start, true),
            Bound::Excluded(start) => (start, false),
            Bound::Unbounded => (DateTime::MIN, true),
        };
        match self.cron.find_next_occurrence(&start, inclusive) {
            Ok(next) => Ok(Some(next)),
            // Its calendar has come to its end.
            Err(CronError::TimeSearchLimitExceeded) => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    /// A time for people.
    pub fn text(&self, time: Time) -> String {
        timestamp(time).map_or_else(
            |error| error.to_string(),
            |time| time.to_zoned(self.zone.clone()).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
        )
    }
}

fn timestamp(time: Time) -> Result<Timestamp, SearchError> {
    let micros = i64::try_from(time.as_micros()).map_err(failed)?;
    Timestamp::from_microsecond(micros).map_err(failed)
}

fn failed(error: impl std::fmt::Display) -> SearchError {
    SearchError { why: error.to_string() }
}

#[cfg(test)]
mod tests;
