//! The clock: the only place that reads the system's time.

#[cfg(debug_assertions)]
use std::path::PathBuf;
use std::time::SystemTime;

use chrono::{DateTime, SubsecRound as _, Utc};

/// Tells the time to everything that needs it, so that a test can move it.
#[derive(Debug, Clone)]
pub enum Clock {
    /// The time of the system.
    System,
    /// The time of the system plus the microseconds that the file holds; only in debug builds.
    #[cfg(debug_assertions)]
    Test(PathBuf),
}

impl Clock {
    /// The system's clock or, in a debug build with `JETON_TEST_CLOCK` set, one that a test moves.
    #[must_use]
    pub fn from_env() -> Self {
        #[cfg(debug_assertions)]
        if let Some(file) = std::env::var_os("JETON_TEST_CLOCK").filter(|file| !file.is_empty()) {
            return Self::Test(file.into());
        }
        Self::System
    }

    /// The time now, in whole microseconds: what the database keeps, so that a time read back equals
    /// the one that was written.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        let now = system_time().trunc_subsecs(6);
        match self {
            Self::System => now,
            #[cfg(debug_assertions)]
            Self::Test(file) => now.checked_add_signed(offset(file)).unwrap_or(now),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the system clock")]
fn system_time() -> DateTime<Utc> {
    SystemTime::now().into()
}

/// What the file says, read anew on every call; no offset where there is no file, or nothing in it.
#[cfg(debug_assertions)]
fn offset(file: &std::path::Path) -> chrono::TimeDelta {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    chrono::TimeDelta::microseconds(text.trim().parse().unwrap_or_default())
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn the_file_moves_the_test_clock() {
        let file = std::env::temp_dir().join(format!("jeton-clock-{}", std::process::id()));
        let clock = Clock::Test(file.clone());
        let hour = TimeDelta::hours(1);
        for (text, offset) in [
            (None, TimeDelta::zero()),
            (Some(""), TimeDelta::zero()),
            (Some("3600000000\n"), hour),
            (Some("-3600000000"), -hour),
            (Some("9223372036854775807"), TimeDelta::zero()),
        ] {
            if let Some(text) = text {
                std::fs::write(&file, text).unwrap();
            }
            let error = (clock.now() - Clock::System.now() - offset).abs();
            assert!(error < TimeDelta::seconds(1), "{text:?} is off by {error}");
        }
        std::fs::remove_file(file).unwrap();
    }

    #[test]
    fn times_are_whole_microseconds() {
        assert_eq!(Clock::System.now().timestamp_subsec_nanos() % 1000, 0);
    }
}
