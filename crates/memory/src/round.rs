//! Jobs are decided in their order, and what they write is appended to the log.

mod appending;
mod evicting;
mod linking;
mod placing;

use crate::codec::{self, Link};
use crate::draft::{Draft, Found, Offer};
use crate::episode::Episode;
use crate::error::{AssociateError, ForgetError, StoreError};
use crate::job::{Given, MixedVerdict, Verdict, Verdicts, Work};
use crate::level::Activation;
use crate::outcome::{Evicted, Forgotten, StoreOutcome, Stored};
use crate::store::MemoryStore;
use crate::table::{EPISODES_MAX, SEQ_MAX, Table};
use crate::trace::Trace;
use crate::uses::Used;
use crate::write::Write;
use cortica_cortex::{ColumnId, ConceptId, Round as Deciding};
use cortica_env::Timestamp;
use cortica_index::{Checked, VectorError};
use cortica_storage::{CommitError, Location, Log, PAYLOAD_MAX};
use std::sync::Arc;

/// The first piece of a large batch is smaller than the others, so that the disk starts early.
const FIRST_PIECE_BYTES: usize = 512 << 10;

/// What is done to table and index once the log is written.
#[derive(Debug)]
pub(crate) enum Effect {
    Put(PutEffect),
    Activate {
        seq: u64,
        activation: Activation,
        location: Location,
    },
    Forget {
        seq: u64,
        location: Location,
    },
    Link {
        link: Link,
        record: Location,
    },
}

/// The `item`-th episode of the `job`-th job is taken in.
#[derive(Debug)]
pub(crate) struct PutEffect {
    pub(crate) job: usize,
    pub(crate) item: usize,
    pub(crate) seq: u64,
    pub(crate) stored_at: Timestamp,
    pub(crate) activation: Activation,
    pub(crate) id_hash: u64,
    pub(crate) fingerprint: u64,
    pub(crate) embedding_crc: u32,
    pub(crate) checked: Option<Checked>,
    pub(crate) placed: Option<(ColumnId, ConceptId)>,
    /// Whether what was learned from it counts when it is gone.
    pub(crate) lasts: bool,
    pub(crate) location: Location,
}

/// What came of a round of jobs, before the log is committed.
pub(crate) struct Decided {
    pub(crate) verdicts: Vec<Verdicts>,
    pub(crate) effects: Vec<Effect>,
    /// Uses of memories that were applied.
    pub(crate) uses: Vec<Used>,
    pub(crate) evictions: u64,
    /// Whether the pieces of a large round were written.
    pub(crate) written: Result<(), CommitError>,
}

/// One round of jobs, which one commit covers.
pub(crate) struct Round<'a> {
    store: &'a MemoryStore,
    /// Where columns are given and let go of.
    columns: Option<&'a mut (dyn Deciding + 'a)>,
    log: Option<&'a mut Log>,
    draft: Draft<'a>,
    /// Vectors that the index has memory for.
    reserved: usize,
    effects: Vec<Effect>,
    uses: Vec<Used>,
    evictions: u64,
    /// Whether all of it is one frame of the log.
    whole: bool,
    /// Bytes that the next piece is to have.
    piece: usize,
    written: Result<(), CommitError>,
}

impl<'a> Round<'a> {
    pub(crate) fn new(
        store: &'a MemoryStore,
        table: &'a Table,
        log: Option<&'a mut Log>,
        columns: Option<&'a mut (dyn Deciding + 'a)>,
    ) -> Self {
        let mut draft = Draft::new(table, store.index());
        if store.evicts() {
            draft.keep_order();
        }
        Self {
            store,
            columns,
            log,
            draft,
            reserved: 0,
            effects: Vec::new(),
            uses: Vec::new(),
            evictions: 0,
            whole: false,
            piece: FIRST_PIECE_BYTES,
            written: Ok(()),
        }
    }

    /// Decides all jobs in their order; before them, what recalls have noted may be applied.
    pub(crate) fn decide(mut self, jobs: &'a [Work], strengthen: bool) -> Decided {
        self.whole = jobs.iter().any(Work::is_whole);
        if self.whole {
            self.begin_frame();
        }
        if strengthen && self.strengthen().is_err() {
            // Never: such a record is short, and of a kind of ours.
            self.written = Err(CommitError::Stopped);
        }
        let verdicts = jobs.iter().enumerate().map(|(job, work)| match work {
            Work::Store(episodes, given) => {
                Verdicts::Stored(self.store_all(job, episodes, given.as_deref()))
            }
            Work::Associate(associations) => Verdicts::Associated(self.associate(associations)),
            Work::Forget(ids) => {
                Verdicts::Forgotten(ids.iter().map(|id| self.forget(id)).collect())
            }
            Work::Mixed(writes, _) => Verdicts::Mixed(self.write_all(job, writes)),
            Work::Tick => Verdicts::Ticked(self.tick()),
        });
        let verdicts = verdicts.collect();
        Decided {
            verdicts,
            effects: self.effects,
            uses: self.uses,
            evictions: self.evictions,
            written: self.written,
        }
    }

    fn store_all(
        &mut self,
        job: usize,
        episodes: &'a [Episode],
        given: Option<&[Given]>,
    ) -> Vec<Verdict<Stored, StoreError>> {
        let embedded = episodes
            .iter()
            .filter(|episode| episode.embedding.is_some());
        let room = self.make_room(embedded.count());
        self.draft.reserve(episodes.len());
        self.effects.reserve(episodes.len());
        let verdicts = episodes.iter().enumerate().map(|(item, episode)| {
            let given = given.and_then(|given| given.get(item)).copied();
            self.store_one(job, item, episode, given, &room)
        });
        verdicts.collect()
    }

    fn write_all(&mut self, job: usize, writes: &'a [Write]) -> Vec<MixedVerdict> {
        let embedded = writes.iter().filter(|write| match write {
            Write::Store(episode) => episode.embedding.is_some(),
            _ => false,
        });
        let room = self.make_room(embedded.count());
        self.draft.reserve(writes.len());
        self.effects.reserve(writes.len());
        let verdicts = writes.iter().enumerate().map(|(item, write)| match write {
            Write::Store(episode) => {
                let verdict = self.store_one(job, item, episode, None, &room);
                MixedVerdict::Stored(verdict)
            }
            Write::Associate(association) => {
                let one = std::slice::from_ref(association);
                let verdict = self.associate(one).pop();
                // One association gives one verdict; the other case does not occur.
                let none = || AssociateError::Log(Arc::new(CommitError::Stopped));
                let verdict = verdict.unwrap_or_else(|| Verdict::now(Err(none())));
                MixedVerdict::Associated(verdict)
            }
            Write::Forget(id) => MixedVerdict::Forgotten(self.forget(id)),
        });
        verdicts.collect()
    }

    fn store_one(
        &mut self,
        job: usize,
        item: usize,
        episode: &'a Episode,
        given: Option<Given>,
        room: &Result<(), VectorError>,
    ) -> Verdict<Stored, StoreError> {
        let verdict = self.store(job, item, episode, given, room);
        self.end_frame();
        self.write_piece();
        verdict.unwrap_or_else(|error| Verdict::now(Err(error)))
    }

    fn make_room(&mut self, vectors: usize) -> Result<(), VectorError> {
        if let Some(index) = self.store.index() {
            // For the earlier jobs of this round too, which are not in the index yet.
            index.reserve(self.reserved + vectors)?;
            self.reserved += vectors;
        }
        Ok(())
    }

    fn store(
        &mut self,
        job: usize,
        item: usize,
        episode: &'a Episode,
        given: Option<Given>,
        room: &Result<(), VectorError>,
    ) -> Result<Verdict<Stored, StoreError>, StoreError> {
        let now = self.store.clock.now();
        episode.check_fields()?;
        let checked = self.check_embedding(episode, room)?;
        let offer = Offer::new(&self.draft.table.hashing, episode, checked);
        let there = self.draft.get(offer.id_hash, &episode.id);
        let same = there
            .as_ref()
            .is_some_and(|found| self.draft.says(found, &offer));
        match (there, given) {
            (Some(found), Some(given)) if same && is_as_given(&found, episode, given) => {
                Ok(self.already_there(&found))
            }
            (Some(_), Some(_)) => Err(StoreError::IdTaken {
                id: episode.id.clone(),
            }),
            (Some(found), None) if same => self.reinforce(found),
            (None, None) if let Some(found) = self.draft.same(&offer) => self.reinforce(found),
            _ => {
                let given = given.unwrap_or_else(|| Given {
                    stored_at: now,
                    activation: Activation::under(episode.encoding_confidence, self.pressure()),
                });
                let put = PutEffect {
                    job,
                    item,
                    seq: 0,
                    stored_at: given.stored_at,
                    activation: given.activation,
                    id_hash: offer.id_hash,
                    fingerprint: offer.fingerprint,
                    embedding_crc: 0,
                    checked,
                    placed: None,
                    lasts: false,
                    location: Location::default(),
                };
                self.put(there, &offer, put)
            }
        }
    }

    /// The episode has the next seq, or replaces the one that is there under its id.
    fn put(
        &mut self,
        there: Option<Found<'a>>,
        offer: &Offer<'a>,
        mut put: PutEffect,
    ) -> Result<Verdict<Stored, StoreError>, StoreError> {
        let activation = put.activation;
        let outcome = if let Some(found) = &there {
            put.seq = found.seq;
            put.stored_at = found.stored_at;
            StoreOutcome::Updated
        } else {
            self.check_capacity()?;
            put.seq = self.next_seq()?;
            StoreOutcome::Stored
        };
        let mut evicted = Vec::new();
        if there.is_none() && self.is_full() {
            evicted = self.make_place(offer.episode)?;
        }
        let at_encoding = Activation::at_encoding(offer.episode.encoding_confidence);
        if activation != at_encoding {
            self.begin_frame();
        }
        let (allocation, trace) = match &there {
            Some(found) => (None, self.keep_column(found, offer.episode)?),
            None => self.give_column(offer.episode)?,
        };
        put.placed = trace.as_ref().and_then(|trace| trace.held);
        put.lasts = trace.as_ref().is_some_and(Trace::lasts);
        let stored_at = put.stored_at;
        (put.location, put.embedding_crc) =
            self.append_episode(offer, trace.as_ref(), put.seq, stored_at)?;
        let (seq, crc, placed) = (put.seq, put.embedding_crc, put.placed);
        self.draft
            .put(there.as_ref(), offer, crc, stored_at, activation, placed);
        self.effects.push(Effect::Put(put));
        if activation != at_encoding {
            self.append_activation(seq, activation)?;
        }
        let mut stored = self.stored(seq, activation, outcome);
        stored.allocation = allocation;
        stored.evicted = evicted;
        Ok(Verdict::once_logged(stored))
    }

    /// Has the weakest forgotten for an episode that is new, and says which went.
    fn make_place(&mut self, episode: &Episode) -> Result<Vec<Evicted>, StoreError> {
        // Once they are gone, nothing may be in the way of its record.
        check_size(episode)?;
        self.begin_frame();
        let capacity = self.store.capacity.unwrap_or(EPISODES_MAX);
        let evicted = self.evict(capacity);
        evicted.map_err(|error| StoreError::Append(Arc::new(error)))
    }

    /// What the index finds out about an embedding, if there is one.
    fn check_embedding(
        &self,
        episode: &Episode,
        room: &Result<(), VectorError>,
    ) -> Result<Option<Checked>, StoreError> {
        let Some(embedding) = &episode.embedding else {
            return Ok(None);
        };
        let index = self.store.index().ok_or(StoreError::NoSpace)?;
        let checked = index.check(embedding).map_err(StoreError::Embedding)?;
        room.clone().map_err(StoreError::Embedding)?;
        Ok(Some(checked))
    }

    fn next_seq(&self) -> Result<u64, StoreError> {
        let seq = self.draft.next_seq();
        if self.draft.len() >= EPISODES_MAX || seq > SEQ_MAX {
            return Err(StoreError::Full {
                max: EPISODES_MAX as u32,
            });
        }
        Ok(seq)
    }

    fn stored(&self, seq: u64, activation: Activation, outcome: StoreOutcome) -> Stored {
        Stored {
            seq,
            activation,
            outcome,
            evicted: Vec::new(),
            allocation: None,
            durability: self.store.durability,
        }
    }

    fn already_there(&self, found: &Found<'_>) -> Verdict<Stored, StoreError> {
        let stored = self.stored(found.seq, found.activation, StoreOutcome::AlreadyThere);
        Verdict {
            answer: Ok(stored),
            waits: found.waits,
        }
    }

    /// The content is there already: what has it stands out more.
    fn reinforce(&mut self, found: Found<'a>) -> Result<Verdict<Stored, StoreError>, StoreError> {
        let activation = found.activation.reinforced();
        let changes = activation != found.activation;
        if changes {
            self.append_activation(found.seq, activation)?;
            self.draft.activate(found, activation);
        }
        let of = found.id.into();
        let outcome = StoreOutcome::Reinforced { of };
        Ok(Verdict {
            answer: Ok(self.stored(found.seq, activation, outcome)),
            waits: changes || found.waits,
        })
    }

    fn forget(&mut self, id: &'a str) -> Verdict<Forgotten, ForgetError> {
        let id_hash = self.draft.table.hashing.id(id);
        let Some(found) = self.draft.get(id_hash, id) else {
            let unknown = ForgetError::UnknownId { id: id.to_owned() };
            return Verdict::now(Err(unknown));
        };
        let seq = found.seq;
        let let_go = self.let_go(found, id_hash);
        self.end_frame();
        if let Err(error) = let_go {
            return Verdict::now(Err(ForgetError::Append(Arc::new(error))));
        }
        let durability = self.store.durability;
        Verdict::once_logged(Forgotten { seq, durability })
    }
}

/// Whether an episode that has the content of an import is what is imported in all else, too.
fn is_as_given(found: &Found<'_>, episode: &Episode, given: Given) -> bool {
    found.stored_at == given.stored_at
        && found.activation == given.activation
        && found.confidence() == episode.encoding_confidence
}

/// Whether its record fits into the log, before anything is done for it that its failure would leave behind.
fn check_size(episode: &Episode) -> Result<(), StoreError> {
    let bytes = codec::episode_bytes_at_most(episode);
    if bytes > PAYLOAD_MAX {
        return Err(StoreError::TooLarge {
            field: "episode",
            got: bytes,
            max: PAYLOAD_MAX,
        });
    }
    Ok(())
}
