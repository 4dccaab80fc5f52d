//! The client for browsers, in Debian's Chromium, on the page of `examples/browser`: another origin than Jeton's.

use std::{sync::Mutex, thread::sleep, time::Duration};

use serde_json::{Value, json};

use crate::driver::Driver;
use crate::harness::{Jeton, User};

#[test]
fn the_module_is_small_and_has_types() {
    let jeton = Jeton::on_sqlite();

    let module = jeton.get("/assets/jeton.js").send().expect_status(200);
    assert_eq!(module.header("content-type"), Some("text/javascript; charset=utf-8"));
    assert!(module.body.len() < 4_096, "{} bytes", module.body.len());
    let types = jeton.get("/assets/jeton.d.ts").send().expect_status(200);
    assert!(types.told().contains("export function createClient"));
}

#[test]
fn two_tabs_stay_signed_in_for_an_hour_whatever_happens() {
    let Some(page) = Page::open(&[("tokens.access_ttl", "5m")]) else { return };
    let [first, second] = page.two_tabs_signed_in();
    for tab in [first, second] {
        page.tell(json!(["watch", tab]));
    }

    for minutes in (0..60).step_by(6) {
        page.jeton.advance(Duration::from_mins(6));
        match minutes {
            12 => drop(page.tell(json!(["lose", 1]))),
            18 => page.restart_jeton(),
            24 => drop(page.tell(json!(["sleep", second, true]))),
            42 => drop(page.tell(json!(["sleep", second, false]))),
            48 => {
                page.tell(json!(["reload", first]));
                page.tell(json!(["watch", first]));
            }
            _ => {}
        }
        let awake: &[Tab] = if (24..42).contains(&minutes) { &[first] } else { &[first, second] };
        for answer in page.fetch_at_once(awake) {
            assert_eq!(answer, 200, "after {minutes} minutes: {:?}", page.tell(json!(["seen"])));
        }
    }

    for tab in [first, second] {
        assert_eq!(page.run(tab, "shown"), 0, "the form to sign in was never seen");
    }
    assert_eq!(page.run(first, "client.token()"), page.run(second, "client.token()"), "they share their tokens");
    page.tell(json!(["click", first, "text=Sign out"]));
    for tab in [first, second] {
        page.tell(json!(["wait", tab, "!document.getElementById('sign-in').hidden && client.session === null"]));
    }
    page.tell(json!(["reload", second]));
    assert_eq!(page.run(second, "client.session"), Value::Null, "the cookie is gone too");
}

#[test]
fn tokens_are_renewed_before_they_end_by_one_tab_for_all() {
    let Some(page) = Page::open(&[("tokens.access_ttl", "4s")]) else { return };
    let [first, second] = page.two_tabs_signed_in();
    let end = page.run(first, "client.session.expiresAt");
    page.tell(json!(["seen"]));

    let renewed = format!("client.session.expiresAt > {end}");
    for tab in [first, second] {
        page.tell(json!(["wait", tab, renewed]));
    }

    let seen = page.tell(json!(["seen"]));
    let calls: Vec<_> = seen.as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    assert!(calls.iter().all(|call| call.ends_with(" 200")), "nothing was refused before: {calls:?}");
    assert!(calls.contains(&"POST /api/v1/auth/refresh 200"), "{calls:?}");
}

#[test]
fn the_token_goes_to_the_origins_that_are_named_and_no_other() {
    let Some(page) = Page::open(&[]) else { return };
    let [tab, _] = page.two_tabs_signed_in();

    let refused = page.run(tab, "client.fetch(location.href).then(() => 'sent', (error) => error.message)");

    assert!(refused.as_str().expect("a text").contains("not in apis"), "{refused}");
    let storage = "JSON.stringify([localStorage, sessionStorage, document.cookie])";
    assert_eq!(page.run(tab, storage), r#"[{},{},""]"#, "nothing that a script could read later");
}

#[test]
fn where_cookies_cannot_be_used_a_tab_is_a_session_of_its_own() {
    let Some(page) = Page::open(&[("tokens.access_ttl", "5m")]) else { return };
    let tab = page.open_tab();
    let credentials = json!({"email": page.user.email, "password": page.user.password});
    let login = format!(
        "import(`${{JETON}}/assets/jeton.js`).then(({{ createClient }}) => {{
            globalThis.memory = createClient({{ url: JETON, cookie: false }})
            return memory.login({credentials})
        }})"
    );

    let session = page.run(tab, &login);
    assert_eq!(session["tenantId"], *page.user.tenant_id);
    page.jeton.advance(Duration::from_mins(6));
    assert_eq!(page.run(tab, "memory.fetch(`${JETON}/api/v1/auth/me`).then((answer) => answer.status)"), 200);
    assert_eq!(page.run(tab, "client.restore()"), Value::Null, "there is no cookie");
    page.run(tab, "memory.logout()");
    assert_eq!(page.run(tab, "memory.token().catch((error) => error.status)"), 401);
}

const REFRESH: &str = "/api/v1/auth/refresh";
const LOGOUT: &str = "/api/v1/auth/logout";
const LOGOUT_ALL: &str = "/api/v1/auth/logout-all";

#[test]
fn a_refresh_that_is_answered_late_does_not_undo_a_logout() {
    let Some(page) = Page::open(&[("tokens.access_ttl", "5m")]) else { return };
    let [first, second] = page.two_tabs_signed_in();
    for tab in [first, second] {
        page.run(tab, "void (globalThis.heard = [], client.onChange((session) => heard.push(session)))");
    }
    page.refresh_that_is_held(first, Duration::from_mins(6));

    page.run(first, "client.logout()");
    page.tell(json!(["release", REFRESH]));

    assert_eq!(page.answer(first), 401);
    for tab in [first, second] {
        page.tell(json!(["wait", tab, "heard.length > 0"]));
        assert_eq!(page.run(tab, "heard"), json!([null]));
    }
    page.tell(json!(["reload", second]));
    assert_eq!(page.run(second, "client.session"), Value::Null, "the cookie is gone too");
}

#[test]
fn a_refresh_that_is_answered_late_does_not_replace_the_next_person() {
    let Some(page) = Page::open(&[("tokens.access_ttl", "5m")]) else { return };
    let [first, second] = page.two_tabs_signed_in();
    let next = page.jeton.tenant().user("member");
    page.refresh_that_is_held(first, Duration::from_mins(6));

    page.run(first, "client.logout()");
    page.run(first, &login(&next));
    page.tell(json!(["release", REFRESH]));

    assert_eq!(page.answer(first), 401);
    for tab in [first, second] {
        page.shows(tab, &next);
        assert_eq!(page.run(tab, "client.session.tenantId"), *next.tenant_id);
    }
    page.tell(json!(["reload", second]));
    page.shows(second, &next);
}

#[test]
fn a_refresh_that_is_refused_late_does_not_undo_a_login() {
    let Some(page) = Page::open(&[]) else { return };
    let [first, second] = page.two_tabs_signed_in();
    page.refresh_that_is_held(first, Duration::from_hours(31 * 24));

    page.run(first, &login(&page.user));
    page.tell(json!(["release", REFRESH]));

    assert_eq!(page.answer(first), 401);
    for tab in [first, second] {
        assert_eq!(page.run(tab, "client.session.tenantId"), *page.user.tenant_id);
    }
}

#[test]
fn a_refresh_is_not_tried_again_after_a_logout_that_fails() {
    let Some(page) = Page::open(&[("tokens.access_ttl", "5m")]) else { return };
    let [first, second] = page.two_tabs_signed_in();
    for path in [REFRESH, LOGOUT] {
        page.tell(json!(["instead", path, 503]));
    }
    page.jeton.advance(Duration::from_mins(6));
    page.begin_fetch(first, "me", "GET");
    while page.times_seen(&format!("POST {REFRESH} 503")) == 0 {}

    assert_eq!(page.run(first, "client.logout().catch((error) => error.status)"), 503);
    for path in [REFRESH, LOGOUT] {
        page.tell(json!(["instead", path, null]));
    }

    assert_eq!(page.answer(first), 401);
    for tab in [first, second] {
        assert_eq!(page.run(tab, "client.session"), Value::Null);
    }
}

#[test]
fn a_call_is_not_sent_again_as_somebody_else() {
    let Some(page) = Page::open(&[("tokens.access_ttl", "5m")]) else { return };
    let [first, second] = page.two_tabs_signed_in();
    let next = page.jeton.tenant().user("member");
    page.jeton.advance(Duration::from_mins(6));
    page.tell(json!(["hold", LOGOUT_ALL]));
    page.begin_fetch(first, "logout-all", "POST");
    page.tell(json!(["held", LOGOUT_ALL]));

    page.run(second, &login(&next));
    page.shows(first, &next);
    page.tell(json!(["release", LOGOUT_ALL]));

    assert_eq!(page.answer(first), 401);
    assert_eq!(page.times_seen(&format!("POST {LOGOUT_ALL}")), 1);
}

#[test]
fn a_logout_that_is_answered_late_leaves_the_next_cookie_alone() {
    let Some(page) = Page::open(&[]) else { return };
    let [tab, _] = page.two_tabs_signed_in();
    let next = page.jeton.tenant().user("member");
    page.tell(json!(["hold", LOGOUT]));

    page.run(tab, "void client.logout()");
    page.run(tab, &format!("void (globalThis.answer = {})", login(&next)));
    page.tell(json!(["held", LOGOUT]));
    // Long enough for a login that would not wait.
    page.run(tab, "Promise.race([answer, new Promise((done) => setTimeout(done, 1000))]).then(() => null)");
    page.tell(json!(["release", LOGOUT]));

    assert_eq!(page.answer(tab)["tenantId"], *next.tenant_id);
    page.tell(json!(["reload", tab]));
    page.shows(tab, &next);
}

/// Words of tabs cross: one that renewed its tokens before it heard of the logout says so after it.
#[test]
fn the_late_word_of_another_tab_undoes_no_logout_and_no_login() {
    let Some(page) = Page::open(&[("tokens.access_ttl", "5m")]) else { return };
    let [first, second] = page.two_tabs_signed_in();
    let listen = "globalThis.tabs = new BroadcastChannel('jeton ' + JETON + true), globalThis.words = []";
    page.run(second, &format!("void ({listen}, tabs.onmessage = (word) => words.push(word.data))"));
    page.jeton.advance(Duration::from_mins(6));
    assert_eq!(page.fetch_at_once(&[first]), [200]);
    page.tell(json!(["wait", second, "words.length > 0"]));
    let said_late = "tabs.postMessage({ ...words[0], at: Date.now() + 1 })";
    let heard = "new Promise((done) => setTimeout(done, 200))";

    page.run(second, "client.logout()");
    page.run(second, said_late);
    for tab in [first, second] {
        page.run(tab, heard);
        assert_eq!(page.run(tab, "client.session"), Value::Null);
    }

    let next = page.jeton.tenant().user("member");
    page.run(first, &login(&next));
    page.shows(second, &next);
    page.run(second, said_late);
    for tab in [first, second] {
        page.run(tab, heard);
        assert_eq!(page.run(tab, "client.session.tenantId"), *next.tenant_id);
    }
}

#[test]
fn a_logout_is_heard_after_the_clock_was_set_back() {
    let Some(page) = Page::open(&[]) else { return };
    let [first, second] = page.two_tabs_signed_in();

    page.run(first, "void (globalThis.now = Date.now, Date.now = () => now() - 3600e3)");
    page.run(first, "client.logout()");

    page.tell(json!(["wait", second, "client.session === null"]));
}

/// Nobody waits for a refresh who has a token that is good still.
#[test]
fn a_token_is_used_to_its_end_while_jeton_is_away() {
    let Some(page) = Page::open(&[("tokens.access_ttl", "5m")]) else { return };
    let [tab, _] = page.two_tabs_signed_in();
    let later = |seconds: u32| format!("void (Date.now = () => now() + {seconds}e3)");
    page.run(tab, "void (globalThis.now = Date.now)");
    page.tell(json!(["instead", REFRESH, 503]));
    page.tell(json!(["seen"]));
    page.run(tab, &later(285));
    assert_eq!(page.fetch_at_once(&[tab]), [200]);
    assert_eq!(page.times_seen(&format!("POST {REFRESH}")), 0);

    page.tell(json!(["instead", REFRESH, null]));
    page.run(tab, &later(299));
    assert_eq!(page.fetch_at_once(&[tab]), [200]);
    assert_eq!(page.times_seen(&format!("POST {REFRESH} 200")), 1);
}

#[test]
fn a_refresh_comes_again_when_jeton_says_and_no_sooner() {
    let Some(page) = Page::open(&[("tokens.access_ttl", "5m")]) else { return };
    let [tab, _] = page.two_tabs_signed_in();
    page.jeton.advance(Duration::from_mins(6));
    page.tell(json!(["instead", REFRESH, 503, 3]));
    page.begin_fetch(tab, "me", "GET");
    while page.times_seen(&format!("POST {REFRESH} 503")) == 0 {}
    page.tell(json!(["instead", REFRESH, null]));
    sleep(Duration::from_millis(2_500));
    assert_eq!(page.times_seen(&format!("POST {REFRESH}")), 0);
    assert_eq!(page.answer(tab), 200);
}

#[test]
fn a_refresh_that_failed_is_tried_again_when_a_token_is_needed() {
    let Some(page) = Page::open(&[("tokens.access_ttl", "5m")]) else { return };
    let [tab, _] = page.two_tabs_signed_in();
    page.jeton.advance(Duration::from_mins(6));
    page.tell(json!(["instead", REFRESH, 400]));
    assert_eq!(page.fetch_at_once(&[tab]), [400]);

    page.tell(json!(["instead", REFRESH, null]));

    assert_eq!(page.fetch_at_once(&[tab]), [200]);
}

fn login(user: &User) -> String {
    format!("client.login({})", json!({"email": user.email, "password": user.password}))
}

/// The application in a browser, and Jeton behind it.
struct Page {
    jeton: Jeton,
    user: User,
    driver: Mutex<Driver>,
}

/// The number of a tab.
type Tab = u64;

impl Page {
    /// None where the browser or what drives it is missing.
    fn open(settings: &[(&str, &str)]) -> Option<Self> {
        let application = format!("{}/examples/browser", env!("CARGO_MANIFEST_DIR"));
        let mut driver =
            Driver::start("the client for browsers", "browser/drive.mjs", &["playwright-core"], &[&application])?;
        let origins = driver.answer();
        let text = |name: &str| origins[name].as_str().expect("an origin").to_owned();

        let jeton = Jeton::on_sqlite().with("server.public_url", &text("proxy"));
        let jeton = jeton.with("server.allowed_origins", &text("app"));
        for (key, value) in settings {
            jeton.set(key, value);
        }
        let user = jeton.tenant().user("member");
        let page = Self { jeton, user, driver: Mutex::new(driver) };
        page.tell(json!(["target", page.jeton.client().address()]));
        Some(page)
    }

    /// The first signs in by hand, the second finds itself signed in.
    fn two_tabs_signed_in(&self) -> [Tab; 2] {
        let first = self.open_tab();
        self.tell(json!(["signIn", first, self.user.email, self.user.password]));
        self.shows(first, &self.user);
        let second = self.open_tab();
        self.shows(second, &self.user);
        [first, second]
    }

    /// Waits until the page says that this is who is signed in.
    fn shows(&self, tab: Tab, user: &User) {
        self.tell(json!(["wait", tab, format!("document.getElementById('who').textContent === '{}'", user.email)]));
    }

    fn open_tab(&self) -> Tab {
        self.tell(json!(["open"])).as_u64().expect("its number")
    }

    fn restart_jeton(&self) {
        self.jeton.restart();
        self.tell(json!(["target", self.jeton.client().address()]));
    }

    /// The status of a call with the token, from each of these tabs at once.
    fn fetch_at_once(&self, tabs: &[Tab]) -> Vec<Value> {
        for &tab in tabs {
            self.begin_fetch(tab, "me", "GET");
        }
        tabs.iter().map(|&tab| self.answer(tab)).collect()
    }

    fn begin_fetch(&self, tab: Tab, path: &str, method: &str) {
        let call = format!("client.fetch(`${{JETON}}/api/v1/auth/{path}`, {{ method: '{method}' }})");
        self.run(tab, &format!("void (globalThis.answer = {call}.then((answer) => answer.status))"));
    }

    /// Of what the tab has begun: the status, that of an error too.
    fn answer(&self, tab: Tab) -> Value {
        self.run(tab, "answer.catch((error) => error.status ?? String(error))")
    }

    /// So much time passes that a call of this tab needs a new token, which Jeton gives or refuses, and nobody hears of
    /// yet.
    fn refresh_that_is_held(&self, tab: Tab, passed: Duration) {
        self.jeton.advance(passed);
        self.tell(json!(["hold", REFRESH]));
        self.begin_fetch(tab, "me", "GET");
        self.tell(json!(["held", REFRESH]));
    }

    /// How many of the calls since the last look begin so.
    fn times_seen(&self, call: &str) -> usize {
        let seen = self.tell(json!(["seen"]));
        let calls = seen.as_array().expect("a list").iter().filter_map(Value::as_str);
        calls.filter(|seen| seen.starts_with(call)).count()
    }

    fn run(&self, tab: Tab, script: &str) -> Value {
        self.tell(json!(["run", tab, script]))
    }

    #[track_caller]
    fn tell(&self, command: Value) -> Value {
        self.driver.lock().expect("nobody panics with it").tell(command)
    }
}
