//! What every page has: its frame, and where one can go from it.

use actix_web::HttpResponse;
use actix_web::cookie::Cookie;
use actix_web::http::StatusCode;
use actix_web::http::header::LOCATION;
use askama::Template;

use super::assets;
use super::session::Visitor;
use super::texts::{self, Texts};
use crate::app::App;
use crate::domain::Refusal;
use crate::extract::principal::{
    Operate, ReadApiKeys, ReadAudit, ReadTrustedIssuers, ReadUsers, RequiredScope, SignedIn,
};

/// The frame of a page, for `templates/base.html`.
pub struct Page<'a> {
    /// What stands in the browser's tab.
    pub title: String,
    /// The words.
    pub texts: &'static Texts,
    /// What customers call the product.
    pub product: String,
    /// The address of the style sheet.
    pub styles: &'static str,
    /// The address of the script.
    pub script: &'static str,
    /// The address of the icon.
    pub icon: &'static str,
    /// Who is signed in, if somebody is.
    pub who: Option<Who<'a>>,
    /// What was just done, in words.
    pub notice: Option<String>,
}

/// Somebody who is signed in.
pub struct Who<'a> {
    /// They, in their tenant.
    pub signed_in: &'a SignedIn,
    /// What every form of the page carries.
    pub form_token: String,
    /// Where they can go.
    pub nav: Vec<Link>,
}

/// A way to another page.
pub struct Link {
    /// Its path.
    pub path: &'static str,
    /// Its name.
    pub text: &'static str,
    /// Its picture, of those in `templates/icons.html`.
    pub icon: &'static str,
    /// Whether one is there.
    pub is_here: bool,
}

/// A part of the console that the navigation leads to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// API keys.
    Keys,
    /// Key groups.
    Groups,
    /// App identifiers.
    Apps,
    /// Trusted issuers.
    Issuers,
    /// Members.
    Users,
    /// The audit log.
    Audit,
    /// Plan and limits.
    Plan,
    /// Every tenant.
    Tenants,
    /// Signing keys.
    SigningKeys,
    /// One's own account.
    Account,
    /// Nothing that the navigation leads to.
    Elsewhere,
}

/// A row of the navigation.
struct Row {
    place: Place,
    path: &'static str,
    icon: &'static str,
    text: fn(&Texts) -> &'static str,
    /// Whether the profile has it, and this user may open it.
    offered: fn(&App, &SignedIn) -> bool,
}

/// The navigation, from above to below.
const NAV: &[Row] = &[
    Row {
        place: Place::Keys,
        path: "/console/keys",
        icon: "key",
        text: |t| t.nav.keys,
        offered: |_, who| may::<ReadApiKeys>(who),
    },
    Row {
        place: Place::Groups,
        path: "/console/groups",
        icon: "group",
        text: |t| t.nav.groups,
        offered: |app, who| app.profile.console.key_groups && may::<ReadApiKeys>(who),
    },
    Row {
        place: Place::Apps,
        path: "/console/app-identifiers",
        icon: "tag",
        text: |t| t.nav.apps,
        offered: |app, who| app.profile.console.app_identifiers && may::<ReadApiKeys>(who),
    },
    Row {
        place: Place::Issuers,
        path: "/console/trusted-issuers",
        icon: "shield",
        text: |t| t.nav.issuers,
        offered: |_, who| may::<ReadTrustedIssuers>(who),
    },
    Row {
        place: Place::Users,
        path: "/console/users",
        icon: "people",
        text: |t| t.nav.users,
        offered: |_, who| may::<ReadUsers>(who),
    },
    Row {
        place: Place::Audit,
        path: "/console/audit",
        icon: "list",
        text: |t| t.nav.audit,
        offered: |_, who| may::<ReadAudit>(who),
    },
    Row {
        place: Place::Plan,
        path: "/console/plan",
        icon: "plan",
        text: |t| t.nav.plan,
        offered: |app, who| app.profile.plans.all().next().is_some() && may::<ReadApiKeys>(who),
    },
    Row {
        place: Place::Tenants,
        path: "/console/tenants",
        icon: "building",
        text: |t| t.nav.tenants,
        offered: |_, who| may::<Operate>(who),
    },
    Row {
        place: Place::SigningKeys,
        path: "/console/signing-keys",
        icon: "signature",
        text: |t| t.nav.signing_keys,
        offered: |_, who| may::<Operate>(who),
    },
    Row {
        place: Place::Account,
        path: "/console/account",
        icon: "person",
        text: |t| t.nav.account,
        offered: |_, _| true,
    },
];

/// Whether somebody may open what asks for `S`.
pub fn may<S: RequiredScope>(who: &SignedIn) -> bool {
    who.ensure_scope(S::SCOPE).is_ok()
}

/// The first page that somebody may open.
pub fn start(app: &App, who: &SignedIn) -> &'static str {
    NAV.iter().find(|row| (row.offered)(app, who)).map_or("/console/account", |row| row.path)
}

impl<'a> Page<'a> {
    /// A page of somebody who is signed in.
    pub fn of<A>(app: &App, visitor: &'a Visitor<A>, place: Place, title: impl Into<String>) -> Self {
        Self { who: Some(Who::new(app, visitor, &visitor.forms(), place)), ..Self::of_nobody(app, title) }
    }

    /// A page of nobody.
    pub fn of_nobody(app: &App, title: impl Into<String>) -> Self {
        let [styles, script, icon] = assets::paths();
        let product = app.profile.title();
        Self { title: title.into(), texts: &texts::EN, product, styles, script, icon, who: None, notice: None }
    }

    /// What each form of the page carries.
    pub fn form_token(&self) -> &str {
        self.who.as_ref().map_or("", |who| &who.form_token)
    }

    /// The first letter of the product, for its mark.
    pub fn mark(&self) -> String {
        self.product.chars().take(1).collect()
    }

    /// Whether the navigation leads there.
    pub fn leads_to(&self, path: &str) -> bool {
        self.who.as_ref().is_some_and(|who| who.nav.iter().any(|link| link.path == path))
    }

    /// Says what was just done.
    pub fn with_notice(self, notice: Option<impl Into<String>>) -> Self {
        Self { notice: notice.map(Into::into), ..self }
    }
}

impl<'a> Who<'a> {
    /// With forms that are signed for `forms`.
    pub fn new(app: &App, signed_in: &'a SignedIn, forms: &str, place: Place) -> Self {
        let nav = NAV.iter().filter(|row| (row.offered)(app, signed_in)).map(|row| Link {
            path: row.path,
            text: (row.text)(&texts::EN),
            icon: row.icon,
            is_here: row.place == place,
        });
        Self { signed_in, form_token: app.forms.token(forms), nav: nav.collect() }
    }
}

/// Answers with a page.
pub fn render(status: StatusCode, page: &impl Template) -> Result<HttpResponse, Refusal> {
    let html = page.render().map_err(|error| {
        tracing::error!(%error, "a page");
        Refusal::Internal
    })?;
    Ok(HttpResponse::build(status).content_type("text/html; charset=utf-8").body(html))
}

/// Leads to another page after a form: reloading that one sends nothing again.
pub fn see_other(path: &str) -> HttpResponse {
    HttpResponse::SeeOther().insert_header((LOCATION, path)).finish()
}

/// The same with a cookie.
pub fn see_other_with(path: &str, cookie: Cookie<'_>) -> HttpResponse {
    HttpResponse::SeeOther().insert_header((LOCATION, path)).cookie(cookie).finish()
}
