//! The workspace's lints: those that hold a house rule are on, and each one off says why.

use toml::{Table, Value};

use super::Finding;
use super::tree::Tree;

const ROOT: &str = "Cargo.toml";

/// Lints that hold a rule which no other check holds, with the tool each belongs to.
const REQUIRED: [(&str, &str); 5] = [
    ("rust", "missing_docs"),
    ("clippy", "unwrap_used"),
    ("clippy", "expect_used"),
    ("clippy", "panic"),
    ("clippy", "undocumented_unsafe_blocks"),
];

/// All findings about lints.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let Some(text) = tree.text(ROOT) else {
        return Vec::new(); // The check of manifests reports it, as it does a broken one.
    };
    let Ok(manifest) = text.parse::<Table>() else {
        return Vec::new();
    };
    let lints = manifest
        .get("workspace")
        .and_then(|workspace| workspace.get("lints")?.as_table());
    let mut findings = Vec::new();
    for (tool, lint) in REQUIRED {
        let level = lints.and_then(|lints| level(lints.get(tool)?.get(lint)?));
        if !matches!(level, Some("warn" | "deny" | "forbid")) {
            let what = format!("the lint `{tool}::{lint}` is not on");
            findings.push(Finding::of_file(ROOT, what));
        }
    }
    for (tool, table) in lints.into_iter().flatten() {
        for (lint, value) in table.as_table().into_iter().flatten() {
            if level(value) == Some("allow") && !has_reason(text, lint) {
                let what = format!("`{tool}::{lint}` is allowed and its line does not say why");
                findings.push(Finding::of_file(ROOT, what));
            }
        }
    }
    findings
}

/// `"warn"`, or `{ level = "warn", .. }`.
fn level(lint: &Value) -> Option<&str> {
    lint.as_str().or_else(|| lint.get("level")?.as_str())
}

/// Whether a line gives the lint its level and then a reason. Lints are named by words and
/// levels too, so the first `#` begins the comment.
fn has_reason(manifest: &str, lint: &str) -> bool {
    manifest.lines().any(|line| {
        let Some((setting, reason)) = line.split_once('#') else {
            return false;
        };
        let key = setting.split('=').next().unwrap_or(setting).trim();
        let name = key.rsplit('.').next().unwrap_or(key).trim_matches('"');
        name == lint && setting.contains("allow") && !reason.trim().is_empty()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "\
[workspace.lints.rust]
missing_docs = \"warn\"

[workspace.lints.clippy]
unwrap_used = \"warn\"
expect_used = \"deny\"
panic = { level = \"forbid\", priority = 1 }
undocumented_unsafe_blocks = \"warn\"
float_cmp = \"allow\" # Scores are compared bit for bit.
";

    #[track_caller]
    fn check_manifest(text: &str, want: &[&str]) {
        let found = check(&Tree::of(&[(ROOT, text)]));
        let found: Vec<String> = found.iter().map(Finding::to_string).collect();
        assert_eq!(found.len(), want.len(), "{found:#?}");
        for (found, want) in found.iter().zip(want) {
            assert!(found.contains(want), "{found} does not say {want}");
        }
    }

    #[test]
    fn required_lints_must_be_there() {
        check_manifest(MANIFEST, &[]);
        for (tool, lint) in REQUIRED {
            let without: Vec<&str> = MANIFEST.lines().filter(|l| !l.starts_with(lint)).collect();
            let want = format!("`{tool}::{lint}` is not on");
            check_manifest(&without.join("\n"), &[&want]);
        }
        assert_eq!(
            check(&Tree::of(&[(ROOT, "[workspace]")])).len(),
            REQUIRED.len()
        );
    }

    #[test]
    fn required_lints_must_be_on() {
        let off = MANIFEST.replace(
            "unwrap_used = \"warn\"",
            "unwrap_used = \"allow\" # Too many.",
        );
        check_manifest(&off, &["`clippy::unwrap_used` is not on"]);
        let off = MANIFEST.replace("level = \"forbid\"", "level = \"allow\"");
        check_manifest(
            &off,
            &["`clippy::panic` is not on", "`clippy::panic` is allowed"],
        );
    }

    #[test]
    fn allowed_lints_say_why() {
        for reason in ["", "#", "# "] {
            let bare = MANIFEST.replace("# Scores are compared bit for bit.", reason);
            check_manifest(&bare, &["`clippy::float_cmp` is allowed"]);
        }
        // A word about another lint, or about the whole table, is no reason.
        let above = MANIFEST.replace(
            "float_cmp = \"allow\" #",
            "# float_cmp is well\nfloat_cmp = \"allow\"\n#",
        );
        check_manifest(&above, &["`clippy::float_cmp` is allowed"]);
        let table = "[workspace.lints.clippy.similar_names] # allow\nlevel = \"allow\" # Why.\n";
        check_manifest(
            &format!("{MANIFEST}{table}"),
            &["`clippy::similar_names` is"],
        );
    }
}
