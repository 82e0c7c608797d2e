//! What a clean close leaves behind: how far the log reaches.
//!
//! ```text
//! offset  size  field
//!      0     8  magic "CORTEND\n"
//!      8     4  format version, now 2
//!     12     4  reserved, zero
//!     16     8  end: log position behind the last byte, all of it durable
//!     24     4  CRC-32 of bytes 0..24
//! ```
//!
//! A log that reaches less far was cut short by somebody. The file stays when the log is opened
//! again and grows: what it says stays true.

use crate::record::{FORMAT_PLAIN, u32_at, u64_at};
use cortica_env::{Disk, Open};
use std::io;
use std::path::Path;

pub(crate) const CLOSED: &str = "closed";
const CLOSED_NEW: &str = "closed.new";
const MAGIC: [u8; 8] = *b"CORTEND\n";
const LEN: usize = 28;

/// What the closing file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Closing {
    /// There is none.
    Absent,
    /// The log reaches at least so far.
    End(u64),
    /// There is one that makes no sense.
    Bad,
}

impl Closing {
    pub(crate) fn read(disk: &dyn Disk, log_dir: &Path) -> io::Result<Self> {
        let file = match disk.open(&log_dir.join(CLOSED), Open::Read) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::Absent),
            Err(error) => return Err(error),
        };
        let mut bytes = [0; LEN + 1];
        let read = file.read_at(&mut bytes, 0)?;
        let whole = read == LEN
            && bytes[..8] == MAGIC
            && u32_at(&bytes, 8) == u32::from(FORMAT_PLAIN)
            && crc32fast::hash(&bytes[..24]) == u32_at(&bytes, 24);
        Ok(if whole {
            Self::End(u64_at(&bytes, 16))
        } else {
            Self::Bad
        })
    }

    /// Replaces what the file says, durably. All before `end` must be durable by now.
    pub(crate) fn write(disk: &dyn Disk, log_dir: &Path, end: u64) -> io::Result<()> {
        let new = log_dir.join(CLOSED_NEW);
        let file = match disk.open(&new, Open::CreateNew) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                disk.open(&new, Open::Write)?
            }
            opened => opened?,
        };
        let mut bytes = [0; LEN];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&u32::from(FORMAT_PLAIN).to_le_bytes());
        bytes[16..24].copy_from_slice(&end.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..24]);
        bytes[24..].copy_from_slice(&crc.to_le_bytes());
        file.set_len(LEN as u64)?;
        file.write_at(&bytes, 0)?;
        file.sync()?;
        disk.rename(&new, &log_dir.join(CLOSED))?;
        disk.sync_dir(log_dir)
    }

    /// The position up to which it proves the log durable.
    pub(crate) fn end(self) -> u64 {
        match self {
            Self::End(end) => end,
            Self::Absent | Self::Bad => 0,
        }
    }
}
