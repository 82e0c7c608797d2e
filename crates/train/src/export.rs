//! From trained layers to a weight file.

use std::path::Path;

use anyhow::Result;
use cortica_formats::{Safetensors, Tensor, TensorDtype, encode_safetensors, write_safetensors};
use cortica_neural::{FORMAT, VERSION};

use crate::layer::{Layer, Network};

/// What a weight file may have, as where it is loaded.
const BYTES_MAX: u64 = 64 << 20;

/// A tensor as it will be written.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) name: String,
    pub(crate) dtype: TensorDtype,
    pub(crate) shape: Vec<usize>,
    pub(crate) bytes: Vec<u8>,
}

/// What matrices are stored as. What has a single row, and biases, stay f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Precision {
    /// As they were trained.
    F32,
    /// Rounded, with a scale for each row.
    I8,
}

/// The tensors of all layers.
pub(crate) fn tensors(networks: &[&dyn Network], precision: Precision) -> Result<Vec<Stored>> {
    let mut stored = Vec::new();
    for layer in networks.iter().flat_map(|network| network.layers()) {
        store(layer, precision, &mut stored)?;
    }
    Ok(stored)
}

fn store(layer: &Layer, precision: Precision, stored: &mut Vec<Stored>) -> Result<()> {
    let (outputs, inputs) = layer.weight.dims2()?;
    let weights: Vec<f32> = layer.weight.flatten_all()?.to_vec1()?;
    let mut push = |suffix: &str, dtype, shape: &[usize], bytes| {
        stored.push(Stored {
            name: format!("{}.{suffix}", layer.name),
            dtype,
            shape: shape.to_vec(),
            bytes,
        });
    };
    if outputs == 1 || precision == Precision::F32 {
        let shape = [outputs, inputs];
        push("weight", TensorDtype::F32, &shape, floats(&weights));
    } else {
        let (mut bytes, mut scales) = (Vec::new(), Vec::new());
        for row in weights.chunks_exact(inputs) {
            let largest = row.iter().fold(0.0_f32, |largest, v| largest.max(v.abs()));
            let scale = if largest > 0.0 { largest / 127.0 } else { 1.0 };
            let code = |weight: &f32| ((weight / scale).round() as i8).cast_unsigned();
            bytes.extend(row.iter().map(code));
            scales.push(scale);
        }
        push("weight", TensorDtype::I8, &[outputs, inputs], bytes);
        push("scale", TensorDtype::F32, &[outputs], floats(&scales));
    }
    if let Some(bias) = &layer.bias {
        push(
            "bias",
            TensorDtype::F32,
            &[outputs],
            floats(&bias.to_vec1()?),
        );
    }
    Ok(())
}

fn floats(values: &[f32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

/// The bytes of a weight file with this metadata beside what every such file says.
pub(crate) fn encode(tensors: &[Stored], about: &[(&str, &str)]) -> Result<Vec<u8>> {
    let version = VERSION.to_string();
    Ok(encode_safetensors(
        &metadata(&version, about),
        &views(tensors),
    )?)
}

/// Writes the weight file.
pub(crate) fn write(path: &Path, tensors: &[Stored], about: &[(&str, &str)]) -> Result<()> {
    let version = VERSION.to_string();
    write_safetensors(path, &metadata(&version, about), &views(tensors))?;
    Ok(())
}

/// Writes a weight file again, with other metrics in it and all else as it is.
pub(crate) fn restate(file: &Path, out: &Path, metrics: &str) -> Result<()> {
    let read = Safetensors::open(file, BYTES_MAX)?;
    read.check_seal()?;
    let mut about: Vec<(&str, &str)> = read.all_metadata().collect();
    about.retain(|(key, _)| !["checksum", "format", "version", "metrics"].contains(key));
    about.push(("metrics", metrics));
    let tensors: Vec<(&str, Tensor<'_>)> = read
        .names()
        .filter_map(|name| Some((name, read.tensor(name)?)))
        .collect();
    let version = VERSION.to_string();
    write_safetensors(out, &metadata(&version, &about), &tensors)?;
    Ok(())
}

fn metadata<'a>(version: &'a str, about: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut all = vec![("format", FORMAT), ("version", version)];
    all.extend(about);
    all
}

fn views(tensors: &[Stored]) -> Vec<(&str, Tensor<'_>)> {
    let mut views = Vec::with_capacity(tensors.len());
    for stored in tensors {
        let tensor = Tensor {
            dtype: stored.dtype,
            shape: &stored.shape,
            bytes: &stored.bytes,
        };
        views.push((stored.name.as_str(), tensor));
    }
    views
}
