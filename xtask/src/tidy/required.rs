//! Files that the repository is not whole without.

use toml::{Table, Value};

use super::Finding;
use super::tree::Tree;

const TOOLCHAIN: &str = "rust-toolchain.toml";

/// The compiler everybody builds with: its formatter and its lints differ between releases.
const CHANNEL: &str = "1.95.0";

const FILES: [&str; 7] = [
    "CHANGELOG.md",
    "Cargo.lock", // The product is a program: everybody builds the same one.
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "docs/architecture.md",
    TOOLCHAIN,
];

/// All findings about required files.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for path in FILES {
        match tree.text(path) {
            None => findings.push(Finding::of_file(path, "is missing")),
            Some(text) if text.trim().is_empty() => {
                findings.push(Finding::of_file(path, "is empty"));
            }
            // Cargo makes a new lock file before any check can miss the old one.
            Some(_) if !tree.is_tracked(path) => {
                findings.push(Finding::of_file(path, "is not tracked by git"));
            }
            Some(_) => {}
        }
    }
    findings.extend(tree.text(TOOLCHAIN).and_then(channel));
    findings
}

fn channel(text: &str) -> Option<Finding> {
    let table = text.parse::<Table>().unwrap_or_default();
    let named = table
        .get("toolchain")
        .and_then(|toolchain| toolchain.get("channel"))
        .and_then(Value::as_str);
    (named != Some(CHANNEL))
        .then(|| Finding::of_file(TOOLCHAIN, format!("does not name the channel {CHANNEL}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A whole repository, but for one file that holds `text` instead, or is missing.
    fn check_without(changed: &str, text: Option<&str>) -> Vec<String> {
        let toolchain = format!("[toolchain]\nchannel = \"{CHANNEL}\"\n");
        let files: Vec<(&str, &str)> = FILES
            .into_iter()
            .filter_map(|path| match path {
                _ if path == changed => text.map(|text| (path, text)),
                TOOLCHAIN => Some((path, toolchain.as_str())),
                _ => Some((path, "words")),
            })
            .collect();
        let found = check(&Tree::of(&files));
        found.iter().map(Finding::to_string).collect()
    }

    #[test]
    fn each_file_is_missed() {
        assert_eq!(check_without("none", None), [""; 0]);
        for path in FILES {
            assert_eq!(check_without(path, None), [format!("{path}: is missing")]);
        }
        let found = check_without("CHANGELOG.md", Some("\n"));
        assert_eq!(found, ["CHANGELOG.md: is empty"]);
    }

    #[test]
    fn untracked_files_are_found() {
        let mut tree = Tree::of(&FILES.map(|path| (path, "[toolchain]\nchannel = \"1.95.0\"")));
        tree.untrack("Cargo.lock");
        let found = check(&tree);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].to_string(), "Cargo.lock: is not tracked by git");
    }

    #[test]
    fn other_compilers_are_found() {
        for text in [
            "[toolchain]\nchannel = \"stable\"",
            "[toolchain]\nchannel = \"1.95\"",
            "# channel = \"1.95.0\"",
            "[toolchain",
        ] {
            let found = check_without(TOOLCHAIN, Some(text));
            assert_eq!(found.len(), 1, "{text}");
            assert!(found[0].ends_with("does not name the channel 1.95.0"));
        }
    }
}
