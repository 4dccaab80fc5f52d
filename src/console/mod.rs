//! The browser's door: pages for a product's customers, rendered here, that need no script. The whole route table is on
//! this screen; `templates/` has the HTML, `texts/` the words, `assets/console.css` the looks.
//!
//! A page asks the same `manage` and `grants` as the other doors, as the user of a session that the refresh cookie
//! proves, under the same scopes. A form adds two proofs: it comes from a page of ours, and it carries the token of its
//! session (`form.rs`).

mod account;
mod app_identifiers;
mod assets;
mod audit;
mod date;
mod form;
mod frame;
mod groups;
mod home;
mod keys;
mod list;
mod organisations;
mod page;
mod plan;
mod refused;
mod scopes;
mod session;
mod sign_in;
mod signing_keys;
mod tenants;
mod texts;
mod timeline;
mod trusted_issuers;
mod users;

use actix_web::HttpResponse;
use actix_web::web::{self, ServiceConfig};

use crate::domain::Refusal;
use crate::route_table::routes;

pub use self::frame::frame;

/// Where the console is.
pub const PATH: &str = "/console";

/// Registers the pages.
pub fn table(config: &mut ServiceConfig) {
    routes! { config,
        ""              => get home::home;
        "/sign-in"      => get sign_in::page, post sign_in::sign_in;
        "/sign-out"     => post sign_in::sign_out;
        "/assets/{file}" => get assets::file;

        "/keys"             => get keys::list::page;
        "/keys/new"         => get keys::create::page, post keys::create::create;
        "/keys/{id}"        => get keys::show::page, post keys::show::change;
        "/keys/{id}/rotate" => get keys::rotate::page, post keys::rotate::rotate;
        "/keys/{id}/revoke" => get keys::revoke::page, post keys::revoke::revoke;

        "/groups"             => get groups::list, post groups::create;
        "/groups/new"         => get groups::new;
        "/groups/{id}"        => get groups::detail;
        "/groups/{id}/delete" => post groups::delete;

        "/app-identifiers"             => get app_identifiers::list, post app_identifiers::create;
        "/app-identifiers/{id}/delete" => post app_identifiers::delete;

        "/trusted-issuers"             => get trusted_issuers::list, post trusted_issuers::create;
        "/trusted-issuers/new"         => get trusted_issuers::new;
        "/trusted-issuers/{id}/delete" => post trusted_issuers::delete;

        "/users"                        => get users::list, post users::add;
        "/users/{id}"                   => get users::detail;
        "/users/{id}/role"              => post users::change_role;
        "/users/{id}/one-time-password" => post users::renew;
        "/users/{id}/remove"            => post users::remove;

        "/audit" => get audit::page;
        "/plan"  => get plan::page;

        "/tenants"              => get tenants::list, post tenants::create;
        "/tenants/{id}"         => get tenants::detail;
        "/tenants/{id}/plan"    => post tenants::set_plan;
        "/tenants/{id}/suspend" => post tenants::suspend;
        "/tenants/{id}/resume"  => post tenants::resume;
        "/tenants/{id}/delete"  => post tenants::delete;

        "/signing-keys"              => get signing_keys::page;
        "/signing-keys/rotate"       => post signing_keys::rotate;
        "/signing-keys/{kid}/revoke" => post signing_keys::revoke;

        "/organisations" => get organisations::page, post organisations::switch;

        "/account"                   => get account::page;
        "/account/password"          => post account::change_password;
        "/account/sessions/{id}/end" => post account::end_session;
        "/account/sign-out-everywhere" => post account::sign_out_everywhere;
    }
    config.default_service(web::to(|| async { Err::<HttpResponse, _>(Refusal::NotFound) }));
}
