//! The k best, with all that tie with the last of them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a panic is how a test reports"
)]

use cortica_simd::{
    CodeRows, Isa, Scored, TopK, dot_rows_f16, hamming_rows, select_at_least, top_k,
    top_k_reference,
};

#[track_caller]
fn check(scores: &[f32], k: usize, want: &[u32]) {
    let rows = |found: &[Scored]| -> Vec<u32> { found.iter().map(|scored| scored.row).collect() };
    assert_eq!(rows(&top_k_reference(scores, k)), want, "the definition");
    for isa in Isa::available() {
        let mut found = vec![Scored { row: 7, score: 7.0 }]; // Emptied before.
        top_k(isa, scores, k, &mut found);
        assert_eq!(rows(&found), want, "{isa}");
    }
}

#[test]
fn worked_examples() {
    check(&[0.1, 0.9, 0.5], 2, &[1, 2]);
    check(&[0.5, 0.9, 0.5, 0.4, 0.5], 2, &[1, 0, 2, 4]); // All ties at rank 2, by row.
    check(&[0.5, 0.9, 0.5], 3, &[1, 0, 2]);
    check(&[0.5, 0.6], 9, &[1, 0]);
    check(&[0.5, 0.6], 0, &[]);
    check(&[], 3, &[]);
    check(&[1.0; 70], 1, &(0..70).collect::<Vec<_>>());
}

/// As many as there can be, and rows of any length of which there are none: nothing to find.
#[test]
fn sizes_at_the_end_of_their_range_are_no_trouble() {
    for isa in Isa::available() {
        let mut found = Vec::new();
        top_k(isa, &[1.0, 3.0, 2.0], usize::MAX, &mut found);
        assert_eq!(found.len(), 3, "{isa}");
        let halves = CodeRows::<u16>::new(&[], 1, 1 << (usize::BITS - 1)).unwrap();
        dot_rows_f16(isa, &[1.0], halves, &mut [0.0; 4]);
        let signs = CodeRows::<u64>::new(&[], 1, 1 << (usize::BITS - 3)).unwrap();
        hamming_rows(isa, &[1], signs, &mut [0; 4]);
    }
}

#[test]
fn zeros_tie_and_what_is_no_number_is_not_there() {
    let nan = f32::NAN;
    check(&[0.0, -0.0, -1.0], 1, &[0, 1]);
    check(&[nan, 2.0, nan, 1.0, -nan], 2, &[1, 3]);
    check(&[nan, 2.0, nan], 5, &[1]);
    check(&[nan; 5], 2, &[]);
    let (inf, low) = (f32::INFINITY, f32::NEG_INFINITY);
    check(&[low, 0.0, inf, low], 3, &[2, 1, 0, 3]);
    check(&[low, nan, low], 1, &[0, 2]);
    check(&[f32::MIN_POSITIVE, f32::from_bits(1), 0.0], 2, &[0, 1]);
}

fn many(count: u32) -> impl Iterator<Item = Vec<f32>> {
    let spread = |at: u32| (at.wrapping_mul(0x9e37_79b9) >> 8) as f32;
    let few = move |at: u32| (at.wrapping_mul(0x9e37_79b9) >> 27) as f32;
    [
        (0..count).map(spread).collect(),
        (0..count).map(few).collect(), // 32 different scores: many ties.
        (0..count).map(|at| at as f32).collect(), // Rising: each better than all before.
        (0..count).map(|at| -(at as f32)).collect(),
    ]
    .into_iter()
}

#[test]
fn agrees_with_the_definition_at_any_size() {
    for count in [1, 63, 64, 65, 127, 1_000, 20_000] {
        for scores in many(count) {
            for k in [1, 2, 10, 100, 5_000, 30_000] {
                let want = top_k_reference(&scores, k);
                for isa in Isa::available() {
                    let mut found = Vec::new();
                    top_k(isa, &scores, k, &mut found);
                    assert_eq!(found, want, "{isa}, {k} of {count}");
                }
            }
        }
    }
}

/// Real scores, and ties among them by rounding.
#[test]
fn agrees_with_the_definition_on_real_scores() {
    let data = cortica_testkit::bundle();
    let query = data.query(0);
    let scores: Vec<f32> = (0..data.len())
        .map(|row| cortica_testkit::cosine(data.row(row), query) as f32)
        .collect();
    let coarse: Vec<f32> = scores.iter().map(|score| (score * 64.0).round()).collect();
    for scores in [scores, coarse] {
        for k in [1, 10, 100] {
            for isa in Isa::available() {
                let mut found = Vec::new();
                top_k(isa, &scores, k, &mut found);
                assert_eq!(found, top_k_reference(&scores, k), "{isa}");
            }
        }
    }
}

#[test]
fn blocks_add_up_to_the_whole() {
    let scores = many(10_000).nth(1).unwrap();
    for isa in Isa::available() {
        for k in [0, 1, 10, 300] {
            let mut top = TopK::new(k);
            assert_eq!(top.limit(), f32::NEG_INFINITY);
            for round in 0..2 {
                let mut first = 0;
                for block in scores.chunks(777) {
                    top.offer(isa, first, block);
                    first += block.len() as u32;
                }
                let want = top_k_reference(&scores, k);
                assert!(
                    want.get(k.saturating_sub(1))
                        .is_none_or(|kth| top.limit() <= kth.score)
                );
                let mut found = top.best().to_vec();
                found.sort_by_key(|scored| scored.row);
                let mut by_row = want.clone();
                by_row.sort_by_key(|scored| scored.row);
                assert_eq!(found, by_row, "{isa}, {k}, round {round}");
                assert_eq!(top.sorted(), want);
                top.clear();
            }
        }
    }
}

#[test]
fn what_reaches_a_limit_is_appended_in_order() {
    for isa in Isa::available() {
        let mut found = Vec::new();
        select_at_least(isa, &[0.1, 0.5, f32::NAN, 0.7], 0.5, 10, &mut found);
        select_at_least(isa, &[0.9], 0.5, 3, &mut found);
        let rows: Vec<u32> = found.iter().map(|scored| scored.row).collect();
        assert_eq!(rows, [11, 13, 3], "{isa}");
    }
}
