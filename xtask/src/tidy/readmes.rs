//! Every crate has a README with an example, and the example is run.
//!
//! A library runs its README as a doctest. A crate that is only a binary has nothing a
//! doctest could call: its README shows the binary in a shell block, and a test of the
//! crate reads the README, so that what it shows cannot go stale unnoticed.

use super::Finding;
use super::code::without_comments;
use super::tree::Tree;

const HOOK: &str = "doc = include_str!(\"../README.md\")";

/// All findings about READMEs.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    tree.crate_folders()
        .filter_map(|folder| check_crate(tree, folder))
        .collect()
}

fn check_crate(tree: &Tree, folder: &str) -> Option<Finding> {
    let path = format!("{folder}/README.md");
    let Some(readme) = tree.text(&path) else {
        return Some(Finding::of_file(&path, "is missing"));
    };
    let what = match tree.text(&format!("{folder}/src/lib.rs")) {
        Some(_) if !blocks(readme).any(|language| language == "rust") => {
            "has no ```rust example that is run"
        }
        Some(root) if !without_comments(root).contains(HOOK) => {
            "is not run: src/lib.rs lacks the doctest hook that includes it"
        }
        None if !blocks(readme).any(|language| matches!(language, "sh" | "console")) => {
            "has no ```sh or ```console example of the binary"
        }
        None if !is_read_by_a_test(tree, folder) => {
            "is read by no test under tests/ (a file with #[test] that includes or reads it)"
        }
        _ => return None,
    };
    Some(Finding::of_file(&path, what))
}

fn is_read_by_a_test(tree: &Tree, folder: &str) -> bool {
    let tests = format!("{folder}/tests/");
    tree.ending_in(".rs").any(|(path, text)| {
        path.strip_prefix(&tests)
            .is_some_and(|below| is_test_of_readme(below, &without_comments(text)))
    })
}

/// Whether `code`, the file `below` the folder of tests, holds a test and the README's text.
fn is_test_of_readme(below: &str, code: &str) -> bool {
    // Included from where the file stands; read from the crate's folder, where tests run.
    let included = format!("\"{}README.md\"", "../".repeat(below.split('/').count()));
    let includes = code.split(';').any(|statement| {
        statement
            .split_once("include_str!(")
            .is_some_and(|(_, from)| from.contains(&included) || from.contains("\"/README.md\""))
    });
    let reads = ["read_to_string(", "fs::read("]
        .iter()
        .any(|call| code.contains(call));
    let named = ["\"README.md\"", "/README.md\""]
        .iter()
        .any(|name| code.contains(name));
    code.contains("#[test]") && (includes || (reads && named))
}

/// What each code block says after its opening fence: `rust`, `rust,no_run`, `sh`, ...
fn blocks(markdown: &str) -> impl Iterator<Item = &str> {
    let mut inside = false;
    markdown.lines().filter_map(move |line| {
        let language = line.trim_start().strip_prefix("```")?;
        inside = !inside;
        inside.then_some(language.trim())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = "# Env\n\n```rust\nassert!(true);\n```\n";
    const HOOKED: &str = "#[doc = include_str!(\"../README.md\")]\nstruct ReadmeDoctests;\n";

    const TEST: &str = "const README: &str = include_str!(\"../README.md\");\n#[test]\nfn a() {}\n";

    #[track_caller]
    fn check_files(files: &[(&str, &str)], want: Option<&str>) {
        let files: Vec<(String, &str)> = files
            .iter()
            .chain(&[("Cargo.toml", "")])
            .map(|(path, text)| (format!("crates/env/{path}"), *text))
            .collect();
        let files: Vec<(&str, &str)> = files.iter().map(|(p, t)| (p.as_str(), *t)).collect();
        let found = check(&Tree::of(&files));
        match want {
            None => assert!(found.is_empty(), "{found:?}"),
            Some(want) => assert!(found[0].to_string().contains(want), "{found:?}"),
        }
    }

    #[test]
    fn libraries_run_their_readme() {
        check_files(&[("src/lib.rs", HOOKED), ("README.md", EXAMPLE)], None);
        check_files(&[("src/lib.rs", HOOKED)], Some("is missing"));
        check_files(
            &[("src/lib.rs", "//! Env."), ("README.md", EXAMPLE)],
            Some("is not run"),
        );
    }

    #[test]
    fn a_hook_in_a_comment_runs_nothing() {
        let commented = HOOKED.replace("#[doc", "// #[doc");
        check_files(
            &[("src/lib.rs", &commented), ("README.md", EXAMPLE)],
            Some("is not run"),
        );
    }

    #[test]
    fn an_example_that_is_not_run_is_none() {
        for broken in ["# Env", "```\nlet rust = 1;\n```", "```rust,ignore\n```"] {
            check_files(
                &[("src/lib.rs", HOOKED), ("README.md", broken)],
                Some("has no ```rust example"),
            );
        }
    }

    #[test]
    fn the_end_of_a_block_opens_none() {
        let markdown = "```sh\nls\n```\n```rust\n```\n";
        assert_eq!(blocks(markdown).collect::<Vec<_>>(), ["sh", "rust"]);
    }

    #[test]
    fn binaries_show_their_command_line() {
        let readme = ("README.md", "```sh\ncortica demo\n```\n");
        let main = ("src/main.rs", "fn main() {}");
        let test = ("tests/readme.rs", TEST);
        check_files(&[main, readme, test], None);
        check_files(&[main, readme], Some("is read by no test"));
        check_files(&[main, test, ("README.md", EXAMPLE)], Some("has no ```sh"));
    }

    #[test]
    fn a_test_includes_the_readme_in_code() {
        #[track_caller]
        fn check_test(below: &str, text: &str, want: bool) {
            let found = is_test_of_readme(below, &without_comments(text));
            assert_eq!(found, want, "{below}: {text}");
        }
        check_test("readme.rs", TEST, true);
        check_test("readme/main.rs", TEST, false);
        check_test("readme/main.rs", &TEST.replace("../", "../../"), true);
        check_test("readme.rs", "// README.md\n#[test]\nfn a() {}", false);
        check_test("readme.rs", &format!("/* {TEST} */"), false);
        check_test("readme.rs", &TEST.replace("const", "// const"), false);
        check_test("readme.rs", &TEST.replace("#[test]", "// #[test]"), false);
        check_test("readme.rs", &TEST.replace("../R", "../data/R"), false);
        let named = "#[test]\nfn a() { println!(\"README.md\"); }";
        check_test("readme.rs", named, false);
        let read = named.replace("println!", "let text = std::fs::read_to_string");
        check_test("readme.rs", &read, true);
    }
}
