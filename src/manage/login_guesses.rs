//! Guesses of a password, counted: an account and a client's address may fail only so often (security 16; ADR 16).
//!
//! A guess counts as a failure before it is tried, and is forgiven where it turns out right. So however many are made
//! at once, on however many servers, no more are tried than may be.

use std::time::{Duration, Instant};

use diesel::QueryResult;

use crate::app::App;
use crate::db::error::changed_meanwhile;
use crate::db::{DbConnection, audit, login_failures};
use crate::domain::audit::AuditEvent;
use crate::domain::login_failures::{Counter, FailureLimit, Failures, Throttled, network_of};
use crate::domain::{Actor, Email, Refusal, SessionId, Timestamp};
use crate::metrics::LoginOutcome;

/// How long a login waits for those before it that may turn out right: several devices of one person, that log in
/// together. It leaves some of the request's [`PATIENCE`](crate::deadline::PATIENCE) for the login itself.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often a failure is counted anew that somebody else came before. Where a transaction sees what was there at its
/// begin alone, it would never see what came before it.
const TRIES: usize = 64;

/// How often it looks meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A guess that may be tried. It counts as a failure until it is forgiven.
#[derive(Clone)]
pub struct Guess {
    account: Counted,
    address: Option<Counted>,
    /// Whether it comes from a device that has logged in to this account: then strangers do not stand in its way.
    is_known: bool,
    /// The failures of the account, with this one.
    failures: Failures,
    /// When the one before it was.
    before: Timestamp,
    /// What the audit log is told where the next guess has to wait.
    event: AuditEvent,
    now: Timestamp,
}

/// Where failures are counted, and how many there may be.
#[derive(Clone)]
struct Counted {
    counter: Counter,
    limit: FailureLimit,
}

impl Guess {
    /// Counts a guess at the password of an account, whether there is such an account or not. `device` is the session
    /// that whoever guesses proves to have had with it: its guesses count apart.
    ///
    /// # Errors
    /// [`Refusal::LoginThrottled`]: it must not be tried.
    pub async fn begin(app: &App, by: &Actor, email: &Email, device: Option<SessionId>) -> Result<Self, Refusal> {
        let (begun, login) = (Instant::now(), &app.config.login);
        let device_id = device.map(|device| device.as_bytes().to_vec()).unwrap_or_default();
        let account = Counted {
            counter: Counter { subject: app.failures.account(email), device: device_id },
            limit: FailureLimit::Account(login.account_failures),
        };
        let address = login.address_failures.zip(by.ip).map(|(failures, ip)| Counted {
            counter: Counter { subject: app.failures.network(network_of(ip)), device: Vec::new() },
            limit: FailureLimit::Address(failures),
        });
        loop {
            let now = app.now();
            let asked = address.clone().filter(|_| device.is_none());
            let throttled = match count(app, account.clone(), asked, now).await? {
                Ok((before, failures)) => {
                    let event = app.event(by, "login.throttled", now)?.outcome("rate_limited");
                    let event = event.details(format!("email {email}"));
                    return Ok(Self { account, address, is_known: device.is_some(), failures, before, event, now });
                }
                Err(throttled) => throttled,
            };
            if !throttled.undecided || begun.elapsed() > PATIENCE {
                app.metrics.count_login(LoginOutcome::Throttled(throttled.limit));
                return Err(Refusal::LoginThrottled(throttled));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// The password was right: the account's failures are forgotten, in the transaction of what it was right for. Those
    /// of the address stay, or whoever has one account could guess at others for ever.
    ///
    /// # Errors
    /// [`Refusal::LoginThrottled`] where the address has used up its failures while this guess was under way: no more
    /// guesses than that are answered.
    pub fn forgive(&self, connection: &mut DbConnection) -> Result<(), Refusal> {
        if let Some(address) = self.address.as_ref().filter(|_| !self.is_known) {
            address.look(connection, self.now)?.map_err(Refusal::LoginThrottled)?;
        }
        Ok(login_failures::forget(connection, &self.account.counter)?)
    }

    /// The guess ends in success, or in a refusal, which is audited as `refused`.
    ///
    /// # Errors
    /// The refusal, but where the database does not answer, or the address has used up its failures meanwhile.
    pub async fn end<T>(self, app: &App, result: Result<T, Refusal>, refused: AuditEvent) -> Result<T, Refusal> {
        match result {
            Ok(success) => {
                app.metrics.count_login(LoginOutcome::Right);
                Ok(success)
            }
            Err(refusal) => Err(self.refuse(app, refusal, refused).await?),
        }
    }

    /// All that is answered as a wrong password counts as one, or the count would tell that it was right.
    async fn refuse(self, app: &App, refusal: Refusal, event: AuditEvent) -> Result<Refusal, Refusal> {
        if refusal.is_fault_of_ours() {
            self.take_back(app).await;
            return Ok(refusal);
        }
        let was_wrong = matches!(refusal, Refusal::InvalidCredentials);
        let was_right = !was_wrong && !matches!(refusal, Refusal::LoginThrottled(_));
        let (guess, tried) = (self.clone(), self.clone());
        let failure = event.clone().outcome(refusal.code());
        let refuse = app.db.write(move |connection| {
            let refusal = match refusal {
                Refusal::InvalidCredentials => guess.fail(connection)?.map_or(refusal, Refusal::LoginThrottled),
                Refusal::LoginThrottled(_) => refusal,
                // The password was right.
                _ => guess.forgive(connection).map(|()| refusal)?,
            };
            audit::record(connection, &event.outcome(refusal.code()))?;
            Ok::<_, Refusal>(refusal)
        });
        let refusal = match refuse.await {
            Ok(refusal) => refusal,
            Err(fault) => {
                if was_right && fault.is_fault_of_ours() {
                    self.take_back(app).await;
                } else if was_wrong && fault.is_fault_of_ours() {
                    // It was tried: it counts for its address and is in the audit log, though it is not told in time.
                    let count = move |connection: &mut DbConnection| {
                        tried.fail(connection)?;
                        Ok(audit::record(connection, &failure)?)
                    };
                    app.db.insist("a wrong password is counted for its account alone", count).await;
                }
                return Err(fault);
            }
        };
        app.metrics.count_login(match &refusal {
            Refusal::InvalidCredentials => LoginOutcome::Wrong,
            Refusal::LoginThrottled(throttled) => LoginOutcome::Throttled(throttled.limit),
            _ => LoginOutcome::Right,
        });
        Ok(refusal)
    }

    /// The password was wrong: it stays counted, and counts for the address too. Where the next one has to wait, the
    /// audit log is told: one row for each wait, however many come too early.
    ///
    /// What the address has to wait where it used up its failures while this guess was under way: that is the answer
    /// then.
    fn fail(&self, connection: &mut DbConnection) -> QueryResult<Option<Throttled>> {
        let (mut waits, mut refused) = (Vec::new(), None);
        let in_a_row = self.failures.count;
        if let Some(wait) = self.account.limit.wait_after(in_a_row) {
            waits.push(format!("{in_a_row} failures in a row, the next login waits {} s", wait.num_seconds()));
        }
        if let Some(address) = &self.address {
            match address.count(connection, self.now)? {
                Ok((_, failures)) if address.limit.wait_after(failures.count).is_some() => {
                    waits.push(format!("{} failures from this address, its next login waits", failures.count));
                }
                Ok(_) => {}
                Err(throttled) => refused = Some(throttled).filter(|_| !self.is_known),
            }
        }
        if !waits.is_empty() {
            let known = self.event.details.clone().unwrap_or_default();
            let details = format!("{known}: {}", waits.join("; "));
            audit::record(connection, &self.event.clone().details(details))?;
        }
        Ok(refused)
    }

    /// The password was not tried after all, or was right: nothing is counted, also where the request is over.
    async fn take_back(self, app: &App) {
        let take_back = move |connection: &mut DbConnection| {
            Ok(login_failures::take_back(connection, &self.account.counter, self.failures, self.before)?)
        };
        app.db.insist("a password that was not wrong counts as wrong", take_back).await;
    }
}

/// An administrator vouches for the account: whatever failed, its next login is tried.
pub fn forgive_all(app: &App, email: &Email) -> impl FnOnce(&mut DbConnection) -> QueryResult<()> + Send + 'static {
    let subject = app.failures.account(email);
    move |connection| login_failures::forget_all(connection, &subject)
}

/// A session that takes the place of another is the same device still, and what failed there counts for it: else
/// whoever may have sessions without the password could guess at it without end. The old one keeps its count, for
/// guesses under way.
pub fn carry_over(
    app: &App,
    email: &Email,
    from: SessionId,
    to: SessionId,
) -> impl FnOnce(&mut DbConnection) -> QueryResult<()> + Send + 'static {
    let subject = app.failures.account(email);
    let [from, to] = [from, to].map(|id| Counter { subject: subject.clone(), device: id.as_bytes().to_vec() });
    move |connection| {
        let Some(failures) = login_failures::find(connection, &from)? else { return Ok(()) };
        login_failures::replace(connection, &to, None, failures).map(drop)
    }
}

/// Counts a guess at an account, unless it or the address that it comes from has to wait.
async fn count(
    app: &App,
    account: Counted,
    address: Option<Counted>,
    now: Timestamp,
) -> Result<Result<(Timestamp, Failures), Throttled>, Refusal> {
    let asked = [address.clone(), Some(account.clone())];
    // A guess that comes too early may be one of a flood: it costs no write.
    let refused = app.db.read(move |connection| {
        for counted in asked.iter().flatten() {
            let stored = login_failures::find(connection, &counted.counter)?;
            // What a clock that stepped back has left is for the write below to put right.
            let seen = stored.filter(|failures| *failures == failures.seen_at(now));
            if let Err(throttled) = counted.limit.count(seen, now) {
                return Ok(Some(throttled));
            }
        }
        Ok::<_, Refusal>(None)
    });
    if let Some(throttled) = refused.await? {
        return Ok(Err(throttled));
    }
    app.db
        .write(move |connection| {
            // A refusal is a value, so that what is put right stays.
            if let Some(address) = address
                && let Err(throttled) = address.look(connection, now)?
            {
                return Ok(Err(throttled));
            }
            Ok(account.count(connection, now)?)
        })
        .await
}

impl Counted {
    /// Counts one failure more, and tells when the one before it was; or that it has to wait, and does not count.
    fn count(
        &self,
        connection: &mut DbConnection,
        now: Timestamp,
    ) -> QueryResult<Result<(Timestamp, Failures), Throttled>> {
        for _ in 0..TRIES {
            let stored = login_failures::find(connection, &self.counter)?;
            let seen = stored.map(|failures| failures.seen_at(now));
            let judged = self.limit.count(seen, now);
            let is_written = match judged.as_ref().ok().copied().or(seen) {
                next if next == stored => true,
                Some(next) => login_failures::replace(connection, &self.counter, stored, next)?,
                None => true,
            };
            // Else somebody else was faster: look again.
            if is_written {
                return Ok(judged.map(|failures| (seen.map_or(now, |seen| seen.last_at), failures)));
            }
        }
        Err(changed_meanwhile())
    }

    /// Whether one failure more would count, in a transaction that may write: a time that lies ahead is put right.
    fn look(&self, connection: &mut DbConnection, now: Timestamp) -> QueryResult<Result<(), Throttled>> {
        let stored = login_failures::find(connection, &self.counter)?;
        let seen = stored.map(|failures| failures.seen_at(now));
        if let Some(right) = seen.filter(|_| seen != stored) {
            login_failures::replace(connection, &self.counter, stored, right)?;
        }
        Ok(self.limit.count(seen, now).map(drop))
    }
}
