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

const ADMIN_SCOPES: &str = "api-keys:read api-keys:write audit:read tokens:introspect users:read users:write";

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
        let own = match self {
            Self::Admin => ADMIN_SCOPES,
            Self::Member => "",
        };
        let server_wide = if operator { OPERATOR_SCOPE } else { "" };
        [own, server_wide].join(" ").trim().parse().unwrap_or_default()
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
        assert_eq!(Role::Admin.scopes(false).as_str(), ADMIN_SCOPES);
        assert_eq!(Role::Member.scopes(false), Scopes::NONE);
        assert_eq!(Role::Member.scopes(true).as_str(), OPERATOR_SCOPE);
        assert!(Role::Admin.scopes(true).contains(OPERATOR_SCOPE));
    }
}
