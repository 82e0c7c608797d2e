//! Writing a file whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Tells apart two writes to the same path in one process.
static WRITES: AtomicU64 = AtomicU64::new(0);

/// Lets `fill` write a temporary sibling of `path`, syncs it, renames it over `path`, and syncs the
/// folder: when this returns, a power cut does not take the new file.
///
/// On an error the sibling is removed and `path` is as it was; only where the very last step
/// failed, it may be the new file already.
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
        .and_then(|()| fs::rename(&sibling, path))
        .and_then(|()| sync_folder(path));
    if result.is_err() {
        // The first error is the one to report; a sibling that stays behind harms nobody.
        let _ = fs::remove_file(&sibling);
    }
    result
}

/// So that the new name survives a power cut too.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty());
    // Windows cannot open a folder as a file and keeps names durable by itself.
    if cfg!(windows) {
        return Ok(());
    }
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

fn sibling(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mut name = name.to_owned();
    let write = WRITES.fetch_add(1, Relaxed);
    name.push(format!(".{}-{write}.tmp", std::process::id()));
    Ok(path.with_file_name(name))
}
