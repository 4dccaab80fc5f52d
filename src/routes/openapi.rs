//! `/openapi.json`: made from the handlers' own descriptions.

use std::sync::LazyLock;

use actix_web::HttpResponse;
use actix_web::web::Bytes;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{Components, ContentBuilder, OpenApi as Document, Ref, ResponseBuilder};
use utoipa::{Modify, OpenApi};

use super::{
    account, api_keys, app_identifiers, audit_events, exchange, forward_auth, health, key_groups, login, metadata,
    oauth, revocations, signing_keys, tenants, trusted_issuers, usage, users,
};
use crate::error::Problem;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Jeton",
        description = "Log people in, exchange API keys for access tokens, verify them offline.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")
    ),
    paths(
        login::login, login::refresh, login::logout,
        account::logout_all, account::me, account::sessions, account::revoke_session, account::change_password,
        exchange::exchange, forward_auth::authorize, oauth::token, oauth::revoke, oauth::introspect,
        api_keys::create, api_keys::list, api_keys::find, api_keys::change, api_keys::revoke, api_keys::rotate,
        usage::usage,
        key_groups::create, key_groups::list, key_groups::find, key_groups::delete,
        app_identifiers::create, app_identifiers::list, app_identifiers::find, app_identifiers::delete,
        trusted_issuers::create, trusted_issuers::list, trusted_issuers::find, trusted_issuers::delete,
        tenants::create, tenants::list, tenants::find, tenants::change, tenants::suspend, tenants::resume,
        tenants::delete,
        users::add, users::list, users::find, users::change_role, users::remove, users::give_one_time_password,
        audit_events::list, signing_keys::list, signing_keys::rotate, signing_keys::revoke,
        metadata::jwks, revocations::first, revocations::further, revocations::all, metadata::discovery, metadata::openid_configuration,
        health::healthz, health::readyz,
    ),
    components(schemas(Problem)),
    modifiers(&Problems, &Credentials)
)]
struct Api;

/// The document.
#[must_use]
pub fn document() -> Document {
    Api::openapi()
}

/// Serves the document.
pub async fn serve() -> HttpResponse {
    static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| serde_json::to_vec(&document()).unwrap_or_default().into());
    HttpResponse::Ok().content_type("application/json").body(DOCUMENT.clone())
}

/// Every operation may answer with a problem document.
struct Problems;

impl Modify for Problems {
    fn modify(&self, document: &mut Document) {
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
        let problem = ResponseBuilder::new()
            .description("Refused (RFC 9457)")
            .content("application/problem+json", content)
            .build();
        for item in document.paths.paths.values_mut() {
            let operations = [&mut item.get, &mut item.post, &mut item.patch, &mut item.delete].into_iter().flatten();
            for operation in operations {
                let responses = &mut operation.responses.responses;
                responses.entry("default".to_owned()).or_insert_with(|| problem.clone().into());
            }
        }
    }
}

/// How callers prove who they are.
struct Credentials;

impl Modify for Credentials {
    fn modify(&self, document: &mut Document) {
        let components = document.components.get_or_insert_with(Components::default);
        let scheme = |scheme| SecurityScheme::Http(Http::new(scheme));
        components.add_security_scheme("bearer", scheme(HttpAuthScheme::Bearer));
        components.add_security_scheme("api_key", scheme(HttpAuthScheme::Bearer));
        components.add_security_scheme("basic", scheme(HttpAuthScheme::Basic));
    }
}
