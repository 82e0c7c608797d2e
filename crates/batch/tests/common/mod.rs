//! What the tests of batches share.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    reason = "shared by several tests, of which none needs all; a panic is how a test reports"
)]

pub(crate) mod interpreter;
pub(crate) mod lists;
