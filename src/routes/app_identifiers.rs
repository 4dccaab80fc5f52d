//! `/api/v1/tenants/{tenant_id}/app-identifiers` (contract section 6).

use actix_web::http::header::LOCATION;
use actix_web::web::{Data, Json as Answer, Path};
use actix_web::{HttpResponse, Responder};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use validator::Validate;

use super::path_id;
use crate::app::App;
use crate::domain::app_identifier::AppIdentifier;
use crate::domain::page::Paged;
use crate::domain::{AppIdentifierId, Name, Refusal, TenantId, Timestamp};
use crate::extract::Then;
use crate::extract::json::Json;
use crate::extract::principal::{InTenant, ReadApiKeys, WriteApiKeys};
use crate::extract::query::PageQuery;
use crate::manage;

/// An app that needs an identifier.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateAppIdentifierBody {
    name: Name,
    /// What it runs on, such as `iOS`.
    platform: Option<Name>,
}

/// An app identifier: public, and without permissions.
#[derive(Serialize, ToSchema)]
pub struct AppIdentifierAnswer {
    id: AppIdentifierId,
    /// The same as `id`, under the name that SDKs have for it.
    app_id: AppIdentifierId,
    tenant_id: TenantId,
    name: Name,
    platform: Option<Name>,
    created_at: Timestamp,
    created_by: String,
}

/// Assigns an identifier to an app.
#[utoipa::path(
    post, path = "/api/v1/tenants/{tenant_id}/app-identifiers", operation_id = "create_app_identifier", tag = "app identifiers", security(("bearer" = [])),
    params(("tenant_id" = TenantId, Path)), request_body = CreateAppIdentifierBody,
    responses((status = 201, description = "Assigned", body = AppIdentifierAnswer))
)]
pub async fn create(
    app: Data<App>,
    Then(caller, Json(body)): Then<InTenant<WriteApiKeys>, Json<CreateAppIdentifierBody>>,
) -> Result<impl Responder, Refusal> {
    let CreateAppIdentifierBody { name, platform } = body;
    let assigned = manage::app_identifiers::create(&app, &caller.actor, caller.tenant, name, platform).await?;
    let location = format!("/api/v1/tenants/{}/app-identifiers/{}", assigned.tenant_id, assigned.id);
    Ok(HttpResponse::Created().insert_header((LOCATION, location)).json(AppIdentifierAnswer::from(assigned)))
}

/// Lists the tenant's app identifiers.
#[utoipa::path(
    get, path = "/api/v1/tenants/{tenant_id}/app-identifiers", operation_id = "list_app_identifiers", tag = "app identifiers", security(("bearer" = [])),
    params(
        ("tenant_id" = TenantId, Path),
        ("limit" = Option<u8>, Query, minimum = 1, maximum = 100), ("cursor" = Option<String>, Query, min_length = 1)
    ),
    responses((status = 200, description = "App identifiers, newest first", body = Paged<AppIdentifierAnswer>))
)]
pub async fn list(
    app: Data<App>,
    Then(caller, page): Then<InTenant<ReadApiKeys>, PageQuery>,
) -> Result<impl Responder, Refusal> {
    Ok(Answer(manage::app_identifiers::list(&app, caller.tenant, page.0).await?.map(AppIdentifierAnswer::from)))
}

/// Shows an app identifier.
#[utoipa::path(
    get, path = "/api/v1/tenants/{tenant_id}/app-identifiers/{id}", operation_id = "show_app_identifier", tag = "app identifiers", security(("bearer" = [])),
    params(("tenant_id" = TenantId, Path), ("id" = AppIdentifierId, Path)),
    responses((status = 200, description = "The identifier", body = AppIdentifierAnswer))
)]
pub async fn find(
    app: Data<App>,
    caller: InTenant<ReadApiKeys>,
    path: Path<(String, String)>,
) -> Result<impl Responder, Refusal> {
    let assigned = manage::app_identifiers::find(&app, caller.tenant, path_id(&path.1)?).await?;
    Ok(Answer(AppIdentifierAnswer::from(assigned)))
}

/// Takes an app identifier away.
#[utoipa::path(
    delete, path = "/api/v1/tenants/{tenant_id}/app-identifiers/{id}", operation_id = "delete_app_identifier", tag = "app identifiers", security(("bearer" = [])),
    params(("tenant_id" = TenantId, Path), ("id" = AppIdentifierId, Path)),
    responses((status = 204, description = "Taken away"))
)]
pub async fn delete(
    app: Data<App>,
    caller: InTenant<WriteApiKeys>,
    path: Path<(String, String)>,
) -> Result<impl Responder, Refusal> {
    manage::app_identifiers::delete(&app, &caller.actor, caller.tenant, path_id(&path.1)?).await?;
    Ok(HttpResponse::NoContent())
}

impl From<AppIdentifier> for AppIdentifierAnswer {
    fn from(assigned: AppIdentifier) -> Self {
        let AppIdentifier { id, tenant_id, name, platform, created_at, created_by } = assigned;
        Self { id, app_id: id, tenant_id, name, platform, created_at, created_by }
    }
}
