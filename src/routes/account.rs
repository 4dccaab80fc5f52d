//! What signed-in users do with their own account: `/api/v1/auth/me`, `sessions`, `password`, `logout-all`.

use actix_web::web::{Data, Json as Answer, Path};
use actix_web::{HttpResponse, Responder};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use validator::Validate;

use super::path_id;
use crate::app::App;
use crate::domain::page::Paged;
use crate::domain::password::Password;
use crate::domain::session::Session;
use crate::domain::{Email, Member, Name, Refusal, Role, Scopes, SessionId, TenantId, Timestamp, UserId};
use crate::extract::Then;
use crate::extract::json::Json;
use crate::extract::principal::SignedIn;
use crate::extract::query::PageQuery;
use crate::manage;

/// Who is signed in.
#[derive(Serialize, ToSchema)]
pub struct MeAnswer {
    id: UserId,
    email: Email,
    created_at: Timestamp,
    /// The tenant that the access token is for.
    tenant_id: TenantId,
    /// What the access token may do.
    #[schema(value_type = String)]
    scope: Scopes,
    tenants: Vec<MembershipAnswer>,
}

/// A tenant of a user.
#[derive(Serialize, ToSchema)]
pub struct MembershipAnswer {
    id: TenantId,
    name: Name,
    /// The tenant's public name in URLs.
    project_token: String,
    role: Role,
    /// The same as `role`, as tokens carry it.
    roles: Vec<Role>,
}

/// A session of a user.
#[derive(Serialize, ToSchema)]
pub struct SessionAnswer {
    id: SessionId,
    tenant_id: TenantId,
    created_at: Timestamp,
    last_used_at: Timestamp,
    expires_at: Timestamp,
    ip: Option<String>,
    user_agent: Option<String>,
    /// Whether it is the session that asks.
    current: bool,
}

/// A new password for oneself.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PasswordBody {
    current_password: Password,
    new_password: Password,
}

/// Tells who is signed in.
#[utoipa::path(
    get, path = "/api/v1/auth/me", tag = "account", security(("bearer" = [])),
    responses((status = 200, description = "The user", body = MeAnswer))
)]
pub async fn me(app: Data<App>, signed_in: SignedIn) -> Result<impl Responder, Refusal> {
    let user = signed_in.member.user;
    let tenants = manage::users::memberships_of(&app, user.id).await?;
    Ok(Answer(MeAnswer {
        id: user.id,
        email: user.email,
        created_at: user.created_at,
        tenant_id: signed_in.member.tenant.id,
        scope: signed_in.scopes,
        tenants: tenants.into_iter().map(MembershipAnswer::from).collect(),
    }))
}

/// Lists one's own living sessions.
#[utoipa::path(
    get, path = "/api/v1/auth/sessions", tag = "account", security(("bearer" = [])),
    params(("limit" = Option<u8>, Query, minimum = 1, maximum = 100), ("cursor" = Option<String>, Query, min_length = 1)),
    responses((status = 200, description = "Sessions, newest first", body = Paged<SessionAnswer>))
)]
pub async fn sessions(
    app: Data<App>,
    Then(signed_in, page): Then<SignedIn, PageQuery>,
) -> Result<impl Responder, Refusal> {
    let sessions = manage::sessions::list(&app, signed_in.member.user.id, page.0).await?;
    Ok(Answer(sessions.map(|session| SessionAnswer { current: session.id == signed_in.session, ..session.into() })))
}

/// Ends one of one's own sessions.
#[utoipa::path(
    delete, path = "/api/v1/auth/sessions/{id}", tag = "account", security(("bearer" = [])),
    params(("id" = SessionId, Path)),
    responses((status = 204, description = "It is over"))
)]
pub async fn revoke_session(
    app: Data<App>,
    signed_in: SignedIn,
    path: Path<String>,
) -> Result<impl Responder, Refusal> {
    manage::sessions::revoke(&app, &signed_in.actor, signed_in.member.user.id, path_id(&path)?).await?;
    Ok(HttpResponse::NoContent())
}

/// Ends all of one's own sessions, this one too.
#[utoipa::path(
    post, path = "/api/v1/auth/logout-all", tag = "account", security(("bearer" = [])),
    responses((status = 204, description = "All are over"))
)]
pub async fn logout_all(app: Data<App>, signed_in: SignedIn) -> Result<impl Responder, Refusal> {
    manage::sessions::log_out_everywhere(&app, &signed_in.actor, signed_in.member.user.id).await?;
    Ok(HttpResponse::NoContent())
}

/// Changes one's own password; every other session is over.
#[utoipa::path(
    post, path = "/api/v1/auth/password", tag = "account", security(("bearer" = [])), request_body = PasswordBody,
    responses((status = 204, description = "Changed"))
)]
pub async fn change_password(
    app: Data<App>,
    Then(signed_in, body): Then<SignedIn, Json<PasswordBody>>,
) -> Result<impl Responder, Refusal> {
    let SignedIn { member, session, actor, .. } = signed_in;
    let Json(PasswordBody { current_password, new_password }) = body;
    manage::users::change_password(&app, &actor, &member.user, session, current_password, new_password).await?;
    Ok(HttpResponse::NoContent())
}

impl From<Member> for MembershipAnswer {
    fn from(member: Member) -> Self {
        let Member { tenant, role, .. } = member;
        Self { id: tenant.id, name: tenant.name, project_token: tenant.project_token, roles: vec![role.clone()], role }
    }
}

impl From<Session> for SessionAnswer {
    fn from(session: Session) -> Self {
        Self {
            id: session.id,
            tenant_id: session.tenant_id,
            created_at: session.created_at,
            last_used_at: session.rotated_at,
            expires_at: session.expires_at,
            ip: session.ip,
            user_agent: session.user_agent,
            current: false,
        }
    }
}
