//! The bundled data, and larger folders of the same layout.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::npy;
use crate::oracle::{cosine, recall_above};
use crate::split::{Split, split_of};

/// Exact neighbours given per query in `gt100.u32`.
pub const TRUTH_COLUMNS: usize = 100;

/// One folder of data, whole in memory. What a folder does not have is empty here.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    /// Values per row and per query.
    pub dimension: usize,
    /// All rows, one after the other, as they are stored: not normalised again.
    pub rows: Vec<f32>,
    /// All queries, one after the other.
    pub queries: Vec<f32>,
    /// What each row is.
    pub items: Vec<Item>,
    /// What each query is.
    pub query_infos: Vec<Query>,
    /// [`TRUTH_COLUMNS`] exact nearest rows per query by cosine, best first.
    pub truth: Vec<u32>,
    /// Source row, destination row, type.
    pub edges: Vec<[u32; 3]>,
    /// The name of each type of edge.
    pub edge_types: Vec<String>,
}

/// What a row is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Part of speech and WordNet offset: `n00001740`.
    pub id: String,
    /// `lemmas: definition`, the text that was embedded.
    pub text: String,
    /// From the fourth column, or [`split_of`] the id where there is none.
    pub split: Split,
}

/// What a query is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// `example`, `lemma` or `gloss`.
    pub kind: String,
    /// The row of the concept that was meant.
    pub source: u32,
    /// The text that was embedded.
    pub text: String,
}

/// Why a folder could not be loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub why: String,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.why)
    }
}

impl std::error::Error for LoadError {}

impl Dataset {
    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows.len() / self.dimension
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// How many queries there are.
    pub fn query_count(&self) -> usize {
        self.queries.len() / self.dimension
    }

    /// The values of a row.
    pub fn row(&self, row: usize) -> &[f32] {
        &self.rows[row * self.dimension..][..self.dimension]
    }

    /// The values of a query.
    pub fn query(&self, query: usize) -> &[f32] {
        &self.queries[query * self.dimension..][..self.dimension]
    }

    /// The exact nearest rows of a query, best first.
    pub fn truth(&self, query: usize) -> &[u32] {
        &self.truth[query * TRUTH_COLUMNS..][..TRUTH_COLUMNS]
    }

    /// The share of the first `k` (at most 100) of `got` that are right; see [`recall_at`].
    ///
    /// [`recall_at`]: crate::recall_at
    pub fn recall_at(&self, k: usize, query: usize, got: &[u32]) -> f64 {
        assert!(
            (1..=TRUTH_COLUMNS).contains(&k),
            "the truth holds 100 rows per query"
        );
        let score_of = |row: u32| {
            let known = (row as usize) < self.len();
            known.then(|| cosine(self.row(row as usize), self.query(query)))
        };
        let kth = score_of(self.truth(query)[k - 1]);
        recall_above(kth.unwrap_or(f64::INFINITY), k, got, score_of)
    }
}

/// The folder of the bundled data.
pub fn bundle_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../cli/data")
}

/// The bundled data, read once per process: 4,096 rows of 768 values.
///
/// # Panics
/// When it cannot be read: a test cannot go on without it.
#[expect(clippy::panic, reason = "a test cannot go on without its data")]
pub fn bundle() -> &'static Dataset {
    static BUNDLE: OnceLock<Dataset> = OnceLock::new();
    BUNDLE.get_or_init(|| load(&bundle_dir()).unwrap_or_else(|error| panic!("{error}")))
}

/// The larger folder that the environment variable `CORTICA_DATA` names, if it is set.
pub fn data_dir() -> Option<PathBuf> {
    let dir = std::env::var_os("CORTICA_DATA").filter(|dir| !dir.is_empty());
    dir.map(PathBuf::from)
}

/// Loads the folder that `CORTICA_DATA` names, or says that `part` is skipped.
///
/// # Panics
/// When the folder is named but cannot be read: a wrong path must not pass for a skipped test.
#[expect(
    clippy::panic,
    reason = "a wrong path must not pass for a skipped test"
)]
pub fn data_or_skip(part: &str) -> Option<Dataset> {
    let Some(dir) = data_dir() else {
        println!("{part}: skipped: needs --data");
        return None;
    };
    Some(load(&dir).unwrap_or_else(|error| panic!("{error}")))
}

/// Loads a folder. `X.npy` must be there (`<f2`, `<f4`, or `|i1` with its scales per row in
/// `X_scales.npy`); `q.npy`, `gt100.u32`, `items.tsv`, `queries.tsv`, `edges.u32` and
/// `edge_types.tsv` may be.
pub fn load(dir: &Path) -> Result<Dataset, LoadError> {
    let (count, dimension, rows) = vectors(dir, "X")?.ok_or_else(|| LoadError {
        path: dir.join("X.npy"),
        why: "there is no such file".to_owned(),
    })?;
    let fails = |name: &str, why: String| LoadError {
        path: dir.join(name),
        why,
    };
    let (query_count, query_dimension, queries) =
        vectors(dir, "q")?.unwrap_or((0, dimension, Vec::new()));
    if query_dimension != dimension {
        return Err(fails(
            "q.npy",
            format!("{query_dimension} columns, X.npy has {dimension}"),
        ));
    }
    let mut items = Vec::new();
    for fields in lines(dir, "items.tsv", 3)? {
        let split = match fields.get(3).map(String::as_str) {
            Some("train") => Split::Train,
            Some("test") => Split::Test,
            Some(other) => return Err(fails("items.tsv", format!("split {other}"))),
            None => split_of(&fields[1]),
        };
        let [id, text] = [fields[1].clone(), fields[2].clone()];
        items.push(Item { id, text, split });
    }
    let mut query_infos = Vec::new();
    for fields in lines(dir, "queries.tsv", 4)? {
        let source: u32 = fields[2]
            .parse()
            .map_err(|_| fails("queries.tsv", fields.join(" ")))?;
        let [kind, text] = [fields[1].clone(), fields[3].clone()];
        query_infos.push(Query { kind, source, text });
    }
    let data = Dataset {
        dimension,
        rows,
        queries,
        items,
        query_infos,
        truth: numbers(dir, "gt100.u32")?,
        edges: numbers(dir, "edges.u32")?.as_chunks().0.to_vec(),
        edge_types: lines(dir, "edge_types.tsv", 2)?
            .into_iter()
            .map(|f| f[1].clone())
            .collect(),
    };
    let row_exists = |row: u32| (row as usize) < count;
    let lengths = [
        ("items.tsv", data.items.len(), count),
        ("queries.tsv", data.query_infos.len(), query_count),
        ("gt100.u32", data.truth.len(), query_count * TRUTH_COLUMNS),
    ];
    for (name, found, wanted) in lengths {
        if found != 0 && found != wanted {
            return Err(fails(name, format!("{found} entries, {wanted} wanted")));
        }
    }
    let named = [
        ("gt100.u32", data.truth.iter().all(|row| row_exists(*row))),
        (
            "queries.tsv",
            data.query_infos.iter().all(|q| row_exists(q.source)),
        ),
        (
            "edges.u32",
            data.edges
                .iter()
                .all(|e| row_exists(e[0]) && row_exists(e[1])),
        ),
    ];
    for (name, sound) in named {
        if !sound {
            return Err(fails(name, "names a row that does not exist".to_owned()));
        }
    }
    Ok(data)
}

/// The bytes of a file, `None` when there is none.
fn bytes(path: &Path) -> Result<Option<Vec<u8>>, LoadError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(LoadError {
            path: path.to_owned(),
            why: error.to_string(),
        }),
    }
}

/// Rows, columns and values of an npy file, multiplied by the scales beside it if there are any.
type Vectors = (usize, usize, Vec<f32>);

fn vectors(dir: &Path, name: &str) -> Result<Option<Vectors>, LoadError> {
    let path = dir.join(format!("{name}.npy"));
    let Some(whole) = bytes(&path)? else {
        return Ok(None);
    };
    let wrong = |path: &Path| LoadError {
        path: path.to_owned(),
        why: "not an npy file of the kind this reads".to_owned(),
    };
    let (rows, columns, mut values) = npy::parse(&whole).ok_or_else(|| wrong(&path))?;
    if columns == 0 {
        return Err(wrong(&path));
    }
    let path = dir.join(format!("{name}_scales.npy"));
    if let Some(scales) = bytes(&path)? {
        match npy::parse(&scales) {
            Some((scale_rows, 1, scales)) if scale_rows == rows => {
                for (row, scale) in values.chunks_exact_mut(columns).zip(scales) {
                    for value in row {
                        *value *= scale;
                    }
                }
            }
            _ => return Err(wrong(&path)),
        }
    }
    Ok(Some((rows, columns, values)))
}

fn numbers(dir: &Path, name: &str) -> Result<Vec<u32>, LoadError> {
    let bytes = bytes(&dir.join(name))?.unwrap_or_default();
    let (chunks, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() {
        let why = "not a whole number of u32".to_owned();
        return Err(LoadError {
            path: dir.join(name),
            why,
        });
    }
    Ok(chunks.iter().map(|b| u32::from_le_bytes(*b)).collect())
}

fn lines(dir: &Path, name: &str, columns_min: usize) -> Result<Vec<Vec<String>>, LoadError> {
    let path = dir.join(name);
    let bytes = bytes(&path)?.unwrap_or_default();
    let wrong = |why: String| LoadError {
        path: path.clone(),
        why,
    };
    let text = String::from_utf8(bytes).map_err(|error| wrong(error.to_string()))?;
    let lines = text.lines().map(|line| {
        let fields: Vec<String> = line.split('\t').map(str::to_owned).collect();
        if fields.len() < columns_min {
            return Err(wrong(format!("{columns_min} columns wanted: {line}")));
        }
        Ok(fields)
    });
    lines.collect()
}
