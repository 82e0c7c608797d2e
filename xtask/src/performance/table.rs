//! Tables of what was measured: every gate and figure in docs/performance.md, some in the README.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result};

use super::figures::{Aim, FIGURES, Unit};
use super::{Figures, Gate, PATH, Reached, Report};
use crate::marked;
use crate::tidy::{Finding, Tree};

const PAGE: &str = "docs/performance.md";
const README: &str = "README.md";
const FROM: &str = "<!-- measured: made by `cargo xtask perf-check --record` -->\n";
const TO: &str = "<!-- end of measured -->\n";

/// Gates that the README shows, where they were measured: one or two of each part, in its words.
const SHOWN: [(&str, &str); 18] = [
    (
        "queue.mpmc.4p4c",
        "a queue, four threads pushing and four popping",
    ),
    ("queue.many", "a queue, 32 items at a time, per item"),
    ("reclaim.read", "reading under reclamation"),
    ("simd.dot", "dot product, 768 values"),
    ("simd.tile16", "16 queries x 10,000 rows"),
    ("simd.two_stage", "search in two stages"),
    ("arena.pool", "a pool's get and put"),
    ("neural.all", "all three networks, one sample"),
    ("index.f32", "index, f32, at recall@10 0.955"),
    ("index.quantised", "index, codes, at recall@10 0.955"),
    ("index.build", "building the index"),
    ("index.batch", "index, many queries at once"),
    ("storage.durable_lmdb", "durable commits of 1,000 episodes"),
    ("storage.durable_batch", "a durable batch of 1,000"),
    ("storage.recovery", "recovery of a store"),
    ("batch.similarity", "1,000 searches in a batch"),
    (
        "allocation.two_threads",
        "allocation on two threads (2 is perfect)",
    ),
    (
        "recall.two_threads",
        "recalls on two threads (2 is perfect)",
    ),
];

/// All gates and figures, a chapter for each kind of machine.
fn page(report: &Report) -> String {
    let mut text = String::from(
        "\nRatios are times as good as the baseline, also where a bar is an upper one (`<= x` asks for 1 / x or more); \
         counts are as they are. Bold is what misses its bar.\n",
    );
    for machine in &report.machines {
        let Reached {
            cpu,
            cores,
            isa,
            os,
            ..
        } = machine;
        // Into a string, here and below: cannot fail.
        let _ = writeln!(text, "\n### {cpu}, {cores} cores, {isa}, {os}\n");
        let _ = writeln!(
            text,
            "Gates, by `cargo xtask perf-check --data DIR --record`:\n"
        );
        text.push_str("| gate | against | bar | measured | bounds | verdict | commit |\n");
        text.push_str("|---|---|---|---|---|---|---|\n");
        for (name, gate) in &machine.gates {
            let _ = writeln!(
                text,
                "| `{name}` | {} | {} | {} | {} | {} | {} |",
                gate.baseline,
                gate.bar,
                gate.shown(),
                gate.bounds(),
                gate.verdict,
                gate.commit
            );
        }
        if let Some(figures) = &machine.figures {
            of_figures(&mut text, figures);
        }
    }
    text
}

fn of_figures(text: &mut String, figures: &Figures) {
    let number = |name: &str| figures.report[name].as_u64().unwrap_or_default();
    let _ = writeln!(
        text,
        "\nFigures of {} rows of {} numbers, by `cortica bench --data DIR --json` at commit {} (`cargo xtask figures --data DIR`):\n",
        marked::grouped(number("n")),
        number("d"),
        figures.commit
    );
    text.push_str("| figure | measured | aim |\n|---|---|---|\n");
    for figure in &FIGURES {
        let Some(value) = figure.of(&figures.report) else {
            let _ = writeln!(text, "| {} | not measured | |", figure.what);
            continue;
        };
        let (shown, aim) = match &figure.aim {
            None => (figure.unit.show(value), String::new()),
            Some(Aim::AtLeast(aim)) => (
                bold_if(value < *aim, figure.unit.show(value)),
                format!("at least {}", figure.unit.show(*aim)),
            ),
            Some(Aim::AtMost(aim)) => (
                bold_if(value > *aim, figure.unit.show(value)),
                format!("at most {}", figure.unit.show(*aim)),
            ),
        };
        let _ = writeln!(text, "| {} | {shown} | {aim} |", figure.what);
    }
}

/// The README's rows, from the machine of which most is known.
fn rows(report: &Report) -> String {
    let Some(machine) = report
        .machines
        .iter()
        .max_by_key(|machine| machine.gates.len())
    else {
        return "Nothing was recorded yet.\n".to_owned();
    };
    let mut text = String::from("| what | against | times as good | bar |\n|---|---|---|---|\n");
    for (name, what) in SHOWN {
        if let Some(gate) = machine.gates.get(name) {
            let _ = writeln!(
                text,
                "| {what} | {} | {} | {} |",
                gate.baseline,
                gate.shown(),
                gate.bar
            );
        }
    }
    let _ = writeln!(
        text,
        "\nMeasured on {}, {} cores, {}; bold misses its bar. [All gates and figures](docs/performance.md), with commits and \
         bounds.",
        machine.cpu, machine.cores, machine.isa
    );
    text
}

impl Gate {
    /// Bold where the bar is missed.
    fn shown(&self) -> String {
        bold_if(!self.is_met(), number(self.measured))
    }

    fn bounds(&self) -> String {
        if self.low == self.high {
            return String::new();
        }
        format!("{} to {}", number(self.low), number(self.high))
    }

    /// By its median; what is unmeasurable is no bar met, and the verdict says so.
    fn is_met(&self) -> bool {
        let bar = |prefix: &str| self.bar.strip_prefix(prefix)?.trim().parse::<f64>().ok();
        let is_ratio = matches!(self.kind.as_str(), "ratio" | "scaling");
        let at_most = |bar: f64| {
            if is_ratio {
                self.measured >= bar.recip()
            } else {
                self.measured <= bar
            }
        };
        match (bar(">="), bar("<="), bar("==")) {
            (Some(bar), ..) => self.measured >= bar,
            (_, Some(bar), _) => at_most(bar),
            (.., Some(bar)) => self.measured == bar,
            _ => self.measured >= 1.0, // Parity.
        }
    }
}

impl Unit {
    fn show(self, value: f64) -> String {
        match self {
            Unit::PerSecond => format!("{}/s", marked::grouped(value.round() as u64)),
            Unit::Micros if value < 1e3 => format!("{value:.0} us"),
            Unit::Micros => format!("{:.2} ms", value / 1e3),
            Unit::Share => format!("{value:.4}"),
        }
    }
}

fn number(value: f64) -> String {
    if value.fract() == 0.0 || value >= 1_000.0 {
        marked::grouped(value.round() as u64)
    } else if value >= 100.0 {
        format!("{value:.1}")
    } else if value >= 10.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.3}")
    }
}

fn bold_if(bold: bool, text: String) -> String {
    if bold { format!("**{text}**") } else { text }
}

/// Puts the tables where they belong.
pub(crate) fn write(root: &Path, report: &Report) -> Result<()> {
    for (path, table) in [(PAGE, page(report)), (README, rows(report))] {
        let text = std::fs::read_to_string(root.join(path));
        let text = text.with_context(|| format!("cannot read {path}"))?;
        let (before, _, after) = marked::around(&text, FROM, TO)
            .with_context(|| format!("{path} has no place for what was measured"))?;
        std::fs::write(root.join(path), format!("{before}{table}{after}"))?;
    }
    Ok(())
}

/// The tables must show what the report says.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let Some(report) = tree.text(PATH) else {
        let what = "is missing: run `cargo xtask perf-check --record`";
        return vec![Finding::of_file(PATH, what)];
    };
    let report = match Report::parse(report) {
        Ok(report) => report,
        Err(error) => return vec![Finding::of_file(PATH, format!("{error:#}"))],
    };
    let gates = [
        "benches/gates.toml",
        "benches/gates/queue.toml",
        "benches/gates/batch.toml",
    ]
    .map(|path| tree.text(path));
    let is_gate = |name: &str| {
        let quoted = format!("\"{name}\"");
        gates.iter().flatten().any(|text| text.contains(&quoted))
    };
    let unknown = SHOWN.iter().filter(|(name, _)| !is_gate(name));
    let unknown = unknown.map(|(name, _)| {
        Finding::of_file(
            README,
            format!("would show the gate `{name}`, which there is not"),
        )
    });
    let mut findings: Vec<_> = unknown.collect();
    for (path, table) in [(PAGE, page(&report)), (README, rows(&report))] {
        let shown = tree
            .text(path)
            .and_then(|text| marked::around(text, FROM, TO));
        let what = match shown {
            None => "has no place for what was measured",
            Some((_, shown, _)) if shown != table => {
                "shows another table than docs/reports/performance.json gives: run `cargo xtask figures --table`"
            }
            Some(_) => continue,
        };
        findings.push(Finding::of_file(path, what));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = r#"{"machines":[{"cpu":"c","cores":2,"isa":"avx2","os":"o","gates":{
        "simd.dot":{"kind":"ratio","baseline":"SimSIMD","bar":">= 1.5","measured":1.4,"low":1.3,
            "high":1.6,"verdict":"pass","commit":"abc"},
        "queue.many":{"kind":"ratio","baseline":"one by one","bar":"<= 1.25","measured":0.81,
            "low":0.8,"high":0.82,"verdict":"pass","commit":"abc"},
        "count.bytes":{"kind":"count","baseline":"bytes","bar":"<= 5000","measured":4076,"low":4076,
            "high":4076,"verdict":"pass","commit":"abc"}},
        "figures":{"commit":"def","report":{"n":5000,"d":3,"exact":{"p50_us":1500.5},
            "store":{"burst_rows_s":150000}}}}]}"#;

    fn report() -> Report {
        Report::parse(REPORT).unwrap()
    }

    #[test]
    fn pages_show_every_gate_and_figure_and_what_misses_its_bar() {
        let page = page(&report());
        for row in [
            "| `simd.dot` | SimSIMD | >= 1.5 | **1.400** | 1.300 to 1.600 | pass | abc |",
            "| `queue.many` | one by one | <= 1.25 | 0.810 | 0.800 to 0.820 | pass | abc |",
            "| `count.bytes` | bytes | <= 5000 | 4,076 |  | pass | abc |",
            "| rows stored a second, buffered, 1,000 a batch | **150,000/s** | at least 200,000/s |",
            "| exact recall, P50 | 1.50 ms |  |",
            "| exact recall, P99 | not measured | |",
        ] {
            assert!(page.contains(row), "{row} in\n{page}");
        }
    }

    #[test]
    fn the_readme_shows_some_in_words() {
        let rows = rows(&report());
        let row = "| dot product, 768 values | SimSIMD | **1.400** | >= 1.5 |";
        assert!(
            rows.contains(row) && !rows.contains("count.bytes"),
            "{rows}"
        );
    }

    #[test]
    fn other_tables_are_found() {
        let tables = [page(&report()), rows(&report())];
        let found = |tables: &[String; 2]| {
            let [page, rows] = tables.each_ref().map(|table| format!("{FROM}{table}{TO}"));
            check(&Tree::of(&[(PATH, REPORT), (PAGE, &page), (README, &rows)])).len()
        };
        let found = |tables: &[String; 2]| found(tables) - SHOWN.len(); // There are no gates here.
        assert_eq!(found(&tables), 0);
        assert_eq!(
            found(&[tables[0].replace("1.400", "1.600"), tables[1].clone()]),
            1
        );
        assert_eq!(found(&[tables[0].clone(), String::new()]), 1);
        assert_eq!(check(&Tree::of(&[])).len(), 1);
    }
}
