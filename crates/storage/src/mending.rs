//! What opening a log changes, so that it can be written again.
//!
//! The end of a commit that never finished is taken out of the way, and what nothing proves
//! durable is written anew: it may lie in the page cache only, and a sync alone is not enough,
//! because after one that failed the kernel may take the lost bytes for written.

use crate::error::OpenError;
use crate::folder::{Folder, io_error, is_full};
use crate::header::SEGMENT_HEADER_LEN;
use crate::listing::{Listing, LogFile, MOVED};
use crate::recovery::{Scan, Tail};
use cortica_env::{Disk, DiskFile, Open};
use std::io;
use std::path::{Path, PathBuf};

const HEADER: u64 = SEGMENT_HEADER_LEN as u64;

/// How much is copied at a time.
const COPY_BYTES: usize = 1 << 20;

/// Whether a log is fit to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mended {
    Yes,
    /// There was no room for what must not be lost.
    NoRoom,
}

/// Mends a log without damage.
pub(crate) fn mend(
    disk: &dyn Disk,
    folder: &Folder,
    listing: &mut Listing,
    scan: &mut Scan,
) -> Result<Mended, OpenError> {
    let log_dir = folder.log_dir();
    clear(disk, folder, listing)?;
    let listing = &*listing;
    if let Some(tail) = scan.tail.clone() {
        match set_aside(disk, &log_dir, listing, scan, &tail) {
            Ok(files) => scan.recovery.set_aside = files,
            Err(OpenError::Io { ref source, .. }) if is_full(source) => {
                scan.recovery.notes.push(
                    "the disk is full: there is no room to set aside the end of a commit that \
                     never finished, so the log is open for reading only"
                        .to_owned(),
                );
                return Ok(Mended::NoRoom);
            }
            Err(error) => return Err(error),
        }
        cut(disk, &log_dir, listing, &tail)?;
    }
    write_anew(disk, &log_dir, listing, scan, folder.made)?;
    lengthen(disk, listing, scan)?;
    Ok(Mended::Yes)
}

/// Gives the last file the length it was made with, which a power cut may have taken: once records
/// in it are proven durable, a short file would look as if somebody cut it.
fn lengthen(disk: &dyn Disk, listing: &Listing, scan: &Scan) -> Result<(), OpenError> {
    let last = scan.parts.last().and_then(|part| part.file);
    let Some(log_file) = last.and_then(|at| listing.files.get(at)) else {
        return Ok(());
    };
    let Ok(header) = log_file.header else {
        return Ok(());
    };
    let short = !header.compacted() && log_file.len < header.length;
    if !short || scan.closed_in(header.start) {
        return Ok(());
    }
    give_length(disk, log_file, log_file.len)
}

/// Makes a plain file, now of length `len`, as long as its header says, or makes that say what it has.
fn give_length(disk: &dyn Disk, log_file: &LogFile, len: u64) -> Result<(), OpenError> {
    let Ok(mut header) = log_file.header else {
        return Ok(());
    };
    let path = &log_file.path;
    let file = disk
        .open(path, Open::Write)
        .map_err(io_error("open", path))?;
    match file.allocate(header.length) {
        Err(error) if is_full(&error) => {
            header.length = len;
            file.write_at(&header.encode(), 0)
                .map_err(io_error("write", path))?;
        }
        allocated => allocated.map_err(io_error("reserve space for", path))?,
    }
    file.sync().map_err(io_error("sync", path))
}

/// Removes what was being written and what a newer file stands for.
pub(crate) fn clear(
    disk: &dyn Disk,
    folder: &Folder,
    listing: &mut Listing,
) -> Result<(), OpenError> {
    let log_dir = folder.log_dir();
    let mut changed = !listing.unfinished.is_empty();
    for log_file in &mut listing.files {
        let path = log_dir.join(log_file.name.to_string());
        if log_file.path != path {
            let away = std::mem::replace(&mut log_file.path, path);
            disk.rename(&away, &log_file.path)
                .map_err(io_error("move", &away))?;
            changed = true;
        }
    }
    for path in &listing.unfinished {
        remove(disk, path)?;
    }
    let mut sure = Vec::new();
    for old in &listing.superseded {
        // Its name may not be durable: the sync that should have made it so may have failed.
        if !sure.contains(&old.by) {
            let new = listing.files.iter().find(|file| file.name == old.by);
            let Some(new) = new else { continue };
            match under_a_new_name(disk, new, new.len) {
                // Both stay, until there is room.
                Err(OpenError::Io { ref source, .. }) if is_full(source) => continue,
                done => done?,
            }
            sync_dir(disk, &log_dir)?;
            sure.push(old.by);
        }
        if old.damaged {
            quarantine(disk, folder, &old.path)?;
        } else {
            remove(disk, &old.path)?;
            changed = true;
        }
    }
    if changed {
        sync_dir(disk, &log_dir)?;
    }
    cut_left_over(disk, &log_dir, listing)
}

/// Cuts off the ends that other files took over.
fn cut_left_over(disk: &dyn Disk, log_dir: &Path, listing: &mut Listing) -> Result<(), OpenError> {
    for at in 0..listing.files.len() {
        let old = &listing.files[at];
        let (Some(_), Some((end, cut))) = (old.left_over(), old.cut) else {
            continue;
        };
        let by = listing.files.iter().find(|by| {
            let takes = by.header.ok().and_then(|header| header.cut);
            by.name.start == end && takes.is_some_and(|takes| takes.name == old.name)
        });
        let Some(by) = by else { continue };
        // Its name may not be durable, see above; its bytes are, or it would not have this name.
        name_anew(disk, &by.path)?;
        sync_dir(disk, log_dir)?;
        let path = &old.path;
        let file = disk
            .open(path, Open::Write)
            .map_err(io_error("open", path))?;
        file.set_len(cut.length)
            .and_then(|()| file.sync())
            .map_err(io_error("cut", path))?;
        listing.files[at].len = cut.length;
    }
    Ok(())
}

/// Gives a file its name again, for where there is no room for a copy. Synced by the caller.
fn name_anew(disk: &dyn Disk, path: &Path) -> Result<(), OpenError> {
    let away = with_ending(path, MOVED);
    disk.rename(path, &away)
        .and_then(|()| disk.rename(&away, path))
        .map_err(io_error("move", path))
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut longer = path.to_owned().into_os_string();
    longer.push(ending);
    PathBuf::from(longer)
}

/// Moves a file out of the log, durably. Returns its new path.
pub(crate) fn quarantine(
    disk: &dyn Disk,
    folder: &Folder,
    path: &Path,
) -> Result<PathBuf, OpenError> {
    let dir = folder.quarantine_dir();
    disk.create_dir_all(&dir)
        .map_err(io_error("make the folder", &dir))?;
    sync_dir(disk, folder.dir())?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let taken = disk.list(&dir).map_err(io_error("list the folder", &dir))?;
    let free = (0..u32::MAX)
        .map(|number| format!("{name}-{number}"))
        .find(|name| !taken.contains(name));
    let to = dir.join(free.unwrap_or_default());
    disk.rename(path, &to).map_err(io_error("move", path))?;
    sync_dir(disk, &dir)?;
    sync_dir(disk, &folder.log_dir())?;
    Ok(to)
}

/// Keeps the files and bytes of the tail that hold whole records, under names of their own and
/// durably.
fn set_aside(
    disk: &dyn Disk,
    log_dir: &Path,
    listing: &Listing,
    scan: &Scan,
    tail: &Tail,
) -> Result<Vec<PathBuf>, OpenError> {
    let mut kept = Vec::new();
    let touched = listing.files.iter().skip(tail.file);
    for (at, (log_file, &(used, whole))) in touched.zip(&tail.files).enumerate() {
        let offset = if at == 0 { tail.offset } else { 0 };
        // What does not even have a header of ours may be somebody's.
        let foreign = offset == 0 && log_file.header.is_err() && used > HEADER;
        if whole == 0 && !foreign {
            continue;
        }
        let start = if offset == 0 {
            log_file.name.start
        } else {
            scan.end
        };
        let aside = free_name(disk, log_dir, start)?;
        if offset == 0 {
            disk.rename(&log_file.path, &aside)
                .map_err(io_error("move", &log_file.path))?;
        } else {
            copy_aside(disk, &log_file.path, &aside, offset..used)?;
        }
        kept.extend((whole > 0).then_some(aside));
    }
    sync_dir(disk, log_dir)?;
    Ok(kept)
}

fn free_name(disk: &dyn Disk, log_dir: &Path, position: u64) -> Result<PathBuf, OpenError> {
    let taken = disk
        .list(log_dir)
        .map_err(io_error("list the folder", log_dir))?;
    let free = (0..u32::MAX)
        .map(|number| format!("{position:020}-{number}.dropped"))
        .find(|name| !taken.contains(name));
    Ok(log_dir.join(free.unwrap_or_default()))
}

fn copy_aside(
    disk: &dyn Disk,
    from: &Path,
    to: &Path,
    range: std::ops::Range<u64>,
) -> Result<(), OpenError> {
    let source = disk
        .open(from, Open::Read)
        .map_err(io_error("open", from))?;
    let copy = disk
        .open(to, Open::CreateNew)
        .map_err(io_error("create", to))?;
    let start = range.start;
    let copied = copy_range(&*source, range, |bytes, at| {
        copy.write_at(bytes, at - start)
    })
    .and_then(|()| copy.sync());
    copied.map_err(|error| {
        // A part of the bytes under this name would pass for all of them.
        let _ = disk.remove(to);
        io_error("write", to)(error)
    })
}

/// Takes the tail out of the log. Left in place, torn bytes could line up behind records written
/// from now on.
fn cut(disk: &dyn Disk, log_dir: &Path, listing: &Listing, tail: &Tail) -> Result<(), OpenError> {
    let mut names_changed = false;
    let touched = listing.files.iter().skip(tail.file);
    for (at, (log_file, &(used, _))) in touched.zip(&tail.files).enumerate() {
        if at > 0 || tail.offset == 0 {
            remove(disk, &log_file.path)?; // Unless it was set aside, and so has another name.
            names_changed = true;
        } else if used > tail.offset {
            // Zeros instead of a shorter file: a short one would look as if somebody cut it.
            let path = &log_file.path;
            let file = disk
                .open(path, Open::Write)
                .map_err(io_error("open", path))?;
            let zeros = vec![0; COPY_BYTES.min((used - tail.offset) as usize)];
            let mut from = tail.offset;
            while from < used {
                let len = zeros.len().min((used - from) as usize);
                file.write_at(&zeros[..len], from)
                    .map_err(io_error("write", path))?;
                from += len as u64;
            }
            file.sync().map_err(io_error("sync", path))?;
        }
    }
    if names_changed {
        sync_dir(disk, log_dir)?;
    }
    Ok(())
}

/// Writes again what nothing proves durable, and its files' names.
fn write_anew(
    disk: &dyn Disk,
    log_dir: &Path,
    listing: &Listing,
    scan: &Scan,
    made: bool,
) -> Result<(), OpenError> {
    let mut any = false;
    for part in scan.parts.iter().filter(|part| part.end > scan.proven) {
        let Some(log_file) = part.file.and_then(|at| listing.files.get(at)) else {
            continue;
        };
        any = true;
        let end = HEADER + (part.end - part.start);
        // The first file of a store that was made has a durable name and header.
        let named = scan.proven > part.start || (part.start == 0 && made);
        if named {
            let from = HEADER + scan.proven.saturating_sub(part.start);
            in_place(disk, &log_file.path, from, end)?;
            continue;
        }
        match under_a_new_name(disk, log_file, end) {
            Err(OpenError::Io { ref source, .. }) if is_full(source) => {
                in_place(disk, &log_file.path, 0, end)?;
                name_anew(disk, &log_file.path)?;
                // The length that a failed sync lost is not written again by itself.
                let file = disk.open(&log_file.path, Open::Write);
                file.and_then(|file| file.set_len(end))
                    .map_err(io_error("cut", &log_file.path))?;
                give_length(disk, log_file, end)?;
            }
            done => done?,
        }
    }
    if any {
        sync_dir(disk, log_dir)?;
    }
    Ok(())
}

fn in_place(disk: &dyn Disk, path: &Path, from: u64, to: u64) -> Result<(), OpenError> {
    let file = disk
        .open(path, Open::Write)
        .map_err(io_error("open", path))?;
    copy_range(&*file, from..to, |bytes, at| file.write_at(bytes, at))
        .map_err(io_error("write", path))?;
    file.sync().map_err(io_error("sync", path))
}

/// Writes a file anew with its name: a folder's sync that failed may have lost that, too.
fn under_a_new_name(disk: &dyn Disk, log_file: &LogFile, end: u64) -> Result<(), OpenError> {
    let path = &log_file.path;
    let new = with_ending(path, ".new");
    let file = disk
        .open(path, Open::Read)
        .map_err(io_error("open", path))?;
    let copy = disk
        .open(&new, Open::CreateNew)
        .map_err(io_error("create", &new))?;
    let copied = copy
        .allocate(log_file.len)
        .and_then(|()| copy_range(&*file, 0..end, |bytes, at| copy.write_at(bytes, at)))
        .and_then(|()| copy.sync())
        .and_then(|()| disk.rename(&new, path));
    copied.map_err(|error| {
        let _ = disk.remove(&new);
        io_error("write", &new)(error)
    })
}

fn remove(disk: &dyn Disk, path: &Path) -> Result<(), OpenError> {
    match disk.remove(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(io_error("remove", path)),
    }
}

fn sync_dir(disk: &dyn Disk, dir: &Path) -> Result<(), OpenError> {
    disk.sync_dir(dir).map_err(io_error("sync the folder", dir))
}

/// Reads the bytes of a range and shows them to `write` with their offset.
fn copy_range(
    file: &dyn DiskFile,
    range: std::ops::Range<u64>,
    write: impl Fn(&[u8], u64) -> io::Result<()>,
) -> io::Result<()> {
    let (mut from, to) = (range.start, range.end);
    let mut buffer = vec![0; COPY_BYTES.min(to.saturating_sub(from) as usize)];
    while from < to {
        let len = buffer.len().min((to - from) as usize);
        let read = file.read_at(&mut buffer[..len], from)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        write(&buffer[..read], from)?;
        from += read as u64;
    }
    Ok(())
}
