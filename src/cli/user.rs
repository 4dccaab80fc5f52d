//! `jeton user ...`

use std::io;

use clap::{Args, Subcommand};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::output::{Output, with};
use super::{CliError, missing};
use crate::app::App;
use crate::domain::page::Page;
use crate::domain::password::Password;
use crate::domain::{Actor, Email, Role, TenantId, User};
use crate::manage::users::{self, NewUser};

const FIELDS: [&str; 6] = ["id", "email", "state", "operator", "created_at", "last_login_at"];

#[derive(Subcommand)]
pub enum Command {
    /// Create a user in a tenant; one who is known already joins it too and keeps its password
    Create(Create),
    /// List all users
    List,
    /// Disable a user: its sessions end and it cannot log in
    Disable {
        /// The user's address
        email: Email,
    },
    /// Enable a disabled user, and forget failed logins
    Enable {
        /// The user's address
        email: Email,
    },
    /// Set a user's password and end its sessions
    SetPassword {
        /// The user's address
        email: Email,
        /// Read the password from the first line of standard input
        #[arg(long, required = true)]
        password_stdin: bool,
    },
}

#[derive(Args)]
pub struct Create {
    /// The user's address
    #[arg(long)]
    email: Email,
    /// The tenant that it belongs to
    #[arg(long, value_name = "ID")]
    tenant: TenantId,
    /// What it is there: admin or member
    #[arg(long, default_value_t = Role::MEMBER)]
    role: Role,
    /// Give it the server-wide scope `tenants:write`
    #[arg(long)]
    operator: bool,
    #[command(flatten)]
    password: PasswordSource,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct PasswordSource {
    /// Read the password from the first line of standard input
    #[arg(long)]
    password_stdin: bool,
    /// Generate a password and show it once
    #[arg(long)]
    generate_password: bool,
}

pub async fn run(app: &App, command: Command, output: Output) -> Result<(), CliError> {
    let by = &Actor::COMMAND_LINE;
    let user = match command {
        Command::Create(new) => return create(app, new, output).await,
        Command::List => {
            let users = users::list(app, Page::ALL).await?;
            return output.list(users.items.iter().map(view), &FIELDS);
        }
        Command::Disable { email } => users::disable(app, by, &email).await,
        Command::Enable { email } => users::enable(app, by, &email).await,
        Command::SetPassword { email, .. } => {
            let password = read_password()?;
            users::set_password(app, by, &email, password).await.map_err(missing("user"))?;
            users::find(app, &email).await
        }
    };
    output.one(view(&user.map_err(missing("user"))?), &FIELDS)
}

async fn create(app: &App, new: Create, output: Output) -> Result<(), CliError> {
    let Create { email, tenant, role, operator, password } = new;
    let password = password.password_stdin.then(read_password).transpose()?;
    let new = NewUser { email, tenant, role, operator, password };
    let added = users::add(app, &Actor::COMMAND_LINE, new).await.map_err(missing("tenant"))?;

    let mut shown = with(
        view(&added.member.user),
        [
            ("tenant_id", json!(added.member.tenant.id)),
            ("role", json!(added.member.role)),
            ("existing", json!(added.existing)),
        ],
    );
    let mut fields = vec!["id", "email", "tenant_id", "role", "operator", "existing"];
    if let Some(password) = &added.generated_password {
        shown = with(shown, [("password", json!(password.expose_secret()))]);
        fields.push("password");
    }
    output.one(shown, &fields)
}

/// Takes the line as it is but for its end: spaces belong to a password.
fn read_password() -> Result<Password, CliError> {
    let mut line = String::new();
    io::stdin().read_line(&mut line).map_err(CliError::NoPassword)?;
    let end = line.trim_end_matches(['\r', '\n']).len();
    line.truncate(end);
    Ok(line.into())
}

fn view(user: &User) -> Value {
    json!({
        "id": user.id,
        "email": user.email,
        "state": if user.disabled_at.is_some() { "disabled" } else { "active" },
        "operator": user.operator,
        "created_at": user.created_at,
        "last_login_at": user.last_login_at,
    })
}
