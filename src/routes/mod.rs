//! The HTTP door: one endpoint family per file, and the whole route table on this screen.

#![expect(clippy::missing_errors_doc, reason = "a handler's errors are those of the rule that it calls")]

pub mod account;
pub mod api_keys;
pub mod app_identifiers;
pub mod audit_events;
pub mod browser_client;
pub mod docs;
pub mod exchange;
pub mod forward_auth;
pub mod health;
pub mod key_groups;
pub mod login;
pub mod metadata;
pub mod oauth;
mod observe;
pub mod openapi;
mod problems;
pub mod revocations;
pub mod signing_keys;
pub mod tenants;
pub mod trusted_issuers;
pub mod usage;
pub mod users;

use actix_cors::Cors;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::http::header::{CONTENT_TYPE, HeaderName};
use actix_web::middleware::from_fn;
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{App as ActixApp, Error, HttpResponse};

use crate::app::App;
use crate::config::Config;
use crate::console;
use crate::domain::Refusal;
use crate::extract::path_id;
use crate::extract::request_id::X_REQUEST_ID;
use crate::extract::tenant::X_TENANT_ID;
use crate::metrics::RouteCounts;
use crate::route_table::routes;

/// What is asked most stands first: actix compares a path with one row after the other, and a row with a `{name}` costs
/// most.
fn table(config: &mut ServiceConfig) {
    routes! { config,
        "/.well-known/jwks.json"                  => get metadata::jwks;
        "/.well-known/revocations"                => get revocations::first;
        "/.well-known/oauth-authorization-server" => get metadata::discovery;
        "/.well-known/openid-configuration"       => get metadata::openid_configuration;

        "/api/v1/auth/exchange"      => post exchange::exchange;
        "/api/v1/auth/login"         => post login::login;
        "/api/v1/auth/refresh"       => post login::refresh;
        "/api/v1/auth/logout"        => post login::logout;
        "/api/v1/auth/logout-all"    => post account::logout_all;
        "/api/v1/auth/me"            => get account::me;
        "/api/v1/auth/sessions"      => get account::sessions;
        "/api/v1/auth/password"      => post account::change_password;

        "/oauth2/token"      => post oauth::token;
        "/oauth2/revoke"     => post oauth::revoke;
        "/oauth2/introspect" => post oauth::introspect;

        "/healthz" => get health::healthz;
        "/readyz"  => get health::readyz;

        "/api/v1/auth/sessions/{id}" => delete account::revoke_session;

        "/api/v1/tenants"                     => get tenants::list, post tenants::create;
        "/api/v1/tenants/{tenant_id}"         => get tenants::find, patch tenants::change, delete tenants::delete;
        "/api/v1/tenants/{tenant_id}/suspend" => post tenants::suspend;
        "/api/v1/tenants/{tenant_id}/resume"  => post tenants::resume;

        "/api/v1/tenants/{tenant_id}/api-keys"             => get api_keys::list, post api_keys::create;
        "/api/v1/tenants/{tenant_id}/api-keys/{id}"        => get api_keys::find, patch api_keys::change, delete api_keys::revoke;
        "/api/v1/tenants/{tenant_id}/api-keys/{id}/rotate" => post api_keys::rotate;
        "/api/v1/tenants/{tenant_id}/api-keys/{id}/usage"  => get usage::usage;

        "/api/v1/tenants/{tenant_id}/key-groups"      => get key_groups::list, post key_groups::create;
        "/api/v1/tenants/{tenant_id}/key-groups/{id}" => get key_groups::find, delete key_groups::delete;

        "/api/v1/tenants/{tenant_id}/app-identifiers"      => get app_identifiers::list, post app_identifiers::create;
        "/api/v1/tenants/{tenant_id}/app-identifiers/{id}" => get app_identifiers::find, delete app_identifiers::delete;

        "/api/v1/tenants/{tenant_id}/trusted-issuers"      => get trusted_issuers::list, post trusted_issuers::create;
        "/api/v1/tenants/{tenant_id}/trusted-issuers/{id}" => get trusted_issuers::find, delete trusted_issuers::delete;

        "/api/v1/tenants/{tenant_id}/users"      => get users::list, post users::add;
        "/api/v1/tenants/{tenant_id}/users/{id}" => get users::find, patch users::change_role, delete users::remove;
        "/api/v1/tenants/{tenant_id}/users/{id}/one-time-password" => post users::give_one_time_password;

        "/api/v1/tenants/{tenant_id}/audit-events" => get audit_events::list;

        "/api/v1/signing-keys"              => get signing_keys::list;
        "/api/v1/signing-keys/rotate"       => post signing_keys::rotate;
        "/api/v1/signing-keys/{kid}/revoke" => post signing_keys::revoke;

        "/.well-known/status-lists"                         => get revocations::all;
        "/.well-known/revocations/{list}"                   => get revocations::further;
        "/.well-known/oauth-authorization-server/{path:.*}" => get metadata::discovery_of_path;

        "/"             => get docs::root;
        "/docs"         => get docs::page;
        "/docs/{file}"  => get docs::asset;
        "/openapi.json" => get openapi::serve;
        "/assets/jeton.js"   => get browser_client::module;
        "/assets/jeton.d.ts" => get browser_client::types;
    }
    config.default_service(web::to(|| async { Err::<HttpResponse, _>(Refusal::NotFound) }));
}

/// The application that each worker runs.
pub fn application(
    app: Data<App>,
) -> ActixApp<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody>,
        Error = Error,
        InitError = (),
    >,
> {
    let cors = cors(&app.config);
    // Outside CORS: a preflight that is forwarded here is a request like any other, and not answered before it is
    // judged.
    let counts = RouteCounts::default();
    let forward = web::scope(forward_auth::PATH)
        .service(web::resource(["", "/{original:.*}"]).app_data(counts).to(forward_auth::authorize))
        .wrap(from_fn(problems::render));
    // The last one wrapped is the outermost: it sees every request first and every answer last.
    let console = web::scope(console::PATH).configure(console::table).wrap(from_fn(console::frame));
    let others = web::scope("").configure(table).wrap(from_fn(problems::render)).wrap(cors);
    ActixApp::new().app_data(app).service(forward).service(console).service(others).wrap(from_fn(observe::observe))
}

/// Cross-origin calls with credentials, from exactly the origins that were configured (security 23).
fn cors(config: &Config) -> Cors {
    let mut cors = Cors::default()
        .supports_credentials()
        .allowed_methods(["GET", "POST", "PATCH", "DELETE"])
        .allowed_headers(["authorization", "content-type", "idempotency-key", X_REQUEST_ID, X_TENANT_ID])
        .expose_headers([X_REQUEST_ID, "retry-after", "ratelimit", "ratelimit-policy"].map(HeaderName::from_static))
        .expose_headers([CONTENT_TYPE])
        .max_age(600);
    for origin in &config.server.allowed_origins {
        cors = cors.allowed_origin(origin.as_str());
    }
    cors
}
