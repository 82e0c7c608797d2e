//! The memory store: one writer at a time, any number of readers beside it.

use crate::association::{Associated, Association};
use crate::codec::{self, Link};
use crate::cue::{Cue, Recalled};
use crate::episode::{Episode, Memory};
use crate::error::{AssociateError, OpenError, RecallError, StoreError};
use crate::level::Activation;
use crate::options::{SpaceInfo, StoreOptions};
use crate::replay::{Replay, SPACE};
use crate::space::{Agreed, Space, agree, check_spec};
use crate::table::{EPISODES_MAX, SEQ_MAX, Table};
use cortica_env::{Clock, Timestamp};
use cortica_index::{Checked, Query};
use cortica_simd::Isa;
use cortica_storage::{AppendError, CommitError, Durability, Entry, Log, LogOptions, Recovery};
use parking_lot::{Mutex, RwLock};
use std::collections::{HashMap, HashSet};
use std::iter::zip;
use std::path::Path;
use std::sync::Arc;

/// A large batch reaches the operating system in pieces of about this many bytes, while they are
/// still in the cache.
const PIECE_BYTES: usize = 1 << 20;

/// Associations that go into one record of the log.
const LINKS_PER_RECORD: usize = 65_536;

/// Episodes, durable in a log and searchable by vector. Share it behind a reference or an `Arc`.
///
/// A write is first in the log, then visible: what a recall finds has been acknowledged at the
/// store's [`Durability`]. Recalls run beside each other and beside the log's writing; they wait
/// only while a finished batch becomes visible.
#[derive(Debug)]
pub struct MemoryStore {
    durability: Durability,
    isa: Isa,
    clock: Arc<dyn Clock>,
    recovery: Recovery,
    space: Option<Space>,
    /// `None` for a store in memory. Taken before `table` wherever both are.
    log: Mutex<Option<Log>>,
    table: RwLock<Table>,
}

/// How an episode was stored.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Stored {
    /// Its identity in this store.
    pub seq: u64,
    /// How strongly it stands out.
    pub activation: Activation,
    /// What the write reached.
    pub durability: Durability,
}

/// What a store holds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Episodes.
    pub episodes: u64,
    /// Episodes with an embedding.
    pub embedded: u64,
    /// Associations.
    pub associations: u64,
    /// Bytes of whole records in the log.
    pub log_bytes: u64,
    /// Bytes the log takes on disk, space reserved ahead included.
    pub file_bytes: u64,
    /// Bytes of memory taken by embeddings.
    pub vector_bytes: u64,
    /// The seq the next episode gets.
    pub next_seq: u64,
    /// The vector space, if the store has one.
    pub space: Option<SpaceInfo>,
    /// The instruction set of the kernels.
    pub isa: Isa,
    /// What a write reaches before it is acknowledged.
    pub durability: Durability,
    /// What opening the store found.
    pub recovery: Recovery,
}

impl MemoryStore {
    /// Opens the store in the folder `dir`, rebuilding memory and index from its log.
    pub fn open(dir: &Path, options: StoreOptions) -> Result<Self, OpenError> {
        let span = tracing::info_span!("open_store", dir = %dir.display());
        let _entered = span.enter();
        check_spec(&options)?; // Before a folder is made for it.
        let mut replay = Replay::into_memory(options.isa);
        let log_options = LogOptions {
            mode: options.mode,
            segment_bytes: options.segment_bytes,
        };
        let (mut log, recovery) = Log::open(options.disk.clone(), dir, log_options, |record| {
            replay.take(&record.entry, record.payload)
        })?;
        if !recovery.damage.is_empty() {
            tracing::error!(
                places = recovery.damage.len(),
                "the log is damaged; the store is open for reading only"
            );
        }
        if recovery.dropped_tail_bytes > 0 {
            tracing::warn!(
                bytes = recovery.dropped_tail_bytes,
                set_aside = ?recovery.set_aside,
                "dropped an unfinished commit at the end of the log"
            );
        }
        let Replay { space, table, .. } = replay;
        let space = match agree(space, &options)? {
            Agreed::Space(space) => space,
            Agreed::New(info) => {
                let dimension = info.dimension as u32;
                let entry = Entry {
                    space: SPACE,
                    kind: codec::KIND_SPACE,
                    dimension,
                    seq: 0,
                };
                let encode = |out: &mut Vec<u8>| codec::encode_space(&info, out);
                log.append(entry, encode).map_err(|error| {
                    let AppendError::TooLarge { got, max } = error else {
                        return OpenError::Commit(CommitError::Stopped);
                    };
                    OpenError::ModelTooLong { got, max }
                })?;
                log.commit(Durability::Durable)?;
                Some(Space::new(info, options.isa)?)
            }
        };
        Ok(Self {
            durability: options.durability,
            isa: options.isa,
            clock: options.clock,
            recovery,
            space,
            log: Mutex::new(Some(log)),
            table: RwLock::new(table),
        })
    }

    /// A store without a log: everything is gone when it is dropped, and every write answers
    /// [`Durability::None`].
    pub fn in_memory(options: StoreOptions) -> Result<Self, OpenError> {
        let space = match agree(None, &options)? {
            Agreed::Space(space) => space,
            Agreed::New(info) => Some(Space::new(info, options.isa)?),
        };
        Ok(Self {
            durability: Durability::None,
            isa: options.isa,
            clock: options.clock,
            recovery: Recovery::default(),
            space,
            log: Mutex::new(None),
            table: RwLock::new(Table::default()),
        })
    }

    /// Stores one episode. What [`store_many`](Self::store_many) does for a batch of one.
    pub fn store(&self, episode: Episode) -> Result<Stored, StoreError> {
        // One episode gives one answer; the other case does not occur.
        self.store_many(vec![episode])
            .pop()
            .unwrap_or(Err(StoreError::NoSpace))
    }

    /// Stores episodes in order; answer i is for episode i. One bad episode fails alone.
    ///
    /// The whole batch is synced once and becomes visible at once when that is done. When the log
    /// fails, every episode that reached it fails.
    pub fn store_many(&self, episodes: Vec<Episode>) -> Vec<Result<Stored, StoreError>> {
        let mut log = self.log.lock();
        let (admitted, written) = self.admit(&mut log, &episodes);
        let committed = match &mut *log {
            Some(log) => written.and_then(|()| log.commit(self.durability)),
            None => Ok(Durability::None),
        };
        let durability = match committed.map_err(Arc::new) {
            Ok(durability) => durability,
            Err(error) => {
                tracing::error!(%error, "the log refused a batch");
                if let Some(log) = &mut *log {
                    log.rollback(); // What was appended after a part that failed.
                }
                let fail = |seq: Result<_, _>| seq.and(Err(StoreError::Log(error.clone())));
                return admitted.into_iter().map(|one| fail(one.seq)).collect();
            }
        };
        let mut table = self.table.write();
        table.reserve(episodes.len());
        zip(episodes, admitted)
            .map(|(episode, admitted)| {
                let (memory, embedding) = Memory::of(episode, admitted.seq?, admitted.stored_at);
                let stored = Stored {
                    seq: memory.seq,
                    activation: memory.activation,
                    durability,
                };
                let row = match (&self.space, embedding, admitted.checked) {
                    (Some(space), Some(embedding), Some(checked)) => {
                        // Cannot fail: its memory is reserved, and the table fills up first.
                        let row = space.index.insert_checked(&embedding, checked);
                        Some(row.map_err(StoreError::Embedding)?)
                    }
                    _ => None,
                };
                table.push(memory, row);
                Ok(stored)
            })
            .collect()
    }

    /// Finds the memories that match a cue best, by score descending, then seq ascending.
    pub fn recall(&self, cue: &Cue) -> Result<Vec<Recalled>, RecallError> {
        self.recall_many(std::slice::from_ref(cue))
            .pop()
            .unwrap_or(Err(RecallError::NoSpace))
    }

    /// Recalls for many cues in one pass over the vectors; answer i is for cue i and the same, bit
    /// for bit, as [`recall`](Self::recall) gives. One bad cue fails alone.
    pub fn recall_many(&self, cues: &[Cue]) -> Vec<Result<Vec<Recalled>, RecallError>> {
        let Some(space) = &self.space else {
            return cues
                .iter()
                .map(|cue| cue.check().and(Err(RecallError::NoSpace)))
                .collect();
        };
        let checked: Vec<_> = cues.iter().map(Cue::check).collect();
        let good = zip(cues, &checked).filter(|(_, checked)| checked.is_ok());
        let queries: Vec<_> = good
            .map(|(cue, _)| Query {
                vector: cue.vector(),
                k: cue.k(),
            })
            .collect();
        // Held over search and look-up: a row that is found has its memory in place.
        let table = self.table.read();
        let mut found = space.index.search_many(&queries).into_iter();
        zip(cues, checked)
            .map(|(cue, checked)| {
                checked?;
                let neighbors = found.next().unwrap_or_else(|| Ok(Vec::new()))?;
                let near = neighbors
                    .into_iter()
                    .filter(|found| found.score >= cue.threshold());
                let mut recalled: Vec<_> = near
                    .filter_map(|found| {
                        let memory = table.by_row(found.row)?.clone();
                        Some(Recalled {
                            score: found.score,
                            memory,
                        })
                    })
                    .collect();
                recalled.sort_by(|a, b| {
                    b.score
                        .total_cmp(&a.score)
                        .then(a.memory.seq.cmp(&b.memory.seq))
                });
                recalled.truncate(cue.k());
                Ok(recalled)
            })
            .collect()
    }

    /// Links episodes to each other; answer i is for association i. One write, one sync. Linking
    /// what is linked already changes nothing, or its weight.
    pub fn associate_many(
        &self,
        associations: &[Association],
    ) -> Vec<Result<Associated, AssociateError>> {
        let mut log = self.log.lock();
        let table = self.table.read();
        let mut fresh = Vec::new();
        // What earlier ones of this batch did, which the table does not know yet.
        let mut pending = HashMap::new();
        // Each answer, and whether it holds only once this batch is in the log.
        let answers: Vec<_> = associations
            .iter()
            .map(|association| {
                let link = match resolve(&table, association) {
                    Ok(link) => link,
                    Err(error) => return (Err(error), false),
                };
                let key = (link.from, link.relation, link.to);
                let earlier = pending.get(&key).copied();
                let answer = match earlier.or_else(|| table.weight(&link)) {
                    Some(weight) if weight == link.weight => {
                        return (Ok(Associated::AlreadyThere), earlier.is_some());
                    }
                    Some(_) => Associated::Reweighted,
                    None => Associated::Added,
                };
                pending.insert(key, link.weight);
                fresh.push(link);
                (Ok(answer), true)
            })
            .collect();
        drop(table);
        let logged = self.log_links(log.as_mut(), &fresh);
        if logged.is_ok() {
            let mut table = self.table.write();
            for link in fresh {
                table.link(link);
            }
        }
        let answers = answers.into_iter().map(|(answer, waits)| match &logged {
            Err(error) if waits => Err(error.clone()),
            _ => answer,
        });
        answers.collect()
    }

    /// The associations that start at an episode, by relation, then by the target's seq.
    pub fn associations(&self, id: &str) -> Vec<Association> {
        let table = self.table.read();
        let Some((from, _)) = table.get(id) else {
            return Vec::new();
        };
        let named = |link: Link| {
            let to = table.by_seq(link.to)?;
            let association = Association::new(&*from.id, &*to.id, link.relation);
            Some(association.with_weight(link.weight))
        };
        table.links_from(from.seq).filter_map(named).collect()
    }

    /// The memory with this id.
    pub fn get(&self, id: &str) -> Option<Arc<Memory>> {
        self.table.read().get(id).map(|(memory, _)| memory.clone())
    }

    /// The embedding of the memory with this id, as it was stored. Under cosine, a vector longer
    /// than 2^50 or shorter than 2^-50 comes back rounded to 2^-126 of its largest value.
    pub fn embedding(&self, id: &str) -> Option<Vec<f32>> {
        let table = self.table.read();
        let (_, row) = table.get(id)?;
        self.space.as_ref()?.index.vector(row?)
    }

    /// What the store holds.
    pub fn stats(&self) -> Stats {
        let log = self.log.lock().as_ref().map(Log::stats).unwrap_or_default();
        let table = self.table.read();
        let index = self.space.as_ref().map(|space| space.index.stats());
        Stats {
            episodes: table.len() as u64,
            embedded: table.embedded() as u64,
            associations: table.links() as u64,
            log_bytes: log.bytes,
            file_bytes: log.file_bytes,
            vector_bytes: index.map_or(0, |index| index.bytes),
            next_seq: table.next_seq(),
            space: self.space.as_ref().map(|space| space.info.clone()),
            isa: self.isa,
            durability: self.durability,
            recovery: self.recovery.clone(),
        }
    }

    /// Makes everything acknowledged durable, leaves a proof of it beside the log, returns reserved
    /// disk space, and releases the folder. Dropping the store writes what waits, and no more than
    /// that.
    pub fn close(self) -> Result<(), CommitError> {
        self.log.into_inner().map_or(Ok(()), Log::close)
    }

    /// Checks each episode, and appends those that may be stored to the log, which writes them in
    /// pieces as they come. Says what each gets, and whether the pieces were written.
    fn admit(
        &self,
        log: &mut Option<Log>,
        episodes: &[Episode],
    ) -> (Vec<Admission>, Result<(), CommitError>) {
        let reserved = self.space.as_ref().map_or(Ok(()), |space| {
            let embedded = episodes
                .iter()
                .filter(|episode| episode.embedding.is_some());
            space.index.reserve(embedded.count())
        });
        let table = self.table.read();
        let mut ids = HashSet::with_capacity(episodes.len());
        let mut admissions = Vec::with_capacity(episodes.len());
        let mut written = Ok(());
        for episode in episodes {
            let stored_at = self.clock.now();
            let seq = table.next_seq() + ids.len() as u64;
            let checked = reserved.clone().map_err(StoreError::Embedding);
            let checked = checked.and_then(|()| self.check(&table, &ids, episode));
            let logged = match (&checked, &mut *log) {
                (Ok(_), Some(log)) => append(log, episode, seq, stored_at),
                _ => Ok(()),
            };
            let admitted = checked.and_then(|checked| logged.map(|()| checked));
            if admitted.is_ok() {
                ids.insert(episode.id.as_str());
            }
            let checked = admitted.as_ref().map_or(None, |checked| *checked);
            admissions.push(Admission {
                seq: admitted.map(|_| seq),
                stored_at,
                checked,
            });
            if let Some(log) = log
                && log.waiting() >= PIECE_BYTES
                && written.is_ok()
            {
                written = log.commit_part(self.durability);
            }
        }
        (admissions, written)
    }

    /// Whether an episode may join a batch that has these ids already; what the index found out
    /// about its embedding, if it has one.
    fn check(
        &self,
        table: &Table,
        ids: &HashSet<&str>,
        episode: &Episode,
    ) -> Result<Option<Checked>, StoreError> {
        episode.check_fields()?;
        // The vector first: it is wrong by itself, an id only because of another episode.
        let checked = match (&episode.embedding, &self.space) {
            (None, _) => None,
            (Some(_), None) => return Err(StoreError::NoSpace),
            (Some(embedding), Some(space)) => {
                let checked = space.index.check(embedding);
                Some(checked.map_err(StoreError::Embedding)?)
            }
        };
        if table.has(&episode.id) || ids.contains(episode.id.as_str()) {
            return Err(StoreError::IdTaken {
                id: episode.id.clone(),
            });
        }
        let seq = table.next_seq() + ids.len() as u64;
        if table.len() + ids.len() >= EPISODES_MAX || seq > SEQ_MAX {
            return Err(StoreError::Full {
                max: EPISODES_MAX as u32,
            });
        }
        Ok(checked)
    }

    fn log_links(&self, log: Option<&mut Log>, links: &[Link]) -> Result<(), AssociateError> {
        let Some(log) = log else { return Ok(()) };
        for links in links.chunks(LINKS_PER_RECORD) {
            let entry = Entry {
                space: SPACE,
                kind: codec::KIND_ASSOCIATIONS,
                dimension: 0,
                seq: 0,
            };
            if let Err(error) = log.append(entry, |out| codec::encode_links(links, out)) {
                log.rollback();
                return Err(AssociateError::Append(Arc::new(error)));
            }
        }
        let committed = log.commit(self.durability);
        committed
            .map(drop)
            .map_err(|error| AssociateError::Log(Arc::new(error)))
    }
}

/// What became of an episode before the log was committed.
struct Admission {
    seq: Result<u64, StoreError>,
    stored_at: Timestamp,
    checked: Option<Checked>,
}

fn append(
    log: &mut Log,
    episode: &Episode,
    seq: u64,
    stored_at: Timestamp,
) -> Result<(), StoreError> {
    let entry = Entry {
        space: SPACE,
        kind: codec::KIND_EPISODE,
        dimension: episode.embedding.as_ref().map_or(0, Vec::len) as u32,
        seq,
    };
    let appended = log.append(entry, |out| codec::encode_episode(episode, stored_at, out));
    appended.map(drop).map_err(|error| match error {
        AppendError::TooLarge { got, max } => StoreError::TooLarge {
            field: "episode",
            got,
            max,
        },
        other => StoreError::Append(Arc::new(other)),
    })
}

fn resolve(table: &Table, association: &Association) -> Result<Link, AssociateError> {
    let seq = |field, id: &str| {
        let (memory, _) = table.get(id).ok_or_else(|| AssociateError::UnknownId {
            field,
            id: id.to_owned(),
        })?;
        Ok(memory.seq)
    };
    let weight = association.weight;
    if !(weight > 0.0 && weight <= 1.0) {
        return Err(AssociateError::Weight { got: weight });
    }
    Ok(Link {
        from: seq("from", &association.from)?,
        to: seq("to", &association.to)?,
        relation: association.relation,
        weight,
    })
}
