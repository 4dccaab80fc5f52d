//! `/api/v1/tenants/{tenant_id}/trusted-issuers` (ADR 11).

use actix_web::http::header::LOCATION;
use actix_web::web::{Data, Json as Answer, Path};
use actix_web::{HttpResponse, Responder};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use validator::Validate;

use super::path_id;
use crate::app::App;
use crate::domain::claim_conditions::ClaimConditions;
use crate::domain::issuer_url::IssuerUrl;
use crate::domain::page::Paged;
use crate::domain::trusted_issuer::TrustedIssuer;
use crate::domain::{Audience, Name, Refusal, Scope, Scopes, TenantId, Timestamp, TrustedIssuerId};
use crate::extract::Then;
use crate::extract::json::Json;
use crate::extract::principal::{InTenant, ReadTrustedIssuers, WriteTrustedIssuers};
use crate::extract::query::PageQuery;
use crate::manage;
use crate::manage::trusted_issuers::NewTrustedIssuer;

/// An issuer that is to be trusted.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateTrustedIssuerBody {
    name: Name,
    /// The `iss` of its tokens, exactly.
    issuer: IssuerUrl,
    /// What its tokens must have among their `aud`; best a name of this server that no other one uses.
    audience: Audience,
    /// What else they must say: for each claim a value or a list of values; at least one claim.
    conditions: ClaimConditions,
    #[validate(length(max = 200, message = "must be at most 200 scopes"))]
    scopes: Vec<Scope>,
}

/// A trusted issuer.
#[derive(Serialize, ToSchema)]
pub struct TrustedIssuerAnswer {
    id: TrustedIssuerId,
    tenant_id: TenantId,
    name: Name,
    issuer: IssuerUrl,
    audience: Audience,
    conditions: ClaimConditions,
    scopes: Vec<Scope>,
    created_at: Timestamp,
    created_by: String,
    /// To the minute.
    last_used_at: Option<Timestamp>,
}

/// Trusts an issuer with some scopes, for those of its tokens that meet the conditions.
#[utoipa::path(
    post, path = "/api/v1/tenants/{tenant_id}/trusted-issuers", operation_id = "create_trusted_issuer", tag = "trusted issuers", security(("bearer" = [])),
    params(("tenant_id" = TenantId, Path)), request_body = CreateTrustedIssuerBody,
    responses((status = 201, description = "Trusted", body = TrustedIssuerAnswer))
)]
pub async fn create(
    app: Data<App>,
    Then(caller, Json(body)): Then<InTenant<WriteTrustedIssuers>, Json<CreateTrustedIssuerBody>>,
) -> Result<impl Responder, Refusal> {
    let CreateTrustedIssuerBody { name, issuer, audience, conditions, scopes } = body;
    let scopes = Scopes::new(&scopes).map_err(|error| Refusal::invalid("scopes", error))?;
    let new = NewTrustedIssuer { name, issuer, audience, conditions, scopes };
    let made = manage::trusted_issuers::create(&app, &caller.actor, caller.tenant, new).await?;
    let location = format!("/api/v1/tenants/{}/trusted-issuers/{}", made.tenant_id, made.id);
    Ok(HttpResponse::Created().insert_header((LOCATION, location)).json(TrustedIssuerAnswer::from(made)))
}

/// Lists the issuers that the tenant trusts.
#[utoipa::path(
    get, path = "/api/v1/tenants/{tenant_id}/trusted-issuers", operation_id = "list_trusted_issuers", tag = "trusted issuers", security(("bearer" = [])),
    params(
        ("tenant_id" = TenantId, Path),
        ("limit" = Option<u8>, Query, minimum = 1, maximum = 100), ("cursor" = Option<String>, Query, min_length = 1)
    ),
    responses((status = 200, description = "Trusted issuers, newest first", body = Paged<TrustedIssuerAnswer>))
)]
pub async fn list(
    app: Data<App>,
    Then(caller, page): Then<InTenant<ReadTrustedIssuers>, PageQuery>,
) -> Result<impl Responder, Refusal> {
    Ok(Answer(manage::trusted_issuers::list(&app, caller.tenant, page.0).await?.map(TrustedIssuerAnswer::from)))
}

/// Shows a trusted issuer.
#[utoipa::path(
    get, path = "/api/v1/tenants/{tenant_id}/trusted-issuers/{id}", operation_id = "show_trusted_issuer", tag = "trusted issuers", security(("bearer" = [])),
    params(("tenant_id" = TenantId, Path), ("id" = TrustedIssuerId, Path)),
    responses((status = 200, description = "The issuer", body = TrustedIssuerAnswer))
)]
pub async fn find(
    app: Data<App>,
    caller: InTenant<ReadTrustedIssuers>,
    path: Path<(String, String)>,
) -> Result<impl Responder, Refusal> {
    let found = manage::trusted_issuers::find(&app, caller.tenant, path_id(&path.1)?).await?;
    Ok(Answer(TrustedIssuerAnswer::from(found)))
}

/// Trusts an issuer no more: its workloads get no token, and those that they have open nothing here.
#[utoipa::path(
    delete, path = "/api/v1/tenants/{tenant_id}/trusted-issuers/{id}", operation_id = "delete_trusted_issuer", tag = "trusted issuers", security(("bearer" = [])),
    params(("tenant_id" = TenantId, Path), ("id" = TrustedIssuerId, Path)),
    responses((status = 204, description = "Trusted no more"))
)]
pub async fn delete(
    app: Data<App>,
    caller: InTenant<WriteTrustedIssuers>,
    path: Path<(String, String)>,
) -> Result<impl Responder, Refusal> {
    manage::trusted_issuers::delete(&app, &caller.actor, caller.tenant, path_id(&path.1)?).await?;
    Ok(HttpResponse::NoContent())
}

impl From<TrustedIssuer> for TrustedIssuerAnswer {
    fn from(trusted: TrustedIssuer) -> Self {
        let TrustedIssuer { id, tenant_id, name, issuer, audience, conditions, scopes, .. } = trusted;
        Self {
            id,
            tenant_id,
            name,
            issuer,
            audience,
            conditions,
            scopes: scopes.to_vec(),
            created_at: trusted.created_at,
            created_by: trusted.created_by,
            last_used_at: trusted.last_used_at,
        }
    }
}
