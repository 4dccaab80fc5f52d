//! What came back, and what the contract promises of it.

use serde_json::Value;
use ureq::http::HeaderMap;

/// An answer of the server.
#[derive(Debug, Clone)]
pub struct Answer {
    pub asked: String,
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    #[track_caller]
    pub fn expect_status(self, status: u16) -> Self {
        assert_eq!(self.status, status, "the status of {}", self.told());
        self
    }

    /// A problem document of contract section 5, whole.
    #[track_caller]
    pub fn expect_problem(self, status: u16, code: &str) -> Self {
        let told = self.told();
        assert_eq!(self.status, status, "the status of {told}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "the content type of {told}");
        let problem = self.json();
        assert_eq!(problem["code"], code, "the code of {told}");
        assert_eq!(problem["status"], status, "the status repeated in {told}");
        assert_eq!(problem["error"], problem["detail"], "`error` repeats `detail` in {told}");
        assert_eq!(problem["request_id"].as_str(), self.header("x-request-id"), "the request id of {told}");
        for member in ["type", "title", "detail", "request_id"] {
            assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "`{member}` of {told}");
        }
        if status == 401 {
            let challenge = self.header("www-authenticate").unwrap_or_default();
            assert!(challenge.starts_with("Bearer"), "the challenge `{challenge}` of {told}");
        }
        self
    }

    /// A refusal whose `detail` clients are promised word for word.
    #[track_caller]
    pub fn expect_detail(self, detail: &str) -> Self {
        assert_eq!(self.json()["detail"], detail, "the detail of {}", self.told());
        self
    }

    /// A validation error that names this field.
    #[track_caller]
    pub fn expect_field(self, field: &str) -> Self {
        let answer = self.expect_problem(422, "validation_failed");
        let errors = answer.json()["errors"].clone();
        let named = errors.as_array().is_some_and(|errors| {
            errors
                .iter()
                .any(|error| error["field"] == field && error["message"].as_str().is_some_and(|m| !m.is_empty()))
        });
        assert!(named, "the field `{field}` is named in {}", answer.told());
        answer
    }

    /// An error by RFC 6749, section 5.2.
    #[track_caller]
    pub fn expect_oauth_error(self, status: u16, error: &str) -> Self {
        let told = self.told();
        assert_eq!(self.status, status, "the status of {told}");
        assert_eq!(self.json()["error"], error, "the error of {told}");
        assert_eq!(self.header("cache-control"), Some("no-store"), "RFC 6749 section 5.2 in {told}");
        assert!(self.header("content-type").is_some_and(|kind| kind.starts_with("application/json")), "JSON: {told}");
        self
    }

    /// A token answer that grants exactly these scopes.
    #[track_caller]
    pub fn expect_scope(self, scope: &str) -> Self {
        let answer = self.expect_tokens();
        assert_eq!(answer.json()["scope"], scope, "the scope of {}", answer.told());
        answer
    }

    /// 200 with a token, never to be stored.
    #[track_caller]
    pub fn expect_tokens(self) -> Self {
        let answer = self.expect_status(200);
        assert_eq!(answer.header("cache-control"), Some("no-store"), "a token answer: {}", answer.told());
        assert_eq!(answer.json()["token_type"], "Bearer", "the kind of token: {}", answer.told());
        answer
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("JSON ({error}) in {}", self.told()))
    }

    /// A member of the answer that is a string.
    #[track_caller]
    pub fn text(&self, member: &str) -> String {
        self.json()[member].as_str().unwrap_or_else(|| panic!("`{member}` in {}", self.told())).to_owned()
    }

    /// The `items` of a list.
    #[track_caller]
    pub fn items(&self) -> Vec<Value> {
        self.json()["items"].as_array().unwrap_or_else(|| panic!("`items` in {}", self.told())).clone()
    }

    /// What a failed assertion shows.
    pub fn told(&self) -> String {
        let body = String::from_utf8_lossy(&self.body);
        format!("{} -> {} {body}", self.asked, self.status)
    }
}
