//! Adds up what the test binaries say about themselves.

/// Tests passed and failed, summed over test binaries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
}

impl Tally {
    /// Reads one line of output; only libtest's `test result:` lines count.
    pub(crate) fn read_line(&mut self, line: &str) {
        let Some((_, counts)) = line
            .trim()
            .strip_prefix("test result: ")
            .and_then(|rest| rest.split_once(". "))
        else {
            return;
        };
        for part in counts.split(';') {
            let mut words = part.split_whitespace();
            let (Some(number), Some(what)) = (words.next(), words.next()) else {
                continue;
            };
            let Ok(number) = number.parse::<u64>() else {
                continue;
            };
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                _ => {}
            }
        }
    }

    pub(crate) fn add(&mut self, other: Tally) {
        self.passed += other.passed;
        self.failed += other.failed;
    }

    /// Tests that ran at all; a run of none proves nothing.
    pub(crate) fn run(self) -> u64 {
        self.passed + self.failed
    }
}

/// The line a test run ends with, alone on its line.
impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(lines: &[&str], passed: u64, failed: u64) {
        let mut tally = Tally::default();
        for line in lines {
            tally.read_line(line);
        }
        assert_eq!(tally, Tally { passed, failed });
    }

    const GOOD: &str = "test result: ok. 12 passed; 0 failed; 3 ignored; 0 measured; 7 filtered out; finished in 0.01s";
    const BAD: &str = "test result: FAILED. 4 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.20s";

    #[test]
    fn result_lines_are_summed() {
        check(&[GOOD, "running 6 tests", BAD], 16, 2);
    }

    #[test]
    fn other_lines_do_not_count() {
        check(
            &["9 passed; 9 failed", "test result", "test a ... ok"],
            0,
            0,
        );
        check(&["the test result: ok. 12 passed; 0 failed"], 0, 0);
    }

    #[test]
    fn closing_line_is_plain() {
        let tally = Tally {
            passed: 16,
            failed: 2,
        };
        assert_eq!(tally.to_string(), "16 passed, 2 failed");
    }
}
