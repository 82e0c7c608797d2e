//! A saved graph, read and found to be one: nothing in it leads anywhere that is not there.

use crate::hnsw::options::LEVEL_MAX;
use crate::hnsw::saved::SavedKey;
use std::ops::Range;

pub(crate) const MAGIC: [u8; 8] = *b"CORTHNSW";
pub(crate) const VERSION: u32 = 1;
pub(crate) const HEADER: usize = 72;
/// In the place of a node or a row: there is none.
pub(crate) const NOBODY: u32 = u32::MAX;

/// A node without links: its key, level and so on, and how many links it has on level 0.
const NODE_MIN: usize = 8 + 4 + 1 + 1 + 2;

/// Why a saved graph was not loaded. Nothing was changed; link what waits instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SavedGraphError {
    /// It is not as it was saved.
    #[error("the saved graph is damaged: {why}")]
    Damaged {
        /// What is wrong with it.
        why: &'static str,
    },
    /// It was saved by another release.
    #[error("the saved graph has version {found}, this build reads {supported}")]
    OtherVersion {
        /// Its version.
        found: u32,
        /// The version that this build reads.
        supported: u32,
    },
    /// It was built with other options, or of other vectors.
    #[error("the saved graph was made with another {what}")]
    OtherOptions {
        /// What is different.
        what: &'static str,
    },
    /// Most of the vectors that could be found when it was saved are not there any more.
    #[error("{gone} of the {nodes} vectors of the saved graph are gone")]
    Outdated {
        /// How many of those.
        gone: usize,
        /// How many could be found.
        nodes: usize,
    },
    /// The index has a graph already; load before anything is linked.
    #[error("the index has a graph already")]
    NotEmpty,
}

/// A saved node.
#[derive(Debug)]
pub(crate) struct Head {
    /// `None` of one that is only passed through.
    pub(crate) key: Option<SavedKey>,
    pub(crate) level: usize,
    /// The first of its lists of links.
    list: usize,
}

/// A graph whose every link leads to another node of the same level, no two of a node to the same.
#[derive(Debug)]
pub(crate) struct SavedGraph {
    pub(crate) dimension: u32,
    /// Metric, degree, build width, codes.
    pub(crate) options: [u32; 4],
    pub(crate) seed: u64,
    pub(crate) added: u64,
    pub(crate) entry: Option<usize>,
    pub(crate) heads: Vec<Head>,
    lists: Vec<Range<usize>>,
    links: Vec<u32>,
}

/// The log position, or whatever the caller gave, of a saved graph that is whole.
pub fn saved_position(saved: &[u8]) -> Result<u64, SavedGraphError> {
    let mut reader = Reader(checked(saved)?);
    reader.take(40)?;
    reader.u64()
}

/// All but the checksum, if that is right.
fn checked(saved: &[u8]) -> Result<&[u8], SavedGraphError> {
    let Some((body, sum)) = saved
        .split_last_chunk::<4>()
        .filter(|(body, _)| body.len() >= HEADER)
    else {
        return Err(damaged("it is shorter than its header"));
    };
    let mut reader = Reader(body);
    if reader.take(8)? != MAGIC {
        return Err(damaged("it does not begin as one"));
    }
    let found = reader.u32()?;
    let whole = crc32fast::hash(body) == u32::from_le_bytes(*sum);
    if whole && found != VERSION {
        let supported = VERSION;
        return Err(SavedGraphError::OtherVersion { found, supported });
    }
    reader.take(44)?;
    if reader.u64()? != saved.len() as u64 {
        return Err(damaged("it is not as long as it says"));
    }
    if !whole {
        return Err(damaged("its checksum is wrong"));
    }
    Ok(body)
}

impl SavedGraph {
    /// Reads and verifies all of it. O(nodes times degree).
    pub(crate) fn read(saved: &[u8]) -> Result<Self, SavedGraphError> {
        let mut reader = Reader(checked(saved)?);
        reader.take(12)?;
        let dimension = reader.u32()?;
        let options = [reader.u32()?, reader.u32()?, reader.u32()?, reader.u32()?];
        let (seed, _position, added) = (reader.u64()?, reader.u64()?, reader.u64()?);
        reader.u64()?;
        let (nodes, entry) = (reader.u32()? as usize, reader.u32()?);
        if nodes > reader.0.len() / NODE_MIN {
            return Err(damaged("it has no room for so many nodes"));
        }
        let mut graph = Self {
            dimension,
            options,
            seed,
            added,
            entry: (entry != NOBODY).then_some(entry as usize),
            heads: Vec::with_capacity(nodes),
            lists: Vec::with_capacity(nodes),
            links: Vec::with_capacity(reader.0.len() / size_of::<u32>()),
        };
        for _ in 0..nodes {
            graph.read_node(&mut reader)?;
        }
        if !reader.0.is_empty() {
            return Err(damaged("something comes behind the last node"));
        }
        graph.check()?;
        Ok(graph)
    }

    fn read_node(&mut self, reader: &mut Reader<'_>) -> Result<(), SavedGraphError> {
        let key = SavedKey {
            id: reader.u64()?,
            check: reader.u32()?,
        };
        let (level, found) = (usize::from(reader.u8()?), reader.u8()?);
        if level > LEVEL_MAX || found > 1 {
            return Err(damaged("a node has a level or a state that cannot be"));
        }
        self.heads.push(Head {
            key: (found == 1).then_some(key),
            level,
            list: self.lists.len(),
        });
        let degree = self.options[1] as usize;
        for level in 0..=level {
            let count = usize::from(reader.u16()?);
            let most = if level == 0 {
                degree.saturating_mul(2)
            } else {
                degree
            };
            if count > most {
                return Err(damaged("a node has more links than it may"));
            }
            let from = self.links.len();
            for _ in 0..count {
                self.links.push(reader.u32()?);
            }
            self.lists.push(from..self.links.len());
        }
        Ok(())
    }

    fn check(&self) -> Result<(), SavedGraphError> {
        let nodes = self.heads.len();
        let levels: usize = self.heads.iter().map(|head| head.level).sum();
        if levels > levels_max(nodes, self.options[1]) {
            return Err(damaged("its nodes are higher than chance makes them"));
        }
        if self.entry.is_some_and(|entry| entry >= nodes) {
            return Err(damaged("walks would begin at a node that is not there"));
        }
        let mut sorted = Vec::new();
        for (number, head) in self.heads.iter().enumerate() {
            for level in 0..=head.level {
                sorted.clear();
                sorted.extend_from_slice(self.links(number, level));
                sorted.sort_unstable();
                if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
                    return Err(damaged("a node links twice to another"));
                }
                let leads = |&link: &u32| {
                    let to = self.heads.get(link as usize);
                    link as usize != number && to.is_some_and(|to| to.level >= level)
                };
                if !sorted.iter().all(leads) {
                    return Err(damaged("a link leads to a node that is not there"));
                }
            }
        }
        Ok(())
    }

    /// Where a node links to on a level.
    pub(crate) fn links(&self, number: usize, level: usize) -> &[u32] {
        let list = self.lists.get(self.heads[number].list + level).cloned();
        list.map_or(&[], |list| &self.links[list])
    }
}

/// More levels above the base, of all nodes together, than any graph has that was built: each takes
/// the memory of a whole list of links, and a saved one with no link in it takes two bytes. Heights
/// are geometric, with a mean of `1 / (degree - 1)`; this is eight standard deviations more.
fn levels_max(nodes: usize, degree: u32) -> usize {
    let (nodes, degree) = (nodes as f64, f64::from(degree.max(2)));
    let mean = nodes / (degree - 1.0);
    let deviation = (nodes * degree).sqrt() / (degree - 1.0);
    (mean + 8.0 * deviation) as usize + 2 * LEVEL_MAX
}

fn damaged(why: &'static str) -> SavedGraphError {
    SavedGraphError::Damaged { why }
}

/// Bytes that are taken from the front, as long as there are any.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], SavedGraphError> {
        let Some((taken, rest)) = self.0.split_at_checked(count) else {
            return Err(damaged("it ends in the middle of a node"));
        };
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], SavedGraphError> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.take(N)?);
        Ok(bytes)
    }

    fn u8(&mut self) -> Result<u8, SavedGraphError> {
        self.array().map(u8::from_le_bytes)
    }

    fn u16(&mut self) -> Result<u16, SavedGraphError> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, SavedGraphError> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, SavedGraphError> {
        self.array().map(u64::from_le_bytes)
    }
}
