//! The selection bound on inputs made to break it, and the contract between kernels.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a panic is how a test reports"
)]

mod support;

use cortica_simd::{
    Isa, Rows, dot, dot_rows, dot_tile, error_bound, squared_distance, squared_distance_rows,
    squared_distance_tile,
};
use support::{allowed, each_isa, exact_distance, exact_dot, values};

/// Pairs of vectors on which sums in f32 go wrong as far as they can.
fn adversaries(d: usize) -> Vec<(&'static str, Vec<f32>, Vec<f32>)> {
    let half = f32::EPSILON / 2.0;
    let ones = vec![1.0; d];
    let with = |value: &dyn Fn(usize) -> f32| (0..d).map(value).collect::<Vec<f32>>();
    let mut all = Vec::new();
    // The first of every lane is 1, and each value after it is lost whole: rounding to even keeps
    // the 1. Whatever the number of lanes, one of these fits it.
    for lanes in [1, 4, 8, 16, 64] {
        let lost = with(&|at| if at < lanes { 1.0 } else { half });
        all.push(("each addition is lost", lost, ones.clone()));
    }
    let late = with(&|at| if at == d - 1 { 1.0 } else { half });
    all.push(("the large one comes last", late, ones.clone()));
    let cancelling = with(&|at| if at % 2 == 0 { 1e8 } else { -1e8 });
    all.push(("large ones cancel", cancelling, values(d, 1)));
    let growing = with(&|at| 1.1_f32.powi((at % 400) as i32));
    all.push(("growing", growing, values(d, 2)));
    let wild = |salt| {
        with(&move |at| values(1, at * 31 + salt)[0] * 2.0_f32.powi((at * 7 % 41) as i32 - 20))
    };
    all.push(("wild exponents", wild(3), wild(4)));
    let near = values(d, 5);
    let nearer = near.iter().map(|x| x + x * f32::EPSILON).collect();
    all.push(("all but equal", near, nearer));
    let odd = with(&|at| 1.0 + f32::EPSILON * (1 + at % 3) as f32);
    all.push(("every product is rounded", odd.clone(), odd));
    let vanishing = with(&|at| values(1, at)[0] * 1e-23);
    all.push(("products vanish", vanishing.clone(), vanishing));
    all
}

/// Every way to compute the pair: the canonical kernel first, then alone among rows, in rows that
/// stream side by side, and in tiles.
fn ways(
    a: &[f32],
    b: &[f32],
    one: impl Fn(&[f32], &[f32]) -> f32,
    rows: impl Fn(&[f32], Rows<'_>, &mut [f32]),
    tile: impl Fn(&[&[f32]], Rows<'_>, &mut [f32]),
) -> Vec<f32> {
    let mut found = vec![one(a, b)];
    for count in [1, 4, 6, 9] {
        let data = b.repeat(count);
        let data = Rows::packed(&data, b.len()).unwrap();
        let mut out = vec![f32::NAN; count];
        rows(a, data, &mut out);
        found.extend(&out);
        for queries in [1, 2, 3, 4, 5] {
            let mut out = vec![f32::NAN; queries * count];
            tile(&vec![a; queries], data, &mut out);
            found.extend(&out);
        }
    }
    found
}

/// What a kernel gives for a query and rows.
type Scores<'a> = dyn Fn(&[f32], &[f32]) -> Vec<f32> + 'a;

#[test]
fn no_kernel_is_farther_off_than_its_bound() {
    each_isa(|isa| {
        for d in [1, 3, 16, 17, 64, 130, 512, 768, 1_536, 8_192] {
            for (name, a, b) in adversaries(d) {
                let (want, size) = exact_dot(&a, &b);
                let found = ways(
                    &a,
                    &b,
                    |a, b| dot(isa, a, b),
                    |a, rows, out| dot_rows(isa, a, rows, out),
                    |queries, rows, out| dot_tile(isa, queries, rows, out),
                );
                check(isa, d, name, &found, want, size);
                let want = exact_distance(&a, &b);
                let found = ways(
                    &a,
                    &b,
                    |a, b| squared_distance(isa, a, b),
                    |a, rows, out| squared_distance_rows(isa, a, rows, out),
                    |queries, rows, out| squared_distance_tile(isa, queries, rows, out),
                );
                check(isa, d, name, &found, want, want);
            }
        }
    });
}

/// Each is within one bound of the exact sum, so a fast one is within two of the canonical one.
fn check(isa: Isa, d: usize, name: &str, found: &[f32], want: f64, size: f64) {
    let canonical = f64::from(found[0]);
    for &got in found {
        let got = f64::from(got);
        let allowed = allowed(isa, d, size);
        assert!(
            (got - want).abs() <= allowed,
            "{isa} d={d}, {name}: {got} is not {want}"
        );
        assert!(
            (got - canonical).abs() <= 2.0 * allowed,
            "{isa} d={d}, {name}"
        );
    }
}

/// A bound that nothing comes near could be wrong without a test noticing.
#[test]
fn the_adversaries_come_near_the_bound() {
    each_isa(|isa| {
        let d = 8_192;
        let worst = |of: &Scores<'_>| {
            let misses = adversaries(d)
                .into_iter()
                // What vanishes below the range of f32 is no rounding, and has its own allowance.
                .filter(|(name, ..)| *name != "products vanish")
                .flat_map(|(_, a, b)| {
                    let (want, size) = exact_dot(&a, &b);
                    of(&a, &b)
                        .into_iter()
                        .map(move |got| (f64::from(got) - want).abs() / size)
                });
            misses.fold(0.0, f64::max)
        };
        let share = worst(&|a, b| {
            ways(
                a,
                b,
                |a, b| dot(isa, a, b),
                |a, rows, out| dot_rows(isa, a, rows, out),
                |queries, rows, out| dot_tile(isa, queries, rows, out),
            )
        }) / f64::from(error_bound(isa, d));
        assert!((0.9..1.0).contains(&share), "{isa}: {share} of the bound");
    });
}

/// The same pair has the same bits alone and in every place of every tile, whatever lies around it:
/// the kernels that select agree with each other to the last bit.
#[test]
fn neighbours_do_not_change_a_score() {
    each_isa(|isa| {
        for d in [5, 48, 100, 768] {
            let (query, row) = (values(d, 8), values(d, 9));
            let mut alone = [0.0];
            dot_rows(isa, &query, Rows::packed(&row, d).unwrap(), &mut alone);
            for n in [1, 6, 7, 24, 65] {
                for at in 0..n {
                    let mut data = values(n * d, 10);
                    data[at * d..][..d].copy_from_slice(&row);
                    let rows = Rows::packed(&data, d).unwrap();
                    let mut one = vec![0.0; n];
                    dot_rows(isa, &query, rows, &mut one);
                    assert_eq!(one[at].to_bits(), alone[0].to_bits(), "{isa} {d} {n} {at}");
                    for count in [1, 2, 3, 4, 6, 7] {
                        let others = values(d, 11);
                        let mut queries = vec![others.as_slice(); count];
                        queries[at % count] = &query;
                        let mut out = vec![0.0; count * n];
                        dot_tile(isa, &queries, rows, &mut out);
                        let got = out[(at % count) * n + at];
                        let message = format!("{isa} {d} {n} {at} {count}");
                        assert_eq!(got.to_bits(), alone[0].to_bits(), "{message}");
                    }
                }
            }
        }
    });
}

/// What the crate's page says about the size of the bound.
#[test]
fn the_bound_has_the_size_it_is_said_to_have() {
    let shown = [
        (Isa::Avx512, 3.4e-6),
        (Isa::Scalar, 3.4e-6),
        (Isa::Avx2, 6.3e-6),
    ];
    for (isa, size) in shown {
        let bound = error_bound(isa, 768);
        assert!((0.9 * size..=size).contains(&bound), "{isa}: {bound}");
        assert!(error_bound(isa, 0) > 0.0 && error_bound(isa, 1_536) > bound);
    }
}
