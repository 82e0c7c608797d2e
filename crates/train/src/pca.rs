//! Principal components: where the encoder begins, and what it is measured against.

use anyhow::Result;
use candle_core::{Device, Tensor};
use cortica_env::Seed;
use cortica_neural::CODE;

use crate::layer::Normal;

/// Rounds of multiplication. The space of the directions settles first, and it is what counts;
/// directions of nearly equal variance may still be turned within it.
const ROUNDS: usize = 60;

/// Directions carried along, so that those wanted settle sooner.
const CARRIED: usize = CODE + 32;

/// The [`CODE`] directions of greatest variance (or, not centred, of greatest mean square), one
/// after the other, and the mean.
#[derive(Debug)]
pub(crate) struct Components {
    pub(crate) directions: Vec<f32>,
    pub(crate) mean: Vec<f32>,
}

impl Components {
    pub(crate) fn of(rows: &[f32], d: usize, centred: bool, seed: Seed) -> Result<Components> {
        let count = rows.len() / d;
        let x = Tensor::from_slice(rows, (count, d), &Device::Cpu)?;
        let mean = if centred {
            x.mean(0)?
        } else {
            x.mean(0)?.zeros_like()?
        };
        let x = x.broadcast_sub(&mean)?;
        let scatter = (x.t()?.matmul(&x)? / count as f64)?;
        let carried = CARRIED.min(d);
        let mut normal = Normal::new(seed.derive("components"));
        let mut columns: Vec<f32> = (0..d * carried).map(|_| normal.draw() as f32).collect();
        for _ in 0..ROUNDS {
            // Rows of directions: d values each.
            orthonormalise(&mut columns, d);
            let directions = Tensor::from_slice(&columns, (carried, d), &Device::Cpu)?;
            columns = directions.matmul(&scatter)?.flatten_all()?.to_vec1()?;
        }
        orthonormalise(&mut columns, d);
        columns.truncate(CODE * d);
        columns.resize(CODE * d, 0.0); // Fewer dimensions than a code has values.
        Ok(Components {
            directions: columns,
            mean: mean.to_vec1()?,
        })
    }

    /// What is added to the products with the directions, so that the mean becomes 0.
    pub(crate) fn offsets(&self) -> Vec<f32> {
        let directions = self.directions.chunks_exact(self.mean.len());
        let offset = |direction: &[f32]| -> f32 {
            let pairs = direction.iter().zip(&self.mean);
            -pairs.map(|(a, b)| a * b).sum::<f32>()
        };
        directions.map(offset).collect()
    }
}

/// Gram and Schmidt's way, twice for digits.
fn orthonormalise(rows: &mut [f32], d: usize) {
    for at in 0..rows.len() / d {
        let (before, rest) = rows.split_at_mut(at * d);
        let row = &mut rest[..d];
        for _ in 0..2 {
            for other in before.chunks_exact(d) {
                let share: f64 = dot(row, other);
                for (value, other) in row.iter_mut().zip(other) {
                    *value -= (share * f64::from(*other)) as f32;
                }
            }
        }
        let length = dot(row, row).sqrt();
        if length > 0.0 {
            for value in row {
                *value = (f64::from(*value) / length) as f32;
            }
        }
    }
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    let pairs = a.iter().zip(b);
    pairs.map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows that vary by 64 known amounts along the axes: the axes of the
    /// greatest lie in the space that is found.
    #[test]
    #[allow(clippy::unwrap_used, reason = "a panic is how a test reports")]
    fn the_axes_of_greatest_variance_are_found() {
        let d = 80;
        let mut rows = Vec::new();
        for axis in 0..d {
            for sign in [-1.0, 1.0] {
                let mut row = vec![3.0; d];
                row[axis] += sign * 0.9_f32.powi(axis as i32);
                rows.extend(row);
            }
        }
        let found = Components::of(&rows, d, true, Seed(1)).unwrap();
        for axis in 0..40 {
            // How much of the axis lies in the space of the directions.
            let directions = found.directions.chunks_exact(d);
            let within: f32 = directions.map(|direction| direction[axis].powi(2)).sum();
            assert!(within > 0.999, "{axis}: {within}");
        }
        let first = &found.directions[..d];
        assert!(first[0].abs() > 0.999, "{}", first[0]);
        assert!((found.mean[7] - 3.0).abs() < 1e-5);
    }
}
