//! Vectors in 64-byte-aligned rows that never move.

use cortica_simd::Rows;

/// f32 values in a cache line; every row starts on one.
const LINE: usize = 16;

/// Rows are kept in segments of about this many bytes: adding a row never copies another one.
const SEGMENT_BYTES: usize = 4 << 20;

/// Vectors of one dimension, numbered from 0.
#[derive(Debug)]
pub(crate) struct PackedRows {
    dimension: usize,
    stride: usize,
    rows_per_segment: usize,
    segments: Vec<Segment>,
    len: usize,
}

/// A buffer that is never grown past its first capacity, so that its address and with it the
/// alignment of its rows stay.
#[derive(Debug)]
struct Segment {
    values: Vec<f32>,
    /// Where the first cache line of `values` starts.
    start: usize,
}

impl PackedRows {
    pub(crate) fn new(dimension: usize) -> Self {
        let stride = dimension.next_multiple_of(LINE);
        let rows_per_segment = (SEGMENT_BYTES / (stride * size_of::<f32>())).max(1);
        Self {
            dimension,
            stride,
            rows_per_segment,
            segments: Vec::new(),
            len: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Bytes of memory that hold rows. A segment's unused rest was never touched, so it takes none.
    pub(crate) fn bytes(&self) -> usize {
        self.len * self.stride * size_of::<f32>()
    }

    /// Adds a row of `dimension` values.
    pub(crate) fn push(&mut self, vector: &[f32]) {
        if self.len == self.segments.len() * self.rows_per_segment {
            self.segments
                .push(Segment::new(self.rows_per_segment * self.stride));
        }
        if let Some(segment) = self.segments.last_mut() {
            segment.values.extend_from_slice(vector);
            let padding = self.stride - self.dimension;
            segment.values.extend(std::iter::repeat_n(0.0, padding));
            self.len += 1;
        }
    }

    pub(crate) fn row(&self, at: usize) -> Option<&[f32]> {
        let segment = self.segments.get(at / self.rows_per_segment)?;
        let from = segment.start + (at % self.rows_per_segment) * self.stride;
        segment.values.get(from..from + self.dimension)
    }

    /// All rows in runs that lie one behind the other, with the number of each run's first row.
    pub(crate) fn runs(&self) -> impl Iterator<Item = (usize, Rows<'_>)> {
        self.segments
            .iter()
            .enumerate()
            .filter_map(|(at, segment)| {
                let data = &segment.values[segment.start..];
                let rows = Rows::new(data, self.dimension, self.stride).ok()?;
                Some((at * self.rows_per_segment, rows))
            })
    }
}

impl Segment {
    fn new(len: usize) -> Self {
        let mut values: Vec<f32> = Vec::with_capacity(len + LINE);
        // Unaligned rows would be slower, not wrong, should the offset not be known.
        let start = values
            .as_ptr()
            .align_offset(LINE * size_of::<f32>())
            .min(LINE);
        values.resize(start, 0.0);
        Self { values, start }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stay_where_they_are_and_start_on_cache_lines() {
        for dimension in [1, 16, 17, 768, 8_192] {
            let mut rows = PackedRows::new(dimension);
            let count = 2 * rows.rows_per_segment.min(2_000) + 3;
            let vector = |at: usize| vec![at as f32; dimension];
            rows.push(&vector(0));
            let first = rows.row(0).map(<[f32]>::as_ptr);
            (1..count).for_each(|at| rows.push(&vector(at)));
            assert_eq!(rows.len(), count);
            assert_eq!(rows.row(0).map(<[f32]>::as_ptr), first);
            assert_eq!(rows.row(count), None);
            let mut seen = 0;
            for (from, run) in rows.runs() {
                for (at, row) in run.iter().enumerate() {
                    assert_eq!(row, vector(from + at));
                    assert_eq!(rows.row(from + at), Some(row));
                    assert_eq!(row.as_ptr().align_offset(64), 0);
                    seen += 1;
                }
            }
            assert_eq!(seen, count);
            assert!(rows.bytes() >= count * dimension * 4);
        }
    }
}
