//! Codes that select, vectors that decide.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a panic is how a test reports"
)]

use cortica_simd::{
    BoundedScan, CodeRows, I8Query, I8Rows, I8Scale, Isa, Measure, Scored, SignQuery, TwoStage,
    encode_i8, encode_signs, sign_words, top_k_reference, weighted_hamming_reference,
};
use cortica_testkit::{Rng, bundle};
use std::iter::zip;

const MEASURES: [Measure; 3] = [Measure::Dot, Measure::Cosine, Measure::SquaredDistance];

/// Vectors with their codes in both formats.
struct Coded {
    dimension: usize,
    vectors: Vec<f32>,
    signs: Vec<u64>,
    codes: Vec<i8>,
    scales: Vec<I8Scale>,
}

impl Coded {
    fn new(isa: Isa, vectors: &[f32], dimension: usize) -> Self {
        let words = sign_words(dimension);
        let count = vectors.len() / dimension;
        let (mut signs, mut codes) = (vec![0; count * words], vec![0; vectors.len()]);
        for (vector, signs) in zip(vectors.chunks(dimension), signs.chunks_mut(words)) {
            encode_signs(vector, signs);
        }
        let scales = zip(vectors.chunks(dimension), codes.chunks_mut(dimension))
            .map(|(vector, codes)| encode_i8(isa, vector, codes))
            .collect();
        let vectors = vectors.to_vec();
        Self {
            dimension,
            vectors,
            signs,
            codes,
            scales,
        }
    }

    fn signs(&self) -> CodeRows<'_, u64> {
        CodeRows::packed(&self.signs, sign_words(self.dimension)).unwrap()
    }

    fn i8(&self) -> I8Rows<'_> {
        I8Rows::new(
            CodeRows::packed(&self.codes, self.dimension).unwrap(),
            &self.scales,
        )
        .unwrap()
    }

    fn vector(&self, row: u32) -> Option<&[f32]> {
        let start = row as usize * self.dimension;
        self.vectors.get(start..start + self.dimension)
    }

    /// Every canonical score, and the best of them.
    fn exact(&self, isa: Isa, by: Measure, query: &[f32], k: usize) -> Vec<Scored> {
        let scores: Vec<f32> = self
            .vectors
            .chunks(self.dimension)
            .map(|vector| by.score(isa, query, vector) + 0.0)
            .collect();
        top_k_reference(&scores, k)
    }
}

fn real(isa: Isa) -> Coded {
    let data = bundle();
    Coded::new(isa, &data.rows[..2_000 * data.dimension], data.dimension)
}

/// With as many candidates as rows, nothing is left to chance.
#[test]
fn all_candidates_give_the_exact_answer() {
    for isa in Isa::available() {
        let coded = real(isa);
        for by in MEASURES {
            let mut signs = TwoStage::<SignQuery>::new(isa, by, 10, 2_000);
            let mut i8 = TwoStage::<I8Query>::new(isa, by, 10, 2_000);
            let mut found = Vec::new();
            for query in 0..3 {
                let query = bundle().query(query);
                let want = coded.exact(isa, by, query, 10);
                signs.start(query);
                signs.offer(0, coded.signs());
                signs.finish(|row| coded.vector(row), &mut found);
                assert_eq!(found, want, "{isa} {by:?} signs");
                i8.start(query);
                i8.offer(0, coded.i8());
                i8.finish(|row| coded.vector(row), &mut found);
                assert_eq!(found, want, "{isa} {by:?} i8");
            }
        }
    }
}

/// What is left is what the definition of the weighted distance would leave of the candidates.
#[test]
fn refining_keeps_the_best_by_weighted_distance_and_their_ties() {
    for isa in Isa::available() {
        let coded = real(isa);
        let mut scan = TwoStage::<SignQuery>::new(isa, Measure::Dot, 10, 200);
        let code_of = |row: u32| coded.signs().row(row as usize);
        for (number, keep) in zip(0..8, [0, 10, 11, 40, 64, 199, 200, 500]) {
            let query = bundle().query(number);
            scan.start(query);
            scan.offer(0, coded.signs());
            let candidates = scan.candidates().to_vec();
            assert!(candidates.len() >= 200);
            let key = |row| -(weighted_hamming_reference(query, code_of(row).unwrap()) as f32);
            let keys: Vec<f32> = candidates.iter().map(|kept| key(kept.row)).collect();
            let mut want: Vec<u32> = top_k_reference(&keys, keep.clamp(10, 200))
                .iter()
                .map(|best| candidates[best.row as usize].row)
                .collect();
            want.sort_unstable();
            scan.refine(keep, code_of);
            let left: Vec<u32> = scan.candidates().iter().map(|kept| kept.row).collect();
            assert_eq!(left, want, "{isa} keep {keep}");
            assert!(
                scan.candidates()
                    .iter()
                    .all(|kept| kept.score == key(kept.row))
            );
        }
    }
}

/// A quarter of the candidates, chosen by weight, finds more than as many chosen by count.
#[test]
fn refining_finds_more_with_as_many_scores() {
    let isa = Isa::best();
    let coded = real(isa);
    let (mut right, mut found) = ([0, 0], Vec::new());
    for number in 0..100 {
        let query = bundle().query(number);
        let want = coded.exact(isa, Measure::Dot, query, 10);
        for (right, (candidates, keep)) in zip(&mut right, [(30, 30), (120, 30)]) {
            let mut scan = TwoStage::<SignQuery>::new(isa, Measure::Dot, 10, candidates);
            scan.start(query);
            scan.offer(0, coded.signs());
            if keep < candidates {
                scan.refine(keep, |row| coded.signs().row(row as usize));
            }
            scan.finish(|row| coded.vector(row), &mut found);
            *right += found.iter().filter(|hit| want.contains(hit)).count();
        }
    }
    let [by_count, by_weight] = right;
    assert!(
        by_weight > by_count,
        "{by_weight} of 1,000 after {by_count}"
    );
}

/// A row whose signs are gone is dropped like one whose vector is gone.
#[test]
fn refining_drops_rows_without_signs() {
    let isa = Isa::best();
    let coded = real(isa);
    let mut scan = TwoStage::<SignQuery>::new(isa, Measure::Dot, 10, 100);
    scan.start(bundle().query(0));
    scan.offer(0, coded.signs());
    scan.refine(50, |row| {
        (row % 2 == 0).then(|| coded.signs().row(row as usize))?
    });
    assert!(!scan.candidates().is_empty());
    assert!(scan.candidates().iter().all(|kept| kept.row % 2 == 0));
}

/// Few candidates: a part of them is found, in order and with canonical scores.
#[test]
fn what_is_found_has_canonical_scores_and_most_is_found() {
    for isa in Isa::available() {
        let coded = real(isa);
        let mut scan = TwoStage::<SignQuery>::new(isa, Measure::Dot, 10, 100);
        let (mut right, mut found) = (0, Vec::new());
        for query in 0..50 {
            let query = bundle().query(query);
            scan.start(query);
            scan.offer(0, coded.signs());
            scan.finish(|row| coded.vector(row), &mut found);
            assert!(found.len() >= 10 && found.is_sorted_by(|a, b| a.score >= b.score));
            for hit in &found {
                let vector = coded.vector(hit.row).unwrap();
                assert_eq!(hit.score, Measure::Dot.score(isa, query, vector), "{isa}");
            }
            let want = coded.exact(isa, Measure::Dot, query, 10);
            right += want.iter().filter(|want| found.contains(want)).count();
        }
        assert!(right >= 490, "{isa}: {right} of 500");
    }
}

#[test]
fn runs_of_rows_are_one_scan() {
    let isa = Isa::best();
    let coded = real(isa);
    let query = bundle().query(1);
    let (mut whole, mut parts) = (Vec::new(), Vec::new());
    let mut scan = TwoStage::<I8Query>::new(isa, Measure::Dot, 5, 20);
    scan.start(query);
    scan.offer(0, coded.i8());
    scan.finish(|row| coded.vector(row), &mut whole);
    scan.start(query);
    for from in [1_300, 0, 1_000] {
        let to = if from == 0 { 1_000 } else { from + 700 };
        let to = if from == 1_000 { 1_300 } else { to };
        scan.offer(from as u32, coded.i8().range(from, to));
    }
    let candidates = scan.candidates().len();
    assert!(candidates >= 20, "{candidates}");
    scan.finish_by(
        |row| Some(Measure::Dot.score(isa, query, coded.vector(row)?)),
        &mut parts,
    );
    assert_eq!(parts, whole);
}

#[test]
fn rows_that_are_gone_are_not_found() {
    let isa = Isa::best();
    let coded = real(isa);
    let query = bundle().query(2);
    let best = coded.exact(isa, Measure::Dot, query, 1)[0].row;
    let mut scan = TwoStage::<SignQuery>::new(isa, Measure::Dot, 3, 50);
    let mut found = Vec::new();
    scan.start(query);
    scan.offer(0, coded.signs());
    scan.finish(|row| coded.vector(row).filter(|_| row != best), &mut found);
    assert!(found.len() >= 3 && found.iter().all(|hit| hit.row != best));
}

#[track_caller]
fn check_bounded(isa: Isa, coded: &Coded, by: Measure, query: &[f32], k: usize) -> usize {
    let mut scan = BoundedScan::new(isa, by, k);
    let mut found = vec![Scored { row: 1, score: 1.0 }];
    scan.start(query);
    let half = coded.i8().len() / 2;
    scan.offer(half as u32, coded.i8().range(half, usize::MAX));
    scan.offer(0, coded.i8().range(0, half));
    scan.finish(|row| coded.vector(row), &mut found);
    let want = coded.exact(isa, by, query, k);
    assert_eq!(found, want, "{isa} {by:?} k={k}");
    scan.candidates()
}

#[test]
fn bounds_lose_nothing_of_real_vectors() {
    for isa in Isa::available() {
        let coded = real(isa);
        for by in MEASURES {
            let mut candidates = 0;
            for query in 0..20 {
                candidates += check_bounded(isa, &coded, by, bundle().query(query), 10);
            }
            // The bounds are of use: a hundredth of the rows, not most of them.
            assert!(candidates < 20 * 60, "{isa} {by:?}: {candidates} of 40,000");
            for k in [0, 1, 100, 1_999, 2_000, 3_000] {
                check_bounded(isa, &coded, by, bundle().query(3), k);
            }
        }
    }
}

/// What no bound can be given for is looked at: sums that overflow, and values that are no numbers.
#[test]
fn bounds_lose_nothing_of_vectors_beyond_all_bounds() {
    let mut rng = Rng::new(11);
    for isa in Isa::available() {
        for d in [1, 16, 63] {
            for size in [1e18, 1e19, 2e19, 1e20, 1e30, f32::MAX] {
                let count = 90;
                let mut vectors: Vec<f32> = (0..count * d)
                    .map(|_| size * (2.0 * rng.unit() - 1.0))
                    .collect();
                vectors[..d].fill(0.0);
                for (at, odd) in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN]
                    .iter()
                    .enumerate()
                {
                    vectors[(10 + at) * d] = *odd;
                }
                let coded = Coded::new(isa, &vectors, d);
                let mut query: Vec<f32> = (0..d).map(|_| size * (2.0 * rng.unit() - 1.0)).collect();
                for by in MEASURES {
                    for k in [1, 5, 80] {
                        check_bounded(isa, &coded, by, &query, k);
                        check_bounded(isa, &coded, by, &vec![0.0; d], k);
                        check_bounded(isa, &coded, by, &vectors[10 * d..11 * d], k);
                    }
                }
                query[0] = f32::NAN;
                for by in MEASURES {
                    check_bounded(isa, &coded, by, &query, 5);
                }
            }
        }
    }
}

/// Ties, zeros, huge and tiny vectors, counts around a block of lanes.
#[test]
fn bounds_lose_nothing_of_odd_vectors() {
    let mut rng = Rng::new(5);
    for isa in Isa::available() {
        for count in [1, 63, 64, 65, 300] {
            for size in [
                1.0, 1e-42, 1e-30, 1e-22, 1e-19, 1e-10, 1e10, 1e19, 1e30, 3e38,
            ] {
                for d in [1, 7, 33] {
                    let mut vectors: Vec<f32> =
                        (0..count * d).map(|_| size * (rng.unit() - 0.5)).collect();
                    vectors[..d].fill(0.0);
                    if count > 10 {
                        vectors.copy_within(3 * d..4 * d, 9 * d); // The same vector twice.
                        for value in &mut vectors[5 * d..6 * d] {
                            *value *= 1e-6;
                        }
                    }
                    let coded = Coded::new(isa, &vectors, d);
                    let query: Vec<f32> = (0..d).map(|_| rng.unit() - 0.5).collect();
                    for by in MEASURES {
                        check_bounded(isa, &coded, by, &query, 3);
                        check_bounded(isa, &coded, by, &vectors[..d], 3);
                        check_bounded(isa, &coded, by, &vectors[(count - 1) * d..], 3);
                    }
                }
            }
        }
    }
}
