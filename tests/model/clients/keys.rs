//! API keys: made, used, rotated, ended; and their groups.

use serde_json::{Value, json};

use super::{Body, Caller, held, hold, path};
use crate::{
    harness::at_once,
    log::{Act, Reply},
    world::{Key, SCOPES, Tenant},
};

impl Caller<'_> {
    pub fn exchange(&mut self) -> Option<()> {
        let key = self.key()?;
        let count = self.rng.below(SCOPES.len() + 1);
        let scopes: Vec<String> = SCOPES.iter().take(count).map(ToString::to_string).collect();
        let act = Act::Exchange { key: key.id.clone(), scopes: scopes.clone() };
        let scope = scopes.join(" ");
        if self.rng.chance(50) {
            let tenant = &self.world.tenants[key.tenant].id;
            let request = self.client().post("/api/v1/auth/exchange").bearer(&key.secret).tenant(tenant);
            let body = if scopes.is_empty() { Body::None } else { Body::Json(json!({"scope": scope})) };
            self.world.ask(act, request, body)?;
        } else {
            let mut form = if self.rng.chance(50) {
                vec![
                    ("grant_type", "client_credentials".into()),
                    ("client_id", key.id.clone()),
                    ("client_secret", key.secret),
                ]
            } else {
                vec![
                    ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange".into()),
                    ("subject_token", key.secret),
                    ("subject_token_type", "urn:jeton:params:oauth:token-type:api-key".into()),
                ]
            };
            form.extend((!scopes.is_empty()).then_some(("scope", scope)));
            self.world.ask(act, self.client().post("/oauth2/token"), Body::Form(form))?;
        }
        Some(())
    }

    pub fn create_key(&mut self) -> Option<()> {
        let (number, tenant) = self.tenant();
        let groups = held(&self.world.groups).clone();
        let group = if self.rng.chance(30) { self.rng.pick(&groups).cloned() } else { None };
        let group = group.filter(|(of, _)| *of == number).map(|(_, group)| group);
        let mut body = json!({"name": format!("key {}", self.world.log.number())});
        match &group {
            Some(group) => body["group_id"] = group.clone().into(),
            None => body["scopes"] = json!(SCOPES),
        }
        let act = create_act(tenant, &body, group);
        let reply = self.manage(&tenant.admin, act, "POST", &path(tenant, "api-keys"), None, Body::Json(body))?;
        if reply.status == 409 { self.make_room(tenant) } else { self.hold_key(number, &reply) }
    }

    /// The same request several times at once and until it is answered: one key, whatever is lost on the way.
    pub fn create_key_once(&mut self) -> Option<()> {
        let (number, tenant) = self.tenant();
        let once = format!("once-{}", self.world.log.number());
        let body = json!({"name": format!("key {once}"), "scopes": SCOPES});
        let token = self.world.token(self.rng, &tenant.admin)?;
        let clients = [self.client(), self.client()];
        let replies = at_once(2, |at| {
            let request = clients[at].post(path(tenant, "api-keys")).bearer(&token).header("Idempotency-Key", &once);
            self.world.ask(create_act(tenant, &body, None), request, Body::Json(body.clone()))
        });
        let answered = |reply: &Option<Reply>| reply.as_ref().is_some_and(|reply| reply.status < 500);
        let reply = if let Some(reply) = replies.into_iter().find(answered).flatten() {
            reply
        } else {
            let (act, path) = (create_act(tenant, &body, None), path(tenant, "api-keys"));
            self.manage(&tenant.admin, act, "POST", &path, Some(&once), Body::Json(body))?
        };
        self.hold_key(number, &reply)
    }

    pub fn revoke_key(&mut self) -> Option<()> {
        let key = self.key_to_end()?;
        let act = Act::RevokeKey { key: key.id.clone() };
        let tenant = &self.world.tenants[key.tenant];
        match self.rng.below(10) {
            0 => self.world.command(act, ["api-key", "revoke", &key.id]).map(drop),
            1..5 => {
                let form = Body::Form(vec![("token", key.secret)]);
                self.world.ask(act, self.client().post("/oauth2/revoke"), form).map(drop)
            }
            _ => {
                let path = path(tenant, &format!("api-keys/{}", key.id));
                self.manage(&tenant.admin, act, "DELETE", &path, None, Body::None).map(drop)
            }
        }
    }

    pub fn rotate_key(&mut self) -> Option<()> {
        let key = self.key_to_end()?;
        let overlap = if self.rng.chance(50) { 0 } else { 20 };
        let act = Act::RotateKey { key: key.id.clone(), overlap };
        let tenant = &self.world.tenants[key.tenant];
        let reply = if self.rng.chance(10) {
            let overlap = format!("{overlap}s");
            self.world.command(act, ["api-key", "rotate", &key.id, "--overlap", &overlap, "--json"])?
        } else {
            let path = path(tenant, &format!("api-keys/{}/rotate", key.id));
            let body = Body::Json(json!({"overlap_seconds": overlap}));
            self.manage(&tenant.admin, act, "POST", &path, None, body)?
        };
        self.hold_key(key.tenant, &reply)
    }

    pub fn create_group(&mut self) -> Option<()> {
        let (number, tenant) = self.tenant();
        let body = json!({"name": format!("group {}", self.world.log.number()), "scopes": SCOPES});
        let path = path(tenant, "key-groups");
        let reply = self.manage(&tenant.admin, Act::CreateGroup, "POST", &path, None, Body::Json(body))?;
        held(&self.world.groups).push((number, reply.body["id"].as_str()?.to_owned()));
        Some(())
    }

    pub fn delete_group(&mut self) -> Option<()> {
        let (number, group) = self.rng.pick(&held(&self.world.groups)).cloned()?;
        let tenant = &self.world.tenants[number];
        let path = path(tenant, &format!("key-groups/{group}"));
        let act = Act::DeleteGroup { group: group.clone() };
        self.manage(&tenant.admin, act, "DELETE", &path, None, Body::None)?;
        held(&self.world.groups).retain(|(_, known)| *known != group);
        Some(())
    }

    /// A key; half of the time one that nobody has given up, as far as there is one.
    fn key(&mut self) -> Option<Key> {
        let keys = held(&self.world.keys);
        let living: Vec<_> = keys.iter().filter(|key| !key.given_up).collect();
        if self.rng.chance(70) { self.rng.pick(&living).copied().cloned() } else { self.rng.pick(&keys).cloned() }
    }

    /// A key that lives, taken from those that do: who ends it remembers it as dead.
    fn key_to_end(&mut self) -> Option<Key> {
        let mut keys = held(&self.world.keys);
        let living: Vec<_> = keys.iter_mut().filter(|key| !key.given_up).collect();
        let number = self.rng.below(living.len());
        let key = living.into_iter().nth(number)?;
        key.given_up = true;
        Some(key.clone())
    }

    /// Ends a key that lives, one that nobody holds any more among them.
    fn make_room(&mut self, tenant: &Tenant) -> Option<()> {
        let all = path(tenant, "api-keys?limit=100");
        let list = self.manage(&tenant.admin, Act::ListKeys, "GET", &all, None, Body::None)?;
        let keys = list.body["items"].as_array()?.iter().filter(|key| key["state"] == "active");
        let keys: Vec<_> = keys.filter_map(|key| key["id"].as_str()).collect();
        let key = (*self.rng.pick(&keys)?).to_owned();
        let path = path(tenant, &format!("api-keys/{key}"));
        self.manage(&tenant.admin, Act::RevokeKey { key }, "DELETE", &path, None, Body::None).map(drop)
    }

    fn hold_key(&mut self, tenant: usize, reply: &Reply) -> Option<()> {
        let member = |name: &str| reply.body[name].as_str().map(str::to_owned);
        let key = Key { id: member("id")?, secret: member("key")?, tenant, given_up: false };
        hold(&self.world.keys, key, self.rng);
        Some(())
    }
}

fn create_act(tenant: &Tenant, body: &Value, group: Option<String>) -> Act {
    let name = body["name"].as_str().unwrap_or_default().to_owned();
    let scopes = SCOPES.map(ToOwned::to_owned).into();
    Act::CreateKey { tenant: tenant.id.clone(), name, group, scopes }
}
