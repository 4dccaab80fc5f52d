//! Rows by the million for `benches/growth/run`: `fill rows TABLE` writes all of a table in the form of PostgreSQL's
//! `COPY`; `fill keys COUNT` and `fill sessions COUNT` write the credentials of some, chosen by chance. Then follow how
//! many keys, tenants and sessions there are, the time in milliseconds, and a password's hash or a number to choose by.
//!
//! Everything follows from a row's number, but for what is keyed: the hashes of API keys and the refresh tokens, for
//! which the database is opened as a server would open it. So the same credentials are had whenever they are asked for.

use std::error::Error;
use std::io::{BufWriter, Write, stdout};

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use jeton::app::{App, Migrate};
use jeton::config::{self, Config};
use jeton::domain::key_format::ApiKeySecret;
use uuid::{Builder, Uuid};

/// The generation of every session, as if each had been refreshed before.
const GENERATION: i64 = 3;

/// Over how many milliseconds, until now, all that is there was made: 60 days.
const MADE_OVER: u64 = 60 * 24 * 3_600_000;

/// For how long sessions and API keys have yet to live, in microseconds: 30 days.
const TO_LIVE: u64 = 30 * 24 * 3_600_000_000;

/// Nothing.
const NULL: &str = "\\N";

/// How much there is of everything, and since when.
struct Scale {
    keys: u64,
    tenants: u64,
    sessions: u64,
    /// Milliseconds since 1970.
    now: u64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number =
        |at: usize| -> Result<u64, Box<dyn Error>> { Ok(arguments.get(at).ok_or("a number is missing")?.parse()?) };
    let scale = Scale { keys: number(2)?, tenants: number(3)?, sessions: number(4)?, now: number(5)? };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let app = runtime.block_on(App::open(Config::load(None, config::environment())?, Migrate::Embedded))?;
    let mut out = BufWriter::with_capacity(1 << 20, stdout().lock());
    let what = arguments.get(1).ok_or("a table, or a count, is missing")?;
    match arguments.first().map(String::as_str) {
        Some("rows") => {
            let hash = arguments.get(6).ok_or("a password's hash is missing")?;
            for row in 0..scale.rows_of(what)? {
                writeln!(out, "{}", scale.row(&app, what, row, hash)?.join("\t"))?;
            }
        }
        Some("keys") => {
            for choice in 0..what.parse()? {
                let key = living(chance(number(6)?, choice) % scale.keys);
                writeln!(out, "{}\t{}", scale.tenant(key), key_of(key).expose())?;
            }
        }
        Some("sessions") => {
            for choice in 0..what.parse()? {
                let session = living(chance(number(6)?, choice) % scale.sessions);
                let token = app.refresh_tokens.token(scale.session(session).into(), GENERATION);
                writeln!(out, "{}", token.to_secret().expose())?;
            }
        }
        _ => return Err("rows, keys or sessions".into()),
    }
    Ok(out.flush()?)
}

impl Scale {
    fn rows_of(&self, table: &str) -> Result<u64, String> {
        Ok(match table {
            "tenants" => self.tenants,
            "users" | "memberships" | "api_keys" | "api_key_usage" | "api_key_scope_usage" | "api_key_callers" => {
                self.keys
            }
            "audit_events" => self.keys * 2,
            "sessions" => self.sessions,
            other => return Err(format!("no table `{other}`")),
        })
    }

    /// The columns of a row in the order in which `benches/growth/bulk.py` names them.
    fn row(&self, app: &App, table: &str, row: u64, password_hash: &str) -> Result<Vec<String>, String> {
        let made = |of: u64| (self.made(row, of) * 1_000).to_string();
        let words = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
        Ok(match table {
            "tenants" => {
                let token = HEXLOWER.encode(&bytes("token", row)[..12]);
                vec![blob(self.tenant(row)), format!("Tenant {row}"), token, made(self.tenants)]
            }
            "users" => {
                let made = made(self.keys);
                let email = format!("user{row}@example.com");
                vec![blob(self.user(row)), email, password_hash.to_owned(), "0".to_owned(), made.clone(), made]
            }
            "memberships" => {
                let role = if row < self.tenants { "admin" } else { "member" };
                vec![blob(self.tenant(row)), blob(self.user(row)), role.to_owned(), made(self.keys)]
            }
            "sessions" => {
                let (made, end) = (made(self.sessions), (self.now * 1_000 + TO_LIVE + row).to_string());
                let id = [self.session(row), self.user(row % self.keys), self.tenant(row % self.keys)].map(blob);
                let times = [made.clone(), made.clone(), end.clone(), end];
                let (revoked, reason) = if is_dead(row) { (made, "logout") } else { (NULL.to_owned(), NULL) };
                let client =
                    words(&["203.0.113.7", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"]);
                let counts = vec![GENERATION.to_string(), "0".to_owned()];
                let end = [vec![revoked, reason.to_owned()], client, vec![(1 + self.keys + row).to_string()]].concat();
                [id.to_vec(), counts, times.to_vec(), end].concat()
            }
            "api_keys" => {
                let (secret, ids) = (key_of(row), [blob(self.key(row)), blob(self.tenant(row))]);
                let hash = format!("\\\\x{}", HEXLOWER.encode(&app.api_keys.hash(&secret)));
                let texts = [
                    format!("Key {row}"),
                    hash,
                    secret.hint(),
                    "live".to_owned(),
                    "bookings:read bookings:write".to_owned(),
                ];
                let made = made(self.keys);
                let end = if row.is_multiple_of(5) {
                    (self.now * 1_000 + TO_LIVE + row).to_string()
                } else {
                    NULL.to_owned()
                };
                let dead = if is_dead(row) { made.clone() } else { NULL.to_owned() };
                let rest = [String::new(), made, "cli".to_owned(), end, dead, (1 + row).to_string()];
                [ids.as_slice(), texts.as_slice(), rest.as_slice()].concat()
            }
            "audit_events" => {
                let id = self.id("line", row, row, self.keys * 2);
                let action = match row % 4 {
                    0 => "api_key.created",
                    1 => "session.logout",
                    _ => "user.login",
                };
                let actor = format!("user:{}", self.user(row % self.keys));
                let client =
                    words(&["203.0.113.7", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"]);
                let what = vec![
                    blob(id),
                    made(self.keys * 2),
                    blob(self.tenant(row)),
                    action.to_owned(),
                    "success".to_owned(),
                    actor,
                ];
                [what, client, vec![id.to_string()]].concat()
            }
            "api_key_usage" => vec![blob(self.key(row)), self.today(), "success".to_owned(), "9".to_owned()],
            "api_key_scope_usage" => {
                vec![blob(self.key(row)), self.today(), "bookings:read".to_owned(), "9".to_owned()]
            }
            "api_key_callers" => {
                let seen = (self.now * 1_000).to_string();
                let caller = words(&["198.51.100.9", "example-client/1.4.2", "9"]);
                [vec![blob(self.key(row)), (1 + row).to_string()], caller, vec![seen]].concat()
            }
            other => return Err(format!("no table `{other}`")),
        })
    }

    fn today(&self) -> String {
        (self.now / (24 * 3_600_000)).to_string()
    }

    /// When the row of so many was made, in milliseconds: the later, the higher its number.
    fn made(&self, row: u64, of: u64) -> u64 {
        self.now - MADE_OVER + MADE_OVER / of.max(1) * row
    }

    fn tenant(&self, row: u64) -> Uuid {
        self.id("tenant", row % self.tenants, row % self.tenants, self.tenants)
    }

    fn user(&self, row: u64) -> Uuid {
        self.id("user", row, row, self.keys)
    }

    fn key(&self, row: u64) -> Uuid {
        self.id("key", row, row, self.keys)
    }

    fn session(&self, row: u64) -> Uuid {
        self.id("session", row, row, self.sessions)
    }

    /// An id as the server makes them: it begins with the time.
    fn id(&self, kind: &str, number: u64, row: u64, of: u64) -> Uuid {
        let mut random = [0; 10];
        random.copy_from_slice(&bytes(kind, number)[..10]);
        Builder::from_unix_timestamp_millis(self.made(row, of), &random).into_uuid()
    }
}

/// The API key of this number, in plain text.
fn key_of(number: u64) -> ApiKeySecret {
    ApiKeySecret::written(format!("jtn_live_{}", HEXLOWER.encode(&bytes("secret", number)[..16])))
}

/// One in fifty sessions and keys is revoked.
fn is_dead(row: u64) -> bool {
    row % 50 == 49
}

/// This one, or where that is revoked the one before it.
fn living(row: u64) -> u64 {
    if is_dead(row) { row - 1 } else { row }
}

fn blob(id: Uuid) -> String {
    format!("\\\\x{}", HEXLOWER.encode(id.as_bytes()))
}

fn chance(seed: u64, choice: u64) -> u64 {
    bytes(&format!("chance {seed}"), choice).iter().take(8).fold(0, |number, byte| (number << 8) | u64::from(*byte))
}

/// Bytes that look random and are always the same.
fn bytes(what: &str, number: u64) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest(&SHA256, format!("{what} {number}").as_bytes()).as_ref());
    bytes
}
