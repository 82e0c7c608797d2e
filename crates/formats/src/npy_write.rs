//! Writing npy files, byte for byte as NumPy would.

use std::io::{self, Write};
use std::path::Path;

use half::f16;

use crate::Dtype;
use crate::npy_header::MAGIC;
use crate::replace::replace;

/// Why an npy file was not written. The target is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NpyWriteError {
    /// The values do not fill the shape, or a row would be empty.
    #[error("{rows} x {columns} values were announced and {got} given")]
    Shape {
        /// Rows announced.
        rows: usize,
        /// Columns announced; at least 1.
        columns: usize,
        /// Values given.
        got: usize,
    },
    /// The operating system refused.
    #[error("cannot write the npy file")]
    Io(#[from] io::Error),
}

/// Writes `rows x columns` values, row after row, as `<f4`.
pub fn write_npy_f32(
    path: &Path,
    rows: usize,
    columns: usize,
    values: &[f32],
) -> Result<(), NpyWriteError> {
    write(path, Dtype::F32, rows, columns, values, f32::to_le_bytes)
}

/// Writes `rows x columns` values as `<f2`, each rounded to the nearest half (ties to even; beyond
/// 65,504 infinity).
pub fn write_npy_f16(
    path: &Path,
    rows: usize,
    columns: usize,
    values: &[f32],
) -> Result<(), NpyWriteError> {
    let half = |value| f16::from_f32(value).to_le_bytes();
    write(path, Dtype::F16, rows, columns, values, half)
}

/// Writes `rows x columns` values as `|i1`.
pub fn write_npy_i8(
    path: &Path,
    rows: usize,
    columns: usize,
    values: &[i8],
) -> Result<(), NpyWriteError> {
    write(path, Dtype::I8, rows, columns, values, i8::to_le_bytes)
}

fn write<T: Copy, const N: usize>(
    path: &Path,
    dtype: Dtype,
    rows: usize,
    columns: usize,
    values: &[T],
    bytes: impl Fn(T) -> [u8; N],
) -> Result<(), NpyWriteError> {
    // `checked_mul`: 2^33 x 2^31 must not pass for 0.
    if columns == 0 || rows.checked_mul(columns) != Some(values.len()) {
        return Err(NpyWriteError::Shape {
            rows,
            columns,
            got: values.len(),
        });
    }
    replace(path, |out| {
        out.write_all(&header(dtype, rows, columns))?;
        values.iter().try_for_each(|v| out.write_all(&bytes(*v)))
    })?;
    Ok(())
}

/// Version 1.0, padded with spaces so that the data starts at a multiple of 64.
fn header(dtype: Dtype, rows: usize, columns: usize) -> Vec<u8> {
    let descr = dtype.descr();
    let dictionary =
        format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({rows}, {columns}), }}");
    let whole = (MAGIC.len() + 4 + dictionary.len() + 1).next_multiple_of(64);
    let mut header = Vec::with_capacity(whole);
    header.extend(MAGIC);
    header.extend([1, 0]);
    // Two sizes of 20 digits at most: the text stays far below 65,536.
    header.extend(((whole - MAGIC.len() - 4) as u16).to_le_bytes());
    header.extend(dictionary.as_bytes());
    header.resize(whole - 1, b' ');
    header.push(b'\n');
    header
}
