//! `/api/v1/tenants/{tenant_id}/api-keys` (contract section 4.2).

use actix_web::http::header::{CACHE_CONTROL, LOCATION};
use actix_web::web::{Data, Json as Answer, Path};
use actix_web::{HttpRequest, HttpResponse, Responder};
use chrono::TimeDelta;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use validator::Validate;

use super::path_id;
use crate::app::App;
use crate::domain::api_key::{ApiKey, ApiKeyState};
use crate::domain::change::Change;
use crate::domain::constraints::Constraints;
use crate::domain::ip_allow_list::IpAllowList;
use crate::domain::page::Paged;
use crate::domain::{AccessTypeName, ApiKeyId, Email, KeyGroupId, Name, Refusal, Scope, Scopes, TenantId, Timestamp};
use crate::extract::Then;
use crate::extract::header;
use crate::extract::json::{Json, OptionalJson};
use crate::extract::principal::{InTenant, ReadApiKeys, WriteApiKeys};
use crate::extract::query::PageQuery;
use crate::manage;
use crate::manage::api_keys::{ApiKeyChange, CreatedApiKey, NewApiKey};
use crate::manage::idempotency::IdempotencyKey;

/// A key that is wanted.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateBody {
    name: Name,
    /// Those of the group where it is in one; else none is fine: such a key only proves which tenant calls.
    #[validate(length(max = 200, message = "must be at most 200 scopes"))]
    scopes: Option<Vec<Scope>>,
    /// An environment of the profile; the first one where it is absent.
    #[validate(length(min = 1, max = 32, message = "must be 1 to 32 characters"))]
    environment: Option<String>,
    expires_at: Option<Timestamp>,
    #[serde(default)]
    allowed_ips: IpAllowList,
    contact_email: Option<Email>,
    /// A preset of the profile; that of the group, where it is in one.
    access_type: Option<AccessTypeName>,
    /// A key group of the tenant.
    group_id: Option<KeyGroupId>,
    /// Lists of what is permitted, by names that the access type offers; an empty list permits all.
    constraints: Option<Constraints>,
}

/// What may be changed of a key; what may not is refused by name.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeBody {
    name: Option<Name>,
    /// `null` takes it away.
    #[serde(default)]
    #[schema(value_type = Option<Email>)]
    contact_email: Change<Email>,
    #[serde(default, deserialize_with = "present")]
    #[schema(ignore)]
    scopes: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    #[schema(ignore)]
    access_type: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    #[schema(ignore)]
    allowed_ips: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    #[schema(ignore)]
    group_id: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    #[schema(ignore)]
    environment: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    #[schema(ignore)]
    expires_at: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    #[schema(ignore)]
    constraints: Option<Value>,
}

/// How a key is replaced.
#[derive(Default, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateBody {
    /// For how long the old key lives on.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 2_592_000)]
    #[validate(range(min = 0, max = 2_592_000, message = "must be 0 to 2592000"))]
    overlap_seconds: i64,
}

/// An API key, without its plain text.
#[derive(Serialize, ToSchema)]
pub struct ApiKeyAnswer {
    id: ApiKeyId,
    tenant_id: TenantId,
    name: Name,
    /// The first 4 random characters of the key.
    hint: String,
    state: ApiKeyState,
    environment: String,
    scopes: Vec<Scope>,
    allowed_ips: IpAllowList,
    contact_email: Option<Email>,
    access_type: Option<AccessTypeName>,
    group_id: Option<KeyGroupId>,
    constraints: Option<Constraints>,
    /// The key that it was rotated from.
    replaces: Option<ApiKeyId>,
    created_at: Timestamp,
    created_by: String,
    expires_at: Option<Timestamp>,
    revoked_at: Option<Timestamp>,
    last_used_at: Option<Timestamp>,
}

/// A new API key, with its plain text: only here, only once.
#[derive(Serialize, ToSchema)]
pub struct CreatedAnswer {
    key: String,
    #[serde(flatten)]
    about: ApiKeyAnswer,
}

/// Creates an API key.
#[utoipa::path(
    post, path = "/api/v1/tenants/{tenant_id}/api-keys", operation_id = "create_api_key", tag = "api keys", security(("bearer" = [])),
    params(
        ("tenant_id" = TenantId, Path),
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, pattern = "^[ -~]+$")
    ),
    request_body = CreateBody,
    responses((status = 201, description = "Created; `key` is shown only here", body = CreatedAnswer))
)]
pub async fn create(
    app: Data<App>,
    request: HttpRequest,
    Then(caller, Json(body)): Then<InTenant<WriteApiKeys>, Json<CreateBody>>,
) -> Result<HttpResponse, Refusal> {
    let idempotency = idempotency_key(&request)?;
    let new = NewApiKey::try_from(body)?;
    let created = manage::api_keys::create(&app, &caller.actor, caller.tenant, new, idempotency).await?;
    Ok(created_answer(created))
}

/// Lists the tenant's API keys, dead ones too.
#[utoipa::path(
    get, path = "/api/v1/tenants/{tenant_id}/api-keys", operation_id = "list_api_keys", tag = "api keys", security(("bearer" = [])),
    params(
        ("tenant_id" = TenantId, Path),
        ("limit" = Option<u8>, Query, minimum = 1, maximum = 100), ("cursor" = Option<String>, Query, min_length = 1)
    ),
    responses((status = 200, description = "API keys, newest first", body = Paged<ApiKeyAnswer>))
)]
pub async fn list(
    app: Data<App>,
    Then(caller, page): Then<InTenant<ReadApiKeys>, PageQuery>,
) -> Result<impl Responder, Refusal> {
    let now = app.now();
    let keys = manage::api_keys::list(&app, caller.tenant, page.0).await?;
    Ok(Answer(keys.map(|key| ApiKeyAnswer::at(key, now))))
}

/// Shows an API key.
#[utoipa::path(
    get, path = "/api/v1/tenants/{tenant_id}/api-keys/{id}", operation_id = "show_api_key", tag = "api keys", security(("bearer" = [])),
    params(("tenant_id" = TenantId, Path), ("id" = ApiKeyId, Path)),
    responses((status = 200, description = "The key, never its plain text", body = ApiKeyAnswer))
)]
pub async fn find(
    app: Data<App>,
    caller: InTenant<ReadApiKeys>,
    path: Path<(String, String)>,
) -> Result<impl Responder, Refusal> {
    let key = manage::api_keys::find(&app, caller.tenant, path_id(&path.1)?).await?;
    Ok(Answer(ApiKeyAnswer::at(key, app.now())))
}

/// Changes an API key's name or contact.
#[utoipa::path(
    patch, path = "/api/v1/tenants/{tenant_id}/api-keys/{id}", operation_id = "change_api_key", tag = "api keys", security(("bearer" = [])),
    params(("tenant_id" = TenantId, Path), ("id" = ApiKeyId, Path)), request_body = ChangeBody,
    responses((status = 200, description = "Changed", body = ApiKeyAnswer))
)]
pub async fn change(
    app: Data<App>,
    path: Path<(String, String)>,
    Then(caller, Json(body)): Then<InTenant<WriteApiKeys>, Json<ChangeBody>>,
) -> Result<impl Responder, Refusal> {
    let change = ApiKeyChange::try_from(body)?;
    let key = manage::api_keys::change(&app, &caller.actor, caller.tenant, path_id(&path.1)?, change).await?;
    Ok(Answer(ApiKeyAnswer::at(key, app.now())))
}

/// Revokes an API key for good.
#[utoipa::path(
    delete, path = "/api/v1/tenants/{tenant_id}/api-keys/{id}", operation_id = "revoke_api_key", tag = "api keys", security(("bearer" = [])),
    params(("tenant_id" = TenantId, Path), ("id" = ApiKeyId, Path)),
    responses((status = 204, description = "Revoked, now or before"))
)]
pub async fn revoke(
    app: Data<App>,
    caller: InTenant<WriteApiKeys>,
    path: Path<(String, String)>,
) -> Result<impl Responder, Refusal> {
    manage::api_keys::revoke(&app, &caller.actor, caller.tenant, path_id(&path.1)?).await?;
    Ok(HttpResponse::NoContent())
}

/// Replaces an API key by a new one with the same rights.
#[utoipa::path(
    post, path = "/api/v1/tenants/{tenant_id}/api-keys/{id}/rotate", operation_id = "rotate_api_key", tag = "api keys", security(("bearer" = [])),
    params(
        ("tenant_id" = TenantId, Path), ("id" = ApiKeyId, Path),
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, pattern = "^[ -~]+$")
    ),
    request_body(content = RotateBody, description = "May be absent"),
    responses((status = 201, description = "The new key; `key` is shown only here", body = CreatedAnswer))
)]
pub async fn rotate(
    app: Data<App>,
    request: HttpRequest,
    path: Path<(String, String)>,
    Then(caller, OptionalJson(body)): Then<InTenant<WriteApiKeys>, OptionalJson<RotateBody>>,
) -> Result<HttpResponse, Refusal> {
    let id = path_id(&path.1)?;
    let idempotency = idempotency_key(&request)?;
    let overlap = TimeDelta::try_seconds(body.overlap_seconds).unwrap_or(TimeDelta::MAX);
    let created = manage::api_keys::rotate(&app, &caller.actor, caller.tenant, id, overlap, idempotency).await?;
    Ok(created_answer(created))
}

fn idempotency_key(request: &HttpRequest) -> Result<Option<IdempotencyKey>, Refusal> {
    let text = header(request.headers(), "idempotency-key")?;
    text.map(|text| text.parse().map_err(|error| Refusal::invalid("Idempotency-Key", error))).transpose()
}

fn created_answer(created: CreatedApiKey) -> HttpResponse {
    let CreatedApiKey { key, secret, replayed } = created;
    let mut answer = HttpResponse::Created();
    answer.insert_header((CACHE_CONTROL, "no-store"));
    answer.insert_header((LOCATION, format!("/api/v1/tenants/{}/api-keys/{}", key.tenant_id, key.id)));
    if replayed {
        answer.insert_header(("idempotency-replayed", "true"));
    }
    // In the state in which it was made, so that the same answer given again is the same.
    let made = key.created_at;
    answer.json(CreatedAnswer { key: secret.expose().to_owned(), about: ApiKeyAnswer::at(key, made) })
}

impl ApiKeyAnswer {
    fn at(key: ApiKey, now: Timestamp) -> Self {
        Self {
            state: key.state(now),
            scopes: key.scopes.to_vec(),
            id: key.id,
            tenant_id: key.tenant_id,
            name: key.name,
            hint: key.hint,
            environment: key.environment,
            allowed_ips: key.allowed_ips,
            contact_email: key.contact_email,
            access_type: key.access_type,
            group_id: key.group_id,
            constraints: key.constraints,
            replaces: key.replaces,
            created_at: key.created_at,
            created_by: key.created_by,
            expires_at: key.expires_at,
            revoked_at: key.revoked_at,
            last_used_at: key.last_used_at,
        }
    }
}

impl TryFrom<CreateBody> for NewApiKey {
    type Error = Refusal;

    fn try_from(body: CreateBody) -> Result<Self, Refusal> {
        let scopes = body.scopes.as_deref().map(Scopes::new).transpose();
        Ok(Self {
            name: body.name,
            scopes: scopes.map_err(|error| Refusal::invalid("scopes", error))?,
            environment: body.environment,
            expires_at: body.expires_at,
            allowed_ips: body.allowed_ips,
            contact_email: body.contact_email,
            access_type: body.access_type,
            group_id: body.group_id,
            constraints: body.constraints.and_then(Constraints::or_none),
        })
    }
}

impl TryFrom<ChangeBody> for ApiKeyChange {
    type Error = Refusal;

    fn try_from(body: ChangeBody) -> Result<Self, Refusal> {
        let immutable = [
            ("scopes", body.scopes.is_some()),
            ("access_type", body.access_type.is_some()),
            ("allowed_ips", body.allowed_ips.is_some()),
            ("group_id", body.group_id.is_some()),
            ("environment", body.environment.is_some()),
            ("expires_at", body.expires_at.is_some()),
            ("constraints", body.constraints.is_some()),
        ];
        match immutable.into_iter().find(|(_, given)| *given) {
            Some((field, _)) => Err(Refusal::ImmutableField(field)),
            None => Ok(Self { name: body.name, contact_email: body.contact_email }),
        }
    }
}

/// Tells a member that is `null` from one that is absent.
fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}
