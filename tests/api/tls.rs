//! TLS by the server itself (contract 2, `server.tls_cert` and `server.tls_key`), with curl and OpenSSL as clients.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use crate::harness::{Jeton, leave_out};

/// A Jeton with a certificate, and what its clients see of it.
struct Place {
    jeton: Jeton,
}

#[test]
fn a_server_with_a_certificate_speaks_https_and_says_so() {
    let Some(place) = Place::new() else { return };
    place.jeton.unset_variable("JETON_SERVER__PUBLIC_URL");
    let issuer = format!("https://{}", place.address());
    let metadata = place.curl(&["--http1.1", &format!("{issuer}/.well-known/oauth-authorization-server")]);
    let metadata: serde_json::Value = serde_json::from_str(&metadata).unwrap();
    assert_eq!(metadata["issuer"], *issuer, "`public_url` is https by default");
    assert!(place.jeton.cli(["doctor"]).stdout.contains("server.crt"));

    let mut plain = TcpStream::connect(place.address()).unwrap();
    plain.write_all(b"GET /healthz HTTP/1.1\r\nHost: jeton.test\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    drop(plain.read_to_end(&mut answer));
    assert!(!String::from_utf8_lossy(&answer).contains("200 OK"), "nothing is answered without TLS");
}

#[test]
fn http_2_is_spoken_where_the_client_asks_for_it_and_keeps_every_rule() {
    let Some(place) = Place::new() else { return };
    let user = place.plain_user();
    let health = place.url("/healthz");
    for (asked, spoken) in [("--http2", "2 200"), ("--http1.1", "1.1 200")] {
        assert_eq!(place.curl(&[asked, "-o", "/dev/null", "-w", "%{http_version} %{http_code}", &health]), spoken);
    }
    let body = format!(r#"{{"email":"{}","password":"{}"}}"#, user.0, user.1);
    let login = |body: &str| {
        let url = place.url("/api/v1/auth/login");
        place.curl(&["--http2", "-i", "-H", "Content-Type: application/json", "-d", body, &url])
    };
    let answer = login(&body);
    assert!(answer.starts_with("HTTP/2 200") && answer.contains("cache-control: no-store"), "{answer}");
    assert!(answer.contains("x-request-id: ") && answer.contains("access_token"), "{answer}");
    assert!(login("{").starts_with("HTTP/2 400"));
    assert!(login(&format!(r#"{{"email":"{}"}}"#, "x".repeat(70_000))).starts_with("HTTP/2 413"));
    let sessions = place.jeton.rows("sessions WHERE ip = '127.0.0.1'");
    assert_eq!(sessions, 1, "the client's address is known");
}

#[test]
fn versions_1_2_and_1_3_are_spoken_and_none_before() {
    let Some(place) = Place::new() else { return };
    for (version, spoken) in [("-tls1_2", true), ("-tls1_3", true), ("-tls1_1", false), ("-tls1", false)] {
        let shown = place.s_client(&[version, "-cipher", "ALL:@SECLEVEL=0"]);
        assert_eq!(is_shown(&shown, "first"), spoken, "{version}: {shown}");
    }
    let asked = place.s_client(&["-alpn", "h2,http/1.1"]);
    assert!(asked.contains("ALPN protocol: h2"), "{asked}");
}

#[test]
fn a_renewed_certificate_is_shown_after_sighup_and_a_bad_one_is_not() {
    let Some(place) = Place::new() else { return };
    assert!(is_shown(&place.s_client(&[]), "first"));
    place.make_pair("second");
    place.hang_up();
    place.wait_for_log("the certificate was read again");
    assert!(is_shown(&place.s_client(&[]), "second"));

    let good = fs::read(place.file("server.key")).unwrap();
    for bad in [&b"nonsense"[..], b""] {
        fs::write(place.file("server.key"), bad).unwrap();
        place.hang_up();
    }
    place.wait_for_log("the certificate is the old one");
    assert!(is_shown(&place.s_client(&[]), "second"));
    let log = place.jeton.server(crate::harness::Server::log).join("\n");
    assert!(log.contains("server.key"), "it names the file: {log}");

    fs::write(place.file("server.key"), good).unwrap();
    place.make_pair("third");
    place.hang_up();
    crate::exhaustion::until("the next good one is shown", || is_shown(&place.s_client(&[]), "third"));
}

#[test]
fn a_pair_that_cannot_be_used_is_an_error_at_the_start_that_names_it() {
    let Some(place) = Place::new() else { return };
    place.jeton.cli(["migrate"]).expect_code(0);
    let refused = |words: &[&str]| place.jeton.cli(["serve"]).expect_refusal(1, words);
    let (cert, key) = (place.file("server.crt"), place.file("server.key"));
    let (good_cert, good_key) = (fs::read(&cert).unwrap(), fs::read(&key).unwrap());

    fs::set_permissions(&key, fs::Permissions::from_mode(0o604)).unwrap();
    refused(&["server.tls_key", "server.key", "chmod"]);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();

    for bad in [&b"nonsense"[..], &good_cert, b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
        fs::write(&key, bad).unwrap();
        refused(&["server.tls_key", "server.key"]);
    }
    fs::remove_file(&key).unwrap();
    refused(&["server.tls_key", "server.key", "No such file"]);
    place.make_pair("other");
    fs::write(&cert, good_cert).unwrap();
    refused(&["server.crt", "server.key", "pair"]);

    fs::write(&key, good_key).unwrap();
    fs::write(&cert, "nonsense").unwrap();
    refused(&["server.tls_cert", "server.crt"]);
    fs::remove_file(&cert).unwrap();
    refused(&["server.tls_cert", "server.crt", "No such file"]);
    let doctor = place.jeton.cli(["doctor"]).expect_code(1);
    assert!(doctor.stdout.contains("server.tls_cert"), "{doctor:?}");

    place.jeton.unset_variable("JETON_SERVER__TLS_CERT");
    refused(&["server.tls_cert"]);
}

#[test]
fn strangers_who_fall_silent_keep_nobody_out_and_are_put_out() {
    let Some(place) = Place::new() else { return };
    place.jeton.start();
    let silent: Vec<TcpStream> = (0..600).map(|_| TcpStream::connect(place.address()).unwrap()).collect();
    place.curl(&["--max-time", "20", &place.url("/healthz")]);
    let mut last = silent.into_iter().next_back().unwrap();
    last.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    assert_eq!(last.read(&mut [0; 64]).unwrap_or_default(), 0, "closed, with nothing said");
}

/// Whether a client was shown the certificate of this name, in the words of any OpenSSL.
fn is_shown(told: &str, name: &str) -> bool {
    told.lines().any(|line| line.starts_with("subject=") && line.ends_with(name))
}

impl Place {
    /// None where curl or OpenSSL is missing.
    fn new() -> Option<Self> {
        for (tool, version) in [("curl", "--version"), ("openssl", "version")] {
            if Command::new(tool).arg(version).stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
                leave_out(&format!("TLS, for {tool} was not found"), &format!("apt-get install {tool}"));
                return None;
            }
        }
        let place = Self { jeton: Jeton::on_sqlite() };
        place.make_pair("first");
        for (setting, file) in [("server.tls_cert", "server.crt"), ("server.tls_key", "server.key")] {
            place.jeton.set(setting, &place.file(file).display().to_string());
        }
        Some(place)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.jeton.folder().join(name)
    }

    /// A certificate for this machine with this name, which vouches for itself.
    fn make_pair(&self, name: &str) {
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"])
            .args(["-subj", &format!("/CN={name}"), "-addext", "subjectAltName=IP:127.0.0.1"])
            .args(["-keyout", "server.key", "-out", "server.crt"])
            .current_dir(self.jeton.folder())
            .output()
            .expect("openssl runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }

    fn address(&self) -> String {
        self.jeton.server(|server| server.address.clone())
    }

    fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.address())
    }

    /// What curl prints, which believes this certificate alone.
    fn curl(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("curl");
        command.args(["-sS", "--cacert"]).arg(self.file("server.crt")).args(arguments);
        let done = command.output().expect("curl runs");
        assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).expect("text")
    }

    /// What OpenSSL tells of a connection.
    fn s_client(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("openssl");
        command.args(["s_client", "-connect", &self.address(), "-CAfile"]).arg(self.file("server.crt")).args(arguments);
        let done = command.stdin(Stdio::null()).output().expect("openssl runs");
        String::from_utf8_lossy(&done.stdout).into_owned()
    }

    /// SIGHUP.
    fn hang_up(&self) {
        self.jeton.server(|server| server.signal("HUP"));
    }

    fn wait_for_log(&self, words: &str) {
        let is_told = || self.jeton.server(|server| server.log().iter().any(|line| line.contains(words)));
        let told = (0..1_000).any(|_| {
            thread::sleep(Duration::from_millis(10));
            is_told()
        });
        assert!(told, "the log says: {words}");
    }

    /// A person's address and password, made on the command line.
    fn plain_user(&self) -> (String, String) {
        let user = self.jeton.tenant().user("member");
        (user.email, user.password)
    }
}
