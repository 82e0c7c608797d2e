//! The header of a safetensors file, held against the bytes that are there.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::SafetensorsError;
use crate::safetensors::{HEADER_BYTES_MAX, LENGTH_BYTES, TensorDtype, check_seal};

/// The key under which the metadata stands among the tensors.
pub(crate) const METADATA: &str = "__metadata__";

/// Where a tensor lies in the file.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) dtype: TensorDtype,
    pub(crate) shape: Vec<usize>,
    pub(crate) bytes: Range<usize>,
}

type Parts = (BTreeMap<String, String>, BTreeMap<String, Place>);

/// Reads the header and checks that the tensors fill the bytes behind it without gap or overlap.
pub(crate) fn parse(bytes: &[u8]) -> Result<Parts, SafetensorsError> {
    let found = bytes.len() as u64;
    let Some((length, rest)) = bytes.split_first_chunk::<LENGTH_BYTES>() else {
        let expected = LENGTH_BYTES as u64;
        return Err(SafetensorsError::Truncated { expected, found });
    };
    let claimed = u64::from_le_bytes(*length);
    if claimed > HEADER_BYTES_MAX {
        let max = HEADER_BYTES_MAX;
        return Err(SafetensorsError::HeaderTooLarge { claimed, max });
    }
    let Some((text, data)) = rest.split_at_checked(claimed as usize) else {
        let expected = LENGTH_BYTES as u64 + claimed;
        return Err(SafetensorsError::Truncated { expected, found });
    };
    let malformed = |why: String| SafetensorsError::Header { why };
    if text.first() != Some(&b'{') {
        return Err(malformed("it does not begin with {".to_owned()));
    }
    let header: Header =
        serde_json::from_slice(text).map_err(|error| malformed(error.to_string()))?;
    let tensors = place_all(header.tensors, data.len() as u64, LENGTH_BYTES + text.len());
    match tensors {
        Ok(tensors) => Ok((header.metadata, tensors)),
        // What damage made of the metadata says nothing.
        Err(SafetensorsError::Dtype { name, found, .. }) if check_seal(bytes).is_ok() => {
            Err(SafetensorsError::Dtype {
                name,
                found,
                metadata: header.metadata,
            })
        }
        Err(other) => Err(other),
    }
}

/// Checks each tensor's place. `start` is where the data begins in the file.
fn place_all(
    entries: BTreeMap<String, Entry>,
    data_bytes: u64,
    start: usize,
) -> Result<BTreeMap<String, Place>, SafetensorsError> {
    let mut in_order: Vec<(String, Entry)> = entries.into_iter().collect();
    // By start, then by end: an empty tensor may stand where another begins.
    in_order.sort_by_key(|(_, entry)| entry.data_offsets);
    let mut tensors = BTreeMap::new();
    let mut next = 0_u64;
    for (name, entry) in in_order {
        let dtype = dtype_of(&name, &entry.dtype)?;
        let [from, to] = entry.data_offsets;
        let values = entry.shape.iter();
        let size = values
            .copied()
            .try_fold(dtype.bytes() as u64, u64::checked_mul);
        let end = size.and_then(|size| next.checked_add(size));
        if from != next || Some(to) != end || to < from || to > data_bytes {
            let expected = match end {
                Some(end) => format!("{next}..{end}"),
                None => "a shape that fits in a file".to_owned(),
            };
            // Cut short, if all else is right.
            if from == next && Some(to) == end {
                return Err(SafetensorsError::Truncated {
                    expected: (start as u64).saturating_add(to),
                    found: start as u64 + data_bytes,
                });
            }
            return Err(SafetensorsError::Offsets {
                name,
                from,
                to,
                data_bytes,
                expected,
            });
        }
        next = to;
        // Each axis is no longer than the whole, unless another is 0; a 32-bit machine has its limit.
        let shape = entry.shape.iter().map(|&axis| usize::try_from(axis));
        let shape = shape.collect::<Result<Vec<_>, _>>();
        let shape = shape.map_err(|_| SafetensorsError::Header {
            why: format!("tensor {name} has an axis too long for this machine"),
        })?;
        let place = Place {
            dtype,
            shape,
            bytes: start + from as usize..start + to as usize,
        };
        tensors.insert(name, place);
    }
    if next != data_bytes {
        return Err(SafetensorsError::Trailing {
            expected: start as u64 + next,
            found: start as u64 + data_bytes,
        });
    }
    Ok(tensors)
}

fn dtype_of(name: &str, word: &str) -> Result<TensorDtype, SafetensorsError> {
    let mut all = TensorDtype::ALL.into_iter();
    let found = all.find(|entry| entry.1 == word).map(|entry| entry.0);
    found.ok_or_else(|| SafetensorsError::Dtype {
        name: name.to_owned(),
        found: word.chars().take(20).collect(),
        metadata: BTreeMap::new(),
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: [u64; 2],
}

/// The JSON object, with each key once: whoever reads it must read the same thing.
struct Header {
    metadata: BTreeMap<String, String>,
    tensors: BTreeMap<String, Entry>,
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Header, D::Error> {
        from.deserialize_map(HeaderVisitor)
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = Header;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
        let mut metadata = None;
        let mut tensors = BTreeMap::new();
        while let Some(name) = map.next_key::<String>()? {
            let twice = if name == METADATA {
                metadata.replace(map.next_value::<Texts>()?.0).is_some()
            } else {
                tensors.insert(name, map.next_value()?).is_some()
            };
            if twice {
                return Err(A::Error::custom("a name stands twice"));
            }
        }
        Ok(Header {
            metadata: metadata.unwrap_or_default(),
            tensors,
        })
    }
}

struct Texts(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Texts, D::Error> {
        from.deserialize_map(TextsVisitor)
    }
}

struct TextsVisitor;

impl<'de> Visitor<'de> for TextsVisitor {
    type Value = Texts;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of texts")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Texts, A::Error> {
        let mut texts = BTreeMap::new();
        while let Some((key, text)) = map.next_entry::<String, String>()? {
            if texts.insert(key, text).is_some() {
                return Err(A::Error::custom("a key of the metadata stands twice"));
            }
        }
        Ok(Texts(texts))
    }
}
