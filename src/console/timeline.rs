//! The lives of signing keys as lines on one scale, for an SVG that is as wide as its place.

use crate::domain::Timestamp;
use crate::domain::rotation::KeyOutlook;
use crate::domain::signing_key::KeyState;

/// The width of the drawing, in units of its own.
pub const WIDTH: i64 = 1000;

/// A time scale.
pub struct Scale {
    /// Where it begins.
    pub from: Timestamp,
    /// Where it ends.
    pub to: Timestamp,
}

/// A part of a line: a state of the key.
#[derive(Debug, PartialEq, Eq)]
pub struct Segment {
    /// The state, which is a class of the style sheet too.
    pub state: &'static str,
    /// Where it begins.
    pub x: i64,
    /// How long it is: something can be seen of the shortest.
    pub width: i64,
}

impl Scale {
    /// From the first moment of these keys to the last one that is known, and a little more on both sides.
    pub fn of(keys: &[KeyOutlook], now: Timestamp) -> Self {
        let moments = || keys.iter().flat_map(moments).chain([now]);
        let (from, to) = (moments().min().unwrap_or(now), moments().max().unwrap_or(now));
        let margin = (to.since(from) / 20).max(chrono::TimeDelta::minutes(10));
        Self { from: from.plus(-margin), to: to.plus(margin) }
    }

    /// Where a moment is.
    pub fn x(&self, at: Timestamp) -> i64 {
        let span = self.to.since(self.from).num_seconds().max(1);
        (at.since(self.from).num_seconds().saturating_mul(WIDTH) / span).clamp(0, WIDTH)
    }

    /// The line of a key. When it stopped signing is when the next one of its algorithm began.
    pub fn line(&self, outlook: &KeyOutlook, all: &[KeyOutlook]) -> Vec<Segment> {
        let KeyOutlook { key, next_state, next_at } = outlook;
        let ends = key.retired_at.or(key.retires_at);
        let successors = all.iter().filter(|other| other.key.algorithm == key.algorithm);
        let signed_on = |activated| {
            let later = successors.filter_map(|other| other.key.activated_at).filter(|at| *at > activated);
            later.min()
        };
        let stopped = match (key.activated_at, key.state) {
            (Some(_), KeyState::Active) => next_at.filter(|_| *next_state == Some(KeyState::Retiring)),
            (Some(activated), _) => signed_on(activated).or(ends),
            (None, _) => None,
        };
        let begins = key.activated_at.or(key.signs_at).or(ends);
        let mut line = Vec::new();
        let mut part = |state, from: Option<Timestamp>, to: Option<Timestamp>| {
            if let Some(from) = from {
                let (x, end) = (self.x(from), self.x(to.unwrap_or(self.to)));
                line.push(Segment { state, x, width: (end - x).max(4) });
            }
        };
        part("pending", key.published_at, begins);
        part("active", key.activated_at, stopped);
        if !matches!(key.state, KeyState::Compromised) {
            part("retiring", stopped.filter(|_| ends.is_some()), ends);
        }
        line
    }
}

fn moments(outlook: &KeyOutlook) -> impl Iterator<Item = Timestamp> + use<> {
    let key = &outlook.key;
    let known = [key.published_at, key.signs_at, key.activated_at, key.retires_at, key.retired_at, outlook.next_at];
    known.into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Algorithm;
    use crate::domain::signing_key::SigningKeyInfo;

    const HOUR: i64 = 3_600_000_000;

    fn key(kid: &str, state: KeyState, times: [Option<i64>; 4]) -> KeyOutlook {
        let [published_at, activated_at, retires_at, gone_at] = times.map(|hour| hour.map(|h| Timestamp(h * HOUR)));
        KeyOutlook {
            key: SigningKeyInfo {
                kid: kid.to_owned(),
                algorithm: Algorithm::Es256,
                state,
                created_at: Timestamp(0),
                published_at,
                signs_at: None,
                activated_at,
                retires_at,
                retired_at: gone_at,
                cache_seconds: 0,
                token_seconds: 0,
            },
            next_state: None,
            next_at: None,
        }
    }

    #[test]
    fn a_life_goes_from_left_to_right_on_one_scale() {
        let scale = Scale { from: Timestamp(0), to: Timestamp(100 * HOUR) };
        let old = key("old", KeyState::Retiring, [Some(0), Some(10), Some(60), None]);
        let new = key("new", KeyState::Active, [Some(30), Some(50), None, None]);
        let all = [old, new];
        let [old, new] = [0, 1].map(|number: usize| scale.line(&all[number], &all));
        let part = |state, x, width| Segment { state, x, width };
        assert_eq!(old, [part("pending", 0, 100), part("active", 100, 400), part("retiring", 500, 100)]);
        assert_eq!(new, [part("pending", 300, 200), part("active", 500, 500)]);
    }

    #[test]
    fn every_line_lies_within_the_drawing() {
        let keys = [key("only", KeyState::Active, [Some(5), Some(5), None, None])];
        let scale = Scale::of(&keys, Timestamp(6 * HOUR));
        for Segment { x, width, .. } in scale.line(&keys[0], &keys) {
            assert!(x >= 0 && x + width <= WIDTH + 4, "{x} {width}");
        }
        assert_eq!((scale.x(scale.from), scale.x(scale.to)), (0, WIDTH));
    }
}
