//! Writing a file whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Tells apart two writes to the same path in one process.
static WRITES: AtomicU64 = AtomicU64::new(0);

/// Lets `fill` write a temporary sibling of `path`, syncs it and renames it over `path`.
///
/// The folder itself is not synced: after a power cut the old file may be the one found. On an
/// error the sibling is removed and `path` is as it was.
pub fn replace(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> io::Result<()> {
    let sibling = sibling(path)?;
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&sibling)?;
    let mut writer = BufWriter::with_capacity(1 << 18, file);
    let result = fill(&mut writer)
        .and_then(|()| writer.flush())
        .and_then(|()| writer.get_ref().sync_all())
        .and_then(|()| fs::rename(&sibling, path));
    if result.is_err() {
        // The first error is the one to report; a sibling that stays behind harms nobody.
        let _ = fs::remove_file(&sibling);
    }
    result
}

fn sibling(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mut name = name.to_owned();
    let write = WRITES.fetch_add(1, Relaxed);
    name.push(format!(".{}-{write}.tmp", std::process::id()));
    Ok(path.with_file_name(name))
}
