//! What holds for every path of the console. They are read from its route table: a new one is under these laws at once.

use std::time::Duration;

use jeton_test_macros::both_databases;

use super::Browser;
use crate::harness::{Answer, Jeton, User};

/// For whoever is not signed in.
const PUBLIC: [&str; 2] = ["/console/sign-in", "/console/assets/console.css"];

/// Every path with each of its methods; the ids in it are those of nothing.
fn paths() -> Vec<(String, String)> {
    let rows = include_str!("../../../src/console/mod.rs").lines().filter_map(|line| line.split_once(" => "));
    let rows = rows.filter_map(|(path, methods)| Some((path.trim().strip_prefix('"')?.split('"').next()?, methods)));
    let paths = rows.flat_map(|(path, methods)| {
        let path = path.replace("{id}", &uuid::Uuid::nil().to_string());
        let path = format!("/console{}", path.replace("{kid}", "unknown").replace("{file}", "console.css"));
        let methods = methods.split(", ").filter_map(|method| method.split(' ').next());
        methods.map(move |method| (method.to_uppercase(), path.clone())).collect::<Vec<_>>()
    });
    paths.collect()
}

fn ask(browser: &mut Browser, method: &str, path: &str) -> Answer {
    match method {
        "GET" => browser.get(path),
        "POST" => browser.submit(path, &[]),
        other => panic!("{other} {path}: a browser without a script does not send that"),
    }
}

#[track_caller]
fn expect_page(answer: &Answer) {
    assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"), "{}", answer.told());
    assert!(answer.told().contains("<h1"), "{}", answer.told());
}

#[both_databases]
fn every_path_leads_a_stranger_to_sign_in(jeton: Jeton) {
    let paths = paths();
    assert!(paths.len() > 40 && paths.contains(&("POST".to_owned(), "/console/users".to_owned())), "{paths:?}");
    assert!(PUBLIC.iter().all(|public| paths.iter().any(|(_, path)| path == public)), "{paths:?}");
    let session = Browser::of(&jeton, jeton.tenant().admin()).session();
    let unknown = format!("{}{}", &session[..session.len() - 1], if session.ends_with('A') { 'B' } else { 'A' });
    for (method, path) in paths.iter().filter(|(_, path)| !PUBLIC.contains(&path.as_str())) {
        for cookie in [None, Some("nonsense"), Some(&*unknown)] {
            let mut stranger = Browser::new(&jeton);
            stranger.cookies.extend(cookie.map(|cookie| ("__Host-jeton_refresh".to_owned(), cookie.to_owned())));
            let led = ask(&mut stranger, method, path).expect_status(303);
            let location = led.header("location").unwrap().to_owned();
            assert!(location.split('?').next() == Some("/console/sign-in"), "{method} {path}: {location}");
            assert_eq!(location.contains("return_to="), method == "GET" && path != "/console", "{method} {path}");
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
        for (method, path) in paths().iter().filter(|(_, path)| !PUBLIC.contains(&path.as_str())) {
            let answer = ask(&mut browser, method, path);
            match (method.as_str(), answer.status) {
                ("GET", 303) => assert_eq!(path, "/console", "{who}"),
                ("GET", 200 | 403 | 404) | ("POST", 403) => expect_page(&answer),
                _ => panic!("{who}: {}", answer.told()),
            }
        }
    }
}

#[both_databases]
fn whatever_fails_on_a_path_is_told_on_a_page(jeton: Jeton) {
    let mut browser = Browser::of(&jeton, jeton.tenant().admin());
    // Now the cookie is to be renewed, which fails.
    jeton.advance(Duration::from_mins(31));
    jeton.break_writes("sessions", "UPDATE");
    for (method, path) in paths().iter().filter(|(_, path)| !PUBLIC.contains(&path.as_str())) {
        let failed = ask(&mut browser, method, path);
        assert!(failed.status >= 500, "{}", failed.told());
        expect_page(&failed);
        let id = failed.header("x-request-id").unwrap();
        assert!(failed.told().contains(id) && !failed.told().contains("injected"), "{}", failed.told());
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
