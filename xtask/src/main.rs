//! Cortica's automation, run as `cargo xtask <command>`.
//!
//! One place for what people and continuous integration both run, so that the two cannot
//! drift apart: the test run with its tidy checks, and the performance gates.
#![forbid(unsafe_code)]

mod bundle;
mod loom;
mod marked;
mod perf;
mod performance;
mod step;
mod suite;
mod tally;
mod tidy;
mod torture;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Cortica's automation")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Format, tidy, clippy, tests, doctests, docs, the scalar path and the loom models: what must hold before a commit.
    Test,
    /// Everything `test` does, with every feature of every crate turned on.
    CheckAll,
    /// Explore the concurrent crates under loom, and show how many interleavings each model has.
    Loom,
    /// Long reliability runs; writes docs/reports/reliability.json and the README's table.
    Torture {
        /// Only these, by the names that the report gives them.
        #[arg(long, value_name = "NAME")]
        only: Vec<String>,
        /// Some ten minutes on two cores instead of half an hour, once everything is built.
        #[arg(long)]
        short: bool,
        /// Only make the README's table anew from the report that is there; lines that were added since
        /// are named as not run.
        #[arg(long, conflicts_with_all = ["only", "short"])]
        table: bool,
    },
    /// Only the checks on the repository's own shape: edges, READMEs, manifests, sources, links.
    Tidy,
    /// Make the bundled data anew: the first rows of a data folder, small enough to compile in.
    Bundle {
        /// A data folder with rows, queries, texts, relations and the licence notice.
        #[arg(long, value_name = "DIR")]
        from: PathBuf,
        /// Where the bundle goes.
        #[arg(long, value_name = "DIR", default_value_os_t = bundle_folder())]
        to: PathBuf,
    },
    /// Measure what no gate holds, absolute times and rates, by `cortica bench`; keep it beside the gates that
    /// `perf-check --record` kept on this machine, and make the tables and the picture anew.
    Figures {
        /// A folder of data in the layout of the bundled one, which is taken without it.
        #[arg(long, value_name = "DIR")]
        data: Option<PathBuf>,
        /// Only make the tables anew from the report that is there.
        #[arg(long, conflicts_with = "data")]
        table: bool,
    },
    /// Measure the gates of benches/gates.toml (`cargo xtask perf-check --help` lists the options).
    #[command(disable_help_flag = true)]
    PerfCheck {
        /// Handed to the perf-check binary as they are.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

fn main() -> Result<ExitCode> {
    let root = repository_root();
    match Arguments::parse().command {
        Command::Test => suite::run(&root, suite::Extent::Test),
        Command::CheckAll => suite::run(&root, suite::Extent::CheckAll),
        Command::Loom => loom::run(&root),
        Command::Torture { only, short, table } => torture::run(&root, &only, short, table),
        Command::Tidy => {
            let findings = tidy::run(&root)?;
            for finding in &findings {
                println!("{finding}");
            }
            println!("tidy: {} findings", findings.len());
            Ok(exit_code(findings.is_empty()))
        }
        Command::Bundle { from, to } => {
            bundle::run(&from, &to)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Figures { table: true, .. } => performance::tables(&root),
        Command::Figures { data, .. } => performance::measure(&root, data.as_deref()),
        Command::PerfCheck { arguments } => perf::run(&root, &arguments),
    }
}

fn exit_code(good: bool) -> ExitCode {
    if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// The repository this binary was built from: the parent of its own package.
fn repository_root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package).to_path_buf()
}

/// Where the command-line program compiles its demo data from.
fn bundle_folder() -> PathBuf {
    repository_root().join("crates/cli/data")
}
