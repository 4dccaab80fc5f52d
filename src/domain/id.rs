//! Typed ids: a UUID that cannot be taken for another table's.

use std::fmt;
use std::str::FromStr;

use diesel::deserialize::FromSqlRow;
use diesel::expression::AsExpression;
use diesel::sql_types::Binary;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use uuid::fmt::Hyphenated;

/// What was given is no UUID.
#[derive(Debug, thiserror::Error)]
#[error("must be a UUID")]
pub struct InvalidId;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash,
            Serialize, Deserialize, AsExpression, FromSqlRow, utoipa::ToSchema,
        )]
        #[serde(transparent)]
        #[diesel(sql_type = Binary)]
        #[schema(value_type = Uuid)]
        pub struct $name(Uuid);

        impl $name {
            /// The UUID itself.
            #[must_use]
            pub fn uuid(self) -> Uuid {
                self.0
            }

            /// The 16 bytes as they are stored.
            #[must_use]
            pub fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }
        }

        impl From<Uuid> for $name {
            fn from(uuid: Uuid) -> Self {
                Self(uuid)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                // As answers have it: what is exact in a path is not to have four spellings.
                let is_hyphenated = text.len() == Hyphenated::LENGTH;
                Uuid::parse_str(text).ok().filter(|_| is_hyphenated).map(Self).ok_or(InvalidId)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )+};
}

ids! {
    /// An organisation whose data is kept apart.
    TenantId,
    /// A person.
    UserId,
    /// One login, and the family of its refresh tokens.
    SessionId,
    /// An API key.
    ApiKeyId,
    /// A set of API keys with the same rights.
    KeyGroupId,
    /// An app of a tenant.
    AppIdentifierId,
    /// An issuer whose tokens stand for workloads of a tenant.
    TrustedIssuerId,
    /// A running server.
    InstanceId,
    /// A line of the audit log.
    AuditEventId,
    /// The audit log of a tenant, or (the nil UUID) of what concerns none.
    AuditChainId,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_spelling() {
        let id = "0199b0a0-1234-7000-8000-00000000abcd";
        assert_eq!(id.parse::<TenantId>().unwrap().to_string(), id);
        assert_eq!(id.to_uppercase().parse::<TenantId>().unwrap().to_string(), id);
        for other in
            [id.replace('-', ""), format!("{{{id}}}"), format!("urn:uuid:{id}"), format!(" {id}"), String::new()]
        {
            assert!(other.parse::<TenantId>().is_err(), "{other}");
        }
    }
}
