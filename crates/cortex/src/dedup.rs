//! What is there already is refused.

use crate::code_table::{By, CodeTable};
use crate::column::ConceptId;
use crate::prototype::CODE_DIMENSION;
use crate::sync::{Counter, Relaxed, RwLock, read, write};
use cortica_simd::{Isa, cosine};
use hashbrown::DefaultHashBuilder;
use std::hash::BuildHasher;

/// Where a dedup finds the concepts that were committed: ids and features are the caller's and are lent while
/// they are compared.
pub trait Concepts {
    /// The id of a concept that was committed.
    fn id(&self, concept: ConceptId) -> Option<&[u8]>;
    /// Its features.
    fn features(&self, concept: ConceptId) -> Option<&[f32]>;
}

/// When two concepts are one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DedupParams {
    /// The least cosine of their features.
    pub cosine_min: f32,
    /// The least cosine of their codes at which features are compared at all. With codes of 64 values by
    /// a random projection, a pair of cosine c has codes of cosine c give or take `(1 - c^2) / 8`: at 0.95, by
    /// 0.012, so that the default leaves out one pair in more than a million.
    pub code_cosine_min: f32,
}

impl Default for DedupParams {
    fn default() -> DedupParams {
        DedupParams {
            cosine_min: 0.95,
            code_cosine_min: 0.88,
        }
    }
}

/// How a concept is there already.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Duplicate {
    /// Another has its id.
    Id(ConceptId),
    /// Another has its features, to the last bit.
    Content(ConceptId),
    /// Another means the same.
    Meaning {
        /// The most similar one; of equal ones the lowest number.
        of: ConceptId,
        /// The cosine of their features.
        cosine: f32,
    },
}

/// Why a concept was not taken.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DedupError {
    /// It is there already, committed or on its way.
    #[error("the concept is there already: {0:?}")]
    Duplicate(Duplicate),
    /// Ids have 1 to 256 bytes.
    #[error("the id has {0} bytes; it must have 1 to 256")]
    Id(usize),
    /// Every feature must be finite.
    #[error("feature {at} is {value}; every feature must be finite")]
    NotFinite {
        /// Its place.
        at: usize,
        /// What is there.
        value: f32,
    },
    /// A code of zeros is like no other: its meaning could not be compared.
    #[error("the code has no direction: all its values are 0")]
    NoCode,
    /// A cosine is in \[-1, 1\].
    #[error("{field} is {got}; it must be in -1..=1")]
    Params {
        /// Which.
        field: &'static str,
        /// What was given.
        got: f32,
    },
    /// Features without direction mean nothing.
    #[error("there are no features but zeros")]
    NoFeatures,
    /// Another concept has the number.
    #[error("{0} is there already")]
    Taken(ConceptId),
    /// There are no numbers left; remove concepts first.
    #[error("2^32 - 1 concepts are there; remove some first")]
    Full,
}

/// Counts since the dedup was made or they were reset, and what is there now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DedupStats {
    /// Concepts that are there, or reserved.
    pub concepts: usize,
    /// Of these, reserved and not committed.
    pub reserved: usize,
    /// Bytes held for them all; ids and features of concepts that are on their way not counted.
    pub bytes: usize,
    /// Refused for their id.
    pub same_id: u64,
    /// Refused for their features.
    pub same_content: u64,
    /// Refused for their meaning.
    pub same_meaning: u64,
    /// Features that were compared because codes were near.
    pub compared: u64,
    /// Reservations that were given up.
    pub rolled_back: u64,
}

/// Refuses concepts that are there already: by id, by their very features, and by meaning.
///
/// A concept is reserved before any work is done for it, so that of two that come at once one is refused
/// at once; its code is admitted when it is known, and it is committed when its id and features can be found
/// where [`Concepts`] looks. A reservation that is dropped before leaves nothing behind.
///
/// For each concept 64 bytes of code and some 10 beside it are kept, and two tables of 5 bytes an entry: 100
/// bytes at most, from 4,000 concepts on.
#[derive(Debug)]
pub struct Dedup {
    params: DedupParams,
    isa: Isa,
    hasher: DefaultHashBuilder,
    inner: RwLock<Inner>,
    counters: Counters,
}

#[derive(Debug)]
struct Inner {
    table: CodeTable,
    /// On their way: few, so they are looked through.
    pending: Vec<Pending>,
    /// Counts admissions.
    generation: u64,
    /// Those admitted last, each where its number among admissions falls: what a search has not seen that began
    /// a little earlier.
    recent: [Option<ConceptId>; RECENT],
}

/// Admissions that are remembered: more than there are threads that search at once.
const RECENT: usize = 64;

impl Default for Inner {
    fn default() -> Inner {
        Inner {
            table: CodeTable::default(),
            pending: Vec::new(),
            generation: 0,
            recent: [None; RECENT],
        }
    }
}

impl Inner {
    fn admitted(&mut self, isa: Isa, concept: ConceptId, code: &[i8; CODE_DIMENSION]) {
        self.table.set_code(isa, concept, code);
        self.recent[self.generation as usize % RECENT] = Some(concept);
        self.generation += 1;
    }

    /// Those admitted since; `None` where not all are remembered.
    fn since(&self, generation: u64) -> Option<impl Iterator<Item = ConceptId>> {
        let all = self.generation - generation <= RECENT as u64;
        let numbers = generation..self.generation;
        all.then(|| numbers.filter_map(|number| self.recent[number as usize % RECENT]))
    }
}

/// Concepts whose codes are near one: found by [`Ticket::near`], compared by [`Ticket::admit_near`].
#[derive(Clone, Debug)]
pub struct Near {
    code: [i8; CODE_DIMENSION],
    concepts: Vec<ConceptId>,
    generation: u64,
}

/// What a concept on its way is compared by; gone when it is committed.
#[derive(Debug)]
struct Pending {
    concept: ConceptId,
    id: Box<[u8]>,
    features: Box<[f32]>,
}

#[derive(Debug, Default)]
struct Counters {
    same_id: Counter,
    same_content: Counter,
    same_meaning: Counter,
    compared: Counter,
    rolled_back: Counter,
}

impl Dedup {
    /// The longest id, bytes.
    pub const ID_BYTES_MAX: usize = 256;

    /// Knows nothing yet.
    pub fn new(params: DedupParams, isa: Isa) -> Result<Dedup, DedupError> {
        for (field, got) in [
            ("cosine_min", params.cosine_min),
            ("code_cosine_min", params.code_cosine_min),
        ] {
            if !(-1.0..=1.0).contains(&got) {
                return Err(DedupError::Params { field, got });
            }
        }
        Ok(Dedup {
            params,
            isa,
            hasher: DefaultHashBuilder::default(),
            inner: RwLock::new(Inner::default()),
            counters: Counters::default(),
        })
    }

    /// Reserves a number for a concept, unless its id or its very features are there or on their way.
    pub fn reserve(
        &self,
        id: &[u8],
        features: &[f32],
        concepts: &impl Concepts,
    ) -> Result<Ticket<'_>, DedupError> {
        check(id, features)?;
        let hashes = [self.hasher.hash_one(id), self.hash_of(features)].map(|hash| hash as u32);
        // Copied before the lock is taken: for duplicates in vain.
        let (own_id, own_features) = (id.into(), features.into());
        let pending = |concept| Pending {
            concept,
            id: own_id,
            features: own_features,
        };
        let mut inner = write(&self.inner);
        let Inner {
            table,
            pending: all,
            ..
        } = &mut *inner;
        let on_its_way = |concept: ConceptId| all.iter().find(|pending| pending.concept == concept);
        let same_id = |concept| match on_its_way(concept) {
            Some(pending) => *pending.id == *id,
            None => concepts.id(concept) == Some(id),
        };
        if let Some(of) = table.find(By::Id, hashes[0], same_id) {
            self.counters.same_id.fetch_add(1, Relaxed);
            return Err(DedupError::Duplicate(Duplicate::Id(of)));
        }
        let same_content = |concept| match on_its_way(concept) {
            Some(pending) => same_bits(&pending.features, features),
            None => concepts
                .features(concept)
                .is_some_and(|known| same_bits(known, features)),
        };
        if let Some(of) = table.find(By::Content, hashes[1], same_content) {
            self.counters.same_content.fetch_add(1, Relaxed);
            return Err(DedupError::Duplicate(Duplicate::Content(of)));
        }
        let concept = table.insert(hashes).ok_or(DedupError::Full)?;
        all.push(pending(concept));
        Ok(Ticket {
            dedup: self,
            concept,
            open: true,
        })
    }

    /// The concept that these features mean, among those that are there: the most similar one, if its cosine is
    /// at least [`DedupParams::cosine_min`]. Looks at every code and at the features of those that are
    /// near. O(concepts).
    pub fn find(
        &self,
        code: &[i8; CODE_DIMENSION],
        features: &[f32],
        concepts: &impl Concepts,
    ) -> Option<Duplicate> {
        let inner = read(&self.inner);
        let near = self.near_in(&inner, code);
        self.most_alike(&inner, near, features, concepts, None)
    }

    fn near_in(&self, inner: &Inner, code: &[i8; CODE_DIMENSION]) -> Vec<ConceptId> {
        let mut near = Vec::new();
        let least = self.params.code_cosine_min;
        inner.table.near(self.isa, code, least, &mut near);
        near
    }

    /// Compares features with those of concepts whose codes are near.
    fn most_alike(
        &self,
        inner: &Inner,
        near: impl IntoIterator<Item = ConceptId>,
        features: &[f32],
        concepts: &impl Concepts,
        itself: Option<ConceptId>,
    ) -> Option<Duplicate> {
        let mut best: Option<(ConceptId, f32)> = None;
        let near = near.into_iter();
        for concept in near.filter(|&concept| Some(concept) != itself) {
            self.counters.compared.fetch_add(1, Relaxed);
            let on_its_way = inner
                .pending
                .iter()
                .find(|pending| pending.concept == concept);
            let known = match on_its_way {
                Some(pending) => Some(&*pending.features),
                None => concepts.features(concept),
            };
            let Some(known) = known.filter(|known| known.len() == features.len()) else {
                continue;
            };
            let cosine = cosine(self.isa, features, known);
            let better = |(of, best)| cosine > best || cosine == best && concept < of;
            if cosine >= self.params.cosine_min && best.is_none_or(better) {
                best = Some((concept, cosine));
            }
        }
        best.map(|(of, cosine)| Duplicate::Meaning { of, cosine })
    }

    /// Puts a concept there under a number that it had before: one that is read back, or whose removal is undone.
    /// From now on its id and features are looked for where [`Concepts`] has them. It may have no features, or such as
    /// have no direction: then its number is taken, its id is known, and nothing is like it. O(free numbers).
    pub fn restore(
        &self,
        concept: ConceptId,
        id: &[u8],
        features: &[f32],
        code: &[i8; CODE_DIMENSION],
    ) -> Result<(), DedupError> {
        check_values(id, features)?;
        if code.iter().all(|&value| value == 0) {
            return Err(DedupError::NoCode);
        }
        let hashes = [self.hasher.hash_one(id), self.hash_of(features)].map(|hash| hash as u32);
        let mut inner = write(&self.inner);
        if !inner.table.insert_at(concept, hashes) {
            return Err(DedupError::Taken(concept));
        }
        inner.admitted(self.isa, concept, code);
        Ok(())
    }

    /// The code by which a concept that is there is found.
    #[must_use]
    pub fn code(&self, concept: ConceptId) -> Option<[i8; CODE_DIMENSION]> {
        read(&self.inner).table.code(concept)
    }

    /// Takes a concept away that was committed: its id, features and meaning can be taken again. Whether it was
    /// there; one that is on its way is its ticket's to give up.
    pub fn remove(&self, concept: ConceptId) -> bool {
        let mut inner = write(&self.inner);
        let on_its_way = |pending: &Pending| pending.concept == concept;
        !inner.pending.iter().any(on_its_way) && inner.table.remove(concept)
    }

    fn give_up(&self, concept: ConceptId) {
        let mut inner = write(&self.inner);
        inner.pending.retain(|pending| pending.concept != concept);
        inner.table.remove(concept);
        self.counters.rolled_back.fetch_add(1, Relaxed);
    }

    /// What is there, and what was done so far.
    #[must_use]
    pub fn stats(&self) -> DedupStats {
        let inner = read(&self.inner);
        let count = |counter: &Counter| counter.load(Relaxed);
        DedupStats {
            concepts: inner.table.len(),
            reserved: inner.pending.len(),
            bytes: inner.table.bytes(),
            same_id: count(&self.counters.same_id),
            same_content: count(&self.counters.same_content),
            same_meaning: count(&self.counters.same_meaning),
            compared: count(&self.counters.compared),
            rolled_back: count(&self.counters.rolled_back),
        }
    }

    /// Starts the counts anew; what is there stays counted.
    pub fn reset_stats(&self) {
        let Counters {
            same_id,
            same_content,
            same_meaning,
            compared,
            rolled_back,
        } = &self.counters;
        for counter in [same_id, same_content, same_meaning, compared, rolled_back] {
            counter.store(0, Relaxed);
        }
    }

    fn hash_of(&self, features: &[f32]) -> u64 {
        use std::hash::Hasher as _;
        let mut hasher = self.hasher.build_hasher();
        for pair in features.chunks(2) {
            let high = pair.get(1).map_or(0, |value| u64::from(value.to_bits()));
            hasher.write_u64(high << 32 | u64::from(pair[0].to_bits()));
        }
        hasher.write_usize(features.len());
        hasher.finish()
    }
}

fn check(id: &[u8], features: &[f32]) -> Result<(), DedupError> {
    check_values(id, features)?;
    if features.iter().all(|&value| value == 0.0) {
        return Err(DedupError::NoFeatures);
    }
    Ok(())
}

fn check_values(id: &[u8], features: &[f32]) -> Result<(), DedupError> {
    if id.is_empty() || id.len() > Dedup::ID_BYTES_MAX {
        return Err(DedupError::Id(id.len()));
    }
    if let Some(at) = features.iter().position(|value| !value.is_finite()) {
        let value = features[at];
        return Err(DedupError::NotFinite { at, value });
    }
    Ok(())
}

fn same_bits(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
}

/// A concept on its way. Dropped before it is committed, it leaves nothing behind.
#[derive(Debug)]
#[must_use = "the reservation is given up at once"]
pub struct Ticket<'a> {
    dedup: &'a Dedup,
    concept: ConceptId,
    open: bool,
}

impl Ticket<'_> {
    /// The number that is reserved.
    #[must_use]
    pub fn concept(&self) -> ConceptId {
        self.concept
    }

    /// Compares its meaning with all that are there or were admitted before, and lets others be compared with
    /// it from now on. A duplicate stays reserved by its id and features until the ticket is dropped.
    pub fn admit(
        &mut self,
        code: &[i8; CODE_DIMENSION],
        concepts: &impl Concepts,
    ) -> Result<(), DedupError> {
        let near = self.near(code)?;
        self.admit_near(&near, concepts)
    }

    /// The first half of [`admit`](Ticket::admit), and nearly all of its work: looks at every code, not at what
    /// [`Concepts`] lends, which others may change meanwhile. O(concepts).
    pub fn near(&self, code: &[i8; CODE_DIMENSION]) -> Result<Near, DedupError> {
        if code.iter().all(|&value| value == 0) {
            return Err(DedupError::NoCode);
        }
        let Dedup { params, isa, .. } = *self.dedup;
        // Those admitted from here on, also under numbers that were looked at already, are compared by `admit_near`:
        // so the lock can be let go of between segments, and nobody who has a concept to add or to remove waits for
        // longer than one of them takes.
        let generation = read(&self.dedup.inner).generation;
        let mut concepts = Vec::new();
        let mut look_at = |segment| {
            let table = &read(&self.dedup.inner).table;
            table.near_in_segment(segment, isa, code, params.code_cosine_min, &mut concepts)
        };
        let mut segments = 0..;
        while segments.next().is_some_and(&mut look_at) {}
        Ok(Near {
            code: *code,
            concepts,
            generation,
        })
    }

    /// The second half: compares the features of those near ones and of all that were admitted since.
    pub fn admit_near(&mut self, near: &Near, concepts: &impl Concepts) -> Result<(), DedupError> {
        let (dedup, itself) = (self.dedup, Some(self.concept));
        let compare = |inner: &Inner, near: &mut dyn Iterator<Item = ConceptId>| {
            let mut pending = inner.pending.iter();
            let pending = pending.find(|pending| pending.concept == self.concept);
            let features = pending.map_or(&[][..], |pending| &pending.features);
            match dedup.most_alike(inner, near, features, concepts, itself) {
                Some(duplicate) => {
                    dedup.counters.same_meaning.fetch_add(1, Relaxed);
                    Err(DedupError::Duplicate(duplicate))
                }
                None => Ok(()),
            }
        };
        // Under a lock that others share, where there is anything to compare with.
        if !near.concepts.is_empty() {
            let inner = read(&dedup.inner);
            compare(&inner, &mut near.concepts.iter().copied())?;
        }
        let mut inner = write(&dedup.inner);
        match inner.since(near.generation) {
            // Those who came in between, whose codes may be near or not: features decide.
            Some(mut since) => compare(&inner, &mut since)?,
            None => compare(&inner, &mut dedup.near_in(&inner, &near.code).into_iter())?,
        }
        inner.admitted(dedup.isa, self.concept, &near.code);
        Ok(())
    }

    /// Keeps the concept: from now on its id and features are looked for where [`Concepts`] has them.
    pub fn commit(self) -> ConceptId {
        self.commit_kept().0
    }

    /// As [`commit`](Ticket::commit); gives the caller the id and the features that were kept meanwhile.
    pub fn commit_kept(mut self) -> (ConceptId, Box<[u8]>, Box<[f32]>) {
        self.open = false;
        let concept = self.concept;
        let mut inner = write(&self.dedup.inner);
        let all = &mut inner.pending;
        match all.iter().position(|pending| pending.concept == concept) {
            Some(at) => {
                let Pending { id, features, .. } = all.swap_remove(at);
                (concept, id, features)
            }
            None => (concept, Box::default(), Box::default()), // Never: it was reserved.
        }
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        if self.open {
            self.dedup.give_up(self.concept);
        }
    }
}
