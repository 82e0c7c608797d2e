//! What a store holds in memory, as of the last acknowledged write.

use crate::content::{Content, Hashing};
use crate::episode::Memory;
use crate::level::Activation;
use crate::links::Links;
use crate::trace::RECORD_BYTES;
use crate::uses::{Noted, Used, Uses};
use cortica_cortex::{ColumnId, ConceptId};
use cortica_index::Row;
use cortica_storage::Location;
use hashbrown::HashTable;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// The most episodes a store can hold.
pub(crate) const EPISODES_MAX: usize = u32::MAX as usize - 1;

/// The highest seq a log may hold: far above what counting up can reach, far below the end.
pub(crate) const SEQ_MAX: u64 = u64::MAX / 2;

/// In `slot_of_row`: a row that no episode has.
const NOBODY: u32 = u32::MAX;

/// Episodes in slots, found by seq, id, content and row, and the links between them.
#[derive(Debug, Default)]
pub(crate) struct Table {
    pub(crate) hashing: Hashing,
    slots: Vec<Option<Held>>,
    free: Vec<u32>,
    ids: HashTable<u32>,
    seqs: HashTable<u32>,
    contents: HashTable<u32>,
    slot_of_row: Vec<u32>,
    embedded: usize,
    next_seq: u64,
    pub(crate) links: Links,
    /// The episode whose concept each column holds.
    holders: HashMap<ColumnId, u64>,
    /// Records of which only the trace still counts, by position, each with its bytes.
    traces: BTreeMap<u64, u32>,
    /// The records of the last checkpoint; traces before them count no more.
    checkpoint: Vec<Location>,
    /// Records of the log that came to mean nothing since they were last asked for.
    dead: Vec<Location>,
    /// All by activation, then seq, the weakest first; only where somebody evicts.
    weakest: Option<BTreeSet<(u32, u64)>>,
    /// Those that have uses waiting.
    noted: Noted,
}

/// An episode in its slot.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) memory: Arc<Memory>,
    pub(crate) row: Option<Row>,
    pub(crate) fingerprint: u64,
    pub(crate) embedding_crc: u32,
    pub(crate) placed: Option<(ColumnId, ConceptId)>,
    uses: Uses,
    id_hash: u64,
    seq_hash: u64,
    /// The record that stored it.
    put: Location,
    /// Whether what was learned from that counts when the episode is gone.
    lasts: bool,
    /// The record that says its activation, if that is another one.
    activated: Option<Location>,
}

/// An episode on its way into the table.
#[derive(Debug)]
pub(crate) struct Put {
    pub(crate) memory: Arc<Memory>,
    pub(crate) row: Option<Row>,
    pub(crate) id_hash: u64,
    pub(crate) fingerprint: u64,
    pub(crate) embedding_crc: u32,
    pub(crate) placed: Option<(ColumnId, ConceptId)>,
    pub(crate) lasts: bool,
    pub(crate) location: Location,
}

impl Table {
    pub(crate) fn len(&self) -> usize {
        self.ids.len()
    }

    pub(crate) fn embedded(&self) -> usize {
        self.embedded
    }

    /// The seq the next episode gets; the first is 1.
    pub(crate) fn next_seq(&self) -> u64 {
        self.next_seq.max(1)
    }

    /// Seqs up to this one were given out.
    pub(crate) fn raise_seq(&mut self, seq: u64) {
        self.next_seq = self.next_seq.max(seq + 1);
    }

    pub(crate) fn get(&self, id: &str) -> Option<&Held> {
        self.find(self.hashing.id(id), id)
    }

    /// As [`get`](Self::get), with the id's hash at hand.
    pub(crate) fn find(&self, id_hash: u64, id: &str) -> Option<&Held> {
        let slot = self.ids.find(id_hash, |&slot| {
            held(&self.slots, slot).is_some_and(|held| *held.memory.id == *id)
        });
        held(&self.slots, *slot?)
    }

    pub(crate) fn by_seq(&self, seq: u64) -> Option<&Held> {
        held(&self.slots, self.slot_of(seq)?)
    }

    pub(crate) fn by_row(&self, row: Row) -> Option<&Arc<Memory>> {
        self.held_by_row(row).map(|held| &held.memory)
    }

    pub(crate) fn held_by_row(&self, row: Row) -> Option<&Held> {
        held(&self.slots, *self.slot_of_row.get(row.get() as usize)?)
    }

    /// Those that may have the content with this fingerprint, in no order.
    pub(crate) fn alike(&self, fingerprint: u64) -> impl Iterator<Item = &Held> {
        let alike = self.contents.iter_hash(fingerprint);
        alike
            .filter_map(|&slot| held(&self.slots, slot))
            .filter(move |held| held.fingerprint == fingerprint)
    }

    /// Keeps the order of activations from now on. O(n log n).
    pub(crate) fn keep_order(&mut self) {
        let all = self.slots.iter().flatten();
        self.weakest = Some(all.map(Held::strength).collect());
    }

    /// All by activation, then seq, the weakest first; none where the order is not kept.
    pub(crate) fn weakest(&self) -> impl Iterator<Item = u64> + use<'_> {
        self.weakest.iter().flatten().map(|&(_, seq)| seq)
    }

    /// Notes a use of a memory that was found.
    pub(crate) fn note_use(&self, seq: u64) {
        if let Some(held) = self.by_seq(seq) {
            self.noted.note(seq, &held.uses);
        }
    }

    /// The uses that wait, by seq.
    pub(crate) fn uses(&self) -> Vec<Used> {
        let of = |seq| self.by_seq(seq).map(|held| held.uses.get());
        self.noted.in_order(of)
    }

    /// How many memories have uses waiting.
    pub(crate) fn used(&self) -> usize {
        self.noted.len()
    }

    /// Takes off uses that were applied; those of memories that are gone go with them.
    pub(crate) fn take_uses(&mut self, all: &[Used]) {
        if self.noted.len() == 0 {
            return;
        }
        for used in all {
            let slot = self.slot_of(used.seq).map(|slot| slot as usize);
            if let Some(held) = slot.and_then(|slot| self.slots[slot].as_mut()) {
                held.uses.take(used.times);
            }
        }
        let mut noted = std::mem::take(&mut self.noted);
        noted.retain(|seq| self.by_seq(seq).is_some_and(|held| held.uses.get() > 0));
        self.noted = noted;
    }

    /// All of them by seq. O(n log n).
    pub(crate) fn in_order(&self) -> Vec<&Held> {
        let mut all: Vec<_> = self.slots.iter().flatten().collect();
        all.sort_unstable_by_key(|held| held.memory.seq);
        all
    }

    /// Where in the log the records lie that the episodes rest on.
    pub(crate) fn positions(&self) -> impl Iterator<Item = u64> {
        let held = self.slots.iter().flatten();
        held.flat_map(|held| std::iter::once(held.put).chain(held.activated))
            .map(|location| location.position)
    }

    /// Makes room for `additional` more episodes.
    pub(crate) fn reserve(&mut self, additional: usize) {
        self.slots
            .reserve(additional.saturating_sub(self.free.len()));
        let slots = &self.slots;
        self.ids
            .reserve(additional, |&slot| of(slots, slot, |held| held.id_hash));
        self.seqs
            .reserve(additional, |&slot| of(slots, slot, |held| held.seq_hash));
        self.contents
            .reserve(additional, |&slot| of(slots, slot, |held| held.fingerprint));
        self.slot_of_row.reserve(additional);
    }

    /// Takes an episode in. One with its seq, which must have the same id, is replaced and keeps
    /// its links; the row it had is returned.
    pub(crate) fn put(&mut self, put: Put) -> Option<Row> {
        let Put {
            memory,
            row,
            id_hash,
            fingerprint,
            embedding_crc,
            placed,
            lasts,
            location,
        } = put;
        let seq = memory.seq;
        let seq_hash = self.hashing.seq(seq);
        let held = Held {
            memory,
            row,
            fingerprint,
            embedding_crc,
            placed,
            uses: Uses::default(),
            id_hash,
            seq_hash,
            put: location,
            lasts,
            activated: None,
        };
        let there = self.slot_of(seq);
        let slot = there.or_else(|| self.free.pop());
        let slot = slot.unwrap_or(self.slots.len() as u32);
        if slot as usize == self.slots.len() {
            self.slots.push(None);
        }
        if let Some(weakest) = &mut self.weakest {
            weakest.insert(held.strength());
        }
        let mut old = self.slots[slot as usize].replace(held);
        let old_row = old.as_ref().and_then(|old| old.row);
        if let (Some(old), Some(held)) = (&mut old, &mut self.slots[slot as usize]) {
            if let Some(weakest) = &mut self.weakest
                && old.strength() != held.strength()
            {
                weakest.remove(&old.strength());
            }
            held.uses = std::mem::take(&mut old.uses);
        }
        if let Some(old) = old {
            self.retire(&old);
            unlist(&mut self.contents, old.fingerprint, slot);
            self.unplace(&old);
        } else {
            let slots = &self.slots;
            self.ids
                .insert_unique(id_hash, slot, |&slot| of(slots, slot, |held| held.id_hash));
            self.seqs.insert_unique(seq_hash, slot, |&slot| {
                of(slots, slot, |held| held.seq_hash)
            });
        }
        let slots = &self.slots;
        self.contents.insert_unique(fingerprint, slot, |&slot| {
            of(slots, slot, |held| held.fingerprint)
        });
        if let Some(row) = row {
            self.give_row(slot, row);
        }
        if let Some((column, _)) = placed {
            self.holders.insert(column, seq);
        }
        self.raise_seq(seq);
        old_row
    }

    /// Gives an episode without a row the one that its embedding came to lie in.
    pub(crate) fn place(&mut self, seq: u64, row: Row) {
        let slot = self.slot_of(seq);
        let held = slot.and_then(|slot| self.slots[slot as usize].as_mut());
        if let (Some(slot), Some(held)) = (slot, held) {
            held.row = Some(row);
            self.give_row(slot, row);
        }
    }

    fn give_row(&mut self, slot: u32, row: Row) {
        let row = row.get() as usize;
        if self.slot_of_row.len() <= row {
            self.slot_of_row.resize(row + 1, NOBODY);
        }
        self.slot_of_row[row] = slot;
        self.embedded += 1;
    }

    /// Gives an episode another activation. Nothing, if there is no such episode.
    pub(crate) fn activate(&mut self, seq: u64, activation: Activation, location: Location) {
        let slot = self.slot_of(seq).map(|slot| slot as usize);
        let Some(held) = slot.and_then(|slot| self.slots[slot].as_mut()) else {
            self.dead.push(location);
            return;
        };
        if let Some(weakest) = &mut self.weakest {
            weakest.remove(&held.strength());
            weakest.insert((activation.order(), seq));
        }
        Arc::make_mut(&mut held.memory).activation = activation;
        self.dead.extend(held.activated.replace(location));
    }

    /// Removes an episode with its links, and returns it.
    pub(crate) fn forget(&mut self, seq: u64) -> Option<Held> {
        let slot = self.slot_of(seq)?;
        let old = self.slots[slot as usize].take()?;
        if let Some(weakest) = &mut self.weakest {
            weakest.remove(&old.strength());
        }
        unlist(&mut self.ids, old.id_hash, slot);
        unlist(&mut self.seqs, old.seq_hash, slot);
        unlist(&mut self.contents, old.fingerprint, slot);
        self.unplace(&old);
        self.free.push(slot);
        self.links.remove_of(seq, &mut self.dead);
        self.retire(&old);
        Some(old)
    }

    pub(crate) fn link(&mut self, link: crate::codec::Link, record: Location) {
        self.links.set(link, record, &mut self.dead);
    }

    /// Notes a record that never meant anything, or does not any more.
    pub(crate) fn retire_record(&mut self, location: Location) {
        self.dead.push(location);
    }

    /// The records that came to mean nothing since this was last asked for.
    pub(crate) fn take_dead(&mut self) -> Vec<Location> {
        std::mem::take(&mut self.dead)
    }

    fn slot_of(&self, seq: u64) -> Option<u32> {
        let same = |&slot: &u32| held(&self.slots, slot).is_some_and(|held| held.memory.seq == seq);
        self.seqs.find(self.hashing.seq(seq), same).copied()
    }

    fn retire(&mut self, old: &Held) {
        let Location { position, bytes } = old.put;
        if old.lasts && position >= self.checkpoint_from() {
            self.traces.insert(position, RECORD_BYTES);
            let bytes = bytes.saturating_sub(RECORD_BYTES);
            self.dead.push(Location { position, bytes });
        } else {
            self.dead.push(old.put);
        }
        self.dead.extend(old.activated);
        if let Some((column, _)) = old.placed
            && self.holders.get(&column) == Some(&old.memory.seq)
        {
            self.holders.remove(&column);
        }
    }

    /// The episode whose concept a column holds.
    pub(crate) fn holder(&self, column: ColumnId) -> Option<&Held> {
        self.by_seq(*self.holders.get(&column)?)
    }

    /// How many episodes' concepts have columns.
    pub(crate) fn columns_held(&self) -> usize {
        self.holders.len()
    }

    /// An episode's concept has no column any more.
    pub(crate) fn displace(&mut self, seq: u64) {
        let slot = self.slot_of(seq).map(|slot| slot as usize);
        let held = slot.and_then(|slot| self.slots[slot].as_mut());
        let placed = held.and_then(|held| held.placed.take());
        if let Some((column, _)) = placed
            && self.holders.get(&column) == Some(&seq)
        {
            self.holders.remove(&column);
        }
    }

    /// Takes in a record that is nothing but a trace.
    pub(crate) fn leave_trace(&mut self, location: Location) {
        self.traces.insert(location.position, location.bytes);
    }

    /// Bytes of records of which only the trace counts.
    pub(crate) fn trace_bytes(&self) -> u64 {
        self.traces.values().map(|&bytes| u64::from(bytes)).sum()
    }

    /// Positions of records of which only the trace counts, and of those of the last checkpoint.
    pub(crate) fn trace_positions(&self) -> impl Iterator<Item = u64> {
        self.traces.keys().copied()
    }

    pub(crate) fn checkpoint_positions(&self) -> impl Iterator<Item = u64> {
        self.checkpoint.iter().map(|location| location.position)
    }

    pub(crate) fn checkpoint_bytes(&self) -> u64 {
        let bytes = self
            .checkpoint
            .iter()
            .map(|location| u64::from(location.bytes));
        bytes.sum()
    }

    fn checkpoint_from(&self) -> u64 {
        self.checkpoint.first().map_or(0, |first| first.position)
    }

    /// All that was learned before is in these records.
    pub(crate) fn checkpointed(&mut self, records: Vec<Location>) {
        self.dead.append(&mut self.checkpoint);
        self.checkpoint = records;
        let after = self.traces.split_off(&self.checkpoint_from());
        let before = std::mem::replace(&mut self.traces, after);
        let gone = before.into_iter();
        self.dead
            .extend(gone.map(|(position, bytes)| Location { position, bytes }));
    }

    /// The row of an episode that goes belongs to nobody.
    fn unplace(&mut self, old: &Held) {
        if let Some(row) = old.row {
            self.slot_of_row[row.get() as usize] = NOBODY;
            self.embedded -= 1;
        }
    }
}

impl Held {
    /// Where it stands among those that may be evicted.
    fn strength(&self) -> (u32, u64) {
        (self.memory.activation.order(), self.memory.seq)
    }

    pub(crate) fn content(&self) -> Content<'_> {
        Content::from(&*self.memory)
    }
}

fn held(slots: &[Option<Held>], slot: u32) -> Option<&Held> {
    slots.get(slot as usize)?.as_ref()
}

fn of(slots: &[Option<Held>], slot: u32, hash: fn(&Held) -> u64) -> u64 {
    held(slots, slot).map_or(0, hash)
}

/// Takes a slot out of a list of slots.
fn unlist(list: &mut HashTable<u32>, hash: u64, slot: u32) {
    if let Ok(entry) = list.find_entry(hash, |&listed| listed == slot) {
        entry.remove();
    }
}
