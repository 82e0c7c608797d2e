//! Which records of the log still mean something.

use crate::codec::{self, Link};
use crate::table::Table;
use cortica_storage::{Fate, Record};
use std::collections::{HashMap, HashSet};
use std::ops::Range;

/// What stands of a range of the log, as of one moment. Judges records without the table.
#[derive(Debug)]
pub(crate) struct Live {
    /// Positions of episodes and activations.
    records: HashSet<u64>,
    /// Positions of records of which only the trace stands, and of those of the checkpoint.
    traces: HashSet<u64>,
    checkpoint: HashSet<u64>,
    /// Positions of the records that hold the links.
    links: HashMap<(u64, u32, u64), (u64, f32)>,
    /// A forgetting before this position has nothing left to make void.
    forgets_from: u64,
}

impl Live {
    /// What stands of this range of log positions. O(n).
    pub(crate) fn of(table: &Table, range: &Range<u64>, forgets_from: u64) -> Self {
        let records = table
            .positions()
            .filter(|position| range.contains(position));
        let links = table.links.positions(range);
        Self {
            records: records.collect(),
            traces: table
                .trace_positions()
                .filter(|at| range.contains(at))
                .collect(),
            checkpoint: table.checkpoint_positions().collect(),
            links: links
                .map(|(link, position)| {
                    let key = (link.from, link.relation, link.to);
                    (key, (position, link.weight))
                })
                .collect(),
            forgets_from,
        }
    }

    /// What becomes of a record.
    pub(crate) fn fate(&self, record: &Record<'_>) -> Fate {
        let stands = match record.entry.kind {
            codec::KIND_EPISODE | codec::KIND_ACTIVATION => self.records.contains(&record.position),
            codec::KIND_PLACED => return self.placed(record),
            codec::KIND_CHECKPOINT => self.checkpoint.contains(&record.position),
            codec::KIND_FORGET => record.position >= self.forgets_from,
            codec::KIND_ASSOCIATIONS => return self.links(record),
            _ => true,
        };
        if stands { Fate::Keep } else { Fate::Drop }
    }

    /// An episode that is gone leaves its trace, for as long as no checkpoint has what was learned from it.
    fn placed(&self, record: &Record<'_>) -> Fate {
        if self.records.contains(&record.position) {
            return Fate::Keep;
        }
        if !self.traces.contains(&record.position) {
            return Fate::Drop;
        }
        match codec::trace_bytes(record.entry.dimension, record.payload) {
            Some(trace) if trace.len() < record.payload.len() => Fate::Replace(trace.to_vec()),
            _ => Fate::Keep,
        }
    }

    fn links(&self, record: &Record<'_>) -> Fate {
        let Ok(links) = codec::decode_links(record.payload) else {
            return Fate::Keep; // Cannot be: it was read when the store was opened, or written since.
        };
        let stands = |link: &Link| {
            let key = (link.from, link.relation, link.to);
            self.links.get(&key) == Some(&(record.position, link.weight))
        };
        let all: Vec<Link> = links.collect();
        let standing: Vec<Link> = all.iter().copied().filter(stands).collect();
        match standing.len() {
            0 => Fate::Drop,
            standing if standing == all.len() => Fate::Keep,
            _ => {
                let mut payload = Vec::new();
                codec::encode_links(&standing, &mut payload);
                Fate::Replace(payload)
            }
        }
    }
}
