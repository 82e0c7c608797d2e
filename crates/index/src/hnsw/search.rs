//! Searches by the graph.

use crate::filter::Filter;
use crate::hnsw::codes::Space;
use crate::hnsw::nodes::State;
use crate::hnsw::walk::Walker;
use crate::hnsw::{Graph, HnswIndex, WIDTH_MAX, lock};
use crate::vector_index::{Neighbor, Query, Row, VectorError};
use crate::vectors::Vectors;

/// How to search.
#[derive(Clone, Copy, Debug)]
pub struct Nearest<'a> {
    /// How many to find.
    pub k: usize,
    /// How many candidates a walk keeps (ef): more finds more and takes longer. At least `k` is
    /// kept, at most [`WIDTH_MAX`].
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
        let vectors = self.exact.read();
        let graph = self.read_graph();
        let reader = vectors.rows.read();
        let space = Space {
            store: &graph.codes,
            vectors: &vectors,
            reader: &reader,
        };
        let width = how.width.clamp(1, WIDTH_MAX).max(query.k);
        let is_there = |row: u32| matches!(graph.nodes.state(row), State::Linked | State::Pending);
        let lets = |row: u32| is_there(row) && how.filter.lets(row);
        if let Some(rows) = self.few(&vectors, &graph, how.filter, width, lets) {
            return Ok(self.exact.rank(&vectors, &reader, &query, rows.into_iter()));
        }
        space.prepare(&query.vector, &mut walker.query);
        let entry = *lock(&self.entry);
        if let Some(entry) = entry {
            let near = walker.descend(space, &graph.nodes, entry, 0);
            walker.begin(&graph.nodes, width, &[near], lets);
            walker.walk(space, &graph.nodes, 0, lets);
        } else {
            walker.begin(&graph.nodes, width, &[], lets);
        }
        let mut tail: Vec<u32> = {
            let waiting = lock(&self.waiting);
            waiting
                .queue
                .iter()
                .chain(&waiting.linking)
                .copied()
                .collect()
        };
        tail.retain(|&row| lets(row));
        walker.offer_all(space, &tail);
        let mut rows: Vec<u32> = walker.beam.found().map(|near| near.row).collect();
        // A row that is being linked can be found both ways.
        rows.sort_unstable();
        rows.dedup();
        Ok(self.exact.rank(&vectors, &reader, &query, rows.into_iter()))
    }

    /// The rows that are let through, where those are so few that comparing them all is no more
    /// work than walking past the others.
    fn few(
        &self,
        vectors: &Vectors,
        graph: &Graph,
        filter: Filter<'_>,
        width: usize,
        lets: impl Fn(u32) -> bool,
    ) -> Option<Vec<u32>> {
        let live = vectors.len();
        let rows = graph.nodes.rows() as u32;
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
                let matches = let_through * live / asked.len().max(1);
                few(matches).then(|| (0..rows).filter(|&row| lets(row)).collect())
            }
        }
    }
}
