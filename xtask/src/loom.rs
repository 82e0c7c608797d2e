//! `cargo xtask loom`: the models of every crate that has some, one crate at a time.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::exit_code;
use crate::step::{Step, cargo};

/// crossbeam has a name of its own for what the rest of the world calls `loom`.
const FLAGS: &str = "--cfg loom --cfg crossbeam_loom";

/// Runs all models, showing how many interleavings each explored.
pub(crate) fn run(root: &Path) -> Result<ExitCode> {
    let mut to = std::io::stdout().lock();
    let mut good = true;
    for step in steps(root)? {
        good &= step.run(&mut to)?.good;
    }
    Ok(exit_code(good))
}

/// A step for each crate with models in `tests/loom.rs`.
pub(crate) fn steps(root: &Path) -> Result<Vec<Step>> {
    let folder = root.join("crates");
    let entries =
        std::fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot list {}", folder.display()))?;
        if entry.path().join("tests/loom.rs").is_file() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort_unstable();
    Ok(names.iter().map(|name| step(root, name)).collect())
}

/// In a target directory of its own: the flags would make cargo build everything anew each time
/// it changes between models and tests. Optimised, since models run for as long as one lets them.
fn step(root: &Path, name: &str) -> Step {
    let mut command = cargo(root);
    command
        .args(["test", "--release", "--test", "loom", "--package"])
        .arg(format!("cortica-{name}"))
        .args(["--", "--nocapture", "--test-threads", "1"])
        .env("RUSTFLAGS", FLAGS)
        .env("CARGO_TARGET_DIR", root.join("target/loom"));
    Step {
        name: "loom",
        command,
        tests: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crates_with_models_are_found() {
        let root = crate::repository_root();
        let steps = steps(&root).unwrap();
        let packages: Vec<_> = steps
            .iter()
            .filter_map(|step| step.command.get_args().nth(5))
            .collect();
        assert!(
            packages.contains(&"cortica-reclaim".as_ref()),
            "{packages:?}"
        );
        assert!(!packages.contains(&"cortica-simd".as_ref()), "{packages:?}");
    }

    #[test]
    fn models_are_built_apart() {
        let step = step(Path::new("root"), "queue");
        let set: Vec<_> = step.command.get_envs().collect();
        assert!(set.contains(&("RUSTFLAGS".as_ref(), Some(FLAGS.as_ref()))));
        let folder = Path::new("root/target/loom").as_os_str();
        assert!(set.contains(&("CARGO_TARGET_DIR".as_ref(), Some(folder))));
    }
}
