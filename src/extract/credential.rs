//! The credential of a request to the product's API: an API key where the profile reads it, or an access token of ours.

use actix_web::HttpRequest;
use serde_json::Value;

use super::authorization::{self, Authorization};
use crate::app::App;
use crate::domain::object_members::ObjectMembers;
use crate::domain::{Refusal, Timestamp};
use crate::grants::admission::{Credential, PresentedKey};
use crate::profile::Profile;
use crate::profile::key_location::{DeprecatedLocation, KeyLocation, OldLocation};

/// A credential, and whether it stood where it will not be read for ever.
pub struct Presented<'a> {
    /// The credential.
    pub credential: Credential,
    /// The old location that it stood in.
    pub deprecated: Option<&'a DeprecatedLocation>,
}

/// What of a request is not in its headers.
pub struct Elsewhere<'a> {
    /// The query.
    pub query: &'a str,
    /// The members of the body, where it was sent along and is a JSON object.
    pub body: Option<&'a ObjectMembers<Value>>,
}

impl<'a> Presented<'a> {
    /// Reads the one credential of a request; where there is none, a key that does not even look like one.
    ///
    /// # Errors
    /// [`Refusal::MalformedRequest`] where there are several, for then proxy and upstream might each believe another
    /// one (security 26).
    pub fn of(request: &HttpRequest, app: &'a App, elsewhere: &Elsewhere<'_>, now: Timestamp) -> Result<Self, Refusal> {
        let profile = &*app.profile;
        let mut found = Vec::new();
        found.extend(in_authorization(request, profile)?.map(Self::in_time));
        for header in profile.key_headers() {
            if let Some(text) = super::header(request.headers(), header.name())? {
                let key = key(profile, text.trim(), Some(KeyLocation::Header(header.clone())));
                found.push(Self::in_time(Credential::ApiKey(key)));
            }
        }
        for old in profile.deprecated_locations(now) {
            if let Some(text) = elsewhere.value(&old.location)? {
                let key = PresentedKey { lacks_id: true, ..key(profile, &text, None) };
                let credential = Credential::ApiKey(key);
                found.push(Self { credential, deprecated: Some(old) });
            }
        }
        let several = found.len() > 1;
        match found.pop() {
            Some(_) if several => {
                Err(Refusal::MalformedRequest("A request must have one credential, not several".to_owned()))
            }
            Some(one) => Ok(one),
            None => Ok(Self::in_time(Credential::ApiKey(PresentedKey::default()))),
        }
    }

    fn in_time(credential: Credential) -> Self {
        Self { credential, deprecated: None }
    }
}

impl Elsewhere<'_> {
    fn value(&self, location: &OldLocation) -> Result<Option<String>, Refusal> {
        match location {
            OldLocation::Query(name) => {
                let mut given = url::form_urlencoded::parse(self.query.as_bytes()).filter(|(known, _)| known == name);
                let first = given.next().map(|(_, value)| value.into_owned());
                if given.next().is_some() {
                    return Err(Refusal::MalformedRequest(format!("The parameter {name} must not be repeated")));
                }
                Ok(first)
            }
            OldLocation::Body(name) => {
                let mut given = self.body.into_iter().flat_map(|body| body.of(name));
                let first = given.next().and_then(Value::as_str).map(str::to_owned);
                if given.next().is_some() {
                    return Err(Refusal::MalformedRequest(format!("The member {name} must not be repeated")));
                }
                Ok(first)
            }
        }
    }
}

/// The API key of an exchange: where the profile reads it, or as `Bearer`, which is read here in every profile. In no
/// old location: this endpoint is younger than they are.
///
/// # Errors
/// [`Refusal::MalformedRequest`] where there are several.
pub fn presented_key(request: &HttpRequest, app: &App) -> Result<PresentedKey, Refusal> {
    let profile = &*app.profile;
    let mut found = Vec::new();
    match authorization::of(request)? {
        Some(Authorization::Bearer(text)) => found.push(key(profile, text, None)),
        Some(_) => found.extend(in_authorization(request, profile)?.and_then(|credential| match credential {
            Credential::ApiKey(key) => Some(key),
            Credential::AccessToken(_) => None,
        })),
        None => {}
    }
    for header in profile.key_headers() {
        if let Some(text) = super::header(request.headers(), header.name())? {
            found.push(key(profile, text.trim(), None));
        }
    }
    if found.len() > 1 {
        return Err(Refusal::MalformedRequest("A request must have one API key, not several".to_owned()));
    }
    Ok(found.pop().unwrap_or_default())
}

/// What `Authorization` has. A scheme that the profile does not read holds no key, but something was presented.
fn in_authorization(request: &HttpRequest, profile: &Profile) -> Result<Option<Credential>, Refusal> {
    let reads = |location: &KeyLocation| profile.locations().any(|known| known == location);
    let read = |text: &str, location| {
        if reads(&location) { key(profile, text, Some(location)) } else { PresentedKey::default() }
    };
    Ok(authorization::of(request)?.map(|authorization| match authorization {
        Authorization::Bearer(text) if looks_like_jwt(text) => Credential::AccessToken(text.to_owned()),
        Authorization::Bearer(text) => Credential::ApiKey(read(text, KeyLocation::Bearer)),
        Authorization::Token(text) => Credential::ApiKey(read(text, KeyLocation::Token)),
        Authorization::Basic(id, secret) => Credential::ApiKey(read(&secret, KeyLocation::Basic).with_id(&id)),
        Authorization::Other => Credential::ApiKey(PresentedKey::default()),
    }))
}

fn key(profile: &Profile, text: &str, location: Option<KeyLocation>) -> PresentedKey {
    PresentedKey { location, ..PresentedKey::read(profile, text) }
}

/// Three parts between dots, as in no API key.
pub(super) fn looks_like_jwt(text: &str) -> bool {
    text.split('.').count() == 3
}
