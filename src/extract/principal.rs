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
use crate::domain::refusal::Holder;
use crate::domain::{Actor, Member, Refusal, Scopes, SessionId, TenantId};
use crate::grants;
use crate::grants::bearer::Bearer;
use crate::profile::roles::OPERATOR_SCOPE;

/// A user with a living session, by a token that was not narrowed.
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

impl SignedIn {
    /// Refuses where the token, or its user, lacks a scope.
    ///
    /// # Errors
    /// [`Refusal::InsufficientScope`].
    pub fn ensure_scope(&self, scope: &str) -> Result<(), Refusal> {
        Holder::AccessToken.ensure_has(&self.scopes, scope)
    }
}

/// Whoever's token is for the tenant in the path, with the scope `S` there: a user, or an API key that may manage.
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
    ($($(#[$doc:meta])* $name:ident = $scope:expr),+ $(,)?) => {$(
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
    /// Sees whose workloads are let in.
    ReadTrustedIssuers = "trusted-issuers:read",
    /// Says whose workloads are let in.
    WriteTrustedIssuers = "trusted-issuers:write",
    /// Sees members.
    ReadUsers = "users:read",
    /// Adds and removes members.
    WriteUsers = "users:write",
    /// Reads the audit log.
    ReadAudit = "audit:read",
    /// Operates the server: see [`OPERATOR_SCOPE`].
    Operate = OPERATOR_SCOPE,
}

impl FromRequest for SignedIn {
    type Error = Refusal;
    type Future = LocalBoxFuture<'static, Result<Self, Refusal>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move { authenticate(&request).await?.signed_in(app(&request)?) })
    }
}

impl<S: RequiredScope + 'static> FromRequest for InTenant<S> {
    type Error = Refusal;
    type Future = LocalBoxFuture<'static, Result<Self, Refusal>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let caller = authenticate(&request).await?;
            let tenant: TenantId =
                request.match_info().get("tenant_id").and_then(|id| id.parse().ok()).ok_or(Refusal::NotFound)?;
            caller.bearer.ensure_may_manage(app(&request)?, &caller.actor, tenant, S::SCOPE)?;
            Ok(Self { tenant, actor: caller.actor, scope: PhantomData })
        })
    }
}

impl FromRequest for Operator {
    type Error = Refusal;
    type Future = LocalBoxFuture<'static, Result<Self, Refusal>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let caller = authenticate(&request).await?;
            caller.bearer.ensure_operates(app(&request)?, &caller.actor)?;
            Ok(Self { actor: caller.actor })
        })
    }
}

/// Whoever brought an access token that was accepted.
struct Caller {
    bearer: Bearer,
    actor: Actor,
}

impl Caller {
    fn signed_in(self, app: &App) -> Result<SignedIn, Refusal> {
        match self.bearer {
            Bearer::User { member, session, scopes, narrowed: false } => {
                Ok(SignedIn { member: *member, session: session.id, scopes, actor: self.actor })
            }
            narrowed @ Bearer::User { .. } => narrowed.noted(app, &self.actor, Err(Refusal::AccessTypeNotAllowed)),
            other => other.noted(app, &self.actor, Err(Refusal::ManagementNotAllowed)),
        }
    }
}

/// Checks the access token and what it rests on, and that the request names no other tenant.
async fn authenticate(request: &HttpRequest) -> Result<Caller, Refusal> {
    let app: &App = app(request)?;
    let jwt = bearer(request)?.ok_or(Refusal::TokenRequired)?;
    let Client(client) = Client::extract(request).await?;
    let bearer = grants::bearer::accept(app, jwt, &client, app.now()).await?;
    let actor = Actor { holds: Some(bearer.scopes().clone()), ..client.known_as(bearer.who()) };
    let caller = Caller { bearer, actor };
    caller.bearer.ensure_named(app, &caller.actor, named_tenant(request)?)?;
    Ok(caller)
}
