//! The README names the test command which continuous integration runs, letter for letter.

use super::Finding;
use super::tree::Tree;

const README: &str = "README.md";
const CI: &str = ".ci/run";

/// What a test command starts with; the rest of its line belongs to it.
const STARTS: [&str; 2] = ["cargo xtask test", "cargo test"];

/// Ends a command in a shell line or in a line of prose.
const ENDS: [char; 7] = ['|', '&', ';', '>', '<', '`', '#'];

/// All findings about the test command.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let (Some(readme), Some(ci)) = (tree.text(README), tree.text(CI)) else {
        return [README, CI]
            .into_iter()
            .filter(|path| tree.text(path).is_none())
            .map(|path| Finding::of_file(path, "is missing"))
            .collect();
    };
    let mut findings = Vec::new();
    for (path, text, other_path, other) in [(README, readme, CI, ci), (CI, ci, README, readme)] {
        if commands(text).next().is_none() {
            findings.push(Finding::of_file(path, "names no test command"));
        }
        for (line, command) in commands(text) {
            if !commands(other).any(|(_, named)| named == command) {
                let what = format!("names the test command `{command}`, {other_path} does not");
                findings.push(Finding::at(path, line, what));
            }
        }
    }
    findings
}

/// Test commands and the lines (from 1) they stand on. Comments of a script name none.
fn commands(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().enumerate();
    lines
        .filter(|(_, line)| !line.trim_start().starts_with('#'))
        .filter_map(|(index, line)| {
            let start = STARTS.iter().filter_map(|start| line.find(start)).min()?;
            let rest = &line[start..];
            // A redirection of a numbered stream (`2>&1`) leaves its number behind.
            let end = rest.find(ENDS).unwrap_or(rest.len());
            Some((index + 1, rest[..end].trim_end_matches([' ', '1', '2'])))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_texts(readme: &str, ci: &str, want: &[&str]) {
        let found = check(&Tree::of(&[(README, readme), (CI, ci)]));
        let found: Vec<String> = found.iter().map(Finding::to_string).collect();
        assert_eq!(found.len(), want.len(), "{found:#?}");
        for (found, want) in found.iter().zip(want) {
            assert!(found.contains(want), "{found} does not say {want}");
        }
    }

    #[test]
    fn the_same_command_is_silent() {
        check_texts(
            "Run `cargo xtask test`.",
            "cargo xtask test 2>&1 | tee log",
            &[],
        );
        check_texts(
            "```sh\ncargo xtask test # all\n```",
            "cargo xtask test",
            &[],
        );
    }

    #[test]
    fn another_command_is_found_both_ways() {
        check_texts(
            "Run `cargo test --workspace`.",
            "set -e\ncargo xtask test",
            &[
                "README.md:1: names the test command `cargo test",
                ".ci/run:2: ",
            ],
        );
        check_texts(
            "`cargo xtask test`",
            "cargo xtask test --quick",
            &[
                "README.md:1: ",
                "`cargo xtask test --quick`, README.md does not",
            ],
        );
    }

    #[test]
    fn silence_is_found() {
        check_texts(
            "# Cortica",
            "cargo xtask test",
            &["names no test", ".ci/run:1"],
        );
        check_texts(
            "`cargo xtask test`",
            "# cargo xtask test",
            &[".ci/run does not", "names no test"],
        );
    }

    #[test]
    fn missing_files_are_named() {
        assert_eq!(check(&Tree::of(&[])).len(), 2);
    }
}
