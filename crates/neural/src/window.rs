//! Windows of codes, as the networks take them in.

use crate::code::{CODE, Code, WINDOW};
use crate::error::InputError;
use cortica_simd::{Isa, squared_norm_f64};

/// Cuts values to [-1, 1]; refuses what is not finite. `before` says how many codes came before.
pub(crate) fn cut(
    field: &'static str,
    before: impl Fn() -> usize,
    isa: Isa,
    code: &mut Code,
) -> Result<(), InputError> {
    // The sum of squares is finite exactly when every value is.
    if !squared_norm_f64(isa, code).is_finite() {
        return Err(InputError::not_finite(field, before() * CODE, code));
    }
    for value in code {
        *value = value.clamp(-1.0, 1.0);
    }
    Ok(())
}

/// Codes of all windows.
pub(crate) fn codes(windows: &[&[Code]]) -> usize {
    windows.iter().map(|window| window.len()).sum()
}

/// Lays out the last [`WINDOW`] codes of each window step by step, so that all end together, and
/// says how many steps the longest has. Steps before a window begins are zero. `first` is how many
/// codes came before those of the first window: a refusal counts all codes that were given, looked
/// at or not.
pub(crate) fn lay_out(
    first: usize,
    windows: &[&[Code]],
    isa: Isa,
    out: &mut [f32],
) -> Result<usize, InputError> {
    let seen = |window: &[Code]| window.len().min(WINDOW);
    let steps = windows.iter().map(|window| seen(window)).max().unwrap_or(0);
    let (rows, _) = out.as_chunks_mut::<CODE>();
    for (sample, window) in windows.iter().enumerate() {
        let skipped = steps - seen(window);
        let mut last = window[window.len() - seen(window)..].iter();
        for step in 0..steps {
            let row = &mut rows[step * windows.len() + sample];
            if step < skipped {
                row.fill(0.0);
            } else if let Some(code) = last.next() {
                *row = *code;
                let given = || {
                    let passed_over = window.len() - seen(window);
                    first + codes(&windows[..sample]) + passed_over + step - skipped
                };
                cut("codes", given, isa, row)?;
            }
        }
    }
    Ok(steps)
}
