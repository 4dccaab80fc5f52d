//! Revocation: whoever holds a token may end it (RFC 7009).

use super::{api_keys, sessions};
use crate::app::App;
use crate::domain::refresh_token::RefreshToken;
use crate::domain::{Actor, Refusal};

/// Ends what a token stands for: the session of a refresh token, an API key for good. To hold it is all that this
/// takes, so that a token which has leaked can be ended by whoever finds it.
///
/// What is no token ends nothing, and that is no error (RFC 7009 section 2.2): there is nothing left for its holder to
/// do.
///
/// # Errors
/// [`Refusal::UnsupportedTokenType`] for an access token that lives: to say that it was revoked would be untrue (RFC
/// 7009 section 2.2.1). The database does not answer: then nothing is promised.
pub async fn revoke(app: &App, by: &Actor, token: &str) -> Result<(), Refusal> {
    if let Some(token) = RefreshToken::parse(token) {
        return sessions::log_out(app, by, &token).await;
    }
    if let Some(secret) = app.profile.key_format.read(token) {
        return api_keys::revoke_by_holder(app, by, &secret).await;
    }
    match app.verifier.verify_for_anybody(token, app.now()) {
        Some(_) => Err(Refusal::UnsupportedTokenType),
        None => Ok(()),
    }
}
