//! Who calls, proved. What a handler may do stands in its signature: [`SignedIn`], [`InTenant`], [`Operator`].

use std::marker::PhantomData;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use futures_util::future::LocalBoxFuture;

use super::app;
use super::authorization::bearer;
use super::client::Client;
use super::tenant::named_tenant;
use crate::app::App;
use crate::db::sessions;
use crate::domain::actor::Who;
use crate::domain::refusal::Holder;
use crate::domain::role::OPERATOR_SCOPE;
use crate::domain::scope::Lacking;
use crate::domain::session::Session;
use crate::domain::{Actor, Member, Refusal, Scopes, SessionId, TenantId};

/// A user with a living session.
pub struct SignedIn {
    /// The user in the tenant of the token.
    pub member: Member,
    /// The session that the token came from.
    pub session: SessionId,
    /// What the token may do, and its user still may.
    pub scopes: Scopes,
    /// The same as the audit log knows it.
    pub actor: Actor,
}

/// A user whose token is for the tenant in the path, with the scope `S` there.
pub struct InTenant<S> {
    /// The tenant.
    pub tenant: TenantId,
    /// Who calls.
    pub actor: Actor,
    scope: PhantomData<S>,
}

/// A user with the server-wide scope.
pub struct Operator {
    /// Who calls.
    pub actor: Actor,
}

/// A scope that a handler requires, as a type.
pub trait RequiredScope {
    /// The scope.
    const SCOPE: &'static str;
}

macro_rules! required_scopes {
    ($($(#[$doc:meta])* $name:ident = $scope:literal),+ $(,)?) => {$(
        $(#[$doc])*
        pub struct $name;

        impl RequiredScope for $name {
            const SCOPE: &'static str = $scope;
        }
    )+};
}

required_scopes! {
    /// Sees API keys.
    ReadApiKeys = "api-keys:read",
    /// Makes and ends API keys.
    WriteApiKeys = "api-keys:write",
    /// Sees members.
    ReadUsers = "users:read",
    /// Adds and removes members.
    WriteUsers = "users:write",
    /// Reads the audit log.
    ReadAudit = "audit:read",
}

impl SignedIn {
    fn ensure_scope(&self, scope: &str) -> Result<(), Refusal> {
        if self.scopes.contains(scope) {
            return Ok(());
        }
        Err(Holder::AccessToken.lacks(Lacking(scope.to_owned())))
    }
}

impl FromRequest for SignedIn {
    type Error = Refusal;
    type Future = LocalBoxFuture<'static, Result<Self, Refusal>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move { authenticate(&request).await })
    }
}

impl<S: RequiredScope + 'static> FromRequest for InTenant<S> {
    type Error = Refusal;
    type Future = LocalBoxFuture<'static, Result<Self, Refusal>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let user = authenticate(&request).await?;
            let tenant: TenantId =
                request.match_info().get("tenant_id").and_then(|id| id.parse().ok()).ok_or(Refusal::NotFound)?;
            if user.member.tenant.id != tenant {
                return Err(Refusal::TenantMismatch);
            }
            user.ensure_scope(S::SCOPE)?;
            Ok(Self { tenant, actor: user.actor, scope: PhantomData })
        })
    }
}

impl FromRequest for Operator {
    type Error = Refusal;
    type Future = LocalBoxFuture<'static, Result<Self, Refusal>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let user = authenticate(&request).await?;
            user.ensure_scope(OPERATOR_SCOPE)?;
            Ok(Self { actor: user.actor })
        })
    }
}

/// Checks the access token, then what it rests on: a token whose session died a moment ago changes nothing any more,
/// although other services would accept it until it expires.
async fn authenticate(request: &HttpRequest) -> Result<SignedIn, Refusal> {
    let app: &App = app(request)?;
    let now = app.now();
    let jwt = bearer(request)?.ok_or(Refusal::InvalidToken)?;
    let claims = app.verifier.verify(jwt, now)?;
    let id = claims.sid.ok_or(Refusal::AccessTypeNotAllowed)?;

    let found: Option<(Session, Member)> =
        app.db.read(move |connection| sessions::find_with_member(connection, id).map_err(Refusal::from)).await?;
    let (session, member) = found.ok_or(Refusal::InvalidToken)?;
    let is_its_own = session.user_id.uuid() == claims.sub && session.tenant_id == claims.tenant_id;
    if !is_its_own || !session.is_alive(now) || member.user.disabled_at.is_some() {
        return Err(Refusal::InvalidToken);
    }
    member.tenant.ensure_active()?;
    if named_tenant(request)?.is_some_and(|named| named != member.tenant.id) {
        return Err(Refusal::TenantMismatch);
    }

    let client = Client::extract(request).await?;
    Ok(SignedIn {
        actor: client.0.known_as(Who::User(member.user.id)),
        scopes: claims.scope.and(&member.scopes()),
        session: session.id,
        member,
    })
}
