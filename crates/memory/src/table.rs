//! What a store holds in memory, as of the last acknowledged write.

use crate::codec::Link;
use crate::episode::Memory;
use cortica_index::Row;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// The most episodes a store can hold.
pub(crate) const EPISODES_MAX: usize = u32::MAX as usize - 1;

/// The highest seq a log may hold: far above what counting up can reach, far below the end.
pub(crate) const SEQ_MAX: u64 = u64::MAX / 2;

/// Episodes by place, id and row, and the links between them.
#[derive(Debug, Default)]
pub(crate) struct Table {
    /// In the order of storing, which is the order of `seq`.
    memories: Vec<Held>,
    places: HashMap<Arc<str>, u32>,
    place_of_row: Vec<u32>,
    /// By source, relation and target, so that one source's links lie together.
    links: BTreeMap<(u64, u32, u64), f32>,
}

#[derive(Debug)]
struct Held {
    memory: Arc<Memory>,
    row: Option<Row>,
}

impl Table {
    pub(crate) fn len(&self) -> usize {
        self.memories.len()
    }

    pub(crate) fn embedded(&self) -> usize {
        self.place_of_row.len()
    }

    pub(crate) fn links(&self) -> usize {
        self.links.len()
    }

    /// The seq the next episode gets; the first is 1.
    pub(crate) fn next_seq(&self) -> u64 {
        self.memories.last().map_or(1, |held| held.memory.seq + 1)
    }

    pub(crate) fn has(&self, id: &str) -> bool {
        self.places.contains_key(id)
    }

    pub(crate) fn get(&self, id: &str) -> Option<(&Arc<Memory>, Option<Row>)> {
        let held = &self.memories[*self.places.get(id)? as usize];
        Some((&held.memory, held.row))
    }

    pub(crate) fn by_seq(&self, seq: u64) -> Option<&Arc<Memory>> {
        let at = self
            .memories
            .binary_search_by_key(&seq, |held| held.memory.seq)
            .ok()?;
        Some(&self.memories[at].memory)
    }

    pub(crate) fn by_row(&self, row: Row) -> Option<&Arc<Memory>> {
        let place = *self.place_of_row.get(row.get() as usize)?;
        Some(&self.memories[place as usize].memory)
    }

    /// Makes room for `additional` more episodes.
    pub(crate) fn reserve(&mut self, additional: usize) {
        self.memories.reserve(additional);
        self.places.reserve(additional);
        self.place_of_row.reserve(additional);
    }

    /// Adds an episode whose id is new and whose seq is the highest.
    pub(crate) fn push(&mut self, memory: Memory, row: Option<Row>) {
        let place = self.memories.len() as u32;
        self.places.insert(memory.id.clone(), place);
        if row.is_some() {
            self.place_of_row.push(place);
        }
        self.memories.push(Held {
            memory: Arc::new(memory),
            row,
        });
    }

    pub(crate) fn weight(&self, link: &Link) -> Option<f32> {
        self.links
            .get(&(link.from, link.relation, link.to))
            .copied()
    }

    pub(crate) fn link(&mut self, link: Link) {
        self.links
            .insert((link.from, link.relation, link.to), link.weight);
    }

    /// The links that start at an episode, by relation, then target.
    pub(crate) fn links_from(&self, from: u64) -> impl Iterator<Item = Link> + '_ {
        let range = (from, 0, 0)..=(from, u32::MAX, u64::MAX);
        self.links
            .range(range)
            .map(|(&(from, relation, to), &weight)| Link {
                from,
                to,
                relation,
                weight,
            })
    }

    /// Refuses an episode that the log cannot rightly hold at this place.
    pub(crate) fn check_replayed(&self, memory: &Memory) -> Result<(), String> {
        if memory.seq < self.next_seq() || memory.seq > SEQ_MAX {
            return Err(format!(
                "episode {:?} has the seq {}",
                memory.id, memory.seq
            ));
        }
        if self.has(&memory.id) {
            return Err(format!("episode {:?} was stored twice", memory.id));
        }
        if self.len() >= EPISODES_MAX {
            return Err(format!("there are more than {EPISODES_MAX} episodes"));
        }
        Ok(())
    }

    /// Takes in a link from the log.
    pub(crate) fn replay_link(&mut self, link: Link) -> Result<(), String> {
        for seq in [link.from, link.to] {
            if self.by_seq(seq).is_none() {
                return Err(format!("an association names the unknown seq {seq}"));
            }
        }
        if !(link.weight > 0.0 && link.weight <= 1.0) {
            return Err(format!("an association has the weight {}", link.weight));
        }
        self.link(link);
        Ok(())
    }
}
