//! What is read back is what was written, and what is wrong is refused by name.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a panic is how a test reports"
)]

use std::fs;
use std::io::ErrorKind;

use cortica_formats::{
    Dtype, NpyError, NpyFile, NpyWriteError, read_scaled_rows, write_npy_f16, write_npy_f32,
    write_npy_i8,
};
use proptest::prelude::*;

/// An npy file, version 1.0, whose header is `dictionary`.
fn npy(dictionary: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((dictionary.len() as u16).to_le_bytes());
    bytes.extend(dictionary.as_bytes());
    bytes.extend(data);
    bytes
}

fn header(descr: &str, fortran: &str, shape: &str) -> String {
    format!("{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}\n")
}

fn read_all(bytes: Vec<u8>) -> Result<Vec<f32>, NpyError> {
    let mut file = NpyFile::from_bytes(bytes)?;
    let mut out = Vec::new();
    file.read_rows(0, file.rows(), &mut out)?;
    Ok(out)
}

#[track_caller]
fn refused(bytes: Vec<u8>, want: &str) {
    let error = read_all(bytes).expect_err("must be refused");
    let name = format!("{error:?}");
    assert!(name.starts_with(want), "{name}, wanted {want}: {error}");
}

#[track_caller]
fn refused_header(dictionary: &str, want: &str) {
    refused(npy(dictionary, &[0; 24]), want);
}

/// 2 x 3 values as `<f4`.
fn small() -> Vec<u8> {
    let data: Vec<u8> = (1..=6).flat_map(|v| (v as f32).to_le_bytes()).collect();
    npy(&header("'<f4'", "False", "(2, 3)"), &data)
}

#[test]
fn truncated_at_every_offset() {
    let whole = small();
    assert_eq!(
        read_all(whole.clone()).unwrap(),
        [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut.npy");
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        for result in [
            NpyFile::open(&path),
            NpyFile::from_bytes(whole[..length].to_vec()),
        ] {
            match result.map(|_| ()) {
                Err(NpyError::Truncated { expected, found }) => {
                    assert_eq!(found, length as u64);
                    assert!(expected > found && expected <= whole.len() as u64);
                }
                other => panic!("cut at {length}: {other:?}"),
            }
        }
    }
}

#[test]
fn bytes_after_the_last_row_are_refused() {
    let mut bytes = small();
    bytes.push(0);
    refused(bytes, "Trailing");
}

#[test]
fn other_types_are_refused_by_name() {
    for descr in ["'<f8'", "'<i4'", "'|u1'", "'|b1'", "'|O'", "'<U7'", "''"] {
        refused_header(&header(descr, "False", "(2, 3)"), "Dtype");
    }
    refused_header(&header("[('a', '<f4')]", "False", "(2, 3)"), "Dtype");
    for descr in ["'>f4'", "'>f2'"] {
        refused_header(&header(descr, "False", "(2, 3)"), "BigEndian");
    }
    // An error message is no place for a hostile header.
    let long = header(&format!("'{}'", "x".repeat(5000)), "False", "(2, 3)");
    let message = read_all(npy(&long, &[])).unwrap_err().to_string();
    assert!(message.len() < 200, "{message}");
}

#[test]
fn other_layouts_are_refused_by_name() {
    refused_header(&header("'<f4'", "True", "(2, 3)"), "FortranOrder");
    refused_header(&header("'<f4'", "False", "()"), "Dimensions { found: 0 }");
    refused_header(&header("'<f4'", "False", "(6,)"), "Dimensions { found: 1 }");
    refused_header(
        &header("'<f4'", "False", "(1, 2, 3)"),
        "Dimensions { found: 3 }",
    );
    refused_header(&header("'<f4'", "False", "(2, 0)"), "NoColumns");
}

/// Whoever saved the file knows the entries of its header by numpy's own words.
#[test]
fn refusals_name_the_header_entry() {
    let message = |descr, fortran_order, shape| {
        let bytes = npy(&header(descr, fortran_order, shape), &[0; 24]);
        read_all(bytes).unwrap_err().to_string()
    };
    for (message, want) in [
        (
            message("'<i8'", "False", "(2, 3)"),
            "descr: got values of type '<i8', expected '<f4'",
        ),
        (
            message("[('a', '<f4')]", "False", "(2, 3)"),
            "descr: got values of type a structure",
        ),
        (
            message("'>f4'", "False", "(2, 3)"),
            "descr: got big-endian values '>f4', expected ",
        ),
        (
            message("'<f4'", "True", "(2, 3)"),
            "fortran_order: got True, expected False",
        ),
        (
            message("'<f4'", "False", "(6,)"),
            "shape: got a 1-dimensional array, expected rows",
        ),
        (
            message("'<f4'", "False", "(2, 0)"),
            "shape: got 2 rows of 0 columns, expected ",
        ),
        (
            message("'<f4'", "False", "(1152921504606846976, 768)"),
            "shape: got 1152921504606846976 x 768, expected no more",
        ),
    ] {
        assert!(message.starts_with(want), "{message}");
    }
}

/// No claim costs memory: each of these would need far more than the machine has.
#[test]
fn claims_are_held_against_the_file() {
    for rows in ["1000000", "1152921504606846976", "18446744073709551615"] {
        let result = read_all(npy(
            &header("'<f4'", "False", &format!("({rows}, 768)")),
            &[0; 24],
        ));
        match (rows.len(), result) {
            (7, Err(NpyError::Truncated { expected, .. })) => {
                assert!(expected > 1_000_000 * 768 * 4);
            }
            (_, Err(NpyError::Oversized { rows: got, columns })) => {
                assert_eq!((got.to_string().as_str(), columns), (rows, 768));
            }
            (_, other) => panic!("{rows} rows: {other:?}"),
        }
    }
    // 2^60 rows of no columns would need no bytes at all.
    let none = header("'<f4'", "False", "(1152921504606846976, 0)");
    refused(npy(&none, &[]), "NoColumns");
    // Products that wrap around to a small number: 2^32 x 2^32, and 2^62 x 4 bytes.
    for shape in ["(4294967296, 4294967296)", "(4611686018427387904, 1)"] {
        refused(npy(&header("'<f4'", "False", shape), &[]), "Oversized");
    }
    let huge = header("'<f4'", "False", "(18446744073709551616, 1)");
    refused_header(&huge, "Header");
}

#[test]
fn the_length_field_is_not_trusted() {
    let mut bytes = b"\x93NUMPY\x02\x00\xff\xff\xff\xff".to_vec();
    bytes.extend([b' '; 100]);
    refused(bytes.clone(), "HeaderTooLarge { claimed: 4294967295");
    bytes[8..12].copy_from_slice(&60_000_u32.to_le_bytes());
    refused(bytes.clone(), "Truncated { expected: 60012, found: 112 }");
    bytes[8..12].copy_from_slice(&0_u32.to_le_bytes());
    refused(bytes.clone(), "Header { at: 0");
    bytes[6] = 9;
    refused(bytes, "Version { major: 9, minor: 0 }");
    refused(b"\x93NUMPZ\x01\x00".to_vec(), "NotNpy");
    refused(b"PK\x03\x04".to_vec(), "NotNpy");
}

#[test]
fn malformed_dictionaries_are_refused() {
    for dictionary in [
        "",
        "{",
        "}",
        "{}",
        "{'descr'",
        "{'descr': ",
        "{'descr': '<f4', 'fortran_order': False}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), 'more': 1}",
        "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)} x",
        "{'descr': '<f4', 'fortran_order': 0, 'shape': (2, 3)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2, -3)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2 3)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3",
        "{'descr': '<f4', 'fortran_order': False, 'shape': 6}",
        "{'fortran_order': False, 'shape': (2, 3), 'descr': '<f4}",
        "{'de\\x73cr': '<f4', 'fortran_order': False, 'shape': (2, 3)}",
        "{'descr' '<f4', 'fortran_order': False, 'shape': (2, 3)}",
        "{'descr': '<f4' 'fortran_order': False, 'shape': (2, 3)}",
    ] {
        refused_header(dictionary, "Header");
    }
    refused_header(&"{".repeat(60_000), "Header");
    refused_header(&header("'<f4'", "False", &"(".repeat(60_000)), "Header");
}

#[test]
fn other_spellings_of_the_same_header_are_read() {
    let data = [0; 24];
    for dictionary in [
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }          \n",
        "{\"shape\":(2,3),\"fortran_order\":False,\"descr\":\"<f4\"}",
        " { 'fortran_order' : False , 'descr' : '<f4' , 'shape' : ( 2 , 3 , ) , } ",
    ] {
        assert_eq!(read_all(npy(dictionary, &data)).unwrap(), [0.0; 6]);
    }
    // Versions 2.0 and 3.0 differ in the width of the length field.
    for major in [2, 3] {
        let mut bytes = vec![0x93, b'N', b'U', b'M', b'P', b'Y', major, 0];
        let dictionary = header("'|i1'", "False", "(1, 2)");
        bytes.extend((dictionary.len() as u32).to_le_bytes());
        bytes.extend(dictionary.as_bytes());
        bytes.extend([0x80, 0x7f]);
        assert_eq!(read_all(bytes).unwrap(), [-128.0, 127.0]);
    }
}

#[test]
fn missing_files_and_folders_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("X.npy");
    match NpyFile::open(&missing) {
        Err(NpyError::Missing { path }) => assert_eq!(path, missing),
        other => panic!("{other:?}"),
    }
    let error = NpyFile::open(folder.path()).unwrap_err();
    assert!(matches!(error, NpyError::NotAFile { .. }), "{error:?}");
}

#[test]
fn no_rows_is_an_empty_file_not_an_error() {
    let bytes = npy(&header("'<f4'", "False", "(0, 768)"), &[]);
    let mut file = NpyFile::from_bytes(bytes).unwrap();
    assert_eq!((file.rows(), file.columns()), (0, 768));
    let mut out = vec![7.0];
    file.read_rows(0, 0, &mut out).unwrap();
    assert_eq!(out, [7.0]);
}

#[test]
fn rows_past_the_end_are_refused_and_leave_the_buffer_alone() {
    let mut file = NpyFile::from_bytes(small()).unwrap();
    let mut out = vec![7.0];
    for (from, count) in [(0, 3), (2, 1), (3, 0), (usize::MAX, 2), (1, usize::MAX)] {
        match file.read_rows(from, count, &mut out) {
            Err(NpyError::RowRange { rows: 2, .. }) => {}
            other => panic!("{from}, {count}: {other:?}"),
        }
    }
    assert_eq!(out, [7.0]);
    file.read_rows(2, 0, &mut out).unwrap();
    file.read_rows(1, 1, &mut out).unwrap();
    assert_eq!(out, [7.0, 4.0, 5.0, 6.0]);
}

#[test]
fn a_file_that_shrinks_after_opening_gives_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("X.npy");
    write_npy_f32(&path, 100_000, 1, &vec![1.0; 100_000]).unwrap();
    let mut file = NpyFile::open(&path).unwrap();
    fs::OpenOptions::new()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(200_000)
        .unwrap();
    let mut out = vec![7.0];
    match file.read_rows(0, 100_000, &mut out) {
        Err(NpyError::Io(error)) => assert_eq!(error.kind(), ErrorKind::UnexpectedEof),
        other => panic!("{other:?}"),
    }
    assert_eq!(out, [7.0]);
}

/// The definition, bit by bit: sign, five bits of exponent, ten of mantissa.
fn f16_reference(bits: u16) -> f64 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, mantissa) = (i32::from(bits >> 10 & 31), f64::from(bits & 1023));
    sign * match exponent {
        0 => mantissa * 2_f64.powi(-24),
        31 if mantissa == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1024.0 + mantissa) * 2_f64.powi(exponent - 25),
    }
}

/// All 65,536: denormals, both zeros, both infinities and every NaN among them.
#[test]
fn every_half_is_converted_exactly() {
    let data: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
    let got = read_all(npy(&header("'<f2'", "False", "(256, 256)"), &data)).unwrap();
    assert_eq!(got.len(), 65_536);
    for (bits, got) in (0..=u16::MAX).zip(got) {
        let want = f16_reference(bits);
        if want.is_nan() {
            assert!(got.is_nan(), "{bits:#x}");
        } else {
            assert_eq!(f64::from(got).to_bits(), want.to_bits(), "{bits:#x}");
        }
    }
}

#[test]
fn writers_refuse_values_that_do_not_fill_the_shape() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("X.npy");
    fs::write(&path, "before").unwrap();
    for (rows, columns) in [(2, 2), (0, 0), (3, 0), (usize::MAX, 3), (1 << 63, 2)] {
        let error = write_npy_f32(&path, rows, columns, &[0.0; 3]).unwrap_err();
        assert!(matches!(error, NpyWriteError::Shape { got: 3, .. }));
    }
    assert_eq!(fs::read(&path).unwrap(), b"before");
    let nowhere = folder.path().join("no/folder.npy");
    assert!(write_npy_i8(&nowhere, 1, 1, &[1]).is_err());
}

/// The very bytes that NumPy 2.4 wrote for `np.array([[1, -2]], dtype='i1')`.
#[test]
fn written_as_numpy_writes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("X.npy");
    write_npy_i8(&path, 1, 2, &[1, -2]).unwrap();
    let mut want = b"\x93NUMPY\x01\x00v\x00".to_vec();
    want.extend(b"{'descr': '|i1', 'fortran_order': False, 'shape': (1, 2), }");
    want.resize(127, b' ');
    want.extend([b'\n', 1, 0xfe]);
    assert_eq!(fs::read(&path).unwrap(), want);
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "no temporary file stays behind: {left:?}");
}

#[test]
fn scales_must_belong_to_the_values() {
    let values = || npy(&header("'|i1'", "False", "(2, 1)"), &[1, 2]);
    for (descr, shape, bytes) in [
        ("'<f4'", "(1, 1)", 4),
        ("'<f4'", "(2, 2)", 16),
        ("'<f2'", "(2, 1)", 4),
    ] {
        let scales = npy(&header(descr, "False", shape), &vec![0; bytes]);
        let mut scales = NpyFile::from_bytes(scales).unwrap();
        let mut out = Vec::new();
        let mut values = NpyFile::from_bytes(values()).unwrap();
        let error = read_scaled_rows(&mut values, &mut scales, 0, 2, &mut out).unwrap_err();
        assert!(
            matches!(error, NpyError::Scales { rows: 2, .. }),
            "{error:?}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any shape, any run of rows, all three types, across the reader's step of 16,384 values.
    #[test]
    fn round_trip(rows in 0_usize..40, columns in 1_usize..900, seed: u32, from in 0.0..1.0) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("X.npy");
        let bytes: Vec<i8> = (0..rows * columns)
            .map(|i| (i as u32).wrapping_mul(2_654_435_761).wrapping_add(seed).to_le_bytes()[3] as i8)
            .collect();
        let floats: Vec<f32> = bytes.iter().map(|&b| f32::from(b)).collect();
        let from = (from * rows as f64) as usize;
        for dtype in [Dtype::F32, Dtype::F16, Dtype::I8] {
            match dtype {
                Dtype::F32 => write_npy_f32(&path, rows, columns, &floats).unwrap(),
                Dtype::F16 => write_npy_f16(&path, rows, columns, &floats).unwrap(),
                _ => write_npy_i8(&path, rows, columns, &bytes).unwrap(),
            }
            let mut file = NpyFile::open(&path).unwrap();
            prop_assert_eq!((file.rows(), file.columns(), file.dtype()), (rows, columns, dtype));
            let mut out = Vec::new();
            file.read_rows(from, rows - from, &mut out).unwrap();
            prop_assert_eq!(&out, &floats[from * columns..]);
        }
    }

    /// Whatever the bytes are, the answer is an answer.
    #[test]
    fn damaged_bytes_never_panic(at in 0_usize..108, with: u8, cut in 0_usize..108) {
        let mut bytes = small();
        let at = at.min(bytes.len() - 1);
        bytes[at] = with;
        let _ = read_all(bytes.clone());
        bytes.truncate(cut.min(bytes.len()));
        let _ = read_all(bytes);
    }

    #[test]
    fn random_headers_never_panic(text in "[{}()',:0-9a-z<>|\\[\\] FalseTru]{0,80}") {
        let _ = read_all(npy(&text, &[0; 8]));
    }
}
