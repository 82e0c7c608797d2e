//! Every timed subject and its baseline under criterion: `cargo bench -p cortica-benches`.
//!
//! Names are those of the gates, `index.exact_scan/subject` and `index.exact_scan/baseline`;
//! a scaling gate's are its thread counts. Answers are checked before anything is timed.
#![forbid(unsafe_code)]
#![allow(missing_docs, reason = "criterion's macros make functions without any")]

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use cortica_benches::subjects::SUBJECTS;
use cortica_benches::{Clock, Pair, Run, Scaled, Setup, Stopwatch, Subject};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, criterion_group, criterion_main};

type Group<'a> = BenchmarkGroup<'a, WallTime>;

fn run_subjects(criterion: &mut Criterion) {
    let setup = Setup {
        quick: true,
        data: cortica_testkit::data_dir(),
        scratch: PathBuf::from(env!("CARGO_TARGET_TMPDIR")),
        corrupt: false,
    };
    for (name, subject) in SUBJECTS {
        let mut group = criterion.benchmark_group(*name);
        // Some runs write megabytes to a disk; few samples of them still make a figure.
        group.sample_size(10);
        group.measurement_time(Duration::from_secs(2));
        group.warm_up_time(Duration::from_millis(500));
        match subject {
            Subject::Ratio(prepare) => run_pair(&mut group, || prepare(&setup)),
            Subject::Limited(prepare) => {
                run_pair(&mut group, || Ok(prepare(&setup)?.pair));
                run_side(&mut group, "roof", || Ok(prepare(&setup)?.roof));
            }
            Subject::Scaling(prepare) => run_threads(&mut group, || {
                let mut scaled = prepare(&setup)?;
                (scaled.check)()?;
                Ok(scaled)
            }),
            Subject::Answer(_) | Subject::Count(_) => {} // Nothing to time.
        }
        group.finish();
    }
}

fn run_pair(group: &mut Group<'_>, prepare: impl Fn() -> Result<Pair>) {
    let checked = || -> Result<Pair> {
        let mut pair = prepare()?;
        (pair.check)()?;
        Ok(pair)
    };
    run_side(group, "subject", || Ok(checked()?.subject));
    run_side(group, "baseline", || Ok(checked()?.baseline));
}

/// Prepares one side only when criterion asks for it, so that a filter saves the set-up too.
fn run_side(group: &mut Group<'_>, side: &str, prepare: impl Fn() -> Result<Run>) {
    let mut prepared = None;
    group.bench_function(side, |bencher| {
        let run = prepared.get_or_insert_with(|| or_stop(prepare()));
        bencher.iter_custom(|iterations| {
            let mut watch = Stopwatch::new(Clock::Wall, 1.0);
            for _ in 0..iterations {
                or_stop(run(&mut watch));
            }
            watch.total()
        });
    });
}

fn run_threads(group: &mut Group<'_>, prepare: impl Fn() -> Result<Scaled>) {
    let mut prepared = None;
    for threads in [1, 2] {
        group.bench_function(BenchmarkId::new("threads", threads), |bencher| {
            let scaled = prepared.get_or_insert_with(|| or_stop(prepare()));
            bencher
                .iter_custom(|iterations| or_stop(scaled.work.elapsed(threads, iterations, 1.0)));
        });
    }
}

/// Criterion has no way to hand an error on: a subject that does not work ends the run.
fn or_stop<T>(result: Result<T>) -> T {
    result.unwrap_or_else(|error| {
        eprintln!("{error:#}");
        std::process::exit(1)
    })
}

criterion_group!(benches, run_subjects);
criterion_main!(benches);
