//! Errors in words, with what to do next.

use std::fmt;
use std::io::{ErrorKind, Write};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Error;
use cortica::{CommitError, CompactError, LogOpenError, OpenError, UpkeepError};
use cortica_formats::NpyError;

use crate::figures::plain;

/// The command line is well formed but does not make sense; exit code 2.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// Writes the error, its causes and the next step to standard error.
pub(crate) fn report(error: &Error) -> ExitCode {
    // What a file or a store held may be quoted here.
    let mut said = plain(&error.to_string());
    let mut text = format!("error: {said}\n");
    for cause in error.chain().skip(1) {
        let cause = plain(&cause.to_string());
        // Many errors repeat their cause in their own words.
        if !said.contains(&cause) {
            text.extend(["  because: ", &cause, "\n"]);
        }
        said = cause;
    }
    if let Some(next) = next_step(error) {
        text.extend(["  next: ", next, "\n"]);
    }
    // Nobody is left to tell when standard error itself is closed.
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
    ExitCode::from(if error.is::<Usage>() { 2 } else { 1 })
}

/// The first cause that says what helps.
fn next_step(error: &Error) -> Option<&'static str> {
    error.chain().find_map(|cause| {
        if let Some(error) = cause.downcast_ref::<OpenError>() {
            after_open(error)
        } else if let Some(error) = cause.downcast_ref::<NpyError>() {
            after_npy(error)
        } else if let Some(error) = cause.downcast_ref::<UpkeepError>() {
            after_upkeep(error)
        } else if let Some(error) = cause.downcast_ref::<CommitError>() {
            Some(after_commit(error))
        } else if let Some(error) = cause.downcast_ref::<Arc<CommitError>>() {
            Some(after_commit(error))
        } else {
            None
        }
    })
}

/// What helps where the operating system does not let us.
const FORBIDDEN: &str = "see that you may read the folder and all in it, and that it is writable where the \
                         command writes; or copy the store to a folder of your own";

fn is_forbidden(error: &std::io::Error) -> bool {
    use ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
    matches!(error.kind(), PermissionDenied | ReadOnlyFilesystem)
}

fn after_commit(error: &CommitError) -> &'static str {
    match error {
        CommitError::Damaged => {
            "list the damage with `cortica check`, copy the folder, and mend it with \
             `cortica check --repair`"
        }
        CommitError::ReadOnly => "make the folder and all in it writable",
        CommitError::Io { source, .. } if is_forbidden(source) => FORBIDDEN,
        CommitError::Full => {
            "free some space on the disk, or forget something and run `cortica compact`; then run \
             the same command again"
        }
        _ => "see that the disk has space and can be written, then run the same command again",
    }
}

fn after_upkeep(error: &UpkeepError) -> Option<&'static str> {
    Some(match error {
        UpkeepError::Log(CompactError::Commit(error)) => after_commit(error),
        UpkeepError::Log(CompactError::Io { source, .. }) if is_forbidden(source) => FORBIDDEN,
        UpkeepError::Log(CompactError::Full) => {
            "free some space on the disk, then run the same command again"
        }
        UpkeepError::Damaged { .. } | UpkeepError::Log(CompactError::Damaged { .. }) => {
            "list all damage with `cortica check`; nothing was made of it"
        }
        UpkeepError::Open(error) => return after_open(error),
        UpkeepError::Log(CompactError::Folder(error)) => return after_log_open(error),
        _ => return None,
    })
}

fn after_open(error: &OpenError) -> Option<&'static str> {
    match error {
        OpenError::Log(error) => after_log_open(error),
        OpenError::SpaceMismatch { .. } => Some(
            "nothing was stored; give --store another folder, or vectors that belong to this one",
        ),
        OpenError::NoMemory(_) => Some(
            "free some memory, or take a machine with more of it; the store is whole and was left as it is",
        ),
        _ => None,
    }
}

fn after_log_open(error: &LogOpenError) -> Option<&'static str> {
    Some(match error {
        LogOpenError::Missing { .. } => {
            "check the spelling, or make the store with `cortica ingest`"
        }
        LogOpenError::LogMissing { .. } => {
            "put the file back from a copy; only if there is none, remove the folder to start anew"
        }
        LogOpenError::Io { source, .. } if source.kind() == ErrorKind::StorageFull => {
            "free some space on the disk, then run the same command again"
        }
        LogOpenError::NotAStore { .. } | LogOpenError::NotEmpty { .. } => {
            "choose an empty folder, or one that does not exist yet; this one was left as it is"
        }
        LogOpenError::Locked { .. } => "wait until it is done with it, or stop it",
        LogOpenError::NewerFormat { .. } => {
            "use the release that wrote it, or a newer one; the store was left as it is"
        }
        LogOpenError::Unfinished { .. } => {
            "remove the folder, then make the snapshot, or restore it, again"
        }
        LogOpenError::Corrupt { .. } => {
            "copy the folder, then list all damage with `cortica check --store DIR`"
        }
        LogOpenError::Io { source, .. } if is_forbidden(source) => FORBIDDEN,
        LogOpenError::Io { source, .. } if source.kind() == ErrorKind::IsADirectory => {
            "move that folder out of the store: it is none of its own, and has the name of a file it needs"
        }
        _ => return None,
    })
}

fn after_npy(error: &NpyError) -> Option<&'static str> {
    Some(match error {
        NpyError::Missing { .. } => "check the spelling",
        NpyError::Truncated { .. } | NpyError::Trailing { .. } => {
            "write or copy the file again; nothing of it was used"
        }
        NpyError::Dtype { .. } | NpyError::BigEndian { .. } => {
            "save it with numpy.save(FILE, array.astype('<f4'))"
        }
        NpyError::NotNpy => "save it with numpy.save(FILE, array)",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    fn next_after(kind: ErrorKind) -> Option<&'static str> {
        let refused = LogOpenError::Io {
            action: "lock the folder",
            path: "store".into(),
            source: io::Error::from(kind),
        };
        next_step(&Error::new(OpenError::from(refused)))
    }

    #[test]
    fn a_folder_without_permission_has_a_next_step() {
        for kind in [ErrorKind::PermissionDenied, ErrorKind::ReadOnlyFilesystem] {
            let next = next_after(kind).unwrap();
            assert!(next.contains("writable") && next.contains("copy"), "{next}");
        }
        assert_eq!(next_after(ErrorKind::InvalidData), None);
    }
}
