//! Table `api_key_callers`: who presented which secret of an API key.

use diesel::prelude::*;

use super::DbConnection;
use super::prepared::{self, Aging, Piece};
use super::schema::api_key_callers;
use crate::domain::status_list::StatusIndex;
use crate::domain::usage::{Caller, MOST_CALLERS, OTHERS, Origin};
use crate::domain::{ApiKeyId, Timestamp};

pub(super) const CALLERS: Aging =
    Aging { table: "api_key_callers", key: "api_key_id, secret, ip, user_agent", age: "last_seen_at" };

columns! {
    /// What a [`Caller`] is read from.
    ROW: Columns = api_key_callers { secret, ip, user_agent, times, last_seen_at }
}

/// The same as it is read.
type Row = (StatusIndex, String, String, i64, Timestamp);

/// Adds what was counted of a key's callers. Of each secret the [`MOST_CALLERS`] that were seen last stay told apart:
/// one that comes again and again is among them, however many others come once.
pub fn add(connection: &mut DbConnection, key: ApiKeyId, callers: &[Caller]) -> QueryResult<()> {
    let mut fuller = Vec::new();
    for caller in callers {
        if add_one(connection, key, caller)? && !fuller.contains(&caller.secret) {
            fuller.push(caller.secret);
        }
    }
    fuller.into_iter().try_for_each(|secret| make_room(connection, key, secret))
}

/// Adds what was counted of a caller; answers whether that is a new one.
fn add_one(connection: &mut DbConnection, key: ApiKeyId, caller: &Caller) -> QueryResult<bool> {
    let (ip, user_agent) = stored(caller.origin());
    let (times, last_seen_at) = (Piece::Number(caller.times), || Piece::Number(caller.last_seen_at.0));
    let pieces = [
        Piece::Sql("UPDATE api_key_callers SET times = times + "),
        times,
        // As text, for diesel cannot say which of two values is the larger.
        Piece::Sql(", last_seen_at = CASE WHEN last_seen_at < "),
        last_seen_at(),
        Piece::Sql(" THEN "),
        last_seen_at(),
        Piece::Sql(" ELSE last_seen_at END WHERE api_key_id = "),
        Piece::Bytes(key.as_bytes()),
        Piece::Sql(" AND secret = "),
        Piece::Number(caller.secret.0),
        Piece::Sql(" AND ip = "),
        Piece::Words(&ip),
        Piece::Sql(" AND user_agent = "),
        Piece::Words(user_agent),
    ];
    let known = prepared::execute(connection, &pieces)?;
    if known == 0 {
        diesel::insert_into(api_key_callers::table)
            .values((
                api_key_callers::api_key_id.eq(key),
                api_key_callers::secret.eq(caller.secret),
                api_key_callers::ip.eq(ip),
                api_key_callers::user_agent.eq(user_agent),
                api_key_callers::times.eq(caller.times),
                api_key_callers::last_seen_at.eq(caller.last_seen_at),
            ))
            .execute(connection)?;
    }
    Ok(known == 0)
}

/// Counts all but the callers of a secret that were seen last among the others.
fn make_room(connection: &mut DbConnection, key: ApiKeyId, secret: StatusIndex) -> QueryResult<()> {
    let of_secret = api_key_callers::api_key_id.eq(key).and(api_key_callers::secret.eq(secret));
    let rows: Vec<Row> = api_key_callers::table
        .filter(of_secret.and(api_key_callers::ip.ne(stored(OTHERS).0)))
        .order(api_key_callers::last_seen_at.desc())
        .select(ROW)
        .load(connection)?;
    for (secret, ip, user_agent, times, last_seen_at) in rows.into_iter().skip(MOST_CALLERS) {
        diesel::delete(api_key_callers::table.find((key, secret, &ip, &user_agent))).execute(connection)?;
        let others = Caller { secret, ip: OTHERS.0, user_agent: OTHERS.1.to_owned(), times, last_seen_at };
        add_one(connection, key, &others)?;
    }
    Ok(())
}

/// The callers of a key, whoever was seen last first.
pub fn of_key(connection: &mut DbConnection, key: ApiKeyId) -> QueryResult<Vec<Caller>> {
    let rows: Vec<Row> = api_key_callers::table
        .filter(api_key_callers::api_key_id.eq(key))
        .order(api_key_callers::last_seen_at.desc())
        .select(ROW)
        .load(connection)?;
    let caller = |(secret, ip, user_agent, times, last_seen_at): Row| Caller {
        secret,
        ip: ip.parse().ok(),
        user_agent,
        times,
        last_seen_at,
    };
    Ok(rows.into_iter().map(caller).collect())
}

/// Forgets up to `most` callers that were last seen before `before`; answers how many.
pub fn sweep(connection: &mut DbConnection, before: Timestamp, most: i64) -> QueryResult<usize> {
    CALLERS.sweep(connection, before.0, most)
}

/// [`OTHERS`] have no address.
fn stored((ip, user_agent): Origin<'_>) -> (String, &str) {
    (ip.map(|ip| ip.to_string()).unwrap_or_default(), user_agent)
}
