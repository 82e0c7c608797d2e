//! What kind of error an answer of a batch is, where several parts meet.

use cortica::{ErrorKind, ItemError, StoreError, VectorError};

#[test]
fn want_of_memory_is_told_from_bad_input() {
    let kind = |error| ItemError::from(StoreError::Embedding(error)).kind();
    let none = VectorError::OutOfMemory { bytes: 1 };
    assert_eq!(kind(none), ErrorKind::NoMemory);
    assert_eq!(kind(VectorError::ZeroVector), ErrorKind::Invalid);
    assert_eq!(ErrorKind::NoMemory.name(), "no_memory");
}
