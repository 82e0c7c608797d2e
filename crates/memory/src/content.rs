//! What an episode says, apart from its name and how sure the caller is of it.

use crate::episode::{Episode, Memory, Value};
use cortica_env::Timestamp;
use cortica_index::Checked;
use hashbrown::DefaultHashBuilder;
use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hash, Hasher};

/// Values of an embedding that its fingerprint looks at.
const SAMPLES: usize = 8;

/// Everything of an episode that makes it the same as another one: all but its id, its encoding
/// confidence, and its embedding, which lies in the index.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Content<'a> {
    what: &'a str,
    when: Option<Timestamp>,
    place: Option<&'a str>,
    who: &'a [String],
    metadata: &'a BTreeMap<String, Value>,
    stream: Option<&'a str>,
}

impl<'a> From<&'a Episode> for Content<'a> {
    fn from(episode: &'a Episode) -> Self {
        Self {
            what: &episode.what,
            when: episode.when,
            place: episode.place.as_deref(),
            who: &episode.who,
            metadata: &episode.metadata,
            stream: episode.stream.as_deref(),
        }
    }
}

impl<'a> From<&'a Memory> for Content<'a> {
    fn from(memory: &'a Memory) -> Self {
        Self {
            what: &memory.what,
            when: memory.when,
            place: memory.place.as_deref(),
            who: &memory.who,
            metadata: &memory.metadata,
            stream: memory.stream.as_deref(),
        }
    }
}

impl Hash for Content<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.what.hash(state);
        self.when.map(Timestamp::as_micros).hash(state);
        self.place.hash(state);
        self.who.hash(state);
        self.stream.hash(state);
        state.write_usize(self.metadata.len());
        for (key, value) in self.metadata {
            key.hash(state);
            match value {
                Value::Bool(value) => value.hash(state),
                Value::Int(value) => value.hash(state),
                Value::Float(value) => value.to_bits().hash(state),
                Value::Text(value) => value.hash(state),
            }
        }
    }
}

/// Hashes ids and contents, differently in every process: nobody can choose what collides.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hashing(DefaultHashBuilder);

impl Hashing {
    pub(crate) fn id(&self, id: &str) -> u64 {
        self.0.hash_one(id)
    }

    pub(crate) fn seq(&self, seq: u64) -> u64 {
        self.0.hash_one(seq)
    }

    /// Equal for equal contents, and seldom for others. Of the embedding it takes the length, which
    /// every value has a part in and which is known already, and a few values.
    pub(crate) fn fingerprint(
        &self,
        embedding: Option<(&[f32], Checked)>,
        content: &Content<'_>,
    ) -> u64 {
        let mut state = self.0.build_hasher();
        content.hash(&mut state);
        if let Some((embedding, checked)) = embedding {
            state.write_u64(checked.norm().to_bits());
            let step = embedding.len().div_ceil(SAMPLES).max(1);
            for value in embedding.iter().step_by(step) {
                state.write_u32(value.to_bits());
            }
        }
        state.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cortica_index::{ExactIndex, Metric, VectorIndex};
    use cortica_simd::Isa;

    #[test]
    fn every_field_but_id_and_confidence_counts() {
        let hashing = Hashing::default();
        let fingerprint = |episode: &Episode| hashing.fingerprint(None, &episode.into());
        let full = || {
            Episode::new("id", "what")
                .with_when(Timestamp::from_micros(1))
                .with_place("place")
                .with_who("who")
                .with_metadata("key", Value::Int(1))
                .with_stream("stream")
        };
        let same = Episode {
            id: "other".into(),
            encoding_confidence: crate::Confidence::new(0.5).unwrap_or_default(),
            ..full()
        };
        assert_eq!(fingerprint(&full()), fingerprint(&same));
        assert_eq!(Content::from(&full()), Content::from(&same));
        let changes: [fn(&mut Episode); 8] = [
            |e| e.what = "x".into(),
            |e| e.when = None,
            |e| e.place = None,
            |e| e.who.push("x".into()),
            |e| e.stream = None,
            |e| e.metadata.clear(),
            |e| *e = e.clone().with_metadata("key", Value::Float(1.0)),
            |e| *e = e.clone().with_metadata("key", Value::Text("1".into())),
        ];
        for change in changes {
            let mut changed = full();
            change(&mut changed);
            assert_ne!(fingerprint(&full()), fingerprint(&changed), "{changed:?}");
            assert_ne!(Content::from(&full()), Content::from(&changed));
        }
        let content = Content::from(&same);
        let index = ExactIndex::new(100, Metric::L2, Isa::best()).unwrap();
        let with = |at: usize, value| {
            let mut embedding = [1.0; 100];
            embedding[at] = value;
            let checked = index.check(&embedding).unwrap();
            hashing.fingerprint(Some((&embedding, checked)), &content)
        };
        assert_ne!(with(0, 1.0), hashing.fingerprint(None, &content));
        assert_eq!(with(0, 1.0), with(9, 1.0));
        for at in 0..100 {
            assert_ne!(with(0, 1.0), with(at, 0.999));
        }
    }
}
