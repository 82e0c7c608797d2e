//! Small trainings from end to end, through the program itself.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test reports"
)]

use std::path::Path;
use std::process::Command;

use cortica_neural::Networks;

const README: &str = include_str!("../README.md");

fn run(out: &Path, encoder_steps: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_cortica-train"))
        .arg("--data")
        .arg(cortica_testkit::bundle_dir())
        .arg("--out")
        .arg(out)
        .args(["--encoder-steps", encoder_steps, "--epochs", "1"])
        .args(["--seed", "7"])
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// What the encoder finds among held-out rows.
fn recall(path: &Path) -> f64 {
    let metrics = std::fs::read_to_string(path.with_extension("json")).unwrap();
    let metrics: serde_json::Value = serde_json::from_str(&metrics).unwrap();
    let items = &metrics["recall"]["held_out_items"];
    items["encoder"].as_f64().unwrap()
}

#[test]
fn a_short_training_writes_what_can_be_run() {
    assert!(README.contains("--data crates/cli/data --out networks.safetensors --seed 1"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("networks.safetensors");
    let printed = run(&path, "3");
    assert!(printed.contains("bytes of weights resident"), "{printed}");
    let networks = Networks::open(&path).unwrap();
    assert_eq!(networks.dimension(), 768);
    assert!(networks.bytes() < 400_000, "{}", networks.bytes());
    assert_eq!(networks.metadata("seed"), Some("7"));
    let picture = std::fs::read_to_string(path.with_extension("svg")).unwrap();
    assert_eq!(picture.matches("<polyline").count(), 3);

    // The same folder and seed give the same file.
    let again = folder.path().join("again.safetensors");
    run(&again, "3");
    assert!(std::fs::read(&path).unwrap() == std::fs::read(&again).unwrap());

    // More training gives better codes of what was held out.
    let longer = folder.path().join("longer.safetensors");
    run(&longer, "100");
    let (before, after) = (recall(&path), recall(&longer));
    assert!(after > before + 0.05, "{before} {after}");
}
