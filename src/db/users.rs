//! Table `users`.

use diesel::prelude::*;

use super::DbConnection;
use super::schema::users;
use crate::domain::page::Page;
use crate::domain::{Email, Timestamp, User, UserId};

columns! {
    /// What [`User`] is read from: all but the password's hash.
    pub(super) USER: UserColumns = users { id, email, operator, created_at, last_login_at, disabled_at, one_time_until }
}

/// Adds a user.
pub fn insert(connection: &mut DbConnection, user: &User, password_hash: &str) -> QueryResult<()> {
    diesel::insert_into(users::table)
        .values((
            users::id.eq(user.id),
            users::email.eq(&user.email),
            users::password_hash.eq(password_hash),
            users::operator.eq(user.operator),
            users::created_at.eq(user.created_at),
            users::password_changed_at.eq(user.created_at),
            users::last_login_at.eq(user.last_login_at),
            users::disabled_at.eq(user.disabled_at),
            users::one_time_until.eq(user.one_time_until),
        ))
        .execute(connection)
        .map(drop)
}

/// Finds a user by its address.
pub fn find_by_email(connection: &mut DbConnection, email: &Email) -> QueryResult<Option<User>> {
    users::table.filter(users::email.eq(email)).select(USER).get_result(connection).optional()
}

/// A user's password.
#[derive(Clone, Queryable)]
pub struct PasswordRow {
    /// Its hash.
    pub hash: String,
    /// Since when it is the password, whatever parameters it was hashed with since.
    pub since: Timestamp,
}

columns! {
    /// What [`PasswordRow`] is read from.
    PASSWORD: PasswordColumns = users { password_hash, password_changed_at }
}

/// Finds a user and its password, for a login.
pub fn find_credentials(connection: &mut DbConnection, email: &Email) -> QueryResult<Option<(User, PasswordRow)>> {
    users::table.filter(users::email.eq(email)).select((USER, PASSWORD)).get_result(connection).optional()
}

/// The hash of whoever comes next by address, after the last one the first: what an address that nobody has is checked
/// against, in vain. Its parameters, and so its cost, are then as mixed as those of the addresses that somebody has
/// (security 17).
pub fn neighbouring_hash(connection: &mut DbConnection, email: &Email) -> QueryResult<Option<String>> {
    let by_address = || users::table.order(users::email.asc()).select(users::password_hash);
    match by_address().filter(users::email.gt(email)).first(connection).optional()? {
        Some(next) => Ok(Some(next)),
        None => by_address().first(connection).optional(),
    }
}

/// A user's password.
pub fn password(connection: &mut DbConnection, id: UserId) -> QueryResult<Option<PasswordRow>> {
    users::table.find(id).select(PASSWORD).get_result(connection).optional()
}

/// Lists all users.
pub fn list(connection: &mut DbConnection, page: Page) -> QueryResult<Vec<User>> {
    users::table
        .filter(users::id.lt(page.before::<UserId>()))
        .order(users::id.desc())
        .limit(page.fetch())
        .select(USER)
        .load(connection)
}

/// Whether there is none at all.
pub fn is_empty(connection: &mut DbConnection) -> QueryResult<bool> {
    users::table.select(users::id).first::<UserId>(connection).optional().map(|first| first.is_none())
}

/// Notes a login, and holds the user's row until the session is committed, so that disabling the user comes
/// before or after it but never between; false where the user is disabled or the password is no more the one `since`
/// then. Its hash may be another one by now: whoever logged in at the same time may have made it anew.
pub fn note_login(connection: &mut DbConnection, id: UserId, since: Timestamp, now: Timestamp) -> QueryResult<bool> {
    diesel::update(users::table.find(id))
        .filter(users::disabled_at.is_null().and(users::password_changed_at.eq(since)))
        .set(users::last_login_at.eq(now))
        .execute(connection)
        .map(|rows| rows == 1)
}

/// Replaces a password's hash by another of the same password; a change in between wins.
pub fn rehash(connection: &mut DbConnection, id: UserId, from: &str, to: &str) -> QueryResult<()> {
    diesel::update(users::table.find(id))
        .filter(users::password_hash.eq(from))
        .set(users::password_hash.eq(to))
        .execute(connection)
        .map(drop)
}

/// Replaces the password, by a one-time password where it works only `until` then; with `since`, only the one that it
/// has been since then. False where nothing was replaced.
pub fn set_password(
    connection: &mut DbConnection,
    id: UserId,
    since: Option<Timestamp>,
    to: &str,
    until: Option<Timestamp>,
    now: Timestamp,
) -> QueryResult<bool> {
    let changed = (users::password_hash.eq(to), users::password_changed_at.eq(now), users::one_time_until.eq(until));
    let user = diesel::update(users::table.find(id));
    let rows = match since {
        Some(since) => user.filter(users::password_changed_at.eq(since)).set(changed).execute(connection),
        None => user.set(changed).execute(connection),
    };
    rows.map(|rows| rows == 1)
}

/// Gives a user the server-wide scope; false where there is no such user.
pub fn set_operator(connection: &mut DbConnection, id: UserId) -> QueryResult<bool> {
    diesel::update(users::table.find(id)).set(users::operator.eq(true)).execute(connection).map(|rows| rows == 1)
}

/// Holds a user until the transaction ends, so that whatever ends all of its sessions comes before or after, never
/// between; false where it is disabled.
pub fn hold(connection: &mut DbConnection, id: UserId) -> QueryResult<bool> {
    diesel::update(users::table.find(id))
        .filter(users::disabled_at.is_null())
        .set(users::id.eq(id))
        .execute(connection)
        .map(|rows| rows == 1)
}

/// Disables or enables a user; false where there is no such user.
pub fn set_disabled(connection: &mut DbConnection, id: UserId, since: Option<Timestamp>) -> QueryResult<bool> {
    diesel::update(users::table.find(id)).set(users::disabled_at.eq(since)).execute(connection).map(|rows| rows == 1)
}
