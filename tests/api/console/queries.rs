//! The queries of pages: what is known is there once. What is wrong is said on a page, on every one alike; what is
//! unknown is left alone: `laws.rs`.

use jeton_test_macros::both_databases;
use serde_json::json;

use super::Browser;
use crate::harness::{Answer, Jeton};

const LISTS: [&str; 6] = ["keys", "groups", "app-identifiers", "trusted-issuers", "users", "audit"];

/// A bad query of a list, and the parameter that is named.
const BAD: [(&str, &str); 8] = [
    ("cursor=nonsense", "cursor"),
    ("cursor=%00", "cursor"),
    ("cursor=", "cursor"),
    ("cursor=a&cursor=a", "cursor"),
    ("limit=0", "limit"),
    ("limit=101", "limit"),
    ("limit=x", "limit"),
    ("limit=5&limit=5", "limit"),
];

#[both_databases]
fn a_bad_query_is_said_on_a_page(jeton: Jeton) {
    let tenant = jeton.tenant();
    let group = tenant.admin().session().call("POST", tenant.path("key-groups")).json(json!({"name": "Group"}));
    let (group, key) = (group.expect_status(201).text("id"), tenant.api_key(["a:b"]).id);
    let (mut browser, mut operators) = (Browser::of(&jeton, tenant.admin()), Browser::of(&jeton, &jeton.operator()));

    let of_group = format!("groups/{group}");
    for (query, named) in BAD {
        for list in LISTS.into_iter().chain([&*of_group]) {
            expect_page(browser.get(&format!("/console/{list}?{query}")), named);
        }
        expect_page(operators.get(&format!("/console/tenants?{query}")), named);
    }
    let me = &tenant.admin().id;
    for page in [format!("keys/{key}"), format!("users/{me}"), "account".to_owned(), "groups".to_owned()] {
        expect_page(browser.get(&format!("/console/{page}?colour=blue&done=a&done=a")), "done");
    }
    expect_page(operators.get("/console/signing-keys?done=a&done=a"), "done");
    expect_page(browser.get("/console/audit?action=a&action=a"), "action");
    expect_page(Browser::new(&jeton).get("/console/sign-in?why=a&why=a"), "why");
}

/// Of what a link fills in, permissions alone are several.
#[both_databases]
fn a_link_fills_in_the_form_for_a_key(jeton: Jeton) {
    let mut browser = Browser::of(&jeton, jeton.tenant().admin());
    let link = "/console/keys/new?name=Harbour&environment=test&scopes=a:b&scopes=c:d&colour=blue&colour=red";
    let form = browser.get(link).expect_status(200).told();
    for filled in ["value=\"Harbour\"", "value=\"test\" checked", "a:b\nc:d\n</textarea>"] {
        assert!(form.contains(filled), "{filled} in {form}");
    }
    for name in ["name", "group_id", "access_type", "environment", "contact_email", "allowed_ips"] {
        expect_page(browser.get(&format!("/console/keys/new?{name}=a&{name}=b")), name);
    }
}

/// What is wrong with it is told to those who may open the page.
#[both_databases]
fn a_bad_query_leads_a_stranger_to_sign_in(jeton: Jeton) {
    for list in LISTS {
        let led = Browser::new(&jeton).get(&format!("/console/{list}?limit=x&limit=x")).expect_status(303);
        assert!(led.header("location").unwrap().starts_with("/console/sign-in?return_to="), "{}", led.told());
    }
}

#[both_databases]
fn every_list_is_as_long_as_it_is_asked_to_be(jeton: Jeton) {
    let tenant = jeton.tenant();
    let mut browser = Browser::of(&jeton, tenant.admin());
    for name in ["One", "Two", "Three"] {
        tenant.api_key(["a:b"]);
        tenant.user("member");
        browser.submit_on("/console/app-identifiers", "/console/app-identifiers", &[("name", name)]).expect_status(303);
    }
    for list in ["keys", "users", "app-identifiers", "audit"] {
        let shown = browser.get(&format!("/console/{list}?limit=2")).expect_status(200).told();
        let next = shown.split_once("rel=\"next\"").unwrap_or_else(|| panic!("a further page in {shown}")).0;
        let next = next.rsplit("href=\"").next().unwrap().split('"').next().unwrap().replace("&#38;", "&");
        assert!(next.starts_with(&format!("/console/{list}?limit=2&cursor=")), "{next}");
        let second = browser.get(&next).expect_status(200).told();
        assert!(second.contains(&format!("href=\"/console/{list}?limit=2&#38;\"")), "the way back in {second}");
    }
}

#[track_caller]
fn expect_page(answer: Answer, named: &str) {
    let answer = answer.expect_status(422);
    assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"), "{}", answer.told());
    assert!(answer.told().contains(&format!("<p>{named} ")), "{named} in {}", answer.told());
}
