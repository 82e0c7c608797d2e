//! From features to a code.

use crate::code::{CODE, Code};
use crate::error::{InputError, WeightsError};
use crate::matrix::Matrix;
use crate::scratch::{Scratch, TILE};
use crate::tensors::Tensors;
use crate::unit::make_unit;

/// A perceptron with one hidden layer beside a linear path:
/// `code = unit(L x + l + W relu(H x + h) + w)` for the features `x`, brought to length 1.
///
/// The linear path keeps what principal components would; the hidden layer, of any width that is a
/// multiple of 16 and at least 64, bends it to where neighbours are.
#[derive(Debug)]
pub struct Encoder {
    /// `L` above `H`: both read the features once.
    first: Matrix,
    /// `W`.
    second: Matrix,
}

impl Encoder {
    /// The most rows that a layer takes at once.
    pub(crate) const LAYER_ROWS: usize = TILE;

    pub(crate) fn read(file: &mut Tensors<'_>) -> Result<Encoder, WeightsError> {
        let dimension = file.axis("encoder.first.weight", 1)?;
        let hidden = file.axis("encoder.second.weight", 1)?;
        if hidden < CODE {
            return Err(WeightsError::Shape {
                name: "encoder.second.weight".to_owned(),
                got: vec![CODE, hidden],
                expected: format!("at least {CODE} hidden values"),
            });
        }
        let first = Matrix::read(
            file,
            "encoder.first",
            CODE.saturating_add(hidden),
            dimension,
        )?;
        let second = Matrix::read(file, "encoder.second", CODE, hidden)?;
        let bound = first.bound("encoder.first", &vec![1.0; dimension])?;
        let onto = second.bound("encoder.second", &vec![bound; hidden])?;
        crate::matrix::check_bound("encoder", bound + onto)?;
        Ok(Encoder {
            first: first.rounding(),
            second: second.rounding(),
        })
    }

    /// Values of the features.
    pub fn dimension(&self) -> usize {
        self.first.inputs()
    }

    /// Width of the hidden layer.
    pub fn hidden(&self) -> usize {
        self.second.inputs()
    }

    /// Bytes of the weights.
    pub fn bytes(&self) -> usize {
        self.first.bytes() + self.second.bytes()
    }

    /// The code of `features`, of any finite length; that of zero features is what the biases
    /// alone make.
    ///
    /// # Errors
    ///
    /// [`InputError::Length`] if `features` are not as many values as
    /// [`dimension`](Encoder::dimension), or `scratch` is of smaller networks;
    /// [`InputError::NotFinite`] names the first value that is infinite or not a number.
    ///
    /// # Cost
    ///
    /// O(dimension * (64 + hidden)), no allocation.
    pub fn encode(&self, features: &[f32], scratch: &mut Scratch) -> Result<Code, InputError> {
        let mut code = [0.0; CODE];
        InputError::check_length("features", features.len(), self.dimension())?;
        self.encode_tile(0, features, scratch, std::slice::from_mut(&mut code))?;
        Ok(code)
    }

    /// The codes of many features, one after the other, each with the bits it has alone.
    ///
    /// # Errors
    ///
    /// As [`Encoder::encode`], where `features` are to be as many times the dimension as there is room for
    /// `codes`; then what `codes` holds is of no use.
    ///
    /// # Cost
    ///
    /// O(codes * dimension * (64 + hidden)), no allocation; weights are read once for 32 codes.
    pub fn encode_many(
        &self,
        features: &[f32],
        scratch: &mut Scratch,
        codes: &mut [Code],
    ) -> Result<(), InputError> {
        let d = self.dimension();
        let expected = codes.len().saturating_mul(d);
        InputError::check_length("features", features.len(), expected)?;
        let tiles = features.chunks(TILE * d).zip(codes.chunks_mut(TILE));
        for (at, (features, codes)) in tiles.enumerate() {
            self.encode_tile(at * TILE * d, features, scratch, codes)?;
        }
        Ok(())
    }

    /// `start` is how many values came before.
    fn encode_tile(
        &self,
        start: usize,
        features: &[f32],
        scratch: &mut Scratch,
        codes: &mut [Code],
    ) -> Result<(), InputError> {
        scratch.check(self.scratch(), self.layer_inputs())?;
        let (isa, d, hidden) = (scratch.isa, self.dimension(), self.hidden());
        let first = &mut scratch.first[..codes.len() * (CODE + hidden)];
        let (units, rounded) = (&mut scratch.inputs, &mut scratch.rounded);
        self.first
            .apply_units(isa, features, units, rounded, first)
            .map_err(|row| {
                let place = row * d;
                InputError::not_finite("features", start + place, &features[place..][..d])
            })?;
        let relu = &mut scratch.second[..codes.len() * hidden];
        let linear = &mut scratch.third[..codes.len() * CODE];
        for (at, row) in first.chunks_exact(CODE + hidden).enumerate() {
            let (line, bend) = row.split_at(CODE);
            linear[at * CODE..][..CODE].copy_from_slice(line);
            for (out, value) in relu[at * hidden..][..hidden].iter_mut().zip(bend) {
                *out = value.max(0.0);
            }
        }
        let bent = &mut scratch.fourth[..codes.len() * CODE];
        self.second.apply(isa, relu, &mut scratch.rounded, bent);
        let rows = linear.as_chunks::<CODE>().0.iter();
        for ((code, line), bend) in codes.iter_mut().zip(rows).zip(bent.as_chunks::<CODE>().0) {
            for (at, value) in code.iter_mut().enumerate() {
                *value = line[at] + bend[at];
            }
            make_unit(isa, code);
        }
        Ok(())
    }

    /// The definition of [`Encoder::encode`], in f64.
    pub fn encode_reference(&self, features: &[f32]) -> Vec<f64> {
        let unit = crate::unit::unit_reference(features.iter().map(|&value| f64::from(value)));
        let first = self.first.apply_reference(&unit);
        let (linear, bend) = first.split_at(CODE);
        let relu: Vec<f64> = bend.iter().map(|value| value.max(0.0)).collect();
        let bent = self.second.apply_reference(&relu);
        crate::unit::unit_reference(linear.iter().zip(bent).map(|(line, bend)| line + bend))
    }

    /// Inputs of its widest layer.
    pub(crate) fn layer_inputs(&self) -> usize {
        self.dimension().max(self.hidden())
    }

    /// Values of each part of the scratch.
    pub(crate) fn scratch(&self) -> [usize; 5] {
        let hidden = self.hidden();
        [self.dimension(), CODE + hidden, hidden, CODE, CODE].map(|length| TILE * length)
    }
}
