//! Two servers on one PostgreSQL, and clients that ask both: what one of them has answered holds on the other.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::harness::{Database, Jeton, Server, Session, Tenant, Wire, unique};
use crate::profiles::{PROFILE, with_profile};

/// How often each kind of revocation is tried.
const TRIES: usize = 200;

/// How often on the command line, where the same can be done over HTTP.
const COMMANDS: usize = 40;

#[test]
fn of_64_refreshes_at_once_all_that_succeed_get_the_same_successor() {
    let Some(jeton) = Jeton::on_postgres() else { return };
    let user = jeton.tenant().user("member");
    let (_server, other) = jeton.second();
    let mut wires = Wire::to(&[&jeton.client(), &other], 64);
    for round in 0..500 {
        let session = user.session();
        let body = json!({"refresh_token": session.refresh_token});
        for wire in &mut wires {
            wire.post(REFRESH, &[], &body);
        }
        let answers: Vec<_> = wires.iter_mut().map(Wire::answer).collect();
        let (granted, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 200);
        let successors: BTreeSet<_> = granted.iter().map(|answer| answer.text("refresh_token")).collect();
        assert_eq!(successors.len(), 1, "round {round}: {granted:#?}");
        assert!(granted.len() <= 11, "one that rotates and ten within the grace, not {}", granted.len());
        // A busy database may keep some waiting for too long; those change nothing.
        assert!(refused.iter().all(|answer| matches!(answer.status, 401 | 503)), "round {round}: {refused:#?}");
        assert!(refused.iter().any(|answer| answer.status == 401), "round {round}: {refused:#?}");
        // More than ten times is reuse: the session has ended, on both.
        for client in [&jeton.client(), &other] {
            let body = json!({"refresh_token": successors.first()});
            client.post(REFRESH).json(body).expect_status(401);
        }
    }
}

/// Where an operator or a distributed database wants more than READ COMMITTED, conflicts are refused, and may be tried
/// again.
#[test]
fn with_serializable_transactions_a_conflict_is_503_and_nothing_else_changes() {
    let Some(jeton) = Jeton::on_postgres() else { return };
    let Database::Postgres { cluster, name } = jeton.database() else { panic!("it is PostgreSQL") };
    cluster.run(&format!("ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'"));
    let user = jeton.tenant().user("member");
    let (_server, other) = jeton.second();
    let mut wires = Wire::to(&[&jeton.client(), &other], 10);
    let mut conflicts = 0;
    for _ in 0..10 {
        // A login may meet with what the servers do by the clock.
        let begun =
            (0..20).map(|_| user.login()).find(|answer| answer.status != 503).expect("a login that meets nothing");
        let mut session = Session::of(&jeton, &begun.expect_tokens());
        for _ in 0..3 {
            let body = json!({"refresh_token": session.refresh_token});
            // Few enough that none of them is reuse.
            for wire in &mut wires {
                wire.post(REFRESH, &[], &body);
            }
            let answers: Vec<_> = wires.iter_mut().map(Wire::answer).collect();
            let (granted, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 200);
            let successors: BTreeSet<_> = granted.iter().map(|answer| answer.text("refresh_token")).collect();
            assert_eq!(successors.len(), 1, "{granted:#?}");
            conflicts += refused.len();
            for answer in refused {
                let answer = answer.expect_problem(503, "unavailable");
                assert!(answer.header("retry-after").is_some(), "{}", answer.told());
            }
            session = Session::of(&jeton, &granted[0]);
        }
    }
    assert!(conflicts > 0, "there were conflicts");
}

#[test]
fn no_exchange_begins_after_its_key_was_revoked_and_succeeds() {
    let Some(mut pair) = Pair::start(None) else { return };
    let tenant = pair.jeton.tenant();
    tenant.admin().token();
    for number in 0..TRIES + COMMANDS {
        let key = tenant.api_key(["a:b"]);
        let jeton = pair.jeton.clone();
        pair.expect_end(&[Use::Key(&tenant.id, &key.key)], || {
            if number < TRIES {
                tenant.admin().revoke(&key).expect_status(204);
            } else {
                jeton.cli(["api-key", "revoke", &key.id]).expect_code(0);
            }
        });
    }
}

#[test]
fn no_exchange_begins_after_its_group_was_deleted_and_succeeds() {
    let Some(mut pair) = Pair::start(Some(PROFILE)) else { return };
    let tenant = pair.jeton.tenant();
    for number in 0..TRIES + COMMANDS {
        let group = json!({"name": unique("Group"), "access_type": "narrow", "scopes": ["a:read"]});
        let group = tenant.admin().post(tenant.path("key-groups"), group).expect_status(201).text("id");
        let key = tenant.api_key_with(json!({"group_id": group}));
        let jeton = pair.jeton.clone();
        pair.expect_end(&[Use::Key(&tenant.id, &key.key)], || {
            if number < TRIES {
                tenant.admin().delete(tenant.path(&format!("key-groups/{group}"))).expect_status(204);
            } else {
                jeton.cli(["key-group", "delete", &group]).expect_code(0);
            }
        });
    }
}

#[test]
fn no_refresh_begins_after_the_logout_and_succeeds() {
    let Some(mut pair) = Pair::start(None) else { return };
    let user = pair.jeton.tenant().user("member");
    for number in 0..2 * TRIES {
        let session = user.session();
        pair.expect_end(&[Use::Session(&session)], || {
            if number % 2 == 0 {
                session.logout().expect_status(204);
            } else {
                session.call("POST", "/api/v1/auth/logout-all").send().expect_status(204);
            }
        });
    }
}

#[test]
fn no_refresh_begins_after_the_password_was_changed_and_succeeds() {
    let Some(mut pair) = Pair::start(None) else { return };
    let mut user = pair.jeton.tenant().user("member");
    for number in 0..TRIES + COMMANDS {
        let (session, by) = (user.session(), user.session());
        let new = format!("another-Meadow-{number}-kettle");
        let jeton = pair.jeton.clone();
        pair.expect_end(&[Use::Session(&session)], || {
            if number < TRIES {
                user.change_password(&by, &new).expect_status(204);
            } else {
                let command = ["user", "set-password", &user.email, "--password-stdin"];
                jeton.cli_with_stdin(command, Some(&new)).expect_code(0);
            }
        });
        user.password = new;
    }
}

/// Only the command line disables a person.
#[test]
fn no_refresh_begins_after_the_user_was_disabled_and_succeeds() {
    let Some(mut pair) = Pair::start(None) else { return };
    let tenant = pair.jeton.tenant();
    for _ in 0..TRIES {
        let (email, session, _) = pair.member(&tenant);
        let jeton = pair.jeton.clone();
        pair.expect_end(&[Use::Session(&session)], || drop(jeton.cli(["user", "disable", &email]).expect_code(0)));
    }
}

#[test]
fn no_refresh_begins_after_the_membership_was_removed_and_succeeds() {
    let Some(mut pair) = Pair::start(None) else { return };
    let tenant = pair.jeton.tenant();
    for _ in 0..TRIES {
        let (_, session, id) = pair.member(&tenant);
        let path = tenant.path(&format!("users/{id}"));
        pair.expect_end(&[Use::Session(&session)], || drop(tenant.admin().delete(path).expect_status(204)));
    }
}

#[test]
fn nothing_begins_after_the_tenant_was_suspended_and_succeeds() {
    let Some(mut pair) = Pair::start(None) else { return };
    let (tenant, operator) = (pair.jeton.tenant(), pair.jeton.operator());
    let (key, user) = (tenant.api_key(["a:b"]), tenant.user("member"));
    for number in 0..TRIES + COMMANDS {
        let session = user.session();
        pair.expect_end(&[Use::Key(&tenant.id, &key.key), Use::Session(&session)], || {
            if number < TRIES {
                operator.call("POST", tenant.path("suspend")).send().expect_status(200);
            } else {
                tenant.suspend();
            }
        });
        operator.call("POST", tenant.path("resume")).send().expect_status(200);
    }
}

#[test]
fn nothing_begins_after_the_tenant_was_deleted_and_succeeds() {
    let Some(mut pair) = Pair::start(None) else { return };
    let operator = pair.jeton.operator();
    for number in 0..TRIES + COMMANDS {
        let name = unique("Doomed");
        let tenant = Tenant::new(&pair.jeton, operator.post("/api/v1/tenants", json!({"name": name})).text("id"), name);
        // The first member of a tenant comes from the command line, which takes longer than all the rest.
        let bytes = |id: &str| format!("'\\x{}'", id.replace('-', ""));
        pair.jeton.execute(&format!(
            "INSERT INTO memberships (tenant_id, user_id, role, created_at) VALUES ({}, {}, 'admin', 0)",
            bytes(&tenant.id),
            bytes(&operator.id)
        ));
        let session = Session::of(&pair.jeton, &operator.login_with(json!({"tenant_id": tenant.id})).expect_tokens());
        let key = session.call("POST", tenant.path("api-keys")).json(json!({"name": "Key"})).expect_status(201);
        let jeton = pair.jeton.clone();
        pair.expect_end(&[Use::Key(&tenant.id, &key.text("key")), Use::Session(&session)], || {
            if number < TRIES {
                operator.delete(format!("/api/v1/tenants/{}", tenant.id)).expect_status(204);
            } else {
                jeton.cli(["tenant", "delete", &tenant.id]).expect_code(0);
            }
        });
    }
}

const REFRESH: &str = "/api/v1/auth/refresh";
const EXCHANGE: &str = "/api/v1/auth/exchange";

/// Requests that are under way on the other server while something ends.
const UNDER_WAY: usize = 3;

/// Requests that begin there afterwards.
const AFTERWARDS: usize = 4;

/// What a client does with what it holds.
enum Use<'a> {
    /// It exchanges the key of a tenant.
    Key(&'a str, &'a str),
    /// It refreshes.
    Session(&'a Session),
}

/// Two servers: what ends on the first is used on the other.
struct Pair {
    jeton: Jeton,
    other: Vec<Wire>,
    _server: Server,
}

impl Pair {
    fn start(profile: Option<&str>) -> Option<Self> {
        let mut jeton = Jeton::on_postgres()?;
        if let Some(profile) = profile {
            jeton = with_profile(jeton, profile);
        }
        jeton.start();
        let (server, client) = jeton.second();
        Some(Self { jeton, other: Wire::to(&[&client], UNDER_WAY + AFTERWARDS), _server: server })
    }

    /// Another member of a tenant: the address, a session, the id.
    fn member(&self, tenant: &Tenant) -> (String, Session, String) {
        let email = format!("{}@example.com", unique("member"));
        let added = tenant.admin().post(tenant.path("users"), json!({"email": email})).expect_status(201);
        let body = json!({"email": email, "password": added.text("password")});
        let login = self.jeton.post("/api/v1/auth/login").json(body).expect_tokens();
        (email, Session::of(&self.jeton, &login), added.text("id"))
    }

    /// All of this works on the other server; then it ends on the first one, while it is used on the other; and
    /// whatever begins there after that was answered is refused.
    #[track_caller]
    fn expect_end(&mut self, uses: &[Use], end: impl FnOnce()) {
        // A refresh spends its token: the predecessor and the successor are both tried later.
        let successors: Vec<Value> = uses
            .iter()
            .map(|used| {
                used.post(&mut self.other[0], None);
                let answer = self.other[0].answer().expect_tokens().json();
                answer["refresh_token"].clone()
            })
            .collect();
        let asks = || uses.iter().zip(&successors).cycle();
        let (under_way, afterwards) = self.other.split_at_mut(UNDER_WAY);

        under_way.iter_mut().zip(asks()).for_each(|(wire, (used, _))| used.post(wire, None));
        end();
        for (number, (wire, (used, successor))) in afterwards.iter_mut().zip(asks()).enumerate() {
            used.post(wire, (number >= AFTERWARDS / 2).then_some(successor));
        }
        for wire in under_way {
            let answer = wire.answer();
            assert!([200, 401, 403].contains(&answer.status), "{}", answer.told());
        }
        for wire in afterwards {
            let answer = wire.answer();
            assert!([401, 403].contains(&answer.status), "it began after the end was answered: {}", answer.told());
        }
    }
}

impl Use<'_> {
    fn post(&self, wire: &mut Wire, successor: Option<&Value>) {
        match self {
            Self::Key(tenant, key) => {
                let headers = [("Authorization", &*format!("Bearer {key}")), ("X-Tenant-ID", tenant)];
                wire.post(EXCHANGE, &headers, &json!({}));
            }
            Self::Session(session) => {
                let token = successor.cloned().unwrap_or_else(|| session.refresh_token.clone().into());
                wire.post(REFRESH, &[], &json!({"refresh_token": token}));
            }
        }
    }
}
