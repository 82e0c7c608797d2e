//! The bundled data: a small cut of a data folder, as per-row-scaled i8.
//!
//! Deterministic: the same folder gives the same bytes, on any machine and any day. Everything is
//! computed from the bundled values as a reader gets them back, not from the originals.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use cortica_formats::{U32Table, write_npy_f32, write_npy_i8};
use cortica_testkit::{Dataset, TRUTH_COLUMNS, brute_force, load, split_of};

/// How many rows are kept: the first ones.
const ROWS_MAX: usize = 4_096;

/// What the folder may weigh: it is compiled into the command-line program.
const BYTES_MAX: u64 = 4_000_000;

const LICENCE: &str = "LICENCE-WordNet-3.0.txt";

/// Writes the bundle of the folder `from` into the folder `to`, and says what it weighs.
///
/// `from` needs `X.npy`, `q.npy`, `items.tsv`, `queries.tsv`, `edges.u32`, `edge_types.tsv`, and
/// the licence notice in it or beside it. A `README.md` in `to` is left alone.
pub(crate) fn run(from: &Path, to: &Path) -> Result<()> {
    let data = load(from)?;
    let rows = data.len().min(ROWS_MAX);
    let complete = !data.items.is_empty() && !data.query_infos.is_empty();
    ensure!(
        complete,
        "{} has no items.tsv or no queries.tsv",
        from.display()
    );
    // A query whose concept was cut away has no right answer left.
    let queries: Vec<usize> = (0..data.query_count())
        .filter(|q| (data.query_infos[*q].source as usize) < rows)
        .collect();
    ensure!(
        rows >= TRUTH_COLUMNS,
        "{rows} rows are fewer than the {TRUTH_COLUMNS} neighbours listed"
    );
    fs::create_dir_all(to).with_context(|| format!("cannot create {}", to.display()))?;

    let d = data.dimension;
    let kept = Quantised::of(&data.rows[..rows * d], d);
    kept.write(to, "X")?;
    let asked: Vec<f32> = queries
        .iter()
        .flat_map(|q| data.query(*q))
        .copied()
        .collect();
    let asked = Quantised::of(&asked, d);
    asked.write(to, "q")?;

    let (values, cues) = (kept.values(), asked.values());
    let truth = cues
        .chunks_exact(d)
        .flat_map(|cue| brute_force(&values, d, cue, TRUTH_COLUMNS));
    let truth = truth.map(|(row, _)| row as u32).collect();
    U32Table::new(TRUTH_COLUMNS, truth)?.write(&to.join("gt100.u32"))?;
    let inside = |edge: &&[u32; 3]| edge[..2].iter().all(|row| (*row as usize) < rows);
    let edges = data
        .edges
        .iter()
        .filter(inside)
        .flatten()
        .copied()
        .collect();
    U32Table::new(3, edges)?.write(&to.join("edges.u32"))?;
    put(&to.join("items.tsv"), items(&data, rows).as_bytes())?;
    put(
        &to.join("queries.tsv"),
        queries_tsv(&data, &queries).as_bytes(),
    )?;
    copy(&from.join("edge_types.tsv"), &to.join("edge_types.tsv"))?;
    copy(&licence(from)?, &to.join(LICENCE))?;

    let mut bytes = 0;
    for entry in fs::read_dir(to)? {
        bytes += entry?.metadata()?.len();
    }
    println!(
        "{}: {rows} rows, {} queries, {bytes} bytes",
        to.display(),
        queries.len()
    );
    if bytes >= BYTES_MAX {
        bail!("the bundle weighs {bytes} bytes, {BYTES_MAX} are too many: lower ROWS_MAX");
    }
    Ok(())
}

/// Rows of bytes, each with the scale that its bytes are to be multiplied by.
struct Quantised {
    dimension: usize,
    bytes: Vec<i8>,
    scales: Vec<f32>,
}

impl Quantised {
    /// The scale maps the largest value of the row to 127, so that none is cut off.
    fn of(values: &[f32], dimension: usize) -> Quantised {
        let (mut bytes, mut scales) = (Vec::with_capacity(values.len()), Vec::new());
        for row in values.chunks_exact(dimension) {
            // The rows of the sources were rounded after they were normalised.
            let norm = row
                .iter()
                .map(|v| f64::from(*v).powi(2))
                .sum::<f64>()
                .sqrt();
            let norm = if norm > 0.0 { norm } else { 1.0 };
            let largest = row.iter().fold(0.0_f32, |max, v| max.max(v.abs()));
            let scale = (f64::from(largest) / norm / 127.0) as f32;
            let scale = if scale > 0.0 { scale } else { 1.0 };
            scales.push(scale);
            let quotient = |v: &f32| f64::from(*v) / norm / f64::from(scale);
            bytes.extend(row.iter().map(|v| quotient(v).round_ties_even() as i8));
        }
        Quantised {
            dimension,
            bytes,
            scales,
        }
    }

    /// What a reader gets back: one multiplication in f32 per value.
    fn values(&self) -> Vec<f32> {
        let rows = self.bytes.chunks_exact(self.dimension).zip(&self.scales);
        rows.flat_map(|(row, scale)| row.iter().map(move |b| f32::from(*b) * scale))
            .collect()
    }

    fn write(&self, to: &Path, name: &str) -> Result<()> {
        let rows = self.scales.len();
        write_npy_i8(
            &to.join(format!("{name}.npy")),
            rows,
            self.dimension,
            &self.bytes,
        )?;
        write_npy_f32(
            &to.join(format!("{name}_scales.npy")),
            rows,
            1,
            &self.scales,
        )?;
        Ok(())
    }
}

/// Row, id, text, side of the split.
fn items(data: &Dataset, rows: usize) -> String {
    let lines = data.items[..rows].iter().enumerate();
    let lines = lines.map(|(row, item)| {
        let split = split_of(&item.id).as_str();
        format!("{row}\t{}\t{}\t{split}\n", item.id, item.text)
    });
    lines.collect()
}

/// Query, kind, source row, text; queries are numbered anew.
fn queries_tsv(data: &Dataset, queries: &[usize]) -> String {
    let lines = queries.iter().enumerate().map(|(at, query)| {
        let query = &data.query_infos[*query];
        format!("{at}\t{}\t{}\t{}\n", query.kind, query.source, query.text)
    });
    lines.collect()
}

fn licence(from: &Path) -> Result<PathBuf> {
    let places = [from.join(LICENCE), from.join("..").join(LICENCE)];
    let found = places.into_iter().find(|path| path.is_file());
    found.with_context(|| format!("no {LICENCE} in or beside {}", from.display()))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let bytes = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
    put(to, &bytes)
}

fn put(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}
