//! Graphs of bundled rows, and what they find of them.

use cortica_index::{Codes, HnswIndex, HnswOptions, Metric, Nearest, VectorIndex};
use cortica_simd::Isa;
use cortica_testkit::bundle;

pub(crate) const CODES: [Codes; 4] = [Codes::F32, Codes::I8, Codes::Signs, Codes::Blocks];

pub(crate) fn empty(codes: Codes) -> HnswIndex {
    let options = HnswOptions {
        codes,
        ..HnswOptions::default()
    };
    HnswIndex::new(bundle().dimension, Metric::Cosine, Isa::best(), options).unwrap()
}

/// Of 100 queries, the share of the ten nearest that a search at defaults finds, by score: of copies any counts
/// that is as near as the exact tenth.
pub(crate) fn recall(index: &HnswIndex) -> f64 {
    let mut right = 0;
    for query in (0..100).map(|query| bundle().query(query)) {
        let exact = index.search(query, 10).unwrap();
        let found = index.nearest(query, Nearest::default()).unwrap();
        let near = found.iter().take(10);
        right += near.filter(|near| near.score >= exact[9].score).count();
    }
    f64::from(right as u32) / 1_000.0
}
