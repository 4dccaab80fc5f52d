//! `/docs` in a real browser: Debian's Chromium, headless.

use std::{
    collections::BTreeSet,
    process::{Command, Stdio},
};

use crate::harness::{Jeton, leave_out};

#[test]
fn the_page_lists_the_operations_of_the_document() {
    let jeton = Jeton::on_sqlite();
    let Some(page) = Page::open(&jeton) else { return };

    assert_eq!(page.operations(), operations(&jeton));
}

#[test]
fn the_browser_has_nothing_to_complain_of() {
    let jeton = Jeton::on_sqlite();
    let Some(page) = Page::open(&jeton) else { return };

    assert!(!page.operations().is_empty(), "the page works: {}", page.html);
    assert_eq!(page.complaints(), Vec::<&str>::new());
}

/// Security, rule 23.
#[test]
fn the_page_allows_no_inline_code_and_no_frame() {
    let jeton = Jeton::on_sqlite();

    let page = jeton.get("/docs").send().expect_status(200);

    let policy = page.header("content-security-policy").unwrap_or_default();
    assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
    assert!(policy.contains("default-src 'none'") || policy.contains("default-src 'self'"), "{policy}");
    assert!(!policy.contains("unsafe-"), "{policy}");
}

/// A page as the browser shows it, and what the browser said while it loaded.
struct Page {
    html: String,
    log: String,
}

impl Page {
    /// None where there is no Chromium.
    fn open(jeton: &Jeton) -> Option<Self> {
        let url = format!("http://{}/docs", jeton.client().address());
        let mut browser = Command::new("timeout");
        browser.args(["60", "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"]);
        browser.args(["--no-first-run", "--disable-background-networking", "--disable-component-update"]);
        browser.args(["--disable-sync", "--enable-logging=stderr", "--virtual-time-budget=20000"]);
        browser.arg(format!("--user-data-dir={}", jeton.folder().join("browser").display()));
        browser.args(["--dump-dom", &url]).stdin(Stdio::null());

        let output = browser.output().expect("coreutils are there");
        if output.status.code() == Some(NOT_FOUND) {
            leave_out("/docs in a browser", "apt-get install chromium");
            return None;
        }
        let [html, log] = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        assert!(output.status.success(), "Chromium ends with {}: {log}", output.status);
        Some(Self { html, log })
    }

    /// `GET /healthz` and so on, as a reader sees them.
    fn operations(&self) -> BTreeSet<String> {
        let blocks = self.html.split("class=\"opblock-summary-method\">").skip(1);
        blocks.map(|block| format!("{} {}", before(block, "<"), before(after(block, "data-path=\""), "\""))).collect()
    }

    /// Whatever the browser wrote to the page's console: refused styles and scripts, files that are missing.
    fn complaints(&self) -> Vec<&str> {
        self.log.lines().filter(|line| line.contains(":CONSOLE:") || line.contains("CONSOLE(")).collect()
    }
}

/// The exit code of `timeout` where the command does not exist.
const NOT_FOUND: i32 = 127;

/// `GET /healthz` and so on, as the document has them.
fn operations(jeton: &Jeton) -> BTreeSet<String> {
    let document = jeton.get("/openapi.json").send().expect_status(200).json();
    let paths = document["paths"].as_object().expect("paths").iter();
    paths
        .flat_map(|(path, item)| {
            let methods = item.as_object().expect("operations").keys();
            methods.map(move |method| format!("{} {path}", method.to_uppercase()))
        })
        .collect()
}

fn before<'a>(text: &'a str, mark: &str) -> &'a str {
    text.split_once(mark).map_or(text, |(before, _)| before)
}

fn after<'a>(text: &'a str, mark: &str) -> &'a str {
    text.split_once(mark).map_or("", |(_, after)| after)
}
