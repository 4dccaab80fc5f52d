//! Access types: the presets that API keys are created with.

use super::key_location::{KeyForm, KeyLocation};
use crate::domain::word::AccessTypeName;

/// A preset of a profile. Which scopes and endpoints it opens stands with those.
#[derive(Clone, Debug)]
pub struct AccessType {
    /// Its name.
    pub name: AccessTypeName,
    /// What it is for, for people.
    pub description: String,
    /// Whether the tokens of its keys may call Jeton's management.
    pub management: bool,
    /// The names that the `constraints` of its keys may have.
    pub constraints: Vec<String>,
    /// What its keys are to their holders.
    pub form: KeyForm,
    /// Where its keys are read.
    pub read_from: Vec<KeyLocation>,
}
