//! Figures that no gate holds: absolute times and rates, which are reported with the machine.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::{Figures, Reached, Report};
use crate::step::{cargo, commit};

/// The picture that goes with them.
const CURVES: &str = "docs/batch.svg";

/// A figure, where the report of `cortica bench` has it, and what is aimed at.
pub(super) struct Figure {
    pub(super) what: &'static str,
    pub(super) unit: Unit,
    pub(super) aim: Option<Aim>,
    value: fn(&Value) -> Option<f64>,
}

#[derive(Clone, Copy)]
pub(super) enum Unit {
    PerSecond,
    Micros,
    Share,
}

/// Not to be missed, and hoped for.
pub(super) enum Aim {
    AtLeast(f64),
    AtMost(f64),
}

impl Figure {
    pub(super) fn of(&self, report: &Value) -> Option<f64> {
        (self.value)(report)
    }
}

fn at(report: &Value, pointer: &str) -> Option<f64> {
    report.pointer(pointer)?.as_f64()
}

/// Of lists of a thousand operations of one kind.
fn list(report: &Value, kind: &str, figure: &str) -> Option<f64> {
    let of = report.pointer("/lists/of")?.as_array()?;
    let list = of
        .iter()
        .find(|list| list["kind"] == kind && list["length"] == 1_000)?;
    list[figure].as_f64()
}

/// Of the narrowest walk that finds 0.955 of the nearest ten, or hundred.
fn walk(report: &Value, recall: &str, figure: &str) -> Option<f64> {
    let walks = report["approximate"].as_array()?;
    let good = |walk: &&Value| walk[recall].as_f64().is_some_and(|recall| recall >= 0.955);
    walks.iter().find(good)?[figure].as_f64()
}

macro_rules! figure {
    ($what:literal, $unit:ident, $aim:expr, $value:expr) => {
        Figure {
            what: $what,
            unit: Unit::$unit,
            aim: $aim,
            value: $value,
        }
    };
}

use Aim::{AtLeast, AtMost};

pub(super) const FIGURES: [Figure; 47] = [
    figure!(
        "rows stored a second, buffered, 1,000 a batch",
        PerSecond,
        Some(AtLeast(200_000.0)),
        |r| at(r, "/store/burst_rows_s")
    ),
    figure!("the same until all is indexed", PerSecond, None, |r| at(
        r,
        "/store/sustained_rows_s"
    )),
    figure!(
        "rows stored a second while another thread recalls, the index at most 1,000 behind",
        PerSecond,
        None,
        |r| at(r, "/busy/rows_s")
    ),
    figure!("recalls a second meanwhile", PerSecond, None, |r| at(
        r,
        "/busy/queries_s"
    )),
    figure!("exact recall, P50", Micros, None, |r| at(
        r,
        "/exact/p50_us"
    )),
    figure!("exact recall, P99", Micros, None, |r| at(
        r,
        "/exact/p99_us"
    )),
    figure!(
        "approximate recall of 10 at recall@10 0.955 or more, P50",
        Micros,
        Some(AtMost(60.0)),
        |r| walk(r, "recall_at_10", "p50_us")
    ),
    figure!("the same, P99", Micros, None, |r| walk(
        r,
        "recall_at_10",
        "p99_us"
    )),
    figure!(
        "approximate recall of 100 at recall@100 0.955 or more, P99",
        Micros,
        Some(AtMost(1_000.0)),
        |r| walk(r, "recall_at_100", "p99_us_of_100")
    ),
    figure!(
        "a list of 16 approximate recalls, as fast as one by one",
        Share,
        None,
        |r| at(r, "/batch_approximate/16/ratio")
    ),
    figure!("the same, of 256", Share, None, |r| at(
        r,
        "/batch_approximate/256/ratio"
    )),
    figure!("a list of 1,000 stores, P50", Micros, None, |r| list(
        r, "store", "p50_us"
    )),
    figure!(
        "a list of 1,000 stores, P99",
        Micros,
        Some(AtMost(5_000.0)),
        |r| list(r, "store", "p99_us")
    ),
    figure!("a list of 1,000 links, P50", Micros, None, |r| list(
        r,
        "associate",
        "p50_us"
    )),
    figure!("a list of 1,000 links, P99", Micros, None, |r| list(
        r,
        "associate",
        "p99_us"
    )),
    figure!(
        "a list of 1,000 exact recalls, P50",
        Micros,
        None,
        |r| list(r, "recall", "p50_us")
    ),
    figure!(
        "a list of 1,000 exact recalls, P99",
        Micros,
        None,
        |r| list(r, "recall", "p99_us")
    ),
    figure!(
        "a list of 1,000 similarity searches, P50",
        Micros,
        None,
        |r| list(r, "similarity_search", "p50_us")
    ),
    figure!(
        "a list of 1,000 similarity searches, P99",
        Micros,
        None,
        |r| list(r, "similarity_search", "p99_us")
    ),
    figure!("a list of 1,000 forgettings, P50", Micros, None, |r| list(
        r, "forget", "p50_us"
    )),
    figure!(
        "a list of 1,000 forgettings, P99, compaction included",
        Micros,
        None,
        |r| list(r, "forget", "p99_us")
    ),
    figure!("a list of 1,000 allocations, P50", Micros, None, |r| list(
        r, "allocate", "p50_us"
    )),
    figure!("a list of 1,000 allocations, P99", Micros, None, |r| list(
        r, "allocate", "p99_us"
    )),
    figure!(
        "concepts given columns a second, all three networks, two workers",
        PerSecond,
        Some(AtLeast(20_000.0)),
        |r| at(r, "/allocation/allocations_s")
    ),
    figure!("the same by one worker", PerSecond, None, |r| at(
        r,
        "/allocation/one_worker_s"
    )),
    figure!(
        "concepts given columns a second in the order of submission, two workers",
        PerSecond,
        None,
        |r| at(r, "/allocation/in_order/allocations_s")
    ),
    figure!("the same by one worker", PerSecond, None, |r| at(
        r,
        "/allocation/in_order/one_worker_s"
    )),
    figure!(
        "an allocation in no order, at half of the rate of two workers, total P50",
        Micros,
        None,
        |r| at(r, "/allocation/loads/0/total/p50_us")
    ),
    figure!(
        "the same, total P99",
        Micros,
        Some(AtMost(1_000.0)),
        |r| at(r, "/allocation/loads/0/total/p99_us")
    ),
    figure!("the same, total P99.9", Micros, None, |r| at(
        r,
        "/allocation/loads/0/total/p999_us"
    )),
    figure!("the same, waiting P50", Micros, None, |r| at(
        r,
        "/allocation/loads/0/queue/p50_us"
    )),
    figure!("the same, waiting P99", Micros, None, |r| at(
        r,
        "/allocation/loads/0/queue/p99_us"
    )),
    figure!("the same, waiting P99.9", Micros, None, |r| at(
        r,
        "/allocation/loads/0/queue/p999_us"
    )),
    figure!("the same, work P50", Micros, None, |r| at(
        r,
        "/allocation/loads/0/service/p50_us"
    )),
    figure!("the same, work P99", Micros, None, |r| at(
        r,
        "/allocation/loads/0/service/p99_us"
    )),
    figure!("the same, work P99.9", Micros, None, |r| at(
        r,
        "/allocation/loads/0/service/p999_us"
    )),
    figure!(
        "the same at nine tenths of that rate, total P50",
        Micros,
        None,
        |r| at(r, "/allocation/loads/1/total/p50_us")
    ),
    figure!("the same, total P99", Micros, None, |r| at(
        r,
        "/allocation/loads/1/total/p99_us"
    )),
    figure!("the same, total P99.9", Micros, None, |r| at(
        r,
        "/allocation/loads/1/total/p999_us"
    )),
    figure!("the same, waiting P50", Micros, None, |r| at(
        r,
        "/allocation/loads/1/queue/p50_us"
    )),
    figure!("the same, waiting P99", Micros, None, |r| at(
        r,
        "/allocation/loads/1/queue/p99_us"
    )),
    figure!("the same, waiting P99.9", Micros, None, |r| at(
        r,
        "/allocation/loads/1/queue/p999_us"
    )),
    figure!("the same, work P50", Micros, None, |r| at(
        r,
        "/allocation/loads/1/service/p50_us"
    )),
    figure!("the same, work P99", Micros, None, |r| at(
        r,
        "/allocation/loads/1/service/p99_us"
    )),
    figure!("the same, work P99.9", Micros, None, |r| at(
        r,
        "/allocation/loads/1/service/p999_us"
    )),
    figure!("exact recall@10", Share, None, |r| at(
        r,
        "/exact/recall_at_10"
    )),
    figure!(
        "recall@10 of an index built while recalls went on",
        Share,
        None,
        |r| at(r, "/busy/recall_at_10_after")
    ),
];

/// Runs `cortica bench` on the folder, or on the bundled rows.
pub(super) fn measured(root: &Path, data: Option<&Path>) -> Result<Figures> {
    let bundle = root.join("crates/cli/data");
    let mut command = cargo(root);
    command.args(["run", "--quiet", "--release", "--bin", "cortica", "--"]);
    command.args(["bench", "--json", "--curves", CURVES, "--data"]);
    command.arg(data.unwrap_or(&bundle));
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start cargo to build and run the bench")?;
    ensure!(output.status.success(), "`cortica bench` failed");
    let report = serde_json::from_slice(&output.stdout);
    Ok(Figures {
        commit: commit(root),
        report: report.context("`cortica bench` wrote no report")?,
    })
}

/// Puts figures beside the gates of the machine whose kernels and processors they used last.
pub(super) fn keep(report: &mut Report, figures: Figures) -> Result<()> {
    let machine = &figures.report["machine"];
    let Some(isa) = machine["isa"].as_str() else {
        bail!("`cortica bench` does not say on which machine it ran");
    };
    let cores = machine["cores"]
        .as_u64()
        .and_then(|cores| usize::try_from(cores).ok());
    let is_it = |one: &&mut Reached| {
        Some(one.cpu.as_str()) == machine["cpu"].as_str()
            && Some(one.cores) == cores
            && one.isa == isa
    };
    let like = report.machines.iter_mut().find(is_it);
    let like =
        like.context("no gates are recorded for this machine: run `perf-check --record` first")?;
    like.figures = Some(figures);
    Ok(())
}
