//! `jeton user ...`

use std::io;

use clap::{Args, Subcommand};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use super::output::{self, Output, with};
use super::{CliError, missing};
use crate::app::App;
use crate::domain::page::Page;
use crate::domain::password::Password;
use crate::domain::{Actor, Email, Role, TenantId, User};
use crate::manage::users::{self, NewPassword, NewUser};

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
        #[command(flatten)]
        password: PasswordSource,
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
    /// Its role there: admin, member or another of the profile; for a new member `member` by default
    #[arg(long)]
    role: Option<Role>,
    /// Make it an operator (server-wide scope `tenants:write`); a member takes the role that is named, too
    #[arg(long)]
    operator: bool,
    #[command(flatten)]
    password: PasswordSource,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
pub struct PasswordSource {
    /// Read the password from the first line of standard input
    #[arg(long)]
    password_stdin: bool,
    /// Generate a password and show it once
    #[arg(long)]
    generate_password: bool,
    /// The same, but the user must choose another one at the next login, within `password.one_time_ttl`
    #[arg(long)]
    one_time_password: bool,
}

impl PasswordSource {
    fn read(&self) -> Result<NewPassword, CliError> {
        if !self.password_stdin {
            output::ensure_shown()?;
        }
        Ok(match self {
            Self { one_time_password: true, .. } => NewPassword::OneTime,
            Self { generate_password: true, .. } => NewPassword::Generated,
            Self { .. } => NewPassword::Chosen(read_password()?),
        })
    }
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
        Command::SetPassword { email, password } => return set_password(app, &email, &password, output).await,
    };
    output.one(view(&user.map_err(missing("user"))?), &FIELDS)
}

async fn create(app: &App, new: Create, output: Output) -> Result<(), CliError> {
    let Create { email, tenant, role, operator, password } = new;
    let new = NewUser { email, tenant, role, operator, password: password.read()?, idempotency: None };
    let added = users::add(app, &Actor::COMMAND_LINE, new).await.map_err(missing("tenant"))?;

    let shown = with(
        view(&added.member.user),
        [
            ("tenant_id", json!(added.member.tenant.id)),
            ("role", json!(added.member.role)),
            ("existing", json!(added.existing)),
        ],
    );
    let fields = ["id", "email", "tenant_id", "role", "operator", "existing"];
    show_once(shown, &fields, added.generated_password.as_ref(), output)
}

async fn set_password(app: &App, email: &Email, new: &PasswordSource, output: Output) -> Result<(), CliError> {
    let generated = users::set_password(app, &Actor::COMMAND_LINE, email, new.read()?).await;
    let generated = generated.map_err(missing("user"))?;
    let user = users::find(app, email).await.map_err(missing("user"))?;
    show_once(view(&user), &FIELDS, generated.as_ref(), output)
}

/// Shows a user, and the password that was generated for it.
fn show_once(user: Value, fields: &[&str], generated: Option<&SecretString>, output: Output) -> Result<(), CliError> {
    match generated {
        Some(password) => {
            let shown = with(user, [("password", json!(password.expose_secret()))]);
            output.one(shown, &[fields, &["password"]].concat())
        }
        None => output.one(user, fields),
    }
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
        "one_time_password_expires_at": user.one_time_until,
    })
}
