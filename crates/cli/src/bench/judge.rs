//! The answers held against the truth.

use anyhow::bail;
use cortica::{Cortica, Cue, Recalled};

use crate::bench::data::{Data, K_MAX, Nearest};
use crate::bench::measure::{BATCHES, K, cue};
use crate::bench::report::{Exact, Skipped};
use crate::output::Out;
use crate::truth::share_found;

/// Holds the answers against the truth; the figures of time are left to the caller.
pub(crate) fn judge(
    memory: &Cortica,
    data: &mut Data,
    answers: &[Vec<Recalled>],
    out: &Out,
    skipped: &mut Vec<Skipped>,
) -> anyhow::Result<Exact> {
    let brought = data.has_neighbours();
    let progress = out.progress(
        None,
        if brought {
            "judging"
        } else {
            "computing the truth"
        },
    );
    let nearest = data.nearest([K, K_MAX])?;
    let (asked, judged) = (data.queries.len(), nearest.len());
    if !brought {
        let why = format!(
            "no gt100.u32: the neighbours of the first {judged} of {asked} queries were computed \
             here in f64, and recall is over those"
        );
        skipped.push(Skipped {
            part: "exact.recall beyond computed neighbours",
            why,
        });
    }

    let hit_at_10 = hits(data, answers, skipped);
    let mut deep = Vec::with_capacity(judged);
    for queries in data.queries[..judged].chunks(BATCHES[0]) {
        let cues: Vec<Cue> = queries.iter().map(|query| cue(query, K_MAX)).collect();
        for answer in memory.recall_many(&cues) {
            deep.push(answer?);
        }
        progress.advance(queries.len() as u64);
    }
    let mut recall_at = |depth: usize, answers: &[Vec<Recalled>]| -> anyhow::Result<Option<f64>> {
        let mut sum = 0.0;
        for (query, nearest) in nearest.iter().enumerate() {
            let Some(Nearest { kth, count }) = nearest[depth] else {
                return Ok(None);
            };
            let mut rows = Vec::with_capacity(answers[query].len());
            for recalled in &answers[query] {
                rows.push(row_of(recalled)?);
            }
            rows.sort_unstable();
            rows.dedup();
            let scores: Result<Vec<f64>, _> =
                rows.into_iter().map(|row| data.score(query, row)).collect();
            sum += share_found(&scores?, kth, count);
        }
        Ok(Some(sum / judged as f64))
    };
    let (recall_at_10, recall_at_100) = (recall_at(0, answers)?, recall_at(1, &deep)?);
    for (part, figure) in [
        ("exact.recall_at_10", recall_at_10),
        ("exact.recall_at_100", recall_at_100),
    ] {
        if figure.is_none() {
            let why = "gt100.u32 names fewer neighbours than that".to_owned();
            skipped.push(Skipped { part, why });
        }
    }
    Ok(Exact {
        recall_at_10,
        recall_at_100,
        hit_at_10,
        qps_cpu: None,
        p50_us: None,
        p99_us: None,
    })
}

/// How often the source of a query is among its first ten.
fn hits(data: &Data, answers: &[Vec<Recalled>], skipped: &mut Vec<Skipped>) -> Option<f64> {
    let mut skip = |why: &str| {
        skipped.push(Skipped {
            part: "exact.hit_at_10",
            why: why.to_owned(),
        });
    };
    let Some(sources) = &data.sources else {
        skip("no queries.tsv: the row that a query means is not known");
        return None;
    };
    let meant: Vec<(usize, &Vec<Recalled>)> = sources
        .iter()
        .zip(answers)
        .filter_map(|(source, answer)| Some(((*source)?, answer)))
        .collect();
    if meant.is_empty() {
        skip("queries.tsv names no source row that is stored");
        return None;
    }
    let hit = |(source, answer): &&(usize, &Vec<Recalled>)| {
        answer
            .iter()
            .any(|recalled| row_of(recalled).is_ok_and(|row| row == *source))
    };
    Some(meant.iter().filter(hit).count() as f64 / meant.len() as f64)
}

/// Rows are stored under their numbers.
fn row_of(recalled: &Recalled) -> anyhow::Result<usize> {
    let id = &recalled.memory.id;
    match id.parse() {
        Ok(row) => Ok(row),
        Err(_) => bail!("recall gave an episode `{id}` that was never stored"),
    }
}
