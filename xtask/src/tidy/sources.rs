//! Sizes and words: what no source file or document of ours may hold.

use super::Finding;
use super::tree::Tree;

/// A longer file holds more than one thing.
const LINES_MAX: usize = 700;

/// What is read as ours. Bundled data is somebody else's words.
const ENDINGS: [&str; 8] = [
    ".rs", ".md", ".toml", ".sh", ".py", ".yml", ".yaml", ".ci/run",
];

/// Paths of one machine, which mean nothing on another. In pieces, because this file is
/// read by its own check.
const MACHINE_PATHS: [&str; 3] = [
    concat!("..", "/shared"),
    concat!("/wo", "rk/"),
    concat!("/t", "mp/"),
];

/// Work left undone belongs in the tracker, not in a release.
const UNDONE: [&str; 4] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("unimpl", "emented!"),
    concat!("to", "do!"),
];

/// All findings about sizes and words.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for ending in ENDINGS {
        for (path, text) in tree.ending_in(ending) {
            if is_written(path) {
                findings.extend(too_long(path, text));
            }
            findings.extend(words(path, text));
        }
    }
    findings
}

/// Whether we choose the length: not that of a licence, nor of what describes data.
fn is_written(path: &str) -> bool {
    let mut parts = path.rsplit('/');
    let name = parts.next().unwrap_or(path).to_ascii_uppercase();
    !name.starts_with("LICEN") && parts.all(|folder| folder != "data")
}

fn too_long(path: &str, text: &str) -> Option<Finding> {
    let lines = text.lines().count();
    (lines > LINES_MAX).then(|| {
        let what = format!("has {lines} lines; {LINES_MAX} is the most, split it by its nouns");
        Finding::of_file(path, what)
    })
}

fn words(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for word in MACHINE_PATHS {
            if line.contains(word) {
                let what = format!("names a path of one machine: `{word}`");
                findings.push(Finding::at(path, index + 1, what));
            }
        }
        for word in UNDONE {
            if holds_word(line, word) {
                let what = format!("leaves work undone: `{word}`");
                findings.push(Finding::at(path, index + 1, what));
            }
        }
    }
    findings
}

/// Whether `word` stands in `line` and is not the tail or head of a longer word.
fn holds_word(line: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        !before.is_some_and(part) && (word.ends_with('!') || !after.is_some_and(part))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_words(line: &str, want: usize) {
        let tree = Tree::of(&[("docs/notes.md", line)]);
        assert_eq!(check(&tree).len(), want, "{line}");
    }

    #[test]
    fn long_files_are_found() {
        let text = "\n".repeat(LINES_MAX + 1);
        for path in ENDINGS.map(|ending| format!("docs/a{ending}")) {
            let found = check(&Tree::of(&[(&path, &text)]));
            assert_eq!(found.len(), 1, "{path}");
            let want = format!("{path}: has 701 lines");
            assert!(found[0].to_string().starts_with(&want), "{found:?}");
        }
        assert!(too_long("a.rs", &"\n".repeat(LINES_MAX)).is_none());
    }

    #[test]
    fn lengths_that_others_chose_are_theirs() {
        let text = "\n".repeat(LINES_MAX + 1);
        for path in [
            "Cargo.lock",
            "LICENSE-APACHE",
            "docs/licence.md",
            "crates/cli/data/README.md",
            "crates/cli/data/items.tsv",
        ] {
            assert!(check(&Tree::of(&[(path, &text)])).is_empty(), "{path}");
        }
        assert_eq!(check(&Tree::of(&[("docs/data.md", &text)])).len(), 1);
    }

    #[test]
    fn machine_paths_are_found() {
        for word in MACHINE_PATHS {
            check_words(&format!("see {word}x"), 1);
        }
        check_words("the work/ folder and a shared one", 0);
    }

    #[test]
    fn undone_work_is_found() {
        for word in UNDONE {
            check_words(&format!("// {word}"), 1);
        }
        check_words(concat!("TO", "DOS and the ma", "stodo!"), 0);
    }

    #[test]
    fn findings_name_the_line() {
        let text = format!("fine\n{}: later", UNDONE[0]);
        let found = words("src/lib.rs", &text);
        assert!(found[0].to_string().starts_with("src/lib.rs:2: "));
    }

    #[test]
    fn data_is_not_read() {
        let tree = Tree::of(&[("crates/cli/data/items.tsv", UNDONE[0])]);
        assert!(check(&tree).is_empty());
    }
}
