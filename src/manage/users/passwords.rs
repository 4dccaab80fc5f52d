//! Passwords: judged, generated, changed and set. One-time passwords are exchanged in the login that they open (ADR
//! 25).

use std::sync::Arc;

use data_encoding::BASE32_NOPAD;
use secrecy::SecretString;

use crate::app::App;
use crate::db::{audit, sessions, users};
use crate::domain::password::Password;
use crate::domain::{Actor, Email, Refusal, SessionId, Timestamp, User};
use crate::manage::login_guesses::{self, Guess};
use crate::manage::to_its_end;
use crate::tokens::password_hasher::{Policy, Verdict};

/// Our own name, and what people call such a server: no password is made of it (security 14).
const SERVICE_NAME: &str = "jeton";

/// The password that somebody is given by another.
#[derive(Debug)]
pub enum NewPassword {
    /// This one.
    Chosen(Password),
    /// One that nobody chose, shown once (security 18).
    Generated,
    /// The same, but good for nothing else than to choose another one, and only for `password.one_time_ttl`.
    OneTime,
}

/// A password to be stored, and what its giver is told.
pub(super) struct Given {
    pub(super) hash: String,
    pub(super) one_time_until: Option<Timestamp>,
    pub(super) generated: Option<SecretString>,
}

impl NewPassword {
    /// Judges it, or makes it, and hashes it.
    pub(super) async fn give(self, app: &App, email: &Email, now: Timestamp) -> Result<Given, Refusal> {
        let one_time_until = matches!(self, Self::OneTime).then(|| now.plus(app.config.password.one_time_ttl));
        let (password, generated) = match self {
            Self::Chosen(password) => (password, None),
            Self::Generated | Self::OneTime => generate_password(app).map(|(password, text)| (password, Some(text)))?,
        };
        let hash = hash_new(app, "password", password, email).await?;
        Ok(Given { hash, one_time_until, generated })
    }
}

/// What the password of a login is changed for: one of the user's own where it is a one-time password, and else
/// nothing. Somebody else has seen a one-time password, so nothing but this is had for it.
///
/// # Errors
/// [`Refusal::PasswordChangeRequired`] and [`Refusal::OneTimePasswordExpired`]; a weak password, the same one, or one
/// that nobody asked for.
pub async fn own_password(
    app: &App,
    user: &User,
    password: &Password,
    own: Option<Password>,
    now: Timestamp,
) -> Result<Option<String>, Refusal> {
    let Some(until) = user.one_time_until else {
        let unasked = "is taken with a one-time password only";
        return own.map_or(Ok(None), |_| Err(Refusal::invalid("new_password", unasked)));
    };
    if until <= now {
        return Err(Refusal::OneTimePasswordExpired);
    }
    let own = own.ok_or(Refusal::PasswordChangeRequired)?;
    if own.expose() == password.expose() {
        return Err(Refusal::invalid("new_password", "must not be the one-time password"));
    }
    hash_new(app, "new_password", own, &user.email).await.map(Some)
}

/// Changes one's own password and ends one's other sessions. A wrong current password counts as a failed login of this
/// session's device: whoever has a stolen access token must not guess here without end.
///
/// # Errors
/// [`Refusal::InvalidCredentials`] where the current password is wrong, [`Refusal::LoginThrottled`] after too many
/// such; a weak new one.
pub async fn change_password(
    app: &Arc<App>,
    by: &Actor,
    user: &User,
    session: SessionId,
    current: Password,
    new: Password,
) -> Result<(), Refusal> {
    let (by, user) = (by.clone(), user.clone());
    to_its_end(app, async move |app| try_change_password(&app, &by, &user, session, current, new).await).await
}

async fn try_change_password(
    app: &App,
    by: &Actor,
    user: &User,
    session: SessionId,
    current: Password,
    new: Password,
) -> Result<(), Refusal> {
    let (now, id) = (app.now(), user.id);
    let event = app.event(by, "user.password_changed", now)?.target("user", id);
    let guess = Guess::begin(app, by, &user.email, Some(session)).await?;
    let change = async {
        let stored = app.db.read(move |connection| users::password(connection, id).map_err(Refusal::from)).await?;
        let stored = stored.ok_or(Refusal::InvalidToken)?;
        if app.hasher.verify(current, &stored.hash).await? == Verdict::Wrong {
            return Err(Refusal::InvalidCredentials);
        }
        let hash = hash_new(app, "new_password", new, &user.email).await?;
        let (guess, event) = (guess.clone(), event.clone());
        app.db
            .write(move |connection| {
                if !users::set_password(connection, id, Some(stored.since), &hash, None, now)? {
                    return Err(Refusal::InvalidCredentials);
                }
                guess.forgive(connection)?;
                sessions::revoke_of_user(connection, id, Some(session), now, "password_changed")?;
                Ok(audit::record(connection, &event)?)
            })
            .await
    };
    let changed = change.await;
    guess.end(app, changed, event).await
}

/// Sets a user's password and ends all of its sessions; answers the password where it was generated. Logins that failed
/// are forgotten.
///
/// # Errors
/// [`Refusal::NotFound`]; a weak password.
pub async fn set_password(
    app: &App,
    by: &Actor,
    email: &Email,
    new: NewPassword,
) -> Result<Option<SecretString>, Refusal> {
    let now = app.now();
    let user = super::find(app, email).await?.id;
    let Given { hash, one_time_until, generated } = new.give(app, email, now).await?;
    let event = app.event(by, "user.password_set", now)?.target("user", user);
    let event = if one_time_until.is_some() { event.details("one-time password") } else { event };
    let forgive = login_guesses::forgive_all(app, email);
    app.db
        .write(move |connection| {
            if !users::set_password(connection, user, None, &hash, one_time_until, now)? {
                return Err(Refusal::NotFound);
            }
            forgive(connection)?;
            sessions::revoke_of_user(connection, user, None, now, "password_set")?;
            Ok(audit::record(connection, &event)?)
        })
        .await?;
    Ok(generated)
}

/// Judges a new password, and hashes it.
pub(super) async fn hash_new(app: &App, field: &str, password: Password, email: &Email) -> Result<String, Refusal> {
    let context = vec![email.to_string(), SERVICE_NAME.to_owned()];
    let policy = Policy { min_length: app.config.password.min_length, context };
    app.hasher.hash_new(password, policy).await?.map_err(|weak| Refusal::invalid(field, weak))
}

/// A password that nobody chose: 160 random bits as 32 letters and digits.
pub(in crate::manage) fn generate_password(app: &App) -> Result<(Password, SecretString), Refusal> {
    let text = BASE32_NOPAD.encode(&app.random.bytes::<20>()?).to_lowercase();
    Ok((text.clone().into(), text.into()))
}
