//! What the models of `tests/loom.rs` see: the nodes and blocks that ship.

use crate::hnsw::blocks::Blocks as ShippedBlocks;
use crate::hnsw::nodes::{Nodes as ShippedNodes, State};
use cortica_simd::Isa;

/// Nodes of up to two links, four on the base level.
#[derive(Debug)]
pub struct Nodes(ShippedNodes);

impl Nodes {
    /// Nodes 0 to `count`, not linked yet.
    pub fn new(count: u32) -> Self {
        let mut nodes = ShippedNodes::new(2);
        (0..count).for_each(|row| nodes.add(row, 0));
        Self(nodes)
    }

    /// A node's links on the base level.
    pub fn links(&self, row: u32) -> impl Iterator<Item = u32> + '_ {
        self.0.links(row, 0)
    }

    /// Replaces a node's links.
    pub fn set_links(&self, row: u32, links: &[u32]) {
        self.0.set_links(row, 0, links);
    }

    /// Adds a link.
    pub fn add_link(&self, row: u32, link: u32) -> bool {
        self.0.add_link(row, 0, link)
    }

    /// As linking ends.
    pub fn finish_linking(&self, row: u32) -> bool {
        self.0.finish_linking(row)
    }

    /// As removing does.
    pub fn withdraw(&self, row: u32) -> bool {
        self.0.withdraw(row)
    }

    /// Whether a search may give it.
    pub fn is_findable(&self, row: u32) -> bool {
        self.0.is_findable(row)
    }

    /// Whether it was linked and removed.
    pub fn is_removed(&self, row: u32) -> bool {
        self.0.state(row) == State::Removed
    }
}

/// The blocks of two nodes, of which there are never more than two.
#[derive(Debug)]
pub struct Blocks(ShippedBlocks);

impl Blocks {
    /// No blocks yet.
    pub fn new() -> Option<Self> {
        let mut blocks = ShippedBlocks::new(Isa::Scalar, 8, 4)?;
        (0..2).for_each(|row| blocks.add(row));
        Some(Self(blocks))
    }

    /// A new block of equal bytes for a node.
    pub fn put(&self, row: u32, byte: u8) -> bool {
        self.0.put(row, byte)
    }

    /// The node's links have changed.
    pub fn outdate(&self, row: u32) {
        self.0.outdate(row);
    }

    /// The first and last byte of a node's block, by a reader made for it.
    pub fn read(&self, row: u32) -> Option<(u8, u8)> {
        let reader = self.0.read();
        let block = reader.block(row)?;
        Some((*block.first()?, *block.last()?))
    }
}
