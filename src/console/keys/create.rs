//! `/console/keys/new`: a key in one form. What the profile does not offer is not asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Ready;

use actix_web::dev::Payload;
use actix_web::web::Data;
use actix_web::{FromRequest, HttpRequest, HttpResponse};
use askama::Template;

use super::created;
use super::offer::{Expiry, Offer, constraint_field};
use crate::app::App;
use crate::console::form::{Fields, Form};
use crate::console::page::{Page, Place};
use crate::console::refused::Refused;
use crate::console::scopes;
use crate::console::session::Visitor;
use crate::console::texts::{self, Gap as _};
use crate::domain::constraints::Constraints;
use crate::domain::ip_allow_list::IpAllowList;
use crate::domain::{Refusal, Scopes, Timestamp};
use crate::extract::principal::WriteApiKeys;
use crate::extract::query::Parameters;
use crate::extract::{Then, app};
use crate::manage;
use crate::manage::api_keys::NewApiKey;
use crate::manage::idempotency::IdempotencyKey;

#[derive(Template)]
#[template(path = "keys/create.html")]
struct Create<'a> {
    page: Page<'a>,
    refused: Refused,
    filled: Fields,
    offer: Offer,
    expiry: Vec<Expiry>,
    idempotency_key: String,
}

/// What a link fills in of the form, besides scopes and constraints. It is judged when it is sent.
const FILLED: [&str; 7] =
    ["name", "group_id", "access_type", "environment", "contact_email", "allowed_ips", "expires_at"];

/// What a link fills in of the form.
pub struct Filled(Fields);

impl FromRequest for Filled {
    type Error = Refusal;
    type Future = Ready<Result<Self, Refusal>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        Parameters::read_known(request, |given| {
            let scopes = given.all("scopes").into_iter().map(|scope| ("scopes".to_owned(), scope.into_owned()));
            let mut filled: Vec<_> = scopes.collect();
            let constraints = constraint_names(app(request)?).into_iter().map(constraint_field);
            for name in FILLED.map(str::to_owned).into_iter().chain(constraints) {
                let text = given.text(&name)?;
                filled.push((name, text));
            }
            Ok(Self(Fields::of(filled)))
        })
    }
}

/// The form.
pub async fn page(
    app: Data<App>,
    Then(visitor, Filled(filled)): Then<Visitor<WriteApiKeys>, Filled>,
) -> Result<HttpResponse, Refusal> {
    show(&app, &visitor, filled, Refused::default()).await
}

/// Creates the key, and shows it this once. The same form sent twice makes one key.
pub async fn create(app: Data<App>, Form { visitor, mut fields }: Form<WriteApiKeys>) -> Result<HttpResponse, Refusal> {
    let filled = fields.clone();
    let created = async {
        let idempotency = fields.required("idempotency_key");
        let (new, idempotency) = new_key(&app, fields, idempotency)?;
        manage::api_keys::create(&app, &visitor.actor, visitor.tenant(), new, Some(idempotency)).await
    };
    match created.await {
        Ok(created) => created::show(&app, &visitor, &created, None),
        Err(Refusal::IdempotencyConflict) => {
            let refused = Refused::of(Refusal::IdempotencyConflict)?.in_words(texts::EN.create_key.created_already);
            show(&app, &visitor, filled, refused).await
        }
        Err(refusal) => show(&app, &visitor, filled, Refused::of(refusal)?).await,
    }
}

async fn show(
    app: &App,
    visitor: &Visitor<WriteApiKeys>,
    mut filled: Fields,
    refused: Refused,
) -> Result<HttpResponse, Refusal> {
    let chosen = filled.text("group_id").parse().ok();
    let offer = Offer::of(app, visitor, chosen).await?;
    // Said at once, or whoever followed a link into a group would make a key outside every group.
    let is_offered = filled.value("group_id").is_none() || chosen.is_some_and(|chosen| offer.has_group(chosen));
    let refused = if is_offered || refused.any() {
        refused
    } else {
        Refused::beforehand("group_id", texts::EN.create_key.no_such_group)
    };
    let page = Page::of(app, visitor, Place::Keys, texts::EN.create_key.title);
    let expiry = Expiry::presets(app.now(), offer.requires("expires_at"));
    Expiry::keep_chosen(&expiry, &mut filled);
    let idempotency_key = app.new_id::<uuid::Uuid>(app.now())?.to_string();
    let create = Create { page, refused, filled, offer, expiry, idempotency_key };
    create.refused.answer(app, &create)
}

/// What the form asks for. In a group a key has its group's rights, whatever else was ticked before it was chosen.
fn new_key(
    app: &App,
    mut fields: Fields,
    idempotency: Option<IdempotencyKey>,
) -> Result<(NewApiKey, IdempotencyKey), Refusal> {
    let name = fields.required("name");
    let group_id = fields.optional("group_id");
    if group_id.is_some() && !app.profile.console.key_groups {
        fields.fault("group_id", texts::EN.create_key.no_such_group);
    }
    let own_rights = (fields.optional("access_type"), own_scopes(&mut fields));
    let (access_type, scopes) = if group_id.is_some() { (None, None) } else { own_rights };
    let environment = fields.take("environment");
    let expires_at = expires_at(&mut fields);
    let allowed_ips = allowed_ips(&mut fields);
    let contact_email = fields.optional("contact_email");
    let constraints = constraints(app, &mut fields);
    let new = name.map(|name| NewApiKey {
        name,
        scopes,
        environment,
        expires_at,
        allowed_ips,
        contact_email,
        access_type,
        group_id,
        constraints,
    });
    fields.finish(new.zip(idempotency))
}

/// Those that are ticked, and those that are written.
fn own_scopes(fields: &mut Fields) -> Option<Scopes> {
    let written = fields.take("scopes_text").unwrap_or_default();
    let mut chosen = scopes::take_chosen(fields);
    chosen.extend(written.split_whitespace().map(str::to_owned));
    scopes::read(fields, &chosen)
}

/// The end of the day that was chosen (UTC).
fn expires_at(fields: &mut Fields) -> Option<Timestamp> {
    let (preset, day) = (fields.take("expires_at"), fields.take("expires_on"));
    let day = if preset.as_deref() == Some(Expiry::OTHER_DAY) { day.or(Some(String::new())) } else { preset }?;
    format!("{day}T23:59:59Z").parse().map_err(|_| fields.fault("expires_at", texts::EN.create_key.no_day)).ok()
}

fn allowed_ips(fields: &mut Fields) -> IpAllowList {
    let text = fields.take("allowed_ips").unwrap_or_default();
    let words = text.split([',', ' ', '\t', '\r', '\n']).filter(|word| !word.is_empty()).map(str::to_owned);
    let list = IpAllowList::try_from(words.collect::<Vec<_>>());
    list.map_err(|error| fields.fault("allowed_ips", error)).unwrap_or_default()
}

/// Of each name that some access type offers: a list, separated by commas.
fn constraints(app: &App, fields: &mut Fields) -> Option<Constraints> {
    let values: BTreeMap<String, Vec<String>> = constraint_names(app)
        .into_iter()
        .filter_map(|name| {
            let text = fields.take(&constraint_field(name))?;
            let values = text.split([',', '\r', '\n']).map(str::trim).filter(|value| !value.is_empty());
            Some((name.to_owned(), values.map(str::to_owned).collect()))
        })
        .collect();
    let constraints = Constraints::try_from(values).map_err(|error| fields.fault("constraints", error)).ok()?;
    constraints.or_none()
}

/// The names that some access type offers.
pub fn constraint_names(app: &App) -> BTreeSet<&str> {
    app.profile.access_types().flat_map(|known| known.constraints.iter().map(String::as_str)).collect()
}
