//! The proxies of `examples/`, as they are printed there but for the ports.

use std::{
    collections::BTreeMap,
    env, fs,
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{LazyLock, Mutex},
    thread,
    time::{Duration, Instant},
};

use crate::harness::{free_port, leave_out};

/// A proxy that asks Jeton.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Nginx,
    Caddy,
    Apache,
}

/// A running one; dropped, it ends.
pub struct Proxy {
    /// `host:port`
    pub address: String,
    /// Holds the pipe whose end tells the proxy to go: it closes however this process ends.
    keeper: Child,
}

const PATIENCE: Duration = Duration::from_secs(20);

impl Proxy {
    /// Starts one in a folder of its own; none where the machine does not have it.
    pub fn start(kind: Kind, folder: &Path, jeton: &str, upstream: &str) -> Option<Self> {
        if !kind.is_there() {
            return None;
        }
        let port = free_port();
        let places = [("127.0.0.1:8080", jeton), ("127.0.0.1:3000", upstream), (":8000", &format!(":{port}"))];
        let folder = folder.join(kind.folder());
        copy(&examples().join(kind.folder()), &folder, &places);

        let mut keeper = Command::new("sh")
            .args(["-c", KEEPER, "keeper", &kind.printed_command()])
            .current_dir(&folder)
            .env("HOME", &folder)
            .env("PATH", search_path())
            .stdin(Stdio::piped())
            .spawn()
            .expect("a shell");
        let address = format!("127.0.0.1:{port}");
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(&address).is_err() {
            if Instant::now() > deadline {
                drop(keeper.stdin.take());
                drop(keeper.wait());
                panic!("{kind:?} listens within {PATIENCE:?}; it said:\n{}", log(&folder));
            }
            thread::sleep(Duration::from_millis(5));
        }
        Some(Self { address, keeper })
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        drop(self.keeper.wait());
    }
}

/// Runs the command, waits for the end of its standard input, and ends it.
/// It ignores the terminal's interrupt: the pipe alone ends it.
const KEEPER: &str = r#"
trap '' INT TERM HUP
(trap - INT TERM HUP; eval "exec $1") >proxy.log 2>&1 </dev/null &
proxy=$!
cat >/dev/null
kill -TERM "$proxy"
for _ in $(seq 40); do kill -0 "$proxy" 2>/dev/null || exit 0; sleep 0.05; done
kill -KILL "$proxy"
"#;

impl Kind {
    pub const ALL: [Self; 3] = [Self::Nginx, Self::Caddy, Self::Apache];

    /// Its folder in `examples/`.
    fn folder(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Caddy => "caddy",
            Self::Apache => "apache",
        }
    }

    /// The program, and what else it needs of the machine.
    fn needs(self) -> (&'static str, &'static [&'static str]) {
        match self {
            Self::Nginx => ("nginx", &[]),
            Self::Caddy => ("caddy", &[]),
            Self::Apache => ("apache2", &["/usr/lib/apache2/modules/mod_lua.so", "/usr/share/lua/5.3/socket/http.lua"]),
        }
    }

    /// Whether the machine has it: loud where it does not, and a failure in CI.
    fn is_there(self) -> bool {
        static FOUND: LazyLock<Mutex<BTreeMap<Kind, bool>>> = LazyLock::new(Mutex::default);
        let mut found = FOUND.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *found.entry(self).or_insert_with(|| {
            let (program, files) = self.needs();
            let there = env::split_paths(&search_path()).any(|folder| folder.join(program).is_file())
                && files.iter().all(|file| Path::new(file).exists());
            if !there {
                let remedy = "apt-get install nginx caddy apache2 lua-socket, and let none of them start";
                leave_out(&format!("{self:?} in front of an API"), remedy);
            }
            there
        })
    }

    /// The line of `examples/README.md` that starts it.
    fn printed_command(self) -> String {
        let page = fs::read_to_string(examples().join("README.md")).expect("the page is there");
        let (program, _) = self.needs();
        let line = page.lines().find(|line| line.starts_with(&format!("{program} "))).expect(program);
        line.split('#').next().expect("split gives one at least").trim().to_owned()
    }
}

/// Copies files, with other addresses in them. Each of these stands somewhere in the folder.
fn copy(from: &Path, to: &Path, places: &[(&str, &str)]) {
    fs::create_dir_all(to).expect("the test's folder is writable");
    let files = fs::read_dir(from).expect("the example is there").flatten();
    let files: Vec<_> = files.filter(|file| file.path().is_file()).collect();
    let texts: Vec<_> = files.iter().map(|file| fs::read_to_string(file.path()).expect("text")).collect();
    for (printed, _) in places {
        assert!(texts.iter().any(|text| text.contains(printed)), "`{printed}` stands in {}", from.display());
    }
    for (file, mut text) in files.iter().zip(texts) {
        for (printed, real) in places {
            text = text.replace(printed, real);
        }
        fs::write(to.join(file.file_name()), text).expect("the test's folder is writable");
    }
}

/// Servers stand where the path of an ordinary user does not lead.
fn search_path() -> std::ffi::OsString {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    env::join_paths(folders).expect("they were joined before")
}

fn log(folder: &Path) -> String {
    let said = ["proxy.log", "error.log"].map(|file| fs::read_to_string(folder.join(file)).unwrap_or_default());
    said.concat()
}

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}
