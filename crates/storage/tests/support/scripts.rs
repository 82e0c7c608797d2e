//! What happens to a store until the disaster: all that a log can do, in a fixed order.

use super::{BACK, COPY, DIR, Ended, Ledger, OPTIONS};
use cortica_env::{Disk, DiskFile, Open};
use cortica_storage::{
    CompactError, Durability, Effort, Log, LogOptions, OpenMode, repair, restore,
};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

/// Goes on until the end or the first failure.
pub type Script = fn(&Arc<dyn Disk>, &mut Ledger) -> Result<(), Ended>;

fn open(disk: &Arc<dyn Disk>, ledger: &mut Ledger) -> Result<Log, Ended> {
    let mut seen = BTreeSet::new();
    let opened = Log::open(disk.clone(), Path::new(DIR), OPTIONS, |record| {
        seen.insert(record.entry.seq);
        Ok(())
    });
    let (log, _) = opened.map_err(|_| Ended)?;
    // What was never acknowledged as durable may have gone when the log was dropped.
    let open_to = ledger.durable..ledger.submitted;
    ledger
        .dead
        .extend(open_to.filter(|seq| !seen.contains(seq)));
    Ok(log)
}

/// Commits of all sizes and durabilities, over several files; the store is closed, reopened and
/// dropped on the way.
pub fn sessions(disk: &Arc<dyn Disk>, ledger: &mut Ledger) -> Result<(), Ended> {
    for session in 0..3 {
        let mut log = open(disk, ledger)?;
        for commit in 0..7_u64 {
            for _ in 0..=commit % 3 {
                ledger.append(&mut log);
                if commit == 5 {
                    log.commit_part(Durability::Durable).map_err(|_| Ended)?;
                }
            }
            let durability = match commit % 4 {
                1 => Durability::Buffered,
                2 => Durability::None,
                _ => Durability::Durable,
            };
            ledger.commit(&mut log, durability)?;
        }
        if session == 0 {
            log.close().map_err(|_| Ended)?;
            ledger.durable = ledger.submitted;
        }
    }
    Ok(())
}

/// Frames of all sizes, alone and among other records, within a file and over several, handed over in
/// parts around them; compacted, dropped and opened again.
pub fn frames(disk: &Arc<dyn Disk>, ledger: &mut Ledger) -> Result<(), Ended> {
    for session in 0..2 {
        let mut log = open(disk, ledger)?;
        for (at, records) in [1, 2, 3, 12, 2, 5].into_iter().enumerate() {
            if at % 2 == 0 {
                ledger.append(&mut log);
                log.commit_part(Durability::Durable).map_err(|_| Ended)?;
            }
            ledger.append_frame(&mut log, records);
            if at % 3 == 1 {
                ledger.append_frame(&mut log, 2);
                log.commit_part(Durability::Durable).map_err(|_| Ended)?;
                ledger.append(&mut log);
            }
            let durability = match at % 3 {
                2 => Durability::Buffered,
                _ => Durability::Durable,
            };
            ledger.commit(&mut log, durability)?;
        }
        ledger.commit(&mut log, Durability::Durable)?;
        for seq in ledger.live() {
            if seq % 3 == 0 && ledger.locations.contains_key(&seq) {
                ledger.retire(&mut log, seq);
            }
        }
        ledger.compact(&mut log, Effort::Worthwhile)?;
        ledger.append_frame(&mut log, 3);
        ledger.commit(&mut log, Durability::Durable)?;
        if session == 0 {
            log.close().map_err(|_| Ended)?;
            ledger.durable = ledger.submitted;
        }
    }
    Ok(())
}

/// A large commit over several files at once, and large ones in parts.
pub fn large(disk: &Arc<dyn Disk>, ledger: &mut Ledger) -> Result<(), Ended> {
    let mut log = open(disk, ledger)?;
    for durability in [Durability::Buffered, Durability::Durable] {
        for _ in 0..16 {
            ledger.append(&mut log);
        }
        ledger.commit(&mut log, durability)?;
        for at in 0..16 {
            ledger.append(&mut log);
            if at % 4 == 3 {
                log.commit_part(durability).map_err(|_| Ended)?;
            }
        }
        ledger.commit(&mut log, durability)?;
    }
    Ok(())
}

/// Records that go, by small steps and by large ones.
pub fn compactions(disk: &Arc<dyn Disk>, ledger: &mut Ledger) -> Result<(), Ended> {
    for round in 0..2_u64 {
        let mut log = open(disk, ledger)?;
        for at in 0..20 {
            ledger.append(&mut log);
            if at % 3 == 0 {
                let durability = [Durability::Durable, Durability::Buffered][(at / 3) % 2];
                ledger.commit(&mut log, durability)?;
            }
        }
        ledger.commit(&mut log, Durability::Buffered)?;
        for seq in ledger.live() {
            // A record that is retired must be so by something durable, as the plan makes it.
            if seq % 5 > round && ledger.locations.contains_key(&seq) {
                ledger.retire(&mut log, seq);
            }
        }
        ledger.compact(&mut log, Effort::Worthwhile)?;
        ledger.append(&mut log);
        ledger.commit(&mut log, Durability::Durable)?;
        ledger.compact(&mut log, Effort::Everything)?;
        ledger.append(&mut log);
        ledger.commit(&mut log, Durability::Durable)?;
        if round == 0 {
            log.close().map_err(|_| Ended)?;
        }
    }
    Ok(())
}

/// How large the disk of [`full`] is.
pub const FULL_BYTES: u64 = 44 << 10;

/// Somebody else takes what the store keeps back, and all the rest but a little.
fn ballast(disk: &Arc<dyn Disk>) -> std::io::Result<Box<dyn DiskFile>> {
    let _ = disk.remove(&Path::new(DIR).join("reserve"));
    let path = Path::new(DIR).with_file_name("ballast");
    let how = [Open::Write, Open::CreateNew];
    let file = how
        .map(|how| disk.open(&path, how))
        .into_iter()
        .find(Result::is_ok);
    let file = file.unwrap_or_else(|| disk.open(&path, Open::Write))?;
    let mut bytes = 0;
    while file.allocate(bytes + 256).is_ok() {
        bytes += 256;
    }
    file.set_len(bytes.saturating_sub(1_300))?;
    Ok(file)
}

/// A disk that fills up with records that are wanted, so that no file can be rewritten as a whole:
/// each goes from its end, piece by piece. For a disk of [`FULL_BYTES`].
pub fn full(disk: &Arc<dyn Disk>, ledger: &mut Ledger) -> Result<(), Ended> {
    let options = LogOptions {
        mode: OpenMode::CreateIfMissing,
        segment_bytes: 16 << 10,
    };
    for round in 0..2 {
        let (mut log, _) =
            Log::open(disk.clone(), Path::new(DIR), options, |_| Ok(())).map_err(|_| Ended)?;
        for batch in [9, 1] {
            while ledger.fits(&mut log, batch)? {}
        }
        for seq in ledger.live() {
            if seq % 3 == round {
                ledger.retire(&mut log, seq);
            }
        }
        let ballast = ballast(disk).map_err(|_| Ended)?;
        let mut full = 0;
        let was = log.stats();
        loop {
            let plan = match log.plan_compaction(Effort::Everything) {
                Ok(Some(plan)) => plan,
                Ok(None) => break,
                Err(_) => return Err(Ended),
            };
            ledger.durable = ledger.submitted;
            let files = log.stats().segments;
            match plan.rewrite(|record| ledger.keep(record)) {
                Err(CompactError::Full) if full < 2 => full += 1,
                Err(_) => return Err(Ended),
                Ok(rewritten) => {
                    log.install(rewritten).map_err(|_| Ended)?;
                    full = 0;
                    ledger.pieces += u64::from(log.stats().segments > files);
                }
            }
        }
        // Dead bytes are gone, though files that had none were left as they were.
        let is = log.stats();
        assert!(is.dead_bytes == 0 && is.file_bytes < was.file_bytes);
        assert!(ledger.fits(&mut log, 1)?, "there is no room for anything");
        ballast.set_len(0).map_err(|_| Ended)?;
        if round == 0 {
            log.close().map_err(|_| Ended)?;
        }
    }
    Ok(())
}

/// A snapshot while the log goes on and is compacted, and a restore of it.
pub fn copies(disk: &Arc<dyn Disk>, ledger: &mut Ledger) -> Result<(), Ended> {
    let mut log = open(disk, ledger)?;
    for _ in 0..12 {
        ledger.append(&mut log);
    }
    ledger.commit(&mut log, Durability::Buffered)?;
    for seq in [1, 4, 5, 9] {
        ledger.retire(&mut log, seq);
    }
    let snapshot = log.plan_snapshot().map_err(|_| Ended)?;
    ledger.durable = ledger.submitted;
    let held = ledger.live();
    ledger.append(&mut log);
    ledger.commit(&mut log, Durability::Durable)?;
    ledger.compact(&mut log, Effort::Everything)?;
    ledger.copies.push((COPY, held.clone(), false));
    snapshot
        .write(disk, Path::new(COPY), |record| ledger.keep(record))
        .map_err(|_| Ended)?;
    ledger.copies[0].2 = true;
    drop(snapshot);
    ledger.append(&mut log);
    ledger.commit(&mut log, Durability::Durable)?;
    ledger.copies.push((BACK, held, false));
    restore(disk, Path::new(COPY), Path::new(BACK)).map_err(|_| Ended)?;
    ledger.copies[1].2 = true;
    Ok(())
}

/// A closed store of several files, one of them compacted.
pub fn closed(disk: &Arc<dyn Disk>, ledger: &mut Ledger) -> Result<(), Ended> {
    let mut log = open(disk, ledger)?;
    for _ in 0..18 {
        ledger.append(&mut log);
    }
    ledger.commit(&mut log, Durability::Durable)?;
    for seq in [0, 2, 3] {
        ledger.retire(&mut log, seq);
    }
    ledger.compact(&mut log, Effort::Everything)?;
    for _ in 0..18 {
        ledger.append(&mut log);
        ledger.commit(&mut log, Durability::Durable)?;
    }
    log.close().map_err(|_| Ended)?;
    ledger.durable = ledger.submitted;
    Ok(())
}

/// Flips a byte in the middle of each of the store's files, under the nose of any sync.
pub fn damage(disk: &Arc<dyn Disk>) {
    let dir = Path::new(DIR).join("log");
    for name in disk.list(&dir).unwrap() {
        if Path::new(&name).extension().is_some_and(|end| end == "log") {
            let file = disk.open(&dir.join(name), Open::Write).unwrap();
            let at = file.len().unwrap() / 2;
            let mut byte = [0];
            file.read_at(&mut byte, at).unwrap();
            file.write_at(&[byte[0] ^ 4], at).unwrap();
            file.sync().unwrap();
        }
    }
}

/// A repair, and writing on.
pub fn repaired(disk: &Arc<dyn Disk>, ledger: &mut Ledger) -> Result<(), Ended> {
    repair(disk, Path::new(DIR), |_| Ok(())).map_err(|_| Ended)?;
    let mut log = open(disk, ledger)?;
    ledger.append(&mut log);
    ledger.commit(&mut log, Durability::Durable)?;
    log.close().map_err(|_| Ended)?;
    Ok(())
}
