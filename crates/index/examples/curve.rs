//! What a graph finds, and how fast: `curve DIR [f32|i8|signs]` on a folder of vectors.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    missing_docs,
    reason = "an example"
)]

use cortica_index::{Codes, HnswIndex, HnswOptions, Metric, Nearest, VectorIndex};
use cortica_simd::Isa;
use cortica_testkit::load;
use std::time::Instant;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let data = load(std::path::Path::new(&arguments.next().expect("a folder"))).unwrap();
    let kinds: Vec<Codes> = match arguments.next().as_deref() {
        Some("f32") => vec![Codes::F32],
        Some("i8") => vec![Codes::I8],
        Some("signs") => vec![Codes::Signs],
        Some("blocks") => vec![Codes::Blocks],
        _ => vec![Codes::Blocks, Codes::I8, Codes::Signs, Codes::F32],
    };
    for codes in kinds {
        let options = HnswOptions {
            codes,
            build_width: 128,
            ..HnswOptions::default()
        };
        let index = HnswIndex::new(data.dimension, Metric::Cosine, Isa::best(), options).unwrap();
        for row in data.rows.chunks(data.dimension) {
            index.insert(row).unwrap();
        }
        let start = Instant::now();
        index.link(usize::MAX);
        let seconds = start.elapsed().as_secs_f64();
        println!("{codes:?}: {:.0} rows/s", index.len() as f64 / seconds);
        println!("{:?}", index.graph_stats());
        let count = data.queries.len() / data.dimension;
        for width in [16, 24, 32, 48, 64, 96, 128, 256] {
            let how = Nearest {
                width,
                ..Nearest::default()
            };
            let mut found = Vec::new();
            let mut best = f64::MAX;
            for _ in 0..3 {
                let queries = data.queries.chunks(data.dimension);
                let start = Instant::now();
                found = queries
                    .map(|query| index.nearest(query, how).unwrap())
                    .collect();
                best = best.min(start.elapsed().as_secs_f64());
            }
            let recall: f64 = (0..)
                .zip(&found)
                .map(|(number, found)| {
                    let rows: Vec<u32> = found.iter().map(|hit| hit.row.get()).collect();
                    data.recall_at(10, number, &rows)
                })
                .sum();
            println!(
                "  width {width:4}: recall {:.4}, {:.0} queries/s",
                recall / count as f64,
                count as f64 / best
            );
        }
    }
}
