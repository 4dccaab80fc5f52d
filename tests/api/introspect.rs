//! `POST /oauth2/introspect`: what a token is worth at this moment, for who may ask (RFC 7662; contract 4.3).

use std::time::Duration;

use jeton_test_macros::both_databases;
use serde_json::{Value, json};

use crate::harness::{Answer, ApiKey, Client, Database, Jeton, Jwt, Session, Tenant};
use crate::profiles::{ID_AND_SECRET, PROFILE, with_profile};

const PATH: &str = "/oauth2/introspect";
const SCOPE: &str = "tokens:introspect";

/// Asks with a key that may.
fn ask(client: &Client, caller: &ApiKey, token: &str) -> Answer {
    client.post(PATH).basic(&caller.id, &caller.key).form(&[("token", token)])
}

/// What is said of a token.
#[track_caller]
fn state(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{}", answer.told());
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{}", answer.told());
    answer.json()
}

#[track_caller]
fn expect_inactive(answer: &Answer) {
    state(answer);
    assert_eq!(answer.body, br#"{"active":false}"#, "{}", answer.told());
}

/// The one who asks, and a question in its name.
fn caller(jeton: &Jeton, tenant: &Tenant) -> impl Fn(&str) -> Answer {
    let (key, client) = (tenant.api_key([SCOPE]), jeton.client());
    move |token| ask(&client, &key, token)
}

#[both_databases]
fn an_access_token_of_a_login_is_told_whole(jeton: Jeton) {
    let tenant = jeton.tenant();
    let session = tenant.user("admin").session();
    let claims = Jwt::parse(&session.access_token).claims;
    let ask = caller(&jeton, &tenant);
    assert_eq!(
        state(&ask(&session.access_token)),
        json!({
            "active": true, "token_type": "Bearer", "scope": claims["scope"], "client_id": "jeton-login",
            "sub": claims["sub"], "aud": "api", "iss": "https://jeton.test", "exp": claims["exp"], "iat": claims["iat"],
            "jti": claims["jti"], "tenant_id": tenant.id, "sid": session.id(), "roles": ["admin"],
            "status": claims["status"],
        })
    );
}

#[both_databases]
fn an_access_token_of_a_key_is_told_whole(jeton: Jeton) {
    let jeton = with_profile(jeton, PROFILE);
    let tenant = jeton.tenant();
    let caller = tenant.api_key_with(json!({"access_type": "wide", "scopes": [SCOPE]}));
    let group = json!({"name": "G", "access_type": "narrow", "scopes": ["a:read", "a:write"]});
    let group = tenant.admin().post(tenant.path("key-groups"), group).expect_status(201).text("id");
    let key = tenant.api_key_with(json!({"group_id": group, "constraints": {"channels": ["email"]}}));
    let token = key.exchange_for(json!({"scope": "a:read"})).expect_tokens().text("access_token");
    let claims = Jwt::parse(&token).claims;
    assert_eq!(
        state(&ask(&jeton.client(), &caller, &token)),
        json!({
            "active": true, "token_type": "Bearer", "scope": "a:read", "client_id": key.id, "sub": key.id, "aud": "api",
            "iss": "https://jeton.test", "exp": claims["exp"], "iat": claims["iat"], "jti": claims["jti"],
            "tenant_id": tenant.id, "access_type": "narrow", "group_id": group,
            "constraints": {"channels": ["email"]}, "environment": "live", "status": claims["status"],
        })
    );
    let told = state(&ask(&jeton.client(), &caller, &key.key));
    assert_eq!((&told["group_id"], &told["access_type"]), (&json!(group), &json!("narrow")));
    assert_eq!(told["constraints"], json!({"channels": ["email"]}));
}

#[both_databases]
fn a_refresh_token_is_told_while_it_is_the_current_one(jeton: Jeton) {
    let tenant = jeton.tenant();
    let user = tenant.user("member");
    let ask = caller(&jeton, &tenant);
    let first = user.session();
    let second = first.refreshed();
    let iat = Jwt::parse(&second.access_token).number("iat");
    assert_eq!(
        state(&ask(&second.refresh_token)),
        json!({
            "active": true, "token_type": "refresh_token", "scope": "", "client_id": "jeton-login", "sub": user.id,
            "exp": iat + 30 * 24 * 60 * 60, "iat": iat, "tenant_id": tenant.id,
        })
    );
    expect_inactive(&ask(&first.refresh_token));
    first.refreshed();
    second.refreshed();
}

#[both_databases]
fn an_api_key_is_told_with_its_expiry(jeton: Jeton) {
    let tenant = jeton.tenant();
    let ask = caller(&jeton, &tenant);
    let (end, before) = (jeton.now() + 600, jeton.now());
    let key = tenant.api_key_with(json!({"scopes": ["a:b"], "expires_at": jeton.in_seconds(600)}));
    let told = state(&ask(&key.key));
    let (iat, exp) = (told["iat"].as_i64().unwrap(), told["exp"].as_i64().unwrap());
    assert!((before..=jeton.now()).contains(&iat) && (end..=end + 5).contains(&exp), "{told}");
    assert_eq!(
        told,
        json!({
            "active": true, "token_type": "api_key", "scope": "a:b", "client_id": key.id, "sub": key.id, "iat": iat,
            "exp": exp, "tenant_id": tenant.id, "environment": "live",
        })
    );
    assert_eq!(state(&ask(&tenant.api_key([]).key)).get("exp"), None, "only where it has one");
    jeton.advance(Duration::from_mins(11));
    expect_inactive(&ask(&key.key));
}

#[both_databases]
fn a_previous_secret_is_told_until_the_overlap_ends(jeton: Jeton) {
    let jeton = with_profile(jeton, ID_AND_SECRET);
    let tenant = jeton.tenant();
    let (asks, first) = (tenant.api_key([SCOPE]), tenant.api_key(["a:b"]));
    let second = tenant.admin().rotate(&first, json!({"overlap_seconds": 60})).expect_status(201).into_key(&tenant);
    let old = state(&ask(&jeton.client(), &asks, &first.key));
    assert!(old["exp"].as_i64().unwrap() <= jeton.now() + 60, "{old}");
    let new = state(&ask(&jeton.client(), &asks, &second.key));
    assert_eq!((&new["sub"], new.get("exp")), (&json!(first.id), None), "{new}");
    jeton.advance(Duration::from_secs(61));
    expect_inactive(&ask(&jeton.client(), &asks, &first.key));
    assert_eq!(state(&ask(&jeton.client(), &asks, &second.key))["active"], true);
}

#[both_databases]
fn callers_prove_themselves_in_five_ways(jeton: Jeton) {
    let tenant = jeton.tenant();
    let (key, token) = (tenant.api_key([SCOPE]), tenant.api_key([]).key);
    let form = [("token", &*token), ("client_id", &*key.id), ("client_secret", &*key.key)];
    let post = || jeton.post(PATH);
    for answer in [
        post().basic(&key.id, &key.key).form(&form[..1]),
        post().basic(&key.id, &key.key).tenant(&tenant.id).form(&form[..2]),
        post().form(&form),
        post().bearer(&key.key).form(&form[..1]),
        post().bearer(&key.token()).form(&form[..1]),
        post().bearer(tenant.admin().token()).form(&form[..1]),
    ] {
        assert_eq!(state(&answer)["active"], true, "{}", answer.told());
    }
}

#[both_databases]
fn nobody_else_is_answered(jeton: Jeton) {
    let tenant = jeton.tenant();
    let (key, other, revoked) = (tenant.api_key([SCOPE]), tenant.api_key([SCOPE]), tenant.api_key([SCOPE]));
    let token_of_revoked = revoked.token();
    tenant.admin().revoke(&revoked).expect_status(204);
    let session = tenant.user("admin").session();
    let ended = tenant.user("admin").session();
    ended.logout().expect_status(204);
    let post = || jeton.post(PATH);
    let token = ("token", &*key.key);
    let refused = |answer: Answer, scheme: &str| {
        let answer = answer.expect_oauth_error(401, "invalid_client");
        let challenge = answer.header("www-authenticate").unwrap_or_default();
        assert!(challenge.starts_with(scheme), "RFC 6749 section 5.2, RFC 7662 section 2.3: {}", answer.told());
        challenge.to_owned()
    };
    for answer in [
        post().form(&[token]),
        post().basic(&other.id, &key.key).form(&[token]),
        post().basic(&key.id, "").form(&[token]),
        post().basic("no-uuid", &key.key).form(&[token]),
        post().basic(&revoked.id, &revoked.key).form(&[token]),
        post().header("Authorization", "Basic !!!").form(&[token]),
        post().form(&[token, ("client_id", &key.id)]),
        post().form(&[token, ("client_id", "jeton-login")]),
        post().form(&[token, ("client_secret", &key.key)]),
        post().header("Authorization", &format!("Token {}", key.key)).form(&[token]),
        post().basic(&key.id, &key.key).tenant(&jeton.tenant().id).form(&[token]),
    ] {
        refused(answer, "Basic");
    }
    for answer in [
        post().bearer("nonsense").form(&[token]),
        post().bearer(&revoked.key).form(&[token]),
        post().bearer(&token_of_revoked).form(&[token]),
        post().bearer(&session.refresh_token).form(&[token]),
        post().bearer(&ended.access_token).form(&[token]),
        post().bearer(&format!("{}A", session.access_token)).form(&[token]),
        post().bearer(&session.access_token).tenant(&jeton.tenant().id).form(&[token]),
    ] {
        let challenge = refused(answer, "Bearer");
        assert!(challenge.contains(r#"error="invalid_token""#), "RFC 6750 section 3: {challenge}");
    }
}

#[both_databases]
fn a_caller_needs_the_scope(jeton: Jeton) {
    let tenant = jeton.tenant();
    let key = tenant.api_key(["tokens:introspection", "users:read"]);
    let narrowed = tenant.api_key([SCOPE, "a:b"]).exchange_for(json!({"scope": "a:b"}));
    let token = ("token", &*key.key);
    let post = || jeton.post(PATH);
    for answer in [
        post().basic(&key.id, &key.key).form(&[token]),
        post().bearer(&key.key).form(&[token]),
        post().bearer(&key.token()).form(&[token]),
        post().bearer(&narrowed.expect_tokens().text("access_token")).form(&[token]),
        post().bearer(tenant.user("member").token()).form(&[token]),
    ] {
        let answer = answer.expect_oauth_error(403, "insufficient_scope");
        let challenge = answer.header("www-authenticate").unwrap_or_default();
        let told = challenge.starts_with("Bearer") && challenge.contains(r#"scope="tokens:introspect""#);
        assert!(told && challenge.contains(r#"error="insufficient_scope""#), "RFC 6750 section 3: {challenge}");
    }
}

#[both_databases]
fn a_token_for_another_audience_asks_nothing_and_is_told(jeton: Jeton) {
    let jeton = jeton.with("tokens.audience", r#"["api", {name="edge",algorithm="EdDSA"}]"#);
    let tenant = jeton.tenant();
    let key = tenant.api_key([SCOPE]);
    let token = key.exchange_for(json!({"audience": "edge"})).expect_tokens().text("access_token");
    let told = state(&ask(&jeton.client(), &key, &token));
    assert_eq!((&told["active"], &told["aud"]), (&json!(true), &json!("edge")));
    let answer = jeton.post(PATH).bearer(&token).form(&[("token", &token)]);
    answer.expect_oauth_error(401, "invalid_client");
    jeton.get("/api/v1/auth/me").bearer(&token).send().expect_problem(401, "invalid_token");

    jeton.set("tokens.audience", r#"["api"]"#);
    jeton.restart();
    expect_inactive(&ask(&jeton.client(), &key, &token));
}

#[both_databases]
fn another_tenants_tokens_are_as_none(jeton: Jeton) {
    let (tenant, foreign) = (jeton.tenant(), jeton.tenant());
    let (key, session) = (foreign.api_key([SCOPE]), foreign.user("admin").session());
    let tokens = [&key.key, &key.token(), &session.access_token, &session.refresh_token];
    let operator = jeton.operator();
    let ask = caller(&jeton, &tenant);
    for token in tokens {
        expect_inactive(&ask(token));
        for admin in [tenant.admin(), &operator] {
            expect_inactive(&jeton.post(PATH).bearer(admin.token()).form(&[("token", token)]));
        }
    }
}

#[both_databases]
fn what_is_no_token_is_inactive(jeton: Jeton) {
    let tenant = jeton.tenant();
    let session = tenant.user("admin").session();
    let ask = caller(&jeton, &tenant);
    let cut = |text: &str| text[..text.len() - 1].to_owned();
    let [header, claims, signature] = {
        let mut parts = session.access_token.split('.');
        [(); 3].map(|()| parts.next().unwrap().to_owned())
    };
    for token in [
        "unknown",
        "jrt_",
        "jrt_é",
        "jtn_live_00000000000000000000000000000000",
        "a.b.c",
        "..",
        &cut(&session.refresh_token),
        &cut(&session.access_token),
        &format!("{header}.{claims}."),
        &format!("{claims}.{header}.{signature}"),
        &session.id(),
        &"x".repeat(30_000),
        &format!("{}.{}.x", "x".repeat(20_000), "y".repeat(20_000)),
    ] {
        expect_inactive(&ask(token));
    }
}

#[both_databases]
fn what_is_dead_is_inactive_on_every_server_at_once(jeton: Jeton) {
    let tenant = jeton.tenant();
    let asks = tenant.api_key([SCOPE]);
    let (_server, elsewhere) = jeton.second();
    let member = || tenant.user("member");
    let dies = |tokens: &[&str], end: &dyn Fn()| {
        for client in [jeton.client(), elsewhere.clone()] {
            for token in tokens {
                assert_eq!(state(&ask(&client, &asks, token))["active"], true);
            }
        }
        end();
        for client in [jeton.client(), elsewhere.clone()] {
            for token in tokens {
                expect_inactive(&ask(&client, &asks, token));
            }
        }
    };
    let both = |session: &Session| [session.access_token.clone(), session.refresh_token.clone()];

    let key = tenant.api_key(["a:b"]);
    dies(&[&key.key, &key.token()], &|| drop(tenant.admin().revoke(&key).expect_status(204)));
    let session = member().session();
    let [access, refresh] = both(&session);
    dies(&[&access, &refresh], &|| drop(session.logout().expect_status(204)));
    let session = member().session();
    let [access, refresh] = both(&session);
    dies(&[&access, &refresh], &|| drop(jeton.post("/oauth2/revoke").form(&[("token", &refresh)]).expect_status(200)));
    let user = member();
    let [access, refresh] = both(&user.session());
    dies(&[&access, &refresh], &|| drop(jeton.cli(["user", "disable", &user.email]).expect_code(0)));
    let user = member();
    let [access, refresh] = both(&user.session());
    let path = tenant.path(&format!("users/{}", user.id));
    dies(&[&access, &refresh], &|| drop(tenant.admin().delete(&path).expect_status(204)));
}

#[both_databases]
fn what_has_expired_is_inactive(jeton: Jeton) {
    let tenant = jeton.tenant();
    let session = tenant.user("member").session();
    let token = tenant.api_key([]).token();
    let ask = caller(&jeton, &tenant);
    jeton.advance(Duration::from_mins(31));
    for expired in [&session.access_token, &token] {
        expect_inactive(&ask(expired));
    }
    assert_eq!(state(&ask(&session.refresh_token))["active"], true);
    jeton.advance(Duration::from_hours(30 * 24));
    expect_inactive(&ask(&session.refresh_token));
}

#[both_databases]
fn scopes_and_roles_are_those_of_today(jeton: Jeton) {
    let tenant = jeton.tenant();
    let (user, ask) = (tenant.user("admin"), caller(&jeton, &tenant));
    let session = user.session();
    tenant.admin().patch(tenant.path(&format!("users/{}", user.id)), json!({"role": "member"})).expect_status(200);
    let told = state(&ask(&session.access_token));
    assert_eq!((&told["scope"], &told["roles"]), (&json!(""), &json!(["member"])), "{told}");
    assert_eq!(state(&ask(&session.refresh_token))["scope"], "");
    jeton
        .post(PATH)
        .bearer(&session.access_token)
        .form(&[("token", "x")])
        .expect_oauth_error(403, "insufficient_scope");
}

#[both_databases]
fn a_key_that_asks_follows_the_rules_of_every_use(jeton: Jeton) {
    let plans = "[limits]\nrequests_per_minute = 4\n[[plans]]\nname = \"free\"\ntitle = \"Free\"\napi_keys = false\n\
                 [[plans]]\nname = \"pro\"\ntitle = \"Pro\"\n";
    let jeton = with_profile(jeton, &format!("{PROFILE}\n{plans}"));
    let tenant = jeton.tenant_with(&["--plan", "pro"]);
    let key = |ips: &[&str]| tenant.api_key_with(json!({"access_type": "wide", "scopes": [SCOPE], "allowed_ips": ips}));
    let (asks, other) = (key(&[]), key(&[]));
    let token = other.token();
    let both = || {
        let basic = ask(&jeton.client(), &asks, "x");
        [basic, jeton.post(PATH).bearer(&token).form(&[("token", "x")])]
    };

    ask(&jeton.client(), &key(&["203.0.113.0/24"]), "x").expect_oauth_error(401, "invalid_client");
    jeton.cli(["tenant", "set-plan", &tenant.id, "free"]).expect_code(0);
    for refused in both() {
        refused.expect_oauth_error(401, "invalid_client");
    }
    jeton.cli(["tenant", "set-plan", &tenant.id, "pro"]).expect_code(0);
    for left in [3, 2, 1] {
        let [basic, _] = both();
        expect_inactive(&basic);
        let rate = basic.header("ratelimit").unwrap_or_default();
        assert!(rate.starts_with(&format!("\"key\";r={left};t=")), "{rate}");
        assert_eq!(basic.header("ratelimit-policy"), Some("\"key\";q=4;w=60"));
    }
    expect_inactive(&both()[0]);
    for limited in both() {
        let limited = limited.expect_oauth_error(429, "temporarily_unavailable");
        assert!(limited.header("retry-after").is_some());
    }
    jeton.advance(Duration::from_mins(2));
    tenant.suspend();
    for refused in both() {
        refused.expect_oauth_error(401, "invalid_client");
    }
}

#[both_databases]
fn a_question_is_a_use_of_the_key_and_a_refused_one_is_remembered(jeton: Jeton) {
    let tenant = jeton.tenant();
    let (key, powerless) = (tenant.api_key([SCOPE, "a:b"]), tenant.api_key([]));
    expect_inactive(&ask(&jeton.client(), &key, "x"));
    ask(&jeton.client(), &powerless, "x").expect_oauth_error(403, "insufficient_scope");
    let token = powerless.token();
    jeton.post(PATH).bearer(&token).form(&[("token", "x")]).expect_oauth_error(403, "insufficient_scope");
    ask(&jeton.client(), &key.forged("jtn_live_0"), "x").expect_oauth_error(401, "invalid_client");
    jeton.restart();

    let usage = |key: &ApiKey| tenant.admin().get(format!("{}/usage", key.path())).expect_status(200).json();
    let told = usage(&key);
    assert_eq!((&told["exchanges"], &told["scopes"]["unused"]), (&json!(1), &json!(["a:b"])), "{told}");
    assert_eq!(usage(&powerless)["refusals"], json!({"insufficient_scope": 2}));
    let refused = |outcome: &str| {
        let rows = jeton.audit();
        rows.iter().filter(|row| row.action == "api_key.refused" && row.outcome == outcome).count()
    };
    assert_eq!((refused("insufficient_scope"), refused("invalid_api_key")), (2, 1));
}

#[both_databases]
fn a_key_whose_access_type_is_gone_is_inactive(jeton: Jeton) {
    let jeton = with_profile(jeton, PROFILE);
    let tenant = jeton.tenant();
    let asks = tenant.api_key_with(json!({"access_type": "wide", "scopes": [SCOPE]}));
    let key = tenant.api_key_with(json!({"access_type": "narrow", "scopes": ["a:read"]}));
    assert_eq!(state(&ask(&jeton.client(), &asks, &key.key))["active"], true);
    let text = PROFILE.replace("[access_types.narrow]", "[access_types.other]");
    std::fs::write(jeton.folder().join("acme.toml"), text).unwrap();
    jeton.restart();
    expect_inactive(&ask(&jeton.client(), &asks, &key.key));
}

#[both_databases]
fn a_hint_is_a_hint(jeton: Jeton) {
    let tenant = jeton.tenant();
    let (key, session) = (tenant.api_key([SCOPE]), tenant.user("member").session());
    for token in [&key.key, &key.token(), &session.access_token, &session.refresh_token] {
        for hint in ["access_token", "refresh_token", "nonsense", ""] {
            let form = [("token", &**token), ("token_type_hint", hint)];
            let answer = jeton.post(PATH).basic(&key.id, &key.key).form(&form);
            assert_eq!(state(&answer)["active"], true, "{hint}: {}", answer.told());
        }
    }
}

#[both_databases]
fn a_question_that_says_two_things_is_refused(jeton: Jeton) {
    let tenant = jeton.tenant();
    let key = tenant.api_key([SCOPE]);
    let token = ("token", &*key.key);
    let client = [("client_id", &*key.id), ("client_secret", &*key.key)];
    let basic = || jeton.post(PATH).basic(&key.id, &key.key);
    for answer in [
        basic().form(&[token, token]),
        basic().form(&[token, ("token_type_hint", "a"), ("token_type_hint", "a")]),
        basic().form(&[]),
        basic().form(&[("token", "")]),
        basic().form(&[token, client[1]]),
        jeton.post(PATH).form(&[token, client[0], client[0], client[1]]),
        jeton.post(PATH).bearer(&key.key).form(&[token, client[0], client[1]]),
        jeton.post(PATH).bearer(tenant.admin().token()).form(&[token, client[0]]),
        jeton.post(format!("{PATH}?token={}", key.key)).basic(&key.id, &key.key).form(&[token]),
    ] {
        answer.expect_oauth_error(400, "invalid_request");
    }
    jeton.get(PATH).send().expect_problem(405, "method_not_allowed");
}

/// The database goes away: only PostgreSQL can.
#[test]
fn what_cannot_be_looked_up_is_not_called_dead() {
    let Some(jeton) = Jeton::on_postgres() else { return };
    let tenant = jeton.tenant();
    let key = tenant.api_key([SCOPE]);
    let Database::Postgres { cluster, name } = jeton.database() else { panic!("it is PostgreSQL") };
    cluster.run(&format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false"));
    cluster.run(&format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"));
    let refused = ask(&jeton.client(), &key, &key.key).expect_oauth_error(503, "temporarily_unavailable");
    assert!(refused.header("retry-after").is_some());
    jeton.post("/oauth2/revoke").form(&[("token", &key.key)]).expect_oauth_error(503, "temporarily_unavailable");
    cluster.run(&format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true"));
}
