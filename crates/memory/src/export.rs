//! Everything a store holds, one after the other.

use crate::association::Association;
use crate::episode::Memory;
use crate::store::MemoryStore;

/// Something that a store holds.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Exported<'a> {
    /// An episode, with its embedding as it was stored.
    Episode {
        /// All but the embedding.
        memory: &'a Memory,
        /// The embedding, if it has one.
        embedding: Option<&'a [f32]>,
    },
    /// An association between two episodes that came before.
    Association(&'a Association),
}

impl MemoryStore {
    /// Shows everything that the store holds: the episodes in the order of their seqs, then the
    /// associations by the seqs of their ends. Shown an error, it stops and gives it back.
    ///
    /// What is shown is the store at one moment; writes wait until it is over. O(n log n), and
    /// memory for a list of the episodes, not for what they hold.
    pub fn export<E>(&self, mut show: impl FnMut(Exported<'_>) -> Result<(), E>) -> Result<(), E> {
        let table = self.table.read();
        for held in table.in_order() {
            let embedding = held.row.and_then(|row| self.index()?.vector(row));
            show(Exported::Episode {
                memory: &held.memory,
                embedding: embedding.as_deref(),
            })?;
        }
        for link in table.links.all() {
            let [from, to] = [link.from, link.to].map(|seq| table.by_seq(seq));
            let (Some(from), Some(to)) = (from, to) else {
                continue; // A link goes with either of its ends.
            };
            let (from, to) = (&*from.memory.id, &*to.memory.id);
            let association = Association::new(from, to, link.relation).with_weight(link.weight);
            show(Exported::Association(&association))?;
        }
        Ok(())
    }
}
