//! The environment decides which instructions are used, so that a run can be held to one set.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a panic is how a test reports"
)]

use cortica_simd::Isa;

/// A run with `CORTICA_ISA=scalar` proves nothing unless it was obeyed.
#[test]
fn the_forced_set_is_the_one_in_use() {
    let named = std::env::var("CORTICA_ISA").ok();
    let forced = named.and_then(|name| name.parse::<Isa>().ok());
    match forced {
        Some(isa) if isa.is_available() => assert_eq!(Isa::best(), isa),
        _ => assert_eq!(Some(Isa::best()), Isa::available().last()),
    }
}
