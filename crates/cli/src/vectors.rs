//! Files of vectors, opened with everything about them checked.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use cortica_formats::{Dtype, NpyFile, read_scaled_rows};

/// An npy file of `rows x dimension` values: f32, f16, or i8 with one scale per row in
/// `NAME_scales.npy` beside `NAME.npy`.
#[derive(Debug)]
pub(crate) struct Vectors {
    path: PathBuf,
    values: NpyFile,
    scales: Option<NpyFile>,
}

impl Vectors {
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let values = NpyFile::open(path).with_context(|| path.display().to_string())?;
        let scales = match values.dtype() {
            Dtype::I8 => Some(open_scales(path, &values)?),
            _ => None,
        };
        Ok(Self {
            path: path.to_owned(),
            values,
            scales,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn rows(&self) -> usize {
        self.values.rows()
    }

    /// Numbers per row, at least 1.
    pub(crate) fn dimension(&self) -> usize {
        self.values.columns()
    }

    /// Rows `from..from + count`, or as many of them as there are.
    pub(crate) fn read(&mut self, from: usize, count: usize) -> anyhow::Result<Vec<Vec<f32>>> {
        let count = count.min(self.rows().saturating_sub(from));
        let mut values = Vec::new();
        match &mut self.scales {
            Some(scales) => read_scaled_rows(&mut self.values, scales, from, count, &mut values),
            None => self.values.read_rows(from, count, &mut values),
        }
        .with_context(|| self.path.display().to_string())?;
        Ok(values
            .chunks_exact(self.dimension())
            .map(<[f32]>::to_vec)
            .collect())
    }
}

fn open_scales(path: &Path, values: &NpyFile) -> anyhow::Result<NpyFile> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let beside = path.with_file_name(format!("{stem}_scales.npy"));
    if !beside.exists() {
        // Without the scale of each row these are not the numbers that a model made.
        bail!(
            "{}: dtype: |i1 values need the scale of each row in {}; or save f32 or f16",
            path.display(),
            beside.display()
        );
    }
    let scales = NpyFile::open(&beside).with_context(|| beside.display().to_string())?;
    let fits =
        scales.dtype() == Dtype::F32 && (scales.rows(), scales.columns()) == (values.rows(), 1);
    if !fits {
        bail!(
            "{}: {} x 1 values of f32 are needed",
            beside.display(),
            values.rows()
        );
    }
    Ok(scales)
}
