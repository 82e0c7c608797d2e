//! One episode as a line of JSON.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

use cortica::{Activation, Confidence, Episode, Import, Timestamp, Value};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::when;

/// What an episode to be stored may say.
const FIELDS: &[&str] = &[
    "id",
    "what",
    "when",
    "place",
    "who",
    "embedding",
    "encoding_confidence",
    "metadata",
    "stream",
];

/// What an episode from a store says besides.
const ALL: &[&str] = &[
    "id",
    "what",
    "when",
    "place",
    "who",
    "embedding",
    "encoding_confidence",
    "metadata",
    "stream",
    "stored_at",
    "activation",
];

/// An [`Episode`] read from JSON; every complaint names the field it is about.
#[derive(Debug)]
pub(crate) struct EpisodeLine(pub(crate) Episode);

/// An episode that a store has exported.
#[derive(Debug)]
pub(crate) struct ImportLine(pub(crate) Import);

impl<'de> Deserialize<'de> for EpisodeLine {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let visitor = EpisodeVisitor { fields: FIELDS };
        let Read { episode, .. } = deserializer.deserialize_map(visitor)?;
        Ok(EpisodeLine(episode))
    }
}

impl<'de> Deserialize<'de> for ImportLine {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let visitor = EpisodeVisitor { fields: ALL };
        let read = deserializer.deserialize_map(visitor)?;
        let missing = D::Error::missing_field;
        let stored_at = read.stored_at.ok_or_else(|| missing("stored_at"))?;
        let activation = read.activation.ok_or_else(|| missing("activation"))?;
        let activation = Activation::new(activation)
            .map_err(|error| D::Error::custom(format_args!("field `activation`: {error}")))?;
        let stored_at = Timestamp::from_micros(stored_at);
        Ok(ImportLine(Import::new(read.episode, stored_at, activation)))
    }
}

// By hand, because serde's derived code says what was wrong with a value but not in which field.
struct EpisodeVisitor {
    fields: &'static [&'static str],
}

/// What a line said.
struct Read {
    episode: Episode,
    stored_at: Option<i64>,
    activation: Option<f32>,
}

impl<'de> Visitor<'de> for EpisodeVisitor {
    type Value = Read;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with the fields of an episode")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Read, M::Error> {
        let mut id: Option<String> = None;
        let mut what: Option<String> = None;
        let mut when: Option<Option<Moment>> = None;
        let mut place: Option<Option<String>> = None;
        let mut who: Option<Vec<String>> = None;
        let mut embedding: Option<Option<Embedding>> = None;
        let mut confidence: Option<f32> = None;
        let mut metadata: Option<Metadata> = None;
        let mut stream: Option<Option<String>> = None;
        let mut stored_at: Option<Moment> = None;
        let mut activation: Option<f32> = None;
        while let Some(field) = map.next_key::<String>()? {
            match self.fields.iter().find(|known| **known == field).copied() {
                Some(field @ "id") => read(&mut id, field, &mut map)?,
                Some(field @ "what") => read(&mut what, field, &mut map)?,
                Some(field @ "when") => read(&mut when, field, &mut map)?,
                Some(field @ "place") => read(&mut place, field, &mut map)?,
                Some(field @ "who") => read(&mut who, field, &mut map)?,
                Some(field @ "embedding") => read(&mut embedding, field, &mut map)?,
                Some(field @ "encoding_confidence") => read(&mut confidence, field, &mut map)?,
                Some(field @ "metadata") => read(&mut metadata, field, &mut map)?,
                Some(field @ "stream") => read(&mut stream, field, &mut map)?,
                Some(field @ "stored_at") => read(&mut stored_at, field, &mut map)?,
                Some(field @ "activation") => read(&mut activation, field, &mut map)?,
                _ => return Err(Error::unknown_field(&field, self.fields)),
            }
        }
        let id = id.ok_or_else(|| Error::missing_field("id"))?;
        let what = what.ok_or_else(|| Error::missing_field("what"))?;
        let mut episode = Episode::new(id, what);
        episode.when = when
            .flatten()
            .map(|Moment(micros)| Timestamp::from_micros(micros));
        episode.place = place.flatten();
        episode.who = who.unwrap_or_default();
        episode.embedding = embedding.flatten().map(|Embedding(values)| values);
        episode.metadata = metadata.map_or_else(BTreeMap::new, |Metadata(entries)| entries);
        episode.stream = stream.flatten();
        if let Some(confidence) = confidence {
            episode.encoding_confidence = Confidence::new(confidence).map_err(|error| {
                Error::custom(format_args!("field `encoding_confidence`: {error}"))
            })?;
        }
        Ok(Read {
            episode,
            stored_at: stored_at.map(|Moment(micros)| micros),
            activation,
        })
    }
}

fn read<'de, T: Deserialize<'de>, M: MapAccess<'de>>(
    slot: &mut Option<T>,
    field: &'static str,
    map: &mut M,
) -> Result<(), M::Error> {
    if slot.is_some() {
        return Err(Error::duplicate_field(field));
    }
    let value = map.next_value();
    *slot = Some(value.map_err(|error| Error::custom(format_args!("field `{field}`: {error}")))?);
    Ok(())
}

/// Microseconds since 1970, given as an integer or as RFC 3339.
struct Moment(i64);

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MomentVisitor)
    }
}

struct MomentVisitor;

impl Visitor<'_> for MomentVisitor {
    type Value = Moment;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "microseconds since 1970 as an integer, or a text such as `2024-05-01T12:30:00Z`",
        )
    }

    fn visit_i64<E: Error>(self, micros: i64) -> Result<Moment, E> {
        Ok(Moment(micros))
    }

    fn visit_u64<E: Error>(self, micros: u64) -> Result<Moment, E> {
        let beyond = |_| Error::custom(format_args!("{micros} microseconds are beyond 64 bits"));
        i64::try_from(micros).map(Moment).map_err(beyond)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Moment, E> {
        when::parse(text).map(Moment).map_err(Error::custom)
    }
}

/// Numbers to the nearest f32. One that is too large becomes infinite, so that the store refuses the
/// episode by its id, instead of the line being unreadable.
pub(crate) struct Embedding(pub(crate) Vec<f32>);

impl<'de> Deserialize<'de> for Embedding {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written: Box<RawValue> = Box::deserialize(deserializer)?;
        let read = serde_json::from_str::<Vec<f32>>(written.get()).or_else(|error| {
            match serde_json::from_str::<Vec<f64>>(written.get()) {
                Ok(values) => Ok(values.into_iter().map(|value| value as f32).collect()),
                Err(_) => Err(error),
            }
        });
        read.map(Embedding)
            .map_err(|error| Error::custom(broken(&error)))
    }
}

/// What is wrong with a value. The position that the error names counts from the start of the value,
/// which nobody could place.
fn broken(error: &serde_json::Error) -> String {
    let why = error.to_string();
    why.split(" at line ").next().unwrap_or_default().to_owned()
}

/// Metadata with every key named once.
struct Metadata(BTreeMap<String, Value>);

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MetadataVisitor)
    }
}

struct MetadataVisitor;

impl<'de> Visitor<'de> for MetadataVisitor {
    type Value = Metadata;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of texts, numbers, true and false")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Metadata, M::Error> {
        let mut entries = BTreeMap::new();
        while let Some(key) = map.next_key::<String>()? {
            // As it is written: once a number has been read, an integer too large for 64 bits
            // looks like any other float.
            let written: Box<RawValue> = map.next_value()?;
            let value = metadata_value(written.get())
                .map_err(|why| Error::custom(format_args!("`{key}`: {why}")))?;
            match entries.entry(key) {
                Entry::Vacant(entry) => entry.insert(value),
                Entry::Occupied(entry) => {
                    let key = entry.key();
                    return Err(Error::custom(format_args!("`{key}`: named twice")));
                }
            };
        }
        Ok(Metadata(entries))
    }
}

/// Metadata from the text of an object.
#[cfg(feature = "parquet")]
pub(crate) fn metadata(text: &str) -> Result<BTreeMap<String, Value>, String> {
    match serde_json::from_str(text) {
        Ok(Metadata(entries)) => Ok(entries),
        Err(error) => Err(error.to_string()),
    }
}

fn metadata_value(written: &str) -> Result<Value, String> {
    let broken = |error: serde_json::Error| broken(&error);
    match written.as_bytes() {
        b"true" => Ok(Value::Bool(true)),
        b"false" => Ok(Value::Bool(false)),
        [b'"', ..] => serde_json::from_str(written)
            .map(Value::Text)
            .map_err(broken),
        [b'-' | b'0'..=b'9', digits @ ..] if digits.iter().all(u8::is_ascii_digit) => {
            written.parse().map(Value::Int).map_err(|_| {
                "a whole number beyond 64 bits; write it as text, or as a decimal".to_owned()
            })
        }
        [b'-' | b'0'..=b'9', ..] => serde_json::from_str(written)
            .map(Value::Float)
            .map_err(broken),
        _ => Err("expected text, true, false or a number".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(line: &str, naming: &str) {
        let error = serde_json::from_str::<EpisodeLine>(line)
            .unwrap_err()
            .to_string();
        assert!(error.contains(naming), "`{error}` should say `{naming}`");
    }

    #[test]
    fn a_full_line_reads() {
        let line = r#"{"id":"a","what":"tea","when":"1970-01-01T00:00:01Z","place":"Kyoto",
            "who":["Mari"],"embedding":[1,-0.5],"encoding_confidence":0.5,
            "metadata":{"cups":2,"hot":true,"grams":1.5,"kind":"sencha"},"stream":null}"#;
        let EpisodeLine(episode) = serde_json::from_str(line).unwrap();
        assert_eq!(episode.id, "a");
        assert_eq!(episode.when, Some(Timestamp::from_micros(1_000_000)));
        assert_eq!(episode.embedding, Some(vec![1.0, -0.5]));
        assert_eq!(episode.metadata.get("cups"), Some(&Value::Int(2)));
        assert_eq!(episode.metadata.get("hot"), Some(&Value::Bool(true)));
        assert_eq!(episode.metadata.get("grams"), Some(&Value::Float(1.5)));
        assert_eq!(episode.stream, None);
    }

    #[test]
    fn every_complaint_names_the_field() {
        refused(r#"{"id":"a"}"#, "missing field `what`");
        refused(r#"{"id":"a","id":"b","what":""}"#, "duplicate field `id`");
        refused(
            r#"{"id":"a","what":"","colour":"red"}"#,
            "unknown field `colour`",
        );
        refused(r#"{"id":7,"what":""}"#, "field `id`: invalid type");
        refused(
            r#"{"id":"a","what":"","embedding":[1,null]}"#,
            "field `embedding`: invalid type",
        );
        refused(
            r#"{"id":"a","what":"","when":"soon"}"#,
            "field `when`: `soon` is not a moment",
        );
        refused(
            r#"{"id":"a","what":"","encoding_confidence":1.5}"#,
            "field `encoding_confidence`",
        );
        refused(
            r#"{"id":"a","what":"","metadata":{"x":[1]}}"#,
            "field `metadata`",
        );
        refused("[1]", "an object with the fields of an episode");
        refused(
            r#"{"id":"a","what":"","when":18446744073709551615}"#,
            "field `when`: 18446744073709551615 microseconds are beyond 64 bits",
        );
    }

    #[test]
    fn no_field_comes_twice() {
        for (field, value) in [
            ("id", r#""a""#),
            ("what", r#""b""#),
            ("when", "null"),
            ("place", "null"),
            ("who", "[]"),
            ("embedding", "null"),
            ("encoding_confidence", "1"),
            ("metadata", "{}"),
            ("stream", "null"),
        ] {
            let line = format!(r#"{{"{field}":{value},"{field}":{value}}}"#);
            refused(&line, &format!("duplicate field `{field}`"));
        }
    }

    fn metadata(written: &str) -> String {
        format!(r#"{{"id":"a","what":"","metadata":{written}}}"#)
    }

    #[test]
    fn metadata_is_refused_by_key() {
        for value in ["null", "[1]", r#"{"y":1}"#] {
            refused(
                &metadata(&format!(r#"{{"x":{value}}}"#)),
                "field `metadata`: `x`: expected text, true, false or a number at line 1",
            );
        }
        for value in [
            "9223372036854775808",
            "-9223372036854775809",
            "18446744073709551616",
            "100000000000000000000000",
        ] {
            refused(
                &metadata(&format!(r#"{{"n":{value}}}"#)),
                "field `metadata`: `n`: a whole number beyond 64 bits",
            );
        }
        refused(
            &metadata(r#"{"a":1,"b":2,"\u0061":1}"#),
            "field `metadata`: `a`: named twice",
        );
        refused(
            &metadata(r#"{"n":1e999}"#),
            "field `metadata`: `n`: number out of range at line 1",
        );
        refused(&metadata(r#"{"t":"\ud800"}"#), "field `metadata`: `t`: ");
        refused(&metadata("7"), "field `metadata`: invalid type: integer");
        refused(&metadata(r#"{"n":01}"#), "field `metadata`: ");
    }

    #[test]
    fn metadata_numbers_keep_their_kind() {
        for (written, value) in [
            ("9223372036854775807", Value::Int(i64::MAX)),
            ("-9223372036854775808", Value::Int(i64::MIN)),
            ("1e3", Value::Float(1e3)),
            ("1E+20", Value::Float(1e20)),
            ("-2.5", Value::Float(-2.5)),
            (r#""\n\"1""#, Value::Text("\n\"1".to_owned())),
            (" true ", Value::Bool(true)),
        ] {
            let line = metadata(&format!(r#"{{"x":{written}}}"#));
            let EpisodeLine(episode) = serde_json::from_str(&line).unwrap();
            assert_eq!(episode.metadata.get("x"), Some(&value), "{written}");
        }
    }
}
