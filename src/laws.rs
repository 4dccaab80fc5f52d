//! The laws of every parser that reads what strangers send. Whatever comes, it ends without a panic, and what is
//! accepted means one thing: written out it is read again as the same.
//!
//! Tests try them with generated texts, `fuzz/` with what a fuzzer finds.
#![expect(clippy::missing_panics_doc, reason = "each panics where its law is broken, and for nothing else")]

use std::net::IpAddr;
use std::path::Path;

use actix_web::http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use actix_web::test::TestRequest;
use chrono::TimeDelta;
use data_encoding::{BASE64, BASE64URL_NOPAD};
use ipnet::IpNet;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use uuid::Uuid;
use validator::Validate;

use crate::config::{Config, MasterKey};
use crate::domain::constraints::Constraints;
use crate::domain::ip_allow_list::IpAllowList;
use crate::domain::key_format::KeyFormat;
use crate::domain::original_request::{Method, RequestPath, without_case};
use crate::domain::page::Cursor;
use crate::domain::refresh_token::RefreshToken;
use crate::domain::status_list::StatusIndex;
use crate::domain::{Algorithm, Email, Name, Refusal, Scopes, TenantId, Timestamp};
use crate::extract::authorization::{self, Authorization};
use crate::extract::client::client_ip;
use crate::extract::original_request::OriginalRequest;
use crate::extract::{form, json};
use crate::profile::endpoints::EndpointTable;
use crate::profile::pattern::{PathPattern, Segment};
use crate::profile::{Profile, ProfileError};
use crate::random::Random;
use crate::tokens::claims::{Grant, Subject};
use crate::tokens::issuer::Issuer;
use crate::tokens::keyring::Keyring;
use crate::tokens::secret_box::SecretBox;
use crate::tokens::signing_key::KeyPair;
use crate::tokens::verifier::Verifier;

/// What is read as a refresh token is the one text of that token.
pub fn refresh_token(text: &str) {
    if let Some(token) = RefreshToken::parse(text) {
        assert_eq!(token.to_secret().expose(), text);
        assert!(!format!("{token:?}").contains(text), "no Debug shows it");
    }
}

/// What is read as an API key is that text, unchanged, of this format.
pub fn api_key(format: &KeyFormat, text: &str) {
    if let Some(key) = format.read(text) {
        assert_eq!(key.expose(), text);
        assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b)), "no JWT, and safe in a header");
        let hint = key.hint();
        assert_eq!(hint.len(), 4);
        assert!(text.contains(&format!("_{hint}")) && !format!("{key:?}").contains(&hint));
    }
}

/// A header `Authorization` holds one credential, which stands in it as it is read.
pub fn authorization(header: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(header) else { return };
    let request = TestRequest::default().insert_header((AUTHORIZATION, value)).to_http_request();
    let has_bearer = authorization::bearer(&request).is_ok_and(|found| found.is_some());
    let has_basic = authorization::basic(&request).is_ok_and(|found| found.is_some());
    assert!(!(has_bearer && has_basic), "one scheme");
    match authorization::of(&request) {
        Ok(Some(Authorization::Bearer(token) | Authorization::Token(token))) => {
            assert_eq!(token.trim(), token);
            assert!(header.ends_with(token.as_bytes()) || header.trim_ascii().ends_with(token.as_bytes()));
        }
        Ok(Some(Authorization::Basic(id, secret))) if !id.is_empty() || !secret.is_empty() => {
            let written = BASE64.encode(format!("{id}:{secret}").as_bytes());
            assert!(header.trim_ascii().ends_with(written.as_bytes()), "one spelling");
        }
        _ => {}
    }
}

/// What a proxy says of a request is read in one way, or refused.
pub fn original_request(method: &[u8], target: &[u8], other: Option<&[u8]>) {
    let mut request = TestRequest::default();
    let headers = [("x-forwarded-method", Some(method)), ("x-forwarded-uri", Some(target)), ("x-rewrite-url", other)];
    for (name, value) in headers {
        let Some(value) = value else { continue };
        let Ok(value) = HeaderValue::from_bytes(value) else { return };
        request = request.insert_header((name, value));
    }
    if let Ok(read) = OriginalRequest::of(&request.to_http_request(), "/api/v1/auth/forward") {
        path(String::from_utf8_lossy(target).split('?').next().unwrap_or_default());
        assert!(target.starts_with(b"/"));
        assert!(read.method == Method::Other || read.method.as_str().as_bytes() == method || method == b"HEAD");
        assert!(other.is_none_or(|other| other.ends_with(target)), "no other request is named");
    }
}

/// A path that is accepted is its own normal form: encoded anew it is the same, and nothing in it could be taken for
/// another path.
pub fn path(text: &str) {
    let Ok(path) = RequestPath::parse(text) else { return };
    for segment in path.segments() {
        assert!(!segment.is_empty() && segment != "." && segment != "..");
        assert!(!segment.contains(['/', '\\', '%', ';', '?', '#', '\0']), "{segment}");
    }
    for again in [respelled(&path), format!("{}/", respelled(&path))] {
        if again != "//" && again.len() <= RequestPath::MOST {
            assert_eq!(RequestPath::parse(&again).as_ref(), Ok(&path), "{again}");
        }
    }
}

/// The path with every character encoded that can be.
fn respelled(path: &RequestPath) -> String {
    let encoded = path.segments().map(|segment| format!("/{}", utf8_percent_encode(segment, NON_ALPHANUMERIC)));
    let text: String = encoded.collect();
    if text.is_empty() { "/".to_owned() } else { text }
}

/// A path meets one row at most, the most specific of those that match it; and whoever writes its letters in another
/// case meets the same row or none.
pub fn endpoint(table: &EndpointTable, method: Method, text: &str) {
    let Ok(path) = RequestPath::parse(text) else { return };
    let path = &path;
    let lists = |exactly: bool| {
        table.iter().filter(move |row| row.methods.contains(&method) && matches(&row.path, path, exactly))
    };
    let found = table.find(method, path).ok().map(|found| found.endpoint);
    match found {
        Some(row) => {
            assert!(lists(true).any(|other| std::ptr::eq(other, row)), "{path} does not match {}", row.path);
            for other in lists(true).filter(|other| !std::ptr::eq(*other, row)) {
                let order = row.path.more_specific(&other.path);
                assert_eq!(order, Some(std::cmp::Ordering::Greater), "{path}: {} before {}", other.path, row.path);
            }
        }
        None if lists(false).count() == lists(true).count() => assert_eq!(lists(true).count(), 0, "{path}"),
        None => {}
    }
    for other in [path.as_str().to_uppercase(), path.as_str().to_lowercase()] {
        let encoded = other.split('/').map(|segment| utf8_percent_encode(segment, NON_ALPHANUMERIC).to_string());
        let Ok(other) = RequestPath::parse(&encoded.collect::<Vec<_>>().join("/")) else { continue };
        if let Ok(another) = table.find(method, &other) {
            assert!(found.is_none_or(|row| std::ptr::eq(row, another.endpoint)), "{path} and {other}");
        }
    }
}

/// What the table does, one row at a time; letters of both cases alike where it is not to be exact.
fn matches(pattern: &PathPattern, path: &RequestPath, exactly: bool) -> bool {
    let alike = |one: &str, other: &str| if exactly { one == other } else { without_case(one) == without_case(other) };
    let reaches = match path.segments().count().checked_sub(pattern.segments.len()) {
        Some(deeper) => deeper == 0 || pattern.and_below,
        None => false,
    };
    reaches
        && pattern.segments.iter().zip(path.segments()).all(|(segment, given)| match segment {
            Segment::Literal(text) => alike(text, given),
            Segment::Parameter(_) => true,
        })
}

/// A path of the endpoint table is shown as it is read.
pub fn pattern(text: &str) {
    if let Ok(pattern) = text.parse::<PathPattern>() {
        assert_eq!(pattern.to_string().parse().as_ref(), Ok(&pattern), "{text}");
        assert!(pattern.overlaps(&pattern) && pattern.more_specific(&pattern).is_none());
    }
}

/// A profile is read, or refused at a line that it has.
pub fn profile(text: &str) {
    match Profile::parse(text, Path::new("acme.toml")) {
        Ok(profile) => {
            assert!(profile.key_format.environment(None).is_some());
            assert!(profile.locations().next().is_some(), "some key is read somewhere");
        }
        Err(ProfileError::Fault { line, message, .. }) => {
            assert!((1..=text.split('\n').count()).contains(&line), "line {line}");
            assert!(!message.is_empty());
        }
        Err(unreadable) => panic!("{unreadable}"),
    }
}

/// A cursor is the one text of the place where a page ended.
pub fn cursor(text: &str) {
    if let Ok(Cursor(id)) = text.parse() {
        assert_eq!(BASE64URL_NOPAD.encode(id.as_bytes()), text);
    }
}

/// The client's address is the peer's, or one that a trusted proxy wrote: what stands before it changes nothing.
pub fn forwarded(peer: IpAddr, trusted: &[IpNet], written: &[u8], before: &[u8]) {
    let resolve = |lines: &[&[u8]]| {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(HeaderName::from_static("x-forwarded-for"), HeaderValue::from_bytes(line).ok()?);
        }
        Some(client_ip(peer, &headers, trusted))
    };
    let Some(client) = resolve(&[written]) else { return };
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(&address));
    assert_eq!(client, client.to_canonical());
    if !is_trusted(peer.to_canonical()) {
        assert_eq!(client, peer.to_canonical());
    }
    if !is_trusted(client) {
        let one_line = [before, b",", written].concat();
        for spoofed in [[before, written].as_slice(), &[&one_line]] {
            assert!(resolve(spoofed).is_none_or(|spoofed| spoofed == client));
        }
    }
}

/// A form has each parameter once, and written anew it is the same form.
pub fn form(body: &[u8]) {
    let Ok(mut form) = form::parse(body) else { return };
    let pairs: Vec<_> = url::form_urlencoded::parse(body).filter(|(_, value)| !value.is_empty()).collect();
    let written = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&pairs).finish();
    let Ok(mut again) = form::parse(written.as_bytes()) else { panic!("{written}") };
    for (name, value) in pairs {
        assert_eq!(form.take(&name).as_deref(), Some(&*value));
        assert_eq!(again.take(&name).as_deref(), Some(&*value));
        assert_eq!(form.take(&name), None, "each once");
    }
}

/// Members of every kind that bodies have.
#[derive(Default, Deserialize, Validate)]
#[serde(deny_unknown_fields, default)]
struct Body {
    name: Option<Name>,
    email: Option<Email>,
    scopes: Option<Scopes>,
    allowed_ips: IpAllowList,
    expires_at: Option<Timestamp>,
    constraints: Option<Constraints>,
    tenant_id: Option<TenantId>,
    #[validate(range(min = 1, max = 100, message = "must be 1 to 100"))]
    number: Option<u32>,
}

/// A JSON body is accepted, or refused as the client's fault in words that are fit for a log.
pub fn json(body: &[u8]) {
    match json::parse::<Body>(body) {
        Ok(body) => {
            for text in [body.name.map(String::from), body.email.map(String::from)].into_iter().flatten() {
                assert!(!text.chars().any(char::is_control));
            }
            assert!(body.number.is_none_or(|number| (1..=100).contains(&number)));
        }
        Err(Refusal::MalformedRequest(detail)) => assert!(!detail.chars().any(char::is_control)),
        Err(Refusal::ValidationFailed(errors)) => {
            assert!(!errors.is_empty());
            for error in errors {
                assert!(!error.message.chars().any(char::is_control), "{error:?}");
                assert!(error.message.len() <= 1024 && error.field.len() <= body.len() + 64, "{error:?}");
            }
        }
        Err(other) => panic!("{other:?}"),
    }
}

/// Scopes are the text that they were read from, and narrowing gives what was asked for or nothing, never more than is
/// held.
pub fn scopes(held: &str, asked: &str) {
    let (Ok(held), asked) = (held.parse::<Scopes>(), asked.parse::<Scopes>()) else { return };
    let Ok(asked) = asked else { return };
    assert_eq!(asked.as_str().parse().as_ref(), Ok(&asked));
    assert_eq!(Scopes::new(&asked.to_vec()).as_ref(), Ok(&asked));
    match held.narrow(Some(&asked)) {
        Ok(given) => {
            assert_eq!(given, asked);
            assert!(given.iter().all(|scope| held.iter().any(|known| known == scope)));
        }
        Err(lacking) => assert!(asked.contains(&lacking.0) && !held.contains(&lacking.0)),
    }
    let both = held.and(&asked);
    assert!(both.iter().all(|scope| held.contains(scope) && asked.contains(scope)));
    assert_eq!(held.narrow(None).as_ref(), Ok(&held));
}

/// Networks are kept in one spelling, which is read as the same networks.
pub fn ip_allow_list(text: &str) {
    let Ok(list) = text.parse::<IpAllowList>() else { return };
    assert_eq!(list.as_str().parse::<IpAllowList>().ok().as_ref(), Some(&list), "{text}");
    assert_eq!(list.admits(None), list.as_str().is_empty());
    for word in list.as_str().split(' ').filter(|word| !word.is_empty()) {
        let address = word.split('/').next().and_then(|address| address.parse().ok());
        assert!(list.admits(address), "{word}");
    }
}

/// An address is kept in one spelling, which is read as the same address.
pub fn email(text: &str) {
    if let Ok(email) = text.parse::<Email>() {
        assert_eq!(email.as_str().parse::<Email>().ok().as_ref(), Some(&email), "{text}");
        assert!(email.as_str().len() <= 254 && !email.as_str().contains(char::is_whitespace));
        assert!(!email.as_str().chars().any(char::is_control));
    }
}

/// A time is written as it is read.
pub fn time(text: &str) {
    if let Ok(time) = text.parse::<Timestamp>() {
        assert_eq!(time.to_string().parse::<Timestamp>().ok(), Some(time), "{text}");
        assert_eq!(time.to_string().len(), "2030-12-31T23:59:59.000000Z".len(), "RFC 3339: {time}");
    }
}

/// A server of which only the tokens are there.
pub struct Tokens {
    issuer: Issuer,
    verifier: Verifier,
}

impl Tokens {
    /// A moment to judge tokens at.
    const NOW: Timestamp = Timestamp(1_000_000_000_000_000);

    /// With a new signing key.
    #[must_use]
    pub fn new() -> Option<Self> {
        let config = Config::load(None, []).ok()?;
        let secrets = SecretBox::new(&MasterKey::new([7; 32]), Random::default()).ok()?;
        let key = KeyPair::generate(Algorithm::Es256).ok()?.into_row(&secrets, Self::NOW, None).ok()?;
        let keyring = Keyring::read(&[key.into()], &secrets).ok()?;
        let issuer = Issuer::new(&config, keyring.clone(), Random::default());
        Some(Self { issuer, verifier: Verifier::new(&config, keyring) })
    }

    /// A token of this server.
    #[must_use]
    pub fn issue(&self) -> Option<String> {
        let grant = Grant {
            audience: None,
            scopes: Scopes::NONE,
            tenant_id: Uuid::nil().into(),
            issued_at: Self::NOW,
            lifetime: TimeDelta::minutes(30),
            subject: Subject::ApiKey {
                id: Uuid::nil(),
                environment: "live".to_owned(),
                access_type: None,
                group_id: None,
                constraints: None,
                status_index: StatusIndex(0),
            },
        };
        self.issuer.access_token(grant).ok().map(|token| token.jwt)
    }

    /// Whether this is a token of this server.
    #[must_use]
    pub fn accept(&self, jwt: &str) -> bool {
        self.verifier.verify(jwt, Self::NOW).is_ok()
    }
}

#[cfg(test)]
mod tests;
