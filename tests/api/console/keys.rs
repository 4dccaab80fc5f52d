//! API keys in the console: the same rules, the same refusals and the same audit rows as at the other doors.

use std::time::Duration;

use jeton_test_macros::both_databases;
use serde_json::{Value, json};

use super::Browser;
use super::browser::value_of;
use crate::harness::{Answer, Jeton, Tenant, at_once};

const NEW: &str = "/console/keys/new";

#[both_databases]
fn a_key_is_shown_once_and_works(jeton: Jeton) {
    let tenant = jeton.tenant();
    let mut browser = Browser::of(&jeton, tenant.admin());
    let fields =
        [("scopes_text", "goals:read\r\n sites:read"), ("allowed_ips", "127.0.0.0/8, ::1"), ("environment", "test")];
    let created = create(&mut browser, "Warehouse", &fields).expect_status(200);
    let key = secret(&created);
    assert!(key.starts_with("jtn_test_"), "{key}");
    assert_eq!(created.header("cache-control"), Some("no-store"));
    let call = between(&created, "<code id=\"example\">", "<");
    assert!(call.contains("/api/v1/auth/exchange") && call.contains(&tenant.id), "a call that works: {call}");
    assert!(!call.contains("api.example.com"), "it goes to Jeton: {call}");

    let tokens = jeton.post("/api/v1/auth/exchange").bearer(&key).tenant(&tenant.id).send();
    tokens.expect_scope("goals:read sites:read");
    let id = id_of(&created);
    for path in ["/console/keys".to_owned(), format!("/console/keys/{id}"), format!("/console/keys/{id}/rotate")] {
        let page = browser.get(&path).expect_status(200).told();
        assert!(!page.contains(&key) && page.contains("Warehouse") && page.contains(&key[..13]), "{page}");
    }
    let events = tenant.admin().get(tenant.path("audit-events?action=api_key.created"));
    assert_eq!(events.items()[0]["actor"], format!("user:{}", tenant.admin().id));
}

#[both_databases]
fn a_form_that_is_sent_twice_makes_one_key(jeton: Jeton) {
    let tenant = jeton.tenant();
    let mut browser = Browser::of(&jeton, tenant.admin());
    let form = browser.get(NEW);
    let (token, once) = (value_of(&form, "form_token"), value_of(&form, "idempotency_key"));
    let preset = String::from_utf8(form.body).unwrap();
    let day = preset.split("<option value=\"2").nth(1).unwrap().split('"').next().unwrap();
    let day = format!("2{day}");
    let fields = |name: &'static str| {
        [("form_token", token.as_str()), ("idempotency_key", &once), ("name", name), ("expires_at", &day)]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
    };
    let mut send = |name| {
        let fields = fields(name);
        browser.submit(NEW, &fields.each_ref().map(|(name, value)| (name.as_str(), value.as_str())))
    };
    let first = secret(&send("Twice").expect_status(200));
    jeton.advance(Duration::from_secs(5));
    assert_eq!(secret(&send("Twice").expect_status(200)), first);
    assert!(send("Another").expect_status(409).told().contains("created from this form before"));
    assert_eq!(tenant.admin().get(tenant.path("api-keys")).items().len(), 1);
}

/// The ends to choose from are other days after midnight.
#[both_databases]
fn the_end_that_was_chosen_outlives_midnight(jeton: Jeton) {
    let (tenant, day) = (jeton.tenant(), 86_400);
    jeton.shift((day - 60 - jeton.now() % day) * 1_000_000);
    let mut browser = Browser::of(&jeton, tenant.admin());
    let chosen = &jeton.in_seconds(7 * day)[..10];
    let form = browser.get(NEW);
    assert!(form.told().contains(&format!("<option value=\"{chosen}\">")), "{}", form.told());
    let (token, once) = (value_of(&form, "form_token"), value_of(&form, "idempotency_key"));
    jeton.advance(Duration::from_mins(2));
    let fields = [("form_token", token.as_str()), ("idempotency_key", &once), ("name", ""), ("expires_at", chosen)];
    let shown = browser.submit(NEW, &fields).expect_status(422).told();
    assert!(shown.contains("<option value=\"day\" selected>"), "{shown}");
    assert!(shown.contains(&format!("name=\"expires_on\" value=\"{chosen}\"")), "{shown}");
}

#[both_databases]
fn what_is_refused_is_said_beside_its_field(jeton: Jeton) {
    let mut browser = Browser::of(&jeton, jeton.tenant().admin());
    for (fields, at) in [
        (vec![("name", "")], "name"),
        (vec![("scopes_text", "no scope")], "scopes"),
        (vec![("scopes_text", "a:b a:b")], "scopes"),
        (vec![("allowed_ips", "nowhere")], "allowed_ips"),
        (vec![("contact_email", "nobody")], "contact_email"),
        (vec![("expires_at", "day")], "expires_at"),
        (vec![("expires_at", "2001-01-01")], "expires_at"),
        (vec![("environment", "other")], "environment"),
    ] {
        let refused = create(&mut browser, "Kept <name>", &fields);
        assert_eq!(refused.status, 422, "{fields:?}: {}", refused.told());
        assert!(refused.told().contains(&format!("id=\"{at}-fault\"")), "{fields:?}: {}", refused.told());
        for (field, label) in [("scopes", "Permissions"), ("allowed_ips", "Allowed IP addresses")] {
            let fault = format!("id=\"{field}-fault\">{label} ");
            assert!(at != field || refused.told().contains(&fault), "{fault} in {}", refused.told());
        }
        assert!(refused.told().contains("Kept &#60;name&#62;") || at == "name", "{}", refused.told());
    }
    for smuggled in ["tenant_id", "created_by", "revoked_at", "name"] {
        create(&mut browser, "More", &[(smuggled, "x")]).expect_status(422);
    }
    assert!(browser.get("/console/keys").told().contains("No API keys yet"));
}

#[both_databases]
fn what_the_profile_forbids_is_not_offered_and_refused(jeton: Jeton) {
    let jeton = jeton.with("profile", "engagetrack");
    let tenant = jeton.tenant();
    let mut browser = Browser::of(&jeton, tenant.admin());
    let list = browser.get("/console/keys").told();
    assert!(list.contains("API key access requires a Startup plan or higher") && !list.contains(NEW), "{list}");
    let refused = create(&mut browser, "Too early", &[]).expect_status(402);
    assert!(refused.told().contains("API key access requires a Startup plan or higher"));

    jeton.cli(["tenant", "set-plan", &tenant.id, "startup"]).expect_code(0);
    let form = browser.get(NEW).told();
    for scope in ["goals:write", "analytics:read", "tokens:introspect"] {
        assert!(form.contains(&format!("value=\"{scope}\"")), "{scope} in {form}");
    }
    // It has groups, made elsewhere; the product does not offer them.
    let group = json!({"name": "Exports", "scopes": ["goals:read"]});
    let group = tenant.admin().post(tenant.path("key-groups"), group).expect_status(201).text("id");
    for path in
        ["/console/groups", "/console/groups/new", &format!("/console/groups/{group}"), "/console/app-identifiers"]
    {
        browser.get(path).expect_status(404);
    }
    let fields = [("name", "Others"), ("scopes_text", "goals:read")];
    browser.forge_on(NEW, "/console/groups", &fields).expect_status(404);
    let refused = create(&mut browser, "Grouped", &[("group_id", &group)]).expect_status(422).told();
    assert!(refused.contains("must be a key group of this organisation"), "{refused}");
    let told = browser.get(&format!("{NEW}?group_id={group}")).expect_status(200).told();
    assert!(told.contains("must be a key group of this organisation"), "{told}");
    let form = [form, browser.get(NEW).told()].concat();
    for absent in ["name=\"access_type\"", "name=\"environment\"", "name=\"group_id\"", "constraints", "users:write"] {
        assert!(!form.contains(absent), "{absent} in {form}");
    }
    create(&mut browser, "Odd", &[("scopes", "users:write")]).expect_status(422);
    let created =
        create(&mut browser, "Goals", &[("scopes", "goals:read"), ("scopes", "goals:write")]).expect_status(200);
    // Jeton has no such endpoint: the address is the reader's to say.
    let call = format!("https://api.example.com/api/v1/organizations/{}/goals", tenant.id);
    assert!(created.told().contains(&call), "{call} in {}", created.told());
}

#[both_databases]
fn what_plan_and_limit_forbid_is_not_offered(jeton: Jeton) {
    let jeton = jeton.with("profile", "engagetrack");
    let tenant = jeton.tenant_with(&["--plan", "startup"]);
    let keys: Vec<_> = (0..10).map(|_| tenant.api_key(["goals:read"])).collect();
    let mut browser = Browser::of(&jeton, tenant.admin());
    let page = format!("/console/keys/{}", keys[0].id);
    let list = browser.get("/console/keys").told();
    assert!(list.contains("This organisation already has 10 API keys") && !list.contains(NEW), "{list}");
    let form = browser.get(&format!("{page}/rotate")).told();
    assert!(form.contains("value=\"0\" checked") && form.contains("cannot both live"), "{form}");
    let refused = rotate(&mut browser, &keys[0].id, "3600").expect_status(409).told();
    assert!(refused.contains("This organisation already has 10 API keys"), "{refused}");
    rotate(&mut browser, &keys[1].id, "0").expect_status(200);
    assert!(browser.get(&page).told().contains(&format!("href=\"{page}/rotate\"")));

    jeton.cli(["tenant", "set-plan", &tenant.id, "free"]).expect_code(0);
    let shown = browser.get(&page).told();
    assert!(shown.contains("API key access requires a Startup plan or higher"), "{shown}");
    assert!(!shown.contains("/rotate\"") && shown.contains("/revoke\""), "{shown}");
}

#[both_databases]
fn an_id_stays_where_the_format_has_one(jeton: Jeton) {
    let jeton = jeton.with("profile", "bloomreach");
    let tenant = jeton.tenant();
    let mut browser = Browser::of(&jeton, tenant.admin());
    let created =
        create(&mut browser, "Server", &[("access_type", "private"), ("scopes", "events:set")]).expect_status(200);
    let (id, old) = (id_of(&created), secret(&created));
    assert_eq!(between(&created, "id=\"key-id\">", "<"), id);
    assert!(created.told().contains(&format!("-u &#39;{id}:{old}&#39;")), "{}", created.told());

    let rotated = rotate(&mut browser, &id, "86400").expect_status(200);
    assert_eq!(id_of(&rotated), id);
    assert!(rotated.told().contains("The old secret works until"), "{}", rotated.told());
    let new = secret(&rotated);
    for secret in [&old, &new] {
        jeton.post("/api/v1/auth/exchange").basic(&id, secret).tenant(&tenant.id).send().expect_tokens();
    }
    jeton.restart();
    let page = browser.get(&format!("/console/keys/{id}")).told();
    assert!(page.contains("The old secret still works") && page.contains("This still uses it"), "{page}");
    assert!(page.contains("To end it sooner, rotate once more"), "{page}");

    // What is said there is so: both end, and there is another.
    let ended = rotate(&mut browser, &id, "0").expect_status(200);
    assert!(ended.told().contains("The old secret does not work any more"), "{}", ended.told());
    let exchange = |secret: &str| jeton.post("/api/v1/auth/exchange").basic(&id, secret).tenant(&tenant.id).send();
    for dead in [&old, &new] {
        exchange(dead).expect_problem(401, "invalid_api_key");
    }
    exchange(&secret(&ended)).expect_tokens();
}

#[both_databases]
fn a_key_in_a_group_has_its_rights(jeton: Jeton) {
    let tenant = jeton.tenant();
    let group = json!({"name": "Exports", "scopes": ["a:b", "c:d"]});
    let group = tenant.admin().post(tenant.path("key-groups"), group).expect_status(201).text("id");
    let mut browser = Browser::of(&jeton, tenant.admin());
    let created = create(&mut browser, "Grouped", &[("group_id", &group), ("scopes_text", "e:f")]).expect_status(200);
    jeton.post("/api/v1/auth/exchange").bearer(&secret(&created)).tenant(&tenant.id).send().expect_scope("a:b c:d");
    let chosen = browser.get(&format!("{NEW}?group_id={group}")).expect_status(200).told();
    assert!(chosen.contains(&format!("<option value=\"{group}\" selected>")), "{chosen}");
    for unknown in [tenant.id.as_str(), "nonsense"] {
        let told = browser.get(&format!("{NEW}?group_id={unknown}")).expect_status(200).told();
        assert!(
            told.contains("id=\"group_id-fault\"") && told.contains("must be a key group of this organisation"),
            "{told}"
        );
    }
    let unknown = create(&mut browser, "Lost", &[("group_id", &tenant.id)]).expect_status(422);
    assert!(unknown.told().contains("group_id"), "{}", unknown.told());
}

#[both_databases]
fn a_key_is_limited_as_its_access_type_allows(jeton: Jeton) {
    let jeton = jeton.with("profile", "optimove");
    let mut browser = Browser::of(&jeton, jeton.tenant().admin());
    let fields =
        [("access_type", "integrations"), ("contact_email", "a@b.example"), ("constraints.channels", "email, sms")];
    let created = create(&mut browser, "Partner", &fields).expect_status(200);
    let page = browser.get(&format!("/console/keys/{}", id_of(&created))).told();
    assert!(page.contains("channels: <code>email</code> <code>sms</code>"), "{page}");
    let list = browser.get("/console/keys").told();
    for shown in [&page, &list] {
        assert!(shown.contains("For third parties: the listed calls only"), "{shown}");
        assert!(!shown.contains(">None<"), "it may do something: {shown}");
    }
    assert!(browser.get(NEW).told().contains("<legend>Management permissions <span class=\"optional\">optional"));
    create(&mut browser, "No contact", &fields[..1]).expect_status(422);
}

#[both_databases]
fn a_rotation_breaks_nobody_and_shows_who_still_uses_the_old_key(jeton: Jeton) {
    let tenant = jeton.tenant();
    let mut browser = Browser::of(&jeton, tenant.admin());
    let created = create(&mut browser, "Rotated", &[("scopes_text", "a:b")]).expect_status(200);
    let (old, old_id) = (secret(&created), id_of(&created));
    let exchange = |key: &str, agent: &str| {
        jeton.post("/api/v1/auth/exchange").bearer(key).tenant(&tenant.id).header("User-Agent", agent).send()
    };
    let rotated = rotate(&mut browser, &old_id, "604800").expect_status(200);
    let (new, new_id) = (secret(&rotated), id_of(&rotated));
    exchange(&new, "new").expect_tokens();
    for (pass, said) in [
        (0, "It was replaced a moment ago"),
        (5 * 60, "Not used in the 5 minutes since"),
        (23 * 3600, "Not used in the 23 hours since"),
        (3600, "Nothing has used the old one since it was replaced. It can go."),
    ] {
        jeton.advance(Duration::from_secs(pass));
        let quiet = browser.get(&format!("/console/keys/{new_id}")).told();
        assert!(quiet.contains(said), "{said} in {quiet}");
        assert_eq!(quiet.contains("It can go"), said.ends_with("It can go."), "{quiet}");
    }

    exchange(&old, "<b>nightly</b>/1.0").expect_tokens();
    jeton.restart();
    let busy = browser.get(&format!("/console/keys/{new_id}")).told();
    assert!(busy.contains("This still uses it") && busy.contains("nightly") && !busy.contains("<b>nightly"), "{busy}");
    assert!(rotate(&mut browser, &old_id, "3600").expect_status(409).told().contains("rotated already"));

    let gone = format!("/console/keys/{old_id}/revoke");
    browser.submit_on(&gone, &gone, &[]).expect_status(303);
    exchange(&old, "late").expect_problem(401, "invalid_api_key");
    exchange(&new, "new").expect_tokens();
    assert!(!browser.get(&format!("/console/keys/{new_id}")).told().contains("The old key still works"));
    rotate(&mut browser, &new_id, "2592001").expect_status(422);
}

#[both_databases]
fn a_key_that_uses_little_is_told_to_be_smaller(jeton: Jeton) {
    let tenant = jeton.tenant();
    let end = jeton.in_seconds(60 * 86_400);
    let scopes = ["a:b", "c:d", "e:f"];
    let key = tenant.api_key_with(json!({"scopes": scopes, "environment": "test", "expires_at": end}));
    let mut browser = Browser::of(&jeton, tenant.admin());
    let page = format!("/console/keys/{}", key.id);
    jeton.advance(Duration::from_hours(24));
    key.exchange_for(json!({"scope": "a:b"})).expect_tokens();
    jeton.restart();
    assert!(!browser.get(&page).told().contains("Create a smaller key"), "it is young");
    jeton.advance(Duration::from_hours(29 * 24));
    let mut browser = Browser::of(&jeton, tenant.admin());
    let made = follow_smaller(&mut browser, &tenant, &key.id);
    assert_eq!((&made["scopes"], &made["environment"]), (&json!(["a:b"]), &json!("test")));
    let made_end = made["expires_at"].as_str().unwrap();
    assert!(
        made_end <= end.as_str() && *made_end > *jeton.in_seconds(28 * 86_400),
        "{made_end} is the last day of {end}"
    );
}

#[both_databases]
fn a_smaller_key_is_limited_as_the_one_before(jeton: Jeton) {
    let profile = jeton.folder().join("limits.toml");
    let kind = "\n[access_types.partner]\nconstraints = [\"attributes\", \"channels\"]\n";
    std::fs::write(&profile, format!("{}{kind}", include_str!("../../../profiles/default.toml"))).unwrap();
    let jeton = jeton.with("profile", "limits.toml");
    let tenant = jeton.tenant();
    let limits = json!({"attributes": ["city"], "channels": ["email", "sms"]});
    let limited = |limits| {
        tenant.api_key_with(json!({"scopes": ["a:b", "c:d"], "access_type": "partner", "constraints": limits}))
    };
    let (key, other) = (limited(&limits), limited(&json!({"channels": ["email, sms"]})));
    jeton.advance(Duration::from_hours(29 * 24));
    for key in [&key, &other] {
        key.exchange_for(json!({"scope": "a:b"})).expect_tokens();
    }
    jeton.restart();
    jeton.advance(Duration::from_hours(24));
    let mut browser = Browser::of(&jeton, tenant.admin());
    let made = follow_smaller(&mut browser, &tenant, &key.id);
    assert_eq!((&made["access_type"], &made["constraints"]), (&json!("partner"), &limits));

    // The form would take it for two values.
    let shown = browser.get(&format!("/console/keys/{}", other.id)).told();
    assert!(shown.contains("<code>c:d</code>") && !shown.contains("Create a smaller key"), "{shown}");
}

#[both_databases]
fn another_tenants_key_is_not_there(jeton: Jeton) {
    let (mine, other) = (jeton.tenant(), jeton.tenant());
    let key = other.api_key(["a:b"]);
    let mut browser = Browser::of(&jeton, mine.admin());
    let path = format!("/console/keys/{}", key.id);
    for path in [path.clone(), format!("{path}/rotate"), format!("{path}/revoke"), "/console/keys/nonsense".to_owned()]
    {
        browser.get(&path).expect_status(404);
    }
    let token = super::form_token(&browser.get("/console/keys"));
    let token = ("form_token", token.as_str());
    browser.submit(&path, &[token, ("name", "Mine")]).expect_status(404);
    browser.submit(&format!("{path}/revoke"), &[token]).expect_status(404);
    let rotate = [token, ("overlap_seconds", "0"), ("idempotency_key", "x")];
    browser.submit(&format!("{path}/rotate"), &rotate).expect_status(404);
    key.exchange().expect_tokens();
}

#[both_databases]
fn who_lacks_a_scope_is_neither_shown_nor_let_do_it(jeton: Jeton) {
    let tenant = jeton.tenant();
    let key = tenant.api_key(["a:b"]);
    let mut browser = Browser::of(&jeton, &tenant.user("member"));
    assert!(!browser.get("/console/account").told().contains("/console/keys"));
    let path = format!("/console/keys/{}", key.id);
    for path in ["/console/keys", NEW, &path, &format!("{path}/revoke")] {
        let denied = browser.get(path).expect_status(403);
        assert!(denied.told().contains("api-keys:"), "{}", denied.told());
    }
    let token = super::form_token(&browser.get("/console/account"));
    browser.submit(&format!("{path}/revoke"), &[("form_token", &token)]).expect_status(403);
    key.exchange().expect_tokens();
}

#[both_databases]
fn name_and_contact_can_be_changed_and_nothing_else(jeton: Jeton) {
    let tenant = jeton.tenant();
    let key = tenant.api_key(["a:b"]);
    let mut browser = Browser::of(&jeton, tenant.admin());
    let page = format!("/console/keys/{}", key.id);
    let fields = [("name", "Renamed"), ("contact_email", "ops@example.com")];
    browser.submit_on(&page, &page, &fields).expect_status(303);
    let shown = browser.get(&page).told();
    assert!(shown.contains("Renamed") && shown.contains("ops@example.com"), "{shown}");
    browser.submit_on(&page, &page, &[("name", "Kept"), ("contact_email", "")]).expect_status(303);
    assert!(!browser.get(&page).told().contains("ops@example.com"));
    for changed in [("name", ""), ("scopes", "c:d"), ("allowed_ips", "10.0.0.1")] {
        browser.submit_on(&page, &page, &[changed]).expect_status(422);
    }
}

/// A thousand keys, a page at a time, none of them twice or never.
#[test]
fn a_thousand_keys_are_paged_through() {
    let jeton = Jeton::on_sqlite();
    let profile = jeton.folder().join("many.toml");
    let text =
        include_str!("../../../profiles/default.toml").replace("keys_per_tenant = 100", "keys_per_tenant = 5000");
    std::fs::write(&profile, text).unwrap();
    let jeton = jeton.with("profile", profile.to_str().unwrap());
    let tenant = jeton.tenant();
    tenant.admin().token();
    at_once(8, |_| {
        for _ in 0..125 {
            tenant.admin().create_api_key(json!({"scopes": ["a:b", "c:d", "e:f", "g:h"]})).expect_status(201);
        }
    });
    let mut browser = Browser::of(&jeton, tenant.admin());
    let (mut path, mut seen) = ("/console/keys?limit=100".to_owned(), std::collections::BTreeSet::new());
    for _ in 0..10 {
        let page = browser.get(&path).expect_status(200);
        assert!(page.body.len() < 100_000, "{} bytes", page.body.len());
        let html = String::from_utf8(page.body).unwrap();
        let links = html.split("<th scope=\"row\"><a href=\"/console/keys/").skip(1);
        seen.extend(links.map(|rest| rest.split('"').next().unwrap().to_owned()));
        if let Some(next) = html.split("rel=\"next\"").next().filter(|before| before.len() < html.len()) {
            path = next.rsplit("href=\"").next().unwrap().split('"').next().unwrap().replace("&#38;", "&");
        }
    }
    assert_eq!(seen.len(), 1_000);
}

#[track_caller]
fn create(browser: &mut Browser, name: &str, fields: &[(&str, &str)]) -> Answer {
    let named = !fields.iter().any(|(field, value)| *field == "name" && value.is_empty());
    let name: &[_] = if named { &[("name", name)] } else { &[] };
    browser.submit_on(NEW, NEW, &[name, fields].concat())
}

/// Makes the smaller key that the page of a key offers, as it is offered; what it may do.
#[track_caller]
fn follow_smaller(browser: &mut Browser, tenant: &Tenant, id: &str) -> Value {
    let page = browser.get(&format!("/console/keys/{id}")).expect_status(200);
    let link = between(&page, "href=\"/console/keys/new?", "\"").replace("&#38;", "&");
    let made = browser.submit_on(&format!("{NEW}?{link}"), NEW, &[]).expect_status(200);
    tenant.user("admin").get(tenant.path(&format!("api-keys/{}", id_of(&made)))).expect_status(200).json()
}

#[track_caller]
fn rotate(browser: &mut Browser, id: &str, overlap: &str) -> Answer {
    let path = format!("/console/keys/{id}/rotate");
    browser.submit_on(&path, &path, &[("overlap_seconds", overlap)])
}

/// The plain text that a page shows this once.
#[track_caller]
fn secret(page: &Answer) -> String {
    between(page, "id=\"secret\">", "<")
}

#[track_caller]
fn id_of(page: &Answer) -> String {
    between(page, "class=\"button primary\" href=\"/console/keys/", "\"")
}

#[track_caller]
fn between(page: &Answer, before: &str, after: &str) -> String {
    let html = String::from_utf8(page.body.clone()).unwrap();
    let rest = html.split_once(before).unwrap_or_else(|| panic!("{before} in {html}")).1;
    rest.split(after).next().unwrap().to_owned()
}
