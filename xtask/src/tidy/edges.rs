//! Dependencies between our crates: the table in `docs/architecture.md` is exactly what
//! cargo sees, and both keep within [`allowed`](super::allowed).

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use super::Finding;
use super::allowed::{TESTS_SEE, may_see, short_name};
use super::tree::Tree;
use crate::step::cargo;

const DOCUMENT: &str = "docs/architecture.md";
const HEADER: [&str; 5] = ["layer", "crate", "lives here", "never here", "sees"];

/// One package of the workspace, as `cargo metadata` tells it.
#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Debug, Deserialize)]
struct Dependency {
    name: String,
    /// `dev`, `build`, or nothing for a normal one.
    kind: Option<String>,
    /// Set for crates of this workspace: nothing else here is a path dependency.
    path: Option<String>,
}

/// Asks cargo for the workspace's packages; needs no network.
pub(crate) fn read_packages(root: &Path) -> Result<Vec<Package>> {
    #[derive(Deserialize)]
    struct Metadata {
        packages: Vec<Package>,
    }
    let output = cargo(root)
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .output()
        .context("cannot start cargo metadata")?;
    ensure!(
        output.status.success(),
        "cargo metadata failed: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    let metadata: Metadata =
        serde_json::from_slice(&output.stdout).context("cannot read what cargo metadata wrote")?;
    Ok(metadata.packages)
}

type Edges = BTreeMap<String, BTreeSet<String>>;

/// All findings about edges.
pub(crate) fn check(tree: &Tree, packages: &[Package]) -> Vec<Finding> {
    let Some(text) = tree.text(DOCUMENT) else {
        return vec![Finding::of_file(DOCUMENT, "is missing")];
    };
    let mut findings = match read_table(text) {
        Ok(table) => compare(&table, &built_edges(packages)),
        Err(finding) => vec![finding],
    };
    findings.extend(beyond_allowed(packages));
    findings
}

/// The edges that end up in what we ship: normal and build dependencies.
fn built_edges(packages: &[Package]) -> Edges {
    packages
        .iter()
        .map(|package| {
            let sees = package
                .dependencies
                .iter()
                .filter(|dependency| dependency.path.is_some())
                .filter(|dependency| dependency.kind.as_deref() != Some("dev"))
                .map(|dependency| short_name(&dependency.name).to_owned())
                .collect();
            (short_name(&package.name).to_owned(), sees)
        })
        .collect()
}

/// Reads the one table of the document; rows are `| layer | crate | .. | .. | sees |`.
fn read_table(text: &str) -> Result<Edges, Finding> {
    let mut lines = text.lines().enumerate();
    if !lines.any(|(_, line)| cells(line) == HEADER) {
        let header = HEADER.join(" | ");
        return Err(Finding::of_file(
            DOCUMENT,
            format!("has no table headed `| {header} |`"),
        ));
    }
    let mut edges = Edges::new();
    for (index, line) in lines.skip(1).take_while(|(_, line)| line.starts_with('|')) {
        let row = cells(line);
        let [_, name, _, _, sees] = row[..] else {
            return Err(Finding::at(DOCUMENT, index + 1, "a row needs five cells"));
        };
        let name = short_name(name.trim_matches('`')).to_owned();
        let sees = sees
            .split(',')
            .map(|seen| short_name(seen.trim().trim_matches('`')).to_owned())
            .filter(|seen| seen != "-")
            .collect();
        if edges.insert(name.clone(), sees).is_some() {
            return Err(Finding::at(
                DOCUMENT,
                index + 1,
                format!("`{name}` has two rows"),
            ));
        }
    }
    Ok(edges)
}

fn cells(line: &str) -> Vec<&str> {
    let line = line.trim();
    match line
        .strip_prefix('|')
        .and_then(|line| line.strip_suffix('|'))
    {
        Some(inner) => inner.split('|').map(str::trim).collect(),
        None => Vec::new(),
    }
}

/// Differences between the table and what cargo sees, in both directions.
fn compare(table: &Edges, built: &Edges) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut find = |what: String| findings.push(Finding::of_file(DOCUMENT, what));
    for (name, sees) in built {
        let Some(row) = table.get(name) else {
            find(format!("has no row for the crate `{name}`"));
            continue;
        };
        for seen in sees.difference(row) {
            find(format!(
                "does not list the edge `{name}` -> `{seen}`, which the manifest has"
            ));
        }
        for seen in row.difference(sees) {
            find(format!(
                "lists the edge `{name}` -> `{seen}`, which the manifest does not have"
            ));
        }
    }
    for name in table.keys().filter(|name| !built.contains_key(*name)) {
        find(format!(
            "has a row for `{name}`, which is not a crate of the workspace"
        ));
    }
    findings
}

/// Edges that the layering forbids.
///
/// A development dependency never ships, so a crate may also test with the testkit; with
/// any other crate only if it may see that crate anyway, or stands in [`TESTS_SEE`]. The testkit sees none of ours, not
/// even to test itself: an oracle that uses the engine would agree with its mistakes.
fn beyond_allowed(packages: &[Package]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in packages {
        let from = short_name(&package.name);
        if may_see(from, from).is_none() {
            let what = format!("the crate `{from}` is not in xtask's table of allowed edges");
            findings.push(Finding::of_file(DOCUMENT, what));
            continue;
        }
        for dependency in package.dependencies.iter().filter(|d| d.path.is_some()) {
            let to = short_name(&dependency.name);
            let dev = dependency.kind.as_deref() == Some("dev");
            let testing = dev && to == "testkit" && from != "testkit"
                || dev && TESTS_SEE.contains(&(from, to));
            if !testing && may_see(from, to) != Some(true) {
                let kind = if dev { "development " } else { "" };
                let what = format!("the {kind}edge `{from}` -> `{to}` is not allowed");
                findings.push(Finding::of_file(DOCUMENT, what));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
# Architecture

| layer | crate | lives here | never here | sees |
|---|---|---|---|---|
| 0 | `cortica-env` | clock | anything else | - |
| 0 | `cortica-simd` | kernels | threads | - |
| 1 | `cortica-index` | scan | episodes | env, simd |

| other | table |
";

    fn package(name: &str, dependencies: &[(&str, Option<&str>)]) -> Package {
        Package {
            name: format!("cortica-{name}"),
            dependencies: dependencies
                .iter()
                .map(|(name, kind)| Dependency {
                    name: format!("cortica-{name}"),
                    kind: kind.map(str::to_owned),
                    path: Some(format!("crates/{name}")),
                })
                .collect(),
        }
    }

    #[track_caller]
    fn check_findings(table: &str, packages: &[Package], want: &[&str]) {
        let tree = Tree::of(&[(DOCUMENT, table)]);
        let findings = check(&tree, packages);
        let found: Vec<String> = findings.iter().map(Finding::to_string).collect();
        assert_eq!(found.len(), want.len(), "{found:#?}");
        for (found, want) in found.iter().zip(want) {
            assert!(found.contains(want), "{found} does not say {want}");
        }
    }

    fn base() -> [Package; 3] {
        let index = [
            ("env", None),
            ("simd", Some("build")),
            ("testkit", Some("dev")),
        ];
        [
            package("env", &[]),
            package("simd", &[]),
            package("index", &index),
        ]
    }

    #[test]
    fn equal_tables_are_silent() {
        check_findings(TABLE, &base(), &[]);
    }

    #[test]
    fn edge_missing_from_the_document() {
        let table = TABLE.replace("env, simd", "env");
        check_findings(
            &table,
            &base(),
            &["does not list the edge `index` -> `simd`"],
        );
    }

    #[test]
    fn edge_missing_from_the_manifest() {
        let mut packages = base();
        packages[2] = package("index", &[("env", None)]);
        check_findings(TABLE, &packages, &["lists the edge `index` -> `simd`"]);
    }

    #[test]
    fn crates_without_row_and_rows_without_crate() {
        let table = TABLE.replace("cortica-simd", "cortica-graph");
        check_findings(
            &table,
            &base(),
            &["no row for the crate `simd`", "a row for `graph`"],
        );
    }

    #[test]
    fn layering_holds_for_all_kinds() {
        let mut packages = base();
        packages[0] = package("env", &[("simd", Some("dev")), ("testkit", Some("dev"))]);
        check_findings(TABLE, &packages, &["development edge `env` -> `simd`"]);
    }

    #[test]
    fn testkit_sees_none_of_ours() {
        let table = TABLE.replace("cortica-env", "cortica-testkit");
        let packages = [
            package("testkit", &[("simd", Some("dev"))]),
            package("simd", &[]),
            package("index", &[("simd", None)]),
        ];
        let table = table.replace("env, simd", "simd");
        check_findings(&table, &packages, &["development edge `testkit` -> `simd`"]);
    }

    #[test]
    fn broken_documents_are_named() {
        check_findings("# No table", &base(), &["has no table headed"]);
        check_findings(
            &TABLE.replace(" | env, simd |", " |"),
            &base(),
            &["a row needs five cells"],
        );
        check_findings(
            &TABLE.replace("cortica-simd", "cortica-env"),
            &base(),
            &["`env` has two rows"],
        );
    }

    #[test]
    fn this_workspace_can_be_asked() -> Result<()> {
        let packages = read_packages(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))?;
        assert!(packages.iter().any(|package| package.name == "xtask"));
        Ok(())
    }
}
