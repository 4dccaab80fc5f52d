//! Services that refuse what was revoked, though they verify offline.

use std::{thread::sleep, time::Duration};

use serde_json::json;

use crate::{
    guard::Guard,
    issuer::Issuer,
    stand_in::{StandIn, compressed},
};

const LIST: &str = "/.well-known/revocations";

#[test]
fn what_was_revoked_is_refused_within_the_poll_interval() {
    let issuer = Issuer::start_with("ES256", &[("revocations.ttl", "1s")]);
    for guard in &mut Guard::all(&issuer.url) {
        let (key, other) = (issuer.tenant().api_key(["goals:read"]), issuer.tenant().api_key(["goals:read"]));
        let session = issuer.tenant().user("member").session();
        let (of_key, of_other) = (key.token(), other.token());
        for token in [&of_key, &of_other, &session.access_token] {
            guard.expect_claims(token);
        }
        issuer.tenant().admin().revoke(&key).expect_status(204);
        session.logout().expect_status(204);
        sleep(Duration::from_secs(1));
        guard.expect_refusal_for("revoked", &of_key);
        guard.expect_refusal_for("revoked", &session.access_token);
        guard.expect_claims(&of_other);
    }
}

#[test]
fn the_list_is_not_asked_for_at_each_token() {
    let issuer = Issuer::start_with("ES256", &[("revocations.ttl", "5m")]);
    for guard in &mut Guard::all(&issuer.url) {
        let session = issuer.tenant().user("member").session();
        guard.expect_claims(&session.access_token);
        session.logout().expect_status(204);
        guard.expect_claims(&session.access_token);
    }
}

#[test]
fn while_the_list_cannot_be_had_the_last_one_counts() {
    let issuer = Issuer::start_with("ES256", &[("revocations.ttl", "5s")]);
    let mut guards = Guard::all(&issuer.url);
    let (revoked, session) = (issuer.tenant().user("member").session(), issuer.tenant().user("member").session());
    revoked.logout().expect_status(204);
    for guard in &mut guards {
        guard.expect_claims(&session.access_token);
    }
    issuer.stop();
    sleep(Duration::from_secs(5));
    for guard in &mut guards {
        guard.expect_claims(&session.access_token);
        guard.expect_refusal_for("revoked", &revoked.access_token);
    }
}

#[test]
fn a_list_that_is_over_is_worth_nothing() {
    let issuer = Issuer::start_two_hours_ago_with("ES256", &[("tokens.access_ttl", "12h")]);
    let session = issuer.tenant().user("member").session();
    for guard in &mut Guard::all(&issuer.url) {
        guard.expect_refusal_for("exp", &session.access_token);
    }
}

#[test]
fn no_list_but_the_issuers_own_is_ever_fetched() {
    let (issuer, victim) = (StandIn::start(), StandIn::start());
    for guard in &mut Guard::all(&issuer.url) {
        issuer.asked();
        for uri in [
            format!("{}{LIST}", victim.url),
            format!("{}/admin", issuer.url),
            format!("{}{LIST}/../../admin", issuer.url),
            format!("{}{LIST}/1/../../admin", issuer.url),
            format!("{}{LIST}/0", issuer.url),
            format!("{}{LIST}/01", issuer.url),
            format!("{}{LIST}/", issuer.url),
            format!("{}{LIST}?x", issuer.url),
            format!("{}.evil.example{LIST}", issuer.url),
            "file:///etc/passwd".to_owned(),
        ] {
            guard.expect_refusal_for("not the issuer's", &issuer.token(&json!(0), &uri));
        }
        let foreign = victim.token(&json!(0), &format!("{}{LIST}", victim.url));
        assert!(guard.accept(&foreign).is_err(), "{guard:?} knows no such key");
        assert_eq!(
            (victim.asked(), issuer.asked().iter().any(|path| path.contains("rev"))),
            (vec![], false),
            "{guard:?}"
        );
    }
}

#[test]
fn a_list_is_checked_before_it_is_believed() {
    let (good, stranger) = (StandIn::start(), StandIn::start());
    let uri = format!("{}{LIST}", good.url);
    let list = |typ, other| good.list(typ, &uri, &other);
    let with_bits = |bits, compressed: &str| json!({"status_list": {"bits": bits, "lst": compressed}});
    let other_list = json!({"sub": format!("{uri}/1")});
    for (what, body) in [
        ("another list's", list("statuslist+jwt", other_list)),
        ("an access token", list("at+jwt", json!({}))),
        ("another issuer's", list("statuslist+jwt", json!({"iss": "https://evil.example"}))),
        ("over", list("statuslist+jwt", json!({"exp": 1_000_000_000}))),
        ("signed by somebody", stranger.list("statuslist+jwt", &uri, &json!({"iss": good.url}))),
        ("two bits each", list("statuslist+jwt", with_bits(2, &compressed(131_072)))),
        ("too short", list("statuslist+jwt", with_bits(1, &compressed(131_071)))),
        ("a bomb", list("statuslist+jwt", with_bits(1, &compressed(200_000_000)))),
        ("no ZLIB", list("statuslist+jwt", with_bits(1, "AAAA"))),
        ("no token", "x".to_owned()),
    ] {
        good.answer(LIST, 200, "", &body);
        for guard in &mut Guard::all(&good.url) {
            let accepted = guard.accept(&good.token(&json!(0), &uri));
            assert!(accepted.is_err(), "{guard:?} believes a list that is {what}");
        }
    }
    good.answer(LIST, 302, &format!("Location: {}/elsewhere\r\n", good.url), "");
    good.answer("/elsewhere", 200, "", &list("statuslist+jwt", json!({})));
    for guard in &mut Guard::all(&good.url) {
        assert!(guard.accept(&good.token(&json!(0), &uri)).is_err(), "{guard:?} is led elsewhere");
    }
    assert!(!good.asked().contains(&"/elsewhere".to_owned()));

    good.answer(LIST, 200, "", &list("statuslist+jwt", json!({})));
    for guard in &mut Guard::all(&good.url) {
        guard.expect_claims(&good.token(&json!(1_048_575), &uri));
        for outside in [json!(1_048_576), json!(-1), json!("0"), json!(null), json!(1e30)] {
            guard.expect_refusal_for("outside", &good.token(&outside, &uri));
        }
    }
}
