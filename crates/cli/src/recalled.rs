//! A recalled episode as the answer shows it.

use std::collections::BTreeMap;

use cortica::{Recalled, Value};
use serde::Serialize;

use crate::{figures, when};

/// One result of a query, as JSON. Fields the episode does not have are left out.
#[derive(Debug, Serialize)]
pub(crate) struct Result<'a> {
    id: &'a str,
    seq: u64,
    score: f32,
    what: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    when: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<&'a str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    who: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<&'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadata: &'a BTreeMap<String, Value>,
    encoding_confidence: f32,
    activation: f32,
    stored_at: String,
}

impl<'a> From<&'a Recalled> for Result<'a> {
    fn from(recalled: &'a Recalled) -> Self {
        let memory = &recalled.memory;
        Self {
            id: &memory.id,
            seq: memory.seq,
            score: recalled.score,
            what: &memory.what,
            when: memory.when.map(|at| when::show(at.as_micros())),
            place: memory.place.as_deref(),
            who: &memory.who,
            stream: memory.stream.as_deref(),
            metadata: &memory.metadata,
            encoding_confidence: memory.encoding_confidence.get(),
            activation: memory.activation.get(),
            stored_at: when::show(memory.stored_at.as_micros()),
        }
    }
}

/// The results of a query as rows for people: rank, score, id and text.
pub(crate) fn rows(results: &[Recalled], width: usize) -> Vec<String> {
    let ids: Vec<String> = results
        .iter()
        .map(|r| figures::clipped(&r.memory.id, 32))
        .collect();
    let id_width = ids.iter().map(|id| id.chars().count()).max().unwrap_or(0);
    results
        .iter()
        .zip(ids)
        .enumerate()
        .map(|(i, (recalled, id))| {
            let what = figures::clipped(&recalled.memory.what, width);
            let row = format!("{:4}  {:.4}  {id:id_width$}  {what}", i + 1, recalled.score);
            row.trim_end().to_owned()
        })
        .collect()
}
