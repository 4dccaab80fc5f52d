//! The programs of `examples/verify` that refuse what was revoked, each running for the life of a test.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use serde_json::Value;

use crate::{
    harness::leave_out,
    verifier::{example::revocations::Guard as RustGuard, examples, libraries},
};

/// A service that verifies tokens, and keeps what it fetched.
pub enum Guard {
    /// `jsonwebtoken`
    Rust(Box<RustGuard>),
    /// `jose`
    Node(Node),
}

/// A program that answers a line for each token.
pub struct Node {
    child: Child,
    tokens: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Guard {
    /// One of each kind that can run here, for the tokens of this issuer. Loud where a library is missing, and a
    /// failure in CI.
    pub fn all(issuer: &str) -> Vec<Self> {
        let rust = RustGuard::start(issuer.to_owned(), "api".to_owned()).expect("the keys are there");
        [Some(Self::Rust(Box::new(rust))), Node::start(issuer).map(Self::Node)].into_iter().flatten().collect()
    }

    /// The claims of a token, or why it is refused.
    pub fn accept(&mut self, token: &str) -> Result<Value, String> {
        match self {
            Self::Rust(guard) => guard.accept(token).map(Value::from).map_err(|refusal| refusal.to_string()),
            Self::Node(node) => node.accept(token),
        }
    }

    #[track_caller]
    pub fn expect_claims(&mut self, token: &str) {
        let accepted = self.accept(token);
        assert!(accepted.is_ok(), "{self:?} refuses a good token: {accepted:?}");
    }

    /// A refusal that speaks of this: the token is not refused for something else.
    #[track_caller]
    pub fn expect_refusal_for(&mut self, reason: &str, token: &str) {
        let refused = self.accept(token).expect_err("it is refused").to_lowercase();
        assert!(refused.contains(reason), "{self:?} refuses for its {reason}: {refused}");
    }
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if matches!(self, Self::Rust(_)) { "Rust" } else { "Node" })
    }
}

impl Node {
    /// The program is copied beside its library, where Node.js looks for it.
    fn start(issuer: &str) -> Option<Self> {
        let at = libraries();
        if !at.join("node_modules/jose").exists() {
            leave_out("revoked tokens in jose", &format!("npm install --no-save --prefix {} jose", at.display()));
            return None;
        }
        let text = at.join("revocations.mjs");
        fs::copy(examples().join("node/revocations.mjs"), &text).expect("the folder is writable");
        let mut command = Command::new("node");
        command.arg(text).env("JETON_URL", issuer).env("JETON_AUDIENCE", "api");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the program starts");
        let tokens = child.stdin.take().expect("it is piped");
        let answers = BufReader::new(child.stdout.take().expect("it is piped"));
        Some(Self { child, tokens, answers })
    }

    fn accept(&mut self, token: &str) -> Result<Value, String> {
        writeln!(self.tokens, "{token}").expect("the program reads");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("it answers");
        match answer.strip_prefix("refused: ") {
            Some(reason) => Err(reason.trim().to_owned()),
            None => Ok(serde_json::from_str(&answer).expect("claims in JSON")),
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
