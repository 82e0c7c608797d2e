//! The pages of one column chunk, none of which claims more than it may hold.

use std::fs::File;
use std::sync::Arc;

use ::parquet::basic::Encoding;
use ::parquet::column::page::{Page, PageReader};
use ::parquet::file::metadata::ColumnChunkMetaData;
use ::parquet::file::serialized_reader::SerializedPageReader;

use super::ParquetError;

/// Data pages of the first version with plain values, and of these as many as the chunk has room for.
///
/// A run of equal levels takes a few bytes however long it is, and a dictionary makes much of little:
/// without this, a small file could ask for all the memory there is.
pub(super) struct PlainPages {
    pages: SerializedPageReader<File>,
    /// Levels that pages may still have.
    left: usize,
}

/// What a page holds: levels, then values.
pub(super) struct PlainPage {
    pub(super) bytes: Vec<u8>,
    /// How many levels it says it has.
    pub(super) levels: usize,
}

impl PlainPages {
    /// The chunk lies within the file: its caller has seen to it.
    pub(super) fn new(
        file: &Arc<File>,
        chunk: &ColumnChunkMetaData,
        rows: usize,
    ) -> Result<PlainPages, ParquetError> {
        let pages = SerializedPageReader::new(Arc::clone(file), chunk, rows, None)?;
        // Every level is of a row, or of a value in a list, of at least four bytes.
        let values = chunk.compressed_size().unsigned_abs() / 4;
        let left = rows + values as usize;
        Ok(PlainPages { pages, left })
    }
}

impl Iterator for PlainPages {
    type Item = Result<PlainPage, ParquetError>;

    fn next(&mut self) -> Option<Self::Item> {
        let why = match self.pages.get_next_page() {
            Ok(None) => return None,
            Err(error) => return Some(Err(error.into())),
            Ok(Some(Page::DataPage {
                buf,
                num_values,
                encoding: Encoding::PLAIN,
                def_level_encoding: Encoding::RLE,
                rep_level_encoding: Encoding::RLE,
                ..
            })) => match self.left.checked_sub(num_values as usize) {
                Some(left) => {
                    self.left = left;
                    return Some(Ok(PlainPage {
                        bytes: buf.into(),
                        levels: num_values as usize,
                    }));
                }
                None => format!("a page claims {num_values} values, more than there can be"),
            },
            Ok(Some(page)) => {
                let (kind, encoding) = (page.page_type(), page.encoding());
                format!("a {kind} with {encoding} where a plain data page belongs")
            }
        };
        Some(Err(ParquetError::Malformed { why }))
    }
}
