//! Roles: the named sets of scopes that members of a tenant have.

use std::fmt;
use std::str::FromStr;

use diesel::deserialize::FromSqlRow;
use diesel::expression::AsExpression;
use diesel::sql_types::Text;
use serde::{Deserialize, Serialize};

use super::Scopes;

/// What a member is in a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, AsExpression, FromSqlRow, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[diesel(sql_type = Text)]
pub enum Role {
    /// Runs the tenant: every management scope in it.
    Admin,
    /// Belongs to the tenant, manages nothing.
    Member,
}

/// There is no role of this name.
#[derive(Debug, thiserror::Error)]
#[error("must be `admin` or `member`")]
pub struct InvalidRole;

/// The scope that makes a user an operator: server-wide, given by the command line only.
pub const OPERATOR_SCOPE: &str = "tenants:write";

const ADMIN: Scopes =
    Scopes::constant("api-keys:read api-keys:write audit:read tokens:introspect users:read users:write");
const ADMIN_AND_OPERATOR: Scopes =
    Scopes::constant("api-keys:read api-keys:write audit:read tokens:introspect users:read users:write tenants:write");
const OPERATOR: Scopes = Scopes::constant(OPERATOR_SCOPE);

impl Role {
    /// The role's name.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Member => "member",
        }
    }

    /// The scopes of a login with this role, of an operator's [`OPERATOR_SCOPE`] too.
    #[must_use]
    pub fn scopes(self, operator: bool) -> Scopes {
        match (self, operator) {
            (Self::Admin, false) => ADMIN,
            (Self::Admin, true) => ADMIN_AND_OPERATOR,
            (Self::Member, false) => Scopes::NONE,
            (Self::Member, true) => OPERATOR,
        }
    }
}

impl FromStr for Role {
    type Err = InvalidRole;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "admin" => Ok(Self::Admin),
            "member" => Ok(Self::Member),
            _ => Err(InvalidRole),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_operators_have_the_server_wide_scope() {
        for role in [Role::Admin, Role::Member] {
            assert!(!role.scopes(false).contains(OPERATOR_SCOPE));
            assert!(role.scopes(true).contains(OPERATOR_SCOPE));
            assert!(role.scopes(true).narrow(Some(&role.scopes(false))).is_ok());
            for operator in [false, true] {
                let scopes = role.scopes(operator);
                assert_eq!(scopes.as_str().parse(), Ok(scopes), "well-formed");
            }
        }
    }
}
