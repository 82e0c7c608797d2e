//! The cells of one column of a row group that is being gathered.

use std::io::Write;

use ::parquet::column::writer::ColumnWriter;
use ::parquet::data_type::{ByteArray, ByteArrayType, FloatType, Int32Type, Int64Type};
use ::parquet::errors::{ParquetError as Refused, Result};
use ::parquet::file::writer::SerializedRowGroupWriter;

use super::{Cell, Kind};

/// Values, and for each row (of a list: for each value, or for the lack of them) how much there is.
#[derive(Debug)]
pub(super) struct Gathered {
    values: Values,
    /// 0: nothing. Of a list 1: an empty one. The highest: a value.
    definition: Vec<i16>,
    /// Of lists, 0: a row begins. 1: it goes on.
    repetition: Option<Vec<i16>>,
    bytes: usize,
}

#[derive(Debug)]
enum Values {
    Bytes(Vec<ByteArray>),
    I64(Vec<i64>),
    I32(Vec<i32>),
    F32(Vec<f32>),
}

impl Gathered {
    pub(super) fn new(kind: Kind) -> Gathered {
        let listed = matches!(kind, Kind::Texts | Kind::Floats);
        Gathered {
            values: match kind {
                Kind::Text | Kind::Json | Kind::Texts => Values::Bytes(Vec::new()),
                Kind::Micros => Values::I64(Vec::new()),
                Kind::Count => Values::I32(Vec::new()),
                Kind::Float | Kind::Floats => Values::F32(Vec::new()),
            },
            definition: Vec::new(),
            repetition: listed.then(Vec::new),
            bytes: 0,
        }
    }

    /// Bytes of cells that are held.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes a cell in. `false`: it is of another kind than the column, and nothing was taken.
    pub(super) fn push(&mut self, cell: &Cell<'_>) -> bool {
        let before = self.definition.len();
        match (&mut self.values, &mut self.repetition, cell) {
            (_, None, Cell::Null) => self.definition.push(0),
            (Values::Bytes(values), None, Cell::Text(text)) => {
                values.push(text.as_bytes().into());
                self.definition.push(1);
                self.bytes += text.len();
            }
            (Values::I64(values), None, Cell::Micros(micros)) => {
                values.push(*micros);
                self.definition.push(1);
            }
            (Values::I32(values), None, Cell::Count(count)) => {
                values.push(count.cast_signed()); // The schema says that it is unsigned.
                self.definition.push(1);
            }
            (Values::F32(values), None, Cell::Float(number)) => {
                values.push(*number);
                self.definition.push(1);
            }
            (_, Some(repetition), Cell::Null) => {
                self.definition.push(0);
                repetition.push(0);
            }
            (Values::Bytes(values), Some(repetition), Cell::Texts(texts)) => {
                values.extend(texts.iter().map(|text| ByteArray::from(text.as_bytes())));
                levels(&mut self.definition, repetition, texts.len());
                self.bytes += texts.iter().map(String::len).sum::<usize>();
            }
            (Values::F32(values), Some(repetition), Cell::Floats(numbers)) => {
                values.extend_from_slice(numbers);
                levels(&mut self.definition, repetition, numbers.len());
            }
            _ => return false,
        }
        // A text takes some memory of its own, however short it is.
        let each = match &self.values {
            Values::Bytes(_) => size_of::<ByteArray>(),
            Values::I64(_) | Values::I32(_) | Values::F32(_) => size_of::<f32>(),
        };
        self.bytes += each * (self.definition.len() - before);
        true
    }

    /// Writes the column's chunk and is empty again.
    pub(super) fn write<W: Write + Send>(
        &mut self,
        group: &mut SerializedRowGroupWriter<'_, W>,
    ) -> Result<()> {
        let other = || Refused::General("the schema has another column here".to_owned());
        let mut column = group.next_column()?.ok_or_else(other)?;
        let (definition, repetition) = (Some(&self.definition[..]), self.repetition.as_deref());
        match (column.untyped(), &mut self.values) {
            (ColumnWriter::ByteArrayColumnWriter(_), Values::Bytes(values)) => {
                let column = column.typed::<ByteArrayType>();
                column.write_batch(values, definition, repetition)?;
                values.clear();
            }
            (ColumnWriter::Int64ColumnWriter(_), Values::I64(values)) => {
                let column = column.typed::<Int64Type>();
                column.write_batch(values, definition, repetition)?;
                values.clear();
            }
            (ColumnWriter::Int32ColumnWriter(_), Values::I32(values)) => {
                let column = column.typed::<Int32Type>();
                column.write_batch(values, definition, repetition)?;
                values.clear();
            }
            (ColumnWriter::FloatColumnWriter(_), Values::F32(values)) => {
                let column = column.typed::<FloatType>();
                column.write_batch(values, definition, repetition)?;
                values.clear();
            }
            _ => return Err(other()),
        }
        column.close()?;
        self.definition.clear();
        if let Some(repetition) = &mut self.repetition {
            repetition.clear();
        }
        self.bytes = 0;
        Ok(())
    }
}

/// The levels of a list of so many values.
fn levels(definition: &mut Vec<i16>, repetition: &mut Vec<i16>, values: usize) {
    let (filled, level) = if values == 0 { (1, 1) } else { (values, 2) };
    definition.resize(definition.len() + filled, level);
    repetition.push(0);
    repetition.resize(definition.len(), 1);
}
