//! The queries of the demo, in batches and alone, held against the exact neighbours.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use cortica::{Cortica, Cue, Recalled};

use crate::bundle::Bundle;
use crate::figures::{per_second, percentile};
use crate::output::Out;
use crate::truth::{cosine, share_found};

pub(crate) const K: usize = 10;
pub(crate) const BATCH: usize = 16;

/// How often the concept meant was among the first ten.
#[derive(Clone, Debug)]
pub(crate) struct Meant {
    pub(crate) kind: String,
    pub(crate) queries: usize,
    pub(crate) hits: usize,
}

impl Meant {
    pub(crate) fn share(&self) -> f64 {
        self.hits as f64 / self.queries.max(1) as f64
    }
}

#[derive(Debug)]
pub(crate) struct RecallFigures {
    /// What each query found.
    pub(crate) answers: Vec<Vec<Recalled>>,
    pub(crate) recall_at_10: f64,
    pub(crate) meant: Vec<Meant>,
    pub(crate) queries_s: Option<f64>,
    pub(crate) p50_us: Option<f64>,
    pub(crate) p99_us: Option<f64>,
}

impl RecallFigures {
    /// Over all kinds of query.
    pub(crate) fn meant_in_all(&self) -> Meant {
        Meant {
            kind: "all".to_owned(),
            queries: self.meant.iter().map(|meant| meant.queries).sum(),
            hits: self.meant.iter().map(|meant| meant.hits).sum(),
        }
    }
}

pub(crate) fn run(memory: &Cortica, bundle: &Bundle, out: &Out) -> anyhow::Result<RecallFigures> {
    let cues: Vec<Cue> = bundle
        .queries
        .iter()
        .map(|query| Cue::embedding(query.embedding.clone()).max_results(K))
        .collect();
    let progress = out.progress(Some(2 * cues.len() as u64), "recalling");

    let mut answers = Vec::with_capacity(cues.len());
    let mut time = Duration::ZERO;
    for cues in cues.chunks(BATCH) {
        let started = Instant::now();
        let batch = memory.recall_many(cues);
        time += started.elapsed();
        for answer in batch {
            answers.push(answer.context("a bundled query was refused")?);
        }
        progress.advance(cues.len() as u64);
    }

    let mut latencies_us = Vec::with_capacity(cues.len());
    for (cue, in_batch) in cues.iter().zip(&answers) {
        let started = Instant::now();
        let alone = memory.recall(cue)?;
        latencies_us.push(started.elapsed().as_secs_f64() * 1e6);
        let key = |r: &Recalled| (r.memory.seq, r.score.to_bits());
        ensure!(
            alone.iter().map(key).eq(in_batch.iter().map(key)),
            "a query was answered differently in a batch than alone; please report this"
        );
        progress.advance(1);
    }
    latencies_us.sort_by(f64::total_cmp);

    Ok(RecallFigures {
        recall_at_10: recall_at_10(bundle, &answers)?,
        meant: meant(bundle, &answers),
        queries_s: per_second(cues.len() as u64, time),
        p50_us: percentile(&latencies_us, 0.50),
        p99_us: percentile(&latencies_us, 0.99),
        answers,
    })
}

/// The mean share of the ten exact neighbours that was found.
fn recall_at_10(bundle: &Bundle, answers: &[Vec<Recalled>]) -> anyhow::Result<f64> {
    let k = K.min(bundle.concepts.len());
    let mut sum = 0.0;
    for (query, answer) in answers.iter().enumerate() {
        let embedding = &bundle.queries[query].embedding;
        let score = |row: usize| cosine(embedding, bundle.row(row));
        let kth = score(bundle.neighbours.row(query)[k - 1] as usize);
        let mut rows = Vec::with_capacity(k);
        for recalled in answer {
            let id = &recalled.memory.id;
            rows.push(
                bundle
                    .row_of(id)
                    .with_context(|| format!("`{id}` is not bundled"))?,
            );
        }
        rows.sort_unstable();
        rows.dedup();
        let scores: Vec<f64> = rows.into_iter().map(score).collect();
        sum += share_found(&scores, kth, k);
    }
    Ok(sum / answers.len().max(1) as f64)
}

fn meant(bundle: &Bundle, answers: &[Vec<Recalled>]) -> Vec<Meant> {
    let mut kinds: Vec<Meant> = Vec::new();
    for (query, answer) in bundle.queries.iter().zip(answers) {
        let source = &bundle.concepts[query.source].id;
        let hit = answer
            .iter()
            .any(|recalled| *recalled.memory.id == **source);
        let at = kinds
            .iter()
            .position(|kind| kind.kind == query.kind)
            .unwrap_or_else(|| {
                kinds.push(Meant {
                    kind: query.kind.clone(),
                    queries: 0,
                    hits: 0,
                });
                kinds.len() - 1
            });
        kinds[at].queries += 1;
        kinds[at].hits += usize::from(hit);
    }
    kinds
}
