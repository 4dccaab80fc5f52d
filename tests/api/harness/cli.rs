//! The command line, as an operator uses it.

use std::{
    ffi::OsStr,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;

/// What a command printed, and how it ended.
#[derive(Debug)]
pub struct Run {
    #[expect(dead_code, reason = "a failed assertion shows it")]
    command: String,
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    #[track_caller]
    pub fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "the exit code: {self:#?}");
        self
    }

    /// The one JSON document that `--json` promises on standard output.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("one JSON document ({error}): {self:#?}"))
    }

    /// A member of that document that is a string.
    #[track_caller]
    pub fn text(&self, member: &str) -> String {
        let document = self.json();
        document[member].as_str().unwrap_or_else(|| panic!("{member} in {document}")).to_owned()
    }

    /// Exit code 1 or 2, and one line on standard error that says these words.
    #[track_caller]
    pub fn expect_refusal(self, code: i32, words: &[&str]) -> Self {
        assert_eq!(self.code, Some(code), "the exit code: {self:#?}");
        assert_eq!(self.stdout, "", "nothing on standard output: {self:#?}");
        for word in words {
            assert!(self.stderr.contains(word), "`{word}` on standard error: {self:#?}");
        }
        assert_eq!(self.stderr.trim_end().lines().count(), 1, "an error is one line: {self:#?}");
        self
    }
}

/// The binary under test in `directory`, with this environment and no other: what cargo has built, or the one that
/// `JETON_BINARY` names, so that a long run outlives the next build.
pub fn command(directory: &Path, environment: impl IntoIterator<Item = (String, String)>) -> Command {
    let binary = std::env::var_os("JETON_BINARY").unwrap_or_else(|| env!("CARGO_BIN_EXE_jeton").into());
    let mut command = Command::new(binary);
    command.current_dir(directory).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.envs(environment);
    command
}

/// The server as the last word of a shell's script, which limits it first.
pub fn limited(directory: &Path, environment: impl IntoIterator<Item = (String, String)>, limits: &str) -> Command {
    let server = command(directory, environment);
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("{limits}; exec \"$0\" serve")]).arg(server.get_program()).current_dir(directory);
    shell.env_clear().envs(server.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell
}

/// Runs one command to its end.
pub fn run<A: AsRef<OsStr>>(
    directory: &Path,
    environment: impl IntoIterator<Item = (String, String)>,
    arguments: impl IntoIterator<Item = A>,
    stdin: Option<&str>,
) -> Run {
    let mut command = command(directory, environment);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary runs");
    let mut input = child.stdin.take().expect("it is piped");
    // A command that does not read its input may be gone already: that is no fault.
    drop(input.write_all(stdin.unwrap_or_default().as_bytes()));
    drop(input);
    let output = child.wait_with_output().expect("it ends");
    Run {
        command: format!("{command:?}"),
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("text"),
        stderr: String::from_utf8(output.stderr).expect("text"),
    }
}
