//! People and the audit log in the console.

use std::time::Duration;

use jeton_test_macros::both_databases;
use serde_json::json;

use super::Browser;
use super::browser::{form_token, value_of};
use crate::exhaustion::until;
use crate::harness::{Answer, Database, Jeton, Tenant, User, at_once};

const OWN: &str = "Harbour-violet-2207-anvil";

/// The text of an element of the page with this id.
fn text_of(page: &str, id: &str) -> String {
    let behind = page.split_once(&format!("id=\"{id}\"")).unwrap_or_else(|| panic!("{id} in {page}")).1;
    behind.split_once('>').unwrap().1.split('<').next().unwrap().to_owned()
}

/// The id in the path of a link of the page that leads below `path`.
fn id_behind(page: &str, path: &str, text: &str) -> String {
    let mark = format!("href=\"{path}");
    let links = page.split(&mark).skip(1);
    let named = links.filter(|link| link.split_once("</a>").is_some_and(|(link, _)| link.contains(text)));
    let link = named.last().unwrap_or_else(|| panic!("a link to {text} in {page}"));
    link.split('"').next().unwrap().to_owned()
}

#[both_databases]
fn an_administrator_adds_changes_and_removes_people(jeton: Jeton) {
    let tenant = jeton.tenant();
    let mut browser = Browser::of(&jeton, tenant.admin());
    let add = [("email", "ada@example.com"), ("role", "member")];
    let given = browser.submit_on("/console/users", "/console/users", &add).expect_status(200);
    assert_eq!(given.header("cache-control"), Some("no-store"));
    let password = text_of(&given.told(), "password");
    assert_eq!(password.len(), 32);
    let list = browser.get("/console/users").expect_status(200).told();
    assert!(list.contains("ada@example.com") && list.contains("Invited") && !list.contains(&password), "{list}");

    // She chooses her own in the console.
    let mut hers = Browser::new(&jeton);
    let first = [("email", "ada@example.com"), ("password", &*password)];
    let asked = hers.submit_on("/console/sign-in", "/console/sign-in", &first);
    assert!(asked.told().contains("name=\"new_password\""), "{}", asked.told());
    assert!(asked.told().contains("At least 15 characters"), "before the first try: {}", asked.told());
    assert!(!hers.cookies.contains_key("__Host-jeton_refresh"));
    let chosen = [&first[..], &[("new_password", OWN)]].concat();
    hers.submit_on("/console/sign-in", "/console/sign-in", &chosen).expect_status(303);
    hers.get("/console/users").expect_status(403);

    let id = id_behind(&list, "/console/users/", "ada@example.com");
    let path = format!("/console/users/{id}");
    let role = browser.submit_on(&path, &format!("{path}/role"), &[("role", "admin")]).expect_status(303);
    let shown = browser.get(role.header("location").unwrap()).expect_status(200).told();
    assert!(shown.contains("The role is changed"), "{shown}");
    hers.get("/console/users").expect_status(200);
    let renew = [("idempotency_key", "once")];
    let again = browser.forge_on(&path, &format!("{path}/one-time-password"), &renew);
    assert_eq!(again.status, 409, "she has a password of her own");

    browser.submit_on(&path, &format!("{path}/remove"), &[]).expect_status(303);
    browser.get(&path).expect_status(404);
    let left = hers.get("/console/users");
    assert_eq!((left.status, left.header("location").unwrap().contains("/console/sign-in")), (303, true));
    for action in ["user.added", "user.role_changed", "user.removed"] {
        let by_admin = format!("audit_events WHERE action = '{action}' AND actor = 'user:{}'", tenant.admin().id);
        assert_eq!(jeton.rows(&by_admin), 1, "{action}");
    }
}

#[both_databases]
fn another_one_time_password_is_given_while_none_was_used(jeton: Jeton) {
    let tenant = jeton.tenant();
    let mut browser = Browser::of(&jeton, tenant.admin());
    let add = [("email", "bob@example.com"), ("role", "member")];
    let first = browser.submit_on("/console/users", "/console/users", &add).expect_status(200).told();
    let id = id_behind(&browser.get("/console/users").told(), "/console/users/", "bob@example.com");
    let path = format!("/console/users/{id}");
    let second = browser.submit_on(&path, &format!("{path}/one-time-password"), &[]).expect_status(200).told();
    let (first, second) = (text_of(&first, "password"), text_of(&second, "password"));
    let login = |password: &str| {
        let body = json!({"email": "bob@example.com", "password": password, "new_password": OWN});
        jeton.post("/api/v1/auth/login").json(body)
    };
    login(&first).expect_problem(401, "invalid_credentials");
    login(&second).expect_tokens();
}

/// Sent twice by a double click, sent again by loading the page with the password once more: what is seen last works.
#[both_databases]
fn the_same_form_gives_the_same_one_time_password(jeton: Jeton) {
    let tenant = jeton.tenant();
    let mut browser = Browser::of(&jeton, tenant.admin());
    for email in ["eve@example.com", "mallory@example.com"] {
        let add = [("email", email), ("role", "member")];
        browser.submit_on("/console/users", "/console/users", &add).expect_status(200);
    }
    let list = browser.get("/console/users").told();
    let [path, other] =
        ["eve@", "mallory@"].map(|who| format!("/console/users/{}", id_behind(&list, "/console/users/", who)));
    let page = browser.get(&path);
    let (token, once) = (form_token(&page), value_of(&page, "idempotency_key"));
    let form = [("form_token", token.as_str()), ("idempotency_key", &once)];
    let renew = format!("{path}/one-time-password");
    let shown = |answer: Answer| text_of(&answer.expect_status(200).told(), "password");
    let at_once = at_once(8, |_| shown(browser.tab().submit(&renew, &form)));
    jeton.advance(Duration::from_secs(5));
    let given = shown(browser.submit(&renew, &form));
    assert_eq!(at_once, vec![given.clone(); 8]);
    assert_eq!(jeton.audited("user.one_time_password_given"), 1);

    browser.submit(&format!("{other}/one-time-password"), &form).expect_status(409);
    browser.submit(&renew, &form[..1]).expect_status(422);
    jeton.advance(Duration::from_secs(5));
    let next = shown(browser.submit(&renew, &[("form_token", &token), ("idempotency_key", "another")]));
    let stale = browser.submit(&renew, &form).expect_status(409).told();
    assert!(stale.contains("no longer good") && !stale.contains(&given), "{stale}");
    let body = json!({"email": "eve@example.com", "password": next, "new_password": OWN});
    jeton.post("/api/v1/auth/login").json(body).expect_tokens();
    browser.submit(&renew, &form).expect_status(409);
}

/// The same where somebody is added: what was shown once is shown again, to nobody else and not for ever.
#[both_databases]
fn the_same_form_adds_somebody_once_and_shows_the_same_password(jeton: Jeton) {
    const USERS: &str = "/console/users";
    let tenant = jeton.tenant();
    let mut browser = Browser::of(&jeton, tenant.admin());
    let page = browser.get(USERS);
    let (token, once) = (form_token(&page), value_of(&page, "idempotency_key"));
    let form =
        |email| [("form_token", token.as_str()), ("idempotency_key", &once), ("email", email), ("role", "member")];
    let shown = |answer: Answer| text_of(&answer.expect_status(200).told(), "password");
    let at_once = at_once(8, |_| shown(browser.tab().submit(USERS, &form("eve@example.com"))));
    jeton.advance(Duration::from_secs(5));
    let given = shown(browser.submit(USERS, &form("eve@example.com")));
    assert_eq!(at_once, vec![given.clone(); 8]);
    let added = tenant.admin().get(tenant.path("audit-events?action=user.added"));
    assert_eq!(added.items().iter().filter(|event| event["actor"] != "cli").count(), 1);

    let other = browser.submit(USERS, &form("mallory@example.com")).expect_status(409);
    assert!(other.told().contains("added from this form before") && value_of(&other, "idempotency_key") != once);
    let somebody_else = tenant.user("admin");
    let mut elsewhere = Browser::of(&jeton, &somebody_else);
    let theirs = form_token(&elsewhere.get(USERS));
    let stolen =
        [("form_token", theirs.as_str()), ("idempotency_key", &once), ("email", "eve@example.com"), ("role", "member")];
    let member = elsewhere.submit(USERS, &stolen).expect_status(303);
    assert!(member.header("location").unwrap().ends_with("?done=member"));

    let body = json!({"email": "eve@example.com", "password": given, "new_password": OWN});
    jeton.post("/api/v1/auth/login").json(body).expect_tokens();
    let stale = browser.submit(USERS, &form("eve@example.com")).expect_status(409).told();
    assert!(stale.contains("no longer good") && !stale.contains(&given), "{stale}");
}

/// Each is another one, and the last that was stored works: nobody is told that it is not for them to give.
#[both_databases]
fn different_forms_at_once_give_different_one_time_passwords(jeton: Jeton) {
    let tenant = jeton.tenant();
    let mut browser = Browser::of(&jeton, tenant.admin());
    let add = [("email", "eve@example.com"), ("role", "member")];
    browser.submit_on("/console/users", "/console/users", &add).expect_status(200);
    let id = id_behind(&browser.get("/console/users").told(), "/console/users/", "eve@");
    let path = format!("/console/users/{id}");
    let token = form_token(&browser.get(&path));
    let given = at_once(4, |number| {
        let form = [("form_token", token.as_str()), ("idempotency_key", &number.to_string())];
        let given = browser.tab().submit(&format!("{path}/one-time-password"), &form).expect_status(200);
        text_of(&given.told(), "password")
    });
    let works = |password: &&String| {
        let body = json!({"email": "eve@example.com", "password": password, "new_password": OWN});
        jeton.post("/api/v1/auth/login").json(body).status == 200
    };
    assert_eq!(given.iter().filter(works).count(), 1, "{given:?}");
}

#[both_databases]
fn refusals_stand_beside_their_fields(jeton: Jeton) {
    let tenant = jeton.tenant();
    let mut browser = Browser::of(&jeton, tenant.admin());
    let mut add = |email: &str, role: &str| {
        browser.submit_on("/console/users", "/console/users", &[("email", email), ("role", role)])
    };
    let wrong = add("nobody", "owner").expect_status(422);
    assert!(wrong.told().contains("id=\"email-fault\""), "{}", wrong.told());
    assert_eq!(value_of(&wrong, "email"), "nobody", "what was typed stays");
    let wrong = add("a@example.com", "owner").expect_status(422).told();
    assert!(wrong.contains("must be one of"), "{wrong}");
    let known = add(&tenant.admin().email, "member").expect_status(303);
    let theirs = known.header("location").unwrap().to_owned();
    assert_eq!(theirs, format!("/console/users/{}?done=member", tenant.admin().id));
    let mass = browser.submit_on(
        "/console/users",
        "/console/users",
        &[("email", "a@example.com"), ("role", "member"), ("operator", "true")],
    );
    mass.expect_status(422);
    assert_eq!(jeton.rows("users WHERE email = 'a@example.com'"), 0);

    assert!(browser.get(&theirs).told().contains("Already a member here"));

    let known = jeton.tenant().user("member");
    let mut browser = Browser::of(&jeton, tenant.admin());
    let joined = browser.submit_on("/console/users", "/console/users", &[("email", &known.email), ("role", "member")]);
    assert_eq!(joined.expect_status(303).header("location"), Some("/console/users?done=joined"));
    let told = browser.get("/console/users?done=joined").expect_status(200).told();
    assert!(told.contains("make sure that it is this"), "{told}");
    Browser::of(&jeton, jeton.tenant().admin())
        .submit_on("/console/users", "/console/users", &[("email", "new@example.com"), ("role", "member")])
        .expect_status(200);
    let add = [("email", "new@example.com"), ("role", "admin")];
    let pending = browser.submit_on("/console/users", "/console/users", &add).expect_status(409).told();
    assert!(pending.contains("invited elsewhere"), "{pending}");
}

#[both_databases]
fn a_tenant_shows_nothing_of_another(jeton: Jeton) {
    let (mine, other) = (jeton.tenant(), jeton.tenant());
    let stranger = other.user("member");
    let mut browser = Browser::of(&jeton, mine.admin());
    let path = format!("/console/users/{}", stranger.id);
    browser.get(&path).expect_status(404);
    for what in ["role", "remove", "one-time-password"] {
        let fields: &[(&str, &str)] = if what == "role" { &[("role", "admin")] } else { &[] };
        browser.forge_on("/console/users", &format!("{path}/{what}"), fields).expect_status(404);
    }
    stranger.login().expect_tokens();
    browser.get("/console/users/nonsense").expect_status(404);
}

#[both_databases]
fn what_somebody_may_not_is_not_offered(jeton: Jeton) {
    let tenant = jeton.tenant();
    let places = ["users", "audit", "trusted-issuers", "groups", "app-identifiers", "tenants", "signing-keys", "keys"];
    let offered = |user: &User| -> Vec<&str> {
        let page = Browser::of(&jeton, user).get("/console/account").expect_status(200).told();
        places.into_iter().filter(|place| page.contains(&format!("href=\"/console/{place}\""))).collect()
    };
    assert_eq!(offered(&tenant.user("member")), [""; 0]);
    assert_eq!(offered(tenant.admin()), ["users", "audit", "trusted-issuers", "groups", "app-identifiers", "keys"]);
    assert_eq!(offered(&jeton.operator()), places);
    let mut member = Browser::of(&jeton, &tenant.user("member"));
    for place in places {
        member.get(&format!("/console/{place}")).expect_status(403);
        let token = super::form_token(&member.get("/console/account"));
        if !["audit", "signing-keys", "keys"].contains(&place) {
            member.submit(&format!("/console/{place}"), &[("form_token", &token)]).expect_status(403);
        }
    }
    until("it is recorded", || jeton.audited("session.refused") == 1);
}

#[both_databases]
fn the_audit_log_is_filtered_and_paged(jeton: Jeton) {
    let tenant = jeton.tenant();
    for _ in 0..60 {
        tenant.api_key(["a:b"]);
    }
    let mut browser = Browser::of(&jeton, tenant.admin());
    let first = browser.get("/console/audit").expect_status(200);
    assert!(first.body.len() < 100_000, "{} bytes", first.body.len());
    let first = first.told();
    assert_eq!(first.matches("class=\"event\"").count(), 50);
    let cursor = first.split_once("/console/audit?cursor=").expect("a further page").1.split('"').next().unwrap();
    let second = browser.get(&format!("/console/audit?cursor={cursor}")).expect_status(200).told();
    assert!(second.contains("api_key.created") && second.contains("Back to the first page"), "{second}");

    let mut ask = |query: &str| browser.get(&format!("/console/audit?{query}")).told();
    let filtered = ask("action=session.created&actor=&since=&until=");
    assert!(filtered.contains("session.created") && !filtered.contains("<code>api_key.created"), "{filtered}");
    let of_key = ask("action=api_key.created");
    assert!(of_key.contains("/console/audit?action=api_key.created&#38;cursor="), "{of_key}");
    assert!(ask("actor=user:nobody").contains("No events"));
    assert!(ask("until=2020-01-01T00:00").contains("No events"));
    assert!(ask("since=2020-01-01T00:00").contains("api_key.created"));
    let events = tenant.admin().get(tenant.path("audit-events?action=session.created")).items();
    let event = events.last().expect("the first sign-in");
    let at = event["at"].as_str().unwrap_or_else(|| panic!("{event}"));
    let (minute, second) = (&at[..16], &at[..19]);
    let its = "&action=session.created";
    assert!(!ask(&format!("since={minute}&until={minute}{its}")).contains("No events"), "the whole minute");
    assert!(ask(&format!("until={second}{its}")).contains("No events"), "sooner");
    assert!(ask(its).contains(&format!("{} UTC</time>", &at[11..19])), "its second");
    let wrong = ask("since=2026-02-01T00:00&until=2026-01-01T00:00");
    assert!(wrong.contains("id=\"until-fault\"") && wrong.contains("must be later"), "{wrong}");
    let wrong = ask("actor=ada@example.com");
    assert!(wrong.contains("id=\"actor-fault\"") && wrong.contains("user:ID"), "{wrong}");
    let me = &tenant.admin().id;
    let short = browser.get("/console/audit?limit=3&action=session.created").told();
    let actor = format!("href=\"/console/audit?actor=user%3A{me}&#38;limit=3\"");
    for kept in ["name=\"limit\" value=\"3\"", "href=\"/console/audit?limit=3\">Clear filter", &actor] {
        assert!(short.contains(kept), "{kept} in {short}");
    }
    assert!(!browser.get("/console/audit?action=a").told().contains("name=\"limit\""), "a matter of course");
    let hers = format!("href=\"/console/audit?actor=user:{me}\"");
    assert!(browser.get(&format!("/console/users/{me}")).told().contains(&hers), "a link to {hers}");
    let mut ask = |query: &str| browser.get(&format!("/console/audit?{query}")).told();
    let wrong = ask("since=soon");
    assert!(wrong.contains("must be a date and time") && !wrong.contains("class=\"event\""), "{wrong}");
    let wrong = ask("actor=%00&action=a%0ab");
    for mark in ["id=\"actor-fault\"", "id=\"action-fault\"", "must not contain control characters"] {
        assert!(wrong.contains(mark) && !wrong.contains("class=\"event\""), "{mark} in {wrong}");
    }
    browser.get("/console/audit?cursor=nonsense").expect_status(422);
    let other: Tenant = jeton.tenant();
    let theirs = Browser::of(&jeton, other.admin()).get("/console/audit").told();
    assert!(!theirs.contains("<code>api_key.created"), "{theirs}");
}

/// Ten thousand lines, a page at a time: each of them once, and no page is larger for them.
#[both_databases]
fn ten_thousand_lines_of_the_audit_log_are_paged_through(jeton: Jeton) {
    let tenant = jeton.tenant();
    let mut browser = Browser::of(&jeton, tenant.admin());
    jeton.stop();
    // Of this moment, as an id says: what is old would be swept.
    let id = tenant.id.replace('-', "");
    let (numbers, new_id, tenant_id) = match jeton.database() {
        Database::Sqlite => (
            "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 10000)",
            "CAST(substr(one.id, 1, 6) || randomblob(10) AS BLOB)",
            format!("x'{id}'"),
        ),
        Database::Postgres { .. } => (
            "WITH numbers AS (SELECT generate_series(1, 10000) AS n)",
            "substring(one.id FOR 6) || substring(decode(md5(random()::text), 'hex') FOR 10)",
            format!("decode('{id}', 'hex')"),
        ),
    };
    jeton.execute(&format!(
        "{numbers} INSERT INTO audit_events (id, at, tenant_id, action, outcome, actor, target)
         SELECT {new_id}, at, tenant_id, action, outcome, actor, 'line:' || n
         FROM numbers, (SELECT * FROM audit_events WHERE tenant_id = {tenant_id} LIMIT 1) AS one"
    ));
    jeton.start();
    let (mut path, mut seen) = (Some("/console/audit".to_owned()), std::collections::BTreeSet::new());
    while let Some(here) = path {
        let page = browser.get(&here).expect_status(200);
        assert!(page.body.len() < 100_000, "{} bytes", page.body.len());
        let html = String::from_utf8(page.body).unwrap();
        for line in html.split("line:").skip(1) {
            let number: String = line.chars().take_while(char::is_ascii_digit).collect();
            seen.insert(number);
        }
        let next = html.split_once("/console/audit?cursor=").map(|(_, behind)| behind.split('"').next().unwrap());
        path = next.map(|cursor| format!("/console/audit?cursor={cursor}"));
    }
    assert_eq!(seen.len(), 10_000);
}
