//! The repository as the checks see it: paths, and the text of those files that are text.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Files of the repository, their paths relative to its root with `/` between the parts.
#[derive(Default)]
pub(crate) struct Tree {
    texts: BTreeMap<String, String>,
    /// Everything that exists, folders included; links may point to any of it.
    paths: BTreeSet<String>,
    /// Files that exist and that git was not told of yet.
    untracked: BTreeSet<String>,
}

impl Tree {
    /// Reads what git tracks or would track at the next `git add`; ignored files are not ours.
    pub(crate) fn read(root: &Path) -> Result<Tree> {
        let listed = Command::new("git")
            .current_dir(root)
            .args(["ls-files", "-t", "-z", "--cached", "--others"])
            .arg("--exclude-standard")
            .output()
            .context("cannot start git to list the repository's files")?;
        ensure!(
            listed.status.success(),
            "git cannot list the repository's files: {}",
            String::from_utf8_lossy(&listed.stderr).trim()
        );
        let names = String::from_utf8(listed.stdout).context("a file name is not UTF-8")?;
        let mut tree = Tree::default();
        // Each name follows a letter for its state (`?`: untracked) and a space.
        for (state, name) in names.split('\0').filter_map(|entry| entry.split_once(' ')) {
            let path = root.join(name);
            if !path.is_file() {
                continue; // Deleted, but not yet in the index.
            }
            let bytes = std::fs::read(&path).with_context(|| format!("cannot read {name}"))?;
            tree.insert(name, String::from_utf8(bytes).ok());
            if state == "?" {
                tree.untracked.insert(name.to_owned());
            }
        }
        Ok(tree)
    }

    /// A repository made up for a test.
    #[cfg(test)]
    pub(crate) fn of(files: &[(&str, &str)]) -> Tree {
        let mut tree = Tree::default();
        for (path, text) in files {
            tree.insert(path, Some((*text).to_owned()));
        }
        tree
    }

    /// Makes git forget a file of a made-up repository.
    #[cfg(test)]
    pub(crate) fn untrack(&mut self, path: &str) {
        self.untracked.insert(path.to_owned());
    }

    fn insert(&mut self, path: &str, text: Option<String>) {
        for (end, _) in path.match_indices('/') {
            self.paths.insert(path[..end].to_owned());
        }
        self.paths.insert(path.to_owned());
        if let Some(text) = text {
            self.texts.insert(path.to_owned(), text);
        }
    }

    /// The text of one file, if it exists and is text.
    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.texts.get(path).map(String::as_str)
    }

    /// All text files whose name ends in `ending`, in the order of their paths.
    pub(crate) fn ending_in(&self, ending: &str) -> impl Iterator<Item = (&str, &str)> {
        self.texts
            .iter()
            .filter(move |(path, _)| path.ends_with(ending))
            .map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// Whether `path` is a file or a folder of the repository.
    pub(crate) fn exists(&self, path: &str) -> bool {
        path.is_empty() || self.paths.contains(path)
    }

    /// Whether git was told of the file.
    pub(crate) fn is_tracked(&self, path: &str) -> bool {
        self.texts.contains_key(path) && !self.untracked.contains(path)
    }

    /// The folders under `crates/` which hold a manifest.
    pub(crate) fn crate_folders(&self) -> impl Iterator<Item = &str> {
        self.texts
            .keys()
            .filter_map(|path| path.strip_suffix("/Cargo.toml"))
            .filter(|folder| folder.starts_with("crates/"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_exist_as_well_as_files() {
        let tree = Tree::of(&[("crates/env/src/lib.rs", ""), ("README.md", "")]);
        for path in ["crates", "crates/env/src", "README.md", ""] {
            assert!(tree.exists(path), "{path}");
        }
        assert!(!tree.exists("crates/env/lib.rs"));
    }

    #[test]
    fn crates_are_the_folders_with_a_manifest() {
        let tree = Tree::of(&[
            ("Cargo.toml", ""),
            ("crates/env/Cargo.toml", ""),
            ("crates/notes/README.md", ""),
            ("xtask/Cargo.toml", ""),
        ]);
        assert_eq!(tree.crate_folders().collect::<Vec<_>>(), ["crates/env"]);
    }

    #[test]
    fn this_repository_can_be_read() -> Result<()> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let tree = Tree::read(&root)?;
        assert!(tree.text("xtask/src/tidy/tree.rs").is_some());
        assert!(tree.is_tracked("Cargo.toml"));
        assert!(!tree.is_tracked("no such file"));
        assert!(
            tree.ending_in(".toml")
                .any(|(path, _)| path == "Cargo.toml")
        );
        Ok(())
    }
}
