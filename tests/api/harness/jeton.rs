//! The place of one test: a folder, a database, settings, a clock, and the server in it.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::ExitStatus,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use serde_json::Value;

use super::{Client, Database, Jwt, Request, Run, Server, Tenant, User, cast, cli, unique};

/// A Jeton of one test. It starts at the first call that needs it; clones are the same one.
#[derive(Clone)]
pub struct Jeton(Arc<Place>);

struct Place {
    // The order matters: the server goes before its database, and that before the folder.
    server: Mutex<Option<Server>>,
    database: Database,
    client: Client,
    settings: Mutex<BTreeMap<String, String>>,
    /// How far the test's clock is ahead, in microseconds.
    offset: Mutex<i64>,
    folder: Folder,
}

/// Who issues the tokens in the tests; it is no address that anybody listens on.
pub const ISSUER: &str = "https://jeton.test";

impl Jeton {
    pub fn on_sqlite() -> Self {
        Self::on(Database::Sqlite)
    }

    /// None where the machine has no PostgreSQL.
    pub fn on_postgres() -> Option<Self> {
        Database::postgres().map(Self::on)
    }

    pub fn on(database: Database) -> Self {
        let folder = Folder::new();
        let settings = [
            ("DATABASE_URL", database.url()),
            ("JETON_SERVER__BIND", "127.0.0.1:0".into()),
            ("JETON_SERVER__METRICS_BIND", "127.0.0.1:0".into()),
            ("JETON_SERVER__PUBLIC_URL", ISSUER.into()),
            ("JETON_SERVER__WORKERS", "2".into()),
            // Quick, for what is not a test of the hashing itself.
            ("JETON_PASSWORD__ARGON2__MEMORY_KIB", "64".into()),
            ("JETON_PASSWORD__ARGON2__ITERATIONS", "1".into()),
            ("JETON_TEST_CLOCK", folder.0.join("clock").display().to_string()),
        ];
        Self(Arc::new(Place {
            server: Mutex::new(None),
            database,
            client: Client::new(""),
            settings: Mutex::new(settings.map(|(name, value)| (name.to_owned(), value)).into()),
            offset: Mutex::new(0),
            folder,
        }))
    }

    /// Sets a key of the configuration, `tokens.refresh_grace`, before the server starts.
    pub fn with(self, key: &str, value: &str) -> Self {
        self.set(key, value);
        self
    }

    /// The same in the middle of a test, for the next start.
    pub fn set(&self, key: &str, value: &str) {
        let name = format!("JETON_{}", key.to_uppercase().replace('.', "__"));
        self.set_variable(&name, value);
    }

    /// Sets an environment variable for the next start.
    pub fn set_variable(&self, name: &str, value: &str) {
        self.settings().insert(name.to_owned(), value.to_owned());
    }

    /// Takes an environment variable away again.
    pub fn unset_variable(&self, name: &str) {
        self.settings().remove(name);
    }

    pub fn folder(&self) -> &Path {
        &self.0.folder.0
    }

    pub fn database(&self) -> &Database {
        &self.0.database
    }

    /// The environment that servers and commands get.
    pub fn environment(&self) -> Vec<(String, String)> {
        self.settings().clone().into_iter().collect()
    }

    /// Starts the server if it does not run.
    #[track_caller]
    pub fn start(&self) -> &Self {
        let mut server = self.0.server.lock().expect("no start panics");
        if server.is_none() {
            let started = Server::start(self.folder(), self.environment());
            let started = started.unwrap_or_else(|log| panic!("the server starts; it said:\n{log}"));
            self.0.client.moved(&started.address);
            *server = Some(started);
        }
        drop(server);
        self
    }

    /// Starts the server behind a shell's words that limit it.
    #[track_caller]
    pub fn start_under(&self, limits: &str) -> &Self {
        let mut server = self.0.server.lock().expect("no start panics");
        assert!(server.is_none(), "it runs without limits already");
        let started = Server::start_under(self.folder(), self.environment(), limits);
        let started = started.unwrap_or_else(|log| panic!("the server starts; it said:\n{log}"));
        self.0.client.moved(&started.address);
        *server = Some(started);
        drop(server);
        self
    }

    /// Starts a second server on the same database, with the same keys.
    #[track_caller]
    pub fn second(&self) -> (Server, Client) {
        let server = Server::start(self.folder(), self.environment()).expect("a second server starts");
        let client = Client::new(&server.address);
        (server, client)
    }

    /// SIGTERM; the next call starts it again.
    pub fn stop(&self) -> ExitStatus {
        self.stop_by("TERM")
    }

    /// The same by another signal.
    pub fn stop_by(&self, signal: &str) -> ExitStatus {
        self.take().end_by(signal)
    }

    /// SIGKILL; the next call starts it again.
    pub fn kill(&self) {
        self.take().kill();
    }

    #[track_caller]
    pub fn restart(&self) {
        self.stop();
        self.start();
    }

    /// Reads something off the running server: its log, its addresses.
    pub fn server<T>(&self, read: impl FnOnce(&Server) -> T) -> T {
        self.start();
        let server = self.0.server.lock().expect("no start panics");
        read(server.as_ref().expect("it was started"))
    }

    pub fn client(&self) -> Client {
        self.start();
        self.0.client.clone()
    }

    pub fn get(&self, path: impl AsRef<str>) -> Request {
        self.client().get(path)
    }

    pub fn post(&self, path: impl AsRef<str>) -> Request {
        self.client().post(path)
    }

    /// The published keys.
    pub fn jwks(&self) -> Value {
        self.get("/.well-known/jwks.json").send().expect_status(200).json()
    }

    /// Checks a token as a downstream service would, and takes it apart.
    #[track_caller]
    pub fn verified(&self, token: &str) -> Jwt {
        let jwt = Jwt::parse(token);
        jwt.verify(&self.jwks());
        jwt
    }

    /// Moves the clock of servers and commands, forwards.
    pub fn advance(&self, by: Duration) {
        self.shift(i64::try_from(by.as_micros()).expect("less than an age"));
    }

    /// Moves the clock by microseconds, either way.
    pub fn shift(&self, microseconds: i64) {
        let mut offset = self.0.offset.lock().expect("no move panics");
        *offset += microseconds;
        let new = self.folder().join("clock.new");
        fs::write(&new, offset.to_string()).expect("the folder is writable");
        fs::rename(new, self.folder().join("clock")).expect("the folder is writable");
    }

    /// The test's time, in seconds since 1970.
    pub fn now(&self) -> i64 {
        #[expect(clippy::disallowed_methods, reason = "the test's clock is the system's and its offset")]
        let system = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
        let microseconds = i64::try_from(system.as_micros()).expect("before the year 294000");
        (microseconds + *self.0.offset.lock().expect("no move panics")) / 1_000_000
    }

    /// The test's time so many seconds from now, as JSON has it.
    pub fn in_seconds(&self, seconds: i64) -> String {
        let time = chrono::DateTime::from_timestamp(self.now() + seconds, 0).expect("a date");
        time.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
    }

    /// Runs a command of the command line in the server's folder, with its environment.
    #[track_caller]
    pub fn cli<const N: usize>(&self, arguments: [&str; N]) -> Run {
        self.cli_with_stdin(arguments, None)
    }

    #[track_caller]
    pub fn cli_with_stdin<const N: usize>(&self, arguments: [&str; N], stdin: Option<&str>) -> Run {
        cli::run(self.folder(), self.environment(), arguments, stdin)
    }

    /// A new tenant.
    #[track_caller]
    pub fn tenant(&self) -> Tenant {
        self.tenant_with(&[])
    }

    /// A new tenant, with these flags of the command line besides.
    #[track_caller]
    pub fn tenant_with(&self, flags: &[&str]) -> Tenant {
        self.start();
        let name = unique("Tenant");
        let arguments = [&["tenant", "create", "--name", &name, "--json"], flags].concat();
        let made = cli::run(self.folder(), self.environment(), arguments, None).expect_code(0);
        Tenant::new(self, made.text("id"), name)
    }

    /// A user with the server-wide scope `tenants:write`, at home in a tenant of its own.
    #[track_caller]
    pub fn operator(&self) -> User {
        cast::create_user(self, &self.tenant().id, "admin", &["--operator"])
    }

    /// All that is stored, as bytes.
    pub fn dump(&self) -> Vec<u8> {
        self.database().dump(self.folder())
    }

    fn settings(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, String>> {
        self.0.settings.lock().expect("nobody panics with it")
    }

    fn take(&self) -> Server {
        self.start();
        self.0.server.lock().expect("no start panics").take().expect("it was started")
    }
}

/// A temporary folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = env::temp_dir().join(format!("jeton-test-{}-{}", std::process::id(), unique("at")));
        fs::create_dir_all(&path).expect("a folder for the test");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the test's folder is kept: {}", self.0.display());
        } else {
            drop(fs::remove_dir_all(&self.0));
        }
    }
}
