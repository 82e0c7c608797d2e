//! Says which commit a build is of: what is measured is what was built, not what is checked out later.

use std::process::Command;

fn main() {
    // Whatever a build can come from, and what moves when a commit is made or checked out.
    for path in [
        "../.git/logs/HEAD",
        "../Cargo.lock",
        "../crates",
        "src",
        "Cargo.toml",
        "build.rs",
    ] {
        println!("cargo::rerun-if-changed={path}");
    }
    let commit = commit().unwrap_or_else(|| "unknown".to_owned());
    println!("cargo::rustc-env=CORTICA_COMMIT={commit}");
}

/// The commit checked out, with `+` after it when files differ from it.
fn commit() -> Option<String> {
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    let changed = git(&["status", "--porcelain"]).is_some();
    Some(format!("{commit}{}", if changed { "+" } else { "" }))
}

/// What git prints; nothing counts as none.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok();
    let output = output.filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (!text.is_empty()).then_some(text)
}
