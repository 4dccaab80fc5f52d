//! What a new key may be: what the profile, and the tenant's groups, leave to choose from.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use crate::app::App;
use crate::console::form::Fields;
use crate::console::page::may;
use crate::console::session::Visitor;
use crate::console::texts::{self, Gap as _};
use crate::domain::key_group::KeyGroup;
use crate::domain::page::Page;
use crate::domain::{Day, KeyGroupId, Refusal, Timestamp};
use crate::extract::principal::{ReadApiKeys, WriteApiKeys};
use crate::manage;
use crate::profile::access_type::AccessType;
use crate::profile::roles::{INTROSPECT, MANAGEMENT};

/// What there is to choose from.
pub struct Offer {
    /// The presets.
    pub access_types: Vec<AccessType>,
    /// The newest groups of the tenant, and the one that is chosen.
    pub groups: Vec<KeyGroup>,
    /// Whether it has more.
    pub has_more_groups: bool,
    /// The environments, where there is more than one.
    pub environments: Vec<String>,
    /// The scopes by what they are about; none where any may be written.
    pub resources: Option<Vec<Resource>>,
    /// What a key may be limited to.
    pub constraints: Vec<OfferedConstraint>,
    required: Vec<&'static str>,
}

/// The scopes of one resource.
pub struct Resource {
    /// What people call it.
    pub name: String,
    /// Its scopes.
    pub scopes: Vec<OfferedScope>,
}

/// A scope to tick.
pub struct OfferedScope {
    /// The scope.
    pub scope: String,
    /// What it grants.
    pub description: String,
    /// The access types that it is for, where it is not for all.
    pub only_for: Vec<String>,
}

/// Something that a key may be limited in.
pub struct OfferedConstraint {
    /// Its name.
    pub name: String,
    /// What it is called in the form, and in a link to it.
    pub field: String,
    /// The access types that have it.
    pub only_for: Vec<String>,
}

/// An end to choose.
pub struct Expiry {
    /// What is sent.
    pub value: String,
    /// What is read.
    pub text: String,
}

impl Offer {
    /// What keys may be that somebody makes, if they are to be in the group `chosen`.
    pub async fn of(app: &App, visitor: &Visitor<WriteApiKeys>, chosen: Option<KeyGroupId>) -> Result<Self, Refusal> {
        let profile = &app.profile;
        let has_groups = profile.console.key_groups;
        let (groups, has_more_groups) =
            if has_groups { groups(app, visitor, chosen).await? } else { (Vec::new(), false) };
        let environments = &profile.key_format.environments;
        Ok(Self {
            access_types: profile.access_types().cloned().collect(),
            groups,
            has_more_groups,
            environments: environments.iter().filter(|_| environments.len() > 1).map(ToString::to_string).collect(),
            resources: resources(app),
            constraints: constraints(app),
            required: profile.required.iter().map(|member| member.as_str()).collect(),
        })
    }

    /// Whether the product has no scopes of its own: then there are those of our management alone.
    pub fn only_manages(&self) -> bool {
        self.resources.as_ref().is_some_and(|resources| resources.len() == 1)
    }

    /// Whether this group is one of those to choose from.
    pub fn has_group(&self, id: KeyGroupId) -> bool {
        self.groups.iter().any(|group| group.id == id)
    }

    /// Whether a key must have this.
    pub fn requires(&self, member: &str) -> bool {
        self.required.contains(&member)
    }
}

/// The newest groups, for those who may read them, and the one that is chosen; and whether there are more.
async fn groups(
    app: &App,
    visitor: &Visitor<WriteApiKeys>,
    chosen: Option<KeyGroupId>,
) -> Result<(Vec<KeyGroup>, bool), Refusal> {
    let tenant = visitor.tenant();
    let (mut groups, has_more) = if may::<ReadApiKeys>(visitor) {
        let newest = manage::key_groups::list(app, tenant, Page { limit: Page::MOST, after: None }).await?;
        (newest.items, newest.next_cursor.is_some())
    } else {
        (Vec::new(), false)
    };
    if let Some(chosen) = chosen.filter(|chosen| groups.iter().all(|group| group.id != *chosen)) {
        match manage::key_groups::find(app, tenant, chosen).await {
            Ok(group) => groups.push(group),
            Err(Refusal::NotFound) => {}
            Err(refusal) => return Err(refusal),
        }
    }
    Ok((groups, has_more))
}

/// The names that some access type offers.
fn constraints(app: &App) -> Vec<OfferedConstraint> {
    let mut by_name = BTreeMap::<&str, Vec<String>>::new();
    for known in app.profile.access_types() {
        for name in &known.constraints {
            by_name.entry(name).or_default().push(known.name.to_string());
        }
    }
    let offered = |(name, only_for): (&str, _)| OfferedConstraint {
        name: name.to_owned(),
        field: constraint_field(name),
        only_for,
    };
    by_name.into_iter().map(offered).collect()
}

/// What a constraint is called in the form, and in a link to it.
pub fn constraint_field(name: &str) -> String {
    format!("constraints.{name}")
}

/// The catalogue by resource, then what every key may hold, then what keys may that manage.
fn resources(app: &App) -> Option<Vec<Resource>> {
    let t = &texts::EN.create_key;
    let mut by_name = BTreeMap::<&str, Vec<OfferedScope>>::new();
    for (scope, info) in app.profile.catalogue()? {
        let only_for = info.access_types.iter().flatten().map(ToString::to_string).collect();
        let description = if info.description.is_empty() { &info.name } else { &info.description };
        let offered = OfferedScope { scope: scope.clone(), description: description.clone(), only_for };
        by_name.entry(&info.resource).or_default().push(offered);
    }
    let mut resources: Vec<_> =
        by_name.into_iter().map(|(name, scopes)| Resource { name: name.to_owned(), scopes }).collect();
    let managing: Vec<String> =
        app.profile.access_types().filter(|known| known.management).map(|known| known.name.to_string()).collect();
    let ours = MANAGEMENT.iter().filter(|scope| **scope == INTROSPECT || !managing.is_empty());
    let scopes = ours.map(|scope| OfferedScope {
        scope: (*scope).to_owned(),
        description: meaning(scope).to_owned(),
        only_for: if *scope == INTROSPECT { Vec::new() } else { managing.clone() },
    });
    resources.push(Resource { name: t.management.to_owned(), scopes: scopes.collect() });
    Some(resources)
}

/// What a scope of our own management grants.
fn meaning(scope: &str) -> &'static str {
    let t = &texts::EN.create_key;
    match scope {
        "api-keys:read" => t.may_read_keys,
        "api-keys:write" => t.may_write_keys,
        "audit:read" => t.may_read_audit,
        "trusted-issuers:read" => t.may_read_issuers,
        "trusted-issuers:write" => t.may_write_issuers,
        "users:read" => t.may_read_users,
        "users:write" => t.may_write_users,
        _ => t.may_introspect,
    }
}

impl Expiry {
    /// What is sent where another day is chosen.
    pub const OTHER_DAY: &str = "day";

    /// Ends to choose from: whole days, so that a form that is sent twice asks for the same twice.
    pub fn presets(now: Timestamp, is_required: bool) -> Vec<Self> {
        let t = &texts::EN.create_key;
        let never = Self { value: String::new(), text: t.never.to_owned() };
        let in_days = [7, 30, 90, 180, 365].map(|days| {
            let day = Day::from(now.plus(TimeDelta::days(days))).to_string();
            Self { text: t.in_days.with(days).as_str().with(&day), value: day }
        });
        let other = Self { value: Self::OTHER_DAY.to_owned(), text: t.other_day.to_owned() };
        Some(never).filter(|_| !is_required).into_iter().chain(in_days).chain([other]).collect()
    }

    /// Shows a day that was chosen, and is none of these, as the other day that it is: of a link, or of a form that was
    /// shown yesterday. Else the first of them would stand there, which is no end at all.
    pub fn keep_chosen(presets: &[Self], filled: &mut Fields) {
        if let Some(day) = filled.value("expires_at").map(str::to_owned)
            && presets.iter().all(|preset| preset.value != day)
        {
            filled.set("expires_at", Self::OTHER_DAY.to_owned());
            filled.set("expires_on", day);
        }
    }
}
