//! The figures of a bench, as JSON and for people.

use std::fmt;

use serde::{Serialize, Serializer};

use cortica::pipeline::Percentiles;

use crate::args::Codes;
use crate::bench::measure::Spent;
use crate::figures::{aligned, bytes, count, micros, rounded};
use crate::machine::Machine;

/// All that was measured. A figure that could not be is null, and `skipped` says why.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) n: usize,
    pub(crate) d: usize,
    pub(crate) machine: Machine,
    pub(crate) graph: Graph,
    pub(crate) store: Store,
    pub(crate) exact: Exact,
    /// Single recalls through the graph index, for each number of candidates that walks keep.
    pub(crate) approximate: Vec<Approximate>,
    #[serde(serialize_with = "by_size")]
    pub(crate) batch: Vec<(usize, Batch)>,
    /// Through the graph index, at the default ef.
    #[serde(serialize_with = "by_size")]
    pub(crate) batch_approximate: Vec<(usize, Batch)>,
    /// Storing and recalling at the same time.
    pub(crate) busy: Busy,
    /// Operations of one kind through the batch engine, by the length of the list.
    pub(crate) lists: Lists,
    pub(crate) spreading: Option<()>,
    pub(crate) allocation: Option<Allocation>,
    pub(crate) skipped: Vec<Skipped>,
}

/// How the graph index was built.
#[derive(Debug, Serialize)]
pub(crate) struct Graph {
    /// Links of a vector when it is added (M).
    pub(crate) degree: usize,
    /// Candidates these were chosen from (efConstruction).
    pub(crate) build_width: usize,
    pub(crate) codes: Codes,
}

#[derive(Debug, Serialize)]
pub(crate) struct Store {
    /// Rows stored per second of wall time, indexing left for later.
    pub(crate) burst_rows_s: Option<f64>,
    /// Rows per second of wall time from the first one stored until all are indexed, reading the
    /// file included.
    pub(crate) sustained_rows_s: Option<f64>,
    /// Rows that were not indexed yet when the last one was stored ...
    pub(crate) lag_rows: u64,
    /// ... and how long it took until they were, by the store's thread and the caller.
    pub(crate) lag_s: f64,
    /// Rows indexed per second of processor time meanwhile.
    pub(crate) index_rows_cpu_s: Option<f64>,
    /// Bytes of memory that links and codes take.
    pub(crate) index_bytes: u64,
    /// From opening the store again until all is indexed.
    pub(crate) reindexed_s: f64,
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
pub(crate) struct Approximate {
    /// Candidates that a walk keeps.
    pub(crate) ef: usize,
    /// Of what exact recall finds.
    pub(crate) recall_at_10: Option<f64>,
    /// Likewise, of recalls of 100.
    pub(crate) recall_at_100: Option<f64>,
    /// Recalls of 10 per second of processor time; the latencies are theirs too.
    pub(crate) qps_cpu: Option<f64>,
    pub(crate) p50_us: Option<f64>,
    pub(crate) p99_us: Option<f64>,
    /// Recalls of 100 per second of processor time.
    pub(crate) qps_cpu_of_100: Option<f64>,
    /// Of recalls of 100.
    pub(crate) p99_us_of_100: Option<f64>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Batch {
    pub(crate) qps_cpu: Option<f64>,
    /// How many times the rate of single recalls that is.
    pub(crate) ratio: Option<f64>,
}

impl Batch {
    pub(crate) fn of(together: Spent, alone: Spent) -> Self {
        let rates = together.rate().zip(alone.rate());
        Self {
            qps_cpu: together.rate(),
            ratio: rates.map(|(together, alone)| together / alone),
        }
    }
}

/// Rows that are given columns by a pipeline, as they come.
#[derive(Debug, Serialize)]
pub(crate) struct Allocation {
    pub(crate) concepts: usize,
    pub(crate) sides: [u32; 3],
    pub(crate) workers: usize,
    pub(crate) allocated: u64,
    /// Rows that mean what another one means.
    pub(crate) duplicates: u64,
    /// All handed in at once.
    pub(crate) allocations_s: f64,
    /// The same by one worker.
    pub(crate) one_worker_s: f64,
    pub(crate) in_order: InOrder,
    pub(crate) loads: Vec<Load>,
}

/// The same, decided in the order of submission: by all workers, and by one.
#[derive(Debug, Serialize)]
pub(crate) struct InOrder {
    pub(crate) allocations_s: f64,
    pub(crate) one_worker_s: f64,
}

/// What a request takes where so many come a second, evenly.
#[derive(Debug, Serialize)]
pub(crate) struct Load {
    /// Of `allocations_s` of the whole.
    pub(crate) share: f64,
    pub(crate) allocations_s: f64,
    /// From being handed in to the first work on it, the work, and both.
    pub(crate) queue: Times,
    pub(crate) service: Times,
    pub(crate) total: Times,
    /// Of the workers' time.
    pub(crate) utilisation: f64,
}

#[derive(Debug, Serialize)]
#[allow(
    clippy::struct_field_names,
    reason = "the unit is part of a figure's name"
)]
pub(crate) struct Times {
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) p999_us: f64,
}

impl Times {
    pub(crate) fn of(times: &Percentiles) -> Self {
        let us = |nanos: u64| nanos as f64 / 1e3;
        Self {
            p50_us: us(times.p50),
            p99_us: us(times.p99),
            p999_us: us(times.p999),
        }
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let times = [self.p50_us, self.p99_us, self.p999_us].map(micros);
        write!(f, "{}", times.join(" / "))
    }
}

impl fmt::Display for Allocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [nx, ny, nz] = self.sides;
        writeln!(
            f,
            "allocation of {} rows to {nx} x {ny} x {nz} columns, {} workers",
            count(self.concepts as u64),
            self.workers
        )?;
        writeln!(
            f,
            "  {}/s ({}/s by one worker): {} given a column, {} the same as others",
            rounded(self.allocations_s),
            rounded(self.one_worker_s),
            count(self.allocated),
            count(self.duplicates)
        )?;
        writeln!(
            f,
            "  in the order of submission {}/s ({}/s by one worker); P50 / P99 / P99.9 under load:",
            rounded(self.in_order.allocations_s),
            rounded(self.in_order.one_worker_s)
        )?;
        for load in &self.loads {
            writeln!(
                f,
                "  {:.0}% ({}/s)  queue {}, service {}, total {}",
                100.0 * load.share,
                rounded(load.allocations_s),
                load.queue,
                load.service,
                load.total
            )?;
        }
        Ok(())
    }
}

/// One thread stores all rows into a store of their own, the index never more than some rows
/// behind, while another recalls approximately, at the default ef. Wall time.
#[derive(Debug, Serialize)]
pub(crate) struct Busy {
    /// Rows that may wait for the index.
    pub(crate) lag_rows: usize,
    pub(crate) rows_s: Option<f64>,
    /// Recalls of 10 meanwhile; the latencies are theirs too, what they wait for storing included.
    pub(crate) queries_s: Option<f64>,
    pub(crate) p50_us: Option<f64>,
    pub(crate) p99_us: Option<f64>,
    /// Of what exact recall finds, when all is stored.
    pub(crate) recall_at_10_after: Option<f64>,
}

impl fmt::Display for Busy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or_none = |figure: Option<String>| figure.unwrap_or_else(|| "not measured".to_owned());
        let rate = |figure: Option<f64>, unit: &str| {
            or_none(figure.map(|rate| format!("{} {unit}", rounded(rate))))
        };
        let recall = self.recall_at_10_after.map(|share| format!("{share:.4}"));
        writeln!(
            f,
            "storing while recalling, at most {} rows not indexed",
            count(self.lag_rows as u64)
        )?;
        let both = [
            ("stored", rate(self.rows_s, "rows/s")),
            ("recalled meanwhile", rate(self.queries_s, "queries/s")),
            ("P50", or_none(self.p50_us.map(micros))),
            ("P99", or_none(self.p99_us.map(micros))),
            ("recall@10 afterwards", or_none(recall)),
        ];
        write!(f, "{}", aligned(&both))
    }
}

/// Lists of operations of one kind. Wall time.
#[derive(Debug, Serialize)]
pub(crate) struct Lists {
    /// Rows stored; what is searched is searched among them, exactly.
    pub(crate) rows: usize,
    pub(crate) of: Vec<ListOf>,
}

#[derive(Debug, Serialize)]
pub(crate) struct ListOf {
    pub(crate) kind: &'static str,
    /// Operations in a list.
    pub(crate) length: usize,
    /// Lists that were timed.
    pub(crate) lists: usize,
    pub(crate) operations_s: Option<f64>,
    /// Of a whole list.
    pub(crate) p50_us: Option<f64>,
    pub(crate) p99_us: Option<f64>,
}

impl fmt::Display for Lists {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or_none = |figure: Option<String>| figure.unwrap_or_else(|| "not measured".to_owned());
        writeln!(
            f,
            "lists of operations, {} rows, exact searches",
            count(self.rows as u64)
        )?;
        write!(
            f,
            "  of                 length  operations/s  P50 of a list  P99 of a list"
        )?;
        for row in &self.of {
            write!(
                f,
                "\n  {:<17}  {:>6}  {:>12}  {:>13}  {:>13}",
                row.kind,
                row.length,
                or_none(row.operations_s.map(rounded)),
                or_none(row.p50_us.map(micros)),
                or_none(row.p99_us.map(micros)),
            )?;
        }
        Ok(())
    }
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
            (
                "until all is indexed",
                rate(self.store.sustained_rows_s, "rows/s"),
            ),
            (
                "indexing alone",
                rate(self.store.index_rows_cpu_s, "rows per CPU second"),
            ),
            (
                "lag when stored",
                format!(
                    "{} rows, gone in {:.1} s",
                    count(self.store.lag_rows),
                    self.store.lag_s
                ),
            ),
            (
                "indexed after opening",
                format!("in {:.2} s", self.store.reindexed_s),
            ),
            ("index in memory", bytes(self.store.index_bytes)),
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
        writeln!(f, "approximate recall, one query at a time")?;
        writeln!(
            f,
            "    ef  recall@10  recall@100  queries/CPU s        P50        P99  P99 of 100"
        )?;
        for row in &self.approximate {
            writeln!(
                f,
                "  {:4}  {:>9}  {:>10}  {:>13}  {:>9}  {:>9}  {:>10}",
                row.ef,
                share(row.recall_at_10),
                share(row.recall_at_100),
                or_none(row.qps_cpu.map(rounded)),
                or_none(row.p50_us.map(micros)),
                or_none(row.p99_us.map(micros)),
                or_none(row.p99_us_of_100.map(micros)),
            )?;
        }
        writeln!(f)?;
        for (how, batches) in [
            ("exact", &self.batch),
            ("approximate", &self.batch_approximate),
        ] {
            writeln!(f, "{how} recall in batches")?;
            for (size, batch) in batches {
                let ratio = or_none(batch.ratio.map(|ratio| format!("{ratio:.2} times single")));
                writeln!(
                    f,
                    "  {size:4} at once  {}, {ratio}",
                    rate(batch.qps_cpu, "queries per CPU second")
                )?;
            }
        }
        if let Some(allocation) = &self.allocation {
            write!(f, "\n{allocation}")?;
        }
        writeln!(f, "\n{}", self.busy)?;
        writeln!(f, "\n{}", self.lists)?;
        write!(f, "\nskipped")?;
        for Skipped { part, why } in &self.skipped {
            write!(f, "\n  {part}: {why}")?;
        }
        Ok(())
    }
}
