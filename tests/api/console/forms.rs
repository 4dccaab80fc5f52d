//! A form counts only from a page of ours that was made for this session (CSRF); what people type is text, never
//! markup.

use jeton_test_macros::both_databases;

use super::{Browser, form_token};
use crate::harness::Jeton;

const SIGN_OUT: &str = "/console/sign-out";

#[both_databases]
fn a_form_needs_the_token_of_its_session(jeton: Jeton) {
    let tenant = jeton.tenant();
    let (mut mine, mut other) = (Browser::of(&jeton, tenant.admin()), Browser::of(&jeton, tenant.admin()));
    let foreign = form_token(&other.get("/console/account"));
    let strangers = form_token(&Browser::new(&jeton).get("/console/sign-in"));

    for token in [foreign.as_str(), &strangers, "", "AAAA"] {
        let answer = mine.submit(SIGN_OUT, &[("form_token", token)]);
        assert_eq!(answer.status, 403, "{token}: {}", answer.told());
        assert!(answer.told().contains("out of date"), "{}", answer.told());
    }
    mine.submit(SIGN_OUT, &[]).expect_status(403);
    mine.get("/console/account").expect_status(200);

    mine.submit_on("/console/account", SIGN_OUT, &[]).expect_status(303);
}

#[both_databases]
fn a_form_comes_from_a_page_of_ours(jeton: Jeton) {
    let mut browser = Browser::of(&jeton, jeton.tenant().admin());
    let token = form_token(&browser.get("/console/account"));
    let fields = [("form_token", token.as_str())];
    for said in [
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Site", "same-site"),
        ("Sec-Fetch-Site", "none"),
        ("Origin", "https://evil.example"),
        ("Origin", "null"),
        ("X-Nothing", "at all"),
    ] {
        browser.submit_from(SIGN_OUT, &fields, said).expect_status(403);
        browser.get("/console/account").expect_status(200);
    }
    browser.submit_from(SIGN_OUT, &fields, ("Origin", "https://jeton.test")).expect_status(303);
}

/// Nobody signs somebody else's browser in as themselves.
#[both_databases]
fn signing_in_needs_the_token_of_the_browser(jeton: Jeton) {
    let user = jeton.tenant().user("member");
    let token = form_token(&Browser::new(&jeton).get("/console/sign-in"));
    let fields = [("form_token", token.as_str()), ("email", &user.email), ("password", &user.password)];

    let mut without = Browser::new(&jeton);
    without.submit("/console/sign-in", &fields).expect_status(403);
    let mut victim = Browser::new(&jeton);
    victim.get("/console/sign-in");
    victim.submit("/console/sign-in", &fields).expect_status(403);
    assert!(!victim.cookies.contains_key("__Host-jeton_refresh"));

    victim.sign_in(&user).expect_status(303);
}

#[both_databases]
fn a_form_has_no_field_that_nobody_asked_for(jeton: Jeton) {
    let mut browser = Browser::of(&jeton, jeton.tenant().admin());
    let session = browser.session();
    for smuggled in [&[("role", "admin")][..], &[("user_id", "1"), ("all", "yes")]] {
        browser.submit_on("/console/account", SIGN_OUT, smuggled).expect_status(422);
    }
    assert_eq!(browser.session(), session);
    browser.get("/console/account").expect_status(200);
    let json = jeton.post(SIGN_OUT).header("Cookie", &format!("__Host-jeton_refresh={session}"));
    json.header("Sec-Fetch-Site", "same-origin").json(serde_json::json!({})).expect_status(415);
}

#[both_databases]
fn names_are_text_and_never_markup(jeton: Jeton) {
    let markup = r#"<script>alert(1)</script>"'&<img src=x onerror=alert(1)>"#;
    jeton.start();
    let made = jeton.cli(["tenant", "create", "--name", markup, "--json"]).expect_code(0);
    let user = crate::harness::create_user(&jeton, &made.text("id"), "admin", &[]);
    user.create_api_key(serde_json::json!({"name": markup})).expect_status(201);
    let mut browser = Browser::of(&jeton, &user);

    for path in ["/console/keys", "/console/account", "/console/organisations"] {
        let page = browser.get(path).expect_status(200).told();
        assert!(!page.contains("<script>alert"), "{page}");
        assert!(!page.contains("<img"), "{page}");
        assert!(page.contains("alert(1)"), "{page}");
    }
    let mut stranger = Browser::new(&jeton);
    let shown = stranger.submit_on("/console/sign-in", "/console/sign-in", &[("email", markup), ("password", markup)]);
    assert!(!shown.told().contains("<script>alert"), "{}", shown.told());
}
