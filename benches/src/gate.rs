//! What is required: the gates of `gates.toml`, and of the files in `gates`.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use anyhow::{Context, Result, ensure};
use cortica_simd::{Extension, Isa, ParseExtensionError, ParseIsaError};
use serde::{Deserialize, Deserializer, Serialize};

/// What a gate measures. Declared in the order in which gates are run: a fast wrong answer is
/// not a result, so answers come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The share of right answers.
    Answer,
    /// A number of events, which does not vary.
    Count,
    /// Time of a baseline over time of the subject.
    Ratio,
    /// Speed-up over threads, measured against that of pure arithmetic.
    Scaling,
}

/// Which time a ratio is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Clock {
    /// The calling thread's processor time: what others do on the machine hardly shows.
    #[default]
    Cpu,
    /// Elapsed time, for what waits for a disk.
    Wall,
}

/// What a gate can lack on some machines; it is then skipped and listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Need {
    /// A larger folder of data than the bundled one.
    Data,
    /// A peer whose build takes long or needs more than a Rust compiler.
    Peers,
    /// The time and the quiet of a full run.
    Full,
}

/// One line of what we hold ourselves to.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gate {
    /// Its name, and that of the subject registered for it.
    pub name: String,
    /// What it measures.
    pub kind: Kind,
    /// What the subject is compared with, in words.
    pub baseline: String,
    /// The bar.
    pub required: Bar,
    /// Which time a ratio is made of; scaling is always elapsed time.
    #[serde(default)]
    pub clock: Clock,
    /// What must be there for it to run: one need, or several.
    #[serde(default, deserialize_with = "one_or_more")]
    pub needs: Vec<Need>,
    /// The instruction sets the bar is stated for; none named: all.
    #[serde(default)]
    pub isa: Vec<IsaName>,
    /// Instructions beyond those that the bar takes for granted.
    pub extension: Option<ExtensionName>,
}

impl Gate {
    /// Whether the bar says anything about a machine that uses this instruction set.
    #[must_use]
    pub fn is_stated_for(&self, isa: Isa) -> bool {
        let named = self.isa.is_empty() || self.isa.contains(&IsaName(isa));
        named && self.extension.is_none_or(|extension| isa.has(extension.0))
    }
}

fn one_or_more<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Need>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Needs {
        One(Need),
        More(Vec<Need>),
    }
    Ok(match Needs::deserialize(deserializer)? {
        Needs::One(need) => vec![need],
        Needs::More(needs) => needs,
    })
}

/// An instruction set by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct IsaName(pub Isa);

impl TryFrom<String> for IsaName {
    type Error = ParseIsaError;

    fn try_from(name: String) -> Result<IsaName, ParseIsaError> {
        name.parse().map(IsaName)
    }
}

/// An extension of an instruction set by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct ExtensionName(pub Extension);

impl TryFrom<String> for ExtensionName {
    type Error = ParseExtensionError;

    fn try_from(name: String) -> Result<ExtensionName, ParseExtensionError> {
        name.parse().map(ExtensionName)
    }
}

/// How a bar is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    AtLeast,
    AtMost,
    Exactly,
    /// "As good as": the bar is 1, and only clearly below it, at 0.95, is a failure.
    Parity,
}

/// A bar as written: `>= 0.85`, `<= 1.5`, `== 1` or `parity`.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(try_from = "String")]
pub struct Bar {
    relation: Relation,
    value: f64,
}

/// Where a parity bar starts to fail.
const PARITY_FLOOR: f64 = 0.95;

impl Bar {
    /// The figure a measured ratio is compared with. Ratios are always written as "times as good
    /// as the baseline", so a bar of the form `<=` is inverted.
    pub fn ratio(&self) -> f64 {
        match self.relation {
            Relation::AtMost => self.value.recip(),
            _ => self.value,
        }
    }

    /// The ratio below which the upper bound of a measurement fails.
    pub fn ratio_floor(&self) -> f64 {
        match self.relation {
            Relation::Parity => PARITY_FLOOR,
            _ => self.ratio(),
        }
    }

    /// The figure as written, which counts and answers are compared with.
    pub fn value(&self) -> f64 {
        self.value
    }

    /// Whether a count or a share of right answers meets the bar.
    pub fn is_met_by(&self, measured: f64) -> bool {
        match self.relation {
            Relation::AtLeast | Relation::Parity => measured >= self.value,
            Relation::AtMost => measured <= self.value,
            Relation::Exactly => measured == self.value,
        }
    }

    /// Whether the bar is a lower or an upper bound, which a ratio can be held to.
    fn is_bound(&self) -> bool {
        self.relation != Relation::Exactly
    }
}

impl fmt::Display for Bar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.relation {
            Relation::AtLeast => write!(f, ">= {}", self.value),
            Relation::AtMost => write!(f, "<= {}", self.value),
            Relation::Exactly => write!(f, "== {}", self.value),
            Relation::Parity => write!(f, "parity"),
        }
    }
}

impl FromStr for Bar {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Bar> {
        let (relation, number) = match text.split_once(' ') {
            Some((">=", number)) => (Relation::AtLeast, number),
            Some(("<=", number)) => (Relation::AtMost, number),
            Some(("==", number)) => (Relation::Exactly, number),
            None if text == "parity" => (Relation::Parity, "1"),
            _ => anyhow::bail!("`{text}` is no bar; write `>= x`, `<= x`, `== x` or `parity`"),
        };
        let value: f64 = number
            .parse()
            .with_context(|| format!("`{number}` is not a number"))?;
        // As a bound zero holds for anything or has no inverse; none at all is an exact count.
        let counts_none = relation == Relation::Exactly && value == 0.0;
        ensure!(
            value.is_finite() && (value > 0.0 || counts_none),
            "the bar `{text}` is not above zero"
        );
        Ok(Bar { relation, value })
    }
}

impl TryFrom<String> for Bar {
    type Error = anyhow::Error;

    fn try_from(text: String) -> Result<Bar> {
        text.parse()
    }
}

/// The gates this build was made with, in the order in which they are run.
pub fn read_gates() -> Result<Vec<Gate>> {
    let all = concat!(
        include_str!("../gates.toml"),
        include_str!("../gates/queue.toml"),
        include_str!("../gates/batch.toml")
    );
    parse_gates(all).context("cannot read the gates")
}

fn parse_gates(text: &str) -> Result<Vec<Gate>> {
    #[derive(Deserialize)]
    struct File {
        gate: Vec<Gate>,
    }
    let file: File = toml::from_str(text)?;
    let mut gates = file.gate;
    let mut names = BTreeSet::new();
    for gate in &gates {
        ensure!(
            names.insert(&gate.name),
            "two gates are called `{}`",
            gate.name
        );
        let timed = matches!(gate.kind, Kind::Ratio | Kind::Scaling);
        ensure!(
            !timed || gate.required.is_bound(),
            "`{}` cannot ask for an exact ratio",
            gate.name
        );
        ensure!(
            timed || (gate.isa.is_empty() && gate.extension.is_none()),
            "`{}` asks for an answer, which must be right on every instruction set",
            gate.name
        );
    }
    // Stable: within a kind, the order of the file.
    gates.sort_by_key(|gate| gate.kind);
    Ok(gates)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "\
[[gate]]
name = \"a\"
kind = \"ratio\"
baseline = \"b\"
required = \">= 2\"
";

    #[track_caller]
    fn check_bar(text: &str, ratio: f64, floor: f64) {
        let bar: Bar = text.parse().unwrap();
        assert_eq!((bar.ratio(), bar.ratio_floor()), (ratio, floor), "{text}");
    }

    #[test]
    fn bars_are_shown_as_they_are_written() {
        for text in [">= 0.85", "<= 1.5", "== 1", "parity"] {
            assert_eq!(text.parse::<Bar>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn bars_become_ratios() {
        check_bar(">= 0.85", 0.85, 0.85);
        check_bar("<= 1.6", 0.625, 0.625);
        check_bar("parity", 1.0, 0.95);
    }

    #[test]
    fn counts_are_compared_as_written() {
        let met = |bar: &str, measured| bar.parse::<Bar>().unwrap().is_met_by(measured);
        assert!(met("== 1", 1.0) && !met("== 1", 2.0) && !met("== 1", 0.0));
        assert!(met("== 0", 0.0) && !met("== 0", 1.0));
        assert!(met("<= 3", 3.0) && !met("<= 3", 4.0));
        assert!(met(">= 1", 1.0) && !met(">= 1", 0.999));
    }

    #[test]
    fn what_is_no_bar_is_refused() {
        for text in [
            "", "0.85", "> 1", ">= x", ">= -1", "<= 0", ">= 0", "== -1", ">= inf", "par",
        ] {
            assert!(text.parse::<Bar>().is_err(), "{text}");
        }
    }

    #[test]
    fn answers_run_first_and_scaling_last() {
        let one = |name: &str, kind: &str| {
            ONE.replace("\"a\"", &format!("\"{name}\""))
                .replace("ratio", kind)
        };
        let text = [
            one("s", "scaling"),
            one("r2", "ratio"),
            one("r1", "ratio"),
            one("c", "count"),
            one("n", "answer"),
        ]
        .concat();
        let gates = parse_gates(&text).unwrap();
        let names: Vec<&str> = gates.iter().map(|gate| gate.name.as_str()).collect();
        assert_eq!(names, ["n", "c", "r2", "r1", "s"]);
    }

    #[test]
    fn broken_files_are_refused() {
        assert!(
            parse_gates(&[ONE, ONE].concat()).is_err(),
            "the same name twice"
        );
        assert!(
            parse_gates(&ONE.replace(">=", "==")).is_err(),
            "an exact ratio"
        );
        assert!(
            parse_gates(&format!("{ONE}bar = 1")).is_err(),
            "an unknown field"
        );
        assert!(
            parse_gates(&format!("{ONE}isa = [\"sse9\"]")).is_err(),
            "an unknown instruction set"
        );
        let counted = ONE.replace("ratio", "count");
        assert!(
            parse_gates(&format!("{counted}isa = [\"scalar\"]")).is_err(),
            "a count for one instruction set"
        );
    }

    #[test]
    fn a_bar_is_stated_for_what_it_names_or_for_all() {
        let stated = |isa: &str| {
            let gates = parse_gates(&format!("{ONE}{isa}")).unwrap();
            [Isa::Scalar, Isa::Avx2, Isa::Avx512].map(|isa| gates[0].is_stated_for(isa))
        };
        assert_eq!(stated(""), [true, true, true]);
        assert_eq!(stated("isa = [\"avx512\"]"), [false, false, true]);
        assert_eq!(stated("isa = [\"avx512\", \"avx2\"]"), [false, true, true]);
        let has = [Isa::Scalar, Isa::Avx2, Isa::Avx512].map(|isa| isa.has(Extension::Vnni));
        assert_eq!(stated("extension = \"vnni\""), has);
    }

    #[test]
    fn the_shipped_gates_can_be_read() {
        assert!(!read_gates().unwrap().is_empty());
    }
}
