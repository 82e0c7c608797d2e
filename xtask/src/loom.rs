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

/// A step for each crate with models in `tests/loom*.rs`.
pub(crate) fn steps(root: &Path) -> Result<Vec<Step>> {
    let folder = root.join("crates");
    let mut steps = Vec::new();
    for name in names(&folder)? {
        let tests = folder.join(&name).join("tests");
        let files = if tests.is_dir() {
            names(&tests)?
        } else {
            Vec::new()
        };
        let targets = files.iter().filter_map(|file| file.strip_suffix(".rs"));
        let models: Vec<&str> = targets.filter(|name| name.starts_with("loom")).collect();
        if !models.is_empty() {
            steps.push(step(root, &name, &models));
        }
    }
    Ok(steps)
}

/// What lies in a folder, in order.
pub(crate) fn names(folder: &Path) -> Result<Vec<String>> {
    let context = || format!("cannot list {}", folder.display());
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(context)? {
        let entry = entry.with_context(context)?;
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    names.sort_unstable();
    Ok(names)
}

/// In a target directory of its own: the flags would make cargo build everything anew each time
/// it changes between models and tests. Optimised, since models run for as long as one lets them.
fn step(root: &Path, name: &str, models: &[&str]) -> Step {
    let mut command = cargo(root);
    command
        .args(["test", "--release", "--package"])
        .arg(format!("cortica-{name}"));
    for target in models {
        command.args(["--test", target]);
    }
    command
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
    use std::ffi::OsStr;

    #[test]
    fn crates_with_models_are_found() {
        let root = crate::repository_root();
        let steps = steps(&root).unwrap();
        let packages: Vec<_> = steps
            .iter()
            .filter_map(|step| step.command.get_args().nth(3))
            .collect();
        assert!(
            packages.contains(&"cortica-reclaim".as_ref()),
            "{packages:?}"
        );
        assert!(!packages.contains(&"cortica-simd".as_ref()), "{packages:?}");
        let queue = steps.iter().map(|step| step.command.get_args());
        assert!(
            queue
                .flatten()
                .any(|argument| argument == OsStr::new("loom_queue")),
            "further files of models are found"
        );
    }

    #[test]
    fn models_are_built_apart() {
        let step = step(Path::new("root"), "queue", &["loom"]);
        let set: Vec<_> = step.command.get_envs().collect();
        assert!(set.contains(&("RUSTFLAGS".as_ref(), Some(FLAGS.as_ref()))));
        let folder = Path::new("root/target/loom").as_os_str();
        assert!(set.contains(&("CARGO_TARGET_DIR".as_ref(), Some(folder))));
    }
}
