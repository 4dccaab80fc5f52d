//! What was asked, when, and what came of it: all that the checks are made from.

use std::{
    ops::Range,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use data_encoding::BASE64URL_NOPAD;
use serde_json::Value;

use crate::harness::Jeton;

/// Microseconds of real time since the run began.
pub type Moment = i64;

/// One call, over HTTP or on the command line.
pub struct Call {
    /// Its `X-Request-ID`; a command has none.
    pub id: Option<String>,
    pub act: Act,
    pub began: Moment,
    pub ended: Moment,
    /// None where no answer came: then it was done, or it was not.
    pub answer: Option<Reply>,
}

/// What was answered.
pub struct Reply {
    pub status: u16,
    pub body: Value,
}

/// What was asked for.
#[derive(Clone, Debug)]
pub enum Act {
    Login { user: String },
    WrongLogin,
    Refresh { session: String, generation: i64 },
    Logout { session: String },
    LogoutAll { user: String },
    Disable { user: String },
    Enable { user: String },
    Suspend { tenant: String },
    Resume { tenant: String },
    CreateKey { tenant: String, name: String, group: Option<String>, scopes: Vec<String> },
    Exchange { key: String, scopes: Vec<String> },
    RevokeKey { key: String },
    RotateKey { key: String, overlap: i64 },
    CreateGroup,
    DeleteGroup { group: String },
    ListKeys,
    Jwks,
}

impl Call {
    pub fn status(&self) -> u16 {
        self.answer.as_ref().map_or(0, |answer| answer.status)
    }

    /// It was done, and was said to be.
    pub fn succeeded(&self) -> bool {
        (200..300).contains(&self.status())
    }

    /// It was done, or may have been: whoever got an error was promised that nothing has happened.
    pub fn may_have_happened(&self) -> bool {
        self.answer.is_none() || self.succeeded()
    }

    pub fn text(&self, member: &str) -> Option<&str> {
        self.answer.as_ref()?.body[member].as_str()
    }

    /// As a breach shows it.
    pub fn told(&self) -> String {
        let (began, ended) = (self.began, self.ended);
        format!("{:?} [{began}..{ended}] {} -> {}", self.act, self.id.as_deref().unwrap_or("cli"), self.status())
    }
}

/// The log of one run, and its clock.
pub struct Log {
    calls: Mutex<Vec<Call>>,
    ticks: Mutex<Vec<Tick>>,
    begun: Instant,
    /// The test's time when the run began, in microseconds since 1970.
    base: i64,
    numbers: AtomicU64,
}

/// A move of the clock: at some moment in this range it got this offset, in microseconds.
#[derive(Clone)]
struct Tick {
    moved: Range<Moment>,
    offset: i64,
}

impl Log {
    pub fn new(jeton: &Jeton) -> Self {
        let ticks = Mutex::new(vec![Tick { moved: 0..0, offset: 0 }]);
        Self {
            calls: Mutex::default(),
            ticks,
            begun: Instant::now(),
            base: jeton.now() * 1_000_000,
            numbers: AtomicU64::new(0),
        }
    }

    pub fn moment(&self) -> Moment {
        i64::try_from(self.begun.elapsed().as_micros()).expect("less than an age")
    }

    pub fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    pub fn length(&self) -> usize {
        self.calls.lock().expect("nobody panics with it").len()
    }

    pub fn add(&self, call: Call) {
        self.calls.lock().expect("nobody panics with it").push(call);
    }

    /// Moves the clock of the test, either way.
    pub fn shift(&self, jeton: &Jeton, microseconds: i64) {
        let from = self.moment();
        jeton.shift(microseconds);
        let mut ticks = self.ticks.lock().expect("nobody panics with it");
        let offset = ticks.last().map_or(0, |tick| tick.offset) + microseconds;
        ticks.push(Tick { moved: from..self.moment(), offset });
    }

    /// The highest that the test's clock can have been until now, in microseconds since 1970; a second is for rounding.
    pub fn highest(&self) -> i64 {
        let ticks = self.ticks.lock().expect("nobody panics with it");
        self.base + self.moment() + ticks.iter().map(|tick| tick.offset).max().unwrap_or_default() + 1_000_000
    }

    /// All calls, in the order in which they began, and the clock that they were under.
    pub fn finish(&self) -> (Vec<Call>, Clock) {
        let mut calls = std::mem::take(&mut *self.calls.lock().expect("nobody panics with it"));
        calls.sort_by_key(|call| call.began);
        (calls, Clock { ticks: self.ticks.lock().expect("nobody panics with it").clone(), base: self.base })
    }
}

/// What the test's clock showed when.
pub struct Clock {
    ticks: Vec<Tick>,
    base: i64,
}

impl Clock {
    /// The lowest and the highest that the clock can have shown during a call, in microseconds since 1970.
    pub fn during(&self, call: &Call) -> Range<i64> {
        let ends = self.ticks.iter().skip(1).map(|tick| tick.moved.end).chain([i64::MAX]);
        let in_force =
            self.ticks.iter().zip(ends).filter(|(tick, end)| tick.moved.start <= call.ended && *end >= call.began);
        let offsets: Vec<i64> = in_force.map(|(tick, _)| tick.offset).collect();
        let lowest = offsets.iter().min().expect("there is always one");
        let highest = offsets.iter().max().expect("there is always one");
        self.base + call.began + lowest..self.base + call.ended + highest
    }

    /// The highest that it had shown when a call ended, in seconds since 1970; a second is for rounding.
    pub fn highest_second(&self, call: &Call) -> i64 {
        let before = self.ticks.iter().filter(|tick| tick.moved.start <= call.ended);
        let highest = before.map(|tick| tick.offset).max().unwrap_or_default();
        (self.base + call.ended + highest) / 1_000_000 + 1
    }

    /// Whether it was put back by more than this between two moments.
    pub fn went_back(&self, by: i64, from: Moment, until: Moment) -> bool {
        let back = |pair: &[Tick]| pair[1].offset < pair[0].offset - by && pair[1].moved.end >= from;
        self.ticks.windows(2).any(|pair| back(pair) && pair[1].moved.start <= until)
    }
}

/// The session and the generation that a refresh token names (docs/ARCHITECTURE.md, section 5).
pub fn generation(refresh_token: &str) -> (String, i64) {
    let bytes = refresh_token.strip_prefix("jrt_").and_then(|text| BASE64URL_NOPAD.decode(text.as_bytes()).ok());
    let bytes = bytes.expect("a refresh token");
    let session = uuid::Uuid::from_slice(&bytes[..16]).expect("16 bytes");
    (session.to_string(), i64::from_be_bytes(bytes[16..24].try_into().expect("8 bytes")))
}

/// The claims of an access token.
pub fn claims(access_token: &str) -> Value {
    crate::harness::Jwt::parse(access_token).claims
}
