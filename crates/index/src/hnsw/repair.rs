//! Leading links around what was removed, and to what none leads to.

use crate::hnsw::beam::Near;
use crate::hnsw::blocks::{Blocks, Packer};
use crate::hnsw::codes::Space;
use crate::hnsw::link::Chooser;
use crate::hnsw::nodes::{Nodes, State};
use crate::hnsw::walk::{Entry, Walker};
use crate::hnsw::{GraphStats, HnswIndex, lock};
use cortica_arena::Row as ArenaRow;
use std::mem::take;
use std::sync::PoisonError;

/// Nodes that are looked at to replace the links of one that has lost some.
const REPLACEMENTS: usize = 256;

impl HnswIndex {
    /// Leads every link to a removed vector around it, to what it linked to in turn; gives the rows
    /// of removed vectors back; and links to whatever no walk could reach. How many were removed.
    ///
    /// Searches go on meanwhile, linking waits. O(n) and as much for each node that lost a link as
    /// choosing its links costs: worth it when a tenth of the vectors or more were removed.
    pub fn repair(&self) -> usize {
        let _alone = self
            .topology
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let mut removed = take(&mut lock(&self.waiting).removed);
        removed.sort_unstable();
        self.with_space(|space, nodes| {
            if !removed.is_empty() {
                self.lead_around(space, nodes, &removed);
                self.find_entry(nodes);
            }
            self.reach_all(space, nodes);
            if let Some(blocks) = space.blocks {
                blocks.pack(space, nodes, &self.stripes, &mut Packer::default());
            }
        });
        self.take_away(&removed);
        removed.len()
    }

    /// Removed vectors that repair would get rid of.
    pub fn removed(&self) -> usize {
        lock(&self.waiting).removed.len()
    }

    /// Leaves no link to `removed`, which rises, in any node that stays: what is removed meanwhile
    /// stays until the next repair, and is passed through.
    fn lead_around(&self, space: Space<'_>, nodes: &Nodes, removed: &[u32]) {
        let mut chooser = Chooser::default();
        let is_gone = |row: u32| removed.binary_search(&row).is_ok();
        let stays = |row: &u32| {
            matches!(nodes.state(*row), State::Linked | State::Removed) && !is_gone(*row)
        };
        for row in (0..nodes.rows() as u32).filter(stays) {
            for level in 0..=nodes.level(row) {
                if !nodes.links(row, level).any(is_gone) {
                    continue;
                }
                let _alone = self.stripes.lock(row);
                replacements(nodes, row, level, &mut chooser.candidates);
                chooser.measure(space, row);
                chooser.choose(space, self.options.degree_max(level));
                nodes.set_links(row, level, &chooser.chosen);
                space.links_changed(row, level);
            }
        }
    }

    /// A node that is there, as high up as there is one.
    fn find_entry(&self, nodes: &Nodes) {
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

    /// Links to nodes that no walk over the base level reaches, from near ones that have room.
    fn reach_all(&self, space: Space<'_>, nodes: &Nodes) {
        let Some(entry) = *lock(&self.entry) else {
            return;
        };
        let mut walker = self.walker();
        let mut reached = reachable(nodes, entry.row);
        for row in 0..nodes.rows() as u32 {
            if reached[row as usize] || nodes.state(row) != State::Linked {
                continue;
            }
            let Some(vector) = space.reader.get(ArenaRow::new(row)) else {
                continue;
            };
            space.prepare(vector, &mut walker.query);
            let hosts = self.hosts(space, nodes, entry, &mut walker);
            let linked = hosts.iter().any(|&host| {
                let _alone = self.stripes.lock(host);
                let linked = nodes.add_link(host, 0, row);
                if linked {
                    space.links_changed(host, 0);
                }
                linked
            });
            if linked {
                spread(nodes, row, &mut reached);
            }
        }
        self.give_back(walker);
    }

    /// Nodes near the walker's query that can be reached, nearest first.
    fn hosts(
        &self,
        space: Space<'_>,
        nodes: &Nodes,
        entry: Entry,
        walker: &mut Walker,
    ) -> Vec<u32> {
        let near = walker.descend(space, nodes, entry, 0);
        let is_there = |row: u32| nodes.state(row) == State::Linked;
        // From the entry itself too: the other may be one of those that none leads to.
        let from = Near {
            row: entry.row,
            key: walker.key(space, entry.row),
        };
        let width = self.options.build_width;
        let mut hosts = Vec::new();
        for starts in [&[from][..], &[near]] {
            walker.begin(nodes, width, starts, is_there);
            walker.walk(space, nodes, 0, is_there);
            hosts.extend(walker.beam.found().map(|near| near.row));
            if starts[0].row == entry.row {
                // What this walk found can be reached, by the way it went.
                break;
            }
        }
        hosts
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

/// What a node links to, and in the place of what is gone, what that linked to.
fn replacements(nodes: &Nodes, row: u32, level: usize, candidates: &mut Vec<Near>) {
    candidates.clear();
    let mut seen = vec![row];
    let mut at = 0;
    while at < seen.len() && candidates.len() < REPLACEMENTS {
        let from = seen[at];
        at += 1;
        let is_gone = nodes.state(from) == State::Removed;
        if from != row && !is_gone {
            candidates.push(Near {
                key: 0.0,
                row: from,
            });
            continue;
        }
        for link in nodes.links(from, level) {
            if !seen.contains(&link) {
                seen.push(link);
            }
        }
    }
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
