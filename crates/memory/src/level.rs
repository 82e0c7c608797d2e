//! Numbers between 0 and 1 that mean something.

use std::fmt;

/// The value is not a number in [0, 1].
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("{name}: got {got}, expected a number from 0 to 1")]
pub struct RangeError {
    /// What was to be made.
    pub name: &'static str,
    /// The value offered.
    pub got: f32,
}

fn in_range(name: &'static str, got: f32) -> Result<f32, RangeError> {
    // Adding zero turns -0 into 0, so that equal levels have equal bits.
    if (0.0..=1.0).contains(&got) {
        Ok(got + 0.0)
    } else {
        Err(RangeError { name, got })
    }
}

/// How sure something is: 0 not at all, 1 fully. Never NaN.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Confidence(f32);

impl Confidence {
    /// Fully sure.
    pub const FULL: Confidence = Confidence(1.0);

    /// A confidence in [0, 1].
    pub fn new(value: f32) -> Result<Self, RangeError> {
        in_range("confidence", value).map(Self)
    }

    /// The number, in [0, 1].
    pub const fn get(self) -> f32 {
        self.0
    }
}

impl Default for Confidence {
    fn default() -> Self {
        Self::FULL
    }
}

impl fmt::Display for Confidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// After so many uses another one changes no activation, whatever it was.
pub(crate) const USES_MAX: u32 = 256;

/// How full a store is, from 0 to 1: `live / capacity` in f64, and 0 without a capacity.
pub(crate) fn pressure(live: usize, capacity: Option<usize>) -> f64 {
    match capacity {
        // At most 1: a capacity that was lowered may be less than what is there.
        Some(capacity) => live.min(capacity) as f64 / capacity.max(1) as f64,
        None => 0.0,
    }
}

/// How strongly a memory stands out: 0 hardly, 1 most. Never NaN.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Activation(f32);

impl Activation {
    /// An activation in [0, 1].
    pub fn new(value: f32) -> Result<Self, RangeError> {
        in_range("activation", value).map(Self)
    }

    /// The activation of an episode that was just stored in a store without a capacity: as strong as it
    /// was sure. What a log says nothing about has it too.
    pub(crate) fn at_encoding(confidence: Confidence) -> Self {
        Self(confidence.get())
    }

    /// The activation of an episode that was just stored under a pressure from 0 to 1:
    /// `confidence x (1 - 0.5 x pressure)`, in f64, rounded once to f32.
    pub(crate) fn under(confidence: Confidence, pressure: f64) -> Self {
        let activation = f64::from(confidence.get()) * (1.0 - 0.5 * pressure);
        Self((activation as f32).clamp(0.0, 1.0))
    }

    /// The activation after a use: a tenth of what is missing to 1 is made up. In f32:
    /// `1 - (1 - a) x 0.9`.
    pub(crate) fn reinforced(self) -> Self {
        Self((1.0 - (1.0 - self.0) * (1.0 - 0.1)).clamp(0.0, 1.0))
    }

    /// The activation after so many uses.
    pub(crate) fn used(self, times: u32) -> Self {
        let mut activation = self;
        for _ in 0..times.min(USES_MAX) {
            activation = activation.reinforced();
        }
        activation
    }

    /// Orders as the numbers do: they are never below 0.
    pub(crate) fn order(self) -> u32 {
        self.0.to_bits()
    }

    /// The number, in [0, 1].
    pub const fn get(self) -> f32 {
        self.0
    }
}

impl fmt::Display for Activation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uses_bring_an_activation_to_1() {
        let mut activation = Activation(0.0);
        assert!((activation.reinforced().get() - 0.1).abs() < 1e-6);
        for _ in 0..1_000 {
            let next = activation.reinforced();
            assert!(next >= activation && next.get() <= 1.0);
            activation = next;
        }
        assert!(activation.get() > 0.999_999);
        assert_eq!(Activation(1.0).reinforced(), Activation(1.0));
    }

    #[test]
    fn activations_under_pressure_are_as_computed_by_hand() {
        let at = |confidence: f32, live, capacity| {
            let confidence = Confidence::new(confidence).unwrap_or_default();
            Activation::under(confidence, pressure(live, capacity)).get()
        };
        assert_eq!(at(1.0, 0, Some(4)), 1.0);
        assert_eq!(at(1.0, 1, Some(4)), 0.875);
        assert_eq!(at(0.5, 2, Some(4)), 0.375);
        assert_eq!(at(1.0, 4, Some(4)), 0.5);
        assert_eq!(at(1.0, 9, Some(4)), 0.5, "more than a lowered capacity");
        assert_eq!(at(0.0, 3, Some(4)), 0.0);
        assert_eq!(at(0.7, 3, None), 0.7);
        assert_eq!(at(0.7, 0, Some(4)), 0.7);
        // 0.8 x (1 - 1/6), by hand: 0.666666680...; the f32 nearest to 0.8 is 0.800000012.
        assert_eq!(at(0.8, 1, Some(3)).to_bits(), 0.666_666_7_f32.to_bits());
    }

    #[test]
    fn uses_are_as_computed_by_hand() {
        let used = |activation: f32, times| Activation(activation).used(times).get();
        assert_eq!(used(0.5, 0), 0.5);
        assert!((used(0.5, 1) - 0.55).abs() < 1e-6);
        assert!((used(0.5, 2) - 0.595).abs() < 1e-6);
        assert!((used(0.0, 3) - 0.271).abs() < 1e-6);
        assert_eq!(used(1.0, 9), 1.0);
    }

    #[test]
    fn more_uses_than_the_most_change_nothing() {
        // A use keeps the order of activations: what starts above 0 ends where 0 ends, or above.
        let highest = Activation(0.0).used(USES_MAX);
        assert_eq!(highest.reinforced(), highest);
        for bits in highest.get().to_bits()..=1.0_f32.to_bits() {
            let activation = Activation(f32::from_bits(bits)).used(USES_MAX);
            assert_eq!(activation.reinforced(), activation);
        }
        let mut last = Activation(0.0);
        for step in 0..=100_000 {
            let next = Activation(step as f32 / 100_000.0).reinforced();
            assert!(next >= last, "{step}");
            last = next;
        }
    }

    #[test]
    fn only_numbers_from_0_to_1_are_levels() {
        for good in [0.0, -0.0, f32::MIN_POSITIVE, 0.5, 1.0] {
            assert_eq!(Confidence::new(good).map(Confidence::get), Ok(good));
            assert_eq!(Activation::new(good).map(Activation::get), Ok(good));
        }
        for bad in [
            -f32::MIN_POSITIVE,
            1.0 + f32::EPSILON,
            f32::INFINITY,
            f32::NAN,
        ] {
            assert!(Confidence::new(bad).is_err(), "{bad}");
            assert!(Activation::new(bad).is_err(), "{bad}");
        }
        assert_eq!(
            Confidence::new(-0.0).map(|zero| zero.get().to_bits()),
            Ok(0)
        );
    }
}
