//! Weight files that are damaged, hostile or of another kind are refused, and say why.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a test reports"
)]

mod support;

use cortica_formats::{Safetensors, SafetensorsError, TensorDtype};
use cortica_neural::{CODE, Networks, WINDOW, WeightsError};
use support::{Owned, encode, golden, tensors_of};

const METADATA: [(&str, &str); 2] = [("format", "cortica-networks"), ("version", "1")];

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(golden(name)).unwrap()
}

fn tensors(name: &str) -> Vec<Owned> {
    tensors_of(&Safetensors::from_bytes(bytes(name)).unwrap())
}

#[track_caller]
fn refusal(bytes: Vec<u8>) -> WeightsError {
    Networks::from_bytes(bytes).expect_err("this file should be refused")
}

/// The refusal of the golden file with one tensor changed.
fn changed(name: &str, change: impl Fn(&mut Owned)) -> WeightsError {
    let mut all = tensors("networks_i8");
    change(all.iter_mut().find(|tensor| tensor.name == name).unwrap());
    refusal(encode(&METADATA, &all))
}

#[test]
fn bytes_are_counted_exactly() {
    for name in ["networks", "networks_i8"] {
        let networks = Networks::open(&golden(name)).unwrap();
        let stored: usize = tensors(name).iter().map(|tensor| tensor.bytes.len()).sum();
        assert_eq!(networks.bytes(), stored);
        assert_eq!(
            (networks.dimension(), networks.encoder().hidden()),
            (40, 64)
        );
        assert_eq!(networks.metadata("data"), Some("none: random weights"));
        assert_eq!(networks.metadata("other"), None);
    }
}

#[test]
fn cut_at_every_offset() {
    let whole = bytes("networks_i8");
    for cut in 0..whole.len() {
        let refused = refusal(whole[..cut].to_vec());
        assert!(
            matches!(
                refused,
                WeightsError::File(SafetensorsError::Truncated { .. })
            ),
            "{cut}: {refused}"
        );
    }
}

/// Every bit of the header, and one of every byte of the data, which the seal alone protects.
#[test]
fn flipped_bits() {
    let whole = bytes("networks_i8");
    let (length, _) = whole.split_first_chunk::<8>().unwrap();
    let data = 8 + u64::from_le_bytes(*length) as usize;
    assert!((1_000..whole.len()).contains(&data));
    for at in 0..whole.len() {
        let bits = if at < data { 0..8 } else { at % 8..at % 8 + 1 };
        for bit in bits {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << bit;
            let refused = refusal(bytes);
            let by_seal = matches!(
                refused,
                WeightsError::File(SafetensorsError::Checksum { .. })
            );
            assert!(by_seal || at < data, "byte {at}, bit {bit}: {refused}");
        }
    }
}

#[test]
fn a_header_that_claims_2_to_the_60_bytes() {
    let mut bytes = bytes("networks_i8");
    bytes[..8].copy_from_slice(&(1_u64 << 60).to_le_bytes());
    let refused = refusal(bytes);
    assert!(matches!(
        refused,
        WeightsError::File(SafetensorsError::HeaderTooLarge { claimed, .. }) if claimed == 1 << 60
    ));
}

#[test]
fn other_formats_and_newer_versions() {
    let all = tensors("networks_i8");
    let refused = refusal(encode(&[], &all));
    assert!(matches!(refused, WeightsError::Format { found } if found.is_empty()));
    let refused = refusal(encode(&[("format", "llama"), ("version", "1")], &all));
    assert!(matches!(refused, WeightsError::Format { found } if found == "llama"));
    for version in ["2", "", "01", "-1"] {
        let metadata = [("format", "cortica-networks"), ("version", version)];
        let refused = refusal(encode(&metadata, &all));
        assert!(
            matches!(refused, WeightsError::Version { found, supported: 1 }
            if found == version)
        );
    }
    // A newer file is told apart even if its tensors are others.
    let refused = refusal(encode(
        &[("format", "cortica-networks"), ("version", "2")],
        &[],
    ));
    assert!(matches!(refused, WeightsError::Version { .. }));
}

/// The file with the checksum that its bytes have now.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let at = 8 + br#"{"__metadata__":{"checksum":""#.len();
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&bytes[..at]);
    hasher.update(&bytes[at + 8..]);
    let digits = format!("{:08x}", hasher.finalize());
    bytes[at..at + 8].copy_from_slice(digits.as_bytes());
    bytes
}

/// A later release may store values in ways that this build has never heard of.
#[test]
fn newer_files_of_unknown_types_are_said_to_be_newer() {
    let all = tensors("networks_i8");
    let unknown = |metadata: &[(&str, &str)]| {
        let bytes = encode(metadata, &all);
        let (length, rest) = bytes.split_first_chunk::<8>().unwrap();
        let (header, data) = rest.split_at(u64::from_le_bytes(*length) as usize);
        let header = str::from_utf8(header).unwrap();
        // As long as it was, so that nothing else changes.
        let header = header.replacen("\"I8\"", "\"Q4\"", 1);
        sealed([&length[..], header.as_bytes(), data].concat())
    };
    let newer = unknown(&[("format", "cortica-networks"), ("version", "2")]);
    let refused = refusal(newer.clone());
    assert!(
        matches!(&refused, WeightsError::Version { found, supported: 1 } if found == "2"),
        "{refused}"
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("newer.safetensors");
    std::fs::write(&path, &newer).unwrap();
    let refused = Networks::open(&path).expect_err("a newer file");
    assert!(matches!(refused, WeightsError::Version { .. }), "{refused}");

    let refused = refusal(unknown(&[("format", "llama"), ("version", "2")]));
    assert!(matches!(&refused, WeightsError::Format { found } if found == "llama"));
    // What this release calls its own has no such types; what is damaged says nothing of itself.
    let refused = refusal(unknown(&METADATA));
    assert!(matches!(
        refused,
        WeightsError::File(SafetensorsError::Dtype { .. })
    ));
    let mut damaged = newer;
    *damaged.last_mut().unwrap() ^= 1;
    assert!(matches!(
        refusal(damaged),
        WeightsError::File(SafetensorsError::Dtype { metadata, .. }) if metadata.is_empty()
    ));
}

#[test]
fn each_tensor_is_needed_in_its_shape_and_no_other_is_there() {
    let all = tensors("networks_i8");
    for at in 0..all.len() {
        let name = &all[at].name;
        let mut fewer = all.clone();
        fewer.remove(at);
        let refused = refusal(encode(&METADATA, &fewer));
        assert!(matches!(&refused, WeightsError::Missing { name: missing } if missing == name));

        let refused = changed(name, |tensor| {
            tensor.shape.push(1);
        });
        assert!(
            matches!(refused, WeightsError::Shape { .. }),
            "{name}: {refused}"
        );
        let refused = changed(name, |tensor| {
            let rows = tensor.shape[0];
            tensor.shape[0] += 1;
            let row = tensor.bytes.len() / rows;
            tensor.bytes.extend_from_within(..row);
        });
        assert!(
            matches!(refused, WeightsError::Shape { .. }),
            "{name}: {refused}"
        );
        let refused = changed(name, |tensor| {
            tensor.dtype = match tensor.dtype {
                TensorDtype::F32 => TensorDtype::I32,
                _ => TensorDtype::U8,
            };
        });
        assert!(
            matches!(refused, WeightsError::Dtype { .. }),
            "{name}: {refused}"
        );
    }
    let mut more = all.clone();
    more.push(Owned {
        name: "encoder.third.weight".to_owned(),
        ..all[0].clone()
    });
    let refused = refusal(encode(&METADATA, &more));
    assert!(matches!(refused, WeightsError::Unknown { name } if name == "encoder.third.weight"));
}

/// Sizes that the tensors of a file share.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    dimension: usize,
    /// Of the encoder's hidden layer.
    bend: usize,
    state: usize,
    width: usize,
    /// Of the detector's hidden layer.
    hidden: usize,
}

impl Sizes {
    const SMALL: Sizes = Sizes {
        dimension: 1,
        bend: 64,
        state: 16,
        width: 16,
        hidden: 16,
    };

    fn all(&mut self) -> [&mut usize; 5] {
        [
            &mut self.dimension,
            &mut self.bend,
            &mut self.state,
            &mut self.width,
            &mut self.hidden,
        ]
    }

    /// Every tensor, in the shape that these sizes ask for.
    fn shapes(self) -> Vec<(String, Vec<usize>, TensorDtype)> {
        let Sizes {
            dimension,
            bend,
            state,
            width,
            hidden,
        } = self;
        let (gates, taps) = (state.saturating_mul(4), width.saturating_mul(3));
        let matrices = [
            ("encoder.first", bend.saturating_add(64), dimension),
            ("encoder.second", 64, bend),
            ("predictor.input", gates, 64),
            ("predictor.recurrent", gates, state),
            ("predictor.output", 64, state.saturating_add(64)),
            ("detector.lift", width, 135),
            ("detector.layer0", width, taps),
            ("detector.layer1", width, taps),
            ("detector.layer2", width, taps),
            ("detector.hidden", hidden, width),
        ];
        let mut shapes = Vec::new();
        for (name, outputs, inputs) in matrices {
            let shape = vec![outputs, inputs];
            shapes.push((format!("{name}.weight"), shape, TensorDtype::I8));
            shapes.push((format!("{name}.scale"), vec![outputs], TensorDtype::F32));
            if name != "predictor.recurrent" {
                shapes.push((format!("{name}.bias"), vec![outputs], TensorDtype::F32));
            }
        }
        let name = |part: &str| format!("detector.output.{part}");
        shapes.push((name("weight"), vec![1, hidden], TensorDtype::F32));
        shapes.push((name("bias"), vec![1], TensorDtype::F32));
        shapes
    }

    /// A sealed file of zeros whose tensors all have the shapes they should; those that no file has room for get
    /// no bytes.
    fn file(self) -> Vec<u8> {
        let (mut header, mut at) = (Vec::new(), 0);
        for (name, shape, dtype) in self.shapes() {
            let bytes = shape
                .iter()
                .try_fold(dtype.bytes(), |all, &axis| all.checked_mul(axis));
            let end = at + bytes.filter(|&bytes| bytes < 1 << 20).unwrap_or(0);
            let dtype = dtype.name();
            header.push(format!(
                r#","{name}":{{"dtype":"{dtype}","shape":{shape:?},"data_offsets":[{at},{end}]}}"#
            ));
            at = end;
        }
        let metadata =
            r#"{"__metadata__":{"checksum":"00000000","format":"cortica-networks","version":"1"}"#;
        let header = format!("{metadata}{}}}", header.concat());
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.resize(bytes.len() + at, 0);
        sealed(bytes)
    }
}

/// All tensors of a file agree on sizes of zero, any of them and any number of them.
#[test]
fn networks_of_no_size() {
    // The control: nothing else about these files is wrong.
    let networks = Networks::from_bytes(Sizes::SMALL.file()).unwrap();
    let (codes, mut scratch) = ([[0.5; CODE]; WINDOW], networks.scratch());
    assert!(networks.encoder().encode(&[1.0], &mut scratch).is_ok());
    assert!(networks.predictor().predict(&codes, &mut scratch).is_ok());
    assert_eq!(networks.detector().detect(&codes, &mut scratch), Ok(0.5));
    for zeros in 1..32 {
        let mut sizes = Sizes::SMALL;
        for (at, size) in sizes.all().into_iter().enumerate() {
            if zeros >> at & 1 == 1 {
                *size = 0;
            }
        }
        let refused = refusal(sizes.file());
        let told = refused.to_string();
        assert!(
            matches!(refused, WeightsError::Shape { .. }) && told.contains("no size of zero"),
            "{sizes:?}: {told}"
        );
    }
}

/// Sizes whose products do not fit into a word, or wrap around to none at all; beside a size of zero they take no bytes.
#[test]
fn networks_larger_than_memory() {
    for huge in [1 << 28, 1 << 60, 1 << 62, usize::MAX - 15, usize::MAX] {
        for large in 1..32 {
            for zeros in 0..32 {
                let mut sizes = Sizes::SMALL;
                for (at, size) in sizes.all().into_iter().enumerate() {
                    if large >> at & 1 == 1 {
                        *size = huge;
                    } else if zeros >> at & 1 == 1 {
                        *size = 0;
                    }
                }
                let refused = refusal(sizes.file());
                assert!(
                    matches!(
                        refused,
                        WeightsError::Shape { .. }
                            | WeightsError::File(SafetensorsError::Offsets { .. })
                    ),
                    "{sizes:?}: {refused}"
                );
            }
        }
    }
}

/// One tensor alone without a size, and shapes that are no matrix's.
#[test]
fn tensors_of_no_size() {
    let all = tensors("networks_i8");
    for name in all.iter().map(|tensor| &tensor.name) {
        for shape in [vec![0, 0], vec![0], vec![0, usize::MAX], vec![64, 0]] {
            let refused = changed(name, |tensor| {
                (tensor.shape, tensor.bytes) = (shape.clone(), Vec::new());
            });
            assert!(
                matches!(refused, WeightsError::Shape { .. }),
                "{name}: {refused}"
            );
        }
    }
}

#[test]
fn weights_that_are_not_finite() {
    for name in [
        "encoder.first.bias",
        "encoder.first.scale",
        "detector.output.weight",
    ] {
        for value in [f32::NAN, f32::INFINITY] {
            let refused = changed(name, |tensor| {
                tensor.bytes[8..12].copy_from_slice(&value.to_le_bytes());
            });
            assert!(
                matches!(&refused, WeightsError::NotFinite { name: found, at: 2 }
                if found == name)
            );
        }
    }
}

#[test]
fn weights_that_could_overflow() {
    let scales = |tensor: &Owned| tensor.name.contains(".scale");
    for name in tensors("networks_i8")
        .iter()
        .filter(|tensor| scales(tensor))
    {
        let refused = changed(&name.name, |tensor| {
            tensor.bytes[..4].copy_from_slice(&1e30_f32.to_le_bytes());
        });
        assert!(
            matches!(refused, WeightsError::Unbounded { .. }),
            "{}: {refused}",
            name.name
        );
    }
}
