//! Writing safetensors files with a checksum.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;

use crate::replace::replace;
use crate::safetensors::{HEADER_BYTES_MAX, LENGTH_BYTES, SEAL, SEAL_DIGITS, checksum};
use crate::safetensors_header::METADATA;
use crate::{SafetensorsError, Tensor};

/// Writes tensors and metadata, sealed with a checksum, over whatever was at `path`; whole or not
/// at all.
///
/// The same arguments give the same bytes. The checksum is a text of the metadata under the key
/// `checksum`, so every reader of safetensors reads the file. Tensors keep the caller's order.
pub fn write_safetensors(
    path: &Path,
    metadata: &[(&str, &str)],
    tensors: &[(&str, Tensor<'_>)],
) -> Result<(), SafetensorsError> {
    let bytes = encode_safetensors(metadata, tensors)?;
    Ok(replace(path, |file| file.write_all(&bytes))?)
}

/// The bytes that [`write_safetensors`] writes.
pub fn encode_safetensors(
    metadata: &[(&str, &str)],
    tensors: &[(&str, Tensor<'_>)],
) -> Result<Vec<u8>, SafetensorsError> {
    check(metadata, tensors)?;
    let mut text = SEAL.to_vec();
    text.extend([b'0'; SEAL_DIGITS]);
    text.push(b'"');
    for (key, value) in metadata {
        text.push(b',');
        push_text(&mut text, key)?;
        text.push(b':');
        push_text(&mut text, value)?;
    }
    text.push(b'}');
    let mut from = 0;
    for (name, tensor) in tensors {
        let to = from + tensor.bytes.len();
        text.push(b',');
        push_text(&mut text, name)?;
        let (dtype, shape) = (tensor.dtype.name(), tensor.shape);
        let entry = format!(
            ":{{\"dtype\":\"{dtype}\",\"shape\":{shape:?},\"data_offsets\":[{from},{to}]}}"
        );
        text.extend(entry.bytes());
        from = to;
    }
    text.push(b'}');
    // The data begins at a multiple of eight, as other readers like it.
    text.resize(text.len().next_multiple_of(8), b' ');
    let claimed = text.len() as u64;
    if claimed > HEADER_BYTES_MAX {
        let max = HEADER_BYTES_MAX;
        return Err(SafetensorsError::HeaderTooLarge { claimed, max });
    }
    let mut bytes = claimed.to_le_bytes().to_vec();
    bytes.extend(text);
    for (_, tensor) in tensors {
        bytes.extend(tensor.bytes);
    }
    let digits = format!("{:08x}", checksum(&bytes));
    let at = LENGTH_BYTES + SEAL.len();
    bytes[at..at + SEAL_DIGITS].copy_from_slice(digits.as_bytes());
    Ok(bytes)
}

fn check(
    metadata: &[(&str, &str)],
    tensors: &[(&str, Tensor<'_>)],
) -> Result<(), SafetensorsError> {
    let refuse = |name: &str, why| SafetensorsError::Write {
        name: name.to_owned(),
        why,
    };
    let mut keys = BTreeSet::from(["checksum"]);
    for (key, _) in metadata {
        if !keys.insert(key) {
            return Err(refuse(key, "this key stands twice, or is the checksum's"));
        }
    }
    let mut names = BTreeSet::from([METADATA]);
    for (name, tensor) in tensors {
        if !names.insert(name) {
            return Err(refuse(name, "this name stands twice, or is the metadata's"));
        }
        let mut axes = tensor.shape.iter().copied();
        if axes.try_fold(tensor.dtype.bytes(), usize::checked_mul) != Some(tensor.bytes.len()) {
            return Err(refuse(name, "shape and bytes do not belong together"));
        }
    }
    Ok(())
}

fn push_text(out: &mut Vec<u8>, text: &str) -> Result<(), SafetensorsError> {
    let written = serde_json::to_writer(out, text);
    written.map_err(|error| SafetensorsError::Header {
        why: error.to_string(),
    })
}
