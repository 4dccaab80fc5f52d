//! `jeton trusted-issuer ...`

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::output::Output;
use super::{CliError, missing};
use crate::app::App;
use crate::domain::claim_conditions::{ClaimConditions, Condition};
use crate::domain::issuer_url::IssuerUrl;
use crate::domain::page::Page;
use crate::domain::trusted_issuer::TrustedIssuer;
use crate::domain::{Actor, Audience, Name, Refusal, Scope, Scopes, TenantId, TrustedIssuerId};
use crate::manage::tenants;
use crate::manage::trusted_issuers::{self, NewTrustedIssuer};

const FIELDS: [&str; 7] = ["id", "name", "issuer", "audience", "conditions", "scopes", "last_used_at"];

#[derive(Subcommand)]
pub enum Command {
    /// Trust an issuer with some scopes, for those of its tokens that meet the conditions
    Create(Create),
    /// List the issuers that a tenant trusts
    List {
        /// The tenant
        #[arg(long, value_name = "ID")]
        tenant: TenantId,
    },
    /// Trust an issuer no more
    Delete {
        /// The trusted issuer's id
        id: TrustedIssuerId,
    },
}

#[derive(Args)]
pub struct Create {
    /// The tenant that it belongs to
    #[arg(long, value_name = "ID")]
    tenant: TenantId,
    /// What people call it
    #[arg(long)]
    name: Name,
    /// The `iss` of its tokens, exactly
    #[arg(long, value_name = "URL")]
    issuer: IssuerUrl,
    /// What its tokens must have among their `aud`
    #[arg(long)]
    audience: Audience,
    /// What a claim must be; of several with the same claim one suffices
    #[arg(long = "condition", value_name = "CLAIM=VALUE", required = true)]
    conditions: Vec<Condition>,
    /// What its workloads may do; may be given several times
    #[arg(long = "scope", value_name = "SCOPE", required = true)]
    scopes: Vec<Scope>,
}

pub async fn run(app: &App, command: Command, output: Output) -> Result<(), CliError> {
    let by = &Actor::COMMAND_LINE;
    match command {
        Command::Create(Create { tenant, name, issuer, audience, conditions, scopes }) => {
            let scopes = Scopes::new(&scopes).map_err(|error| Refusal::invalid("--scope", error))?;
            let conditions =
                ClaimConditions::any_of(conditions).map_err(|error| Refusal::invalid("--condition", error))?;
            let new = NewTrustedIssuer { name, issuer, audience, conditions, scopes };
            let made = trusted_issuers::create(app, by, tenant, new).await.map_err(missing("tenant"))?;
            output.one(view(&made), &FIELDS)
        }
        Command::List { tenant } => {
            tenants::find(app, tenant).await.map_err(missing("tenant"))?;
            let found = trusted_issuers::list(app, tenant, Page::ALL).await?;
            output.list(found.items.iter().map(view), &FIELDS)
        }
        Command::Delete { id } => {
            let tenant = trusted_issuers::tenant_of(app, id).await.map_err(missing("trusted-issuer"))?;
            trusted_issuers::delete(app, by, tenant, id).await.map_err(missing("trusted-issuer"))?;
            output.done(
                json!({ "id": id, "deleted": true }),
                &format!("Trusted issuer {id} is deleted; the tokens of its workloads open nothing here any more."),
            )
        }
    }
}

fn view(trusted: &TrustedIssuer) -> Value {
    json!({
        "id": trusted.id,
        "tenant_id": trusted.tenant_id,
        "name": trusted.name,
        "issuer": trusted.issuer,
        "audience": trusted.audience,
        "conditions": trusted.conditions,
        "scopes": trusted.scopes.to_vec(),
        "created_at": trusted.created_at,
        "created_by": trusted.created_by,
        "last_used_at": trusted.last_used_at,
    })
}
