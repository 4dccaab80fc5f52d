//! The first start with nothing configured: a tenant and an administrator, so that there is something to log in to.

use secrecy::SecretString;

use super::tenants::{self, NewTenant};
use super::users;
use crate::app::App;
use crate::db::{self, DbConnection};
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

/// Makes the first tenant and its administrator in one transaction, unless there is any tenant or user at all: of
/// servers that start together one makes them and shows the password, the others make none. Users stay when the last
/// tenant is deleted, and whoever deleted it wants no other.
///
/// # Errors
/// The database does not answer.
pub async fn make_first_account(app: &App) -> Result<Option<FirstAccount>, Refusal> {
    if !app.db.read(is_untouched).await? {
        return Ok(None);
    }
    let now = app.now();
    let name = "First tenant".parse().map_err(|_| Refusal::Internal)?;
    let email: Email = "admin@example.com".parse().map_err(|_| Refusal::Internal)?;
    // On a plan that may use API keys, or the lines that are printed for a newcomer would not work.
    let plan = app.profile.plans.lowest_with_api_keys().map(|plan| plan.name.clone());
    let tenant = tenants::draft(app, NewTenant { id: None, name, plan }, now)?;
    let user = users::draft(app, email.clone(), false, now)?;
    let (secret, password) = users::generate_password(app)?;
    let hash = app.hasher.hash(secret).await?;

    let by = &Actor::SYSTEM;
    let tenant_event = app.event(by, "tenant.created", now)?.tenant(tenant.id).target("tenant", tenant.id);
    let user_event = app.event(by, "user.added", now)?.tenant(tenant.id).target("user", user.id);
    let first = tenant.clone();
    let is_first = app
        .db
        .write(move |connection| {
            if !is_untouched(connection)? {
                return Ok(false);
            }
            db::tenants::insert(connection, &first)?;
            db::users::insert(connection, &user, &hash)?;
            db::memberships::insert(connection, first.id, user.id, &Role::ADMIN, now)?;
            db::audit::record(connection, &tenant_event)?;
            db::audit::record(connection, &user_event)?;
            Ok::<_, Refusal>(true)
        })
        .await?;
    Ok(is_first.then_some(FirstAccount { tenant, email, password }))
}

fn is_untouched(connection: &mut DbConnection) -> Result<bool, Refusal> {
    Ok(db::tenants::is_empty(connection)? && db::users::is_empty(connection)?)
}
