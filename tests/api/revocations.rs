//! Status lists: what downstream services refuse though its signature is good (ADR 10;
//! draft-ietf-oauth-status-list-21).

use std::{
    collections::BTreeSet,
    io::Read,
    sync::atomic::{AtomicBool, Ordering},
    thread::{scope, sleep},
    time::{Duration, Instant},
};

use data_encoding::BASE64URL_NOPAD;
use diesel::connection::SimpleConnection;
use jeton_test_macros::both_databases;
use serde_json::{Value, json};

use crate::forward_auth::{ask, expect_admitted};
use crate::harness::{Answer, ApiKey, Client, Database, Jeton, Jwt, Session, Tenant, User, at_once, unique};
use crate::profiles::{ID_AND_SECRET, PROFILE, with_profile};

const ISSUER: &str = "https://jeton.test";
const LIST: &str = "/.well-known/revocations";
const PLACES: i64 = 1 << 20;

/// `exchange_ttl_max`, the margin, and one second.
const LAST_TOKEN_IS_DEAD: Duration = Duration::from_secs(3600 + 60 + 1);

/// For so long after that it is listed all the same: a clock may have been wrong.
const CLOCK_STEPS: Duration = Duration::from_hours(2);

#[both_databases]
fn every_token_of_a_session_or_a_key_names_its_place(jeton: Jeton) {
    let jeton = with_profile(jeton, PROFILE);
    let tenant = jeton.tenant();
    let key = tenant.api_key_with(json!({"access_type": "narrow", "scopes": ["a:read"]}));
    let session = tenant.user("member").session();
    let forwarded = |credential: &str| {
        let answer = ask(&jeton, "GET", "/a").bearer(credential).send().expect_status(200);
        answer.header("authorization").unwrap().strip_prefix("Bearer ").unwrap().to_owned()
    };
    let of_key = key.token();
    let grant = [("grant_type", "client_credentials"), ("client_id", &*key.id), ("client_secret", &*key.key)];
    let by_oauth = jeton.post("/oauth2/token").form(&grant).expect_status(200).text("access_token");
    for token in [by_oauth, forwarded(&key.key), forwarded(&of_key)] {
        assert_eq!(place(&token), place(&of_key), "the key's");
    }
    for token in [session.refreshed().access_token, forwarded(&session.access_token)] {
        assert_eq!(place(&token), place(&session.access_token), "the session's");
    }
    assert_eq!(place(&of_key).0, format!("{ISSUER}{LIST}"));
    let caller = tenant.api_key_with(json!({"access_type": "wide", "scopes": ["tokens:introspect"]}));
    let told = jeton.post("/oauth2/introspect").bearer(&caller.key).form(&[("token", &of_key)]).expect_status(200);
    assert_eq!(told.json()["status"], Jwt::parse(&of_key).claims["status"], "introspection says it too");
    let other = tenant.user("member").session();
    assert_ne!(place(&other.access_token), place(&session.access_token));
}

#[both_databases]
fn a_place_is_given_once(jeton: Jeton) {
    let tenant = jeton.tenant();
    let (user, admin) = (tenant.user("member"), tenant.admin());
    admin.token();
    let (_server, elsewhere) = jeton.second();
    let places = at_once(6, |number| {
        let client = if number % 2 == 0 { jeton.client() } else { elsewhere.clone() };
        let login = || client.post("/api/v1/auth/login").json(json!({"email": user.email, "password": user.password}));
        let logins = (0..12).map(|_| place(&login().expect_tokens().text("access_token")));
        let key = admin.create_api_key(json!({})).expect_status(201).into_key(&tenant);
        logins.chain([place(&key.token())]).collect::<Vec<_>>()
    });
    let all: Vec<_> = places.concat();
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len(), "{all:?}");
}

#[both_databases]
fn the_list_is_what_the_draft_says(jeton: Jeton) {
    let jeton = jeton.with("revocations.ttl", "20s");
    let answer = jeton.get(LIST).send().expect_status(200);
    assert_eq!(answer.header("content-type"), Some("application/statuslist+jwt"));
    assert_eq!(answer.header("set-cookie"), None);
    assert_eq!(answer.header("cache-control"), Some("public, no-cache"), "no cache adds to the poll interval");
    let token = jeton.verified(std::str::from_utf8(&answer.body).unwrap());
    assert_eq!(token.header["typ"], "statuslist+jwt");
    assert_eq!((token.text("iss"), token.text("sub")), (ISSUER, &*format!("{ISSUER}{LIST}")));
    assert_eq!((token.number("ttl"), token.number("exp") - token.number("iat")), (20, 200));
    assert!((0..5).contains(&(jeton.now() - token.number("iat"))));
    assert_eq!(token.claims["status_list"]["bits"], 1);
    assert_eq!(i64::try_from(List::of(&answer).bits.len() * 8), Ok(PLACES), "no index of a token lies outside");

    let tag = answer.header("etag").unwrap();
    assert!(tag.starts_with('"'), "a strong one: {tag}");
    let again = jeton.get(LIST).header("If-None-Match", tag).send().expect_status(304);
    assert_eq!((again.header("etag"), &*again.body), (Some(tag), &b""[..]));
    jeton.client().call("HEAD", LIST).send().expect_status(200);
    jeton.advance(Duration::from_secs(99));
    jeton.get(LIST).header("If-None-Match", tag).send().expect_status(304);
    jeton.advance(Duration::from_secs(2));
    let fresh = jeton.get(LIST).header("If-None-Match", tag).send().expect_status(200);
    assert!(Jwt::parse(std::str::from_utf8(&fresh.body).unwrap()).number("exp") > jeton.now() + 100, "in good time");

    let shown = String::from_utf8(fresh.body).unwrap();
    jeton.get("/api/v1/auth/me").bearer(&shown).send().expect_problem(401, "invalid_token");
}

#[both_databases]
fn browsers_read_it_where_they_may_read_the_keys(jeton: Jeton) {
    let jeton = jeton.with("server.allowed_origins", "https://app.example");
    for path in [LIST, "/.well-known/status-lists", "/.well-known/jwks.json"] {
        let answer = jeton.get(path).header("Origin", "https://app.example").send().expect_status(200);
        assert_eq!(answer.header("access-control-allow-origin"), Some("https://app.example"), "{path}");
    }
}

#[both_databases]
fn a_session_that_ends_is_listed_at_once(jeton: Jeton) {
    let (_server, elsewhere) = jeton.second();
    let password = "another-Meadow-2209-kettle";
    let ends: [(&str, EndSession<'_>); 11] = [
        ("logout", &|_, _, session| drop(session.logout().expect_status(204))),
        ("logout everywhere", &|_, _, session| {
            session.call("POST", "/api/v1/auth/logout-all").send().expect_status(204);
        }),
        ("ended from another", &|_, user, session| {
            user.delete(format!("/api/v1/auth/sessions/{}", session.id())).expect_status(204);
        }),
        ("revoked by its holder", &|_, _, session| {
            jeton.post("/oauth2/revoke").form(&[("token", &session.refresh_token)]).expect_status(200);
        }),
        ("reuse", &|_, _, session| {
            session.refreshed().refreshed();
            session.refresh().expect_problem(401, "refresh_token_reused");
        }),
        ("password changed", &|_, user, _| drop(user.change_password(&user.session(), password).expect_status(204))),
        ("password set", &|_, user, _| {
            let arguments = ["user", "set-password", &user.email, "--password-stdin"];
            jeton.cli_with_stdin(arguments, Some(password)).expect_code(0);
        }),
        ("user disabled", &|_, user, _| drop(jeton.cli(["user", "disable", &user.email]).expect_code(0))),
        ("membership removed", &|tenant, user, _| {
            tenant.admin().delete(tenant.path(&format!("users/{}", user.id))).expect_status(204);
        }),
        ("tenant suspended", &|tenant, _, _| tenant.suspend()),
        ("tenant deleted", &|tenant, _, _| drop(jeton.cli(["tenant", "delete", &tenant.id]).expect_code(0))),
    ];
    for (what, end) in ends {
        let tenant = jeton.tenant();
        let user = tenant.user("member");
        let (session, other) = (user.session(), tenant.user("member").session());
        assert!(!is_revoked(&elsewhere, &session.access_token), "{what}: not yet");
        end(&tenant, &user, &session);
        for client in [&elsewhere, &jeton.client()] {
            assert!(is_revoked(client, &session.access_token), "{what}");
            assert_eq!(is_revoked(client, &other.access_token), what.starts_with("tenant"), "{what}: nobody else's");
        }
    }
}

#[both_databases]
fn a_key_that_ends_is_listed_at_once(jeton: Jeton) {
    let (_server, elsewhere) = jeton.second();
    let ends: [(&str, EndKey<'_>); 7] = [
        ("revoked", &|tenant, key| drop(tenant.admin().revoke(key).expect_status(204))),
        ("revoked on the command line", &|_, key| drop(jeton.cli(["api-key", "revoke", &key.id]).expect_code(0))),
        ("revoked by its holder", &|_, key| {
            jeton.post("/oauth2/revoke").form(&[("token", &key.key)]).expect_status(200);
        }),
        ("rotated", &|tenant, key| drop(tenant.admin().rotate(key, json!({})).expect_status(201))),
        ("group deleted", &|tenant, key| {
            let group = tenant.admin().get(key.path()).expect_status(200).text("group_id");
            tenant.admin().delete(tenant.path(&format!("key-groups/{group}"))).expect_status(204);
        }),
        ("tenant suspended", &|tenant, _| tenant.suspend()),
        ("tenant deleted", &|tenant, _| drop(jeton.cli(["tenant", "delete", &tenant.id]).expect_code(0))),
    ];
    for (what, end) in ends {
        let tenant = jeton.tenant();
        let group = tenant.admin().post(tenant.path("key-groups"), json!({"name": unique("G"), "scopes": []}));
        let key = tenant.api_key_with(json!({"group_id": group.expect_status(201).text("id")}));
        let (token, other) = (key.token(), tenant.api_key([]).token());
        assert!(!is_revoked(&elsewhere, &token), "{what}: not yet");
        end(&tenant, &key);
        for client in [&elsewhere, &jeton.client()] {
            assert!(is_revoked(client, &token), "{what}");
            assert_eq!(is_revoked(client, &other), what.starts_with("tenant"), "{what}: nobody else's");
        }
    }
}

#[both_databases]
fn a_tenant_that_is_resumed_has_its_keys_back(jeton: Jeton) {
    let tenant = jeton.tenant();
    let (key, session) = (tenant.api_key([]).token(), tenant.user("member").session().access_token);
    tenant.suspend();
    jeton.cli(["tenant", "resume", &tenant.id]).expect_code(0);
    assert!(!is_revoked(&jeton.client(), &key));
    assert!(is_revoked(&jeton.client(), &session), "its users log in anew");
}

#[both_databases]
fn a_rotated_key_is_listed_when_its_overlap_is_over(jeton: Jeton) {
    let tenant = jeton.tenant();
    let key = tenant.api_key([]);
    let old = key.token();
    let rotated = tenant.admin().rotate(&key, json!({"overlap_seconds": 60})).expect_status(201).into_key(&tenant);
    assert!(!is_revoked(&jeton.client(), &old));
    jeton.advance(Duration::from_secs(61));
    assert!(is_revoked(&jeton.client(), &old), "Jeton refuses it too");
    assert!(!is_revoked(&jeton.client(), &rotated.token()));
}

#[both_databases]
fn the_tokens_of_a_replaced_secret_are_listed_when_it_works_no_more(jeton: Jeton) {
    let jeton = with_profile(jeton, ID_AND_SECRET);
    let tenant = jeton.tenant();
    let key = tenant.api_key(["a:b"]);
    let rotate = |overlap: u32| {
        let rotated = tenant.admin().rotate(&key, json!({"overlap_seconds": overlap})).expect_status(201);
        key.forged(rotated.text("key"))
    };
    let listed = |token: &str| is_revoked(&jeton.client(), token);

    let first = key.token();
    let second = rotate(0);
    let of_second = second.token();
    assert_eq!([&first, &of_second].map(|token| listed(token)), [true, false], "at once");

    let third = rotate(600);
    let (late, of_third) = (second.token(), third.token());
    assert_eq!(place(&late), place(&of_second), "the place is the secret's");
    assert_eq!([&first, &of_second, &of_third].map(|token| listed(token)), [true, false, false], "an overlap");
    let fourth = rotate(600);
    let of_fourth = fourth.token();
    assert_eq!([&of_second, &of_third, &of_fourth].map(|token| listed(token)), [true, false, false], "of three");
    jeton.advance(Duration::from_secs(601));
    assert_eq!([&of_third, &of_fourth].map(|token| listed(token)), [true, false], "the overlap is over");

    rotate(600);
    tenant.admin().revoke(&key).expect_status(204);
    assert!([first, of_second, of_third, of_fourth].iter().all(|token| listed(token)), "the key is revoked");
}

/// What Jeton itself makes of a token is what its status list says.
#[both_databases]
fn no_token_of_a_dead_secret_opens_anything_here(jeton: Jeton) {
    let jeton = with_profile(jeton, ID_AND_SECRET);
    let tenant = jeton.tenant();
    let caller = tenant.api_key(["tokens:introspect"]);
    let key = tenant.api_key(["a:b"]);
    let rotate = |overlap: u32| {
        let rotated = tenant.admin().rotate(&key, json!({"overlap_seconds": overlap})).expect_status(201);
        key.forged(rotated.text("key"))
    };
    let opens = |token: &str| {
        let told = jeton.post("/oauth2/introspect").bearer(&caller.key).form(&[("token", token)]).expect_status(200);
        let passes = ask(&jeton, "GET", "/x").bearer(token).send();
        assert_eq!(told.json()["active"], json!(passes.status == 200), "{} {}", told.told(), passes.told());
        assert_eq!(is_revoked(&jeton.client(), token), passes.status == 401, "{}", passes.told());
        passes.status == 200
    };

    let of_first = key.token();
    let second = rotate(24 * 3600);
    let of_second = second.token();
    assert_eq!([&of_first, &of_second].map(|token| opens(token)), [true; 2], "an overlap");
    let of_third = rotate(60).token();
    assert_eq!([&of_first, &of_second, &of_third].map(|token| opens(token)), [false, true, true], "of three");
    jeton.advance(Duration::from_secs(61));
    let fourth = rotate(60);
    let replaced = fourth.token();
    rotate(0);
    assert!(!opens(&replaced), "at once, within the same second too");
}

#[both_databases]
fn what_forward_auth_gives_for_a_token_ends_with_the_secret_of_that_token(jeton: Jeton) {
    let jeton = with_profile(jeton, ID_AND_SECRET);
    let tenant = jeton.tenant();
    let key = tenant.api_key(["a:b"]);
    let of_first = key.token();
    let rotated = tenant.admin().rotate(&key, json!({"overlap_seconds": 60})).expect_status(201);
    let of_second = key.forged(rotated.text("key")).token();
    let changed = |token: &str| expect_admitted(ask(&jeton, "GET", "/x").bearer(token).send()).1;
    let (old, new) = (changed(&of_first), changed(&of_second));
    assert_eq!([place_of(&old), place_of(&new)], [place(&of_first), place(&of_second)]);
    assert!(old.number("exp") <= jeton.now() + 60, "no longer than the overlap");
    assert_eq!(new.number("exp"), Jwt::parse(&of_second).number("exp"));
}

#[both_databases]
fn a_bit_goes_when_the_last_token_is_dead(jeton: Jeton) {
    let tenant = jeton.tenant();
    let user = tenant.user("member");
    let (session, key) = (user.session(), tenant.api_key([]));
    let (gone, token) = (jeton.tenant(), key.token());
    let of_gone = gone.api_key([]).token();
    session.logout().expect_status(204);
    tenant.admin().revoke(&key).expect_status(204);
    jeton.cli(["tenant", "delete", &gone.id]).expect_code(0);
    let tokens = [session.access_token, token, of_gone];
    let client = jeton.client();
    jeton.advance((LAST_TOKEN_IS_DEAD + CLOCK_STEPS).saturating_sub(Duration::from_secs(30)));
    assert!(tokens.iter().all(|token| is_revoked(&client, token)));
    jeton.advance(Duration::from_secs(30));
    assert!(!tokens.iter().any(|token| is_revoked(&client, token)));

    // It sweeps at its start, sooner or later on a busy machine.
    let left = || jeton.number("SELECT COUNT(*) AS number FROM ended_statuses");
    assert!(left() > 0);
    jeton.advance(Duration::from_hours(24));
    jeton.restart();
    let deadline = Instant::now() + Duration::from_secs(20);
    while left() > 0 {
        assert!(Instant::now() < deadline, "what has no token any more is forgotten");
        sleep(Duration::from_millis(50));
    }
}

/// A clock that is ahead for a while, also through a start with its sweep, and is put back.
#[both_databases]
fn a_clock_step_brings_no_revoked_token_back_to_life(jeton: Jeton) {
    let (session, gone) = (jeton.tenant().user("member").session(), jeton.tenant());
    let tokens = [session.access_token.clone(), gone.api_key([]).token()];
    session.logout().expect_status(204);
    jeton.cli(["tenant", "delete", &gone.id]).expect_code(0);
    let listed = || tokens.iter().all(|token| is_revoked(&jeton.client(), token));
    jeton.advance(LAST_TOKEN_IS_DEAD + Duration::from_mins(30));
    assert!(listed(), "for verifiers whose clock is right they are not dead yet");
    jeton.advance(Duration::from_hours(12));
    assert!(!listed());
    // A place that ended long ago tells when the sweep was.
    jeton.execute("INSERT INTO ended_statuses (status_index, ended_at) VALUES (0, 0)");
    jeton.restart();
    let deadline = Instant::now() + Duration::from_secs(20);
    while jeton.rows("ended_statuses WHERE ended_at = 0") > 0 {
        assert!(Instant::now() < deadline, "it sweeps at its start");
        sleep(Duration::from_millis(50));
    }
    jeton.shift(-13 * 3_600_000_000);
    assert!(listed(), "the clock is right again");
}

#[both_databases]
fn what_was_promised_once_is_listed_for_as_long(jeton: Jeton) {
    jeton.set("tokens.access_ttl", "2h");
    let session = jeton.tenant().user("member").session();
    jeton.set("tokens.access_ttl", "5m");
    jeton.restart();
    session.logout().expect_status(204);
    jeton.advance(Duration::from_secs(7_100));
    assert!(is_revoked(&jeton.client(), &session.access_token), "it lives for two hours");
}

#[both_databases]
fn ten_thousand_revocations_fit_in_64_kib(jeton: Jeton) {
    jeton.start();
    let places = at_random(10_000, 1_000_000);
    let rows: Vec<_> = places.iter().map(|place| format!("({place}, {}000000)", jeton.now())).collect();
    jeton.execute(&format!("INSERT INTO ended_statuses (status_index, ended_at) VALUES {}", rows.join(",")));
    jeton.execute("UPDATE status_counter SET next = 1000001");
    let answer = jeton.get(LIST).send().expect_status(200);
    assert!(answer.body.len() <= 64 * 1024, "{} bytes", answer.body.len());
    println!("10,000 of 1,000,000: {} bytes", answer.body.len());
    assert_eq!(List::of(&answer).places(), places);
}

#[both_databases]
fn further_lists_are_below_the_first(jeton: Jeton) {
    let tenant = jeton.tenant();
    let early = tenant.user("member").session();
    assert_eq!(jeton.get(format!("{LIST}/1")).send().status, 404, "no token points to it yet");
    jeton.execute(&format!("UPDATE status_counter SET next = {PLACES}"));
    jeton.restart();
    let late = tenant.user("member").session();
    let (uri, index) = place(&late.access_token);
    assert_eq!((&*uri, index), (&*format!("{ISSUER}{LIST}/1"), 0));
    late.logout().expect_status(204);
    assert!(is_revoked(&jeton.client(), &late.access_token));
    assert!(!is_revoked(&jeton.client(), &early.access_token));

    let all = jeton.get("/.well-known/status-lists").send().expect_status(200).json();
    assert_eq!(all, json!({"status_lists": [format!("{ISSUER}{LIST}"), uri]}));
    let metadata = jeton.get("/.well-known/oauth-authorization-server").send().expect_status(200).json();
    assert_eq!(metadata["status_list_aggregation_endpoint"], format!("{ISSUER}/.well-known/status-lists"));
    for unknown in ["0", "01", "+1", "2", "-1", "1/", "x", "99999999999999999999", "1%20"] {
        jeton.get(format!("{LIST}/{unknown}")).send().expect_problem(404, "not_found");
    }
}

/// Sessions are ended on one server while lists are fetched from another without a pause.
#[both_databases]
fn no_list_that_was_asked_for_after_a_revocation_lacks_it(jeton: Jeton) {
    let (_server, elsewhere) = jeton.second();
    let user = jeton.tenant().user("member");
    let over = AtomicBool::new(false);
    scope(|scope| {
        for client in [jeton.client(), elsewhere.clone(), jeton.client(), elsewhere.clone()] {
            let over = &over;
            scope.spawn(move || {
                while !over.load(Ordering::SeqCst) {
                    client.get(LIST).send().expect_status(200);
                }
            });
        }
        let late: Vec<_> = (0..30)
            .map(|_| user.session())
            .filter(|session| {
                session.logout().expect_status(204);
                !is_revoked(&elsewhere, &session.access_token) || !is_revoked(&jeton.client(), &session.access_token)
            })
            .collect();
        over.store(true, Ordering::SeqCst);
        assert!(late.is_empty(), "{late:?}");
    });
}

#[both_databases]
fn a_list_that_a_revoked_key_signed_is_signed_anew(jeton: Jeton) {
    let kid = || {
        Jwt::parse(&String::from_utf8(jeton.get(LIST).send().expect_status(200).body).unwrap()).header["kid"].clone()
    };
    let leaked = kid();
    jeton.cli(["signing-key", "revoke", leaked.as_str().unwrap()]).expect_code(0);
    let deadline = Instant::now() + Duration::from_secs(10);
    while kid() == leaked {
        assert!(Instant::now() < deadline, "the server forgets the key within a second");
        sleep(Duration::from_millis(50));
    }
    jeton.verified(&String::from_utf8(jeton.get(LIST).send().expect_status(200).body).unwrap());
}

/// A server that cannot read, while another's writes go through: only PostgreSQL locks one table and not the others.
#[test]
fn no_list_of_before_is_served_while_revocations_are_taken() {
    let Some(jeton) = Jeton::on_postgres() else { return };
    let session = jeton.tenant().user("member").session();
    jeton.get(LIST).send().expect_status(200);
    let mut holder = jeton.postgres();
    holder.batch_execute("BEGIN; LOCK TABLE ended_statuses IN ACCESS EXCLUSIVE MODE").unwrap();
    session.logout().expect_status(204);
    let refused = jeton.get(LIST).send().expect_problem(503, "unavailable");
    assert!(refused.header("retry-after").is_some());
    holder.batch_execute("ROLLBACK").unwrap();
    assert!(is_revoked(&jeton.client(), &session.access_token));
}

/// The database goes away and comes back: only PostgreSQL can.
#[test]
fn the_last_list_is_served_until_its_end_while_the_database_is_down() {
    let Some(jeton) = Jeton::on_postgres() else { return };
    let session = jeton.tenant().user("member").session();
    session.logout().expect_status(204);
    let last = jeton.get(LIST).send().expect_status(200);
    let Database::Postgres { cluster, name } = jeton.database() else { panic!("it is PostgreSQL") };
    cluster.run(&format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false"));
    cluster.run(&format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"));
    jeton.advance(Duration::from_secs(590));
    // It takes some requests until the last of the connections is known to be broken.
    let deadline = Instant::now() + Duration::from_secs(20);
    while jeton.get(LIST).send().status != 200 {
        assert!(Instant::now() < deadline, "it knows that the database is down");
    }
    for answer in at_once(8, |_| jeton.get(LIST).send()) {
        assert_eq!(answer.expect_status(200).body, last.body);
    }
    jeton.advance(Duration::from_secs(11));
    for path in [LIST, "/.well-known/status-lists"] {
        let over = jeton.get(path).send().expect_problem(503, "unavailable");
        assert!(over.header("retry-after").is_some());
    }

    cluster.run(&format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true"));
    let deadline = Instant::now() + Duration::from_secs(10);
    while jeton.get(LIST).send().status != 200 {
        assert!(Instant::now() < deadline, "it recovers by itself");
        sleep(Duration::from_millis(50));
    }
    assert!(is_revoked(&jeton.client(), &session.access_token));
}

/// A database from before there were status lists, and back again.
#[both_databases]
fn sessions_and_keys_of_before_are_given_a_place(jeton: Jeton) {
    let tenant = jeton.tenant();
    let (user, keys) = (tenant.user("member"), [tenant.api_key([]), tenant.api_key([])]);
    let sessions = [user.session(), user.session()];
    jeton.stop();
    let kind = if matches!(jeton.database(), Database::Sqlite) { "sqlite" } else { "postgres" };
    let down = format!("{}/migrations/{kind}/2026-11-24-110000_status_index/down.sql", env!("CARGO_MANIFEST_DIR"));
    jeton.execute(&std::fs::read_to_string(down).unwrap());
    jeton.execute("DELETE FROM __diesel_schema_migrations WHERE version = '20261124110000'");
    jeton.cli(["migrate"]).expect_code(0);

    let tokens =
        [keys[0].token(), keys[1].token(), sessions[0].refreshed().access_token, sessions[1].refreshed().access_token];
    let fresh = [user.session().access_token, tenant.api_key([]).token()];
    let all: BTreeSet<_> = tokens.iter().chain(&fresh).map(|token| place(token)).collect();
    assert_eq!(all.len(), 6, "{all:?}");
    tenant.admin().revoke(&keys[0]).expect_status(204);
    let revoked = tokens.iter().chain(&fresh).map(|token| is_revoked(&jeton.client(), token));
    assert_eq!(revoked.collect::<Vec<_>>(), [true, false, false, false, false, false]);
}

/// A way to end a session of a user in a tenant, or a key of one.
type EndSession<'a> = &'a dyn Fn(&Tenant, &User, &Session);
type EndKey<'a> = &'a dyn Fn(&Tenant, &ApiKey);

/// Where the token's list is, and its index there.
fn place(token: &str) -> (String, i64) {
    place_of(&Jwt::parse(token))
}

fn place_of(Jwt { claims, .. }: &Jwt) -> (String, i64) {
    let status = claims["status"]["status_list"].as_object().expect("a place");
    assert_eq!(status.len(), 2, "section 6.1: exactly two members: {claims}");
    (status["uri"].as_str().unwrap().to_owned(), status["idx"].as_i64().unwrap())
}

/// What a verifier that asks this server now makes of a token.
#[track_caller]
pub fn is_revoked(client: &Client, token: &str) -> bool {
    let (uri, index) = place(token);
    let answer = client.get(uri.strip_prefix(ISSUER).expect("below the issuer")).send().expect_status(200);
    let list = List::of(&answer);
    assert_eq!(list.claims["sub"], uri);
    list.says(index)
}

/// A list as it was fetched.
struct List {
    claims: Value,
    bits: Vec<u8>,
}

impl List {
    #[track_caller]
    fn of(answer: &Answer) -> Self {
        let claims = Jwt::parse(std::str::from_utf8(&answer.body).unwrap()).claims;
        let compressed = BASE64URL_NOPAD.decode(claims["status_list"]["lst"].as_str().unwrap().as_bytes()).unwrap();
        let mut bits = Vec::new();
        flate2::read::ZlibDecoder::new(&*compressed).read_to_end(&mut bits).expect("ZLIB (RFC 1950)");
        Self { claims, bits }
    }

    fn says(&self, index: i64) -> bool {
        self.bits[usize::try_from(index / 8).unwrap()] >> (index % 8) & 1 == 1
    }

    fn places(&self) -> BTreeSet<i64> {
        (0..PLACES).filter(|index| self.says(*index)).collect()
    }
}

/// So many different numbers from 1 to `most`, the same ones each time.
fn at_random(count: usize, most: u64) -> BTreeSet<i64> {
    let mut state = 1_u64;
    let mut chosen = BTreeSet::new();
    while chosen.len() < count {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        chosen.insert(i64::try_from((state >> 33) % most).unwrap() + 1);
    }
    chosen
}
