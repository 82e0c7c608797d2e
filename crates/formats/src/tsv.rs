//! Tab-separated text: no quoting, no header line.

use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use crate::lines::{Line, next_line};
use crate::regular::{self, Refused};

/// The longest line that is accepted, in bytes.
const LINE_BYTES_MAX: usize = 1 << 20;

/// Why tab-separated text was refused. Lines count from 1.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TsvError {
    /// There is no file at this path.
    #[error("there is no file {}", path.display())]
    Missing {
        /// The path as it was given.
        path: PathBuf,
    },
    /// The path names a folder, a pipe or a device.
    #[error("{} is not a regular file", path.display())]
    NotAFile {
        /// The path as it was given.
        path: PathBuf,
    },
    /// A line has too few columns.
    #[error("line {line} has {got} columns; at least {min} are needed")]
    Columns {
        /// Where.
        line: u64,
        /// Columns found.
        got: usize,
        /// Columns needed.
        min: usize,
    },
    /// A line is not UTF-8.
    #[error("line {line} is not valid UTF-8")]
    NotUtf8 {
        /// Where.
        line: u64,
    },
    /// A line is longer than the bound.
    #[error("line {line} is longer than {max} bytes")]
    LineTooLong {
        /// Where.
        line: u64,
        /// Bytes accepted.
        max: usize,
    },
    /// The operating system refused.
    #[error("cannot read the tab-separated file")]
    Io(#[from] io::Error),
}

impl From<Refused> for TsvError {
    fn from(refused: Refused) -> TsvError {
        match refused {
            Refused::Missing(path) => TsvError::Missing { path },
            Refused::NotAFile(path) => TsvError::NotAFile { path },
            Refused::Io(error) => TsvError::Io(error),
        }
    }
}

/// Reads a whole file into one list of columns per line.
///
/// Every line must have at least `columns_min` columns and at most 1 MiB; lines end in `\n` or
/// `\r\n`, the last one may end with the file. Memory: about that of the text.
pub fn read_tsv(path: &Path, columns_min: usize) -> Result<Vec<Vec<String>>, TsvError> {
    let (file, _) = regular::open(path)?;
    read_tsv_from(BufReader::new(file), columns_min)
}

/// The same from any reader, from bytes in memory say.
///
/// ```
/// let rows = cortica_formats::read_tsv_from(&b"0\tn00001740\tentity: that which is\n"[..], 3)?;
/// assert_eq!(rows, [["0", "n00001740", "entity: that which is"]]);
/// # Ok::<(), cortica_formats::TsvError>(())
/// ```
pub fn read_tsv_from(
    mut reader: impl BufRead,
    columns_min: usize,
) -> Result<Vec<Vec<String>>, TsvError> {
    let mut rows = Vec::new();
    let mut bytes = Vec::new();
    for line in 1.. {
        match next_line(&mut reader, LINE_BYTES_MAX, &mut bytes)? {
            Line::End => break,
            Line::TooLong => {
                return Err(TsvError::LineTooLong {
                    line,
                    max: LINE_BYTES_MAX,
                });
            }
            Line::Read => {}
        }
        let text = str::from_utf8(&bytes).map_err(|_| TsvError::NotUtf8 { line })?;
        let columns: Vec<String> = text.split('\t').map(str::to_owned).collect();
        if columns.len() < columns_min {
            return Err(TsvError::Columns {
                line,
                got: columns.len(),
                min: columns_min,
            });
        }
        rows.push(columns);
    }
    Ok(rows)
}
