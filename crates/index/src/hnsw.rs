//! The graph index: near vectors link to each other, and a search walks along the links.

mod beam;
mod codes;
mod link;
mod nodes;
mod options;
mod repair;
mod search;
mod visited;
mod walk;

pub use self::options::{Codes, HnswError, HnswOptions, WIDTH_MAX};
pub use self::search::Nearest;

use self::codes::{CodeStore, Space};
use self::link::{Chooser, Stripes};
use self::nodes::{Nodes, State};
use self::walk::{Entry, Walker};
use crate::exact::ExactIndex;
use crate::metric::Metric;
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
        Ok(Self {
            exact: ExactIndex::new(dimension, metric, isa)?,
            options,
            graph: RwLock::new(Graph {
                nodes: Nodes::new(options.degree),
                codes: CodeStore::new(options.codes, isa, metric, dimension),
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

    /// The exact scan of the same vectors.
    pub fn exact(&self) -> &ExactIndex {
        &self.exact
    }

    /// Vectors that wait for links.
    pub fn waiting(&self) -> usize {
        let waiting = lock(&self.waiting);
        waiting.queue.len() + waiting.linking.len()
    }

    /// Makes the first `count` of the vectors that wait part of the graph; how many there were.
    /// Each costs about as much as a search as wide as [`HnswOptions::build_width`] and a part for
    /// its neighbours. Threads that link at the same time share the work.
    ///
    /// One thread that does all of it makes the same graph of the same vectors, every time.
    pub fn link(&self, count: usize) -> usize {
        let mut chooser = Chooser::default();
        let mut walker = self.walker();
        let linked = (0..count)
            .take_while(|_| self.link_next(&mut walker, &mut chooser))
            .count();
        self.give_back(walker);
        linked
    }

    /// [`link`](HnswIndex::link)s all that wait with so many threads; how many there were.
    pub fn link_all(&self, threads: usize) -> usize {
        let all = || self.link(usize::MAX);
        std::thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(all)).collect();
            let mine = all();
            let of_others = others.into_iter().map(|other| other.join().unwrap_or(0));
            mine + of_others.sum::<usize>()
        })
    }

    fn link_next(&self, walker: &mut Walker, chooser: &mut Chooser) -> bool {
        let _unchanged = self.topology.read().unwrap_or_else(PoisonError::into_inner);
        let row = {
            let mut waiting = lock(&self.waiting);
            let Some(row) = waiting.queue.pop_front() else {
                return false;
            };
            waiting.linking.push(row);
            row
        };
        let was_dropped = {
            let vectors = self.exact.read();
            let graph = self.read_graph();
            let dropped = graph.nodes.state(row) == State::Dropped;
            if !dropped {
                let reader = vectors.rows.read();
                let space = Space {
                    store: &graph.codes,
                    vectors: &vectors,
                    reader: &reader,
                };
                self.link_row(space, &graph.nodes, row, walker, chooser);
            }
            dropped
        };
        let mut waiting = lock(&self.waiting);
        waiting.linking.retain(|linking| *linking != row);
        if was_dropped {
            drop(waiting);
            self.take_away(&[row]);
        } else if !self
            .read_graph()
            .nodes
            .change(row, State::Pending, State::Linked)
        {
            // Removed meanwhile.
            let changed = self
                .read_graph()
                .nodes
                .change(row, State::Dropped, State::Removed);
            debug_assert!(changed, "a row that waits is pending or dropped");
            waiting.removed.push(row);
        }
        true
    }

    fn link_row(
        &self,
        space: Space<'_>,
        nodes: &Nodes,
        row: u32,
        walker: &mut Walker,
        chooser: &mut Chooser,
    ) {
        let level = nodes.level(row);
        let entry = {
            let mut entry = lock(&self.entry);
            *entry.get_or_insert(Entry { row, level })
        };
        if entry.row == row {
            // The first of all has nothing to link to.
            return;
        }
        let Some(vector) = space.reader.get(ArenaRow::new(row)) else {
            return;
        };
        space.prepare(vector, &mut walker.query);
        let near = walker.descend(space, nodes, entry, level);
        let mut starts = vec![near];
        let may_be_linked = |other: u32| {
            other != row && !matches!(nodes.state(other), State::Removed | State::Dropped)
        };
        for level in (0..=level.min(entry.level)).rev() {
            let width = self.options.build_width;
            walker.begin(nodes, width, &starts, may_be_linked);
            walker.walk(space, nodes, level, may_be_linked);
            starts.clear();
            starts.extend(walker.beam.found());
            if starts.is_empty() {
                starts.push(near);
            }
            chooser.candidates.clear();
            chooser.candidates.extend(walker.beam.found());
            if space.walks_are_coarse() {
                chooser.measure(space, row);
            }
            chooser.choose(space, self.options.degree);
            let chosen = chooser.chosen.clone();
            {
                let _alone = self.stripes.lock(row);
                nodes.set_links(row, level, &chosen);
            }
            let degree = self.options.degree_max(level);
            for neighbor in chosen {
                let of = (neighbor, level);
                chooser.link_back(space, nodes, &self.stripes, of, row, degree);
            }
        }
        if level > entry.level {
            let mut entry = lock(&self.entry);
            if entry.is_none_or(|entry| level > entry.level) {
                *entry = Some(Entry { row, level });
            }
        }
    }

    fn add_node(&self, row: Row) {
        {
            let vectors = self.exact.read();
            let reader = vectors.rows.read();
            let mut graph = self.write_graph();
            let level = self.options.level(graph.added);
            graph.added += 1;
            graph.nodes.add(row.get(), level);
            if let Some(vector) = reader.get(ArenaRow::new(row.get())) {
                graph.codes.set(row.get(), vector);
            }
        }
        lock(&self.waiting).queue.push_back(row.get());
    }

    /// Frees nodes that nothing links to.
    fn take_away(&self, rows: &[u32]) {
        {
            let mut graph = self.write_graph();
            for &row in rows {
                graph.nodes.free(row);
            }
        }
        self.exact.release(rows);
    }

    fn walker(&self) -> Walker {
        lock(&self.walkers).pop().unwrap_or_default()
    }

    fn give_back(&self, walker: Walker) {
        lock(&self.walkers).push(walker);
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

    fn insert_checked(&self, vector: &[f32], checked: Checked) -> Result<Row, VectorError> {
        let row = self.exact.insert_checked(vector, checked)?;
        self.add_node(row);
        Ok(row)
    }

    fn remove(&self, row: Row) -> bool {
        let row = row.get();
        if !self.exact.hide(row) {
            return false;
        }
        let graph = self.read_graph();
        if graph.nodes.change(row, State::Linked, State::Removed) {
            lock(&self.waiting).removed.push(row);
        } else if !graph.nodes.change(row, State::Pending, State::Dropped)
            && graph.nodes.change(row, State::Linked, State::Removed)
        {
            // It was linked between the two.
            lock(&self.waiting).removed.push(row);
        }
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

    fn search_many(&self, queries: &[Query<'_>]) -> Vec<Result<Vec<Neighbor>, VectorError>> {
        self.exact.search_many(queries)
    }

    fn stats(&self) -> IndexStats {
        let exact = self.exact.stats();
        let graph = self.read_graph();
        let bytes = graph.nodes.bytes() + graph.codes.bytes();
        IndexStats {
            bytes: exact.bytes + bytes as u64,
            ..exact
        }
    }
}
