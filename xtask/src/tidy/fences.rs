//! Where unsafe code may stand: a few crates and modules, named here, and nowhere else.

use super::Finding;
use super::tree::Tree;

/// Crates whose business is unsafe code.
const FENCED: [&str; 4] = ["reclaim", "queue", "simd", "arena"];

/// Crates with one module of it: `#![deny(unsafe_code)]` at the root, `allow` in the module.
const MIXED: [(&str, &str); 3] = [("env", "map"), ("index", "node"), ("testkit", "allocator")];

// In pieces, because this file is read by its own check.
const FORBID: &str = "#![forbid(unsafe_code)]";
const DENY: &str = "#![deny(unsafe_code)]";
const ALLOW: &str = concat!("allow(", "unsafe_code");
const KEYWORD: &str = concat!("un", "safe");

/// What comes after the keyword where it is code, and hardly ever in a string.
const FOLLOWERS: [&str; 6] = [" {", " fn ", " impl", " trait ", " extern ", "("];

/// All findings about fences.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.ending_in(".rs") {
        let name = owner(path);
        if FENCED.contains(&name) {
            continue;
        }
        let module = MIXED.iter().find(|row| row.0 == name).map(|row| row.1);
        if is_root(path) && !holds_line(text, FORBID) {
            let denied = module.is_some() && holds_line(text, DENY);
            if !denied {
                findings.push(Finding::of_file(path, format!("lacks `{FORBID}`")));
            }
        }
        if module.is_some_and(|module| lies_in(path, module)) {
            continue;
        }
        // Tests, examples and benchmarks are crates of their own, which the root's attribute
        // does not reach; so the text is read as well.
        for (index, line) in text.lines().enumerate() {
            if holds_unsafe(line) {
                let what = "unsafe code outside the crates and modules fenced for it";
                findings.push(Finding::at(path, index + 1, what));
            }
        }
    }
    findings.extend(lint_is_on(tree));
    findings
}

/// The short name of the crate a file belongs to.
fn owner(path: &str) -> &str {
    let path = path.strip_prefix("crates/").unwrap_or(path);
    path.split('/').next().unwrap_or(path)
}

/// The root of a library or of a binary.
fn is_root(path: &str) -> bool {
    path.ends_with("src/lib.rs") || path.ends_with("src/main.rs") || path.contains("/src/bin/")
}

/// `src/map.rs` or a file below `src/map/`.
fn lies_in(path: &str, module: &str) -> bool {
    path.split_once("/src/").is_some_and(|(_, rest)| {
        rest.strip_prefix(module)
            .is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
    })
}

fn holds_line(text: &str, attribute: &str) -> bool {
    text.lines().any(|line| line.starts_with(attribute))
}

/// A block, function, impl, trait or attribute of unsafe code; comments do not count.
fn holds_unsafe(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or(line);
    let site = |(at, _): (usize, &str)| {
        let part_of_a_name = code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let rest = &code[at + KEYWORD.len()..];
        !part_of_a_name && FOLLOWERS.iter().any(|follower| rest.starts_with(follower))
    };
    code.contains(ALLOW) || code.match_indices(KEYWORD).any(site)
}

/// That every site argues its case is clippy's to check; that clippy does so is ours.
fn lint_is_on(tree: &Tree) -> Option<Finding> {
    let text = tree.text("Cargo.toml")?;
    let table: toml::Table = text.parse().ok()?; // What cargo cannot read is its own to report.
    let level = table
        .get("workspace")
        .and_then(|workspace| workspace.get("lints")?.get("clippy"))
        .and_then(|clippy| clippy.get("undocumented_unsafe_blocks")?.as_str());
    let on = matches!(level, Some("warn" | "deny" | "forbid"));
    (!on).then(|| {
        Finding::of_file(
            "Cargo.toml",
            "the lint `undocumented_unsafe_blocks` is not on",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_file(path: &str, text: &str, want: usize) {
        let found = check(&Tree::of(&[(path, text)]));
        assert_eq!(found.len(), want, "{path}: {found:?}");
    }

    fn block() -> String {
        format!("let x = {KEYWORD} {{ *p }};")
    }

    #[test]
    fn roots_must_forbid() {
        check_file("crates/storage/src/lib.rs", "//! A log.", 1);
        check_file("crates/storage/src/lib.rs", FORBID, 0);
        check_file("crates/cli/src/main.rs", "", 1);
        check_file("benches/src/bin/perf-check.rs", "", 1);
        check_file("crates/storage/src/frame.rs", "", 0);
        check_file("crates/storage/src/lib.rs", DENY, 1);
    }

    #[test]
    fn fenced_crates_may() {
        check_file("crates/simd/src/lib.rs", &block(), 0);
    }

    #[test]
    fn mixed_crates_may_in_their_module() {
        check_file("crates/env/src/lib.rs", DENY, 0);
        check_file("crates/env/src/map.rs", &block(), 0);
        check_file("crates/index/src/node/links.rs", &block(), 0);
        check_file("crates/env/src/mapping.rs", &block(), 1);
        check_file("crates/env/src/disk.rs", &block(), 1);
    }

    #[test]
    fn tests_are_read_too() {
        check_file("crates/memory/tests/kill.rs", &block(), 1);
        check_file("crates/memory/tests/kill.rs", &format!("// {}", block()), 0);
        check_file("crates/memory/tests/kill.rs", &format!("#![{ALLOW})]"), 1);
        check_file("crates/memory/tests/kill.rs", "the word unsafe alone", 0);
        check_file(
            "crates/memory/tests/kill.rs",
            "fn is_unsafe(code: &str) {",
            0,
        );
    }

    #[test]
    fn the_lint_must_be_on() {
        let manifest = "[workspace.lints.clippy]\nundocumented_unsafe_blocks = \"warn\"";
        check_file("Cargo.toml", manifest, 0);
        check_file("Cargo.toml", &manifest.replace("warn", "allow"), 1);
        check_file("Cargo.toml", "[workspace]", 1);
    }
}
