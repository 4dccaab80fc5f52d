//! What must hold of a run: I1 to I8 of the model, over what was asked and what is stored at the end.

mod audit;
mod keys;
mod sessions;
mod tokens;

use std::{fmt::Display, ops::Range};

use crate::{
    fate::Fate,
    log::{Act, Call, Clock, Moment},
    stored::Stored,
    world::World,
};

/// All that is known of a run.
struct Evidence {
    calls: Vec<Call>,
    clock: Clock,
    stored: Stored,
}

/// What was found wrong.
#[derive(Default)]
struct Breaches(Vec<String>);

impl Breaches {
    fn add(&mut self, rule: &str, what: impl Display) {
        self.0.push(format!("{rule}: {what}"));
    }

    fn unless(&mut self, holds: bool, rule: &str, what: impl FnOnce() -> String) {
        if !holds {
            self.add(rule, what());
        }
    }
}

/// Checks a run that is over, and returns what is wrong and what was done.
pub fn check(world: &World, fate: &Fate) -> (Vec<String>, String) {
    let (calls, clock) = world.log.finish();
    let evidence = Evidence { calls, clock, stored: Stored::read(&world.jeton) };
    let mut breaches = Breaches(fate.breaches.clone());
    for call in &evidence.calls {
        let fault = call.status() >= 500 && call.status() != 503;
        breaches.unless(!fault, "no 5xx but 503", || call.told());
    }
    sessions::check(&evidence, &mut breaches);
    keys::check(&evidence, &mut breaches);
    tokens::check(&evidence, &mut breaches);
    audit::check(&evidence, &mut breaches);
    for (what, sound) in evidence.stored.sound(&world.jeton) {
        breaches.unless(sound.is_none(), what, || sound.unwrap_or_default());
    }
    let summary = evidence.summary(fate);
    breaches.0.extend(evidence.idle());
    (breaches.0, summary)
}

impl Evidence {
    fn succeeded(&self, of: impl Fn(&Act) -> bool) -> usize {
        self.calls.iter().filter(|call| of(&call.act) && call.succeeded()).count()
    }

    /// What a run without which the checks would find nothing has not done.
    fn idle(&self) -> Vec<String> {
        let done = [
            ("one login", self.succeeded(|act| matches!(act, Act::Login { .. }))),
            ("one refresh", self.succeeded(|act| matches!(act, Act::Refresh { .. }))),
            ("one exchange", self.succeeded(|act| matches!(act, Act::Exchange { .. }))),
            ("one key made", self.succeeded(|act| matches!(act, Act::CreateKey { .. }))),
        ];
        done.iter()
            .filter(|(_, times)| *times < 5)
            .map(|(what, times)| format!("too idle: {what}, {times} times"))
            .collect()
    }

    fn summary(&self, fate: &Fate) -> String {
        let lost = self.calls.iter().filter(|call| call.answer.is_none()).count();
        let refused = self.calls.iter().filter(|call| (400..500).contains(&call.status())).count();
        let unavailable = self.calls.iter().filter(|call| call.status() == 503).count();
        format!(
            "{} calls: {} logins, {} refreshes, {} exchanges, {} keys made, {} suspensions; {refused} refused, \
             {unavailable} unavailable, {lost} without an answer; {} kills, ready again within {:.1} s",
            self.calls.len(),
            self.succeeded(|act| matches!(act, Act::Login { .. })),
            self.succeeded(|act| matches!(act, Act::Refresh { .. })),
            self.succeeded(|act| matches!(act, Act::Exchange { .. })),
            self.succeeded(|act| matches!(act, Act::CreateKey { .. })),
            self.succeeded(|act| matches!(act, Act::Suspend { .. })),
            fate.kills,
            fate.slowest.as_secs_f32(),
        )
    }

    fn during(&self, call: &Call) -> Range<i64> {
        self.clock.during(call)
    }

    /// The times when a tenant was suspended.
    fn suspensions(&self, of: &str) -> Vec<Closure> {
        closures(
            &self.calls,
            |act| matches!(act, Act::Suspend { tenant } if tenant == of),
            |act| matches!(act, Act::Resume { tenant } if tenant == of),
        )
    }

    /// The times when a user was disabled.
    fn disablings(&self, of: &str) -> Vec<Closure> {
        closures(
            &self.calls,
            |act| matches!(act, Act::Disable { user } if user == of),
            |act| matches!(act, Act::Enable { user } if user == of),
        )
    }
}

/// A time for which a tenant or a user was shut out. One at a time does that, so that these do not overlap.
#[derive(Debug)]
struct Closure {
    /// From here on it may be closed.
    possible: Moment,
    /// From here on it is closed.
    certain: Moment,
    /// From here on it may be open again.
    reopening: Moment,
    /// From here on it is open again.
    reopened: Moment,
}

impl Closure {
    /// All of a call lay in it, so that it could only be refused.
    fn shuts_out(&self, call: &Call) -> bool {
        call.began > self.certain && call.ended < self.reopening
    }

    /// A call may have met it.
    fn may_meet(&self, call: &Call) -> bool {
        self.possible < call.ended && call.began < self.reopened
    }

    /// Whatever a call made was made before it, and ended by it.
    fn ends_what_was_made_by(&self, call: &Call) -> bool {
        call.began < self.certain && call.ended < self.reopening
    }

    /// What a call made may have been ended by it.
    fn may_end_what_was_made_by(&self, call: &Call) -> bool {
        call.began < self.certain
    }
}

fn closures(calls: &[Call], closes: impl Fn(&Act) -> bool, opens: impl Fn(&Act) -> bool) -> Vec<Closure> {
    let mut closures: Vec<Closure> = Vec::new();
    for call in calls.iter().filter(|call| call.may_have_happened()) {
        let open = closures.last_mut().filter(|closure| closure.reopened == Moment::MAX);
        if closes(&call.act) {
            let certain = if call.succeeded() { call.ended } else { Moment::MAX };
            match open {
                Some(closure) => closure.certain = closure.certain.min(certain),
                None => closures.push(Closure {
                    possible: call.began,
                    certain,
                    reopening: Moment::MAX,
                    reopened: Moment::MAX,
                }),
            }
        } else if let Some(closure) = open.filter(|_| opens(&call.act)) {
            closure.reopening = closure.reopening.min(call.began);
            if call.succeeded() {
                closure.reopened = call.ended;
            }
        }
    }
    closures
}

/// When something died: for certain at the first of these, and perhaps by each of those that may have killed it.
#[derive(Default)]
struct Deaths {
    certain: Option<Moment>,
    /// Since when each may have, and the number of the call that did.
    possible: Vec<(Moment, usize)>,
}

impl Deaths {
    fn certainly(&mut self, at: Moment) {
        self.certain = Some(self.certain.map_or(at, |earlier| earlier.min(at)));
    }

    fn perhaps(&mut self, from: Moment, by: usize) {
        self.possible.push((from, by));
    }

    /// A kill by this call: of which it is certain, if it was answered.
    fn by(&mut self, number: usize, call: &Call) {
        self.perhaps(call.began, number);
        if call.succeeded() {
            self.certainly(call.ended);
        }
    }

    /// It was dead before this call began.
    fn before(&self, call: &Call) -> bool {
        self.certain.is_some_and(|at| at < call.began)
    }

    /// It may have been dead before this call ended, by another one than itself.
    fn perhaps_for(&self, number: usize, call: &Call) -> bool {
        self.possible.iter().any(|(from, by)| *by != number && *from < call.ended)
    }
}
