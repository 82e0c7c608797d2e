//! Whether two stores hold the same.

use crate::content::Content;
use crate::store::MemoryStore;
use std::hash::{DefaultHasher, Hash, Hasher};

impl MemoryStore {
    /// A number that stands for everything the store holds: episodes with all their fields, the
    /// bits of their embeddings, their activation, the associations, the seq that comes next, and where there
    /// are columns, which holds which concept, what they learned and the windows of all streams.
    ///
    /// Two stores that hold the same have the same digest, whatever their logs look like; so a
    /// store can be held against what it was before it was closed. Not to be kept: another build
    /// may come to another number. O(n log n), and reads every embedding.
    pub fn state_digest(&self) -> u64 {
        let mut state = DefaultHasher::new();
        let table = self.table.read();
        for held in table.in_order() {
            let memory = &held.memory;
            (memory.seq, &*memory.id, memory.stored_at.as_micros()).hash(&mut state);
            memory.activation.get().to_bits().hash(&mut state);
            memory.encoding_confidence.get().to_bits().hash(&mut state);
            Content::from(&**memory).hash(&mut state);
            let embedding = held.row.and_then(|row| self.index()?.vector(row));
            let bits =
                embedding.map(|values| values.into_iter().map(f32::to_bits).collect::<Vec<_>>());
            bits.hash(&mut state);
        }
        for link in table.links.all() {
            (link.from, link.to, link.relation, link.weight.to_bits()).hash(&mut state);
        }
        if let Some(allocator) = &self.allocator {
            for held in table.in_order() {
                held.placed.map(|(column, _)| column).hash(&mut state);
            }
            allocator.hash(&mut state);
        }
        table.next_seq().hash(&mut state);
        if let Some(space) = &self.space {
            (
                space.info.dimension,
                space.info.metric.to_string(),
                &space.info.model,
            )
                .hash(&mut state);
        }
        state.finish()
    }
}
