//! The console in Debian's Chromium: what a customer does there, with a script and without, and how it looks.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::driver::Driver;
use crate::harness::{Server, unique};
use crate::proxy::{Kind, Proxy};
use crate::upstream::Upstream;

/// What the console puts where the address of the product's API is to stand.
const PRODUCT: &str = "https://api.example.com";

/// From the first start to the end of a key, in the browser alone; the key is used through nginx as `examples/nginx`
/// sets it up.
#[test]
fn a_key_lives_and_dies_in_the_browser_while_its_caller_goes_on() {
    let Some(mut console) = Console::open("engium", "script") else { return };
    let upstream = Upstream::start();
    let Some(nginx) = Proxy::start(Kind::Nginx, &console.folder, &console.server.address, upstream.address()) else {
        return;
    };
    let through_nginx = |call: &str| {
        assert!(call.contains(PRODUCT), "the address of the product's API is the reader's to say: {call}");
        status_of(&call.replace(PRODUCT, &format!("http://{}", nginx.address)))
    };

    console.sign_in();
    console.create("Warehouse sync", &["bookings:read"]);
    let first = console.text("#example");
    assert_eq!(through_nginx(&first), "200");

    console.click("text=Go to this key");
    console.wait_for(".chart .uses");
    console.judge("used");
    assert_eq!(console.text(".dot.uses strong"), "1");
    assert!(console.text("section[aria-labelledby=callers]").contains("curl/"));

    console.click("a:text-is('Rotate')");
    console.click("button:text-is('Rotate key')");
    let second = console.text("#example");
    for call in [&first, &second] {
        assert_eq!(through_nginx(call), "200", "both work: {call}");
    }
    console.click("text=Go to this key");
    console.wait_for("section[aria-labelledby=old] td[data-label='Last seen']");
    console.wait_for(".chart .uses");
    console.judge("still-used");

    console.click("text=Revoke the old key");
    console.click("button:text-is('Revoke for good')");
    assert_eq!(through_nginx(&first), "401");
    assert_eq!(through_nginx(&second), "200");
}

/// What a `curl` line is answered.
fn status_of(line: &str) -> String {
    let line = line.replacen("curl ", "curl -sS -o /dev/null -w '%{http_code}' ", 1);
    let output = Command::new("sh").args(["-c", &line]).output().expect("a shell");
    String::from_utf8(output.stdout).expect("a status")
}

/// What the page tells a password manager is no field of the form.
#[test]
fn a_password_is_changed_and_opens_the_next_session() {
    let Some(mut console) = Console::open("default", "script") else { return };
    console.sign_in();
    let new = "Harbour-violet-9921-kettle";
    console.open_page("/console/account");
    assert_eq!(console.tell(json!(["count", "form:has(#new_password) [autocomplete=username]"])), 1);
    console.fill("#current_password", &console.password.clone());
    console.fill("#new_password", new);
    console.click("button:text-is('Change password')");
    assert!(console.text("[role=status]").contains("password"), "{}", console.text("main"));

    console.click("button:has-text('Sign out')");
    new.clone_into(&mut console.password);
    console.sign_in();
}

/// A second click sends nothing; but a form whose sending was stopped, or failed, can be sent again.
#[test]
fn a_form_is_sent_once_at_a_time() {
    let Some(mut console) = Console::open("default", "script") else { return };
    console.sign_in();
    let sends = "document.forms[0].dispatchEvent(new SubmitEvent('submit', { cancelable: true }))";
    assert_eq!(console.tell(json!(["run", sends])), true);
    assert_eq!(console.tell(json!(["run", sends])), false);
    sleep(Duration::from_secs(6));
    assert_eq!(console.tell(json!(["run", sends])), true);
}

/// Keyboard and nothing else, and a browser whose script is off.
#[test]
fn no_task_needs_a_script() {
    let Some(mut console) = Console::open("default", "no-script") else { return };
    console.sign_in();
    assert_eq!(console.tell(json!(["count", "[data-copy]:visible"])), 0, "no button that does nothing");
    console.click("text=Create a key");
    console.fill("#name", "By hand");
    console.fill("#scopes", "goals:read sites:read");
    console.tell(json!(["choose", "#expires_at", "day"]));
    console.fill("[name=expires_on]", "2099-12-31");
    console.tell(json!(["press", "Enter"]));
    assert!(console.text("#secret").starts_with("jtn_live_"));
    console.click("text=Go to this key");
    assert!(console.text("section[aria-labelledby=details]").contains("31 Dec 2099, 23:59 UTC"));
    console.click("a:text-is('Revoke')");
    console.click("button:text-is('Revoke for good')");
    assert!(console.text("[role=status]").contains("revoked"));
    console.click("button:has-text('Sign out')");
    assert_eq!(console.tell(json!(["path"])), "/console/sign-in");
}

#[test]
fn what_is_wrong_is_heard_and_leads_to_its_field() {
    let Some(mut console) = Console::open("default", "script") else { return };
    console.sign_in();
    console.open_page("/console/keys/new");
    console.fill("#name", "Wrong");
    console.fill("#allowed_ips", "nowhere");
    console.click("button:has-text('Create key')");
    assert_eq!(console.tell(json!(["focused"])), "faults", "the summary has the focus");
    assert_eq!(
        console.tell(json!(["count", "#allowed_ips[aria-invalid=true][aria-describedby~=allowed_ips-fault]"])),
        1
    );
    assert_eq!(console.tell(json!(["count", ".faults a[href='#allowed_ips']"])), 1);
}

#[test]
fn pages_of_the_default_profile_are_sound() {
    every_page_is_sound("default", &["goals:read"]);
}

#[test]
fn pages_of_engium_are_sound() {
    every_page_is_sound("engium", &["bookings:read"]);
}

#[test]
fn pages_of_engagetrack_are_sound() {
    every_page_is_sound("engagetrack", &["goals:read"]);
}

#[test]
fn pages_of_bloomreach_are_sound() {
    every_page_is_sound("bloomreach", &["events:set"]);
}

#[test]
fn pages_of_braze_are_sound() {
    every_page_is_sound("braze", &["users.track"]);
}

#[test]
fn pages_of_optimove_are_sound() {
    every_page_is_sound("optimove", &[]);
}

/// axe finds nothing, nothing scrolls sideways, and the browser complains of nothing; the screenshots are there to be
/// looked at.
fn every_page_is_sound(profile: &str, scopes: &[&str]) {
    let Some(mut console) = Console::open(profile, "script") else { return };
    if profile == "engagetrack" {
        console.command(&["tenant", "set-plan", &console.tenant.clone(), "free"]);
        console.sign_in();
        assert!(console.text(".warning").contains("requires a Startup plan"));
        assert_eq!(console.tell(json!(["count", "text=Create a key"])), 0, "what the plan forbids is not offered");
        console.judge("no-plan");
        console.command(&["tenant", "set-plan", &console.tenant.clone(), "startup"]);
        console.click("button:has-text('Sign out')");
    }
    console.open_page("/console");
    console.judge("sign-in");
    console.sign_in();
    console.judge("empty");
    console.open_page("/console/keys/new");
    console.judge("form");
    console.create("Warehouse sync", scopes);
    console.judge("created");
    console.click("text=Go to this key");
    console.judge("key");
    console.click("a:text-is('Rotate')");
    console.judge("rotate");
    console.click("button:text-is('Rotate key')");
    console.judge("rotated");
    console.click("text=Go to this key");
    console.judge("after-rotation");
    console.click("a:text-is('Revoke')");
    console.judge("revoke");
    for (name, path) in
        [("keys", "/console/keys"), ("account", "/console/account"), ("organisations", "/console/organisations")]
    {
        console.open_page(path);
        console.judge(name);
    }
}

/// What only some see: people, rights, the log, plans; for operators tenants and signing keys.
#[test]
fn pages_for_administrators_and_operators_are_sound() {
    for profile in ["default", "engium", "engagetrack", "bloomreach", "braze", "optimove"] {
        let Some(mut console) = Console::open(profile, "script") else { return };
        let tenant = console.tenant.clone();
        let operator =
            ["user", "create", "--email", "admin@example.com", "--operator", "--generate-password", "--tenant"];
        console.command(&[&operator[..], &[tenant.as_str()]].concat());
        console.sign_in();
        console.open_page("/console/users");
        console.fill("#email", "grace@example.com");
        console.click("button:has-text('Add person')");
        console.judge("one-time-password");
        let tenant = format!("tenants/{tenant}");
        for path in [
            "users",
            "audit",
            "groups",
            "groups/new",
            "app-identifiers",
            "trusted-issuers",
            "trusted-issuers/new",
            "plan",
        ]
        .into_iter()
        .chain(["tenants", &tenant, "signing-keys"])
        {
            let page = format!("/console/{path}");
            let what = path.split('/').next().unwrap_or_default();
            let is_offered = console.tell(json!(["count", format!(".nav a[href='/console/{what}']")])) == 1;
            if is_offered || !["groups", "app-identifiers"].contains(&what) {
                console.open_page(&page);
            } else {
                let url = format!("http://{}{page}", console.server.address);
                assert_eq!(console.tell(json!(["open", url])), 404, "{page}, which {profile} does not have");
            }
            console.judge(&path.replace('/', "-"));
        }
    }
}

/// However long the word is that people have for something, and however narrow the screen.
#[test]
fn long_names_scroll_no_page_sideways() {
    let Some(mut console) = Console::open("default", "script") else { return };
    let (long, id) = ("W".repeat(100), "0199b0a0-0000-7000-8000-000000000001");
    console.command(&["tenant", "create", "--name", &long, "--id", id]);
    let operator = ["user", "create", "--email", "admin@example.com", "--operator", "--generate-password", "--tenant"];
    console.command(&[&operator[..], &[console.tenant.clone().as_str()]].concat());
    console.sign_in();
    console.create(&long, &[&format!("{}:read", "w".repeat(59))]);
    console.judge("long-created");
    console.click("text=Go to this key");
    console.judge("long-key");
    console.click("a:text-is('Rotate')");
    console.judge("long-rotate");
    console.click("text=Cancel");
    console.click("a:text-is('Revoke')");
    console.judge("long-revoke");
    console.open_page("/console/groups/new");
    console.fill("#name", &long);
    console.fill("#scopes", "goals:read");
    console.click("button.primary");
    console.judge("long-group");
    console.open_page("/console/users");
    console.fill("#email", &format!("{}@example.com", "w".repeat(60)));
    console.click("button:has-text('Add person')");
    console.judge("long-person");
    for path in ["keys", "groups", "users", "tenants", &format!("tenants/{id}")] {
        console.open_page(&format!("/console/{path}"));
        console.judge(&format!("long-{}", path.split('/').next().unwrap_or_default()));
    }
}

/// A first start, and a browser in front of it.
struct Console {
    driver: Driver,
    server: Server,
    folder: PathBuf,
    profile: String,
    tenant: String,
    password: String,
}

impl Console {
    /// None where the browser or what it needs is missing.
    fn open(profile: &str, script: &str) -> Option<Self> {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(unique("console"));
        drop(fs::remove_dir_all(&folder));
        let shots = Path::new(env!("CARGO_TARGET_TMPDIR")).join("console-shots").join(profile);
        for folder in [&folder, &shots] {
            fs::create_dir_all(folder).expect("the target folder is writable");
        }
        let packages = ["playwright-core", "axe-core"];
        let mut driver = Driver::start("the console", "console/drive.mjs", &packages, &[shots.to_str()?, script])?;
        driver.answer();

        let server = Server::start(&folder, environment(profile)).expect("it starts");
        let deadline = Instant::now() + Duration::from_secs(10);
        while !server.printed().contains("jwks.json") {
            assert!(Instant::now() < deadline, "the first account is printed");
            sleep(Duration::from_millis(20));
        }
        let printed = server.printed();
        let value = |name: &str| {
            let line = printed.lines().find(|line| line.trim_start().starts_with(name)).expect(name);
            line.split_whitespace().last().expect("a value").to_owned()
        };
        let (tenant, password) = (value("tenant "), value("password "));
        Some(Self { driver, folder, profile: profile.to_owned(), tenant, password, server })
    }

    #[track_caller]
    fn tell(&mut self, command: Value) -> Value {
        self.driver.tell(command)
    }

    #[track_caller]
    fn open_page(&mut self, path: &str) {
        let url = format!("http://{}{path}", self.server.address);
        assert_eq!(self.tell(json!(["open", url])), 200, "{path}");
    }

    /// With the credentials that were printed.
    #[track_caller]
    fn sign_in(&mut self) {
        self.open_page("/console");
        self.fill("#email", "admin@example.com");
        self.fill("#password", &self.password.clone());
        self.tell(json!(["press", "Enter"]));
        assert_eq!(self.tell(json!(["path"])), "/console/keys");
    }

    /// The page with the new key's plain text.
    #[track_caller]
    fn create(&mut self, name: &str, scopes: &[&str]) {
        self.open_page("/console/keys/new");
        self.fill("#name", name);
        if self.tell(json!(["count", "#contact_email[required]"])) == 1 {
            self.fill("#contact_email", "ops@example.com");
        }
        if self.tell(json!(["count", "[name=access_type]"])) != 0 {
            self.tell(json!(["check", "[name=access_type]"]));
        }
        for scope in scopes {
            if self.tell(json!(["count", "[name=scopes_text]"])) == 1 {
                self.fill("[name=scopes_text]", scope);
            } else {
                self.tell(json!(["check", format!("[name=scopes][value='{scope}']")]));
            }
        }
        self.click("button:has-text('Create key')");
        assert_eq!(self.tell(json!(["count", "#secret"])), 1, "{}", self.text("main"));
    }

    #[track_caller]
    fn fill(&mut self, selector: &str, text: &str) {
        self.tell(json!(["fill", selector, text]));
    }

    #[track_caller]
    fn click(&mut self, selector: &str) {
        self.tell(json!(["click", selector]));
    }

    #[track_caller]
    fn text(&mut self, selector: &str) -> String {
        self.tell(json!(["text", selector])).as_str().expect("text").to_owned()
    }

    #[track_caller]
    fn judge(&mut self, name: &str) {
        assert_eq!(self.tell(json!(["judge", name])), json!([]), "{} of {}", name, self.profile);
    }

    /// Uses are written some seconds later: until then the page is opened again.
    #[track_caller]
    fn wait_for(&mut self, selector: &str) {
        let path = self.tell(json!(["path"]));
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.tell(json!(["count", selector])) == 0 {
            assert!(Instant::now() < deadline, "{selector} in {}", self.text("main"));
            sleep(Duration::from_millis(500));
            self.open_page(path.as_str().expect("a path"));
        }
    }

    /// On the command line.
    fn command(&self, arguments: &[&str]) {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned());
        crate::harness::run(&self.folder, environment(&self.profile), arguments, None).expect_code(0);
    }
}

fn environment(profile: &str) -> Vec<(String, String)> {
    let settings = [
        ("JETON_PROFILE", profile),
        ("JETON_SERVER__BIND", "127.0.0.1:0"),
        ("JETON_SERVER__METRICS_BIND", ""),
        ("JETON_SERVER__TRUSTED_PROXIES", "127.0.0.1"),
    ];
    settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}
