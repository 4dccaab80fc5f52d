//! `/api/v1/signing-keys`, for operators (contract section 4.6).

use actix_web::Responder;
use actix_web::web::{Data, Json as Answer};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::db::signing_keys::SigningKeyRow;
use crate::domain::page::Paged;
use crate::domain::{Refusal, Timestamp};
use crate::extract::principal::Operator;
use crate::manage;

/// A signing key, without its private half.
#[derive(Serialize, ToSchema)]
pub struct SigningKeyAnswer {
    /// The RFC 7638 thumbprint.
    pub(crate) kid: String,
    pub(crate) algorithm: String,
    /// `pending`, `active`, `retiring`, `retired` or `compromised`.
    pub(crate) state: String,
    pub(crate) created_at: Timestamp,
    pub(crate) activated_at: Option<Timestamp>,
    pub(crate) retired_at: Option<Timestamp>,
}

/// Lists the signing keys, oldest first: there are never many.
#[utoipa::path(
    get, path = "/api/v1/signing-keys", operation_id = "list_signing_keys", tag = "signing keys", security(("bearer" = [])),
    responses((status = 200, description = "The keys", body = Paged<SigningKeyAnswer>))
)]
pub async fn list(app: Data<App>, _: Operator) -> Result<impl Responder, Refusal> {
    let items = manage::signing_keys::list(&app).await?.into_iter().map(SigningKeyAnswer::from).collect();
    Ok(Answer(Paged { items, next_cursor: None }))
}

impl From<SigningKeyRow> for SigningKeyAnswer {
    fn from(row: SigningKeyRow) -> Self {
        Self {
            kid: row.kid,
            algorithm: row.algorithm,
            state: row.state,
            created_at: row.created_at,
            activated_at: row.activated_at,
            retired_at: row.retired_at,
        }
    }
}
