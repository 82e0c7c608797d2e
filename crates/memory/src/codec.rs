//! What the log's records mean to a memory store.
//!
//! ```text
//! kind 1, space:        postcard {metric, model}; d is in the record header; written twice
//! kind 2, episode:      the embedding as d little-endian f32, then postcard {id, what, ...}
//! kind 3, associations: 24 bytes each: from seq u64, to seq u64, relation u32, weight f32
//! kind 4, forget:       nothing; the seq is in the record header
//! kind 5, activation:   an f32; the seq is in the record header
//! kind 6, placed:       the embedding, then 288 bytes of a [`Trace`], then postcard {id, what, ...}:
//!                       an episode and what its allocation left; or the trace alone, where the
//!                       episode was forgotten or replaced and what was learned from it still counts
//! kind 7, columns:      nx u32, ny u32, nz u32: the grid that columns lie in; written twice
//! kind 8, checkpoint:   what was learned from all records before; see [`crate::checkpoint`]
//! ```
//!
//! An episode with the seq of an earlier one is an update of it: it keeps the links, and its
//! activation starts anew. The last activation of a seq counts.

use crate::episode::{Episode, ID_BYTES_MAX, Memory, Value};
use crate::level::{Activation, Confidence};
use crate::options::SpaceInfo;
use crate::trace::{TRACE_LEN, Trace};
use cortica_cortex::Grid;
use cortica_env::Timestamp;
use cortica_index::Metric;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

pub(crate) const KIND_SPACE: u16 = 1;
pub(crate) const KIND_EPISODE: u16 = 2;
pub(crate) const KIND_ASSOCIATIONS: u16 = 3;
pub(crate) const KIND_FORGET: u16 = 4;
pub(crate) const KIND_ACTIVATION: u16 = 5;
pub(crate) const KIND_PLACED: u16 = 6;
pub(crate) const KIND_COLUMNS: u16 = 7;
pub(crate) const KIND_CHECKPOINT: u16 = 8;

/// The most columns that a log may name: what lies in a damaged one must not take all memory.
pub(crate) const COLUMNS_MAX: usize = 1 << 24;

/// Bytes of an association.
pub(crate) const LINK_LEN: usize = 24;

/// An association between episodes that exist.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Link {
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) relation: u32,
    pub(crate) weight: f32,
}

#[derive(Serialize, Deserialize)]
struct SpaceFields<'a> {
    metric: u8,
    #[serde(borrow)]
    model: Cow<'a, str>,
}

#[derive(Serialize, Deserialize)]
struct EpisodeFields<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    stored_at: i64,
    when: Option<i64>,
    #[serde(borrow)]
    what: Cow<'a, str>,
    place: Option<Cow<'a, str>>,
    who: Vec<Cow<'a, str>>,
    confidence: f32,
    metadata: Vec<(Cow<'a, str>, StoredValue<'a>)>,
    stream: Option<Cow<'a, str>>,
}

/// [`Value`] with its type written down, as a format without field names needs it.
#[derive(Serialize, Deserialize)]
enum StoredValue<'a> {
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Cow<'a, str>),
}

pub(crate) fn encode_space(space: &SpaceInfo, out: &mut Vec<u8>) {
    let metric = match space.metric {
        Metric::Dot => 1,
        Metric::L2 => 2,
        _ => 0,
    };
    write_postcard(
        &SpaceFields {
            metric,
            model: Cow::Borrowed(&space.model),
        },
        out,
    );
}

pub(crate) fn decode_space(dimension: u32, payload: &[u8]) -> Result<SpaceInfo, String> {
    let fields: SpaceFields<'_> = read_postcard("space", payload)?;
    let metric = match fields.metric {
        0 => Metric::Cosine,
        1 => Metric::Dot,
        2 => Metric::L2,
        other => return Err(format!("the space has the unknown metric {other}")),
    };
    Ok(SpaceInfo {
        dimension: dimension as usize,
        metric,
        model: fields.model.into_owned(),
    })
}

/// An embedding as it lies in the log.
fn embedding_bytes(embedding: &[f32]) -> Cow<'_, [u8]> {
    if cfg!(target_endian = "little") {
        Cow::Borrowed(bytemuck::cast_slice(embedding))
    } else {
        let bytes = embedding.iter().flat_map(|value| value.to_le_bytes());
        Cow::Owned(bytes.collect())
    }
}

/// The checksum of an embedding as it lies in the log.
pub(crate) fn embedding_crc(embedding: &[f32]) -> u32 {
    crc32fast::hash(&embedding_bytes(embedding))
}

/// An episode; of kind [`KIND_PLACED`] where its allocation left a trace.
pub(crate) fn encode_episode(
    episode: &Episode,
    trace: Option<&Trace>,
    stored_at: Timestamp,
    out: &mut Vec<u8>,
) {
    let embedding = episode.embedding.as_deref().unwrap_or_default();
    out.extend_from_slice(&embedding_bytes(embedding));
    if let Some(trace) = trace {
        trace.encode(out);
    }
    let fields = EpisodeFields {
        id: Cow::Borrowed(&episode.id),
        stored_at: stored_at.as_micros(),
        when: episode.when.map(Timestamp::as_micros),
        what: Cow::Borrowed(&episode.what),
        place: episode.place.as_deref().map(Cow::Borrowed),
        who: episode
            .who
            .iter()
            .map(|person| Cow::Borrowed(person.as_str()))
            .collect(),
        confidence: episode.encoding_confidence.get(),
        metadata: episode
            .metadata
            .iter()
            .map(|(key, value)| (Cow::Borrowed(key.as_str()), StoredValue::of(value)))
            .collect(),
        stream: episode.stream.as_deref().map(Cow::Borrowed),
    };
    write_postcard(&fields, out);
}

/// The trace and the episode of a record of kind [`KIND_PLACED`]; the latter is none where only the
/// trace is left.
#[expect(clippy::type_complexity, reason = "named where it is used")]
pub(crate) fn decode_placed(
    seq: u64,
    dimension: u32,
    payload: &[u8],
) -> Result<(Trace, Option<(Memory, Option<Vec<f32>>)>), String> {
    if let Ok(alone) = payload.try_into() {
        return Ok((Trace::decode(alone)?, None));
    }
    let embedding = dimension as usize * size_of::<f32>();
    let short = || "the episode is shorter than its embedding".to_owned();
    let (embedding, rest) = payload.split_at_checked(embedding).ok_or_else(short)?;
    let (trace, fields) = rest.split_first_chunk().ok_or_else(short)?;
    let episode = decode_parts(seq, dimension, embedding, fields)?;
    Ok((Trace::decode(trace)?, Some(episode)))
}

/// The trace of a record of kind [`KIND_PLACED`], undecoded.
pub(crate) fn trace_bytes(dimension: u32, payload: &[u8]) -> Option<&[u8]> {
    if payload.len() == TRACE_LEN {
        return Some(payload);
    }
    let from = dimension as usize * size_of::<f32>();
    payload.get(from..from.checked_add(TRACE_LEN)?)
}

pub(crate) fn decode_episode(
    seq: u64,
    dimension: u32,
    payload: &[u8],
) -> Result<(Memory, Option<Vec<f32>>), String> {
    let embedding_len = dimension as usize * size_of::<f32>();
    let (embedding, fields) = payload
        .split_at_checked(embedding_len)
        .ok_or_else(|| "the episode is shorter than its embedding".to_owned())?;
    decode_parts(seq, dimension, embedding, fields)
}

fn decode_parts(
    seq: u64,
    dimension: u32,
    embedding: &[u8],
    fields: &[u8],
) -> Result<(Memory, Option<Vec<f32>>), String> {
    let fields: EpisodeFields<'_> = read_postcard("episode", fields)?;
    if !(1..=ID_BYTES_MAX).contains(&fields.id.len()) {
        return Err(format!("the episode's id has {} bytes", fields.id.len()));
    }
    let encoding_confidence =
        Confidence::new(fields.confidence).map_err(|error| error.to_string())?;
    let memory = Memory {
        seq,
        stored_at: Timestamp::from_micros(fields.stored_at),
        activation: Activation::at_encoding(encoding_confidence),
        id: fields.id.into(),
        what: fields.what.into_owned(),
        when: fields.when.map(Timestamp::from_micros),
        place: fields.place.map(Cow::into_owned),
        who: fields.who.into_iter().map(Cow::into_owned).collect(),
        encoding_confidence,
        metadata: fields
            .metadata
            .into_iter()
            .map(|(key, value)| (key.into_owned(), value.into_value()))
            .collect(),
        stream: fields.stream.map(Cow::into_owned),
    };
    let values = embedding
        .as_chunks::<4>()
        .0
        .iter()
        .map(|bytes| f32::from_le_bytes(*bytes));
    Ok((memory, (dimension > 0).then(|| values.collect())))
}

/// The sides of a grid.
pub(crate) fn encode_columns(grid: &Grid, out: &mut Vec<u8>) {
    out.extend(grid.sides().into_iter().flat_map(u32::to_le_bytes));
}

pub(crate) fn decode_columns(payload: &[u8]) -> Result<Grid, String> {
    let (sides, rest) = payload.as_chunks::<4>();
    let &[nx, ny, nz] = sides else {
        return Err(format!("a grid of columns has {} bytes", payload.len()));
    };
    if !rest.is_empty() {
        return Err(format!("a grid of columns has {} bytes", payload.len()));
    }
    let [nx, ny, nz] = [nx, ny, nz].map(u32::from_le_bytes);
    let grid = Grid::new(nx, ny, nz).map_err(|error| error.to_string())?;
    if grid.len() > COLUMNS_MAX {
        return Err(format!("a grid of {} columns", grid.len()));
    }
    Ok(grid)
}

/// About how many bytes an episode takes in the log; not fewer.
pub(crate) fn episode_bytes_at_most(episode: &Episode) -> usize {
    // The longest number has ten bytes.
    let text = |text: &str| text.len() + 10;
    let some = |text: &Option<String>| text.as_ref().map_or(0, String::len) + 11;
    let embedding = episode.embedding.as_ref().map_or(0, Vec::len);
    let value = |value: &Value| match value {
        Value::Text(text) => text.len() + 20,
        _ => 20,
    };
    let metadata = episode.metadata.iter();
    embedding * size_of::<f32>()
        + TRACE_LEN
        + 100
        + text(&episode.id)
        + text(&episode.what)
        + some(&episode.place)
        + some(&episode.stream)
        + episode.who.iter().map(|who| text(who)).sum::<usize>()
        + metadata
            .map(|(key, of)| text(key) + value(of))
            .sum::<usize>()
}

pub(crate) fn encode_links(links: &[Link], out: &mut Vec<u8>) {
    for link in links {
        out.extend_from_slice(&link.from.to_le_bytes());
        out.extend_from_slice(&link.to.to_le_bytes());
        out.extend_from_slice(&link.relation.to_le_bytes());
        out.extend_from_slice(&link.weight.to_le_bytes());
    }
}

pub(crate) fn decode_links(payload: &[u8]) -> Result<impl Iterator<Item = Link> + '_, String> {
    let (links, rest) = payload.as_chunks::<LINK_LEN>();
    if !rest.is_empty() {
        return Err("the associations end inside one".to_owned());
    }
    Ok(links.iter().map(|link| Link {
        from: u64::from_le_bytes(part(link, 0)),
        to: u64::from_le_bytes(part(link, 8)),
        relation: u32::from_le_bytes(part(link, 16)),
        weight: f32::from_le_bytes(part(link, 20)),
    }))
}

pub(crate) fn encode_activation(activation: Activation, out: &mut Vec<u8>) {
    out.extend_from_slice(&activation.get().to_le_bytes());
}

pub(crate) fn decode_activation(payload: &[u8]) -> Result<Activation, String> {
    let bytes = payload
        .try_into()
        .map_err(|_| format!("an activation has {} bytes", payload.len()))?;
    Activation::new(f32::from_le_bytes(bytes)).map_err(|error| error.to_string())
}

impl<'a> StoredValue<'a> {
    fn of(value: &'a Value) -> Self {
        match value {
            Value::Bool(value) => Self::Bool(*value),
            Value::Int(value) => Self::Int(*value),
            Value::Float(value) => Self::Float(*value),
            Value::Text(value) => Self::Text(Cow::Borrowed(value)),
        }
    }

    fn into_value(self) -> Value {
        match self {
            Self::Bool(value) => Value::Bool(value),
            Self::Int(value) => Value::Int(value),
            Self::Float(value) => Value::Float(value),
            Self::Text(value) => Value::Text(value.into_owned()),
        }
    }
}

fn write_postcard(fields: &impl Serialize, out: &mut Vec<u8>) {
    // Writing to memory fails only for types without a length, and these have one; a record that
    // came out short would be refused when it is read.
    let _ = postcard::to_io(fields, out);
}

fn read_postcard<'a, T: Deserialize<'a>>(what: &str, bytes: &'a [u8]) -> Result<T, String> {
    match postcard::take_from_bytes(bytes) {
        Ok((fields, [])) => Ok(fields),
        Ok((_, rest)) => Err(format!("the {what} has {} bytes too many", rest.len())),
        Err(error) => Err(format!("the {what} cannot be read: {error}")),
    }
}

fn part<const N: usize>(link: &[u8; LINK_LEN], at: usize) -> [u8; N] {
    std::array::from_fn(|i| link[at + i])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn episode() -> Episode {
        Episode::new("id", "what happened")
            .with_when(Timestamp::from_micros(-5))
            .with_place("here")
            .with_who("Ada")
            .with_who("Bob")
            .with_embedding((0_u8..37).map(f32::from).collect())
            .with_metadata("sure", Value::Bool(true))
            .with_metadata("count", Value::Int(-3))
            .with_metadata("ratio", Value::Float(0.1))
            .with_metadata("note", Value::Text("ä".into()))
            .with_stream("day")
    }

    fn encoded() -> Vec<u8> {
        let mut bytes = Vec::new();
        encode_episode(&episode(), None, Timestamp::from_micros(9), &mut bytes);
        bytes
    }

    #[test]
    fn episodes_round_trip() {
        let decoded = decode_episode(4, 37, &encoded()).unwrap();
        assert_eq!(decoded, Memory::of(episode(), 4, Timestamp::from_micros(9)));
        let mut bytes = Vec::new();
        encode_episode(
            &Episode::new("a", ""),
            None,
            Timestamp::default(),
            &mut bytes,
        );
        let (memory, embedding) = decode_episode(1, 0, &bytes).unwrap();
        assert_eq!((&*memory.id, embedding), ("a", None));
    }

    #[test]
    fn episodes_that_are_cut_or_grown_are_refused() {
        let bytes = encoded();
        for len in 0..bytes.len() {
            assert!(
                decode_episode(4, 37, &bytes[..len]).is_err(),
                "cut at {len}"
            );
        }
        assert!(decode_episode(4, 37, &[&bytes[..], &[0]].concat()).is_err());
        assert!(decode_episode(4, u32::MAX, &bytes).is_err());
    }

    #[test]
    fn no_bytes_make_the_decoder_panic() {
        let bytes = encoded();
        for at in 0..bytes.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut bad = bytes.clone();
                bad[at] = value;
                let _ = decode_episode(4, 37, &bad);
                let _ = decode_space(37, &bad);
            }
        }
    }

    #[test]
    fn spaces_and_links_round_trip() {
        for metric in [Metric::Cosine, Metric::Dot, Metric::L2] {
            let space = SpaceInfo {
                dimension: 768,
                metric,
                model: "mpnet".into(),
            };
            let mut bytes = Vec::new();
            encode_space(&space, &mut bytes);
            assert_eq!(decode_space(768, &bytes), Ok(space));
        }
        assert!(decode_space(768, &[9, 0]).is_err(), "an unknown metric");
        let link = Link {
            from: 1,
            to: u64::MAX,
            relation: 7,
            weight: 0.5,
        };
        let mut bytes = Vec::new();
        encode_links(&[link, link], &mut bytes);
        assert_eq!(
            decode_links(&bytes).unwrap().collect::<Vec<_>>(),
            [link, link]
        );
        assert!(decode_links(&bytes[1..]).is_err());
    }

    #[test]
    fn activations_round_trip() {
        let activation = Activation::new(0.3).unwrap();
        let mut bytes = Vec::new();
        encode_activation(activation, &mut bytes);
        assert_eq!(decode_activation(&bytes), Ok(activation));
        assert!(decode_activation(&bytes[1..]).is_err());
        assert!(decode_activation(&2.0_f32.to_le_bytes()).is_err());
        assert!(decode_activation(&f32::NAN.to_le_bytes()).is_err());
    }
}
