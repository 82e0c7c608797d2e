//! Reading what the writer wrote.

use std::fmt;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use ::parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData};

use super::pages::PlainPages;
use super::schema::{schema, words};
use super::seal::{self, verified_footer};
use super::taken::Taken;
use super::{Cell, Column, GROUP_ROWS, ParquetError, READ_BYTES_MAX};
use crate::regular;

/// Reads the rows of a file in their order, one cell for each column.
///
/// An iterator: an error is given once and ends it. Memory: one row group, decoded, which is at most
/// some [`READ_BYTES_MAX`] bytes and twice that for lists, and the footer.
pub struct Reader {
    file: Arc<File>,
    length: u64,
    about: ParquetMetaData,
    columns: &'static [Column],
    /// The group that comes next.
    group: usize,
    /// Of the group that is given out: its columns, and rows that are left.
    taken: Vec<Taken>,
    left: usize,
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Reader");
        shown
            .field("rows", &self.rows())
            .field("group", &self.group);
        shown.finish_non_exhaustive()
    }
}

impl Reader {
    /// Opens a file that has exactly these columns, after reading all of it once to verify its
    /// checksum.
    pub fn open(path: &Path, columns: &'static [Column]) -> Result<Reader, ParquetError> {
        let (mut file, length) = regular::open(path)?;
        let footer = verified_footer(&mut file, length)?;
        let about = ParquetMetaDataReader::decode_metadata(&footer)?;
        let expected = schema(columns)?;
        let found = about.file_metadata().schema_descr().root_schema();
        if *found != *expected {
            return Err(ParquetError::Columns {
                found: words(found),
                expected: words(&expected),
            });
        }
        let reader = Reader {
            file: Arc::new(file),
            length,
            about,
            columns,
            group: 0,
            taken: Vec::new(),
            left: 0,
        };
        if reader.metadata(seal::KEY) != Some(&seal::blank()) {
            return Err(ParquetError::Unsealed);
        }
        let mut groups = reader.about.row_groups().iter();
        let rows = groups.try_fold(0_u64, |sum, group| {
            sum.checked_add(u64::try_from(group.num_rows()).ok()?)
        });
        if rows != u64::try_from(reader.about.file_metadata().num_rows()).ok() || rows.is_none() {
            let why = "its row groups have not as many rows as it says".to_owned();
            return Err(ParquetError::Malformed { why });
        }
        Ok(reader)
    }

    /// Rows of the file.
    pub fn rows(&self) -> u64 {
        self.about.file_metadata().num_rows().unsigned_abs()
    }

    /// A text of the file's metadata.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        let texts = self.about.file_metadata().key_value_metadata()?;
        texts.iter().find(|it| it.key == key)?.value.as_deref()
    }

    /// Reads the next group that has rows. `false`: there is none.
    fn read_group(&mut self) -> Result<bool, ParquetError> {
        while self.left == 0 {
            self.taken.clear();
            if self.group == self.about.num_row_groups() {
                return Ok(false);
            }
            let group = self.about.row_group(self.group);
            let rows = self.bounded_rows(group)?;
            let mut taken = Vec::with_capacity(self.columns.len());
            for (at, column) in self.columns.iter().enumerate() {
                let pages = PlainPages::new(&self.file, group.column(at), rows)?;
                taken.push(Taken::read(pages, column.kind, rows)?);
            }
            (self.taken, self.left) = (taken, rows);
            self.group += 1;
        }
        Ok(true)
    }

    /// The rows of a group whose chunks lie within the file, and are not too much to take in.
    fn bounded_rows(&self, group: &RowGroupMetaData) -> Result<usize, ParquetError> {
        if group.num_columns() != self.columns.len() {
            return Err(self.malformed("another number of columns than the schema has"));
        }
        let mut claimed = 0_u64;
        for chunk in group.columns() {
            let start = u64::try_from(chunk.data_page_offset());
            let bytes = u64::try_from(chunk.compressed_size());
            let end = start.ok().zip(bytes.ok());
            let end = end.and_then(|(start, bytes)| Some((start.checked_add(bytes)?, bytes)));
            let Some((_, bytes)) = end.filter(|&(end, _)| end <= self.length) else {
                return Err(self.malformed("a column chunk outside of the file"));
            };
            if chunk.dictionary_page_offset().is_some() {
                return Err(self.malformed("a dictionary, which this reader does not take"));
            }
            claimed = claimed.saturating_add(bytes);
        }
        if claimed > READ_BYTES_MAX {
            return Err(ParquetError::GroupTooLarge {
                group: self.group,
                claimed,
                max: READ_BYTES_MAX,
            });
        }
        // Rows whose cells are all empty take nothing in the file, and yet some memory here.
        match usize::try_from(group.num_rows()) {
            Ok(rows) if rows <= GROUP_ROWS => Ok(rows),
            _ => Err(self.malformed("more rows than a group of ours has")),
        }
    }

    fn malformed(&self, why: &str) -> ParquetError {
        let why = format!("row group {}: {why}", self.group);
        ParquetError::Malformed { why }
    }

    fn next_row(&mut self) -> Result<Option<Vec<Cell<'static>>>, ParquetError> {
        if !self.read_group()? {
            return Ok(None);
        }
        self.left -= 1;
        let row: Option<_> = self.taken.iter_mut().map(Taken::next_cell).collect();
        row.map(Some)
            .ok_or_else(|| self.malformed("a column ends before its group"))
    }
}

impl Iterator for Reader {
    type Item = Result<Vec<Cell<'static>>, ParquetError>;

    fn next(&mut self) -> Option<Self::Item> {
        let row = self.next_row();
        if row.is_err() {
            // Nothing behind an error is given out.
            (self.group, self.left) = (self.about.num_row_groups(), 0);
            self.taken.clear();
        }
        row.transpose()
    }
}
