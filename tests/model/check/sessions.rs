//! I1 to I4: what a refresh may give, what it may refuse, and what is dead for good.

use std::collections::{BTreeMap, BTreeSet};

use super::{Breaches, Deaths, Evidence};
use crate::{
    log::{Act, Call, Moment, claims, generation},
    world::GRACE,
};

/// Uses of the predecessor within the grace.
const GRACE_USES: usize = 10;

/// Calls with their numbers, by the generation of the token that they presented.
type Presented<'a> = BTreeMap<i64, Vec<(usize, &'a Call)>>;

/// One session: the login that began it, and every presentation of one of its tokens, by generation.
struct Story<'a> {
    evidence: &'a Evidence,
    id: String,
    login: &'a Call,
    presented: Presented<'a>,
    deaths: Deaths,
}

pub fn check(evidence: &Evidence, breaches: &mut Breaches) {
    let mut presented: BTreeMap<&str, Presented<'_>> = BTreeMap::new();
    for (number, call) in evidence.calls.iter().enumerate() {
        if let Act::Refresh { session, generation } = &call.act {
            presented.entry(session).or_default().entry(*generation).or_default().push((number, call));
        }
    }
    for login in &evidence.calls {
        let Act::Login { user } = &login.act else { continue };
        let Some(token) = login.text("refresh_token") else { continue };
        let (id, _) = generation(token);
        let presented = presented.remove(id.as_str()).unwrap_or_default();
        let mut story = Story { evidence, id, login, presented, deaths: Deaths::default() };
        story.find_deaths(user);
        story.check_gates(user, breaches);
        story.check_mints(breaches);
        story.check_order(breaches);
        story.check_refusals(breaches);
        story.check_stored(breaches);
    }
}

impl<'a> Story<'a> {
    fn refreshes(&self) -> impl Iterator<Item = (i64, usize, &'a Call)> {
        self.presented
            .iter()
            .flat_map(|(generation, calls)| calls.iter().map(|(number, call)| (*generation, *number, *call)))
    }

    fn tenant(&self) -> &str {
        self.login.text("tenant_id").expect("every token answer has it")
    }

    fn find_deaths(&mut self, user: &str) {
        for (number, call) in self.evidence.calls.iter().enumerate().filter(|(_, call)| call.may_have_happened()) {
            match &call.act {
                Act::Logout { session } if *session == self.id => self.deaths.by(number, call),
                Act::LogoutAll { user: of } if of == user && self.login.ended < call.began => {
                    self.deaths.by(number, call);
                }
                Act::LogoutAll { user: of } if of == user && self.login.began < call.ended => {
                    self.deaths.perhaps(call.began, number);
                }
                _ => {}
            }
        }
        let closures = self.evidence.suspensions(self.tenant()).into_iter().chain(self.evidence.disablings(user));
        for closure in closures {
            if closure.ends_what_was_made_by(self.login) {
                self.deaths.certainly(closure.certain);
            }
            if closure.may_end_what_was_made_by(self.login) {
                self.deaths.perhaps(closure.possible, usize::MAX);
            }
        }
        let refreshes: Vec<_> = self.refreshes().collect();
        for (generation, number, call) in refreshes {
            if is_reuse(call) {
                // A detected reuse stays dead (I4).
                self.deaths.certainly(call.ended);
                self.deaths.perhaps(call.began, number);
            } else if !call.succeeded() && call.status() != 503 && self.may_be_reuse(generation, number, call) {
                self.deaths.perhaps(call.began, number);
            }
        }
    }

    /// I1: whoever is shut out gets nothing.
    fn check_gates(&self, user: &str, breaches: &mut Breaches) {
        let mints: Vec<&Call> = self.refreshes().map(|(_, _, call)| call).filter(|call| call.succeeded()).collect();
        for closure in self.evidence.suspensions(self.tenant()).iter().chain(&self.evidence.disablings(user)) {
            for mint in mints.iter().chain([&self.login]).filter(|call| closure.shuts_out(call)) {
                breaches.add("I1, shut out", format!("{} in {closure:?}", mint.told()));
            }
        }
    }

    fn check_mints(&self, breaches: &mut Breaches) {
        let login_claims = claims(self.login.text("access_token").expect("every token answer has it"));
        for (generation, _, call) in self.refreshes().filter(|(_, _, call)| call.succeeded()) {
            breaches.unless(!self.deaths.before(call), "I1, I4, a dead session", || {
                format!("{}; dead since {:?}", call.told(), self.deaths.certain)
            });
            breaches.unless(!self.is_surely_used_up(generation, call), "rule 3, a used-up token", || call.told());
            let claims = claims(call.text("access_token").expect("every token answer has it"));
            for claim in ["sub", "tenant_id", "scope", "sid", "client_id"] {
                breaches.unless(claims[claim] == login_claims[claim], "I7, a claim of the session", || {
                    format!("{claim}: {} was {}; {}", claims[claim], login_claims[claim], call.told())
                });
            }
        }
    }

    /// I2: one successor for each generation, and never an older token after a newer one.
    fn check_order(&self, breaches: &mut Breaches) {
        let graced: BTreeSet<&str> =
            self.evidence.stored.audit_of("session.grace_used", &format!("session:{}", self.id));
        let mut answered: Vec<(Moment, i64)> = Vec::new();
        for (presented, calls) in &self.presented {
            let successes: Vec<&Call> = calls.iter().map(|(_, call)| *call).filter(|call| call.succeeded()).collect();
            let rotations = successes.iter().filter(|call| call.id.as_deref().is_none_or(|id| !graced.contains(id)));
            let rotations: Vec<String> = rotations.map(|call| call.told()).collect();
            breaches.unless(rotations.len() <= 1, "I2, rotated twice", || rotations.join("; "));
            let within_limit = successes.len() <= GRACE_USES + 1;
            breaches.unless(within_limit, "rule 2, the grace is counted", || {
                format!("generation {presented} of {} was accepted {} times", self.id, successes.len())
            });
            for call in successes {
                let given = given(call);
                // Between two looks of one request another server may take the session one step on.
                let overtaken = given == presented + 2
                    && self
                        .presentations(presented + 1)
                        .any(|(_, other)| other.began < call.ended && other.ended > call.began);
                breaches.unless(given == presented + 1 || overtaken, "I2, the successor", || {
                    format!("{} gave generation {given}", call.told())
                });
                answered.push((call.ended, given));
            }
        }
        answered.sort_unstable();
        let mut newest = 0;
        for (_, given) in &mut answered {
            newest = newest.max(*given);
            *given = newest;
        }
        for (_, _, call) in self.refreshes().filter(|(_, _, call)| call.succeeded()) {
            let earlier = answered.partition_point(|(ended, _)| *ended < call.began);
            let newest = earlier.checked_sub(1).map_or(0, |last| answered[last].1);
            breaches.unless(given(call) >= newest, "I2, back to an older token", || {
                format!("{} after generation {newest}", call.told())
            });
        }
    }

    /// I3: who presents the current token, or its predecessor within the grace, is refused only where the session was
    /// ended.
    fn check_refusals(&self, breaches: &mut Breaches) {
        let refused = self.refreshes().filter(|(_, _, call)| (400..500).contains(&call.status()));
        for (generation, number, call) in refused {
            let explained = self.deaths.perhaps_for(number, call) || self.may_be_reuse(generation, number, call);
            breaches.unless(explained, "I3, a session is lost", || format!("{} {:?}", call.told(), call.text("code")));
        }
    }

    fn check_stored(&self, breaches: &mut Breaches) {
        let Some(stored) = self.evidence.stored.sessions.get(&self.id) else {
            return breaches.add("rule 27, an acknowledged login is lost", self.login.told());
        };
        if self.deaths.certain.is_some() {
            breaches.unless(stored.revoked_reason.is_some(), "rule 27, an end is lost", || self.id.clone());
        }
        if self.deaths.possible.is_empty() {
            breaches
                .unless(stored.revoked_reason.is_none(), "I3, ended by nobody", || format!("{}: {stored:?}", self.id));
        }
        let newest = self.refreshes().filter(|(_, _, call)| call.succeeded()).map(|(_, _, call)| given(call)).max();
        let newest = newest.unwrap_or_default();
        breaches.unless(stored.generation >= newest, "rule 27, a rotation is lost", || {
            format!("{}: generation {newest} was given, {} is stored", self.id, stored.generation)
        });
    }

    /// Presentations of a generation that were answered, or may have been carried out.
    fn presentations(&self, generation: i64) -> impl Iterator<Item = (usize, &'a Call)> {
        let calls = self.presented.get(&generation).into_iter().flatten();
        calls.copied().filter(|(_, call)| call.may_have_happened())
    }

    /// Whether a token may have been used up when it was presented in this call: its successor was presented, its grace
    /// is over, or the grace was used up.
    fn may_be_reuse(&self, generation: i64, number: usize, call: &Call) -> bool {
        let before = |(other, earlier): &(usize, &Call)| *other != number && earlier.began < call.ended;
        let earlier: Vec<_> = self.presentations(generation).filter(before).collect();
        let used = !earlier.is_empty();
        let successor_used = self.presentations(generation + 1).any(|other| before(&other));
        let now = self.evidence.during(call);
        let out_of_grace = earlier.iter().any(|(_, rotation)| {
            let then = self.evidence.during(rotation);
            now.end - then.start >= GRACE || then.end - now.start >= GRACE
        });
        used && (successor_used || out_of_grace || earlier.len() > GRACE_USES)
    }

    /// Whether a token was used up when it was presented in this call.
    fn is_surely_used_up(&self, generation: i64, call: &Call) -> bool {
        let before = |(_, earlier): &(usize, &Call)| earlier.succeeded() && earlier.ended < call.began;
        let successor_used = self.presentations(generation + 1).any(|other| before(&other));
        let first =
            self.presentations(generation).filter(before).map(|(_, first)| first).min_by_key(|first| first.ended);
        let out_of_grace =
            first.is_some_and(|first| self.evidence.during(call).start - self.evidence.during(first).end >= GRACE);
        successor_used || out_of_grace
    }
}

fn is_reuse(call: &Call) -> bool {
    call.text("code") == Some("refresh_token_reused")
}

/// The generation of the token that a refresh gave.
fn given(call: &Call) -> i64 {
    generation(call.text("refresh_token").expect("every token answer has it")).1
}
