//! The graph index: near vectors link to each other, and a search walks along the links.

mod batch;
mod beam;
mod block_walk;
mod blocks;
mod chain;
mod codes;
mod link;
mod linking;
#[cfg(loom)]
#[doc(hidden)]
pub mod models;
mod nodes;
mod options;
mod range;
mod repair;
mod saved;
mod saved_graph;
mod search;
mod visited;
mod walk;

pub use self::options::{Codes, HnswError, HnswOptions, WIDTH_MAX};
pub use self::range::Within;
pub use self::saved::{LoadedGraph, SavedKey};
pub use self::saved_graph::{SavedGraphError, saved_position};
pub use self::search::Nearest;

use self::blocks::Blocks;
use self::codes::{CodeStore, Space};
use self::link::Stripes;
use self::nodes::Nodes;
use self::walk::{Entry, Walker};
use crate::exact::ExactIndex;
use crate::metric::Metric;
use crate::prepared::Prepared;
use crate::vector_index::{Checked, IndexStats, Neighbor, Query, Row, VectorError, VectorIndex};
use cortica_arena::Row as ArenaRow;
use cortica_simd::Isa;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Finds near vectors along a graph whose nodes link to near ones (Malkov and Yashunin, "Efficient
/// and robust approximate nearest neighbor search using hierarchical navigable small world
/// graphs", 2018), beside an exact scan of the same vectors.
///
/// As a [`VectorIndex`] it answers as [`ExactIndex`] does, bit for bit, whatever the state of the
/// graph; [`nearest`](HnswIndex::nearest) answers by the graph. A vector that was inserted is found
/// at once: it waits in a tail that every search looks at until [`link`](HnswIndex::link) has made
/// it part of the graph. A vector that was removed is not found from then on, but walks pass
/// through its node until [`repair`](HnswIndex::repair) has led all links around it.
///
/// All of it can go on at the same time, in any number of threads; what adds or takes away a row
/// waits for the searches that are under way, and repair for links that are being made.
///
/// ```
/// use cortica_index::{HnswIndex, HnswOptions, Metric, Nearest, VectorIndex};
/// use cortica_simd::Isa;
///
/// let index = HnswIndex::new(2, Metric::Cosine, Isa::best(), HnswOptions::default())?;
/// let rows: Vec<_> = (0..100)
///     .map(|step| (step as f32 / 16.0).sin_cos())
///     .map(|(x, y)| index.insert(&[x, y]))
///     .collect::<Result<_, _>>()?;
/// index.link(usize::MAX); // All that wait.
///
/// let (x, y) = 2.0_f32.sin_cos();
/// let found = index.nearest(&[x, y], Nearest { k: 3, ..Nearest::default() })?;
/// assert_eq!(found[0].row, rows[32]);
/// index.remove(rows[32]);
/// assert_ne!(index.nearest(&[x, y], Nearest::default())?[0].row, rows[32]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct HnswIndex {
    exact: ExactIndex,
    options: HnswOptions,
    /// Locked after the vectors of `exact`: for reading by walks, for writing where rows are added
    /// and taken away.
    graph: RwLock<Graph>,
    stripes: Stripes,
    entry: Mutex<Option<Entry>>,
    waiting: Mutex<Waiting>,
    /// Read by whoever makes links, written by repair. Locked before everything else.
    topology: RwLock<()>,
    walkers: Mutex<Vec<Walker>>,
}

#[derive(Debug)]
struct Graph {
    nodes: Nodes,
    codes: CodeStore,
    blocks: Option<Blocks>,
    /// Nodes without codes, the first first.
    uncoded: VecDeque<u32>,
    /// How many nodes were ever added.
    added: u64,
}

/// What is still to be done.
#[derive(Debug, Default)]
struct Waiting {
    /// To be linked, the first first.
    queue: VecDeque<u32>,
    /// Being linked.
    linking: Vec<u32>,
    /// Removed, with links to them.
    removed: Vec<u32>,
}

/// What a graph consists of.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct GraphStats {
    /// Vectors that are part of the graph and can be found.
    pub linked: usize,
    /// Vectors that wait for links; every search looks at all of them.
    pub waiting: usize,
    /// Vectors that were removed and are still passed through.
    pub removed: usize,
    /// Those of `linked` that a walk over the base level can reach.
    pub reachable: usize,
    /// Links of a node on the base level: the mean, and the most there are.
    pub mean_degree: f64,
    /// See `mean_degree`.
    pub max_degree: usize,
    /// Links that lead to removed vectors, on all levels.
    pub links_to_removed: usize,
    /// Bytes of links.
    pub link_bytes: usize,
    /// Bytes of codes.
    pub code_bytes: usize,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that is done under these locks leaves them half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl HnswIndex {
    /// An empty index of vectors of `dimension` values, 1 to [`DIMENSION_MAX`](crate::DIMENSION_MAX).
    pub fn new(
        dimension: usize,
        metric: Metric,
        isa: Isa,
        options: HnswOptions,
    ) -> Result<Self, HnswError> {
        let options = options.checked()?;
        let blocks = (options.codes == Codes::Blocks)
            .then(|| Blocks::new(isa, dimension, options.degree_max(0)));
        Ok(Self {
            exact: ExactIndex::new(dimension, metric, isa)?,
            options,
            graph: RwLock::new(Graph {
                nodes: Nodes::new(options.degree),
                codes: CodeStore::new(options.codes, isa, metric, dimension),
                blocks: blocks.flatten(),
                uncoded: VecDeque::new(),
                added: 0,
            }),
            stripes: Stripes::new(),
            entry: Mutex::new(None),
            waiting: Mutex::new(Waiting::default()),
            topology: RwLock::new(()),
            walkers: Mutex::new(Vec::new()),
        })
    }

    /// How it was made.
    pub fn options(&self) -> HnswOptions {
        self.options
    }

    /// What the vectors alone come to, without graph and codes.
    pub fn vector_stats(&self) -> IndexStats {
        self.exact.stats()
    }

    /// Vectors that wait for links. One that was removed while it waited counts until its turn comes.
    pub fn waiting(&self) -> usize {
        let waiting = lock(&self.waiting);
        waiting.queue.len() + waiting.linking.len()
    }

    fn add_node(&self, row: Row) {
        {
            let mut graph = self.write_graph();
            let level = self.options.level(graph.added);
            graph.added = graph.added.wrapping_add(1); // A saved graph may say any number.
            graph.nodes.add(row.get(), level);
            if let Some(blocks) = &mut graph.blocks {
                blocks.add(row.get());
            }
            graph.uncoded.push_back(row.get());
        }
        lock(&self.waiting).queue.push_back(row.get());
        // Removed before it had a node, by somebody who did not wait to be told the row.
        if self.exact.is_hidden(row.get()) {
            self.withdraw(row.get());
        }
    }

    /// Makes the codes of the nodes that have none yet: before walks, not when a row is inserted,
    /// which so costs little more than a copy. What is inserted meanwhile is left to the next.
    fn encode(&self) {
        /// Rows that are encoded while searches and inserting wait.
        const SLICE: usize = 256;
        let mut left = self.read_graph().uncoded.len();
        while left > 0 {
            let vectors = self.exact.read();
            let reader = vectors.rows.read();
            let mut graph = self.write_graph();
            let Graph { codes, uncoded, .. } = &mut *graph;
            let count = uncoded.len().min(SLICE).min(left);
            for row in uncoded.drain(..count) {
                if let Some(vector) = reader.get(ArenaRow::new(row)) {
                    codes.set(row, vector);
                }
            }
            // Others may have done a part of it.
            left = (left - count).min(uncoded.len());
        }
    }

    /// Has a node that was removed neither be found nor linked to.
    fn withdraw(&self, row: u32) {
        let graph = self.read_graph();
        if graph.nodes.withdraw(row) {
            lock(&self.waiting).removed.push(row);
        }
    }

    /// Frees nodes that nothing links to.
    fn take_away(&self, rows: &[u32]) {
        {
            let mut graph = self.write_graph();
            for &row in rows {
                graph.nodes.free(row);
                if let Some(blocks) = &mut graph.blocks {
                    blocks.free(row);
                }
            }
        }
        self.exact.release(rows);
    }

    fn walker(&self) -> Walker {
        lock(&self.walkers).pop().unwrap_or_default()
    }

    /// Kept for the next search, unless there are enough, as each has a bit for every row, or it walked so
    /// widely that what it holds is much: of the widest, some megabytes.
    fn give_back(&self, walker: Walker) {
        const KEPT_MAX: usize = 64;
        const WIDTH_KEPT_MAX: usize = 4_096;
        let mut walkers = lock(&self.walkers);
        if walkers.len() < KEPT_MAX && walker.beam.room() <= WIDTH_KEPT_MAX {
            walkers.push(walker);
        }
    }

    /// Lends what walks read. Locks are taken in this order everywhere.
    fn with_space<R>(&self, visit: impl FnOnce(Space<'_>, &Nodes) -> R) -> R {
        let vectors = self.exact.read();
        let graph = self.read_graph();
        let reader = vectors.rows.read();
        let space = Space {
            store: &graph.codes,
            vectors: &vectors,
            reader: &reader,
            blocks: graph.blocks.as_ref(),
            uncoded: &graph.uncoded,
        };
        visit(space, &graph.nodes)
    }

    fn read_graph(&self) -> RwLockReadGuard<'_, Graph> {
        self.graph.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_graph(&self) -> RwLockWriteGuard<'_, Graph> {
        self.graph.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl VectorIndex for HnswIndex {
    fn dimension(&self) -> usize {
        self.exact.dimension()
    }

    fn metric(&self) -> Metric {
        self.exact.metric()
    }

    fn len(&self) -> usize {
        self.exact.len()
    }

    fn check(&self, vector: &[f32]) -> Result<Checked, VectorError> {
        self.exact.check(vector)
    }

    fn reserve(&self, additional: usize) -> Result<(), VectorError> {
        self.exact.reserve(additional)
    }

    fn prepare(&self, vector: &[f32], checked: Checked) -> Result<Prepared<'_>, VectorError> {
        self.exact.prepare(vector, checked)
    }

    fn insert_prepared(&self, prepared: Prepared<'_>) -> Result<Row, VectorError> {
        let row = self.exact.insert_prepared(prepared)?;
        self.add_node(row);
        Ok(row)
    }

    fn remove(&self, row: Row) -> bool {
        let row = row.get();
        if !self.exact.hide(row) {
            return false;
        }
        self.withdraw(row);
        true
    }

    fn holds(&self, row: Row, vector: &[f32]) -> bool {
        self.exact.holds(row, vector)
    }

    fn vector(&self, row: Row) -> Option<Vec<f32>> {
        self.exact.vector(row)
    }

    fn search(&self, query: &[f32], k: usize) -> Result<Vec<Neighbor>, VectorError> {
        self.exact.search(query, k)
    }

    fn search_within(&self, query: &[f32], threshold: f32) -> Result<Vec<Neighbor>, VectorError> {
        self.exact.search_within(query, threshold)
    }

    fn search_many(&self, queries: &[Query<'_>]) -> Vec<Result<Vec<Neighbor>, VectorError>> {
        self.exact.search_many(queries)
    }

    fn stats(&self) -> IndexStats {
        let exact = self.exact.stats();
        let graph = self.read_graph();
        let blocks = graph.blocks.as_ref().map_or(0, Blocks::bytes);
        let bytes = graph.nodes.bytes() + graph.codes.bytes() + blocks;
        IndexStats {
            bytes: exact.bytes + bytes as u64,
            ..exact
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hnsw::nodes::State;
    use cortica_testkit::bundle;

    fn links(index: &HnswIndex) -> Vec<Vec<u32>> {
        let graph = index.read_graph();
        let nodes = &graph.nodes;
        let of_row = |row: u32| {
            (0..=nodes.level(row)).map(move |level| nodes.links(row, level).collect::<Vec<_>>())
        };
        (0..nodes.rows() as u32).flat_map(of_row).collect()
    }

    #[test]
    fn one_thread_builds_the_same_graph_every_time() {
        let build = |seed: u64| {
            let options = HnswOptions {
                seed,
                ..HnswOptions::default()
            };
            let index = HnswIndex::new(768, Metric::Cosine, Isa::best(), options).unwrap();
            for vector in bundle().rows.chunks(768).take(600) {
                index.insert(vector).unwrap();
                index.link(1);
            }
            links(&index)
        };
        assert_eq!(build(1), build(1));
        assert_ne!(build(1), build(2));
    }

    #[test]
    fn links_lead_from_both_ends_at_first_and_never_to_the_node_itself() {
        let index = HnswIndex::new(2, Metric::L2, Isa::best(), HnswOptions::default()).unwrap();
        for x in 0..10_u8 {
            index.insert(&[f32::from(x), 0.0]).unwrap();
        }
        assert_eq!(index.link(4), 4);
        assert_eq!(
            (index.waiting(), index.link(usize::MAX), index.link(1)),
            (6, 6, 0)
        );
        let graph = index.read_graph();
        for row in 0..10 {
            let links: Vec<u32> = graph.nodes.links(row, 0).collect();
            assert!(
                !links.contains(&row) && !links.is_empty(),
                "{row}: {links:?}"
            );
            let back = |&link: &u32| graph.nodes.links(link, 0).any(|back| back == row);
            assert!(links.iter().all(back), "there is room for all");
        }
    }

    fn on_a_line(count: u8) -> HnswIndex {
        let index = HnswIndex::new(2, Metric::L2, Isa::best(), HnswOptions::default()).unwrap();
        for x in 0..count {
            index.insert(&[f32::from(x), 0.0]).unwrap();
        }
        index
    }

    #[test]
    fn what_no_link_leads_to_is_still_found_where_too_little_is() {
        let index = on_a_line(200);
        index.link(usize::MAX);
        let nodes = &index.read_graph().nodes;
        for row in 0..200 {
            (0..=nodes.level(row)).for_each(|level| nodes.set_links(row, level, &[]));
        }
        let found = index.nearest(&[50.0, 0.0], Nearest::default()).unwrap();
        let exact = index.search(&[50.0, 0.0], 10).unwrap();
        assert_eq!(found, exact);
    }

    #[test]
    fn a_node_that_is_removed_during_a_repair_links_to_no_freed_row() {
        let index = on_a_line(100);
        index.link(usize::MAX);
        assert!(index.remove(Row::new(40)));
        {
            // As if it were removed after the repair has begun: it is not on its list.
            let nodes = &index.read_graph().nodes;
            assert!(nodes.links(41, 0).any(|link| link == 40));
            assert!(nodes.change(41, State::Linked, State::Removed));
        }
        assert_eq!(index.repair(), 1);
        let nodes = &index.read_graph().nodes;
        assert_eq!(nodes.state(40), State::Free);
        for row in 0..100 {
            assert!(nodes.links(row, 0).all(|link| link != 40), "{row}");
        }
    }

    #[test]
    fn what_is_removed_before_it_has_a_node_is_not_found() {
        let index = on_a_line(20);
        index.link(usize::MAX);
        let row = index.exact.insert(&[7.0, 0.0]).unwrap();
        assert!(index.remove(row));
        index.add_node(row);
        let found = || index.nearest(&[7.0, 0.0], Nearest::default()).unwrap();
        assert!(found().iter().all(|near| near.row != row));
        index.link(usize::MAX);
        assert!(found().iter().all(|near| near.row != row));
        index.repair();
        assert_eq!((index.unreleased(), index.len()), (0, 20));
    }

    #[test]
    fn figures_can_be_had_while_the_first_links_are_made() {
        for _ in 0..300 {
            let index = on_a_line(3);
            std::thread::scope(|scope| {
                scope.spawn(|| index.link(usize::MAX));
                while index.waiting() > 0 {
                    assert!(index.graph_stats().reachable <= 3);
                }
            });
        }
    }
}
