//! `POST /oauth2/token`: three grants, answers and errors by RFC 6749 section 5 (contract 4.3).

use jeton_test_macros::both_databases;
use serde_json::Value;

use crate::harness::{Answer, Jeton};

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const API_KEY: &str = "urn:jeton:params:oauth:token-type:api-key";

fn token(jeton: &Jeton, fields: &[(&str, &str)]) -> Answer {
    jeton.post("/oauth2/token").form(fields)
}

#[both_databases]
fn client_credentials_by_basic_or_by_form(jeton: Jeton) {
    let tenant = jeton.tenant();
    let key = tenant.api_key(["goals:read", "sites:read"]);
    let grant = ("grant_type", "client_credentials");

    let basic = jeton.post("/oauth2/token").basic(&key.id, &key.key).form(&[grant]);
    let basic = basic.expect_scope("goals:read sites:read");
    assert_eq!(basic.json()["expires_in"], 900);
    let jwt = jeton.verified(&basic.text("access_token"));
    assert_eq!((jwt.text("sub"), jwt.text("tenant_id")), (&*key.id, &*tenant.id));
    assert_eq!(basic.json()["refresh_token"], Value::Null, "RFC 6749 section 4.4.3");

    let form = [grant, ("client_id", &key.id), ("client_secret", &key.key), ("scope", "goals:read")];
    token(&jeton, &form).expect_scope("goals:read");
}

#[both_databases]
fn a_client_that_is_not_who_it_says_is_refused(jeton: Jeton) {
    let tenant = jeton.tenant();
    let (key, other, revoked) = (tenant.api_key([]), tenant.api_key([]), tenant.api_key([]));
    tenant.admin().revoke(&revoked).expect_status(204);
    let grant = ("grant_type", "client_credentials");

    for (id, secret) in [
        (&*other.id, &*key.key),
        (&*key.id, "jtn_live_00000000000000000000000000000000"),
        (&*key.id, ""),
        ("", &*key.key),
        ("no-uuid", &*key.key),
        (&*revoked.id, &*revoked.key),
    ] {
        let basic = jeton.post("/oauth2/token").basic(id, secret).form(&[grant]);
        let basic = basic.expect_oauth_error(401, "invalid_client");
        assert!(basic.header("www-authenticate").is_some_and(|challenge| challenge.starts_with("Basic")));
        let form = [grant, ("client_id", id), ("client_secret", secret)];
        token(&jeton, &form).expect_oauth_error(401, "invalid_client");
    }
    token(&jeton, &[grant]).expect_oauth_error(401, "invalid_client");
    let garbage = jeton.post("/oauth2/token").header("Authorization", "Basic !!!").form(&[grant]);
    garbage.expect_oauth_error(401, "invalid_client");
}

#[both_databases]
fn a_client_uses_one_way_to_authenticate(jeton: Jeton) {
    let key = jeton.tenant().api_key([]);
    let form = [("grant_type", "client_credentials"), ("client_id", &*key.id), ("client_secret", &*key.key)];
    let answer = jeton.post("/oauth2/token").basic(&key.id, &key.key).form(&form);
    answer.expect_oauth_error(400, "invalid_request");
}

#[both_databases]
fn a_refresh_token_is_a_grant_by_the_same_rules(jeton: Jeton) {
    let user = jeton.tenant().user("admin");
    let session = user.session();
    let refresh =
        |token: &str| jeton.post("/oauth2/token").form(&[("grant_type", "refresh_token"), ("refresh_token", token)]);
    let second = refresh(&session.refresh_token).expect_tokens();
    assert_eq!(second.text("scope"), crate::harness::Jwt::parse(&session.access_token).text("scope"));
    let again = refresh(&session.refresh_token).expect_tokens();
    assert_eq!(again.text("refresh_token"), second.text("refresh_token"), "the predecessor converges");

    let third = refresh(&second.text("refresh_token")).expect_tokens();
    refresh(&session.refresh_token).expect_oauth_error(400, "invalid_grant");
    refresh(&third.text("refresh_token")).expect_oauth_error(400, "invalid_grant");
    for wrong in ["jrt_nonsense", "", &session.access_token] {
        let answer = refresh(wrong);
        assert!(["invalid_grant", "invalid_request"].contains(&&*answer.text("error")), "{}", answer.told());
        assert_eq!(answer.status, 400);
    }
}

#[both_databases]
fn client_credentials_that_are_sent_with_any_grant_must_be_right(jeton: Jeton) {
    let tenant = jeton.tenant();
    let (key, client) = (tenant.api_key(["a:b"]), tenant.api_key([]));
    let session = tenant.user("member").session();
    let refresh = [("grant_type", "refresh_token"), ("refresh_token", &*session.refresh_token)];
    let exchange = [("grant_type", EXCHANGE), ("subject_token", &*key.key), ("subject_token_type", API_KEY)];
    let basic =
        |id: &str, secret: &str, fields: &[(&str, &str)]| jeton.post("/oauth2/token").basic(id, secret).form(fields);
    for (id, secret) in [(&*client.id, &*key.key), ("jeton-login", "guessed"), ("", &*client.key), ("no-uuid", "")] {
        for fields in [&refresh[..], &exchange[..]] {
            let answer = basic(id, secret, fields).expect_oauth_error(401, "invalid_client");
            assert!(answer.header("www-authenticate").is_some_and(|challenge| challenge.starts_with("Basic")));
            if !secret.is_empty() {
                let form = [fields, &[("client_id", id), ("client_secret", secret)]].concat();
                token(&jeton, &form).expect_oauth_error(401, "invalid_client");
            }
        }
    }
    basic(&client.id, &client.key, &refresh).expect_oauth_error(400, "invalid_grant");
    basic(&client.id, &client.key, &exchange).expect_scope("a:b");
    token(&jeton, &[&exchange[..], &[("client_id", "my-service")]].concat()).expect_scope("a:b");
    token(&jeton, &[&refresh[..], &[("client_id", &*client.id)]].concat()).expect_oauth_error(400, "invalid_grant");
    basic("jeton-login", "", &refresh).expect_tokens();
    token(&jeton, &[&refresh[..], &[("client_id", "jeton-login")]].concat()).expect_tokens();
}

#[both_databases]
fn a_refresh_never_widens_the_scope(jeton: Jeton) {
    let session = jeton.tenant().user("admin").session();
    let refresh = |token: &str, scope: &str| {
        let fields = [("grant_type", "refresh_token"), ("refresh_token", token), ("scope", scope)];
        jeton.post("/oauth2/token").form(&fields)
    };
    refresh(&session.refresh_token, "tenants:write").expect_oauth_error(400, "invalid_scope");
    refresh(&session.refresh_token, "users:read").expect_scope("users:read");
}

#[both_databases]
fn an_api_key_is_exchanged_by_rfc_8693(jeton: Jeton) {
    let tenant = jeton.tenant();
    let key = tenant.api_key(["goals:read"]);
    let grant = [("grant_type", EXCHANGE), ("subject_token", &*key.key), ("subject_token_type", API_KEY)];
    let with = |more: &[(&str, &str)]| token(&jeton, &[&grant, more].concat());

    let answer = with(&[]).expect_scope("goals:read");
    assert_eq!(answer.text("issued_token_type"), "urn:ietf:params:oauth:token-type:access_token");
    assert_eq!((answer.header("cache-control"), answer.header("pragma")), (Some("no-store"), Some("no-cache")));
    assert_eq!(jeton.verified(&answer.text("access_token")).text("sub"), key.id);
    with(&[("scope", "goals:read"), ("audience", "api")]).expect_scope("goals:read");
    with(&[("audience", "elsewhere")]).expect_oauth_error(400, "invalid_target");
    let credentials = [("grant_type", "client_credentials"), ("client_id", &*key.id), ("client_secret", &*key.key)];
    for grant in [&grant[..], &credentials, &[("grant_type", "refresh_token")]] {
        let named = token(&jeton, &[grant, &[("resource", "https://api.example.com")]].concat());
        assert_eq!(named.expect_oauth_error(400, "invalid_target").header("pragma"), Some("no-cache"));
    }
    with(&[("scope", "goals:write")]).expect_oauth_error(400, "invalid_scope");
    with(&[("scope", "goals:read  goals:read")]).expect_oauth_error(400, "invalid_scope");

    let unknown = [("grant_type", EXCHANGE), ("subject_token", "jtn_live_0"), ("subject_token_type", API_KEY)];
    token(&jeton, &[&unknown[..], &[("audience", " api")]].concat()).expect_oauth_error(400, "invalid_target");
    let answer = token(&jeton, &unknown);
    assert!(["invalid_grant", "invalid_request"].contains(&&*answer.text("error")), "{}", answer.told());
    let foreign_type = "urn:ietf:params:oauth:token-type:jwt";
    let fields = [("grant_type", EXCHANGE), ("subject_token", &*key.key), ("subject_token_type", foreign_type)];
    token(&jeton, &fields).expect_oauth_error(400, "invalid_request");
    token(&jeton, &grant[..2]).expect_oauth_error(400, "invalid_request");
    token(&jeton, &[grant[0], grant[2]]).expect_oauth_error(400, "invalid_request");
}

#[both_databases]
fn a_dead_key_is_no_subject_token(jeton: Jeton) {
    let tenant = jeton.tenant();
    let key = tenant.api_key([]);
    tenant.admin().revoke(&key).expect_status(204);
    let fields = [("grant_type", EXCHANGE), ("subject_token", &*key.key), ("subject_token_type", API_KEY)];
    let answer = token(&jeton, &fields);
    assert_eq!(answer.status, 400, "{}", answer.told());
    assert!(["invalid_grant", "invalid_request"].contains(&&*answer.text("error")), "{}", answer.told());
}

#[both_databases]
fn never_a_password_grant(jeton: Jeton) {
    let user = jeton.tenant().user("member");
    let fields = [("grant_type", "password"), ("username", &*user.email), ("password", &*user.password)];
    token(&jeton, &fields).expect_oauth_error(400, "unsupported_grant_type");
    token(&jeton, &[("grant_type", "authorization_code")]).expect_oauth_error(400, "unsupported_grant_type");
    token(&jeton, &[("grant_type", "")]).expect_status(400);
    token(&jeton, &[("scope", "a:b")]).expect_oauth_error(400, "invalid_request");
    token(&jeton, &[]).expect_oauth_error(400, "invalid_request");
}

#[both_databases]
fn a_repeated_parameter_is_refused(jeton: Jeton) {
    let key = jeton.tenant().api_key(["a:b"]);
    let grant = ("grant_type", "client_credentials");
    let client = [("client_id", &*key.id), ("client_secret", &*key.key)];
    for twice in [grant, client[0], client[1], ("scope", "a:b")] {
        let fields = [&[grant, ("scope", "a:b")], &client[..], &[twice]].concat();
        token(&jeton, &fields).expect_oauth_error(400, "invalid_request");
    }
}

#[both_databases]
fn an_empty_parameter_is_absent_an_unknown_one_ignored_and_a_flood_refused(jeton: Jeton) {
    let key = jeton.tenant().api_key(["a:b"]);
    let basic = || jeton.post("/oauth2/token").basic(&key.id, &key.key);
    let grant = ("grant_type", "client_credentials");
    basic().form(&[grant, ("scope", ""), ("audience", ""), ("nonsense", "1")]).expect_scope("a:b");
    let names: Vec<_> = (0..40).map(|number| format!("x{number}")).collect();
    let mut flood = vec![grant];
    flood.extend(names.iter().map(|name| (name.as_str(), "1")));
    basic().form(&flood).expect_oauth_error(400, "invalid_request");
}

#[both_databases]
fn a_form_is_a_form(jeton: Jeton) {
    let key = jeton.tenant().api_key([]);
    let json = jeton.post("/oauth2/token").basic(&key.id, &key.key);
    let json = json.body("application/json", r#"{"grant_type":"client_credentials"}"#);
    assert!([400, 415].contains(&json.status), "{}", json.told());
    let not_text = jeton.post("/oauth2/token").basic(&key.id, &key.key);
    let not_text = not_text.body("application/x-www-form-urlencoded", b"grant_type=%ff%fe&scope=\xff".to_vec());
    assert_eq!(not_text.status, 400, "{}", not_text.told());
    let in_the_query =
        format!("/oauth2/token?grant_type=client_credentials&client_id={}&client_secret={}", key.id, key.key);
    assert!((400..500).contains(&jeton.post(in_the_query).send().status), "no secret in a URL");
}

#[both_databases]
fn a_scope_the_key_lacks_is_invalid(jeton: Jeton) {
    let key = jeton.tenant().api_key(["a:b"]);
    let ask = |scope: &str| {
        let fields = [("grant_type", "client_credentials"), ("scope", scope)];
        jeton.post("/oauth2/token").basic(&key.id, &key.key).form(&fields)
    };
    for scope in ["a:c", "a:b a:c", "a:b a:b", "a:b  a:b", "A:b", "*"] {
        ask(scope).expect_oauth_error(400, "invalid_scope");
    }
    ask("a:b").expect_scope("a:b");
}
