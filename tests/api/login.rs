//! `POST /api/v1/auth/login` (contract 4.1), and the access token that it gives (contract 3).

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use jeton_test_macros::both_databases;
use serde_json::{Value, json};

use crate::forward_auth::{ask, expect_admitted};
use crate::harness::{Answer, Jeton, Jwt, Session, at_once, create_user, unique};

const ADMIN_SCOPE: &str = "api-keys:read api-keys:write audit:read tokens:introspect trusted-issuers:read \
                           trusted-issuers:write users:read users:write";

/// At most so many measurements: the most failures in a row that can be configured.
const ROUNDS: usize = 100;

#[both_databases]
fn a_login_gives_the_token_answer(jeton: Jeton) {
    let tenant = jeton.tenant();
    let answer = tenant.admin().login().expect_scope(ADMIN_SCOPE);
    let tokens = answer.json();

    assert_eq!(tokens["expires_in"], 1800);
    assert_eq!(tokens["refresh_token_expires_in"], 2_592_000);
    assert_eq!(tokens["tenant_id"], *tenant.id);
    let refresh_token = tokens["refresh_token"].as_str().unwrap();
    assert!(refresh_token.starts_with("jrt_"));
    assert!(refresh_token.len() >= "jrt_".len() + 43, "at least 256 bits");
    let members: BTreeSet<_> = tokens.as_object().unwrap().keys().map(String::as_str).collect();
    let promised =
        ["access_token", "token_type", "expires_in", "refresh_token", "refresh_token_expires_in", "scope", "tenant_id"];
    assert_eq!(members, promised.into());
}

#[both_databases]
fn an_access_token_follows_rfc_9068(jeton: Jeton) {
    let user = jeton.tenant().user("member");
    let session = user.session();
    let jwt = jeton.verified(&session.access_token);

    let header: BTreeSet<_> = jwt.header.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(header, ["alg", "kid", "typ"].into());
    assert_eq!((&jwt.header["typ"], &jwt.header["alg"]), (&json!("at+jwt"), &json!("ES256")));

    assert_eq!(jwt.text("iss"), "https://jeton.test");
    assert_eq!(jwt.text("sub"), user.id);
    assert!(jwt.claims["aud"] == "api" || jwt.claims["aud"] == json!(["api"]), "{}", jwt.claims);
    assert_eq!(jwt.text("client_id"), "jeton-login");
    assert_eq!(jwt.text("tenant_id"), user.tenant_id);
    assert_eq!(jwt.text("scope"), "");
    assert_eq!(jwt.claims["roles"], json!(["member"]));
    assert_eq!(jwt.number("exp") - jwt.number("iat"), 1800);
    assert!((jwt.number("iat") - jeton.now()).abs() <= 5);
    assert!((jwt.number("auth_time") - jwt.number("iat")).abs() <= 5);
    assert!(jwt.claims["amr"].as_array().is_some_and(|methods| !methods.is_empty()));
    assert!(uuid::Uuid::parse_str(jwt.text("sid")).is_ok());
    assert_eq!(jwt.claims["nbf"], Value::Null);

    let claims = jwt.claims.to_string();
    for never in [&user.email, &session.refresh_token] {
        assert!(!claims.contains(never.as_str()), "never a secret, an e-mail address or a name: {claims}");
    }
}

#[both_databases]
fn the_configured_lifetimes_hold(jeton: Jeton) {
    let jeton = jeton.with("tokens.access_ttl", "10m").with("tokens.refresh_ttl", "7d");
    let tokens = jeton.tenant().user("member").login().expect_tokens();
    assert_eq!(
        (&tokens.json()["expires_in"], &tokens.json()["refresh_token_expires_in"]),
        (&json!(600), &json!(604_800))
    );
    let jwt = jeton.verified(&tokens.text("access_token"));
    assert_eq!(jwt.number("exp") - jwt.number("iat"), 600);
}

/// Each refresh gives the session as long again.
#[both_databases]
fn an_access_token_never_outlives_its_session(jeton: Jeton) {
    let jeton = jeton.with("tokens.access_ttl", "30m").with("tokens.refresh_ttl", "10m");
    let jeton = jeton.with("tokens.session_ttl", "15m").with("profile", "engium");
    let login = jeton.tenant().user("member").login().expect_tokens();
    let ends = |answer: &Answer, most: i64| {
        let (body, jwt) = (answer.json(), jeton.verified(&answer.text("access_token")));
        let lasts = jwt.number("exp") - jwt.number("iat");
        assert!((most - 5..=most).contains(&lasts), "{}", answer.told());
        assert_eq!(body["expires_in"], lasts, "{}", answer.told());
        assert!(body["refresh_token_expires_in"].as_i64().is_some_and(|session| session >= lasts - 1));
        jwt.number("exp")
    };
    let end = ends(&login, 600);
    let tenant = login.text("tenant_id");
    let passed = ask(&jeton, "GET", "/api/v1/bookings").bearer(&login.text("access_token")).tenant(&tenant).send();
    assert_eq!(expect_admitted(passed).1.number("exp"), end);
    jeton.advance(Duration::from_mins(8));
    let again = Session::of(&jeton, &login).refresh().expect_tokens();
    assert!(ends(&again, 420) > end);
}

#[both_databases]
fn no_two_tokens_have_the_same_jti(jeton: Jeton) {
    let user = jeton.tenant().user("member");
    let ids: BTreeSet<_> = (0..5).map(|_| Jwt::parse(&user.session().access_token).text("jti").to_owned()).collect();
    assert_eq!(ids.len(), 5);
}

#[both_databases]
fn an_address_is_compared_case_insensitively(jeton: Jeton) {
    let user = jeton.tenant().user("member");
    let answer = user.login_with(json!({"email": user.email.to_uppercase()})).expect_tokens();
    assert_eq!(Jwt::parse(&answer.text("access_token")).text("sub"), user.id);
}

#[both_databases]
fn a_password_is_compared_whole_and_as_it_is(jeton: Jeton) {
    let user = jeton.tenant().user("member");
    for close in [user.password.to_lowercase(), format!("{} ", user.password), user.password[..25].to_owned()] {
        user.login_with(json!({"password": close})).expect_problem(401, "invalid_credentials");
    }
}

#[both_databases]
fn nobody_learns_why_a_login_is_refused(jeton: Jeton) {
    let (tenant, elsewhere) = (jeton.tenant(), jeton.tenant());
    let (user, disabled) = (tenant.user("member"), tenant.user("member"));
    jeton.cli(["user", "disable", &disabled.email]).expect_code(0);

    let refusals = [
        user.login_with(json!({"email": "nobody@example.com"})),
        user.login_with(json!({"password": "not-the-right-password"})),
        user.login_with(json!({"password": ""})),
        user.login_with(json!({"tenant_id": elsewhere.id})),
        user.login_with(json!({"tenant_id": elsewhere.id, "password": "not-the-right-password"})),
        user.login_with(json!({"tenant_id": uuid::Uuid::nil()})),
        disabled.login(),
    ];
    let bodies: BTreeSet<String> = refusals.into_iter().map(refusal_without_its_id).collect();
    assert_eq!(bodies.len(), 1, "one and the same answer: {bodies:#?}");
}

#[both_databases]
fn nobody_learns_by_the_time_why_a_login_is_refused(jeton: Jeton) {
    // The real cost of a hash, so that a hash left out would be seen.
    let jeton = jeton.with("password.argon2.memory_kib", "19456").with("password.argon2.iterations", "2");
    let jeton = with_patience(jeton);
    let tenant = jeton.tenant();
    let (user, other, disabled) = (tenant.user("member"), tenant.user("member"), tenant.user("member"));
    jeton.cli(["user", "disable", &disabled.email]).expect_code(0);
    expect_the_same_time(&[
        &|| user.login_with(json!({"password": "not-the-right-password"})),
        &|| user.login_with(json!({"email": "nobody@example.com"})),
        &|| other.login_with(json!({"tenant_id": uuid::Uuid::nil()})),
        &|| disabled.login(),
    ]);
}

#[both_databases]
fn nobody_learns_by_the_time_after_the_cost_of_a_hash_was_raised_either(jeton: Jeton) {
    let jeton = jeton.with("password.argon2.memory_kib", "9728").with("password.argon2.iterations", "1");
    let jeton = with_patience(jeton);
    let tenant = jeton.tenant();
    let (user, other, elsewhere) = (tenant.user("member"), tenant.user("member"), tenant.user("member"));
    jeton.set("password.argon2.memory_kib", "19456");
    jeton.set("password.argon2.iterations", "3");
    jeton.restart();
    expect_the_same_time(&[
        &|| user.login_with(json!({"password": "not-the-right-password"})),
        &|| user.login_with(json!({"email": "nobody@example.com"})),
        &|| other.login_with(json!({"password": "not-the-right-password"})),
        &|| elsewhere.login_with(json!({"tenant_id": uuid::Uuid::nil()})),
    ]);
}

#[both_databases]
fn a_suspended_tenant_is_told_only_to_those_who_know_the_password(jeton: Jeton) {
    let tenant = jeton.tenant();
    let user = tenant.user("member");
    tenant.suspend();

    user.login_with(json!({"password": "not-the-right-password"})).expect_problem(401, "invalid_credentials");
    user.login().expect_problem(403, "tenant_suspended");
    jeton.cli(["tenant", "resume", &tenant.id]).expect_code(0);
    user.login().expect_tokens();
}

#[both_databases]
fn a_user_of_one_tenant_need_not_name_it_but_may(jeton: Jeton) {
    let tenant = jeton.tenant();
    let user = tenant.user("member");
    user.login_with(json!({"tenant_id": tenant.id})).expect_tokens();
    let body = json!({"email": user.email, "password": user.password});
    jeton.post("/api/v1/auth/login").tenant(&tenant.id).json(body).expect_tokens();
}

#[both_databases]
fn a_user_of_several_tenants_must_choose(jeton: Jeton) {
    let (first, second) = (jeton.tenant(), jeton.tenant());
    let user = first.user("member");
    second.admin().post(second.path("users"), json!({"email": user.email, "role": "admin"})).expect_status(201);

    let refused = user.login().expect_problem(400, "tenant_required").json();
    let offered = refused["tenants"].as_array().expect("`tenants` to choose from");
    let ids: BTreeSet<_> = offered.iter().map(|tenant| tenant["id"].as_str().unwrap()).collect();
    assert_eq!(ids, [first.id.as_str(), second.id.as_str()].into());

    let wrong = user.login_with(json!({"password": "not-the-right-password"}));
    let wrong = wrong.expect_problem(401, "invalid_credentials");
    assert_eq!(wrong.json()["tenants"], Value::Null, "only after the password was right");

    let answer = user.login_with(json!({"tenant_id": second.id})).expect_scope(ADMIN_SCOPE);
    assert_eq!(answer.text("tenant_id"), second.id);
    let body = json!({"email": user.email, "password": user.password});
    let answer = jeton.post("/api/v1/auth/login").tenant(&first.id).json(body).expect_scope("");
    assert_eq!(Jwt::parse(&answer.text("access_token")).text("tenant_id"), first.id);
}

#[both_databases]
fn header_and_body_must_name_the_same_tenant(jeton: Jeton) {
    let (first, second) = (jeton.tenant(), jeton.tenant());
    let user = first.user("member");
    let body = json!({"email": user.email, "password": user.password, "tenant_id": first.id});
    let answer = jeton.post("/api/v1/auth/login").tenant(&second.id).json(body);
    assert!((400..500).contains(&answer.status), "they do not agree: {}", answer.told());
}

#[both_databases]
fn an_operator_has_the_server_wide_scope(jeton: Jeton) {
    let operator = jeton.operator();
    let scope = operator.login().expect_tokens().text("scope");
    assert!(scope.split(' ').any(|scope| scope == "tenants:write"), "{scope}");
}

#[both_databases]
fn a_weak_hash_is_made_anew_at_the_next_login(jeton: Jeton) {
    let user = jeton.tenant().user("member");
    assert!(text_of(&jeton.dump()).contains("$argon2id$v=19$m=64,t=1,p=1$"));

    jeton.set("password.argon2.memory_kib", "128");
    jeton.set("password.argon2.iterations", "2");
    jeton.restart();
    user.login_with(json!({"tenant_id": uuid::Uuid::nil()})).expect_problem(401, "invalid_credentials");
    assert!(!text_of(&jeton.dump()).contains("$argon2id$v=19$m=128,t=2,p=1$"));
    user.session();
    assert!(text_of(&jeton.dump()).contains("$argon2id$v=19$m=128,t=2,p=1$"));
    user.session();
}

/// Each of them finds the weak hash, and one of them is the first to put another in its place.
#[both_databases]
fn a_weak_hash_is_made_anew_by_logins_at_once_and_none_of_them_fails(jeton: Jeton) {
    let tenant = jeton.tenant();
    let users: Vec<_> = (0..5).map(|_| create_user(&jeton, &tenant.id, "member", &[])).collect();
    jeton.set("password.argon2.memory_kib", "128");
    jeton.set("password.argon2.iterations", "2");
    jeton.restart();
    for user in users {
        at_once(6, |_| user.login().expect_tokens());
    }
}

#[both_databases]
fn long_passwords_are_taken_whole(jeton: Jeton) {
    let tenant = jeton.tenant();
    let password = "Ünïcode paß phräse, quite löng ".repeat(4);
    let email = format!("{}@example.com", unique("long"));
    let arguments = ["user", "create", "--email", &email, "--tenant", &tenant.id, "--password-stdin"];
    jeton.cli_with_stdin(arguments, Some(&password)).expect_code(0);

    let login = |password: &str| jeton.post("/api/v1/auth/login").json(json!({"email": email, "password": password}));
    login(&password).expect_tokens();
    let cut: String = password.chars().take(72).collect();
    login(&cut).expect_problem(401, "invalid_credentials");
    let all_but_one: String = password.chars().take(password.chars().count() - 1).collect();
    login(&all_but_one).expect_problem(401, "invalid_credentials");
}

#[both_databases]
fn a_login_names_every_field_that_is_wrong(jeton: Jeton) {
    let login = |body: Value| jeton.post("/api/v1/auth/login").json(body);
    login(json!({"password": "x"})).expect_field("email");
    login(json!({"email": "a@example.com"})).expect_field("password");
    login(json!({"email": "a@example.com", "password": 12})).expect_field("password");
    login(json!({"email": "a@example.com", "password": "x", "tenant_id": "no uuid"})).expect_field("tenant_id");
    login(json!({"email": "a@example.com", "password": "x", "role": "admin"})).expect_field("role");
}

fn refusal_without_its_id(answer: Answer) -> String {
    let mut problem = answer.expect_problem(401, "invalid_credentials").json();
    problem.as_object_mut().unwrap().remove("request_id");
    problem.to_string()
}

/// As many failures as are needed to measure: each of what is compared has an account of its own.
fn with_patience(jeton: Jeton) -> Jeton {
    jeton.with("login.account_failures", &ROUNDS.to_string()).with("login.address_failures", "0")
}

/// All of these are refused, and the quickest answers of each are about as quick.
#[track_caller]
fn expect_the_same_time(logins: &[&dyn Fn() -> Answer]) {
    let mut quickest = vec![Duration::MAX; logins.len()];
    let is_alike = |quickest: &[Duration]| {
        let (least, most) = (quickest.iter().min().unwrap(), quickest.iter().max().unwrap());
        // Where nothing was measured yet, nothing is alike.
        *most < Duration::MAX && *least * 3 > *most * 2
    };
    for round in 0..ROUNDS {
        if round > 5 && is_alike(&quickest) {
            break;
        }
        // In turns, so that a busy machine is busy for all of them; the quickest is the nearest to the truth.
        for (login, quickest) in logins.iter().zip(&mut quickest) {
            let start = Instant::now();
            let answer = login();
            if answer.status == 503 {
                // A machine that is too busy for a hash says so whatever is wrong.
                continue;
            }
            answer.expect_problem(401, "invalid_credentials");
            *quickest = start.elapsed().min(*quickest);
        }
    }
    assert!(is_alike(&quickest), "the same time: {quickest:?}");
}

fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
