//! The servers of a run, the people who call them, and what those hold.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    harness::{Client, Jeton, Request, Server},
    log::{Act, Call, Log, Reply},
    rng::Rng,
};

/// A password that no rule refuses.
const PASSWORD: &str = "Quartz-lantern-4711-meadow";

/// Live keys of a tenant at most, so that the limit is met.
pub const KEY_LIMIT: i64 = 12;

/// `tokens.refresh_grace`, in microseconds.
pub const GRACE: i64 = 30_000_000;

/// `jwks.max_age`, in microseconds.
pub const JWKS_MAX_AGE: i64 = 300_000_000;

/// What a key may do; an exchange asks for some of it.
pub const SCOPES: [&str; 3] = ["goals:read", "goals:write", "sites:read"];

pub struct World {
    pub jeton: Jeton,
    pub seed: u64,
    pub log: Log,
    pub servers: Vec<Instance>,
    pub operator: Person,
    pub tenants: Vec<Tenant>,
    pub sessions: Mutex<Vec<Session>>,
    pub keys: Mutex<Vec<Key>>,
    /// Groups, each with its tenant.
    pub groups: Mutex<Vec<(usize, String)>>,
    pub over: AtomicBool,
}

/// One of the servers, which may be down at the moment.
pub struct Instance {
    process: Mutex<Option<Server>>,
    client: Client,
    up: AtomicBool,
}

/// A tenant that may be suspended, by one at a time.
pub struct Tenant {
    pub id: String,
    pub admin: Person,
    pub users: Vec<Person>,
    pub governor: Mutex<()>,
}

/// Somebody with a password, who may be disabled by one at a time.
pub struct Person {
    pub id: String,
    pub email: String,
    pub token: Mutex<Option<String>>,
    pub governor: Mutex<()>,
}

/// A login, and all refresh tokens that it has had as far as is known; the last is current.
#[derive(Clone)]
pub struct Session {
    pub id: String,
    pub user: String,
    pub tokens: Vec<String>,
    pub access_token: String,
}

#[derive(Clone)]
pub struct Key {
    pub id: String,
    pub secret: String,
    pub tenant: usize,
    /// Somebody has asked for its end.
    pub given_up: bool,
}

/// What goes along with a request.
pub enum Body {
    None,
    Json(Value),
    Form(Vec<(&'static str, String)>),
}

impl World {
    /// Starts the servers and makes the people.
    pub fn new(jeton: Jeton, seed: u64, servers: usize) -> Self {
        let profile = format!(
            "name = \"model\"\n[key]\nprefix = \"jtn_\"\nenvironments = [\"live\"]\n[limits]\nkeys_per_tenant = {KEY_LIMIT}\n"
        );
        let file = jeton.folder().join("model.toml");
        std::fs::write(&file, profile).expect("the folder is writable");
        jeton.set("profile", &file.display().to_string());
        // All clients have one address, and those whose user is disabled fail often.
        jeton.set("login.address_failures", "0");
        let log = Log::new(&jeton);
        let servers: Vec<_> = (0..servers).map(|_| Instance::start(&jeton)).collect();
        let tenant = |number| jeton.cli(["tenant", "create", "--name", number, "--json"]).expect_code(0).text("id");
        let home = tenant("home");
        let operator = Person::new(&jeton, &home, "operator", &["--role", "admin", "--operator"]);
        let tenants = ["first", "second"].map(|name| {
            let id = tenant(name);
            let admin = Person::new(&jeton, &id, &format!("admin-{name}"), &["--role", "admin"]);
            let users = (0..2).map(|user| Person::new(&jeton, &id, &format!("user-{name}-{user}"), &[])).collect();
            Tenant { id, admin, users, governor: Mutex::default() }
        });
        Self {
            jeton,
            seed,
            log,
            servers,
            operator,
            tenants: tenants.into(),
            sessions: Mutex::default(),
            keys: Mutex::default(),
            groups: Mutex::default(),
            over: AtomicBool::new(false),
        }
    }

    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    /// A server that is up, or that was a moment ago.
    pub fn client(&self, rng: &mut Rng) -> &Client {
        loop {
            let server = rng.pick(&self.servers).expect("there is one");
            if server.up.load(Ordering::SeqCst) {
                return &server.client;
            }
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
    }

    /// Asks, and writes down what was asked and what came of it.
    pub fn ask(&self, act: Act, request: Request, body: Body) -> Option<Reply> {
        let id = format!("model-{}-{}", self.seed, self.log.number());
        let request = request.header("X-Request-ID", &id);
        let request = match body {
            Body::None => request,
            Body::Json(value) => request.header("Content-Type", "application/json").with_body(value.to_string()),
            Body::Form(fields) => {
                let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
                request.header("Content-Type", "application/x-www-form-urlencoded").with_body(form)
            }
        };
        let began = self.log.moment();
        let answer = request.try_send().ok();
        let ended = self.log.moment();
        let reply = answer.map(|answer| Reply {
            status: answer.status,
            body: serde_json::from_slice(&answer.body).unwrap_or_default(),
        });
        self.note(Some(id), act, began, ended, reply)
    }

    /// Runs a command, which is no less an operation. One that fails may have been done.
    pub fn command<const N: usize>(&self, act: Act, arguments: [&str; N]) -> Option<Reply> {
        let began = self.log.moment();
        let run = self.jeton.cli(arguments);
        let ended = self.log.moment();
        let done = run.code == Some(0);
        let reply = done.then(|| Reply { status: 200, body: serde_json::from_str(&run.stdout).unwrap_or_default() });
        self.note(None, act, began, ended, reply)
    }

    fn note(&self, id: Option<String>, act: Act, began: i64, ended: i64, reply: Option<Reply>) -> Option<Reply> {
        let copy = reply.as_ref().map(|reply| Reply { status: reply.status, body: reply.body.clone() });
        self.log.add(Call { id, act, began, ended, answer: reply });
        copy
    }

    /// Logs somebody in, on whichever server.
    pub fn login(&self, rng: &mut Rng, person: &Person) -> Option<Session> {
        self.login_at(self.client(rng), person)
    }

    /// The same on this one.
    pub fn login_at(&self, client: &Client, person: &Person) -> Option<Session> {
        let act = Act::Login { user: person.id.clone() };
        let body = json!({"email": person.email, "password": PASSWORD});
        let reply = self.ask(act, client.post("/api/v1/auth/login"), Body::Json(body))?;
        let member = |name: &str| reply.body[name].as_str().map(str::to_owned);
        let (access_token, refresh_token) = (member("access_token")?, member("refresh_token")?);
        let (id, _) = crate::log::generation(&refresh_token);
        Some(Session { id, user: person.id.clone(), tokens: vec![refresh_token], access_token })
    }

    /// An access token for management, which is forgotten where it is refused.
    pub fn token(&self, rng: &mut Rng, person: &Person) -> Option<String> {
        let mut token = person.token.lock().expect("nobody panics with it");
        if token.is_none() {
            *token = self.login(rng, person).map(|session| session.access_token);
        }
        token.clone()
    }

    /// Everybody with a session to lose.
    pub fn people(&self) -> Vec<&Person> {
        self.tenants.iter().flat_map(|tenant| tenant.users.iter().chain([&tenant.admin])).collect()
    }
}

impl Instance {
    fn start(jeton: &Jeton) -> Self {
        let instance = Self { process: Mutex::default(), client: Client::new(""), up: AtomicBool::new(false) };
        instance.resume(jeton);
        instance
    }

    /// Starts it, waits until it can issue, and returns how long that took.
    pub fn resume(&self, jeton: &Jeton) -> Duration {
        let begun = Instant::now();
        let server = Server::start(jeton.folder(), jeton.environment());
        let server = server.unwrap_or_else(|log| panic!("the server starts; it said:\n{log}"));
        self.client.moved(&server.address);
        *self.process.lock().expect("nobody panics with it") = Some(server);
        assert_eq!(self.client.get("/readyz").send().status, 200, "it is ready when it listens");
        self.up.store(true, Ordering::SeqCst);
        begun.elapsed()
    }

    /// Takes it from its clients in the midst of what it does.
    pub fn take(&self) -> Server {
        self.up.store(false, Ordering::SeqCst);
        self.process.lock().expect("nobody panics with it").take().expect("it runs")
    }

    pub fn signal(&self, name: &str) {
        self.process.lock().expect("nobody panics with it").as_ref().expect("it runs").signal(name);
    }

    pub fn client(&self) -> &Client {
        &self.client
    }
}

impl Person {
    fn new(jeton: &Jeton, tenant: &str, name: &str, flags: &[&str]) -> Self {
        let email = format!("{name}@example.com");
        let mut arguments = vec!["user", "create", "--email", &email, "--tenant", tenant, "--password-stdin", "--json"];
        arguments.extend_from_slice(flags);
        let made = crate::harness::run(jeton.folder(), jeton.environment(), arguments, Some(PASSWORD));
        Self { id: made.expect_code(0).text("id"), email, token: Mutex::default(), governor: Mutex::default() }
    }
}
