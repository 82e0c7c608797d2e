//! Opening a regular file, and nothing else.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// Why not. Each reader's error says the same in its own words.
pub(crate) enum Refused {
    Missing(PathBuf),
    NotAFile(PathBuf),
    Io(io::Error),
}

/// Opens `path` for reading and tells its length in bytes.
pub(crate) fn open(path: &Path) -> Result<(File, u64), Refused> {
    let refused = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Refused::Missing(path.to_owned()),
        _ => Refused::Io(error),
    };
    // Asked before opening: opening a pipe would wait for a writer.
    if !fs::metadata(path).map_err(refused)?.is_file() {
        return Err(Refused::NotAFile(path.to_owned()));
    }
    let file = File::open(path).map_err(refused)?;
    let length = file.metadata().map_err(Refused::Io)?.len();
    Ok((file, length))
}
