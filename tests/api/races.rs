//! Things that happen at once (security section 3, I1, I2, I5): an answer that was given holds for all that begins
//! later.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use diesel::connection::SimpleConnection;
use jeton_test_macros::both_databases;
use serde_json::json;

use crate::{
    console::Browser,
    harness::{Answer, Client, Database, Jeton, Session, User, at_once, unique},
};

#[both_databases]
fn no_exchange_that_begins_after_a_revocation_succeeds(jeton: Jeton) {
    let tenant = jeton.tenant();
    let key = tenant.api_key(["a:b"]);
    let admin = tenant.admin();
    let exchange = |client: &Client| client.post("/api/v1/auth/exchange").bearer(&key.key).tenant(&tenant.id).send();
    expect_an_end(&jeton, exchange, || drop(admin.revoke(&key).expect_status(204)));
}

#[both_databases]
fn no_exchange_that_begins_after_a_suspension_succeeds(jeton: Jeton) {
    let tenant = jeton.tenant();
    let key = tenant.api_key(["a:b"]);
    let operator = jeton.operator();
    operator.token();
    let exchange = |client: &Client| client.post("/api/v1/auth/exchange").bearer(&key.key).tenant(&tenant.id).send();
    expect_an_end(&jeton, exchange, || drop(operator.call("POST", tenant.path("suspend")).send().expect_status(200)));
}

/// However often a key was used before, and whatever a server may remember of it.
#[both_databases]
fn a_key_is_as_the_last_commit_left_it(jeton: Jeton) {
    let tenant = jeton.tenant();
    let key = tenant.api_key(["a:b"]);
    let (_server, elsewhere) = jeton.second();
    let exchanges = || {
        let there = || elsewhere.post("/api/v1/auth/exchange").bearer(&key.key).tenant(&tenant.id).send();
        [key.exchange(), key.exchange(), there(), there()]
    };
    for _ in 0..5 {
        for answer in exchanges() {
            answer.expect_scope("a:b");
        }
        jeton.cli(["tenant", "suspend", &tenant.id]).expect_code(0);
        for answer in exchanges() {
            answer.expect_problem(403, "tenant_suspended");
        }
        jeton.cli(["tenant", "resume", &tenant.id]).expect_code(0);
    }
    for answer in exchanges() {
        answer.expect_scope("a:b");
    }
    jeton.cli(["api-key", "revoke", &key.id]).expect_code(0);
    for answer in exchanges() {
        answer.expect_problem(401, "invalid_api_key");
    }
}

#[both_databases]
fn no_login_that_begins_after_the_user_was_disabled_succeeds(jeton: Jeton) {
    let user = jeton.tenant().user("member");
    let disable = || drop(jeton.cli(["user", "disable", &user.email]).expect_code(0));
    expect_an_end(&jeton, |client| login(client, &user), disable);
}

#[both_databases]
fn no_login_that_begins_after_the_membership_was_removed_succeeds(jeton: Jeton) {
    let tenant = jeton.tenant();
    let user = tenant.user("member");
    let admin = tenant.admin();
    admin.token();
    let remove = || drop(admin.delete(tenant.path(&format!("users/{}", user.id))).expect_status(204));
    expect_an_end(&jeton, |client| login(client, &user), remove);
}

#[both_databases]
fn no_login_with_the_old_password_begins_after_it_was_changed_and_succeeds(jeton: Jeton) {
    let user = jeton.tenant().user("member");
    let session = user.session();
    let change = || drop(user.change_password(&session, "another-Meadow-2209-kettle").expect_status(204));
    expect_an_end(&jeton, |client| login(client, &user), change);
}

#[both_databases]
fn no_refresh_that_begins_after_a_logout_everywhere_succeeds(jeton: Jeton) {
    let user = jeton.tenant().user("member");
    let ending = user.session();
    // Each call takes a session of its own one step on, so that it is no reuse that ends them.
    let sessions: Mutex<Vec<Session>> = Mutex::new((0..CALLERS).map(|_| user.session()).collect());
    let refresh = |client: &Client| {
        let session = sessions.lock().unwrap().pop().expect("one for each caller");
        let body = json!({"refresh_token": session.refresh_token});
        let answer = client.post("/api/v1/auth/refresh").json(body);
        let next = if answer.status == 200 { Session::of(&jeton, &answer) } else { session };
        sessions.lock().unwrap().push(next);
        answer
    };
    expect_an_end(&jeton, refresh, || drop(ending.call("POST", "/api/v1/auth/logout-all").send().expect_status(204)));
}

#[both_databases]
fn no_session_of_a_login_that_raced_a_suspension_lives_after_the_tenant_is_resumed(jeton: Jeton) {
    let tenant = jeton.tenant();
    let user = tenant.user("member");
    let operator = jeton.operator();
    operator.token();
    for _ in 0..4 {
        let answers = at_once(6, |number| match number {
            0 => operator.call("POST", tenant.path("suspend")).send().expect_status(200),
            _ => login(&jeton.client(), &user),
        });
        operator.call("POST", tenant.path("resume")).send().expect_status(200);
        for answer in answers.iter().skip(1).filter(|answer| answer.status == 200) {
            let session = Session::of(&jeton, answer);
            session.refresh().expect_status(401);
            session.call("GET", "/api/v1/auth/me").send().expect_problem(401, "invalid_token");
        }
    }
}

#[both_databases]
fn a_key_is_rotated_once(jeton: Jeton) {
    let tenant = jeton.tenant();
    let admin = tenant.admin();
    admin.token();
    let key = tenant.api_key(["a:b"]);
    let (_server, elsewhere) = jeton.second();
    let answers = at_once(6, |number| {
        let client = if number % 2 == 0 { jeton.client() } else { elsewhere.clone() };
        client.post(format!("{}/rotate", key.path())).bearer(admin.token()).json(json!({}))
    });
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1, "{answers:#?}");
    for refused in answers.iter().filter(|answer| answer.status != 201) {
        assert!((400..500).contains(&refused.status), "{}", refused.told());
    }
    let active = |key: &&serde_json::Value| key["state"] == "active";
    assert_eq!(admin.get(tenant.path("api-keys")).items().iter().filter(active).count(), 1);
}

/// Whoever changes a key while it is rotated was answered that it is changed.
#[both_databases]
fn a_successor_has_the_name_that_the_key_has_by_then(jeton: Jeton) {
    let tenant = jeton.tenant();
    let admin = tenant.admin();
    admin.token();
    let key = tenant.api_key_with(json!({"name": "Before", "contact_email": "before@example.com"}));
    let (mut holder, hold): (Box<dyn SimpleConnection + Send>, _) = match jeton.database() {
        Database::Sqlite => (Box::new(jeton.sqlite()), "BEGIN IMMEDIATE"),
        Database::Postgres { .. } => (Box::new(jeton.postgres()), "BEGIN; SELECT 1 FROM tenants FOR UPDATE"),
    };
    let rotate = || {
        let call = admin.call("POST", format!("{}/rotate", key.path())).header("Idempotency-Key", "once");
        call.json(json!({"overlap_seconds": 60})).expect_status(201).json()
    };
    holder.batch_execute(hold).unwrap();
    let rotated = std::thread::scope(|scope| {
        let rotated = scope.spawn(rotate);
        // It has looked at the key by now, and waits.
        std::thread::sleep(Duration::from_millis(700));
        let change = "UPDATE api_keys SET name = 'After', contact_email = 'after@example.com'; COMMIT";
        holder.batch_execute(change).unwrap();
        rotated.join().unwrap()
    });
    assert_eq!((&rotated["name"], &rotated["contact_email"]), (&json!("After"), &json!("after@example.com")));
    assert_eq!(rotate(), rotated, "kept as it was answered");
    let stored = admin.get(tenant.path(&format!("api-keys/{}", rotated["id"].as_str().unwrap()))).expect_status(200);
    assert_eq!(stored.text("name"), "After");
}

#[both_databases]
fn an_address_becomes_one_user(jeton: Jeton) {
    let (tenant, other) = (jeton.tenant(), jeton.tenant());
    let email = format!("{}@example.com", unique("wanted"));
    let admins = [tenant.admin(), other.admin()];
    for admin in admins {
        admin.token();
    }
    let (_server, elsewhere) = jeton.second();
    let answers = at_once(6, |number| {
        let (admin, client) = (admins[number % 2], if number < 3 { jeton.client() } else { elsewhere.clone() });
        let path = format!("/api/v1/tenants/{}/users", admin.tenant_id);
        client.post(path).bearer(admin.token()).json(json!({"email": email, "role": "member"}))
    });
    let added: Vec<_> = answers.iter().filter(|answer| answer.status == 201).map(|answer| answer.text("id")).collect();
    assert_eq!(added.len(), 2, "once in each tenant: {answers:#?}");
    assert_eq!(added[0], added[1], "and the same user in both");
    for refused in answers.into_iter().filter(|answer| answer.status != 201) {
        refused.expect_problem(409, "email_taken");
    }
}

#[both_databases]
fn a_tenant_id_is_taken_once(jeton: Jeton) {
    let operator = jeton.operator();
    operator.token();
    let body = json!({"name": "Acme", "id": "0199b0a0-1234-7000-8000-00000000abcd"});
    let answers = at_once(6, |_| operator.post("/api/v1/tenants", body.clone()));
    let mut statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409, 409, 409, 409, 409]);
}

/// Each leaves a line in the audit logs of both tenants.
#[both_databases]
fn users_who_switch_in_opposite_directions_do_not_stop_each_other(jeton: Jeton) {
    let tenants = [jeton.tenant(), jeton.tenant()];
    let users = [0; 6].map(|_| {
        let user = tenants[0].user("member");
        let body = json!({"email": user.email, "role": "member"});
        tenants[1].admin().post(tenants[1].path("users"), body).expect_status(201);
        user
    });
    at_once(users.len(), |number| {
        let (user, mut browser) = (&users[number], Browser::new(&jeton));
        let there = |turn: usize| tenants[(number + turn) % 2].id.as_str();
        let fields = [("email", user.email.as_str()), ("password", &user.password), ("tenant_id", there(0))];
        browser.submit_on("/console/sign-in", "/console/sign-in", &fields).expect_status(303);
        for turn in 1..=12 {
            let page = "/console/organisations";
            browser.submit_on(page, page, &[("tenant_id", there(turn))]).expect_status(303);
        }
    });
}

const CALLERS: usize = 4;

/// How long a busy machine may take until a call has come through.
const PATIENCE: Duration = Duration::from_secs(30);

/// Calls without a pause on two servers, ends it, and looks at the calls that began after the end was acknowledged: of
/// each caller there is one at least that a rule has answered, and not the haste of a busy machine (503).
fn expect_an_end(jeton: &Jeton, call: impl Fn(&Client) -> Answer + Sync, end: impl Fn() + Sync) {
    let (_server, elsewhere) = jeton.second();
    let (ended, over, begun) = (AtomicBool::new(false), AtomicBool::new(false), Instant::now());
    let calls: Mutex<Vec<(bool, Answer)>> = Mutex::default();
    std::thread::scope(|scope| {
        for number in 0..CALLERS {
            let client = if number % 2 == 0 { jeton.client() } else { elsewhere.clone() };
            let (call, ended, over, calls) = (&call, &ended, &over, &calls);
            scope.spawn(move || {
                let mut was_judged = false;
                while !(was_judged && over.load(Ordering::SeqCst)) && begun.elapsed() < PATIENCE {
                    let is_after = ended.load(Ordering::SeqCst);
                    let answer = call(&client);
                    was_judged |= is_after && answer.status != 503;
                    calls.lock().unwrap().push((is_after, answer));
                }
                assert!(was_judged, "a call after the end is judged within {PATIENCE:?}");
            });
        }
        let has_worked = || calls.lock().unwrap().iter().any(|(_, answer)| answer.status == 200);
        while !has_worked() && begun.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(5));
        }
        std::thread::sleep(Duration::from_millis(150));
        end();
        ended.store(true, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(100));
        over.store(true, Ordering::SeqCst);
    });

    let (after, before): (Vec<_>, Vec<_>) =
        calls.into_inner().unwrap().into_iter().partition(|(is_after, _)| *is_after);
    assert!(before.iter().any(|(_, answer)| answer.status == 200), "it worked before: {before:#?}");
    for (_, answer) in after {
        // Many refused logins in a row are not even tried any more.
        assert!(matches!(answer.status, 401 | 403 | 429 | 503), "{}", answer.told());
    }
}

fn login(client: &Client, user: &User) -> Answer {
    client.post("/api/v1/auth/login").json(json!({"email": user.email, "password": user.password}))
}
