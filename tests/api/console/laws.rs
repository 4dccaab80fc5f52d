//! What holds for every path of the console. They are read from its route table: a new one is under these laws at once.

use std::collections::BTreeSet;
use std::time::Duration;

use jeton_test_macros::both_databases;

use super::{Browser, form_token};
use crate::harness::{Answer, Jeton, User};

/// What a stranger may ask for, and what the answer is without the token of a form.
const PUBLIC: [((&str, &str), u16); 3] =
    [(("GET", "/console/sign-in"), 200), (("POST", "/console/sign-in"), 403), (("GET", STYLES), 200)];

/// No page.
const STYLES: &str = "/console/assets/console.css";

/// Every path with each of its methods; the ids in it are those of nothing.
fn paths() -> Vec<(&'static str, String)> {
    let source = include_str!("../../../src/console/mod.rs");
    let table = source.split_once("routes! { config,").unwrap().1.split_once("\n    }").unwrap().0;
    assert_eq!(source.matches("routes! {").count(), 1, "one table");
    // Row by row, not line by line: one that is folded is read too, and what is no row is not passed over.
    let rows = table.split(';').map(str::trim).filter(|row| !row.is_empty());
    let paths = rows.flat_map(|row| {
        let (path, methods) = row.split_once("=>").unwrap_or_else(|| panic!("no route: {row}"));
        let path = path.trim().strip_prefix('"').and_then(|path| path.strip_suffix('"'));
        let path = path.unwrap_or_else(|| panic!("no path: {row}")).replace("{id}", &uuid::Uuid::nil().to_string());
        let path = format!("/console{}", path.replace("{kid}", "unknown").replace("{file}", "console.css"));
        let methods = methods.split(',').map(|method| match method.split_whitespace().next() {
            Some("get") => "GET",
            Some("post") => "POST",
            _ => panic!("a browser without a script does not send that: {row}"),
        });
        methods.map(move |method| (method, path.clone())).collect::<Vec<_>>()
    });
    paths.collect()
}

fn public(method: &str, path: &str) -> Option<u16> {
    PUBLIC.iter().find(|(known, _)| *known == (method, path)).map(|(_, status)| *status)
}

fn ask(browser: &mut Browser, method: &str, path: &str) -> Answer {
    if method == "GET" { browser.get(path) } else { browser.submit(path, &[]) }
}

#[track_caller]
fn expect_page(answer: &Answer) {
    assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"), "{}", answer.told());
    assert!(answer.told().contains("<h1"), "{}", answer.told());
}

#[track_caller]
fn expect_failure(failed: &Answer) {
    assert!(failed.status >= 500, "{}", failed.told());
    expect_page(failed);
    let told = failed.told();
    assert!(told.contains(failed.header("x-request-id").unwrap()), "{told}");
    assert!(["injected", "lost_", "no such table", "relation"].iter().all(|word| !told.contains(word)), "{told}");
}

#[both_databases]
fn every_path_leads_a_stranger_to_sign_in(jeton: Jeton) {
    let paths = paths();
    assert!(paths.len() > 40 && paths.contains(&("POST", "/console/users".to_owned())), "{paths:?}");
    assert_eq!(paths.iter().filter(|(method, path)| public(method, path).is_some()).count(), PUBLIC.len());
    let session = Browser::of(&jeton, jeton.tenant().admin()).session();
    let unknown = format!("{}{}", &session[..session.len() - 1], if session.ends_with('A') { 'B' } else { 'A' });
    for (method, path) in &paths {
        for cookie in [None, Some("nonsense"), Some(&*unknown)] {
            let mut stranger = Browser::new(&jeton);
            stranger.cookies.extend(cookie.map(|cookie| ("__Host-jeton_refresh".to_owned(), cookie.to_owned())));
            let answer = ask(&mut stranger, method, path);
            if let Some(status) = public(method, path) {
                answer.expect_status(status);
                continue;
            }
            let led = answer.expect_status(303);
            let location = led.header("location").unwrap().to_owned();
            assert!(location.split('?').next() == Some("/console/sign-in"), "{method} {path}: {location}");
            assert_eq!(location.contains("return_to="), *method == "GET" && path != "/console", "{method} {path}");
        }
    }
}

/// Without the token of a form nothing is changed, whoever sends it.
#[both_databases]
fn every_path_answers_whoever_is_signed_in_with_a_page(jeton: Jeton) {
    let tenant = jeton.tenant();
    let people: [(&str, User); 3] =
        [("member", tenant.user("member")), ("admin", tenant.admin().clone()), ("operator", jeton.operator())];
    for (who, user) in people {
        let mut browser = Browser::of(&jeton, &user);
        for (method, path) in paths().iter().filter(|(_, path)| path != STYLES) {
            let answer = ask(&mut browser, method, path);
            match (*method, answer.status) {
                ("GET", 303) => assert!(["/console", "/console/sign-in"].contains(&&**path), "{who}: {path}"),
                ("GET", 200 | 403 | 404) | ("POST", 403) => expect_page(&answer),
                _ => panic!("{who}: {}", answer.told()),
            }
        }
    }
}

/// Others add to links, as marketing does: that is no reason to refuse them.
#[both_databases]
fn what_a_path_does_not_know_in_its_query_is_left_alone(jeton: Jeton) {
    let more = (0..40).map(|number| format!("utm_{number}=letter")).collect::<Vec<_>>().join("&");
    for mut browser in [Browser::new(&jeton), Browser::of(&jeton, &jeton.operator())] {
        for (_, path) in paths().iter().filter(|(method, _)| *method == "GET") {
            let plain = browser.get(path).status;
            browser.get(&format!("{path}?{more}&utm_0=again&%00=x")).expect_status(plain);
        }
    }
}

#[both_databases]
fn whatever_fails_on_a_path_is_told_on_a_page(jeton: Jeton) {
    let mut browser = Browser::of(&jeton, jeton.tenant().admin());
    // Now the cookie is to be renewed, which fails.
    jeton.advance(Duration::from_mins(31));
    jeton.break_writes("sessions", "UPDATE");
    for (method, path) in paths().iter().filter(|(method, path)| public(method, path).is_none()) {
        expect_failure(&ask(&mut browser, method, path));
    }
}

/// Not by who asks, but by the page itself: what it reads is not to be had.
#[both_databases]
fn whatever_a_page_cannot_read_is_told_on_a_page(jeton: Jeton) {
    let mut browser = Browser::of(&jeton, &jeton.operator());
    let token = form_token(&browser.get("/console/account").expect_status(200));
    for table in ["api_keys", "key_groups", "app_identifiers", "trusted_issuers", "audit_events", "signing_keys"] {
        jeton.execute(&format!("ALTER TABLE {table} RENAME TO lost_{table}"));
    }
    let mut failed = BTreeSet::new();
    for (method, path) in paths() {
        let answer = match method {
            "GET" => browser.get(&path),
            _ => browser.submit(&path, &[("form_token", &token)]),
        };
        if answer.status >= 500 {
            expect_failure(&answer);
            failed.insert(format!("{method} {path}"));
        }
    }
    let nothing = uuid::Uuid::nil();
    for path in ["keys", "keys/new", "groups", "app-identifiers", "trusted-issuers", "audit", "plan", "signing-keys"] {
        assert!(failed.contains(&format!("GET /console/{path}")), "{path} in {failed:?}");
    }
    for path in ["keys", "groups"] {
        assert!(failed.contains(&format!("GET /console/{path}/{nothing}")), "{path} in {failed:?}");
    }
    for path in ["keys/{id}/revoke", "groups/{id}/delete", "app-identifiers/{id}/delete", "trusted-issuers/{id}/delete"]
    {
        let path = path.replace("{id}", &nothing.to_string());
        assert!(failed.contains(&format!("POST /console/{path}")), "{path} in {failed:?}");
    }
}

#[both_databases]
fn a_method_that_a_path_lacks_is_refused_on_a_page(jeton: Jeton) {
    for (_, path) in paths() {
        let refused = jeton.client().call("DELETE", &path).send().expect_status(405);
        assert!(refused.header("allow").is_some_and(|allow| !allow.contains("DELETE")), "{}", refused.told());
        expect_page(&refused);
    }
}
