//! Answers as lines, and what they came to.

use cortica::{
    Answer, Answered, AssociateOutcome, BatchSummary, ErrorKind, Hit, ItemError, Stats,
    StoreOutcome, Stored, StoredColumn,
};
use serde_json::{Map, Value, json};

use crate::batch::places::Places;
use crate::figures::{bytes, count, per_second, plain};
use crate::output::{Out, Outcome};

/// Results of a recall that are written for people.
const SHOWN_MAX: usize = 5;

#[derive(Debug)]
pub(crate) struct Report {
    failed: u64,
    /// The last line that was dealt with.
    last: Option<u64>,
    places: Places,
}

impl Report {
    /// Of operations from these lines.
    pub(crate) fn of(places: Places) -> Self {
        Self {
            failed: 0,
            last: None,
            places,
        }
    }

    /// Writes the answer to the operation with this number, which counts from 0.
    pub(crate) fn add(
        &mut self,
        number: u64,
        answer: &Answer,
        out: &mut Out,
    ) -> anyhow::Result<()> {
        let line = self.places.line(number);
        self.failed += u64::from(answer.is_err());
        let kind = answer.as_ref().err().map(ItemError::kind);
        if !kind.is_some_and(ErrorKind::ends_the_batch) {
            self.last = Some(line);
        }
        if out.json() {
            return out.object(&object(line, answer, &self.places));
        }
        out.line(format!("{line:>6}  {}", words(answer, &self.places)))
    }

    /// Writes the totals, and where it ended before the file did.
    pub(crate) fn finish(
        &self,
        summary: &BatchSummary,
        stats: &Stats,
        out: &mut Out,
    ) -> anyhow::Result<()> {
        let outcomes = summary.outcomes.iter();
        let outcomes: Map<String, Value> = outcomes
            .map(|(outcome, count)| (outcome.name().to_owned(), json!(count)))
            .collect();
        let errors = summary.errors.iter();
        let errors: Map<String, Value> = errors
            .map(|(kind, count)| (kind.name().to_owned(), json!(count)))
            .collect();
        if let Some(kind) = summary.ended_by {
            let place = self
                .last
                .map_or_else(String::new, |line| format!(" behind line {line}"));
            out.note(match kind {
                ErrorKind::TimedOut => format!(
                    "the time was up: nothing{place} was done; raise --timeout, or give the rest to another run"
                ),
                kind => format!(
                    "ended early ({}): nothing{place} was done; give the rest to another run",
                    kind.name()
                ),
            });
        }
        let rate = per_second(summary.operations, summary.wall);
        let all: Vec<String> = summary
            .outcomes
            .iter()
            .map(|(outcome, n)| format!("{} {}", count(*n), outcome.name().replace('_', " ")))
            .collect();
        let rate_said = rate.map_or_else(String::new, |rate| {
            format!(" ({} a second)", count(rate as u64))
        });
        out.line(format!(
            "{} operations in {:.2} s{rate_said}: {}",
            count(summary.operations),
            summary.wall.as_secs_f64(),
            all.join(", ")
        ))?;
        out.line(format!(
            "at most {} in operations and answers; what was written is {}; the store holds {} episodes",
            bytes(summary.peak_bytes as u64),
            stats.durability,
            count(stats.episodes)
        ))?;
        out.object(&json!({ "summary": {
            "operations": summary.operations,
            "applied": summary.applied,
            "outcomes": outcomes,
            "errors": errors,
            "ended_by": summary.ended_by.map(ErrorKind::name),
            "peak_bytes": summary.peak_bytes,
            "peak_pressure": format!("{:?}", summary.peak_pressure).to_lowercase(),
            "isa": summary.isa.to_string(),
            "seconds": summary.wall.as_secs_f64(),
            "operations_s": rate,
            "durability": stats.durability.to_string(),
            "episodes": stats.episodes,
        }}))
    }

    pub(crate) fn outcome(&self, summary: &BatchSummary) -> Outcome {
        if self.failed == 0 && summary.ended_by.is_none() {
            Outcome::Done
        } else {
            Outcome::Failed
        }
    }
}

/// What went wrong, with the lines of this file where it names operations by their numbers.
fn said(error: &ItemError, places: &Places) -> String {
    match error {
        ItemError::Undone { item } => {
            let line = places.line(*item as u64);
            format!("not done, because line {line} was refused; correct that one, or leave it out")
        }
        error => error.to_string(),
    }
}

fn object(line: u64, answer: &Answer, places: &Places) -> Value {
    match answer {
        Ok(Answered::Stored(stored)) => json!({ "line": line, "stored": of_stored(stored) }),
        Ok(Answered::Allocated(stored)) => json!({ "line": line, "allocated": of_stored(stored) }),
        Ok(Answered::Recalled(hits)) => json!({ "line": line, "recalled": of_hits(hits) }),
        Ok(Answered::Similar(hits)) => json!({ "line": line, "similar": of_hits(hits) }),
        Ok(Answered::Associated(linked)) => json!({ "line": line, "associated": {
            "outcome": linked_as(linked.outcome),
            "durability": linked.durability.to_string(),
        }}),
        Ok(Answered::Forgotten(forgotten)) => json!({ "line": line, "forgotten": {
            "seq": forgotten.seq,
            "durability": forgotten.durability.to_string(),
        }}),
        Ok(_) => json!({ "line": line }),
        Err(error) => json!({
            "line": line,
            "error": said(error, places),
            "kind": error.kind().name(),
        }),
    }
}

fn of_stored(stored: &Stored) -> Value {
    let (outcome, of) = stored_as(&stored.outcome);
    let column = match &stored.allocation {
        Some(StoredColumn::Allocated { column, .. }) => Some(column.get()),
        _ => None,
    };
    json!({
        "seq": stored.seq,
        "outcome": outcome,
        "of": of,
        "activation": stored.activation.get(),
        "column": column,
        "durability": stored.durability.to_string(),
    })
}

fn of_hits(hits: &[Hit]) -> Vec<Value> {
    let each = |hit: &Hit| {
        let mut value = json!({ "id": &*hit.id, "seq": hit.seq, "score": hit.score });
        if let (Some(vector), Some(fields)) = (&hit.vector, value.as_object_mut()) {
            fields.insert("embedding".to_owned(), json!(vector));
        }
        value
    };
    hits.iter().map(each).collect()
}

fn stored_as(outcome: &StoreOutcome) -> (&'static str, Option<&str>) {
    match outcome {
        StoreOutcome::Stored => ("stored", None),
        StoreOutcome::Updated => ("updated", None),
        StoreOutcome::Reinforced { of } => ("reinforced", Some(of)),
        _ => ("there", None),
    }
}

fn linked_as(outcome: AssociateOutcome) -> &'static str {
    match outcome {
        AssociateOutcome::Added => "linked",
        AssociateOutcome::Reweighted => "reweighted",
        AssociateOutcome::AlreadyThere => "already_linked",
        _ => "there",
    }
}

fn words(answer: &Answer, places: &Places) -> String {
    match answer {
        Ok(Answered::Stored(stored) | Answered::Allocated(stored)) => {
            let (outcome, of) = stored_as(&stored.outcome);
            let of = of.map(|of| format!(" {}", plain(of))).unwrap_or_default();
            let column = match &stored.allocation {
                Some(StoredColumn::Allocated { column, .. }) => format!(", {column}"),
                Some(StoredColumn::Duplicate { of, .. }) => {
                    format!(", the same concept as {}", plain(of))
                }
                Some(StoredColumn::NoSuitableColumn) => ", no column is free".to_owned(),
                _ => String::new(),
            };
            format!("{outcome}{of} (seq {}){column}", stored.seq)
        }
        Ok(Answered::Recalled(hits) | Answered::Similar(hits)) => {
            let shown = hits.iter().take(SHOWN_MAX);
            let shown: Vec<String> = shown
                .map(|hit| format!("{} {:.4}", plain(&hit.id), hit.score))
                .collect();
            let more = hits.len().saturating_sub(SHOWN_MAX);
            let more = match more {
                0 => String::new(),
                more => format!(" and {} more", count(more as u64)),
            };
            format!("{} found: {}{more}", hits.len(), shown.join(", "))
        }
        Ok(Answered::Associated(linked)) => linked_as(linked.outcome).replace('_', " "),
        Ok(Answered::Forgotten(forgotten)) => format!("forgotten (seq {})", forgotten.seq),
        Ok(_) => "done".to_owned(),
        Err(error) => format!("failed: {}", plain(&said(error, places))),
    }
}
