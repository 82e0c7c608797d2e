//! Checks on the shape of the repository, which no compiler makes.
//!
//! Every check is a function from what it looks at to its findings, so that its tests can
//! show it a small bad example; reading the repository happens once, here.

mod allowed;
mod code;
mod command;
mod edges;
mod fences;
mod links;
mod lints;
mod manifests;
mod models;
mod readmes;
mod required;
mod sources;
mod tree;

use std::fmt;
use std::path::Path;

use anyhow::Result;

pub(crate) use self::tree::Tree;

/// Something that is not as it must be, and where.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    path: String,
    /// Counted from 1; 0 when the finding is about the whole file.
    line: usize,
    what: String,
}

impl Finding {
    pub(crate) fn of_file(path: &str, what: impl Into<String>) -> Finding {
        Finding::at(path, 0, what)
    }

    fn at(path: &str, line: usize, what: impl Into<String>) -> Finding {
        Finding {
            path: path.to_owned(),
            line,
            what: what.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.what),
            line => write!(f, "{}:{line}: {}", self.path, self.what),
        }
    }
}

/// Runs every check over the repository at `root`.
pub(crate) fn run(root: &Path) -> Result<Vec<Finding>> {
    let tree = Tree::read(root)?;
    let packages = edges::read_packages(root)?;
    let mut findings = edges::check(&tree, &packages);
    findings.extend(readmes::check(&tree));
    findings.extend(manifests::check(&tree));
    findings.extend(models::check(&tree));
    findings.extend(sources::check(&tree));
    findings.extend(fences::check(&tree));
    findings.extend(command::check(&tree));
    findings.extend(links::check(&tree));
    findings.extend(lints::check(&tree));
    findings.extend(required::check(&tree));
    findings.extend(crate::torture::check(&tree));
    findings.extend(crate::performance::check(&tree));
    findings.sort();
    findings.dedup(); // A file that several checks need is missing once.
    Ok(findings)
}
