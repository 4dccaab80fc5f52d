//! The people of a test and what they hold: tenants, users, sessions, API keys.

use std::sync::{Arc, OnceLock};

use serde_json::{Value, json};

use super::{Answer, Jeton, Request, unique};

/// A password that no rule refuses.
pub const PASSWORD: &str = "Quartz-lantern-4711-meadow";

/// An organisation.
#[derive(Clone)]
pub struct Tenant {
    pub id: String,
    pub name: String,
    jeton: Jeton,
    admin: Arc<OnceLock<User>>,
}

impl Tenant {
    pub fn new(jeton: &Jeton, id: String, name: String) -> Self {
        Self { id, name, jeton: jeton.clone(), admin: Arc::default() }
    }

    /// Its administrator, always the same one.
    #[track_caller]
    pub fn admin(&self) -> &User {
        self.admin.get_or_init(|| self.user("admin"))
    }

    /// A new user with this role.
    #[track_caller]
    pub fn user(&self, role: &str) -> User {
        create_user(&self.jeton, &self.id, role, &[])
    }

    /// A new API key with these scopes.
    #[track_caller]
    pub fn api_key<const N: usize>(&self, scopes: [&str; N]) -> ApiKey {
        self.api_key_with(json!({"scopes": scopes.as_slice()}))
    }

    /// A new API key with these members in the request.
    #[track_caller]
    pub fn api_key_with(&self, members: Value) -> ApiKey {
        self.admin().create_api_key(members).expect_status(201).into_key(self)
    }

    /// A path under this tenant: `api-keys`, `users`.
    pub fn path(&self, rest: &str) -> String {
        format!("/api/v1/tenants/{}/{rest}", self.id)
    }

    pub fn suspend(&self) {
        self.jeton.cli(["tenant", "suspend", &self.id]).expect_code(0);
    }
}

/// A person with a password.
#[derive(Clone)]
pub struct User {
    pub id: String,
    pub email: String,
    pub password: String,
    pub tenant_id: String,
    jeton: Jeton,
    token: Arc<OnceLock<String>>,
}

/// Makes a user with the command line, and with these flags besides.
#[track_caller]
pub fn create_user(jeton: &Jeton, tenant_id: &str, role: &str, flags: &[&str]) -> User {
    jeton.start();
    let email = format!("{}@example.com", unique(role));
    let mut arguments = vec!["user", "create", "--email", &email, "--tenant", tenant_id, "--role", role];
    arguments.extend_from_slice(flags);
    arguments.extend_from_slice(&["--password-stdin", "--json"]);
    let made = super::cli::run(jeton.folder(), jeton.environment(), arguments, Some(PASSWORD)).expect_code(0);
    User {
        id: made.text("id"),
        email,
        password: PASSWORD.to_owned(),
        tenant_id: tenant_id.to_owned(),
        jeton: jeton.clone(),
        token: Arc::default(),
    }
}

impl User {
    /// Tries to log in.
    pub fn login(&self) -> Answer {
        self.login_with(json!({}))
    }

    /// The same with other or further members.
    pub fn login_with(&self, members: Value) -> Answer {
        let mut body = json!({"email": self.email, "password": self.password});
        merge(&mut body, members);
        self.jeton.post("/api/v1/auth/login").json(body)
    }

    /// Logs in.
    #[track_caller]
    pub fn session(&self) -> Session {
        Session::of(&self.jeton, &self.login().expect_tokens())
    }

    /// An access token, the same one at each call.
    #[track_caller]
    pub fn token(&self) -> &str {
        self.token.get_or_init(|| self.session().access_token)
    }

    /// A call in this user's name.
    #[track_caller]
    pub fn call(&self, method: &str, path: impl AsRef<str>) -> Request {
        self.jeton.client().call(method, path).bearer(self.token())
    }

    #[track_caller]
    pub fn get(&self, path: impl AsRef<str>) -> Answer {
        self.call("GET", path).send()
    }

    #[track_caller]
    pub fn post(&self, path: impl AsRef<str>, body: Value) -> Answer {
        self.call("POST", path).json(body)
    }

    #[track_caller]
    pub fn patch(&self, path: impl AsRef<str>, body: Value) -> Answer {
        self.call("PATCH", path).json(body)
    }

    #[track_caller]
    pub fn delete(&self, path: impl AsRef<str>) -> Answer {
        self.call("DELETE", path).send()
    }

    /// Asks for an API key in this user's tenant.
    #[track_caller]
    pub fn create_api_key(&self, members: Value) -> Answer {
        let mut body = json!({"name": unique("Key")});
        merge(&mut body, members);
        self.post(format!("/api/v1/tenants/{}/api-keys", self.tenant_id), body)
    }

    #[track_caller]
    pub fn revoke(&self, key: &ApiKey) -> Answer {
        self.delete(key.path())
    }

    #[track_caller]
    pub fn rotate(&self, key: &ApiKey, body: Value) -> Answer {
        self.post(format!("{}/rotate", key.path()), body)
    }

    /// Changes the password, with the bearer of this session.
    pub fn change_password(&self, session: &Session, new_password: &str) -> Answer {
        let body = json!({"current_password": self.password, "new_password": new_password});
        self.jeton.post("/api/v1/auth/password").bearer(&session.access_token).json(body)
    }
}

/// One login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    pub access_token: String,
    pub refresh_token: String,
    jeton: Held,
}

impl Session {
    #[track_caller]
    pub fn of(jeton: &Jeton, answer: &Answer) -> Self {
        let (access_token, refresh_token) = (answer.text("access_token"), answer.text("refresh_token"));
        Self { access_token, refresh_token, jeton: Held(jeton.clone()) }
    }

    /// Presents the refresh token.
    pub fn refresh(&self) -> Answer {
        let body = json!({"refresh_token": self.refresh_token});
        self.jeton.0.post("/api/v1/auth/refresh").json(body)
    }

    /// Presents the refresh token, and holds what it got.
    #[track_caller]
    pub fn refreshed(&self) -> Self {
        Self::of(&self.jeton.0, &self.refresh().expect_tokens())
    }

    pub fn logout(&self) -> Answer {
        self.jeton.0.post("/api/v1/auth/logout").json(json!({"refresh_token": self.refresh_token}))
    }

    /// The id that its access tokens carry.
    pub fn id(&self) -> String {
        super::Jwt::parse(&self.access_token).text("sid").to_owned()
    }

    /// Calls with this session's access token.
    pub fn call(&self, method: &str, path: impl AsRef<str>) -> Request {
        self.jeton.0.client().call(method, path).bearer(&self.access_token)
    }
}

/// An API key whose plain text is known, as it is to its holder.
#[derive(Clone, Debug)]
pub struct ApiKey {
    pub id: String,
    pub key: String,
    pub tenant_id: String,
    jeton: Held,
}

impl ApiKey {
    /// What somebody presents in its place.
    pub fn forged(&self, key: impl Into<String>) -> Self {
        Self { key: key.into(), ..self.clone() }
    }

    /// Exchanges it, in its tenant, for all that it may do.
    pub fn exchange(&self) -> Answer {
        self.ask().send()
    }

    /// The same with a body.
    pub fn exchange_for(&self, body: Value) -> Answer {
        self.ask().json(body)
    }

    /// The request for an exchange, to be changed before it is sent.
    pub fn ask(&self) -> Request {
        self.jeton.0.post("/api/v1/auth/exchange").bearer(&self.key).tenant(&self.tenant_id)
    }

    /// An access token of this key.
    #[track_caller]
    pub fn token(&self) -> String {
        self.exchange().expect_tokens().text("access_token")
    }

    pub fn path(&self) -> String {
        format!("/api/v1/tenants/{}/api-keys/{}", self.tenant_id, self.id)
    }
}

impl Answer {
    /// The key that this answer shows, once.
    #[track_caller]
    pub fn into_key(self, tenant: &Tenant) -> ApiKey {
        ApiKey {
            id: self.text("id"),
            key: self.text("key"),
            tenant_id: tenant.id.clone(),
            jeton: Held(tenant.jeton.clone()),
        }
    }
}

/// The server that something belongs to; no part of what it is.
#[derive(Clone)]
struct Held(Jeton);

impl std::fmt::Debug for Held {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Jeton")
    }
}

impl PartialEq for Held {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Held {}

/// Sets the members of the second object in the first.
pub fn merge(body: &mut Value, members: Value) {
    let (Value::Object(body), Value::Object(members)) = (body, members) else { panic!("two JSON objects") };
    body.extend(members);
}
