//! One line of the torture run: a test, and how large it is made.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::counted;
use super::report::Counted;
use crate::step::cargo;

/// A test of the workspace at a larger size.
pub(crate) struct Line {
    pub(crate) name: &'static str,
    /// For people: what is done to the store, and what is looked for.
    pub(crate) what: &'static str,
    /// Package and test target; none: it cannot be run yet, for this reason.
    pub(crate) test: Result<Test, &'static str>,
}

/// Where a test is, and the sizes it runs at.
pub(crate) struct Test {
    pub(crate) package: &'static str,
    pub(crate) target: &'static str,
    /// What is counted by it, and how many of it in the short form and in the long one.
    pub(crate) sizes: &'static [(&'static str, [u64; 2])],
}

/// How much is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Form {
    /// Some ten minutes on two cores, once everything is built.
    Short,
    /// Some fifty minutes on two cores: 10,000 kills among other things.
    #[default]
    Long,
}

pub(crate) const LINES: [Line; 18] = [
    Line {
        name: "kill_ingest",
        what: "`kill -9` while rows and relations are stored; a control that is not durable",
        test: Ok(Test {
            package: "cortica-cli",
            target: "kill",
            sizes: &[("KILLS_INGEST", [500, 4_000])],
        }),
    },
    Line {
        name: "kill_upkeep",
        what: "`kill -9` during updates, forgetting, compaction, snapshot and restore",
        test: Ok(Test {
            package: "cortica-cli",
            target: "kill_upkeep",
            sizes: &[("KILLS_UPKEEP", [500, 5_500])],
        }),
    },
    Line {
        name: "kill_checkpoint",
        what: "`kill -9` while what was made from the log is saved beside it",
        test: Ok(Test {
            package: "cortica-cli",
            target: "kill_checkpoint",
            sizes: &[("KILLS_CHECKPOINT", [100, 500])],
        }),
    },
    Line {
        name: "power_cut",
        what: "the power cut at every operation, any part of the unsynced writes kept; controls \
               without syncs",
        test: Ok(Test {
            package: "cortica-storage",
            target: "power_cut",
            sizes: &[("POWER_CUT_SUBSETS", [64, 1_000])],
        }),
    },
    Line {
        name: "faults",
        what: "every write, sync, rename, opening and reading made to fail in turn",
        test: Ok(Test {
            package: "cortica-storage",
            target: "faults",
            sizes: &[],
        }),
    },
    Line {
        name: "damage",
        what: "every bit flipped, every length cut, blocks doubled, swapped and replaced",
        test: Ok(Test {
            package: "cortica-storage",
            target: "damage",
            sizes: &[],
        }),
    },
    Line {
        name: "bits",
        what: "every bit of full log files of 16 KB flipped, every length cut; twice the memory of an \
               undamaged opening is never held",
        test: Ok(Test {
            package: "cortica-storage",
            target: "bits",
            sizes: &[],
        }),
    },
    Line {
        name: "caches",
        what: "a cache beside the log: every bit flipped, every length cut, the power cut and every \
               operation failing while it is written",
        test: Ok(Test {
            package: "cortica-storage",
            target: "caches",
            sizes: &[],
        }),
    },
    Line {
        name: "sweep",
        what: "bits of every byte of a store with a saved graph flipped, every file cut; it is opened, \
               compared and asked each time, and never takes twice the memory",
        test: Ok(Test {
            package: "cortica-memory",
            target: "sweep",
            sizes: &[
                ("SWEEP_BITS", [1, 8]),
                ("SWEEP_STEP", [7, 1]),
                ("SWEEP_GRAPH_STEP", [97, 11]),
            ],
        }),
    },
    Line {
        name: "wild",
        what: "files changed in many places at once; single flips that `check` must find",
        test: Ok(Test {
            package: "cortica-storage",
            target: "wild",
            sizes: &[("WILD", [50_000, 300_000]), ("FLIPS", [1_000, 1_000])],
        }),
    },
    Line {
        name: "full_disk",
        what: "disks full at every step of 4 KB",
        test: Ok(Test {
            package: "cortica-storage",
            target: "full_disk",
            sizes: &[],
        }),
    },
    Line {
        name: "bounds",
        what: "single writes, updates and forgettings with compaction by itself",
        test: Ok(Test {
            package: "cortica-storage",
            target: "bounds",
            sizes: &[("BOUNDS", [1_000_000, 1_000_000])],
        }),
    },
    Line {
        name: "model",
        what: "random operations against a plain model, with crashes, copies and reopenings",
        test: Ok(Test {
            package: "cortica-memory",
            target: "model",
            sizes: &[("MODEL", [50_000, 200_000])],
        }),
    },
    Line {
        name: "fuzz_sanitized",
        what: "coverage-guided fuzzing under AddressSanitizer",
        test: Err("needs cargo-fuzz and a nightly compiler; the line `wild` is what there is"),
    },
    Line {
        name: "virtual_machine",
        what: "a virtual machine switched off while it stores",
        test: Err("needs root and a virtual machine; the line `power_cut` models it"),
    },
    Line {
        name: "streams",
        what: "streams of operations within 1, 16 and 256 MiB, by the allocator, under every strategy, with consumers that are \
               fast, slow and stalled; longer ones hold no more",
        test: Ok(Test {
            package: "cortica-batch",
            target: "bytes",
            sizes: &[("BATCH_STREAMED", [100_000, 1_000_000])],
        }),
    },
    Line {
        name: "overload",
        what: "a stream of ten times the load that can be served",
        test: Ok(Test {
            package: "cortica-batch",
            target: "overload",
            sizes: &[("OVERLOAD_SECONDS", [10, 60])],
        }),
    },
    Line {
        name: "soak",
        what: "a mixed load for a day",
        test: Err("needs a day; not built yet"),
    },
];

impl Line {
    /// Why it cannot be run, if it cannot.
    pub(crate) fn missing(&self) -> Option<&'static str> {
        self.test.as_ref().err().copied()
    }

    /// Runs the test, passing on what it prints. `None` when it failed, or counted nothing.
    pub(crate) fn run(
        &self,
        root: &Path,
        form: Form,
        to: &mut impl Write,
    ) -> Result<Option<Counted>> {
        let Ok(test) = &self.test else {
            return Ok(None);
        };
        writeln!(to, "\n== {}: {}", self.name, self.what)?;
        let mut command = cargo(root);
        command.args(["test", "--release", "--package", test.package]);
        command.args(["--test", test.target, "--", "--nocapture"]);
        for (variable, [short, long]) in test.sizes {
            let size = match form {
                Form::Short => short,
                Form::Long => long,
            };
            command.env(format!("CORTICA_SIZE_{variable}"), size.to_string());
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start cargo")?;
        let mut printed = String::new();
        if let Some(output) = child.stdout.take() {
            for line in BufReader::new(output).lines() {
                let line = line?;
                writeln!(to, "{line}")?;
                printed.push_str(&line);
                printed.push('\n');
            }
        }
        let good = child.wait().context("the test was lost")?.success();
        Ok(counted(&printed).filter(|_| good))
    }
}
