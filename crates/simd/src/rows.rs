//! Borrowed rows of equal length.

/// Vectors that lie one behind the other: row `i` is `data[i * stride..][..dimension]`.
///
/// Whoever owns the memory lends it in this form; a stride above the dimension leaves room for
/// padding, so that rows can start on cache lines. Where the owner keeps `1 / |row|` for each row,
/// it lends those too, and a cosine costs a dot product.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    data: &'a [f32],
    dimension: usize,
    stride: usize,
    inverse_norms: Option<&'a [f32]>,
}

/// The slice does not hold whole rows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RowsError {
    /// A row needs at least one value, and the stride must cover it.
    #[error("a dimension of {dimension} does not fit a stride of {stride}")]
    Shape {
        /// Values a row.
        dimension: usize,
        /// Values from one row's start to the next.
        stride: usize,
    },
    /// Cut the slice to a multiple of the stride.
    #[error("{len} values are not a whole number of rows of {stride}")]
    Ragged {
        /// Values in the slice.
        len: usize,
        /// Values from one row's start to the next.
        stride: usize,
    },
    /// Each row needs its own inverse norm, and no other.
    #[error("{got} inverse norms for {rows} rows")]
    InverseNorms {
        /// Inverse norms.
        got: usize,
        /// Rows.
        rows: usize,
    },
}

impl<'a> Rows<'a> {
    /// Rows of `dimension` values whose starts are `stride` values apart.
    pub fn new(data: &'a [f32], dimension: usize, stride: usize) -> Result<Self, RowsError> {
        if dimension == 0 || stride < dimension {
            return Err(RowsError::Shape { dimension, stride });
        }
        if !data.len().is_multiple_of(stride) {
            return Err(RowsError::Ragged {
                len: data.len(),
                stride,
            });
        }
        Ok(Self {
            data,
            dimension,
            stride,
            inverse_norms: None,
        })
    }

    /// The same rows with the [`inverse_norm`](crate::inverse_norm) of each.
    pub fn with_inverse_norms(self, inverse_norms: &'a [f32]) -> Result<Self, RowsError> {
        if inverse_norms.len() != self.len() {
            return Err(RowsError::InverseNorms {
                got: inverse_norms.len(),
                rows: self.len(),
            });
        }
        Ok(Self {
            inverse_norms: Some(inverse_norms),
            ..self
        })
    }

    /// Rows without padding.
    pub fn packed(data: &'a [f32], dimension: usize) -> Result<Self, RowsError> {
        Self::new(data, dimension, dimension)
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.data.len() / self.stride
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// The values as they lie, padding included.
    pub fn data(&self) -> &'a [f32] {
        self.data
    }

    /// Values a row.
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// Values from one row's start to the next.
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// `1 / |row|` of each row, where its owner keeps it.
    pub fn inverse_norms(&self) -> Option<&'a [f32]> {
        self.inverse_norms
    }

    /// The rows in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &'a [f32]> + Clone + use<'a> {
        let dimension = self.dimension;
        self.data
            .chunks_exact(self.stride)
            .map(move |row| &row[..dimension])
    }

    /// The rows from `from` up to but not including `to`, cut to what is there.
    #[must_use]
    pub fn range(&self, from: usize, to: usize) -> Rows<'a> {
        let to = to.min(self.len());
        let from = from.min(to);
        Rows {
            data: &self.data[from * self.stride..to * self.stride],
            inverse_norms: self.inverse_norms.map(|norms| &norms[from..to]),
            ..*self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_is_skipped() {
        let data = [1.0, 2.0, 9.0, 3.0, 4.0, 9.0];
        let rows = Rows::new(&data, 2, 3).unwrap();
        assert_eq!(rows.iter().collect::<Vec<_>>(), [[1.0, 2.0], [3.0, 4.0]]);
        assert_eq!(rows.range(1, 9).iter().collect::<Vec<_>>(), [[3.0, 4.0]]);
        assert!(rows.range(2, 1).is_empty());
    }

    #[test]
    fn inverse_norms_go_with_their_rows() {
        let rows = Rows::packed(&[2.0, 4.0, 8.0], 1).unwrap();
        assert_eq!(rows.inverse_norms(), None);
        let rows = rows.with_inverse_norms(&[0.5, 0.25, 0.125]).unwrap();
        let last = rows.range(1, 3);
        assert_eq!(last.inverse_norms(), Some([0.25, 0.125].as_slice()));
        let refused = rows.with_inverse_norms(&[0.5]).err();
        assert_eq!(refused, Some(RowsError::InverseNorms { got: 1, rows: 3 }));
    }

    #[test]
    fn shapes_that_do_not_fit_are_refused() {
        assert_eq!(
            Rows::new(&[], 0, 4).err(),
            Some(RowsError::Shape {
                dimension: 0,
                stride: 4
            })
        );
        assert_eq!(
            Rows::new(&[], 5, 4).err(),
            Some(RowsError::Shape {
                dimension: 5,
                stride: 4
            })
        );
        assert_eq!(
            Rows::packed(&[0.0; 5], 2).err(),
            Some(RowsError::Ragged { len: 5, stride: 2 })
        );
    }
}
