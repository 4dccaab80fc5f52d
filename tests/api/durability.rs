//! What was answered stays, however the server ends; and how it ends (security 27; contract 2).

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::sleep,
    time::{Duration, Instant},
};

use jeton_test_macros::both_databases;
use serde_json::json;

use crate::{
    exhaustion::until,
    harness::{Jeton, Session, User, Wire, at_once},
};

#[both_databases]
fn all_that_was_answered_survives_a_kill(jeton: Jeton) {
    let tenant = jeton.tenant();
    let admin = tenant.admin();
    admin.token();
    for _ in 0..3 {
        let (keys, sessions) = work_until_killed(&jeton, admin);
        assert!(!keys.is_empty() && !sessions.is_empty(), "some work was done");

        let since = Instant::now();
        jeton.start();
        jeton.get("/readyz").send().expect_status(200);
        assert!(since.elapsed() < Duration::from_secs(5), "ready again within 5 s");

        for key in keys {
            let exchange = jeton.post("/api/v1/auth/exchange").bearer(&key).tenant(&tenant.id).send();
            exchange.expect_scope("goals:read");
        }
        for session in sessions {
            session.refresh().expect_tokens();
        }
    }
}

/// Makes keys and refreshes sessions on several threads, kills the server in the midst, and returns what was answered.
fn work_until_killed(jeton: &Jeton, admin: &User) -> (Vec<String>, Vec<Session>) {
    let (killed, keys) = (AtomicBool::new(false), Mutex::new(Vec::new()));
    let client = jeton.client();
    let path = format!("/api/v1/tenants/{}/api-keys", admin.tenant_id);
    let sessions = std::thread::scope(|scope| {
        let maker = scope.spawn(|| {
            let body = json!({"name": "Key", "scopes": ["goals:read"]}).to_string();
            while !killed.load(Ordering::SeqCst) && keys.lock().unwrap().len() < 25 {
                let call = client.post(&path).bearer(admin.token()).header("Content-Type", "application/json");
                if let Ok(answer) = call.with_body(body.as_str()).try_send() {
                    keys.lock().unwrap().push(answer.expect_status(201).text("key"));
                }
            }
        });
        let refreshers: Vec<_> = (0..2)
            .map(|_| {
                let mut session = admin.session();
                let (client, killed) = (&client, &killed);
                scope.spawn(move || {
                    while !killed.load(Ordering::SeqCst) {
                        let body = json!({"refresh_token": session.refresh_token}).to_string();
                        let call = client.post("/api/v1/auth/refresh").header("Content-Type", "application/json");
                        if let Ok(answer) = call.with_body(body.as_str()).try_send() {
                            session = Session::of(jeton, &answer.expect_tokens());
                        }
                    }
                    session
                })
            })
            .collect();
        sleep(Duration::from_millis(200));
        jeton.kill();
        killed.store(true, Ordering::SeqCst);
        maker.join().unwrap();
        refreshers.into_iter().map(|refresher| refresher.join().unwrap()).collect()
    });
    (keys.into_inner().unwrap(), sessions)
}

#[both_databases]
fn a_revocation_survives_a_kill(jeton: Jeton) {
    let tenant = jeton.tenant();
    let (key, session) = (tenant.api_key([]), tenant.user("member").session());
    tenant.admin().revoke(&key).expect_status(204);
    session.logout().expect_status(204);
    jeton.kill();
    key.exchange().expect_problem(401, "invalid_api_key");
    session.refresh().expect_status(401);
}

#[both_databases]
fn a_restart_keeps_the_signing_keys(jeton: Jeton) {
    let token = jeton.tenant().api_key([]).token();
    let jwks = jeton.jwks();
    jeton.kill();
    jeton.verified(&token);
    assert_eq!(jeton.jwks(), jwks);
}

#[both_databases]
fn sigterm_ends_the_server_with_exit_0(jeton: Jeton) {
    jeton.tenant().api_key([]).exchange().expect_tokens();
    let since = Instant::now();
    assert_eq!(jeton.stop().code(), Some(0));
    assert!(since.elapsed() < Duration::from_secs(30));
}

#[both_databases]
fn sigint_ends_the_server_with_exit_0_too(jeton: Jeton) {
    jeton.get("/healthz").send().expect_status(200);
    assert_eq!(jeton.stop_by("INT").code(), Some(0));
}

/// It may come between the line that says "listening" and the moment when the server runs.
#[both_databases]
fn a_server_that_is_told_to_end_as_it_begins_ends_in_order(jeton: Jeton) {
    for _ in 0..12 {
        jeton.start();
        assert!(jeton.stop().success(), "SIGTERM is heard");
    }
}

#[both_databases]
fn sigterm_under_load_loses_nothing_that_was_acknowledged(jeton: Jeton) {
    let tenant = jeton.tenant();
    let admin = tenant.admin();
    admin.token();
    let client = jeton.client();
    let path = tenant.path("api-keys");
    let keys: Vec<String> = std::thread::scope(|scope| {
        let makers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let body = json!({"name": "Key"}).to_string();
                    let mut made = Vec::new();
                    for _ in 0..30 {
                        let call = client.post(&path).bearer(admin.token()).header("Content-Type", "application/json");
                        let Ok(answer) = call.with_body(body.as_str()).try_send() else { break };
                        if answer.status == 201 {
                            made.push(answer.text("key"));
                        }
                    }
                    made
                })
            })
            .collect();
        sleep(Duration::from_millis(60));
        assert_eq!(jeton.stop().code(), Some(0), "exit within 30 s");
        makers.into_iter().flat_map(|maker| maker.join().unwrap()).collect()
    });
    for key in &keys {
        jeton.post("/api/v1/auth/exchange").bearer(key).tenant(&tenant.id).send().expect_tokens();
    }
}

/// They are refreshed together: one worker answers for another, which goes on when the first has ended.
#[test]
fn at_the_end_refreshes_that_wait_for_those_before_them_are_answered() {
    let Some(jeton) = Jeton::on_postgres() else { return };
    let user = jeton.tenant().user("member");
    let sessions: Vec<_> = (0..5).map(|_| user.session()).collect();
    jeton.execute(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql
         AS $$ BEGIN PERFORM pg_sleep(0.7); RETURN NULL; END $$;
         CREATE TRIGGER slow BEFORE UPDATE ON sessions FOR EACH STATEMENT EXECUTE FUNCTION slow()",
    );
    // Connections go to the two workers in turn.
    let wires = Wire::to(&[&jeton.client()], 8).into_iter().enumerate();
    let mut asking: Vec<_> = wires.filter(|(number, _)| *number == 0 || number % 2 == 1).collect();
    for ((number, wire), session) in asking.iter_mut().zip(&sessions) {
        wire.post("/api/v1/auth/refresh", &[], &json!({"refresh_token": session.refresh_token}));
        // Two groups are under way at once: the other three wait.
        sleep(Duration::from_millis(if *number < 2 { 50 } else { 0 }));
    }
    sleep(Duration::from_millis(50));
    assert_eq!(jeton.stop().code(), Some(0));
    for (_, mut wire) in asking {
        wire.answer().expect_tokens();
    }
}

#[both_databases]
fn an_idle_connection_does_not_hold_up_the_end(jeton: Jeton) {
    let idle = std::net::TcpStream::connect(jeton.client().address()).unwrap();
    jeton.get("/healthz").send().expect_status(200);
    let since = Instant::now();
    assert_eq!(jeton.stop().code(), Some(0));
    assert!(since.elapsed() < Duration::from_secs(30), "{:?}", since.elapsed());
    drop(idle);
}

/// They are written behind the answer: here only after the threads that answered are gone.
#[both_databases]
fn refusals_that_wait_to_be_recorded_are_so_before_the_end(jeton: Jeton) {
    let key = jeton.tenant().api_key([]);
    let strange = |number: usize| key.forged(format!("jtn_live_{number:032x}")).exchange().expect_status(401);
    strange(0);
    until("it is recorded", || jeton.audited("api_key.refused") == 1);

    let mut holder = jeton.hold_audit();
    at_once(40, |number| strange(number + 1));
    std::thread::scope(|scope| {
        let ended = scope.spawn(|| jeton.stop());
        sleep(Duration::from_millis(1_500));
        holder.batch_execute("ROLLBACK").unwrap();
        assert_eq!(ended.join().unwrap().code(), Some(0));
    });
    assert_eq!(jeton.audited("api_key.refused"), 41);
}
