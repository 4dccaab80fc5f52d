//! An issuer of somebody else: real TLS under a certificate authority of its own, and keys that it signs with.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    sync::{
        Arc, LazyLock, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use aws_lc_rs::{
    encoding::AsDer,
    rsa::{KeyPair as RsaKeyPair, KeySize},
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair},
};
use data_encoding::BASE64;
use jsonwebtoken::{Algorithm, EncodingKey, jwk::Jwk};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, date_time_ymd};
use rustls::{ServerConfig, ServerConnection, StreamOwned, crypto::aws_lc_rs::default_provider};
use serde_json::{Value, json};

use super::{Jeton, base64url, cast::merge};

/// An issuer that runs until it is dropped; it may do whatever a server of somebody else may do.
pub struct ForeignIssuer {
    /// The `iss` of its tokens.
    pub url: String,
    certificate: String,
    state: Arc<State>,
}

/// A key pair of an issuer.
#[derive(Clone)]
pub struct ForeignKey {
    pub kid: String,
    pub jwk: Value,
    algorithm: Algorithm,
    key: EncodingKey,
}

/// What an issuer does with a request for one of its documents.
#[derive(Clone)]
pub enum Conduct {
    /// Answers with this status, this header and this body.
    Answers(u16, String, String),
    /// Closes the connection.
    HangsUp,
    /// Takes this long for each line.
    Dawdles(Duration),
}

struct State {
    metadata: Mutex<Value>,
    jwks: Mutex<Value>,
    cache_control: Mutex<String>,
    conduct: Mutex<Option<Conduct>>,
    /// How often it was asked for its keys.
    asked: AtomicUsize,
}

impl ForeignIssuer {
    /// An issuer on a port of its own, with these keys.
    pub fn start(keys: &[&ForeignKey]) -> Self {
        Self::start_certified(keys, 4096)
    }

    /// The same with a certificate until the beginning of this year.
    pub fn start_certified(keys: &[&ForeignKey], until: i32) -> Self {
        let (certificate, tls) = certified(until);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("https://localhost:{}", listener.local_addr().expect("an address").port());
        let state = Arc::new(State {
            metadata: Mutex::new(json!({"issuer": url, "jwks_uri": format!("{url}/keys")})),
            jwks: Mutex::default(),
            cache_control: Mutex::new("max-age=600".to_owned()),
            conduct: Mutex::default(),
            asked: AtomicUsize::new(0),
        });
        let issuer = Self { url, certificate, state: state.clone() };
        issuer.publish(keys);
        // It ends with the process: nobody waits for it.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (tls, state) = (tls.clone(), state.clone());
                thread::spawn(move || drop(serve(stream, tls, &state)));
            }
        });
        issuer
    }

    /// Lets a server believe its certificate and call its address, from the next start.
    pub fn is_reachable_from(&self, jeton: &Jeton) {
        jeton.set("workload.ca_file", &self.certificate_file(jeton.folder()));
        jeton.set("workload.allowed_networks", "127.0.0.0/8, ::1");
    }

    /// The certificate of its authority, in a file of this folder.
    pub fn certificate_file(&self, folder: &Path) -> String {
        let file = folder.join("ca.pem");
        fs::write(&file, &self.certificate).expect("the folder is writable");
        file.display().to_string()
    }

    /// From now on it publishes these keys.
    pub fn publish(&self, keys: &[&ForeignKey]) {
        self.publish_as_they_are(keys.iter().map(|key| key.jwk.clone()).collect());
    }

    /// The same whatever they are.
    pub fn publish_as_they_are(&self, keys: Vec<Value>) {
        *self.state.jwks.lock().expect("nobody panics with it") = json!({"keys": keys});
    }

    /// From now on its metadata have these members.
    pub fn describe(&self, members: Value) {
        merge(&mut self.state.metadata.lock().expect("nobody panics with it"), members);
    }

    /// From now on its keys may be used for so long.
    pub fn cached(&self, cache_control: &str) {
        cache_control.clone_into(&mut self.state.cache_control.lock().expect("nobody panics with it"));
    }

    /// From now on it answers otherwise, or as it should again.
    pub fn behave(&self, conduct: Option<Conduct>) {
        *self.state.conduct.lock().expect("nobody panics with it") = conduct;
    }

    /// How often it was asked for anything.
    pub fn asked(&self) -> usize {
        self.state.asked.load(Ordering::SeqCst)
    }

    /// The claims of a good token for `audience` at this moment, with these besides.
    pub fn claims(&self, jeton: &Jeton, members: Value) -> Value {
        let now = jeton.now();
        let mut claims = json!({
            "iss": self.url, "aud": "https://jeton.test", "sub": "repo:octo/app:ref:refs/heads/main",
            "repository": "octo/app", "ref": "refs/heads/main", "iat": now, "nbf": now, "exp": now + 300,
        });
        merge(&mut claims, members);
        claims
    }
}

impl ForeignKey {
    /// A new key of this algorithm and name.
    pub fn new(kid: &str, algorithm: Algorithm) -> Self {
        let (key, jwk) = match algorithm {
            Algorithm::ES256 | Algorithm::ES384 => {
                let curve = if algorithm == Algorithm::ES256 {
                    &ECDSA_P256_SHA256_FIXED_SIGNING
                } else {
                    &ECDSA_P384_SHA384_FIXED_SIGNING
                };
                let pair = EcdsaKeyPair::generate(curve).expect("a key");
                let key = EncodingKey::from_ec_der(pair.to_pkcs8v1().expect("PKCS 8").as_ref());
                let jwk = Jwk::from_encoding_key(&key, algorithm);
                (key, jwk)
            }
            Algorithm::EdDSA => {
                let pair = Ed25519KeyPair::generate().expect("a key");
                let key = EncodingKey::from_ed_der(pair.to_pkcs8v1().expect("PKCS 8").as_ref());
                let jwk = Jwk::from_encoding_key(&key, algorithm);
                (key, jwk)
            }
            // One RSA key for all tests: to make one takes seconds.
            _ => {
                static RSA: LazyLock<EncodingKey> = LazyLock::new(|| {
                    let pair = RsaKeyPair::generate(KeySize::Rsa2048).expect("a key");
                    let der = pair.as_der().expect("PKCS 8");
                    let body = BASE64.encode(der.as_ref());
                    let pem = format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n");
                    EncodingKey::from_rsa_pem(pem.as_bytes()).expect("a key")
                });
                (RSA.clone(), Jwk::from_encoding_key(&RSA, algorithm))
            }
        };
        let mut jwk = jwk.expect("a JWK");
        jwk.common.key_id = Some(kid.to_owned());
        let jwk = serde_json::to_value(jwk).expect("JSON");
        Self { kid: kid.to_owned(), jwk, algorithm, key }
    }

    /// A token that says this.
    pub fn sign(&self, claims: &Value) -> String {
        self.sign_with(&json!({}), claims)
    }

    /// The same with other or further members in its header.
    pub fn sign_with(&self, members: &Value, claims: &Value) -> String {
        let name = serde_json::to_value(self.algorithm).expect("a name");
        let mut header = json!({"alg": name, "kid": self.kid, "typ": "JWT"});
        merge(&mut header, members.clone());
        let encoded = |part: &Value| base64url(part.to_string().as_bytes());
        let signed = format!("{}.{}", encoded(&header), encoded(claims));
        let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &self.key, self.algorithm).expect("a signature");
        format!("{signed}.{signature}")
    }
}

/// A certificate for `localhost` until the beginning of this year, under an authority that nobody knows.
fn certified(until: i32) -> (String, Arc<ServerConfig>) {
    let authority_key = KeyPair::generate().expect("a key");
    let mut authority = CertificateParams::new(Vec::new()).expect("no name");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = authority.self_signed(&authority_key).expect("a certificate");
    let authority = rcgen::Issuer::new(authority, authority_key);

    let key = KeyPair::generate().expect("a key");
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let mut leaf = CertificateParams::new(names).expect("names");
    leaf.not_after = date_time_ymd(until, 1, 1);
    let leaf = leaf.signed_by(&key, &authority).expect("a certificate");
    let config = ServerConfig::builder_with_provider(default_provider().into())
        .with_safe_default_protocol_versions()
        .expect("TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key.into())
        .expect("they belong together");
    (root.pem(), Arc::new(config))
}

/// Answers one request.
fn serve(stream: TcpStream, tls: Arc<ServerConfig>, state: &State) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let connection = ServerConnection::new(tls).map_err(std::io::Error::other)?;
    let mut reader = BufReader::new(StreamOwned::new(connection, stream));
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? <= 2 {
            break;
        }
        lines.push(line);
    }
    state.asked.fetch_add(1, Ordering::SeqCst);
    let path = lines.first().and_then(|line| line.split(' ').nth(1)).unwrap_or_default().to_owned();
    let known = match path.as_str() {
        "/.well-known/openid-configuration" => Some(&state.metadata),
        "/keys" => Some(&state.jwks),
        _ => None,
    };
    let cache_control = state.cache_control.lock().expect("nobody panics with it").clone();
    let conduct = state.conduct.lock().expect("nobody panics with it").clone();
    let mut pause = Duration::ZERO;
    let (status, header, body) = match (conduct, known) {
        (Some(Conduct::HangsUp), _) => return Ok(()),
        (Some(Conduct::Answers(status, header, body)), _) => (status, header, body),
        (_, None) => (404, "X-Nothing: here".to_owned(), String::new()),
        (conduct, Some(document)) => {
            if let Some(Conduct::Dawdles(time)) = conduct {
                pause = time;
            }
            let body = document.lock().expect("nobody panics with it").to_string();
            (200, format!("Cache-Control: public, {cache_control}"), body)
        }
    };
    let mut stream = reader.into_inner();
    for line in
        [format!("HTTP/1.1 {status} X\r\n{header}\r\n"), format!("Content-Length: {}\r\n\r\n", body.len()), body]
    {
        thread::sleep(pause);
        stream.write_all(line.as_bytes())?;
        stream.flush()?;
    }
    stream.conn.send_close_notify();
    stream.flush()
}
