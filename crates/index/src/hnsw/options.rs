//! How a graph is built and what its walks read.

/// What a walk through the graph reads of each vector it passes. Scores that are reported always
/// come from the f32 vectors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Codes {
    /// The vectors themselves.
    F32,
    /// A byte for each value: a quarter of what is read of f32 vectors. Values are rounded to a 127th of
    /// the largest of their vector, so under L2 vectors are to lie around the origin: where they
    /// are off by 30 times their spread, a quarter of the nearest is missed. Subtract their mean, which
    /// changes no distance.
    #[default]
    I8,
    /// A bit for each value, weighted by the query: a thirty-second, for vectors whose signs say
    /// much, such as sentence embeddings: around the origin, under L2 too. Links are chosen by the f32 vectors.
    Signs,
    /// A byte for each value, and beside each node's links a block with the signs of the
    /// differences to all its neighbours, which one pass of a walk reads: the fastest where there
    /// are a few hundred values or more (of a hundred they find less at the same width), for some `4 * dimension + 24 * degree` bytes a vector beyond
    /// those of [`I8`](Codes::I8) at a degree of 16.
    Blocks,
}

/// How a graph is built. Links cost `8 * degree` bytes a vector, and those above the base level
/// little more: see [`GraphStats`](crate::GraphStats).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HnswOptions {
    /// Links of a node when it is added, 2 to 256; at most twice as many later (Malkov and
    /// Yashunin's M).
    pub degree: usize,
    /// Candidates that the links of a new node are chosen from, at least `degree` (efConstruction).
    pub build_width: usize,
    /// What walks read.
    pub codes: Codes,
    /// From which the heights of nodes come.
    pub seed: u64,
}

impl Default for HnswOptions {
    fn default() -> Self {
        Self {
            degree: 16,
            build_width: 200,
            codes: Codes::default(),
            seed: 0,
        }
    }
}

/// The most candidates a search or a build may keep.
pub const WIDTH_MAX: usize = 1 << 16;

impl HnswOptions {
    pub(crate) fn checked(self) -> Result<Self, HnswError> {
        if !(2..=256).contains(&self.degree) {
            return Err(HnswError::Degree { got: self.degree });
        }
        if !(self.degree..=WIDTH_MAX).contains(&self.build_width) {
            return Err(HnswError::BuildWidth {
                got: self.build_width,
                min: self.degree,
            });
        }
        Ok(self)
    }

    /// The most links of a node at a level.
    pub(crate) fn degree_max(&self, level: usize) -> usize {
        if level == 0 {
            2 * self.degree
        } else {
            self.degree
        }
    }

    /// The level of the `number`-th node to be linked: `floor(-ln(u) / ln(degree))`.
    pub(crate) fn level(&self, number: u64) -> usize {
        let u = (mixed(self.seed ^ mixed(number)) >> 11) as f64 / (1_u64 << 53) as f64;
        let level = -(1.0 - u).ln() / (self.degree as f64).ln();
        (level as usize).min(LEVEL_MAX)
    }
}

/// The highest level there is: beyond any number of rows that a degree of 2 could reach.
pub(crate) const LEVEL_MAX: usize = 31;

/// A number that looks random (Steele, Lea and Flood, "Fast splittable pseudorandom number
/// generators", OOPSLA 2014).
fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

/// Why a graph cannot be made.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum HnswError {
    /// Choose a degree between 2 and 256; 16 suits most data.
    #[error("degree: got {got}, expected 2 to 256")]
    Degree {
        /// What was asked for.
        got: usize,
    },
    /// Choose a width from the degree up.
    #[error("build width: got {got}, expected {min} (the degree) to {WIDTH_MAX}")]
    BuildWidth {
        /// What was asked for.
        got: usize,
        /// The least allowed.
        min: usize,
    },
    /// The dimension is none that an index can have.
    #[error(transparent)]
    Vector(#[from] crate::VectorError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sixteenth_of_the_nodes_reaches_each_next_level() {
        let options = HnswOptions::default();
        let mut counts = [0_u32; 4];
        for number in 0..100_000 {
            counts[options.level(number).min(3)] += 1;
        }
        assert!((93_000..94_500).contains(&counts[0]), "{counts:?}");
        assert!((5_500..6_200).contains(&counts[1]), "{counts:?}");
        assert!(counts[2] > 300 && counts[3] > 0, "{counts:?}");
        let other = HnswOptions { seed: 1, ..options };
        assert!((0..1_000).any(|number| options.level(number) != other.level(number)));
    }

    #[test]
    fn unfit_options_are_refused() {
        let options = HnswOptions::default();
        let degree = HnswOptions {
            degree: 1,
            ..options
        };
        assert_eq!(degree.checked(), Err(HnswError::Degree { got: 1 }));
        let narrow = HnswOptions {
            build_width: 15,
            ..options
        };
        let error = narrow.checked().unwrap_err();
        assert_eq!(error, HnswError::BuildWidth { got: 15, min: 16 });
        assert!(options.checked().is_ok());
    }
}
