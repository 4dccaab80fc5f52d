//! The one sight of a key's plain text, and a call that works when it is pasted.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use askama::Template;

use super::example;
use crate::app::App;
use crate::console::date::Moment;
use crate::console::list::moment;
use crate::console::page::{Page, Place, render};
use crate::console::session::Visitor;
use crate::console::texts::{self, Gap as _};
use crate::domain::{ApiKeyId, Refusal};
use crate::extract::principal::WriteApiKeys;
use crate::manage::api_keys::CreatedApiKey;
use crate::profile::key_location::KeyForm;

#[derive(Template)]
#[template(path = "keys/created.html")]
struct Created<'a> {
    page: Page<'a>,
    id: ApiKeyId,
    name: &'a str,
    secret: &'a str,
    /// Whether its holder needs the id too.
    has_id: bool,
    example: String,
    /// What is to be done before the example works.
    example_help: String,
    /// Until when the secret before it works, where one was replaced.
    overlap: Option<Moment>,
    is_rotation: bool,
}

/// What became of the secret that was replaced.
pub struct Replaced {
    /// Until when it works, if it still does.
    pub until: Option<crate::domain::Timestamp>,
}

/// Shows a key that was made a moment ago.
pub fn show(
    app: &App,
    visitor: &Visitor<WriteApiKeys>,
    created: &CreatedApiKey,
    replaced: Option<Replaced>,
) -> Result<HttpResponse, Refusal> {
    let (t, now) = (&texts::EN.created_key, app.now());
    let has_id = app.profile.form(created.key.access_type.as_ref()) == KeyForm::IdAndSecret;
    let title = if replaced.is_some() { t.rotated } else { t.title };
    let example = example::call(app, &visitor.member.tenant, &created.key, created.secret.expose());
    let is_product = example.contains(example::PRODUCT);
    let created = Created {
        page: Page::of(app, visitor, Place::Keys, title),
        id: created.key.id,
        name: created.key.name.as_str(),
        secret: created.secret.expose(),
        has_id,
        example_help: if is_product { t.example_product.with(example::PRODUCT) } else { t.example_help.to_owned() },
        example,
        is_rotation: replaced.is_some(),
        overlap: replaced.and_then(|replaced| replaced.until).map(|until| moment(until, now)),
    };
    render(StatusCode::OK, &created)
}
