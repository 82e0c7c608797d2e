//! What can be wrong with inputs and with weight files.

use cortica_formats::SafetensorsError;

/// Why an input was refused; nothing was computed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InputError {
    /// Not as many values as the call takes. A `scratch` or a `state` was made for other networks then; of a
    /// `scratch`, `expected` is what is needed at least.
    #[error("{field}: got {got} values, expected {expected}{}", explain(field))]
    Length {
        /// Which input.
        field: &'static str,
        /// Values given.
        got: usize,
        /// Values wanted.
        expected: usize,
    },
    /// A value that is infinite or not a number.
    #[error("{field}: value {at} is not finite")]
    NotFinite {
        /// Which input.
        field: &'static str,
        /// Its place, counted through the whole input.
        at: usize,
    },
}

/// What is not an input is mended by making it anew.
fn explain(field: &str) -> &'static str {
    match field {
        "scratch" => "; it was made for smaller networks, make it with these networks' `scratch`",
        "state" => "; it was made for another predictor, make it with this one's `state`",
        _ => "",
    }
}

impl InputError {
    pub(crate) fn check_length(
        field: &'static str,
        got: usize,
        expected: usize,
    ) -> Result<(), InputError> {
        if got == expected {
            Ok(())
        } else {
            Err(InputError::Length {
                field,
                got,
                expected,
            })
        }
    }

    /// `start` is how many values of the input come before these.
    pub(crate) fn not_finite(field: &'static str, start: usize, values: &[f32]) -> InputError {
        let place = values.iter().position(|value| !value.is_finite());
        InputError::NotFinite {
            field,
            at: start + place.unwrap_or_default(),
        }
    }
}

/// Why weights could not be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WeightsError {
    /// The file is not a whole and undamaged safetensors file.
    #[error(transparent)]
    File(#[from] SafetensorsError),
    /// Tensors, but not those of these networks.
    #[error("format: got {found:?}, expected \"cortica-networks\"")]
    Format {
        /// The metadata's entry, empty if there is none.
        found: String,
    },
    /// Written by a later release; upgrade this build to read it.
    #[error("weights of version {found:?}; this build reads version {supported}")]
    Version {
        /// The metadata's entry, empty if there is none.
        found: String,
        /// The version this build reads.
        supported: u32,
    },
    /// A tensor is missing.
    #[error("tensor {name} is missing")]
    Missing {
        /// The tensor.
        name: String,
    },
    /// A tensor that belongs to no network.
    #[error("tensor {name} belongs to no network")]
    Unknown {
        /// The tensor.
        name: String,
    },
    /// A tensor of another shape than its network asks for.
    #[error("tensor {name}: got {got:?}, expected {expected}")]
    Shape {
        /// The tensor.
        name: String,
        /// Its shape.
        got: Vec<usize>,
        /// What would have done.
        expected: String,
    },
    /// A tensor whose values are stored in a way that is not read there.
    #[error("tensor {name}: got values of type {got}, expected {expected}")]
    Dtype {
        /// The tensor.
        name: String,
        /// Its type.
        got: &'static str,
        /// What would have done.
        expected: &'static str,
    },
    /// A weight that is infinite or not a number.
    #[error("tensor {name}: value {at} is not finite")]
    NotFinite {
        /// The tensor.
        name: String,
        /// Its place in the tensor.
        at: usize,
    },
    /// Weights so large that some input would make the network overflow.
    #[error("{name}: results may reach {bound:e}, more than {max:e}")]
    Unbounded {
        /// The layer.
        name: String,
        /// The largest size its results may have.
        bound: f64,
        /// What is accepted.
        max: f64,
    },
    /// A direction whose length is not 1.
    #[error("tensor {name}: row {row} has length {length}; it must be 1")]
    Length {
        /// The tensor.
        name: String,
        /// Which direction.
        row: usize,
        /// Its length.
        length: f64,
    },
    /// Quantiles that are not in ascending order.
    #[error("tensor {name}: value {at} is below the one before it; each row must ascend")]
    Descending {
        /// The tensor.
        name: String,
        /// Its place in the tensor.
        at: usize,
    },
}
