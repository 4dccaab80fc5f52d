//! Moments as people read them.

use std::fmt;

use chrono::{DateTime, Utc};

use super::texts::{Gap as _, Time};
use crate::domain::Timestamp;

/// A moment for a page: what is shown, and what `<time datetime>` has.
pub struct Moment {
    /// RFC 3339, for programs.
    pub machine: String,
    /// `24 Nov 2026, 12:51 UTC`.
    pub full: String,
    /// The same with its second, for those who look for the cause of something.
    pub exact: String,
    /// The same, or how long ago it was, where that is not long.
    pub short: String,
}

impl Moment {
    /// How `at` looks from `now`.
    pub fn of(at: Timestamp, now: Timestamp, t: &Time) -> Self {
        let time = DateTime::<Utc>::from(at);
        let full = format!("{} {}", time.format("%-d %b %Y, %H:%M"), t.utc);
        let exact = format!("{} {}", time.format("%-d %b %Y, %H:%M:%S"), t.utc);
        let short = ago(now.since(at).num_minutes(), t).unwrap_or_else(|| time.format("%-d %b %Y").to_string());
        Self { machine: at.to_string(), full, exact, short }
    }
}

/// In words what was less than a week ago.
fn ago(minutes: i64, t: &Time) -> Option<String> {
    Some(match minutes {
        0 => t.now.to_owned(),
        1..60 => t.minutes.with(minutes),
        60..1_440 => t.hours.with(minutes / 60),
        1_440..2_880 => t.yesterday.to_owned(),
        2_880..10_080 => t.days.with(minutes / 1_440),
        _ => return None,
    })
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.full)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_recent_is_told_in_words() {
        let now: Timestamp = "2026-11-24T12:00:00Z".parse().unwrap();
        let short = |at: &str| Moment::of(at.parse().unwrap(), now, &Time::EN).short;
        assert_eq!(short("2026-11-24T11:59:30Z"), "Just now");
        assert_eq!(short("2026-11-24T11:01:00Z"), "59 min ago");
        assert_eq!(short("2026-11-23T12:01:00Z"), "23 h ago");
        assert_eq!(short("2026-11-23T11:00:00Z"), "Yesterday");
        assert_eq!(short("2026-11-18T11:00:00Z"), "6 days ago");
        assert_eq!(short("2026-11-01T11:00:00Z"), "1 Nov 2026");
        assert_eq!(short("2026-12-24T11:00:00Z"), "24 Dec 2026");
    }
}
