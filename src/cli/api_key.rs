//! `jeton api-key ...`

use std::collections::BTreeMap;

use chrono::TimeDelta;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::output::{self, Output, with};
use super::{CliError, missing};
use crate::app::App;
use crate::domain::api_key::ApiKey;
use crate::domain::constraints::Constraints;
use crate::domain::ip_allow_list::IpAllowList;
use crate::domain::page::Page;
use crate::domain::{
    AccessTypeName, Actor, ApiKeyId, Email, KeyGroupId, Name, Refusal, Scope, Scopes, TenantId, Timestamp,
};
use crate::manage::api_keys::{self, CreatedApiKey, NewApiKey};
use crate::manage::tenants;

#[derive(Subcommand)]
pub enum Command {
    /// Create a key and show it once
    Create(Create),
    /// List the keys of a tenant
    List {
        /// The tenant
        #[arg(long, value_name = "ID")]
        tenant: TenantId,
    },
    /// Revoke a key for good
    Revoke {
        /// The key's id
        id: ApiKeyId,
    },
    /// Replace a key by a new one with the same rights, and show that once
    Rotate {
        /// The key's id
        id: ApiKeyId,
        /// How long the old key still works, at most 30d
        #[arg(long, value_parser = duration, value_name = "DURATION", default_value = "0s")]
        overlap: TimeDelta,
    },
}

#[derive(Args)]
pub struct Create {
    /// The tenant that it speaks for
    #[arg(long, value_name = "ID")]
    tenant: TenantId,
    /// What people call it
    #[arg(long)]
    name: Name,
    /// What it may do, like `goals:read`; may be given several times
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<Scope>,
    /// An access type of the profile
    #[arg(long = "type", value_name = "TYPE")]
    access_type: Option<AccessTypeName>,
    /// A key group of the tenant; its access type and scopes are the key's
    #[arg(long, value_name = "ID")]
    group: Option<KeyGroupId>,
    /// Whom to ask about it
    #[arg(long, value_name = "EMAIL")]
    contact_email: Option<Email>,
    /// What it is limited to besides its scopes, like `channels=email`; may be given several times
    #[arg(long = "constraint", value_name = "NAME=VALUE", value_parser = constraint)]
    constraints: Vec<(String, String)>,
    /// An environment of the profile
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
    /// When it ends by itself, like 90d
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    expires_in: Option<TimeDelta>,
    /// From where it may be used; may be given several times
    #[arg(long = "allow-ip", value_name = "CIDR")]
    allowed_ips: Vec<String>,
}

pub async fn run(app: &App, command: Command, output: Output) -> Result<(), CliError> {
    let by = &Actor::COMMAND_LINE;
    match command {
        Command::Create(new) => {
            output::ensure_shown()?;
            let (tenant, new) = new.into_key(app.now())?;
            let created = api_keys::create(app, by, tenant, new, None).await.map_err(missing("tenant"))?;
            show_once(&created, app.now(), output)
        }
        Command::List { tenant } => {
            tenants::find(app, tenant).await.map_err(missing("tenant"))?;
            let keys = api_keys::list(app, tenant, Page::ALL).await?;
            let columns =
                ["id", "name", "hint", "state", "access_type", "group_id", "scopes", "expires_at", "last_used_at"];
            output.list(keys.items.iter().map(|key| view(key, app.now())), &columns)
        }
        Command::Revoke { id } => {
            let tenant = api_keys::tenant_of(app, id).await.map_err(missing("api-key"))?;
            api_keys::revoke(app, by, tenant, id).await.map_err(missing("api-key"))?;
            output.done(json!({ "id": id, "revoked": true }), &format!("API key {id} is revoked."))
        }
        Command::Rotate { id, overlap } => {
            output::ensure_shown()?;
            let tenant = api_keys::tenant_of(app, id).await.map_err(missing("api-key"))?;
            let created = api_keys::rotate(app, by, tenant, id, overlap, None).await.map_err(missing("api-key"))?;
            show_once(&created, app.now(), output)
        }
    }
}

/// Ten years. Without a bound a key could end in a year that RFC 3339 cannot write.
const LONGEST_EXPIRY: TimeDelta = TimeDelta::days(3650);

impl Create {
    fn into_key(self, now: Timestamp) -> Result<(TenantId, NewApiKey), Refusal> {
        let scopes = Scopes::new(&self.scopes).map_err(|error| Refusal::invalid("--scope", error))?;
        let mut constraints = BTreeMap::<String, Vec<String>>::new();
        for (name, value) in self.constraints {
            constraints.entry(name).or_default().push(value);
        }
        let constraints =
            Constraints::try_from(constraints).map_err(|error| Refusal::invalid("--constraint", error))?;
        let new = NewApiKey {
            name: self.name,
            scopes: (!self.scopes.is_empty()).then_some(scopes),
            environment: self.environment,
            expires_at: self.expires_in.map(|span| now.plus(span)),
            allowed_ips: IpAllowList::try_from(self.allowed_ips)
                .map_err(|error| Refusal::invalid("--allow-ip", error))?,
            contact_email: self.contact_email,
            access_type: self.access_type,
            group_id: self.group,
            constraints: constraints.or_none(),
        };
        Ok((self.tenant, new))
    }
}

fn constraint(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').ok_or("must be of the form NAME=VALUE")?;
    Ok((pair.0.to_owned(), pair.1.to_owned()))
}

fn duration(text: &str) -> Result<TimeDelta, String> {
    let span = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if !span.is_zero() && span.as_secs() == 0 {
        return Err("must be at least one second".to_owned());
    }
    let span = TimeDelta::from_std(span).map_err(|error| error.to_string())?;
    if span > LONGEST_EXPIRY { Err("must be at most 3650d".to_owned()) } else { Ok(span) }
}

fn show_once(created: &CreatedApiKey, now: Timestamp, output: Output) -> Result<(), CliError> {
    let shown = with(view(&created.key, now), [("key", json!(created.secret.expose()))]);
    output.one(shown, &["id", "name", "tenant_id", "access_type", "group_id", "scopes", "expires_at", "key"])
}

fn view(key: &ApiKey, now: Timestamp) -> Value {
    with(json!(key), [("scopes", json!(key.scopes.to_vec())), ("state", json!(key.state(now)))])
}
