//! Folders that stores live in.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use cortica::{Builder, Cortica, IndexLag, OpenError, Recovery};

use crate::advice::Usage;
use crate::figures;
use crate::output::Out;

/// Whether something is in the folder; false when there is no such folder.
pub(crate) fn is_occupied(folder: &Path) -> anyhow::Result<bool> {
    if !folder.exists() {
        return Ok(false);
    }
    let mut entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    Ok(entries.next().is_some())
}

/// The length of all files below the folder.
pub(crate) fn bytes(folder: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let entry = entry?;
        let about = entry.metadata()?;
        bytes += if about.is_dir() {
            self::bytes(&entry.path())?
        } else {
            about.len()
        };
    }
    Ok(bytes)
}

/// Refuses to write what belongs outside of a store into its folder: it would take the place of one of its files,
/// or keep there what is forgotten later.
pub(crate) fn refuse_inside(store: &Path, target: &Path) -> anyhow::Result<()> {
    let Ok(store) = store.canonicalize() else {
        return Ok(()); // No store; opening it says so.
    };
    // What is not there yet lies where the nearest folder does that is.
    let absolute = std::path::absolute(target)?;
    let known = absolute.ancestors().find_map(|one| one.canonicalize().ok());
    if known.is_some_and(|known| known.starts_with(&store)) {
        let why = format!(
            "{} lies in the folder of the store; give another place",
            target.display()
        );
        return Err(Usage(why).into());
    }
    Ok(())
}

/// A new folder in the system's temporary folder, removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Temporary(PathBuf);

impl Temporary {
    pub(crate) fn new(what: &str) -> anyhow::Result<Self> {
        // The clock keeps apart what a recycled process id would not. `create_dir` refuses a
        // folder that is there, so nobody else's folder is ever taken over, or removed.
        let nanos = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |d| d.as_nanos());
        let name = format!("cortica-{what}-{}-{nanos}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).with_context(|| path.display().to_string())?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // Left behind at worst; a temporary folder is where such things may lie.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What opening a store had to drop, or to leave out where it was opened for reading, in words;
/// `None` if that was nothing.
pub(crate) fn dropped(recovery: &Recovery) -> Option<String> {
    if recovery.dropped_tail_bytes == 0 {
        return None;
    }
    let bytes = figures::bytes(recovery.dropped_tail_bytes);
    let why = "a commit that never finished, or one that nothing proved durable, damaged since";
    if recovery.set_aside.is_empty() && recovery.set_aside_records > 0 {
        return Some(format!(
            "{bytes} behind the last whole record are left out: {why}; the next command that \
             writes sets {} whole records among them aside in a file",
            figures::count(recovery.set_aside_records)
        ));
    }
    let what = format!("{bytes} behind the last whole record are left out: {why}");
    let files = recovery.set_aside.iter();
    let files: Vec<_> = files.map(|file| file.display().to_string()).collect();
    Some(if files.is_empty() {
        what
    } else {
        format!(
            "{what}; {} whole records among them are set aside in {}",
            figures::count(recovery.set_aside_records),
            files.join(", ")
        )
    })
}

/// Says so when opening this store had to drop something, because whoever opens it first is the only
/// one to learn of it, or when it is damaged.
pub(crate) fn tell_found(memory: &Cortica, out: &Out) {
    if let Some(dropped) = dropped(&memory.stats().recovery) {
        out.note(format!("warning: {dropped}"));
    }
    tell_damage(memory, out);
}

/// Says so, for all to hear, when the store is damaged.
pub(crate) fn tell_damage(memory: &Cortica, out: &Out) {
    let stats = memory.stats();
    let damage = &stats.recovery.damage;
    if let Some(first) = damage.first() {
        out.note(format!(
            "WARNING: the store is damaged in {} places, the first in {} at byte {} ({}). What is \
             whole can be read, nothing can be written. List all with `cortica check`, then copy \
             the folder and mend it with `cortica check --repair`",
            figures::count(damage.len() as u64),
            first.file.display(),
            first.offset,
            first.why
        ));
    }
    if stats.lost_associations > 0 {
        out.note(format!(
            "warning: {} relations lead to episodes that are lost and are left out",
            figures::count(stats.lost_associations)
        ));
    }
    if stats.space_guessed {
        out.note(
            "warning: the log has lost what its vector space is; metric and model are guesses. \
             `cortica ingest --metric METRIC --model MODEL` puts them back",
        );
    }
}

/// Opens a store that is only read, beside others who read it. What a crash left is not mended: who
/// only looks must not be the one by whom anything goes. Nor is anything indexed: it would be gone when
/// the command ends.
pub(crate) fn open_to_read(store: &Path) -> Result<Cortica, OpenError> {
    reader().open(store)
}

/// As [`open_to_read`] opens.
pub(crate) fn reader() -> Builder {
    let builder = Cortica::builder().read_only();
    builder.index_lag(IndexLag::OnDemand)
}
