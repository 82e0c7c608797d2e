//! What walks find where most rows may not be found: folders large enough that a filter of one row in ten is
//! walked past, and not answered by comparing all it lets through.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use anyhow::{Result, ensure};
use cortica_index::{Codes, Filter, Nearest, Row};
use cortica_testkit::{Measure, Rng, recall_at, scores};

use super::graph::Work;
use crate::subject::Setup;

const K: usize = 10;

/// Queries, each of which costs a pass over all rows in f64 for its truth.
const QUERIES: usize = 100;

/// Rows let through, of a thousand.
const PER_MILLE: [usize; 4] = [500, 100, 10, 1];

/// Draws of which the rows that a search asks to estimate the share tell no less than there is: so little more
/// than is compared in any case lies in a tenth of 30,000 rows.
const SEED: u64 = 1;

/// Recall@10 under predicates that let rows through by chance: the least over formats of codes and shares. Half
/// and a tenth are asked of a walk.
pub(super) fn recall(setup: &Setup) -> Result<f64> {
    let work = Work::new(setup)?;
    let (data, rows) = (&work.data, work.data.len());
    let queries = work.queries.min(QUERIES);
    let truth: Vec<_> = (0..queries)
        .map(|query| {
            scores(
                Measure::Cosine,
                &data.rows,
                data.dimension,
                data.query(query),
            )
        })
        .collect();
    let mut least = 1.0_f64;
    for codes in [Codes::F32, Codes::I8, Codes::Signs, Codes::Blocks] {
        let index = work.graph(codes)?;
        for per_mille in PER_MILLE {
            let mut rng = Rng::new(per_mille as u64 + SEED);
            let lets: Vec<bool> = (0..rows).map(|_| rng.below(1_000) < per_mille).collect();
            let (mut sum, mut walks) = (0.0, 0);
            for (query, truth) in truth.iter().enumerate() {
                let asked = AtomicUsize::new(0);
                let predicate = |row: Row| {
                    asked.fetch_add(1, Relaxed);
                    lets[row.get() as usize]
                };
                let how = Nearest {
                    k: K,
                    filter: Filter::Predicate(&predicate),
                    ..Nearest::default()
                };
                let found = index.nearest(data.query(query), how)?;
                let mut found: Vec<u32> = found.iter().map(|near| near.row.get()).collect();
                if setup.corrupt {
                    found.truncate(K * 9 / 10);
                }
                ensure!(
                    found.iter().all(|&row| lets[row as usize]),
                    "{codes:?}: a row was found that is not let through"
                );
                walks += usize::from(asked.into_inner() < rows);
                // What is not let through is nobody's neighbour.
                let let_through = truth.iter().zip(&lets);
                let truth: Vec<f64> = let_through
                    .map(|(&score, &lets)| if lets { score } else { f64::NEG_INFINITY })
                    .collect();
                let matches = lets.iter().filter(|&&lets| lets).count();
                sum += recall_at(K.min(matches), &found, &truth);
            }
            ensure!(
                per_mille < 100 || walks == queries,
                "{codes:?}, {per_mille} of 1,000: {walks} of {queries} searches walked"
            );
            least = least.min(sum / queries as f64);
        }
    }
    Ok(least)
}
