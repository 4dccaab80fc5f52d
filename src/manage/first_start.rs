//! The first start with nothing configured: a tenant and an administrator, so that there is something to log in to.

use secrecy::SecretString;

use super::{tenants, users};
use crate::app::App;
use crate::db;
use crate::domain::{Actor, Email, Refusal, Role, Tenant};

/// What is shown once.
#[derive(Debug)]
pub struct FirstAccount {
    /// The tenant.
    pub tenant: Tenant,
    /// The administrator's address.
    pub email: Email,
    /// The administrator's password.
    pub password: SecretString,
}

/// Makes the first tenant and its administrator, unless there is any tenant at all.
///
/// # Errors
/// The database does not answer.
pub async fn make_first_account(app: &App) -> Result<Option<FirstAccount>, Refusal> {
    if !app.db.read(|connection| db::tenants::is_empty(connection).map_err(Refusal::from)).await? {
        return Ok(None);
    }
    let name = "First tenant".parse().map_err(|_| Refusal::Internal)?;
    let email: Email = "admin@example.com".parse().map_err(|_| Refusal::Internal)?;
    let tenant = tenants::create(app, &Actor::SYSTEM, tenants::NewTenant { id: None, name, plan: None }).await?;
    let new =
        users::NewUser { email: email.clone(), tenant: tenant.id, role: Role::Admin, operator: false, password: None };
    let added = users::add(app, &Actor::SYSTEM, new).await?;
    Ok(added.generated_password.map(|password| FirstAccount { tenant, email, password }))
}
