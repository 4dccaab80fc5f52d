//! `jeton key-group ...`

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::output::Output;
use super::{CliError, missing};
use crate::app::App;
use crate::domain::key_group::KeyGroup;
use crate::domain::page::Page;
use crate::domain::{AccessTypeName, Actor, KeyGroupId, Name, Refusal, Scope, Scopes, TenantId};
use crate::manage::key_groups::{self, NewKeyGroup};
use crate::manage::tenants;

const FIELDS: [&str; 5] = ["id", "name", "access_type", "scopes", "created_at"];

#[derive(Subcommand)]
pub enum Command {
    /// Create a group
    Create(Create),
    /// List the groups of a tenant
    List {
        /// The tenant
        #[arg(long, value_name = "ID")]
        tenant: TenantId,
    },
    /// Delete a group and revoke its keys for good
    Delete {
        /// The group's id
        id: KeyGroupId,
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
    /// The access type of its keys
    #[arg(long = "type", value_name = "TYPE")]
    access_type: Option<AccessTypeName>,
    /// What its keys may do; may be given several times
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<Scope>,
}

pub async fn run(app: &App, command: Command, output: Output) -> Result<(), CliError> {
    let by = &Actor::COMMAND_LINE;
    match command {
        Command::Create(Create { tenant, name, access_type, scopes }) => {
            let scopes = Scopes::new(&scopes).map_err(|error| Refusal::invalid("--scope", error))?;
            let new = NewKeyGroup { name, access_type, scopes };
            let group = key_groups::create(app, by, tenant, new).await.map_err(missing("tenant"))?;
            output.one(view(&group), &FIELDS)
        }
        Command::List { tenant } => {
            tenants::find(app, tenant).await.map_err(missing("tenant"))?;
            let groups = key_groups::list(app, tenant, Page::ALL).await?;
            output.list(groups.items.iter().map(view), &FIELDS)
        }
        Command::Delete { id } => {
            let tenant = key_groups::tenant_of(app, id).await.map_err(missing("key-group"))?;
            key_groups::delete(app, by, tenant, id).await.map_err(missing("key-group"))?;
            output.done(
                json!({ "id": id, "deleted": true }),
                &format!("Key group {id} is deleted, its keys are revoked."),
            )
        }
    }
}

fn view(group: &KeyGroup) -> Value {
    json!({
        "id": group.id,
        "tenant_id": group.tenant_id,
        "name": group.name,
        "access_type": group.access_type,
        "scopes": group.scopes.to_vec(),
        "created_at": group.created_at,
        "created_by": group.created_by,
    })
}
