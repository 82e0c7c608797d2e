//! What a run prints: a table for people, or one JSON object per gate and line for machines.

use std::io::{Result, Write};

use serde::Serialize;

use crate::gate::Kind;
use crate::verdict::{Outcome, Verdict};

/// One line of `--json`. The names are promised to whoever reads it.
#[derive(Serialize)]
struct Line<'a> {
    gate: &'a str,
    kind: Kind,
    measured: Option<f64>,
    low: Option<f64>,
    high: Option<f64>,
    required: f64,
    baseline: &'a str,
    verdict: Verdict,
}

/// Writes one gate as a JSON object on a line of its own.
pub fn write_json(to: &mut impl Write, outcome: &Outcome) -> Result<()> {
    let line = Line {
        gate: &outcome.gate,
        kind: outcome.kind,
        measured: outcome.estimate.map(|estimate| estimate.median),
        low: outcome.estimate.map(|estimate| estimate.low),
        high: outcome.estimate.map(|estimate| estimate.high),
        required: outcome.required,
        baseline: &outcome.baseline,
        verdict: outcome.verdict,
    };
    serde_json::to_writer(&mut *to, &line)?;
    writeln!(to)
}

/// Writes why a gate did not pass, for a person who reads beside the JSON lines.
pub fn write_note(to: &mut impl Write, outcome: &Outcome) -> Result<()> {
    if outcome.verdict == Verdict::Pass || outcome.note.is_empty() {
        return Ok(());
    }
    writeln!(to, "{}: {}", outcome.gate, outcome.note)
}

/// Writes the heading of the table that [`write_row`] fills.
pub fn write_heading(to: &mut impl Write) -> Result<()> {
    writeln!(
        to,
        "{:<13} {:<28} {:>8}  {:^17} {:>8}  baseline",
        "verdict", "gate", "measured", "95% bounds", "required"
    )
}

/// Writes one gate as a row of the table, its note on a line below.
pub fn write_row(to: &mut impl Write, outcome: &Outcome) -> Result<()> {
    let (measured, bounds) = match outcome.estimate {
        Some(estimate) => (
            format!("{:.3}", estimate.median),
            format!("{:.3} .. {:.3}", estimate.low, estimate.high),
        ),
        None => ("-".to_owned(), "-".to_owned()),
    };
    writeln!(
        to,
        "{:<13} {:<28} {measured:>8}  {bounds:^17} {:>8.3}  {}",
        verdict_word(outcome.verdict),
        outcome.gate,
        outcome.required,
        outcome.baseline,
    )?;
    if !outcome.note.is_empty() {
        writeln!(to, "{:<13} {}", "", outcome.note)?;
    }
    to.flush() // Gates take seconds each; a person wants to see them come in.
}

/// Writes how many gates ended how.
pub fn write_summary(to: &mut impl Write, outcomes: &[Outcome]) -> Result<()> {
    let of = |verdict| {
        let alike = outcomes.iter().filter(|outcome| outcome.verdict == verdict);
        alike.count()
    };
    writeln!(
        to,
        "{} gates: {} pass, {} fail, {} beyond this processor, {} unmeasurable, {} skipped",
        outcomes.len(),
        of(Verdict::Pass),
        of(Verdict::Fail),
        of(Verdict::Beyond),
        of(Verdict::Unmeasurable),
        of(Verdict::Skipped)
    )
}

fn verdict_word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "pass",
        Verdict::Fail => "FAIL",
        Verdict::Beyond => "beyond",
        Verdict::Unmeasurable => "unmeasurable",
        Verdict::Skipped => "skipped",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Estimate;

    fn outcome(estimate: Option<Estimate>, verdict: Verdict) -> Outcome {
        Outcome {
            gate: "index.exact_scan".to_owned(),
            kind: Kind::Ratio,
            estimate,
            required: 0.85,
            held_to: 0.85,
            baseline: "read".to_owned(),
            verdict,
            note: "15 pairs".to_owned(),
        }
    }

    fn written(write: impl Fn(&mut Vec<u8>) -> Result<()>) -> String {
        let mut to = Vec::new();
        write(&mut to).unwrap();
        String::from_utf8(to).unwrap()
    }

    #[test]
    fn json_is_one_object_with_the_promised_names() {
        let estimate = Estimate {
            median: 0.9,
            low: 0.875,
            high: 1.0,
        };
        let outcome = outcome(Some(estimate), Verdict::Pass);
        assert_eq!(
            written(|to| write_json(to, &outcome)),
            "{\"gate\":\"index.exact_scan\",\"kind\":\"ratio\",\"measured\":0.9,\"low\":0.875,\
             \"high\":1.0,\"required\":0.85,\"baseline\":\"read\",\"verdict\":\"pass\"}\n"
        );
    }

    #[test]
    fn what_was_not_measured_is_null() {
        let text = written(|to| write_json(to, &outcome(None, Verdict::Skipped)));
        assert!(text.contains("\"measured\":null,\"low\":null,\"high\":null"));
        assert!(text.contains("\"verdict\":\"skipped\""));
    }

    #[test]
    fn notes_say_why_a_gate_did_not_pass() {
        let note = |verdict| written(|to| write_note(to, &outcome(None, verdict)));
        assert_eq!(note(Verdict::Fail), "index.exact_scan: 15 pairs\n");
        assert_eq!(note(Verdict::Pass), "");
    }

    #[test]
    fn rows_line_up_with_their_heading() {
        let row = written(|to| write_row(to, &outcome(None, Verdict::Fail)));
        let heading = written(write_heading);
        assert_eq!(row.find("read"), heading.find("baseline"));
        assert!(row.starts_with("FAIL ") && row.ends_with("15 pairs\n"));
    }

    #[test]
    fn summaries_count_every_verdict() {
        let outcomes = [
            Verdict::Pass,
            Verdict::Pass,
            Verdict::Fail,
            Verdict::Beyond,
            Verdict::Skipped,
        ]
        .map(|verdict| outcome(None, verdict));
        assert_eq!(
            written(|to| write_summary(to, &outcomes)),
            "5 gates: 2 pass, 1 fail, 1 beyond this processor, 0 unmeasurable, 1 skipped\n"
        );
    }
}
