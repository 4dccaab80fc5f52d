//! HTTP as a client speaks it: nothing is followed, retried or hidden.

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::{Arc, Mutex},
    time::Duration,
};

use data_encoding::BASE64;
use serde_json::Value;
use ureq::{Agent, http};

use super::Answer;

/// Speaks to one server, wherever it listens at the moment.
#[derive(Clone)]
pub struct Client {
    address: Arc<Mutex<String>>,
    agent: Agent,
}

impl Client {
    pub fn new(address: &str) -> Self {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .allow_non_standard_methods(true)
            .user_agent("jeton-tests")
            .timeout_global(Some(Duration::from_secs(30)))
            .build()
            .into();
        Self { address: Arc::new(Mutex::new(address.to_owned())), agent }
    }

    /// The server has started again, at another address.
    pub fn moved(&self, address: &str) {
        address.clone_into(&mut self.address.lock().expect("nobody panics with it"));
    }

    pub fn address(&self) -> String {
        self.address.lock().expect("nobody panics with it").clone()
    }

    pub fn get(&self, path: impl AsRef<str>) -> Request {
        self.call("GET", path)
    }

    pub fn post(&self, path: impl AsRef<str>) -> Request {
        self.call("POST", path)
    }

    /// Any method, any path.
    pub fn call(&self, method: &str, path: impl AsRef<str>) -> Request {
        let url = format!("http://{}{}", self.address(), path.as_ref());
        let builder = http::Request::builder().method(method).uri(url);
        Request { agent: self.agent.clone(), builder, body: None }
    }

    /// Bytes as they are, down a connection of their own; what comes back until it closes or falls silent.
    pub fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address()).expect("the server listens");
        stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a socket");
        // The server may refuse and close before it has read all: what it said still counts.
        drop(stream.write_all(bytes));
        let mut answer = Vec::new();
        drop(stream.read_to_end(&mut answer));
        String::from_utf8_lossy(&answer).into_owned()
    }
}

/// A request on its way.
pub struct Request {
    agent: Agent,
    builder: http::request::Builder,
    body: Option<Vec<u8>>,
}

impl Request {
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.builder = self.builder.header(name, value);
        self
    }

    pub fn bearer(self, token: &str) -> Self {
        self.header("Authorization", &format!("Bearer {token}"))
    }

    pub fn basic(self, id: &str, secret: &str) -> Self {
        self.header("Authorization", &format!("Basic {}", BASE64.encode(format!("{id}:{secret}").as_bytes())))
    }

    pub fn tenant(self, id: &str) -> Self {
        self.header("X-Tenant-ID", id)
    }

    /// Sends JSON, and reads the answer.
    pub fn json(self, body: Value) -> Answer {
        self.body("application/json", body.to_string())
    }

    /// Sends a form, and reads the answer.
    pub fn form(self, fields: &[(&str, &str)]) -> Answer {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.body("application/x-www-form-urlencoded", body)
    }

    /// Sends bytes of any kind, and reads the answer.
    pub fn body(self, content_type: &str, body: impl Into<Vec<u8>>) -> Answer {
        self.header("Content-Type", content_type).with_body(body).send()
    }

    /// Takes a body along.
    pub fn with_body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// Sends it without a body, and reads the answer.
    pub fn send(self) -> Answer {
        self.try_send().expect("the server answers")
    }

    /// The same where the server may be gone.
    ///
    /// # Errors
    /// The connection's.
    pub fn try_send(self) -> Result<Answer, ureq::Error> {
        let request = self.builder.body(self.body.unwrap_or_default()).expect("a request that HTTP allows");
        let asked = format!("{} {}", request.method(), request.uri());
        let (parts, mut body) = self.agent.run(request)?.into_parts();
        Ok(Answer { asked, status: parts.status.as_u16(), headers: parts.headers, body: body.read_to_vec()? })
    }
}
