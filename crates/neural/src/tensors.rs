//! The tensors of a weight file, each of which must be used.

use crate::error::WeightsError;
use cortica_formats::{Safetensors, Tensor, TensorDtype};
use std::collections::BTreeSet;

pub(crate) struct Tensors<'a> {
    file: &'a Safetensors,
    used: BTreeSet<String>,
}

impl<'a> Tensors<'a> {
    pub(crate) fn new(file: &'a Safetensors) -> Tensors<'a> {
        let used = BTreeSet::new();
        Tensors { file, used }
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.file.tensor(name).is_some()
    }

    /// A tensor that holds something. One of a size of zero takes no bytes, whatever its other sizes: without
    /// it every size is at most what the file has bytes for, and products of sizes do not overflow.
    pub(crate) fn tensor(&mut self, name: &str) -> Result<Tensor<'a>, WeightsError> {
        self.used.insert(name.to_owned());
        let found = self.file.tensor(name);
        let found = found.ok_or_else(|| WeightsError::Missing {
            name: name.to_owned(),
        })?;
        if found.shape.contains(&0) {
            return Err(WeightsError::Shape {
                name: name.to_owned(),
                got: found.shape.to_vec(),
                expected: "no size of zero".to_owned(),
            });
        }
        Ok(found)
    }

    /// The length of one axis of a matrix: what a network's sizes are read from.
    pub(crate) fn axis(&mut self, name: &str, axis: usize) -> Result<usize, WeightsError> {
        let found = self.tensor(name)?;
        match found.shape {
            [_, _] => Ok(found.shape[axis]),
            _ => Err(WeightsError::Shape {
                name: name.to_owned(),
                got: found.shape.to_vec(),
                expected: "a matrix".to_owned(),
            }),
        }
    }

    /// A tensor of finite f32 values.
    pub(crate) fn floats(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, WeightsError> {
        let found = self.tensor(name)?;
        if found.shape != shape {
            return Err(WeightsError::Shape {
                name: name.to_owned(),
                got: found.shape.to_vec(),
                expected: format!("{shape:?}"),
            });
        }
        if found.dtype != TensorDtype::F32 {
            return Err(WeightsError::Dtype {
                name: name.to_owned(),
                got: found.dtype.name(),
                expected: "F32",
            });
        }
        let (values, _) = found.bytes.as_chunks::<4>();
        let values: Vec<f32> = values.iter().map(|b| f32::from_le_bytes(*b)).collect();
        match values.iter().position(|value| !value.is_finite()) {
            None => Ok(values),
            Some(at) => Err(WeightsError::NotFinite {
                name: name.to_owned(),
                at,
            }),
        }
    }

    /// Refuses tensors that no network has asked for.
    pub(crate) fn finish(self) -> Result<(), WeightsError> {
        let mut names = self.file.names();
        match names.find(|name| !self.used.contains(*name)) {
            None => Ok(()),
            Some(name) => Err(WeightsError::Unknown {
                name: name.to_owned(),
            }),
        }
    }
}
