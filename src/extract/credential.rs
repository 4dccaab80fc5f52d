//! The credential of a request to the product's API: an API key in one of the profile's ways, or an access token of ours.

use actix_web::HttpRequest;
use actix_web::http::header::AUTHORIZATION;
use serde_json::{Map, Value};

use super::authorization::{basic, bearer, credentials};
use crate::app::App;
use crate::domain::Refusal;
use crate::grants::admission::PresentedKey;
use crate::grants::forward_auth::Credential;
use crate::profile::ways::{DeprecatedPlace, DeprecatedWay, KeyWay};

/// A credential, and whether it came in a way that will not be read for ever.
pub struct Presented {
    /// The credential.
    pub credential: Credential,
    /// The old way that it came in.
    pub deprecated: Option<DeprecatedWay>,
}

/// Where a credential of a request may stand besides its headers: in the old ways, for as long as they are read.
#[derive(Default)]
pub struct Elsewhere<'a> {
    /// The old ways that are still read.
    pub ways: &'a [DeprecatedWay],
    /// The query.
    pub query: &'a str,
    /// The body, where it was sent along and is a JSON object.
    pub body: Option<&'a Map<String, Value>>,
}

impl Presented {
    /// Reads the one credential of a request.
    ///
    /// # Errors
    /// [`Refusal::InvalidApiKey`] where there is none; [`Refusal::MalformedRequest`] where there are several, for then
    /// proxy and upstream might each believe another one (security 26).
    pub fn of(request: &HttpRequest, app: &App, elsewhere: &Elsewhere<'_>) -> Result<Self, Refusal> {
        let mut found: Vec<Self> = in_authorization(request, app)?.into_iter().collect();
        let mut own_headers: Vec<&KeyWay> = Vec::new();
        for way in app.profile.ways().filter(|way| matches!(way, KeyWay::Header(_))) {
            if !own_headers.contains(&way) {
                own_headers.push(way);
            }
        }
        for way in own_headers {
            if let KeyWay::Header(name) = way
                && let Some(text) = super::header(request.headers(), name.name().as_str())?
            {
                found.push(key(app, text.trim(), Some(way.clone())));
            }
        }
        for way in elsewhere.ways {
            if let Some(text) = elsewhere.value(&way.place)? {
                found.push(Self { deprecated: Some(way.clone()), ..key(app, &text, None) });
            }
        }
        let more_than_one = found.len() > 1;
        match found.pop() {
            None => Err(Refusal::InvalidApiKey),
            Some(_) if more_than_one => {
                Err(Refusal::MalformedRequest("A request must have one credential, not several".to_owned()))
            }
            Some(one) => Ok(one),
        }
    }
}

impl Elsewhere<'_> {
    fn value(&self, place: &DeprecatedPlace) -> Result<Option<String>, Refusal> {
        match place {
            DeprecatedPlace::Query(name) => {
                let mut given = url::form_urlencoded::parse(self.query.as_bytes()).filter(|(known, _)| known == name);
                let first = given.next().map(|(_, value)| value.into_owned());
                if given.next().is_some() {
                    return Err(Refusal::MalformedRequest(format!("The parameter {name} must not be repeated")));
                }
                Ok(first)
            }
            DeprecatedPlace::Body(name) => Ok(self.body.and_then(|body| body.get(name)?.as_str()).map(str::to_owned)),
        }
    }
}

/// The API key of an exchange: in one of the profile's ways, or as `Bearer`, which is read here in every profile. None of the
/// old ways: this endpoint is younger than they are.
///
/// # Errors
/// [`Refusal::MalformedRequest`] where there are several.
pub fn presented_key(request: &HttpRequest, app: &App) -> Result<PresentedKey, Refusal> {
    let none = PresentedKey { secret: None, id: None, way: None };
    if let Some(text) = bearer(request)?
        && !app
            .profile
            .ways()
            .any(|way| matches!(way, KeyWay::Header(name) if request.headers().contains_key(name.name())))
    {
        return Ok(PresentedKey { secret: app.profile.key_format.read(text), ..none });
    }
    match Presented::of(request, app, &Elsewhere::default()) {
        Ok(Presented { credential: Credential::ApiKey(key), .. }) => Ok(key),
        Ok(_) | Err(Refusal::InvalidApiKey) => Ok(none),
        Err(other) => Err(other),
    }
}

/// What `Authorization` has. A scheme that the profile does not read holds no key, but something was presented.
fn in_authorization(request: &HttpRequest, app: &App) -> Result<Option<Presented>, Refusal> {
    if super::header(request.headers(), AUTHORIZATION.as_str())?.is_none() {
        return Ok(None);
    }
    let reads = |way: &KeyWay| app.profile.ways().any(|known| known == way);
    if let Some(text) = credentials(request, "bearer")?.map(str::trim) {
        if looks_like_jwt(text) {
            return Ok(Some(Presented { credential: Credential::AccessToken(text.to_owned()), deprecated: None }));
        }
        return Ok(Some(key(app, if reads(&KeyWay::Bearer) { text } else { "" }, Some(KeyWay::Bearer))));
    }
    if let Some(text) = credentials(request, "token")?.map(str::trim) {
        return Ok(Some(key(app, if reads(&KeyWay::Token) { text } else { "" }, Some(KeyWay::Token))));
    }
    let presented = match basic(request)?.filter(|_| reads(&KeyWay::Basic)) {
        Some((id, secret)) => {
            let id = id.parse().ok();
            let secret = app.profile.key_format.read(&secret).filter(|_| id.is_some());
            PresentedKey { secret, id, way: Some(KeyWay::Basic) }
        }
        None => PresentedKey { secret: None, id: None, way: None },
    };
    Ok(Some(Presented { credential: Credential::ApiKey(presented), deprecated: None }))
}

fn key(app: &App, text: &str, way: Option<KeyWay>) -> Presented {
    let presented = PresentedKey { secret: app.profile.key_format.read(text), id: None, way };
    Presented { credential: Credential::ApiKey(presented), deprecated: None }
}

/// Three parts between dots, as in no API key.
fn looks_like_jwt(text: &str) -> bool {
    text.split('.').count() == 3
}
