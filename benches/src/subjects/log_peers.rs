//! The log against stores that others use for such a load: records of an embedding's size, a
//! thousand to a commit, each commit durable when it returns.
//!
//! Every store is set up as its own documentation advises for this load, and both sides start a
//! fresh one after the same number of commits.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use cortica_env::RealDisk;
use cortica_storage::{Durability, Entry, Log, OpenMode};
use fjall::{Keyspace, KeyspaceCreateOptions, KvSeparationOptions, PersistMode};
use redb::{ReadableDatabase, TableDefinition};
use tempfile::TempDir;

use super::fixture;
use crate::subject::{Pair, Run, Setup};

/// Records of one commit.
const RECORDS: usize = 1_000;

/// Commits until both sides start anew.
const COMMITS: usize = 16;

/// What a record holds besides the embedding: about what an episode's other fields take.
const FIELDS: usize = 64;

pub(super) fn against_lmdb(setup: &Setup) -> Result<Pair> {
    against(setup, super::lmdb_peer::open)
}

pub(super) fn against_redb(setup: &Setup) -> Result<Pair> {
    against(setup, open_redb)
}

pub(super) fn against_fjall(setup: &Setup) -> Result<Pair> {
    against(setup, open_fjall)
}

/// A store of records by number.
pub(super) trait Store {
    /// Adds records, numbered from `first`, durable when this returns.
    fn commit(&mut self, first: u64, records: &[Vec<u8>]) -> Result<()>;

    /// The record with this number.
    fn get(&mut self, number: u64) -> Result<Option<Vec<u8>>>;
}

type Open = fn(&Path) -> Result<Box<dyn Store>>;

fn against(setup: &Setup, open: Open) -> Result<Pair> {
    let data = fixture::bundled()?;
    let rows = fixture::tiled(&data, RECORDS);
    let record = |row: &[f32]| -> Vec<u8> {
        let values = row.iter().flat_map(|value| value.to_le_bytes());
        values.chain([0x5a; FIELDS]).collect()
    };
    let records: Vec<_> = rows.chunks_exact(data.dimension).map(record).collect();
    for open in [open_log, open] {
        check(fixture::folder(setup)?.path(), open, &records)?;
    }
    Ok(Pair {
        check: Box::new(|| Ok(())), // Done above, in folders that are gone.
        subject: commits(setup, open_log, &records)?,
        baseline: commits(setup, open, &records)?,
    })
}

/// Everything that was committed is there when the store is opened again.
fn check(folder: &Path, open: Open, records: &[Vec<u8>]) -> Result<()> {
    let mut store = open(folder)?;
    store.commit(0, records)?;
    store.commit(RECORDS as u64, records)?;
    drop(store);
    let mut store = open(folder)?;
    for number in [0, 1, RECORDS - 1, RECORDS, 2 * RECORDS - 1] {
        let found = store.get(number as u64)?;
        let want = &records[number % RECORDS];
        ensure!(
            found.as_ref() == Some(want),
            "record {number} is not as it was"
        );
    }
    let beyond = store.get(2 * RECORDS as u64)?;
    ensure!(beyond.is_none(), "a record that nobody wrote");
    Ok(())
}

fn commits(setup: &Setup, open: Open, records: &[Vec<u8>]) -> Result<Run> {
    let folder = fixture::folder(setup)?;
    let records = records.to_vec();
    let mut current: Option<(Box<dyn Store>, TempDir, usize)> = None;
    Ok(Box::new(move |watch| {
        drop(current.take_if(|current| current.2 == COMMITS));
        if current.is_none() {
            let own = TempDir::new_in(folder.path())?;
            current = Some((open(own.path())?, own, 0));
        }
        let (store, _, commits) = current.as_mut().context("no store is open")?;
        let first = *commits * RECORDS;
        *commits += 1;
        watch.time(|| store.commit(first as u64, &records))
    }))
}

/// Ours. Reads by replaying: it is a log.
struct OurLog {
    log: Option<Log>,
    folder: PathBuf,
}

fn open_log(folder: &Path) -> Result<Box<dyn Store>> {
    let folder = folder.join("log");
    let (log, _) = Log::open(
        Arc::new(RealDisk),
        &folder,
        OpenMode::CreateIfMissing,
        |_| Ok(()),
    )?;
    Ok(Box::new(OurLog {
        log: Some(log),
        folder,
    }))
}

impl Store for OurLog {
    fn commit(&mut self, first: u64, records: &[Vec<u8>]) -> Result<()> {
        let log = self.log.as_mut().context("the log is being read")?;
        for (seq, record) in (first..).zip(records) {
            let entry = Entry {
                space: 0,
                kind: 0,
                dimension: 0,
                seq,
            };
            log.append(entry, |payload| payload.extend_from_slice(record))?;
            if log.waiting() >= 1 << 20 {
                log.commit_part(Durability::Durable)?;
            }
        }
        let reached = log.commit(Durability::Durable)?;
        ensure!(
            reached == Durability::Durable,
            "less durable than asked for"
        );
        Ok(())
    }

    fn get(&mut self, number: u64) -> Result<Option<Vec<u8>>> {
        drop(self.log.take());
        let mut found = None;
        let (log, _) = Log::open(
            Arc::new(RealDisk),
            &self.folder,
            OpenMode::MustExist,
            |record| {
                if record.entry.seq == number {
                    found = Some(record.payload.to_vec());
                }
                Ok(())
            },
        )?;
        self.log = Some(log);
        Ok(found)
    }
}

/// redb: a copy-on-write tree in a file.
struct Redb(redb::Database);

const TABLE: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("records");

fn open_redb(folder: &Path) -> Result<Box<dyn Store>> {
    Ok(Box::new(Redb(redb::Database::create(folder.join("redb"))?)))
}

impl Store for Redb {
    fn commit(&mut self, first: u64, records: &[Vec<u8>]) -> Result<()> {
        let mut writing = self.0.begin_write()?;
        writing.set_durability(redb::Durability::Immediate)?;
        {
            let mut table = writing.open_table(TABLE)?;
            for (number, record) in (first..).zip(records) {
                table.insert(number, record.as_slice())?;
            }
        }
        writing.commit()?;
        Ok(())
    }

    fn get(&mut self, number: u64) -> Result<Option<Vec<u8>>> {
        let reading = self.0.begin_read()?;
        let found = reading.open_table(TABLE)?.get(number)?;
        Ok(found.map(|found| found.value().to_vec()))
    }
}

/// fjall: a tree of merged logs, with large values apart from their keys.
struct Fjall {
    database: fjall::Database,
    records: Keyspace,
}

fn open_fjall(folder: &Path) -> Result<Box<dyn Store>> {
    let database = fjall::Database::builder(folder).open()?;
    let apart = || {
        KeyspaceCreateOptions::default().with_kv_separation(Some(KvSeparationOptions::default()))
    };
    let records = database.keyspace("records", apart)?;
    Ok(Box::new(Fjall { database, records }))
}

impl Store for Fjall {
    fn commit(&mut self, first: u64, records: &[Vec<u8>]) -> Result<()> {
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncAll));
        for (number, record) in (first..).zip(records) {
            batch.insert(&self.records, number.to_be_bytes(), record.as_slice());
        }
        batch.commit()?;
        Ok(())
    }

    fn get(&mut self, number: u64) -> Result<Option<Vec<u8>>> {
        Ok(self
            .records
            .get(number.to_be_bytes())?
            .map(|found| found.to_vec()))
    }
}
