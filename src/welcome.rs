//! What a newcomer sees at the first start: who to log in as, and lines to paste.

use std::io::Write;

use secrecy::ExposeSecret;

use crate::manage::first_start::FirstAccount;

/// Prints the first account and curl lines that work when pasted, in that order. It is never shown again.
pub fn print(url: &str, account: &FirstAccount) {
    let url = url.trim_end_matches('/');
    let (tenant, email, password) = (account.tenant.id, &account.email, account.password.expose_secret());
    let text = format!(
        r#"
Jeton is at {url}. It has made a first tenant and an administrator; the password is shown only now:

    tenant    {tenant}
    e-mail    {email}
    password  {password}

Log in, refresh, create an API key, exchange it, see the keys that verify the result. Paste this into a shell:

field() {{ sed -E 's/.*"'$1'":"([^"]*)".*/\1/'; }}
TOKENS=$(curl -sS {url}/api/v1/auth/login -H 'Content-Type: application/json' -d '{{"email":"{email}","password":"{password}"}}') && echo "$TOKENS"
TOKENS=$(curl -sS {url}/api/v1/auth/refresh -H 'Content-Type: application/json' -d '{{"refresh_token":"'$(echo "$TOKENS" | field refresh_token)'"}}') && echo "$TOKENS"
KEY=$(curl -sS {url}/api/v1/tenants/{tenant}/api-keys -H "Authorization: Bearer $(echo "$TOKENS" | field access_token)" -H 'Content-Type: application/json' -d '{{"name":"My first key","scopes":["goals:read"]}}' | field key) && echo "$KEY"
curl -sS -X POST {url}/api/v1/auth/exchange -H "Authorization: Bearer $KEY" -H 'X-Tenant-ID: {tenant}'
curl -sS {url}/.well-known/jwks.json

"#
    );
    // With stdout closed nobody can be told; `jeton user set-password` helps out.
    drop(std::io::stdout().write_all(text.as_bytes()));
}
