//! A data folder: rows, queries, and what the right answers are.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, bail};
use cortica_formats::{U32Table, read_tsv};

use crate::truth::{Best, cosine};
use crate::vectors::Vectors;

/// The deepest recall that is judged.
pub(crate) const K_MAX: usize = 100;

/// Queries whose neighbours are computed here when the folder does not bring them.
const BRUTE_QUERIES_MAX: usize = 200;
/// ... fewer if that would take more than about a minute: multiplications in all.
const BRUTE_WORK_MAX: usize = 40_000_000_000;
/// ... but never fewer than this.
const BRUTE_QUERIES_MIN: usize = 10;

/// Rows read at once.
pub(crate) const BLOCK_ROWS: usize = 1_000;

/// A data folder with everything about it checked.
#[derive(Debug)]
pub(crate) struct Data {
    rows: Vectors,
    /// Held in memory: they are asked again and again.
    pub(crate) queries: Vec<Vec<f32>>,
    /// The source row of each query, where `queries.tsv` is there and names one.
    pub(crate) sources: Option<Vec<Option<usize>>>,
    neighbours: Option<U32Table>,
    /// Rows that the store refused: they are nobody's neighbours.
    left_out: HashSet<usize>,
}

/// What there is to find for a query among its k nearest rows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Nearest {
    /// The exact score of the last of them.
    pub(crate) kth: f64,
    /// How many they are: k, or fewer where fewer are stored or known.
    pub(crate) count: usize,
}

impl Data {
    pub(crate) fn open(folder: &Path) -> anyhow::Result<Self> {
        let rows = Vectors::open(&folder.join("X.npy"))?;
        let mut file = Vectors::open(&folder.join("q.npy"))?;
        if file.dimension() != rows.dimension() {
            bail!(
                "{}: dimension: got {}, but X.npy has {}",
                file.path().display(),
                file.dimension(),
                rows.dimension()
            );
        }
        if rows.rows() == 0 || file.rows() == 0 {
            bail!(
                "{}: X.npy and q.npy need at least one row each",
                folder.display()
            );
        }
        let count = file.rows();
        let queries = file.read(0, count)?;
        let neighbours = read_neighbours(&folder.join("gt100.u32"), count, rows.rows())?;
        let sources = read_sources(&folder.join("queries.tsv"), count, rows.rows())?;
        Ok(Self {
            rows,
            queries,
            sources,
            neighbours,
            left_out: HashSet::new(),
        })
    }

    pub(crate) fn count(&self) -> usize {
        self.rows.rows()
    }

    pub(crate) fn dimension(&self) -> usize {
        self.rows.dimension()
    }

    /// Whether the folder brings the neighbours along.
    pub(crate) fn has_neighbours(&self) -> bool {
        self.neighbours.is_some()
    }

    pub(crate) fn read(&mut self, from: usize, count: usize) -> anyhow::Result<Vec<Vec<f32>>> {
        self.rows.read(from, count)
    }

    /// The exact score of a row, computed from the file.
    pub(crate) fn score(&mut self, query: usize, row: usize) -> anyhow::Result<f64> {
        let rows = self.read(row, 1)?;
        Ok(rows
            .first()
            .map_or(0.0, |row| cosine(&self.queries[query], row)))
    }

    /// Takes rows that the store refused out of the truth: no recall can find them.
    pub(crate) fn leave_out(&mut self, rows: HashSet<usize>) {
        for source in self.sources.iter_mut().flatten() {
            *source = source.filter(|row| !rows.contains(row));
        }
        self.left_out = rows;
    }

    /// What there is to find for each of the first queries, for each of `ks`. A k beyond the
    /// neighbours that the folder names gives None.
    pub(crate) fn nearest(&mut self, ks: [usize; 2]) -> anyhow::Result<Vec<[Option<Nearest>; 2]>> {
        let Some(table) = self.neighbours.take() else {
            return self.brute_force(ks);
        };
        let n = self.count();
        let stored = n - self.left_out.len();
        let mut all = Vec::with_capacity(self.queries.len());
        for query in 0..self.queries.len() {
            let named = table.row(query);
            let known: Vec<usize> = named
                .iter()
                .map(|row| *row as usize)
                .filter(|row| !self.left_out.contains(row))
                .collect();
            let mut nearest = [None; 2];
            for (nearest, k) in nearest.iter_mut().zip(ks) {
                if named.len() < k.min(n) && known.len() < k.min(stored) {
                    continue;
                }
                let count = k.min(known.len());
                let kth = match count.checked_sub(1) {
                    Some(last) => self.score(query, known[last])?,
                    None => 0.0, // All that the folder names were refused.
                };
                *nearest = Some(Nearest { kth, count });
            }
            all.push(nearest);
        }
        Ok(all)
    }

    fn brute_force(&mut self, ks: [usize; 2]) -> anyhow::Result<Vec<[Option<Nearest>; 2]>> {
        let (n, d) = (self.count(), self.dimension());
        let affordable = BRUTE_WORK_MAX / n.saturating_mul(d).max(1);
        let judged = affordable
            .clamp(BRUTE_QUERIES_MIN, BRUTE_QUERIES_MAX)
            .min(self.queries.len());
        let mut best = vec![Best::new(K_MAX); judged];
        for from in (0..n).step_by(BLOCK_ROWS) {
            let rows = self.read(from, BLOCK_ROWS)?;
            let rows: Vec<Vec<f32>> = (from..)
                .zip(rows)
                .filter(|(row, _)| !self.left_out.contains(row))
                .map(|(_, values)| values)
                .collect();
            for (best, query) in best.iter_mut().zip(&self.queries) {
                for row in &rows {
                    best.offer(cosine(query, row));
                }
            }
        }
        let stored = n - self.left_out.len();
        let nearest = |best: &Best, k: usize| {
            let count = k.min(stored);
            best.kth(k).map(|kth| Nearest { kth, count })
        };
        Ok(best
            .iter()
            .map(|best| ks.map(|k| nearest(best, k)))
            .collect())
    }
}

/// As many columns as there are bytes for: 100, or fewer where there are fewer rows.
fn read_neighbours(path: &Path, queries: usize, rows: usize) -> anyhow::Result<Option<U32Table>> {
    let in_file = || path.display().to_string();
    if !path.exists() {
        return Ok(None);
    }
    let bytes = fs::metadata(path).with_context(in_file)?.len();
    let row_bytes = bytes / queries as u64;
    if bytes == 0 || row_bytes * queries as u64 != bytes || !row_bytes.is_multiple_of(4) {
        bail!(
            "{}: {bytes} bytes are no table of u32 for {queries} queries",
            path.display()
        );
    }
    let table = U32Table::read(path, row_bytes as usize / 4).with_context(in_file)?;
    if let Some(row) = table.values().iter().find(|row| **row as usize >= rows) {
        bail!(
            "{}: row {row} is not in X.npy, which has {rows} rows",
            path.display()
        );
    }
    Ok(Some(table))
}

/// Lines of row, kind, source row, text; a query whose source is not among the rows has none.
fn read_sources(
    path: &Path,
    queries: usize,
    rows: usize,
) -> anyhow::Result<Option<Vec<Option<usize>>>> {
    if !path.exists() {
        return Ok(None);
    }
    let lines = read_tsv(path, 3).with_context(|| path.display().to_string())?;
    let mut sources = vec![None; queries];
    for (i, columns) in lines.iter().enumerate() {
        let number = |field: &str, column: usize| {
            let text = &columns[column];
            text.parse::<usize>().with_context(|| {
                format!(
                    "{} line {}: {field}: `{text}` is not a number",
                    path.display(),
                    i + 1
                )
            })
        };
        let (query, source) = (number("row", 0)?, number("source row", 2)?);
        if let Some(slot) = sources.get_mut(query) {
            *slot = (source < rows).then_some(source);
        }
    }
    Ok(Some(sources))
}
