//! Users and what they are in their tenants.

use diesel::Queryable;

use super::{Email, Role, Tenant, Timestamp, UserId};

/// A person with one e-mail address.
#[derive(Clone, Debug, Queryable)]
pub struct User {
    /// Its id: the `sub` of its tokens.
    pub id: UserId,
    /// The address, unique in the whole server.
    pub email: Email,
    /// Whether the user has the server-wide scope `tenants:write`.
    pub operator: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last logged in.
    pub last_login_at: Option<Timestamp>,
    /// Since when it cannot log in, if it cannot.
    pub disabled_at: Option<Timestamp>,
    /// Until when its password, which somebody else knows, can be exchanged for one of its own; none where it is its
    /// own.
    pub one_time_until: Option<Timestamp>,
}

impl User {
    /// Whether nobody has used the account yet: all that there is of it is a one-time password that somebody handed
    /// out.
    #[must_use]
    pub fn awaits_first_login(&self) -> bool {
        self.one_time_until.is_some() && self.last_login_at.is_none()
    }
}

/// A user in one of its tenants.
#[derive(Clone, Debug)]
pub struct Member {
    /// Who.
    pub user: User,
    /// Where.
    pub tenant: Tenant,
    /// As what.
    pub role: Role,
    /// Since when.
    pub joined_at: Timestamp,
}

impl Member {
    /// Whether the user may be logged in here: neither disabled, nor the tenant suspended.
    #[must_use]
    pub fn is_admitted(&self) -> bool {
        self.user.disabled_at.is_none() && self.tenant.suspended_at.is_none()
    }
}
