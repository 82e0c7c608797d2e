//! Sign codes that select, vectors that decide: how much is found, and how much faster than by the
//! exact scan. Both gates use the same parameters on the same rows.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use cortica_simd::{
    CodeRows, Isa, Measure, Rows, Scored, SignQuery, TopK, TwoStage, dot, dot_rows, encode_signs,
    norm, sign_words,
};
use cortica_testkit::{Dataset, Measure as By, recall_at, scores};

use super::fixture::{self, Aligned};
use crate::subject::{Pair, Setup};

const NEIGHBOURS: usize = 10;

/// Rows that go on to the second stage, at least, and one in how many.
const CANDIDATES_MIN: usize = 256;
const CANDIDATE_OF: usize = 64;

/// One in how many of them is scored, after a finer reading of its signs; and how many at least.
const SCORED_OF: usize = 4;
const SCORED_MIN: usize = 64;

/// Queries of one timed section.
const QUERIES: usize = 20;

/// Rows whose scores the exact scan looks at before it scores the next.
const BLOCK: usize = 1_024;

/// Rows of length 1 and their sign codes, as an index would own them.
struct Owner {
    dimension: usize,
    vectors: Aligned,
    signs: Vec<u64>,
}

impl Owner {
    fn of(data: &Dataset) -> Owner {
        let (isa, dimension) = (Isa::best(), data.dimension);
        let mut vectors = data.rows.clone();
        for vector in vectors.chunks_exact_mut(dimension) {
            let length = norm(isa, vector).max(f32::MIN_POSITIVE);
            for value in vector.iter_mut() {
                *value /= length;
            }
        }
        let mut signs = vec![0; data.len() * sign_words(dimension)];
        let places = signs.chunks_exact_mut(sign_words(dimension));
        for (vector, place) in vectors.chunks_exact(dimension).zip(places) {
            encode_signs(vector, place);
        }
        Owner {
            dimension,
            vectors: Aligned::copy_of(&vectors),
            signs,
        }
    }

    fn len(&self) -> usize {
        self.vectors.values().len() / self.dimension
    }

    fn rows(&self) -> Result<Rows<'_>> {
        Ok(Rows::packed(self.vectors.values(), self.dimension)?)
    }

    fn vector(&self, row: u32) -> Option<&[f32]> {
        let from = row as usize * self.dimension;
        self.vectors.values().get(from..from + self.dimension)
    }

    fn candidates(&self) -> usize {
        CANDIDATES_MIN.max(self.len() / CANDIDATE_OF)
    }

    fn scored(&self) -> usize {
        SCORED_MIN.max(self.candidates() / SCORED_OF)
    }

    fn two_stage(candidates: usize) -> TwoStage<SignQuery> {
        TwoStage::new(Isa::best(), Measure::Dot, NEIGHBOURS, candidates)
    }

    fn search(
        &self,
        scan: &mut TwoStage<SignQuery>,
        scored: usize,
        query: &[f32],
        found: &mut Vec<Scored>,
    ) -> Result<()> {
        let signs = CodeRows::packed(&self.signs, sign_words(self.dimension))?;
        scan.start(query);
        scan.offer(0, signs);
        scan.refine(scored, |row| signs.row(row as usize));
        scan.finish(|row| self.vector(row), found);
        Ok(())
    }

    /// The best rows by the fast f32 kernel, then their canonical scores.
    fn exact(&self, query: &[f32], top: &mut TopK) -> Result<Vec<Scored>> {
        let isa = Isa::best();
        let rows = self.rows()?;
        let mut keys = [0.0; BLOCK];
        top.clear();
        for from in (0..rows.len()).step_by(BLOCK) {
            let block = rows.range(from, from + BLOCK);
            let keys = &mut keys[..block.len()];
            dot_rows(isa, query, block, keys);
            top.offer(isa, from as u32, keys);
        }
        let mut best = top.sorted().to_vec();
        for hit in &mut best {
            hit.score = dot(isa, query, self.vector(hit.row).context("no such row")?);
        }
        Ok(best)
    }
}

/// Recall@10; truth is the data's own list of neighbours, or every score computed in f64.
pub(super) fn recall(setup: &Setup) -> Result<f64> {
    let data = fixture::largest(setup)?;
    let owner = Owner::of(&data);
    // On purpose: a search that takes on no more than it needs.
    let (candidates, scored) = if setup.corrupt {
        (NEIGHBOURS, NEIGHBOURS)
    } else {
        (owner.candidates(), owner.scored())
    };
    let mut scan = Owner::two_stage(candidates);
    let mut found = Vec::new();
    let queries = fixture::queries(&data);
    let mut sum = 0.0;
    for (number, query) in queries.iter().enumerate() {
        owner.search(&mut scan, scored, query, &mut found)?;
        let rows: Vec<u32> = found.iter().map(|hit| hit.row).collect();
        sum += if data.truth.is_empty() {
            let exact = scores(By::Cosine, &data.rows, data.dimension, query);
            recall_at(NEIGHBOURS, &rows, &exact)
        } else {
            data.recall_at(NEIGHBOURS, number, &rows)
        };
    }
    Ok(sum / queries.len() as f64)
}

/// The search in two stages against the exact scan.
pub(super) fn against_exact_scan(setup: &Setup) -> Result<Pair> {
    let data = fixture::largest(setup)?;
    let owner = Arc::new(Owner::of(&data));
    let queries = fixture::queries(&data);
    let queries = queries.into_iter().take(QUERIES).map(<[f32]>::to_vec);
    let queries: Arc<[Vec<f32>]> = queries.collect();

    let check = {
        let (owner, queries) = (owner.clone(), queries.clone());
        move || {
            let (mut all, mut top) = (Owner::two_stage(owner.len()), TopK::new(NEIGHBOURS));
            let mut found = Vec::new();
            for query in &*queries {
                // With every row a candidate, both must find the same.
                owner.search(&mut all, owner.len(), query, &mut found)?;
                let exact = owner.exact(query, &mut top)?;
                let worst = exact.iter().map(|hit| hit.score).fold(f32::MAX, f32::min);
                let last = found.last().context("nothing found")?;
                ensure!(
                    found.len() >= NEIGHBOURS && last.score >= worst,
                    "{last:?} instead of {worst}"
                );
            }
            Ok(())
        }
    };
    let (ours, our_queries) = (owner.clone(), queries.clone());
    let (mut scan, scored) = (Owner::two_stage(owner.candidates()), owner.scored());
    let mut found = Vec::new();
    let mut top = TopK::new(NEIGHBOURS);
    Ok(Pair {
        check: Box::new(check),
        subject: Box::new(move |watch| {
            watch.time(|| {
                our_queries
                    .iter()
                    .try_for_each(|query| ours.search(&mut scan, scored, query, &mut found))
            })
        }),
        baseline: Box::new(move |watch| {
            watch.time(|| {
                queries.iter().try_for_each(|query| {
                    let best = owner.exact(query, &mut top)?;
                    ensure!(best.len() >= NEIGHBOURS, "{} found", best.len());
                    Ok(())
                })
            })
        }),
    })
}
