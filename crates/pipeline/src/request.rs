//! What is refused at the door.

use cortica_cortex::{AllocateError, ConceptRequest, Dedup, Grid, Hint};
use cortica_simd::{Isa, squared_norm_f64};

/// Refuses what is no request, before anything changes.
pub(crate) fn check(
    request: &ConceptRequest<'_>,
    dimension: usize,
    grid: &Grid,
    isa: Isa,
) -> Result<(), AllocateError> {
    let refused = |field, got: String, expected: &str| {
        Err(AllocateError::Request {
            field,
            got,
            expected: expected.to_owned(),
        })
    };
    let bytes = request.concept_id.len();
    if bytes == 0 || bytes > Dedup::ID_BYTES_MAX {
        return refused(
            "concept_id",
            format!("{bytes} bytes long"),
            "1 to 256 bytes long",
        );
    }
    let got = request.features.len();
    if got != dimension {
        return refused(
            "features",
            format!("{got} values"),
            &format!("{dimension} values"),
        );
    }
    // The sum of squares is finite exactly when every value is.
    let squares = squared_norm_f64(isa, request.features);
    if !squares.is_finite() {
        let at = request.features.iter().position(|value| !value.is_finite());
        let at = at.unwrap_or_default();
        return refused(
            "features",
            format!("{} at {at}", request.features[at]),
            "finite",
        );
    }
    if squares == 0.0 {
        return refused("features", "all 0".to_owned(), "not all 0");
    }
    let radius = request.search_radius;
    if !(radius.is_finite() && radius > 0.0) {
        return refused("search_radius", radius.to_string(), "finite and above 0");
    }
    if let Hint::Near(point) = request.hint {
        grid.column_near(point)?;
    }
    Ok(())
}
