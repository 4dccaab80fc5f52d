//! `/api/v1/signing-keys`, for operators (contract section 4.6).

use actix_web::Responder;
use actix_web::web::{Data, Json as Answer, Path};
use serde::Deserialize;
use utoipa::ToSchema;
use validator::Validate;

use crate::app::App;
use crate::domain::Refusal;
use crate::domain::page::Paged;
use crate::domain::rotation::KeyOutlook;
use crate::extract::Then;
use crate::extract::json::OptionalJson;
use crate::extract::principal::Operator;
use crate::manage;
use crate::manage::signing_keys::{Revocation, Rotation};

/// How to rotate.
#[derive(Deserialize, Default, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateSigningKeysBody {
    /// Let the new keys sign at once, though verifiers may not know them yet.
    #[serde(default)]
    emergency: bool,
}

/// Lists the signing keys, oldest first: there are never many.
#[utoipa::path(
    get, path = "/api/v1/signing-keys", operation_id = "list_signing_keys", tag = "signing keys",
    security(("bearer" = [])),
    responses((status = 200, description = "The keys, and what becomes of each", body = Paged<KeyOutlook>))
)]
pub async fn list(app: Data<App>, _: Operator) -> Result<impl Responder, Refusal> {
    Ok(Answer(Paged { items: manage::signing_keys::list(&app).await?, next_cursor: None }))
}

/// Begins a rotation of the signing keys, unless one is under way.
#[utoipa::path(
    post, path = "/api/v1/signing-keys/rotate", operation_id = "rotate_signing_keys", tag = "signing keys",
    security(("bearer" = [])), request_body(content = RotateSigningKeysBody, description = "May be absent"),
    responses((status = 200, description = "The keys that sign next, begun now or before", body = Rotation))
)]
pub async fn rotate(
    app: Data<App>,
    Then(caller, OptionalJson(body)): Then<Operator, OptionalJson<RotateSigningKeysBody>>,
) -> Result<impl Responder, Refusal> {
    Ok(Answer(manage::signing_keys::rotate(&app, &caller.actor, body.emergency).await?))
}

/// Takes a leaked signing key out of use at once, and lets another one sign.
#[utoipa::path(
    post, path = "/api/v1/signing-keys/{kid}/revoke", operation_id = "revoke_signing_key", tag = "signing keys",
    security(("bearer" = [])), params(("kid" = String, Path)),
    responses((status = 200, description = "Revoked, now or before", body = Revocation))
)]
pub async fn revoke(app: Data<App>, caller: Operator, kid: Path<String>) -> Result<impl Responder, Refusal> {
    Ok(Answer(manage::signing_keys::revoke(&app, &caller.actor, &kid).await?))
}
