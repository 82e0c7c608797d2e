//! Has the disk fetch a log file while the one before it is read.

use crate::listing::LogFile;
use cortica_env::{Disk, Open};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, Scope};

/// Files of fewer bytes are read before they could be fetched.
const FILE_MIN: u64 = 1 << 20;

/// What the disk is asked for at a time: systems take no notice of more than this by default.
const PIECE: u64 = 128 << 10;

/// Asks for files beside the thread that reads them. It only asks: what is wrong with a file is
/// found by whoever reads it.
#[derive(Debug)]
pub(crate) struct Fetcher<'a>(SyncSender<&'a LogFile>);

impl<'a> Fetcher<'a> {
    /// `None` where it is not worth it, or the system has no thread to give.
    pub(crate) fn start<'scope>(
        scope: &'scope Scope<'scope, 'a>,
        disk: &'a dyn Disk,
        files: &[LogFile],
    ) -> Option<Self> {
        let large = files.iter().filter(|file| file.len >= FILE_MIN);
        if large.count() < 2 {
            return None;
        }
        let (ask, asked) = sync_channel(1);
        let named = thread::Builder::new().name("cortica-fetch".to_owned());
        let fetching = named.spawn_scoped(scope, move || fetch(disk, &asked));
        fetching.ok().map(|_| Self(ask))
    }

    /// Asks for a file. Does not wait: one that comes too soon is left out.
    pub(crate) fn ask(&self, file: &'a LogFile) {
        if file.len >= FILE_MIN {
            let _ = self.0.try_send(file);
        }
    }
}

fn fetch(disk: &dyn Disk, asked: &Receiver<&LogFile>) {
    for LogFile { path, len, .. } in asked {
        let path: &Path = path;
        let Ok(file) = disk.open(path, Open::Read) else {
            continue;
        };
        for from in (0..*len).step_by(PIECE as usize) {
            file.start_read(from, PIECE.min(len - from));
        }
    }
}
