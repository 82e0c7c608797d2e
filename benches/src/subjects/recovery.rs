//! Opening a store that the page cache knows nothing of, against reading its files from front to
//! back and doing nothing with them.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use cortica::Cortica;
use rustix::fs::{Advice, fadvise};
use tempfile::TempDir;

use super::fixture;
use crate::subject::{Pair, Setup};

/// Episodes in the store: 310 MB of 768 values; a quick run makes do with 50 MB.
const EPISODES: usize = 100_000;
const EPISODES_QUICK: usize = 16_000;

/// How much the baseline reads at a time.
const READ_BYTES: usize = 1 << 20;

pub(super) fn against_read(setup: &Setup) -> Result<Pair> {
    const BATCH: usize = 1_000;
    let data = fixture::bundled()?;
    let episodes = if setup.quick {
        EPISODES_QUICK
    } else {
        EPISODES
    };
    let folder = fixture::folder(setup)?;
    let store = folder.path().join("store");
    let rows = fixture::tiled(&data, episodes);
    let writing = Cortica::builder().dimension(data.dimension).open(&store)?;
    for (batch, rows) in rows.chunks(BATCH * data.dimension).enumerate() {
        for stored in writing.store_many(fixture::episodes(rows, data.dimension, batch * BATCH)) {
            stored?;
        }
    }
    writing.close()?;
    let files = Arc::new(Files {
        store: store.clone(),
        _folder: folder,
    });
    let read = files.clone();
    Ok(Pair {
        check: Box::new(move || {
            let opened = Cortica::open(&store)?;
            ensure!(
                opened.stats().episodes == episodes as u64,
                "an episode is missing"
            );
            for (number, row) in rows.chunks_exact(data.dimension).enumerate().step_by(997) {
                let kept = opened.embedding(&number.to_string());
                ensure!(
                    kept.as_deref() == Some(row),
                    "episode {number} came back changed"
                );
            }
            opened.close()?;
            Ok(())
        }),
        subject: Box::new(move |watch| {
            files.forget()?;
            let opened = watch.time(|| Cortica::open(&files.store))?;
            opened.close()?;
            Ok(())
        }),
        baseline: Box::new(move |watch| {
            read.forget()?;
            watch.time(|| read.read())
        }),
    })
}

/// A store's log on disk.
struct Files {
    store: PathBuf,
    /// Kept for as long as the store is looked at.
    _folder: TempDir,
}

impl Files {
    fn paths(&self) -> Result<Vec<PathBuf>> {
        let entries = std::fs::read_dir(self.store.join("log"))?;
        let paths = entries.map(|entry| Ok(entry?.path()));
        let mut paths: Vec<_> = paths.collect::<Result<_>>()?;
        paths.sort();
        Ok(paths)
    }

    /// Makes the page cache let go of the files; what was not written yet could not be let go.
    fn forget(&self) -> Result<()> {
        for path in self.paths()? {
            let file = File::open(path)?;
            file.sync_all()?;
            fadvise(&file, 0, None, Advice::DontNeed).context("cannot drop the page cache")?;
        }
        Ok(())
    }

    fn read(&self) -> Result<()> {
        let mut buffer = vec![0; READ_BYTES];
        for path in self.paths()? {
            let mut file = File::open(path)?;
            while file.read(&mut buffer)? > 0 {}
        }
        Ok(())
    }
}
