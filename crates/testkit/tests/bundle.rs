//! The bundled data is what its README says, and its exact neighbours are exact.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a panic is how a test reports"
)]

use std::fs;
use std::path::Path;

use cortica_testkit::{Split, brute_force, bundle, bundle_dir, data_or_skip, load, split_of};

#[test]
fn the_folder_is_complete_and_light() {
    let sizes: Vec<(String, u64)> = fs::read_dir(bundle_dir())
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            (name, entry.metadata().unwrap().len())
        })
        .collect();
    let bytes: u64 = sizes.iter().map(|(_, bytes)| bytes).sum();
    assert!(bytes < 4_000_000, "{bytes} bytes: {sizes:?}");
    let names: Vec<&str> = sizes.iter().map(|(name, _)| name.as_str()).collect();
    assert!(names.contains(&"LICENCE-WordNet-3.0.txt") && names.contains(&"README.md"));

    let data = bundle();
    assert_eq!((data.len(), data.dimension), (4_096, 768));
    assert_eq!(data.items.len(), data.len());
    assert_eq!(data.query_count(), 176);
    assert_eq!(data.query_infos.len(), 176);
    assert_eq!(data.truth.len(), 176 * 100);
    assert_eq!(data.edges.len(), 8_462);
    assert_eq!(data.edge_types.len(), 26);
    assert_eq!(data.edge_types[12], "hypernym");
    assert_eq!(data.items[0].id, "n00001740");
    assert!(data.items[0].text.starts_with("entity: "));
}

/// Cosine does not need unit vectors; a dot product does, and these are only nearly so.
#[test]
fn rows_are_nearly_of_unit_length() {
    let data = bundle();
    let vectors = data.rows.chunks(768).chain(data.queries.chunks(768));
    for vector in vectors {
        let norm = vector
            .iter()
            .map(|v| f64::from(*v).powi(2))
            .sum::<f64>()
            .sqrt();
        assert!((norm - 1.0).abs() < 2e-3, "{norm}");
    }
}

/// Row for row, ties included: nothing else would do as the truth.
#[test]
fn exact_neighbours_equal_recomputation() {
    let data = bundle();
    for query in 0..data.query_count() {
        let best = brute_force(&data.rows, data.dimension, data.query(query), 100);
        let rows: Vec<u32> = best.iter().map(|(row, _)| *row as u32).collect();
        assert_eq!(rows, data.truth(query), "query {query}");
        assert_eq!(data.recall_at(100, query, &rows), 1.0);
        let reversed: Vec<u32> = rows.iter().rev().copied().collect();
        assert!(
            data.recall_at(10, query, &reversed) < 0.5,
            "the check can fail"
        );
    }
}

#[test]
fn every_flag_is_what_the_split_says() {
    let data = bundle();
    for item in &data.items {
        assert_eq!(item.split, split_of(&item.id), "{}", item.id);
    }
    let held_out = |rows: &mut dyn Iterator<Item = usize>| {
        let (mut held, mut all) = (0, 0);
        for row in rows {
            all += 1;
            held += usize::from(data.items[row].split == Split::Test);
        }
        held as f64 / f64::from(all)
    };
    let rows = held_out(&mut (0..data.len()));
    let sources = held_out(&mut data.query_infos.iter().map(|query| query.source as usize));
    assert!((0.17..0.23).contains(&rows), "{rows} of the rows");
    assert!(
        (0.15..0.30).contains(&sources),
        "{sources} of the queries' concepts"
    );
}

/// The concept meant is among the first ten for most queries: the data hangs together.
#[test]
fn queries_find_the_concept_meant() {
    let data = bundle();
    let found = |query: &usize| data.truth(*query)[..10].contains(&data.query_infos[*query].source);
    let found = (0..data.query_count()).filter(found).count();
    assert_eq!(found, 156);
}

#[test]
fn what_is_wrong_with_a_folder_is_said() {
    let error = load(Path::new("no/such/folder")).unwrap_err();
    assert!(error.to_string().contains("X.npy"), "{error}");
}

/// A larger folder's neighbours are those of its unrounded vectors or of its rounded ones; by score
/// they must agree either way.
#[test]
fn a_larger_folder_agrees_with_the_oracle() {
    let Some(data) = data_or_skip("the oracle on a larger folder") else {
        return;
    };
    let queries = data.query_count().min(20);
    let mut recall = 0.0;
    for query in 0..queries {
        let best = brute_force(&data.rows, data.dimension, data.query(query), 10);
        let rows: Vec<u32> = best.iter().map(|(row, _)| *row as u32).collect();
        recall += data.recall_at(10, query, &rows);
    }
    assert!(recall / queries as f64 >= 0.999, "{recall} of {queries}");
}
