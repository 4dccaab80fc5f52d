//! One running `jeton serve`: its addresses, its log, and the ways in which it ends.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, mpsc},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use serde_json::Value;

use super::cli;

/// A server process; dropped, it is killed.
pub struct Server {
    /// `host:port` of the API.
    pub address: String,
    /// `host:port` of the metrics.
    pub metrics: String,
    process: Child,
    log: Arc<Mutex<Vec<String>>>,
    stdout: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

/// How long a debug build on a busy machine may take to start or to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// An empty address of the metrics turns them off.
const METRICS: &str = "JETON_SERVER__METRICS_BIND";

impl Server {
    /// Starts a server in `directory` and waits until it listens.
    ///
    /// # Errors
    /// What it wrote to standard error, where it ended instead.
    pub fn start(directory: &Path, environment: Vec<(String, String)>) -> Result<Self, String> {
        Self::start_with(directory, environment, &["serve"])
    }

    /// The same with other arguments.
    pub fn start_with(
        directory: &Path,
        environment: Vec<(String, String)>,
        arguments: &[&str],
    ) -> Result<Self, String> {
        let has_metrics = !environment.iter().any(|(name, value)| name == METRICS && value.is_empty());
        let mut command = cli::command(directory, environment);
        command.args(arguments);
        Self::spawn(command, has_metrics)
    }

    /// Starts a server behind a shell's words that limit it, `ulimit -n 64`.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub fn start_under(directory: &Path, environment: Vec<(String, String)>, limits: &str) -> Result<Self, String> {
        Self::spawn(cli::limited(directory, environment, limits), true)
    }

    fn spawn(mut command: Command, has_metrics: bool) -> Result<Self, String> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().expect("the binary runs");

        let log = Arc::new(Mutex::new(Vec::new()));
        let stdout = Arc::new(Mutex::new(String::new()));
        let (listening, addresses) = mpsc::channel();
        let readers = vec![
            read_log(process.stderr.take().expect("it is piped"), log.clone(), listening),
            read_stdout(process.stdout.take().expect("it is piped"), stdout.clone()),
        ];
        let mut server = Self { address: String::new(), metrics: String::new(), process, log, stdout, readers };

        let deadline = Instant::now() + PATIENCE;
        while server.address.is_empty() || (has_metrics && server.metrics.is_empty()) {
            match addresses.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok((message, address)) if message == "listening" => server.address = address,
                Ok((_, address)) => server.metrics = address,
                Err(_) => return Err(server.log().join("\n")),
            }
        }
        Ok(server)
    }

    /// The number of its process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// All lines that it has logged so far.
    pub fn log(&self) -> Vec<String> {
        self.log.lock().expect("the reader does not panic").clone()
    }

    /// All that it has printed so far.
    pub fn printed(&self) -> String {
        self.stdout.lock().expect("the reader does not panic").clone()
    }

    /// A signal that asks it to end, and how it ended.
    pub fn end_by(mut self, signal: &str) -> ExitStatus {
        self.signal(signal);
        self.wait()
    }

    /// SIGKILL: no goodbye.
    pub fn kill(mut self) {
        self.process.kill().expect("it runs");
        self.wait();
    }

    /// Sends it a signal. After a SIGSTOP every thread of it stands still: by itself the signal stops them when one of
    /// them gets a processor, and another could still take a lock meanwhile and keep it.
    pub fn signal(&self, name: &str) {
        let id = self.process.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status().expect("kill is there");
        assert!(sent.success(), "SIG{name} is sent");
        if name == "STOP" {
            let deadline = Instant::now() + PATIENCE;
            while !self.stands_still() {
                assert!(Instant::now() < deadline, "the server stops within {PATIENCE:?} of SIGSTOP");
                thread::sleep(Duration::from_millis(1));
            }
        }
    }

    /// Whether each of its threads is stopped.
    fn stands_still(&self) -> bool {
        let threads = fs::read_dir(format!("/proc/{}/task", self.process.id())).expect("it runs");
        threads.flatten().all(|thread| {
            // The name of the thread, which may hold anything, ends at the last bracket; its state stands behind it.
            let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
            stat.rsplit_once(") ").is_none_or(|(_, state)| state.starts_with('T'))
        })
    }

    fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.process.try_wait().expect("it is our child") {
                for reader in self.readers.drain(..) {
                    reader.join().expect("the reader does not panic");
                }
                return status;
            }
            assert!(Instant::now() < deadline, "the server ends within {PATIENCE:?} of SIGTERM");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// A test that is over needs no goodbye, and a graceful one takes its time; `durability.rs` is about those.
impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// Keeps every line, and tells the addresses that the log names.
fn read_log(
    stderr: impl Read + Send + 'static,
    log: Arc<Mutex<Vec<String>>>,
    listening: mpsc::Sender<(String, String)>,
) -> JoinHandle<()> {
    thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            if let Ok(event) = serde_json::from_str::<Value>(&line)
                && let Some(message @ ("listening" | "metrics listening")) = event["message"].as_str()
                && let Some(address) = event["address"].as_str()
            {
                // Nobody waits for it any more after the start.
                drop(listening.send((message.to_owned(), address.to_owned())));
            }
            log.lock().expect("nobody panics with it").push(line);
        }
    })
}

fn read_stdout(stdout: impl Read + Send + 'static, kept: Arc<Mutex<String>>) -> JoinHandle<()> {
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let mut kept = kept.lock().expect("nobody panics with it");
            kept.push_str(&line);
            kept.push('\n');
        }
    })
}
