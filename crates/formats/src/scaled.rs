//! Rows stored as `i8` with one `f32` scale each.

use crate::{Dtype, NpyError, NpyFile};

/// Appends rows `from..from + count` to `out`, each value times the scale of its row.
///
/// `values` is `rows x columns` of any type (`|i1` is what makes sense), `scales` is `rows x 1` of
/// `<f4`. A value is `f32(value) * scale`, one multiplication and so one rounding: everyone who
/// reads the same files gets the same bits. On an error `out` is what it was before.
///
/// ```
/// use cortica_formats::{NpyFile, read_scaled_rows, write_npy_f32, write_npy_i8};
///
/// # let folder = tempfile::tempdir()?;
/// # let (x, s) = (folder.path().join("X.npy"), folder.path().join("X_scales.npy"));
/// write_npy_i8(&x, 2, 2, &[127, -64, 1, 0])?;
/// write_npy_f32(&s, 2, 1, &[0.5, 3.0])?;
/// let mut rows = Vec::new();
/// read_scaled_rows(&mut NpyFile::open(&x)?, &mut NpyFile::open(&s)?, 0, 2, &mut rows)?;
/// assert_eq!(rows, [63.5, -32.0, 3.0, 0.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn read_scaled_rows(
    values: &mut NpyFile,
    scales: &mut NpyFile,
    from: usize,
    count: usize,
    out: &mut Vec<f32>,
) -> Result<(), NpyError> {
    let fits = scales.rows() == values.rows() && scales.columns() == 1;
    if !fits || scales.dtype() != Dtype::F32 {
        return Err(NpyError::Scales {
            rows: values.rows(),
            scale_rows: scales.rows(),
            scale_columns: scales.columns(),
        });
    }
    let mut scale = Vec::new();
    scales.read_rows(from, count, &mut scale)?;
    let start = out.len();
    values.read_rows(from, count, out)?;
    let rows = out[start..].chunks_exact_mut(values.columns());
    for (row, scale) in rows.zip(scale) {
        for value in row {
            *value *= scale;
        }
    }
    Ok(())
}
