//! The profile: how one product's API authentication behaves, read from a TOML file (contract section 6).

pub mod access_type;
mod compile;
pub mod endpoints;
mod error;
mod file;
pub mod key_location;
pub mod pattern;
pub mod plans;
pub mod roles;

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

use crate::domain::api_key::ApiKey;
use crate::domain::constraints::Constraints;
use crate::domain::ip_allow_list::IpAllowList;
use crate::domain::key_format::KeyFormat;
use crate::domain::word::AccessTypeName;
use crate::domain::{Email, Refusal, Scopes, Timestamp};

use self::access_type::AccessType;
use self::endpoints::EndpointTable;
pub use self::error::ProfileError;
pub use self::file::{ConsoleTable, RequiredMember, TenantLocator};
use self::key_location::{DeprecatedLocation, KeyForm, KeyHeader, KeyLocation};
use self::plans::Plans;
use self::roles::{INTROSPECT, MANAGEMENT, Roles};

/// The profiles that are built in: their names and their files.
pub const BUILT_IN: [(&str, &str); 6] = [
    ("default", include_str!("../../profiles/default.toml")),
    ("engium", include_str!("../../profiles/engium.toml")),
    ("engagetrack", include_str!("../../profiles/engagetrack.toml")),
    ("bloomreach", include_str!("../../profiles/bloomreach.toml")),
    ("braze", include_str!("../../profiles/braze.toml")),
    ("optimove", include_str!("../../profiles/optimove.toml")),
];

/// One product's API authentication.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Its name.
    pub name: String,
    /// What it is for, for people.
    pub description: String,
    /// How its API keys look.
    pub key_format: KeyFormat,
    /// Where a request names its tenant.
    pub locator: TenantLocator,
    /// What its users' roles hold.
    pub roles: Roles,
    /// Who may use API keys, how many, and how often.
    pub plans: Plans,
    /// What each endpoint needs.
    pub endpoints: EndpointTable,
    /// What a new key must have besides its name.
    pub required: Vec<RequiredMember>,
    /// What the console offers.
    pub console: ConsoleTable,
    deprecated: Vec<DeprecatedLocation>,
    form: KeyForm,
    read_from: Vec<KeyLocation>,
    locations: Vec<KeyLocation>,
    access_types: BTreeMap<AccessTypeName, AccessType>,
    /// None: any well-formed scope may be given to a key.
    catalogue: Option<BTreeMap<String, ScopeInfo>>,
}

/// A scope of the catalogue.
#[derive(Clone, Debug)]
pub struct ScopeInfo {
    /// What people call it.
    pub name: String,
    /// What it is about.
    pub resource: String,
    /// What it grants access to.
    pub description: String,
    /// The access types whose keys may hold it; none: all.
    pub access_types: Option<Vec<AccessTypeName>>,
}

/// What of a new key the profile has a say in.
#[derive(Debug)]
pub struct WantedKey<'a> {
    /// Its preset.
    pub access_type: Option<&'a AccessTypeName>,
    /// What it may do.
    pub scopes: &'a Scopes,
    /// What it is limited to.
    pub constraints: Option<&'a Constraints>,
    /// Whom to ask about it.
    pub contact_email: Option<&'a Email>,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// From where it may be used.
    pub allowed_ips: &'a IpAllowList,
}

impl Profile {
    /// Reads the profile that `named` names: a built-in one by its bare name, else a file.
    ///
    /// # Errors
    /// See [`ProfileError`].
    pub fn load(named: &str) -> Result<Self, ProfileError> {
        if let Some((name, text)) = BUILT_IN.iter().find(|(name, _)| *name == named) {
            return Self::parse(text, Path::new(&format!("profiles/{name}.toml")));
        }
        let path = Path::new(named);
        let text = read(path).map_err(|error| ProfileError::Unreadable {
            path: path.to_owned(),
            error,
            built_in: BUILT_IN.map(|(name, _)| name).join(", "),
        })?;
        Self::parse(&text, path)
    }

    /// Reads the text of a profile, which its errors say is in `path`.
    ///
    /// # Errors
    /// [`ProfileError::Fault`].
    pub fn parse(text: &str, path: &Path) -> Result<Self, ProfileError> {
        compile::compile(text, path)
    }

    /// What customers call the product: its name with a capital, and ours where none is named.
    #[must_use]
    pub fn title(&self) -> String {
        let mut letters = if self.name == "default" { "jeton" } else { self.name.as_str() }.chars();
        letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
    }

    /// The access type of this name.
    #[must_use]
    pub fn access_type(&self, name: Option<&AccessTypeName>) -> Option<&AccessType> {
        self.access_types.get(name?)
    }

    /// Every access type, by name.
    pub fn access_types(&self) -> impl Iterator<Item = &AccessType> {
        self.access_types.values()
    }

    /// The scopes that may be given, by name; none where the catalogue is open.
    #[must_use]
    pub fn catalogue(&self) -> Option<&BTreeMap<String, ScopeInfo>> {
        self.catalogue.as_ref()
    }

    /// What a key of this access type is to its holder.
    #[must_use]
    pub fn form(&self, access_type: Option<&AccessTypeName>) -> KeyForm {
        self.access_type(access_type).map_or(self.form, |known| known.form)
    }

    /// Where a key of this access type is read.
    #[must_use]
    pub fn read_from(&self, access_type: Option<&AccessTypeName>) -> &[KeyLocation] {
        self.access_type(access_type).map_or(&self.read_from, |known| &known.read_from)
    }

    /// Every location in which some key is read, each once.
    pub fn locations(&self) -> impl Iterator<Item = &KeyLocation> {
        self.locations.iter()
    }

    /// The old locations of keys that are still read at `now`.
    pub fn deprecated_locations(&self, now: Timestamp) -> impl Iterator<Item = &DeprecatedLocation> {
        self.deprecated.iter().filter(move |old| now < old.sunset)
    }

    /// The headers of their own in which some key is read, each once.
    pub fn key_headers(&self) -> impl Iterator<Item = &KeyHeader> {
        self.locations.iter().filter_map(|location| match location {
            KeyLocation::Header(header) => Some(header),
            _ => None,
        })
    }

    /// Whether some keys have two secrets for a while.
    #[must_use]
    pub fn has_ids_and_secrets(&self) -> bool {
        self.form == KeyForm::IdAndSecret || self.access_types.values().any(|known| known.form == KeyForm::IdAndSecret)
    }

    /// Whether a key is one of this profile: what an access type gave goes with it.
    #[must_use]
    pub fn knows(&self, key: &ApiKey) -> bool {
        key.access_type.as_ref().is_none_or(|name| self.access_types.contains_key(name))
    }

    /// Whether the tokens of keys of this access type may call management.
    #[must_use]
    pub fn may_manage(&self, access_type: Option<&AccessTypeName>) -> bool {
        self.access_type(access_type).is_some_and(|known| known.management)
    }

    /// Those of a key's scopes that open something here, so that nobody gives them who lacks them: of one that may not
    /// manage, to ask about tokens.
    #[must_use]
    pub fn powers(&self, access_type: Option<&AccessTypeName>, scopes: &Scopes) -> Scopes {
        let manages = self.may_manage(access_type);
        scopes.only(|scope| scope == INTROSPECT || manages && MANAGEMENT.contains(&scope))
    }

    /// Refuses a key group that the profile does not allow: see [`Profile::ensure_key`].
    ///
    /// # Errors
    /// Field errors.
    pub fn ensure_rights(&self, access_type: Option<&AccessTypeName>, scopes: &Scopes) -> Result<(), Refusal> {
        let known = self.ensure_access_type(access_type)?;
        scopes.iter().try_for_each(|scope| self.ensure_scope(known, scope))
    }

    /// Refuses a key that the profile does not allow: an unknown access type, a scope or constraint that the access
    /// type may not have, a member that is missing.
    ///
    /// # Errors
    /// Field errors.
    pub fn ensure_key(&self, wanted: &WantedKey<'_>) -> Result<(), Refusal> {
        self.ensure_rights(wanted.access_type, wanted.scopes)?;
        let allowed = self.access_type(wanted.access_type).map_or(&[] as &[String], |known| &known.constraints);
        let names = wanted.constraints.map(Constraints::names).unwrap_or_default();
        if let Some(unknown) = names.iter().find(|name| !allowed.contains(name)) {
            let message = match allowed {
                [] => "are not offered for this kind of key".to_owned(),
                names => format!("have no `{unknown}`; there are {}", names.join(", ")),
            };
            return Err(Refusal::invalid("constraints", message));
        }
        let missing = self.required.iter().find(|required| match required {
            RequiredMember::ContactEmail => wanted.contact_email.is_none(),
            RequiredMember::ExpiresAt => wanted.expires_at.is_none(),
            RequiredMember::AllowedIps => wanted.allowed_ips.as_str().is_empty(),
        });
        missing.map_or(Ok(()), |missing| Err(Refusal::invalid(missing.as_str(), "is required")))
    }

    /// Refuses scopes that no credential of this profile has, whatever its access type: those of a workload, which has
    /// none.
    ///
    /// # Errors
    /// A field error.
    pub fn ensure_scopes(&self, scopes: &Scopes) -> Result<(), Refusal> {
        scopes.iter().try_for_each(|scope| self.ensure_scope(None, scope))
    }

    fn ensure_access_type(&self, name: Option<&AccessTypeName>) -> Result<Option<&AccessType>, Refusal> {
        let names = || self.access_types.keys().map(AccessTypeName::as_str).collect::<Vec<_>>().join(", ");
        match (name, self.access_type(name)) {
            (None, _) if self.access_types.is_empty() => Ok(None),
            (None, _) => Err(Refusal::invalid("access_type", format!("is required: one of {}", names()))),
            (Some(_), Some(known)) => Ok(Some(known)),
            (Some(_), None) if self.access_types.is_empty() => {
                Err(Refusal::invalid("access_type", "is not offered: the profile has no access types"))
            }
            (Some(_), None) => Err(Refusal::invalid("access_type", format!("must be one of {}", names()))),
        }
    }

    fn ensure_scope(&self, access_type: Option<&AccessType>, scope: &str) -> Result<(), Refusal> {
        let Some(catalogue) = &self.catalogue else { return Ok(()) };
        let manages = MANAGEMENT.contains(&scope) && access_type.is_some_and(|known| known.management);
        let fits = match catalogue.get(scope) {
            _ if scope == INTROSPECT || manages => return Ok(()),
            Some(info) => &info.access_types,
            None => return Err(Refusal::invalid("scopes", format!("`{scope}` is not a scope that API keys may have"))),
        };
        match (fits, access_type) {
            (Some(types), Some(known)) if !types.contains(&known.name) => {
                Err(Refusal::invalid("scopes", format!("`{scope}` is not for the access type {}", known.name)))
            }
            _ => Ok(()),
        }
    }
}

/// Reads a file of at most 1 MiB: a profile is written by people.
fn read(path: &Path) -> std::io::Result<String> {
    const MOST: u64 = 1 << 20;
    let mut text = String::new();
    let read = std::fs::File::open(path)?.take(MOST + 1).read_to_string(&mut text)?;
    if u64::try_from(read).is_ok_and(|read| read > MOST) {
        return Err(std::io::Error::other("it is larger than 1 MiB"));
    }
    Ok(text)
}

impl RequiredMember {
    /// The member's name in a request.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ContactEmail => "contact_email",
            Self::ExpiresAt => "expires_at",
            Self::AllowedIps => "allowed_ips",
        }
    }
}

#[cfg(test)]
mod tests;
