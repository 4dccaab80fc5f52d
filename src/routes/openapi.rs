//! `/openapi.json`: made from the handlers' own descriptions.

use std::sync::LazyLock;

use actix_web::HttpResponse;
use actix_web::web::Bytes;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{Components, ContentBuilder, OpenApi as Document, Ref, RefOr, Required, ResponseBuilder};
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
        metadata::jwks, revocations::first, revocations::further, revocations::all,
        metadata::discovery, metadata::discovery_of_path, metadata::openid_configuration,
        health::healthz, health::readyz,
    ),
    components(schemas(Problem)),
    modifiers(&Problems, &OptionalBodies, &Credentials)
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

/// Every operation may answer with a problem document, or with what OAuth has in its place.
struct Problems;

impl Modify for Problems {
    fn modify(&self, document: &mut Document) {
        let refused = |description: &str, media_type: &str, schema: &str| {
            let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(schema))).build();
            ResponseBuilder::new().description(description).content(media_type, content).build()
        };
        let problem = refused("Refused (RFC 9457)", "application/problem+json", "Problem");
        let oauth = refused("Refused (RFC 6749 section 5.2)", "application/json", "OAuthProblem");
        for (path, item) in &mut document.paths.paths {
            let refusal = if path.starts_with("/oauth2/") { &oauth } else { &problem };
            let operations = [&mut item.get, &mut item.post, &mut item.patch, &mut item.delete].into_iter().flatten();
            for operation in operations {
                let responses = &mut operation.responses.responses;
                responses.entry("default".to_owned()).or_insert_with(|| refusal.clone().into());
            }
        }
    }
}

/// A body of which it is said that it may be absent is not required: the macro has no word for that.
struct OptionalBodies;

impl Modify for OptionalBodies {
    fn modify(&self, document: &mut Document) {
        let operations = document.paths.paths.values_mut().filter_map(|item| item.post.as_mut());
        for body in operations.filter_map(|operation| operation.request_body.as_mut()) {
            if let RefOr::T(body) = body
                && body.description.as_deref() == Some("May be absent")
            {
                body.required = Some(Required::False);
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
