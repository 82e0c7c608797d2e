//! Codes of all concepts, and where to find them by hash: what a dedup keeps for each.

use crate::column::ConceptId;
use crate::prototype::CODE_DIMENSION;
use cortica_simd::{CodeRows, Isa, decode_f16, dot_i8, dot_rows_i8, f16_from_f32};
use hashbrown::HashTable;

/// Concepts of a segment: small, so that the last one wastes little; enough for a kernel's call.
const SEGMENT: usize = 256;

/// Of [`SEGMENT`] concepts. Segments never move, so nothing is copied or doubled when there are more.
#[derive(Debug)]
struct Segment {
    codes: Box<[i8]>,
    /// 1 / the length of each code, in f16; 0 for one that is not there.
    inverse_norms: Box<[u16]>,
    /// Of the id and of the content: what tables need to grow, and to tell most strangers apart.
    hashes: Box<[[u32; 2]]>,
}

impl Segment {
    fn new() -> Segment {
        Segment {
            codes: vec![0; SEGMENT * CODE_DIMENSION].into_boxed_slice(),
            inverse_norms: vec![0; SEGMENT].into_boxed_slice(),
            hashes: vec![[0; 2]; SEGMENT].into_boxed_slice(),
        }
    }
}

const SEGMENT_BYTES: usize = SEGMENT * (CODE_DIMENSION + 2 + 8);

/// Which of the two tables.
#[derive(Clone, Copy, Debug)]
pub(crate) enum By {
    Id,
    Content,
}

#[derive(Debug, Default)]
pub(crate) struct CodeTable {
    segments: Vec<Segment>,
    /// Slots that were ever given.
    slots: u32,
    free: Vec<u32>,
    tables: [HashTable<u32>; 2],
}

impl CodeTable {
    /// A slot for a concept whose code is not known yet; `None` where 2^32 - 1 are taken.
    pub(crate) fn insert(&mut self, hashes: [u32; 2]) -> Option<ConceptId> {
        let slot = if let Some(slot) = self.free.pop() {
            slot
        } else {
            let slot = self.slots;
            self.slots = slot.checked_add(1)?;
            slot
        };
        self.fill(slot, hashes);
        Some(ConceptId::new(slot))
    }

    /// Takes the slot of this number; whether it was free. O(free slots).
    pub(crate) fn insert_at(&mut self, concept: ConceptId, hashes: [u32; 2]) -> bool {
        let slot = concept.get();
        if slot >= self.slots {
            let Some(slots) = slot.checked_add(1) else {
                return false;
            };
            self.free.extend(self.slots..slot);
            self.slots = slots;
        } else if let Some(at) = self.free.iter().rposition(|&free| free == slot) {
            self.free.swap_remove(at);
        } else {
            return false;
        }
        self.fill(slot, hashes);
        true
    }

    fn fill(&mut self, slot: u32, hashes: [u32; 2]) {
        let (segment, at) = place(slot);
        while segment >= self.segments.len() {
            self.segments.push(Segment::new());
        }
        self.segments[segment].hashes[at] = hashes;
        let segments = &self.segments;
        for (which, table) in self.tables.iter_mut().enumerate() {
            let hash = |slot: &u32| {
                let (segment, at) = place(*slot);
                spread(segments[segment].hashes[at][which])
            };
            table.insert_unique(spread(hashes[which]), slot, hash);
        }
    }

    /// The code of a concept that is there.
    pub(crate) fn code(&self, concept: ConceptId) -> Option<[i8; CODE_DIMENSION]> {
        let (segment, at) = place(concept.get());
        let segment = self.segments.get(segment)?;
        if segment.inverse_norms[at] == 0 {
            return None;
        }
        segment.codes[at * CODE_DIMENSION..].first_chunk().copied()
    }

    /// The concept with this hash that is the one meant; of several the one with the lowest number, wherever they
    /// lie in the table, which differs from process to process.
    pub(crate) fn find(
        &self,
        by: By,
        hash: u32,
        is_it: impl Fn(ConceptId) -> bool,
    ) -> Option<ConceptId> {
        let table = &self.tables[by as usize];
        let same = |slot: &u32| {
            let (segment, at) = place(*slot);
            self.segments[segment].hashes[at][by as usize] == hash && is_it(ConceptId::new(*slot))
        };
        let all = table.iter_hash(spread(hash)).copied();
        all.filter(same).min().map(ConceptId::new)
    }

    /// Gives a concept its code: from now on it is found by it.
    pub(crate) fn set_code(&mut self, isa: Isa, concept: ConceptId, code: &[i8; CODE_DIMENSION]) {
        let (segment, at) = place(concept.get());
        let Some(segment) = self.segments.get_mut(segment) else {
            return;
        };
        segment.codes[at * CODE_DIMENSION..][..CODE_DIMENSION].copy_from_slice(code);
        segment.inverse_norms[at] = f16_from_f32(inverse_norm(isa, code));
    }

    /// Takes a concept away; whether it was there.
    pub(crate) fn remove(&mut self, concept: ConceptId) -> bool {
        let slot = concept.get();
        let (segment, at) = place(slot);
        let Some(segment) = self.segments.get_mut(segment) else {
            return false;
        };
        let mut found = false;
        for (table, hash) in self.tables.iter_mut().zip(segment.hashes[at]) {
            if let Ok(entry) = table.find_entry(spread(hash), |&other| other == slot) {
                entry.remove();
                found = true;
            }
        }
        if found {
            segment.inverse_norms[at] = 0;
            self.free.push(slot);
        }
        found
    }

    /// All whose code has a cosine of at least `cosine_min` with this one, which f16 of a length makes inexact by
    /// 2^-11 of itself. In the order of their numbers. O(concepts), 64 bytes each.
    pub(crate) fn near(
        &self,
        isa: Isa,
        code: &[i8; CODE_DIMENSION],
        cosine_min: f32,
        found: &mut Vec<ConceptId>,
    ) {
        for number in 0..self.segments.len() {
            self.near_in_segment(number, isa, code, cosine_min, found);
        }
    }

    /// The part of [`near`](CodeTable::near) that is in one segment of [`SEGMENT`] concepts; whether there is one of
    /// this number.
    pub(crate) fn near_in_segment(
        &self,
        number: usize,
        isa: Isa,
        code: &[i8; CODE_DIMENSION],
        cosine_min: f32,
        found: &mut Vec<ConceptId>,
    ) -> bool {
        let Some(segment) = self.segments.get(number) else {
            return false;
        };
        let norm_inverse = inverse_norm(isa, code);
        let (true, Ok(rows)) = (
            norm_inverse > 0.0,
            CodeRows::packed(&segment.codes, CODE_DIMENSION),
        ) else {
            return true; // Near nothing; a segment always holds whole rows.
        };
        let least = cosine_min / norm_inverse;
        let (mut dots, mut inverse_norms) = ([0_i32; SEGMENT], [0.0_f32; SEGMENT]);
        dot_rows_i8(isa, code, rows, &mut dots);
        decode_f16(isa, &segment.inverse_norms, &mut inverse_norms);
        // Eight at a time: there is hardly ever one among them.
        let inverse_eights = inverse_norms.as_chunks::<8>().0;
        let eights = dots.as_chunks::<8>().0.iter().zip(inverse_eights);
        for (at, (dots, inverse)) in eights.enumerate() {
            let mut any = false;
            for lane in 0..8 {
                any |= inverse[lane] > 0.0 && dots[lane] as f32 * inverse[lane] >= least;
            }
            if any {
                let start = number * SEGMENT + 8 * at;
                let near = (0..8).filter(|&lane| {
                    inverse[lane] > 0.0 && dots[lane] as f32 * inverse[lane] >= least
                });
                found.extend(near.map(|lane| ConceptId::new((start + lane) as u32)));
            }
        }
        true
    }

    pub(crate) fn len(&self) -> usize {
        self.tables[0].len()
    }

    /// Bytes held for all concepts.
    pub(crate) fn bytes(&self) -> usize {
        let tables = self.tables.iter().map(HashTable::allocation_size);
        self.segments.len() * SEGMENT_BYTES
            + self.segments.capacity() * size_of::<Segment>()
            + self.free.capacity() * size_of::<u32>()
            + tables.sum::<usize>()
    }
}

fn place(slot: u32) -> (usize, usize) {
    (slot as usize / SEGMENT, slot as usize % SEGMENT)
}

/// 32 bits over 64: a table takes its buckets from one end and its tags from the other.
fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn inverse_norm(isa: Isa, code: &[i8; CODE_DIMENSION]) -> f32 {
    let square = dot_i8(isa, code, code);
    if square > 0 {
        (square as f32).sqrt().recip()
    } else {
        0.0
    }
}
