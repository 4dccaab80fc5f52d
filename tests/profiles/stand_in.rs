//! What stands in for nginx where there is none: it asks Jeton and passes on, and has none of nginx's ways.

use crate::{
    harness::{Answer, Client},
    http::{Listening, Received, Reply, serve},
};

/// What Jeton says to the API, whatever the client sent.
const SAID: [&str; 4] = ["authorization", "x-tenant-id", "x-auth-subject", "x-auth-scope"];
/// What it says to the client of an admitted request.
const TOLD: [&str; 4] = ["ratelimit", "ratelimit-policy", "deprecation", "sunset"];
/// What belongs to one connection, and is written anew for the next.
const HOP: [&str; 4] = ["host", "connection", "content-length", "transfer-encoding"];
/// What Jeton says to proxies alone.
const HIDDEN: [&str; 2] = ["x-auth-status", "x-auth-problem"];

pub fn start(jeton: &str, upstream: &str) -> Listening {
    let (jeton, upstream) = (Client::new(jeton), Client::new(upstream));
    serve(move |request| {
        let path = request.target.split('?').next().unwrap_or_default();
        let own = ["/api/v1/auth/login", "/api/v1/auth/refresh", "/api/v1/auth/logout"];
        if own.contains(&path) || path.starts_with("/.well-known/") {
            return reply(&pass(&jeton, &request, &[]));
        }
        let question = Received {
            method: "GET".into(),
            target: "/api/v1/auth/forward".into(),
            headers: request.headers.clone(),
            ..Received::default()
        };
        let original = [
            ("x-original-method", &*request.method),
            ("x-original-uri", &request.target),
            ("x-forwarded-method", ""),
            ("x-forwarded-uri", ""),
        ];
        let said = pass(&jeton, &question, &original);
        if said.status != 200 {
            return reply(&said);
        }
        let mut headers = SAID.map(|name| (name, said.header(name).unwrap_or_default())).to_vec();
        headers.push(("x-api-key", ""));
        let mut reply = reply(&pass(&upstream, &request, &headers));
        let told = TOLD.iter().filter_map(|name| Some(((*name).to_owned(), said.header(name)?.to_owned())));
        reply.headers.extend(told);
        reply
    })
}

/// Passes a request on, with these headers in the place of its own; an empty one is only taken away.
fn pass(to: &Client, request: &Received, with: &[(&str, &str)]) -> Answer {
    let mut passed = to.call(&request.method, &request.target);
    let replaced = |name: &str| HOP.contains(&name) || with.iter().any(|(other, _)| *other == name);
    let own = request.headers.iter().map(|(name, value)| (name.to_lowercase(), value));
    for (name, value) in own.filter(|(name, _)| !replaced(name)) {
        passed = passed.header(&name, value);
    }
    for (name, value) in with.iter().filter(|(_, value)| !value.is_empty()) {
        passed = passed.header(name, value);
    }
    if request.body.is_empty() { passed.send() } else { passed.with_body(request.body.clone()).send() }
}

fn reply(answer: &Answer) -> Reply {
    let headers =
        answer.headers.iter().filter(|(name, _)| !HOP.contains(&name.as_str()) && !HIDDEN.contains(&name.as_str()));
    let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap_or_default().to_owned()));
    Reply { status: answer.status, headers: headers.collect(), body: answer.body.clone() }
}
