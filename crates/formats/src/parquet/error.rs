//! Why a Parquet file was refused.

use std::io;
use std::path::PathBuf;

use crate::regular::Refused;

/// Why a Parquet file could not be read or written. Nothing was set aside for what a file claims
/// and does not hold.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ParquetError {
    /// There is no file at this path.
    #[error("there is no file {}", path.display())]
    Missing {
        /// The path as it was given.
        path: PathBuf,
    },
    /// The path names a folder, a pipe or a device; Parquet is read from its end.
    #[error("{} is not a regular file", path.display())]
    NotAFile {
        /// The path as it was given.
        path: PathBuf,
    },
    /// The file does not begin as Parquet files do.
    #[error("the file does not begin with PAR1: it is no Parquet file")]
    NotParquet,
    /// The file begins as Parquet files do, and does not end so.
    #[error("the Parquet file does not end with PAR1: it was cut short, or something was appended")]
    Unfinished,
    /// The footer would begin before the file does, or be larger than what is taken in.
    #[error("the Parquet footer claims {claimed} bytes; at most {max} are accepted")]
    FooterTooLarge {
        /// Bytes claimed.
        claimed: u64,
        /// Bytes accepted.
        max: u64,
    },
    /// Written by another program, or changed by one: there is no checksum of ours.
    #[error("the Parquet file carries no checksum: another program has written it")]
    Unsealed,
    /// The bytes are not those that were written.
    #[error("the checksum is {found:08x}, {expected:08x} was written: the file is damaged")]
    Checksum {
        /// The checksum that the file carries.
        expected: u32,
        /// That of the bytes found.
        found: u32,
    },
    /// The columns are others than those that were asked for.
    #[error("the Parquet file has the columns {found}; expected {expected}")]
    Columns {
        /// Names and types found.
        found: String,
        /// Names and types expected.
        expected: String,
    },
    /// Whole, and yet not as [`Writer`](super::Writer) writes.
    #[error("the Parquet file is malformed: {why}")]
    Malformed {
        /// What is wrong, and where.
        why: String,
    },
    /// More in a row group than is taken in.
    #[error("row group {group} claims {claimed} bytes; at most {max} are accepted")]
    GroupTooLarge {
        /// Which, from 0.
        group: usize,
        /// Bytes claimed.
        claimed: u64,
        /// Bytes accepted.
        max: u64,
    },
    /// The caller's row has another number of cells than there are columns, or one of another kind.
    #[error("row {row}: {why}")]
    Row {
        /// Which, from 0.
        row: u64,
        /// What is wrong with it.
        why: String,
    },
    /// The operating system refused.
    #[error("cannot read or write the Parquet file")]
    Io(#[from] io::Error),
}

impl From<Refused> for ParquetError {
    fn from(refused: Refused) -> ParquetError {
        match refused {
            Refused::Missing(path) => ParquetError::Missing { path },
            Refused::NotAFile(path) => ParquetError::NotAFile { path },
            Refused::Io(error) => ParquetError::Io(error),
        }
    }
}

impl From<::parquet::errors::ParquetError> for ParquetError {
    fn from(error: ::parquet::errors::ParquetError) -> ParquetError {
        let why = match error {
            // What the system refused stays that, with its kind: a pipe that closed, a full disk.
            ::parquet::errors::ParquetError::External(inner) => match inner.downcast::<io::Error>()
            {
                Ok(error) => return ParquetError::Io(*error),
                Err(inner) => inner.to_string(),
            },
            error => error.to_string(),
        };
        ParquetError::Malformed { why }
    }
}
