//! Every table, broken in turn: what cannot be written whole is told, and leaves nothing behind (security 27).

use std::collections::{BTreeMap, BTreeSet};

use jeton_test_macros::both_databases;
use serde_json::{Value, json};

use crate::harness::{Answer, Database, Jeton, Session, Tenant, User, unique};

/// What no answer waits for, and what becomes of it where it cannot be written.
const BEHIND: [(&str, &str); 9] = [
    ("api_key_usage", "it is counted in memory until it can be written: `usage.rs`"),
    ("api_key_callers", "the same"),
    ("api_key_scope_usage", "the same"),
    ("audit_checkpoints", "the next sweep signs: `audit_chain.rs`"),
    ("instances", "a heartbeat comes again: `several_servers.rs`"),
    ("master_keys", "commands write it: `master_keys.rs`"),
    ("secrets", "a start writes it, the first one or under a new master key: `startup.rs`, `master_keys.rs`"),
    ("signing_algorithms", "a start writes it: `signing_keys.rs`"),
    ("status_counter", "a block of places that nobody takes harms nobody: `revocations.rs`"),
];

/// What is written besides by a transaction of its own: a heartbeat, and a guess, which counts as wrong until it is
/// known to be right.
const APART: [&str; 2] = ["instances", "login_failures"];

#[both_databases]
fn whatever_table_cannot_be_written_nothing_is_acknowledged_or_left_behind(jeton: Jeton) {
    let stage = Stage::new(&jeton);
    let mut refused: BTreeSet<&str> = BTreeSet::new();
    for table in tables() {
        for operation in ["INSERT", "UPDATE", "DELETE"] {
            let props = stage.props(table);
            jeton.break_writes(table, operation);
            let mut before = stage.stored();
            for (name, act) in ACTS {
                let answer = act(&stage, &props);
                let after = stage.stored();
                if answer.status >= 500 {
                    refused.insert(table);
                    let told = answer.told();
                    let secret =
                        ["injected", "access_token", "jtn_live_", "jrt_"].into_iter().find(|word| told.contains(word));
                    assert_eq!(secret, None, "{told}");
                    let changed: Vec<_> = before.iter().filter(|(of, rows)| after[*of] != **rows).collect();
                    assert!(changed.is_empty(), "{name} without {operation} in {table} changed {changed:?}");
                } else {
                    let expected = if name.starts_with("refused") { 401 } else { 200 };
                    assert_eq!(answer.status / 10, expected / 10, "{name}, {operation} in {table}: {}", answer.told());
                }
                before = after;
            }
            jeton.mend_writes(table);
            stage.tidy(&props);
        }
    }
    // By law, not by list: whoever adds a table adds an act that writes it, or says why no answer waits for that.
    for table in tables() {
        let is_behind = BEHIND.iter().any(|(name, _)| *name == table);
        assert!(is_behind || refused.contains(table), "nothing is refused where {table} is broken");
    }
    assert!(BEHIND.iter().all(|(name, _)| tables().contains(name)), "each is a table");
}

/// The tables that the schema names.
fn tables() -> Vec<&'static str> {
    let schema = include_str!("../../src/db/schema.rs").split("diesel::table! {").skip(1);
    schema.filter_map(|table| table.split_whitespace().next()).collect()
}

type Act = (&'static str, fn(&Stage, &Props) -> Answer);

/// Every kind of change that is asked for over HTTP. The last ends the key that everybody's tokens are signed with.
const ACTS: [Act; 29] = [
    ("login", |stage, _| stage.user.login()),
    ("refused login", |stage, _| stage.user.login_with(json!({"email": unique("nobody") + "@example.com"}))),
    ("refresh", |_, props| props.session.refresh()),
    ("refused reuse", |_, props| props.reused.refresh()),
    ("logout", |_, props| props.session.logout()),
    ("session end", |_, props| {
        ask(&props.person, "DELETE", format!("/api/v1/auth/sessions/{}", props.other_session), json!(null))
    }),
    ("key create", |stage, props| {
        let body = json!({"name": "Key", "group_id": props.group});
        let call = props.admin.call("POST", stage.path("api-keys")).header("Idempotency-Key", &unique("once"));
        call.json(body)
    }),
    ("key change", |stage, props| {
        ask(&props.admin, "PATCH", stage.path(&format!("api-keys/{}", props.keys[0].0)), json!({"name": unique("New")}))
    }),
    ("key rotate", |stage, props| {
        ask(&props.admin, "POST", stage.path(&format!("api-keys/{}/rotate", props.keys[0].0)), json!({}))
    }),
    ("key revoke", |stage, props| {
        ask(&props.admin, "DELETE", stage.path(&format!("api-keys/{}", props.keys[1].0)), json!(null))
    }),
    ("key revoke by its holder", |stage, props| {
        stage.jeton.post("/oauth2/revoke").form(&[("token", props.keys[2].1.as_str())])
    }),
    ("group create", |stage, props| ask(&props.admin, "POST", stage.path("key-groups"), json!({"name": "Group"}))),
    ("group delete", |stage, props| {
        ask(&props.admin, "DELETE", stage.path(&format!("key-groups/{}", props.group)), json!(null))
    }),
    ("identifier create", |stage, props| {
        ask(&props.admin, "POST", stage.path("app-identifiers"), json!({"name": "App"}))
    }),
    ("identifier delete", |stage, props| {
        ask(&props.admin, "DELETE", stage.path(&format!("app-identifiers/{}", props.identifier)), json!(null))
    }),
    ("issuer create", |stage, props| ask(&props.admin, "POST", stage.path("trusted-issuers"), trusted())),
    ("issuer delete", |stage, props| {
        ask(&props.admin, "DELETE", stage.path(&format!("trusted-issuers/{}", props.issuer)), json!(null))
    }),
    ("user create", |stage, props| {
        ask(&props.admin, "POST", stage.path("users"), json!({"email": unique("new") + "@example.com"}))
    }),
    ("password", |stage, props| {
        let body = json!({"current_password": stage.user.password, "new_password": "Basalt-lantern-4711-meadow"});
        ask(&props.person, "POST", "/api/v1/auth/password", body)
    }),
    ("logout everywhere", |_, props| props.person.call("POST", "/api/v1/auth/logout-all").send()),
    ("user change", |stage, props| {
        ask(&props.admin, "PATCH", stage.path(&format!("users/{}", props.person_id)), json!({"role": "admin"}))
    }),
    ("user remove", |stage, props| {
        ask(&props.admin, "DELETE", stage.path(&format!("users/{}", props.person_id)), json!(null))
    }),
    ("tenant create", |_, props| ask(&props.operator, "POST", "/api/v1/tenants", json!({"name": "Tenant"}))),
    ("tenant change", |_, props| ask(&props.operator, "PATCH", props.other(""), json!({"name": unique("Tenant")}))),
    ("tenant suspend", |_, props| props.operator.call("POST", props.other("/suspend")).send()),
    ("tenant resume", |_, props| props.operator.call("POST", props.other("/resume")).send()),
    ("tenant delete", |_, props| props.operator.call("DELETE", props.other("")).send()),
    ("signing key rotate", |_, props| {
        ask(&props.operator, "POST", "/api/v1/signing-keys/rotate", json!({"emergency": true}))
    }),
    ("signing key revoke", |_, props| {
        let list = props.operator.call("GET", "/api/v1/signing-keys").send().items();
        let active = list.iter().find(|key| key["state"] == "active").expect("one signs");
        let path = format!("/api/v1/signing-keys/{}/revoke", active["kid"].as_str().expect("a kid"));
        props.operator.call("POST", path).send()
    }),
];

fn ask(by: &Session, method: &str, path: impl AsRef<str>, body: Value) -> Answer {
    let call = by.call(method, path);
    if body.is_null() { call.send() } else { call.json(body) }
}

fn trusted() -> Value {
    json!({
        "name": "CI", "issuer": "https://ci.example.com", "audience": "https://jeton.test",
        "conditions": {"repository": "octo/app"}, "scopes": ["a:b"],
    })
}

/// What stays for all faults.
struct Stage<'a> {
    jeton: &'a Jeton,
    operator: User,
    tenant: Tenant,
    user: User,
    /// A query that tells all that is stored, a row for each table.
    all: String,
}

/// What the acts are done with, fresh for each fault: some of them use it up.
struct Props {
    admin: Session,
    operator: Session,
    session: Session,
    reused: Session,
    person: Session,
    person_id: String,
    other_session: String,
    keys: Vec<(String, String)>,
    group: String,
    identifier: String,
    issuer: String,
    other: String,
}

impl Props {
    fn other(&self, rest: &str) -> String {
        format!("/api/v1/tenants/{}{rest}", self.other)
    }
}

impl<'a> Stage<'a> {
    fn new(jeton: &'a Jeton) -> Self {
        let tenant = jeton.tenant();
        let user = tenant.user("member");
        Self { jeton, operator: jeton.operator(), user, all: all_rows(jeton), tenant }
    }

    fn path(&self, rest: &str) -> String {
        self.tenant.path(rest)
    }

    fn props(&self, broken: &str) -> Props {
        let (admin, operator, session) = (self.tenant.admin().session(), self.operator.session(), self.user.session());
        let reused = self.user.session();
        reused.refreshed().refreshed();
        let make = |path: &str, body: Value| ask(&admin, "POST", self.path(path), body).expect_status(201);
        let group = make("key-groups", json!({"name": "Group", "scopes": ["a:b"]})).text("id");
        let key = || {
            let answer = make("api-keys", json!({"name": "Key", "group_id": group}));
            (answer.text("id"), answer.text("key"))
        };
        let email = unique("person") + "@example.com";
        let person_id = make("users", json!({"email": email, "password": self.user.password})).text("id");
        let login = || self.user.login_with(json!({"email": email})).expect_tokens();
        let (person, other_session) = (Session::of(self.jeton, &login()), Session::of(self.jeton, &login()).id());
        let other = ask(&operator, "POST", "/api/v1/tenants", json!({"name": "Other"})).expect_status(201).text("id");
        if broken == "ended_statuses" {
            // Its tokens would live on without it: what goes with the tenant is remembered as ended.
            self.jeton.cli(["api-key", "create", "--tenant", &other, "--name", "Key", "--scope", "a:b"]).expect_code(0);
        }
        Props {
            keys: vec![key(), key(), key()],
            identifier: make("app-identifiers", json!({"name": "App"})).text("id"),
            issuer: make("trusted-issuers", trusted()).text("id"),
            admin,
            operator,
            session,
            reused,
            person,
            person_id,
            other_session,
            group,
            other,
        }
    }

    /// Makes room below the limits of a tenant.
    fn tidy(&self, props: &Props) {
        let admin = self.tenant.admin().session();
        admin.call("DELETE", self.path(&format!("key-groups/{}", props.group))).send();
        for issuer in admin.call("GET", self.path("trusted-issuers")).send().items() {
            let id = issuer["id"].as_str().expect("an id");
            admin.call("DELETE", self.path(&format!("trusted-issuers/{id}"))).send().expect_status(204);
        }
    }

    /// The rows of each table, as text.
    fn stored(&self) -> BTreeMap<String, String> {
        let rows = self.jeton.query(&self.all).into_iter();
        rows.filter_map(|row| row.split_once(':').map(|(table, rows)| (table.to_owned(), rows.to_owned()))).collect()
    }
}

fn all_rows(jeton: &Jeton) -> String {
    let row = |table: &str| match jeton.database() {
        Database::Postgres { .. } => "t::text".to_owned(),
        Database::Sqlite => {
            let columns =
                jeton.query(&format!("SELECT 'quote(' || name || ')' AS value FROM pragma_table_info('{table}')"));
            columns.join(" || ',' || ")
        }
    };
    let rows = tables().into_iter().filter(|table| !APART.contains(table)).map(|table| {
        let told = match (table, jeton.database()) {
            // Its rows never change.
            ("audit_events", _) => "CAST(count(*) AS TEXT)".to_owned(),
            (_, Database::Sqlite) => format!("coalesce(group_concat({}, ';'), '')", row(table)),
            (_, Database::Postgres { .. }) => format!("coalesce(string_agg({0}, ';' ORDER BY {0}), '')", row(table)),
        };
        format!("SELECT '{table}:' || {told} AS value FROM {table} t")
    });
    rows.collect::<Vec<_>>().join(" UNION ALL ")
}
