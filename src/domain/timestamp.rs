//! A moment, in microseconds: what both databases store alike.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Datelike, SecondsFormat, TimeDelta, Utc};
use diesel::deserialize::FromSqlRow;
use diesel::expression::AsExpression;
use diesel::sql_types::BigInt;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, Schema, SchemaFormat, Type};

/// Microseconds since the Unix epoch, UTC. On the wire it is RFC 3339.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, AsExpression, FromSqlRow)]
#[diesel(sql_type = BigInt)]
pub struct Timestamp(pub(crate) i64);

/// What was given is no time.
#[derive(Debug, thiserror::Error)]
#[error("must be a time of RFC 3339, like 2030-12-31T23:59:59Z")]
pub struct InvalidTime;

impl Timestamp {
    /// Later than anything that happens.
    pub const MAX: Self = Self(i64::MAX);

    /// The moment of a `NumericDate` (RFC 7519), held at the ends of what can be counted.
    #[must_use]
    pub fn of_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1_000_000))
    }

    /// The whole seconds, as JWT claims count them (RFC 7519 `NumericDate`), rounded down.
    #[must_use]
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// The beginning of its second: where a token ends that may not live longer than until this moment.
    #[must_use]
    pub fn whole(self) -> Self {
        Self::of_seconds(self.seconds())
    }

    /// The whole milliseconds; 0 before 1970.
    #[must_use]
    pub fn millis(self) -> u64 {
        u64::try_from(self.0.div_euclid(1_000)).unwrap_or_default()
    }

    /// This moment and `span` more, held at the ends of what can be counted.
    #[must_use]
    pub fn plus(self, span: TimeDelta) -> Self {
        Self(self.0.saturating_add(span.num_microseconds().unwrap_or(i64::MAX)))
    }

    /// How long after `earlier` this is; negative where the clock stepped back between them.
    #[must_use]
    pub fn since(self, earlier: Self) -> TimeDelta {
        TimeDelta::microseconds(self.0.saturating_sub(earlier.0))
    }
}

impl From<DateTime<Utc>> for Timestamp {
    fn from(time: DateTime<Utc>) -> Self {
        Self(time.timestamp_micros())
    }
}

impl From<Timestamp> for DateTime<Utc> {
    fn from(time: Timestamp) -> Self {
        DateTime::from_timestamp_micros(time.0).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }
}

impl FromStr for Timestamp {
    type Err = InvalidTime;

    fn from_str(text: &str) -> Result<Self, InvalidTime> {
        let time = Self::from(DateTime::parse_from_rfc3339(text).map_err(|_| InvalidTime)?.to_utc());
        // Of the moment, not of what was written: a leap second at the end of 9999 is in the year after.
        if (0..=9999).contains(&DateTime::from(time).year()) { Ok(time) } else { Err(InvalidTime) }
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&DateTime::from(*self).to_rfc3339_opts(SecondsFormat::Micros, true))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl utoipa::PartialSchema for Timestamp {
    fn schema() -> RefOr<Schema> {
        let date_time = SchemaFormat::KnownFormat(KnownFormat::DateTime);
        ObjectBuilder::new().schema_type(Type::String).format(Some(date_time)).into()
    }
}

impl utoipa::ToSchema for Timestamp {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_a_year_of_four_digits() {
        for good in ["0000-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", "2030-12-31T23:59:59+01:00"] {
            assert!(good.parse::<Timestamp>().is_ok(), "{good}");
        }
        let too_late = ["+10000-01-01T00:00:00Z", "9999-12-31T23:59:59-01:00", "9999-12-31T23:59:60Z"];
        for bad in ["-0001-01-01T00:00:00Z", "2030-12-31", ""].into_iter().chain(too_late) {
            assert!(bad.parse::<Timestamp>().is_err(), "{bad}");
        }
    }
}
