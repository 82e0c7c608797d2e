//! `cargo xtask perf-check`: builds the gates in release mode and runs them.

use std::path::Path;
use std::process::{ExitCode, Stdio};

use anyhow::{Context, Result};

use crate::step::cargo;

/// Runs the perf-check binary with `arguments` and takes over its exit code.
///
/// Standard output belongs to the gates alone (`--json` promises one object per line), so
/// cargo is told to keep quiet and writes what it has to say to standard error.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<ExitCode> {
    let status = cargo(root)
        .args([
            "run",
            "--quiet",
            "--release",
            "--package",
            "cortica-benches",
        ])
        .args(["--bin", "perf-check", "--"])
        .args(arguments)
        .stdin(Stdio::null())
        .status()
        .context("cannot start cargo to build and run the gates")?;
    // A child killed by a signal has no code; that is a failure too.
    let code = status
        .code()
        .and_then(|code| u8::try_from(code).ok())
        .unwrap_or(1);
    Ok(ExitCode::from(code))
}
