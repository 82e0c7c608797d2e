//! What is there already is refused, on real concepts, against brute force.
#![cfg(not(loom))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a panic is how a test reports"
)]

use cortica_cortex::{ConceptId, Concepts, Dedup, DedupError, DedupParams, Duplicate};
use cortica_simd::{Isa, encode_i8};
use cortica_testkit::{Dataset, Rng, bundle, cosine, data_or_skip};
use std::sync::{Barrier, Mutex};
use std::thread;

/// Concepts by number, as they were committed.
#[derive(Default)]
struct Known {
    ids: Vec<Vec<u8>>,
    features: Vec<Vec<f32>>,
}

impl Concepts for Known {
    fn id(&self, concept: ConceptId) -> Option<&[u8]> {
        self.ids.get(concept.get() as usize).map(Vec::as_slice)
    }

    fn features(&self, concept: ConceptId) -> Option<&[f32]> {
        self.features.get(concept.get() as usize).map(Vec::as_slice)
    }
}

impl Known {
    fn put(&mut self, concept: ConceptId, id: &[u8], features: &[f32]) {
        let at = concept.get() as usize;
        if at >= self.ids.len() {
            self.ids.resize(at + 1, Vec::new());
            self.features.resize(at + 1, Vec::new());
        }
        self.ids[at] = id.to_vec();
        self.features[at] = features.to_vec();
    }
}

/// A random projection to 64 i8.
struct Projection {
    rows: Vec<Vec<f32>>,
}

impl Projection {
    fn new(dimension: usize) -> Projection {
        let mut rng = Rng::new(64);
        Projection {
            rows: (0..64).map(|_| rng.vector(dimension)).collect(),
        }
    }

    fn code(&self, features: &[f32]) -> [i8; 64] {
        let projected: Vec<f32> = self
            .rows
            .iter()
            .map(|row| cortica_simd::dot(Isa::best(), row, features))
            .collect();
        let mut code = [0; 64];
        encode_i8(Isa::best(), &projected, &mut code);
        code
    }
}

/// A vector whose cosine with `from`, which has length 1, is `cosine`.
fn at_cosine(from: &[f32], cosine: f32, rng: &mut Rng) -> Vec<f32> {
    let noise = rng.vector(from.len());
    let along: f32 = noise.iter().zip(from).map(|(a, b)| a * b).sum();
    let across: Vec<f32> = noise.iter().zip(from).map(|(a, b)| a - along * b).collect();
    let norm = across.iter().map(|a| a * a).sum::<f32>().sqrt();
    let sine = (1.0 - cosine * cosine).sqrt();
    from.iter()
        .zip(&across)
        .map(|(a, b)| cosine * a + sine * b / norm)
        .collect()
}

fn unit(row: &[f32]) -> Vec<f32> {
    let norm = row.iter().map(|a| a * a).sum::<f32>().sqrt();
    row.iter().map(|a| a / norm).collect()
}

/// The rows of `data`, but for those that mean what others do.
fn filled(data: &Dataset, projection: &Projection) -> (Dedup, Known) {
    let dedup = Dedup::new(DedupParams::default(), Isa::best()).unwrap();
    let mut known = Known::default();
    for row in 0..data.len() {
        let (id, features) = (row.to_string(), unit(data.row(row)));
        let mut ticket = match dedup.reserve(id.as_bytes(), &features, &known) {
            Ok(ticket) => ticket,
            Err(error) => panic!("row {row}: {error}"),
        };
        let code = projection.code(&features);
        match ticket.admit(&code, &known) {
            Ok(()) => {
                let concept = ticket.commit();
                known.put(concept, id.as_bytes(), &features);
            }
            // Real concepts that mean the same: brute force agrees, below.
            Err(DedupError::Duplicate(Duplicate::Meaning { .. })) => drop(ticket),
            Err(error) => panic!("{error}"),
        }
    }
    (dedup, known)
}

/// The cosine with the most similar concept: f32 tells which are far away, f64 decides among the others.
fn brute_force(known: &Known, features: &[f32]) -> f64 {
    let near = known.features.iter().filter(|row| {
        cortica_simd::dot(Isa::best(), row, features) > 0.8 // All have length 1.
    });
    near.map(|row| cosine(row, features)).fold(-1.0, f64::max)
}

fn planted(data: &Dataset, name: &str) {
    let projection = Projection::new(data.dimension);
    let (dedup, known) = filled(data, &projection);
    let mut rng = Rng::new(5);
    let plants = 4_096;
    let [mut missed, mut wrong, mut near, mut far] = [0_u32; 4];
    for plant in 0..2 * plants {
        let row = &known.features[rng.below(known.features.len())];
        // Half of them near-duplicates, half near-misses.
        let aim = if plant < plants {
            0.96 + 0.03 * rng.unit()
        } else {
            0.90 + 0.04 * rng.unit()
        };
        let features = at_cosine(row, aim, &mut rng);
        let found = dedup.find(&projection.code(&features), &features, &known);
        // A near-miss may be nearer to another concept than to its own: brute force decides, for all that are
        // called duplicates and a quarter of the others.
        let own = cosine(row, &features);
        let exact = if own < 0.95 && (found.is_some() || plant % 4 == 0) {
            brute_force(&known, &features)
        } else {
            own
        };
        let is_one = exact >= 0.95;
        near += u32::from(is_one);
        far += u32::from(!is_one);
        missed += u32::from(is_one && found.is_none());
        wrong += u32::from(!is_one && found.is_some());
        if let Some(Duplicate::Meaning { of, cosine: said }) = found {
            let exact = cosine(&known.features[of.get() as usize], &features);
            assert!((exact - f64::from(said)).abs() < 1e-6);
        }
    }
    let compared = dedup.stats().compared;
    println!(
        "{name}: {} concepts, {near} duplicates, {missed} missed; {far} others, {wrong} taken for one; \
         {compared} features compared",
        known.features.len()
    );
    assert!(near >= 4_000 && far >= 4_000);
    assert!(
        f64::from(missed) < 0.001 * f64::from(near),
        "{missed} of {near}"
    );
    assert!(
        f64::from(wrong) < 0.001 * f64::from(far),
        "{wrong} of {far}"
    );
    // Features that are there, to the last bit: none is missed, whatever the id.
    for (at, features) in known.features.iter().enumerate() {
        let refused = dedup.reserve(b"another", features, &known).err();
        let of = ConceptId::new(at as u32);
        assert_eq!(refused, Some(DedupError::Duplicate(Duplicate::Content(of))));
    }
}

#[test]
fn near_duplicates_of_real_concepts() {
    planted(bundle(), "bundled");
}

#[test]
fn near_duplicates_of_many_real_concepts() {
    if let Some(data) = data_or_skip("near-duplicates of many concepts") {
        planted(&data, "data");
    }
}

#[test]
fn real_concepts_that_mean_the_same_are_those_of_brute_force() {
    let data = bundle();
    let (dedup, known) = filled(data, &Projection::new(data.dimension));
    // In the order in which they came, against those that were kept before.
    let mut kept: Vec<Vec<f32>> = Vec::new();
    let mut refused = 0;
    for row in 0..data.len() {
        let features = unit(data.row(row));
        if kept.iter().any(|other| {
            // Nearly all pairs are far apart, which f32 tells; the others are decided in f64.
            cortica_simd::dot(Isa::best(), other, &features) > 0.94
                && cosine(other, &features) >= 0.95
        }) {
            refused += 1;
        } else {
            kept.push(features);
        }
    }
    assert_eq!(dedup.stats().same_meaning, refused);
    assert_eq!(kept, known.features);
}

#[test]
fn ids_contents_and_reservations() {
    let dedup = Dedup::new(DedupParams::default(), Isa::best()).unwrap();
    let mut known = Known::default();
    let (east, north) = ([1.0_f32, 0.0, 0.0], [0.0_f32, 1.0, 0.0]);
    let code = |at: usize| {
        let mut code = [0_i8; 64];
        code[at] = 100;
        code
    };
    // On its way: its id and its content are taken.
    let mut ticket = dedup.reserve(b"east", &east, &known).unwrap();
    let first = ticket.concept();
    let refused =
        |id: &[u8], features: &[f32], known: &Known| match dedup.reserve(id, features, known) {
            Err(DedupError::Duplicate(duplicate)) => Some(duplicate),
            Err(error) => panic!("{error}"),
            Ok(_) => None,
        };
    assert_eq!(refused(b"east", &north, &known), Some(Duplicate::Id(first)));
    assert_eq!(
        refused(b"west", &east, &known),
        Some(Duplicate::Content(first))
    );
    ticket.admit(&code(0), &known).unwrap();
    // Admitted: its meaning is taken.
    let almost = [1.0, 0.001, 0.0];
    let mut other = dedup.reserve(b"almost", &almost, &known).unwrap();
    let error = other.admit(&code(0), &known).unwrap_err();
    assert!(
        matches!(error, DedupError::Duplicate(Duplicate::Meaning { of, .. }) if of == first),
        "{error}"
    );
    drop(other);
    assert_eq!(dedup.stats().concepts, 1);
    // Given up: nothing is left of it.
    drop(ticket);
    let stats = dedup.stats();
    assert_eq!((stats.concepts, stats.reserved), (0, 0));
    let mut ticket = dedup.reserve(b"almost", &almost, &known).unwrap();
    ticket.admit(&code(0), &known).unwrap();
    let concept = ticket.commit();
    known.put(concept, b"almost", &almost);
    assert_eq!(
        refused(b"almost", &north, &known),
        Some(Duplicate::Id(concept))
    );
    assert_eq!(
        refused(b"x", &almost, &known),
        Some(Duplicate::Content(concept))
    );
    assert!(dedup.find(&code(0), &east, &known).is_some());
    assert!(
        dedup.find(&code(1), &east, &known).is_none(),
        "its code is far away"
    );
    assert!(
        dedup.find(&[0; 64], &east, &known).is_none(),
        "no code at all"
    );
    assert!(dedup.remove(concept) && !dedup.remove(concept));
    assert!(dedup.find(&code(0), &east, &known).is_none());
    assert_eq!(refused(b"almost", &almost, &known), None);
    dedup.reset_stats();
    assert_eq!(dedup.stats().same_id, 0);
}

#[test]
fn bad_input_is_refused_and_changes_nothing() {
    let dedup = Dedup::new(DedupParams::default(), Isa::best()).unwrap();
    let known = Known::default();
    let refused = |id: &[u8], features: &[f32]| dedup.reserve(id, features, &known).err();
    assert_eq!(refused(b"", &[1.0]), Some(DedupError::Id(0)));
    assert_eq!(refused(&[b'x'; 257], &[1.0]), Some(DedupError::Id(257)));
    assert!(matches!(
        refused(b"a", &[1.0, f32::NAN]),
        Some(DedupError::NotFinite { at: 1, .. })
    ));
    assert_eq!(refused(b"a", &[]), Some(DedupError::NoFeatures));
    assert_eq!(refused(b"a", &[0.0, -0.0]), Some(DedupError::NoFeatures));
    assert_eq!(dedup.stats().concepts, 0);
    assert!(!dedup.remove(ConceptId::new(7)));
    // A code without direction is like no other: its meaning would never be compared.
    let mut ticket = dedup.reserve(b"a", &[1.0], &known).unwrap();
    assert_eq!(ticket.admit(&[0; 64], &known), Err(DedupError::NoCode));
    drop(ticket);
    for got in [f32::NAN, f32::INFINITY, 1.1, -1.1] {
        for field in ["cosine_min", "code_cosine_min"] {
            let mut params = DedupParams::default();
            match field {
                "cosine_min" => params.cosine_min = got,
                _ => params.code_cosine_min = got,
            }
            let error = Dedup::new(params, Isa::best()).unwrap_err();
            assert!(
                matches!(error, DedupError::Params { field: named, .. } if named == field),
                "{error}"
            );
        }
    }
}

#[test]
fn a_hundred_bytes_a_concept_from_four_thousand_on() {
    let dedup = Dedup::new(DedupParams::default(), Isa::best()).unwrap();
    let known = Known::default();
    let mut most = 0.0_f64;
    for at in 0..16_000_u32 {
        let id = at.to_le_bytes();
        // Never admitted: every concept has the bytes of a code from the beginning.
        let _ = dedup
            .reserve(&id, &[1.0, at as f32], &known)
            .unwrap()
            .commit();
        if at + 1 >= 4_000 {
            most = most.max(dedup.stats().bytes as f64 / f64::from(at + 1));
        }
    }
    assert!(most <= 100.0, "{most}");
    println!("{most} bytes at most");
}

#[test]
fn what_is_on_its_way_is_its_tickets_alone() {
    let dedup = Dedup::new(DedupParams::default(), Isa::best()).unwrap();
    let known = Known::default();
    let first = dedup.reserve(b"a", &[1.0, 0.0], &known).unwrap();
    assert!(!dedup.remove(first.concept()), "not committed");
    let second = dedup.reserve(b"b", &[0.0, 1.0], &known).unwrap();
    assert_ne!(first.concept(), second.concept());
    drop(first);
    let stats = dedup.stats();
    assert_eq!(
        (stats.concepts, stats.reserved, stats.rolled_back),
        (1, 1, 1)
    );
    assert!(dedup.reserve(b"b", &[1.0, 1.0], &known).is_err());
    let concept = second.commit();
    assert!(dedup.remove(concept));
}

#[test]
fn of_ten_threads_with_one_concept_one_has_it() {
    let dedup = Dedup::new(DedupParams::default(), Isa::best()).unwrap();
    let known = Mutex::new(Known::default());
    let rounds = 100;
    let barrier = Barrier::new(10);
    let taken = Mutex::new(vec![0; rounds]);
    thread::scope(|threads| {
        for worker in 0..10_u8 {
            let (dedup, known, barrier, taken) = (&dedup, &known, &barrier, &taken);
            threads.spawn(move || {
                for round in 0..rounds {
                    // Ten ids, and features a little apart: one meaning.
                    let id = [worker, round as u8];
                    let mut features = vec![0.0; 128];
                    features[round] = 1.0;
                    features[127] = 0.01 * f32::from(worker);
                    let mut code = [0; 64];
                    // Two of a code's values: no two rounds have a code in common.
                    code[round % 64] = 90;
                    code[(round / 64 + round % 64 + 1) % 64] = 60;
                    barrier.wait();
                    let nobody = Known::default();
                    let mut ticket = dedup.reserve(&id, &features, &nobody).unwrap();
                    let mut known = if round % 2 == 0 {
                        None // All at once.
                    } else {
                        Some(known.lock().unwrap())
                    };
                    let admitted = match &known {
                        Some(known) => ticket.admit(&code, &**known).is_ok(),
                        None => ticket.admit(&code, &nobody).is_ok(),
                    };
                    if admitted {
                        taken.lock().unwrap()[round] += 1;
                    }
                    if let Some(known) = &mut known {
                        if admitted {
                            let concept = ticket.commit();
                            known.put(concept, &id, &features);
                        }
                        continue;
                    }
                    barrier.wait(); // All have tried before any gives up.
                    drop(ticket);
                }
            });
        }
    });
    let taken = taken.into_inner().unwrap();
    assert!(taken.iter().all(|&count| count == 1), "{taken:?}");
    assert_eq!(dedup.stats().concepts, rounds / 2);
}

/// Updates may give two concepts the same features. Which one is named depends on nothing but their numbers.
#[test]
fn of_several_with_the_same_features_the_lowest_number_is_named() {
    let mut rng = Rng::new(7);
    let projection = Projection::new(40);
    for round in 0..50 {
        let dedup = Dedup::new(DedupParams::default(), Isa::best()).unwrap();
        let mut known = Known::default();
        let same = rng.vector(40);
        let restore = |known: &mut Known, number: u32, features: &[f32]| {
            let (concept, id) = (ConceptId::new(number), number.to_le_bytes());
            known.put(concept, &id, features);
            let code = projection.code(features);
            dedup.restore(concept, &id, features, &code).unwrap();
        };
        for number in 0..40 {
            restore(&mut known, number, &rng.vector(40));
        }
        let numbers = [30, 3 + round % 20, 35];
        for number in numbers {
            assert!(dedup.remove(ConceptId::new(number)));
            restore(&mut known, number, &same);
        }
        let found = dedup.reserve(b"like", &same, &known).unwrap_err();
        let lowest = ConceptId::new(3 + round % 20);
        assert_eq!(found, DedupError::Duplicate(Duplicate::Content(lowest)));
    }
}
