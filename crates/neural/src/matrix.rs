//! A layer's weights, as they lie in memory.

use crate::dispatch::run;
use crate::error::WeightsError;
use crate::integer::{Rounded, Weights};
use crate::product::{PANEL, Weight, add_products};
use crate::tensors::Tensors;
use crate::unit::make_unit;
use cortica_formats::TensorDtype;
use cortica_simd::{Isa, dot};
use pulp::{Simd, WithSimd};

/// How large a layer's results may get, for the largest inputs: far from where f32 ends, so that no
/// sum on the way there overflows either.
pub(crate) const BOUND_MAX: f64 = 1e30;

/// Squared lengths far from both ends of the range of f32: nothing of them overflowed or vanished.
const ORDINARY: std::ops::RangeInclusive<f32> = 1e-24..=1e30;

/// The weights of one layer: `outputs` sums over `inputs` values, a multiple of [`PANEL`], and what
/// is added to each.
#[derive(Debug)]
pub(crate) struct Matrix {
    inputs: usize,
    outputs: usize,
    packed: Packed,
    bias: Vec<f32>,
}

/// In panels; see [`add_products`] and [`Weights`].
#[derive(Debug)]
enum Packed {
    F32(Vec<f32>),
    /// Each output has a scale.
    I8(Vec<i8>, Vec<f32>),
    /// As `I8`, for inputs that are rounded.
    Rounding(Weights),
}

impl Matrix {
    /// Reads `{name}.weight`, f32 or i8, `[outputs, inputs]`; its `{name}.scale`, `[outputs]`, if
    /// it is i8; and `{name}.bias`, `[outputs]`.
    pub(crate) fn read(
        file: &mut Tensors<'_>,
        name: &str,
        outputs: usize,
        inputs: usize,
    ) -> Result<Matrix, WeightsError> {
        let mut matrix = Matrix::read_without_bias(file, name, outputs, inputs)?;
        matrix.bias = file.floats(&format!("{name}.bias"), &[outputs])?;
        Ok(matrix)
    }

    /// As [`Matrix::read`], with nothing to add to the sums.
    pub(crate) fn read_without_bias(
        file: &mut Tensors<'_>,
        name: &str,
        outputs: usize,
        inputs: usize,
    ) -> Result<Matrix, WeightsError> {
        let tensor = format!("{name}.weight");
        let found = file.tensor(&tensor)?;
        if found.shape != [outputs, inputs] || !outputs.is_multiple_of(PANEL) {
            return Err(WeightsError::Shape {
                name: tensor,
                got: found.shape.to_vec(),
                expected: format!("[{outputs}, {inputs}], the first a multiple of {PANEL}"),
            });
        }
        let packed = match found.dtype {
            TensorDtype::F32 => {
                let values = file.floats(&tensor, &[outputs, inputs])?;
                Packed::F32(pack(&values, inputs))
            }
            TensorDtype::I8 => {
                let values: Vec<i8> = found.bytes.iter().map(|byte| byte.cast_signed()).collect();
                let scales = file.floats(&format!("{name}.scale"), &[outputs])?;
                Packed::I8(pack(&values, inputs), scales)
            }
            other => {
                return Err(WeightsError::Dtype {
                    name: tensor,
                    got: other.name(),
                    expected: "F32 or I8",
                });
            }
        };
        Ok(Matrix {
            inputs,
            outputs,
            packed,
            bias: Vec::new(),
        })
    }

    pub(crate) fn inputs(&self) -> usize {
        self.inputs
    }

    pub(crate) fn outputs(&self) -> usize {
        self.outputs
    }

    /// The same layer; if its weights are i8, it rounds its inputs from now on. That is twice as
    /// fast and costs a 65,534th of the largest input of a row: too much only where a few inputs
    /// are much larger than the others.
    pub(crate) fn rounding(mut self) -> Matrix {
        if let Packed::I8(weights, scales) = &self.packed {
            let places = (0..self.outputs).flat_map(|output| {
                let panel = output / PANEL * self.inputs;
                (0..self.inputs).map(move |input| (panel + input) * PANEL + output % PANEL)
            });
            let rows: Vec<i8> = places.map(|at| weights[at]).collect();
            let weights = Weights::pack(&rows, self.inputs, scales.clone());
            self.packed = Packed::Rounding(weights);
        }
        self
    }

    /// Bytes of weights, scales and biases.
    pub(crate) fn bytes(&self) -> usize {
        let weights = match &self.packed {
            Packed::F32(weights) => size_of_val(&weights[..]),
            Packed::I8(weights, scales) => size_of_val(&weights[..]) + size_of_val(&scales[..]),
            Packed::Rounding(weights) => weights.bytes(),
        };
        weights + size_of_val(&self.bias[..])
    }

    /// For each row of `inputs`, its results in a row of `out`.
    pub(crate) fn apply(&self, isa: Isa, inputs: &[f32], rounded: &mut Rounded, out: &mut [f32]) {
        self.apply_onto(isa, inputs, rounded, &self.bias, out);
    }

    /// As [`Matrix::apply`], and instead of the bias a row of `addends` is added to each row of
    /// results.
    pub(crate) fn apply_onto(
        &self,
        isa: Isa,
        inputs: &[f32],
        rounded: &mut Rounded,
        addends: &[f32],
        out: &mut [f32],
    ) {
        let scales = match &self.packed {
            Packed::Rounding(weights) => {
                return weights.apply(isa, inputs, rounded, addends, out);
            }
            Packed::F32(weights) => {
                out.fill(0.0);
                add_products(isa, weights, self.inputs, inputs, out);
                &[][..]
            }
            Packed::I8(weights, scales) => {
                out.fill(0.0);
                add_products(isa, weights, self.inputs, inputs, out);
                scales
            }
        };
        let addends = addends.chunks_exact(self.outputs).cycle();
        for (sums, addends) in out.chunks_exact_mut(self.outputs).zip(addends) {
            let finish = Finish {
                scales,
                addends,
                sums,
            };
            run(isa, finish);
        }
    }

    /// As [`Matrix::apply`], for rows brought to length 1 first, in `units`. A row that is not finite
    /// is refused by its number.
    pub(crate) fn apply_units(
        &self,
        isa: Isa,
        inputs: &[f32],
        units: &mut [f32],
        rounded: &mut Rounded,
        out: &mut [f32],
    ) -> Result<(), usize> {
        let rows = inputs.chunks_exact(self.inputs).enumerate();
        let units = &mut units[..inputs.len()];
        if let Packed::Rounding(weights) = &self.packed {
            let mut count = 0;
            for (at, row) in rows {
                let squares = dot(isa, row, row);
                if ORDINARY.contains(&squares) {
                    // What is rounded has a step, and to change that is to change the length.
                    weights.round(isa, at, row, rounded);
                    rounded.scale(at, 1.0 / squares.sqrt());
                } else {
                    let unit = &mut units[..self.inputs];
                    unit.copy_from_slice(row);
                    if !make_unit(isa, unit) {
                        return Err(at);
                    }
                    weights.round(isa, at, unit, rounded);
                }
                count += 1;
            }
            weights.multiply(isa, count, rounded, &self.bias, out);
            return Ok(());
        }
        units.copy_from_slice(inputs);
        for (at, row) in units.chunks_exact_mut(self.inputs).enumerate() {
            if !make_unit(isa, row) {
                return Err(at);
            }
        }
        self.apply(isa, units, rounded, out);
        Ok(())
    }

    /// The weight of `input` in the sum `output`, as it is used.
    pub(crate) fn weight(&self, output: usize, input: usize) -> f64 {
        let (panel, lane) = (output / PANEL, output % PANEL);
        let at = (panel * self.inputs + input) * PANEL + lane;
        match &self.packed {
            Packed::F32(weights) => f64::from(weights[at]),
            Packed::I8(weights, scales) => f64::from(weights[at]) * f64::from(scales[output]),
            Packed::Rounding(weights) => {
                f64::from(weights.weight(output, input)) * f64::from(weights.scale(output))
            }
        }
    }

    /// The definition of [`Matrix::apply`] for one row, in f64.
    pub(crate) fn apply_reference(&self, input: &[f64]) -> Vec<f64> {
        let result = |output: usize| {
            let bias = self.bias.get(output).copied().map_or(0.0, f64::from);
            let terms = input.iter().enumerate();
            let terms = terms.map(|(at, value)| self.weight(output, at) * value);
            bias + terms.sum::<f64>()
        };
        (0..self.outputs).map(result).collect()
    }

    /// How large a result can get for inputs of at most this size each.
    pub(crate) fn bound(&self, name: &str, inputs: &[f64]) -> Result<f64, WeightsError> {
        let size = |output: usize| {
            let bias = self.bias.get(output).copied().map_or(0.0, f64::from);
            let terms = inputs.iter().enumerate();
            let terms = terms.map(|(at, bound)| self.weight(output, at).abs() * bound);
            bias.abs() + terms.sum::<f64>()
        };
        let bound = (0..self.outputs).map(size).fold(0.0, f64::max);
        check_bound(name, bound)
    }
}

pub(crate) fn check_bound(name: &str, bound: f64) -> Result<f64, WeightsError> {
    if bound <= BOUND_MAX {
        Ok(bound)
    } else {
        Err(WeightsError::Unbounded {
            name: name.to_owned(),
            bound,
            max: BOUND_MAX,
        })
    }
}

/// Rows of `inputs` values into panels. There is a whole number of them.
fn pack<W: Weight>(rows: &[W], inputs: usize) -> Vec<W> {
    let mut packed = Vec::with_capacity(rows.len());
    for panel in rows.chunks_exact(PANEL * inputs) {
        for input in 0..inputs {
            packed.extend((0..PANEL).map(|lane| panel[lane * inputs + input]));
        }
    }
    packed
}

struct Finish<'a> {
    scales: &'a [f32],
    addends: &'a [f32],
    sums: &'a mut [f32],
}

impl WithSimd for Finish<'_> {
    type Output = ();

    // Plain code: inlined where the wide instructions are on, the compiler uses them.
    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        for (sum, scale) in self.sums.iter_mut().zip(self.scales) {
            *sum *= scale;
        }
        for (sum, addend) in self.sums.iter_mut().zip(self.addends) {
            *sum += addend;
        }
    }
}
