//! Blocks: what a walk reads of all neighbours of a node at once.
//!
//! A block holds, for each link of a node on the base level, the signs of the difference between
//! the two vectors, two factors and the neighbour's row. With the dot product of query and node,
//! which a walk has once it has come there, they estimate that of query and neighbour:
//!
//! ```text
//! q.n = q.v + q.(n - v), and with r = n - v, b = signs of r (each +1 or -1), F = |r|^2 / sum|r|:
//! q.(n - v) = r.v + (q - v).r ~ r.v + F (b.q - b.v)
//! ```
//!
//! So none of the neighbours' vectors is touched (Gou, Gao and Long, "SymphonyQG: towards symphonious
//! integration of quantization and graph for approximate nearest neighbor search", SIGMOD 2025;
//! there graphs are built once, here blocks follow their links). A block belongs to one list of
//! links: where links change it goes, walks take the way over single codes meanwhile, and it is
//! made anew with others.

use crate::hnsw::codes::Space;
use crate::hnsw::link::Stripes;
use crate::hnsw::lock;
use crate::hnsw::nodes::Nodes;
use crate::metric::Metric;
use crate::sync::{AtomicU32, Ordering, block_arena};
use cortica_arena::{Reader, Row as ArenaRow, VectorArena};
use cortica_simd::{
    Isa, SIGN_BLOCK_ROWS, SignBlock, SignKeys, SignTables, encode_signs, prefetch_row,
    set_sign_row, sign_block_bytes, sign_words,
};
use std::sync::Mutex;

/// States of a node's place in the list of blocks; what is more is a row of the arena and `FIRST`.
const ABSENT: u32 = 0;
const STALE: u32 = 1;
const FIRST: u32 = 2;

/// Blocks that are made while inserting and removing wait.
const SLICE: usize = 16;

/// Bytes of a factor or a row.
const WORD: usize = size_of::<u32>();

/// The blocks of all nodes.
#[derive(Debug)]
pub(crate) struct Blocks {
    layout: Layout,
    arena: VectorArena<u8>,
    /// By row. Written by whoever holds the node's stripe, or has the graph alone.
    places: Vec<AtomicU32>,
    /// Nodes that want a block.
    stale: Mutex<Vec<u32>>,
}

/// Where what lies in a block: for each 32 links their signs, sums, factors and rows.
#[derive(Clone, Copy, Debug)]
struct Layout {
    isa: Isa,
    /// Of all signs of 32 links.
    signs: usize,
    /// Of all that belongs to 32 links.
    part: usize,
    links: usize,
}

/// The blocks that were found while it lives stay as they are.
#[derive(Debug)]
pub(crate) struct BlockReader<'a> {
    blocks: &'a Blocks,
    reader: Reader<'a, u8>,
}

/// Memory that one block after the other is made in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Packer {
    links: Vec<u32>,
    difference: Vec<f32>,
    signs: Vec<u64>,
}

/// What belongs to the difference of a neighbour, beside its signs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Factors {
    sum: f32,
    factor: f32,
}

impl Blocks {
    /// Blocks for nodes with up to `links` links on the base level. Fails where a block would be
    /// larger than a row of an arena may be.
    pub(crate) fn new(isa: Isa, dimension: usize, links: usize) -> Option<Blocks> {
        let signs = sign_block_bytes(dimension);
        let part = signs + 3 * WORD * SIGN_BLOCK_ROWS;
        let layout = Layout {
            isa,
            signs,
            part,
            links,
        };
        Some(Blocks {
            layout,
            arena: block_arena(part * links.div_ceil(SIGN_BLOCK_ROWS))?,
            places: Vec::new(),
            stale: Mutex::default(),
        })
    }

    /// A node without links.
    pub(crate) fn add(&mut self, row: u32) {
        let row = row as usize;
        while self.places.len() <= row {
            self.places.push(AtomicU32::new(ABSENT));
        }
    }

    /// Takes a node's block away with it.
    pub(crate) fn free(&mut self, row: u32) {
        self.replace(row, ABSENT);
    }

    /// The links of a node have changed; by the one who changed them, before others can.
    pub(crate) fn outdate(&self, row: u32) {
        if self.replace(row, STALE) != STALE {
            lock(&self.stale).push(row);
        }
    }

    /// A link was added behind those of a node; by the one who did it, before others can. A block
    /// that is there gets it as well: that costs a copy and a thirtieth of making it anew.
    pub(crate) fn append(&self, space: Space<'_>, row: u32, link: u32, packer: &mut Packer) {
        let place = self.places.get(row as usize);
        let place = place.map_or(STALE, |place| place.load(Ordering::Acquire));
        if place == STALE {
            return;
        }
        match self.appended(space, row, place, link, packer) {
            Some(block) => {
                self.replace(row, block.get() + FIRST);
            }
            None => self.outdate(row),
        }
    }

    fn appended(
        &self,
        space: Space<'_>,
        row: u32,
        place: u32,
        link: u32,
        packer: &mut Packer,
    ) -> Option<ArenaRow> {
        let reader = self.arena.read();
        let old = reader.get(ArenaRow::new(place.checked_sub(FIRST)?))?;
        let mut reserved = self.arena.reserve().ok()?;
        let new = reserved.values_mut();
        new.copy_from_slice(old);
        let has_room = self.layout.append(space, row, link, packer, new);
        has_room.then(|| reserved.publish())
    }

    fn replace(&self, row: u32, with: u32) -> u32 {
        let Some(place) = self.places.get(row as usize) else {
            return STALE;
        };
        // The block was written before its row was put here, and is read after that was seen.
        let before = place.swap(with, Ordering::AcqRel);
        if let Some(block) = before.checked_sub(FIRST) {
            // It was live: rows come here when they are published, and leave once.
            let _ = self.arena.free(ArenaRow::new(block));
        }
        before
    }

    /// How many nodes want a block.
    pub(crate) fn stale(&self) -> usize {
        lock(&self.stale).len()
    }

    /// Makes some of the blocks that are wanted; whether there may be more.
    pub(crate) fn pack(
        &self,
        space: Space<'_>,
        nodes: &Nodes,
        stripes: &Stripes,
        packer: &mut Packer,
    ) -> bool {
        for _ in 0..SLICE {
            let Some(row) = lock(&self.stale).pop() else {
                return false;
            };
            let _alone = stripes.lock(row);
            let wanted = self.places.get(row as usize);
            if wanted.is_none_or(|place| place.load(Ordering::Relaxed) != STALE) {
                continue;
            }
            let Ok(mut reserved) = self.arena.reserve() else {
                // The node does without; it is asked again when its links change.
                self.replace(row, ABSENT);
                continue;
            };
            self.layout
                .write(space, nodes, row, packer, reserved.values_mut());
            self.replace(row, reserved.publish().get() + FIRST);
        }
        true
    }

    /// Puts a block of equal bytes in a node's place, as packing puts one; false where there is no
    /// room.
    #[cfg(loom)]
    pub(crate) fn put(&self, row: u32, byte: u8) -> bool {
        let Ok(mut reserved) = self.arena.reserve() else {
            return false;
        };
        reserved.values_mut().fill(byte);
        self.replace(row, reserved.publish().get() + FIRST);
        true
    }

    pub(crate) fn read(&self) -> BlockReader<'_> {
        BlockReader {
            blocks: self,
            reader: self.arena.read(),
        }
    }

    /// Bytes of memory.
    pub(crate) fn bytes(&self) -> usize {
        self.arena.stats().bytes + self.places.capacity() * WORD
    }
}

impl Layout {
    fn write(
        &self,
        space: Space<'_>,
        nodes: &Nodes,
        row: u32,
        packer: &mut Packer,
        block: &mut [u8],
    ) {
        let mut links = std::mem::take(&mut packer.links);
        links.clear();
        links.extend(nodes.links(row, 0).take(self.links));
        block.fill(0);
        for (at, &link) in links.iter().enumerate() {
            self.write_link(space, row, link, packer, block, at);
        }
        packer.links = links;
    }

    /// Writes the `at`-th link of a node's block.
    fn write_link(
        &self,
        space: Space<'_>,
        row: u32,
        link: u32,
        packer: &mut Packer,
        block: &mut [u8],
        at: usize,
    ) {
        let Packer {
            difference, signs, ..
        } = packer;
        let mut parts = block.chunks_exact_mut(self.part);
        let Some(part) = parts.nth(at / SIGN_BLOCK_ROWS) else {
            return;
        };
        let (block, rest) = part.split_at_mut(self.signs);
        let at = at % SIGN_BLOCK_ROWS;
        let from = space.vector_and_scale(row);
        let to = space.vector_and_scale(link);
        let factors = factors(space.metric(), from, to, difference);
        signs.resize(sign_words(difference.len()), 0);
        encode_signs(difference, signs);
        set_sign_row(block, at, signs);
        put(rest, at, factors.sum.to_bits());
        put(rest, SIGN_BLOCK_ROWS + at, factors.factor.to_bits());
        put(rest, 2 * SIGN_BLOCK_ROWS + at, link + 1);
    }

    /// Writes a link behind those that are there, unless it is one of them. False where there is
    /// no room.
    fn append(
        &self,
        space: Space<'_>,
        row: u32,
        link: u32,
        packer: &mut Packer,
        block: &mut [u8],
    ) -> bool {
        let links = block.chunks_exact(self.part).flat_map(|part| {
            let rows = &part[self.signs + 2 * SIGN_BLOCK_ROWS * WORD..];
            let rows = rows.chunks_exact(WORD);
            rows.map(|row| row.try_into().map_or(0, u32::from_ne_bytes)) // As `put` writes them.
        });
        match links
            .take(self.links)
            .position(|word| word == 0 || word == link + 1)
        {
            Some(at) => {
                self.write_link(space, row, link, packer, block, at);
                true
            }
            None => false,
        }
    }
}

fn put(words: &mut [u8], at: usize, word: u32) {
    if let Some(place) = words.get_mut(at * WORD..(at + 1) * WORD) {
        place.copy_from_slice(&word.to_ne_bytes());
    }
}

/// `difference` becomes `to - from`, both scaled.
fn factors(
    metric: Metric,
    (from, of_from): (&[f32], f32),
    (to, of_to): (&[f32], f32),
    difference: &mut Vec<f32>,
) -> Factors {
    /// Sums side by side, which the compiler makes vectors of.
    const LANES: usize = 8;
    difference.clear();
    let differences = from
        .iter()
        .zip(to)
        .map(|(from, to)| to * of_to - from * of_from);
    difference.extend(differences);
    let mut sums = [[0.0_f32; LANES]; 4];
    for (r, v) in difference.chunks(LANES).zip(from.chunks(LANES)) {
        for (lane, (&r, &v)) in r.iter().zip(v).enumerate() {
            let v = v * of_from;
            sums[0][lane] += r * r;
            sums[1][lane] += r.abs();
            sums[2][lane] += r * v;
            // As encode_signs has it: what is not positive counts as negative.
            sums[3][lane] += if r > 0.0 { v } else { -v };
        }
    }
    let [squares, absolute, with_from, signs_with_from] =
        sums.map(|lanes| lanes.iter().sum::<f32>());
    let factor = squares / absolute;
    if !factor.is_finite() {
        // A copy: as near as the node itself.
        return Factors::default();
    }
    match metric {
        // 2 q.n - |q|^2 - |n|^2, from the same of v.
        Metric::L2 => Factors {
            sum: -squares - 2.0 * factor * signs_with_from,
            factor: 2.0 * factor,
        },
        Metric::Dot | Metric::Cosine => Factors {
            sum: with_from - factor * signs_with_from,
            factor,
        },
    }
}

impl BlockReader<'_> {
    /// The block of a node; none where it is to be made, or nothing can be said of it.
    #[inline]
    pub(crate) fn block(&self, row: u32) -> Option<&[u8]> {
        let place = self.blocks.places.get(row as usize)?;
        // A row that is freed in the meantime is not found, or stays as it is: see the arena.
        let block = place.load(Ordering::Acquire).checked_sub(FIRST)?;
        self.reader.get(ArenaRow::new(block))
    }

    /// Asks for where a node's block lies.
    #[inline]
    pub(crate) fn expect(&self, row: u32) {
        let places = self.blocks.places.get(row as usize..=row as usize);
        prefetch_row(places.unwrap_or_default());
    }

    /// Gives `visit` those neighbours that a node's block tells of whose keys are estimated to be
    /// above `least`, the node's own being `key`. Asks for `ahead` meanwhile.
    #[inline]
    pub(crate) fn neighbors(
        &self,
        block: &[u8],
        key: f32,
        least: f32,
        query: &SignTables,
        ahead: &[u8],
        mut visit: impl FnMut(u32, f32),
    ) {
        let Layout {
            isa, signs, part, ..
        } = self.blocks.layout;
        for part in block.chunks_exact(part) {
            let (signs, rest) = part.split_at(signs);
            let Ok([sums, factors, rows]) = bytemuck::try_cast_slice(rest) else {
                return;
            };
            let rows = bytemuck::cast_ref(rows);
            let block = SignBlock {
                signs,
                base: key,
                sums,
                factors,
                rows,
            };
            // Which are near enough is hard to foretell: only those are looked at.
            let SignKeys { keys, mut above } = query.keys(isa, block, least, ahead);
            while above != 0 {
                let at = above.trailing_zeros() as usize % SIGN_BLOCK_ROWS;
                above &= above - 1;
                visit(rows[at].wrapping_sub(1), keys[at]);
            }
        }
        prefetch_row(ahead.get(signs..).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hnsw::{Codes, HnswIndex, HnswOptions};
    use crate::vector_index::VectorIndex;
    use cortica_testkit::bundle;

    #[test]
    fn blocks_that_links_were_added_to_are_as_if_made_anew() {
        const PACKED: usize = 600;
        let data = bundle();
        let options = HnswOptions {
            codes: Codes::Blocks,
            ..HnswOptions::default()
        };
        let index = HnswIndex::new(data.dimension, Metric::Cosine, Isa::best(), options).unwrap();
        let insert = |rows: std::ops::Range<usize>| {
            for row in rows {
                index.insert(data.row(row)).unwrap();
                index.link(1);
            }
        };
        insert(0..PACKED);
        index.pack(&|| false);
        insert(PACKED..PACKED + 100);
        index.with_space(|space, nodes| {
            let (blocks, mut packer) = (space.blocks.unwrap(), Packer::default());
            let reader = blocks.read();
            let mut grown = 0;
            for row in 0..nodes.rows() as u32 {
                let Some(block) = reader.block(row) else {
                    continue;
                };
                let mut anew = vec![0; block.len()];
                let layout = blocks.layout;
                layout.write(space, nodes, row, &mut packer, &mut anew);
                assert_eq!(block, anew, "{row}");
                grown += usize::from(nodes.links(row, 0).any(|link| link as usize >= PACKED));
            }
            assert!(grown > 100, "{grown} blocks were added to");
        });
    }
}
