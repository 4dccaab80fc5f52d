//! A program in Node.js that drives a headless Chromium: one command a line on its standard input, one answer a line
//! back.

use std::{
    fs,
    io::{BufRead, BufReader, Lines, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use serde_json::Value;

use crate::harness::{leave_out, unique};
use crate::verifier::libraries;

/// The program, running.
pub struct Driver {
    process: Child,
    commands: Option<ChildStdin>,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Driver {
    /// Starts a program of `tests/verifiers`; none where the browser or one of its packages is missing.
    pub fn start(what: &str, program: &str, packages: &[&str], arguments: &[&str]) -> Option<Self> {
        let found = packages.iter().all(|package| libraries().join("node_modules").join(package).exists());
        let browser = Command::new("chromium").arg("--version").stdout(Stdio::null()).status().is_ok();
        if !(found && browser) {
            let (at, packages) = (libraries().display().to_string(), packages.join(" "));
            leave_out(what, &format!("apt-get install chromium && npm install --no-save --prefix {at} {packages}"));
            return None;
        }
        // Copied beside its libraries, where Node.js looks for them.
        let script = libraries().join(format!("{}-{}.mjs", unique("drive"), std::process::id()));
        fs::copy(format!("{}/tests/verifiers/{program}", env!("CARGO_MANIFEST_DIR")), &script)
            .expect("the folder is writable");
        let mut node = Command::new("node");
        node.arg(script).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = node.spawn().expect("node is there");
        let answers = BufReader::new(process.stdout.take().expect("it is piped")).lines();
        Some(Self { commands: process.stdin.take(), answers, process })
    }

    /// Does something, and says what came of it.
    #[track_caller]
    #[expect(clippy::needless_pass_by_value, reason = "a command is written where it is given")]
    pub fn tell(&mut self, command: Value) -> Value {
        let commands = self.commands.as_mut().expect("it is there until the end");
        writeln!(commands, "{command}").expect("the driver runs");
        let mut answer = self.answer();
        assert!(answer.get("done").is_some(), "{command}: {answer}");
        answer["done"].take()
    }

    /// What it says by itself.
    pub fn answer(&mut self) -> Value {
        let line = self.answers.next().expect("the driver answers").expect("as text");
        serde_json::from_str(&line).expect("as JSON")
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // The end of its input is the end of the driver, and of the browser.
        self.commands = None;
        drop(self.process.wait());
    }
}
