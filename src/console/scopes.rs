//! Scopes in a form: those of the profile's catalogue to be chosen by resource; where there is none, to be typed.

use std::collections::BTreeMap;

use super::form::Fields;
use super::list::Choice;
use crate::app::App;
use crate::domain::{Scope, Scopes};

/// The question of a form for scopes.
pub struct ScopesQuestion {
    /// By resource; empty where the profile has no catalogue.
    pub groups: Vec<(String, Vec<Choice>)>,
    /// What was typed, where it has none.
    pub typed: String,
}

impl ScopesQuestion {
    /// With these chosen.
    pub fn of(app: &App, chosen: &[String]) -> Self {
        let mut groups = BTreeMap::<&str, Vec<Choice>>::new();
        for (scope, info) in app.profile.catalogue().into_iter().flatten() {
            groups.entry(&info.resource).or_default().push(Choice {
                value: scope.clone(),
                text: scope.clone(),
                hint: info.description.clone(),
                is_chosen: chosen.contains(scope),
            });
        }
        let groups = groups.into_iter().map(|(resource, scopes)| (resource.to_owned(), scopes)).collect();
        Self { groups, typed: chosen.join("\n") }
    }
}

/// Takes the scopes of a form, as they were sent.
pub fn take_chosen(fields: &mut Fields) -> Vec<String> {
    let sent = fields.take_all("scopes");
    sent.iter().flat_map(|text| text.split_whitespace()).map(str::to_owned).collect()
}

/// Reads scopes.
pub fn read(fields: &mut Fields, chosen: &[String]) -> Option<Scopes> {
    let scopes: Result<Vec<Scope>, _> = chosen.iter().map(|text| text.parse()).collect();
    let scopes = scopes.map_err(|error| fields.fault("scopes", error)).ok()?;
    Scopes::new(&scopes).map_err(|error| fields.fault("scopes", error)).ok()
}
