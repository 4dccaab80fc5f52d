//! API keys as they are stored, and when they may be used.

use std::net::IpAddr;

use chrono::TimeDelta;
use diesel::Queryable;
use serde::{Deserialize, Serialize};

use super::constraints::Constraints;
use super::ip_allow_list::IpAllowList;
use super::status_list::StatusIndex;
use super::{AccessTypeName, ApiKeyId, Email, KeyGroupId, Name, Refusal, Scopes, TenantId, Timestamp};

/// A long-lived credential of a tenant. Its plain text is not in here, nor anywhere else.
#[derive(Clone, Debug, Queryable, Serialize, Deserialize)]
pub struct ApiKey {
    /// Its id: the `sub` and `client_id` of its tokens.
    pub id: ApiKeyId,
    /// The tenant it speaks for.
    pub tenant_id: TenantId,
    /// What people call it.
    #[serde(deserialize_with = "Name::read_stored")]
    pub name: Name,
    /// Its first random characters, for people to recognise it by.
    pub hint: String,
    /// `live` or `test`.
    pub environment: String,
    /// What it may do; it never changes.
    pub scopes: Scopes,
    /// From where it may be used; it never changes.
    pub allowed_ips: IpAllowList,
    /// Whom to ask about it.
    pub contact_email: Option<Email>,
    /// The key that it was rotated from.
    pub replaces: Option<ApiKeyId>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// Since when it is dead.
    pub revoked_at: Option<Timestamp>,
    /// When it was last exchanged, to within a few seconds.
    pub last_used_at: Option<Timestamp>,
    /// The preset that it was created with, where the profile has presets; it never changes.
    pub access_type: Option<AccessTypeName>,
    /// The group that it belongs to.
    pub group_id: Option<KeyGroupId>,
    /// What downstream services limit it to; it never changes.
    #[serde(deserialize_with = "Constraints::read_stored")]
    pub constraints: Option<Constraints>,
    /// Until when the secret before this one still works, where the format is id + secret.
    pub previous_until: Option<Timestamp>,
    /// When it was given its secret, if not when it was made.
    pub secret_changed_at: Option<Timestamp>,
    /// The place of its secret's tokens in the status lists.
    #[serde(skip)]
    pub status_index: StatusIndex,
    /// That of the secret before this one, whose tokens die with it.
    #[serde(skip)]
    pub previous_status_index: Option<StatusIndex>,
}

/// Whether a key may be exchanged. A revoked one never comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ApiKeyState {
    /// May be exchanged.
    Active,
    /// Its `expires_at` has passed.
    Expired,
    /// Revoked for good.
    Revoked,
}

/// A secret of a key, of which it has two where the last rotation kept its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum WhichSecret {
    /// The one that it was given last.
    Current,
    /// The one before.
    Previous,
}

impl ApiKey {
    /// The key's state at `now`.
    #[must_use]
    pub fn state(&self, now: Timestamp) -> ApiKeyState {
        if self.revoked_at.is_some() {
            ApiKeyState::Revoked
        } else if self.expires_at.is_some_and(|end| end <= now) {
            ApiKeyState::Expired
        } else {
            ApiKeyState::Active
        }
    }

    /// Refuses dead keys, expired and revoked alike.
    ///
    /// # Errors
    /// [`Refusal::InvalidApiKey`].
    pub fn ensure_usable(&self, now: Timestamp) -> Result<(), Refusal> {
        if self.state(now) == ApiKeyState::Active { Ok(()) } else { Err(Refusal::InvalidApiKey) }
    }

    /// Refuses addresses that the key was not made for.
    ///
    /// # Errors
    /// [`Refusal::IpNotAllowed`].
    pub fn ensure_address(&self, from: Option<IpAddr>) -> Result<(), Refusal> {
        if self.allowed_ips.admits(from) { Ok(()) } else { Err(Refusal::IpNotAllowed) }
    }

    /// Which secret a token was issued for, by its place in the status lists, or by its time where it is from before
    /// there were any. A token of a secret that works no more is refused: whoever has only that has nothing.
    ///
    /// # Errors
    /// [`Refusal::InvalidToken`].
    pub fn secret_of_token(
        &self,
        index: Option<StatusIndex>,
        issued_at: i64,
        now: Timestamp,
    ) -> Result<WhichSecret, Refusal> {
        let is_older = || self.secret_changed_at.is_some_and(|changed| issued_at < changed.seconds());
        let secret = match index {
            Some(index) => self.which_secret(index).ok_or(Refusal::InvalidToken)?,
            None if is_older() => WhichSecret::Previous,
            None => WhichSecret::Current,
        };
        let overlaps = self.previous_until.is_some_and(|until| now < until);
        if secret == WhichSecret::Current || overlaps { Ok(secret) } else { Err(Refusal::InvalidToken) }
    }

    /// The key as it is for whoever has this secret of it.
    #[must_use]
    pub fn by_secret(self, secret: WhichSecret) -> Self {
        match secret {
            WhichSecret::Current => self,
            WhichSecret::Previous => self.by_previous_secret(),
        }
    }

    /// The key as it is for whoever has the secret before this one: it ends with the overlap, and what is issued for it
    /// too.
    #[must_use]
    pub fn by_previous_secret(self) -> Self {
        let expires_at = self.expires_at.into_iter().chain(self.previous_until).min();
        let status_index = self.previous_status_index.unwrap_or(self.status_index);
        Self { expires_at, secret_changed_at: None, status_index, ..self }
    }

    /// Which secret it is that has this place in the status lists; none where the key has it no more.
    #[must_use]
    pub fn which_secret(&self, index: StatusIndex) -> Option<WhichSecret> {
        if index == self.status_index {
            return Some(WhichSecret::Current);
        }
        (Some(index) == self.previous_status_index).then_some(WhichSecret::Previous)
    }

    /// How long the key still lives.
    #[must_use]
    pub fn time_left(&self, now: Timestamp) -> TimeDelta {
        self.expires_at.map_or(TimeDelta::MAX, |end| end.since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn key() -> ApiKey {
        ApiKey {
            id: Uuid::nil().into(),
            tenant_id: Uuid::nil().into(),
            name: "Warehouse".parse().unwrap(),
            hint: "abab".into(),
            environment: "live".into(),
            scopes: Scopes::NONE,
            allowed_ips: IpAllowList::default(),
            contact_email: None,
            replaces: None,
            created_at: Timestamp(0),
            created_by: "cli".into(),
            expires_at: Some(Timestamp(10)),
            revoked_at: None,
            last_used_at: None,
            access_type: None,
            group_id: None,
            constraints: None,
            previous_until: None,
            secret_changed_at: None,
            status_index: StatusIndex(1),
            previous_status_index: None,
        }
    }

    #[test]
    fn a_key_dies_by_time_or_by_hand() {
        assert_eq!(key().state(Timestamp(9)), ApiKeyState::Active);
        assert_eq!(key().state(Timestamp(10)), ApiKeyState::Expired);
        let revoked = ApiKey { revoked_at: Some(Timestamp(5)), ..key() };
        assert_eq!(revoked.state(Timestamp(0)), ApiKeyState::Revoked);
        assert!(revoked.ensure_usable(Timestamp(0)).is_err());
    }

    #[test]
    fn a_token_is_of_the_secret_whose_place_it_has() {
        let changed = Timestamp(5_000_000);
        let of = |index: Option<i64>, issued_at, until: Option<i64>| {
            let previous_until = until.map(Timestamp);
            let rotated = ApiKey { previous_until, secret_changed_at: Some(changed), ..key() };
            let rotated = ApiKey { previous_status_index: Some(StatusIndex(7)), ..rotated };
            rotated.secret_of_token(index.map(StatusIndex), issued_at, changed).ok()
        };
        let (current, previous) = (Some(WhichSecret::Current), Some(WhichSecret::Previous));
        assert_eq!([of(Some(1), 0, None), of(Some(1), 9, None)], [current; 2], "whenever it was issued");
        assert_eq!([of(Some(7), 9, None), of(Some(7), 9, Some(5_000_000))], [None; 2], "the overlap is over");
        assert_eq!(of(Some(7), 0, Some(5_000_001)), previous);
        assert_eq!([of(Some(8), 9, None), of(Some(8), 9, Some(5_000_001))], [None; 2], "one before, or another key's");
        assert_eq!([of(None, 5, None), of(None, 4, None), of(None, 4, Some(5_000_001))], [current, None, previous]);
    }

    #[test]
    fn a_previous_secret_ends_with_the_overlap_or_the_key() {
        let end = |expires_at, until| {
            let key = ApiKey { expires_at, previous_until: Some(Timestamp(until)), ..key() };
            key.by_previous_secret().expires_at
        };
        assert_eq!(end(None, 5), Some(Timestamp(5)));
        assert_eq!(end(Some(Timestamp(10)), 5), Some(Timestamp(5)));
        assert_eq!(end(Some(Timestamp(10)), 20), Some(Timestamp(10)));
    }
}
