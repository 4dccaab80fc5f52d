//! Tells the binary which commit it was built from, and cargo that migrations are part of it.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=migrations");
    println!("cargo::rerun-if-env-changed=BUILD_COMMIT");
    for head in [".git/HEAD", ".git/refs/heads", ".git/packed-refs"] {
        if Path::new(head).exists() {
            println!("cargo::rerun-if-changed={head}");
        }
    }
    let given = std::env::var("BUILD_COMMIT").ok();
    if let Some(commit) = given.or_else(head_commit) {
        println!("cargo::rustc-env=BUILD_COMMIT={commit}");
    }
}

fn head_commit() -> Option<String> {
    let output = Command::new("git").args(["rev-parse", "--short=12", "HEAD"]).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
