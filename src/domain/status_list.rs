//! Where the status of a token stands: an index in a list of bits (draft-ietf-oauth-status-list-21, section 4; ADR 10).

use std::iter;

use diesel::deserialize::FromSqlRow;
use diesel::expression::AsExpression;
use diesel::sql_types::BigInt;

/// The place of a session or an API key among all that ever were. It is given once: a verifier may hold an old list, in
/// which the bit is another's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, AsExpression, FromSqlRow)]
#[diesel(sql_type = BigInt)]
pub struct StatusIndex(pub(crate) i64);

/// A list among the lists, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ListNumber(i64);

/// Where the first list is; each other one is below it.
pub const PATH: &str = "/.well-known/revocations";

/// Places in a list. All lists have this length, so that no token's index lies outside (section 8.3), and a revocation
/// in a million costs the same wherever it is.
const PLACES: i64 = 1 << 20;

impl StatusIndex {
    /// What stands at this place of the list at `uri`, of the server of this base; none where it has no such place.
    #[must_use]
    pub fn read(uri: &str, place: i64, base: &str) -> Option<Self> {
        let list = match uri.strip_prefix(base)?.strip_prefix(PATH)? {
            "" => ListNumber::FIRST,
            rest => ListNumber::parse(rest.strip_prefix('/')?)?,
        };
        let first = list.0.checked_mul(PLACES)?;
        (0..PLACES).contains(&place).then(|| first.checked_add(place).map(Self)).flatten()
    }

    /// The list that it is in.
    #[must_use]
    pub fn list(self) -> ListNumber {
        ListNumber(self.0.div_euclid(PLACES))
    }

    /// The place so many before this one.
    #[must_use]
    pub fn before(self, count: i64) -> Self {
        Self(self.0.saturating_sub(count))
    }

    /// Its place in that list.
    #[must_use]
    pub fn place(self) -> i64 {
        self.0.rem_euclid(PLACES)
    }
}

impl ListNumber {
    /// The list at [`PATH`] itself.
    pub const FIRST: Self = Self(0);

    /// The list that the rest of a path names, in the one spelling that tokens have for it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let number = text.parse().ok().filter(|number| *number > 0)?;
        (i64::to_string(&number) == text).then_some(Self(number))
    }

    /// All lists with places before `next`.
    pub fn before(next: StatusIndex) -> impl Iterator<Item = Self> {
        let last = StatusIndex(next.0.saturating_sub(1)).list();
        iter::successors(Some(Self::FIRST), |list| Some(Self(list.0.saturating_add(1)))).take_while(move |n| *n <= last)
    }

    /// Its URI at the server of this base.
    #[must_use]
    pub fn uri(self, base: &str) -> String {
        if self == Self::FIRST { format!("{base}{PATH}") } else { format!("{base}{PATH}/{}", self.0) }
    }
}

/// The bits of one list: 1 at each of these indexes, the first place in the lowest bit of the first byte.
#[must_use]
pub fn bits(indexes: &[StatusIndex]) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(PLACES / 8).unwrap_or_default()];
    for index in indexes {
        let byte = usize::try_from(index.place() / 8).ok().and_then(|byte| bytes.get_mut(byte));
        if let Some(byte) = byte {
            *byte |= 1 << (index.place() % 8);
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_the_bits_of_the_drafts_example() {
        let set = [0, 3, 4, 5, 7, 8, 9, 13, 15].map(StatusIndex);
        assert_eq!(bits(&set)[..3], [0xb9, 0xa3, 0], "section 4.1");
        assert_eq!(bits(&[StatusIndex(PLACES + 1)])[0], 2, "in its own list");
        assert_eq!(bits(&[StatusIndex(PLACES - 1)]).last(), Some(&0x80));
    }

    #[test]
    fn a_list_has_one_name() {
        let uri = |index: i64| StatusIndex(index).list().uri("https://a.example");
        assert_eq!(uri(PLACES - 1), "https://a.example/.well-known/revocations");
        assert_eq!(uri(PLACES), "https://a.example/.well-known/revocations/1");
        assert_eq!(ListNumber::parse("1"), Some(StatusIndex(PLACES).list()));
        for other in ["0", "01", "+1", "-1", "", "1/", "x", "9223372036854775808"] {
            assert_eq!(ListNumber::parse(other), None, "{other}");
        }
    }

    #[test]
    fn a_place_is_read_as_it_is_written() {
        let read = |uri: &str, place| StatusIndex::read(uri, place, "https://a.example");
        for index in [0, 7, PLACES - 1, PLACES, PLACES * 9 + 1, i64::MAX].map(StatusIndex) {
            assert_eq!(read(&index.list().uri("https://a.example"), index.place()), Some(index));
        }
        let first = "https://a.example/.well-known/revocations";
        assert_eq!([read(first, -1), read(first, PLACES)], [None; 2], "in no list");
        for other in ["https://b.example/.well-known/revocations", "https://a.example", &format!("{first}1")] {
            assert_eq!(read(other, 1), None, "{other}");
        }
        assert_eq!(read(&format!("{first}/{}", i64::MAX), 1), None);
    }

    #[test]
    fn there_are_lists_as_far_as_places_were_given() {
        let count = |next: i64| ListNumber::before(StatusIndex(next)).count();
        assert_eq!([count(1), count(PLACES), count(PLACES + 1)], [1, 1, 2]);
    }
}
