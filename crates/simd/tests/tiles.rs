//! Many-row kernels against their definitions in f64, on every instruction set.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a panic is how a test reports"
)]

mod support;

use cortica_simd::{
    Isa, Rows, cosine_rows, cosine_tile, dot, dot_rows, dot_tile, inverse_norm,
    squared_distance_rows, squared_distance_tile,
};
use support::{close, each_isa, exact_cosine, exact_distance, exact_dot, lengths, values};

#[test]
fn rows_and_tiles_agree_with_the_definition_for_every_shape() {
    each_isa(|isa| {
        for d in [1, 7, 8, 15, 16, 17, 33, 64, 100, 768] {
            for n in [0, 1, 2, 3, 4, 5, 6, 7, 11, 12, 63, 64, 65, 129] {
                for padding in [0, 5] {
                    let stride = d + padding;
                    let data = values(n * stride, 3);
                    let rows = Rows::new(&data, d, stride).unwrap();
                    for count in [0, 1, 2, 3, 4, 5, 6, 7, 8, 13, 16] {
                        let queries: Vec<_> = (0..count).map(|salt| values(d, 10 + salt)).collect();
                        let queries: Vec<_> = queries.iter().map(Vec::as_slice).collect();
                        check_tile(isa, &queries, rows);
                    }
                }
            }
        }
    });
}

/// Every length of a tail, and starts that no vector of the machine is aligned to.
#[test]
fn rows_and_tiles_agree_with_the_definition_at_every_length_and_start() {
    each_isa(|isa| {
        for d in lengths().filter(|&d| d > 0) {
            for start in [0, 1, 3, 8] {
                let data = values(start + 9 * (d + 1), 5);
                let rows = Rows::new(&data[start..], d, d + 1).unwrap();
                let queries: Vec<_> = (0..5).map(|salt| values(start + d, 30 + salt)).collect();
                let queries: Vec<_> = queries.iter().map(|query| &query[start..]).collect();
                check_tile(isa, &queries, rows);
            }
        }
    });
}

#[test]
fn zero_denormal_and_huge_rows_do_not_break_a_kernel() {
    each_isa(|isa| {
        let d = 40;
        let rows_of = [0.0, 1e-40, 1e38, -1e38, f32::NAN];
        let data: Vec<f32> = (0..65).flat_map(|row| [rows_of[row % 5]; 40]).collect();
        let rows = Rows::packed(&data, d).unwrap();
        let (ones, huge) = ([1.0; 40], [1e38; 40]);
        let queries: [&[f32]; 5] = [&ones, &huge, &ones, &huge, &ones];
        let (mut dots, mut distances) = (vec![9.0; 5 * 65], vec![9.0; 5 * 65]);
        dot_tile(isa, &queries, rows, &mut dots);
        squared_distance_tile(isa, &queries, rows, &mut distances);
        for (q, query) in queries.iter().enumerate() {
            let mut one = vec![9.0; 65];
            dot_rows(isa, query, rows, &mut one);
            let infinite = query[0] > 1.0;
            for r in 0..65 {
                for dot in [dots[q * 65 + r], one[r]] {
                    let good = match (r % 5, infinite) {
                        (0, _) => dot == 0.0,
                        (1, false) => (dot - 4e-39).abs() < 1e-42,
                        (1, true) => (dot - 0.4).abs() < 1e-3, // 1e-40 has five digits.
                        (2, _) => dot == f32::INFINITY,        // 4e39, or more.
                        (3, _) => dot == f32::NEG_INFINITY,
                        _ => dot.is_nan(),
                    };
                    assert!(good, "{isa} query {q} row {r}: {dot}");
                }
                let distance = distances[q * 65 + r];
                let good = match (r % 5, infinite) {
                    (0 | 1, false) => distance == 40.0,
                    (2, true) => distance == 0.0,
                    (4, _) => distance.is_nan(),
                    _ => distance == f32::INFINITY,
                };
                assert!(good, "{isa} query {q} row {r}: distance {distance}");
            }
        }
    });
}

fn check_tile(isa: Isa, queries: &[&[f32]], rows: Rows<'_>) {
    let d = rows.dimension();
    let mut dots = vec![f32::NAN; queries.len() * rows.len()];
    let mut distances = dots.clone();
    dot_tile(isa, queries, rows, &mut dots);
    squared_distance_tile(isa, queries, rows, &mut distances);
    let mut one_dots = vec![f32::NAN; rows.len()];
    let mut one_distances = one_dots.clone();
    for (q, query) in queries.iter().enumerate() {
        dot_rows(isa, query, rows, &mut one_dots);
        squared_distance_rows(isa, query, rows, &mut one_distances);
        for (r, row) in rows.iter().enumerate() {
            let (want, size) = exact_dot(query, row);
            close(isa, d, dots[q * rows.len() + r], want, size);
            close(isa, d, one_dots[r], want, size);
            let want = exact_distance(query, row);
            close(isa, d, distances[q * rows.len() + r], want, want);
            close(isa, d, one_distances[r], want, want);
        }
    }
}

#[test]
fn cosines_of_rows_and_tiles_agree_with_and_without_stored_norms() {
    each_isa(|isa| {
        for d in [1, 16, 100, 768] {
            for n in [0, 1, 5, 64, 130, 300] {
                let mut data = values(n * d, 4);
                // Zero vectors among the others.
                (0..n)
                    .step_by(7)
                    .for_each(|row| data[row * d..][..d].fill(0.0));
                let rows = Rows::packed(&data, d).unwrap();
                let norms: Vec<f32> = rows.iter().map(|row| inverse_norm(isa, row)).collect();
                check_cosines(isa, rows);
                check_cosines(isa, rows.with_inverse_norms(&norms).unwrap());
            }
        }
    });
}

fn check_cosines(isa: Isa, rows: Rows<'_>) {
    let d = rows.dimension();
    let mut queries: Vec<_> = (0..9).map(|salt| values(d, 20 + salt)).collect();
    queries[3].fill(0.0);
    let queries: Vec<_> = queries.iter().map(Vec::as_slice).collect();
    let mut tile = vec![f32::NAN; queries.len() * rows.len()];
    cosine_tile(isa, &queries, rows, &mut tile);
    for (q, query) in queries.iter().enumerate() {
        let mut one = vec![f32::NAN; rows.len()];
        cosine_rows(isa, query, rows, &mut one);
        for (r, row) in rows.iter().enumerate() {
            let want = exact_cosine(query, row);
            for got in [one[r], tile[q * rows.len() + r]] {
                let miss = (f64::from(got) - want).abs();
                assert!(
                    miss < 1e-6,
                    "{isa} d={d} query {q} row {r}: {got} is not {want}"
                );
            }
        }
    }
}

/// One-hot queries catch a sum that ends up in the place of another.
#[test]
fn every_score_lands_in_its_own_place() {
    each_isa(|isa| {
        for n in [6, 13, 48] {
            let d = 40;
            let number = |at: usize| at as f32 + 1.0;
            let data: Vec<f32> = (0..n * d).map(number).collect();
            let rows = Rows::packed(&data, d).unwrap();
            let hot = |at: usize| (0..d).map(|i| f32::from(u8::from(i == at))).collect();
            let queries: Vec<Vec<f32>> = (0..d).map(hot).collect();
            let queries: Vec<&[f32]> = queries.iter().map(Vec::as_slice).collect();
            let mut scores = vec![0.0; d * n];
            dot_tile(isa, &queries, rows, &mut scores);
            for q in 0..d {
                for r in 0..n {
                    assert_eq!(scores[q * n + r], number(r * d + q), "{isa} {q} {r}");
                }
            }
        }
    });
}

#[test]
fn out_that_is_too_short_or_too_long_is_filled_as_far_as_it_goes() {
    each_isa(|isa| {
        let data = values(14 * 20, 5);
        let rows = Rows::packed(&data, 20).unwrap();
        let queries: Vec<_> = (0..5).map(|salt| values(20, salt)).collect();
        let queries: Vec<_> = queries.iter().map(Vec::as_slice).collect();
        let mut whole = vec![0.0; 5 * 14];
        for kernel in [dot_tile, squared_distance_tile, cosine_tile] {
            kernel(isa, &queries, rows, &mut whole);
            for length in 0..90 {
                let mut out = vec![-9.0; length];
                kernel(isa, &queries, rows, &mut out);
                for (at, &got) in out.iter().enumerate() {
                    match whole.get(at) {
                        Some(want) => assert!((got - want).abs() < 1e-4, "{isa} {length} {at}"),
                        None => assert_eq!(got, -9.0, "{isa} {length} {at}"),
                    }
                }
            }
        }
        for kernel in [dot_rows, squared_distance_rows, cosine_rows] {
            kernel(isa, queries[0], rows, &mut whole);
            for length in 0..20 {
                let mut out = vec![-9.0; length];
                kernel(isa, queries[0], rows, &mut out);
                for (at, &got) in out.iter().enumerate() {
                    let want = if at < 14 { whole[at] } else { -9.0 };
                    assert!((got - want).abs() < 1e-4, "{isa} {length} {at}");
                }
            }
        }
    });
}

#[test]
fn a_short_query_is_cut_alone() {
    each_isa(|isa| {
        let data = values(8 * 30, 6);
        let rows = Rows::packed(&data, 30).unwrap();
        let queries: Vec<_> = (0..6).map(|salt| values(30, salt)).collect();
        let mut queries: Vec<_> = queries.iter().map(Vec::as_slice).collect();
        queries[2] = &queries[2][..11];
        let mut out = vec![0.0; 6 * 8];
        dot_tile(isa, &queries, rows, &mut out);
        for (q, query) in queries.iter().enumerate() {
            for (r, row) in rows.iter().enumerate() {
                let want = dot(isa, query, row);
                assert!((out[q * 8 + r] - want).abs() < 1e-4, "{isa} {q} {r}");
            }
        }
    });
}

/// The lengths are those of what is compared, whatever lies beyond it.
#[test]
fn cosines_of_longer_and_shorter_queries() {
    each_isa(|isa| {
        let d = 30;
        let data = values(8 * d, 6);
        let rows = Rows::packed(&data, d).unwrap();
        let norms: Vec<f32> = rows.iter().map(|row| inverse_norm(isa, row)).collect();
        for rows in [rows, rows.with_inverse_norms(&norms).unwrap()] {
            let queries: Vec<_> = [11, 29, 30, 31, 80].map(|len| values(len, len)).into();
            let queries: Vec<_> = queries.iter().map(Vec::as_slice).collect();
            let mut tile = vec![f32::NAN; queries.len() * 8];
            cosine_tile(isa, &queries, rows, &mut tile);
            for (q, query) in queries.iter().enumerate() {
                let mut filled = query.to_vec();
                filled.resize(d, 0.0);
                let mut one = vec![f32::NAN; 8];
                cosine_rows(isa, query, rows, &mut one);
                for (r, row) in rows.iter().enumerate() {
                    let want = exact_cosine(&filled, row);
                    for got in [one[r], tile[q * 8 + r]] {
                        assert!((f64::from(got) - want).abs() < 1e-6, "{isa} {q} {r}: {got}");
                    }
                }
            }
        }
    });
}
