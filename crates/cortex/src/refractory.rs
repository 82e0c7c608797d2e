//! Rest after a spike.

use cortica_env::Timestamp;

/// For how long a column that has fired stays quiet, and how much harder it is to fire afterwards.
///
/// Absolutely refractory for `absolute_ms`; then, for `relative_ms`, a threshold that is raised by
/// `raise exp(-5 t / relative_ms)`, t counted from the end of the absolute part (a moving threshold as in
/// Gerstner & Kistler 2002, ch. 4.2). Of the raise 0.7% is left at the end, where it is dropped.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RefractoryParams {
    /// Milliseconds in which nothing fires it.
    pub absolute_ms: f32,
    /// Milliseconds, after those, in which its threshold decays.
    pub relative_ms: f32,
    /// How much its threshold is raised by when the absolute part ends.
    pub raise: f32,
}

/// Time constants of the threshold in its relative part.
const DECAYS: f64 = 5.0;

impl Default for RefractoryParams {
    fn default() -> RefractoryParams {
        RefractoryParams {
            absolute_ms: 2.0,
            relative_ms: 10.0,
            raise: 0.2,
        }
    }
}

impl RefractoryParams {
    /// Whether a column that fired so many milliseconds ago cannot be activated.
    #[must_use]
    pub fn is_absolute(&self, since_ms: f64) -> bool {
        since_ms < f64::from(self.absolute_ms)
    }

    /// What is added to the threshold so many milliseconds after a spike: infinite in the
    /// absolute part.
    #[must_use]
    pub fn raise_after(&self, since_ms: f64) -> f32 {
        let into = since_ms - f64::from(self.absolute_ms);
        if into < 0.0 {
            f32::INFINITY
        } else if into < f64::from(self.relative_ms) {
            (f64::from(self.raise) * (-DECAYS * into / f64::from(self.relative_ms)).exp()) as f32
        } else {
            0.0
        }
    }
}

/// Milliseconds from one moment to another; negative where the clock was put back.
pub(crate) fn millis_between(from: Timestamp, to: Timestamp) -> f64 {
    // Readings may lie as far apart as there is, so not in i64.
    let micros = i128::from(to.as_micros()) - i128::from(from.as_micros());
    micros as f64 / 1_000.0
}
