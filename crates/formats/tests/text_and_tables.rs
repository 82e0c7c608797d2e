//! Tables of `u32`, tab-separated text and JSON Lines: round trips and refusals.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a panic is how a test reports"
)]

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufReader, Read};

use cortica_formats::jsonl::{self, JsonlError};
use cortica_formats::{TableError, TsvError, U32Table, read_tsv, read_tsv_from};
use proptest::prelude::*;

#[test]
fn tables_of_broken_length_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("edges.u32");
    for length in 0..40_usize {
        let bytes = vec![1; length];
        fs::write(&path, &bytes).unwrap();
        for table in [U32Table::read(&path, 3), U32Table::from_bytes(&bytes, 3)] {
            match table {
                Ok(table) => assert_eq!(table.rows() * 12, length),
                Err(TableError::Ragged { found, row_bytes }) => {
                    assert_eq!((found, row_bytes), (length as u64, 12));
                    assert!(!length.is_multiple_of(12));
                }
                Err(other) => panic!("{other:?}"),
            }
        }
    }
    let ragged = U32Table::new(2, vec![1, 2, 3]).unwrap_err();
    assert!(matches!(
        ragged,
        TableError::Ragged {
            found: 12,
            row_bytes: 8
        }
    ));
    for table in [U32Table::from_bytes(&[], 0), U32Table::new(0, vec![])] {
        assert!(matches!(table, Err(TableError::NoColumns)));
    }
    // A row wider than a file can be is no division by zero and no overflow.
    assert!(U32Table::from_bytes(&[0; 4], usize::MAX).is_err());
}

#[test]
fn missing_tables_and_texts_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nothing");
    assert!(matches!(U32Table::read(&path, 1), Err(TableError::Missing { path: p }) if p == path));
    assert!(matches!(read_tsv(&path, 1), Err(TsvError::Missing { path: p }) if p == path));
    let folder = folder.path();
    assert!(matches!(
        U32Table::read(folder, 1),
        Err(TableError::NotAFile { .. })
    ));
    assert!(matches!(
        read_tsv(folder, 1),
        Err(TsvError::NotAFile { .. })
    ));
}

#[test]
fn text_is_split_and_counted() {
    let rows = read_tsv_from(&b"0\ta b\t\r\n1\t\xc3\xa9\tx\ty"[..], 3).unwrap();
    assert_eq!(rows, [vec!["0", "a b", ""], vec!["1", "é", "x", "y"]]);
    assert!(read_tsv_from(&b""[..], 3).unwrap().is_empty());

    let error = read_tsv_from(&b"a\tb\na\n"[..], 2).unwrap_err();
    assert!(matches!(
        error,
        TsvError::Columns {
            line: 2,
            got: 1,
            min: 2
        }
    ));
    let error = read_tsv_from(&b"a\n\nb\xff\n"[..], 1).unwrap_err();
    assert!(matches!(error, TsvError::NotUtf8 { line: 3 }));
    let mut long = b"a\n".to_vec();
    long.resize(2 + (1 << 20), b'x');
    assert_eq!(read_tsv_from(&long[..], 1).unwrap().len(), 2);
    long.push(b'x');
    let error = read_tsv_from(&long[..], 1).unwrap_err();
    assert!(matches!(
        error,
        TsvError::LineTooLong {
            line: 2,
            max: 1_048_576
        }
    ));
}

fn read(text: &[u8], max: usize) -> Vec<Result<Vec<u32>, JsonlError>> {
    jsonl::Reader::with_line_bytes_max(text, max).collect()
}

#[test]
fn a_bad_line_is_named_and_the_next_is_read() {
    let lines = read(b"[1]\n\n{nonsense\r\n[2]\r\n[-1]\n  \n[3]", 100);
    assert_eq!(lines.len(), 5);
    assert_eq!(lines[0].as_ref().unwrap(), &[1]);
    match &lines[1] {
        Err(JsonlError::Invalid { line: 3, why }) => {
            assert!(why.contains("column"), "{why}");
            assert!(!why.contains("line 1"), "{why}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(lines[2].as_ref().unwrap(), &[2]);
    assert_eq!(lines[3].as_ref().unwrap_err().line(), Some(5));
    assert_eq!(lines[4].as_ref().unwrap(), &[3]);
}

#[test]
fn long_lines_are_refused_at_the_very_byte() {
    for end in ["\n", "\r\n", ""] {
        let text = format!("[1]\n[22222]{end}");
        let lines = read(text.as_bytes(), 7);
        assert_eq!(lines[1].as_ref().unwrap(), &[22222], "{end:?}");
        let lines = read(text.as_bytes(), 6);
        match &lines[1] {
            Err(JsonlError::LineTooLong { line: 2, max: 6 }) => {}
            other => panic!("{end:?}: {other:?}"),
        }
    }
    let lines = read(b"[111111111111111111111111111]\n[2]\n", 6);
    assert_eq!(lines[0].as_ref().unwrap_err().line(), Some(1));
    assert_eq!(lines[1].as_ref().unwrap(), &[2]);
}

/// A line of 20 MiB through the real bound, then one that is read.
#[test]
fn the_real_bound_is_16_mib() {
    let endless = io::repeat(b'[').take(20 << 20).chain(&b"\n[2]\n"[..]);
    let mut lines = jsonl::Reader::<_, Vec<u32>>::new(BufReader::new(endless));
    match lines.next() {
        Some(Err(JsonlError::LineTooLong { line: 1, max })) => assert_eq!(max, 16 << 20),
        other => panic!("{other:?}"),
    }
    assert_eq!(lines.next().unwrap().unwrap(), [2]);
    assert_eq!(lines.line(), 2);
}

/// Nesting that would overflow the stack of a recursive parser.
#[test]
fn deep_nesting_is_an_error() {
    let text = "[".repeat(1 << 20);
    let value: Vec<Result<serde_json::Value, _>> = jsonl::Reader::new(text.as_bytes()).collect();
    assert!(matches!(value[0], Err(JsonlError::Invalid { line: 1, .. })));
}

struct Broken;
impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::Other.into())
    }
}

#[test]
fn a_broken_reader_is_told_once() {
    let mut lines = jsonl::Reader::<_, u32>::new(BufReader::new(Broken));
    assert!(matches!(lines.next(), Some(Err(JsonlError::Io(_)))));
    assert!(lines.next().is_none());
}

#[test]
fn what_cannot_be_written_leaves_no_trace() {
    let mut out = jsonl::Writer::new(Vec::new());
    out.write(&1).unwrap();
    let error = out.write(&BTreeMap::from([((1, 2), 3)])).unwrap_err();
    assert!(matches!(error, JsonlError::NotJson { line: 2, .. }));
    let error = out.write(&"x".repeat(16 << 20)).unwrap_err();
    assert!(matches!(error, JsonlError::LineTooLong { line: 2, .. }));
    out.write(&2).unwrap();
    assert_eq!(out.finish().unwrap(), b"1\n2\n");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn tables_round_trip(columns in 1_usize..6, rows in 0_usize..50, seed: u32) {
        let values: Vec<u32> = (0..rows * columns)
            .map(|i| (i as u32).wrapping_mul(2_654_435_761) ^ seed)
            .collect();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.u32");
        let table = U32Table::new(columns, values.clone()).unwrap();
        table.write(&path).unwrap();
        let back = U32Table::read(&path, columns).unwrap();
        prop_assert_eq!(&back, &table);
        let rows: Vec<&[u32]> = values.chunks(columns).collect();
        prop_assert_eq!(back.iter().collect::<Vec<_>>(), rows.clone());
        prop_assert!((0..back.rows()).all(|r| back.row(r) == rows[r]));
    }

    #[test]
    fn json_lines_round_trip(values: Vec<(String, Option<i64>)>) {
        let mut out = jsonl::Writer::new(Vec::new());
        for value in &values {
            out.write(value).unwrap();
        }
        let text = out.finish().unwrap();
        let back: Result<Vec<(String, Option<i64>)>, _> = jsonl::Reader::new(&text[..]).collect();
        prop_assert_eq!(back.unwrap(), values);
    }

    /// However the reader hands the bytes over, the lines are the same.
    #[test]
    fn small_buffers_change_nothing(text in "[0-9\\[\\]\r\n ]{0,60}", room in 1_usize..8) {
        let show = |r: Result<Vec<u32>, JsonlError>| format!("{r:?}");
        let whole: Vec<_> = read(text.as_bytes(), 9).into_iter().map(show).collect();
        let pieces = BufReader::with_capacity(room, text.as_bytes());
        let pieces: Vec<_> = jsonl::Reader::with_line_bytes_max(pieces, 9).map(show).collect();
        prop_assert_eq!(whole, pieces);
    }
}
