//! What lies in a log's folder, before any of it is read.

use crate::closing::CLOSED;
use crate::error::OpenError;
use crate::folder::{head, io_error, other_version};
use crate::header::{BadHeader, Cut, FileName, SegmentHeader};
use cortica_env::{Disk, Open};
use std::path::{Path, PathBuf};

/// What a file's name ends with while it is given the name again. A crash may leave it so.
pub(crate) const MOVED: &str = ".moved";

/// Whether a file of the log has this name: only those are written under another one first.
fn is_ours(name: &str) -> bool {
    name == CLOSED || FileName::parse(name).is_some()
}

/// A log file and what its header says.
#[derive(Clone, Debug)]
pub(crate) struct LogFile {
    pub(crate) name: FileName,
    pub(crate) path: PathBuf,
    pub(crate) len: u64,
    pub(crate) header: Result<SegmentHeader, &'static str>,
    /// Where it ends because a compacted file took over what was behind, and what that left of it.
    pub(crate) cut: Option<(u64, Cut)>,
}

/// A file that another one stands for.
#[derive(Clone, Debug)]
pub(crate) struct Superseded {
    pub(crate) path: PathBuf,
    /// The one that stands for it.
    pub(crate) by: FileName,
    /// Whether it is damaged, so that it goes into quarantine.
    pub(crate) damaged: bool,
}

/// The files of a log, sorted by what they are for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Listing {
    /// Those the log is made of, in order, no two with the same start.
    pub(crate) files: Vec<LogFile>,
    /// Those whose place is taken by a better one, although nothing says they may go.
    pub(crate) rejected: Vec<LogFile>,
    pub(crate) superseded: Vec<Superseded>,
    /// Those that were being written.
    pub(crate) unfinished: Vec<PathBuf>,
    /// What is worth telling.
    pub(crate) notes: Vec<String>,
}

impl Listing {
    pub(crate) fn read(disk: &dyn Disk, log_dir: &Path) -> Result<Self, OpenError> {
        let names = match disk.list(log_dir) {
            Ok(names) => names,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(io_error("list the folder", log_dir)(error)),
        };
        let mut listing = Self::default();
        let mut files = Vec::new();
        for text in &names {
            let path = log_dir.join(text);
            if let Some(stem) = text.strip_suffix(MOVED)
                && let Some(name) = FileName::parse(stem)
            {
                // It may have both names.
                if names.iter().any(|other| other == stem) {
                    listing.unfinished.push(path);
                } else {
                    files.push(LogFile::read(disk, name, path)?);
                }
            } else if let Some(name) = FileName::parse(text) {
                files.push(LogFile::read(disk, name, path)?);
            } else if text.strip_suffix(".new").is_some_and(is_ours) {
                listing.unfinished.push(path);
            } else if text.ends_with(".dropped") {
                listing.notes.push(format!(
                    "{} holds the end of a commit that never finished",
                    path.display()
                ));
            } else if text != CLOSED {
                let note = format!("{} is no part of the log", path.display());
                listing.notes.push(note);
            }
        }
        listing.sort(files);
        Ok(listing)
    }

    fn sort(&mut self, mut files: Vec<LogFile>) {
        let cuts: Vec<(u64, Cut)> = files
            .iter()
            .filter_map(|file| Some((file.name.start, file.header.ok()?.cut?)))
            .collect();
        for file in &mut files {
            let its = cuts.iter().filter(|(at, cut)| {
                cut.name == file.name && *at > file.name.start // Of several, the first counts.
            });
            file.cut = its.copied().min_by_key(|(at, _)| *at);
        }
        let standing: Vec<SegmentHeader> = files
            .iter()
            .filter_map(|file| file.header.ok().filter(SegmentHeader::compacted))
            .collect();
        // The best file of a place first: a whole one, of the highest generation.
        files.sort_by_key(|file| {
            let generation = std::cmp::Reverse(file.name.generation);
            (file.name.start, file.header.is_err(), generation)
        });
        for file in files {
            let start = file.name.start;
            let by = standing.iter().find(|by| {
                by.generation > file.name.generation
                    && (by.start..by.end).contains(&start)
                    && file.header.is_ok_and(|header| file.end(&header) <= by.end)
                        | (file.header.is_err() && by.repaired)
            });
            if let Some(by) = by {
                self.superseded.push(Superseded {
                    path: file.path,
                    by: FileName {
                        start: by.start,
                        generation: by.generation,
                    },
                    damaged: by.repaired,
                });
            } else if self
                .files
                .last()
                .is_some_and(|last| last.name.start == start)
            {
                self.rejected.push(file);
            } else {
                self.files.push(file);
            }
        }
    }
}

impl LogFile {
    fn read(disk: &dyn Disk, name: FileName, path: PathBuf) -> Result<Self, OpenError> {
        let file = disk
            .open(&path, Open::Read)
            .map_err(io_error("open", &path))?;
        let len = file.len().map_err(io_error("measure", &path))?;
        let bytes = head(&*file).map_err(io_error("read", &path))?;
        let header = match SegmentHeader::decode(&bytes, name) {
            Ok(header) => Ok(header),
            Err(BadHeader::Bad(why)) => Err(why),
            Err(BadHeader::Version(found)) => return Err(other_version(&path, found)),
        };
        Ok(Self {
            name,
            path,
            len,
            header,
            cut: None,
        })
    }

    /// Log position behind the last byte a compacted file covers; 0 for a plain one.
    fn end(&self, header: &SegmentHeader) -> u64 {
        self.cut
            .filter(|_| header.compacted())
            .map_or(header.end, |(at, _)| at)
    }

    /// The bytes behind what is left of a file that was cut. They go when it is opened for writing.
    pub(crate) fn left_over(&self) -> Option<u64> {
        let (_, cut) = self.cut?;
        self.len.checked_sub(cut.length).filter(|&bytes| bytes > 0)
    }

    /// What a plain file's header gives it room for; for one without a header, what it has.
    pub(crate) fn made_with(&self) -> u64 {
        self.header.map_or(self.len, |header| header.length)
    }
}
