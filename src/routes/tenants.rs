//! `/api/v1/tenants`, for operators (contract section 4.6).

use actix_web::http::header::LOCATION;
use actix_web::web::{Data, Json as Answer, Path};
use actix_web::{HttpResponse, Responder};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use validator::Validate;

use super::path_id;
use crate::app::App;
use crate::domain::page::Paged;
use crate::domain::tenant::TenantState;
use crate::domain::{Name, Refusal, Tenant, TenantId, Timestamp};
use crate::extract::Then;
use crate::extract::json::Json;
use crate::extract::principal::Operator;
use crate::extract::query::PageQuery;
use crate::manage;
use crate::manage::tenants::{NewTenant, TenantChange};

/// A tenant that is wanted.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateTenantBody {
    name: Name,
    /// Where the id is known elsewhere already.
    id: Option<TenantId>,
    #[schema(min_length = 1, max_length = 64)]
    #[validate(length(min = 1, max = 64, message = "must be 1 to 64 characters"))]
    plan: Option<String>,
}

/// What is to be changed of a tenant.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeTenantBody {
    name: Option<Name>,
    #[schema(min_length = 1, max_length = 64)]
    #[validate(length(min = 1, max = 64, message = "must be 1 to 64 characters"))]
    plan: Option<String>,
}

/// A tenant.
#[derive(Serialize, ToSchema)]
pub struct TenantAnswer {
    id: TenantId,
    name: Name,
    /// The tenant's public name in URLs.
    project_token: String,
    plan: Option<String>,
    state: TenantState,
    created_at: Timestamp,
    suspended_at: Option<Timestamp>,
}

/// Creates a tenant.
#[utoipa::path(
    post, path = "/api/v1/tenants", operation_id = "create_tenant", tag = "tenants", security(("bearer" = [])), request_body = CreateTenantBody,
    responses((status = 201, description = "Created", body = TenantAnswer))
)]
pub async fn create(
    app: Data<App>,
    Then(caller, Json(body)): Then<Operator, Json<CreateTenantBody>>,
) -> Result<impl Responder, Refusal> {
    let new = NewTenant { id: body.id, name: body.name, plan: body.plan };
    let tenant = manage::tenants::create(&app, &caller.actor, new).await?;
    let location = format!("/api/v1/tenants/{}", tenant.id);
    Ok(HttpResponse::Created().insert_header((LOCATION, location)).json(TenantAnswer::from(tenant)))
}

/// Lists all tenants.
#[utoipa::path(
    get, path = "/api/v1/tenants", operation_id = "list_tenants", tag = "tenants", security(("bearer" = [])),
    params(("limit" = Option<u8>, Query, minimum = 1, maximum = 100), ("cursor" = Option<String>, Query, min_length = 1)),
    responses((status = 200, description = "Tenants, newest first", body = Paged<TenantAnswer>))
)]
pub async fn list(app: Data<App>, Then(_operator, page): Then<Operator, PageQuery>) -> Result<impl Responder, Refusal> {
    Ok(Answer(manage::tenants::list(&app, page.0).await?.map(TenantAnswer::from)))
}

/// Shows a tenant.
#[utoipa::path(
    get, path = "/api/v1/tenants/{tenant_id}", operation_id = "show_tenant", tag = "tenants", security(("bearer" = [])),
    params(("tenant_id" = TenantId, Path)),
    responses((status = 200, description = "The tenant", body = TenantAnswer))
)]
pub async fn find(app: Data<App>, _: Operator, path: Path<String>) -> Result<impl Responder, Refusal> {
    Ok(Answer(TenantAnswer::from(manage::tenants::find(&app, path_id(&path)?).await?)))
}

/// Changes a tenant's name or plan.
#[utoipa::path(
    patch, path = "/api/v1/tenants/{tenant_id}", operation_id = "change_tenant", tag = "tenants", security(("bearer" = [])),
    params(("tenant_id" = TenantId, Path)), request_body = ChangeTenantBody,
    responses((status = 200, description = "Changed", body = TenantAnswer))
)]
pub async fn change(
    app: Data<App>,
    path: Path<String>,
    Then(caller, Json(body)): Then<Operator, Json<ChangeTenantBody>>,
) -> Result<impl Responder, Refusal> {
    let change = TenantChange { name: body.name, plan: body.plan };
    let tenant = manage::tenants::change(&app, &caller.actor, path_id(&path)?, change).await?;
    Ok(Answer(TenantAnswer::from(tenant)))
}

/// Suspends a tenant: its sessions end, its keys rest.
#[utoipa::path(
    post, path = "/api/v1/tenants/{tenant_id}/suspend", operation_id = "suspend_tenant", tag = "tenants", security(("bearer" = [])),
    params(("tenant_id" = TenantId, Path)),
    responses((status = 200, description = "Suspended, now or before", body = TenantAnswer))
)]
pub async fn suspend(app: Data<App>, caller: Operator, path: Path<String>) -> Result<impl Responder, Refusal> {
    let tenant = manage::tenants::suspend(&app, &caller.actor, path_id(&path)?).await?;
    Ok(Answer(TenantAnswer::from(tenant)))
}

/// Resumes a tenant: its keys work again, its users log in anew.
#[utoipa::path(
    post, path = "/api/v1/tenants/{tenant_id}/resume", operation_id = "resume_tenant", tag = "tenants", security(("bearer" = [])),
    params(("tenant_id" = TenantId, Path)),
    responses((status = 200, description = "Active, now or before", body = TenantAnswer))
)]
pub async fn resume(app: Data<App>, caller: Operator, path: Path<String>) -> Result<impl Responder, Refusal> {
    let tenant = manage::tenants::resume(&app, &caller.actor, path_id(&path)?).await?;
    Ok(Answer(TenantAnswer::from(tenant)))
}

/// Deletes a tenant with its members, sessions and keys.
#[utoipa::path(
    delete, path = "/api/v1/tenants/{tenant_id}", operation_id = "delete_tenant", tag = "tenants", security(("bearer" = [])),
    params(("tenant_id" = TenantId, Path)),
    responses((status = 204, description = "Deleted"))
)]
pub async fn delete(app: Data<App>, caller: Operator, path: Path<String>) -> Result<impl Responder, Refusal> {
    manage::tenants::delete(&app, &caller.actor, path_id(&path)?).await?;
    Ok(HttpResponse::NoContent())
}

impl From<Tenant> for TenantAnswer {
    fn from(tenant: Tenant) -> Self {
        Self {
            id: tenant.id,
            state: tenant.state(),
            name: tenant.name,
            project_token: tenant.project_token,
            plan: tenant.plan,
            created_at: tenant.created_at,
            suspended_at: tenant.suspended_at,
        }
    }
}
