//! Lists of operations: mixed against sorted, stores together against one by one.

use std::sync::Arc;

use anyhow::{Result, ensure};
use cortica::{Association, Cortica, Durability, Episode, IndexLag, Operation, Workers};
use tempfile::TempDir;

use super::fixture;
use crate::stopwatch::Stopwatch;
use crate::subject::{Pair, Setup};

/// Operations of one sort beside each other in a mixed list.
const RUN: usize = 50;

/// Rounds of runs of all four sorts.
const ROUNDS: usize = 10;

/// Episodes that are stored one by one, or together.
const COUNT: usize = 1_000;

/// Episodes that are there all the time.
const RESIDENT: usize = 4_096;

fn in_memory(dimension: usize) -> Result<Cortica> {
    let builder = Cortica::builder().dimension(dimension);
    Ok(builder.index_lag(IndexLag::OnDemand).in_memory()?)
}

/// The four sorts of a mixed list, run by run. What is stored is forgotten in the same list, so that
/// every list finds the same store.
struct Lists {
    rows: Vec<f32>,
    dimension: usize,
}

impl Lists {
    fn run(&self, sort: usize, round: usize) -> Vec<Operation> {
        let row = |at: usize| &self.rows[at * self.dimension..][..self.dimension];
        let place = |at: usize| round * RUN + at;
        let one = |at: usize| match sort {
            0 => {
                let id = format!("new {}", place(at));
                let row = row(RESIDENT + place(at)).to_vec();
                Operation::Store(Episode::new(id.clone(), id).with_embedding(row))
            }
            1 => Operation::similarity(row(RESIDENT + place(at)).to_vec(), 10),
            2 => {
                let to = format!("{}", place(at));
                Operation::Associate(Association::new(format!("new {}", place(at)), to, 1))
            }
            _ => Operation::forget(format!("new {}", place(at))),
        };
        (0..RUN).map(one).collect()
    }

    fn mixed(&self) -> Vec<Vec<Operation>> {
        let rounds = (0..ROUNDS).flat_map(|round| (0..4).map(move |sort| (sort, round)));
        vec![
            rounds
                .flat_map(|(sort, round)| self.run(sort, round))
                .collect(),
        ]
    }

    /// Searches go first: they compare no more episodes than those of the mixed list, which find
    /// some that were stored just before.
    fn sorted(&self) -> Vec<Vec<Operation>> {
        let all = |sort| {
            (0..ROUNDS)
                .flat_map(|round| self.run(sort, round))
                .collect()
        };
        [1, 0, 2, 3].map(all).into()
    }
}

/// A mixed list against its parts, each in a list of its own.
pub(super) fn mixed(_: &Setup) -> Result<Pair> {
    let data = fixture::bundled()?;
    let rows = fixture::tiled(&data, RESIDENT + ROUNDS * RUN);
    let lists = Arc::new(Lists {
        dimension: data.dimension,
        rows,
    });
    // One store for both: how its rows happen to lie in memory is worth more than what is compared.
    let store = Arc::new(in_memory(lists.dimension)?);
    let resident = &lists.rows[..RESIDENT * lists.dimension];
    for stored in store.store_many(fixture::episodes(resident, lists.dimension, 0)) {
        stored?;
    }
    let side = |make: fn(&Lists) -> Vec<Vec<Operation>>| {
        let (lists, store) = (lists.clone(), store.clone());
        let batch = store.batch().workers(&Workers::new(1)?);
        let run = move |watch: &mut Stopwatch| -> Result<()> {
            let made = make(&lists);
            let mut answers = 0;
            for operations in made {
                let done = watch.time(|| batch.run(operations))?;
                answers += done.answers.len();
                ensure!(
                    done.answers.iter().all(Result::is_ok),
                    "an operation failed"
                );
            }
            ensure!(answers == 4 * ROUNDS * RUN, "an answer is missing");
            ensure!(
                store.stats().episodes == RESIDENT as u64,
                "an episode is left over"
            );
            Ok(())
        };
        anyhow::Ok(run)
    };
    Ok(Pair {
        check: Box::new(|| Ok(())), // Every run looks at its answers and at what is left.
        subject: Box::new(side(Lists::mixed)?),
        baseline: Box::new(side(Lists::sorted)?),
    })
}

/// A store, and the folder it goes with.
struct Side {
    folder: TempDir,
    rows: Arc<[f32]>,
    dimension: usize,
    made: usize,
}
impl Side {
    /// A fresh store, so that both sides write the same to the same.
    fn fresh(&mut self) -> Result<(Cortica, Vec<Episode>)> {
        let folder = self.folder.path().join(format!("store-{}", self.made));
        self.made += 1;
        let builder = Cortica::builder().dimension(self.dimension);
        let builder = builder.durability(Durability::Buffered);
        let store = builder.index_lag(IndexLag::OnDemand).open(&folder)?;
        let episodes = fixture::episodes(&self.rows, self.dimension, 0);
        Ok((store, episodes))
    }

    fn done(&self, store: Cortica) -> Result<()> {
        ensure!(
            store.stats().episodes == COUNT as u64,
            "episodes are missing"
        );
        drop(store);
        let folder = self.folder.path().join(format!("store-{}", self.made - 1));
        Ok(std::fs::remove_dir_all(folder)?)
    }
}

/// A thousand stores in one list against as many calls, each acknowledged when the operating system
/// has it.
pub(super) fn buffered(setup: &Setup) -> Result<Pair> {
    let data = fixture::bundled()?;
    let dimension = data.dimension;
    let rows: Arc<[f32]> = fixture::tiled(&data, COUNT).into();
    let side = || -> Result<Side> {
        Ok(Side {
            folder: fixture::folder(setup)?,
            rows: rows.clone(),
            dimension,
            made: 0,
        })
    };
    let (mut together, mut alone) = (side()?, side()?);
    Ok(Pair {
        check: Box::new(|| Ok(())), // Every run looks at its answers and at what is stored.
        subject: Box::new(move |watch| {
            let (store, episodes) = together.fresh()?;
            let batch = store.batch();
            let operations = episodes.into_iter().map(Operation::Store).collect();
            let done = watch.time(|| batch.run(operations))?;
            ensure!(done.answers.iter().all(Result::is_ok), "a store failed");
            together.done(store)
        }),
        baseline: Box::new(move |watch| {
            let (store, episodes) = alone.fresh()?;
            watch.time(|| {
                for episode in episodes {
                    store.store(episode)?;
                }
                anyhow::Ok(())
            })?;
            alone.done(store)
        }),
    })
}
