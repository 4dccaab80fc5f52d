//! An issuer that does as it likes: what verifiers must not believe, and must not be made to fetch.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use data_encoding::BASE64URL_NOPAD;
use flate2::{Compression, write::ZlibEncoder};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, get_current_timestamp, jwk::Jwk};
use serde_json::{Value, json};

use crate::harness::unique;

/// What it answers, by path: status, further header lines, body.
type Answers = BTreeMap<String, (u16, String, String)>;

/// A server with one key, on a port of its own.
pub struct StandIn {
    pub url: String,
    key: EncodingKey,
    kid: String,
    answers: Arc<Mutex<Answers>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl StandIn {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let pair = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).expect("a key");
        let key = EncodingKey::from_ec_der(pair.as_ref());
        let mut jwk = Jwk::from_encoding_key(&key, Algorithm::ES256).expect("its public half");
        let kid = unique("key");
        jwk.common.key_id = Some(kid.clone());
        let (answers, asked) = (Arc::<Mutex<Answers>>::default(), Arc::<Mutex<Vec<String>>>::default());
        let stand_in = Self { url, key, kid, answers: Arc::clone(&answers), asked: Arc::clone(&asked) };
        stand_in.answer("/.well-known/jwks.json", 200, "", &json!({"keys": [jwk]}).to_string());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                serve(stream, &answers, &asked);
            }
        });
        stand_in
    }

    /// From now on it answers so at this path.
    pub fn answer(&self, path: &str, status: u16, headers: &str, body: &str) {
        let mut answers = self.answers.lock().expect("nobody panics with it");
        answers.insert(path.to_owned(), (status, headers.to_owned(), body.to_owned()));
    }

    /// The paths that were asked for since the last call.
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().expect("nobody panics with it"))
    }

    /// A good access token with this place.
    pub fn token(&self, index: &Value, uri: &str) -> String {
        let now = now();
        self.sign(
            "at+jwt",
            &json!({
                "iss": self.url, "aud": "api", "sub": "s", "client_id": "s", "tenant_id": "t", "jti": unique("jti"),
                "iat": now, "exp": now + 600, "status": {"status_list": {"idx": index, "uri": uri}},
            }),
        )
    }

    /// A list that is as it must be for `uri`, with nothing revoked, but for these claims.
    pub fn list(&self, typ: &str, uri: &str, other: &Value) -> String {
        let now = now();
        let status_list = json!({"bits": 1, "lst": compressed(131_072)});
        let mut claims =
            json!({"iss": self.url, "sub": uri, "iat": now, "exp": now + 600, "ttl": 300, "status_list": status_list});
        for (name, value) in other.as_object().expect("claims") {
            claims[name] = value.clone();
        }
        self.sign(typ, &claims)
    }

    fn sign(&self, typ: &str, claims: &Value) -> String {
        let mut header = Header::new(Algorithm::ES256);
        (header.typ, header.kid) = (Some(typ.to_owned()), Some(self.kid.clone()));
        encode(&header, claims, &self.key).expect("a signature")
    }
}

/// So many zeros, as they stand in a list.
pub fn compressed(bytes: usize) -> String {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&vec![0; bytes]).expect("memory");
    BASE64URL_NOPAD.encode(&encoder.finish().expect("memory"))
}

#[expect(clippy::disallowed_methods, reason = "what verifies these tokens has no other clock")]
fn now() -> u64 {
    get_current_timestamp()
}

fn serve(mut stream: TcpStream, answers: &Mutex<Answers>, asked: &Mutex<Vec<String>>) {
    let lines = BufReader::new(&stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty());
    let Some(path) = lines.fold(None, |first, line| first.or(Some(line))) else { return };
    let path = path.split(' ').nth(1).expect("a request").to_owned();
    let answer = answers.lock().expect("nobody panics with it").get(&path).cloned();
    asked.lock().expect("nobody panics with it").push(path);
    let (status, headers, body) = answer.unwrap_or((404, String::new(), String::new()));
    let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n", body.len());
    drop(stream.write_all(format!("{head}{body}").as_bytes()));
}
