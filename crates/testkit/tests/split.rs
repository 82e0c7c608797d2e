//! How much the split leaks: how many relations and nearest neighbours lead across it.
//!
//! `CORTICA_DATA=DIR cargo test -p cortica-testkit --test split -- --nocapture` prints the numbers
//! of `docs/decisions/0002-train-test-split.md`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a panic is how a test reports"
)]

use cortica_testkit::{Dataset, Split, bundle, data_or_skip, split_of};

#[derive(Debug)]
struct Leak {
    /// Share of rows that are held out.
    test: f64,
    /// Share of hypernym edges with one end on each side.
    crossing: f64,
    /// Share of the held-out rows' hypernyms that are for training.
    parents_in_train: f64,
    /// Share of the held-out adjectives' similar ones that are for training.
    similar_in_train: f64,
    /// Share of held-out rows (every so manieth) whose nearest other row is for training.
    nearest_in_train: f64,
}

fn measure(data: &Dataset, split: impl Fn(&str) -> Split) -> Leak {
    let test: Vec<bool> = data
        .items
        .iter()
        .map(|item| split(&item.id) == Split::Test)
        .collect();
    let rows: Vec<usize> = (0..data.len()).filter(|row| test[*row]).collect();
    let edges = |names: &[&str]| -> Vec<(bool, bool)> {
        let of_type = |edge: &&[u32; 3]| {
            let name = data.edge_types.get(edge[2] as usize);
            name.is_some_and(|name| names.contains(&name.as_str()))
        };
        let sides = |edge: &[u32; 3]| (test[edge[0] as usize], test[edge[1] as usize]);
        data.edges.iter().filter(of_type).map(sides).collect()
    };
    let up = edges(&["hypernym", "instance_hypernym"]);
    let leaving = |edges: &[(bool, bool)]| {
        let from_test = edges.iter().filter(|edge| edge.0).count();
        share(
            edges.iter().filter(|edge| edge.0 && !edge.1).count(),
            from_test,
        )
    };
    let sample: Vec<usize> = rows
        .iter()
        .step_by(rows.len().div_ceil(100).max(1))
        .copied()
        .collect();
    let near = sample
        .iter()
        .filter(|row| !test[nearest(data, **row)])
        .count();
    Leak {
        test: share(rows.len(), data.len()),
        crossing: share(up.iter().filter(|(from, to)| from != to).count(), up.len()),
        parents_in_train: leaving(&up),
        similar_in_train: leaving(&edges(&["similar"])),
        nearest_in_train: share(near, sample.len()),
    }
}

fn share(part: usize, whole: usize) -> f64 {
    part as f64 / whole.max(1) as f64
}

/// In f32 and by dot product: the rows are nearly of unit length, and this is a statistic.
fn nearest(data: &Dataset, row: usize) -> usize {
    let (mut best, mut best_score) = (row, f32::NEG_INFINITY);
    for other in (0..data.len()).filter(|other| *other != row) {
        let (a, b) = (
            data.row(row).as_chunks::<16>().0,
            data.row(other).as_chunks::<16>().0,
        );
        let mut sums = [0.0_f32; 16];
        for (a, b) in a.iter().zip(b) {
            for lane in 0..16 {
                sums[lane] += a[lane] * b[lane];
            }
        }
        let score = sums.iter().sum();
        if score > best_score {
            (best, best_score) = (other, score);
        }
    }
    best
}

/// The control: every id on its own, as a careless split would do it.
fn by_id(id: &str) -> Split {
    // Another form of id is split by hash.
    split_of(&format!("by id: {id}"))
}

fn compare(name: &str, data: &Dataset) -> (Leak, Leak) {
    let (ours, careless) = (measure(data, split_of), measure(data, by_id));
    println!(
        "{name}, {} rows:\n  by subtree {ours:.3?}\n  by id      {careless:.3?}",
        data.len()
    );
    (ours, careless)
}

fn check(name: &str, data: &Dataset, crossing_max: f64) {
    let (ours, careless) = compare(name, data);
    assert!((0.17..0.23).contains(&ours.test));
    assert!(ours.crossing <= crossing_max);
    assert!(ours.parents_in_train <= 0.25);
    assert!(ours.similar_in_train <= 0.05);
    // The measure sees a leak where there is one.
    assert!((0.17..0.23).contains(&careless.test));
    assert!(careless.crossing >= 0.25);
    assert!(ours.nearest_in_train < 0.7 * careless.nearest_in_train);
}

#[test]
fn little_leaks_in_the_bundle() {
    check("bundle", bundle(), 0.08);
}

#[test]
fn little_leaks_in_a_larger_folder() {
    let Some(data) = data_or_skip("the leakage of the split on a larger folder") else {
        return;
    };
    let is_wordnet = data
        .items
        .first()
        .is_some_and(|item| item.id == "n00001740");
    // A small cut may hold any part of the tree; shares mean nothing there.
    if data.edges.is_empty() || !is_wordnet || data.len() < 4_096 {
        println!("the leakage of the split: skipped: this folder is no large part of WordNet");
        return;
    }
    check("larger folder", &data, 0.08);
}
