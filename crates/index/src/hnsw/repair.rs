//! Leading links around what was removed, and to what none leads to.

use crate::hnsw::beam::Near;
use crate::hnsw::blocks::Blocks;
use crate::hnsw::codes::Space;
use crate::hnsw::link::Chooser;
use crate::hnsw::nodes::{Nodes, State};
use crate::hnsw::visited::Visited;
use crate::hnsw::walk::{Entry, Walker};
use crate::hnsw::{GraphStats, HnswIndex, lock};
use cortica_arena::Row as ArenaRow;
use std::collections::VecDeque;
use std::mem::take;
use std::sync::PoisonError;

/// Nodes that are looked at to replace the links of one that has lost some.
const REPLACEMENTS: usize = 256;

/// Nodes that are repaired while inserting and removing wait.
const SLICE: u32 = 16;

impl HnswIndex {
    /// Leads every link to a removed vector around it, to what it linked to in turn; gives the rows
    /// of removed vectors back; and links to whatever no walk could reach. How many were removed.
    ///
    /// Searches go on meanwhile, linking waits. O(n) and as much for each node that lost a link as
    /// choosing its links costs: worth it when a tenth of the vectors or more were removed.
    pub fn repair(&self) -> usize {
        self.repair_unless(|| false).unwrap_or(0)
    }

    /// [`repair`](HnswIndex::repair), given up as soon as `stop` says so, which is asked after every
    /// few nodes: `None` then, and all that was to be repaired still is. Inserting and removing go on
    /// between those nodes.
    pub fn repair_unless(&self, stop: impl Fn() -> bool) -> Option<usize> {
        let _alone = self
            .topology
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        self.encode(); // The list of what has no codes does not grow for ever.
        let dropped = self.take_dropped();
        self.take_away(&dropped);
        let mut removed = take(&mut lock(&self.waiting).removed);
        removed.sort_unstable();
        let around = removed.is_empty() || self.lead_around(&removed, &stop);
        if !around || !self.reach_all(&stop) {
            lock(&self.waiting).removed.append(&mut removed);
            return None;
        }
        self.take_away(&removed);
        self.pack(&stop);
        Some(removed.len() + dropped.len())
    }

    /// Vectors that were removed and whose rows repair would give back.
    pub fn unreleased(&self) -> usize {
        self.exact.read().hidden.len()
    }

    /// Those that were removed before they were linked; they do not wait any more. Nobody links.
    fn take_dropped(&self) -> Vec<u32> {
        let graph = self.read_graph();
        let mut dropped = Vec::new();
        lock(&self.waiting).queue.retain(|&row| {
            let is_dropped = graph.nodes.state(row) == State::Dropped;
            if is_dropped {
                dropped.push(row);
            }
            !is_dropped
        });
        dropped
    }

    /// Removed vectors that repair would get rid of.
    pub fn removed(&self) -> usize {
        lock(&self.waiting).removed.len()
    }

    /// Leaves no link to `removed`, which rises, in any node that stays: what is removed meanwhile
    /// stays until the next repair, and is passed through. False if it was stopped.
    fn lead_around(&self, removed: &[u32], stop: &impl Fn() -> bool) -> bool {
        let (mut chooser, mut seen) = (Chooser::default(), Visited::default());
        let is_gone = |row: u32| removed.binary_search(&row).is_ok();
        let (mut from, mut rows) = (0, 1);
        while from < rows {
            if stop() {
                return false;
            }
            let to = from + SLICE;
            // What is added meanwhile has no links yet.
            rows = self.with_space(|space, nodes| {
                let rows = nodes.rows() as u32;
                for row in from..to.min(rows) {
                    let stays = matches!(nodes.state(row), State::Linked | State::Removed);
                    if stays && !is_gone(row) {
                        let with = (&mut chooser, &mut seen);
                        self.lead_node_around(space, nodes, row, is_gone, with);
                    }
                }
                rows
            });
            from = to;
        }
        self.with_space(|_, nodes| self.find_entry(nodes));
        true
    }

    fn lead_node_around(
        &self,
        space: Space<'_>,
        nodes: &Nodes,
        row: u32,
        is_gone: impl Fn(u32) -> bool,
        (chooser, seen): (&mut Chooser, &mut Visited),
    ) {
        for level in 0..=nodes.level(row) {
            if !nodes.links(row, level).any(&is_gone) {
                continue;
            }
            let _alone = self.stripes.lock(row);
            let links = |from| nodes.links(from, level);
            let is_removed = |from| nodes.state(from) == State::Removed;
            let near = around(row, nodes.rows(), seen, links, is_removed);
            chooser.consider(near);
            chooser.measure(space, row);
            let own = chooser.own(space, row);
            chooser.choose(space, self.options.degree_max(level), own);
            nodes.set_links(row, level, &chooser.chosen);
            space.links_changed(row, level);
        }
    }

    /// A node that is there, as high up as there is one.
    pub(super) fn find_entry(&self, nodes: &Nodes) {
        let mut entry = lock(&self.entry);
        let is_there = |row: u32| nodes.state(row) == State::Linked;
        if entry.is_some_and(|entry| is_there(entry.row)) {
            return;
        }
        let rows = (0..nodes.rows() as u32).filter(|&row| is_there(row));
        let entries = rows.map(|row| Entry {
            row,
            level: nodes.level(row),
        });
        // Of equal levels the first.
        *entry = entries.rev().max_by_key(|entry| entry.level);
    }

    /// Links to nodes that no walk over the base level reaches, from near ones that have room, or, where
    /// all of those are full, as around many copies, from whichever has. False if it was stopped.
    pub(super) fn reach_all(&self, stop: &impl Fn() -> bool) -> bool {
        let Some(entry) = *lock(&self.entry) else {
            return true;
        };
        let mut walker = self.walker();
        let (mut reached, lost) = self.with_space(|_, nodes| {
            let reached = reachable(nodes, entry.row);
            let lost = (0..nodes.rows() as u32).filter(|&row| !reached[row as usize]);
            let lost: Vec<u32> = lost
                .filter(|&row| nodes.state(row) == State::Linked)
                .collect();
            (reached, lost)
        });
        let mut attached: Vec<u32> = Vec::new();
        let mut stopped = false;
        for row in lost {
            if reached[row as usize] {
                continue;
            }
            stopped = stop();
            if stopped {
                break;
            }
            self.with_space(|space, nodes| {
                let Some(vector) = space.reader.get(ArenaRow::new(row)) else {
                    return;
                };
                space.prepare(vector, &mut walker.query);
                let hosts = self.hosts(space, nodes, entry, &mut walker);
                let links_to = |host: u32| {
                    let _alone = self.stripes.lock(host);
                    let linked = nodes.state(host) == State::Linked && nodes.add_link(host, 0, row);
                    if linked {
                        space.links_changed(host, 0);
                    }
                    linked
                };
                // What was attached before has room as a rule. It is full for good where it is not.
                let mut to_attached = || {
                    while let Some(&host) = attached.last() {
                        if links_to(host) {
                            return true;
                        }
                        attached.pop();
                    }
                    false
                };
                let is_reached = |host: &u32| reached[*host as usize];
                let linked = hosts.iter().any(|&host| links_to(host))
                    || to_attached()
                    || (0..nodes.rows() as u32).filter(is_reached).any(links_to);
                if linked {
                    attached.push(row);
                    spread(nodes, row, &mut reached);
                }
            });
        }
        self.give_back(walker);
        !stopped
    }

    /// Nodes near the walker's query that can be reached, nearest first.
    fn hosts(
        &self,
        space: Space<'_>,
        nodes: &Nodes,
        entry: Entry,
        walker: &mut Walker,
    ) -> Vec<u32> {
        let is_there = |row: u32| nodes.state(row) == State::Linked;
        // From the entry and over the base level only, so that all that is found can be reached:
        // where a descent comes down may be one of those that none leads to.
        let from = Near {
            row: entry.row,
            key: walker.key(space, entry.row),
        };
        walker.begin(space, nodes, self.options.build_width, &[from], is_there);
        walker.walk(space, nodes, 0, is_there);
        walker.beam.found().map(|near| near.row).collect()
    }

    /// What the graph consists of. O(n times degree).
    pub fn graph_stats(&self) -> GraphStats {
        let graph = self.read_graph();
        let nodes = &graph.nodes;
        let entry = *lock(&self.entry);
        let reached = entry
            .map(|entry| reachable(nodes, entry.row))
            .unwrap_or_default();
        let mut stats = GraphStats {
            waiting: self.waiting(),
            removed: self.removed(),
            link_bytes: nodes.bytes(),
            code_bytes: graph.codes.bytes() + graph.blocks.as_ref().map_or(0, Blocks::bytes),
            ..GraphStats::default()
        };
        let mut links = 0;
        for row in (0..nodes.rows() as u32).filter(|&row| nodes.state(row) == State::Linked) {
            stats.linked += 1;
            // Of a node that was linked since there is nothing in it.
            let is_reached = reached.get(row as usize).copied().unwrap_or(false);
            stats.reachable += usize::from(is_reached);
            let degree = nodes.links(row, 0).count();
            links += degree;
            stats.max_degree = stats.max_degree.max(degree);
            for level in 0..=nodes.level(row) {
                let gone = nodes.links(row, level);
                let gone = gone.filter(|&link| nodes.state(link) != State::Linked);
                stats.links_to_removed += gone.count();
            }
        }
        stats.mean_degree = links as f64 / stats.linked.max(1) as f64;
        stats
    }
}

/// What a node links to, and in the place of what is gone, what that linked to in turn: some
/// [`REPLACEMENTS`] nodes, the first that are come by. There are `nodes` of them.
pub(super) fn around<L: IntoIterator<Item = u32>>(
    node: u32,
    nodes: usize,
    seen: &mut Visited,
    links: impl Fn(u32) -> L,
    is_gone: impl Fn(u32) -> bool,
) -> Vec<u32> {
    seen.restart(nodes);
    seen.first(node);
    let mut around = Vec::new();
    let mut gone = VecDeque::from([node]);
    while let Some(from) = gone.pop_front() {
        for link in links(from) {
            if !seen.first(link) {
                continue;
            }
            if is_gone(link) {
                gone.push_back(link);
                continue;
            }
            around.push(link);
            if around.len() == REPLACEMENTS {
                return around;
            }
        }
    }
    around
}

/// Which rows a walk over the base level can reach from a row.
fn reachable(nodes: &Nodes, from: u32) -> Vec<bool> {
    let mut reached = vec![false; nodes.rows()];
    spread(nodes, from, &mut reached);
    reached
}

fn spread(nodes: &Nodes, from: u32, reached: &mut [bool]) {
    let mut open = vec![from];
    while let Some(row) = open.pop() {
        let Some(place) = reached.get_mut(row as usize) else {
            continue;
        };
        if !std::mem::replace(place, true) {
            open.extend(nodes.links(row, 0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// Node `n` links to `4 n + 1..=4 n + 4`, of which the last is there and the others are gone.
    #[test]
    fn going_around_the_gone_ends_as_soon_as_there_is_enough() {
        let followed = Cell::new(0);
        let links = |node: u32| {
            followed.set(followed.get() + 1);
            (4 * node + 1..=4 * node + 4).filter(|&link| link < 100_000)
        };
        let mut seen = Visited::default();
        let found = around(0, 100_000, &mut seen, links, |node| node % 4 != 0);
        assert!(found.iter().all(|node| node % 4 == 0));
        assert_eq!(found.len(), REPLACEMENTS);
        assert_eq!(followed.get(), REPLACEMENTS, "each gives one");
    }
}
