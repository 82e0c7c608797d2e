//! Walks over blocks: each node that a walk goes on from is scored, its neighbours are estimated.

use crate::hnsw::beam::Near;
use crate::hnsw::blocks::BlockReader;
use crate::hnsw::codes::Space;
use crate::hnsw::nodes::Nodes;
use crate::hnsw::walk::Walker;

impl Walker {
    /// Goes on from the best node of the beam that it has not gone on from; false where there is
    /// none. Every node that it goes on from and that may be found is put into `scored`, with a
    /// key from its own codes.
    #[inline]
    pub(crate) fn block_step(
        &mut self,
        space: Space<'_>,
        nodes: &Nodes,
        blocks: &BlockReader<'_>,
        eligible: impl Fn(u32) -> bool,
    ) -> bool {
        let Some((row, may_be_found)) = self.beam.next() else {
            return false;
        };
        let next = self.beam.peek();
        if let Some(next) = next {
            blocks.fetch(next);
        }
        let key = self.key(space, row);
        if may_be_found {
            self.scored.push(Near { key, row });
        }
        let Self {
            query,
            beam,
            visited,
            ..
        } = self;
        let had_block = blocks.neighbors(row, key, &query.tables, |link, key| {
            if beam.takes(key) && visited.first(link) {
                beam.offer(Near { row: link, key }, eligible(link));
            }
        });
        if !had_block {
            self.expand(space, nodes, row, 0, &eligible);
        }
        // Its codes are wanted first, and its block if another was asked for.
        if let Some(nearest) = self.beam.peek() {
            space.fetch(&self.query, nearest);
            if next != Some(nearest) {
                blocks.fetch(nearest);
            }
        }
        true
    }

    /// The beam holds what was scored from now on, best first.
    pub(crate) fn keep_scored(&mut self) {
        self.scored
            .sort_unstable_by(|a, b| b.key.total_cmp(&a.key).then(a.row.cmp(&b.row)));
        self.beam.refill(&self.scored);
    }
}
