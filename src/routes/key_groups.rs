//! `/api/v1/tenants/{tenant_id}/key-groups` (contract section 4.2).

use actix_web::http::header::LOCATION;
use actix_web::web::{Data, Json as Answer, Path};
use actix_web::{HttpResponse, Responder};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use validator::Validate;

use super::path_id;
use crate::app::App;
use crate::domain::key_group::KeyGroup;
use crate::domain::page::Paged;
use crate::domain::{AccessTypeName, KeyGroupId, Name, Refusal, Scope, Scopes, TenantId, Timestamp};
use crate::extract::Then;
use crate::extract::json::Json;
use crate::extract::principal::{InTenant, ReadApiKeys, WriteApiKeys};
use crate::extract::query::PageQuery;
use crate::manage;
use crate::manage::key_groups::NewKeyGroup;

/// A group that is wanted.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateKeyGroupBody {
    name: Name,
    /// Required where the profile has access types.
    access_type: Option<AccessTypeName>,
    #[serde(default)]
    #[validate(length(max = 200, message = "must be at most 200 scopes"))]
    scopes: Vec<Scope>,
}

/// A key group.
#[derive(Serialize, ToSchema)]
pub struct KeyGroupAnswer {
    id: KeyGroupId,
    tenant_id: TenantId,
    name: Name,
    access_type: Option<AccessTypeName>,
    scopes: Vec<Scope>,
    created_at: Timestamp,
    created_by: String,
}

/// Creates a key group.
#[utoipa::path(
    post, path = "/api/v1/tenants/{tenant_id}/key-groups", operation_id = "create_key_group", tag = "key groups", security(("bearer" = [])),
    params(("tenant_id" = TenantId, Path)), request_body = CreateKeyGroupBody,
    responses((status = 201, description = "Created", body = KeyGroupAnswer))
)]
pub async fn create(
    app: Data<App>,
    Then(caller, Json(body)): Then<InTenant<WriteApiKeys>, Json<CreateKeyGroupBody>>,
) -> Result<impl Responder, Refusal> {
    let scopes = Scopes::new(&body.scopes).map_err(|error| Refusal::invalid("scopes", error))?;
    let new = NewKeyGroup { name: body.name, access_type: body.access_type, scopes };
    let group = manage::key_groups::create(&app, &caller.actor, caller.tenant, new).await?;
    let location = format!("/api/v1/tenants/{}/key-groups/{}", group.tenant_id, group.id);
    Ok(HttpResponse::Created().insert_header((LOCATION, location)).json(KeyGroupAnswer::from(group)))
}

/// Lists the tenant's key groups.
#[utoipa::path(
    get, path = "/api/v1/tenants/{tenant_id}/key-groups", operation_id = "list_key_groups", tag = "key groups", security(("bearer" = [])),
    params(
        ("tenant_id" = TenantId, Path),
        ("limit" = Option<u8>, Query, minimum = 1, maximum = 100), ("cursor" = Option<String>, Query, min_length = 1)
    ),
    responses((status = 200, description = "Key groups, newest first", body = Paged<KeyGroupAnswer>))
)]
pub async fn list(
    app: Data<App>,
    Then(caller, page): Then<InTenant<ReadApiKeys>, PageQuery>,
) -> Result<impl Responder, Refusal> {
    Ok(Answer(manage::key_groups::list(&app, caller.tenant, page.0).await?.map(KeyGroupAnswer::from)))
}

/// Shows a key group.
#[utoipa::path(
    get, path = "/api/v1/tenants/{tenant_id}/key-groups/{id}", operation_id = "show_key_group", tag = "key groups", security(("bearer" = [])),
    params(("tenant_id" = TenantId, Path), ("id" = KeyGroupId, Path)),
    responses((status = 200, description = "The group", body = KeyGroupAnswer))
)]
pub async fn find(
    app: Data<App>,
    caller: InTenant<ReadApiKeys>,
    path: Path<(String, String)>,
) -> Result<impl Responder, Refusal> {
    let group = manage::key_groups::find(&app, caller.tenant, path_id(&path.1)?).await?;
    Ok(Answer(KeyGroupAnswer::from(group)))
}

/// Deletes a key group and revokes its keys for good.
#[utoipa::path(
    delete, path = "/api/v1/tenants/{tenant_id}/key-groups/{id}", operation_id = "delete_key_group", tag = "key groups", security(("bearer" = [])),
    params(("tenant_id" = TenantId, Path), ("id" = KeyGroupId, Path)),
    responses((status = 204, description = "Deleted; its keys are revoked"))
)]
pub async fn delete(
    app: Data<App>,
    caller: InTenant<WriteApiKeys>,
    path: Path<(String, String)>,
) -> Result<impl Responder, Refusal> {
    manage::key_groups::delete(&app, &caller.actor, caller.tenant, path_id(&path.1)?).await?;
    Ok(HttpResponse::NoContent())
}

impl From<KeyGroup> for KeyGroupAnswer {
    fn from(group: KeyGroup) -> Self {
        let KeyGroup { id, tenant_id, name, access_type, scopes, created_at, created_by } = group;
        Self { id, tenant_id, name, access_type, scopes: scopes.to_vec(), created_at, created_by }
    }
}
