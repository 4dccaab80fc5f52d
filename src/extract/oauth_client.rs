//! Who an OAuth 2.0 client says it is (RFC 6749 section 2.3): an API key is a client, its id the client's id.

use actix_web::HttpRequest;

use super::authorization::{basic, bearer};
use super::credential::looks_like_jwt;
use super::form::Form;
use crate::domain::Refusal;
use crate::error::{OAuthError, Scheme};
use crate::grants::admission::{Credential, PresentedKey};
use crate::profile::Profile;
use crate::tokens::claims::LOGIN_CLIENT;

/// The key that a client authenticates as, by HTTP Basic or in the form. None where it does not: it says nothing, or is
/// the public client of all logins, which has no secret.
///
/// Half of a key, or what can be none, is presented all the same: it is refused, and remembered, as a wrong key is.
///
/// # Errors
/// `invalid_request` for two ways at once, or a header that is repeated.
pub fn client_key(
    request: &HttpRequest,
    form: &mut Form,
    profile: &Profile,
) -> Result<Option<PresentedKey>, OAuthError> {
    let in_header = basic(request).map_err(refused)?;
    let in_form = (form.take("client_id"), form.take("client_secret"));
    let (id, secret) = match (in_header, in_form) {
        // The id may be repeated in the form; two ways to authenticate at once may not (RFC 6749 section 2.3).
        (Some((id, secret)), (named, None)) if named.as_ref().is_none_or(|named| *named == id) => {
            if id == LOGIN_CLIENT && secret.is_empty() {
                return Ok(None);
            }
            (id, secret)
        }
        (Some(_), _) => return Err(several()),
        (None, (None, None)) => return Ok(None),
        (None, (Some(id), None)) if id == LOGIN_CLIENT => return Ok(None),
        (None, (id, secret)) => (id.unwrap_or_default(), secret.unwrap_or_default()),
    };
    Ok(Some(PresentedKey::read(profile, &secret).with_id(&id)))
}

/// The same for grants that need no client: there an id alone is a name, and proves nothing.
///
/// # Errors
/// As [`client_key`].
pub fn client_key_if_sent(
    request: &HttpRequest,
    form: &mut Form,
    profile: &Profile,
) -> Result<Option<PresentedKey>, OAuthError> {
    let is_sent = form.has("client_secret") || basic(request).map_err(refused)?.is_some();
    if is_sent { client_key(request, form, profile) } else { Ok(None) }
}

/// Who asks about a token (RFC 7662 section 2.1): a client as above, or an API key or an access token as `Bearer`, in
/// every profile. Where nobody is named, a key that does not even look like one. And how: they are challenged for the
/// same.
///
/// # Errors
/// `invalid_request` for two ways at once, or a header that is repeated.
pub fn caller(request: &HttpRequest, form: &mut Form, profile: &Profile) -> Result<(Credential, Scheme), OAuthError> {
    match (bearer(request).map_err(refused)?, client_key(request, form, profile)?) {
        (Some(_), Some(_)) => Err(several()),
        (Some(text), None) if looks_like_jwt(text) => Ok((Credential::AccessToken(text.to_owned()), Scheme::Bearer)),
        (Some(text), None) => Ok((Credential::ApiKey(PresentedKey::read(profile, text)), Scheme::Bearer)),
        (None, key) => Ok((Credential::ApiKey(key.unwrap_or_default()), Scheme::Basic)),
    }
}

fn refused(refusal: Refusal) -> OAuthError {
    OAuthError::of(refusal, "invalid_client")
}

fn several() -> OAuthError {
    OAuthError::new("invalid_request", "Authenticate in one way only")
}
