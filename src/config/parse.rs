//! From a raw value to a domain type.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;

use chrono::TimeDelta;
use ipnet::IpNet;
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::settings::Raw;
use super::values::{OfferedAudience, Unfit};
use crate::domain::distinct::first_repeated;
use crate::domain::ip_allow_list::parse_network;

pub(super) fn text<T: FromStr>(raw: &Raw) -> Result<T, Unfit> {
    raw.text().ok_or(Unfit)?.parse().map_err(|_| Unfit)
}

/// A value that the empty text turns off.
pub(super) fn optional<T: FromStr>(raw: &Raw) -> Result<Option<T>, Unfit> {
    if raw.text() == Some("") { Ok(None) } else { text(raw).map(Some) }
}

pub(super) fn path(raw: &Raw) -> Result<PathBuf, Unfit> {
    raw.text().filter(|text| !text.is_empty()).map(PathBuf::from).ok_or(Unfit)
}

pub(super) fn number<T: TryFrom<i64>>(raw: &Raw, range: RangeInclusive<i64>) -> Result<T, Unfit> {
    let number = raw.integer().filter(|number| range.contains(number)).ok_or(Unfit)?;
    number.try_into().map_err(|_| Unfit)
}

/// A list without repetition.
fn list<T: PartialEq>(raw: &Raw, item: impl Fn(&Value) -> Result<T, Unfit>) -> Result<Vec<T>, Unfit> {
    let items: Vec<T> = raw.items().ok_or(Unfit)?.iter().map(item).collect::<Result<_, _>>()?;
    if first_repeated(&items).is_some() { Err(Unfit) } else { Ok(items) }
}

pub(super) fn texts<T: FromStr + PartialEq>(raw: &Raw) -> Result<Vec<T>, Unfit> {
    list(raw, |item| item.as_str().ok_or(Unfit)?.parse().map_err(|_| Unfit))
}

/// Networks; a bare address is a network of one.
pub(super) fn networks(raw: &Raw) -> Result<Vec<IpNet>, Unfit> {
    list(raw, |item| parse_network(item.as_str().ok_or(Unfit)?).ok_or(Unfit))
}

/// Audiences, by name or as a table; at least one, and no name twice.
pub(super) fn audiences(raw: &Raw) -> Result<Vec<OfferedAudience>, Unfit> {
    let audiences = list(raw, |item| match item {
        Value::String(name) => name.parse(),
        Value::Object(table) if table.keys().all(|key| key == "name" || key == "algorithm") => {
            let mut audience: OfferedAudience = table.get("name").and_then(Value::as_str).ok_or(Unfit)?.parse()?;
            if let Some(algorithm) = table.get("algorithm") {
                audience.algorithm = Some(algorithm.as_str().ok_or(Unfit)?.parse().map_err(|_| Unfit)?);
            }
            Ok(audience)
        }
        _ => Err(Unfit),
    })?;
    let mut names: Vec<_> = audiences.iter().map(|audience| audience.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    if names.len() == audiences.len() && !audiences.is_empty() { Ok(audiences) } else { Err(Unfit) }
}

/// A span of whole seconds that prints as it is configured.
pub(super) struct Lifetime(pub(super) TimeDelta);

/// A lifetime like `15m`, its seconds in the range.
pub(super) fn lifetime(raw: &Raw, seconds: RangeInclusive<i64>) -> Result<Lifetime, Unfit> {
    let span = match (raw.integer(), raw.text()) {
        (Some(0), _) => std::time::Duration::ZERO,
        (_, Some(text)) => humantime::parse_duration(text).map_err(|_| Unfit)?,
        _ => return Err(Unfit),
    };
    let lifetime = TimeDelta::from_std(span).map_err(|_| Unfit)?;
    let fit = lifetime.subsec_nanos() == 0 && seconds.contains(&lifetime.num_seconds());
    if fit { Ok(Lifetime(lifetime)) } else { Err(Unfit) }
}

impl Serialize for Lifetime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let seconds = self.0.num_seconds();
        let (length, unit) = [(86_400, "d"), (3_600, "h"), (60, "m")]
            .into_iter()
            .find(|(length, _)| seconds != 0 && seconds % length == 0)
            .unwrap_or((1, "s"));
        serializer.collect_str(&format_args!("{}{unit}", seconds / length))
    }
}
