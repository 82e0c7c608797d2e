//! The caches of a store, each verified, changing nothing.

use crate::cache::{CacheError, CacheHeader, ENDING};
use crate::cache_reader::CacheReader;
use crate::error::OpenError;
use crate::folder::{Folder, io_error};
use cortica_env::{Disk, Open};
use std::io;
use std::path::{Path, PathBuf};

/// A file in the folder `cache`, and whether it is of use. One that is not costs the time to make it
/// anew and nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FoundCache {
    /// Which.
    pub file: PathBuf,
    /// How long it is.
    pub bytes: u64,
    /// The log position it stands for, where its header is whole.
    pub position: Option<u64>,
    /// Why it is of no use; `None`: it is whole, every byte of it.
    pub useless: Option<String>,
}

/// Reads every cache of a log that ends at `end`; one that is damaged has no caches.
pub(crate) fn found(
    disk: &dyn Disk,
    folder: &Folder,
    end: u64,
    log_damaged: bool,
) -> Result<Vec<FoundCache>, OpenError> {
    let dir = folder.cache_dir();
    let mut names = match disk.list(&dir) {
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(Vec::new());
        }
        listed => listed.map_err(io_error("list the folder", &dir))?,
    };
    names.sort();
    let mut caches = Vec::new();
    for name in names {
        let begun = name.strip_suffix(".new").unwrap_or(&name);
        if !begun.ends_with(ENDING) {
            continue; // Somebody else's.
        }
        let path = dir.join(&name);
        let mut cache = FoundCache {
            file: path.clone(),
            bytes: 0,
            position: None,
            useless: None,
        };
        if begun.len() < name.len() {
            cache.useless = Some("it was never finished, and goes at the next opening".to_owned());
        } else if let Err(error) = verify(disk, &path, end, &mut cache) {
            cache.useless = Some(error.to_string());
        } else if log_damaged {
            cache.useless = Some(CacheError::LogDamaged.to_string());
        }
        caches.push(cache);
    }
    Ok(caches)
}

/// Fills in what is known of a cache, as far as it can be read. Memory: some blocks of it, and four
/// bytes for each.
fn verify(
    disk: &dyn Disk,
    path: &Path,
    end: u64,
    cache: &mut FoundCache,
) -> Result<(), CacheError> {
    let file = disk
        .open(path, Open::Read)
        .map_err(io_error("open", path))?;
    cache.bytes = file.len().map_err(io_error("read", path))?;
    let header = CacheHeader::read(path, &*file)?;
    cache.position = Some(header.position);
    if header.position > end {
        return Err(CacheError::Ahead {
            path: path.to_owned(),
            position: header.position,
            end,
        });
    }
    let mut reader = CacheReader::of(path.to_owned(), file, header)?;
    while reader.next_piece()? > 0 {}
    Ok(())
}
