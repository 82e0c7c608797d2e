//! Where codes lead on a map: what the weight file carries beside the networks.

use std::path::Path;

use anyhow::{Context, Result};
use cortica_env::Seed;
use cortica_formats::{Safetensors, TensorDtype};
use cortica_neural::{CODE, Networks, Places};
use cortica_testkit::Dataset;

use crate::export::Stored;
use crate::pca::Components;

/// Quantiles of each axis.
const QUANTILES: usize = 257;

/// Weight files of this trainer are smaller.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// The three directions in which the codes of these rows vary most, and how they spread along each.
pub(crate) fn tensors(
    networks: &Networks,
    data: &Dataset,
    rows: &[usize],
    seed: Seed,
) -> Result<[Stored; 2]> {
    let mut scratch = networks.scratch();
    let mut codes: Vec<f32> = Vec::with_capacity(rows.len() * CODE);
    for &row in rows {
        codes.extend(networks.encoder().encode(data.row(row), &mut scratch)?);
    }
    let components = Components::of(&codes, CODE, true, seed.derive("places"))?;
    let axes = &components.directions[..3 * CODE];
    let mut quantiles = Vec::with_capacity(3 * QUANTILES);
    for axis in axes.chunks_exact(CODE) {
        let product = |code: &[f32]| -> f32 { code.iter().zip(axis).map(|(a, b)| a * b).sum() };
        let mut along: Vec<f32> = codes.chunks_exact(CODE).map(product).collect();
        along.sort_unstable_by(f32::total_cmp);
        let last = along.len() - 1;
        quantiles.extend((0..QUANTILES).map(|at| along[at * last / (QUANTILES - 1)]));
    }
    let stored = |name: &str, shape: [usize; 2], values: &[f32]| Stored {
        name: name.to_owned(),
        dtype: TensorDtype::F32,
        shape: shape.to_vec(),
        bytes: values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect(),
    };
    Ok([
        stored(Places::AXES, [3, CODE], axes),
        stored(Places::QUANTILES, [3, QUANTILES], &quantiles),
    ])
}

/// What a weight file says of itself, by key.
type About = Vec<(String, String)>;

/// The tensors of a weight file but for its places, and what the file says of itself.
pub(crate) fn others(path: &Path) -> Result<(Vec<Stored>, About)> {
    let file = Safetensors::open(path, FILE_BYTES_MAX)
        .with_context(|| format!("cannot read {}", path.display()))?;
    let mut stored = Vec::new();
    for name in file.names() {
        if [Places::AXES, Places::QUANTILES].contains(&name) {
            continue;
        }
        let tensor = file
            .tensor(name)
            .context("a tensor that is named is there")?;
        stored.push(Stored {
            name: name.to_owned(),
            dtype: tensor.dtype,
            shape: tensor.shape.to_vec(),
            bytes: tensor.bytes.to_vec(),
        });
    }
    let entries = file.all_metadata();
    let about = entries.filter(|(key, _)| !["checksum", "format", "version"].contains(key));
    let about = about.map(|(key, text)| (key.to_owned(), text.to_owned()));
    Ok((stored, about.collect()))
}
