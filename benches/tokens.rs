//! What a token costs, and what is done besides for every exchange: `cargo bench`. A whole token is held against the
//! bare signature of the same length.

#![expect(clippy::expect_used, reason = "a benchmark fails by panicking")]

use argon2::{Algorithm as Argon2Variant, Argon2, Block, Params, Version};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair};
use chrono::TimeDelta;
use divan::{Bencher, black_box};
use jeton::config::{Config, MasterKey};
use jeton::db::signing_keys::{NewSigningKey, SigningKeyRow};
use jeton::domain::key_format::KeyFormat;
use jeton::domain::status_list::StatusIndex;
use jeton::domain::{Algorithm, Scopes, Timestamp};
use jeton::profile::Profile;
use jeton::random::Random;
use jeton::tokens::claims::{Grant, Subject};
use jeton::tokens::issuer::Issuer;
use jeton::tokens::keyring::Keyring;
use jeton::tokens::mac::ApiKeyHasher;
use jeton::tokens::password_hasher::PasswordHasher;
use jeton::tokens::secret_box::SecretBox;
use jeton::tokens::signing_key::KeyPair;

fn main() {
    divan::main();
}

fn issuer(algorithm: Algorithm) -> Issuer {
    let secrets = SecretBox::new(&MasterKey::new([7; 32]), Random::default()).expect("a key of its length");
    let made = KeyPair::generate(algorithm)
        .and_then(|pair| pair.into_row(&secrets, Timestamp::of_seconds(0), None))
        .expect("a key");
    let NewSigningKey { info, public_jwk, sealed_private } = made;
    let row = SigningKeyRow { info, public_jwk, sealed_private };
    let keyring = Keyring::read(&[row], &secrets).expect("it was made a moment ago");
    let config = Config::load(None, [("JETON_KEYS__ALGORITHM".to_owned(), algorithm.as_str().to_owned())]);
    Issuer::new(&config.expect("nothing else is configured"), keyring, Random::default())
}

fn grant() -> Grant {
    Grant {
        audience: None,
        scopes: "goals:read goals:write tasks:read".parse().expect("scopes"),
        tenant_id: uuid::Uuid::from_u128(1).into(),
        issued_at: Timestamp::of_seconds(1_800_000_000),
        lifetime: TimeDelta::minutes(15),
        subject: Subject::ApiKey {
            id: uuid::Uuid::from_u128(2),
            environment: "live".to_owned(),
            access_type: None,
            group_id: None,
            constraints: None,
            status_index: StatusIndex::default(),
        },
    }
}

#[divan::bench(args = [Algorithm::EdDsa, Algorithm::Es256, Algorithm::Rs256])]
fn token(bencher: Bencher<'_, '_>, algorithm: Algorithm) {
    let issuer = issuer(algorithm);
    bencher.with_inputs(grant).bench_values(|grant| issuer.access_token(grant).is_ok());
}

const MESSAGE: [u8; 640] = [b'a'; 640];

#[divan::bench]
fn bare_signature_ed25519(bencher: Bencher<'_, '_>) {
    let pair = Ed25519KeyPair::generate().expect("a key");
    bencher.bench(|| pair.sign(black_box(&MESSAGE)));
}

#[divan::bench]
fn bare_signature_es256(bencher: Bencher<'_, '_>) {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
    let random = SystemRandom::new();
    bencher.bench(|| pair.sign(&random, black_box(&MESSAGE)).is_ok());
}

/// What a password costs on one thread, with the parameters that are the default.
#[divan::bench(max_time = 3)]
fn hash_password(bencher: Bencher<'_, '_>) {
    let config = Config::load(None, []).expect("nothing is configured");
    let hasher = PasswordHasher::start(&config.password.argon2, 1, Random::default()).expect("a thread");
    let runtime = actix_web::rt::Runtime::new().expect("a runtime");
    let hash = || runtime.block_on(hasher.hash("a long password for a benchmark".to_owned().into()));
    bencher.bench_local(|| hash().is_ok());
}

#[divan::bench(max_time = 3)]
fn bare_argon2id(bencher: Bencher<'_, '_>) {
    let config = Config::load(None, []).expect("nothing is configured");
    let cost = &config.password.argon2;
    let params = Params::new(cost.memory_kib, cost.iterations, cost.parallelism, Some(32)).expect("sound parameters");
    let mut memory = vec![Block::default(); params.block_count()];
    let argon2 = Argon2::new(Argon2Variant::Argon2id, Version::V0x13, params);
    bencher.bench_local(|| {
        let password = b"a long password for a benchmark";
        argon2.hash_password_into_with_memory(password, &[7; 16], &mut [0; 32], memory.as_mut_slice()).is_ok()
    });
}

#[divan::bench]
fn hash_key(bencher: Bencher<'_, '_>) {
    let profile = Profile::load("default").expect("it is built in");
    let format: &KeyFormat = &profile.key_format;
    let environment = format.environments.first().expect("one at least").clone();
    let key = format.write(&environment, [7; KeyFormat::RANDOM_BYTES]);
    let hasher = ApiKeyHasher::new(&[7; 32]);
    bencher.bench(|| hasher.hash(black_box(&key)));
}

#[divan::bench(args = [1, 10, 100])]
fn narrow_scopes(bencher: Bencher<'_, '_>, held: usize) {
    let scopes = |names: std::ops::Range<usize>| -> Scopes {
        names.map(|name| format!("resource{name}:read")).collect::<Vec<_>>().join(" ").parse().expect("scopes")
    };
    let (held, wanted) = (scopes(0..held), scopes(0..1));
    bencher.bench(|| black_box(&held).narrow(Some(black_box(&wanted))).is_ok());
}
