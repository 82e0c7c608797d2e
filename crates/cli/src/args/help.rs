//! What `--help` says after the options.

pub(super) const EXIT_CODES: &str = "\
Exit codes:
  0  all of it worked
  1  it failed, some items failed, or damage was found; the output says what
  2  the command line was wrong";

pub(super) const INGEST_HELP: &str = "\
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

pub(super) const BATCH_HELP: &str = "\
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

pub(super) const ALLOCATE_HELP: &str = "\
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

pub(super) const MAP_HELP: &str = "\
The picture is SVG: a panel for each layer of the grid, a square for each column, coloured by the part of
speech where ids are WordNet's (n00001740), or by the metadata entry that --by names. Columns that hold
nothing are left grey.";

pub(super) const FORGET_HELP: &str = "\
What is forgotten is not found any more when the command ends. Its bytes are in the store's files
until `cortica compact` has rewritten them, in none of the snapshots made from now on, and in
whatever copies there are elsewhere.

With --json there is a line for each id and a summary line:
  {\"id\":\"tea\",\"forgotten\":true,\"seq\":7,\"durability\":\"durable\",\"error\":null}
An id that is not there is a failure; the others are forgotten all the same.";

pub(super) const EXPORT_HELP: &str = "\
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

pub(super) const IMPORT_HELP: &str = "\
The file must be whole: its last line says how much there is. An id that the store has already is
refused, unless everything else is the same too; so after an interruption run the same command
again. A Parquet file is verified before anything of it is stored.";

pub(super) const CHECK_HELP: &str = "\
A damaged store can still be read, with a warning, and not written. --repair writes what is whole in
each damaged file into a new one and moves the damaged file into the folder `quarantine` in the
store. What was in the damaged places is lost: where that is an episode, its relations go with it;
where it is a forgetting or an update, the episode is what it was before. Copy the folder first.";

pub(super) const BENCH_HELP: &str = "\
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
