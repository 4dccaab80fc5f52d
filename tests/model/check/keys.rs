//! I1, I5 and I7 for API keys: none opens anything after its end, none is lost, one for each idempotency key.

use std::collections::{BTreeMap, BTreeSet};

use super::{Breaches, Deaths, Evidence};
use crate::log::{Act, Call, claims};

/// One key: how it came to be, and what was done to it.
struct Story<'a> {
    evidence: &'a Evidence,
    id: &'a str,
    made: &'a Call,
    tenant: &'a str,
    group: Option<&'a str>,
    scopes: &'a [String],
    deaths: Deaths,
    /// Rotations that let it live on for a while, in seconds.
    overlaps: Vec<(&'a Call, i64)>,
}

pub fn check(evidence: &Evidence, breaches: &mut Breaches) {
    check_creations(evidence, breaches);
    let mut stories = stories(evidence);
    for (number, call) in evidence.calls.iter().enumerate().filter(|(_, call)| call.may_have_happened()) {
        match &call.act {
            Act::RevokeKey { key } | Act::RotateKey { key, overlap: 0 } => {
                stories.get_mut(key.as_str()).into_iter().for_each(|story| story.deaths.by(number, call));
            }
            Act::RotateKey { key, overlap } => {
                stories.get_mut(key.as_str()).into_iter().for_each(|story| story.overlaps.push((call, *overlap)));
            }
            Act::DeleteGroup { group } => {
                let of_group = stories.values_mut().filter(|story| story.group == Some(group));
                of_group.for_each(|story| story.deaths.by(number, call));
            }
            _ => {}
        }
    }
    for (number, call) in evidence.calls.iter().enumerate() {
        if let Act::Exchange { key, scopes } = &call.act
            && let Some(story) = stories.get(key.as_str())
        {
            story.check_exchange(number, call, scopes, breaches);
        }
    }
    for story in stories.values() {
        story.check_stored(breaches);
        // The command line may manage what is suspended.
        for closure in evidence.suspensions(story.tenant).iter().filter(|_| story.made.id.is_some()) {
            breaches.unless(!closure.shuts_out(story.made), "I1, managed while shut out", || story.made.told());
        }
    }
}

/// Every key whose making was answered.
fn stories(evidence: &Evidence) -> BTreeMap<&str, Story<'_>> {
    let mut stories: BTreeMap<&str, Story<'_>> = BTreeMap::new();
    for made in evidence.calls.iter().filter(|call| call.succeeded()) {
        let Some(id) = made.text("id") else { continue };
        let (tenant, group, scopes): (&str, Option<&str>, &[String]) = match &made.act {
            Act::CreateKey { tenant, group, scopes, .. } => (tenant, group.as_deref(), scopes),
            // A key that follows another has its rights; who rotates one that was not answered for has not seen it.
            Act::RotateKey { key, .. } => match stories.get(key.as_str()) {
                Some(old) => (old.tenant, old.group, old.scopes),
                None => continue,
            },
            _ => continue,
        };
        let (deaths, overlaps) = (Deaths::default(), Vec::new());
        stories.entry(id).or_insert(Story { evidence, id, made, tenant, group, scopes, deaths, overlaps });
    }
    stories
}

impl Story<'_> {
    fn check_exchange(&self, number: usize, call: &Call, wanted: &[String], breaches: &mut Breaches) {
        let now = self.evidence.during(call);
        let suspensions = self.evidence.suspensions(self.tenant);
        if call.succeeded() {
            breaches.unless(!self.deaths.before(call), "I1, a dead key", || {
                format!("{}; dead since {:?}", call.told(), self.deaths.certain)
            });
            let over = self.overlaps.iter().map(|(rotation, seconds)| (rotation, seconds * 1_000_000));
            let over = over.filter(|(rotation, overlap)| {
                rotation.succeeded()
                    && rotation.ended < call.began
                    && now.start >= self.evidence.during(rotation).end + overlap
            });
            for (rotation, _) in over {
                let then = self.evidence.during(rotation);
                breaches.add(
                    "I1, a key beyond its overlap",
                    format!("{} at {now:?}; {} at {then:?}", call.told(), rotation.told()),
                );
            }
            let shut_out = suspensions.iter().any(|closure| closure.shuts_out(call));
            breaches.unless(!shut_out, "I1, shut out", || call.told());
            self.check_token(call, wanted, breaches);
        } else if (400..500).contains(&call.status()) {
            let overlap_over = self.overlaps.iter().any(|(rotation, seconds)| {
                rotation.began < call.ended && now.end >= self.evidence.during(rotation).start + seconds * 1_000_000
            });
            let suspended = suspensions.iter().any(|closure| closure.may_meet(call));
            let explained = self.deaths.perhaps_for(number, call) || overlap_over || suspended;
            breaches.unless(explained, "rule 27, a key is lost", || call.told());
        }
    }

    /// I7: the scope that was asked for, in the key's tenant.
    fn check_token(&self, call: &Call, wanted: &[String], breaches: &mut Breaches) {
        let claims = claims(call.text("access_token").expect("every token answer has it"));
        let granted: BTreeSet<&str> = claims["scope"].as_str().unwrap_or_default().split_whitespace().collect();
        let wanted = if wanted.is_empty() { self.scopes } else { wanted };
        let as_wanted = granted == wanted.iter().map(String::as_str).collect();
        let its_own = claims["tenant_id"] == self.tenant && claims["sub"] == self.id && claims["client_id"] == self.id;
        breaches.unless(as_wanted && its_own, "I7, a token of a key", || format!("{claims}; {}", call.told()));
    }

    fn check_stored(&self, breaches: &mut Breaches) {
        let Some(stored) = self.evidence.stored.keys.get(self.id) else {
            return breaches.add("rule 27, an acknowledged key is lost", self.made.told());
        };
        let dead = self.deaths.certain.is_some();
        breaches.unless(!dead || stored.revoked, "rule 27, a revocation is lost", || self.made.told());
        let may_be_dead = !self.deaths.possible.is_empty();
        breaches.unless(may_be_dead || !stored.revoked, "I3, a key that nobody revoked", || self.made.told());
    }
}

/// I5: one key for each name, for each name is asked for in one request, however often that is repeated; and none where
/// the request was refused.
fn check_creations(evidence: &Evidence, breaches: &mut Breaches) {
    let mut asked: BTreeMap<&str, Vec<&Call>> = BTreeMap::new();
    for call in &evidence.calls {
        if let Act::CreateKey { name, .. } = &call.act {
            asked.entry(name).or_default().push(call);
        }
    }
    for (name, calls) in asked {
        let told = || calls.iter().map(|call| call.told()).collect::<Vec<_>>().join("; ");
        let made = evidence.stored.keys.values().filter(|key| key.name == name && !key.replaces).count();
        breaches.unless(made <= 1, "I5, one key for each request", || format!("{made} of {}", told()));
        let answers: BTreeSet<_> = calls.iter().filter(|call| call.succeeded()).map(|call| call.text("key")).collect();
        breaches.unless(answers.len() <= 1, "I5, the same answer again", told);
        if !calls.iter().any(|call| call.may_have_happened()) {
            breaches.unless(made == 0, "rule 27, refused and made", told);
        }
    }
}
