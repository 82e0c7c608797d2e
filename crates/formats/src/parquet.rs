//! Parquet: a table of named columns that many programs read, sealed with a checksum.
//!
//! The low-level writer and reader of the crate `parquet`, without Arrow. Files are plain: no
//! compression, no dictionaries, the first version of data pages; so a page is never larger decoded
//! than it is in the file, and [`Reader`] takes in nothing else. It reads what [`Writer`] wrote,
//! whole: a checksum over every byte of the file is verified before any of it is parsed. Other
//! programs see the checksum as one more text in the file's metadata.
//!
//! ```
//! use cortica_formats::parquet::{Cell, Column, Kind, Reader, Writer};
//!
//! const COLUMNS: &[Column] = &[Column::new("id", Kind::Text), Column::new("vector", Kind::Floats)];
//!
//! # let folder = tempfile::tempdir()?;
//! let path = folder.path().join("rows.parquet");
//! let mut out = Writer::new(std::fs::File::create(&path)?, COLUMNS)?;
//! out.write(&[Cell::Text("a".into()), Cell::Floats(vec![0.5, -1.0].into())])?;
//! out.write(&[Cell::Text("b".into()), Cell::Null])?;
//! out.finish(&[("model", "m")])?;
//!
//! let mut file = Reader::open(&path, COLUMNS)?;
//! assert_eq!((file.rows(), file.metadata("model")), (2, Some("m")));
//! let rows: Vec<Vec<Cell>> = file.by_ref().collect::<Result<_, _>>()?;
//! assert_eq!(rows[0][1], Cell::Floats(vec![0.5, -1.0].into()));
//! assert_eq!(rows[1][1], Cell::Null);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod error;
mod gathered;
mod levels;
mod pages;
mod reader;
mod schema;
mod seal;
mod taken;
mod writer;

use std::borrow::Cow;

pub use self::error::ParquetError;
pub use self::reader::Reader;
pub use self::writer::Writer;

/// What every Parquet file begins and ends with.
pub const MAGIC: &[u8; 4] = b"PAR1";
/// Rows after which [`Writer`] closes a row group.
pub const GROUP_ROWS: usize = 8_192;
/// Bytes of cells after which [`Writer`] closes a row group, however few rows it has.
pub const GROUP_BYTES: usize = 16 << 20;
/// Bytes of a row group, or of the footer, that [`Reader`] takes into memory at most. One row has
/// to fit as well, so a row of more than about 100 MiB can be written and not read.
pub const READ_BYTES_MAX: u64 = 128 << 20;

/// What the cells of a column are. Every column may have empty cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// UTF-8.
    Text,
    /// UTF-8 that other programs may take for JSON; it is not looked into here.
    Json,
    /// A moment: microseconds since 1970, UTC.
    Micros,
    /// A whole number.
    Count,
    /// A number. Its bits are kept.
    Float,
    /// A list of texts.
    Texts,
    /// A list of numbers. Their bits are kept.
    Floats,
}

/// A column: its name, and what its cells are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// What other programs call it.
    pub name: &'static str,
    /// What its cells are.
    pub kind: Kind,
}

impl Column {
    /// A column of this name and kind.
    pub const fn new(name: &'static str, kind: Kind) -> Column {
        Column { name, kind }
    }
}

/// What stands in one column of one row.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell<'a> {
    /// Nothing.
    Null,
    /// Of [`Kind::Text`] or [`Kind::Json`].
    Text(Cow<'a, str>),
    /// Of [`Kind::Micros`].
    Micros(i64),
    /// Of [`Kind::Count`].
    Count(u32),
    /// Of [`Kind::Float`].
    Float(f32),
    /// Of [`Kind::Texts`].
    Texts(Cow<'a, [String]>),
    /// Of [`Kind::Floats`].
    Floats(Cow<'a, [f32]>),
}

impl<'a> From<&'a str> for Cell<'a> {
    fn from(text: &'a str) -> Cell<'a> {
        Cell::Text(Cow::Borrowed(text))
    }
}

impl<'a> From<&'a [f32]> for Cell<'a> {
    fn from(values: &'a [f32]) -> Cell<'a> {
        Cell::Floats(Cow::Borrowed(values))
    }
}

impl<'a, T: Into<Cell<'a>>> From<Option<T>> for Cell<'a> {
    fn from(cell: Option<T>) -> Cell<'a> {
        cell.map_or(Cell::Null, T::into)
    }
}
