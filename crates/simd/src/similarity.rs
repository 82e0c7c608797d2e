//! The form that turns a distance into a similarity. A cosine is one as it is.

use crate::isa::Isa;
use crate::map::{Map, map};
use pulp::Simd;

/// `1 / (1 + d)` for a squared distance d^2, in [0, 1]: 1 for equal vectors, 0 at an infinite
/// distance, and never higher for what is farther. Three roundings from the exact value.
///
/// ```
/// use cortica_simd::distance_similarity;
///
/// assert_eq!(distance_similarity(0.0), 1.0);
/// assert_eq!(distance_similarity(9.0), 0.25);
/// ```
pub fn distance_similarity(squared_distance: f32) -> f32 {
    1.0 / (1.0 + squared_distance.sqrt())
}

/// [`distance_similarity`] of each value, in place: the same bits, on every [`Isa`]. Cost: O(n).
pub fn distance_similarities(isa: Isa, squared_distances: &mut [f32]) {
    map(isa, squared_distances, Similarity);
}

#[derive(Clone, Copy)]
struct Similarity;

impl Map for Similarity {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, squared_distance: S::f32s) -> S::f32s {
        let one = simd.splat_f32s(1.0);
        let distance = simd.sqrt_f32s(squared_distance);
        simd.div_f32s(one, simd.add_f32s(one, distance))
    }
}
