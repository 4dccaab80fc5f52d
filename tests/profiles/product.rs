//! A product whole: an API behind nginx, and Jeton with the product's profile beside it.

use std::{fs, path::Path, process::Command};

use serde_json::Value;

use crate::{
    harness::{Answer, Client, Jeton, Jwt, Request, Tenant},
    http::{Listening, Received},
    proxy::{Kind, Proxy},
    stand_in,
    upstream::Upstream,
};

/// The product as its customers meet it.
pub struct Product {
    // The order matters: the proxy goes before those that it stands in front of.
    _front: Front,
    client: Client,
    pub upstream: Upstream,
    pub jeton: Jeton,
}

/// What customers speak to.
enum Front {
    Proxy(Proxy),
    StandIn(Listening),
}

/// A request that reached the API, checked as far as each of them can be.
pub struct Admitted {
    /// What the API got.
    pub request: Received,
    /// The token in it, whose signature is right.
    pub jwt: Jwt,
    /// What the client got.
    pub answer: Answer,
}

impl Product {
    /// Jeton with this profile, and an API behind nginx; where there is none, behind a stand-in of it.
    #[track_caller]
    pub fn start(jeton: Jeton, profile: &str) -> Self {
        Self::behind(Kind::Nginx, &jeton, profile).unwrap_or_else(|| {
            let upstream = Upstream::start();
            let front = stand_in::start(&address_of(&jeton), upstream.address());
            Self::of(Front::StandIn(front), upstream, jeton)
        })
    }

    /// The same with a copy of a built-in profile that says `to` wherever it said `from`, as its operator may change
    /// it.
    #[track_caller]
    pub fn changed(jeton: Jeton, profile: &str, from: &str, to: &str) -> Self {
        let name = format!("{profile}.toml");
        let built_in = Path::new(env!("CARGO_MANIFEST_DIR")).join("profiles").join(&name);
        let text = fs::read_to_string(built_in).expect("it is built in");
        assert!(text.contains(from), "`{from}` stands in {name}");
        let copy = jeton.folder().join(name);
        fs::write(&copy, text.replace(from, to)).expect("the test's folder is writable");
        Self::start(jeton, &copy.display().to_string())
    }

    /// The same behind a certain proxy; none where the machine does not have it.
    #[track_caller]
    pub fn behind(kind: Kind, jeton: &Jeton, profile: &str) -> Option<Self> {
        jeton.set("profile", profile);
        jeton.set("server.trusted_proxies", "127.0.0.1");
        let upstream = Upstream::start();
        let proxy = Proxy::start(kind, jeton.folder(), &address_of(jeton), upstream.address())?;
        Some(Self::of(Front::Proxy(proxy), upstream, jeton.clone()))
    }

    fn of(front: Front, upstream: Upstream, jeton: Jeton) -> Self {
        let client = match &front {
            Front::Proxy(proxy) => Client::new(&proxy.address),
            Front::StandIn(listening) => Client::new(&listening.address),
        };
        Self { _front: front, client, upstream, jeton }
    }

    /// `host:port` that customers call.
    pub fn address(&self) -> String {
        self.client.address()
    }

    /// A call as a customer makes it.
    pub fn call(&self, method: &str, path: impl AsRef<str>) -> Request {
        self.client.call(method, path)
    }

    pub fn get(&self, path: impl AsRef<str>) -> Request {
        self.client.get(path)
    }

    pub fn post(&self, path: impl AsRef<str>) -> Request {
        self.client.post(path)
    }

    /// The JSON that `curl` prints with these arguments.
    #[track_caller]
    pub fn curl(&self, path: &str, arguments: &[&str]) -> Value {
        let url = format!("http://{}{path}", self.address());
        let output = Command::new("curl").arg("-sS").arg(url).args(arguments).output().expect("curl is there");
        let printed = String::from_utf8_lossy(&output.stdout);
        serde_json::from_str(&printed).unwrap_or_else(|error| panic!("JSON ({error}): {printed}"))
    }

    /// Bytes as they are, down a connection of their own.
    pub fn raw(&self, bytes: &[u8]) -> String {
        self.client.raw(bytes)
    }

    /// The last request that reached the API.
    #[track_caller]
    pub fn last_request(&self) -> Received {
        self.upstream.requests().pop().expect("a request reached the API")
    }

    /// A new customer without a plan.
    #[track_caller]
    pub fn tenant(&self) -> Tenant {
        self.jeton.tenant()
    }

    /// A new customer on this plan.
    #[track_caller]
    pub fn tenant_on(&self, plan: &str) -> Tenant {
        self.jeton.tenant_with(&["--plan", plan])
    }

    /// The tenant's public name in URLs.
    #[track_caller]
    pub fn project_token(&self, tenant: &Tenant) -> String {
        let tenants = self.jeton.cli(["tenant", "list", "--json"]).expect_code(0).json();
        let items = tenants.get("items").unwrap_or(&tenants).as_array().expect("a list").clone();
        let found = items.iter().find(|item| item["id"] == tenant.id).expect("the tenant is there");
        found["project_token"].as_str().expect("a string").to_owned()
    }

    /// Sends a call that must reach the API, with a good token in the place of its credential.
    #[track_caller]
    pub fn admits(&self, call: Request) -> Admitted {
        let before = self.upstream.requests().len();
        let answer = call.send().expect_status(200);
        assert_eq!(self.upstream.requests().len(), before + 1, "it reaches the API once: {}", answer.told());
        let request = self.last_request();
        let token = request.header("Authorization").and_then(|value| value.strip_prefix("Bearer "));
        let jwt = self.jeton.verified(token.unwrap_or_else(|| panic!("a Bearer token in {request:?}")));
        let said = [("X-Tenant-ID", "tenant_id"), ("X-Auth-Subject", "sub"), ("X-Auth-Scope", "scope")];
        for (header, claim) in said {
            let value = request.header(header).unwrap_or_default();
            assert_eq!(value, jwt.text(claim), "`{header}` is the token's `{claim}` in {request:?}");
        }
        assert_eq!(request.header("X-API-Key"), None, "no key in {request:?}");
        Admitted { request, jwt, answer }
    }

    /// Sends a call that must be refused before the API sees it.
    #[track_caller]
    pub fn refuses(&self, call: Request, status: u16, code: &str) -> Answer {
        let before = self.upstream.requests().len();
        let answer = call.send().expect_problem(status, code);
        assert_eq!(self.upstream.requests().len(), before, "it does not reach the API: {}", answer.told());
        answer
    }
}

/// Starts Jeton at an address that it keeps when it starts again, for the proxy knows no other.
#[track_caller]
fn address_of(jeton: &Jeton) -> String {
    let address = jeton.server(|server| server.address.clone());
    jeton.set("server.bind", &address);
    address
}
