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

/// How strongly a memory stands out: 0 hardly, 1 most. Never NaN.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Activation(f32);

impl Activation {
    /// An activation in [0, 1].
    pub fn new(value: f32) -> Result<Self, RangeError> {
        in_range("activation", value).map(Self)
    }

    /// The activation of an episode that was just stored: as strong as it was sure. A store without
    /// a capacity is under no pressure, which would weaken it.
    pub(crate) fn at_encoding(confidence: Confidence) -> Self {
        Self(confidence.get())
    }

    /// The activation after a use: a tenth of what is missing to 1 is made up.
    pub(crate) fn reinforced(self) -> Self {
        Self((1.0 - (1.0 - self.0) * (1.0 - 0.1)).clamp(0.0, 1.0))
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
