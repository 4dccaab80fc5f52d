//! One-time passwords: somebody else has seen them, so they are good only for choosing another one (docs/API.md section
//! 6).

use std::{thread::scope, time::Duration};

use diesel::connection::SimpleConnection;
use jeton_test_macros::both_databases;
use serde_json::{Value, json};

use crate::{
    exhaustion::until,
    harness::{Answer, Jeton, Tenant, at_once, unique},
};

const OWN: &str = "Harbour-violet-2207-anvil";
const WEEK: Duration = Duration::from_hours(7 * 24);

/// Somebody who was given a one-time password.
struct Invited {
    jeton: Jeton,
    id: String,
    email: String,
    password: String,
}

impl Invited {
    #[track_caller]
    fn to(jeton: &Jeton, tenant: &Tenant) -> Self {
        let email = format!("{}@example.com", unique("invited"));
        let body = json!({"email": email, "one_time_password": true});
        let session = tenant.admin().session();
        let made = session.call("POST", tenant.path("users")).json(body).expect_status(201);
        assert_eq!(made.header("cache-control"), Some("no-store"));
        Self { jeton: jeton.clone(), id: made.text("id"), email, password: made.text("password") }
    }

    fn login(&self, members: Value) -> Answer {
        let mut body = json!({"email": self.email, "password": self.password});
        crate::harness::merge(&mut body, members);
        self.jeton.post("/api/v1/auth/login").json(body)
    }

    fn path(&self, tenant: &Tenant) -> String {
        tenant.path(&format!("users/{}", self.id))
    }

    /// Asks for another one.
    fn again(&self, tenant: &Tenant) -> Answer {
        let session = tenant.admin().session();
        session.call("POST", format!("{}/one-time-password", self.path(tenant))).send()
    }
}

#[both_databases]
fn a_one_time_password_opens_nothing_but_the_choice_of_another(jeton: Jeton) {
    let tenant = jeton.tenant();
    let invited = Invited::to(&jeton, &tenant);
    let read = || tenant.admin().get(invited.path(&tenant)).expect_status(200).json();
    assert!(read()["one_time_password_expires_at"].is_string());
    assert_eq!(read()["password"], Value::Null, "shown once");

    for _ in 0..2 {
        let refused = invited.login(json!({})).expect_problem(403, "password_change_required");
        assert_eq!(refused.json()["access_token"], Value::Null);
        assert_eq!(refused.header("set-cookie"), None);
    }
    assert_eq!(jeton.rows("sessions"), 2, "the administrator's");
    for weak in ["short", "passwordpassword", &invited.email, &invited.password] {
        invited.login(json!({"new_password": weak})).expect_field("new_password");
    }
    invited.login(json!({"password": OWN, "new_password": OWN})).expect_problem(401, "invalid_credentials");

    invited.login(json!({"new_password": OWN})).expect_scope("");
    invited.login(json!({})).expect_problem(401, "invalid_credentials");
    invited.login(json!({"new_password": OWN})).expect_problem(401, "invalid_credentials");
    invited.login(json!({"password": OWN})).expect_tokens();
    assert_eq!(read()["one_time_password_expires_at"], Value::Null);
    invited.login(json!({"password": OWN, "new_password": "Another-lantern-1-meadow"})).expect_field("new_password");

    assert_eq!(jeton.audited("user.password_changed"), 1);
    assert_eq!(jeton.audited("password_change_required"), 2);
    let added = jeton.audit().into_iter().find(|row| row.action == "user.added" && row.actor != "cli").unwrap();
    assert_eq!(added.details.as_deref(), Some("role member, one-time password"));
    let dump = jeton.dump();
    for secret in [&*invited.password, OWN] {
        assert!(!dump.windows(secret.len()).any(|bytes| bytes == secret.as_bytes()), "hashed, nowhere in plain text");
    }
}

/// The hash of the one-time password is made anew for nobody.
#[both_databases]
fn the_password_that_was_chosen_stays_after_the_cost_of_a_hash_was_raised(jeton: Jeton) {
    let invited = Invited::to(&jeton, &jeton.tenant());
    jeton.set("password.argon2.memory_kib", "128");
    jeton.set("password.argon2.iterations", "2");
    jeton.restart();
    invited.login(json!({"new_password": OWN})).expect_tokens();
    invited.login(json!({})).expect_problem(401, "invalid_credentials");
    invited.login(json!({"password": OWN})).expect_tokens();
}

#[both_databases]
fn it_expires_after_password_one_time_ttl(jeton: Jeton) {
    let tenant = jeton.tenant();
    let (late, early) = (Invited::to(&jeton, &tenant), Invited::to(&jeton, &tenant));
    jeton.advance(Duration::from_mins(7 * 24 * 60 - 1));
    early.login(json!({"new_password": OWN})).expect_tokens();
    jeton.advance(Duration::from_mins(1));
    for members in [json!({}), json!({"new_password": OWN})] {
        late.login(members).expect_problem(403, "one_time_password_expired");
    }
    late.login(json!({"password": OWN})).expect_problem(401, "invalid_credentials");
    jeton.advance(WEEK);
    early.login(json!({"password": OWN})).expect_tokens();

    jeton.set("password.one_time_ttl", "1h");
    jeton.restart();
    let other = tenant.user("admin").session();
    let body = json!({"email": "quick@example.com", "one_time_password": true});
    let made = other.call("POST", tenant.path("users")).json(body).expect_status(201);
    jeton.advance(Duration::from_hours(1));
    let body = json!({"email": "quick@example.com", "password": made.text("password"), "new_password": OWN});
    jeton.post("/api/v1/auth/login").json(body).expect_problem(403, "one_time_password_expired");
}

#[both_databases]
fn of_two_first_logins_one_sets_the_password(jeton: Jeton) {
    let tenant = jeton.tenant();
    for _ in 0..3 {
        let invited = Invited::to(&jeton, &tenant);
        let (_second, elsewhere) = jeton.second();
        let clients = [jeton.client(), elsewhere];
        let own = |number: usize| format!("{OWN}-{number}");
        let answers = at_once(6, |number| {
            let body = json!({"email": invited.email, "password": invited.password, "new_password": own(number)});
            (number, clients[number % 2].post("/api/v1/auth/login").json(body))
        });
        let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(|(_, answer)| answer.status == 200);
        assert_eq!(won.len(), 1);
        for (_, answer) in lost {
            assert!(["invalid_credentials", "rate_limited"].contains(&&*answer.text("code")), "{}", answer.told());
        }
        jeton.advance(Duration::from_hours(1));
        invited.login(json!({"password": own(won[0].0)})).expect_tokens();
    }
    assert_eq!(jeton.audited("user.password_changed"), 3);
}

#[both_databases]
fn nothing_is_told_before_the_password_is_right(jeton: Jeton) {
    let tenant = jeton.tenant();
    let invited = Invited::to(&jeton, &tenant);
    let known = tenant.user("member");
    let ask = |email: &str| {
        let body = json!({"email": email, "password": "wrong", "new_password": OWN});
        let answer = jeton.post("/api/v1/auth/login").json(body).expect_problem(401, "invalid_credentials");
        answer.text("detail")
    };
    let told: Vec<_> = [&invited.email, &known.email, "nobody@example.com"].map(ask).into();
    assert!(told.windows(2).all(|pair| pair[0] == pair[1]), "{told:?}");
    jeton.advance(WEEK);
    assert_eq!(ask(&invited.email), told[0], "an expired one too");
}

#[both_databases]
fn failed_logins_count_as_any_others(jeton: Jeton) {
    let tenant = jeton.tenant();
    let invited = Invited::to(&jeton, &tenant);
    for _ in 0..10 {
        invited.login(json!({"password": "wrong", "new_password": OWN})).expect_problem(401, "invalid_credentials");
    }
    invited.login(json!({"new_password": OWN})).expect_problem(429, "rate_limited");
    jeton.advance(Duration::from_secs(2));
    invited.login(json!({"new_password": OWN})).expect_tokens();
}

#[both_databases]
fn it_is_chosen_in_the_tenant_that_was_named(jeton: Jeton) {
    let (first, second) = (jeton.tenant(), jeton.tenant());
    let known = first.user("member");
    known.login().expect_tokens();
    second.admin().post(second.path("users"), json!({"email": known.email})).expect_status(201);
    let set = ["user", "set-password", &known.email, "--one-time-password", "--json"];
    let password = jeton.cli(set).expect_code(0).text("password");
    let invited = Invited { jeton: jeton.clone(), id: known.id, email: known.email, password };
    invited.login(json!({"new_password": OWN})).expect_problem(400, "tenant_required");
    invited
        .login(json!({"new_password": OWN, "tenant_id": jeton.tenant().id}))
        .expect_problem(401, "invalid_credentials");
    second.suspend();
    let refused = invited.login(json!({"new_password": OWN, "tenant_id": second.id}));
    refused.expect_problem(403, "tenant_suspended");
    let tokens = invited.login(json!({"new_password": OWN, "tenant_id": first.id})).expect_tokens();
    assert_eq!(tokens.text("tenant_id"), first.id, "what was refused before has changed nothing");
}

#[both_databases]
fn another_one_can_be_given_until_it_is_used(jeton: Jeton) {
    let tenant = jeton.tenant();
    let invited = Invited::to(&jeton, &tenant);
    jeton.advance(WEEK);
    let again = invited.again(&tenant).expect_status(200);
    assert_eq!((again.header("cache-control"), again.text("id")), (Some("no-store"), invited.id.clone()));
    let password = again.text("password");
    assert_ne!(password, invited.password);
    invited.login(json!({"new_password": OWN})).expect_problem(401, "invalid_credentials");
    invited.login(json!({"password": password, "new_password": OWN})).expect_tokens();
    invited.again(&tenant).expect_problem(409, "one_time_password_not_allowed");
    invited.login(json!({"password": OWN})).expect_tokens();
    assert_eq!(jeton.audited("user.one_time_password_given"), 1);

    let given_for_good = tenant.user("member");
    let path = tenant.path(&format!("users/{}/one-time-password", given_for_good.id));
    tenant.admin().session().call("POST", path).send().expect_problem(409, "one_time_password_not_allowed");
    given_for_good.login().expect_tokens();
}

#[both_databases]
fn nobody_takes_over_what_is_not_theirs_with_another_one(jeton: Jeton) {
    let (tenant, other) = (jeton.tenant(), jeton.tenant());
    let invited = Invited::to(&jeton, &tenant);
    invited.again(&other).expect_problem(404, "not_found");
    for members in [json!({}), json!({"one_time_password": true}), json!({"password": OWN})] {
        let mut body = json!({"email": invited.email, "role": "admin"});
        crate::harness::merge(&mut body, members);
        let refused = other.admin().post(other.path("users"), body);
        assert_eq!(refused.expect_problem(409, "invited_elsewhere").json()["password"], Value::Null);
    }
    invited.again(&other).expect_problem(404, "not_found");
    let password = invited.again(&tenant).expect_status(200).text("password");
    invited.login(json!({"password": password, "new_password": OWN})).expect_tokens();
    let joined = other.admin().post(other.path("users"), json!({"email": invited.email, "one_time_password": true}));
    let joined = joined.expect_status(201).json();
    assert_eq!((&joined["existing"], &joined["password"]), (&json!(true), &Value::Null));

    let email = format!("{}@example.com", unique("operator"));
    let create =
        ["user", "create", "--email", &email, "--tenant", &tenant.id, "--operator", "--one-time-password", "--json"];
    let operator = jeton.cli(create).expect_code(0).text("id");
    let path = tenant.path(&format!("users/{operator}/one-time-password"));
    tenant.admin().session().call("POST", path).send().expect_problem(409, "one_time_password_not_allowed");
}

/// Whoever invited the address first is told nothing that opens what others give it later.
#[both_databases]
fn an_invitation_that_was_taken_back_is_void(jeton: Jeton) {
    let (stranger, tenant) = (jeton.tenant(), jeton.tenant());
    let invited = Invited::to(&jeton, &stranger);
    stranger.admin().session().call("DELETE", invited.path(&stranger)).send().expect_status(204);
    invited.login(json!({"new_password": OWN})).expect_problem(401, "invalid_credentials");
    let body = json!({"email": invited.email, "role": "admin", "one_time_password": true});
    let made = tenant.admin().post(tenant.path("users"), body).expect_status(201);
    assert_eq!((made.text("id"), &made.json()["existing"]), (invited.id.clone(), &Value::Null));
    invited.login(json!({"new_password": OWN})).expect_problem(401, "invalid_credentials");
    let tokens = invited.login(json!({"password": made.text("password"), "new_password": OWN})).expect_tokens();
    assert_eq!(tokens.text("tenant_id"), tenant.id);
    let added = jeton.audit().into_iter().filter(|row| row.action == "user.added");
    let given = added.filter(|row| row.details.as_deref().is_some_and(|told| told.ends_with("one-time password")));
    assert_eq!(given.count(), 2);

    // A password of another kind is what it was for somebody new, too.
    let invited = Invited::to(&jeton, &stranger);
    stranger.admin().session().call("DELETE", invited.path(&stranger)).send().expect_status(204);
    tenant.admin().post(tenant.path("users"), json!({"email": invited.email, "password": OWN})).expect_status(201);
    invited.login(json!({"new_password": OWN})).expect_problem(401, "invalid_credentials");
    invited.login(json!({"password": OWN})).expect_tokens();
}

#[both_databases]
fn of_two_tenants_that_invite_at_once_one_succeeds(jeton: Jeton) {
    let (first, second) = (jeton.tenant(), jeton.tenant());
    let (_second, elsewhere) = jeton.second();
    let tokens = [first.admin().token(), second.admin().token()];
    for is_known in [false, true, true] {
        let email = if is_known {
            let invited = Invited::to(&jeton, &first);
            first.admin().session().call("DELETE", invited.path(&first)).send().expect_status(204);
            invited.email
        } else {
            format!("{}@example.com", unique("invited"))
        };
        let answers = at_once(2, |number| {
            let (client, tenant) = if number == 0 { (jeton.client(), &first) } else { (elsewhere.clone(), &second) };
            let body = json!({"email": email, "one_time_password": true});
            client.call("POST", tenant.path("users")).bearer(tokens[number]).json(body)
        });
        let (made, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 201);
        assert_eq!((made.len(), refused.len()), (1, 1));
        assert_eq!(refused[0].text("code"), "invited_elsewhere", "{}", refused[0].told());
        let body = json!({"email": email, "password": made[0].text("password"), "new_password": OWN});
        jeton.post("/api/v1/auth/login").json(body).expect_tokens();
    }
}

#[both_databases]
fn a_first_login_and_another_one_do_not_cross(jeton: Jeton) {
    let tenant = jeton.tenant();
    let admin = tenant.admin().session();
    for _ in 0..4 {
        let invited = Invited::to(&jeton, &tenant);
        let path = format!("{}/one-time-password", invited.path(&tenant));
        let answers = at_once(2, |number| match number {
            0 => invited.login(json!({"new_password": OWN})),
            _ => admin.call("POST", &path).send(),
        });
        let [login, again] = <[Answer; 2]>::try_from(answers).unwrap();
        match (login.status, again.status) {
            (200, 409) => drop(invited.login(json!({"password": OWN})).expect_tokens()),
            (401, 200) => {
                let password = again.text("password");
                invited.login(json!({"password": password, "new_password": OWN})).expect_tokens();
            }
            _ => panic!("both or neither: {} {}", login.told(), again.told()),
        }
    }
}

#[both_databases]
fn what_cannot_be_is_refused(jeton: Jeton) {
    let tenant = jeton.tenant();
    let add = |body: Value| tenant.admin().post(tenant.path("users"), body);
    add(json!({"email": "a@example.com", "one_time_password": true, "password": OWN})).expect_field("password");
    add(json!({"email": "a@example.com", "one_time_password": "yes"})).expect_field("one_time_password");
    let known = tenant.user("member");
    let other = jeton.tenant();
    let joined = other.admin().post(other.path("users"), json!({"email": known.email, "one_time_password": true}));
    assert_eq!(joined.expect_status(201).json()["password"], Value::Null, "who is known keeps the password");
    known.login_with(json!({"tenant_id": tenant.id})).expect_tokens();
}

#[both_databases]
fn the_command_line_gives_them_too(jeton: Jeton) {
    let tenant = jeton.tenant();
    let email = format!("{}@example.com", unique("cli"));
    let create = ["user", "create", "--email", &email, "--tenant", &tenant.id, "--one-time-password", "--json"];
    let made = jeton.cli(create).expect_code(0).json();
    assert!(made["one_time_password_expires_at"].is_string(), "{made}");
    let login = |password: &str, own: Option<&str>| {
        let mut body = json!({"email": email, "password": password});
        if let Some(own) = own {
            body["new_password"] = json!(own);
        }
        jeton.post("/api/v1/auth/login").json(body)
    };
    login(made["password"].as_str().unwrap(), None).expect_problem(403, "password_change_required");
    let tokens = login(made["password"].as_str().unwrap(), Some(OWN)).expect_tokens();

    // Somebody has forgotten theirs: their sessions end.
    let set = ["user", "set-password", &email, "--one-time-password", "--json"];
    let password = jeton.cli(set).expect_code(0).text("password");
    let refresh = json!({"refresh_token": tokens.text("refresh_token")});
    jeton.post("/api/v1/auth/refresh").json(refresh).expect_problem(401, "invalid_refresh_token");
    login(OWN, None).expect_problem(401, "invalid_credentials");
    login(&password, None).expect_problem(403, "password_change_required");
    login(&password, Some("Quarry-tulip-5519-ember")).expect_tokens();

    let shown = jeton.cli(["user", "set-password", &email, "--generate-password"]).expect_code(0).stdout;
    let generated = shown.split_whitespace().find(|word| word.len() == 32).expect("shown to people too").to_owned();
    login(&generated, None).expect_tokens();
    jeton.cli_with_stdin(["user", "set-password", &email, "--password-stdin"], Some(OWN)).expect_code(0);
    login(OWN, None).expect_tokens();
}

/// On PostgreSQL, where a membership may be held by another server: nobody waits for a line in the audit log until
/// then.
#[test]
fn a_login_that_waits_keeps_no_other_from_the_audit_log() {
    let Some(jeton) = Jeton::on_postgres() else { return };
    let invited = Invited::to(&jeton, &jeton.tenant());
    let mut holder = jeton.postgres();
    holder.batch_execute("BEGIN; SELECT 1 FROM memberships FOR UPDATE").unwrap();
    scope(|scope| {
        let login = scope.spawn(|| invited.login(json!({"new_password": OWN})));
        let waiting = "SELECT count(*) AS number FROM pg_stat_activity
                       WHERE datname = current_database() AND wait_event_type = 'Lock'";
        until("it waits", || jeton.number(waiting) == 1);
        let stranger = json!({"email": "nobody@example.com", "password": "not-the-right-password"});
        jeton.post("/api/v1/auth/login").json(stranger).expect_problem(401, "invalid_credentials");
        holder.batch_execute("ROLLBACK").unwrap();
        login.join().unwrap().expect_tokens();
    });
    assert_eq!((jeton.audited("user.password_changed"), jeton.audited("session.refused")), (1, 1));
}
