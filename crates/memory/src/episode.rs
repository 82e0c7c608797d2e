//! What is stored, and what it becomes.

use crate::error::StoreError;
use crate::level::{Activation, Confidence};
use cortica_env::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The longest id, in bytes of UTF-8; the shortest is 1.
pub const ID_BYTES_MAX: usize = 256;

/// The longest text in any field of an episode, in bytes of UTF-8.
pub const TEXT_BYTES_MAX: usize = 1 << 20;

/// The most people, and the most metadata entries, an episode may name.
const ENTRIES_MAX: usize = 1_024;

/// Something that happened: what, and optionally when, where, who, and an embedding to find it by.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Episode {
    /// The caller's name for it: 1 to [`ID_BYTES_MAX`] bytes, unique in its store.
    pub id: String,
    /// What happened.
    pub what: String,
    /// When it happened, which is not when it was stored.
    pub when: Option<Timestamp>,
    /// Where it happened.
    pub place: Option<String>,
    /// Who took part.
    pub who: Vec<String>,
    /// A vector of the store's dimension. An episode without one is kept but not found by vector.
    pub embedding: Option<Vec<f32>>,
    /// How sure the caller is of all this.
    pub encoding_confidence: Confidence,
    /// Whatever else is known, by name.
    pub metadata: BTreeMap<String, Value>,
    /// The stream of experience it belongs to.
    pub stream: Option<String>,
}

/// A value in an episode's metadata.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A finite number.
    Float(f64),
    /// Text.
    Text(String),
}

impl Episode {
    /// An episode of which only its id and what happened are known, fully sure.
    pub fn new(id: impl Into<String>, what: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            what: what.into(),
            when: None,
            place: None,
            who: Vec::new(),
            embedding: None,
            encoding_confidence: Confidence::FULL,
            metadata: BTreeMap::new(),
            stream: None,
        }
    }

    /// With the vector it is found by.
    #[must_use]
    pub fn with_embedding(mut self, embedding: Vec<f32>) -> Self {
        self.embedding = Some(embedding);
        self
    }

    /// With the time it happened.
    #[must_use]
    pub fn with_when(mut self, when: Timestamp) -> Self {
        self.when = Some(when);
        self
    }

    /// With the place it happened.
    #[must_use]
    pub fn with_place(mut self, place: impl Into<String>) -> Self {
        self.place = Some(place.into());
        self
    }

    /// With one more who took part.
    #[must_use]
    pub fn with_who(mut self, who: impl Into<String>) -> Self {
        self.who.push(who.into());
        self
    }

    /// With how sure the caller is.
    #[must_use]
    pub fn with_confidence(mut self, confidence: Confidence) -> Self {
        self.encoding_confidence = confidence;
        self
    }

    /// With one more metadata entry.
    #[must_use]
    pub fn with_metadata(mut self, key: impl Into<String>, value: Value) -> Self {
        self.metadata.insert(key.into(), value);
        self
    }

    /// With the stream it belongs to.
    #[must_use]
    pub fn with_stream(mut self, stream: impl Into<String>) -> Self {
        self.stream = Some(stream.into());
        self
    }

    /// Refuses what may not be stored, the embedding aside.
    pub(crate) fn check_fields(&self) -> Result<(), StoreError> {
        check_id(&self.id)?;
        let texts = [("what", Some(&self.what)), ("place", self.place.as_ref())];
        for (field, text) in texts.into_iter().chain([("stream", self.stream.as_ref())]) {
            at_most(field, text.map_or(0, String::len), TEXT_BYTES_MAX)?;
        }
        at_most("who", self.who.len(), ENTRIES_MAX)?;
        at_most("metadata", self.metadata.len(), ENTRIES_MAX)?;
        for person in &self.who {
            at_most("who", person.len(), TEXT_BYTES_MAX)?;
        }
        for (key, value) in &self.metadata {
            at_most("metadata", key.len(), TEXT_BYTES_MAX)?;
            match value {
                Value::Text(text) => at_most("metadata", text.len(), TEXT_BYTES_MAX)?,
                Value::Float(number) if !number.is_finite() => {
                    return Err(StoreError::MetadataNotFinite { key: key.clone() });
                }
                _ => {}
            }
        }
        Ok(())
    }
}

pub(crate) fn check_id(id: &str) -> Result<(), StoreError> {
    if (1..=ID_BYTES_MAX).contains(&id.len()) {
        Ok(())
    } else {
        Err(StoreError::InvalidId { got: id.len() })
    }
}

fn at_most(field: &'static str, got: usize, max: usize) -> Result<(), StoreError> {
    if got <= max {
        Ok(())
    } else {
        Err(StoreError::TooLarge { field, got, max })
    }
}

/// An episode as the store holds it. Its embedding stays in the index; see
/// [`MemoryStore::embedding`](crate::MemoryStore::embedding).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Memory {
    /// Its identity: given once, in the order of storing, never reused.
    pub seq: u64,
    /// When it was stored.
    pub stored_at: Timestamp,
    /// How strongly it stands out.
    pub activation: Activation,
    /// As in [`Episode::id`].
    pub id: Arc<str>,
    /// As in [`Episode::what`].
    pub what: String,
    /// As in [`Episode::when`].
    pub when: Option<Timestamp>,
    /// As in [`Episode::place`].
    pub place: Option<String>,
    /// As in [`Episode::who`].
    pub who: Vec<String>,
    /// As in [`Episode::encoding_confidence`].
    pub encoding_confidence: Confidence,
    /// As in [`Episode::metadata`].
    pub metadata: BTreeMap<String, Value>,
    /// As in [`Episode::stream`].
    pub stream: Option<String>,
}

impl Memory {
    /// The memory of an episode, and the embedding that goes to the index.
    pub(crate) fn of(episode: Episode, seq: u64, stored_at: Timestamp) -> (Self, Option<Vec<f32>>) {
        let memory = Self {
            seq,
            stored_at,
            activation: Activation::at_encoding(episode.encoding_confidence),
            id: episode.id.into(),
            what: episode.what,
            when: episode.when,
            place: episode.place,
            who: episode.who,
            encoding_confidence: episode.encoding_confidence,
            metadata: episode.metadata,
            stream: episode.stream,
        };
        (memory, episode.embedding)
    }
}
