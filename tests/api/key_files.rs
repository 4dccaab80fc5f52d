//! Signing keys that an operator brings as PEM files (contract section 2: `keys.dir`).

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

use jeton_test_macros::both_databases;
use serde_json::Value;

use crate::harness::{Jeton, Jwt, Server, at_once};

const P256: [&str; 4] = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];
const ED25519: [&str; 2] = ["-algorithm", "ED25519"];
const RSA: [&str; 4] = ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:3072"];

#[both_databases]
fn a_key_that_is_there_at_the_first_start_signs_at_once(jeton: Jeton) {
    let file = make(&jeton, "own.pem", &P256);
    let key = jeton.tenant().api_key([]);
    let token = key.token();
    jeton.verified(&token);
    let row = jeton.audit().into_iter().find(|row| row.action == "signing_key.imported").expect("it is audited");
    assert_eq!(row.target, Some(format!("signing-key:{}", kid(&token))));
    assert!(row.details.as_deref().unwrap_or_default().contains("own.pem"), "{row:?}");
    assert_eq!(states(&jeton), ["active"], "no other key is made");
    assert_eq!(public_x(&file), jeton.jwks()["keys"][0]["x"], "it is this one");

    jeton.restart();
    fs::remove_file(file).unwrap();
    jeton.restart();
    assert_eq!(kid(&key.token()), kid(&token), "the file may go");
    assert_eq!((jeton.audited("signing_key.imported"), states(&jeton)), (1, vec!["active".to_owned()]));
}

#[both_databases]
fn a_key_of_each_kind_is_imported(jeton: Jeton) {
    let jeton =
        jeton.with("tokens.audience", r#"["api", {name="edge",algorithm="EdDSA"}, {name="old",algorithm="RS256"}]"#);
    for (name, kind) in [("a.pem", &P256[..]), ("b.pem", &ED25519), ("c.pem", &RSA)] {
        make(&jeton, name, kind);
    }
    let key = jeton.tenant().api_key([]);
    assert_eq!(jeton.audited("signing_key.imported"), 3);
    for (audience, algorithm) in [("api", "ES256"), ("edge", "EdDSA"), ("old", "RS256")] {
        let answer = key.exchange_for(serde_json::json!({"audience": audience})).expect_tokens();
        assert_eq!(jeton.verified(&answer.text("access_token")).header["alg"], algorithm);
    }
    assert_eq!(states(&jeton), ["active"; 3]);
}

#[both_databases]
fn later_ones_wait_for_verifiers_and_follow_one_another_by_name(jeton: Jeton) {
    let key = jeton.tenant().api_key([]);
    let old = key.token();
    // Made in another order than that of their names.
    let [second, first] = ["2.pem", "1.pem"].map(|name| make(&jeton, name, &P256));
    jeton.restart();
    assert_eq!(states(&jeton), ["active", "pending"]);
    assert_eq!(published_x(&jeton, 1), public_x(&first));
    assert_eq!(kid(&key.token()), kid(&old));
    assert!(log(&jeton).contains("2.pem"), "the other one is told of");
    jeton.restart();
    assert_eq!(states(&jeton), ["active", "pending"], "one at a time");

    jeton.advance(Duration::from_secs(601));
    until(&jeton, &["retiring", "active"]);
    until_signed_by_another(&key, &old);
    jeton.verified(&key.token());
    jeton.restart();
    assert_eq!(states(&jeton), ["retiring", "active", "pending"]);
    assert_eq!(published_x(&jeton, 2), public_x(&second));
    assert_eq!(jeton.audited("signing_key.imported"), 2);
}

#[both_databases]
fn a_revoked_key_is_never_imported_again(jeton: Jeton) {
    let file = make(&jeton, "own.pem", &P256);
    let key = jeton.tenant().api_key([]);
    let leaked = kid(&key.token());
    jeton.cli(["signing-key", "revoke", &leaked]).expect_code(0);
    jeton.restart();
    assert_eq!(states(&jeton), ["compromised", "active"]);
    assert_ne!(kid(&key.token()), leaked);
    assert!(log(&jeton).contains("revoked"), "{}", log(&jeton));
    jeton.cli(["signing-key", "import", file.to_str().unwrap()]).expect_refusal(1, &[&leaked, "compromised"]);
    assert_eq!(jeton.audited("signing_key.imported"), 1);
}

#[both_databases]
fn a_key_is_imported_while_the_server_runs(jeton: Jeton) {
    let key = jeton.tenant().api_key([]);
    let old = key.token();
    // Not in `keys.dir`: the file is named.
    let [file, other] = ["one.key", "two.key"].map(|name| make(&jeton, name, &P256));
    let import = |file: &PathBuf| jeton.cli(["signing-key", "import", file.to_str().unwrap(), "--json"]);
    let imported = import(&file).expect_code(0);
    assert_eq!((imported.text("state"), imported.text("next_state")), ("pending".into(), "active".into()));
    import(&file).expect_refusal(1, &["pending already"]);
    import(&other).expect_refusal(1, &[&imported.text("kid"), "waits"]);
    import(&make(&jeton, "three.key", &ED25519)).expect_refusal(1, &["EdDSA", "keys.algorithm"]);
    import(&jeton.folder().join("none.key")).expect_refusal(1, &["none.key"]);
    jeton.advance(Duration::from_secs(601));
    until(&jeton, &["retiring", "active"]);
    until_signed_by_another(&key, &old);
    assert_eq!(kid(&key.token()), imported.text("kid"));
    import(&other).expect_code(0);
}

#[both_databases]
fn a_key_of_an_algorithm_that_is_not_in_use_waits_for_it(jeton: Jeton) {
    make(&jeton, "own.pem", &ED25519);
    let key = jeton.tenant().api_key([]);
    assert_eq!(Jwt::parse(&key.token()).header["alg"], "ES256");
    assert!(log(&jeton).contains("own.pem") && log(&jeton).contains("not imported"), "{}", log(&jeton));
    assert_eq!(jeton.audited("signing_key.imported"), 0);
    jeton.set("keys.algorithm", "EdDSA");
    jeton.restart();
    assert_eq!(states(&jeton), ["active", "pending"], "verifiers must learn of it first");
    assert_eq!(jeton.audited("signing_key.imported"), 1);
}

#[both_databases]
fn servers_that_start_at_once_import_a_key_once(jeton: Jeton) {
    jeton.tenant();
    make(&jeton, "own.pem", &P256);
    let servers = at_once(3, |_| Server::start(jeton.folder(), jeton.environment()).expect("each of them starts"));
    assert_eq!((jeton.audited("signing_key.imported"), states(&jeton).len()), (1, 2));
    drop(servers);
}

#[test]
fn what_is_no_signing_key_is_named_at_the_start() {
    let jeton = Jeton::on_sqlite();
    jeton.tenant();
    jeton.stop();
    let wrong = |file: &PathBuf, words: &[&str]| {
        let words = [&["own.pem"], words].concat();
        jeton.cli(["serve"]).expect_refusal(1, &words);
        let doctor = jeton.cli(["doctor", "--json"]).stdout;
        assert!(words.iter().all(|word| doctor.contains(word)), "{doctor}");
        fs::remove_file(file).unwrap();
    };
    for unfit in [
        ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
        ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
        ["-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:3072"],
    ] {
        wrong(&make(&jeton, "own.pem", &unfit), &["P-256, Ed25519 or RSA"]);
    }
    wrong(&make(&jeton, "own.pem", &[&P256[..], &["-aes256", "-pass", "pass:secret"]].concat()), &["is encrypted"]);
    let file = make(&jeton, "own.pem", &P256);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    wrong(&file, &["chmod 600"]);
    let file = jeton.folder().join("keys/own.pem");
    openssl(&["ecparam", "-name", "prime256v1", "-genkey", "-out", file.to_str().unwrap()]);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    wrong(&file, &["openssl pkcs8 -topk8"]);
    for text in [&b""[..], b"-----BEGIN PRIVATE KEY-----\nAAAA\n", b"\xff\xfe"] {
        let file = make(&jeton, "own.pem", &P256);
        fs::write(&file, text).unwrap();
        wrong(&file, &["no PKCS #8 private key"]);
    }
    jeton.get("/readyz").send().expect_status(200);
    assert_eq!(states(&jeton), ["active"]);
}

/// Makes a private key with OpenSSL: a `.pem` in `keys.dir`, anything else beside it.
fn make(jeton: &Jeton, name: &str, kind: &[&str]) -> PathBuf {
    let keys = jeton.folder().join("keys");
    fs::create_dir_all(&keys).unwrap();
    let is_pem = Path::new(name).extension() == Some("pem".as_ref());
    let file = if is_pem { keys.join(name) } else { jeton.folder().join(name) };
    openssl(&[&["genpkey", "-out", file.to_str().unwrap()], kind].concat());
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    file
}

fn openssl(arguments: &[&str]) -> Vec<u8> {
    let run = Command::new("openssl").args(arguments).output().expect("openssl is there");
    assert!(run.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&run.stderr));
    run.stdout
}

/// The first coordinate of a file's public half, as a JWK has it.
fn public_x(file: &Path) -> Value {
    let der = openssl(&["pkey", "-in", file.to_str().unwrap(), "-pubout", "-outform", "DER"]);
    crate::harness::base64url(&der[der.len() - 64..der.len() - 32]).into()
}

/// The same of a published key, oldest first.
fn published_x(jeton: &Jeton, index: usize) -> Value {
    let list = list(jeton);
    let keys = jeton.jwks()["keys"].as_array().unwrap().clone();
    keys.iter().find(|key| key["kid"] == list[index]["kid"]).expect("it is published")["x"].clone()
}

fn list(jeton: &Jeton) -> Vec<Value> {
    jeton.start();
    jeton.cli(["signing-key", "list", "--json"]).expect_code(0).json()["items"].as_array().unwrap().clone()
}

fn states(jeton: &Jeton) -> Vec<String> {
    list(jeton).iter().map(|key| key["state"].as_str().unwrap().to_owned()).collect()
}

fn log(jeton: &Jeton) -> String {
    jeton.server(Server::log).join("\n")
}

fn kid(token: &str) -> String {
    Jwt::parse(token).header["kid"].as_str().unwrap().to_owned()
}

#[track_caller]
fn until(jeton: &Jeton, expected: &[&str]) {
    for _ in 0..300 {
        if states(jeton) == expected {
            return;
        }
        thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(states(jeton), expected);
}

/// The server learns a moment later that another key signs.
#[track_caller]
fn until_signed_by_another(key: &crate::harness::ApiKey, old: &str) {
    for _ in 0..300 {
        if kid(&key.token()) != kid(old) {
            return;
        }
        thread::sleep(Duration::from_millis(50));
    }
    panic!("another key signs");
}
