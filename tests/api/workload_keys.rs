//! The keys of trusted issuers: fetched over TLS when a token needs them, and no more often (docs/API.md, ADR 11).

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use jeton_test_macros::both_databases;
use jsonwebtoken::Algorithm;
use serde_json::json;

use crate::{
    harness::{Answer, Conduct, ForeignIssuer, ForeignKey, Jeton, Server, at_once},
    workload::{World, exchange, trust},
};

#[both_databases]
fn keys_are_fetched_once_for_many_tokens(jeton: Jeton) {
    let world = World::new(jeton, Algorithm::ES256);
    let token = world.key.sign(&world.issuer.claims(&world.jeton, json!({})));
    let client = world.jeton.client();
    for answer in at_once(16, |_| exchange(&client, &world.tenant.id, &token)) {
        answer.expect_tokens();
    }
    assert_eq!(world.issuer.asked(), 2, "metadata and keys, once");
}

#[both_databases]
fn an_issuer_may_change_its_keys(jeton: Jeton) {
    let world = World::new(jeton, Algorithm::ES256);
    world.token();
    let next = ForeignKey::new("second", Algorithm::ES256);
    world.issuer.publish(&[&next]);
    let signed = |world: &World| next.sign(&world.issuer.claims(&world.jeton, json!({})));
    // Anybody can make up a `kid`: the issuer is not asked about each.
    let asked = world.issuer.asked();
    for _ in 0..5 {
        world.exchange(&signed(&world)).expect_oauth_error(400, "invalid_request");
    }
    assert_eq!(world.issuer.asked(), asked);
    world.jeton.advance(Duration::from_secs(31));
    world.exchange(&signed(&world)).expect_tokens();
    assert_eq!(world.issuer.asked(), asked + 2);
    world.exchange_with(json!({})).expect_oauth_error(400, "invalid_request");
}

#[both_databases]
fn a_key_that_its_issuer_took_back_is_refused_when_its_time_is_over(jeton: Jeton) {
    let world = World::new(jeton, Algorithm::ES256);
    world.issuer.cached("max-age=120");
    world.token();
    world.issuer.publish(&[&ForeignKey::new("other", Algorithm::ES256)]);
    world.jeton.advance(Duration::from_secs(90));
    world.token();
    world.jeton.advance(Duration::from_secs(31));
    world.exchange_with(json!({})).expect_oauth_error(400, "invalid_request");
}

#[both_databases]
fn while_an_issuer_is_away_its_last_keys_count_for_a_while(jeton: Jeton) {
    let world = World::new(jeton, Algorithm::ES256);
    world.token();
    world.issuer.behave(Some(Conduct::HangsUp));
    world.jeton.advance(Duration::from_hours(5));
    world.token();
    world.jeton.advance(Duration::from_mins(61));
    let answer = world.exchange_with(json!({})).expect_oauth_error(503, "temporarily_unavailable");
    assert_eq!(answer.header("retry-after"), Some("1"));
    world.issuer.behave(None);
    world.jeton.advance(Duration::from_secs(31));
    world.exchange_with(json!({})).expect_oauth_error(503, "temporarily_unavailable");
    world.jeton.advance(Duration::from_secs(30));
    world.token();
}

#[both_databases]
fn a_clock_that_is_set_back_makes_no_key_younger(jeton: Jeton) {
    let world = World::new(jeton, Algorithm::ES256);
    world.token();
    let asked = world.issuer.asked();
    world.jeton.shift(-3_600_000_000);
    world.token();
    assert_eq!(world.issuer.asked(), asked + 2, "it is asked anew");
}

/// What the log says of fetches that failed.
fn failures(jeton: &Jeton) -> Vec<String> {
    let log = jeton.server(Server::log);
    log.into_iter().filter(|line| line.contains("the keys of a trusted issuer cannot be fetched")).collect()
}

/// The same once there are more than `before`: the log is read behind the answer.
fn failures_after(jeton: &Jeton, before: usize) -> Vec<String> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let said = failures(jeton);
        if said.len() > before || Instant::now() > deadline {
            assert!(said.len() > before, "one more failure: {said:#?}");
            return said;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// How an issuer's server goes wrong.
type Spoil = Box<dyn Fn(&ForeignIssuer)>;

/// Whatever an issuer's server does wrong, a stranger hears the same.
#[test]
fn an_issuer_that_does_not_say_what_its_keys_are_vouches_for_nobody() {
    let answers = |status, header: &str, body: String| Conduct::Answers(status, header.to_owned(), body);
    let plain = "Content-Type: application/json";
    let other = ForeignIssuer::start(&[&ForeignKey::new("first", Algorithm::ES256)]);
    let wrong: Vec<(&str, Spoil, &str)> = vec![
        ("it is down", Box::new(|issuer| issuer.behave(Some(Conduct::HangsUp))), ""),
        (
            "it takes too long",
            Box::new(|issuer| issuer.behave(Some(Conduct::Dawdles(Duration::from_millis(1_500))))),
            "timeout",
        ),
        (
            "it leads elsewhere",
            Box::new({
                let location = format!("Location: {}/.well-known/openid-configuration", other.url);
                move |issuer| issuer.behave(Some(answers(302, &location, String::new())))
            }),
            "302",
        ),
        ("it fails", Box::new(move |issuer| issuer.behave(Some(answers(500, plain, "{}".to_owned())))), "500"),
        (
            "its answer is huge",
            Box::new(move |issuer| issuer.behave(Some(answers(200, plain, " ".repeat(70_000))))),
            "limit",
        ),
        (
            "its answer is no JSON",
            Box::new(move |issuer| issuer.behave(Some(answers(200, plain, "<html>".to_owned())))),
            "expected value",
        ),
        (
            "it is somebody else",
            Box::new(|issuer| issuer.describe(json!({"issuer": "https://a.example"}))),
            "https://a.example",
        ),
        (
            "its keys are not protected",
            Box::new(|issuer| issuer.describe(json!({"jwks_uri": issuer.url.replace("https", "http") + "/keys"}))),
            "no https URL",
        ),
        (
            "its keys are nowhere",
            Box::new(|issuer| issuer.describe(json!({"jwks_uri": format!("{}/x", issuer.url)}))),
            "404",
        ),
        (
            "it has no list of keys",
            Box::new(|issuer| {
                issuer.describe(json!({"jwks_uri": format!("{}/.well-known/openid-configuration", issuer.url)}));
            }),
            "keys",
        ),
    ];
    let world = World::new(Jeton::on_sqlite(), Algorithm::ES256);
    let mut heard = BTreeSet::new();
    for (what, spoil, log) in &wrong {
        world.issuer.behave(None);
        world.issuer.describe(json!({"issuer": world.issuer.url, "jwks_uri": format!("{}/keys", world.issuer.url)}));
        spoil(&world.issuer);
        // Longer than the keys that were good the last time are used.
        world.jeton.advance(Duration::from_hours(7));
        let before = failures(&world.jeton).len();
        let answer = world.exchange_with(json!({}));
        assert_eq!(answer.status, 503, "{what}: {}", answer.told());
        heard.insert(answer.body.clone());
        let said = failures_after(&world.jeton, before);
        assert!(said.last().unwrap().contains(log), "{what}: {said:#?}");
        let asked = world.issuer.asked();
        world.exchange_with(json!({})).expect_oauth_error(503, "temporarily_unavailable");
        assert_eq!(world.issuer.asked(), asked, "{what}: it is left alone for a while");
    }
    assert_eq!(heard.len(), 1, "one answer for all of it");
    assert_eq!(other.asked(), 0, "no redirect is followed");
}

#[test]
fn addresses_of_our_own_network_are_not_called() {
    let world = World::new(Jeton::on_sqlite(), Algorithm::ES256);
    world.jeton.set("workload.allowed_networks", "10.0.0.0/8");
    world.jeton.restart();
    world.exchange_with(json!({})).expect_oauth_error(503, "temporarily_unavailable");
    assert_eq!(world.issuer.asked(), 0, "`localhost` is 127.0.0.1 or ::1");
    for host in ["127.0.0.1", "169.254.169.254", "[::1]", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]", "0.0.0.0"] {
        let url = world.issuer.url.replace("localhost", host);
        trust(&world.tenant, &world.issuer, json!({"issuer": url})).expect_status(201);
        world.exchange_with(json!({"iss": url})).expect_oauth_error(503, "temporarily_unavailable");
    }
    assert_eq!(world.issuer.asked(), 0);
    let said = failures_after(&world.jeton, 6);
    assert!(said.iter().all(|line| line.contains("is no public address")), "{said:#?}");
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_refused() {
    let world = World::new(Jeton::on_sqlite(), Algorithm::ES256);
    world.jeton.set("workload.ca_file", "");
    world.jeton.restart();
    world.exchange_with(json!({})).expect_oauth_error(503, "temporarily_unavailable");
    assert_eq!(world.issuer.asked(), 0);
    let said = failures_after(&world.jeton, 0);
    assert!(said[0].contains("certificate"), "{said:#?}");
}

#[test]
fn a_proxy_of_the_environment_is_not_used() {
    let world = World::new(Jeton::on_sqlite(), Algorithm::ES256);
    for name in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"] {
        world.jeton.set_variable(name, "http://127.0.0.1:1");
    }
    world.jeton.restart();
    world.token();
}

#[test]
fn a_file_of_certificates_that_is_none_stops_the_start_and_the_doctor_names_it() {
    let jeton = Jeton::on_sqlite().with("workload.ca_file", "own.pem");
    let create = || jeton.cli(["tenant", "create", "--name", "N"]);
    let doctor = || {
        let found = jeton.cli(["doctor"]).stdout;
        found.lines().find(|line| line.contains("certificate authorities")).unwrap().to_owned()
    };
    create().expect_refusal(1, &["workload.ca_file", "own.pem"]);
    let sound = std::fs::read_to_string(ForeignIssuer::start(&[]).certificate_file(jeton.folder())).unwrap();
    let with = |base64: &str| format!("{sound}-----BEGIN CERTIFICATE-----\n{base64}\n-----END CERTIFICATE-----\n");
    for (content, says) in [
        ("nothing".to_owned(), "there is no certificate in it"),
        (with("no base64!"), "it is damaged"),
        (sound.replace("-----END", "-----"), "a line `-----END` is missing"),
        (sound.replace("CERTIFICATE-----", "CERTIFICATE"), "a line `-----BEGIN` is malformed"),
        (with("AAAA"), "certificate 2 in it is damaged"),
    ] {
        std::fs::write(jeton.folder().join("own.pem"), content).unwrap();
        create().expect_refusal(1, &["workload.ca_file", "own.pem", says]);
        let found = doctor();
        assert!(found.contains("FAIL") && found.contains(says), "{found}");
    }
    std::fs::write(jeton.folder().join("own.pem"), sound).unwrap();
    create().expect_code(0);
    assert!(doctor().contains("and 1 of `workload.ca_file`"), "{}", doctor());
}

/// An issuer that never says anything holds up its own tokens: others are told at once to come back, and all else goes
/// on.
#[test]
fn silent_issuers_hold_up_nothing_else() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let key = ForeignKey::new("first", Algorithm::ES256);
    let issuer = ForeignIssuer::start(&[&key]);
    let jeton = Jeton::on_sqlite();
    issuer.is_reachable_from(&jeton);
    let tenants = [jeton.tenant(), jeton.tenant()];
    let url = |number: usize| format!("https://localhost:{port}/{number}");
    for number in 0..80 {
        trust(&tenants[number % 2], &issuer, json!({"issuer": url(number)})).expect_status(201);
    }
    let client = jeton.client();
    let answers = at_once(81, |number| {
        if number == 80 {
            return client.get("/.well-known/jwks.json").send();
        }
        exchange(&client, &tenants[number % 2].id, &key.sign(&issuer.claims(&jeton, json!({"iss": url(number)}))))
    });
    let busy = |answer: &&Answer| {
        answer.status == 503 && answer.json()["error_description"].as_str().unwrap().contains("busy")
    };
    assert!(answers.iter().filter(busy).count() >= 1, "a queue that is full");
    assert!(answers[..80].iter().all(|answer| answer.status == 503 && answer.header("retry-after").is_some()));
    assert_eq!(answers[80].status, 200);
    // What nobody waits for any more is not begun: another issuer has its turn soon.
    trust(&tenants[0], &issuer, json!({})).expect_status(201);
    let deadline = Instant::now() + Duration::from_mins(1);
    while exchange(&client, &tenants[0].id, &key.sign(&issuer.claims(&jeton, json!({})))).status != 200 {
        assert!(Instant::now() < deadline, "the threads are free again");
        jeton.advance(Duration::from_secs(31));
    }
}

/// However many issuers of one tenant dawdle, a thread is left for those of others.
#[test]
fn silent_issuers_of_one_tenant_hold_up_no_other_tenants() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let world = World::new(Jeton::on_sqlite(), Algorithm::ES256);
    let other = world.jeton.tenant();
    let url = |number: usize| format!("https://localhost:{port}/{number}");
    for number in 0..8 {
        trust(&other, &world.issuer, json!({"issuer": url(number)})).expect_status(201);
    }
    let client = world.jeton.client();
    let sign = |claims| world.key.sign(&world.issuer.claims(&world.jeton, claims));
    let answers = at_once(9, |number| {
        if number < 8 {
            let answer = exchange(&client, &other.id, &sign(json!({"iss": url(number)})));
            return (answer, Instant::now());
        }
        // Behind the others.
        std::thread::sleep(Duration::from_millis(300));
        (exchange(&client, &world.tenant.id, &sign(json!({}))), Instant::now())
    });
    let (answer, at) = &answers[8];
    assert_eq!(answer.status, 200, "{}", answer.told());
    let waited = answers[..8].iter().filter(|(answer, _)| !answer.told().contains("busy"));
    assert!(waited.clone().count() > 0 && waited.clone().all(|(_, gave_up)| at < gave_up), "none was waited for");
}

/// Tenants whose issuers dawdle on all threads keep nobody else from the keys that are known already.
#[test]
fn silent_issuers_keep_nobody_from_keys_that_are_known() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let world = World::new(Jeton::on_sqlite(), Algorithm::ES256);
    world.issuer.cached("max-age=60");
    world.token();
    let others = [(); 5].map(|()| world.jeton.tenant());
    let url = |number: usize| format!("https://localhost:{port}/{number}");
    for number in 0..80 {
        trust(&others[number % 5], &world.issuer, json!({"issuer": url(number)})).expect_status(201);
    }
    world.jeton.advance(Duration::from_secs(90));
    let client = world.jeton.client();
    let sign = |claims| world.key.sign(&world.issuer.claims(&world.jeton, claims));
    let answers = at_once(90, |number| {
        if number < 80 {
            return exchange(&client, &others[number % 5].id, &sign(json!({"iss": url(number)})));
        }
        // Behind the others.
        std::thread::sleep(Duration::from_millis(200));
        exchange(&client, &world.tenant.id, &sign(json!({})))
    });
    assert!(answers[..80].iter().all(|answer| answer.status == 503));
    for answer in &answers[80..] {
        assert_eq!(answer.status, 200, "{}", answer.told());
    }
}

/// Its token waited for the issuer, and was not yet exchanged when the deletion was answered.
#[both_databases]
fn an_issuer_that_is_deleted_while_it_is_asked_vouches_for_nobody(jeton: Jeton) {
    let world = World::new(jeton, Algorithm::ES256);
    world.issuer.behave(Some(Conduct::Dawdles(Duration::from_millis(500))));
    let path = world.tenant.path(&format!("trusted-issuers/{}", world.trusted));
    let admin = world.tenant.admin();
    let token = world.key.sign(&world.issuer.claims(&world.jeton, json!({})));
    let client = world.jeton.client();
    let [exchanged, deleted] = &at_once(2, |number| {
        if number == 0 {
            return (exchange(&client, &world.tenant.id, &token), Instant::now());
        }
        let deadline = Instant::now() + Duration::from_secs(10);
        while world.issuer.asked() == 0 && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        (admin.delete(&path).expect_status(204), Instant::now())
    })[..] else {
        panic!("two answers")
    };
    assert!(exchanged.1 < deleted.1 || exchanged.0.status >= 400, "{}", exchanged.0.told());
}
