//! Writing rows as Parquet.

use std::io::Write;
use std::sync::Arc;

use ::parquet::basic::{Compression, Encoding};
use ::parquet::file::metadata::KeyValue;
use ::parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use ::parquet::file::writer::SerializedFileWriter;
use ::parquet::schema::types::ColumnPath;

use super::gathered::Gathered;
use super::schema::schema;
use super::seal::{self, Sealing};
use super::{Cell, Column, GROUP_BYTES, GROUP_ROWS, Kind, ParquetError};

/// Writes rows, which go to the sink in groups of at most [`GROUP_ROWS`] rows and about
/// [`GROUP_BYTES`] bytes. Memory: one group, twice, and some 100 bytes for each column of each group.
///
/// The same rows give the same bytes. Not atomic: without [`Writer::finish`] there is no file.
#[derive(Debug)]
pub struct Writer<W: Write + Send> {
    file: SerializedFileWriter<Sealing<W>>,
    columns: &'static [Column],
    gathered: Vec<Gathered>,
    /// In the group that is gathered, and in all.
    rows: (usize, u64),
}

impl<W: Write + Send> Writer<W> {
    /// Writes to `sink`, which need not be able to seek.
    pub fn new(sink: W, columns: &'static [Column]) -> Result<Writer<W>, ParquetError> {
        let mut properties = WriterProperties::builder()
            .set_writer_version(WriterVersion::PARQUET_1_0)
            .set_created_by(concat!("cortica ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_compression(Compression::UNCOMPRESSED)
            .set_dictionary_enabled(false)
            .set_encoding(Encoding::PLAIN)
            .set_statistics_enabled(EnabledStatistics::Chunk);
        for column in columns.iter().filter(|it| it.kind == Kind::Floats) {
            // Least and largest of all numbers of all rows: nobody asks for that.
            let path = [column.name, "list", "element"].map(str::to_owned);
            let path = ColumnPath::new(path.to_vec());
            properties = properties.set_column_statistics_enabled(path, EnabledStatistics::None);
        }
        let properties = Arc::new(properties.build());
        let file = SerializedFileWriter::new(Sealing::new(sink), schema(columns)?, properties)?;
        Ok(Writer {
            file,
            columns,
            gathered: columns.iter().map(|it| Gathered::new(it.kind)).collect(),
            rows: (0, 0),
        })
    }

    /// Writes a row: one cell for each column. After an error the file is of no use.
    pub fn write(&mut self, row: &[Cell<'_>]) -> Result<(), ParquetError> {
        let refused = |why| ParquetError::Row {
            row: self.rows.1,
            why,
        };
        if row.len() != self.columns.len() {
            let (cells, columns) = (row.len(), self.columns.len());
            return Err(refused(format!("got {cells} cells for {columns} columns")));
        }
        for ((column, gathered), cell) in self.columns.iter().zip(&mut self.gathered).zip(row) {
            if !gathered.push(cell) {
                let Column { name, kind } = column;
                return Err(refused(format!("column {name}: the cell is no {kind:?}")));
            }
        }
        self.rows = (self.rows.0 + 1, self.rows.1 + 1);
        let bytes: usize = self.gathered.iter().map(Gathered::bytes).sum();
        if self.rows.0 >= GROUP_ROWS || bytes >= GROUP_BYTES {
            self.close_group()?;
        }
        Ok(())
    }

    fn close_group(&mut self) -> Result<(), ParquetError> {
        let mut group = self.file.next_row_group()?;
        for gathered in &mut self.gathered {
            gathered.write(&mut group)?;
        }
        group.close()?;
        self.rows.0 = 0;
        Ok(())
    }

    /// Writes what is left, metadata and checksum, and hands the sink back, flushed.
    pub fn finish(mut self, metadata: &[(&str, &str)]) -> Result<W, ParquetError> {
        if self.rows.0 > 0 {
            self.close_group()?;
        }
        let texts = metadata
            .iter()
            .map(|&(key, value)| (key.to_owned(), value.to_owned()));
        // The checksum comes last, so that its digits are behind every text.
        for (key, value) in texts.chain([(seal::KEY.to_owned(), seal::blank())]) {
            self.file
                .append_key_value_metadata(KeyValue::new(key, value));
        }
        self.file.inner_mut().hold();
        self.file.into_inner()?.finish()
    }
}
