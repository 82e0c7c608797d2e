//! Links between the repository's own documents lead somewhere.

use super::Finding;
use super::tree::Tree;

/// All findings about links.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.ending_in(".md") {
        for (line, target) in targets(text) {
            if !is_local(target) {
                continue;
            }
            let file = target.split('#').next().unwrap_or(target);
            let leads_somewhere = file.is_empty() // An anchor of the same document.
                || resolve(path, file).is_some_and(|path| tree.exists(&path));
            if !leads_somewhere {
                findings.push(Finding::at(path, line, format!("`{target}` leads nowhere")));
            }
        }
    }
    findings
}

/// Link targets with their lines (from 1): `[text](target)`, `[name]: target`. Code is text.
fn targets(markdown: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut in_block = false;
    for (index, line) in markdown.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
        }
        if in_block {
            continue;
        }
        // Every second piece between backticks is code.
        for (at, _) in line.match_indices("](") {
            let in_code = line[..at].matches('`').count() % 2 == 1;
            let target = line[at + 2..].split([')', ' ']).next();
            if let (false, Some(target)) = (in_code, target) {
                found.push((index + 1, target));
            }
        }
        if let Some((_, target)) = line.strip_prefix('[').and_then(|l| l.split_once("]: ")) {
            found.push((index + 1, target.split(' ').next().unwrap_or(target)));
        }
    }
    found
}

fn is_local(target: &str) -> bool {
    !target.contains("://") && !target.starts_with("mailto:")
}

/// The path a link means, from the root; `None` when it leaves the repository.
fn resolve(from: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    if let Some(rest) = target.strip_prefix('/') {
        return Some(rest.trim_end_matches('/').to_owned());
    }
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_link(line: &str, want: usize) {
        let tree = Tree::of(&[
            ("docs/guide.md", line),
            ("docs/decisions/log.md", ""),
            ("README.md", ""),
        ]);
        let found = check(&tree);
        assert_eq!(found.len(), want, "{line}: {found:?}");
    }

    #[test]
    fn links_to_files_and_folders_resolve() {
        check_link("[log](decisions/log.md) and [readme](../README.md#top)", 0);
        check_link("[all](decisions/) [here](.) [root](/README.md)", 0);
        check_link("[named]: decisions/log.md \"title\"", 0);
        check_link("[up](#heading)", 0);
    }

    #[test]
    fn broken_links_are_found() {
        check_link("[log](log.md)", 1);
        check_link("[out](../../elsewhere.md)", 1);
        check_link("![picture](map.png) [log](decisions/none.md#x)", 2);
        check_link("[named]: nowhere.md", 1);
    }

    #[test]
    fn the_web_is_not_ours() {
        check_link("[x](https://example.org/a.md) [y](mailto:a@example.org)", 0);
    }

    #[test]
    fn code_holds_no_links() {
        check_link("`[log](log.md)` is how a link looks", 0);
        check_link("```md\n[log](log.md)\n```", 0);
    }
}
