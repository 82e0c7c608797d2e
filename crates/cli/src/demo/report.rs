//! What the demo found, as JSON and for people.

use std::path::Path;

use cortica::Cortica;
use serde_json::{Value, json};

use crate::bundle::{Bundle, Query};
use crate::demo::recall::{BATCH, K, Meant, RecallFigures};
use crate::demo::store::{Reopened, Stored};
use crate::figures::{aligned, bytes, clipped, count, micros, per_second, rounded};
use crate::machine::Machine;
use crate::map::Drawn;
use crate::recalled;

const TEXT_WIDTH: usize = 84;
const ROWS_SHOWN: usize = 5;
const RELATIONS_SHOWN: usize = 4;

pub(crate) struct Report<'a> {
    pub(crate) dir: &'a Path,
    pub(crate) bundle: &'a Bundle,
    pub(crate) memory: &'a Cortica,
    pub(crate) stored: Stored,
    pub(crate) reopened: Reopened,
    pub(crate) drawn: Drawn,
    pub(crate) recalled: RecallFigures,
}

impl Report<'_> {
    pub(crate) fn object(&self) -> Value {
        let Self {
            stored,
            reopened,
            recalled,
            ..
        } = self;
        let kinds: serde_json::Map<String, Value> = recalled
            .meant
            .iter()
            .chain([&recalled.meant_in_all()])
            .map(|meant| (meant.kind.clone(), json!(meant.share())))
            .collect();
        json!({
            "dir": self.dir.display().to_string(),
            "was_complete": self.was_complete(),
            "machine": Machine::here(reopened.stats.isa),
            "store": {
                "episodes": reopened.stats.episodes,
                "episodes_found": stored.episodes_found,
                "episodes_stored": stored.episodes,
                "episodes_s": self.episodes_s(),
                "associations": reopened.stats.associations,
                "associations_stored": stored.associations,
                "durability": stored.durability.to_string(),
                "bytes": reopened.bytes,
            },
            "allocation": {
                "allocated": stored.allocated,
                "duplicates": stored.duplicates,
                "held": self.drawn.held,
                "sides": self.drawn.sides,
                "map": self.drawn.file,
            },
            "reopen": {
                "seconds": reopened.time.as_secs_f64(),
                "records": reopened.stats.recovery.records,
                "dropped_tail_bytes": reopened.stats.recovery.dropped_tail_bytes,
            },
            "recall": {
                "queries": recalled.answers.len(),
                "batch": BATCH,
                "recall_at_10": recalled.recall_at_10,
                "meant_in_first_10": kinds,
                "queries_s": recalled.queries_s,
                "p50_us": recalled.p50_us,
                "p99_us": recalled.p99_us,
            },
            "examples": self.examples().into_iter().map(|i| {
                let query = &self.bundle.queries[i];
                json!({
                    "query": query.text,
                    "kind": query.kind,
                    "meant": self.bundle.concepts[query.source].id,
                    "results": recalled.answers[i].iter().map(recalled::Result::from).collect::<Vec<_>>(),
                })
            }).collect::<Vec<_>>(),
        })
    }

    pub(crate) fn text(&self) -> String {
        let parts = [
            self.text_of_store(),
            self.text_of_recall(),
            self.text_of_examples(),
            self.text_of_next(),
        ];
        parts.join("\n\n")
    }

    fn was_complete(&self) -> bool {
        self.stored.episodes == 0 && self.stored.associations == 0
    }

    /// Nothing, when there was nothing left to store.
    fn episodes_s(&self) -> Option<f64> {
        per_second(self.stored.episodes, self.stored.episodes_time).filter(|rate| *rate > 0.0)
    }

    fn text_of_store(&self) -> String {
        let Self {
            stored,
            reopened,
            bundle,
            ..
        } = self;
        let mut lines = vec![format!(
            "{} concepts of WordNet, {} numbers each, in {}",
            count(bundle.concepts.len() as u64),
            bundle.dimension,
            self.dir.display()
        )];
        if self.was_complete() {
            lines.push(
                "the demo's store is there already and complete; nothing was stored".to_owned(),
            );
        } else {
            if stored.episodes_found > 0 {
                lines.push(format!(
                    "an earlier run was interrupted: {} episodes were there, the rest was added",
                    count(stored.episodes_found)
                ));
            }
            let rate = self.episodes_s().map_or_else(String::new, |rate| {
                format!(", {} episodes/s", rounded(rate))
            });
            lines.push(format!(
                "stored {} episodes in {:.2} s{rate}, {}",
                count(stored.episodes),
                stored.episodes_time.as_secs_f64(),
                stored.durability
            ));
            lines.push(format!(
                "{} were given a column of their own, {} mean what another one means",
                count(stored.allocated),
                count(stored.duplicates)
            ));
            lines.push(format!(
                "stored {} associations in {:.2} s, {}",
                count(stored.associations),
                stored.associations_time.as_secs_f64(),
                stored.durability
            ));
        }
        lines.push(format!(
            "closed; reopened from disk in {}: {} episodes, {} associations, {} on disk",
            micros(reopened.time.as_secs_f64() * 1e6),
            count(reopened.stats.episodes),
            count(reopened.stats.associations),
            bytes(reopened.bytes)
        ));
        let sides = self.drawn.sides.map(u64::from);
        lines.push(format!(
            "{} of {} columns hold a concept, like ones near each other: see {}",
            count(self.drawn.held),
            count(sides.iter().product()),
            self.drawn.file
        ));
        lines.join("\n")
    }

    fn text_of_recall(&self) -> String {
        let recalled = &self.recalled;
        let share = |meant: &Meant| {
            format!(
                "{:.1}%  ({} of {})",
                100.0 * meant.share(),
                meant.hits,
                meant.queries
            )
        };
        let or_none = |figure: Option<String>| figure.unwrap_or_else(|| "not measured".to_owned());
        let kinds: Vec<(String, String)> = recalled
            .meant
            .iter()
            .map(|meant| {
                (
                    format!("  asked by {}", kind_in_words(&meant.kind)),
                    share(meant),
                )
            })
            .collect();
        let mut rows = vec![
            (
                "recall@10 against exact neighbours",
                format!("{:.3}", recalled.recall_at_10),
            ),
            (
                "concept meant in the first ten",
                share(&recalled.meant_in_all()),
            ),
        ];
        rows.extend(
            kinds
                .iter()
                .map(|(name, value)| (name.as_str(), value.clone())),
        );
        rows.extend([
            (
                "queries per second, in batches",
                or_none(recalled.queries_s.map(rounded)),
            ),
            ("one query alone, P50", or_none(recalled.p50_us.map(micros))),
            ("one query alone, P99", or_none(recalled.p99_us.map(micros))),
        ]);
        let queries = count(recalled.answers.len() as u64);
        let machine = Machine::here(self.reopened.stats.isa);
        format!(
            "{queries} queries for {K} results, {BATCH} queries a batch\n{}\n  on {machine}",
            aligned(&rows)
        )
    }

    /// The first query of each kind: nobody picked them for looking good.
    fn examples(&self) -> Vec<usize> {
        let kinds = self.recalled.meant.iter();
        kinds
            .filter_map(|meant| {
                self.bundle
                    .queries
                    .iter()
                    .position(|q| q.kind == meant.kind)
            })
            .collect()
    }

    fn text_of_examples(&self) -> String {
        let examples = self.examples();
        examples
            .into_iter()
            .map(|i| self.text_of_example(i))
            .collect::<Vec<_>>()
            .join("\n\n")
    }

    fn text_of_example(&self, i: usize) -> String {
        let query = &self.bundle.queries[i];
        let Query {
            text, kind, source, ..
        } = query;
        let meant = &self.bundle.concepts[*source].id;
        let results = &self.recalled.answers[i];
        let mut lines = vec![format!(
            "{}: \"{}\"",
            kind_in_words(kind),
            clipped(text, 100)
        )];
        for (row, recalled) in recalled::rows(results, TEXT_WIDTH)
            .into_iter()
            .zip(results)
            .take(ROWS_SHOWN)
        {
            let mark = if *recalled.memory.id == **meant {
                "  <- meant"
            } else {
                ""
            };
            lines.push(row + mark);
        }
        let place = results
            .iter()
            .position(|recalled| *recalled.memory.id == **meant);
        match place {
            Some(place) if place < ROWS_SHOWN => {}
            Some(place) => lines.push(format!(
                "      the concept meant, {meant}, came {}th",
                place + 1
            )),
            None => lines.push(format!(
                "      the concept meant, {meant}, is not among the first {K}"
            )),
        }
        if let Some(relations) = results
            .first()
            .and_then(|best| self.relations(&best.memory.id))
        {
            lines.push(format!("      the first one's relations: {relations}"));
        }
        lines.join("\n")
    }

    /// Where the associations of an episode lead.
    fn relations(&self, id: &str) -> Option<String> {
        let associations = self.memory.associations(id);
        let named: Vec<String> = associations
            .iter()
            .take(RELATIONS_SHOWN)
            .filter_map(|association| {
                let to = self.memory.get(&association.to)?;
                let name = to.what.split(':').next().unwrap_or_default();
                Some(format!(
                    "{}: {}",
                    self.bundle.relation_name(association.relation),
                    clipped(name, 30)
                ))
            })
            .collect();
        let more = associations.len().saturating_sub(RELATIONS_SHOWN);
        let more = if more > 0 {
            format!("; and {more} more")
        } else {
            String::new()
        };
        (!named.is_empty()).then(|| named.join("; ") + &more)
    }

    fn text_of_next(&self) -> String {
        // `cargo run` sets this for the program it runs, which is then not on the path.
        let cargo = std::env::var_os("CARGO").is_some();
        let cortica = if cargo {
            "cargo run --release --"
        } else {
            "cortica"
        };
        let dir = self.dir.display();
        let like = self
            .recalled
            .answers
            .first()
            .and_then(|answer| answer.first());
        let like = like.map_or("ID", |recalled| &recalled.memory.id);
        format!(
            "try next\n  {cortica} recall --store {dir} --like {like}\n  {cortica} stats --store \
             {dir}\n  {cortica} check --store {dir}\n  {cortica} ingest --help"
        )
    }
}

fn kind_in_words(kind: &str) -> &str {
    match kind {
        "example" => "a sentence that uses it",
        "lemma" => "its words alone",
        "gloss" => "its definition alone",
        other => other,
    }
}
