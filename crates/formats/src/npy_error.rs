//! Why an npy file was refused.

use std::io;
use std::path::PathBuf;

use crate::regular::Refused;

/// Why an npy file could not be read. Each case names what was found, by the header's own word
/// where one entry of the header is at fault; nothing was read into the caller's buffer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NpyError {
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
    /// The file does not begin with the npy magic bytes.
    #[error("not an npy file: it does not begin with \\x93NUMPY")]
    NotNpy,
    /// An npy format version other than 1.0, 2.0 and 3.0.
    #[error("npy format version {major}.{minor} is not 1.0, 2.0 or 3.0")]
    Version {
        /// First version byte.
        major: u8,
        /// Second version byte.
        minor: u8,
    },
    /// The header's length field is absurd for a plain two-dimensional array.
    #[error("the npy header claims {claimed} bytes; at most {max} are accepted")]
    HeaderTooLarge {
        /// Bytes claimed.
        claimed: u64,
        /// Bytes accepted.
        max: u64,
    },
    /// The header is not the Python dictionary that the format asks for.
    #[error("the npy header is malformed at its byte {at}: {why}")]
    Header {
        /// Byte position inside the header text.
        at: usize,
        /// What was expected there.
        why: &'static str,
    },
    /// Values of a type that is not read: convert with `array.astype('<f4')`.
    #[error("descr: got values of type {found}, expected '<f4', '<f2' or '|i1'")]
    Dtype {
        /// The `descr` entry, cut to a readable length.
        found: String,
    },
    /// Big-endian values: convert with `array.astype('<f4')`.
    #[error("descr: got big-endian values {found}, expected little-endian '<f4', '<f2' or '|i1'")]
    BigEndian {
        /// The `descr` entry.
        found: String,
    },
    /// Columns are contiguous instead of rows: save `numpy.ascontiguousarray(array)`.
    #[error(
        "fortran_order: got True, expected False; save numpy.ascontiguousarray(array), not Fortran order"
    )]
    FortranOrder,
    /// Not `rows x columns`.
    #[error("shape: got a {found}-dimensional array, expected rows x columns (2)")]
    Dimensions {
        /// How many dimensions the shape has.
        found: usize,
    },
    /// Rows without a single value.
    #[error("shape: got {rows} rows of 0 columns, expected at least 1 column")]
    NoColumns {
        /// Rows claimed.
        rows: u64,
    },
    /// The shape needs more bytes than a 64-bit file can have.
    #[error("shape: got {rows} x {columns}, expected no more values than an npy file can hold")]
    Oversized {
        /// Rows claimed.
        rows: u64,
        /// Columns claimed.
        columns: u64,
    },
    /// The file ends early, or its header claims more rows than it holds.
    #[error("the npy file is cut short: {expected} bytes expected, {found} found")]
    Truncated {
        /// Whole length in bytes that the part read so far asks for.
        expected: u64,
        /// Length of the file in bytes.
        found: u64,
    },
    /// Bytes after the last row: a damaged header, or two files joined.
    #[error("the npy file goes on after its last row: {expected} bytes expected, {found} found")]
    Trailing {
        /// Length in bytes that the header asks for.
        expected: u64,
        /// Length of the file in bytes.
        found: u64,
    },
    /// The caller asked for rows past the end.
    #[error("rows {from}..{from}+{count} were asked for; the file has {rows}")]
    RowRange {
        /// First row asked for.
        from: usize,
        /// How many rows were asked for.
        count: usize,
        /// Rows in the file.
        rows: usize,
    },
    /// Values and their scales do not belong together.
    #[error(
        "{rows} rows of values need {rows} x 1 f32 scales; the scales are {scale_rows} x {scale_columns}"
    )]
    Scales {
        /// Rows of the values.
        rows: usize,
        /// Rows of the scales.
        scale_rows: usize,
        /// Columns of the scales.
        scale_columns: usize,
    },
    /// The rows do not fit in memory: read fewer at a time.
    #[error("no memory for {values} values; read fewer rows at a time")]
    Memory {
        /// Values asked for.
        values: usize,
    },
    /// The operating system refused.
    #[error("cannot read the npy file")]
    Io(#[from] io::Error),
}

impl From<Refused> for NpyError {
    fn from(refused: Refused) -> NpyError {
        match refused {
            Refused::Missing(path) => NpyError::Missing { path },
            Refused::NotAFile(path) => NpyError::NotAFile { path },
            Refused::Io(error) => NpyError::Io(error),
        }
    }
}
