//! Codes, and how alike two of them are.

use cortica_simd::{Isa, cosine};

/// Values in a code.
pub const CODE: usize = 64;

/// Codes that a predictor or a detector looks back on.
pub const WINDOW: usize = 8;

/// What the encoder makes of features: a vector of length 1, or the zero vector, which is like
/// nothing.
pub type Code = [f32; CODE];

/// How alike two codes are, `(1 + cos) / 2`, in [0, 1]; 0.5 where either is the zero vector.
///
/// Between a code and a column's prototype this is the semantic score; between a prediction and the
/// prototype, the temporal one. Values of any finite size may be given.
///
/// ```
/// use cortica_neural::{CODE, score};
/// use cortica_simd::Isa;
///
/// let (mut a, none) = ([0.0; CODE], [0.0; CODE]);
/// a[3] = 1.0;
/// assert_eq!(score(Isa::best(), &a, &a), 1.0);
/// assert_eq!(score(Isa::best(), &a, &a.map(|value| -value)), 0.0);
/// assert_eq!(score(Isa::best(), &a, &none), 0.5);
/// ```
pub fn score(isa: Isa, a: &Code, b: &Code) -> f32 {
    let score = f32::midpoint(1.0, cosine(isa, a, b));
    // Rounding can lead a little beyond; what is not a number knows nothing.
    if score.is_nan() {
        0.5
    } else {
        score.clamp(0.0, 1.0)
    }
}

/// The definition of [`score`], in f64.
pub fn score_reference(a: &Code, b: &Code) -> f64 {
    let dot = |a: &Code, b: &Code| -> f64 {
        let pairs = a.iter().zip(b);
        pairs.map(|(&x, &y)| f64::from(x) * f64::from(y)).sum()
    };
    let norms = dot(a, a).sqrt() * dot(b, b).sqrt();
    if norms == 0.0 {
        0.5
    } else {
        f64::midpoint(1.0, dot(a, b) / norms).clamp(0.0, 1.0)
    }
}
