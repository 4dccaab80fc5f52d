//! Roles: the named sets of scopes that members of a tenant have.

use std::collections::BTreeMap;

use crate::domain::word::Role;
use crate::domain::{Refusal, Scopes};

/// The scopes of Jeton's own management API, all of which `admin` has.
pub const MANAGEMENT: [&str; 8] = [
    "api-keys:read",
    "api-keys:write",
    "audit:read",
    "tokens:introspect",
    "trusted-issuers:read",
    "trusted-issuers:write",
    "users:read",
    "users:write",
];

/// The scope that every profile lets every API key hold: it opens no data of a tenant.
pub const INTROSPECT: &str = "tokens:introspect";

/// The scope that makes a user an operator: server-wide, given by the command line only, in no role. A key that an open
/// catalogue lets have it opens nothing with it here: operators are users.
pub const OPERATOR_SCOPE: &str = "tenants:write";

/// What each role holds.
#[derive(Clone, Debug)]
pub struct Roles(pub(super) BTreeMap<Role, Scopes>);

/// Those of some scopes that give power over the tenant itself.
#[must_use]
pub fn management_in(scopes: &Scopes) -> Scopes {
    scopes.only(|scope| MANAGEMENT.contains(&scope))
}

impl Roles {
    /// The scopes of a login with this role, of an operator's [`OPERATOR_SCOPE`] too. A role that is gone from the
    /// profile gives nothing.
    #[must_use]
    pub fn scopes(&self, role: &Role, operator: bool) -> Scopes {
        let scopes = self.0.get(role).cloned().unwrap_or_default();
        if operator { scopes.and_also(OPERATOR_SCOPE) } else { scopes }
    }

    /// Every role, by name, with its scopes.
    pub fn all(&self) -> impl Iterator<Item = (&Role, &Scopes)> {
        self.0.iter()
    }

    /// Refuses a role that the profile has not.
    ///
    /// # Errors
    /// A field error that names the roles.
    pub fn ensure_known(&self, role: &Role) -> Result<(), Refusal> {
        if self.0.contains_key(role) {
            return Ok(());
        }
        let names = self.0.keys().map(Role::as_str).collect::<Vec<_>>().join(", ");
        Err(Refusal::invalid("role", format!("must be one of {names}")))
    }
}
