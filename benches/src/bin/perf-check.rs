//! Runs the gates of `gates.toml` and says which hold; see `cargo xtask perf-check --help`.
#![forbid(unsafe_code)]

use std::io::{Write, stderr, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use cortica_benches::{
    Gate, Machine, Outcome, Record, Setup, Verdict, read_gates, report, runner, self_test, subjects,
};

/// Counts for the gates that are about allocations; every other gate pays the same on both sides.
#[global_allocator]
static ALLOCATOR: cortica_testkit::CountingAllocator = cortica_testkit::CountingAllocator;

/// Measures what Cortica is held to: answers, counts, then ratios and scaling against baselines.
#[derive(Parser)]
#[command(name = "perf-check", bin_name = "cargo xtask perf-check")]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a switch of the command line, on or off by itself"
)]
struct Arguments {
    /// Smaller sizes and shorter samples; what every commit runs.
    #[arg(long)]
    quick: bool,
    /// Only the gates whose name starts with this.
    #[arg(long, value_name = "PREFIX")]
    only: Option<String>,
    /// One JSON object per gate and line on standard output, and nothing else there.
    #[arg(long)]
    json: bool,
    /// Make every subject worse on purpose and see its gate fail; exit code 0 when all did.
    #[arg(long)]
    self_test: bool,
    /// Store what was reached, with machine and commit, in docs/reports/performance.json, and from there in
    /// docs/performance.md and the README; a whole run measures the figures that no gate holds, too.
    #[arg(long, conflicts_with_all = ["quick", "self_test"])]
    record: bool,
    /// A folder of data in the layout of the bundled one (also: the variable CORTICA_DATA).
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = package.parent().unwrap_or(package);
    let setup = Setup {
        quick: arguments.quick,
        data: arguments.data.clone().or_else(cortica_testkit::data_dir),
        scratch: scratch(root)?,
        corrupt: false,
    };
    // Figures of other kernels than were asked for would be no answer.
    cortica_simd::Isa::forced()?;
    let machine = Machine::here();

    let mut gates = read_gates()?;
    if let Some(prefix) = &arguments.only {
        gates.retain(|gate| gate.name.starts_with(prefix.as_str()));
        ensure!(!gates.is_empty(), "no gate's name starts with `{prefix}`");
    }
    let record_path = root.join("docs/reports/performance.json");
    let mut record = if arguments.quick || arguments.self_test {
        None // Shorter samples and smaller sizes give other figures.
    } else {
        Some(Record::read(&record_path)?)
    };

    print_machine(&machine, arguments.json)?;
    let mut outcomes = Vec::with_capacity(gates.len());
    for gate in &gates {
        let mut outcome = if arguments.self_test {
            see_it_fail(gate, &setup)
        } else {
            runner::run(gate, subjects::find(&gate.name), &setup)
        };
        if let Some(record) = &record {
            record.hold(&machine, std::slice::from_mut(&mut outcome));
        }
        if arguments.json {
            report::write_json(&mut stdout().lock(), &outcome)?;
            report::write_note(&mut stderr(), &outcome)?;
        } else {
            report::write_row(&mut stdout().lock(), &outcome)?;
        }
        outcomes.push(outcome);
    }
    if !arguments.json {
        report::write_summary(&mut stdout().lock(), &outcomes)?;
    }
    if let Some(record) = record.as_mut().filter(|_| arguments.record) {
        record.take(&machine, &gates, &outcomes);
        record.write(&record_path)?;
    }
    // What the subjects wrote; a folder that stays behind harms nobody.
    let _ = std::fs::remove_dir_all(&setup.scratch);

    let good = if arguments.self_test {
        all_failed(&outcomes)?
    } else {
        outcomes
            .iter()
            .all(|outcome| outcome.verdict != Verdict::Fail)
    };
    Ok(if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The machine's line: above the table, or beside the objects on standard error.
fn print_machine(machine: &Machine, json: bool) -> Result<()> {
    if json {
        writeln!(stderr(), "{machine}")?;
    } else {
        let mut to = stdout().lock();
        writeln!(to, "{machine}")?;
        report::write_heading(&mut to)?;
    }
    Ok(())
}

/// A gate that breaks when it is tested was not seen to fail, so an error counts as a pass here.
fn see_it_fail(gate: &Gate, setup: &Setup) -> Outcome {
    let outcome = self_test::run(gate, subjects::find(&gate.name), setup);
    outcome.unwrap_or_else(|error| {
        Outcome::without_figure(gate, Verdict::Unmeasurable, format!("{error:#}"))
    })
}

/// Whether every gate that could be run was seen to fail; names those which were not.
fn all_failed(outcomes: &[Outcome]) -> Result<bool> {
    let mut run = outcomes
        .iter()
        .filter(|outcome| outcome.verdict != Verdict::Skipped)
        .peekable();
    ensure!(
        run.peek().is_some(),
        "every gate was skipped: nothing was tested"
    );
    let mut good = true;
    for outcome in run.filter(|outcome| outcome.verdict != Verdict::Fail) {
        writeln!(
            stderr(),
            "not seen to fail: {} ({})",
            outcome.gate,
            outcome.note
        )?;
        good = false;
    }
    Ok(good)
}

/// A folder of this run's own beside what is built: a temporary folder may be memory, where
/// a sync costs nothing and a durable store measures nothing.
fn scratch(root: &Path) -> Result<PathBuf> {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let folder = root
        .join(target)
        .join("perf-check")
        .join(std::process::id().to_string());
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    Ok(folder)
}
