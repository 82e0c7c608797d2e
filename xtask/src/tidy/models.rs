//! What `docs/concurrency.md` says is about the models and the code that there are.

use std::collections::BTreeSet;

use super::Finding;
use super::code::without_comments;
use super::tree::Tree;

const PAGE: &str = "docs/concurrency.md";

/// Crates in which `src/sync.rs` alone names what loom would have to replace.
const DOORS: [&str; 3] = ["arena", "queue", "reclaim"];

/// What only a door names. In pieces, because this file is read by its own check.
const BEHIND_DOORS: [&str; 2] = [concat!("std::", "sync"), concat!("loom", "::")];

/// All findings about models, their page and the doors to loom.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let page = tree.text(PAGE).unwrap_or_default();
    let mut findings = Vec::new();
    for (path, text) in tree.ending_in(".rs") {
        let Some((name, file)) = test_of_crate(path) else {
            continue;
        };
        if !file.starts_with("loom") {
            continue;
        }
        let about = section(page, name);
        let named: BTreeSet<&str> = quoted(about).map(|(_, name)| name).collect();
        for (line, model) in tests(text) {
            if !named.contains(model) {
                let what = format!("{PAGE} does not name the model `{model}` under cortica-{name}");
                findings.push(Finding::at(path, line, what));
            }
        }
    }
    findings.extend(names_of_nothing(tree, page));
    findings.extend(beside_doors(tree));
    findings
}

/// The page's names with underscores, of functions and of models, which no crate has.
fn names_of_nothing(tree: &Tree, page: &str) -> Vec<Finding> {
    let sources = tree.ending_in(".rs");
    let words: BTreeSet<&str> = sources
        .filter(|(path, _)| path.starts_with("crates/"))
        .flat_map(|(_, text)| text.split(|c: char| !is_of_word(c)))
        .collect();
    quoted(page)
        .filter(|(_, name)| name.contains('_') && !name.starts_with('_') && !words.contains(name))
        .map(|(line, name)| Finding::at(PAGE, line, format!("no crate has a `{name}`")))
        .collect()
}

/// Lines of a crate with a door that go past it; tests may.
fn beside_doors(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.ending_in(".rs") {
        let Some((name, file)) = path
            .strip_prefix("crates/")
            .and_then(|rest| rest.split_once("/src/"))
        else {
            continue;
        };
        if !DOORS.contains(&name) || file == "sync.rs" {
            continue;
        }
        let code = without_comments(text);
        let shipped = code
            .lines()
            .take_while(|line| !line.starts_with("#[cfg(test)]"));
        for (index, line) in shipped.enumerate() {
            if BEHIND_DOORS.iter().any(|path| line.contains(path)) {
                let what = format!("only crates/{name}/src/sync.rs may name this");
                findings.push(Finding::at(path, index + 1, what));
            }
        }
    }
    findings
}

/// The crate's folder and the file's name, of `crates/NAME/tests/FILE`.
fn test_of_crate(path: &str) -> Option<(&str, &str)> {
    path.strip_prefix("crates/")?.split_once("/tests/")
}

/// What the page says about a crate, from its heading to the next of that rank.
fn section<'p>(page: &'p str, name: &str) -> &'p str {
    let heading = format!("\n## cortica-{name}\n");
    let Some(start) = page.find(&heading) else {
        return "";
    };
    let rest = &page[start + heading.len()..];
    &rest[..rest.find("\n## ").unwrap_or(rest.len())]
}

/// Words that stand alone between backticks, each with its line (from 1).
fn quoted(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().flat_map(|(index, line)| {
        let pieces = line.split('`').skip(1).step_by(2);
        let words = pieces.filter(|piece| !piece.is_empty() && piece.chars().all(is_of_word));
        words.map(move |word| (index + 1, word))
    })
}

fn is_of_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Functions marked as tests, each with its line (from 1).
fn tests(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut is_test = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        is_test |= line == "#[test]";
        let name = line.strip_prefix("fn ")?.split('(').next()?;
        std::mem::take(&mut is_test).then_some((index + 1, name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODELS: &str = "crates/queue/tests/loom.rs";
    const MODEL: &str = "fn helper() {}\n\n#[test]\nfn push_pop() {}\n";

    #[track_caller]
    fn check_files(files: &[(&str, &str)], want: &[&str]) {
        let found: Vec<String> = check(&Tree::of(files))
            .iter()
            .map(Finding::to_string)
            .collect();
        assert_eq!(found.len(), want.len(), "{found:#?}");
        for (found, want) in found.iter().zip(want) {
            assert!(found.contains(want), "{found} does not say {want}");
        }
    }

    #[test]
    fn every_model_is_named_where_its_crate_is() {
        let page = "# A\n\n## cortica-queue\n\nHas `push_pop`.\n\n## cortica-arena\n";
        check_files(&[(MODELS, MODEL), (PAGE, page)], &[]);
        let elsewhere = "# A\n\n## cortica-queue\n\n## cortica-arena\n\nHas `push_pop`.\n";
        let want = ["loom.rs:4: docs/concurrency.md does not name the model `push_pop`"];
        check_files(&[(MODELS, MODEL), (PAGE, elsewhere)], &want);
        check_files(&[(MODELS, MODEL)], &want);
    }

    #[test]
    fn what_is_named_is_there() {
        let page =
            "# A\n\n## cortica-queue\n\n`push_pop`, `Queue::gone_by`, `_after`\nand `pop_push`.\n";
        let want = ["concurrency.md:6: no crate has a `pop_push`"];
        check_files(&[(MODELS, MODEL), (PAGE, page)], &want);
    }

    #[test]
    fn nobody_goes_past_a_door() {
        let sync = "crates/queue/src/sync.rs";
        let other = "crates/queue/src/other.rs";
        let name = BEHIND_DOORS[0];
        let used = format!(
            "// {name}\nuse {name}::Arc;\n#[cfg(test)]\nmod tests {{\n use {name}::Arc;\n}}\n"
        );
        check_files(&[(sync, &used)], &[]);
        let want = ["other.rs:2: only crates/queue/src/sync.rs"];
        check_files(&[(sync, &used), (other, &used)], &want);
        check_files(&[("crates/engine/src/other.rs", &used)], &[]);
    }
}
