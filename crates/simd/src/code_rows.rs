//! Borrowed rows of codes: what [`Rows`](crate::Rows) is for f32, for the smaller formats.

use crate::rows::RowsError;

/// Codes of equal length that lie one behind the other: row `i` is `data[i * stride..][..width]`.
///
/// `T` is the unit a format is made of: `u16` for f16, `i8`, and `u64` words for signs. Whoever
/// owns the memory lends it in this form. Rows that start on cache lines are read fastest.
#[derive(Clone, Copy, Debug)]
pub struct CodeRows<'a, T> {
    data: &'a [T],
    width: usize,
    stride: usize,
}

impl<'a, T> CodeRows<'a, T> {
    /// Rows of `width` units whose starts are `stride` units apart.
    pub fn new(data: &'a [T], width: usize, stride: usize) -> Result<Self, RowsError> {
        if width == 0 || stride < width {
            return Err(RowsError::Shape {
                dimension: width,
                stride,
            });
        }
        if !data.len().is_multiple_of(stride) {
            return Err(RowsError::Ragged {
                len: data.len(),
                stride,
            });
        }
        Ok(Self {
            data,
            width,
            stride,
        })
    }

    /// Rows without padding.
    pub fn packed(data: &'a [T], width: usize) -> Result<Self, RowsError> {
        Self::new(data, width, width)
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.data.len() / self.stride
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// Units a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The units as they lie, padding included.
    pub fn data(&self) -> &'a [T] {
        self.data
    }

    /// Units from one row's start to the next.
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// One row, if there are that many.
    #[inline]
    pub fn row(&self, row: usize) -> Option<&'a [T]> {
        let start = row.checked_mul(self.stride)?;
        self.data.get(start..)?.get(..self.width)
    }

    /// The rows in order.
    #[inline]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &'a [T]> + Clone + use<'a, T> {
        let width = self.width;
        self.data
            .chunks_exact(self.stride)
            .map(move |row| &row[..width])
    }

    /// The rows from `from` up to but not including `to`, cut to what is there.
    #[must_use]
    #[inline]
    pub fn range(&self, from: usize, to: usize) -> CodeRows<'a, T> {
        let to = to.min(self.len());
        let from = from.min(to);
        CodeRows {
            data: &self.data[from * self.stride..to * self.stride],
            ..*self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_is_skipped_and_rows_are_found() {
        let data = [1_i8, 2, 9, 3, 4, 9];
        let rows = CodeRows::new(&data, 2, 3).unwrap();
        assert_eq!(rows.iter().collect::<Vec<_>>(), [[1, 2], [3, 4]]);
        assert_eq!(rows.row(1), Some(&[3, 4][..]));
        assert_eq!((rows.row(2), rows.row(usize::MAX)), (None, None));
        assert_eq!(rows.range(1, 9).iter().collect::<Vec<_>>(), [[3, 4]]);
        assert!(rows.range(2, 1).is_empty());
    }

    #[test]
    fn shapes_that_do_not_fit_are_refused() {
        let shape = |dimension, stride| Some(RowsError::Shape { dimension, stride });
        assert_eq!(CodeRows::new(&[0_u8; 8], 0, 4).err(), shape(0, 4));
        assert_eq!(CodeRows::new(&[0_u8; 8], 5, 4).err(), shape(5, 4));
        let ragged = Some(RowsError::Ragged { len: 5, stride: 2 });
        assert_eq!(CodeRows::packed(&[0_u8; 5], 2).err(), ragged);
    }
}
