//! The command `cortica`: the memory engine from a shell.
//!
//! Every command writes for people; with `--json` standard output carries JSON and nothing
//! else, and words and progress go to standard error. No command does engine work of its own:
//! they read files, call the library of the same name and say what it answered.

#![forbid(unsafe_code)]

mod advice;
mod allocate;
mod args;
mod batch;
mod bench;
mod bundle;
mod check;
mod compact;
mod demo;
mod episode_line;
mod export;
mod figures;
mod folder;
mod forget;
mod import;
mod ingest;
mod machine;
mod map;
mod output;
#[cfg(feature = "parquet")]
mod parquet_file;
mod recall;
mod recalled;
mod snapshot;
mod stats;
mod truth;
mod vectors;
mod when;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use crate::args::{Cli, Command};
use crate::output::{Hangup, Out, Outcome};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut out = Out::new(cli.json);
    match machine::check_isa().and_then(|()| run(&cli.command, &mut out)) {
        Ok(outcome) => outcome.into(),
        // The reader of our output went away (`| head`): it has all it wanted.
        Err(error) if error.is::<Hangup>() => Outcome::Done.into(),
        Err(error) => advice::report(&error),
    }
}

fn run(command: &Command, out: &mut Out) -> anyhow::Result<Outcome> {
    match command {
        Command::Demo(args) => demo::run(args, out),
        Command::Ingest(args) => ingest::run(args, out),
        Command::Allocate(args) => allocate::run(args, out),
        Command::Map(args) => map::run(args, out),
        Command::Recall(args) => recall::run(args, out),
        Command::Stats(args) => stats::run(args, out),
        Command::Check(args) => check::run(args, out),
        Command::Forget(args) => forget::run(args, out),
        Command::Export(args) => export::run(args, out),
        Command::Import(args) => import::run(args, out),
        Command::Snapshot(args) => snapshot::take(args, out),
        Command::Restore(args) => snapshot::restore(args, out),
        Command::Compact(args) => compact::run(args, out),
        Command::Batch(args) => batch::run(args, out),
        Command::Bench(args) => bench::run(args, out),
        Command::Completions { shell } => {
            let mut script = Vec::new(); // `generate` panics when a write fails; memory does not.
            clap_complete::generate(*shell, &mut Cli::command(), "cortica", &mut script);
            out.raw(&script)?;
            Ok(Outcome::Done)
        }
    }
}
