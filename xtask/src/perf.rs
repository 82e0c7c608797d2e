//! `cargo xtask perf-check`: builds the gates in release mode and runs them.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result};

use crate::performance;
use crate::step::cargo;

/// The feature of the gates' package behind which baselines are that take long to build.
const PEERS: &str = "peers";

/// Runs the perf-check binary with `arguments` and takes over its exit code.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<ExitCode> {
    let manifest = root.join("benches/Cargo.toml");
    let manifest = std::fs::read_to_string(&manifest)
        .with_context(|| format!("cannot read {}", manifest.display()))?;
    let status = command(root, &manifest, arguments)?
        .stdin(Stdio::null())
        .status()
        .context("cannot start cargo to build and run the gates")?;
    let has = |wanted: &str| arguments.iter().any(|argument| argument == wanted);
    if has("--record") && root.join(performance::PATH).exists() {
        // Red gates are recorded too, and shown.
        if has("--only") {
            performance::tables(root)?;
        } else {
            performance::measure(root, data_of(arguments).as_deref())?;
        }
    }
    // A child killed by a signal has no code; that is a failure too.
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(ExitCode::from(code.unwrap_or(1)))
}

/// The folder that gates are told of, which the figures are measured on as well.
fn data_of(arguments: &[String]) -> Option<PathBuf> {
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        if let Some(folder) = argument.strip_prefix("--data=") {
            return Some(folder.into());
        }
        if argument == "--data" {
            return rest.next().map(Into::into);
        }
    }
    std::env::var_os("CORTICA_DATA").map(Into::into)
}

/// Standard output belongs to the gates alone (`--json` promises one object per line), so cargo
/// is told to keep quiet and writes what it has to say to standard error.
fn command(root: &Path, manifest: &str, arguments: &[String]) -> Result<Command> {
    let manifest: toml::Table = manifest.parse().context("cannot read benches/Cargo.toml")?;
    let features = manifest.get("features");
    let has_peers = features.is_some_and(|features| features.get(PEERS).is_some());
    let mut command = cargo(root);
    command.args([
        "run",
        "--quiet",
        "--release",
        "--package",
        "cortica-benches",
    ]);
    command.args(["--bin", "perf-check"]);
    if has_peers && !arguments.iter().any(|argument| argument == "--quick") {
        command.args(["--features", PEERS]);
    }
    command.arg("--").args(arguments);
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(manifest: &str, argument: &str, want: bool) {
        let command = command(Path::new("."), manifest, &[argument.to_owned()]).unwrap();
        let arguments: Vec<_> = command.get_args().collect();
        assert_eq!(arguments.contains(&PEERS.as_ref()), want, "{arguments:?}");
        assert_eq!(arguments.last(), Some(&argument.as_ref()));
    }

    #[test]
    fn the_folder_is_found_however_it_is_written() {
        let data = |arguments: &[&str]| {
            let arguments: Vec<_> = arguments.iter().map(ToString::to_string).collect();
            data_of(&arguments)
        };
        assert_eq!(data(&["--record", "--data", "x"]), Some("x".into()));
        assert_eq!(data(&["--data=x", "--record"]), Some("x".into()));
    }

    #[test]
    fn peers_are_built_for_full_runs_where_there_are_any() {
        check("[features]\npeers = []", "--json", true);
        check("[features]\npeers = []", "--quick", false);
        check("[package]", "--json", false);
    }
}
