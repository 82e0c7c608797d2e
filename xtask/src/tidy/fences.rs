//! Where unsafe code may stand: a few crates and modules, named here, and nowhere else.

use std::collections::BTreeSet;

use super::Finding;
use super::code::without_comments;
use super::tree::Tree;

/// Crates whose business is unsafe code.
const FENCED: [&str; 4] = ["reclaim", "queue", "simd", "arena"];

/// Crates with one module of it: `#![deny(unsafe_code)]` at the root, `allow` in the module.
const MIXED: [(&str, &str); 6] = [
    ("env", "map"),
    ("index", "node"),
    ("testkit", "allocator"),
    ("benches", "subjects/gemm"),         // A peer that takes pointers.
    ("benches", "subjects/lmdb_peer"),    // A peer whose map nobody else may change.
    ("benches", "subjects/reclaim_peer"), // A peer whose ways to look and to free are unsafe.
];

// In pieces, because this file is read by its own check.
const FORBID: &str = "#![forbid(unsafe_code)]";
const DENY: &str = "#![deny(unsafe_code)]";
const ALLOW: &str = concat!("allow(", "unsafe_code");
const KEYWORD: &str = concat!("un", "safe");

/// What comes after the keyword where it is code, and hardly ever in a string.
const FOLLOWERS: [&str; 7] = [" {", "{", " fn ", " impl", " trait ", " extern ", "("];

/// All findings about fences.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let sources: Vec<(&str, String)> = tree
        .ending_in(".rs")
        .map(|(path, text)| (path, without_comments(text)))
        .collect();
    // What a root's attribute reaches; tests, examples and benchmarks are crates of their own.
    let holders: BTreeSet<&str> = sources
        .iter()
        .filter(|(path, code)| path.contains("/src/") && code.lines().any(holds_site))
        .map(|(path, _)| owner(path))
        .collect();
    let mut findings = Vec::new();
    for (path, code) in &sources {
        let name = owner(path);
        if is_root(path) {
            findings.extend(attribute(path, code, holders.contains(name)));
        }
        let mut mixed = MIXED.iter().filter(|row| row.0 == name);
        if FENCED.contains(&name) || mixed.any(|row| lies_in(path, row.1)) {
            continue;
        }
        for (index, line) in code.lines().enumerate() {
            if line.contains(ALLOW) || holds_site(line) {
                let what = "unsafe code outside the crates and modules fenced for it";
                findings.push(Finding::at(path, index + 1, what));
            }
        }
    }
    findings
}

/// A root forbids; it may do less only for what is there, not for what its crate may hold
/// one day.
fn attribute(path: &str, code: &str, holds_sites: bool) -> Option<Finding> {
    let name = owner(path);
    let mixed = MIXED.iter().any(|row| row.0 == name);
    let enough = if holds_sites && FENCED.contains(&name) {
        return None;
    } else if holds_sites && mixed {
        DENY
    } else {
        FORBID
    };
    let there = [enough, FORBID].iter().any(|line| holds_line(code, line));
    (!there).then(|| Finding::of_file(path, format!("lacks `{enough}`")))
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

/// Whether the line has a block, function, impl or trait of unsafe code.
fn holds_site(line: &str) -> bool {
    line.match_indices(KEYWORD).any(|(at, _)| {
        let part_of_a_name = line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let rest = &line[at + KEYWORD.len()..];
        !part_of_a_name && FOLLOWERS.iter().any(|follower| rest.starts_with(follower))
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
    fn an_attribute_in_a_comment_forbids_nothing() {
        check_file("crates/storage/src/lib.rs", &format!("// {FORBID}"), 1);
        check_file("crates/storage/src/lib.rs", &format!("/*\n{FORBID}\n*/"), 1);
    }

    #[test]
    fn fenced_crates_may() {
        check_file("crates/simd/src/lib.rs", &block(), 0);
        check_file("crates/simd/tests/lengths.rs", &block(), 0);
    }

    #[test]
    fn fenced_crates_forbid_until_they_need_it() {
        check_file("crates/simd/src/lib.rs", "//! Kernels.", 1);
        check_file("crates/simd/src/lib.rs", DENY, 1);
        check_file("crates/simd/src/lib.rs", FORBID, 0);
        check_file("crates/simd/src/lib.rs", &format!("// {}", block()), 1);
        let elsewhere = [
            ("crates/simd/src/lib.rs", "//! Kernels."),
            ("crates/queue/src/ring.rs", &block()),
            ("crates/simd/tests/lengths.rs", &block()),
        ];
        assert_eq!(check(&Tree::of(&elsewhere)).len(), 1);
    }

    #[test]
    fn mixed_crates_forbid_until_they_need_it() {
        check_file("crates/index/src/lib.rs", DENY, 1);
        check_file("crates/index/src/lib.rs", FORBID, 0);
        for (root, want) in [(DENY, 0), (FORBID, 0), ("//! Search.", 1)] {
            let module = ("crates/index/src/node.rs", block());
            let files = [("crates/index/src/lib.rs", root), (module.0, &module.1)];
            assert_eq!(check(&Tree::of(&files)).len(), want, "{root}");
        }
    }

    #[test]
    fn mixed_crates_may_in_their_module() {
        check_file("crates/env/src/map.rs", &block(), 0);
        check_file("crates/index/src/node/links.rs", &block(), 0);
        check_file("crates/env/src/mapping.rs", &block(), 1);
        check_file("crates/env/src/disk.rs", &block(), 1);
    }

    #[test]
    fn tests_are_read_too() {
        check_file("crates/memory/tests/kill.rs", &block(), 1);
        check_file("crates/memory/tests/kill.rs", &format!("// {}", block()), 0);
        let after_a_string = format!("f(\"http://x\"); {}", block());
        check_file("crates/memory/tests/kill.rs", &after_a_string, 1);
        check_file("crates/memory/tests/kill.rs", &format!("#![{ALLOW})]"), 1);
        check_file("crates/memory/tests/kill.rs", "the word unsafe alone", 0);
        check_file(
            "crates/memory/tests/kill.rs",
            "fn is_unsafe(code: &str) {",
            0,
        );
    }
}
