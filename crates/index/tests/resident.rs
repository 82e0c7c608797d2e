//! What an index says of its bytes, against what the system says of the process: vectors lie in memory
//! that no allocator counts.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a panic is how a test reports; a child tells by what it prints"
)]

mod common;

use common::{CODES, empty, recall};
use cortica_index::{Row, VectorIndex};
use cortica_testkit::bundle;
use std::process::Command;

/// Says to a process of this test which format it is to measure.
const FORMAT: &str = "CORTICA_TEST_RESIDENT";

const HUGE_PAGE: u32 = 2 << 20;

/// Bytes of this process that are in memory and not of a file.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1));
    kilobytes.unwrap().parse::<usize>().unwrap() * 1024
}

/// Each format in a process of its own: what one has given back, the next would use again.
#[test]
fn bytes_are_those_that_the_process_has_more() {
    if let Ok(format) = std::env::var(FORMAT) {
        measure(format.parse().unwrap());
        return;
    }
    for (format, codes) in CODES.iter().enumerate() {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "bytes_are_those_that_the_process_has_more"]);
        let output = child
            .arg("--nocapture")
            .env(FORMAT, format.to_string())
            .output();
        let output = output.unwrap();
        assert!(output.status.success(), "{output:?}");
        let said = String::from_utf8(output.stdout).unwrap();
        let lines = said.lines().filter(|line| line.starts_with("bytes "));
        let lines: Vec<&str> = lines.collect();
        assert_eq!(lines.len(), 2, "full, and nearly all removed");
        for line in lines {
            let numbers = line.split_whitespace().skip(1);
            let numbers: Vec<f64> = numbers.map(|number| number.parse().unwrap()).collect();
            let (said, held) = (numbers[0], numbers[1]);
            println!("{codes:?}: {said} bytes, {held} held");
            // Beyond it lies what a walk needs, and what is left of the last huge page.
            let most = said * 1.05 + f64::from(HUGE_PAGE);
            assert!((said * 0.95..most).contains(&held), "{codes:?}: {line}");
        }
    }
}

fn measure(format: usize) {
    let index = empty(CODES[format]);
    let rows = bundle().rows.len() / bundle().dimension; // Read before the first look.
    let before = resident();
    let insert = |row| index.insert(bundle().row(row)).unwrap();
    let rows: Vec<Row> = (0..rows).map(insert).collect();
    index.link(usize::MAX);
    let held = resident() - before;
    assert!(recall(&index) >= 0.95);
    println!("\nbytes {} {}", index.stats().bytes, held);
    // What belonged to vectors that were removed and given back is kept for others.
    for row in rows.iter().skip(rows.len() / 30) {
        assert!(index.remove(*row));
    }
    index.repair();
    let held = resident() - before;
    println!("bytes {} {}", index.stats().bytes, held);
}
