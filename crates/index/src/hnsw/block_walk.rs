//! Walks over blocks: each node that a walk goes on from is scored, its neighbours are estimated.

use crate::hnsw::beam::Near;
use crate::hnsw::blocks::BlockReader;
use crate::hnsw::codes::Space;
use crate::hnsw::nodes::Nodes;
use crate::hnsw::walk::Walker;

/// Where a walk goes on from next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step<'a> {
    row: u32,
    may_be_found: bool,
    block: Option<&'a [u8]>,
}

impl<'a> Step<'a> {
    /// From the best node of a walk's beam that it has not gone on from; none where there is none.
    #[inline]
    pub(crate) fn next(walker: &mut Walker, blocks: &'a BlockReader<'_>) -> Option<Step<'a>> {
        let (row, may_be_found) = walker.beam.next()?;
        let block = blocks.block(row);
        Some(Step {
            row,
            may_be_found,
            block,
        })
    }

    /// Asks for all of it.
    #[inline]
    pub(crate) fn fetch(&self, space: Space<'_>, walker: &Walker) {
        space.fetch(&walker.query, self.row);
        cortica_simd::prefetch_row(self.block.unwrap_or_default());
    }
}

impl Walker {
    /// Goes on from a node. If it may be found it is put into `scored`, with a key from its own
    /// codes. Asks for what the step `ahead`, of whatever walk, will read: little by little, as
    /// all at once would make this one wait.
    #[inline]
    pub(crate) fn go_on(
        &mut self,
        space: Space<'_>,
        nodes: &Nodes,
        blocks: &BlockReader<'_>,
        from: Step<'_>,
        ahead: Option<Step<'_>>,
        eligible: impl Fn(u32) -> bool,
    ) {
        if let Some(ahead) = ahead {
            space.fetch(&self.query, ahead.row);
        }
        let row = from.row;
        let key = self.key(space, row);
        if from.may_be_found {
            self.scored.push(Near { key, row });
        }
        let ahead = ahead.and_then(|ahead| ahead.block).unwrap_or_default();
        let Some(block) = from.block else {
            cortica_simd::prefetch_row(ahead);
            self.expand(space, nodes, row, 0, &eligible);
            return;
        };
        let Self {
            query,
            beam,
            visited,
            ..
        } = self;
        let least = beam.limit();
        blocks.neighbors(block, key, least, &query.tables, ahead, |link, key| {
            // The limit rises with each that is taken.
            if beam.takes(key) && visited.first(link) {
                blocks.expect(link);
                beam.offer(Near { row: link, key }, eligible(link), |a, b| {
                    space.is_same(a, b)
                });
            }
        });
    }

    /// The walk over the base level from a step on, alone: while it goes on from a node it asks for
    /// the one that comes next as far as is known.
    fn walk_blocks(
        &mut self,
        space: Space<'_>,
        nodes: &Nodes,
        blocks: &BlockReader<'_>,
        first: Step<'_>,
        eligible: impl Fn(u32) -> bool + Copy,
    ) {
        let mut next = Some(first);
        while let Some(step) = next {
            let expected = self.beam.peek().map(|row| Step {
                row,
                may_be_found: false,
                block: blocks.block(row),
            });
            self.go_on(space, nodes, blocks, step, expected, eligible);
            next = Step::next(self, blocks);
            if let Some(next) = next
                && expected.is_none_or(|expected| expected.row != next.row)
            {
                next.fetch(space, self);
            }
        }
    }

    /// The beam holds what was scored from now on, best first.
    pub(crate) fn keep_scored(&mut self) {
        self.scored
            .sort_unstable_by(|a, b| b.key.total_cmp(&a.key).then(a.row.cmp(&b.row)));
        self.beam.refill(&self.scored);
    }

    /// Walks again, from what was scored on and by the nodes' own codes, where many of those are
    /// copies. Estimates of copies differ with the nodes they were come by from, so that a walk over
    /// blocks cannot tell them, and its beam holds few that differ.
    pub(crate) fn walk_past_copies(
        &mut self,
        space: Space<'_>,
        nodes: &Nodes,
        (k, width): (usize, usize),
        eligible: impl Fn(u32) -> bool + Copy,
    ) {
        /// One in so many is a copy.
        const MANY: usize = 4;
        let pairs = self.scored.windows(2);
        let copies = pairs.filter(|pair| {
            let (a, b) = (pair[0], pair[1]);
            a.key == b.key && space.is_same(a.row, b.row)
        });
        if MANY * copies.count() < self.scored.len().max(width / 2) {
            return;
        }
        let starts = std::mem::take(&mut self.scored);
        self.begin(space, nodes, width, &starts, eligible);
        self.beam.follow_for(k);
        self.walk(space, nodes, 0, eligible);
        self.scored = starts;
    }
}

/// Walks over the base level in turns: while one goes on from a node, what the one before it will
/// read in its next turn comes from memory.
pub(crate) fn walk_in_turns(
    space: Space<'_>,
    nodes: &Nodes,
    blocks: &BlockReader<'_>,
    walkers: Vec<&mut Walker>,
    eligible: impl Fn(u32) -> bool + Copy,
) {
    let mut turns: Vec<_> = walkers
        .into_iter()
        .filter_map(|walker| Some((Step::next(walker, blocks)?, walker)))
        .collect();
    let mut ahead = None;
    while turns.len() > 1 {
        turns.retain_mut(|(step, walker)| {
            walker.go_on(space, nodes, blocks, *step, ahead, eligible);
            ahead = Step::next(walker, blocks);
            if let Some(next) = ahead {
                *step = next;
            }
            ahead.is_some()
        });
    }
    for (step, walker) in turns {
        walker.walk_blocks(space, nodes, blocks, step, eligible);
    }
}
