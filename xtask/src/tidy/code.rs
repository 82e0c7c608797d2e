//! Rust source without its comments, so that a rule about code is not met by prose.

/// The text with every comment left out. Lines keep their numbers and strings their words.
///
/// Only as much of a lexer as this needs: where a comment begins depends on where strings and
/// character literals end.
pub(crate) fn without_comments(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let comment = comment_length(rest);
        let length = comment.unwrap_or_else(|| piece_length(rest));
        let (piece, after) = rest.split_at(length);
        if comment.is_some() {
            code.extend(piece.chars().filter(|&c| c == '\n'));
        } else {
            code.push_str(piece);
        }
        rest = after;
    }
    code
}

/// Bytes of the comment that `text` begins with.
fn comment_length(text: &str) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    let mut at = "/*".len();
    let mut depth = usize::from(text.starts_with("/*"));
    if depth == 0 {
        return None;
    }
    while depth > 0 {
        let rest = &text[at..];
        let (step, mark) = match (rest.find("/*"), rest.find("*/")) {
            (Some(open), Some(close)) if open < close => (open, depth + 1),
            (_, Some(close)) => (close, depth - 1),
            (_, None) => return Some(text.len()),
        };
        at += step + "*/".len();
        depth = mark;
    }
    Some(at)
}

/// Bytes of the literal that `text` begins with, or of its first character.
fn piece_length(text: &str) -> usize {
    let first = text.chars().next().map_or(0, char::len_utf8);
    let literal = match text.as_bytes()[0] {
        b'"' => string_length(text),
        b'r' => raw_string_length(text),
        b'\'' => char_length(text),
        _ => None,
    };
    literal.unwrap_or(first)
}

fn string_length(text: &str) -> Option<usize> {
    let mut escaped = true; // The opening quote does not close.
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

fn raw_string_length(text: &str) -> Option<usize> {
    let inner = text[1..].trim_start_matches('#');
    let hashes = text.len() - 1 - inner.len();
    let inner = inner.strip_prefix('"')?; // Otherwise a name, perhaps a raw one.
    let close = format!("\"{}", "#".repeat(hashes));
    let end = inner.find(&close)?;
    Some(text.len() - inner.len() + end + close.len())
}

/// A lifetime begins with the same quote, and no second one follows its first letter.
fn char_length(text: &str) -> Option<usize> {
    let mut inner = text.char_indices().skip(1);
    let (_, c) = inner.next()?;
    if c == '\\' {
        let (at, escaped) = inner.next()?;
        let from = at + escaped.len_utf8();
        return Some(from + text[from..].find('\'')? + 1);
    }
    inner
        .next()
        .and_then(|(at, end)| (end == '\'').then_some(at + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: &str) {
        assert_eq!(without_comments(text), want);
    }

    #[test]
    fn comments_go_and_lines_stay() {
        check("a // b\nc", "a \nc");
        check("//! a\n/// b\nc", "\n\nc");
        check("a /* b\n /* c */ \n d */ e", "a \n\n e");
        check("a /* never closed", "a ");
    }

    #[test]
    fn strings_are_no_comments() {
        for text in [
            r#"f("http://x", "/*"); g("*/")"#,
            r#""\"//""#,
            "r#\"\"//\"#; r\"\\\"; br\"//\"",
            "r#type",
            "\"never closed //",
        ] {
            let want = if text.starts_with("\"never") {
                "\"never closed "
            } else {
                text
            };
            check(text, want);
        }
    }

    #[test]
    fn quotes_of_characters_open_no_string() {
        check("'\"' // b", "'\"' ");
        check("'\\'' // b", "'\\'' ");
        check("'\\u{41}' // b", "'\\u{41}' ");
        check(
            "fn f<'a>(x: &'a str) {} // it's",
            "fn f<'a>(x: &'a str) {} ",
        );
        check("'ä' // ü", "'ä' ");
    }
}
