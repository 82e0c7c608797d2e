//! Tables in texts that people write: made from a report, between marks.

/// What stands before the table, the table, and what stands behind it; the marks stay outside.
pub(crate) fn around<'a>(
    text: &'a str,
    from: &str,
    to: &str,
) -> Option<(&'a str, &'a str, &'a str)> {
    let from = text.find(from)? + from.len();
    let to = from + text[from..].find(to)?;
    Some((&text[..from], &text[from..to], &text[to..]))
}

/// Thousands apart.
pub(crate) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_found_between_their_marks() {
        let text = "a\n<from>\ntable\n<to>\nb";
        let found = around(text, "<from>\n", "<to>\n");
        assert_eq!(found, Some(("a\n<from>\n", "table\n", "<to>\nb")));
        assert_eq!(around("<to>\n<from>\n", "<from>\n", "<to>\n"), None);
    }

    #[test]
    fn thousands_are_apart() {
        for (count, want) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(grouped(count), want);
        }
    }
}
