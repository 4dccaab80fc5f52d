//! `jeton tenant ...`

use std::sync::Arc;

use clap::Subcommand;
use serde_json::{Value, json};

use super::output::Output;
use super::{CliError, missing};
use crate::app::App;
use crate::domain::page::Page;
use crate::domain::{Actor, Name, Tenant, TenantId};
use crate::manage::tenants::{self, NewTenant, TenantChange};

const FIELDS: [&str; 6] = ["id", "name", "state", "plan", "project_token", "created_at"];

#[derive(Subcommand)]
pub enum Command {
    /// Create a tenant
    Create {
        /// What people call it
        #[arg(long)]
        name: Name,
        /// Its id, where it is known elsewhere already
        #[arg(long, value_name = "UUID")]
        id: Option<TenantId>,
        /// A plan of the profile
        #[arg(long)]
        plan: Option<String>,
    },
    /// List all tenants
    List,
    /// Put a tenant on a plan of the profile
    SetPlan {
        /// The tenant
        id: TenantId,
        /// The plan
        plan: String,
    },
    /// Suspend a tenant: its sessions end, nobody logs in and no key works
    Suspend {
        /// The tenant
        id: TenantId,
    },
    /// Resume a suspended tenant
    Resume {
        /// The tenant
        id: TenantId,
    },
    /// Delete a tenant and all that belongs to it but its audit log
    Delete {
        /// The tenant
        id: TenantId,
    },
}

pub async fn run(app: &Arc<App>, command: Command, output: Output) -> Result<(), CliError> {
    let by = &Actor::COMMAND_LINE;
    let tenant = match command {
        Command::Create { name, id, plan } => tenants::create(app, by, NewTenant { id, name, plan }).await,
        Command::List => {
            let tenants = tenants::list(app, Page::ALL).await?;
            return output.list(tenants.items.iter().map(view), &FIELDS);
        }
        Command::SetPlan { id, plan } => {
            tenants::change(app, by, id, TenantChange { plan: Some(plan), ..TenantChange::default() }).await
        }
        Command::Suspend { id } => tenants::suspend(app, by, id).await,
        Command::Resume { id } => tenants::resume(app, by, id).await,
        Command::Delete { id } => {
            tenants::delete(app, by, id).await.map_err(missing("tenant"))?;
            return output.done(json!({ "id": id, "deleted": true }), &format!("Tenant {id} is deleted."));
        }
    };
    output.one(view(&tenant.map_err(missing("tenant"))?), &FIELDS)
}

fn view(tenant: &Tenant) -> Value {
    json!({
        "id": tenant.id,
        "name": tenant.name,
        "state": tenant.state(),
        "plan": tenant.plan,
        "project_token": tenant.project_token,
        "created_at": tenant.created_at,
    })
}
