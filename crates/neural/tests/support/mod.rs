//! What several test files share.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    missing_docs,
    reason = "each test file uses a part of it, and a panic is how a test reports"
)]

use cortica_formats::{Safetensors, Tensor, TensorDtype, encode_safetensors};
use cortica_neural::{CODE, Code, Networks};
use cortica_simd::Isa;
use cortica_testkit::Rng;
use std::path::{Path, PathBuf};

pub fn golden(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    folder.join(format!("{name}.safetensors"))
}

/// Small networks with random weights, in f32 and in i8.
pub fn both() -> [Networks; 2] {
    ["networks", "networks_i8"].map(|name| Networks::open(&golden(name)).unwrap())
}

/// Runs `check` with every instruction set this machine has, forced one by one.
pub fn each_isa(check: impl Fn(Isa)) {
    let mut checked = 0;
    for isa in Isa::available() {
        check(isa);
        checked += 1;
    }
    assert!(checked > 0, "no instruction set was checked");
}

pub fn normals(count: usize, seed: u64) -> Vec<f32> {
    let mut rng = Rng::new(seed);
    (0..count).map(|_| rng.gaussian()).collect()
}

/// A stream of codes of length 1.
pub fn stream(count: usize, seed: u64) -> Vec<Code> {
    let values = normals(count * CODE, seed);
    let (codes, _) = values.as_chunks::<CODE>();
    let unit = |code: &Code| {
        let length = code.iter().map(|v| v * v).sum::<f32>().sqrt();
        code.map(|value| value / length)
    };
    codes.iter().map(unit).collect()
}

/// A tensor that can be changed.
#[derive(Clone, Debug)]
pub struct Owned {
    pub name: String,
    pub dtype: TensorDtype,
    pub shape: Vec<usize>,
    pub bytes: Vec<u8>,
}

pub fn tensors_of(file: &Safetensors) -> Vec<Owned> {
    let owned = |name: &str| {
        let tensor = file.tensor(name).unwrap();
        Owned {
            name: name.to_owned(),
            dtype: tensor.dtype,
            shape: tensor.shape.to_vec(),
            bytes: tensor.bytes.to_vec(),
        }
    };
    file.names().map(owned).collect()
}

/// A sealed weight file.
pub fn encode(metadata: &[(&str, &str)], tensors: &[Owned]) -> Vec<u8> {
    let views: Vec<_> = tensors
        .iter()
        .map(|tensor| {
            let view = Tensor {
                dtype: tensor.dtype,
                shape: &tensor.shape,
                bytes: &tensor.bytes,
            };
            (tensor.name.as_str(), view)
        })
        .collect();
    encode_safetensors(metadata, &views).unwrap()
}
