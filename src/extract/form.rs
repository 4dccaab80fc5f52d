//! Form bodies of the OAuth 2.0 endpoints (RFC 6749 section 3.2, appendix B).

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use futures_util::future::LocalBoxFuture;

use super::json::{ensure_content_type, read_body};
use crate::domain::Refusal;
use crate::error::OAuthError;

/// More parameters than any grant has: looking for repeated ones must stay cheap.
const MOST_PARAMETERS: usize = 32;

/// The parameters of a form: none twice, none empty (an empty one counts as absent), values shown by no `Debug`.
pub struct Form(Vec<(String, String)>);

impl Form {
    /// Takes a parameter's value.
    pub fn take(&mut self, name: &str) -> Option<String> {
        let index = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.swap_remove(index).1)
    }

    /// Whether a parameter is there still.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| known == name)
    }

    /// Takes the value of a parameter that must be there.
    ///
    /// # Errors
    /// `invalid_request`.
    pub fn require(&mut self, name: &str) -> Result<String, OAuthError> {
        self.take(name).ok_or_else(|| OAuthError::new("invalid_request", format!("The parameter {name} is required")))
    }
}

impl FromRequest for Form {
    type Error = OAuthError;
    type Future = LocalBoxFuture<'static, Result<Self, OAuthError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        Box::pin(async move {
            let refused = |refusal: Refusal| OAuthError::of(refusal, "invalid_request");
            ensure_content_type(&request, "application/x-www-form-urlencoded").map_err(refused)?;
            if !request.query_string().is_empty() {
                return Err(OAuthError::new("invalid_request", "Parameters go into the body, never into the URL"));
            }
            parse(&read_body(&request, payload).await.map_err(refused)?)
        })
    }
}

pub(crate) fn parse(body: &[u8]) -> Result<Form, OAuthError> {
    if std::str::from_utf8(body).is_err() {
        return Err(OAuthError::new("invalid_request", "The body is not UTF-8"));
    }
    let mut form: Vec<(String, String)> = Vec::new();
    for (name, value) in url::form_urlencoded::parse(body) {
        if form.len() == MOST_PARAMETERS {
            return Err(OAuthError::new("invalid_request", "There are too many parameters"));
        }
        if form.iter().any(|(known, _)| *known == name) {
            return Err(OAuthError::new("invalid_request", "A parameter is repeated"));
        }
        form.push((name.into_owned(), value.into_owned()));
    }
    form.retain(|(_, value)| !value.is_empty());
    Ok(Form(form))
}
