//! I6: every acknowledged change has exactly one row in the audit log, and what was not done has none.

use std::{collections::BTreeMap, ops::RangeInclusive};

use super::{Breaches, Evidence};
use crate::log::{Act, Call};

pub fn check(evidence: &Evidence, breaches: &mut Breaches) {
    let mut by_request: BTreeMap<&str, usize> = BTreeMap::new();
    let mut by_target: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for row in &evidence.stored.audit {
        // Besides the row of the failure that it is, one tells that the next login has to wait.
        if let Some(id) = row.request_id.as_ref().filter(|_| row.action != "login.throttled") {
            *by_request.entry(id).or_default() += 1;
        }
        if let Some(target) = row.target.as_deref().filter(|_| row.outcome == "success") {
            *by_target.entry((&row.action, target)).or_default() += 1;
        }
    }
    for call in &evidence.calls {
        let Some(id) = &call.id else { continue };
        let rows = by_request.get(id.as_str()).copied().unwrap_or_default();
        breaches.unless(expected(call).contains(&rows), "I6, rows of a call", || format!("{rows} of {}", call.told()));
    }

    let rows = |action: &str, target: &str| by_target.get(&(action, target)).copied().unwrap_or_default();
    let mut expect = |action: &str, target: &str, expected: RangeInclusive<usize>| {
        let rows = rows(action, target);
        breaches.unless(expected.contains(&rows), "I6, rows of a target", || {
            format!("{rows} of {action} {target}, not {expected:?}")
        });
    };
    for (id, session) in &evidence.stored.sessions {
        let target = format!("session:{id}");
        expect("session.created", &target, 1..=1);
        // What ends many sessions at once has one row for all of them.
        let alone = usize::from(session.revoked_reason.as_deref() == Some("logout"));
        expect("session.revoked", &target, alone..=alone);
    }
    let rotated =
        |id: &str| evidence.calls.iter().any(|call| matches!(&call.act, Act::RotateKey { key, .. } if key == id));
    for (id, key) in &evidence.stored.keys {
        let target = format!("api-key:{id}");
        expect("api_key.created", &target, usize::from(!key.replaces)..=usize::from(!key.replaces));
        let alone = usize::from(key.revoked && !key.in_group && !rotated(id));
        expect("api_key.revoked", &target, alone..=usize::from(key.revoked));
    }
    for ((action, target), acts) in evidence.commands() {
        let acknowledged = acts.iter().filter(|call| call.succeeded()).count();
        let possible = acts.iter().filter(|call| call.may_have_happened()).count();
        expect(action, &target, acknowledged..=possible);
    }
    for call in &evidence.calls {
        if let Act::Suspend { tenant } = &call.act {
            let times = evidence.suspensions(tenant).len();
            expect("tenant.suspended", &format!("tenant:{tenant}"), times..=times);
            expect("tenant.resumed", &format!("tenant:{tenant}"), times..=times);
        }
    }
}

/// How many rows a call leaves that names itself in them.
fn expected(call: &Call) -> RangeInclusive<usize> {
    let refused = (400..500).contains(&call.status());
    match (&call.act, call.status()) {
        (Act::Jwks, _) | (_, 503) => 0..=0,
        (Act::Login { .. } | Act::WrongLogin, 200 | 401 | 403) => 1..=1,
        (Act::Refresh { .. }, 401) if call.text("code") == Some("refresh_token_reused") => 1..=1,
        // It was done, or it was not; a rotation is counted, not given a row, while the grace and a reuse have one.
        (_, 0) | (Act::Refresh { .. } | Act::Login { .. } | Act::WrongLogin, _) => 0..=1,
        (Act::Exchange { .. }, _) => 0..=usize::from(refused),
        // Not of the change, but of who asked for it, once a minute.
        (_, 403) if call.text("code") == Some("tenant_suspended") => 0..=1,
        (Act::ListKeys, _) | (_, 400..500) => 0..=0,
        // Whoever repeats a request is answered again, and what is dead is not killed again.
        (Act::CreateKey { name, .. }, _) if name.contains("once") => 0..=1,
        (Act::Logout { .. } | Act::RevokeKey { .. } | Act::Suspend { .. } | Act::Resume { .. }, _) => 0..=1,
        _ => 1..=1,
    }
}

impl Evidence {
    /// What was done by command each time anew, by action and target.
    fn commands(&self) -> BTreeMap<(&'static str, String), Vec<&Call>> {
        let mut commands: BTreeMap<_, Vec<&Call>> = BTreeMap::new();
        for call in &self.calls {
            let (action, target) = match &call.act {
                Act::Disable { user } => ("user.disabled", format!("user:{user}")),
                Act::Enable { user } => ("user.enabled", format!("user:{user}")),
                Act::RotateKey { key, .. } => ("api_key.rotated", format!("api-key:{key}")),
                _ => continue,
            };
            commands.entry((action, target)).or_default().push(call);
        }
        commands
    }
}
