//! Text that looks like what it is, to whoever reads it in a list, in a log or in an answer.

/// Whether text is one line of 1 to `most` characters without spaces at its ends, see [`is_printable`].
pub(super) fn is_line(text: &str, most: usize) -> bool {
    (1..=most).contains(&text.chars().count()) && text.trim() == text && is_printable(text)
}

/// Whether text has no control characters, no line ends, and nothing that makes it run the other way.
pub(super) fn is_printable(text: &str) -> bool {
    !text.chars().any(|c| c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_seen_as_what_it_is() {
        let long = "é".repeat(100);
        for good in ["a", "für alle", "日本", &long] {
            assert!(is_line(good, 100), "{good:?}");
        }
        let unseen = ["a\nb", "a\u{7f}", "a\u{85}b", "a\u{2028}b", "a\u{2029}b", "a\u{202e}b", "a\u{2066}b\u{2069}"];
        for bad in ["", " ", " a", "a ", "a\u{a0}", &format!("{long}x")].into_iter().chain(unseen) {
            assert!(!is_line(bad, 100), "{bad:?}");
        }
        assert!(is_printable(" a ") && !unseen.into_iter().any(is_printable));
    }
}
