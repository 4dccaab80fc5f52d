//! Who is signed in to the console, by the refresh cookie and its rules (contract section 3).

use std::time::Duration;

use jeton_test_macros::both_databases;

use super::{Browser, form_token};
use crate::harness::{Client, Jeton, User, at_once, create_user};

const SIGN_IN: &str = "/console/sign-in";

#[both_databases]
fn signing_in_leads_to_where_one_was_going(jeton: Jeton) {
    let user = jeton.tenant().admin().clone();
    let mut browser = Browser::new(&jeton);
    let asked = browser.get("/console/keys?limit=5").expect_status(303);
    let sign_in = asked.header("location").unwrap().to_owned();
    assert_eq!(sign_in, "/console/sign-in?return_to=%2Fconsole%2Fkeys%3Flimit%3D5");

    browser.get(&sign_in).expect_status(200);
    let fields = [("email", user.email.as_str()), ("password", &user.password)];
    let answer = browser.submit_on(&sign_in, SIGN_IN, &fields).expect_status(303);
    assert_eq!(answer.header("location"), Some("/console/keys?limit=5"));
    let cookie = answer.header("set-cookie").unwrap();
    for attribute in ["Path=/", "HttpOnly", "Secure", "SameSite=Strict"] {
        assert!(cookie.contains(attribute), "{attribute} in {cookie}");
    }
    let page = browser.get("/console/keys?limit=5").expect_status(200);
    assert!(page.told().contains(&user.email));

    for foreign in ["https://evil.example/", "//evil.example", "/console/../docs", "/docs"] {
        let mut browser = Browser::new(&jeton);
        let fields = [("email", user.email.as_str()), ("password", &user.password), ("return_to", foreign)];
        let answer = browser.submit_on(SIGN_IN, SIGN_IN, &fields).expect_status(303);
        assert_eq!(answer.header("location"), Some("/console"), "{foreign}");
    }
}

#[both_databases]
fn what_is_wrong_is_said_and_the_address_kept(jeton: Jeton) {
    let user = jeton.tenant().user("member");
    let mut browser = Browser::new(&jeton);
    for (email, password, status, said) in [
        (user.email.as_str(), "wrong", 401, "Invalid e-mail address or password"),
        ("nobody@example.com", "wrong", 401, "Invalid e-mail address or password"),
        ("no address", "wrong", 422, "must be an e-mail address"),
        (&user.email, "", 422, "is required"),
    ] {
        let shown = browser.submit_on(SIGN_IN, SIGN_IN, &[("email", email), ("password", password)]);
        assert_eq!(shown.status, status, "{}", shown.told());
        assert!(shown.told().contains(said), "{}", shown.told());
        assert!(shown.told().contains(&format!("value=\"{email}\"")), "{}", shown.told());
        assert!(!shown.told().contains("value=\"wrong\""), "{}", shown.told());
    }
}

#[both_databases]
fn pages_may_do_nothing_but_what_is_ours(jeton: Jeton) {
    let mut browser = Browser::of(&jeton, jeton.tenant().admin());
    for path in ["/console/keys", "/console/account", "/console/organisations", "/console/nowhere", "/console"] {
        let page = browser.get(path);
        let policy = page.header("content-security-policy").unwrap_or_default();
        for part in ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe-"), "{path}: {policy}");
        assert_eq!(page.header("cache-control"), Some("no-store"), "{path}");
        assert_eq!(page.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(page.header("referrer-policy"), Some("same-origin"), "{path}");
        assert!(page.body.len() < 100_000, "{path}: {} bytes", page.body.len());
        let html = page.told();
        assert!(!html.contains(" style=") && !html.contains("<style") && !html.contains(" onclick="), "{path}: {html}");
    }
    assert_eq!(browser.get("/console/nowhere").status, 404);
    let page = browser.get("/console/account").told();
    for file in ["console.css", "console.js", "console.svg"] {
        assert!(page.contains(&format!("\"/console/assets/{file}?v=")), "named by its content: {page}");
    }
    let styles = browser.get("/console/assets/console.css").expect_status(200);
    assert!(styles.header("cache-control").unwrap().contains("immutable"));
    assert!(styles.body.len() < 50_000);
}

/// A page view reads; the cookie is renewed where an access token would be, and the rules of a refresh hold.
#[both_databases]
fn a_page_view_renews_the_cookie_only_when_it_is_old(jeton: Jeton) {
    let mut browser = Browser::of(&jeton, jeton.tenant().admin());
    let first = browser.session();
    for _ in 0..3 {
        jeton.advance(Duration::from_mins(9));
        assert_eq!(browser.get("/console/keys").expect_status(200).header("set-cookie"), None);
    }
    jeton.advance(Duration::from_mins(4));
    browser.get("/console/keys").expect_status(200);
    let second = browser.session();
    assert_ne!(first, second);

    // Another tab, whose request was on its way: it gets the same successor.
    let mut tab = Browser::new(&jeton);
    tab.cookies.insert("__Host-jeton_refresh".to_owned(), first.clone());
    tab.get("/console/keys").expect_status(200);
    assert_eq!(tab.session(), second);

    // A copy that comes back later is reuse: nobody has the session any more.
    jeton.advance(Duration::from_mins(2));
    let mut thief = Browser::new(&jeton);
    thief.cookies.insert("__Host-jeton_refresh".to_owned(), first);
    let answer = thief.get("/console/keys").expect_status(303);
    assert!(answer.header("location").unwrap().contains("why=reused"));
    assert_eq!(answer.header("set-cookie"), None, "a losing answer clears nothing");
    browser.get("/console/keys").expect_status(303);
}

/// Nobody is signed out who goes on working, however short the life of a refresh token is.
#[both_databases]
fn a_cookie_that_ends_before_an_access_token_is_renewed_in_time(jeton: Jeton) {
    let jeton = jeton.with("tokens.refresh_ttl", "20m");
    let mut browser = Browser::of(&jeton, jeton.tenant().admin());
    for _ in 0..6 {
        jeton.advance(Duration::from_mins(9));
        browser.get("/console/keys").expect_status(200);
    }
    jeton.advance(Duration::from_mins(21));
    browser.get("/console/keys").expect_status(303);
}

/// A browser that opens its tabs again asks for all of them with the one cookie that it has.
#[both_databases]
fn any_number_of_tabs_may_be_opened_again_at_once(jeton: Jeton) {
    const TABS: usize = 20;
    let mut browser = Browser::of(&jeton, jeton.tenant().admin());
    let old = browser.session();
    let open = || {
        let mut tab = Browser::new(&jeton);
        tab.cookies.insert("__Host-jeton_refresh".to_owned(), old.clone());
        let answer = tab.get("/console/keys");
        (answer.status, answer.header("location").map(str::to_owned), tab.session())
    };
    jeton.advance(Duration::from_mins(31));
    let opened = at_once(TABS, |_| open());
    assert!(opened.iter().all(|(status, ..)| *status == 200), "{opened:?}");
    let mut tokens: Vec<_> = opened.into_iter().map(|(.., token)| token).collect();
    tokens.sort_unstable();
    tokens.dedup();
    let new = tokens.iter().find(|token| **token != old).expect("a successor").clone();
    assert!(tokens.len() <= 2, "one successor, and for those that came too late none: {tokens:?}");
    // The grace is used up by now. A view still passes, and is handed nothing; a refresh is a reuse as ever.
    for _ in 0..TABS {
        open();
    }
    assert_eq!(open(), (200, None, old.clone()));
    browser.cookies.insert("__Host-jeton_refresh".to_owned(), new);
    browser.get("/console/keys").expect_status(200);

    // Once there is a newer one, or the grace is over, it is a copy.
    jeton.advance(Duration::from_mins(2));
    let (status, location, _) = open();
    assert_eq!(status, 303);
    assert!(location.unwrap().contains("why=reused"));
    browser.get("/console/keys").expect_status(303);
}

#[both_databases]
fn the_sign_in_page_asks_only_whom_it_can_tell(jeton: Jeton) {
    let mut browser = Browser::of(&jeton, jeton.tenant().admin());
    let first = browser.session();
    assert_eq!(browser.get(SIGN_IN).expect_status(303).header("location"), Some("/console"));
    jeton.advance(Duration::from_mins(31));
    jeton.break_writes("sessions", "UPDATE");
    let failed = browser.get(SIGN_IN);
    assert!((500..600).contains(&failed.status) && !failed.told().contains("password"), "{}", failed.told());
    jeton.mend_writes("sessions");
    assert_eq!(browser.get(SIGN_IN).expect_status(303).header("location"), Some("/console"));

    // A copy that comes back ends the session here too, and that is said.
    jeton.advance(Duration::from_mins(2));
    let mut thief = Browser::new(&jeton);
    thief.cookies.insert("__Host-jeton_refresh".to_owned(), first);
    let told = thief.get(SIGN_IN).expect_status(200).told();
    assert!(told.contains("class=\"notice\""), "{told}");
    browser.get("/console/keys").expect_status(303);
    assert!(!Browser::new(&jeton).get(SIGN_IN).expect_status(200).told().contains("class=\"notice\""));
}

#[both_databases]
fn what_ends_a_session_ends_it_here_at_once(jeton: Jeton) {
    let tenant = jeton.tenant();
    let user = tenant.user("admin");
    let mut browser = Browser::of(&jeton, &user);
    browser.get("/console/keys").expect_status(200);
    jeton.cli(["user", "disable", &user.email]).expect_code(0);
    let answer = browser.get("/console/keys").expect_status(303);
    assert_eq!(answer.header("location"), Some("/console/sign-in?return_to=%2Fconsole%2Fkeys&why=ended"));

    let mut browser = Browser::of(&jeton, tenant.admin());
    tenant.suspend();
    browser.get("/console/keys").expect_status(303);
    let refused = browser.sign_in(tenant.admin()).expect_status(403);
    assert!(refused.told().contains("This organisation is suspended"), "{}", refused.told());

    let mut forged = Browser::new(&jeton);
    for cookie in ["jrt_AAAA", "x", tenant.admin().email.as_str()] {
        forged.cookies.insert("__Host-jeton_refresh".to_owned(), cookie.to_owned());
        forged.get("/console/keys").expect_status(303);
    }
}

#[both_databases]
fn signing_out_ends_this_session_or_all(jeton: Jeton) {
    let user = jeton.tenant().admin().clone();
    let [mut first, mut second, mut third] = [(); 3].map(|()| Browser::of(&jeton, &user));
    let old = first.session();
    first.submit_on("/console/account", "/console/sign-out", &[]).expect_status(303);
    assert!(!first.cookies.contains_key("__Host-jeton_refresh"), "the cookie is gone");
    first.cookies.insert("__Host-jeton_refresh".to_owned(), old);
    first.get("/console/account").expect_status(303);

    second.submit_on("/console/account", "/console/account/sign-out-everywhere", &[]).expect_status(303);
    second.get("/console/account").expect_status(303);
    third.get("/console/account").expect_status(303);
}

/// The cookie is replaced: what it stood for would go on unseen (ASVS 7.2.4).
#[both_databases]
fn signing_in_again_ends_the_session_before(jeton: Jeton) {
    let tenant = jeton.tenant();
    let (user, other) = (tenant.user("member"), tenant.user("member"));
    let mut browser = Browser::of(&jeton, &user);
    let old = browser.session();
    let elsewhere = user.session();
    // Somebody who is signed in is led on from the page; a form that was open before is still sent.
    let sign_in = |browser: &mut Browser, user: &User, password: &str| {
        let mut stranger = Browser::new(&jeton);
        let token = form_token(&stranger.get(SIGN_IN));
        browser.cookies.extend(stranger.cookies);
        browser.submit(SIGN_IN, &[("form_token", &token), ("email", &user.email), ("password", password)])
    };
    let lives = |cookie: &str| {
        let mut browser = Browser::new(&jeton);
        browser.cookies.insert("__Host-jeton_refresh".to_owned(), cookie.to_owned());
        browser.get("/console/account").status == 200
    };
    sign_in(&mut browser, &user, "wrong").expect_status(401);
    assert!(lives(&old), "a wrong password ends nothing");
    sign_in(&mut browser, &user, &user.password).expect_status(303);
    let new = browser.session();
    assert!(!lives(&old) && lives(&new));
    elsewhere.refreshed();
    let ended = tenant.admin().get(tenant.path(&format!("audit-events?action=session.revoked&actor=user:{}", user.id)));
    assert_eq!(ended.items().len(), 1, "{}", ended.told());
    assert_eq!(ended.items()[0]["details"], "signed in again");

    // Another's session is not theirs to end, and a device of the API keeps its own.
    sign_in(&mut browser, &other, &other.password).expect_status(303);
    assert!(lives(&new));
    let known = user.session();
    user.login_with(serde_json::json!({"refresh_token": known.refresh_token})).expect_tokens();
    known.refreshed();
}

#[both_databases]
fn a_new_password_ends_every_other_session(jeton: Jeton) {
    let user = jeton.tenant().admin().clone();
    let (mut browser, mut other) = (Browser::of(&jeton, &user), Browser::of(&jeton, &user));
    let mut change = |current: &str, new: &str| {
        let fields = [("current_password", current), ("new_password", new)];
        browser.submit_on("/console/account", "/console/account/password", &fields)
    };
    let wrong = change("not my password", "Harbour-violet-9921-kettle").expect_status(422);
    assert!(wrong.told().contains("id=\"current_password-fault\""), "{}", wrong.told());
    let weak = change(&user.password, "short").expect_status(422);
    assert!(weak.told().contains("id=\"new_password-fault\""), "{}", weak.told());
    other.get("/console/account").expect_status(200);

    change(&user.password, "Harbour-violet-9921-kettle").expect_status(303);
    browser.get("/console/account?done=password").expect_status(200);
    other.get("/console/account").expect_status(303);
}

#[both_databases]
fn one_of_several_organisations_is_open(jeton: Jeton) {
    let (first, second, foreign) = (jeton.tenant(), jeton.tenant(), jeton.tenant());
    let user = first.user("admin");
    second
        .admin()
        .post(second.path("users"), serde_json::json!({"email": user.email, "role": "member"}))
        .expect_status(201);

    let mut browser = Browser::new(&jeton);
    let choice = browser.sign_in(&user).expect_status(200).told();
    for tenant in [&first, &second] {
        assert!(choice.contains(&tenant.name) && choice.contains(&tenant.id), "{choice}");
    }
    assert!(!choice.contains(&foreign.name));
    let fields = [("email", user.email.as_str()), ("password", &user.password), ("tenant_id", &first.id)];
    browser.submit_on(SIGN_IN, SIGN_IN, &fields).expect_status(303);
    browser.get("/console/keys").expect_status(200);
    let before = browser.session();

    let mut switch =
        |tenant: &str| browser.submit_on("/console/organisations", "/console/organisations", &[("tenant_id", tenant)]);
    switch(&foreign.id).expect_status(404);
    switch("nonsense").expect_status(422);
    switch(&second.id).expect_status(303);

    let denied = browser.get("/console/keys").expect_status(403);
    assert!(denied.told().contains("api-keys:read"), "a member there: {}", denied.told());
    let mut old = Browser::new(&jeton);
    old.cookies.insert("__Host-jeton_refresh".to_owned(), before);
    old.get("/console/account").expect_status(303);

    let events = second.admin().get(second.path("audit-events?action=session.switched"));
    assert_eq!(events.items().len(), 1, "{}", events.told());
    assert_eq!(events.items()[0]["actor"], format!("user:{}", user.id));
    let ended = first.admin().get(first.path("audit-events?action=session.revoked"));
    assert_eq!(ended.items()[0]["details"], "switched to another tenant", "{}", ended.told());
}

/// What is switched lasts no longer than the login that it goes back to.
#[both_databases]
fn switching_does_not_prolong_a_login(jeton: Jeton) {
    let (first, second) = (jeton.tenant(), jeton.tenant());
    let user = create_user(&jeton, &first.id, "admin", &[]);
    second
        .admin()
        .post(second.path("users"), serde_json::json!({"email": user.email, "role": "admin"}))
        .expect_status(201);
    let mut browser = Browser::new(&jeton);
    let fields = [("email", user.email.as_str()), ("password", &user.password), ("tenant_id", &first.id)];
    browser.submit_on(SIGN_IN, SIGN_IN, &fields).expect_status(303);

    for (tenant, days) in [(&second, 29), (&first, 29), (&second, 29)] {
        jeton.advance(Duration::from_hours(days * 24));
        browser
            .submit_on("/console/organisations", "/console/organisations", &[("tenant_id", &tenant.id)])
            .expect_status(303);
    }
    jeton.advance(Duration::from_hours(2 * 24));
    browser.get("/console/account").expect_status(200);
    jeton.advance(Duration::from_hours(2 * 24));
    browser.get("/console/account").expect_status(303);
}

/// Or whoever has somebody's session could guess at the password for ever.
#[both_databases]
fn switching_begins_no_new_count_of_wrong_passwords(jeton: Jeton) {
    let jeton = jeton.with("login.account_failures", "3");
    let (first, second) = (jeton.tenant(), jeton.tenant());
    let user = create_user(&jeton, &first.id, "admin", &[]);
    second
        .admin()
        .post(second.path("users"), serde_json::json!({"email": user.email, "role": "admin"}))
        .expect_status(201);
    let mut browser = Browser::new(&jeton);
    let fields = [("email", user.email.as_str()), ("password", &user.password), ("tenant_id", &first.id)];
    browser.submit_on(SIGN_IN, SIGN_IN, &fields).expect_status(303);
    let guess = |browser: &mut Browser| {
        let fields = [("current_password", "not my password"), ("new_password", "Harbour-violet-9921-kettle")];
        browser.submit_on("/console/account", "/console/account/password", &fields)
    };

    for _ in 0..8 {
        guess(&mut browser).expect_status(422);
        jeton.advance(Duration::from_secs(20));
    }
    // Now it is to wait for 32 s, of which 20 s are over.
    for tenant in [&second, &first, &second] {
        guess(&mut browser).expect_status(429);
        let page = "/console/organisations";
        browser.submit_on(page, page, &[("tenant_id", &tenant.id)]).expect_status(303);
    }
    let wait = guess(&mut browser).expect_status(429).header("retry-after").unwrap().parse::<u64>().unwrap();
    assert!((1..=12).contains(&wait), "{wait}");
}

#[both_databases]
fn a_throttled_sign_in_says_when_to_come_back(jeton: Jeton) {
    let jeton = jeton.with("login.account_failures", "3");
    let user = jeton.tenant().user("member");
    let mut browser = Browser::new(&jeton);
    let mut sign_in =
        |password: &str| browser.submit_on(SIGN_IN, SIGN_IN, &[("email", user.email.as_str()), ("password", password)]);
    for _ in 0..13 {
        jeton.advance(Duration::from_mins(16));
        sign_in("not my password").expect_status(401);
    }
    let refused = sign_in(&user.password).expect_status(429);
    let told = refused.told();
    let wait = told.split_once("Too many failed sign-ins. Try again in ").unwrap_or_else(|| panic!("{told}")).1;
    let wait: u64 = wait.split(' ').next().unwrap().parse().unwrap();
    assert!((800..=900).contains(&wait), "{told}");
    assert_eq!(refused.header("retry-after"), Some(&*wait.to_string()), "{told}");
    let metrics = Client::new(&jeton.server(|server| server.metrics.clone())).get("/metrics").send().expect_status(200);
    let metrics = String::from_utf8(metrics.body).unwrap();
    for counted in ["invalid_credentials\"} 13", "rate_limited\"} 1"] {
        assert!(metrics.contains(&format!("jeton_refusals_total{{code=\"{counted}")), "{counted} in {metrics}");
    }
    assert!(told.contains(&format!("value=\"{}\"", user.email)) && told.contains("name=\"password\""), "{told}");

    jeton.advance(Duration::from_secs(wait));
    sign_in(&user.password).expect_status(303);
}

#[both_databases]
fn what_cannot_be_done_right_now_is_told_on_a_page(jeton: Jeton) {
    let mut browser = Browser::of(&jeton, jeton.tenant().admin());
    let token = form_token(&browser.get("/console/account"));
    let fields = [("form_token", token.as_str()), ("name", "Harbour")];
    let mut holder = jeton.hold_audit();
    let refused = browser.submit("/console/account/sign-out-everywhere", &fields[..1]).expect_status(503);
    assert_eq!(refused.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(refused.header("retry-after").is_some(), "{}", refused.told());
    let told = refused.told();
    assert!(told.contains("Please try again in a moment") && told.contains("If you ask for help"), "{told}");
    let refused = browser.submit("/console/app-identifiers", &fields).expect_status(503);
    assert_eq!(refused.header("retry-after"), Some("1"), "{}", refused.told());
    let told = refused.told();
    assert!(told.contains("role=\"alert\"") && told.contains("value=\"Harbour\""), "what was typed stays: {told}");

    holder.batch_execute("ROLLBACK").unwrap();
    browser.get("/console/account").expect_status(200);
    browser.submit("/console/app-identifiers", &fields).expect_status(303);
}

#[both_databases]
fn a_link_from_another_site_finds_the_session(jeton: Jeton) {
    let answer = jeton.get("/console/keys").header("Sec-Fetch-Site", "cross-site").send().expect_status(200);
    assert!(answer.told().contains("http-equiv=\"refresh\""), "asked again from here: {}", answer.told());
    Browser::new(&jeton).get("/console/keys").expect_status(303);
}
