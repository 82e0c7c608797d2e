//! The command line: what can be asked, and what `--help` says about it.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

const EXIT_CODES: &str = "\
Exit codes:
  0  all of it worked
  1  it failed, some items failed, or damage was found; the output says what
  2  the command line was wrong";

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

const INGEST_HELP: &str = "\
A line of JSON Lines is an object with the fields
  id, what              texts (id: 1 to 256 bytes)
  when                  microseconds since 1970, or a text such as \"2024-05-01T12:30:00Z\"
  place, stream         texts
  who                   list of texts
  embedding             list of numbers
  encoding_confidence   number from 0 to 1
  metadata              object of texts, numbers, true and false; every key once,
                        whole numbers within 64 bits
Only id and what are needed. An unknown field is an error, so that a misspelt one is not lost.

With --json there is one line per batch, written after the batch was acknowledged:
  {\"batch\":0,\"rows_from\":0,\"rows_to\":1000,\"acked\":1000,\"stored\":1000,\"already_there\":0,
   \"failed\":0,\"durability\":\"durable\",\"failures\":[]}
rows_to is the first row after the batch. A summary line comes last. Both also say \"updated\",
\"duplicates\" and \"evicted\" where there are any: rows with --update that replaced others; rows whose
content another episode has already, which then stands for them, in relations too; and episodes that
were forgotten to make room under --capacity, the weakest first.

After an interruption run the same command again: what is there already stays as it is.";

const BATCH_HELP: &str = "\
A line is an object with one key, which names the operation:
  {\"store\": EPISODE}              an episode as in `cortica ingest --help`; an id that is there with
                                  other content is updated, content that is there is reinforced
  {\"allocate\": EPISODE}           likewise, for stores that give concepts columns
  {\"recall\": {\"embedding\": [..], \"k\": 10, \"threshold\": T, \"ef\": N, \"vectors\": false}}
  {\"similarity_search\": {\"embedding\": [..], \"k\": 10, \"threshold\": T, \"vectors\": false}}
  {\"associate\": {\"from\": id, \"to\": id, \"relation\": number, \"weight\": 1}}
  {\"forget\": {\"id\": id}}
Only embedding, from, to and id are needed. With ef a recall walks along the graph index, without it every
vector is compared. An operation sees all that the operations before it have done.

Answers come in the order of the lines, one each. With --json:
  {\"line\":1,\"stored\":{\"seq\":1,\"outcome\":\"stored\",\"of\":null,\"activation\":1.0,\"column\":null,
   \"durability\":\"durable\"}}
  {\"line\":2,\"recalled\":[{\"id\":\"tea\",\"seq\":1,\"score\":0.9}]}
  {\"line\":3,\"error\":\"id: there is no episode \\\"tee\\\"\",\"kind\":\"unknown\"}
and so on: similar as recalled; associated and forgotten with what the write reached. Blank lines do not
count. A summary comes last. What cannot be read is answered in its place; the rest is done all the same.";

const ALLOCATE_HELP: &str = "\
FROM is FILE.npy with --ids, FILE.jsonl or - for JSON Lines (see `cortica ingest --help`), or a folder
with X.npy and items.tsv. Without it the bundled concepts are stored.

The grid is chosen when a store is made or first allocated in, and stays. Without --grid it is a cube
with a third more columns than there are concepts to store. Networks for embeddings of 768 values come
with the program; --weights names others, made by `cortica-train`.

With --json there is a line for each concept and a summary line:
  {\"id\":\"n00001740\",\"outcome\":\"allocated\",\"column\":2117,\"place\":[3,9,6],
   \"score\":0.71,\"similarity\":0.8,\"semantic\":0.7,\"temporal\":0.5,\"of\":null,
   \"durability\":\"durable\",\"error\":null}
outcome is allocated, duplicate (of names the concept, similarity the cosine), none (no column is
free), there (it was stored before), or failed.";

const MAP_HELP: &str = "\
The picture is SVG: a panel for each layer of the grid, a square for each column, coloured by the part of
speech where ids are WordNet's (n00001740), or by the metadata entry that --by names. Columns that hold
nothing are left grey.";

const FORGET_HELP: &str = "\
What is forgotten is not found any more when the command ends. Its bytes are in the store's files
until `cortica compact` has rewritten them, in none of the snapshots made from now on, and in
whatever copies there are elsewhere.

With --json there is a line for each id and a summary line:
  {\"id\":\"tea\",\"forgotten\":true,\"seq\":7,\"durability\":\"durable\",\"error\":null}
An id that is not there is a failure; the others are forgotten all the same.";

const EXPORT_HELP: &str = "\
The first line says what it is and which vectors the store holds, then there is a line for each
episode in the order of storing, with the fields of `cortica ingest --help` and
  stored_at             microseconds since 1970
  activation            number from 0 to 1
then one for each relation: {\"from\":id,\"to\":id,\"relation\":number,\"weight\":number}, and a last line
with their numbers, so that a file that was cut is found out. Imported into a new store and exported
again, the file is the same to the last byte.

--format parquet writes one table with these fields as columns, in the same order: a row is an
episode where id is there, and a relation where from is. metadata is a JSON text, times are
timestamps, who and embedding are lists, and a checksum over the whole file is in its footer. Only
a build with the feature `parquet` has it.";

const IMPORT_HELP: &str = "\
The file must be whole: its last line says how much there is. An id that the store has already is
refused, unless everything else is the same too; so after an interruption run the same command
again. A Parquet file is verified before anything of it is stored.";

const CHECK_HELP: &str = "\
A damaged store can still be read, with a warning, and not written. --repair writes what is whole in
each damaged file into a new one and moves the damaged file into the folder `quarantine` in the
store. What was in the damaged places is lost: where that is an episode, its relations go with it;
where it is a forgetting or an update, the episode is what it was before. Copy the folder first.";

const BENCH_HELP: &str = "\
The data folder holds
  X.npy        n x d, f32 or f16: the rows to store (or i8 with scales in X_scales.npy)
  q.npy        queries x d, likewise
  gt100.u32    optional: for each query its exact nearest rows by cosine, best first
  queries.tsv  optional: row, kind, source row, text
  edges.u32    optional: source row, destination row, type
Without gt100.u32 the exact neighbours of up to 200 queries are computed here, in f64.

A result counts towards recall when its exact score is at least that of the k-th neighbour
minus 1e-6. Rates named cpu are per second of processor time, all threads counted.

The environment variable CORTICA_ISA (scalar, avx2, avx512, neon) has every command use other
kernels than the best that the machine has.";

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

/// What becomes of a new episode where there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum AtCapacity {
    /// The weakest memories are forgotten for it.
    Forget,
    /// It is refused.
    Refuse,
}

impl From<AtCapacity> for cortica::AtCapacity {
    fn from(at_capacity: AtCapacity) -> Self {
        match at_capacity {
            AtCapacity::Forget => Self::Forget,
            AtCapacity::Refuse => Self::Refuse,
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
    /// MiB that operations and answers may take at once. A file of any length needs no more.
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

/// What happens when operations come too fast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Backpressure {
    /// Reading waits.
    Block,
    /// Lines that have waited longest are dropped, and answered so.
    DropOldest,
    /// Reading waits, and fewer are taken at once while memory is scarce.
    AdaptiveResize,
    /// Reading waits, and one is taken at a time while memory is scarce.
    FallbackSingle,
}

impl From<Backpressure> for cortica::Backpressure {
    fn from(strategy: Backpressure) -> Self {
        match strategy {
            Backpressure::Block => Self::Block,
            Backpressure::DropOldest => Self::DropOldest,
            Backpressure::AdaptiveResize => Self::AdaptiveResize,
            Backpressure::FallbackSingle => Self::FallbackSingle,
        }
    }
}

/// Columns along x, y and z.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sides(pub(crate) [u32; 3]);

fn sides(text: &str) -> Result<Sides, String> {
    let sides: Result<Vec<u32>, _> = text.split(',').map(|side| side.trim().parse()).collect();
    match sides.as_deref() {
        Ok(&[nx, ny, nz]) => Ok(Sides([nx, ny, nz])),
        _ => Err("three whole numbers with commas between them".to_owned()),
    }
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
}

/// What walks along the graph index read of each vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Codes {
    /// The vector itself.
    F32,
    /// A byte for each value.
    I8,
    /// A bit for each value.
    Signs,
    /// The signs of the differences to all neighbours at once.
    Blocks,
}

impl From<Codes> for cortica::Codes {
    fn from(codes: Codes) -> Self {
        match codes {
            Codes::F32 => Self::F32,
            Codes::I8 => Self::I8,
            Codes::Signs => Self::Signs,
            Codes::Blocks => Self::Blocks,
        }
    }
}

impl BenchArgs {
    /// How the graph index is built.
    pub(crate) fn graph(&self) -> cortica::HnswOptions {
        cortica::HnswOptions {
            codes: self.codes.into(),
            build_width: self.build_width,
            ..cortica::HnswOptions::default()
        }
    }
}

/// What an acknowledgement promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Durability {
    /// Nothing: the batch may still be in this process.
    None,
    /// The batch reached the operating system: it survives this process.
    Buffered,
    /// The batch reached the disk: it survives a power cut.
    Durable,
}

impl From<Durability> for cortica::Durability {
    fn from(durability: Durability) -> Self {
        match durability {
            Durability::None => Self::None,
            Durability::Buffered => Self::Buffered,
            Durability::Durable => Self::Durable,
        }
    }
}

/// How sure to find the nearest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Accuracy {
    /// All of them.
    Exact,
    /// Most of them, in less time.
    Approximate,
}

const EF_MAX: i64 = cortica::EF_MAX as i64;

/// What an export is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    /// A line of JSON for each item.
    Jsonl,
    /// One table, for programs that read such.
    Parquet,
}

/// How vectors are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Metric {
    /// The cosine of the angle; lengths do not matter.
    Cosine,
    /// The inner product.
    Dot,
    /// The Euclidean distance.
    L2,
}

impl From<Metric> for cortica::Metric {
    fn from(metric: Metric) -> Self {
        match metric {
            Metric::Cosine => Self::Cosine,
            Metric::Dot => Self::Dot,
            Metric::L2 => Self::L2,
        }
    }
}

fn finite(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(number) if number.is_finite() => Ok(number),
        // A number too large for an f32 parses as infinity.
        _ => Err("expected a finite number".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        super::Cli::command().debug_assert();
    }
}
