//! An access token of ours that comes back to us: checked, and with it what it rests on.
//!
//! Downstream services verify offline and would accept a token until it expires. We look: a token whose session or key
//! died a moment ago opens nothing here any more.

use diesel::QueryResult;

use super::admission::{admit, noted};
use super::workload;
use crate::app::App;
use crate::db::{DbConnection, api_keys, sessions, signing_keys, trusted_issuers};
use crate::domain::actor::Who;
use crate::domain::api_key::ApiKey;
use crate::domain::refusal::Holder;
use crate::domain::session::Session;
use crate::domain::trusted_issuer::TrustedIssuer;
use crate::domain::{Actor, Member, Refusal, Scopes, SessionId, Tenant, TenantId, Timestamp};
use crate::profile::roles::OPERATOR_SCOPE;
use crate::tokens::verifier::Verified;

/// Whom a token speaks for, and what it may still do.
pub enum Bearer {
    /// A user with a living session.
    User {
        /// The user in the tenant of the token.
        member: Box<Member>,
        /// The session that the token came from.
        session: Box<Session>,
        /// What the token may do, and its user still may.
        scopes: Scopes,
        /// Whether the token was made to do less than its user may.
        narrowed: bool,
    },
    /// An API key that lives.
    ApiKey {
        /// The key, as it is for the secret that the token was issued for.
        key: Box<ApiKey>,
        /// Its tenant.
        tenant: Box<Tenant>,
        /// What the token may do.
        scopes: Scopes,
    },
    /// A workload whose issuer is still trusted.
    Workload {
        /// The issuer.
        trusted: Box<TrustedIssuer>,
        /// Its tenant.
        tenant: Box<Tenant>,
        /// What the token may do.
        scopes: Scopes,
    },
}

impl Bearer {
    /// Users may call management in their tenant, within their scopes; workloads never; of API keys only those whose
    /// access type says so, under the rules of every use of a key. A refusal is remembered (security 25).
    ///
    /// # Errors
    /// [`Refusal::ManagementNotAllowed`]; where another tenant is named, [`Refusal::TenantMismatch`]; see [`admit`];
    /// [`Refusal::InsufficientScope`].
    pub fn ensure_may_manage(&self, app: &App, by: &Actor, named: TenantId, scope: &str) -> Result<(), Refusal> {
        let rules = match self {
            Self::User { member, .. } => member.tenant.ensure_named(Some(named)),
            Self::ApiKey { key, tenant, .. } if app.profile.may_manage(key.access_type.as_ref()) => {
                admit(app, key, tenant, Some(named), by.ip, app.now()).map(drop)
            }
            Self::ApiKey { .. } | Self::Workload { .. } => Err(Refusal::ManagementNotAllowed),
        };
        self.noted(app, by, rules.and_then(|()| self.ensure_scope(scope)))
    }

    /// Operators are users. A refusal is remembered.
    ///
    /// # Errors
    /// [`Refusal::ManagementNotAllowed`], [`Refusal::InsufficientScope`].
    pub fn ensure_operates(&self, app: &App, by: &Actor) -> Result<(), Refusal> {
        let rules = match self {
            Self::User { .. } => self.ensure_scope(OPERATOR_SCOPE),
            Self::ApiKey { .. } | Self::Workload { .. } => Err(Refusal::ManagementNotAllowed),
        };
        self.noted(app, by, rules)
    }

    /// Refuses a request that names another tenant, and remembers that.
    ///
    /// # Errors
    /// [`Refusal::TenantMismatch`].
    pub fn ensure_named(&self, app: &App, by: &Actor, named: Option<TenantId>) -> Result<(), Refusal> {
        self.noted(app, by, self.tenant().ensure_named(named))
    }

    /// What the token may do, as far as whom it speaks for still may.
    #[must_use]
    pub fn scopes(&self) -> &Scopes {
        match self {
            Self::User { scopes, .. } | Self::ApiKey { scopes, .. } | Self::Workload { scopes, .. } => scopes,
        }
    }

    /// Its tenant.
    #[must_use]
    pub fn tenant(&self) -> &Tenant {
        match self {
            Self::User { member, .. } => &member.tenant,
            Self::ApiKey { tenant, .. } | Self::Workload { tenant, .. } => tenant,
        }
    }

    /// The same as the audit log knows it.
    #[must_use]
    pub fn who(&self) -> Who {
        match self {
            Self::User { member, .. } => Who::User(member.user.id),
            Self::ApiKey { key, .. } => Who::ApiKey(key.id),
            Self::Workload { trusted, .. } => Who::Workload(trusted.id),
        }
    }

    fn ensure_scope(&self, scope: &str) -> Result<(), Refusal> {
        let holder = match self {
            Self::User { .. } => Holder::AccessToken,
            Self::ApiKey { .. } => Holder::ApiKey,
            Self::Workload { .. } => Holder::Workload,
        };
        holder.ensure_has(self.scopes(), scope)
    }

    /// What rules said of whoever brought the token; a refusal is remembered.
    ///
    /// # Errors
    /// The refusal.
    pub fn noted<T>(&self, app: &App, by: &Actor, result: Result<T, Refusal>) -> Result<T, Refusal> {
        let now = app.now();
        match self {
            Self::User { member, session, .. } => noted_of_session(app, by, member, session.id, result),
            Self::ApiKey { key, tenant, .. } => noted(app, by, (key.id, tenant.id), result, now),
            Self::Workload { trusted, .. } => workload::noted(app, by, trusted, result, now),
        }
    }
}

/// What rules said of a user who is signed in; a refusal is remembered. Of each reason once a minute: a page that asks
/// again and again tells nothing new.
///
/// # Errors
/// The refusal.
pub fn noted_of_session<T>(
    app: &App,
    by: &Actor,
    member: &Member,
    session: SessionId,
    result: Result<T, Refusal>,
) -> Result<T, Refusal> {
    let now = app.now();
    if let Err(refusal) = &result
        && !refusal.is_fault_of_ours()
        && app.limits.is_news(session.uuid().into(), refusal.code(), now)
    {
        let event = app.event(by, "session.refused", now)?.outcome(refusal.code());
        app.db.record_behind(event.tenant(member.tenant.id).target("session", session));
    }
    result
}

/// Accepts an access token that somebody brought.
///
/// # Errors
/// [`Refusal::InvalidToken`]; see [`admitted`].
pub async fn accept(app: &App, jwt: &str, client: &Actor, now: Timestamp) -> Result<Bearer, Refusal> {
    let token = app.verifier.verify(jwt, now)?;
    admitted(app, &token, client, now).await
}

/// Whom a genuine token that somebody brought speaks for. Where its tenant is suspended it is refused, which is
/// remembered, as of any credential (security 25).
///
/// # Errors
/// [`Refusal::InvalidToken`]; [`Refusal::TenantSuspended`].
pub async fn admitted(app: &App, token: &Verified, client: &Actor, now: Timestamp) -> Result<Bearer, Refusal> {
    let bearer = rests_on(app, token, now).await?;
    match bearer.tenant().ensure_active() {
        Ok(()) => Ok(bearer),
        Err(refusal) => bearer.noted(app, &client.known_as(bearer.who()), Err(refusal)),
    }
}

/// What a genuine token rests on, which must live: its user, key or trusted issuer, and its signing key, read from
/// committed state. In memory a signing key that was revoked a moment ago may still be there, and a token would be
/// changed for one of its successor. Its tenant may be suspended.
///
/// # Errors
/// [`Refusal::InvalidToken`].
pub async fn rests_on(app: &App, token: &Verified, now: Timestamp) -> Result<Bearer, Refusal> {
    // Each kind of token has a claim of its own: a session, or a key's environment.
    match (token.claims.sid, &token.claims.environment) {
        (Some(session), _) => user(app, token, session, now).await,
        (None, Some(_)) => api_key(app, token, now).await,
        (None, None) => trusted_issuer(app, token).await,
    }
}

/// Whom a token is about, if its signing key is still published.
async fn read<T: Send + 'static>(
    app: &App,
    token: &Verified,
    find: impl FnOnce(&mut DbConnection) -> QueryResult<Option<T>> + Send + 'static,
) -> Result<T, Refusal> {
    let kid = token.kid.clone();
    let found = app
        .db
        .read(move |connection| {
            let is_published = signing_keys::is_published(connection, &kid)?;
            if is_published { find(connection).map_err(Refusal::from) } else { Ok(None) }
        })
        .await?;
    found.ok_or(Refusal::InvalidToken)
}

async fn user(app: &App, token: &Verified, id: SessionId, now: Timestamp) -> Result<Bearer, Refusal> {
    let claims = &token.claims;
    let (session, member) = read(app, token, move |connection| sessions::find_with_member(connection, id)).await?;
    let is_its_own = session.user_id.uuid() == claims.sub && session.tenant_id == claims.tenant_id;
    if !is_its_own || !session.is_alive(now) || member.user.disabled_at.is_some() {
        return Err(Refusal::InvalidToken);
    }
    let held = app.profile.roles.scopes(&member.role, member.user.operator);
    let (scopes, narrowed) = (claims.scope.and(&held), claims.narrowed);
    Ok(Bearer::User { member: Box::new(member), session: Box::new(session), scopes, narrowed })
}

async fn api_key(app: &App, token: &Verified, now: Timestamp) -> Result<Bearer, Refusal> {
    let claims = &token.claims;
    let id = claims.sub.into();
    let (key, tenant) = read(app, token, move |connection| api_keys::find_with_tenant(connection, id)).await?;
    if key.tenant_id != claims.tenant_id || !app.profile.knows(&key) || key.ensure_usable(now).is_err() {
        return Err(Refusal::InvalidToken);
    }
    let secret = key.secret_of_token(claims.status_index()?, claims.iat, now)?;
    let scopes = claims.scope.and(&key.scopes);
    Ok(Bearer::ApiKey { scopes, key: Box::new(key.by_secret(secret)), tenant: Box::new(tenant) })
}

async fn trusted_issuer(app: &App, token: &Verified) -> Result<Bearer, Refusal> {
    let claims = &token.claims;
    let id = claims.sub.into();
    let (trusted, tenant) =
        read(app, token, move |connection| trusted_issuers::find_with_tenant(connection, id)).await?;
    if trusted.tenant_id != claims.tenant_id {
        return Err(Refusal::InvalidToken);
    }
    let scopes = claims.scope.and(&trusted.scopes);
    Ok(Bearer::Workload { scopes, trusted: Box::new(trusted), tenant: Box::new(tenant) })
}
