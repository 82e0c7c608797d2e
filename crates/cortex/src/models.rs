//! Lends the models what is inside: only under loom.
#![allow(missing_docs, unreachable_pub, reason = "of the models alone")]

use crate::prototype::{CODE_DIMENSION, Versioned};

/// The learned part of a column.
#[derive(Debug)]
pub struct Learned(Versioned);

impl Learned {
    #[must_use]
    pub fn new() -> Learned {
        Learned(Versioned::new())
    }

    pub fn set_prototype(&self, prototype: &[u16; CODE_DIMENSION]) {
        self.0.set_prototype(prototype);
    }

    #[must_use]
    pub fn prototype(&self) -> [u16; CODE_DIMENSION] {
        self.0.prototype()
    }

    #[must_use]
    pub fn version(&self) -> u64 {
        self.0.version()
    }

    pub fn learn(&self, code: &[f32; CODE_DIMENSION], rate: f32) {
        self.0.learn(code, rate, 1);
    }
}

impl Default for Learned {
    fn default() -> Learned {
        Learned::new()
    }
}
