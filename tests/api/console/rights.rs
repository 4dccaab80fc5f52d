//! Key groups, app identifiers, plans and trusted issuers in the console; and what operators see.

use jeton_test_macros::both_databases;
use serde_json::json;

use super::Browser;
use crate::harness::{Jeton, User};
use crate::profiles::with_profile;

/// Where a form leads after it succeeded.
#[track_caller]
fn led_to(answer: crate::harness::Answer) -> String {
    answer.expect_status(303).header("location").unwrap().to_owned()
}

#[both_databases]
fn a_group_is_made_shown_with_its_keys_and_deleted(jeton: Jeton) {
    let jeton = jeton.with("profile", "bloomreach");
    let tenant = jeton.tenant();
    let mut browser = Browser::of(&jeton, tenant.admin());
    let form = browser.get("/console/groups/new").expect_status(200).told();
    assert!(form.contains("Events: Consent") && form.contains("value=\"customers:get\""), "{form}");
    let fields = [("name", "Web"), ("access_type", "public"), ("scopes", "customers:get"), ("scopes", "events:set")];
    let made = led_to(browser.submit_on("/console/groups/new", "/console/groups", &fields));
    let path = made.split('?').next().unwrap();
    let id = path.rsplit('/').next().unwrap();
    let key = tenant.api_key_with(json!({"group_id": id}));
    let shown = browser.get(path).expect_status(200).told();
    for word in ["Web", "public", "customers:get", "events:set", &key.id] {
        assert!(shown.contains(word), "{word} in {shown}");
    }
    let wrong = [("name", "Web"), ("access_type", "none"), ("scopes", "customers:fly")];
    let refused = browser.submit_on("/console/groups/new", "/console/groups", &wrong).expect_status(422).told();
    assert!(refused.contains("id=\"access_type-fault\"") || refused.contains("id=\"scopes-fault\""), "{refused}");

    browser.submit_on(path, &format!("{path}/delete"), &[]).expect_status(303);
    browser.get(path).expect_status(404);
    let dead = tenant.admin().get(key.path()).expect_status(200);
    assert_eq!(dead.text("state"), "revoked");
    assert_eq!(jeton.audited("key_group.deleted"), 1);
}

#[both_databases]
fn a_key_is_made_in_any_group_however_many_there_are(jeton: Jeton) {
    let tenant = jeton.tenant();
    let make = |number: usize| {
        let body = json!({"name": format!("Group {number}"), "scopes": ["a:b"]});
        tenant.admin().post(tenant.path("key-groups"), body).expect_status(201).text("id")
    };
    let oldest = make(0);
    let option = |id: &str| format!("<option value=\"{id}\" selected>");
    let mut browser = Browser::of(&jeton, tenant.admin());
    let link = format!("/console/keys/new?group_id={oldest}");
    assert!(browser.get(&format!("/console/groups/{oldest}")).told().contains(&link));
    let all = browser.get(&link).expect_status(200).told();
    assert!(all.contains(&option(&oldest)) && !all.contains("Only the newest groups"), "{all}");
    (1..=100).for_each(|number| drop(make(number)));
    let newest = browser.get("/console/keys/new").expect_status(200).told();
    assert!(!newest.contains(&oldest) && newest.contains("Only the newest groups"), "{newest}");
    let chosen = browser.get(&link).expect_status(200).told();
    assert!(chosen.contains(&option(&oldest)), "{chosen}");
    let foreign = Browser::of(&jeton, jeton.tenant().admin()).get(&link).expect_status(200).told();
    assert!(!foreign.contains("Group 0"), "{foreign}");
}

#[both_databases]
fn without_a_catalogue_permissions_are_typed(jeton: Jeton) {
    let mut browser = Browser::of(&jeton, jeton.tenant().admin());
    let fields = [("name", "CI"), ("scopes", "goals:read\r\n  sites:write ")];
    let made = led_to(browser.submit_on("/console/groups/new", "/console/groups", &fields));
    let shown = browser.get(&made).expect_status(200).told();
    assert!(shown.contains("goals:read") && shown.contains("sites:write"), "{shown}");
    for wrong in ["a:b a:b", "a b", "a:b,c:d"] {
        let fields = [("name", "CI"), ("scopes", wrong)];
        let refused = browser.submit_on("/console/groups/new", "/console/groups", &fields).expect_status(422);
        assert!(refused.told().contains("id=\"scopes-fault\""), "{wrong}: {}", refused.told());
    }
}

#[both_databases]
fn app_identifiers_are_assigned_and_deleted(jeton: Jeton) {
    let jeton = jeton.with("profile", "braze");
    let tenant = jeton.tenant();
    let mut browser = Browser::of(&jeton, tenant.admin());
    let path = "/console/app-identifiers";
    let fields = [("name", "Phone <b>"), ("platform", "iOS")];
    assert_eq!(led_to(browser.submit_on(path, path, &fields)), "/console/app-identifiers?done=created");
    let list = browser.get(path).expect_status(200).told();
    assert!(!list.contains("Phone <b>"), "{list}");
    let id = list.split_once("/console/app-identifiers/").unwrap().1.split('/').next().unwrap();
    browser.submit_on(path, path, &[("platform", "iOS")]).expect_status(422);
    let foreign = format!("{path}/{id}/delete");
    Browser::of(&jeton, jeton.tenant().admin()).forge_on(path, &foreign, &[]).expect_status(404);
    browser.submit_on(path, &foreign, &[]).expect_status(303);
    assert!(browser.get(path).told().contains("No app identifiers yet"));
}

#[both_databases]
fn a_profile_offers_what_its_product_has(jeton: Jeton) {
    for (profile, groups, apps, plan) in [
        ("default", true, true, false),
        ("engium", false, false, false),
        ("engagetrack", false, false, true),
        ("bloomreach", true, false, false),
        ("braze", false, true, false),
        ("optimove", false, false, false),
    ] {
        jeton.set("profile", profile);
        jeton.start();
        let page = Browser::of(&jeton, jeton.tenant().admin()).get("/console/account").expect_status(200).told();
        let has = |place: &str| page.contains(&format!("href=\"/console/{place}\""));
        assert_eq!((has("groups"), has("app-identifiers"), has("plan")), (groups, apps, plan), "{profile}");
        jeton.stop();
    }
}

#[both_databases]
fn the_plan_says_what_is_allowed_and_used(jeton: Jeton) {
    let jeton = jeton.with("profile", "engagetrack");
    let free = jeton.tenant();
    let page = Browser::of(&jeton, free.admin()).get("/console/plan").expect_status(200).told();
    assert!(page.contains("API key access requires a Startup plan or higher"), "{page}");

    let startup = jeton.tenant_with(&["--plan", "startup"]);
    startup.api_key(["goals:read"]);
    startup.api_key(["goals:read"]);
    let page = Browser::of(&jeton, startup.admin()).get("/console/plan").expect_status(200).told();
    assert!(page.contains("2 of 10 in use") && page.contains("Your plan: Startup") && page.contains("120"), "{page}");
}

#[both_databases]
fn an_issuer_is_trusted_and_no_more(jeton: Jeton) {
    let tenant = jeton.tenant();
    let mut browser = Browser::of(&jeton, tenant.admin());
    let (list, new) = ("/console/trusted-issuers", "/console/trusted-issuers/new");
    let fields = [
        ("name", "GitHub"),
        ("issuer", "https://token.actions.githubusercontent.com"),
        ("audience", "jeton.example"),
        ("conditions", "repository = octo-org/app\r\nrepository=octo-org/web\n\nref = refs/heads/*"),
        ("scopes", "deploy:write"),
    ];
    assert_eq!(led_to(browser.submit_on(new, list, &fields)), "/console/trusted-issuers?done=created");
    let shown = browser.get(list).expect_status(200).told();
    assert!(shown.contains("repository = octo-org/app | octo-org/web"), "{shown}");
    for (name, wrong) in [
        ("conditions", "repository"),
        ("conditions", ""),
        ("conditions", "iss = x"),
        ("issuer", "http://evil.example"),
        ("scopes", "users:write"),
        ("audience", ""),
    ] {
        let changed = fields.map(|field| if field.0 == name { (name, wrong) } else { field });
        let refused = browser.submit_on(new, list, &changed).expect_status(422).told();
        assert!(refused.contains(&format!("id=\"{name}-fault\"")), "{name} {wrong}: {refused}");
        assert!(refused.contains("GitHub"), "what was typed stays");
    }
    let id = shown.split_once("/console/trusted-issuers/").unwrap().1;
    let id = if id.starts_with("new") { id.split_once("/console/trusted-issuers/").unwrap().1 } else { id };
    let path = format!("{list}/{}/delete", id.split('/').next().unwrap());
    browser.submit_on(list, &path, &[]).expect_status(303);
    assert!(browser.get(list).told().contains("No trusted issuers yet"));
    assert_eq!(jeton.audited("trusted_issuer"), 2);
}

/// A page shows two blanks as one, and nobody can tell.
#[both_databases]
fn a_name_is_typed_as_it_is_shown(jeton: Jeton) {
    let mut browser = Browser::of(&jeton, &jeton.operator());
    let list = "/console/tenants";
    let made = led_to(browser.submit_on(list, list, &[("name", "Acme  Ltd")]));
    let path = made.split('?').next().unwrap();
    let delete = format!("{path}/delete");
    browser.submit_on(path, &delete, &[("name", "AcmeLtd")]).expect_status(422);
    browser.submit_on(path, &delete, &[("name", "Acme Ltd")]).expect_status(303);
    browser.get(path).expect_status(404);
}

#[both_databases]
fn operators_manage_tenants(jeton: Jeton) {
    let jeton = jeton.with("profile", "engagetrack");
    let operator = jeton.operator();
    let mut browser = Browser::of(&jeton, &operator);
    let list = "/console/tenants";
    let made = led_to(browser.submit_on(list, list, &[("name", "Acme & Sons"), ("plan", "free")]));
    let path = made.split('?').next().unwrap().to_owned();
    let shown = browser.get(&made).expect_status(200).told();
    assert!(shown.contains("Acme &#38; Sons") || shown.contains("Acme &amp; Sons"), "{shown}");
    let id = path.rsplit('/').next().unwrap();
    let command = format!("jeton user create --email ADDRESS --tenant {id} --role admin --one-time-password");
    assert!(shown.contains(&command), "{command} in {shown}");
    browser.submit_on(&path, &format!("{path}/plan"), &[("plan", "growth")]).expect_status(303);
    browser.submit_on(&path, &format!("{path}/plan"), &[("plan", "gold")]).expect_status(422);
    browser.submit_on(&path, &format!("{path}/suspend"), &[]).expect_status(303);
    assert!(browser.get(&path).told().contains("Suspended"));
    browser.submit_on(&path, &format!("{path}/resume"), &[]).expect_status(303);
    for wrong in ["", "acme & sons", "Acme"] {
        let refused = browser.submit_on(&path, &format!("{path}/delete"), &[("name", wrong)]).expect_status(422);
        assert!(refused.told().contains("is not the name of this organisation"), "{}", refused.told());
    }
    browser.submit_on(&path, &format!("{path}/delete"), &[("name", "Acme & Sons")]).expect_status(303);
    browser.get(&path).expect_status(404);
    for action in ["tenant.created", "tenant.changed", "tenant.suspended", "tenant.resumed", "tenant.deleted"] {
        let by_operator = format!("audit_events WHERE action = '{action}' AND actor = 'user:{}'", operator.id);
        assert_eq!(jeton.rows(&by_operator), 1, "{action}");
    }
    let admin = jeton.tenant();
    let mut theirs = Browser::of(&jeton, admin.admin());
    for what in ["suspend", "delete"] {
        let path = format!("{list}/{}/{what}", admin.id);
        theirs.forge_on("/console/account", &path, &[("name", &admin.name)]).expect_status(403);
    }
    admin.admin().login().expect_tokens();
}

#[both_databases]
fn operators_rotate_and_revoke_signing_keys(jeton: Jeton) {
    let mut browser = Browser::of(&jeton, &jeton.operator());
    let path = "/console/signing-keys";
    let before = browser.get(path).expect_status(200).told();
    assert!(before.contains("<svg class=\"life\"") && before.contains("ES256"), "{before}");
    assert!(!before.contains("style="), "no style that the policy forbids");
    assert_eq!(before.matches("class=\"life\"").count(), 1);
    assert!(before.contains("by services when they renew the key set (up to jwks.max_age). Until then"), "{before}");
    assert!(!before.contains("It has signed nothing yet"), "{before}");
    assert_eq!(led_to(browser.submit_on(path, &format!("{path}/rotate"), &[])), format!("{path}?done=rotated"));
    let after = browser.get(path).expect_status(200).told();
    assert_eq!(after.matches("class=\"life\"").count(), 2);
    assert!(after.contains("Pending") && after.contains("It has signed nothing yet"), "{after}");

    let old = jeton.jwks()["keys"][0]["kid"].as_str().unwrap().to_owned();
    browser.submit_on(path, &format!("{path}/{old}/revoke"), &[]).expect_status(303);
    let told = browser.get(&format!("{path}?done=revoked"));
    // The session's tokens are the console's own business: it goes on.
    assert!(told.expect_status(200).told().contains("Revoked"));
    assert!(!jeton.jwks().to_string().contains(&old));
    browser.forge_on(path, &format!("{path}/unknown/revoke"), &[]).expect_status(404);
    assert_eq!(jeton.audited("signing_key.revoked"), 1);
}

const WRITERS: &str = r#"
name = "acme"
[key]
prefix = "acme_"
[roles.keymaker]
management = ["api-keys:write"]
[roles.inviter]
management = ["users:write"]
"#;

/// The right to change something is none to read it.
#[both_databases]
fn who_may_only_write_sees_what_the_api_would_show_them(jeton: Jeton) {
    let jeton = with_profile(jeton, WRITERS).with("server.trusted_proxies", "127.0.0.1");
    let tenant = jeton.tenant();
    let key = tenant.api_key_with(json!({"scopes": ["a:b"], "allowed_ips": ["10.1.2.3", "192.0.2.7"]}));
    let call = key.ask().header("X-Forwarded-For", "192.0.2.7").header("User-Agent", "hidden-agent/1");
    call.send().expect_status(200);
    jeton.restart();
    let page = format!("/console/keys/{}", key.id);
    let seen = |user: &User, path: &str| Browser::of(&jeton, user).get(path).expect_status(200).told();
    let keymaker = tenant.user("keymaker");
    for path in [format!("{page}/rotate"), format!("{page}/revoke")] {
        assert!(seen(tenant.admin(), &path).contains("hidden-agent/1"));
        let told = seen(&keymaker, &path);
        assert!(
            !told.contains("hidden-agent/1") && !told.contains("192.0.2.7") && !told.contains("last used"),
            "{told}"
        );
    }
    let mut browser = Browser::of(&jeton, &keymaker);
    let told = browser.forge_on(&format!("{page}/rotate"), &page, &[("name", "")]).expect_status(422).told();
    assert!(!told.contains("10.1.2.3") && !told.contains("hidden-agent/1"), "{told}");

    let group = |name: &str| {
        let group = json!({"name": name, "scopes": ["a:b"]});
        tenant.admin().post(tenant.path("key-groups"), group).expect_status(201).text("id")
    };
    let (secret, told) = (group("Secret project"), group("Exports"));
    let told = seen(&keymaker, &format!("/console/keys/new?group_id={told}"));
    assert!(told.contains("Exports") && !told.contains("Secret project") && !told.contains(&secret), "{told}");

    let admin = tenant.admin();
    let path = format!("/console/users/{}", admin.id);
    let mut browser = Browser::of(&jeton, &tenant.user("inviter"));
    for (what, fields) in [
        ("role", vec![("role", "member")]),
        ("one-time-password", vec![("idempotency_key", "once")]),
        ("remove", vec![]),
    ] {
        let refused = browser.forge_on("/console/account", &format!("{path}/{what}"), &fields);
        assert!([403, 409].contains(&refused.status), "{}", refused.told());
        assert!(!refused.told().contains(&admin.email), "{what}: {}", refused.told());
    }
}
