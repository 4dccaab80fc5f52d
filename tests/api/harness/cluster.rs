//! A throwaway PostgreSQL from the machine's own binaries: one per test process, gone with it.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{LazyLock, Mutex},
};

use diesel::{Connection, PgConnection, RunQueryDsl, sql_query};

use super::{free_port, leave_out};

/// A running cluster, and a connection for its `CREATE DATABASE`.
pub struct Cluster {
    port: u16,
    pub binaries: PathBuf,
    admin: Mutex<PgConnection>,
    keeper: Mutex<Keeper>,
}

/// The shell that starts and stops the cluster. The end of the pipe tells it to clear up: it closes however this
/// process ends.
struct Keeper {
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    _shell: Child,
}

impl Cluster {
    /// The cluster of this process, started at the first call; none where the machine has no PostgreSQL.
    pub fn of_this_process() -> Option<&'static Self> {
        static CLUSTER: LazyLock<Option<Cluster>> = LazyLock::new(Cluster::start);
        CLUSTER.as_ref()
    }

    /// A cluster for one test, which may stop it; none where the machine has no PostgreSQL.
    pub fn of_one_test() -> Option<&'static Self> {
        Self::start().map(|cluster| &*Box::leak(Box::new(cluster)))
    }

    /// Stops it at once, as a crash of its machine would.
    pub fn stop(&self) {
        self.order("stop");
    }

    /// Starts it again.
    pub fn resume(&self) {
        self.order("start");
        *self.admin.lock().expect("no test panics while it holds the lock") = connect(self.port);
    }

    fn order(&self, word: &str) {
        self.keeper.lock().expect("no order panics").order(word);
    }

    /// The address of one of its databases, over TLS or without.
    pub fn url(&self, database: &str, sslmode: &str) -> String {
        format!("postgres://jeton@127.0.0.1:{}/{database}?sslmode={sslmode}", self.port)
    }

    /// Runs a statement as the cluster's owner.
    pub fn run(&self, statement: &str) {
        let mut admin = self.admin.lock().expect("no test panics while it holds the lock");
        sql_query(statement).execute(&mut *admin).expect(statement);
    }

    fn start() -> Option<Self> {
        let Some(binaries) = binaries() else {
            leave_out("EVERY TEST ON POSTGRESQL, whose server binaries were not found", "apt-get install postgresql");
            return None;
        };
        let port = free_port();
        let mut shell = shell_of_postgres_user()
            .args([SCRIPT, "keeper"])
            .arg(&binaries)
            .arg(port.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell");
        let orders = shell.stdin.take().expect("it is piped");
        let answers = BufReader::new(shell.stdout.take().expect("it is piped"));
        let mut keeper = Keeper { orders, answers, _shell: shell };
        keeper.order("start");
        Some(Self { port, binaries, admin: Mutex::new(connect(port)), keeper: Mutex::new(keeper) })
    }
}

impl Keeper {
    fn order(&mut self, word: &str) {
        writeln!(self.orders, "{word}").expect("the keeper listens");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("the keeper answers");
        assert_eq!(answer, "done\n", "the PostgreSQL cluster obeys: {word}");
    }
}

fn connect(port: u16) -> PgConnection {
    let url = format!("postgres://jeton@127.0.0.1:{port}/postgres?sslmode=disable");
    PgConnection::establish(&url).expect("the cluster answers")
}

/// Makes the cluster, starts and stops it as its standard input says, and clears up at the end of that.
/// It ignores the terminal's interrupt: the pipe alone ends it.
const SCRIPT: &str = r#"
set -eu
trap '' INT TERM HUP
bin=$1 port=$2
dir=$(mktemp -d "${TMPDIR:-/tmp}/jeton-cluster.XXXXXX")
trap 'cd /; rm -rf "$dir"' EXIT
cd "$dir"
"$bin/initdb" -D data -U jeton -A trust -E UTF8 --locale=C --no-sync >initdb.log 2>&1
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout data/server.key -out data/server.crt >openssl.log 2>&1
chmod 0600 data/server.key
start() {
    "$bin/postgres" -D data -k "$dir" -h 127.0.0.1 -p "$port" -c ssl=on -c fsync=off -c synchronous_commit=off \
        -c full_page_writes=off -c max_connections=300 -c autovacuum=off -c log_min_messages=fatal \
        >>postgres.log 2>&1 </dev/null &
    server=$!
    for _ in $(seq 150); do "$bin/pg_isready" -q -h 127.0.0.1 -p "$port" && break; sleep 0.1; done
    "$bin/pg_isready" -q -h 127.0.0.1 -p "$port"
}
stop() {
    kill -QUIT "$server" 2>/dev/null || true
    wait "$server" || true
}
while read -r order; do "$order"; echo "done"; done
stop
"#;

/// PostgreSQL refuses to run as root: then a shell of the user `postgres` is used.
fn shell_of_postgres_user() -> Command {
    let root = Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout == b"0\n");
    let mut command = if root {
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--", "sh", "-c"]);
        command
    } else {
        let mut command = Command::new("sh");
        command.arg("-c");
        command
    };
    command.current_dir("/");
    command
}

/// Where `initdb` and `postgres` are: what `pg_config` says, Debian's folders (newest first), the path.
fn binaries() -> Option<PathBuf> {
    let told = Command::new("pg_config").arg("--bindir").output().ok();
    let told = told.and_then(|output| String::from_utf8(output.stdout).ok()).map(|path| PathBuf::from(path.trim()));
    let mut debian: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .map(|versions| versions.flatten().map(|version| version.path().join("bin")).collect())
        .unwrap_or_default();
    debian.sort();
    let path = std::env::var_os("PATH").unwrap_or_default();

    let mut candidates = told.into_iter().chain(debian.into_iter().rev()).chain(std::env::split_paths(&path));
    candidates.find(|folder| ["initdb", "postgres", "pg_isready"].iter().all(|name| folder.join(name).is_file()))
}
