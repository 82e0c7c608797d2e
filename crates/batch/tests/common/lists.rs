//! Random lists of operations on few ids, few contents and few vectors, so that everything meets
//! everything.

use cortica_batch::Operation;
use cortica_memory::{Accuracy, Association, Confidence, Cue, Episode, Value};
use cortica_testkit::Rng;
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

/// Rows that a long list begins with at most.
const ROWS: u8 = 200;

/// Lists like those that batches are for: vectors, and then runs of reads that several passes and
/// workers share, with a few other steps between them. The number is how many steps come first, all of
/// them stores.
pub(crate) fn long_steps() -> impl Strategy<Value = (usize, Vec<Step>)> {
    let read = step().prop_filter("a read", Step::reads);
    let reads = (read, 17..=300_usize, 1..ROWS, any::<bool>());
    let runs = prop::collection::vec((reads, prop::collection::vec(step(), 1..4)), 1..4);
    // Half of the recalls walk, and keep fewer candidates than there are rows.
    let runs = runs.prop_map(|mut runs| {
        for (read, times, ..) in runs.iter_mut().map(|(reads, _)| reads) {
            if let Step::Recall { ef, k, .. } = read
                && times.is_multiple_of(2)
            {
                (*ef, *k) = (Some(16), 1 + *k % 16);
            }
        }
        runs
    });
    (40..=ROWS, runs).prop_map(|(rows, runs)| {
        let row = |row: u8| Step::Store {
            id: 1 + row, // Those that shorter lists are about, and more.
            text: row % 5,
            vector: Some(VECTORS + 3 + row),
            confidence: row % 5,
            allocate: false,
        };
        let mut steps: Vec<Step> = (0..rows).map(row).collect();
        for ((read, times, by, mixed), others) in runs {
            steps.extend((0..times).map(|at| read.about((at % 251) as u8, by, mixed)));
            steps.extend(others);
        }
        (usize::from(rows), steps)
    })
}

impl Step {
    /// Whether it is a recall or a search.
    fn reads(&self) -> bool {
        matches!(self, Step::Recall { .. } | Step::Similar { .. })
    }

    /// One of many reads like it, each about another vector; of both kinds in turns, if they are mixed.
    fn about(&self, at: u8, by: u8, mixed: bool) -> Step {
        let mut step = self.clone();
        if let Step::Recall { vector, .. } | Step::Similar { vector, .. } = &mut step {
            *vector = vector.wrapping_add(at.wrapping_mul(by | 1));
        }
        match step {
            Step::Recall {
                vector,
                k,
                threshold,
                vectors,
                ..
            } if mixed && at.is_multiple_of(3) => Step::Similar {
                vector,
                k,
                threshold,
                vectors,
            },
            step => step,
        }
    }
}

fn step() -> impl Strategy<Value = Step> {
    let vector = || 0..VECTORS + 3; // Some that are refused.
    let threshold = || prop::option::weighted(0.2, 0..6_u8);
    let k = || prop_oneof![1..6_usize, Just(0), Just(1_000), Just(2_000)];
    let ef = prop::option::weighted(0.2, prop_oneof![Just(64_usize), Just(0)]);
    prop_oneof![
        6 => (0..IDS as u8, 0..TEXTS, prop::option::weighted(0.8, vector()), 0..5_u8, prop::bool::weighted(0.2))
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

/// The operations of these steps, in a space of this dimension.
pub(crate) fn operations(steps: &[Step], dimension: usize) -> Vec<Operation> {
    let operation = |step| operation(step, dimension);
    steps.iter().map(operation).collect()
}

fn operation(step: &Step, dimension: usize) -> Operation {
    let vector = |number| vector_of(number, dimension);
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
    vector_of(number, DIMENSION)
}

/// As [`vector`], in a space of another dimension. Beyond those that are none, each is another one.
fn vector_of(number: u8, dimension: usize) -> Vec<f32> {
    match number {
        VECTORS => vec![0.0; dimension],
        n if n == VECTORS + 1 => vec![f32::NAN; dimension],
        n if n == VECTORS + 2 => vec![1.0; dimension - 1],
        n if n > VECTORS + 2 => Rng::new(n.into()).vector(dimension),
        n => (0..dimension)
            .map(|at| ((usize::from(n) * 7 + at * 5 + at * at * 3) % 11) as f32 / 7.0 - 0.6)
            .collect(),
    }
}
