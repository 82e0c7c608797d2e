//! Manifests: what all crates share is written once, in the workspace's.

use std::collections::BTreeSet;

use toml::{Table, Value};

use super::Finding;
use super::tree::Tree;

/// Fields that every package takes from `[workspace.package]`.
const INHERITED: [&str; 6] = [
    "version",
    "edition",
    "rust-version",
    "license",
    "authors",
    "publish",
];

const DEPENDENCY_TABLES: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];

const ROOT: &str = "Cargo.toml";

/// All findings about manifests.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut used = BTreeSet::new();
    for (path, text) in tree.ending_in("/Cargo.toml") {
        match text.parse::<Table>() {
            Ok(manifest) => {
                findings.extend(inherits(path, &manifest));
                findings.extend(dependencies_inherit(path, &manifest));
                used.extend(dependency_names(&manifest));
            }
            Err(error) => findings.push(Finding::of_file(path, error.message().to_owned())),
        }
    }
    match tree.text(ROOT).map(str::parse::<Table>) {
        Some(Ok(manifest)) => findings.extend(workspace_dependencies(&manifest, &used)),
        Some(Err(error)) => findings.push(Finding::of_file(ROOT, error.message().to_owned())),
        None => findings.push(Finding::of_file(ROOT, "is missing")),
    }
    findings
}

fn inherits(path: &str, manifest: &Table) -> Vec<Finding> {
    let mut findings = Vec::new();
    for field in INHERITED {
        let value = manifest
            .get("package")
            .and_then(|package| package.get(field));
        if !value.is_some_and(from_workspace) {
            let what = format!("`{field}` is not taken from the workspace");
            findings.push(Finding::of_file(path, what));
        }
    }
    if !manifest.get("lints").is_some_and(from_workspace) {
        findings.push(Finding::of_file(path, "the lints are not the workspace's"));
    }
    findings
}

fn from_workspace(value: &Value) -> bool {
    value.get("workspace").and_then(Value::as_bool) == Some(true)
}

/// Every dependency table of a manifest, those for one target included.
fn dependency_tables(manifest: &Table) -> impl Iterator<Item = &Table> {
    let targets = manifest.get("target").and_then(Value::as_table);
    let of_targets = targets
        .into_iter()
        .flat_map(Table::values)
        .filter_map(Value::as_table);
    std::iter::once(manifest)
        .chain(of_targets)
        .flat_map(|table| {
            DEPENDENCY_TABLES
                .into_iter()
                .filter_map(|name| table.get(name)?.as_table())
        })
}

fn dependency_names(manifest: &Table) -> impl Iterator<Item = String> {
    dependency_tables(manifest).flat_map(Table::keys).cloned()
}

fn dependencies_inherit(path: &str, manifest: &Table) -> Vec<Finding> {
    dependency_tables(manifest)
        .flatten()
        .filter(|(_, value)| !from_workspace(value))
        .map(|(name, _)| {
            let what = format!("the dependency `{name}` is not `workspace = true`");
            Finding::of_file(path, what)
        })
        .collect()
}

fn workspace_dependencies(manifest: &Table, used: &BTreeSet<String>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let dependencies = manifest
        .get("workspace")
        .and_then(|workspace| workspace.get("dependencies")?.as_table());
    for (name, value) in dependencies.into_iter().flatten() {
        if !used.contains(name) {
            let what = format!("the workspace dependency `{name}` is used by no crate");
            findings.push(Finding::of_file(ROOT, what));
        }
        if value.get("path").is_some() {
            continue; // Ours: it has the workspace's version.
        }
        let version = value.as_str().or_else(|| value.get("version")?.as_str());
        if !version.is_some_and(is_full_version) {
            let what = format!("the version of `{name}` is not a full x.y.z");
            findings.push(Finding::of_file(ROOT, what));
        }
    }
    findings
}

fn is_full_version(version: &str) -> bool {
    let version = version.strip_prefix('=').unwrap_or(version);
    // A pre-release or build suffix may follow the third number.
    let core = version.split(['-', '+']).next().unwrap_or(version);
    let parts: Vec<&str> = core.split('.').collect();
    parts.len() == 3 && parts.iter().all(|part| part.parse::<u64>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT_TEXT: &str = "[workspace.dependencies]\nserde = \"1.0.2\"\n";

    const MEMBER: &str = "\
[package]
name = \"cortica-env\"
version.workspace = true
edition.workspace = true
rust-version.workspace = true
license.workspace = true
authors.workspace = true
publish.workspace = true

[lints]
workspace = true

[dependencies]
serde.workspace = true
";

    #[track_caller]
    fn check_findings(root: &str, member: &str, want: &[&str]) {
        let tree = Tree::of(&[(ROOT, root), ("crates/env/Cargo.toml", member)]);
        let found: Vec<String> = check(&tree).iter().map(Finding::to_string).collect();
        assert_eq!(found.len(), want.len(), "{found:#?}");
        for (found, want) in found.iter().zip(want) {
            assert!(found.contains(want), "{found} does not say {want}");
        }
    }

    #[test]
    fn inheriting_manifests_are_silent() {
        check_findings(ROOT_TEXT, MEMBER, &[]);
    }

    #[test]
    fn each_field_must_be_inherited() {
        for field in INHERITED {
            let member = MEMBER.replace(&format!("\n{field}.workspace = true\n"), "\n");
            check_findings(ROOT_TEXT, &member, &[&format!("`{field}` is not")]);
        }
        let member = MEMBER.replace("edition.workspace = true", "edition = \"2021\"");
        check_findings(ROOT_TEXT, &member, &["`edition` is not"]);
    }

    #[test]
    fn lints_must_be_the_workspaces() {
        let member = MEMBER.replace("[lints]\nworkspace = true\n", "");
        check_findings(ROOT_TEXT, &member, &["lints are not"]);
    }

    #[test]
    fn dependencies_must_be_inherited() {
        let member = MEMBER.replace("serde.workspace = true", "serde = \"1.0.2\"");
        check_findings(ROOT_TEXT, &member, &["the dependency `serde` is not"]);
        let member = format!("{MEMBER}[target.'cfg(unix)'.dev-dependencies]\nlibc = \"0.2.1\"\n");
        check_findings(ROOT_TEXT, &member, &["the dependency `libc` is not"]);
    }

    #[test]
    fn unused_dependencies_are_found() {
        let root = format!("{ROOT_TEXT}toml = {{ version = \"1.2.1\" }}\n");
        check_findings(&root, MEMBER, &["`toml` is used by no crate"]);
    }

    #[test]
    fn versions_are_full() {
        for (version, full) in [
            ("1.2.3", true),
            ("=1.2.3", true),
            ("1.2.3-beta.1", true),
            ("1.2", false),
            ("^1.2.3", false),
            ("*", false),
        ] {
            assert_eq!(is_full_version(version), full, "{version}");
        }
        let root = ROOT_TEXT.replace("1.0.2", "1");
        check_findings(&root, MEMBER, &["the version of `serde`"]);
    }

    #[test]
    fn broken_manifests_are_named() {
        let root = format!("{ROOT_TEXT}broken");
        check_findings(&root, MEMBER, &["Cargo.toml: "]);
    }
}
