//! Many searches at once: near queries one after the other, a few of them in turns.

use crate::exact::Admitted;
use crate::hnsw::beam::Near;
use crate::hnsw::block_walk::walk_in_turns;
use crate::hnsw::blocks::Blocks;
use crate::hnsw::chain::chain;
use crate::hnsw::codes::Space;
use crate::hnsw::nodes::Nodes;
use crate::hnsw::options::Codes;
use crate::hnsw::search::Nearest;
use crate::hnsw::walk::{Path, Walker};
use crate::hnsw::{HnswIndex, lock};
use crate::vector_index::{Neighbor, Query, VectorError};
use std::iter::zip;

/// Queries of a batch whose walks go on in turns: enough for what a step asks of memory to come
/// before the walk's next, few enough for their codes to stay in the nearest caches.
const IN_TURNS: usize = 8;

/// Queries that are put in order together: enough for near ones to be among them, which is what a
/// large batch gains by. Bounds what a batch keeps beside its answers, about a hundred bytes a query.
const IN_ORDER: usize = 1 << 15;

/// With fewer queries none are near enough to each other for the order to pay, and a walk alone
/// waits for memory as little as walks in turns do.
const ORDERED_MIN: usize = 2_000;

/// Descents that are made while what inserts and removes waits.
const SLICE: usize = 64;

/// So many rows before it is scored, a candidate's vector is asked for.
const RANKED_AHEAD: usize = 3;

/// A query on its way.
struct Asked<'a> {
    /// Its place in the batch.
    place: usize,
    query: Admitted<'a>,
    /// Where its walk over the base level begins, if that is known.
    start: Option<Near>,
    path: Path,
}

impl HnswIndex {
    /// [`nearest`](HnswIndex::nearest) of each query, which brings its own `k`. In batches of
    /// thousands, queries that come down to the base level by the same way follow each other, as
    /// their walks read much of the same memory, and walks over [`Blocks`](crate::Codes::Blocks) go
    /// on in turns, so that memory is fetched for one while others compute. Neither changes an
    /// answer; smaller batches are searched one by one.
    pub fn nearest_many(
        &self,
        queries: &[Query<'_>],
        how: Nearest<'_>,
    ) -> Vec<Result<Vec<Neighbor>, VectorError>> {
        let mut walkers: Vec<_> = (0..queries.len().min(IN_TURNS))
            .map(|_| self.walker())
            .collect();
        let mut answers: Vec<_> = queries.iter().map(|_| Ok(Vec::new())).collect();
        for (queries, answers) in zip(queries.chunks(IN_ORDER), answers.chunks_mut(IN_ORDER)) {
            let mut asked = Vec::with_capacity(queries.len());
            for (place, query) in queries.iter().enumerate() {
                match self.exact.admit_query(query) {
                    Ok(query) => asked.push(Asked {
                        place,
                        query,
                        start: None,
                        path: Path::default(),
                    }),
                    Err(refused) => answers[place] = Err(refused),
                }
            }
            self.encode();
            let mut turns = 1;
            if let (true, Some(walker)) = (asked.len() >= ORDERED_MIN, walkers.first_mut()) {
                asked = self.put_in_order(asked, walker);
                turns = IN_TURNS;
            }
            for group in asked.chunks(turns) {
                self.encode(); // What came meanwhile, so that it need not be scored for each query.
                let found = self.nearest_in_turns(&mut walkers, group, how);
                for (asked, found) in zip(group, found) {
                    answers[asked.place] = Ok(found);
                }
            }
        }
        for walker in walkers {
            self.give_back(walker);
        }
        answers
    }

    /// Leads every query down to the base level, puts those beside each other that came there by the
    /// same nodes, and of these near ones one after the other, unless walks read blocks: those gain
    /// less by it than it takes.
    fn put_in_order<'a>(&self, mut asked: Vec<Asked<'a>>, walker: &mut Walker) -> Vec<Asked<'a>> {
        for asked in asked.chunks_mut(SLICE) {
            self.with_space(|space, nodes| {
                let Some(entry) = *lock(&self.entry) else {
                    return;
                };
                for asked in asked {
                    space.prepare(&asked.query.vector, &mut walker.query);
                    asked.start = Some(walker.descend(space, nodes, entry, 0));
                    asked.path = walker.path;
                }
            });
        }
        asked.sort_unstable_by_key(|asked| (asked.path, asked.place));
        match self.options.codes {
            Codes::Blocks => asked,
            Codes::F32 | Codes::I8 | Codes::Signs => {
                chain(self.exact.isa(), asked, |asked| &asked.query.vector)
            }
        }
    }

    /// As many walkers as queries, or more.
    fn nearest_in_turns(
        &self,
        walkers: &mut [Walker],
        asked: &[Asked<'_>],
        how: Nearest<'_>,
    ) -> Vec<Vec<Neighbor>> {
        self.with_space(|space, nodes| {
            let lets = |row: u32| nodes.is_findable(row) && how.filter.lets(row);
            let tail = self.tail();
            let live = space.vectors.len();
            let all = || (0..nodes.rows() as u32).filter(|&row| lets(row));
            let mut searches: Vec<_> = zip(asked, walkers)
                .map(|(asked, walker)| {
                    let width = how.width_for(asked.query.k);
                    let few = self.few(live, nodes, how.filter, width, lets);
                    if few.is_none() {
                        self.begin(space, nodes, walker, asked, width, lets);
                    }
                    (&asked.query, walker, few)
                })
                .collect();
            let walking = searches.iter_mut().filter(|(_, _, few)| few.is_none());
            let walkers = walking.map(|(_, walker, _)| &mut **walker);
            walk(space, nodes, walkers, lets);
            let chosen = searches.into_iter().map(|(query, walker, few)| {
                let k = (query.k, how.width_for(query.k));
                let walked = |walker| self.candidates(space, nodes, walker, k, &tail, lets);
                let rows = few.unwrap_or_else(|| walked(walker));
                // Some cannot be reached: better slow than short of what there is.
                if rows.len() < query.k {
                    all().collect()
                } else {
                    rows
                }
            });
            let chosen: Vec<Vec<u32>> = chosen.collect();
            let mut ahead = chosen.iter().flatten().copied().skip(RANKED_AHEAD);
            let answers = zip(asked, &chosen).map(|(asked, rows)| {
                let (query, rows) = (&asked.query, rows.iter().copied());
                self.exact
                    .rank(space.vectors, space.reader, query, rows, &mut ahead)
            });
            answers.collect()
        })
    }

    /// Down to the base level, if the query is not there already.
    fn begin(
        &self,
        space: Space<'_>,
        nodes: &Nodes,
        walker: &mut Walker,
        asked: &Asked<'_>,
        width: usize,
        lets: impl Fn(u32) -> bool,
    ) {
        let vector = &asked.query.vector;
        space.prepare(vector, &mut walker.query);
        if space.blocks.is_some() {
            space.prepare_tables(vector, &mut walker.query);
        }
        // What it came to may have been taken away since, and the row given to another vector: so its
        // key is asked for again.
        let start = asked.start.filter(|near| nodes.is_linked(near.row));
        let start = start.map(|Near { row, .. }| Near {
            key: walker.key(space, row),
            row,
        });
        let near = start.or_else(|| {
            let entry = *lock(&self.entry);
            entry.map(|entry| walker.descend(space, nodes, entry, 0))
        });
        walker.begin(space, nodes, width, near.as_slice(), lets);
        walker.beam.follow_for(asked.query.k);
    }
}

/// Walks over the base level, in turns where there are blocks.
fn walk<'a>(
    space: Space<'_>,
    nodes: &Nodes,
    walkers: impl Iterator<Item = &'a mut Walker>,
    lets: impl Fn(u32) -> bool + Copy,
) {
    match space.blocks.map(Blocks::read) {
        Some(blocks) => walk_in_turns(space, nodes, &blocks, walkers.collect(), lets),
        None => walkers.for_each(|walker| walker.walk(space, nodes, 0, lets)),
    }
}
