//! The hash chain of the audit log: each line's link rests on the one before it, so that none is altered, moved, added
//! or taken away without all links after it being wrong; and checkpoints say, signed, what the links were (ADR 18).

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{Context, SHA256};
use data_encoding::BASE64URL_NOPAD;
use diesel::Queryable;
use diesel::deserialize::FromSqlRow;
use diesel::expression::AsExpression;
use diesel::sql_types::Binary;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use super::audit::AuditEvent;
use super::{AuditChainId, TenantId};

/// The SHA-256 of a line and of the link before it.
#[derive(Clone, Copy, PartialEq, Eq, AsExpression, FromSqlRow)]
#[diesel(sql_type = Binary)]
pub struct Link(pub(crate) [u8; Link::LEN]);

/// The end of a chain, as it is stored.
#[derive(Clone, Copy, Debug, Queryable)]
pub struct ChainEnd {
    /// Whose chain.
    pub chain: AuditChainId,
    /// The number of the last line.
    pub sequence: i64,
    /// Its link.
    pub link: Link,
    /// The number of the last line that was forgotten for its age.
    pub forgotten: i64,
}

/// A line with its place in its chain.
#[derive(Clone, Debug, Queryable, Serialize)]
pub struct ChainedEvent {
    /// The line.
    #[serde(flatten)]
    pub event: AuditEvent,
    /// Its number; none where it is older than the chain.
    pub sequence: Option<i64>,
    /// Its link.
    pub link: Option<Link>,
}

/// What is signed about chains from time to time.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Which server signs: `server.public_url`.
    pub iss: String,
    /// When, in seconds since the epoch.
    pub iat: i64,
    /// The number of this checkpoint, from 1.
    pub number: i64,
    /// The SHA-256 of the checkpoint before it: one that is signed vouches for all before it.
    pub previous: Option<Link>,
    /// The ends of the chains that have grown since.
    pub ends: Vec<SignedPlace>,
    /// Up to where chains are forgotten from now on, for their age.
    pub forgotten: Vec<SignedPlace>,
}

/// What was given is no link.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("must be 32 bytes in base64url")]
pub struct InvalidLink;

/// A place in a chain, in a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedPlace {
    /// Whose chain.
    pub chain: AuditChainId,
    /// The number of the line.
    pub sequence: i64,
    /// Its link.
    pub link: Link,
}

/// What is wrong with a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(tag = "fault", rename_all = "snake_case")]
pub enum ChainFault {
    /// Lines are gone.
    #[error("lines {from} to {to} are missing")]
    Missing {
        /// The first.
        from: i64,
        /// The last.
        to: i64,
    },
    /// A line is not the one that was written there.
    #[error("line {sequence} was altered, moved or added")]
    Altered {
        /// Its number.
        sequence: i64,
    },
    /// The chain is sound in itself, and not the one that was signed.
    #[error("line {sequence} is not the one that a checkpoint was signed for")]
    Rewritten {
        /// Its number.
        sequence: i64,
    },
    /// Lines were forgotten, and no checkpoint says so.
    #[error("the lines up to {sequence} are gone without a signed checkpoint that they were forgotten for their age")]
    NotForgotten {
        /// The number of the last of them.
        sequence: i64,
    },
    /// The chain that checkpoints speak of is gone, or ends before them.
    #[error("the chain is to have {sequence} lines at least, by a signed checkpoint")]
    CutOff {
        /// The number of the last line that was signed for.
        sequence: i64,
    },
}

impl Link {
    /// Bytes of a link.
    pub const LEN: usize = 32;

    /// What the first line of a chain rests on.
    #[must_use]
    pub fn first(chain: AuditChainId) -> Self {
        Self::of(|context| {
            context.update(b"jeton audit chain 1");
            context.update(chain.as_bytes());
        })
    }

    /// The link of the line with this number, after this one.
    ///
    /// Each member is preceded by its length, so that no two lines are the same bytes.
    #[must_use]
    pub fn next(self, sequence: i64, event: &AuditEvent) -> Self {
        // A member that is added to the line is missed here by the compiler, and must not be: what no link holds can be
        // altered.
        let AuditEvent { id, at, tenant_id, action, outcome, actor, target, ip, user_agent, request_id, details } =
            event;
        Self::of(|context| {
            context.update(&self.0);
            context.update(&sequence.to_be_bytes());
            context.update(id.as_bytes());
            context.update(&at.0.to_be_bytes());
            let mut add = |member: Option<&[u8]>| {
                let length = member.and_then(|bytes| i64::try_from(bytes.len()).ok()).unwrap_or(-1);
                context.update(&length.to_be_bytes());
                context.update(member.unwrap_or_default());
            };
            add(tenant_id.as_ref().map(|id| id.as_bytes().as_slice()));
            for text in [action, outcome, actor] {
                add(Some(text.as_bytes()));
            }
            for text in [target, ip, user_agent, request_id, details] {
                add(text.as_ref().map(String::as_bytes));
            }
        })
    }

    /// The SHA-256 of a text.
    #[must_use]
    pub fn of_text(text: &str) -> Self {
        Self::of(|context| context.update(text.as_bytes()))
    }

    fn of(fill: impl FnOnce(&mut Context)) -> Self {
        let mut context = Context::new(&SHA256);
        fill(&mut context);
        let mut link = [0; Self::LEN];
        link.copy_from_slice(context.finish().as_ref());
        Self(link)
    }
}

impl From<Option<TenantId>> for AuditChainId {
    /// The chain of a tenant, or the one of what concerns none.
    fn from(tenant: Option<TenantId>) -> Self {
        tenant.map_or(Uuid::nil(), TenantId::uuid).into()
    }
}

impl AuditChainId {
    /// Whose chain it is, for people.
    #[must_use]
    pub fn owner(self) -> String {
        if self.uuid().is_nil() { "the server's own".to_owned() } else { format!("tenant {self}") }
    }
}

impl From<ChainEnd> for SignedPlace {
    fn from(end: ChainEnd) -> Self {
        Self { chain: end.chain, sequence: end.sequence, link: end.link }
    }
}

/// What checkpoints say about one chain.
#[derive(Clone, Debug, Default)]
pub struct Signed {
    ends: BTreeMap<i64, Link>,
    forgotten: Option<SignedPlace>,
    /// Lines that two checkpoints say different things of.
    contradicted: Vec<i64>,
}

impl Signed {
    /// A checkpoint says that the chain ended here.
    pub fn end(&mut self, place: &SignedPlace) {
        // The first one counts: the chain that a later one speaks of was written anew.
        if *self.ends.entry(place.sequence).or_insert(place.link) != place.link {
            self.contradicted.push(place.sequence);
        }
    }

    /// A checkpoint says that the chain is forgotten up to here.
    pub fn forget(&mut self, place: &SignedPlace) {
        if self.forgotten.is_none_or(|before| before.sequence < place.sequence) {
            self.forgotten = Some(*place);
            self.ends.retain(|&sequence, _| sequence > place.sequence);
        }
    }

    /// The same, knowing of the ends no more than the last: enough to go on from there.
    pub fn forget_earlier_ends(&mut self) {
        if let Some((sequence, link)) = self.ends.pop_last() {
            self.ends = BTreeMap::from([(sequence, link)]);
        }
    }

    /// What these checkpoints said, and what later ones did.
    #[must_use]
    pub fn followed_by(mut self, later: &Self) -> Self {
        for (&sequence, &link) in &later.ends {
            if *self.ends.entry(sequence).or_insert(link) != link {
                self.contradicted.push(sequence);
            }
        }
        self.contradicted.extend(&later.contradicted);
        if let Some(place) = &later.forgotten {
            self.forget(place);
        }
        self
    }

    /// The last place that was signed for, or the beginning of the chain.
    #[must_use]
    pub fn last_place(&self, chain: AuditChainId) -> SignedPlace {
        let last = self.ends.last_key_value().map(|(&sequence, &link)| SignedPlace { chain, sequence, link });
        last.unwrap_or_else(|| self.first_place(chain))
    }

    /// The place behind which the chain begins: the last one that was forgotten, or the beginning.
    #[must_use]
    pub fn first_place(&self, chain: AuditChainId) -> SignedPlace {
        self.forgotten.unwrap_or(SignedPlace { chain, sequence: 0, link: Link::first(chain) })
    }

    /// The last line that was signed for.
    #[must_use]
    pub fn last(&self) -> Option<i64> {
        self.ends.keys().next_back().copied().or_else(|| self.forgotten.map(|place| place.sequence))
    }
}

/// Walks a chain from its beginning to its end and notes what is wrong.
pub struct Walk {
    /// The number of the line that was walked over last, and its link unless nobody can say what it was.
    at: (i64, Option<Link>),
    end: ChainEnd,
    signed: Signed,
    lines: u64,
    faults: Vec<ChainFault>,
}

impl Walk {
    /// Begins the walk: at the first line, or behind those that were forgotten.
    #[must_use]
    pub fn begin(end: ChainEnd, signed: Signed) -> Self {
        let from = match signed.forgotten {
            Some(place) if place.sequence == end.forgotten => Some(place.link),
            None if end.forgotten == 0 => Some(Link::first(end.chain)),
            _ => None,
        };
        let faults =
            if from.is_none() { vec![ChainFault::NotForgotten { sequence: end.forgotten }] } else { Vec::new() };
        Self { at: (end.forgotten, from), end, signed, lines: 0, faults }
    }

    /// Begins it at a place that was signed for: what is before it was walked over already.
    #[must_use]
    pub fn resume(from: SignedPlace, end: ChainEnd) -> Self {
        let at = (from.sequence, Some(from.link));
        Self { at, end, signed: Signed::default(), lines: 0, faults: Vec::new() }
    }

    /// The number of the line that was walked over last.
    #[must_use]
    pub fn sequence(&self) -> i64 {
        self.at.0
    }

    /// Where it has come to, if all was sound so far.
    #[must_use]
    pub fn sound_place(&self) -> Option<SignedPlace> {
        let (sequence, link) = self.at;
        let place = link.map(|link| SignedPlace { chain: self.end.chain, sequence, link });
        place.filter(|_| self.faults.is_empty())
    }

    /// One line further. After a fault the walk goes on from what is stored, so that every other one is found too.
    pub fn step(&mut self, chained: &ChainedEvent) {
        let (Some(sequence), Some(link)) = (chained.sequence, chained.link) else { return };
        let rests_on = self.expect(sequence);
        let belongs = AuditChainId::from(chained.event.tenant_id) == self.end.chain;
        if !belongs || rests_on.is_some_and(|before| before.next(sequence, &chained.event) != link) {
            self.faults.push(ChainFault::Altered { sequence });
        } else if self.signed.ends.get(&sequence).is_some_and(|signed| *signed != link) {
            self.faults.push(ChainFault::Rewritten { sequence });
        } else {
            self.lines += 1;
        }
        self.at = (sequence, Some(link));
    }

    /// Ends the walk: how many lines are as they were written, and what is wrong.
    #[must_use]
    pub fn finish(mut self) -> (u64, Vec<ChainFault>) {
        let last = self.expect(self.end.sequence.saturating_add(1));
        if last.is_some_and(|link| link != self.end.link) {
            self.faults.push(ChainFault::Altered { sequence: self.end.sequence });
        }
        if let Some(sequence) = self.signed.last().filter(|&sequence| sequence > self.end.sequence) {
            self.faults.push(ChainFault::CutOff { sequence });
        }
        let contradicted = self.signed.contradicted.drain(..);
        self.faults.extend(contradicted.map(|sequence| ChainFault::Rewritten { sequence }));
        self.faults.dedup();
        (self.lines, self.faults)
    }

    /// The link that the line with this number rests on, if the line before it is there.
    fn expect(&mut self, sequence: i64) -> Option<Link> {
        let next = self.at.0.saturating_add(1);
        if sequence > next {
            self.faults.push(ChainFault::Missing { from: next, to: sequence.saturating_sub(1) });
            return None;
        }
        self.at.1
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64URL_NOPAD.encode(&self.0))
    }
}

impl Serialize for Link {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64URL_NOPAD.encode(&self.0))
    }
}

impl FromStr for Link {
    type Err = InvalidLink;

    fn from_str(text: &str) -> Result<Self, InvalidLink> {
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or(InvalidLink)
    }
}

impl<'de> Deserialize<'de> for Link {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Actor, AuditEventId, Timestamp};

    fn chain(length: i64) -> (ChainEnd, Vec<ChainedEvent>) {
        let chain = AuditChainId::from(None);
        let mut link = Link::first(chain);
        let lines: Vec<_> = (1..=length)
            .map(|sequence| {
                let id = AuditEventId::from(Uuid::from_u128(u128::from(sequence.unsigned_abs())));
                let event = AuditEvent::new(id, Timestamp(sequence), &Actor::SYSTEM, "thing.done");
                link = link.next(sequence, &event);
                ChainedEvent { event, sequence: Some(sequence), link: Some(link) }
            })
            .collect();
        (ChainEnd { chain, sequence: length, link, forgotten: 0 }, lines)
    }

    fn signed(lines: &[ChainedEvent], sequence: i64) -> SignedPlace {
        let line = lines.iter().find(|line| line.sequence == Some(sequence)).unwrap();
        SignedPlace { chain: AuditChainId::from(None), sequence, link: line.link.unwrap() }
    }

    fn walk(end: ChainEnd, lines: &[ChainedEvent], signed: &Signed) -> Vec<ChainFault> {
        let mut walk = Walk::begin(end, signed.clone());
        for line in lines {
            walk.step(line);
        }
        walk.finish().1
    }

    #[test]
    fn a_chain_as_it_was_written_is_sound() {
        for length in [0, 1, 5] {
            let (end, lines) = chain(length);
            assert_eq!(walk(end, &lines, &Signed::default()), []);
        }
        let (end, lines) = chain(5);
        let mut checkpoint = Signed::default();
        checkpoint.end(&signed(&lines, 3));
        checkpoint.forget(&signed(&lines, 2));
        assert_eq!(walk(ChainEnd { forgotten: 2, ..end }, &lines[2..], &checkpoint), []);
    }

    #[test]
    fn whatever_member_of_a_line_is_altered_it_is_found() {
        let alterations: [fn(&mut AuditEvent); 11] = [
            |event| event.id = Uuid::max().into(),
            |event| event.at = Timestamp(7),
            |event| event.tenant_id = Some(Uuid::nil().into()),
            |event| event.action.push('x'),
            |event| event.outcome.clear(),
            |event| event.actor = "cli".to_owned(),
            |event| event.target = Some(String::new()),
            |event| event.ip = Some("127.0.0.1".to_owned()),
            |event| event.user_agent = Some("x".to_owned()),
            |event| event.request_id = Some("x".to_owned()),
            |event| event.details = Some("x".to_owned()),
        ];
        for (number, alter) in alterations.iter().enumerate() {
            let (end, mut lines) = chain(3);
            alter(&mut lines[1].event);
            assert_eq!(walk(end, &lines, &Signed::default()), [ChainFault::Altered { sequence: 2 }], "{number}");
        }
        // What moves from one member to its neighbour is another line.
        let (end, mut lines) = chain(3);
        let event = &mut lines[1].event;
        event.action.push_str("suc");
        event.outcome = "cess".to_owned();
        assert_eq!(walk(end, &lines, &Signed::default()), [ChainFault::Altered { sequence: 2 }]);
    }

    #[test]
    fn lines_that_are_gone_moved_or_added_are_found() {
        let (end, mut lines) = chain(5);
        lines.remove(2);
        assert_eq!(walk(end, &lines, &Signed::default()), [ChainFault::Missing { from: 3, to: 3 }]);
        let (end, lines) = chain(5);
        assert_eq!(walk(end, &lines[..3], &Signed::default()), [ChainFault::Missing { from: 4, to: 5 }]);
        assert_eq!(walk(end, &lines[2..], &Signed::default()), [ChainFault::Missing { from: 1, to: 2 }]);
        assert_eq!(walk(end, &[], &Signed::default()), [ChainFault::Missing { from: 1, to: 5 }]);

        let (end, mut lines) = chain(5);
        (lines[1].event, lines[2].event) = (lines[2].event.clone(), lines[1].event.clone());
        let moved = [2, 3].map(|sequence| ChainFault::Altered { sequence });
        assert_eq!(walk(end, &lines, &Signed::default()), moved);
    }

    #[test]
    fn a_chain_that_was_written_anew_is_not_the_one_that_was_signed() {
        let (_, before) = chain(5);
        let mut checkpoint = Signed::default();
        checkpoint.end(&signed(&before, 3));

        let (mut end, mut lines) = chain(5);
        let mut link = Link::first(end.chain);
        lines[0].event.actor = "cli".to_owned();
        for line in &mut lines {
            link = link.next(line.sequence.unwrap(), &line.event);
            line.link = Some(link);
        }
        end.link = link;
        assert_eq!(walk(end, &lines, &Signed::default()), [], "sound in itself");
        assert_eq!(walk(end, &lines, &checkpoint), [ChainFault::Rewritten { sequence: 3 }]);

        let (end, lines) = chain(2);
        assert_eq!(walk(end, &lines, &checkpoint), [ChainFault::CutOff { sequence: 3 }]);
        let (end, lines) = chain(5);
        let forgotten = ChainEnd { forgotten: 2, ..end };
        assert_eq!(walk(forgotten, &lines[2..], &checkpoint), [ChainFault::NotForgotten { sequence: 2 }]);
    }
}
