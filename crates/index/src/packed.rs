//! Vectors in 64-byte-aligned rows that never move.

use crate::vector_index::VectorError;
use cortica_simd::Rows;
use memmap2::MmapMut;

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

/// Anonymous memory: zeroed, page-aligned, and untouched until a row is written.
#[derive(Debug)]
struct Segment(MmapMut);

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

    /// Bytes of memory that hold rows.
    pub(crate) fn bytes(&self) -> usize {
        self.len * self.stride * size_of::<f32>()
    }

    /// Makes room for `additional` more rows.
    pub(crate) fn reserve(&mut self, additional: usize) -> Result<(), VectorError> {
        let wanted = (self.len + additional).div_ceil(self.rows_per_segment);
        while self.segments.len() < wanted {
            let bytes = self.rows_per_segment * self.stride * size_of::<f32>();
            self.segments.push(Segment::new(bytes)?);
        }
        Ok(())
    }

    /// Adds a row of `dimension` values.
    pub(crate) fn push(&mut self, vector: &[f32]) -> Result<(), VectorError> {
        self.reserve(1)?;
        let from = (self.len % self.rows_per_segment) * self.stride;
        let place = self.segments[self.len / self.rows_per_segment].values_mut();
        // The padding behind the row is zero from the start.
        place[from..from + self.dimension].copy_from_slice(vector);
        self.len += 1;
        Ok(())
    }

    pub(crate) fn row(&self, at: usize) -> Option<&[f32]> {
        if at >= self.len {
            return None;
        }
        let from = (at % self.rows_per_segment) * self.stride;
        let segment = self.segments.get(at / self.rows_per_segment)?;
        segment.values().get(from..from + self.dimension)
    }

    /// All rows in runs that lie one behind the other, with the number of each run's first row.
    pub(crate) fn runs(&self) -> impl Iterator<Item = (usize, Rows<'_>)> {
        let segments = self.segments.iter().enumerate();
        segments.filter_map(|(at, segment)| {
            let first = at * self.rows_per_segment;
            let rows = self.len.saturating_sub(first).min(self.rows_per_segment);
            let data = &segment.values()[..rows * self.stride];
            let rows = Rows::new(data, self.dimension, self.stride).ok()?;
            Some((first, rows))
        })
    }
}

impl Segment {
    fn new(bytes: usize) -> Result<Self, VectorError> {
        let map = MmapMut::map_anon(bytes).map_err(|_| VectorError::OutOfMemory { bytes })?;
        // Only a hint: where huge pages are not to be had, small ones do.
        #[cfg(target_os = "linux")]
        let _ = map.advise(memmap2::Advice::HugePage);
        Ok(Self(map))
    }

    fn values(&self) -> &[f32] {
        bytemuck::cast_slice(&self.0)
    }

    fn values_mut(&mut self) -> &mut [f32] {
        bytemuck::cast_slice_mut(&mut self.0)
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
            rows.push(&vector(0)).unwrap();
            let first = rows.row(0).map(<[f32]>::as_ptr);
            (1..count).for_each(|at| rows.push(&vector(at)).unwrap());
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
