//! What schemathesis finds who believes nothing but `openapi.json`: it sends what the document allows and what it forbids, and
//! looks for a 5xx, a status or code that no document has, an answer against its schema, and a route that forgets to ask who calls.

use std::{path::Path, process::Command};

use crate::{
    harness::{Jeton, leave_out},
    verifier::libraries,
};

/// As many texts of each kind for each operation; `JETON_EXAMPLES=200` takes minutes and looks longer.
const EXAMPLES: &str = "5";

#[test]
fn the_server_is_what_its_document_says() {
    let program = libraries().join("venv/bin/schemathesis");
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/verifiers/schemathesis");
    if !program.exists() {
        let pip = libraries().join("venv/bin/pip");
        leave_out("schemathesis", &format!("{} install -r {}/requirements.txt", pip.display(), here.display()));
        return;
    }
    let jeton = Jeton::on_sqlite().with("login.account_failures", "1000").with("login.address_failures", "0");
    let operator = jeton.operator();
    let url = format!("http://{}", jeton.client().address());

    let mut run = Command::new(program);
    run.arg("--config-file").arg(here.join("schemathesis.toml")).arg("run").arg(format!("{url}/openapi.json"));
    run.args(["--continue-on-failure", "--no-color", "--generation-database", "none", "--max-examples"]);
    run.arg(std::env::var("JETON_EXAMPLES").as_deref().unwrap_or(EXAMPLES));
    run.env("SCHEMATHESIS_HOOKS", here.join("hooks.py")).env("JETON_URL", &url);
    run.env("JETON_EMAIL", &operator.email).env("JETON_PASSWORD", &operator.password);
    run.env("JETON_TENANT", &operator.tenant_id).current_dir(jeton.folder());
    let output = run.output().expect("schemathesis starts");

    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("Fuzzing") && said.contains("Stateful"), "every phase ran: {said}");
}
