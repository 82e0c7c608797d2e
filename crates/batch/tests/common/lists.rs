//! Random lists of operations on few ids, few contents and few vectors, so that everything meets
//! everything.

use cortica_batch::Operation;
use cortica_memory::{Accuracy, Association, Confidence, Cue, Episode, Value};
use proptest::prelude::*;
use proptest::sample::Index;

/// Values of an embedding: more than a kernel takes at a time, and some left over.
pub(crate) const DIMENSION: usize = 37;

/// What makes an operation, small enough to be read when a list fails.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Store {
        id: u8,
        text: u8,
        vector: Option<u8>,
        confidence: u8,
        allocate: bool,
    },
    Recall {
        vector: u8,
        k: usize,
        threshold: Option<u8>,
        ef: Option<usize>,
        vectors: bool,
    },
    Similar {
        vector: u8,
        k: usize,
        threshold: Option<u8>,
        vectors: bool,
    },
    Link {
        from: u8,
        to: u8,
        relation: u8,
        weight: u8,
    },
    Forget {
        id: u8,
    },
    Unsupported {
        spread: bool,
    },
}

/// Ids that there are, of which the first cannot be.
pub(crate) const IDS: usize = 12;
const TEXTS: u8 = 6;
const VECTORS: u8 = 14;

pub(crate) fn steps() -> impl Strategy<Value = Vec<Step>> {
    // Runs of one sort, as well as single operations: the barrier is where they meet.
    // Now and then one so long that workers divide it among them, or that all ids are in use.
    let times = prop_oneof![40 => 1..=3_usize, 1 => 17..=80_usize];
    let run = (step(), times, any::<Index>());
    let runs = prop::collection::vec(run, 0..12);
    runs.prop_map(|runs| {
        let repeat = |(step, times, by): (Step, usize, Index)| {
            (0..times).map(move |at| varied(&step, (by.index(5) * at % 64) as u8))
        };
        runs.into_iter().flat_map(repeat).collect()
    })
}

fn step() -> impl Strategy<Value = Step> {
    let vector = || 0..VECTORS + 3; // Some that are refused.
    let threshold = || prop::option::weighted(0.2, 0..6_u8);
    let k = || prop_oneof![1..6_usize, Just(0), Just(1_000), Just(2_000)];
    let ef = prop::option::weighted(0.2, prop_oneof![Just(64_usize), Just(0)]);
    prop_oneof![
        6 => (0..IDS as u8, 0..TEXTS, prop::option::weighted(0.8, vector()), 0..5_u8, prop::bool::weighted(0.05))
            .prop_map(|(id, text, vector, confidence, allocate)| Step::Store { id, text, vector, confidence, allocate }),
        4 => (vector(), k(), threshold(), ef, prop::bool::weighted(0.2))
            .prop_map(|(vector, k, threshold, ef, vectors)| Step::Recall { vector, k, threshold, ef, vectors }),
        3 => (vector(), k(), threshold(), prop::bool::weighted(0.2))
            .prop_map(|(vector, k, threshold, vectors)| Step::Similar { vector, k, threshold, vectors }),
        2 => (0..IDS as u8, 0..IDS as u8, 0..2_u8, 0..6_u8)
            .prop_map(|(from, to, relation, weight)| Step::Link { from, to, relation, weight }),
        2 => (0..IDS as u8).prop_map(|id| Step::Forget { id }),
        1 => any::<bool>().prop_map(|spread| Step::Unsupported { spread }),
    ]
}

/// The same sort of step about something else.
fn varied(step: &Step, by: u8) -> Step {
    let mut step = step.clone();
    match &mut step {
        Step::Store {
            id, text, vector, ..
        } => {
            *id = (*id + by) % IDS as u8;
            *text = (*text + by) % TEXTS;
            if let Some(vector) = vector {
                *vector = (*vector + by) % (VECTORS + 3);
            }
        }
        Step::Recall { vector, .. } | Step::Similar { vector, .. } => {
            *vector = (*vector + by) % (VECTORS + 3);
        }
        Step::Link { to, .. } => *to = (*to + by) % IDS as u8,
        Step::Forget { id } => *id = (*id + by) % IDS as u8,
        Step::Unsupported { .. } => {}
    }
    step
}

/// The operations of these steps.
pub(crate) fn operations(steps: &[Step]) -> Vec<Operation> {
    steps.iter().map(operation).collect()
}

fn operation(step: &Step) -> Operation {
    match *step {
        Step::Store {
            id,
            text,
            vector: with,
            confidence,
            allocate,
        } => {
            // A few ids that cannot be.
            let id = if id == 0 { String::new() } else { name(id) };
            let mut episode = Episode::new(id, format!("text {text}"));
            episode.embedding = with.map(vector);
            episode.encoding_confidence = Confidence::new(f32::from(confidence) / 4.0).unwrap();
            if text == 5 {
                episode = episode.with_metadata("x", Value::Float(f64::NAN));
            }
            if allocate {
                Operation::Allocate(episode)
            } else {
                Operation::Store(episode)
            }
        }
        Step::Recall {
            vector: around,
            k,
            threshold,
            ef,
            vectors,
        } => {
            let mut cue = Cue::embedding(vector(around)).max_results(k);
            if let Some(threshold) = threshold {
                cue = cue.result_threshold(score(threshold));
            }
            if let Some(ef) = ef {
                cue = cue.accuracy(Accuracy::Approximate { ef });
            }
            let recall = Operation::recall(cue);
            if vectors {
                recall.with_vectors()
            } else {
                recall
            }
        }
        Step::Similar {
            vector: around,
            k,
            threshold,
            vectors,
        } => Operation::SimilaritySearch {
            query: vector(around),
            k,
            threshold: threshold.map(score),
            vectors,
        },
        Step::Link {
            from,
            to,
            relation,
            weight,
        } => {
            let link = Association::new(name(from), name(to), u32::from(relation));
            Operation::Associate(link.with_weight(f32::from(weight) / 4.0))
        }
        Step::Forget { id } => Operation::forget(name(id)),
        Step::Unsupported { spread: true } => Operation::Spread(Cue::embedding(vector(1))),
        Step::Unsupported { spread: false } => Operation::Complete(Cue::embedding(vector(1))),
    }
}

fn name(id: u8) -> String {
    format!("id-{id}")
}

fn score(threshold: u8) -> f32 {
    if threshold == 5 {
        f32::NAN
    } else {
        f32::from(threshold) / 4.0
    }
}

/// One of few, whose scores need every bit; beyond them some that are no vectors of the space.
pub(crate) fn vector(number: u8) -> Vec<f32> {
    match number {
        VECTORS => vec![0.0; DIMENSION],
        n if n == VECTORS + 1 => vec![f32::NAN; DIMENSION],
        n if n > VECTORS + 1 => vec![1.0; DIMENSION - 1],
        n => (0..DIMENSION)
            .map(|at| ((usize::from(n) * 7 + at * 5 + at * at * 3) % 11) as f32 / 7.0 - 0.6)
            .collect(),
    }
}
