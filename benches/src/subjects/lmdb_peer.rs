//! LMDB as a peer of the log.

use std::path::Path;

use anyhow::Result;
use heed::types::Bytes;

use super::log_peers::Store;

/// Address space for the map; files take what is used of it.
const MAP_BYTES: usize = 4 << 30;

/// LMDB: a copy-on-write tree in a map. Keys rise, so they are appended.
struct Lmdb {
    env: heed::Env,
    records: heed::Database<Bytes, Bytes>,
}

#[allow(unsafe_code, reason = "the peer's own interface is unsafe")]
pub(super) fn open(folder: &Path) -> Result<Box<dyn Store>> {
    let mut options = heed::EnvOpenOptions::new();
    options.map_size(MAP_BYTES);
    // SAFETY: the folder is this run's own; nobody else changes its files, or opens them twice.
    let env = unsafe { options.open(folder)? };
    let mut writing = env.write_txn()?;
    let records = env.create_database(&mut writing, None)?;
    writing.commit()?;
    Ok(Box::new(Lmdb { env, records }))
}

impl Store for Lmdb {
    fn commit(&mut self, first: u64, records: &[Vec<u8>]) -> Result<()> {
        let mut writing = self.env.write_txn()?;
        for (number, record) in (first..).zip(records) {
            let (flags, key) = (heed::PutFlags::APPEND, number.to_be_bytes());
            self.records
                .put_with_flags(&mut writing, flags, &key, record)?;
        }
        writing.commit()?; // Syncs: no flag says otherwise.
        Ok(())
    }

    fn get(&mut self, number: u64) -> Result<Option<Vec<u8>>> {
        let reading = self.env.read_txn()?;
        let found = self.records.get(&reading, &number.to_be_bytes())?;
        Ok(found.map(<[u8]>::to_vec))
    }
}
