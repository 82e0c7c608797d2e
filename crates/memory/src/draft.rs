//! What a store will hold once the jobs in hand are in the log: the table, and what is new.

use crate::codec;
use crate::content::{Content, Hashing};
use crate::episode::Episode;
use crate::level::{Activation, Confidence};
use crate::table::{Held, Table};
use cortica_cortex::{Code, ColumnId, ConceptId};
use cortica_env::Timestamp;
use cortica_index::{Checked, VectorIndex};
use hashbrown::HashTable;
use std::cell::OnceCell;
use std::collections::{BTreeMap, HashMap};
use std::iter::{Peekable, zip};

/// The table with the changes of the jobs in hand, which readers do not see yet.
///
/// Every job of a commit is decided against it, so that many at a time give exactly what one at a
/// time gives, also when they meet.
pub(crate) struct Draft<'a> {
    pub(crate) table: &'a Table,
    index: Option<&'a dyn VectorIndex>,
    touched: Vec<Touched<'a>>,
    /// The last one for each id.
    ids: HashTable<u32>,
    contents: HashTable<u32>,
    /// Those that were in the table.
    seqs: HashMap<u64, u32>,
    links: HashMap<(u64, u32, u64), f32>,
    /// Episodes whose concepts were given columns, with their codes.
    placed: HashMap<u64, Code>,
    holders: HashMap<ColumnId, &'a str>,
    /// Where somebody evicts: the touched ones by activation, then seq, and those of the table in the
    /// same order, from the first one on that may not have been touched.
    strengths: Option<Strengths<'a>>,
    next_seq: u64,
    len: usize,
}

type Weakest<'a> = Box<dyn Iterator<Item = u64> + 'a>;

/// The order of activations, then seqs.
struct Strengths<'a> {
    /// Of the touched ones that are there, each with its place among them.
    touched: BTreeMap<(u32, u64), u32>,
    /// Of the table.
    table: Peekable<Weakest<'a>>,
}

/// An episode that the jobs in hand have changed.
#[derive(Clone, Copy, Debug)]
struct Touched<'a> {
    found: Found<'a>,
    id_hash: u64,
    /// Whether it is there no more.
    gone: bool,
}

/// An episode as it will be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found<'a> {
    pub(crate) seq: u64,
    pub(crate) id: &'a str,
    pub(crate) stored_at: Timestamp,
    pub(crate) activation: Activation,
    fingerprint: u64,
    embedding_crc: u32,
    says: Says<'a>,
    /// The column of its concept.
    pub(crate) placed: Option<(ColumnId, ConceptId)>,
    /// Whether it rests on a job that is not in the log yet.
    pub(crate) waits: bool,
}

/// Where its content is to be found.
#[derive(Clone, Copy, Debug)]
enum Says<'a> {
    Held(&'a Held),
    Offered(&'a Episode),
}

/// An episode that is to be stored, and what stands for it.
#[derive(Debug)]
pub(crate) struct Offer<'a> {
    pub(crate) episode: &'a Episode,
    pub(crate) id_hash: u64,
    pub(crate) fingerprint: u64,
    /// Known to the log once it is appended; before, only looked for where it matters.
    embedding_crc: OnceCell<u32>,
}

impl<'a> Offer<'a> {
    /// `checked` is what the index found out about its embedding, if there is one.
    pub(crate) fn new(hashing: &Hashing, episode: &'a Episode, checked: Option<Checked>) -> Self {
        let embedding = episode.embedding.as_deref().zip(checked);
        Self {
            episode,
            id_hash: hashing.id(&episode.id),
            fingerprint: hashing.fingerprint(embedding, &Content::from(episode)),
            embedding_crc: OnceCell::new(),
        }
    }

    pub(crate) fn embedding_crc(&self) -> u32 {
        let embedding = self.episode.embedding.as_deref().unwrap_or_default();
        let crc = || codec::embedding_crc(embedding);
        *self.embedding_crc.get_or_init(crc)
    }
}

impl<'a> Draft<'a> {
    pub(crate) fn new(table: &'a Table, index: Option<&'a dyn VectorIndex>) -> Self {
        Self {
            table,
            index,
            touched: Vec::new(),
            ids: HashTable::new(),
            contents: HashTable::new(),
            seqs: HashMap::new(),
            links: HashMap::new(),
            placed: HashMap::new(),
            holders: HashMap::new(),
            strengths: None,
            next_seq: table.next_seq(),
            len: table.len(),
        }
    }

    /// Can say which one is the weakest from now on; before anything is changed, in a table that keeps the
    /// order.
    pub(crate) fn keep_order(&mut self) {
        let table: Weakest<'a> = Box::new(self.table.weakest());
        self.strengths = Some(Strengths {
            touched: BTreeMap::new(),
            table: table.peekable(),
        });
    }

    /// The one with the least activation, and of equal ones the one with the least seq. None where there
    /// is none, or the order is not kept. O(log n), counting what was changed since it was asked last.
    pub(crate) fn weakest(&mut self) -> Option<Found<'a>> {
        let Strengths { touched, table } = self.strengths.as_mut()?;
        // What was touched once never becomes untouched.
        while table.next_if(|seq| self.seqs.contains_key(seq)).is_some() {}
        let held = table.peek().and_then(|&seq| self.table.by_seq(seq));
        let touched = touched.first_key_value();
        let held = held.map(Found::held);
        let touched = touched.map(|(_, &at)| self.touched[at as usize].found);
        [held, touched]
            .into_iter()
            .flatten()
            .min_by_key(Found::strength)
    }

    /// The episode with this seq, where the jobs in hand have not changed it.
    pub(crate) fn untouched(&self, seq: u64) -> Option<Found<'a>> {
        let untouched = !self.seqs.contains_key(&seq);
        let held = self.table.by_seq(seq).filter(|_| untouched);
        held.map(Found::held)
    }

    /// Makes room for `additional` more episodes.
    pub(crate) fn reserve(&mut self, additional: usize) {
        let touched = &self.touched;
        self.ids
            .reserve(additional, |&at| touched[at as usize].id_hash);
        self.contents
            .reserve(additional, |&at| touched[at as usize].found.fingerprint);
        self.touched.reserve(additional);
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// The episode with this id.
    pub(crate) fn get(&self, id_hash: u64, id: &str) -> Option<Found<'a>> {
        match self.touched_by_id(id_hash, id) {
            Some(at) => {
                let touched = self.touched[at as usize];
                (!touched.gone).then_some(touched.found)
            }
            None => self.table.find(id_hash, id).map(Found::held),
        }
    }

    /// The first episode with exactly this content.
    pub(crate) fn same(&self, offer: &Offer<'_>) -> Option<Found<'a>> {
        let fingerprint = offer.fingerprint;
        let held = self.table.alike(fingerprint);
        let untouched = held.filter(|held| !self.seqs.contains_key(&held.memory.seq));
        let touched = self.contents.iter_hash(fingerprint);
        let touched = touched.map(|&at| self.touched[at as usize].found);
        untouched
            .map(Found::held)
            .chain(touched)
            .filter(|found| self.says(found, offer))
            .min_by_key(|found| found.seq)
    }

    /// Whether an episode has exactly this content.
    pub(crate) fn says(&self, found: &Found<'_>, offer: &Offer<'_>) -> bool {
        let episode = offer.episode;
        let content = match found.says {
            Says::Held(held) => held.content(),
            Says::Offered(other) => Content::from(other),
        };
        found.fingerprint == offer.fingerprint
            && content == Content::from(episode)
            && found.embedding_crc == offer.embedding_crc()
            && match found.says {
                Says::Held(held) => self.holds(held, episode),
                Says::Offered(other) => same_bits(other, episode),
            }
    }

    fn holds(&self, held: &Held, episode: &Episode) -> bool {
        match (held.row, &episode.embedding, self.index) {
            (None, None, _) => true,
            (Some(row), Some(embedding), Some(index)) => index.holds(row, embedding),
            _ => false,
        }
    }

    /// An episode that has the next seq, or replaces the one that was found under its id.
    pub(crate) fn put(
        &mut self,
        there: Option<&Found<'a>>,
        offer: &Offer<'a>,
        embedding_crc: u32,
        stored_at: Timestamp,
        activation: Activation,
        placed: Option<(ColumnId, ConceptId)>,
    ) {
        let found = Found {
            seq: there.map_or(self.next_seq, |found| found.seq),
            id: &offer.episode.id,
            stored_at,
            activation,
            fingerprint: offer.fingerprint,
            embedding_crc,
            says: Says::Offered(offer.episode),
            placed,
            waits: there.is_none_or(|found| found.waits),
        };
        if there.is_none() {
            self.next_seq += 1;
            self.len += 1;
        }
        self.touch(found, offer.id_hash);
    }

    /// The next episode's concept has a column.
    pub(crate) fn place(&mut self, column: ColumnId, code: Code, id: &'a str) {
        self.placed.insert(self.next_seq, code);
        self.holders.insert(column, id);
    }

    /// The code of a concept that was given a column by the jobs in hand.
    pub(crate) fn code(&self, seq: u64) -> Option<&Code> {
        self.placed.get(&seq)
    }

    /// The id of the episode whose concept a column holds.
    pub(crate) fn holder(&self, column: ColumnId) -> Option<&'a str> {
        let held = || Some(&*self.table.holder(column)?.memory.id);
        self.holders.get(&column).copied().or_else(held)
    }

    /// An episode that was found has another activation.
    pub(crate) fn activate(&mut self, found: Found<'a>, activation: Activation) {
        let id_hash = self.table.hashing.id(found.id);
        let found = Found {
            activation,
            ..found
        };
        self.touch(found, id_hash);
    }

    /// An episode that was found is there no more.
    pub(crate) fn forget(&mut self, found: Found<'a>, id_hash: u64) {
        let at = self.touch(found, id_hash);
        self.touched[at as usize].gone = true;
        unlist(&mut self.contents, found.fingerprint, at);
        if let Some(strengths) = &mut self.strengths {
            strengths.touched.remove(&found.strength());
        }
        self.links
            .retain(|&(from, _, to), _| from != found.seq && to != found.seq);
        self.len -= 1;
    }

    /// The weight of a link between episodes that are there, and whether that rests on a job that
    /// is not in the log yet.
    pub(crate) fn weight(&self, key: &(u64, u32, u64)) -> Option<(f32, bool)> {
        match self.links.get(key) {
            Some(&weight) => Some((weight, true)),
            // Both ends are there, and a seq is never given out again: it was not removed.
            None => self.table.links.weight(key).map(|weight| (weight, false)),
        }
    }

    pub(crate) fn link(&mut self, key: (u64, u32, u64), weight: f32) {
        self.links.insert(key, weight);
    }

    fn touched_by_id(&self, id_hash: u64, id: &str) -> Option<u32> {
        let same = |&at: &u32| self.touched[at as usize].found.id == id;
        self.ids.find(id_hash, same).copied()
    }

    /// Puts down an episode as it will be. Gives its place among the touched.
    fn touch(&mut self, found: Found<'a>, id_hash: u64) -> u32 {
        let mut found = found;
        let known = self.touched_by_id(id_hash, found.id);
        let known = known.filter(|&at| self.touched[at as usize].found.seq == found.seq);
        let at = known.unwrap_or(self.touched.len() as u32);
        if let Some(at) = known {
            let old = self.touched[at as usize].found;
            unlist(&mut self.contents, old.fingerprint, at);
            if let Some(strengths) = &mut self.strengths {
                strengths.touched.remove(&old.strength());
            }
        } else if !found.waits {
            self.seqs.insert(found.seq, at); // Until now only the table had it.
        }
        found.waits = true;
        let touched = Touched {
            found,
            id_hash,
            gone: false,
        };
        if let Some(place) = self.touched.get_mut(at as usize) {
            *place = touched;
        } else {
            self.touched.push(touched);
            let all = &self.touched;
            let same = |&at: &u32| all[at as usize].found.id == found.id;
            if let Some(last) = self.ids.find_mut(id_hash, same) {
                *last = at; // Forgotten, and stored anew under another seq.
            } else {
                let hash = |&at: &u32| all[at as usize].id_hash;
                self.ids.insert_unique(id_hash, at, hash);
            }
        }
        let all = &self.touched;
        let hash = |&at: &u32| all[at as usize].found.fingerprint;
        self.contents.insert_unique(found.fingerprint, at, hash);
        if let Some(strengths) = &mut self.strengths {
            strengths.touched.insert(found.strength(), at);
        }
        at
    }
}

impl<'a> Found<'a> {
    fn strength(&self) -> (u32, u64) {
        (self.activation.order(), self.seq)
    }

    pub(crate) fn confidence(&self) -> Confidence {
        match self.says {
            Says::Held(held) => held.memory.encoding_confidence,
            Says::Offered(episode) => episode.encoding_confidence,
        }
    }

    fn held(held: &'a Held) -> Self {
        let memory = &held.memory;
        Self {
            seq: memory.seq,
            id: &memory.id,
            stored_at: memory.stored_at,
            activation: memory.activation,
            fingerprint: held.fingerprint,
            embedding_crc: held.embedding_crc,
            says: Says::Held(held),
            placed: held.placed,
            waits: false,
        }
    }
}

fn same_bits(a: &Episode, b: &Episode) -> bool {
    match (&a.embedding, &b.embedding) {
        (None, None) => true,
        (Some(a), Some(b)) => {
            a.len() == b.len() && zip(a, b).all(|(a, b)| a.to_bits() == b.to_bits())
        }
        _ => false,
    }
}

fn unlist(list: &mut HashTable<u32>, hash: u64, at: u32) {
    if let Ok(entry) = list.find_entry(hash, |&listed| listed == at) {
        entry.remove();
    }
}
