//! I7 and I8: no two tokens have one name, and each verifies against the published keys until it expires.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde_json::{Value, json};

use super::{Breaches, Evidence};
use crate::{
    harness::Jwt,
    log::{Act, Call},
    world::JWKS_MAX_AGE,
};

pub fn check(evidence: &Evidence, breaches: &mut Breaches) {
    let fetches: Vec<(&Call, BTreeSet<&str>)> = evidence.calls.iter().filter_map(fetch).collect();
    let known: BTreeMap<&str, &Value> = fetches.iter().flat_map(|(call, _)| keys(call)).collect();
    let mut names = HashSet::new();
    for (call, token) in evidence.calls.iter().filter_map(|call| Some((call, Jwt::parse(call.text("access_token")?)))) {
        let (kid, exp) = (token.header["kid"].as_str().unwrap_or_default(), token.number("exp"));
        breaches.unless(names.insert(token.text("jti").to_owned()), "I7, a name used twice", || call.told());
        match known.get(kid) {
            Some(key) => token.verify(&json!({"keys": [key]})),
            None => breaches.add("I8, signed with a key that was never published", call.told()),
        }
        for (fetch, kids) in &fetches {
            let clock = &evidence.clock;
            // A key stays for as long as its tokens live and a minute. If the clock was put back by more, those from
            // before live longer than that.
            if clock.went_back(60_000_000, call.began.min(fetch.began), call.ended.max(fetch.ended)) {
                continue;
            }
            let later = fetch.began > call.ended && clock.highest_second(fetch) < exp;
            // Or fetched so shortly before that a verifier may have kept it.
            let kept = fetch.ended < call.began && clock.during(fetch).start > clock.during(call).end - JWKS_MAX_AGE;
            if (later || kept) && !kids.contains(kid) {
                breaches.add(
                    "I8, a key is not published",
                    format!("{kid} of {}, missing in {}", call.told(), fetch.told()),
                );
                break;
            }
        }
    }
}

fn fetch(call: &Call) -> Option<(&Call, BTreeSet<&str>)> {
    let fetched = matches!(call.act, Act::Jwks) && call.succeeded();
    fetched.then(|| (call, keys(call).map(|(kid, _)| kid).collect()))
}

fn keys(call: &Call) -> impl Iterator<Item = (&str, &Value)> {
    let keys = call.answer.as_ref().and_then(|answer| answer.body["keys"].as_array());
    keys.into_iter().flatten().filter_map(|key| Some((key["kid"].as_str()?, key)))
}
