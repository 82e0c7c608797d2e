//! Searches by the graph.

use crate::filter::Filter;
use crate::hnsw::codes::Space;
use crate::hnsw::nodes::{Nodes, State};
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
        let mut walker = self.walker();
        let found = self.nearest_by(&mut walker, &query, how);
        self.give_back(walker);
        found
    }

    /// [`nearest`](HnswIndex::nearest) of each query, which brings its own `k`.
    pub fn nearest_many(
        &self,
        queries: &[Query<'_>],
        how: Nearest<'_>,
    ) -> Vec<Result<Vec<Neighbor>, VectorError>> {
        let mut walker = self.walker();
        let found = queries
            .iter()
            .map(|query| self.nearest_by(&mut walker, query, how))
            .collect();
        self.give_back(walker);
        found
    }

    fn nearest_by(
        &self,
        walker: &mut Walker,
        query: &Query<'_>,
        how: Nearest<'_>,
    ) -> Result<Vec<Neighbor>, VectorError> {
        let query = self.exact.admit_query(query)?;
        let width = how.width.clamp(1, WIDTH_MAX).max(query.k);
        Ok(self.with_space(|space, nodes| {
            let is_there = |row: u32| matches!(nodes.state(row), State::Linked | State::Pending);
            let lets = |row: u32| is_there(row) && how.filter.lets(row);
            let live = space.vectors.len();
            let rows = self.few(live, nodes, how.filter, width, lets);
            let rows = rows.unwrap_or_else(|| {
                let rows = self.walked(space, nodes, walker, &query.vector, width, lets);
                if rows.len() < query.k {
                    // Some cannot be reached: better slow than short of what there is.
                    return (0..nodes.rows() as u32).filter(|&row| lets(row)).collect();
                }
                rows
            });
            let (vectors, reader) = (space.vectors, space.reader);
            self.exact.rank(vectors, reader, &query, rows.into_iter())
        }))
    }

    /// What a walk finds, and what waits.
    fn walked(
        &self,
        space: Space<'_>,
        nodes: &Nodes,
        walker: &mut Walker,
        query: &[f32],
        width: usize,
        lets: impl Fn(u32) -> bool + Copy,
    ) -> Vec<u32> {
        space.prepare(query, &mut walker.query);
        let entry = *lock(&self.entry);
        if let Some(entry) = entry {
            let near = walker.descend(space, nodes, entry, 0);
            walker.begin(nodes, width, &[near], lets);
            walker.walk(space, nodes, 0, lets);
        } else {
            walker.begin(nodes, width, &[], lets);
        }
        let mut tail: Vec<u32> = {
            let waiting = lock(&self.waiting);
            let rows = waiting.queue.iter().chain(&waiting.linking);
            rows.copied().collect()
        };
        tail.retain(|&row| lets(row));
        walker.offer_all(space, &tail);
        let mut rows: Vec<u32> = walker.beam.found().map(|near| near.row).collect();
        // A row that is being linked can be found both ways.
        rows.sort_unstable();
        rows.dedup();
        rows
    }

    /// The rows that are let through, where those are so few that comparing them all is no more
    /// work than walking past the others.
    fn few(
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
