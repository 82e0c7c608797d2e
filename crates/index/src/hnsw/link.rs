//! Choosing links: near ones, in different directions.

use crate::hnsw::beam::Near;
use crate::hnsw::blocks::Packer;
use crate::hnsw::codes::{Prepared, Space};
use crate::hnsw::nodes::Nodes;
use std::iter::zip;
use std::ops::RangeInclusive;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks that nodes share: who writes a node's links holds its own.
#[derive(Debug)]
pub(crate) struct Stripes(Box<[Mutex<()>]>);

const STRIPES: usize = 1 << 10;

impl Stripes {
    pub(crate) fn new() -> Self {
        Self((0..STRIPES).map(|_| Mutex::new(())).collect())
    }

    pub(crate) fn lock(&self, row: u32) -> MutexGuard<'_, ()> {
        let lock = &self.0[row as usize % STRIPES];
        // It guards no data that a panic could leave half done: links are whole at any moment.
        lock.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What choosing links needs; its memory serves the next choice.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chooser {
    of_row: Prepared,
    of_candidate: Prepared,
    rows: Vec<u32>,
    keys: Vec<f32>,
    tied: Vec<u32>,
    packer: Packer,
    pub(crate) candidates: Vec<Near>,
    pub(crate) chosen: Vec<u32>,
}

impl Chooser {
    /// These are the candidates now; their keys are still to be [measured](Chooser::measure).
    pub(crate) fn consider(&mut self, rows: impl IntoIterator<Item = u32>) {
        self.candidates.clear();
        let near = |row| Near { key: 0.0, row };
        self.candidates.extend(rows.into_iter().map(near));
    }

    /// Computes the candidates' keys anew, as a row sees them, and puts the nearest first.
    pub(crate) fn measure(&mut self, space: Space<'_>, row: u32) {
        space.prepare_row(row, &mut self.of_row);
        self.rows.clear();
        self.rows
            .extend(self.candidates.iter().map(|near| near.row));
        self.keys.resize(self.rows.len(), 0.0);
        space.keys(&self.of_row, &self.rows, &mut self.keys);
        for (near, &key) in zip(&mut self.candidates, &self.keys) {
            near.key = key;
        }
        self.candidates.retain(|near| !near.key.is_nan());
        self.candidates
            .sort_unstable_by(|a, b| b.key.total_cmp(&a.key).then(a.row.cmp(&b.row)));
    }

    /// Chooses up to `degree` of the candidates, which come nearest first: each that is nearer to
    /// the row than to any chosen before (Malkov and Yashunin, algorithm 4). So links lead in
    /// different directions, and two near each other do not both take a place. What room is left
    /// goes to those that are as near to one chosen as to the row.
    ///
    /// Copies of the row, whose keys are among its `own`, are as near as it is to everything:
    /// measured by them all others would be turned down, and a row with many copies would lead
    /// nowhere else. They take up to half of the places, and more where others leave room.
    pub(crate) fn choose(&mut self, space: Space<'_>, degree: usize, own: RangeInclusive<f32>) {
        let Self {
            of_candidate,
            keys,
            candidates,
            chosen,
            tied,
            ..
        } = self;
        chosen.clear();
        tied.clear();
        // By dot product what is longer is nearer than a copy.
        let nearer = candidates.partition_point(|near| near.key > *own.end());
        let copies = candidates.partition_point(|near| near.key >= *own.start());
        let (rest, farther) = candidates.split_at(copies);
        let (nearer, copies) = rest.split_at(nearer.min(copies));
        let most = degree - copies.len().min(degree / 2);
        for &candidate in nearer.iter().chain(farther) {
            if chosen.len() >= most {
                break;
            }
            if !chosen.is_empty() {
                space.prepare_row(candidate.row, of_candidate);
            }
            let nearest = nearest_of(space, of_candidate, chosen, keys, candidate.key);
            if nearest < candidate.key {
                chosen.push(candidate.row);
            } else if nearest == candidate.key {
                tied.push(candidate.row);
            }
        }
        let copies = copies.iter().map(|near| near.row);
        let room = degree.saturating_sub(chosen.len());
        chosen.splice(..0, copies.take(room));
        let room = degree.saturating_sub(chosen.len());
        chosen.extend(tied.iter().take(room));
    }

    /// The keys that copies of the row that was [measured](Chooser::measure) from have.
    pub(crate) fn own(&self, space: Space<'_>, row: u32) -> RangeInclusive<f32> {
        space.keys_of_copies(&self.of_row, row)
    }

    /// Adds a link from `row` to `to`; where there is no room, the links are chosen anew from
    /// those that there are and `to`.
    pub(crate) fn link_back(
        &mut self,
        space: Space<'_>,
        nodes: &Nodes,
        stripes: &Stripes,
        (row, level): (u32, usize),
        to: u32,
        degree: usize,
    ) {
        let _alone = stripes.lock(row);
        if nodes.add_link(row, level, to) {
            space.link_added(row, level, to, &mut self.packer);
            return;
        }
        self.consider(nodes.links(row, level).chain([to]));
        self.measure(space, row);
        let own = self.own(space, row);
        self.choose(space, degree, own);
        nodes.set_links(row, level, &self.chosen);
        space.links_changed(row, level);
    }
}

/// The key of the nearest of `rows`, or of one that is nearer than `enough`.
fn nearest_of(
    space: Space<'_>,
    query: &Prepared,
    rows: &[u32],
    keys: &mut Vec<f32>,
    enough: f32,
) -> f32 {
    /// Rows that are compared before the rest is: most candidates are turned down by one of the
    /// first.
    const FIRST: usize = 8;
    let mut nearest = f32::NEG_INFINITY;
    let (first, rest) = rows.split_at(rows.len().min(FIRST));
    for rows in [first, rest] {
        keys.resize(rows.len(), 0.0);
        space.keys(query, rows, keys);
        nearest = keys.iter().copied().fold(nearest, f32::max);
        if nearest > enough {
            break;
        }
    }
    nearest
}
