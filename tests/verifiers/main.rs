//! What others make of Jeton: its tokens in the verifiers of other people's libraries (the programs
//! of `examples/verify`), and its page of documentation in a browser.
#![expect(clippy::panic, clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod browser;
mod console;
mod docs_page;
mod driver;
mod guard;
#[expect(
    dead_code,
    unused_imports,
    clippy::needless_pass_by_value,
    reason = "it is made for `tests/api`, which uses all of it"
)]
#[path = "../api/harness/mod.rs"]
mod harness;
#[expect(dead_code, reason = "it is made for `tests/profiles`, as are the proxies and their upstream")]
#[path = "../profiles/http.rs"]
mod http;
mod issuer;
#[expect(dead_code, reason = "as above")]
#[path = "../profiles/proxy.rs"]
mod proxy;
mod readme;
mod revocations;
mod stand_in;
mod tampering;
mod threat_model;
#[expect(dead_code, reason = "as above")]
#[path = "../profiles/upstream.rs"]
mod upstream;
mod verifier;

use issuer::Issuer;
use serde_json::json;
use verifier::Verifier;

const ALGORITHMS: [&str; 3] = ["ES256", "EdDSA", "RS256"];

#[test]
fn the_tokens_of_a_login_and_of_an_exchange_verify() {
    for algorithm in ALGORITHMS {
        let issuer = Issuer::start(algorithm);
        let key = issuer.tenant().api_key(["goals:read"]);
        let session = issuer.tenant().admin().session();

        for verifier in Verifier::all() {
            let claims = issuer.claims(verifier, &key.token());
            assert_eq!(claims["client_id"], *key.id, "{verifier:?} on {algorithm}");
            assert_eq!(claims["scope"], "goals:read", "{verifier:?} on {algorithm}");

            let claims = issuer.claims(verifier, &session.access_token);
            assert_eq!(claims["client_id"], "jeton-login", "{verifier:?} on {algorithm}");
            assert_eq!(claims["tenant_id"], *key.tenant_id, "{verifier:?} on {algorithm}");
        }
    }
}

#[test]
fn an_expired_token_is_refused() {
    for algorithm in ALGORITHMS {
        let issuer = Issuer::start_two_hours_ago(algorithm);
        let key = issuer.tenant().api_key(["goals:read"]);
        let expired = key.token();
        issuer.come_back_to_now();
        let fresh = key.token();

        for verifier in Verifier::all() {
            issuer.claims(verifier, &fresh);
            issuer.expect_refusal_for("exp", verifier, &expired);
        }
    }
}

#[test]
fn a_token_for_another_audience_is_refused() {
    for algorithm in ALGORITHMS {
        let issuer = Issuer::start(algorithm);
        let answer = issuer.tenant().api_key(["goals:read"]).exchange_for(json!({"audience": "billing"}));
        let foreign = answer.expect_tokens().text("access_token");

        for verifier in Verifier::all() {
            let for_billing = verifier.verify(&issuer.url, "billing", &foreign);
            assert!(for_billing.is_ok(), "{verifier:?} on {algorithm}: {for_billing:?}");
            issuer.expect_refusal_for("aud", verifier, &foreign);
        }
    }
}

#[test]
fn a_token_of_another_issuer_is_refused() {
    for algorithm in ALGORITHMS {
        let (issuer, stranger) = (Issuer::start(algorithm), Issuer::start(algorithm));
        let foreign = stranger.tenant().api_key(["goals:read"]).token();

        for verifier in Verifier::all() {
            stranger.claims(verifier, &foreign);
            issuer.expect_refusal_for("key", verifier, &foreign);
        }
    }
}

#[test]
fn a_tampered_token_is_refused() {
    for algorithm in ALGORITHMS {
        let issuer = Issuer::start(algorithm);
        let token = issuer.tenant().api_key(["goals:read"]).token();

        for verifier in Verifier::all() {
            issuer.claims(verifier, &token);
            issuer.expect_refusal_for("signature", verifier, &tampering::with_another_signature(&token));
            issuer.expect_refusal_for("signature", verifier, &tampering::with_more_scope(&token));
            issuer.expect_refusal(verifier, &tampering::unsigned(&token));
            issuer.expect_refusal(verifier, &tampering::signed_with_the_public_key(&token, &issuer.jwks()));
        }
    }
}
