//! Where codes lead on a map.

use crate::code::{CODE, Code};
use crate::error::WeightsError;
use crate::tensors::Tensors;

/// Three directions along which the codes of a training set vary most, and how those codes spread along each: what
/// places concepts on a lattice so that every part of it gets as many.
///
/// The rank of a code along an axis is where its product with the axis falls among the axis' quantiles, which are taken
/// at even shares from the least to the greatest. Weight files carry places since `cortica-train` measures them;
/// files without are read as before.
#[derive(Clone, Debug, PartialEq)]
pub struct Places {
    axes: [Code; 3],
    quantiles: [Vec<f32>; 3],
}

/// How far the length of an axis may be from 1.
const LENGTH_OFF: f64 = 1e-3;

impl Places {
    /// The tensor of the axes, three rows of [`CODE`] f32 values.
    pub const AXES: &str = "places.axes";

    /// The tensor of their quantiles, three rows of f32 values, as many in each and ascending.
    pub const QUANTILES: &str = "places.quantiles";

    /// Quantiles an axis may have: enough for any lattice, and few beside the weights.
    pub const QUANTILES_MAX: usize = 4_096;

    /// `None` from a file that carries none. One that carries half of them is refused.
    pub(crate) fn read(file: &mut Tensors<'_>) -> Result<Option<Places>, WeightsError> {
        if !file.has(Places::AXES) && !file.has(Places::QUANTILES) {
            return Ok(None);
        }
        let axes = file.floats(Places::AXES, &[3, CODE])?;
        let count = file.axis(Places::QUANTILES, 1)?;
        if !(2..=Places::QUANTILES_MAX).contains(&count) {
            return Err(WeightsError::Shape {
                name: Places::QUANTILES.to_owned(),
                got: vec![3, count],
                expected: format!("2 to {} quantiles an axis", Places::QUANTILES_MAX),
            });
        }
        let quantiles = file.floats(Places::QUANTILES, &[3, count])?;
        for (row, axis) in axes.chunks_exact(CODE).enumerate() {
            let squares = axis.iter().map(|&value| f64::from(value).powi(2));
            let length = squares.sum::<f64>().sqrt();
            if (length - 1.0).abs() > LENGTH_OFF {
                let name = Places::AXES.to_owned();
                return Err(WeightsError::Length { name, row, length });
            }
        }
        for (row, axis) in quantiles.chunks_exact(count).enumerate() {
            if let Some(at) = axis.windows(2).position(|pair| pair[1] < pair[0]) {
                let name = Places::QUANTILES.to_owned();
                let at = row * count + at + 1;
                return Err(WeightsError::Descending { name, at });
            }
        }
        Ok(Some(Places {
            axes: std::array::from_fn(|axis| {
                std::array::from_fn(|value| axes[axis * CODE + value])
            }),
            quantiles: std::array::from_fn(|axis| quantiles[axis * count..][..count].to_vec()),
        }))
    }

    /// The directions, each of length 1.
    pub fn axes(&self) -> &[Code; 3] {
        &self.axes
    }

    /// For each direction the products of training codes with it, at even shares, ascending.
    pub fn quantiles(&self) -> &[Vec<f32>; 3] {
        &self.quantiles
    }

    /// Bytes of all values.
    pub fn bytes(&self) -> usize {
        let quantiles: usize = self.quantiles.iter().map(Vec::len).sum();
        (3 * CODE + quantiles) * size_of::<f32>()
    }
}
