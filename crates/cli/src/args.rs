//! The command line: what can be asked, and what `--help` says about it.

mod help;
mod values;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use self::help::{
    ALLOCATE_HELP, BATCH_HELP, BENCH_HELP, CHECK_HELP, EXIT_CODES, EXPORT_HELP, FORGET_HELP,
    IMPORT_HELP, INGEST_HELP, MAP_HELP,
};
pub(crate) use self::values::{
    Accuracy, AtCapacity, Backpressure, Codes, Durability, ExportFormat, Metric, Sides,
};
use self::values::{finite, sides};

/// A durable memory for agents and robots: store episodes, recall them by similarity.
#[derive(Debug, Parser)]
#[command(
    name = "cortica",
    version,
    after_help = format!("Start with:\n  cortica demo\n\n{EXIT_CODES}"),
    disable_help_subcommand = true,
    propagate_version = true
)]
pub(crate) struct Cli {
    /// Write JSON to standard output and nothing else; words and progress go to standard error.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Store the bundled concepts durably, reopen them from disk and recall them.
    #[command(after_help = EXIT_CODES)]
    Demo(DemoArgs),
    /// Store the rows of a file of vectors, or episodes written as JSON Lines.
    #[command(after_help = format!("{INGEST_HELP}\n\n{EXIT_CODES}"))]
    Ingest(IngestArgs),
    /// Store concepts and give each a column of a grid, near like ones and none twice.
    #[command(after_help = format!("{ALLOCATE_HELP}\n\n{EXIT_CODES}"))]
    Allocate(AllocateArgs),
    /// Draw the columns of a store, coloured by what their concepts are.
    #[command(after_help = format!("{MAP_HELP}\n\n{EXIT_CODES}"))]
    Map(MapArgs),
    /// Find the stored episodes nearest to vectors, or to an episode.
    #[command(after_help = EXIT_CODES)]
    Recall(RecallArgs),
    /// Forget episodes, with their embeddings and relations.
    #[command(after_help = format!("{FORGET_HELP}\n\n{EXIT_CODES}"))]
    Forget(ForgetArgs),
    /// Write everything that a store holds as JSON Lines, or as Parquet.
    #[command(after_help = format!("{EXPORT_HELP}\n\n{EXIT_CODES}"))]
    Export(ExportArgs),
    /// Store what `export` wrote, as it was there.
    #[command(after_help = format!("{IMPORT_HELP}\n\n{EXIT_CODES}"))]
    Import(ImportArgs),
    /// Say what a store holds and how large it is.
    #[command(after_help = EXIT_CODES)]
    Stats(StatsArgs),
    /// Copy a store as it is, verified, without what was forgotten or replaced.
    #[command(after_help = EXIT_CODES)]
    Snapshot(SnapshotArgs),
    /// Make a store from a snapshot, which is verified first and stays as it is.
    #[command(after_help = EXIT_CODES)]
    Restore(RestoreArgs),
    /// Rewrite a store's files without what was forgotten or replaced.
    #[command(after_help = EXIT_CODES)]
    Compact(StoreArgs),
    /// Verify every checksum of a store, changing nothing; repair it if asked to.
    #[command(after_help = format!("{CHECK_HELP}\n\n{EXIT_CODES}"))]
    Check(CheckArgs),
    /// Run operations of all sorts from JSON Lines, and answer each with a line.
    #[command(after_help = format!("{BATCH_HELP}\n\n{EXIT_CODES}"))]
    Batch(BatchArgs),
    /// Measure storing and recalling on a data folder, and check the answers.
    #[command(after_help = format!("{BENCH_HELP}\n\n{EXIT_CODES}"))]
    Bench(BenchArgs),
    /// Write a completion script for a shell to standard output.
    #[command(after_help = EXIT_CODES)]
    Completions {
        /// The shell to write for.
        shell: Shell,
    },
}

#[derive(Args, Debug)]
pub(crate) struct DemoArgs {
    /// The folder for the demo's store; kept afterwards.
    #[arg(long, value_name = "DIR", default_value = "./cortica-demo")]
    pub(crate) dir: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct IngestArgs {
    /// FILE.npy (rows x dimension, f32 or f16), FILE.jsonl, or - for JSON Lines from standard
    /// input.
    pub(crate) file: PathBuf,
    /// The folder of the store; created if it is not there.
    #[arg(long, value_name = "DIR")]
    pub(crate) store: PathBuf,
    /// For FILE.npy: `row<TAB>id[<TAB>text]` for every row. Without it a row's number is its id.
    #[arg(long, value_name = "FILE.tsv")]
    pub(crate) ids: Option<PathBuf>,
    /// Relations to store after the rows: little-endian u32 triples of source row, destination
    /// row and type, rows counted in this file from 0.
    #[arg(long, value_name = "FILE.u32")]
    pub(crate) edges: Option<PathBuf>,
    /// Rows per batch: one sync each. A batch of JSON Lines also ends when its lines have come to
    /// 32 MiB, so that memory stays bounded.
    #[arg(long, value_name = "N", default_value_t = 1_000,
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) batch: u32,
    /// What an acknowledgement promises.
    #[arg(long, value_enum, default_value_t = Durability::Durable)]
    pub(crate) durability: Durability,
    /// How a new store compares vectors; an existing store keeps its own [default: cosine].
    #[arg(long, value_enum)]
    pub(crate) metric: Option<Metric>,
    /// Index all before the command ends, for approximate recalls. Otherwise it is done as far as it
    /// comes, and what is left is looked at by each of them.
    #[arg(long)]
    pub(crate) index: bool,
    /// Replace episodes whose id is there with other content; otherwise that is a failure. Their
    /// relations, and the time they were stored first, stay.
    #[arg(long)]
    pub(crate) update: bool,
    /// The name of the model that made the vectors; kept with a new store, compared with an
    /// existing one.
    #[arg(long, value_name = "NAME")]
    pub(crate) model: Option<String>,
    #[command(flatten)]
    pub(crate) room: RoomArgs,
}

/// How many episodes a store may hold.
#[derive(Args, Clone, Copy, Debug, Default)]
pub(crate) struct RoomArgs {
    /// The most episodes the store may hold from now on; not kept in the store.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4_294_967_294))]
    pub(crate) capacity: Option<u32>,
    /// With --capacity: what becomes of a new episode where that many are there [default: forget].
    #[arg(long, value_enum, requires = "capacity")]
    pub(crate) at_capacity: Option<AtCapacity>,
}

impl RoomArgs {
    /// Tells the builder.
    pub(crate) fn tell(self, builder: cortica::Builder) -> cortica::Builder {
        let at_capacity = self.at_capacity.map(Into::into).unwrap_or_default();
        match self.capacity {
            Some(capacity) => builder.capacity(capacity as usize).at_capacity(at_capacity),
            None => builder,
        }
    }
}

#[derive(Args, Debug)]
pub(crate) struct BatchArgs {
    /// FILE.jsonl, or - for standard input.
    pub(crate) file: PathBuf,
    /// The folder of the store; created if it is not there.
    #[arg(long, value_name = "DIR")]
    pub(crate) store: PathBuf,
    /// Values in each embedding of a new store; an existing one keeps its own.
    #[arg(long, value_name = "D")]
    pub(crate) dimension: Option<usize>,
    /// MiB that operations and answers may take at once. A file of any length needs no more, beside
    /// the line that is read; a line may have as many bytes, and 16 MiB at most.
    #[arg(long, value_name = "MIB", default_value_t = 256,
          value_parser = clap::value_parser!(u32).range(1..=1_048_576))]
    pub(crate) memory_limit: u32,
    /// The most writes in one commit, and operations taken at once.
    #[arg(long, value_name = "N", default_value_t = 1_000,
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) batch: u32,
    /// All or nothing: the file is read whole, and its writes are one frame of the log. For lines that write.
    #[arg(long, conflicts_with_all = ["backpressure", "batch"])]
    pub(crate) atomic: bool,
    /// What happens when lines come faster than they are done and written.
    #[arg(long, value_enum, default_value_t = Backpressure::Block)]
    pub(crate) backpressure: Backpressure,
    /// Seconds after which nothing more is begun.
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) timeout: Option<u32>,
    /// What an acknowledgement promises.
    #[arg(long, value_enum, default_value_t = Durability::Durable)]
    pub(crate) durability: Durability,
}

impl IngestArgs {
    /// For a file that `allocate` reads.
    pub(crate) fn of_file(file: PathBuf, ids: Option<PathBuf>, args: &AllocateArgs) -> IngestArgs {
        IngestArgs {
            file,
            store: args.store.clone(),
            ids,
            edges: None,
            batch: args.batch,
            durability: args.durability,
            metric: None,
            index: false,
            update: false,
            model: None,
            room: args.room,
        }
    }
}

#[derive(Args, Debug)]
pub(crate) struct AllocateArgs {
    /// What to store: FILE.npy, FILE.jsonl, -, or a folder [default: the bundled concepts].
    #[arg(value_name = "FROM")]
    pub(crate) from: Option<PathBuf>,
    /// The folder of the store; created if it is not there.
    #[arg(long, value_name = "DIR")]
    pub(crate) store: PathBuf,
    /// For FILE.npy: `row<TAB>id[<TAB>text]` for every row.
    #[arg(long, value_name = "FILE.tsv")]
    pub(crate) ids: Option<PathBuf>,
    /// Columns along x, y and z.
    #[arg(long, value_name = "X,Y,Z", value_parser = sides)]
    pub(crate) grid: Option<Sides>,
    /// Networks for embeddings that those of the program are not for.
    #[arg(long, value_name = "FILE.safetensors")]
    pub(crate) weights: Option<PathBuf>,
    /// How far around its place a concept's column is looked for first, in columns.
    #[arg(long, value_name = "R", default_value_t = 4.0)]
    pub(crate) radius: f32,
    /// Concepts per batch: one sync each.
    #[arg(long, value_name = "N", default_value_t = 500,
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) batch: u32,
    /// What an acknowledgement promises.
    #[arg(long, value_enum, default_value_t = Durability::Durable)]
    pub(crate) durability: Durability,
    /// Write a line for no concept, only the totals.
    #[arg(long)]
    pub(crate) totals: bool,
    #[command(flatten)]
    pub(crate) room: RoomArgs,
}

#[derive(Args, Debug)]
pub(crate) struct MapArgs {
    /// The folder of the store.
    #[arg(long, value_name = "DIR")]
    pub(crate) store: PathBuf,
    /// Where the picture goes: FILE.svg, replaced if it is there.
    pub(crate) file: PathBuf,
    /// Colour by this entry of the metadata; by part of speech without it.
    #[arg(long, value_name = "KEY")]
    pub(crate) by: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct RecallArgs {
    /// The folder of the store.
    #[arg(long, value_name = "DIR")]
    pub(crate) store: PathBuf,
    #[command(flatten)]
    pub(crate) cue: CueArgs,
    /// How many results to give for each query.
    #[arg(short, value_name = "K", default_value_t = 10,
          value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) k: u32,
    /// How sure to find the nearest: all of them, by comparing with every vector, or most of them,
    /// by a walk along the graph index.
    #[arg(long, value_enum, default_value_t = Accuracy::Exact)]
    pub(crate) accuracy: Accuracy,
    /// With --accuracy approximate: how many candidates the walk keeps; more finds more and takes
    /// longer [default: 64].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=EF_MAX))]
    pub(crate) ef: Option<u32>,
    /// Leave out results that score below this.
    #[arg(long, value_name = "T", allow_negative_numbers = true, value_parser = finite)]
    pub(crate) threshold: Option<f32>,
}

#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub(crate) struct CueArgs {
    /// One query per row (queries x dimension, f32 or f16).
    #[arg(long, value_name = "FILE.npy")]
    pub(crate) vectors: Option<PathBuf>,
    /// The episode to look around; it comes first itself.
    #[arg(long, value_name = "ID")]
    pub(crate) like: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct ForgetArgs {
    /// The folder of the store.
    #[arg(long, value_name = "DIR")]
    pub(crate) store: PathBuf,
    /// The ids of the episodes to forget.
    #[arg(required_unless_present = "file", value_name = "ID")]
    pub(crate) ids: Vec<String>,
    /// A file with an id on every line, or - for standard input.
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// What an acknowledgement promises.
    #[arg(long, value_enum, default_value_t = Durability::Durable)]
    pub(crate) durability: Durability,
}

#[derive(Args, Debug)]
pub(crate) struct ExportArgs {
    /// The folder of the store.
    #[arg(long, value_name = "DIR")]
    pub(crate) store: PathBuf,
    /// Where to write: FILE, replaced if it is there, or - for standard output.
    pub(crate) file: PathBuf,
    /// How to write it; without this, a FILE.parquet is Parquet and any other JSON Lines.
    #[arg(long, value_enum)]
    pub(crate) format: Option<ExportFormat>,
}

impl ExportArgs {
    /// The format that was asked for.
    pub(crate) fn format(&self) -> ExportFormat {
        let named = self.file.extension().is_some_and(|end| end == "parquet");
        let format = if named {
            ExportFormat::Parquet
        } else {
            ExportFormat::Jsonl
        };
        self.format.unwrap_or(format)
    }
}

#[derive(Args, Debug)]
pub(crate) struct ImportArgs {
    /// The file that `cortica export` wrote, or - for JSON Lines from standard input.
    pub(crate) file: PathBuf,
    /// The folder of the store; created if it is not there.
    #[arg(long, value_name = "DIR")]
    pub(crate) store: PathBuf,
    /// What an acknowledgement promises.
    #[arg(long, value_enum, default_value_t = Durability::Durable)]
    pub(crate) durability: Durability,
}

#[derive(Args, Debug)]
pub(crate) struct SnapshotArgs {
    /// The folder for the snapshot: absent or empty.
    #[arg(value_name = "SNAPSHOT")]
    pub(crate) dest: PathBuf,
    /// The folder of the store.
    #[arg(long, value_name = "DIR")]
    pub(crate) store: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct RestoreArgs {
    /// The folder of the snapshot.
    pub(crate) snapshot: PathBuf,
    /// The folder for the store: absent or empty.
    #[arg(long, value_name = "DIR")]
    pub(crate) store: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct CheckArgs {
    /// The folder of the store.
    #[arg(long, value_name = "DIR")]
    pub(crate) store: PathBuf,
    /// Move what is damaged into quarantine, so that the store can be written again.
    #[arg(long)]
    pub(crate) repair: bool,
}

#[derive(Args, Debug)]
pub(crate) struct StatsArgs {
    /// The folder of the store.
    #[arg(long, value_name = "DIR")]
    pub(crate) store: PathBuf,
    /// Say how full it is for a store of so many.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4_294_967_294))]
    pub(crate) capacity: Option<u32>,
}

#[derive(Args, Debug)]
pub(crate) struct StoreArgs {
    /// The folder of the store.
    #[arg(long, value_name = "DIR")]
    pub(crate) store: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct BenchArgs {
    /// The folder with the data.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// An empty or new folder for the store, kept afterwards. Without it a folder under the
    /// system's temporary folder is used and removed.
    #[arg(long, value_name = "DIR")]
    pub(crate) store: Option<PathBuf>,
    /// What an acknowledgement promises while the rows are stored.
    #[arg(long, value_enum, default_value_t = Durability::Buffered)]
    pub(crate) durability: Durability,
    /// What walks along the graph index read of each vector.
    #[arg(long, value_enum, default_value_t = Codes::I8)]
    pub(crate) codes: Codes,
    /// Candidates that the links of a new vector are chosen from (efConstruction).
    #[arg(long, value_name = "N", default_value_t = cortica::HnswOptions::default().build_width)]
    pub(crate) build_width: usize,
    /// A picture of lists of operations: how many a second and how long a list takes, against its
    /// length.
    #[arg(long, value_name = "FILE.svg")]
    pub(crate) curves: Option<PathBuf>,
    /// Measures for a twentieth of the time: to see that it runs, not for figures.
    #[arg(long)]
    pub(crate) quick: bool,
}

impl BenchArgs {
    /// How long something is measured that is worth `full`.
    pub(crate) fn measured_for(&self, full: std::time::Duration) -> std::time::Duration {
        if self.quick { full / 20 } else { full }
    }

    /// How the graph index is built.
    pub(crate) fn graph(&self) -> cortica::HnswOptions {
        cortica::HnswOptions {
            codes: self.codes.into(),
            build_width: self.build_width,
            ..cortica::HnswOptions::default()
        }
    }
}

const EF_MAX: i64 = cortica::EF_MAX as i64;

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        super::Cli::command().debug_assert();
    }
}
