//! The programs of `examples/verify`, as a downstream service would use them.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::LazyLock,
};

use serde_json::Value;

use crate::harness::leave_out;

#[expect(dead_code, clippy::disallowed_methods, reason = "its `main` is for people, and it has no clock of ours")]
#[path = "../../examples/verify/rust/src/main.rs"]
pub mod example;

/// A program that verifies tokens.
#[derive(Debug)]
pub enum Verifier {
    /// `jsonwebtoken`
    Rust,
    /// Another language's: what runs it, and its text.
    Program { runner: PathBuf, text: PathBuf },
}

impl Verifier {
    /// All that can run here. Loud where a library is missing, and a failure in CI.
    pub fn all() -> &'static [Self] {
        static ALL: LazyLock<Vec<Verifier>> =
            LazyLock::new(|| [Some(Verifier::Rust), python(), node()].into_iter().flatten().collect());
        &ALL
    }

    /// The claims of a token, or why it is refused.
    pub fn verify(&self, issuer: &str, audience: &str, token: &str) -> Result<Value, String> {
        match self {
            Self::Rust => example::Verifier::fetch(issuer.to_owned(), audience.to_owned())
                .and_then(|verifier| verifier.verify(token))
                .map_or_else(|refusal| Err(refusal.to_string()), |claims| Ok(Value::from(claims))),
            Self::Program { runner, text } => run(runner, text, issuer, audience, token),
        }
    }
}

fn python() -> Option<Verifier> {
    let runner = libraries().join("venv/bin/python");
    if runner.exists() {
        return Some(Verifier::Program { runner, text: examples().join("python/verify.py") });
    }
    let at = libraries().join("venv").display().to_string();
    leave_out(
        "tokens in PyJWT",
        &format!("python3 -m venv {at} && {at}/bin/pip install -r examples/verify/python/requirements.txt"),
    );
    None
}

/// The program is copied beside its library, where Node.js looks for it.
fn node() -> Option<Verifier> {
    let at = libraries();
    if at.join("node_modules/jose").exists() {
        let text = at.join("verify.mjs");
        fs::copy(examples().join("node/verify.mjs"), &text).expect("the folder is writable");
        return Some(Verifier::Program { runner: "node".into(), text });
    }
    leave_out("tokens in jose", &format!("npm install --no-save --prefix {} jose", at.display()));
    None
}

/// The token goes in on standard input, as a secret should.
fn run(runner: &Path, text: &Path, issuer: &str, audience: &str, token: &str) -> Result<Value, String> {
    let mut command = Command::new(runner);
    command.arg(text).env("JETON_URL", issuer).env("JETON_AUDIENCE", audience);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    let mut input = child.stdin.take().expect("it is piped");
    writeln!(input, "{token}").expect("the program reads the token");
    drop(input);

    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    match output.status.code() {
        Some(0) => Ok(serde_json::from_slice(&output.stdout).expect("claims in JSON")),
        Some(1) if said.starts_with("refused: ") => Err(said),
        other => panic!("{command:?} ends with {other:?}, neither claims nor a reason: {said}"),
    }
}

/// Where `.ci/run` puts the libraries: beside the build's own files.
pub fn libraries() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("verifiers")
}

pub fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/verify")
}
