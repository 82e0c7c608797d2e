//! Tables of little-endian `u32` without a header: edges and lists of neighbours.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::slice::ChunksExact;

use crate::regular::{self, Refused};
use crate::replace::replace;

/// Why a table was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
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
    /// A table needs at least one column.
    #[error("a table of 0 columns cannot be read or written")]
    NoColumns,
    /// The length is not a whole number of rows: another file, or one cut short.
    #[error("{found} bytes are not a whole number of rows of {row_bytes} bytes")]
    Ragged {
        /// Bytes found.
        found: u64,
        /// Bytes per row.
        row_bytes: u64,
    },
    /// The table does not fit in memory.
    #[error("no memory for a table of {bytes} bytes")]
    Memory {
        /// Bytes the file holds.
        bytes: u64,
    },
    /// The operating system refused.
    #[error("cannot read or write the table")]
    Io(#[from] io::Error),
}

impl From<Refused> for TableError {
    fn from(refused: Refused) -> TableError {
        match refused {
            Refused::Missing(path) => TableError::Missing { path },
            Refused::NotAFile(path) => TableError::NotAFile { path },
            Refused::Io(error) => TableError::Io(error),
        }
    }
}

/// A table of `rows x columns` numbers, held in memory (4 bytes per number).
///
/// ```
/// use cortica_formats::U32Table;
///
/// let edges = U32Table::from_bytes(&[1, 0, 0, 0, 2, 0, 0, 0, 12, 0, 0, 0], 3)?;
/// assert_eq!(edges.rows(), 1);
/// assert_eq!(edges.row(0), [1, 2, 12]);
/// # Ok::<(), cortica_formats::TableError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct U32Table {
    columns: usize,
    values: Vec<u32>,
}

impl U32Table {
    /// A table from its values, row after row.
    pub fn new(columns: usize, values: Vec<u32>) -> Result<U32Table, TableError> {
        if columns == 0 {
            return Err(TableError::NoColumns);
        }
        if !values.len().is_multiple_of(columns) {
            return Err(TableError::Ragged {
                found: 4 * values.len() as u64,
                row_bytes: 4 * columns as u64,
            });
        }
        Ok(U32Table { columns, values })
    }

    /// Reads a whole file. Cost: one pass; while reading, memory for twice what the file
    /// holds.
    pub fn read(path: &Path, columns: usize) -> Result<U32Table, TableError> {
        let (file, length) = regular::open(path)?;
        check_length(length, columns)?;
        let no_memory = |_| TableError::Memory { bytes: length };
        let mut bytes = Vec::new();
        let room = usize::try_from(length).unwrap_or(usize::MAX);
        bytes.try_reserve_exact(room).map_err(no_memory)?;
        // `take`: a file that grows meanwhile must not grow the buffer.
        file.take(length).read_to_end(&mut bytes)?;
        U32Table::from_bytes(&bytes, columns)
    }

    /// Reads a table from bytes in memory, from `include_bytes!` say.
    pub fn from_bytes(bytes: &[u8], columns: usize) -> Result<U32Table, TableError> {
        check_length(bytes.len() as u64, columns)?;
        let (chunks, _) = bytes.as_chunks::<4>();
        let mut values = Vec::new();
        let no_memory = |_| TableError::Memory {
            bytes: bytes.len() as u64,
        };
        values.try_reserve_exact(chunks.len()).map_err(no_memory)?;
        values.extend(chunks.iter().map(|b| u32::from_le_bytes(*b)));
        Ok(U32Table { columns, values })
    }

    /// Writes the table through a temporary sibling; see the crate's documentation.
    pub fn write(&self, path: &Path) -> Result<(), TableError> {
        replace(path, |out| {
            let mut numbers = self.values.iter();
            numbers.try_for_each(|v| out.write_all(&v.to_le_bytes()))
        })?;
        Ok(())
    }

    /// How many rows there are; may be 0.
    pub fn rows(&self) -> usize {
        self.values.len() / self.columns
    }

    /// Numbers per row, at least 1.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Row `row`, as long as there are [`columns`](U32Table::columns).
    ///
    /// # Panics
    /// When `row` is not below [`rows`](U32Table::rows), as indexing a slice does.
    pub fn row(&self, row: usize) -> &[u32] {
        &self.values[row * self.columns..][..self.columns]
    }

    /// The rows in order.
    pub fn iter(&self) -> ChunksExact<'_, u32> {
        self.values.chunks_exact(self.columns)
    }

    /// All numbers, row after row.
    pub fn values(&self) -> &[u32] {
        &self.values
    }
}

impl<'a> IntoIterator for &'a U32Table {
    type Item = &'a [u32];
    type IntoIter = ChunksExact<'a, u32>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

fn check_length(found: u64, columns: usize) -> Result<(), TableError> {
    if columns == 0 {
        return Err(TableError::NoColumns);
    }
    let row_bytes = (columns as u64).saturating_mul(4);
    if !found.is_multiple_of(row_bytes) {
        return Err(TableError::Ragged { found, row_bytes });
    }
    Ok(())
}
