//! Room for new episodes where a store has a capacity, and memories that were used.

use super::{Effect, Round};
use crate::codec;
use crate::draft::Found;
use crate::error::{StoreError, TickError};
use crate::job::Verdict;
use crate::level::pressure;
use crate::options::AtCapacity;
use crate::outcome::{Evicted, Ticked};
use cortica_storage::AppendError;
use std::sync::Arc;

impl<'a> Round<'a> {
    /// How full the store is as it will be now, from 0 to 1.
    pub(super) fn pressure(&self) -> f64 {
        pressure(self.draft.len(), self.store.capacity)
    }

    /// Refuses a new episode where a store is full and forgets nothing for it.
    pub(super) fn check_capacity(&self) -> Result<(), StoreError> {
        let live = self.draft.len();
        match self.store.capacity {
            Some(capacity) if self.store.at_capacity == AtCapacity::Refuse && live >= capacity => {
                Err(StoreError::AtCapacity { live, capacity })
            }
            _ => Ok(()),
        }
    }

    /// Whether a new episode needs somebody's place.
    pub(super) fn is_full(&self) -> bool {
        let full = |capacity| self.draft.len() >= capacity;
        self.store.capacity.is_some_and(full)
    }

    /// Forgets the weakest until there are fewer than `fewer_than`.
    pub(super) fn evict(&mut self, fewer_than: usize) -> Result<Vec<Evicted>, AppendError> {
        let mut evicted = Vec::new();
        while self.draft.len() >= fewer_than
            && let Some(weakest) = self.draft.weakest()
        {
            let id_hash = self.draft.table.hashing.id(weakest.id);
            self.let_go(weakest, id_hash)?;
            evicted.push(Evicted {
                seq: weakest.seq,
                id: weakest.id.into(),
                activation: weakest.activation,
            });
        }
        self.evictions += evicted.len() as u64;
        Ok(evicted)
    }

    /// An episode is there no more, and its column is free.
    pub(super) fn let_go(&mut self, found: Found<'a>, id_hash: u64) -> Result<(), AppendError> {
        let seq = found.seq;
        let (location, _) = self.append(codec::KIND_FORGET, 0, seq, |_| ())?;
        self.effects.push(Effect::Forget { seq, location });
        if let (Some((column, concept)), Some(columns)) = (found.placed, &mut self.columns) {
            // Refused only for a column that is none.
            let _ = columns.release(column, concept);
        }
        self.draft.forget(found, id_hash);
        Ok(())
    }

    /// Applies what recalls have noted, in the frame of the first write.
    pub(super) fn strengthen(&mut self) -> Result<(), AppendError> {
        let uses = self.draft.table.uses();
        if uses.is_empty() {
            return Ok(());
        }
        self.begin_frame();
        for used in &uses {
            let Some(found) = self.draft.untouched(used.seq) else {
                continue;
            };
            let activation = found.activation.used(used.times);
            if activation != found.activation {
                self.append_activated(used.seq, activation)?;
                self.draft.activate(found, activation);
            }
        }
        self.uses = uses;
        Ok(())
    }

    /// Says what was applied already, and evicts what is more than a capacity that was lowered.
    pub(super) fn tick(&mut self) -> Verdict<Ticked, TickError> {
        let evicted = match (self.store.capacity, self.store.at_capacity) {
            (Some(capacity), AtCapacity::Forget) => self.evict(capacity.saturating_add(1)),
            _ => Ok(Vec::new()),
        };
        match evicted {
            Err(error) => Verdict::now(Err(TickError::Append(Arc::new(error)))),
            Ok(evicted) => Verdict::once_logged(Ticked {
                strengthened: self.uses.len() as u64,
                uses: self.uses.iter().map(|used| u64::from(used.times)).sum(),
                evicted,
                durability: self.store.durability,
            }),
        }
    }
}
