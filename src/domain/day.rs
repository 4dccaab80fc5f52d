//! A day of the calendar (UTC): what usage is counted by.

use std::fmt;

use chrono::{DateTime, Utc};
use diesel::deserialize::FromSqlRow;
use diesel::expression::AsExpression;
use diesel::sql_types::BigInt;
use serde::{Serialize, Serializer};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, Schema, SchemaFormat, Type};

use super::Timestamp;

const MICROSECONDS: i64 = 24 * 60 * 60 * 1_000_000;

/// Days since 1970-01-01. On the wire it is a date of RFC 3339, like `2026-11-24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, AsExpression, FromSqlRow)]
#[diesel(sql_type = BigInt)]
pub struct Day(pub(crate) i64);

impl Day {
    /// The day so many days before this one.
    #[must_use]
    pub fn minus(self, days: u16) -> Self {
        Self(self.0.saturating_sub(days.into()))
    }
}

impl From<Timestamp> for Day {
    fn from(time: Timestamp) -> Self {
        Self(time.0.div_euclid(MICROSECONDS))
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let begin = DateTime::<Utc>::from(Timestamp(self.0.saturating_mul(MICROSECONDS)));
        begin.date_naive().fmt(f)
    }
}

impl Serialize for Day {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl utoipa::PartialSchema for Day {
    fn schema() -> RefOr<Schema> {
        let date = SchemaFormat::KnownFormat(KnownFormat::Date);
        ObjectBuilder::new().schema_type(Type::String).format(Some(date)).into()
    }
}

impl utoipa::ToSchema for Day {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_begins_at_midnight_utc() {
        let shown = |micros| Day::from(Timestamp(micros)).to_string();
        assert_eq!(shown(0), "1970-01-01");
        assert_eq!(shown(-1), "1969-12-31");
        assert_eq!(shown(MICROSECONDS - 1), "1970-01-01");
        assert_eq!(shown(20_781 * MICROSECONDS), "2026-11-24");
        assert_eq!(Day::from(Timestamp(20_781 * MICROSECONDS)).minus(24).to_string(), "2026-10-31");
        // No day that a clock may tell panics.
        for extreme in [i64::MIN, i64::MAX] {
            assert!(!shown(extreme).is_empty() && !Day(extreme).to_string().is_empty());
        }
    }
}
