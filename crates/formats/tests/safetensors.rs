//! Safetensors files: what is written is read, and what is damaged or hostile is refused.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a test reports"
)]

use cortica_formats::{
    Safetensors, SafetensorsError, Tensor, TensorDtype, encode_safetensors, write_safetensors,
};
use proptest::prelude::*;

const WEIGHTS: [u8; 12] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];

fn sample() -> Vec<u8> {
    let weight = Tensor {
        dtype: TensorDtype::I8,
        shape: &[2, 6],
        bytes: &WEIGHTS,
    };
    let bias = Tensor {
        dtype: TensorDtype::F32,
        shape: &[1],
        bytes: &[0, 0, 128, 63],
    };
    let empty = Tensor {
        dtype: TensorDtype::F16,
        shape: &[0, 3],
        bytes: &[],
    };
    let metadata = [("model", "a \"quoted\" name\n"), ("d", "6")];
    let tensors = [("weight", weight), ("empty", empty), ("bias", bias)];
    encode_safetensors(&metadata, &tensors).unwrap()
}

/// A file of this header and `data` bytes behind it.
fn with_header(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.bytes());
    bytes.resize(bytes.len() + data, 0);
    bytes
}

fn refusal(bytes: Vec<u8>) -> SafetensorsError {
    Safetensors::from_bytes(bytes).expect_err("this file should be refused")
}

#[test]
fn what_is_written_is_read() {
    let file = Safetensors::from_bytes(sample()).unwrap();
    file.check_seal().unwrap();
    assert_eq!(file.metadata("model"), Some("a \"quoted\" name\n"));
    assert_eq!(file.all_metadata().count(), 3); // The checksum is the third.
    assert_eq!(
        file.names().collect::<Vec<_>>(),
        ["bias", "empty", "weight"]
    );
    let weight = file.tensor("weight").unwrap();
    assert_eq!((weight.shape, weight.bytes), (&[2, 6][..], &WEIGHTS[..]));
    assert_eq!(file.tensor("bias").unwrap().bytes, 1.0_f32.to_le_bytes());
    assert!(file.tensor("empty").unwrap().bytes.is_empty());
    assert_eq!(file.tensor("other"), None);
}

#[test]
fn writing_is_repeatable_and_refuses_what_does_not_fit() {
    assert_eq!(sample(), sample());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    let tensor = |shape| Tensor {
        dtype: TensorDtype::I8,
        shape,
        bytes: &WEIGHTS,
    };
    let good = ("a", tensor(&[12]));
    write_safetensors(&path, &[], &[good]).unwrap();
    let refused = [
        write_safetensors(&path, &[], &[good, good]),
        write_safetensors(&path, &[("checksum", "0")], &[good]),
        write_safetensors(&path, &[("a", "0"), ("a", "1")], &[good]),
        write_safetensors(&path, &[], &[("__metadata__", tensor(&[12]))]),
        write_safetensors(&path, &[], &[("a", tensor(&[13]))]),
        write_safetensors(&path, &[], &[("a", tensor(&[usize::MAX, 3]))]),
    ];
    for result in refused {
        assert!(matches!(result, Err(SafetensorsError::Write { .. })));
    }
    Safetensors::open(&path, 1_000).unwrap(); // Untouched by what was refused.
}

#[test]
fn files_that_are_not_there_or_too_large() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    let open = |max| Safetensors::open(&path, max).map(|_| ());
    assert!(matches!(open(9), Err(SafetensorsError::Missing { .. })));
    std::fs::write(&path, sample()).unwrap();
    let length = sample().len() as u64;
    open(length).unwrap();
    let refused = open(length - 1);
    assert!(
        matches!(refused, Err(SafetensorsError::TooLarge { found, max })
        if found == length && max == length - 1)
    );
    let refused = Safetensors::open(folder.path(), 9);
    assert!(matches!(refused, Err(SafetensorsError::NotAFile { .. })));
}

#[test]
fn cut_at_every_offset() {
    let whole = sample();
    for cut in 0..whole.len() {
        let refused = refusal(whole[..cut].to_vec());
        assert!(
            matches!(refused, SafetensorsError::Truncated { found, expected }
                if found == cut as u64 && expected > found),
            "{cut}: {refused}"
        );
    }
}

#[test]
fn every_flipped_bit_is_found_out() {
    let whole = sample();
    for bit in 0..whole.len() * 8 {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let read = Safetensors::from_bytes(bytes).and_then(|file| file.check_seal());
        assert!(read.is_err(), "bit {bit} was believed");
    }
}

#[test]
fn unsealed_files_are_told_apart_from_damaged_ones() {
    let header = r#"{"a":{"dtype":"I8","shape":[2],"data_offsets":[0,2]}}"#;
    let file = Safetensors::from_bytes(with_header(header, 2)).unwrap();
    assert_eq!(file.tensor("a").unwrap().bytes, [0, 0]);
    assert!(matches!(file.check_seal(), Err(SafetensorsError::Unsealed)));
    let header = r#"{"__metadata__":{"checksum":"+0000000"}}"#;
    let file = Safetensors::from_bytes(with_header(header, 0)).unwrap();
    assert!(matches!(file.check_seal(), Err(SafetensorsError::Unsealed)));
}

#[test]
fn absurd_lengths_cost_nothing() {
    for claimed in [1 << 60, u64::MAX, (1 << 20) + 1] {
        let mut bytes = claimed.to_le_bytes().to_vec();
        bytes.extend(b"{}");
        let refused = refusal(bytes);
        assert!(
            matches!(refused, SafetensorsError::HeaderTooLarge { claimed: found, .. }
            if found == claimed)
        );
    }
}

#[test]
fn headers_that_do_not_describe_the_file() {
    use SafetensorsError::{Dtype, Header, Offsets, Trailing, Truncated};
    let entry = |shape: &str, from: u64, to: u64| {
        let a = format!(r#""dtype":"F32","shape":{shape},"data_offsets":[{from},{to}]"#);
        format!("{{\"a\":{{{a}}}}}")
    };
    let refused = |header: &str| refusal(with_header(header, 8));
    assert!(matches!(refused(&entry("[2]", 0, 4)), Offsets { .. }));
    assert!(matches!(refused(&entry("[2]", 4, 12)), Offsets { .. }));
    assert!(matches!(refused(&entry("[2]", 8, 0)), Offsets { .. }));
    assert!(matches!(refused(&entry("[4]", 0, 16)), Truncated { .. }));
    assert!(matches!(refused(&entry("[1]", 0, 4)), Trailing { .. }));
    assert!(matches!(refused("{}"), Trailing { .. }));
    let huge = "[1152921504606846976]"; // 2^60 values.
    assert!(matches!(
        refused(&entry(huge, 0, 1 << 62)),
        Truncated { .. }
    ));
    let huge = "[4294967296,4294967296]";
    assert!(matches!(refused(&entry(huge, 0, 8)), Offsets { .. }));
    let past = refused(&entry("[2]", u64::MAX - 7, u64::MAX));
    assert!(matches!(past, Offsets { .. }));
    let other = entry("[2]", 0, 8).replace("F32", "C64");
    assert!(matches!(refused(&other), Dtype { .. }));
    let entry = entry("[2]", 0, 8);
    let twice = format!("{},{}", &entry[..entry.len() - 1], &entry[1..]);
    let nested = "[".repeat(10_000);
    for header in [
        "",
        "[]",
        " {}",
        "null",
        &entry[1..],
        &twice,
        &entry.replace("[2]", "[-2]"),
        &entry.replace("[2]", "[2.0]"),
        &entry.replace("[2]", &nested),
        &entry.replace("\"shape\"", "\"more\":1,\"shape\""),
        &entry.replace("{\"a\"", "{\"__metadata__\":{\"k\":1},\"a\""),
        &entry.replace("{\"a\"", "{\"__metadata__\":{\"k\":\"\",\"k\":\"\"},\"a\""),
        &format!("{entry}{entry}"),
    ] {
        let refused = refused(header);
        assert!(matches!(refused, Header { .. }), "{header}: {refused}");
    }
}

#[test]
fn overlaps_are_refused() {
    let header = r#"{"a":{"dtype":"I8","shape":[4],"data_offsets":[0,4]},
        "b":{"dtype":"I8","shape":[4],"data_offsets":[2,6]}}"#;
    let refused = refusal(with_header(header, 6));
    assert!(matches!(refused, SafetensorsError::Offsets { name, .. } if name == "b"));
}

proptest! {
    #[test]
    fn no_input_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), at in 0..200_usize) {
        let _ = Safetensors::from_bytes(bytes.clone());
        // The same bytes over a good file, which reaches further.
        let mut file = sample();
        let at = at.min(file.len() - 1);
        let end = (at + bytes.len()).min(file.len());
        file[at..end].copy_from_slice(&bytes[..end - at]);
        if let Ok(file) = Safetensors::from_bytes(file) {
            for name in file.names() {
                prop_assert!(file.tensor(name).is_some());
            }
        }
    }
}
