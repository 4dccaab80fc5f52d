//! Tokens of another issuer that somebody made up, tampered with or stole from elsewhere (security rules 1 to 5; ADR
//! 11).

use jeton_test_macros::both_databases;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use crate::{
    harness::{ForeignIssuer, ForeignKey, Jeton, base64url},
    workload::{World, trust},
};

/// One answer, whatever is wrong with a token.
#[track_caller]
fn expect_refused(world: &World, what: &str, token: &str) {
    let answer = world.exchange(token).expect_oauth_error(400, "invalid_request");
    assert_eq!(answer.json()["error_description"], "Invalid or expired subject token", "{what}");
}

#[both_databases]
fn claims_that_are_not_as_they_must_be_are_refused(jeton: Jeton) {
    let world = World::new(jeton, Algorithm::ES256);
    let now = world.jeton.now();
    for (what, claims) in [
        ("expired", json!({"exp": now - 1})),
        ("expired, a leeway ago", json!({"exp": now - 20})),
        ("not valid yet", json!({"nbf": now + 90})),
        ("issued in the future", json!({"iat": now + 90})),
        ("for another audience", json!({"aud": "https://other.example"})),
        ("for a longer audience", json!({"aud": "https://jeton.test/"})),
        ("for other audiences", json!({"aud": ["https://other.example"]})),
        ("of another repository", json!({"repository": "octo/other"})),
        ("of a longer repository", json!({"repository": "octo/app2"})),
        ("of a list of repositories", json!({"repository": ["octo/app"]})),
        ("of another issuer", json!({"iss": "https://a.example"})),
        ("of an issuer with a slash", json!({"iss": format!("{}/", world.issuer.url)})),
        ("of an issuer in capitals", json!({"iss": world.issuer.url.replace("localhost", "LOCALHOST")})),
        ("exp as text", json!({"exp": (now + 300).to_string()})),
        ("exp as a list", json!({"exp": [now + 300]})),
        ("exp beyond all numbers", json!({"exp": 1e300})),
        ("exp below all numbers", json!({"exp": -1e300})),
        ("exp a little beyond what can be counted", json!({"exp": u64::MAX})),
        ("expired within this second", json!({"exp": seconds(now) + 0.9})),
        ("not valid for more than the leeway", json!({"nbf": seconds(now) + 90.5})),
        ("issued before all numbers", json!({"iat": -1e300})),
        ("nbf as text", json!({"nbf": now.to_string()})),
        ("iat as an object", json!({"iat": {}})),
        ("aud as a number", json!({"aud": 7})),
        ("aud with a number in it", json!({"aud": ["https://jeton.test", 7]})),
        ("sub as a number", json!({"sub": 7})),
        ("no sub to speak of", json!({"sub": ""})),
        ("iss as a list", json!({"iss": [world.issuer.url]})),
    ] {
        expect_refused(&world, what, &world.key.sign(&world.issuer.claims(&world.jeton, claims)));
    }
    for absent in ["iss", "sub", "aud", "exp", "repository"] {
        let mut claims = world.issuer.claims(&world.jeton, json!({}));
        claims.as_object_mut().unwrap().remove(absent);
        expect_refused(&world, absent, &world.key.sign(&claims));
    }
    // A clock that is a little ahead of ours is none of the token's faults; what need not be there need not.
    world.exchange_with(json!({"iat": now + 10, "nbf": now + 10})).expect_tokens();
    let mut claims = world.issuer.claims(&world.jeton, json!({}));
    claims.as_object_mut().unwrap().retain(|name, _| name != "iat" && name != "nbf");
    world.exchange(&world.key.sign(&claims)).expect_tokens();
}

/// RFC 7519 section 2: a `NumericDate` may have a fraction.
#[both_databases]
fn times_with_a_fraction_are_rounded_so_that_nothing_lives_longer(jeton: Jeton) {
    let world = World::new(jeton, Algorithm::ES256);
    let now = world.jeton.now();
    for exp in [120.0, 120.75] {
        let claims = json!({"exp": seconds(now) + exp, "nbf": seconds(now) - 0.25, "iat": seconds(now) + 10.5});
        let answer = world.exchange_with(claims).expect_tokens();
        assert_eq!(world.jeton.verified(&answer.text("access_token")).number("exp"), now + 120);
    }
}

fn seconds(whole: i64) -> f64 {
    f64::from(u32::try_from(whole).unwrap())
}

#[both_databases]
fn headers_that_are_not_as_they_must_be_are_refused(jeton: Jeton) {
    let world = World::new(jeton, Algorithm::ES256);
    let claims = world.issuer.claims(&world.jeton, json!({}));
    for (what, header) in [
        ("an access token", json!({"typ": "at+jwt"})),
        ("an access token by its media type", json!({"typ": "application/at+jwt"})),
        ("a status list", json!({"typ": "statuslist+jwt"})),
        ("a proof of possession", json!({"typ": "dpop+jwt"})),
        ("a type that is no text", json!({"typ": 7})),
        ("something critical", json!({"crit": ["exp"]})),
        ("something critical that is empty", json!({"crit": []})),
        ("an unknown key", json!({"kid": "nobody"})),
        ("a key by a path", json!({"kid": "../../../../etc/passwd"})),
        ("no key", json!({"kid": null})),
        ("another algorithm of the same key", json!({"alg": "ES384"})),
        ("another family", json!({"alg": "RS256"})),
        ("a shared secret", json!({"alg": "HS256"})),
        ("no algorithm", json!({"alg": "none"})),
    ] {
        expect_refused(&world, what, &world.key.sign_with(&header, &claims));
    }
    world.exchange(&world.key.sign_with(&json!({"typ": "jwt"}), &claims)).expect_tokens();
    world.exchange(&world.key.sign_with(&json!({"typ": null}), &claims)).expect_tokens();
}

#[both_databases]
fn a_signature_that_is_not_the_issuers_is_refused(jeton: Jeton) {
    let world = World::new(jeton, Algorithm::ES256);
    let claims = world.issuer.claims(&world.jeton, json!({}));
    let good = world.key.sign(&claims);
    let stranger = ForeignKey::new("first", Algorithm::ES256);
    let asked = world.issuer.asked();
    expect_refused(&world, "another key of the same name", &stranger.sign(&claims));
    for lure in [
        json!({"jwk": stranger.jwk}),
        json!({"jku": format!("{}/lure", world.issuer.url)}),
        json!({"x5u": world.issuer.url}),
    ] {
        expect_refused(&world, "a key that it brings along", &stranger.sign_with(&lure, &claims));
    }
    assert_eq!(world.issuer.asked(), asked + 2, "nobody is asked but by discovery");
    let parts: Vec<_> = good.split('.').collect();
    let none = base64url(json!({"alg": "none", "kid": "first"}).to_string().as_bytes());
    for (what, token) in [
        ("unsigned", format!("{none}.{}.", parts[1])),
        ("without its signature", format!("{}.{}.", parts[0], parts[1])),
        ("in two parts", format!("{}.{}", parts[0], parts[1])),
        ("in four parts", format!("{good}.x")),
        ("in five parts", format!("{good}.x.y")),
        ("with a space", format!("{good} ")),
        ("in standard base64", good.replacen('e', "+", 1)),
        ("truncated", good[..good.len() - 4].to_owned()),
        ("endless", format!("{}.{}.{}", parts[0], "e".repeat(20_000), parts[2])),
        ("no token at all", "x".to_owned()),
    ] {
        expect_refused(&world, what, &token);
    }
    // The public key as a shared secret.
    let raw = |member: &str| {
        data_encoding::BASE64URL_NOPAD.decode(world.key.jwk[member].as_str().unwrap().as_bytes()).unwrap()
    };
    for secret in [world.key.jwk.to_string().into_bytes(), [vec![4], raw("x"), raw("y")].concat(), Vec::new()] {
        let mut header = Header::new(Algorithm::HS256);
        header.kid = Some("first".to_owned());
        let forged = jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(&secret)).unwrap();
        expect_refused(&world, "a public key as a secret", &forged);
    }
    world.exchange(&good).expect_tokens();
}

#[test]
fn a_key_is_used_as_its_issuer_says_alone() {
    let world = World::new(Jeton::on_sqlite(), Algorithm::RS256);
    let key = |members: Value| {
        let mut jwk = world.key.jwk.clone();
        crate::harness::merge(&mut jwk, members);
        jwk
    };
    let secret =
        json!({"kty": "oct", "kid": "first", "alg": "HS256", "k": base64url(b"0123456789abcdef0123456789abcdef")});
    let short = json!({"kty": "RSA", "kid": "first", "n": base64url(&[0xff; 128]), "e": "AQAB"});
    for (what, keys) in [
        ("for encryption", vec![key(json!({"use": "enc"}))]),
        ("not for verification", vec![key(json!({"key_ops": ["encrypt"]}))]),
        ("for another algorithm", vec![key(json!({"alg": "PS256"}))]),
        ("for an unknown algorithm", vec![key(json!({"alg": "RSA-OAEP"}))]),
        ("of another name", vec![key(json!({"kid": "second"}))]),
        ("without a name", vec![key(json!({"kid": null}))]),
        ("shared", vec![secret]),
        ("too short", vec![short]),
        ("none", vec![]),
        ("no keys", vec![json!("first"), json!(7), json!({"kty": "new"})]),
    ] {
        world.issuer.publish_as_they_are(keys);
        world.jeton.advance(std::time::Duration::from_secs(3_700));
        expect_refused(&world, what, &world.key.sign(&world.issuer.claims(&world.jeton, json!({}))));
    }
    // What we do not know of a set does not spoil the rest; without `alg` a key fits every algorithm of its type.
    let mut plain = key(json!({"use": "sig", "x5c": ["bm90aGluZw=="]}));
    plain.as_object_mut().unwrap().remove("alg");
    world.issuer.publish_as_they_are(vec![json!({"kty": "new", "kid": "first"}), plain]);
    world.jeton.advance(std::time::Duration::from_secs(3_700));
    world.token();
}

#[both_databases]
fn our_own_tokens_are_nobody_elses(jeton: Jeton) {
    let world = World::new(jeton, Algorithm::ES256);
    let own = [
        world.tenant.admin().token().to_owned(),
        world.tenant.api_key(["goals:read"]).token(),
        world.token(),
        world.tenant.admin().session().refresh_token,
        world.tenant.api_key(["goals:read"]).key,
    ];
    for token in &own {
        expect_refused(&world, "a token of ours", token);
    }
    for issuer in ["https://jeton.test", "https://jeton.test/", "https://JETON.test:443"] {
        trust(&world.tenant, &world.issuer, json!({"issuer": issuer})).expect_field("issuer");
    }
    // An issuer that was trusted, before this server took its name.
    let trusted = world.token();
    world.jeton.set("server.public_url", &world.issuer.url);
    world.jeton.restart();
    expect_refused(&world, "our own name", &world.key.sign(&world.issuer.claims(&world.jeton, json!({}))));
    expect_refused(&world, "our own token", &trusted);
}

#[test]
fn an_issuer_says_nothing_about_another_ones_tokens() {
    let world = World::new(Jeton::on_sqlite(), Algorithm::ES256);
    let second = ForeignIssuer::start(&[&ForeignKey::new("other", Algorithm::ES256)]);
    let mut claims = world.issuer.claims(&world.jeton, json!({}));
    claims["iss"] = json!(second.url);
    expect_refused(&world, "an issuer that is not trusted", &world.key.sign(&claims));
    assert_eq!(second.asked(), 0);
}
