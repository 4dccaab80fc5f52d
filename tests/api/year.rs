//! A year of signing keys in a minute: three servers on one PostgreSQL that are restarted and killed, fifty downstream
//! services that keep the JWKS for as long as they may, rotations by age and by hand, an emergency and a leaked key
//! (contract 4.5).
//!
//! Chance decides; `YEAR_SEED=<number>` repeats a year that went wrong, as far as threads allow.

use std::{
    collections::{BTreeMap, BTreeSet},
    thread::sleep,
    time::{Duration, Instant},
};

use diesel::{
    PgConnection, QueryableByName, RunQueryDsl, sql_query,
    sql_types::{BigInt, Nullable, Text},
};
use serde_json::{Value, json};

use crate::harness::{ApiKey, Client, Jeton, Jwt, Server, User};

const SERVERS: usize = 3;
const VERIFIERS: usize = 50;
const MAX_AGE: i64 = 300;
const DAY: i64 = 86_400;
const LEAD: i64 = 2 * MAX_AGE;
const ROTATE_EVERY: i64 = 90 * DAY;

#[test]
fn in_a_year_no_verifier_refuses_a_valid_token_or_accepts_one_of_a_revoked_key_for_long() {
    let Some(jeton) = Jeton::on_postgres() else { return };
    jeton.set_variable("JETON_TEST_LOOK_EVERY", "20");
    let seed = std::env::var("YEAR_SEED").map_or_else(|_| u64::from(std::process::id()), |seed| seed.parse().unwrap());
    println!("YEAR_SEED={seed}");

    let mut year = Year::new(jeton, seed);
    let end = year.now() + 365 * DAY;
    while year.now() < end {
        year.step();
    }
    let had = &year.seen;
    println!("{had:?}");
    let enough = had.signers.len() >= 6 && had.restarts >= 5 && had.spared > 0 && had.late > 0;
    assert!(enough, "too quiet a year proves nothing: {had:?}");
}

/// What somebody does, and when.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Deed {
    Rotate,
    Emergency,
    Revoke,
}

struct Year {
    jeton: Jeton,
    chance: Chance,
    database: PgConnection,
    key: ApiKey,
    person: User,
    servers: Vec<Option<(Server, Client)>>,
    verifiers: Vec<Verifier>,
    deeds: Vec<(i64, Deed)>,
    last_deed: i64,
    tokens: Vec<Jwt>,
    /// Keys that signed before every verifier could know them, and since when: what an emergency says it breaks.
    hurried: BTreeMap<String, i64>,
    revoked: BTreeMap<String, i64>,
    seen: Seen,
}

/// What a year had in it, so that it is known to have tried something.
#[derive(Debug, Default)]
struct Seen {
    steps: usize,
    restarts: usize,
    by_hand: usize,
    /// Keys that signed.
    signers: BTreeSet<String>,
    accepted: usize,
    /// Refusals that an emergency or a revocation had told of.
    spared: usize,
    /// Tokens of a revoked key that were accepted within its bound.
    late: usize,
}

/// A downstream service: it asks no other service but the JWKS, and that when its copy is as old as it lets it become.
struct Verifier {
    patience: i64,
    jwks: Value,
    fetched_at: i64,
}

#[derive(QueryableByName)]
struct Key {
    #[diesel(sql_type = Text)]
    kid: String,
    #[diesel(sql_type = Text)]
    state: String,
    #[diesel(sql_type = Nullable<BigInt>)]
    signs_at: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    activated_at: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    retires_at: Option<i64>,
}

impl Year {
    fn new(jeton: Jeton, seed: u64) -> Self {
        let mut chance = Chance(seed);
        let tenant = jeton.tenant();
        let (key, person) = (tenant.api_key([]), tenant.user("member"));
        jeton.stop();
        let servers = (0..SERVERS).map(|_| Some(jeton.second())).collect();
        let verifiers = (0..VERIFIERS)
            .map(|number| {
                let patience = if number % 2 == 0 { MAX_AGE } else { chance.between(1, MAX_AGE) };
                Verifier { patience, jwks: Value::Null, fetched_at: 0 }
            })
            .collect();
        let kinds = [[Deed::Rotate; 6].as_slice(), &[Deed::Emergency, Deed::Revoke]].concat();
        let now = jeton.now();
        // The last of the year is left to the age of the keys.
        let mut deeds: Vec<_> = kinds.into_iter().map(|deed| (now + chance.between(DAY, 240 * DAY), deed)).collect();
        deeds.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        Self {
            database: jeton.postgres(),
            jeton,
            chance,
            key,
            person,
            servers,
            verifiers,
            deeds,
            last_deed: 0,
            tokens: Vec::new(),
            hurried: BTreeMap::new(),
            revoked: BTreeMap::new(),
            seen: Seen::default(),
        }
    }

    fn now(&self) -> i64 {
        self.jeton.now()
    }

    /// Time passes, something may happen, and everybody goes on with their work.
    fn step(&mut self) {
        let pace = self.pass_time();
        self.seen.steps += 1;
        if self.chance.once_in(20) {
            self.end_a_server();
        }
        let hurry = self.do_what_is_to_be_done();
        if !hurry {
            // Half of the servers may not have noticed yet what time it is.
            self.work(pace);
        }
        self.settle();
        self.work(pace);
        if self.chance.once_in(3) {
            self.start_a_server();
        }
    }

    /// In small steps where keys follow one another, in large ones where nothing happens; never far past what happens
    /// next.
    fn pass_time(&mut self) -> Pace {
        let (now, keys) = (self.now(), self.keys());
        let deed = self.deeds.last().map(|(at, _)| *at);
        let next = keys.iter().filter_map(|key| key.event(&keys)).chain(deed).filter(|at| *at > now).min();
        let next = next.unwrap_or(i64::MAX);
        let is = |state| keys.iter().any(|key| key.state == state);
        let pace = if is("pending") || next - now <= LEAD || now - self.last_deed <= LEAD {
            Pace::Small
        } else if is("retiring") || now - self.last_deed <= 3_600 {
            Pace::Medium
        } else {
            Pace::Large
        };
        let step = match pace {
            Pace::Small => self.chance.between(1, 90),
            Pace::Medium => self.chance.between(60, 500),
            Pace::Large => self.chance.between(DAY / 2, 3 * DAY).min(next - now - LEAD).max(1),
        };
        // The second before, the one after, or some seconds later.
        let step = step.min(next - now + self.chance.between(-1, 20)).max(1);
        self.jeton.shift(step * 1_000_000);
        pace
    }

    /// True where somebody was in a hurry.
    fn do_what_is_to_be_done(&mut self) -> bool {
        let Some((_, deed)) = self.deeds.pop_if(|(at, _)| *at <= self.jeton.now()) else { return false };
        self.last_deed = self.now();
        match deed {
            Deed::Rotate => {
                self.jeton.cli(["signing-key", "rotate"]).expect_code(0);
                self.seen.by_hand += 1;
            }
            Deed::Emergency => {
                let done = self.jeton.cli(["signing-key", "rotate", "--emergency", "--json"]).expect_code(0).json();
                assert!(done["warning"].as_str().unwrap().contains("300 s"), "{done}");
                self.hurried.insert(done["keys"][0]["kid"].as_str().unwrap().to_owned(), self.now());
            }
            Deed::Revoke => {
                let leaked = self.signer();
                let person = json!({"email": self.person.email, "password": self.person.password});
                let login = self.running()[0].post("/api/v1/auth/login").json(person).expect_tokens();
                let done = self.jeton.cli(["signing-key", "revoke", &leaked, "--json"]).expect_code(0).json();
                self.hurried.insert(done["successor"].as_str().unwrap().to_owned(), self.now());
                self.revoked.insert(leaked, self.now());
                for client in self.running() {
                    let me = client.get("/api/v1/auth/me").bearer(&login.text("access_token")).send();
                    me.expect_problem(401, "invalid_token");
                }
            }
        }
        deed != Deed::Rotate
    }

    /// Clients get tokens, and services verify them.
    fn work(&mut self, pace: Pace) {
        let now = self.now();
        self.tokens.retain(|token| token.number("exp") > now);
        for client in self.running() {
            let body = json!({"expires_in": self.chance.between(60, 3_600)});
            let exchange = client.post("/api/v1/auth/exchange").bearer(&self.key.key).tenant(&self.key.tenant_id);
            let token = Jwt::parse(&exchange.json(body).expect_tokens().text("access_token"));
            token.verify(&jwks(&client));
            self.seen.signers.insert(kid(&token).to_owned());
            self.tokens.push(token);
        }
        // Of each key the token that lives longest stands for all of them: their signatures were looked at above.
        let mut of_keys: BTreeMap<&str, &Jwt> = BTreeMap::new();
        for token in &self.tokens {
            let longest = of_keys.entry(kid(token)).or_insert(token);
            if longest.number("exp") < token.number("exp") {
                *longest = token;
            }
        }
        for verifier in &mut self.verifiers {
            // Not all have work at each moment, so that the ages of their copies differ.
            if !self.chance.once_in(if pace == Pace::Large { 6 } else { 2 }) {
                continue;
            }
            if now - verifier.fetched_at >= verifier.patience {
                let running: Vec<_> = self.servers.iter().flatten().collect();
                let (_, client) = running[self.chance.below(running.len())];
                (verifier.jwks, verifier.fetched_at) = (jwks(client), now);
            }
            for (kid, token) in &of_keys {
                let accepted = kids(&verifier.jwks).contains(*kid);
                let age = now - verifier.fetched_at;
                if let Some(revoked_at) = self.revoked.get(*kid) {
                    let bound = verifier.fetched_at <= *revoked_at && now - revoked_at < MAX_AGE;
                    assert!(!accepted || bound, "{kid}, revoked, is accepted by a copy of {age} s");
                    self.seen.late += usize::from(accepted);
                } else if accepted {
                    token.verify(&verifier.jwks);
                    self.seen.accepted += 1;
                } else {
                    let told = self.hurried.get(*kid).is_some_and(|since| verifier.fetched_at <= *since);
                    assert!(told, "{kid} is refused by a copy of {age} s, at {now}");
                    self.seen.spared += 1;
                }
            }
        }
    }

    /// Waits until every server has done and seen what is due: moments, which are next to nothing of a year.
    fn settle(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let (now, keys) = (self.now(), self.keys());
            let is_due = keys.iter().any(|key| key.event(&keys).is_some_and(|at| at <= now));
            let published: BTreeSet<_> =
                keys.iter().filter(|key| key.is_published()).map(|key| key.kid.clone()).collect();
            if !is_due && self.running().iter().all(|client| kids(&jwks(client)) == published) {
                break;
            }
            assert!(Instant::now() < deadline, "all servers do and see what is due");
            sleep(Duration::from_millis(5));
        }
    }

    fn end_a_server(&mut self) {
        let number = self.chance.below(SERVERS);
        if self.servers.iter().flatten().count() > 1
            && let Some((server, _)) = self.servers[number].take()
        {
            if self.chance.once_in(3) {
                assert_eq!(server.end_by("TERM").code(), Some(0));
            } else {
                server.kill();
            }
        }
    }

    fn start_a_server(&mut self) {
        if let Some(down) = self.servers.iter_mut().find(|server| server.is_none()) {
            *down = Some(self.jeton.second());
            self.seen.restarts += 1;
        }
    }

    fn running(&self) -> Vec<Client> {
        self.servers.iter().flatten().map(|(_, client)| client.clone()).collect()
    }

    fn keys(&mut self) -> Vec<Key> {
        let query = "SELECT kid, state, signs_at / 1000000 AS signs_at, activated_at / 1000000 AS activated_at,
            retires_at / 1000000 AS retires_at FROM signing_keys ORDER BY created_at";
        sql_query(query).load(&mut self.database).unwrap()
    }

    /// The key that signs.
    fn signer(&mut self) -> String {
        self.keys().into_iter().find(|key| key.state == "active").expect("one key signs").kid
    }
}

impl Key {
    fn is_published(&self) -> bool {
        ["pending", "active", "retiring"].contains(&self.state.as_str())
    }

    /// When something becomes due for it.
    fn event(&self, keys: &[Self]) -> Option<i64> {
        match self.state.as_str() {
            "pending" => self.signs_at.map(|at| at + 1),
            "active" if keys.iter().all(|key| key.state != "pending") => {
                self.activated_at.map(|at| at + ROTATE_EVERY - LEAD + 1)
            }
            "retiring" => self.retires_at.map(|at| at + 1),
            _ => None,
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Pace {
    Small,
    Medium,
    Large,
}

/// Chance that can be had again (`SplitMix64`).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end).unwrap()).unwrap()
    }

    /// Both included.
    fn between(&mut self, least: i64, most: i64) -> i64 {
        least + i64::try_from(self.below(usize::try_from(most - least).unwrap() + 1)).unwrap()
    }

    fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}

fn jwks(client: &Client) -> Value {
    client.get("/.well-known/jwks.json").send().expect_status(200).json()
}

fn kids(jwks: &Value) -> BTreeSet<String> {
    jwks["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

fn kid(token: &Jwt) -> &str {
    token.header["kid"].as_str().unwrap()
}
