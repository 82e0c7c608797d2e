//! Storing episodes against writing the bytes that the log grows by, and nothing else.
//!
//! Both sides move on to a fresh file after the same number of runs, so that neither the page
//! cache nor the file system's journal favours one of them; the files they leave are removed
//! outside of what is timed.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use cortica::{Answered, Cortica, Durability, Episode, IndexLag, Operation};
use cortica_env::{Disk, Open, RealDisk};
use tempfile::TempDir;

use super::fixture;
use crate::stopwatch::Stopwatch;
use crate::subject::{Pair, Run, Setup};

/// How episodes reach the log.
#[derive(Clone, Copy, Debug)]
struct Form {
    durability: Durability,
    /// Whether a call is a batch of operations.
    operations: bool,
    /// Episodes stored by one call.
    batch: usize,
    /// Calls in one run.
    calls: usize,
    /// Runs until both sides take a fresh file.
    runs_per_file: usize,
    /// How often one measurement runs: what fresh memory costs varies, so it is averaged out.
    repeats: usize,
}

/// All bundled rows in batches, acknowledged when the operating system has them.
pub(super) fn buffered(setup: &Setup) -> Result<Pair> {
    pair(
        setup,
        Form {
            durability: Durability::Buffered,
            operations: false,
            batch: 1_000,
            calls: 4,
            runs_per_file: 1,
            repeats: 4,
        },
    )
}

/// A thousand episodes with one sync.
pub(super) fn durable_batch(setup: &Setup) -> Result<Pair> {
    pair(
        setup,
        Form {
            durability: Durability::Durable,
            operations: false,
            batch: 1_000,
            calls: 1,
            runs_per_file: 8,
            repeats: 1,
        },
    )
}

/// A thousand operations with one sync.
pub(super) fn durable_through_batch(setup: &Setup) -> Result<Pair> {
    pair(
        setup,
        Form {
            durability: Durability::Durable,
            operations: true,
            batch: 1_000,
            calls: 1,
            runs_per_file: 8,
            repeats: 1,
        },
    )
}

/// A thousand episodes one by one, each acknowledged when the operating system has it.
pub(super) fn buffered_single(setup: &Setup) -> Result<Pair> {
    pair(
        setup,
        Form {
            durability: Durability::Buffered,
            operations: false,
            batch: 1,
            calls: 1_000,
            runs_per_file: 4,
            repeats: 4,
        },
    )
}

/// Episodes one by one, each with its own sync.
pub(super) fn durable_single(setup: &Setup) -> Result<Pair> {
    pair(
        setup,
        Form {
            durability: Durability::Durable,
            operations: false,
            batch: 1,
            calls: 20,
            runs_per_file: 25,
            repeats: 1,
        },
    )
}

fn pair(setup: &Setup, form: Form) -> Result<Pair> {
    let data = fixture::bundled()?;
    let episodes = form.batch * form.calls;
    let rows = fixture::tiled(&data, episodes);
    let folder = fixture::folder(setup)?;
    let bytes = check(folder.path(), &rows, data.dimension, form)?;
    let subject = Stores {
        form,
        folder: fixture::folder(setup)?,
        rows,
        dimension: data.dimension,
        made: 0,
        open: None,
    };
    let baseline = Files {
        form,
        folder,
        bytes: vec![0x5a; bytes],
        made: 0,
        open: None,
    };
    Ok(Pair {
        check: Box::new(|| Ok(())), // Done above: the baseline needs what it measured.
        subject: run(subject, Stores::run, form.repeats),
        baseline: run(baseline, Files::run, form.repeats),
    })
}

fn run<T: 'static>(
    mut side: T,
    run: fn(&mut T, &mut Stopwatch) -> Result<()>,
    repeats: usize,
) -> Run {
    Box::new(move |watch| (0..repeats).try_for_each(|_| run(&mut side, watch)))
}

fn open_store(folder: &Path, dimension: usize, durability: Durability) -> Result<Cortica> {
    let builder = Cortica::builder()
        .dimension(dimension)
        .index_lag(IndexLag::OnDemand) // Else it would be made while the other side is timed.
        .durability(durability);
    Ok(builder.open(folder)?)
}

fn store(store: &Cortica, mut episodes: Vec<Episode>, form: Form) -> Result<()> {
    if form.operations {
        return store_operations(store, episodes, form.durability);
    }
    let durability = form.durability;
    let stored = if episodes.len() == 1 {
        episodes
            .pop()
            .map(|episode| store.store(episode))
            .into_iter()
            .collect()
    } else {
        store.store_many(episodes)
    };
    for stored in stored {
        ensure!(
            stored?.durability == durability,
            "less durable than asked for"
        );
    }
    Ok(())
}

fn store_operations(store: &Cortica, episodes: Vec<Episode>, durability: Durability) -> Result<()> {
    let operations = episodes.into_iter().map(Operation::Store).collect();
    for answer in store.batch().run(operations)?.answers {
        let Answered::Stored(stored) = answer? else {
            bail!("a store was not answered in kind");
        };
        ensure!(
            stored.durability == durability,
            "less durable than asked for"
        );
    }
    Ok(())
}

/// Stores one run's episodes, opens the store again and finds every embedding bit for bit.
/// Returns the bytes the log grew by.
fn check(folder: &Path, rows: &[f32], dimension: usize, form: Form) -> Result<usize> {
    let folder = folder.join("check");
    let opened = open_store(&folder, dimension, form.durability)?;
    let before = opened.stats().log_bytes;
    for (call, rows) in rows.chunks(form.batch * dimension).enumerate() {
        let episodes = fixture::episodes(rows, dimension, call * form.batch);
        store(&opened, episodes, form)?;
    }
    let bytes = opened.stats().log_bytes - before;
    drop(opened);
    let opened = open_store(&folder, dimension, form.durability)?;
    for (number, row) in rows.chunks_exact(dimension).enumerate() {
        let kept = opened.embedding(&number.to_string());
        ensure!(
            kept.as_deref() == Some(row),
            "episode {number} came back changed"
        );
    }
    Ok(usize::try_from(bytes)?)
}

/// The subject: a store, and now and then a fresh one.
struct Stores {
    form: Form,
    rows: Vec<f32>,
    dimension: usize,
    made: usize,
    /// The store, its folder, and the runs it has seen. Closed before the folder above it goes.
    open: Option<(Cortica, PathBuf, usize)>,
    folder: TempDir,
}

impl Stores {
    fn run(&mut self, watch: &mut Stopwatch) -> Result<()> {
        let form = self.form;
        if let Some((store, folder, _)) = self.open.take_if(|open| open.2 == form.runs_per_file) {
            drop(store);
            fs::remove_dir_all(folder)?;
        }
        if self.open.is_none() {
            let folder = self.folder.path().join(format!("store-{}", self.made));
            self.made += 1;
            let store = open_store(&folder, self.dimension, form.durability)?;
            self.open = Some((store, folder, 0));
        }
        let Some((opened, _, runs)) = &mut self.open else {
            bail!("no store is open");
        };
        let first = *runs * form.batch * form.calls;
        *runs += 1;
        for (call, rows) in self.rows.chunks(form.batch * self.dimension).enumerate() {
            // Made before the clock starts: what a caller does to have an episode is not ours.
            let episodes = fixture::episodes(rows, self.dimension, first + call * form.batch);
            watch.time(|| store(opened, episodes, form))?;
        }
        Ok(())
    }
}

/// The baseline: a file that grows by the same bytes in as many writes.
struct Files {
    form: Form,
    /// What one run writes, as much as the log grows by.
    bytes: Vec<u8>,
    made: usize,
    /// The file, its path, and the runs it has seen.
    open: Option<(File, PathBuf, usize)>,
    folder: TempDir,
}

impl Files {
    fn run(&mut self, watch: &mut Stopwatch) -> Result<()> {
        let form = self.form;
        if let Some((file, path, _)) = self.open.take_if(|open| open.2 == form.runs_per_file) {
            drop(file);
            fs::remove_file(path)?;
        }
        if self.open.is_none() {
            let path = self.folder.path().join(format!("file-{}", self.made));
            self.made += 1;
            self.open = Some((self.fresh_file(&path)?, path, 0));
        }
        let Some((file, _, runs)) = &mut self.open else {
            bail!("no file is open");
        };
        *runs += 1;
        for part in self.bytes.chunks(self.bytes.len().div_ceil(form.calls)) {
            watch.time(|| {
                file.write_all(part)?;
                if form.durability == Durability::Durable {
                    file.sync_data()?;
                }
                std::io::Result::Ok(())
            })?;
        }
        Ok(())
    }

    /// An empty file. For durable writes its space is reserved as the log reserves its own, so
    /// that a sync has no new length to write; buffered ones are plain writes to a plain file.
    fn fresh_file(&self, path: &Path) -> Result<File> {
        if self.form.durability == Durability::Durable {
            let bytes = self.bytes.len() * self.form.runs_per_file;
            let file = RealDisk.open(path, Open::CreateNew)?;
            file.allocate(bytes as u64)?;
            file.sync()?;
            drop(file);
            RealDisk.sync_dir(self.folder.path())?;
            return File::options()
                .write(true)
                .open(path)
                .context("cannot open again");
        }
        File::create_new(path).context("cannot make a file")
    }
}
