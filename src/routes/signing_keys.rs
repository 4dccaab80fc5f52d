//! `/api/v1/signing-keys`, for operators (contract section 4.6).

use actix_web::Responder;
use actix_web::web::{Data, Json as Answer};

use crate::app::App;
use crate::domain::Refusal;
use crate::domain::page::Paged;
use crate::domain::signing_key::SigningKeyInfo;
use crate::extract::principal::Operator;
use crate::manage;

/// Lists the signing keys, oldest first: there are never many.
#[utoipa::path(
    get, path = "/api/v1/signing-keys", operation_id = "list_signing_keys", tag = "signing keys",
    security(("bearer" = [])),
    responses((status = 200, description = "The keys", body = Paged<SigningKeyInfo>))
)]
pub async fn list(app: Data<App>, _: Operator) -> Result<impl Responder, Refusal> {
    Ok(Answer(Paged { items: manage::signing_keys::list(&app).await?, next_cursor: None }))
}
