//! The client for browsers, in Debian's Chromium, on the page of `examples/browser`: another origin than Jeton's.

use std::{
    fs,
    io::{BufRead, BufReader, Lines, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::Mutex,
    time::Duration,
};

use serde_json::{Value, json};

use crate::harness::{Jeton, User, leave_out};
use crate::verifier::libraries;

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

/// The application in a browser, and Jeton behind it.
struct Page {
    jeton: Jeton,
    user: User,
    driver: Mutex<Driver>,
}

/// The number of a tab.
type Tab = u64;

struct Driver {
    process: Child,
    commands: Option<ChildStdin>,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Page {
    /// None where the browser or what drives it is missing.
    fn open(settings: &[(&str, &str)]) -> Option<Self> {
        let mut driver = Driver::start()?;
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
        let signed_in = format!("document.getElementById('who').textContent === '{}'", self.user.email);
        self.tell(json!(["wait", first, signed_in]));
        let second = self.open_tab();
        self.tell(json!(["wait", second, signed_in]));
        [first, second]
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
        let begin =
            "void (globalThis.answer = client.fetch(`${JETON}/api/v1/auth/me`).then((answer) => answer.status))";
        for tab in tabs {
            self.tell(json!(["run", tab, begin]));
        }
        tabs.iter().map(|tab| self.tell(json!(["run", tab, "answer.catch(String)"]))).collect()
    }

    fn run(&self, tab: Tab, script: &str) -> Value {
        self.tell(json!(["run", tab, script]))
    }

    #[track_caller]
    #[expect(clippy::needless_pass_by_value, reason = "a command is written where it is given")]
    fn tell(&self, command: Value) -> Value {
        let mut driver = self.driver.lock().expect("nobody panics with it");
        let commands = driver.commands.as_mut().expect("it is there until the end");
        writeln!(commands, "{command}").expect("the driver runs");
        let mut answer = driver.answer();
        drop(driver);
        assert!(answer.get("done").is_some(), "{command}: {answer}");
        answer["done"].take()
    }
}

impl Driver {
    fn start() -> Option<Self> {
        let root = env!("CARGO_MANIFEST_DIR");
        let found = libraries().join("node_modules/playwright-core").exists();
        let browser = Command::new("chromium").arg("--version").stdout(Stdio::null()).status().is_ok();
        if !(found && browser) {
            let at = libraries().display().to_string();
            leave_out(
                "the client for browsers",
                &format!("apt-get install chromium && npm install --no-save --prefix {at} playwright-core"),
            );
            return None;
        }
        // Copied beside its library, where Node.js looks for it.
        let script = libraries().join(format!("drive-{}.mjs", std::process::id()));
        fs::copy(format!("{root}/tests/verifiers/browser/drive.mjs"), &script).expect("the folder is writable");
        let mut process = Command::new("node")
            .arg(script)
            .arg(format!("{root}/examples/browser"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node is there");
        let answers = BufReader::new(process.stdout.take().expect("it is piped")).lines();
        Some(Self { commands: process.stdin.take(), answers, process })
    }

    fn answer(&mut self) -> Value {
        let line = self.answers.next().expect("the driver answers").expect("as text");
        serde_json::from_str(&line).expect("as JSON")
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // The end of its input is the end of the driver, and of the browser.
        self.commands = None;
        drop(self.process.wait());
    }
}
