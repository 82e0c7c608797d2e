//! Concepts that are given columns: by a pipeline against direct calls, on two threads against one.

use std::hint::black_box;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use cortica_cortex::{
    Allocate, Allocation, ConceptRequest, Cortex, CortexOptions, Grid, RefractoryParams,
};
use cortica_neural::Networks;
use cortica_pipeline::{
    AllocationEngine, AllocationPipeline, Answer, Completions, EngineOptions, Order,
    PipelineOptions, Request, Ticket,
};
use cortica_testkit::{count_allocations, count_allocations_of_all, is_counting};

use super::fixture;
use crate::stopwatch::Stopwatch;
use crate::subject::{Pair, Scaled, Setup, Work};

/// Columns along a side.
const SIDE: u32 = 20;

/// Concepts that are there all the time.
const RESIDENT: usize = 2_000;

/// Requests of one timed section: they are given columns, which are released again outside of it.
const BATCH: usize = 256;

/// An engine with all three networks that holds some concepts, and requests for others. Columns do not rest: what
/// is released can be won at once, so that every section finds the same.
struct World {
    engine: Arc<AllocationEngine>,
    requests: Vec<Request>,
}

fn world(setup: &Setup) -> Result<World> {
    let data = fixture::largest(setup)?;
    let refractory = RefractoryParams {
        absolute_ms: 0.0,
        ..RefractoryParams::default()
    };
    let options = CortexOptions {
        refractory,
        ..CortexOptions::default()
    };
    let cortex = Arc::new(Cortex::new(Grid::new(SIDE, SIDE, SIDE)?, options)?);
    let networks = Arc::new(Networks::shipped_768()?);
    let engine = AllocationEngine::new(cortex, networks, EngineOptions::default())?;
    let mut requests = Vec::new();
    for row in 0..data.len() {
        let id = format!("concept {row}");
        let request = ConceptRequest {
            stream: Some(row as u64 / 64),
            ..ConceptRequest::new(&id, data.row(row))
        };
        let allocated = matches!(engine.allocate(&request)?, Allocation::Allocated { .. });
        // Of those that are no duplicates the first stay.
        if allocated && engine.stats().concepts > RESIDENT {
            engine.release_id(&id)?;
            requests.push(Request::from(&request));
        }
        if requests.len() == 2 * BATCH {
            break;
        }
    }
    ensure!(requests.len() == 2 * BATCH, "too few concepts");
    Ok(World {
        engine: Arc::new(engine),
        requests,
    })
}

impl World {
    fn pipeline(&self, workers: usize, order: Order) -> Result<Arc<AllocationPipeline>> {
        let options = PipelineOptions {
            workers,
            order,
            capacity: 2 * BATCH,
        };
        let pipeline = AllocationPipeline::new(self.engine.clone(), options)?;
        pipeline.start()?;
        Ok(Arc::new(pipeline))
    }

    fn batch(&self) -> Vec<Request> {
        self.requests[..BATCH].to_vec()
    }
}

/// Lets go of what was given columns, all of which must have been.
fn release(engine: &AllocationEngine, answers: Vec<Answer>) -> Result<()> {
    let count = answers.len();
    let mut released = 0;
    for answer in answers {
        if let Allocation::Allocated { column, .. } = answer? {
            let concept = engine.cortex().held(column)?.context("it holds nothing")?;
            released += usize::from(engine.release(column, concept)?);
        }
    }
    ensure!(released == count, "{released} of {count} were allocated");
    Ok(())
}

fn against_direct(setup: &Setup, workers: usize, order: Order) -> Result<Pair> {
    let world = Arc::new(world(setup)?);
    let pipeline = world.pipeline(workers, order)?;
    let (checking, direct) = ((world.clone(), pipeline.clone()), world.clone());
    Ok(Pair {
        check: Box::new(move || {
            let (world, pipeline) = &checking;
            let answers = pipeline.process_batch(world.batch());
            release(&world.engine, answers)?;
            ensure!(world.engine.stats().concepts == RESIDENT);
            Ok(())
        }),
        subject: Box::new(move |watch| {
            let batch = world.batch();
            let answers = watch.time(|| pipeline.process_batch(batch));
            release(&world.engine, black_box(answers))
        }),
        baseline: Box::new(move |watch| {
            let batch = direct.batch();
            let allocate = |request: &Request| direct.engine.allocate(&request.lend());
            let answers: Vec<Answer> = watch.time(|| batch.iter().map(allocate).collect());
            release(&direct.engine, black_box(answers))
        }),
    })
}

/// One worker, as they come, against the calls that it makes.
pub(super) fn one_worker(setup: &Setup) -> Result<Pair> {
    against_direct(setup, 1, Order::Relaxed)
}

/// A batch in the order of submission, by as many workers as there are by default, against calls one by one.
pub(super) fn batch(setup: &Setup) -> Result<Pair> {
    let workers = PipelineOptions::default().workers;
    against_direct(setup, workers, Order::Submission)
}

/// Two workers of a pipeline against one, as they come.
///
/// Whoever submits would take time from the workers, on as many processors as there are of them. So all requests are
/// in the queue, and the workers held by a round of the engine, before the time begins; it ends with the last answer,
/// which the submitter sleeps for.
pub(super) fn two_workers(setup: &Setup) -> Result<Scaled> {
    let world = Arc::new(world(setup)?);
    let relaxed = |workers| world.pipeline(workers, Order::Relaxed);
    let pipelines = [relaxed(1)?, relaxed(2)?];
    let checking = (world.clone(), pipelines.clone());
    Ok(Scaled {
        threads: pipelines.len(),
        check: Box::new(move || {
            let (world, pipelines) = &checking;
            for pipeline in pipelines {
                release(
                    &world.engine,
                    pipeline.process_batch(world.requests.clone()),
                )?;
                ensure!(world.engine.stats().concepts == RESIDENT);
            }
            Ok(())
        }),
        work: Work::Divided(Box::new(move |workers, watch| {
            let pipeline = pipelines
                .get(workers - 1)
                .context("as many workers as pipelines")?;
            (0..workers).try_for_each(|_| drain(&world, pipeline, watch))
        })),
    })
}

/// All requests, which wait in the queue when the time begins.
fn drain(world: &World, pipeline: &AllocationPipeline, watch: &mut Stopwatch) -> Result<()> {
    let requests = world.requests.clone();
    let round = world.engine.begin();
    let submitted = requests
        .into_iter()
        .map(|request| pipeline.submit(request))
        .collect::<Result<Vec<_>, _>>()?;
    let answers: Vec<Answer> = watch.time(|| {
        drop(round);
        // The last one first, which comes about last: one wake-up instead of one for each.
        submitted.into_iter().rev().map(Ticket::wait).collect()
    });
    release(&world.engine, black_box(answers))
}

/// Threads that decide side by side, each its own requests.
pub(super) fn side_by_side(setup: &Setup) -> Result<Scaled> {
    let world = Arc::new(world(setup)?);
    let checking = world.clone();
    let work = move |thread: usize| {
        let from = thread % 2 * BATCH;
        let requests = &world.requests[from..from + BATCH / 2];
        let allocate = |request: &Request| world.engine.allocate(&request.lend());
        release(&world.engine, requests.iter().map(allocate).collect())
    };
    Ok(Scaled {
        threads: 2,
        check: Box::new(move || {
            let lent: Vec<_> = checking.requests.iter().map(Request::lend).collect();
            let answers = checking.engine.allocate_many(&lent, Order::Relaxed);
            release(&checking.engine, answers)
        }),
        work: Work::Share(Box::new(work)),
    })
}

/// What a request asks of the allocator, on average over a batch, once all has been used.
pub(super) fn allocations(setup: &Setup) -> Result<f64> {
    ensure!(is_counting(), "this program's allocator does not count");
    let world = world(setup)?;
    let lent: Vec<_> = world.requests.iter().map(Request::lend).collect();
    release(
        &world.engine,
        world.engine.allocate_many(&lent, Order::Relaxed),
    )?;
    let (answers, counted) = count_allocations(|| {
        lent.iter()
            .map(|request| {
                if setup.corrupt {
                    let wasted: Vec<_> = (0..32).map(|at| Box::new(at as u64)).collect();
                    black_box(&wasted);
                }
                world.engine.allocate(request)
            })
            .collect::<Vec<_>>()
    });
    release(&world.engine, answers)?;
    Ok(counted.allocations as f64 / lent.len() as f64)
}

/// What a request asks of the allocator on its way through a pipeline, by all threads, once all has been used: to be
/// submitted and waited for by a ticket, or taken from a stream of completions; what asks for more.
pub(super) fn allocations_of_pipeline(setup: &Setup) -> Result<f64> {
    through_pipeline(setup, Order::Relaxed)
}

/// As [`allocations_of_pipeline`], in the order of submission.
pub(super) fn allocations_in_order(setup: &Setup) -> Result<f64> {
    through_pipeline(setup, Order::Submission)
}

fn through_pipeline(setup: &Setup, order: Order) -> Result<f64> {
    ensure!(is_counting(), "this program's allocator does not count");
    let world = world(setup)?;
    let pipeline = world.pipeline(2, order)?;
    let count = world.requests.len();
    let completions = Completions::new(count);
    let by_tickets = |requests: Vec<Request>| -> Result<Vec<Answer>> {
        let submitted: Result<Vec<_>, _> = requests
            .into_iter()
            .map(|request| pipeline.submit(request))
            .collect();
        Ok(submitted?.into_iter().map(Ticket::wait).collect())
    };
    let by_completions = |requests: Vec<Request>| -> Result<Vec<Answer>> {
        for request in requests {
            pipeline.submit_for(&completions, request)?;
        }
        let all = std::iter::from_fn(|| completions.next());
        Ok(all.map(|completion| completion.answer).collect())
    };
    let ways: [&dyn Fn(Vec<Request>) -> Result<Vec<Answer>>; 2] = [&by_tickets, &by_completions];
    let mut most = 0.0_f64;
    for way in ways {
        release(&world.engine, way(world.requests.clone())?)?;
        let requests = world.requests.clone();
        let (answers, blocks) = count_allocations_of_all(|| {
            if setup.corrupt {
                let wasted: Vec<_> = (0..32 * count).map(|at| Box::new(at as u64)).collect();
                black_box(&wasted);
            }
            way(requests)
        });
        release(&world.engine, answers?)?;
        most = most.max(blocks as f64 / count as f64);
    }
    Ok(most)
}
