//! A graph as bytes, and back again.
//!
//! ```text
//! offset  size  field, little-endian
//!      0     8  magic "CORTHNSW"
//!      8     4  version, now 1
//!     12     4  values in a vector
//!     16     4  metric: 0 cosine, 1 dot, 2 L2
//!     20     4  degree
//!     24     4  build width
//!     28     4  codes: 0 f32, 1 i8, 2 signs, 3 blocks (which are made anew)
//!     32     8  seed
//!     40     8  position, whose meaning is the caller's
//!     48     8  nodes that were ever added
//!     56     8  length of all of it in bytes
//!     64     4  nodes
//!     68     4  where walks begin: a node's number, or 2^32 - 1 if there is none
//!     72        the nodes, numbered from 0
//!               CRC-32 of all before it, 4 bytes
//!
//! a node: 8 id, 4 check, 1 level, 1 whether it can be found (1) or is only passed through (0), and for
//! each level from 0 to its own: 2 number of links, 4 for each link, the number of a node
//! ```

use crate::hnsw::link::Chooser;
use crate::hnsw::nodes::{Nodes, State};
use crate::hnsw::options::{Codes, HnswOptions};
use crate::hnsw::repair::around;
use crate::hnsw::saved_graph::{HEADER, Head, MAGIC, NOBODY, SavedGraph, VERSION};
use crate::hnsw::visited::Visited;
use crate::hnsw::walk::Entry;
use crate::hnsw::{Graph, HnswIndex, SavedGraphError, lock};
use crate::metric::Metric;
use crate::vector_index::{Row, VectorIndex};
use std::collections::HashSet;
use std::iter::zip;
use std::sync::PoisonError;

/// What the caller calls a vector: the same key is to mean the same vector when the graph is loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SavedKey {
    /// Which vector.
    pub id: u64,
    /// Something about its values, so that another vector of that id is found out.
    pub check: u32,
}

/// What came of loading a graph.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoadedGraph {
    /// Vectors that are part of the graph now.
    pub linked: usize,
    /// Nodes of the saved graph whose vectors are not there any more, with those that were removed
    /// when it was saved; links lead around them.
    pub gone: usize,
}

/// Nodes that are mended while inserting and removing wait.
const SLICE: usize = 16;

impl HnswIndex {
    /// The graph as bytes, for [`load`](HnswIndex::load). `position` and what `key` calls each vector
    /// are kept in it; a vector without a key will not be found in what is loaded. Linking waits.
    ///
    /// `key` is asked of each vector that is linked, before the bytes are made. It may read the index,
    /// insert and remove; [`link`](HnswIndex::link), [`repair`](HnswIndex::repair), `save` and `load`
    /// would wait for this to end, and so for ever.
    pub fn save(&self, position: u64, key: impl Fn(Row) -> Option<SavedKey>) -> Vec<u8> {
        let _unchanged = self
            .topology
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let linked: Vec<bool> = {
            let graph = self.read_graph();
            let rows = 0..graph.nodes.rows() as u32;
            let is_linked = |row| graph.nodes.state(row) == State::Linked;
            rows.map(is_linked).collect()
        };
        // While the graph is not locked: the callback may search, and so come behind somebody who waits
        // to change it. No row is given to another vector before this is done, so keys stay right.
        let key = |(row, linked): (u32, bool)| linked.then(|| key(Row::new(row))).flatten();
        let keys: Vec<Option<SavedKey>> = zip(0.., linked).map(key).collect();
        let graph = self.read_graph();
        let nodes = &graph.nodes;
        let mut numbers = vec![NOBODY; nodes.rows()];
        let mut rows = Vec::new();
        for row in 0..nodes.rows() as u32 {
            if matches!(nodes.state(row), State::Linked | State::Removed) {
                numbers[row as usize] = rows.len() as u32;
                rows.push(row);
            }
        }
        let number = |row: u32| numbers.get(row as usize).copied().unwrap_or(NOBODY);
        let entry = lock(&self.entry).map_or(NOBODY, |entry| number(entry.row));
        let mut bytes = Vec::with_capacity(HEADER + rows.len() * (20 + 8 * self.options.degree));
        bytes.extend(MAGIC);
        for word in [VERSION, self.dimension() as u32] {
            bytes.extend(word.to_le_bytes());
        }
        for word in words_of(&self.options, self.metric()) {
            bytes.extend(word.to_le_bytes());
        }
        for word in [self.options.seed, position, graph.added, 0] {
            bytes.extend(word.to_le_bytes());
        }
        for word in [rows.len() as u32, entry] {
            bytes.extend(word.to_le_bytes());
        }
        for &row in &rows {
            // It may have been removed since.
            let is_linked = nodes.state(row) == State::Linked;
            let key = keys.get(row as usize).copied().flatten();
            let key = key.filter(|_| is_linked);
            let (found, key) = (key.is_some(), key.unwrap_or_default());
            bytes.extend(key.id.to_le_bytes());
            bytes.extend(key.check.to_le_bytes());
            bytes.extend([nodes.level(row) as u8, found.into()]);
            for level in 0..=nodes.level(row) {
                append_links(nodes, row, level, number, &mut bytes);
            }
        }
        let length = bytes.len() as u64 + 4;
        bytes[56..64].copy_from_slice(&length.to_le_bytes());
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        bytes
    }

    /// Makes the vectors that wait part of a graph that was [saved](HnswIndex::save), as they were
    /// then: those to which `row_of` leads from the keys. All others go on waiting.
    ///
    /// What is not wholly as it was saved, or was made with other options, is refused before
    /// anything is changed: link what waits instead. Links lead around vectors that are gone;
    /// where more than half of those that could be found when it was saved are, the whole is
    /// refused too.
    ///
    /// `row_of` is asked before anything is changed, once for each key. It may call what the callback of
    /// [`save`](HnswIndex::save) may, and no more.
    pub fn load(
        &self,
        saved: &[u8],
        row_of: impl Fn(SavedKey) -> Option<Row>,
    ) -> Result<LoadedGraph, SavedGraphError> {
        let saved = SavedGraph::read(saved)?;
        self.check_options(&saved)?;
        let _alone = self
            .topology
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        // While the graph is not locked, as in `save`.
        let head_row = |head: &Head| head.key.and_then(&row_of);
        let named: Vec<Option<Row>> = saved.heads.iter().map(head_row).collect();
        let mut rows = self.rows_of(&saved, &named)?;
        self.encode();
        let hurt = self.place(&saved, &mut rows);
        let linked = rows.iter().filter(|&&row| row != NOBODY).count();
        if linked < rows.len() {
            self.mend(&saved, &rows, &hurt);
        }
        // Also where nothing is gone: threads that link side by side can leave a node that none
        // leads to.
        self.reach_all(&|| false);
        self.pack(&|| false);
        Ok(LoadedGraph {
            linked,
            gone: rows.len() - linked,
        })
    }

    fn check_options(&self, saved: &SavedGraph) -> Result<(), SavedGraphError> {
        let other = |what| Err(SavedGraphError::OtherOptions { what });
        if saved.dimension as usize != self.dimension() {
            return other("dimension");
        }
        let ours = words_of(&self.options, self.metric());
        let names = ["metric", "degree", "build width", "codes"];
        for (name, (ours, theirs)) in names.into_iter().zip(ours.into_iter().zip(saved.options)) {
            if ours != theirs {
                return other(name);
            }
        }
        if saved.seed != self.options.seed {
            return other("seed");
        }
        Ok(())
    }

    /// The row of each saved node, or nobody's: those that were named for them, each for one node, as
    /// far as they hold vectors that wait.
    fn rows_of(
        &self,
        saved: &SavedGraph,
        named: &[Option<Row>],
    ) -> Result<Vec<u32>, SavedGraphError> {
        let graph = self.read_graph();
        let nodes = &graph.nodes;
        let is_linked = |row| nodes.is_linked(row);
        if (0..nodes.rows() as u32).any(is_linked) {
            return Err(SavedGraphError::NotEmpty);
        }
        let mut taken = HashSet::new();
        let row = |named: &Option<Row>| {
            let row = named.as_ref()?.get();
            (nodes.state(row) == State::Pending && taken.insert(row)).then_some(row)
        };
        let rows = named.iter().map(row);
        let rows: Vec<u32> = rows.map(|row| row.unwrap_or(NOBODY)).collect();
        // What was only passed through then says nothing of how much has changed since.
        let findable = || zip(&saved.heads, &rows).filter(|(head, _)| head.key.is_some());
        let nodes = findable().count();
        let gone = findable().filter(|&(_, &row)| row == NOBODY).count();
        if 2 * gone > nodes {
            return Err(SavedGraphError::Outdated { gone, nodes });
        }
        Ok(rows)
    }

    /// Gives rows the levels and links that were saved, but for those that were removed since they
    /// were looked up, which become nobody's. The numbers of those that have lost some links.
    fn place(&self, saved: &SavedGraph, rows: &mut [u32]) -> Vec<usize> {
        let mut graph = self.write_graph();
        graph.added = graph.added.max(saved.added);
        let Graph { nodes, blocks, .. } = &mut *graph;
        for row in &mut *rows {
            if *row != NOBODY && nodes.state(*row) != State::Pending {
                *row = NOBODY;
            }
        }
        let present = || (0..rows.len()).filter(|&number| rows[number] != NOBODY);
        for number in present() {
            nodes.free(rows[number]);
            nodes.add(rows[number], saved.heads[number].level);
        }
        let mut hurt = Vec::new();
        let mut links = Vec::new();
        for number in present() {
            let mut lost = false;
            for level in 0..=saved.heads[number].level {
                let all = saved.links(number, level);
                links.clear();
                links.extend(all.iter().map(|&link| rows[link as usize]));
                links.retain(|&row| row != NOBODY);
                lost |= links.len() < all.len();
                nodes.set_links(rows[number], level, &links);
            }
            nodes.change(rows[number], State::Pending, State::Linked);
            if let Some(blocks) = &blocks {
                blocks.outdate(rows[number]);
            }
            if lost {
                hurt.push(number);
            }
        }
        lock(&self.waiting)
            .queue
            .retain(|&row| nodes.state(row) != State::Linked);
        let entry = saved.entry.map(|number| (rows[number], number));
        *lock(&self.entry) = entry
            .filter(|(row, _)| *row != NOBODY)
            .map(|(row, number)| Entry {
                row,
                level: saved.heads[number].level,
            });
        self.find_entry(nodes);
        hurt
    }

    /// In the place of what is gone, nodes link to what that linked to.
    fn mend(&self, saved: &SavedGraph, rows: &[u32], hurt: &[usize]) {
        let (mut chooser, mut seen) = (Chooser::default(), Visited::default());
        for slice in hurt.chunks(SLICE) {
            self.with_space(|space, nodes| {
                for &number in slice {
                    for level in 0..=saved.heads[number].level {
                        let links = |from: u32| saved.links(from as usize, level).iter().copied();
                        let is_gone = |from: u32| rows[from as usize] == NOBODY;
                        let near = around(number as u32, rows.len(), &mut seen, links, is_gone);
                        chooser.consider(near.into_iter().map(|number| rows[number as usize]));
                        let row = rows[number];
                        let _alone = self.stripes.lock(row);
                        chooser.measure(space, row);
                        let own = chooser.own(space, row);
                        chooser.choose(space, self.options.degree_max(level), own);
                        nodes.set_links(row, level, &chooser.chosen);
                        space.links_changed(row, level);
                    }
                }
            });
        }
    }
}

/// Metric, degree, build width and codes as they are saved.
fn words_of(options: &HnswOptions, metric: Metric) -> [u32; 4] {
    let metric = match metric {
        Metric::Cosine => 0,
        Metric::Dot => 1,
        Metric::L2 => 2,
    };
    let codes = match options.codes {
        Codes::F32 => 0,
        Codes::I8 => 1,
        Codes::Signs => 2,
        Codes::Blocks => 3,
    };
    let (degree, width) = (options.degree as u32, options.build_width as u32);
    [metric, degree, width, codes]
}

fn append_links(
    nodes: &Nodes,
    row: u32,
    level: usize,
    number: impl Fn(u32) -> u32,
    bytes: &mut Vec<u8>,
) {
    let at = bytes.len();
    bytes.extend([0; 2]);
    let mut links: Vec<u32> = Vec::new();
    for link in nodes.links(row, level) {
        let leads = number(link) != NOBODY && nodes.level(link) >= level && link != row;
        if leads && !links.contains(&link) {
            links.push(link);
            bytes.extend(number(link).to_le_bytes());
        }
    }
    bytes[at..at + 2].copy_from_slice(&(links.len() as u16).to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use cortica_simd::Isa;

    /// Removed after its row was looked up, and before it is given its links.
    #[test]
    fn what_is_removed_while_it_is_placed_becomes_nobodys() {
        let index = |linked| {
            let options = HnswOptions::default();
            let index = HnswIndex::new(2, Metric::L2, Isa::best(), options).unwrap();
            (0..50_u8).for_each(|x| drop(index.insert(&[x.into(), 0.0])));
            index.link(linked);
            index
        };
        let key = |row: Row| SavedKey {
            id: row.get().into(),
            check: 0,
        };
        let saved = index(50).save(0, |row| Some(key(row)));
        let saved = SavedGraph::read(&saved).unwrap();
        let again = index(0);
        let named: Vec<Option<Row>> = (0..50).map(|row| Some(Row::new(row))).collect();
        let mut rows = again.rows_of(&saved, &named).unwrap();
        assert!(again.remove(Row::new(7)));
        let hurt = again.place(&saved, &mut rows);
        assert_eq!((rows[7], rows[8]), (NOBODY, 8));
        assert!(!hurt.is_empty() && !hurt.contains(&7));
        let graph = again.read_graph();
        assert_eq!(graph.nodes.state(7), State::Dropped);
        for row in 0..50 {
            let mut levels = 0..=graph.nodes.level(row);
            assert!(levels.all(|level| graph.nodes.links(row, level).all(|link| link != 7)));
        }
    }
}
