//! The API behind the proxy: it answers everything, and remembers what it was asked.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU16, Ordering},
};

use serde_json::json;

use crate::http::{Listening, Received, Reply, serve};

/// An API that believes whatever it gets.
pub struct Upstream {
    seen: Arc<Mutex<Vec<Received>>>,
    status: Arc<AtomicU16>,
    listening: Listening,
}

impl Upstream {
    pub fn start() -> Self {
        let (seen, status) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicU16::new(200)));
        let (remember, says) = (seen.clone(), status.clone());
        let listening = serve(move |request| {
            let status = says.load(Ordering::Relaxed);
            let body = json!({"upstream": status, "method": request.method, "target": request.target});
            remember.lock().expect("nobody panics with it").push(request);
            let headers =
                [("Content-Type", "application/json"), ("WWW-Authenticate", "Upstream"), ("X-Upstream", "yes")];
            let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
            Reply { status, headers, body: body.to_string().into_bytes() }
        });
        Self { seen, status, listening }
    }

    /// `host:port`
    pub fn address(&self) -> &str {
        &self.listening.address
    }

    /// All that it was asked, in this order.
    pub fn requests(&self) -> Vec<Received> {
        self.seen.lock().expect("nobody panics with it").clone()
    }

    /// Answers with this status from now on.
    pub fn answer_with(&self, status: u16) {
        self.status.store(status, Ordering::Relaxed);
    }
}
