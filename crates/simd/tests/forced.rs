//! The environment decides which instructions are used, so that a run can be held to one set.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a panic is how a test reports"
)]

use cortica_simd::{Extension, Isa};
#[cfg(not(target_family = "wasm"))]
use std::process::{Command, Output};

/// A run with `CORTICA_ISA=scalar` proves nothing unless it was obeyed: one that asks for what
/// cannot be had, a misspelt name above all, fails here.
#[test]
fn the_forced_set_is_the_one_in_use() {
    match Isa::forced() {
        Ok(Some(isa)) => assert_eq!(Isa::best(), isa),
        Ok(None) => assert_eq!(Some(Isa::best()), Isa::available().last()),
        Err(error) => panic!("this run tests another set than it was to: {error}"),
    }
}

/// Runs in processes of their own, as a set is found once. Does nothing in the run of all tests.
#[test]
#[ignore = "the other side of the test below"]
fn tells_what_it_uses() {
    // Twice: what is to be said is said once.
    assert_eq!(Isa::best(), Isa::best());
    let has_vnni = Isa::best().has(Extension::Vnni);
    println!(
        "{} in use, {:?}, vnni {has_vnni}",
        Isa::best(),
        Isa::forced()
    );
}

#[cfg(not(target_family = "wasm"))]
fn told(isa: &str, without: &str) -> Output {
    Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", "tells_what_it_uses"])
        .env("CORTICA_ISA", isa)
        .env("CORTICA_WITHOUT", without)
        .output()
        .unwrap()
}

#[cfg(not(target_family = "wasm"))]
#[track_caller]
fn check_told(isa: &str, without: &str, uses: Isa, warnings: &[&str]) {
    let output = told(isa, without);
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains(&format!("{uses} in use")), "{said}");
    let warned = String::from_utf8_lossy(&output.stderr);
    let warned: Vec<&str> = warned.lines().collect();
    assert_eq!(warned.len(), warnings.len(), "{warned:?}");
    for (line, want) in std::iter::zip(&warned, warnings) {
        assert!(
            line.starts_with("cortica-simd: ") && line.contains(want),
            "{line}"
        );
    }
}

#[cfg(not(target_family = "wasm"))]
#[test]
fn what_the_environment_asks_for_in_vain_is_told_once() {
    let best = Isa::available().last().unwrap();
    check_told("", "", best, &[]);
    for isa in Isa::available() {
        check_told(&isa.to_string(), "vnni, f16c", isa, &[]);
    }
    let taken = format!("; taken is {best}");
    check_told(
        "axv2",
        "",
        best,
        &["CORTICA_ISA is `axv2`, which is no instruction set"],
    );
    check_told("AVX2", "", best, &[&taken]);
    if let Some(lacking) = Isa::ALL.into_iter().find(|isa| !isa.is_available()) {
        check_told(
            &lacking.to_string(),
            "",
            best,
            &["which this machine cannot run"],
        );
    }
    check_told(
        "scalar",
        "vmni",
        Isa::Scalar,
        &["no extension is called \"vmni\""],
    );
}
