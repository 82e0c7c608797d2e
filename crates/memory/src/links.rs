//! The associations between episodes, and which record of the log holds which.

use crate::codec::{LINK_LEN, Link};
use cortica_storage::Location;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// Source, relation, target.
type Key = (u64, u32, u64);

/// Links by their source, so that one source's lie together, and by their target.
#[derive(Debug, Default)]
pub(crate) struct Links {
    from: BTreeMap<Key, Weight>,
    /// Target, source, relation: what must go when the target goes.
    to: BTreeSet<(u64, u64, u32)>,
    /// By position.
    records: BTreeMap<u64, LinkRecord>,
}

#[derive(Clone, Copy, Debug)]
struct Weight {
    weight: f32,
    /// Position of the record that says so.
    record: u64,
}

/// A record of links, of which some may not stand any more.
#[derive(Clone, Copy, Debug)]
struct LinkRecord {
    /// Links in it that stand.
    standing: u32,
    /// Its bytes that were not retired yet.
    bytes: u32,
}

impl Links {
    pub(crate) fn len(&self) -> usize {
        self.from.len()
    }

    pub(crate) fn weight(&self, key: &Key) -> Option<f32> {
        self.from.get(key).map(|held| held.weight)
    }

    /// Takes in a link that a record of the log holds. What this leaves without a meaning is added
    /// to `dead`.
    pub(crate) fn set(&mut self, link: Link, record: Location, dead: &mut Vec<Location>) {
        let fresh = LinkRecord {
            standing: 0,
            bytes: record.bytes,
        };
        // Counted before the old one goes, which may lie in the same record.
        self.records
            .entry(record.position)
            .or_insert(fresh)
            .standing += 1;
        let weight = Weight {
            weight: link.weight,
            record: record.position,
        };
        match self
            .from
            .insert((link.from, link.relation, link.to), weight)
        {
            Some(old) => self.retire(old.record, dead),
            None => {
                self.to.insert((link.to, link.from, link.relation));
            }
        }
    }

    /// Removes all links that start or end at an episode.
    pub(crate) fn remove_of(&mut self, seq: u64, dead: &mut Vec<Location>) {
        let starting: Vec<Key> = self.starting(seq).map(|(key, _)| key).collect();
        let ending = self.to.range((seq, 0, 0)..=(seq, u64::MAX, u32::MAX));
        let ending: Vec<Key> = ending
            .map(|&(to, from, relation)| (from, relation, to))
            .collect();
        for key in starting.into_iter().chain(ending) {
            // A link from an episode to itself is in both.
            if let Some(old) = self.from.remove(&key) {
                self.to.remove(&(key.2, key.0, key.1));
                self.retire(old.record, dead);
            }
        }
    }

    fn retire(&mut self, position: u64, dead: &mut Vec<Location>) {
        let Some(record) = self.records.get_mut(&position) else {
            return;
        };
        record.standing -= 1;
        let bytes = match record.standing {
            0 => record.bytes,
            _ => record.bytes.min(LINK_LEN as u32),
        };
        record.bytes -= bytes;
        if record.standing == 0 {
            self.records.remove(&position);
        }
        dead.push(Location { position, bytes });
    }

    fn starting(&self, from: u64) -> impl Iterator<Item = (Key, &Weight)> + '_ {
        let range = (from, 0, 0)..=(from, u32::MAX, u64::MAX);
        self.from.range(range).map(|(&key, held)| (key, held))
    }

    /// The links that start at an episode, by relation, then target.
    pub(crate) fn links_from(&self, from: u64) -> impl Iterator<Item = Link> + '_ {
        self.starting(from).map(|(key, held)| named(key, held))
    }

    /// The links whose records lie in this range of the log, each with its record's position.
    pub(crate) fn positions(&self, range: &Range<u64>) -> impl Iterator<Item = (Link, u64)> {
        // Most ranges have no links at all, and need not be looked for among all of them.
        let any = self.records.range(range.clone()).next().is_some();
        let all = any.then(|| self.from.iter()).into_iter().flatten();
        all.filter(move |(_, held)| range.contains(&held.record))
            .map(|(&key, held)| (named(key, held), held.record))
    }

    /// All links, by source, relation and target.
    pub(crate) fn all(&self) -> impl Iterator<Item = Link> + '_ {
        self.from.iter().map(|(&key, held)| named(key, held))
    }
}

fn named((from, relation, to): Key, held: &Weight) -> Link {
    Link {
        from,
        to,
        relation,
        weight: held.weight,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(from: u64, to: u64, weight: f32) -> Link {
        Link {
            from,
            to,
            relation: 7,
            weight,
        }
    }

    fn at(position: u64, links: u32) -> Location {
        Location {
            position,
            bytes: 56 + links * LINK_LEN as u32,
        }
    }

    #[test]
    fn a_record_is_retired_link_by_link_and_then_whole() {
        let (mut links, mut dead) = (Links::default(), Vec::new());
        for to in [1, 2, 3] {
            links.set(link(1, to, 0.5), at(0, 3), &mut dead);
        }
        assert!(dead.is_empty());
        links.set(link(1, 2, 0.75), at(200, 1), &mut dead);
        assert_eq!(
            dead,
            [Location {
                position: 0,
                bytes: 24
            }]
        );
        links.remove_of(1, &mut dead);
        assert_eq!((links.len(), links.to.len()), (0, 0));
        let of_record = |position| -> u32 {
            let dead = dead.iter().filter(|dead| dead.position == position);
            dead.map(|dead| dead.bytes).sum()
        };
        assert_eq!(of_record(0), at(0, 3).bytes);
        assert_eq!(of_record(200), at(200, 1).bytes);
        assert!(links.records.is_empty());
    }

    #[test]
    fn a_link_twice_in_one_record_counts_once() {
        let (mut links, mut dead) = (Links::default(), Vec::new());
        links.set(link(1, 2, 0.5), at(0, 2), &mut dead);
        links.set(link(1, 2, 0.25), at(0, 2), &mut dead);
        assert_eq!(links.weight(&(1, 7, 2)), Some(0.25));
        assert_eq!(
            dead,
            [Location {
                position: 0,
                bytes: 24
            }]
        );
        links.remove_of(2, &mut dead);
        assert_eq!(dead[1].bytes, 56 + 24);
    }
}
