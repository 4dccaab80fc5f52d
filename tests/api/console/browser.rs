//! What a browser does on pages without a script: it keeps cookies, reads forms and sends them.

use std::collections::BTreeMap;

use crate::harness::{Answer, Jeton, Request, User};

/// A browser with the console open.
pub struct Browser {
    jeton: Jeton,
    pub cookies: BTreeMap<String, String>,
}

impl Browser {
    pub fn new(jeton: &Jeton) -> Self {
        Self { jeton: jeton.clone(), cookies: BTreeMap::new() }
    }

    /// With somebody signed in.
    #[track_caller]
    pub fn of(jeton: &Jeton, user: &User) -> Self {
        let mut browser = Self::new(jeton);
        browser.sign_in(user).expect_status(303);
        browser
    }

    /// Another tab of it, as long as neither is given another cookie.
    pub fn tab(&self) -> Self {
        Self { jeton: self.jeton.clone(), cookies: self.cookies.clone() }
    }

    #[track_caller]
    pub fn sign_in(&mut self, user: &User) -> Answer {
        self.submit_on("/console/sign-in", "/console/sign-in", &[("email", &user.email), ("password", &user.password)])
    }

    /// A page, as somebody goes to it who types its address.
    pub fn get(&mut self, path: &str) -> Answer {
        let request = self.with_cookies(self.jeton.get(path)).header("Sec-Fetch-Site", "none");
        self.keep(request.send())
    }

    /// Fills in the form of `page` that goes to `action`, and sends it.
    #[track_caller]
    pub fn submit_on(&mut self, page: &str, action: &str, fields: &[(&str, &str)]) -> Answer {
        let shown = self.get(page).expect_status(200);
        let token = form_token(&shown);
        self.submit(action, &[&[("form_token", token.as_str())], fields].concat())
    }

    /// Sends a form of a page of ours.
    pub fn submit(&mut self, action: &str, fields: &[(&str, &str)]) -> Answer {
        self.submit_from(action, fields, ("Sec-Fetch-Site", "same-origin"))
    }

    /// Sends a form of a page of which the browser says this.
    pub fn submit_from(&mut self, action: &str, fields: &[(&str, &str)], said: (&str, &str)) -> Answer {
        let request = self.with_cookies(self.jeton.post(action)).header(said.0, said.1);
        self.keep(request.form(fields))
    }

    /// The cookie with the session.
    #[track_caller]
    pub fn session(&self) -> String {
        self.cookies.get("__Host-jeton_refresh").expect("a session").clone()
    }

    fn with_cookies(&self, request: Request) -> Request {
        let cookies = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ");
        if cookies.is_empty() { request } else { request.header("Cookie", &cookies) }
    }

    fn keep(&mut self, answer: Answer) -> Answer {
        for cookie in answer.headers.get_all("set-cookie") {
            let (name, value) = cookie.to_str().unwrap().split(';').next().unwrap().split_once('=').unwrap();
            if value.is_empty() {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        answer
    }
}

/// What the forms of a page carry.
#[track_caller]
pub fn form_token(page: &Answer) -> String {
    value_of(page, "form_token")
}

/// The value of a page's first control of this name.
#[track_caller]
pub fn value_of(page: &Answer, name: &str) -> String {
    let html = String::from_utf8(page.body.clone()).unwrap();
    let control = html.split_once(&format!("name=\"{name}\"")).unwrap_or_else(|| panic!("{name} in {html}")).1;
    control.split_once("value=\"").unwrap().1.split('"').next().unwrap().to_owned()
}
