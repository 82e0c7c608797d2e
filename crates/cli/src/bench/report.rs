//! The figures of a bench, as JSON and for people.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::figures::{aligned, bytes, count, micros, rounded};
use crate::machine::Machine;

/// All that was measured. A figure that could not be is null, and `skipped` says why.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) n: usize,
    pub(crate) d: usize,
    pub(crate) machine: Machine,
    pub(crate) store: Store,
    pub(crate) exact: Exact,
    /// One entry per setting of an approximate index, once there is one.
    pub(crate) approximate: [(); 0],
    #[serde(serialize_with = "by_size")]
    pub(crate) batch: Vec<(usize, Batch)>,
    pub(crate) spreading: Option<()>,
    pub(crate) allocation: Option<()>,
    pub(crate) skipped: Vec<Skipped>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Store {
    /// Rows stored per second of wall time, indexing left for later.
    pub(crate) burst_rows_s: Option<f64>,
    /// The same with the index keeping up.
    pub(crate) sustained_rows_s: Option<f64>,
    /// On disk, the store closed.
    pub(crate) bytes: u64,
    pub(crate) durability: String,
    pub(crate) batch_rows: usize,
}

#[derive(Debug, Serialize)]
pub(crate) struct Exact {
    pub(crate) recall_at_10: Option<f64>,
    pub(crate) recall_at_100: Option<f64>,
    pub(crate) hit_at_10: Option<f64>,
    /// Single recalls of 10 per second of processor time; the latencies are theirs too.
    pub(crate) qps_cpu: Option<f64>,
    pub(crate) p50_us: Option<f64>,
    pub(crate) p99_us: Option<f64>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Batch {
    pub(crate) qps_cpu: Option<f64>,
    /// How many times the rate of single recalls that is.
    pub(crate) ratio: Option<f64>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Skipped {
    pub(crate) part: &'static str,
    pub(crate) why: String,
}

fn by_size<S: Serializer>(batches: &[(usize, Batch)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(batches.iter().map(|(size, batch)| (size, batch)))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or_none = |figure: Option<String>| figure.unwrap_or_else(|| "not measured".to_owned());
        let share = |figure: Option<f64>| or_none(figure.map(|share| format!("{share:.4}")));
        let rate = |figure: Option<f64>, unit: &str| {
            or_none(figure.map(|rate| format!("{} {unit}", rounded(rate))))
        };
        let exact = &self.exact;
        writeln!(f, "{} rows of {} numbers", count(self.n as u64), self.d)?;
        writeln!(f, "{}\n", self.machine)?;
        writeln!(
            f,
            "store ({}, {} rows a batch)",
            self.store.durability, self.store.batch_rows
        )?;
        let store = [
            ("burst", rate(self.store.burst_rows_s, "rows/s")),
            ("on disk", bytes(self.store.bytes)),
        ];
        writeln!(f, "{}\n", aligned(&store))?;
        writeln!(f, "exact recall, one query at a time")?;
        let recall = [
            ("recall@10", share(exact.recall_at_10)),
            ("recall@100", share(exact.recall_at_100)),
            ("meant row in first 10", share(exact.hit_at_10)),
            ("rate", rate(exact.qps_cpu, "queries per CPU second")),
            ("P50", or_none(exact.p50_us.map(micros))),
            ("P99", or_none(exact.p99_us.map(micros))),
        ];
        writeln!(f, "{}\n", aligned(&recall))?;
        writeln!(f, "recall in batches")?;
        for (size, batch) in &self.batch {
            let ratio = or_none(batch.ratio.map(|ratio| format!("{ratio:.2} times single")));
            writeln!(
                f,
                "  {size:4} at once  {}, {ratio}",
                rate(batch.qps_cpu, "queries per CPU second")
            )?;
        }
        write!(f, "\nskipped")?;
        for Skipped { part, why } in &self.skipped {
            write!(f, "\n  {part}: {why}")?;
        }
        Ok(())
    }
}
