//! The `gemm` crate behind a safe function: its own is not.
#![allow(unsafe_code, reason = "the peer takes pointers")]

use anyhow::{Result, ensure};

/// Rows of `columns` values whose starts are `stride` values apart.
#[derive(Clone, Copy)]
pub(super) struct Matrix<'a> {
    pub(super) values: &'a [f32],
    pub(super) columns: usize,
    pub(super) stride: usize,
}

impl Matrix<'_> {
    fn rows(self) -> usize {
        self.values.len() / self.stride.max(1)
    }
}

/// `out[i * b.rows + j]` becomes the dot product of row i of `a` with row j of `b`.
pub(super) fn multiply(a: Matrix<'_>, b: Matrix<'_>, out: &mut [f32]) -> Result<()> {
    let (m, n, k) = (b.rows(), a.rows(), a.columns);
    ensure!(
        b.columns == k && k <= a.stride && k <= b.stride && out.len() == m * n,
        "matrices that do not fit"
    );
    // SAFETY: element (i, j) of each operand lies at i * its row stride + j * its column stride.
    // `out` has m * n elements, which (j, i) -> j + i * m numbers without a gap; `b` has m rows of k
    // values and `a` n of them, each within its stride, so within its slice. `out` is borrowed
    // alone, so it overlaps neither.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            m as isize,
            1,
            false,
            b.values.as_ptr(),
            1,
            b.stride as isize,
            a.values.as_ptr(),
            a.stride as isize,
            1,
            0.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_product_lands_in_its_place() {
        let matrix = |values, stride| Matrix {
            values,
            columns: 2,
            stride,
        };
        let a = matrix(&[1.0, 0.0, 0.0, 1.0, 2.0, 3.0], 2);
        let b = matrix(&[5.0, 7.0, 9.0, 11.0, 13.0, 9.0], 3);
        let mut out = [0.0; 6];
        multiply(a, b, &mut out).unwrap();
        assert_eq!(out, [5.0, 11.0, 7.0, 13.0, 31.0, 61.0]);
        assert!(multiply(a, b, &mut out[..5]).is_err());
    }
}
