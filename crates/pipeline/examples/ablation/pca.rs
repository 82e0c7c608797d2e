//! Principal components by orthogonal iteration.

use cortica_env::Seed;
use cortica_simd::{Isa, axpy, dot};

/// Rows looked at at most.
const ROWS_MAX: usize = 4_096;
const ROUNDS: usize = 40;

/// The `k` directions of greatest variance of rows of `d` values (or, not centred, of greatest mean square), one after
/// the other, and the mean.
pub(crate) fn components(rows: &[&[f32]], k: usize, centred: bool) -> (Vec<f32>, Vec<f32>) {
    let (isa, d) = (Isa::best(), rows.first().map_or(0, |row| row.len()));
    let step = rows.len().div_ceil(ROWS_MAX).max(1);
    let rows: Vec<&[f32]> = rows.iter().step_by(step).copied().collect();
    let mut mean = vec![0.0; d];
    if centred {
        for row in &rows {
            axpy(isa, 1.0 / rows.len() as f32, row, &mut mean);
        }
    }
    let mut scatter = vec![0.0; d * d];
    for row in &rows {
        let row: Vec<f32> = row.iter().zip(&mean).map(|(a, b)| a - b).collect();
        for (at, &value) in row.iter().enumerate() {
            axpy(
                isa,
                value / rows.len() as f32,
                &row,
                &mut scatter[at * d..][..d],
            );
        }
    }
    let mut rng = Seed(1).derive("components").rng();
    let mut found: Vec<f32> = (0..k * d).map(|_| rng.unit() as f32 - 0.5).collect();
    for _ in 0..ROUNDS {
        orthonormalise(&mut found, d);
        let turned = found.chunks_exact(d).flat_map(|direction| {
            let lines = scatter.chunks_exact(d);
            lines
                .map(|line| dot(isa, line, direction))
                .collect::<Vec<f32>>()
        });
        found = turned.collect();
    }
    orthonormalise(&mut found, d);
    (found, mean)
}

fn orthonormalise(rows: &mut [f32], d: usize) {
    let isa = Isa::best();
    for at in 0..rows.len() / d {
        let (before, rest) = rows.split_at_mut(at * d);
        let row = &mut rest[..d];
        for _ in 0..2 {
            for other in before.chunks_exact(d) {
                let share = dot(isa, row, other);
                axpy(isa, -share, other, row);
            }
        }
        let length = dot(isa, row, row).sqrt().max(f32::MIN_POSITIVE);
        for value in row {
            *value /= length;
        }
    }
}
