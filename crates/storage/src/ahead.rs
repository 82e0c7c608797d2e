//! A thread that reads the files of a log into the operating system's memory while the records of
//! what was read before are looked at.
//!
//! What it reads it throws away, and no error of its own is told: whoever looks at the records reads
//! all of it again, from memory then, and meets the same error.

use crate::listing::LogFile;
use cortica_env::{Disk, Open};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// Below so many bytes a thread gains less than its start costs.
const WORTH_FROM: u64 = 16 << 20;

/// How far ahead it reads: memory that may be small is not filled with what is looked at much later.
const AHEAD_MAX: u64 = 64 << 20;

/// What is read at a time.
const CHUNK: usize = 1 << 20;

/// How long it sleeps when it is far enough ahead: at 10 GB a second a sixth of the way.
const NAP: Duration = Duration::from_millis(1);

/// How far those got who look at the records.
#[derive(Debug)]
pub(crate) struct Pace {
    /// For each file, how many bytes those before it have.
    starts: Vec<u64>,
    reached: AtomicU64,
    is_over: AtomicBool,
}

impl Pace {
    fn of(files: &[LogFile]) -> Pace {
        let starts = files.iter().scan(0, |bytes, file| {
            let start = *bytes;
            *bytes += file.len;
            Some(start)
        });
        Pace {
            starts: starts.collect(),
            reached: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
        }
    }

    /// The records of a file are looked at up to this offset.
    pub(crate) fn reached(&self, file: usize, offset: u64) {
        let start = self.starts.get(file).copied().unwrap_or_default();
        self.reached.store(start + offset, Ordering::Relaxed);
    }

    /// Whether to go on with the byte at `at`, once that is near enough.
    fn waits_for(&self, at: u64) -> bool {
        while !self.is_over.load(Ordering::Relaxed) {
            if at <= self.reached.load(Ordering::Relaxed) + AHEAD_MAX {
                return true;
            }
            thread::park_timeout(NAP);
        }
        false
    }

    /// Returns how many bytes it read before there were no more, or it was over.
    fn read(&self, disk: &dyn Disk, files: &[LogFile]) -> u64 {
        let mut buffer = vec![0; CHUNK];
        let mut bytes = 0;
        for (file, &start) in files.iter().zip(&self.starts) {
            let Ok(opened) = disk.open(&file.path, Open::Read) else {
                return bytes;
            };
            let mut offset = 0;
            while offset < file.len && self.waits_for(start + offset) {
                match opened.read_at(&mut buffer, offset) {
                    Ok(read) if read > 0 => offset += read as u64,
                    _ => return bytes + offset,
                }
            }
            bytes += offset;
        }
        bytes
    }
}

/// Runs `look`, which tells how far it got, while a thread reads the files ahead of it, where that
/// is of use and the system has a thread to give.
pub(crate) fn reading_ahead<R>(
    disk: &dyn Disk,
    files: &[LogFile],
    look: impl FnOnce(&Pace) -> R,
) -> R {
    let pace = Pace::of(files);
    let bytes: u64 = files.iter().map(|file| file.len).sum();
    if bytes < WORTH_FROM || !disk.keeps_what_is_read() {
        return look(&pace);
    }
    thread::scope(|scope| {
        let _over = Over(&pace);
        let named = thread::Builder::new().name("cortica-read".to_owned());
        let _ = named.spawn_scoped(scope, || pace.read(disk, files));
        look(&pace)
    })
}

/// Ends the thread, also where looking at the records panics.
struct Over<'a>(&'a Pace);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::FileName;
    use cortica_env::RealDisk;
    use std::fs::File;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::path::Path;

    /// Files without blocks of their own, whose bytes are zeros.
    fn files(dir: &Path, lengths: &[u64]) -> Vec<LogFile> {
        let file = |(at, &len): (usize, &u64)| {
            let path = dir.join(at.to_string());
            File::create(&path).unwrap().set_len(len).unwrap();
            LogFile {
                name: FileName {
                    start: at as u64,
                    generation: 0,
                },
                path,
                len,
                header: Err("a test has none"),
                cut: None,
            }
        };
        lengths.iter().enumerate().map(file).collect()
    }

    #[test]
    fn it_reads_so_far_ahead_and_no_further() {
        let dir = tempfile::tempdir().unwrap();
        let files = files(dir.path(), &[AHEAD_MAX / 2, AHEAD_MAX, 3]);
        let all: u64 = files.iter().map(|file| file.len).sum();
        let pace = Pace::of(&files);
        let read = |until: Duration| {
            thread::scope(|scope| {
                let over = Over(&pace);
                let reader = scope.spawn(|| pace.read(&RealDisk, &files));
                thread::sleep(until);
                drop(over);
                reader.join().unwrap()
            })
        };
        let ahead = read(Duration::from_millis(300));
        assert!(ahead > 0 && ahead <= AHEAD_MAX + CHUNK as u64, "{ahead}");
        pace.is_over.store(false, Ordering::Relaxed);
        pace.reached(1, AHEAD_MAX);
        assert_eq!(pace.read(&RealDisk, &files), all);
    }

    /// Else the thread would be waited for as long as it waits.
    #[test]
    fn it_ends_with_those_who_look_also_by_a_panic() {
        let dir = tempfile::tempdir().unwrap();
        let files = files(dir.path(), &[2 * AHEAD_MAX]);
        let five = reading_ahead(&RealDisk, &files, |_| 5);
        assert_eq!(five, 5);
        let look = || reading_ahead(&RealDisk, &files, |_| panic!("a record is refused"));
        assert!(catch_unwind(AssertUnwindSafe(look)).is_err());
    }

    #[test]
    fn a_file_that_is_gone_ends_it() {
        let dir = tempfile::tempdir().unwrap();
        let files = files(dir.path(), &[5, 6]);
        std::fs::remove_file(&files[1].path).unwrap();
        assert_eq!(Pace::of(&files).read(&RealDisk, &files), 5);
    }
}
