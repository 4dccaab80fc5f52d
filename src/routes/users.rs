//! `/api/v1/tenants/{tenant_id}/users` (contract section 4.6).

use actix_web::http::header::{CACHE_CONTROL, LOCATION};
use actix_web::web::{Data, Json as Answer, Path};
use actix_web::{HttpResponse, Responder};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use validator::Validate;

use super::path_id;
use crate::app::App;
use crate::domain::page::Paged;
use crate::domain::password::Password;
use crate::domain::{Email, Member, Refusal, Role, TenantId, Timestamp, UserId};
use crate::extract::Then;
use crate::extract::json::Json;
use crate::extract::principal::{InTenant, ReadUsers, WriteUsers};
use crate::extract::query::PageQuery;
use crate::manage;
use crate::manage::users::{NewPassword, NewUser};

/// A member that is wanted.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddUserBody {
    email: Email,
    /// `member` where it is absent.
    #[serde(default = "member")]
    role: Role,
    /// One is generated, and shown once, where it is absent.
    password: Option<Password>,
    /// Generate one that is good only for choosing another one, in the first login.
    #[serde(default)]
    one_time_password: bool,
}

/// Another role.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeRoleBody {
    role: Role,
}

/// A user as a member of the tenant.
#[derive(Serialize, ToSchema)]
pub struct UserAnswer {
    id: UserId,
    email: Email,
    role: Role,
    disabled: bool,
    /// Since when; what the person does elsewhere is not this tenant's business.
    joined_at: Timestamp,
    /// Until when the one-time password works; absent once the person has chosen another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    one_time_password_expires_at: Option<Timestamp>,
    /// The generated password: only in the answer that added the user, only once.
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<String>,
    /// `true` in the answer that added somebody whose account exists already and was set up elsewhere: make sure that
    /// it is this person's.
    #[serde(skip_serializing_if = "Option::is_none")]
    existing: Option<bool>,
}

/// A one-time password.
#[derive(Serialize, ToSchema)]
pub struct OneTimePasswordAnswer {
    id: UserId,
    password: String,
    one_time_password_expires_at: Option<Timestamp>,
}

/// Adds a user to the tenant; a person who is known already becomes a member and keeps the password.
#[utoipa::path(
    post, path = "/api/v1/tenants/{tenant_id}/users", operation_id = "add_user", tag = "users", security(("bearer" = [])),
    params(("tenant_id" = TenantId, Path)), request_body = AddUserBody,
    responses((status = 201, description = "Added", body = UserAnswer))
)]
pub async fn add(
    app: Data<App>,
    Then(caller, Json(body)): Then<InTenant<WriteUsers>, Json<AddUserBody>>,
) -> Result<impl Responder, Refusal> {
    let AddUserBody { email, role, password, one_time_password } = body;
    let password = match (password, one_time_password) {
        (Some(_), true) => {
            return Err(Refusal::invalid("password", "must be absent: a one-time password is generated"));
        }
        (Some(password), false) => NewPassword::Chosen(password),
        (None, true) => NewPassword::OneTime,
        (None, false) => NewPassword::Generated,
    };
    let (tenant, role) = (caller.tenant, Some(role));
    let new = NewUser { email, tenant, role, operator: false, password, idempotency: None };
    let added = manage::users::add(&app, &caller.actor, new).await?;
    let location = format!("/api/v1/tenants/{}/users/{}", caller.tenant, added.member.user.id);
    let existing = added.existing.then_some(true);
    let password = added.generated_password.map(|password| password.expose_secret().to_owned());
    Ok(HttpResponse::Created()
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((LOCATION, location))
        .json(UserAnswer { password, existing, ..added.member.into() }))
}

/// Lists the members of the tenant.
#[utoipa::path(
    get, path = "/api/v1/tenants/{tenant_id}/users", operation_id = "list_users", tag = "users", security(("bearer" = [])),
    params(
        ("tenant_id" = TenantId, Path),
        ("limit" = Option<u8>, Query, minimum = 1, maximum = 100), ("cursor" = Option<String>, Query, min_length = 1)
    ),
    responses((status = 200, description = "Members, newest first", body = Paged<UserAnswer>))
)]
pub async fn list(
    app: Data<App>,
    Then(caller, page): Then<InTenant<ReadUsers>, PageQuery>,
) -> Result<impl Responder, Refusal> {
    Ok(Answer(manage::users::list_members(&app, caller.tenant, page.0).await?.map(UserAnswer::from)))
}

/// Shows a member.
#[utoipa::path(
    get, path = "/api/v1/tenants/{tenant_id}/users/{id}", operation_id = "show_user", tag = "users", security(("bearer" = [])),
    params(("tenant_id" = TenantId, Path), ("id" = UserId, Path)),
    responses((status = 200, description = "The member", body = UserAnswer))
)]
pub async fn find(
    app: Data<App>,
    caller: InTenant<ReadUsers>,
    path: Path<(String, String)>,
) -> Result<impl Responder, Refusal> {
    let member = manage::users::find_member(&app, caller.tenant, path_id(&path.1)?).await?;
    Ok(Answer(UserAnswer::from(member)))
}

/// Gives a member another role.
#[utoipa::path(
    patch, path = "/api/v1/tenants/{tenant_id}/users/{id}", operation_id = "change_role", tag = "users", security(("bearer" = [])),
    params(("tenant_id" = TenantId, Path), ("id" = UserId, Path)), request_body = ChangeRoleBody,
    responses((status = 200, description = "Changed", body = UserAnswer))
)]
pub async fn change_role(
    app: Data<App>,
    path: Path<(String, String)>,
    Then(caller, Json(body)): Then<InTenant<WriteUsers>, Json<ChangeRoleBody>>,
) -> Result<impl Responder, Refusal> {
    let member = manage::users::change_role(&app, &caller.actor, caller.tenant, path_id(&path.1)?, body.role).await?;
    Ok(Answer(UserAnswer::from(member)))
}

/// Gives a member another one-time password, where the last one was lost or has expired.
#[utoipa::path(
    post, path = "/api/v1/tenants/{tenant_id}/users/{id}/one-time-password", operation_id = "give_one_time_password",
    tag = "users", security(("bearer" = [])), params(("tenant_id" = TenantId, Path), ("id" = UserId, Path)),
    responses((status = 200, description = "The password, only here", body = OneTimePasswordAnswer))
)]
pub async fn give_one_time_password(
    app: Data<App>,
    caller: InTenant<WriteUsers>,
    path: Path<(String, String)>,
) -> Result<impl Responder, Refusal> {
    let (user, password) =
        manage::users::give_one_time_password(&app, &caller.actor, caller.tenant, path_id(&path.1)?, None).await?;
    Ok(HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).json(OneTimePasswordAnswer {
        id: user.id,
        password: password.expose_secret().to_owned(),
        one_time_password_expires_at: user.one_time_until,
    }))
}

/// Removes a member from the tenant; its sessions there end.
#[utoipa::path(
    delete, path = "/api/v1/tenants/{tenant_id}/users/{id}", operation_id = "remove_user", tag = "users", security(("bearer" = [])),
    params(("tenant_id" = TenantId, Path), ("id" = UserId, Path)),
    responses((status = 204, description = "Removed"))
)]
pub async fn remove(
    app: Data<App>,
    caller: InTenant<WriteUsers>,
    path: Path<(String, String)>,
) -> Result<impl Responder, Refusal> {
    manage::users::remove(&app, &caller.actor, caller.tenant, path_id(&path.1)?).await?;
    Ok(HttpResponse::NoContent())
}

fn member() -> Role {
    Role::MEMBER
}

impl From<Member> for UserAnswer {
    fn from(member: Member) -> Self {
        let Member { user, role, joined_at, .. } = member;
        Self {
            id: user.id,
            email: user.email,
            role,
            disabled: user.disabled_at.is_some(),
            joined_at,
            one_time_password_expires_at: user.one_time_until,
            password: None,
            existing: None,
        }
    }
}
