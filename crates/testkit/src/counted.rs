//! How large a reliability test is, and what it counted.

use std::fmt::Write as _;

/// How many times a test does what it does: `usual`, or what the variable `CORTICA_SIZE_<name>`
/// says, for a longer run.
///
/// # Panics
///
/// When the variable is no whole number: a long run that was silently a short one proves nothing.
#[must_use]
#[allow(clippy::panic, reason = "a panic is how a test reports")]
pub fn size(name: &str, usual: u64) -> u64 {
    let variable = format!("CORTICA_SIZE_{name}");
    match std::env::var(&variable) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{variable} is {text:?}, which is no whole number")),
        Err(_) => usual,
    }
}

/// Prints what a test counted on a line of its own, which a run with `--nocapture` can collect:
/// `counted: {"name":"A1","seed":7,"counts":{"kills":200,"lost":0}}`.
pub fn report(name: &str, seed: u64, counts: &[(&str, u64)]) {
    println!("{}", line(name, seed, counts));
}

fn line(name: &str, seed: u64, counts: &[(&str, u64)]) -> String {
    let mut line = format!("counted: {{\"name\":\"{name}\",\"seed\":{seed},\"counts\":{{");
    for (at, (what, count)) in counts.iter().enumerate() {
        let comma = if at == 0 { "" } else { "," };
        let _ = write!(line, "{comma}\"{what}\":{count}"); // Into a string: cannot fail.
    }
    line.push_str("}}");
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_one_line_of_json() {
        let got = line("A1", 7, &[("kills", 200), ("lost", 0)]);
        let want = r#"counted: {"name":"A1","seed":7,"counts":{"kills":200,"lost":0}}"#;
        assert_eq!(got, want);
        assert_eq!(
            line("B", 0, &[]),
            r#"counted: {"name":"B","seed":0,"counts":{}}"#
        );
    }

    #[test]
    fn without_a_variable_a_test_has_its_usual_size() {
        assert_eq!(size("NOBODY_SETS_THIS", 200), 200);
    }
}
