//! Text that looks like what it is, to whoever reads it in a list, in a log or in an answer.

use icu_properties::props::{DefaultIgnorableCodePoint, VariationSelector};
use icu_properties::{CodePointSetData, CodePointSetDataBorrowed};

/// What is not shown, such as joiners and marks of direction, and may be dropped by whoever reads it.
pub(super) const DEFAULT_IGNORABLE: CodePointSetDataBorrowed<'static> =
    CodePointSetData::new::<DefaultIgnorableCodePoint>();

/// Whether text is one line of 1 to `most` characters without spaces at its ends, see [`is_printable`].
pub(super) fn is_line(text: &str, most: usize) -> bool {
    is_printable(text, most) && text.trim() == text
}

/// Whether text is 1 to `most` characters without control characters, line ends, anything that makes it run the other
/// way, and anything that nobody sees: two texts that are not the same are not to look the same.
pub(super) fn is_printable(text: &str, most: usize) -> bool {
    (1..=most).contains(&text.chars().count()) && text.chars().all(is_seen)
}

/// What a stranger sent, as an answer may repeat it: its printable characters, and `most` of them.
pub(crate) fn shown(text: &str, most: usize) -> String {
    text.chars().filter(|c| is_seen(*c)).take(most).collect()
}

/// Seen in itself, or by what it makes of its neighbours: letters are joined in Persian and Hindi, emoji in families.
fn is_seen(c: char) -> bool {
    const SELECTORS: CodePointSetDataBorrowed<'_> = CodePointSetData::new::<VariationSelector>();
    match c {
        '\u{200c}' | '\u{200d}' => true,
        '\u{2028}' | '\u{2029}' => false,
        c => !c.is_control() && (c.is_ascii() || !DEFAULT_IGNORABLE.contains(c) || SELECTORS.contains(c)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_seen_as_what_it_is() {
        let long = "é".repeat(100);
        for good in ["a", "für alle", "日本", "می\u{200c}خواهم", "👩\u{200d}💻", "❤\u{fe0f}", &long] {
            assert!(is_line(good, 100), "{good:?}");
        }
        let controls = ["a\nb", "a\u{7f}", "a\u{85}b", "a\u{2028}b", "a\u{2029}b"];
        let directions = ["a\u{202e}b", "a\u{2066}b\u{2069}", "a\u{200e}", "a\u{200f}", "\u{61c}a"];
        let invisible = ["a\u{200b}b", "a\u{ad}b", "a\u{2060}", "a\u{2064}", "\u{feff}a", "a\u{3164}", "a\u{e0041}"];
        let unseen = [&controls[..], &directions, &invisible].concat();
        for bad in ["", " ", " a", "a ", "a\u{a0}", &format!("{long}x")].into_iter().chain(unseen.iter().copied()) {
            assert!(!is_line(bad, 100), "{bad:?}");
        }
        assert!(is_printable(" a ", 3) && !unseen.into_iter().any(|text| is_printable(text, 100)));
    }

    #[test]
    fn what_an_answer_repeats_is_printable() {
        assert_eq!(shown("a\nb\u{202e}c\u{200b}", 100), "abc");
        assert_eq!(shown("abc", 2), "ab");
    }
}
