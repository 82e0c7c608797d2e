//! What can go wrong, one enum for each thing a caller does.

use std::io;
use std::path::PathBuf;

/// Why a log could not be opened. Nothing on disk was changed, but for a torn tail that may have
/// been cut off before a later step failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// There is nothing at this path; check the spelling, or store something there first.
    #[error("there is no store at {}", path.display())]
    Missing {
        /// The folder that was asked for.
        path: PathBuf,
    },
    /// The store was made, but its log is gone or empty; put the file back from a copy, or remove
    /// the folder to start anew.
    #[error("the store's log {} is missing or empty; put it back from a copy", path.display())]
    LogMissing {
        /// The file that should be there.
        path: PathBuf,
    },
    /// The folder holds other files; choose an empty one, or one that does not exist yet.
    #[error("{} is not a store and not empty: it holds {found:?}", path.display())]
    NotAStore {
        /// The folder that was asked for.
        path: PathBuf,
        /// One of the names in it.
        found: String,
    },
    /// Another process works on the store; wait for it or stop it.
    #[error("the store at {} is in use by {}", path.display(), holder_words(*holder))]
    Locked {
        /// The store's folder.
        path: PathBuf,
        /// The process that holds it, where known.
        holder: Option<u32>,
    },
    /// Written by a later release; use that release, or a newer one.
    #[error(
        "{} has format version {found}, newer than {supported}, the newest this build reads",
        path.display()
    )]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// The version it names.
        found: u32,
        /// The newest version this build reads.
        supported: u32,
    },
    /// Written by a development version that was never released; remove the folder and ingest the
    /// sources again.
    #[error(
        "{} has format version {found}, which was never released; this build reads {supported}. \
         Ingest the sources again into a new store",
        path.display()
    )]
    OlderFormat {
        /// The file.
        path: PathBuf,
        /// The version it names.
        found: u32,
        /// The version this build reads.
        supported: u32,
    },
    /// A snapshot or a restore into this folder did not get to its end; remove the folder.
    #[error(
        "{} holds a snapshot or a restore that did not get to its end; remove the folder",
        path.display()
    )]
    Unfinished {
        /// The folder.
        path: PathBuf,
    },
    /// A snapshot or a restore goes into a folder that is empty or does not exist yet.
    #[error("{} is not empty: it holds {found:?}", path.display())]
    NotEmpty {
        /// The folder that was asked for.
        path: PathBuf,
        /// One of the names in it.
        found: String,
    },
    /// The reader of a whole record refused it; `check` lists all damage.
    #[error("{} is damaged at byte {offset}: {why}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where the damage begins.
        offset: u64,
        /// What is wrong there.
        why: String,
    },
    /// The operating system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

fn holder_words(holder: Option<u32>) -> String {
    holder.map_or_else(
        || "another process".to_owned(),
        |pid| format!("process {pid}"),
    )
}

/// Why a record was not appended. The log is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// Use a kind below 65535.
    #[error("the kind 65535 is the log's own")]
    ReservedKind,
    /// Split what is stored into smaller records.
    #[error("a record of {got} bytes is larger than {max}")]
    TooLarge {
        /// The payload's length.
        got: usize,
        /// The longest payload allowed.
        max: usize,
    },
}

/// Why a commit did not happen. Its records count as not written, though after a crash some of
/// them may turn up whole.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// The write or the sync failed. Nothing more is written until the log is opened again.
    #[error("cannot {action} the log; writing stops until the store is opened again")]
    Io {
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// An earlier commit failed; open the store again.
    #[error("writing stopped after an earlier failure; open the store again")]
    Stopped,
    /// The disk is full. Nothing of this commit is in the log, and later ones may succeed: free
    /// some space, or forget and compact.
    #[error("the disk is full; free some space, or forget something and compact the store")]
    Full,
    /// The log is damaged and therefore open for reading only; `check --repair` moves what is
    /// damaged into quarantine, and then the store can be written again.
    #[error("the store is damaged and open for reading only; repair it with `check --repair`")]
    Damaged,
    /// The log was opened for reading only.
    #[error("the store was opened for reading only")]
    ReadOnly,
}

/// Why a log was not compacted, copied or restored. The log is as it was, unless an error of its
/// own says otherwise.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompactError {
    /// What waits could not be written first.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// Another compaction is under way.
    #[error("another compaction is under way")]
    Busy,
    /// What was rewritten belongs to another log, or to an earlier opening of this one.
    #[error("what was rewritten belongs to another log")]
    OtherLog,
    /// There is not enough space for the new files; those begun are removed.
    #[error("the disk is full; the store is as it was")]
    Full,
    /// A record that should be whole is not; check the store.
    #[error("{} is damaged at byte {offset}: {why}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the damage begins.
        offset: u64,
        /// What is wrong there.
        why: &'static str,
    },
    /// A new record was longer than a record may be.
    #[error("a record of {got} bytes is larger than {max}")]
    TooLarge {
        /// The payload's length.
        got: usize,
        /// The longest payload allowed.
        max: usize,
    },
    /// The target is no place for a copy, or the source is no store that can be copied.
    #[error(transparent)]
    Folder(#[from] OpenError),
    /// The operating system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}
