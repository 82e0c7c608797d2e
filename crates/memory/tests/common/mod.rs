//! A memory so plain that it is right by reading it.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    reason = "shared by several tests, of which none needs all; a panic is how a test reports"
)]

use cortica_env::Timestamp;
use cortica_memory::{
    AssociateOutcome, Association, Cue, Episode, Memory, MemoryStore, StoreOutcome, Value,
};
use cortica_testkit::Rng;
use std::collections::BTreeMap;

/// Values of an embedding: few and whole, so that every dot product is exact in any order.
pub(crate) const DIMENSION: usize = 8;

/// An episode that the model holds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Known {
    pub(crate) seq: u64,
    pub(crate) episode: Episode,
    pub(crate) stored_at: Timestamp,
    pub(crate) activation: f32,
}

/// What a store should hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Model {
    pub(crate) given: u64,
    pub(crate) known: Vec<Known>,
    /// By source, relation and target seq.
    pub(crate) links: BTreeMap<(u64, u32, u64), f32>,
    pub(crate) capacity: Option<usize>,
    /// Whether it refuses what is more than that.
    pub(crate) refuses: bool,
    /// Uses that recalls have noted, by seq.
    pub(crate) uses: BTreeMap<u64, u32>,
}

/// What storing an episode answers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) seq: u64,
    pub(crate) activation: f32,
    pub(crate) outcome: StoreOutcome,
    pub(crate) evicted: Vec<u64>,
}

impl Model {
    fn by_id(&self, id: &str) -> Option<usize> {
        self.known.iter().position(|known| known.episode.id == id)
    }

    fn seq(&self, id: &str) -> Option<u64> {
        self.by_id(id).map(|at| self.known[at].seq)
    }

    fn name(&self, seq: u64) -> String {
        let known = self.known.iter().find(|known| known.seq == seq);
        known.unwrap().episode.id.clone()
    }

    /// What a use makes of an activation.
    fn used(activation: f32) -> f32 {
        1.0 - (1.0 - activation) * (1.0 - 0.1)
    }

    /// Notes that these were recalled.
    pub(crate) fn note(&mut self, recalled: &[(f32, u64)]) {
        for (_, seq) in recalled {
            *self.uses.entry(*seq).or_default() += 1;
        }
    }

    /// Applies what recalls have noted, as every write does first. Says how many were strengthened,
    /// and how often.
    pub(crate) fn settle(&mut self) -> (u64, u64) {
        let mut done = (0, 0);
        for (seq, times) in std::mem::take(&mut self.uses) {
            if let Some(known) = self.known.iter_mut().find(|known| known.seq == seq) {
                for _ in 0..times {
                    known.activation = Self::used(known.activation);
                }
                done = (done.0 + 1, done.1 + u64::from(times));
            }
        }
        done
    }

    /// Forgets the weakest until there are no more than so many.
    pub(crate) fn evict_to(&mut self, most: usize) -> Vec<u64> {
        let mut evicted = Vec::new();
        while self.known.len() > most {
            let strength = |known: &&Known| (known.activation.to_bits(), known.seq);
            let weakest = self.known.iter().min_by_key(strength).unwrap();
            let (id, seq) = (weakest.episode.id.clone(), weakest.seq);
            evicted.push(seq);
            self.forget(&id).unwrap();
        }
        evicted
    }

    /// None where it is refused for want of room.
    pub(crate) fn try_store(&mut self, episode: Episode, now: Timestamp) -> Option<Answer> {
        let mut after = self.clone();
        let before = after.known.len();
        let capacity = after.capacity;
        let pressure = match capacity {
            Some(most) => before.min(most) as f64 / most as f64,
            None => 0.0,
        };
        let mut answer = after.store(episode, now);
        if let StoreOutcome::Reinforced { .. } = answer.outcome {
            *self = after;
            return Some(answer);
        }
        let known = after.known.iter_mut().find(|known| known.seq == answer.seq);
        let known = known.unwrap();
        let confidence = f64::from(known.episode.encoding_confidence.get());
        known.activation = (confidence * (1.0 - 0.5 * pressure)) as f32;
        answer.activation = known.activation;
        if let (StoreOutcome::Stored, Some(most)) = (&answer.outcome, capacity)
            && before >= most
        {
            if self.refuses {
                return None;
            }
            // All but the new one, which is the last.
            let new = after.known.pop().unwrap();
            answer.evicted = after.evict_to(most - 1);
            after.known.push(new);
        }
        *self = after;
        Some(answer)
    }

    pub(crate) fn store(&mut self, episode: Episode, now: Timestamp) -> Answer {
        let mut content = episode.clone();
        let same = |known: &Known| {
            content.id.clone_from(&known.episode.id);
            content.encoding_confidence = known.episode.encoding_confidence;
            content == known.episode
        };
        let under_id = self.by_id(&episode.id);
        let same: Vec<bool> = self.known.iter().map(same).collect();
        let reinforced = match under_id {
            Some(at) => same[at].then_some(at),
            None => same.iter().position(|&same| same),
        };
        if let Some(at) = reinforced {
            let known = &mut self.known[at];
            known.activation = Self::used(known.activation);
            let of = known.episode.id.as_str().into();
            return Answer {
                seq: known.seq,
                activation: known.activation,
                outcome: StoreOutcome::Reinforced { of },
                evicted: Vec::new(),
            };
        }
        let activation = episode.encoding_confidence.get();
        if let Some(at) = under_id {
            let known = &mut self.known[at];
            known.episode = episode;
            known.activation = activation;
            return Answer {
                seq: known.seq,
                activation,
                outcome: StoreOutcome::Updated,
                evicted: Vec::new(),
            };
        }
        self.given += 1;
        self.known.push(Known {
            seq: self.given,
            episode,
            stored_at: now,
            activation,
        });
        Answer {
            seq: self.given,
            activation,
            outcome: StoreOutcome::Stored,
            evicted: Vec::new(),
        }
    }

    pub(crate) fn forget(&mut self, id: &str) -> Option<u64> {
        let seq = self.known.remove(self.by_id(id)?).seq;
        self.links
            .retain(|&(from, _, to), _| from != seq && to != seq);
        Some(seq)
    }

    pub(crate) fn associate(&mut self, association: &Association) -> Option<AssociateOutcome> {
        let from = self.seq(&association.from)?;
        let to = self.seq(&association.to)?;
        let key = (from, association.relation, to);
        Some(match self.links.insert(key, association.weight) {
            None => AssociateOutcome::Added,
            Some(old) if old == association.weight => AssociateOutcome::AlreadyThere,
            Some(_) => AssociateOutcome::Reweighted,
        })
    }

    pub(crate) fn associations(&self, id: &str) -> Vec<Association> {
        let from = self.seq(id);
        let links = self.links.iter().filter(|(key, _)| Some(key.0) == from);
        let named = links.map(|(&(_, relation, to), &weight)| {
            Association::new(id, self.name(to), relation).with_weight(weight)
        });
        named.collect()
    }

    /// By dot product, best first, then in the order of storing.
    pub(crate) fn recall(&self, query: &[f32], k: usize) -> Vec<(f32, u64)> {
        let scored = self.known.iter().filter_map(|known| {
            let embedding = known.episode.embedding.as_ref()?;
            let score: f32 = embedding.iter().zip(query).map(|(a, b)| a * b).sum();
            Some((score + 0.0, known.seq))
        });
        let mut scored: Vec<_> = scored.collect();
        scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        scored.truncate(k);
        scored
    }

    /// What differs from a store, if anything.
    pub(crate) fn differs(&self, store: &MemoryStore) -> Option<String> {
        let stats = store.stats();
        let embedded = |known: &&Known| known.episode.embedding.is_some();
        let counts = (stats.episodes, stats.embedded, stats.associations);
        let want = (
            self.known.len() as u64,
            self.known.iter().filter(embedded).count() as u64,
            self.links.len() as u64,
        );
        if counts != want {
            return Some(format!("the store has {counts:?}, not {want:?}"));
        }
        if stats.next_seq != self.given + 1 {
            return Some(format!(
                "seq {} comes next, not {}",
                stats.next_seq,
                self.given + 1
            ));
        }
        self.known.iter().find_map(|known| {
            let id = &known.episode.id;
            let Some(there) = store.get(id) else {
                return Some(format!("{id} is not there"));
            };
            if !is(&there, known) {
                return Some(format!("{there:?} is not {known:?}"));
            }
            if store.embedding(id) != known.episode.embedding {
                return Some(format!("the embedding of {id} is another one"));
            }
            let (has, should) = (store.associations(id), self.associations(id));
            (has != should).then(|| format!("{id} leads to {has:?}, not {should:?}"))
        })
    }
}

/// Whether a memory is the episode that the model holds.
pub(crate) fn is(memory: &Memory, known: &Known) -> bool {
    let Known { episode, .. } = known;
    memory.seq == known.seq
        && *memory.id == *episode.id
        && memory.stored_at == known.stored_at
        && memory.activation.get() == known.activation
        && memory.what == episode.what
        && memory.when == episode.when
        && memory.place == episode.place
        && memory.who == episode.who
        && memory.encoding_confidence == episode.encoding_confidence
        && memory.metadata == episode.metadata
        && memory.stream == episode.stream
}

/// A choice of few, so that everything meets everything.
pub(crate) fn id(rng: &mut Rng) -> String {
    format!("id-{}", rng.below(40))
}

pub(crate) fn vector(rng: &mut Rng) -> Vec<f32> {
    (0..DIMENSION).map(|_| rng.below(3) as f32 - 1.0).collect()
}

pub(crate) fn episode(rng: &mut Rng) -> Episode {
    let mut episode = Episode::new(id(rng), format!("text {}", rng.below(12)));
    if rng.below(4) > 0 {
        // One of few, so that contents repeat.
        let mut few = Rng::new(rng.below(30) as u64);
        episode = episode.with_embedding(vector(&mut few));
    }
    let quarters = rng.below(5) as f32 / 4.0;
    episode.encoding_confidence = cortica_memory::Confidence::new(quarters).unwrap();
    if rng.below(8) == 0 {
        episode = episode.with_when(Timestamp::from_micros(rng.below(3) as i64));
    }
    if rng.below(8) == 0 {
        episode = episode
            .with_place("here")
            .with_who("Ada")
            .with_stream("day");
    }
    if rng.below(8) == 0 {
        episode = episode.with_metadata("n", Value::Int(rng.below(2) as i64));
    }
    episode
}

pub(crate) fn association(rng: &mut Rng) -> Association {
    let weight = (1 + rng.below(4)) as f32 / 4.0;
    Association::new(id(rng), id(rng), rng.below(3) as u32).with_weight(weight)
}

/// What a store recalls, to be held against [`Model::recall`].
pub(crate) fn recalled(store: &MemoryStore, query: &[f32], k: usize) -> Vec<(f32, u64)> {
    let cue = Cue::embedding(query.to_vec()).max_results(k);
    let found = store.recall(&cue).unwrap();
    found
        .iter()
        .map(|found| (found.score, found.memory.seq))
        .collect()
}
