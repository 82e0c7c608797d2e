//! Duplicates by meaning: codes first, features of those that are near.

use std::hint::black_box;

use anyhow::{Context, Result, ensure};
use cortica_cortex::{ConceptId, Concepts, Dedup, DedupParams, Duplicate};
use cortica_neural::Networks;
use cortica_simd::{Isa, Rows, cosine_reference, dot, dot_rows, encode_i8};
use cortica_testkit::{Rng, count_allocations, is_counting};

use super::fixture;
use crate::subject::{Pair, Setup};

/// Concepts that are there.
const CONCEPTS: usize = 10_000;

/// Concepts that are asked for in one timed section.
const ASKED: usize = 64;

/// When two concepts are one.
const COSINE_MIN: f32 = 0.95;

/// Features of all concepts, one after the other, each of length 1; their ids are their numbers.
#[derive(Clone)]
struct Known {
    dimension: usize,
    features: Vec<f32>,
    ids: Vec<[u8; 4]>,
}

impl Concepts for Known {
    fn id(&self, concept: ConceptId) -> Option<&[u8]> {
        self.ids.get(concept.get() as usize).map(|id| &id[..])
    }

    fn features(&self, concept: ConceptId) -> Option<&[f32]> {
        let start = concept.get() as usize * self.dimension;
        self.features.get(start..start + self.dimension)
    }
}

fn unit(row: &mut [f32]) {
    let norm = row.iter().map(|value| value * value).sum::<f32>().sqrt();
    for value in row {
        *value /= norm;
    }
}

/// As many rows as are wanted: those of the data, then means of two of them.
fn rows(setup: &Setup) -> Result<Known> {
    let data = fixture::largest(setup)?;
    let mut rng = Rng::new(3);
    let mut features = Vec::with_capacity(CONCEPTS * data.dimension);
    for at in 0..CONCEPTS {
        let mut row = data.row(at % data.len()).to_vec();
        if at >= data.len() {
            let other = data.row(rng.below(data.len()));
            for (a, b) in row.iter_mut().zip(other) {
                *a += b;
            }
        }
        unit(&mut row);
        features.extend(row);
    }
    Ok(Known {
        dimension: data.dimension,
        features,
        ids: (0..CONCEPTS as u32).map(u32::to_le_bytes).collect(),
    })
}

/// What makes 64 i8 of features.
enum Coder {
    /// A random projection: what a caller's encoder is here.
    Projection(Vec<Vec<f32>>),
    /// The encoder that comes with Cortica.
    Trained(Networks),
}

impl Coder {
    fn projection(dimension: usize) -> Coder {
        let mut rng = Rng::new(64);
        Coder::Projection((0..64).map(|_| rng.vector(dimension)).collect())
    }

    fn code(&self, features: &[f32]) -> Result<[i8; 64]> {
        let values = match self {
            Coder::Projection(rows) => {
                let project = |row: &Vec<f32>| dot(Isa::best(), row, features);
                rows.iter().map(project).collect()
            }
            Coder::Trained(networks) => {
                let code = networks
                    .encoder()
                    .encode(features, &mut networks.scratch())?;
                code.to_vec()
            }
        };
        let mut code = [0; 64];
        encode_i8(Isa::best(), &values, &mut code);
        Ok(code)
    }
}

/// A concept that is asked for.
type Asked = ([i8; 64], Vec<f32>);

/// One in four is a near-duplicate of one that is there.
fn asked(known: &Known, coder: &Coder) -> Result<Vec<Asked>> {
    let mut rng = Rng::new(9);
    let dimension = known.dimension;
    (0..ASKED)
        .map(|at| {
            let row = |rng: &mut Rng| rng.below(CONCEPTS) * dimension;
            let (a, b) = (row(&mut rng), row(&mut rng));
            let share = if at % 4 == 0 { 0.1 } else { 0.7 };
            let mut features: Vec<f32> = (0..dimension)
                .map(|at| known.features[a + at] + share * known.features[b + at])
                .collect();
            unit(&mut features);
            Ok((coder.code(&features)?, features))
        })
        .collect()
}

/// All concepts by their codes, near-duplicates among them or not.
fn filled(known: &Known, coder: &Coder) -> Result<Dedup> {
    // Nothing is refused while it is filled: nobody knows any features.
    let dedup = Dedup::new(params(), Isa::best())?;
    for at in 0..CONCEPTS {
        let features = &known.features[at * known.dimension..][..known.dimension];
        let mut ticket = dedup.reserve(&known.ids[at], features, &Nobody)?;
        ticket.admit(&coder.code(features)?, &Nobody)?;
        ensure!(ticket.commit().get() as usize == at);
    }
    Ok(dedup)
}

fn params() -> DedupParams {
    DedupParams {
        cosine_min: COSINE_MIN,
        ..DedupParams::default()
    }
}

struct Nobody;

impl Concepts for Nobody {
    fn id(&self, _concept: ConceptId) -> Option<&[u8]> {
        None
    }

    fn features(&self, _concept: ConceptId) -> Option<&[f32]> {
        None
    }
}

/// By code, against a scan of all features.
pub(super) fn against_scan(setup: &Setup) -> Result<Pair> {
    let known = rows(setup)?;
    let coder = Coder::projection(known.dimension);
    compared(known, &coder)
}

/// As [`against_scan`], by the codes of the trained encoder.
pub(super) fn against_scan_trained(setup: &Setup) -> Result<Pair> {
    compared(rows(setup)?, &Coder::Trained(Networks::shipped_768()?))
}

fn compared(known: Known, coder: &Coder) -> Result<Pair> {
    let dedup = filled(&known, coder)?;
    let asked = asked(&known, coder)?;
    let scanned = asked.clone();
    let features = known.features.clone();
    let dimension = known.dimension;
    let checked = (known.clone(), asked.clone());
    let dedup = std::sync::Arc::new(dedup);
    let checking = dedup.clone();
    let mut scores = vec![0.0_f32; CONCEPTS];
    Ok(Pair {
        check: Box::new(move || {
            let (known, asked) = &checked;
            let mut duplicates = 0;
            for (code, features) in asked {
                let all = known.features.chunks_exact(known.dimension);
                let best = all
                    .map(|row| cosine_reference(features, row))
                    .fold(-1.0, f32::max);
                let found = checking.find(code, features, known);
                let cosine = match found {
                    Some(Duplicate::Meaning { cosine, .. }) => Some(cosine),
                    _ => None,
                };
                let want = (best >= COSINE_MIN).then_some(best);
                ensure!(
                    match (cosine, want) {
                        (Some(got), Some(want)) => (got - want).abs() < 1e-5,
                        (None, None) => true,
                        _ => false,
                    },
                    "{cosine:?} instead of {want:?}"
                );
                duplicates += usize::from(found.is_some());
            }
            ensure!((ASKED / 8..ASKED / 2).contains(&duplicates), "{duplicates}");
            Ok(())
        }),
        subject: Box::new(move |watch| {
            let found = watch.time(|| {
                let find = |(code, features): &&Asked| dedup.find(code, features, &known).is_some();
                asked.iter().filter(find).count()
            });
            ensure!(black_box(found) > 0);
            Ok(())
        }),
        baseline: Box::new(move |watch| {
            let rows = Rows::packed(&features, dimension)?;
            let found = watch.time(|| {
                let mut scan = |(_, features): &&Asked| {
                    dot_rows(Isa::best(), features, rows, &mut scores);
                    scores.iter().copied().fold(-1.0, f32::max) >= COSINE_MIN
                };
                scanned.iter().filter(|one| scan(one)).count()
            });
            (found > 0).then_some(()).context("nothing was found")
        }),
    })
}

/// Bytes for a concept, at sizes before and after tables grow; the most.
pub(super) fn bytes(setup: &Setup) -> Result<f64> {
    ensure!(is_counting(), "this program's allocator does not count");
    let mut most = 0.0_f64;
    for count in [10_000, 14_336, 14_337, 20_000, 28_673] {
        let copies = if setup.corrupt { 2 } else { 1 };
        let fill = || -> Result<Vec<Dedup>> {
            let mut all = Vec::with_capacity(copies);
            for _ in 0..copies {
                let dedup = Dedup::new(params(), Isa::best())?;
                for at in 0..count {
                    let mut code = [0; 64];
                    code[at % 64] = 1 + (at / 64 % 100) as i8;
                    let id = at.to_le_bytes();
                    let mut ticket = dedup.reserve(&id, &[1.0, at as f32], &Nobody)?;
                    ticket.admit(&code, &Nobody)?;
                    ticket.commit();
                }
                all.push(dedup);
            }
            Ok(all)
        };
        let (filled, counted) = count_allocations(fill);
        let stats = filled?[0].stats();
        ensure!(stats.concepts == count && stats.reserved == 0, "{stats:?}");
        most = most.max(counted.net_bytes() as f64 / count as f64);
    }
    Ok(most)
}
