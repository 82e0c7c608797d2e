//! Searches by the graph.

use crate::filter::Filter;
use crate::hnsw::beam::Near;
use crate::hnsw::codes::Space;
use crate::hnsw::nodes::Nodes;
use crate::hnsw::options::Codes;
use crate::hnsw::walk::Walker;
use crate::hnsw::{HnswIndex, WIDTH_MAX, lock};
use crate::vector_index::{Neighbor, Query, Row, VectorError};

/// How to search.
#[derive(Clone, Copy, Debug)]
pub struct Nearest<'a> {
    /// How many to find.
    pub k: usize,
    /// How many candidates a walk keeps (ef), up to [`WIDTH_MAX`], and never fewer than `k`: more
    /// finds more and takes longer.
    pub width: usize,
    /// What may be found.
    pub filter: Filter<'a>,
}

impl Default for Nearest<'_> {
    fn default() -> Self {
        Self {
            k: 10,
            width: 64,
            filter: Filter::All,
        }
    }
}

/// Rows that are asked to estimate how many a predicate lets through.
const SAMPLE: usize = 256;

impl Nearest<'_> {
    /// The candidates to keep in a search for `k`.
    pub(crate) fn width_for(&self, k: usize) -> usize {
        self.width.clamp(1, WIDTH_MAX).max(k)
    }
}

impl HnswIndex {
    /// About the `k` nearest vectors that the filter lets through, and what among the candidates
    /// ties with the last of them, by score descending, then row ascending; scores are those of the
    /// exact search. Fewer only where fewer are let through.
    ///
    /// How many of the true nearest are found depends on the data, the codes and the width. Where a
    /// filter lets through so few that comparing them all is no more work than a walk, that is what
    /// is done, and the answer is exact.
    pub fn nearest(&self, query: &[f32], how: Nearest<'_>) -> Result<Vec<Neighbor>, VectorError> {
        let query = Query {
            vector: query,
            k: how.k,
        };
        let found = self.nearest_many(&[query], how).pop();
        found.unwrap_or_else(|| Ok(Vec::new()))
    }

    /// What waits for links. Asked for before a walk begins: what is linked while it goes on may lie
    /// behind it.
    pub(super) fn tail(&self) -> Vec<u32> {
        let waiting = lock(&self.waiting);
        let rows = waiting.queue.iter().chain(&waiting.linking);
        rows.copied().collect()
    }

    /// What a walk has found, and what waited when it began: candidates for scores.
    pub(super) fn candidates(
        &self,
        space: Space<'_>,
        nodes: &Nodes,
        walker: &mut Walker,
        (k, width): (usize, usize),
        tail: &[u32],
        lets: impl Fn(u32) -> bool + Copy,
    ) -> Vec<u32> {
        if space.blocks.is_some() {
            walker.keep_scored();
            walker.walk_past_copies(space, nodes, (k, width), lets);
        }
        // What was inserted since the search began has no codes: it is scored in any case.
        let uncoded = space.uncoded.iter().copied().filter(|&row| lets(row));
        let coded = |row: &u32| lets(*row) && !space.uncoded.contains(row);
        let mut tail: Vec<u32> = tail.iter().copied().filter(coded).collect();
        if !tail.is_empty() {
            // The walk finds what is linked while it goes on. Offered again it would count twice
            // among the `k`, and one would be missing in the end.
            let mut found: Vec<u32> = walker.beam.found().map(|near| near.row).collect();
            found.sort_unstable();
            tail.retain(|row| found.binary_search(row).is_err());
            walker.offer_all(space, &tail);
        }
        let mut rows = self.worth_scoring(space, walker, k);
        rows.extend(uncoded);
        rows.sort_unstable();
        rows.dedup(); // A row that was given up and given again may stand among those without codes twice.
        rows
    }

    /// Those of a walk's candidates that may be among the `k` best by score, as far as their keys
    /// tell, and no more than about twice `k`, or 16 times as many as `k` where keys cannot tell those apart. One is
    /// missed only where rounding errors, which are
    /// taken to point anywhere, add up to more than the margin.
    fn worth_scoring(&self, space: Space<'_>, walker: &Walker, k: usize) -> Vec<u32> {
        /// How many standard deviations two keys together may be off.
        const DEVIATIONS: f32 = 6.0;
        /// How many times as many are scored where keys cannot tell them apart.
        const BEYOND: usize = 8;
        let found = walker.beam.found();
        let Some(last) = found.clone().nth(k - 1) else {
            return found.map(|near| near.row).collect();
        };
        let enough = match self.options.codes {
            Codes::Signs => usize::MAX,
            Codes::F32 | Codes::I8 | Codes::Blocks => k.saturating_mul(2).max(k + 16),
        };
        let off = |row| space.key_deviation(&walker.query, row);
        let of_last = off(last.row);
        let nth = |number: usize| found.clone().nth(number - 1);
        // Where even the last of so many is as near as the k-th, as far as codes tell, more may be nearer
        // than both. By f32 little is unknown.
        let is_told_apart = |end: &Near| {
            let both = of_last + off(end.row);
            both.is_infinite() || end.key + both < last.key
        };
        let end = nth(enough).and_then(|end| {
            let beyond = || nth(enough.saturating_mul(BEYOND));
            if is_told_apart(&end) {
                Some(end)
            } else {
                beyond()
            }
        });
        let least = end.map_or(f32::NEG_INFINITY, |end| end.key);
        let worth = found.filter(|near| {
            let best = near.key + DEVIATIONS * (of_last + off(near.row));
            near.key >= last.key || near.key >= least && best >= last.key
        });
        worth.map(|near| near.row).collect()
    }

    /// The rows that are let through, where those are so few that comparing them all is no more
    /// work than walking past the others.
    pub(super) fn few(
        &self,
        live: usize,
        nodes: &Nodes,
        filter: Filter<'_>,
        width: usize,
        lets: impl Fn(u32) -> bool,
    ) -> Option<Vec<u32>> {
        let rows = nodes.rows() as u32;
        let few = |matches: usize| {
            // A walk past what is not let through keeps `width` of all that it passes, and looks
            // at about half of each one's links; an f32 score costs some four keys.
            let share = (matches as f64 / live.max(1) as f64).max(1e-9);
            let walk = width as f64 / share * self.options.degree as f64;
            (4 * matches) as f64 <= walk || matches <= width
        };
        match filter {
            Filter::All => (live <= width).then(|| (0..rows).filter(|&row| lets(row)).collect()),
            Filter::Rows(set) => few(set.len()).then(|| {
                let rows = set.iter().map(Row::get);
                rows.filter(|&row| lets(row)).collect()
            }),
            Filter::Predicate(_) => {
                let step = (rows as usize / SAMPLE).max(1);
                let asked = (0..rows).step_by(step);
                let let_through = asked.clone().filter(|&row| lets(row)).count();
                let matches = let_through * rows as usize / asked.len().max(1);
                few(matches).then(|| (0..rows).filter(|&row| lets(row)).collect())
            }
        }
    }
}
