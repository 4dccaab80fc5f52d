//! What a newcomer sees at the first start: who to log in as, and lines to paste.

use std::io::Write;

use secrecy::ExposeSecret;
use serde_json::{Value, json};

use crate::domain::Email;
use crate::manage::first_start::FirstAccount;
use crate::profile::{Profile, RequiredMember, ScopeInfo};

/// How the first account is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Greeting {
    /// To people, with curl lines that work when pasted.
    Text,
    /// To programs, as one JSON document.
    Json,
}

impl Greeting {
    /// Prints the first account, which is never shown again.
    pub fn print(self, url: &str, profile: &Profile, account: &FirstAccount) {
        let url = url.trim_end_matches('/');
        let shown = match self {
            Self::Text => text(url, profile, account),
            Self::Json => format!("{:#}\n", document(url, account)),
        };
        // With stdout closed nobody can be told; `jeton user set-password` helps out.
        drop(std::io::stdout().write_all(shown.as_bytes()));
    }
}

fn document(url: &str, FirstAccount { tenant, email, password }: &FirstAccount) -> Value {
    json!({"url": url, "tenant_id": tenant.id, "email": email, "password": password.expose_secret()})
}

fn text(url: &str, profile: &Profile, account: &FirstAccount) -> String {
    let new_key = example_key(profile, &account.email);
    let (tenant, email, password) = (account.tenant.id, &account.email, account.password.expose_secret());
    format!(
        r#"
Jeton is at {url}. It has made a first tenant and an administrator; the password is shown only now:

    tenant    {tenant}
    e-mail    {email}
    password  {password}

Sign in with a browser at {url}/console. Or log in, refresh, create an API key, exchange it, and see the keys that verify
the result: paste this into a shell.

field() {{ sed -E 's/.*"'$1'":"([^"]*)".*/\1/'; }}
TOKENS=$(curl -sS {url}/api/v1/auth/login -H 'Content-Type: application/json' -d '{{"email":"{email}","password":"{password}"}}') && echo "$TOKENS"
TOKENS=$(curl -sS {url}/api/v1/auth/refresh -H 'Content-Type: application/json' -d '{{"refresh_token":"'$(echo "$TOKENS" | field refresh_token)'"}}') && echo "$TOKENS"
KEY=$(curl -sS {url}/api/v1/tenants/{tenant}/api-keys -H "Authorization: Bearer $(echo "$TOKENS" | field access_token)" -H 'Content-Type: application/json' -d '{new_key}' | field key) && echo "$KEY"
curl -sS -X POST {url}/api/v1/auth/exchange -H "Authorization: Bearer $KEY" -H 'X-Tenant-ID: {tenant}'
curl -sS {url}/.well-known/jwks.json

"#
    )
}

/// A key that the profile allows.
fn example_key(profile: &Profile, contact: &Email) -> Value {
    // Of the access types rather one that cannot manage.
    let access_type = profile.access_types().min_by_key(|known| known.management).map(|known| &known.name);
    let is_for = |info: &ScopeInfo| {
        info.access_types.as_ref().is_none_or(|types| access_type.is_some_and(|it| types.contains(it)))
    };
    let scope = match profile.catalogue() {
        None => Some("goals:read"),
        Some(catalogue) => catalogue.iter().find(|(_, info)| is_for(info)).map(|(scope, _)| scope.as_str()),
    };
    let required = profile.required.iter().map(|required| {
        let value = match required {
            RequiredMember::ContactEmail => json!(contact),
            RequiredMember::ExpiresAt => json!("2099-12-31T23:59:59Z"),
            RequiredMember::AllowedIps => json!(["127.0.0.1"]),
        };
        (required.as_str(), value)
    });
    [("name", json!("My first key"))]
        .into_iter()
        .chain(access_type.map(|name| ("access_type", json!(name))))
        .chain(scope.map(|scope| ("scopes", json!([scope]))))
        .chain(required)
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}
