//! A file system in memory that keeps no more than POSIX promises.

use crate::disk::{Disk, DiskFile, DiskLock, LockError, Open};
use crate::image::{Change, Image, Node};
use crate::seed::Seed;
use crate::sim_file::{SimFile, SimLock, held};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Which of the changes that were never synced reach the disk when the power goes.
///
/// Changes are counted in the order they were made; [`SimDisk::unsynced`] tells how many there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// None of them.
    Nothing,
    /// All of them.
    Everything,
    /// The first n.
    Prefix(usize),
    /// All but the first n: later writes arrived, earlier ones did not.
    Suffix(usize),
    /// The nth alone, counted from 0.
    Only(usize),
    /// About half of them, and of some writes only some 512-byte sectors.
    Seeded(Seed),
}

/// A file system in memory for tests. Clones share it.
///
/// Bytes become durable with [`DiskFile::sync`], names with [`Disk::sync_dir`], nothing else does.
/// A sync that was made to fail loses what it should have written, as Linux does: a later sync
/// does not bring it back. Only the names of folders, which nobody can make again while they are
/// in use, wait for the next one.
#[derive(Clone, Debug, Default)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    pub(crate) live: Image,
    durable: Image,
    pending: Vec<Change>,
    pub(crate) locks: BTreeSet<PathBuf>,
    /// Shared locks, each with the number of its holders.
    pub(crate) shared: BTreeMap<PathBuf, u32>,
    next_file: u64,
    operations: u64,
    fault: Fault,
    reads: u64,
    failing_read: Option<u64>,
    bytes_max: Option<u64>,
    refusing: Option<io::ErrorKind>,
}

/// Operations are numbered from 1.
#[derive(Clone, Copy, Debug, Default)]
enum Fault {
    #[default]
    None,
    Once(u64),
    From(u64),
}

impl SimDisk {
    /// An empty disk.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many operations that change the disk (create, write, grow, cut, sync, rename, remove)
    /// were tried so far.
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// Makes the `n`th operation from now fail, once, with no effect (n = 1: the next).
    pub fn fail_operation(&self, n: u64) {
        let mut state = self.state();
        state.fault = Fault::Once(state.operations + n);
    }

    /// How many operations that only look (list, open what is there, measure, read) were tried so
    /// far.
    pub fn reads(&self) -> u64 {
        self.state().reads
    }

    /// Makes the `n`th operation from now that only looks fail, once (n = 1: the next).
    pub fn fail_read(&self, n: u64) {
        let mut state = self.state();
        state.failing_read = Some(state.reads + n);
    }

    /// Lets `n` more operations through, then fails every one: the power is off.
    pub fn power_off_after(&self, n: u64) {
        let mut state = self.state();
        state.fault = Fault::From(state.operations + n + 1);
    }

    /// Refuses every change from now on with this error, and every opening for writing, as a file system
    /// does that is mounted read-only, or one on which somebody may only read; `None` ends that. Syncs
    /// go through, and locks are given: neither changes anything.
    pub fn refuse_changes(&self, with: Option<io::ErrorKind>) {
        self.state().refusing = with;
    }

    /// Makes the disk this large, in bytes of file contents: what would not fit fails as on a full
    /// disk. A file without a name takes no space.
    pub fn set_capacity(&self, bytes: u64) {
        self.state().bytes_max = Some(bytes);
    }

    /// Bytes of file contents, reserved ones included.
    pub fn used(&self) -> u64 {
        self.state().live.used()
    }

    /// How many changes a power cut could still undo.
    pub fn unsynced(&self) -> usize {
        self.state().pending.len()
    }

    /// The disk as it is found after a power cut now. This one goes on as if nothing happened, so
    /// that many cuts can be tried at one point.
    #[must_use]
    pub fn power_cut(&self, keep: Keep) -> SimDisk {
        let state = self.state();
        let mut image = state.durable.clone();
        let mut rng = match keep {
            Keep::Seeded(seed) => seed.rng(),
            _ => Seed(0).rng(),
        };
        for (at, change) in state.pending.iter().enumerate() {
            let kept = match keep {
                Keep::Nothing => false,
                Keep::Everything => true,
                Keep::Prefix(n) => at < n,
                Keep::Suffix(n) => at >= n,
                Keep::Only(n) => at == n,
                Keep::Seeded(_) => rng.below(2) == 0,
            };
            match change {
                Change::Write {
                    file,
                    offset,
                    bytes,
                } if kept && matches!(keep, Keep::Seeded(_)) && rng.below(3) == 0 => {
                    image.write_torn(*file, *offset, bytes, &mut rng);
                }
                change if kept => image.apply(change),
                _ => {}
            }
        }
        image.drop_unreachable();
        let next_file = state.next_file;
        let after = State {
            live: image.clone(),
            durable: image,
            next_file,
            ..State::default()
        };
        SimDisk {
            state: Arc::new(Mutex::new(after)),
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        // A test that panicked with the lock held left a state that is still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Counts an operation and says whether it may go through.
    pub(crate) fn operate(&mut self) -> io::Result<()> {
        self.sync()?;
        self.refusing.map_or(Ok(()), |kind| Err(kind.into()))
    }

    /// The same for a sync, which may be asked for where nothing may be changed.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        self.operations += 1;
        match self.fault {
            Fault::Once(n) if self.operations == n => Err(io::Error::other("injected disk fault")),
            Fault::From(n) if self.operations >= n => Err(io::Error::other("the power is off")),
            _ => Ok(()),
        }
    }

    /// Counts an operation that only looks and says whether it may go through.
    pub(crate) fn look(&mut self) -> io::Result<()> {
        self.reads += 1;
        match (self.failing_read, self.fault) {
            (Some(n), _) if self.reads == n => Err(io::Error::other("injected disk fault")),
            (_, Fault::From(n)) if self.operations >= n => {
                Err(io::Error::other("the power is off"))
            }
            _ => Ok(()),
        }
    }

    /// Refuses a change that would make the files larger than the disk.
    pub(crate) fn check_space(&self, change: &Change) -> io::Result<()> {
        let (file, end) = match change {
            Change::Write {
                file,
                offset,
                bytes,
            } => (file, offset + bytes.len() as u64),
            Change::Len { file, len } => (file, *len),
            Change::Name { .. } | Change::Moved { .. } => return Ok(()),
        };
        let Some(max) = self.bytes_max else {
            return Ok(());
        };
        let grows = end.saturating_sub(self.live.len(*file));
        if grows > 0 && self.live.used() + grows > max {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    pub(crate) fn change(&mut self, change: Change) {
        self.live.apply(&change);
        self.pending.push(change);
    }

    /// Moves the pending changes that `chosen` picks out of the list, and returns them.
    pub(crate) fn take_pending(&mut self, chosen: impl Fn(&Change) -> bool) -> Vec<Change> {
        let (taken, kept) = std::mem::take(&mut self.pending)
            .into_iter()
            .partition(chosen);
        self.pending = kept;
        taken
    }

    pub(crate) fn make_durable(&mut self, changes: Vec<Change>) {
        for change in changes {
            self.durable.apply(&change);
            if let Change::Moved { to, file, .. } = &change
                && !self.durable.has_moved(to, *file)
            {
                // Its new name is in a folder that was not synced yet.
                self.pending.push(change);
            }
        }
    }
}

fn not_found(path: &Path) -> io::Error {
    io::Error::new(
        io::ErrorKind::NotFound,
        format!("{} does not exist", path.display()),
    )
}

impl Disk for SimDisk {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        let mut missing: Vec<_> = dir
            .ancestors()
            .take_while(|above| !state.live.has_folder(above))
            .collect();
        missing.reverse();
        for path in missing {
            state.operate()?;
            if state.live.names.contains_key(path) {
                return Err(io::Error::new(
                    io::ErrorKind::NotADirectory,
                    "a file is in the way",
                ));
            }
            state.change(Change::Name {
                path: path.to_owned(),
                node: Some(Node::Folder),
            });
        }
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut state = self.state();
        state.look()?;
        if !state.live.has_folder(dir) {
            return Err(not_found(dir));
        }
        let inside = state
            .live
            .names
            .keys()
            .filter(|path| path.parent() == Some(dir));
        Ok(inside
            .filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()))
            .collect())
    }

    fn open(&self, path: &Path, how: Open) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        if how == Open::Write
            && let Some(kind) = state.refusing
        {
            return Err(kind.into());
        }
        let file = match (state.live.names.get(path).copied(), how) {
            (Some(Node::Folder), _) => {
                return Err(io::Error::new(
                    io::ErrorKind::IsADirectory,
                    "a folder, not a file",
                ));
            }
            (Some(Node::File(_)), Open::CreateNew) => {
                return Err(io::Error::new(
                    io::ErrorKind::AlreadyExists,
                    "the file exists",
                ));
            }
            (Some(Node::File(file)), _) => {
                state.look()?;
                file
            }
            (None, Open::CreateNew) => {
                state.operate()?;
                if !path.parent().is_none_or(|dir| state.live.has_folder(dir)) {
                    return Err(not_found(path));
                }
                let file = state.next_file;
                state.next_file += 1;
                state.change(Change::Name {
                    path: path.to_owned(),
                    node: Some(Node::File(file)),
                });
                file
            }
            (None, _) => return Err(not_found(path)),
        };
        Ok(Box::new(SimFile {
            disk: self.clone(),
            file,
            writable: how != Open::Read,
        }))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.operate()?;
        match state.live.names.get(path) {
            Some(Node::File(_)) => {
                state.change(Change::Name {
                    path: path.to_owned(),
                    node: None,
                });
                Ok(())
            }
            _ => Err(not_found(path)),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.operate()?;
        let Some(Node::File(file)) = state.live.names.get(from).copied() else {
            return Err(not_found(from));
        };
        if !to.parent().is_none_or(|dir| state.live.has_folder(dir)) {
            return Err(not_found(to));
        }
        if state.live.names.get(to) == Some(&Node::Folder) {
            return Err(io::Error::new(
                io::ErrorKind::IsADirectory,
                "a folder is in the way",
            ));
        }
        state.change(Change::Name {
            path: to.to_owned(),
            node: Some(Node::File(file)),
        });
        state.change(Change::Moved {
            from: from.to_owned(),
            to: to.to_owned(),
            file,
        });
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        let allowed = state.sync();
        let names = state.take_pending(|change| match change {
            Change::Name { path, .. } | Change::Moved { from: path, .. } => {
                path.parent() == Some(dir)
            }
            Change::Write { .. } | Change::Len { .. } => false,
        });
        if let Err(error) = allowed {
            let folder = Some(Node::Folder);
            let folders = names
                .into_iter()
                .filter(|change| matches!(change, Change::Name { node, .. } if *node == folder));
            state.pending.extend(folders);
            return Err(error);
        }
        state.make_durable(names);
        Ok(())
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn DiskLock>, LockError> {
        let mut state = self.state();
        if state.shared.contains_key(path) || !state.locks.insert(path.to_owned()) {
            return Err(held(path));
        }
        Ok(Box::new(SimLock {
            disk: self.clone(),
            path: path.to_owned(),
            shared: false,
        }))
    }

    fn lock_shared(&self, path: &Path) -> Result<Box<dyn DiskLock>, LockError> {
        let mut state = self.state();
        if state.locks.contains(path) {
            return Err(held(path));
        }
        *state.shared.entry(path.to_owned()).or_default() += 1;
        Ok(Box::new(SimLock {
            disk: self.clone(),
            path: path.to_owned(),
            shared: true,
        }))
    }
}
