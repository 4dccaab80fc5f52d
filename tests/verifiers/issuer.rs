//! A Jeton that others can reach at the address that its tokens name as their issuer.

use std::time::Duration;

use serde_json::Value;

use crate::{
    harness::{Jeton, Tenant},
    verifier::Verifier,
};

/// A server that signs with one algorithm, and a tenant in it.
pub struct Issuer {
    /// Its `iss`, and where its keys are.
    pub url: String,
    jeton: Jeton,
    tenant: Tenant,
}

const AUDIENCE: &str = "api";
const TWO_HOURS: Duration = Duration::from_hours(2);

impl Issuer {
    pub fn start(algorithm: &str) -> Self {
        Self::of(configured(algorithm))
    }

    /// The same with these keys of the configuration.
    pub fn start_with(algorithm: &str, settings: &[(&str, &str)]) -> Self {
        Self::of(configured_with(algorithm, settings))
    }

    /// Its clock stands two hours back, until [`Issuer::come_back_to_now`].
    pub fn start_two_hours_ago(algorithm: &str) -> Self {
        Self::start_two_hours_ago_with(algorithm, &[])
    }

    /// The same with these keys of the configuration.
    pub fn start_two_hours_ago_with(algorithm: &str, settings: &[(&str, &str)]) -> Self {
        let jeton = configured_with(algorithm, settings);
        jeton.shift(-microseconds(TWO_HOURS));
        Self::of(jeton)
    }

    pub fn come_back_to_now(&self) {
        self.jeton.shift(microseconds(TWO_HOURS));
    }

    /// It goes, and does not come back.
    pub fn stop(&self) {
        self.jeton.stop();
    }

    pub fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    pub fn jwks(&self) -> Value {
        self.jeton.jwks()
    }

    /// What the verifier reads in a token that it must accept.
    #[track_caller]
    pub fn claims(&self, verifier: &Verifier, token: &str) -> Value {
        match verifier.verify(&self.url, AUDIENCE, token) {
            Ok(claims) => claims,
            Err(reason) => panic!("{verifier:?} refuses a good token of {}: {reason}", self.url),
        }
    }

    #[track_caller]
    pub fn expect_refusal(&self, verifier: &Verifier, token: &str) -> String {
        match verifier.verify(&self.url, AUDIENCE, token) {
            Ok(claims) => panic!("{verifier:?} accepts {token}: {claims}"),
            Err(reason) => reason.to_lowercase(),
        }
    }

    /// A refusal that speaks of this: the token is not refused for something else.
    #[track_caller]
    pub fn expect_refusal_for(&self, reason: &str, verifier: &Verifier, token: &str) {
        let said = self.expect_refusal(verifier, token);
        assert!(said.contains(reason), "{verifier:?} refuses {token} for its {reason}: {said}");
    }

    fn of(jeton: Jeton) -> Self {
        let tenant = jeton.tenant();
        Self { url: format!("http://{}", jeton.client().address()), jeton, tenant }
    }
}

/// Without a public URL of its own, a server names the address that it listens on.
fn configured(algorithm: &str) -> Jeton {
    let jeton = Jeton::on_sqlite().with("keys.algorithm", algorithm).with("tokens.audience", "api,billing");
    jeton.unset_variable("JETON_SERVER__PUBLIC_URL");
    jeton
}

fn configured_with(algorithm: &str, settings: &[(&str, &str)]) -> Jeton {
    settings.iter().fold(configured(algorithm), |jeton, (key, value)| jeton.with(key, value))
}

fn microseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).expect("hours")
}
