//! The kernel's way to write sets of processors and nodes: `0-3,8,10-11`.

/// The largest number taken: far beyond what any kernel is built for, and small enough that a
/// broken file cannot fill the memory.
const NUMBER_MAX: u32 = 65_535;

/// The numbers of a list, rising and each once; an empty list is an empty line. `None` if it is
/// not a list.
pub(crate) fn parse(text: &str) -> Option<Vec<u32>> {
    let text = text.trim();
    let mut numbers = Vec::new();
    if text.is_empty() {
        return Some(numbers);
    }
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (number(first)?, number(last)?);
        if first > last {
            return None;
        }
        numbers.extend(first..=last);
        if numbers.len() > NUMBER_MAX as usize + 1 {
            return None; // Longer than a list in which nothing comes twice.
        }
    }
    numbers.sort_unstable();
    numbers.dedup();
    Some(numbers)
}

fn number(text: &str) -> Option<u32> {
    // `parse` alone would take a sign.
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.then(|| text.parse().ok()).flatten();
    number.filter(|&number| number <= NUMBER_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: Option<&[u32]>) {
        assert_eq!(parse(text).as_deref(), want, "{text:?}");
    }

    #[test]
    fn lists() {
        check("", Some(&[]));
        check("\n", Some(&[]));
        check("0\n", Some(&[0]));
        check("0-3\n", Some(&[0, 1, 2, 3]));
        check("0-1,4,6-7\n", Some(&[0, 1, 4, 6, 7]));
        check("6-7,0-1", Some(&[0, 1, 6, 7]));
        check("2,2,1-2", Some(&[1, 2]));
        check("65535", Some(&[65_535]));
    }

    #[test]
    fn what_is_no_list() {
        for text in [
            "a", "1-", "-1", "3-1", "1,,2", "1;2", "+1", "1 2", "0x1", "0-3-5",
        ] {
            check(text, None);
        }
        check("65536", None);
        check("0-4294967295", None);
        check("99999999999999999999", None);
        check(&["0-65535"; 9].join(","), None);
    }
}
