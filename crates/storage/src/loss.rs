//! What a repair found, kept until somebody was told.
//!
//! Written before the repair changes anything, so that one that is interrupted says again what was
//! lost when it is run anew. One line of text for each damaged stretch, between a title and the
//! CRC-32 of all before it.

use crate::error::OpenError;
use crate::folder::{Folder, io_error, replace_small};
use crate::recovery::Damage;
use cortica_env::{Disk, Open};
use std::error::Error as _;
use std::fmt::Write;
use std::io;
use std::path::Path;

/// The file's name in the store's folder.
pub(crate) const REPAIR: &str = "repair";

const TITLE: &str =
    "What a repair of this Cortica store found: offset, bytes, seq, kind, file, why";

/// What is said where the file itself is not whole.
const UNREADABLE: &str = "what an earlier repair found is not readable any more";

pub(crate) const UNTOLD: &str =
    "a repair did not get to the end of its report; repair again to be told what it found";

/// What the last repair found, if nobody said that it was told.
pub(crate) fn untold(disk: &dyn Disk, dir: &Path) -> Result<Option<Vec<Damage>>, OpenError> {
    let path = dir.join(REPAIR);
    let file = match disk.open(&path, Open::Read) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(io_error("open", &path))?,
    };
    let len = file.len().map_err(io_error("measure", &path))?;
    let mut bytes = vec![0; len.min(LENGTH_MAX) as usize];
    let read = file
        .read_at(&mut bytes, 0)
        .map_err(io_error("read", &path))?;
    bytes.truncate(read);
    let found = String::from_utf8(bytes).ok();
    let found = found.and_then(|text| decode(&text, &dir.join("log")));
    Ok(Some(found.unwrap_or_else(|| {
        vec![Damage {
            file: path,
            offset: 0,
            bytes: len,
            why: UNREADABLE.to_owned(),
            seq: None,
            kind: None,
        }]
    })))
}

/// What repairs left in a store's folder.
pub(crate) struct ByRepairs {
    /// Files they moved away.
    pub(crate) quarantined: u64,
    /// What the last one found, if nobody said that it was told.
    pub(crate) untold: Option<Vec<Damage>>,
}

/// Looks at what repairs left. It is not needed to read the log, so where it cannot be looked at,
/// that is a note and in nobody's way.
pub(crate) fn left_by_repairs(
    disk: &dyn Disk,
    folder: &Folder,
    dir: &Path,
    notes: &mut Vec<String>,
) -> ByRepairs {
    let mut note = |error: OpenError| {
        let why = error.source().map(|why| format!(": {why}"));
        let why = why.unwrap_or_default();
        notes.push(format!(
            "{error}{why}; a repair needs this name, so move it away"
        ));
    };
    ByRepairs {
        quarantined: folder.quarantined(disk).map_err(&mut note).unwrap_or(0),
        untold: untold(disk, dir).map_err(&mut note).unwrap_or(None),
    }
}

/// More than this no repair finds; a file that is longer is none of ours.
const LENGTH_MAX: u64 = 64 << 20;

/// Keeps what a repair is about to mend.
pub(crate) fn keep(disk: &dyn Disk, dir: &Path, found: &[Damage]) -> Result<(), OpenError> {
    replace_small(disk, dir, REPAIR, encode(found).as_bytes())
}

/// Takes what was found as told, durably.
pub(crate) fn told(disk: &dyn Disk, dir: &Path) -> Result<(), OpenError> {
    let path = dir.join(REPAIR);
    let remove = || disk.remove(&path);
    let removed = match remove() {
        // Perhaps by an earlier attempt whose sync failed, and another sync would prove nothing.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            keep(disk, dir, &[])?;
            remove()
        }
        removed => removed,
    };
    removed.map_err(io_error("remove", &path))?;
    disk.sync_dir(dir).map_err(io_error("sync the folder", dir))
}

fn encode(found: &[Damage]) -> String {
    let mut text = format!("{TITLE}\n");
    for damage in found {
        let number = |number: Option<u64>| number.map_or("-".to_owned(), |it| it.to_string());
        let (seq, kind) = (number(damage.seq), number(damage.kind.map(u64::from)));
        let file = damage.file.file_name().unwrap_or_default();
        let file = file.to_string_lossy().replace(['\t', '\n'], " ");
        let why = damage.why.replace('\n', " ");
        let (offset, bytes) = (damage.offset, damage.bytes);
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{offset}\t{bytes}\t{seq}\t{kind}\t{file}\t{why}");
    }
    let crc = crc32fast::hash(text.as_bytes());
    let _ = writeln!(text, "{crc:08x}");
    text
}

fn decode(text: &str, log_dir: &Path) -> Option<Vec<Damage>> {
    let body = text.get(..text.len().checked_sub(9)?)?;
    if text.get(body.len()..)? != format!("{:08x}\n", crc32fast::hash(body.as_bytes())) {
        return None;
    }
    let mut lines = body.lines();
    lines.next().filter(|title| *title == TITLE)?;
    let damage = |line: &str| {
        let fields: Vec<&str> = line.splitn(6, '\t').collect();
        let [offset, bytes, seq, kind, file, why] = fields[..] else {
            return None;
        };
        Some(Damage {
            file: log_dir.join(file),
            offset: offset.parse().ok()?,
            bytes: bytes.parse().ok()?,
            why: why.to_owned(),
            seq: seq.parse().ok(),
            kind: kind.parse().ok(),
        })
    };
    lines.map(damage).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic is how a test reports")]
mod tests {
    use super::*;

    fn found() -> Vec<Damage> {
        let damage = |offset, why: &str, seq, kind| Damage {
            file: Path::new("store/log/00000000000000000000.log").to_owned(),
            offset,
            bytes: 80,
            why: why.to_owned(),
            seq,
            kind,
        };
        vec![
            damage(128, "the record's checksum is wrong", Some(7), Some(1)),
            damage(u64::MAX, "a\ttab", None, None),
        ]
    }

    #[test]
    fn what_was_found_comes_back() {
        for found in [found(), Vec::new()] {
            let text = encode(&found);
            assert_eq!(decode(&text, Path::new("store/log")), Some(found));
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let good = encode(&found()).into_bytes();
        let decoded = |bytes: Vec<u8>| decode(&String::from_utf8(bytes).ok()?, Path::new("log"));
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decoded(bad), None, "bit {bit}");
        }
        for len in 0..good.len() {
            assert_eq!(decoded(good[..len].to_vec()), None, "{len} bytes");
        }
    }
}
