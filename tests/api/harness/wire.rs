//! HTTP with many requests under way at once from one thread: each on a connection that stays open.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    time::Duration,
};

use serde_json::Value;
use ureq::http::{HeaderMap, HeaderName, HeaderValue};

use super::{Answer, Client};

/// A connection. What is sent is answered in its order.
pub struct Wire(BufReader<TcpStream>);

impl Wire {
    /// So many connections, in turn to each of these servers.
    pub fn to(clients: &[&Client], count: usize) -> Vec<Self> {
        clients.iter().cycle().take(count).map(|client| Self::open(client)).collect()
    }

    fn open(client: &Client) -> Self {
        let stream = TcpStream::connect(client.address()).expect("the server listens");
        stream.set_nodelay(true).expect("a socket");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a socket");
        Self(BufReader::new(stream))
    }

    /// Sends JSON with these headers, and does not wait.
    pub fn post(&mut self, path: &str, headers: &[(&str, &str)], body: &Value) {
        let body = body.to_string();
        self.send(&format!("{}{body}", head(path, headers, body.len())));
    }

    /// The same with some time before the body.
    pub fn post_late(&mut self, path: &str, headers: &[(&str, &str)], body: &Value, meanwhile: impl FnOnce()) {
        let body = body.to_string();
        self.send(&head(path, headers, body.len()));
        meanwhile();
        self.send(&body);
    }

    fn send(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).expect("the server is there");
    }

    /// Waits for the next answer.
    pub fn answer(&mut self) -> Answer {
        let status = self.line();
        let mut headers = HeaderMap::new();
        loop {
            let line = self.line();
            let Some((name, value)) = line.split_once(": ") else { break };
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a header");
            headers.append(name, HeaderValue::from_str(value).expect("a header"));
        }
        let length = headers.get("content-length").and_then(|length| length.to_str().ok()?.parse().ok());
        let mut body = vec![0; length.unwrap_or_default()];
        self.0.read_exact(&mut body).expect("the whole body");
        let status = status.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        Answer { asked: "a request down the wire".to_owned(), status, headers, body }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("the server answers");
        line.trim_end().to_owned()
    }
}

fn head(path: &str, headers: &[(&str, &str)], length: usize) -> String {
    let headers = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect::<Vec<_>>().concat();
    format!(
        "POST {path} HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n{headers}\r\n"
    )
}
