//! Where in the log a record lies: a shim until the log says it itself.

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Location {
    pub(crate) position: u64,
    pub(crate) bytes: u32,
}

impl Location {
    pub(crate) fn of(record: &cortica_storage::Record<'_>) -> Self {
        Self {
            position: record.position,
            bytes: (56 + record.payload.len()).next_multiple_of(8) as u32,
        }
    }
}
