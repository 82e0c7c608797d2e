//! Queries where kernels read them fastest.

/// Values of a cache line.
const LINE: usize = 64 / size_of::<f32>();

/// Values that are kept for the next search, at most.
const KEPT_MAX: usize = 1 << 18;

/// Copies of vectors that begin on cache lines. Of one that does not, wide vectors lie on two lines each: a batch of exact
/// searches took 47 us a query for that where it takes 42 (4,146 rows of 768 values, a Xeon with AVX-512).
#[derive(Debug, Default)]
pub(crate) struct Aligned {
    values: Vec<f32>,
}

impl Aligned {
    /// Copies vectors of the same length and lends the copies, each in its place.
    pub(crate) fn lend<'a, 'v>(
        &'a mut self,
        dimension: usize,
        vectors: impl ExactSizeIterator<Item = &'v [f32]>,
        places: &mut [&'a [f32]],
    ) {
        // A line between them: lengths of powers of two would all meet in the same few places of a cache.
        let stride = dimension.next_multiple_of(LINE) + LINE;
        self.values.resize((vectors.len() + 1) * stride, 0.0);
        let start = self.values.as_ptr().align_offset(LINE * size_of::<f32>());
        let rows = self.values[start.min(LINE)..].chunks_exact_mut(stride);
        for ((vector, row), place) in vectors.zip(rows).zip(places) {
            let row = &mut row[..vector.len()];
            row.copy_from_slice(vector);
            *place = row;
        }
    }

    /// Lets go of what is too much to keep.
    pub(crate) fn shrink(&mut self) {
        if self.values.capacity() > KEPT_MAX {
            self.values = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_copy_begins_on_a_line() {
        let mut aligned = Aligned::default();
        for dimension in [1, 15, 16, 17, 768] {
            for count in [1, 5, 64, 2] {
                let values: Vec<f32> = (0..count * dimension).map(|at| at as f32).collect();
                let mut places = [&[][..]; 64];
                aligned.lend(dimension, values.chunks_exact(dimension), &mut places);
                for (place, vector) in places.iter().zip(values.chunks_exact(dimension)) {
                    assert_eq!(place, &vector, "{count} of {dimension}");
                    assert_eq!(place.as_ptr().align_offset(64), 0, "{count} of {dimension}");
                }
                assert!(places[count..].iter().all(|place| place.is_empty()));
            }
        }
    }

    #[test]
    fn what_is_large_is_not_kept() {
        let mut aligned = Aligned::default();
        let long = vec![1.0; KEPT_MAX];
        aligned.lend(KEPT_MAX, [&long[..]].into_iter(), &mut [&[]]);
        aligned.shrink();
        assert_eq!(aligned.values.capacity(), 0);
        aligned.lend(8, [&long[..8]].into_iter(), &mut [&[]]);
        aligned.shrink();
        assert!(aligned.values.capacity() > 0);
    }
}
