//! Walks: from node to nearer node along the links.

use crate::hnsw::beam::{Beam, Near};
use crate::hnsw::codes::{Prepared, Space};
use crate::hnsw::nodes::Nodes;
use crate::hnsw::visited::Visited;

/// Where walks begin: a node of the highest level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) row: u32,
    pub(crate) level: usize,
}

/// The nodes nearest on the lowest levels above the base, the highest first: walks with the same
/// path are near each other.
pub(crate) type Path = [u32; 4];

/// What a walk needs; its memory serves the next one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Walker {
    pub(crate) query: Prepared,
    pub(crate) beam: Beam,
    pub(crate) visited: Visited,
    /// What a walk over blocks has gone on from.
    pub(crate) scored: Vec<Near>,
    /// Of the last descent.
    pub(crate) path: Path,
    rows: Vec<u32>,
    keys: Vec<f32>,
}

impl Walker {
    /// From the entry to the nearest node of each level above `level` in turn; the beam then holds
    /// where to begin on `level`.
    pub(crate) fn descend(
        &mut self,
        space: Space<'_>,
        nodes: &Nodes,
        entry: Entry,
        level: usize,
    ) -> Near {
        let mut near = Near {
            row: entry.row,
            key: self.key(space, entry.row),
        };
        self.path = Path::default();
        for level in (level + 1..=entry.level).rev() {
            self.begin(space, nodes, 1, &[near], |_| true);
            self.walk(space, nodes, level, |_| true);
            near = self.beam.best().unwrap_or(near);
            if let Some(place) = self.path.len().checked_sub(level) {
                self.path[place] = near.row;
            }
        }
        near
    }

    /// How near a row is.
    pub(crate) fn key(&self, space: Space<'_>, row: u32) -> f32 {
        let key = space.key(&self.query, row);
        // What is no number is farthest: a walk has to begin somewhere.
        if key.is_nan() { f32::MIN } else { key }
    }

    /// A new beam of `width` that holds `starts`.
    pub(crate) fn begin(
        &mut self,
        space: Space<'_>,
        nodes: &Nodes,
        width: usize,
        starts: &[Near],
        eligible: impl Fn(u32) -> bool,
    ) {
        self.visited.restart(nodes.rows());
        self.beam.restart(width);
        self.scored.clear();
        for &near in starts {
            if self.visited.first(near.row) {
                self.beam
                    .offer(near, eligible(near.row), |a, b| space.is_same(a, b));
            }
        }
    }

    /// Follows the links of `level` until none of the beam's nodes has any left to follow.
    pub(crate) fn walk(
        &mut self,
        space: Space<'_>,
        nodes: &Nodes,
        level: usize,
        eligible: impl Fn(u32) -> bool,
    ) {
        while let Some((row, _)) = self.beam.next() {
            self.expand(space, nodes, row, level, &eligible);
        }
    }

    /// Offers all that a node links to.
    #[inline]
    pub(crate) fn expand(
        &mut self,
        space: Space<'_>,
        nodes: &Nodes,
        row: u32,
        level: usize,
        eligible: impl Fn(u32) -> bool,
    ) {
        let Self {
            query,
            beam,
            visited,
            rows,
            keys,
            ..
        } = self;
        rows.clear();
        for link in nodes.links(row, level) {
            if visited.first(link) {
                space.fetch(query, link);
                rows.push(link);
            }
        }
        if let Some(next) = beam.peek() {
            nodes.fetch(next, level);
        }
        keys.resize(rows.len(), 0.0);
        space.keys(query, rows, keys);
        for (&row, &key) in rows.iter().zip(&*keys) {
            if beam.takes(key) {
                beam.offer(Near { key, row }, eligible(row), |a, b| space.is_same(a, b));
            }
        }
    }
    /// Offers rows that no link leads to.
    pub(crate) fn offer_all(&mut self, space: Space<'_>, rows: &[u32]) {
        self.keys.resize(rows.len(), 0.0);
        space.keys(&self.query, rows, &mut self.keys);
        for (&row, &key) in rows.iter().zip(&self.keys) {
            self.beam
                .offer(Near { key, row }, true, |a, b| space.is_same(a, b));
        }
    }
}
