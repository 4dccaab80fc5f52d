//! How a key gets its row: drafted, stored in one transaction with its audit row, and answered once.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{CreatedApiKey, NewApiKey};
use crate::app::App;
use crate::db::{DbConnection, api_keys, audit, tenants};
use crate::domain::api_key::ApiKey;
use crate::domain::audit::AuditEvent;
use crate::domain::key_format::ApiKeySecret;
use crate::domain::sealed::Sealed;
use crate::domain::{Actor, Refusal, Tenant, TenantId, Timestamp};
use crate::manage::idempotency::{self, IdempotencyKey, Keep};
use crate::profile::plans::Plans;

/// A key that is still to be stored, and the one sight of its plain text.
pub(super) struct Draft {
    pub key: ApiKey,
    pub secret: ApiKeySecret,
}

/// What a change of keys works on, inside its transaction.
pub(super) struct Stored<'a> {
    pub tenant: &'a Tenant,
    pub key: &'a mut ApiKey,
    pub hash: &'a [u8],
    pub plans: &'a Plans,
}

impl Draft {
    pub async fn new(app: &App, by: &Actor, tenant: TenantId, new: NewApiKey, now: Timestamp) -> Result<Self, Refusal> {
        let format = &app.profile.key_format;
        let environment = format.environment(new.environment.as_deref()).ok_or_else(|| {
            let names = format.environments.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            Refusal::invalid("environment", format!("must be one of {names}"))
        })?;
        let secret = format.write(environment, app.random.bytes()?);
        let key = ApiKey {
            id: app.new_id(now)?,
            tenant_id: tenant,
            name: new.name,
            hint: secret.hint(),
            environment: environment.to_string(),
            scopes: new.scopes.unwrap_or_default(),
            allowed_ips: new.allowed_ips,
            contact_email: new.contact_email,
            replaces: None,
            created_at: now,
            created_by: by.who.to_string(),
            expires_at: new.expires_at,
            revoked_at: None,
            last_used_at: None,
            access_type: new.access_type,
            group_id: new.group_id,
            constraints: new.constraints,
            previous_until: None,
            secret_changed_at: None,
            status_index: app.status_indexes.take(&app.db).await?,
            previous_status_index: None,
        };
        Ok(Self { key, secret })
    }

    /// Makes `change` in one transaction with its audit row, unless the same request was answered before. The tenant's
    /// row is held meanwhile, so that what is counted stays so (security 24). The key as it is then is answered, and kept
    /// to be answered again.
    pub async fn store(
        self,
        app: &App,
        event: AuditEvent,
        keep: Option<Keep>,
        change: impl FnOnce(&mut DbConnection, Stored<'_>) -> Result<(), Refusal> + Send + 'static,
    ) -> Result<CreatedApiKey, Refusal> {
        let Self { mut key, secret } = self;
        let (id, hash, profile) = (key.tenant_id, app.api_keys.hash(&secret), Arc::clone(&app.profile));
        let stored = app
            .db
            .write(move |connection| {
                let tenant = tenants::hold(connection, id)?.ok_or(Refusal::NotFound)?;
                if let Some(answer) = keep.as_ref().map(|keep| keep.earlier(connection)).transpose()?.flatten() {
                    return Ok(Err(answer));
                }
                profile.plans.ensure_api_keys(tenant.plan.as_deref())?;
                change(connection, Stored { tenant: &tenant, key: &mut key, hash: &hash, plans: &profile.plans })?;
                if let Some(keep) = keep {
                    keep.keep(connection, &Answer::of(&key, &secret)?)?;
                }
                audit::record(connection, &event)?;
                Ok::<_, Refusal>(Ok(CreatedApiKey { key, secret, replayed: false }))
            })
            .await?;
        match stored {
            Ok(created) => Ok(created),
            Err(sealed) => open_answer(app, id, &sealed).await,
        }
    }
}

impl Stored<'_> {
    /// Adds the key where the tenant has room for one more that lives.
    pub fn insert(self, connection: &mut DbConnection) -> Result<(), Refusal> {
        let most = self.plans.limits(self.tenant.plan.as_deref()).keys_per_tenant;
        if api_keys::count_live(connection, self.tenant.id, self.key.created_at)? >= most {
            return Err(Refusal::ApiKeyLimitReached(most));
        }
        Ok(api_keys::insert(connection, self.key, self.hash)?)
    }
}

/// What a creation answered, to be answered again.
#[derive(Serialize, Deserialize)]
struct Answer<'a> {
    key: Cow<'a, ApiKey>,
    secret: Cow<'a, str>,
}

impl Answer<'_> {
    fn of(key: &ApiKey, secret: &ApiKeySecret) -> Result<Zeroizing<Vec<u8>>, Refusal> {
        let answer = Answer { key: Cow::Borrowed(key), secret: secret.expose().into() };
        serde_json::to_vec(&answer).map(Zeroizing::new).map_err(|_| Refusal::Internal)
    }
}

/// The answer that was given to the same request, if it was: nothing that has changed since is a reason to refuse it
/// now.
pub(super) async fn earlier_answer(
    app: &App,
    by: &Actor,
    tenant: TenantId,
    given: Option<&IdempotencyKey>,
    request: &idempotency::Hash,
) -> Result<Option<CreatedApiKey>, Refusal> {
    let Some(given) = given else { return Ok(None) };
    let sealed = idempotency::earlier(app, tenant, given, by.who, request).await?;
    match sealed {
        Some(sealed) => open_answer(app, tenant, &sealed).await.map(Some),
        None => Ok(None),
    }
}

async fn open_answer(app: &App, tenant: TenantId, sealed: &Sealed) -> Result<CreatedApiKey, Refusal> {
    let opened = idempotency::open(app, tenant, sealed).await?;
    let Answer { key, secret } = serde_json::from_slice(&opened).map_err(|_| Refusal::Internal)?;
    let secret = ApiKeySecret::written(secret.into_owned());
    Ok(CreatedApiKey { key: key.into_owned(), secret, replayed: true })
}
