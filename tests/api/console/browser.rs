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

    /// Fills in the form of `page` that goes to `action`, and sends it as a browser does: every control that it has,
    /// as the page sets it where `fields` does not.
    #[track_caller]
    pub fn submit_on(&mut self, page: &str, action: &str, fields: &[(&str, &str)]) -> Answer {
        let shown = self.get(page).expect_status(200);
        let controls = controls(&shown, action);
        let untouched = controls.iter().filter(|(name, _)| fields.iter().all(|(known, _)| known != name));
        let untouched: Vec<_> = untouched.map(|(name, value)| (name.as_str(), value.as_str())).collect();
        self.submit(action, &[&untouched, fields].concat())
    }

    /// Sends a form that `page` does not have, with the token of those that it has.
    #[track_caller]
    pub fn forge_on(&mut self, page: &str, action: &str, fields: &[(&str, &str)]) -> Answer {
        let token = form_token(&self.get(page).expect_status(200));
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

/// What a browser sends of the page's form that goes to `action`, where nobody has touched it.
#[track_caller]
fn controls(page: &Answer, action: &str) -> Vec<(String, String)> {
    let html = String::from_utf8(page.body.clone()).unwrap();
    let form = html.split_once(&format!(" action=\"{action}\">"));
    let form = form.unwrap_or_else(|| panic!("a form to {action} in {html}")).1.split("</form>").next().unwrap();
    let mut sent: Vec<(String, String)> = Vec::new();
    let mut select = None;
    for (tag, text) in form.split('<').filter_map(|element| element.split_once('>')) {
        let value = attribute(tag, "value").unwrap_or_default();
        let named = attribute(tag, "name").filter(|_| !has(tag, "disabled"));
        match (tag.split_whitespace().next().unwrap(), attribute(tag, "type").as_deref(), named) {
            ("input", Some("radio" | "checkbox"), Some(name)) if has(tag, "checked") => sent.push((name, value)),
            ("input", Some("radio" | "checkbox"), _) | ("button", Some("button"), _) => {}
            ("input" | "button", _, Some(name)) => sent.push((name, value)),
            ("textarea", _, Some(name)) => {
                let lines = unescaped(text.strip_prefix('\n').unwrap_or(text));
                sent.push((name, lines.replace('\n', "\r\n")));
            }
            ("select", _, name) => select = name,
            // The first, unless another is selected.
            ("option", ..) => match sent.last_mut().filter(|(name, _)| select.as_ref() == Some(name)) {
                Some((_, chosen)) if has(tag, "selected") => *chosen = value,
                Some(_) => {}
                None => sent.extend(select.clone().map(|name| (name, value))),
            },
            _ => {}
        }
    }
    sent
}

/// The value of a tag's attribute.
fn attribute(tag: &str, name: &str) -> Option<String> {
    let behind = tag.split_once(&format!(" {name}=\""))?.1;
    behind.split('"').next().map(unescaped)
}

/// Whether a tag has an attribute that stands alone.
fn has(tag: &str, name: &str) -> bool {
    tag.split('"').step_by(2).any(|unquoted| unquoted.split_whitespace().any(|word| word == name))
}

fn unescaped(text: &str) -> String {
    let marks = [("&#60;", "<"), ("&#62;", ">"), ("&#34;", "\""), ("&#39;", "'"), ("&#38;", "&")];
    marks.iter().fold(text.to_owned(), |text, (escaped, mark)| text.replace(escaped, mark))
}
