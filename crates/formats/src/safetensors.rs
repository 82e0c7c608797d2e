//! Named tensors with metadata, in the safetensors format.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use crate::safetensors_header::{Place, parse};
use crate::{SafetensorsError, regular};

/// What a sealed file has behind its length: its checksum is the first thing in its header, so
/// that it lies where it can be found before the header is understood.
pub(crate) const SEAL: &[u8] = b"{\"__metadata__\":{\"checksum\":\"";

/// Digits of the checksum, in hexadecimal.
pub(crate) const SEAL_DIGITS: usize = 8;

/// Bytes of the length that a file begins with.
pub(crate) const LENGTH_BYTES: usize = 8;

/// How long a header may be. Weight files have some dozens of tensors, each of a hundred bytes.
pub(crate) const HEADER_BYTES_MAX: u64 = 1 << 20;

/// How a tensor's values are stored, little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TensorDtype {
    /// 32-bit floating point.
    F32,
    /// 16-bit floating point.
    F16,
    /// The upper half of a 32-bit floating point.
    Bf16,
    /// Signed byte.
    I8,
    /// Unsigned byte.
    U8,
    /// Signed 32-bit integer.
    I32,
}

impl TensorDtype {
    pub(crate) const ALL: [(TensorDtype, &'static str, usize); 6] = [
        (TensorDtype::F32, "F32", 4),
        (TensorDtype::F16, "F16", 2),
        (TensorDtype::Bf16, "BF16", 2),
        (TensorDtype::I8, "I8", 1),
        (TensorDtype::U8, "U8", 1),
        (TensorDtype::I32, "I32", 4),
    ];

    fn entry(self) -> (TensorDtype, &'static str, usize) {
        let found = Self::ALL.into_iter().find(|entry| entry.0 == self);
        found.unwrap_or((self, "", 0))
    }

    /// The format's word for it.
    pub fn name(self) -> &'static str {
        self.entry().1
    }

    /// Bytes of one value.
    pub fn bytes(self) -> usize {
        self.entry().2
    }
}

/// One tensor, borrowed: its values row after row, the last place of the shape fastest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tensor<'a> {
    /// How the values are stored.
    pub dtype: TensorDtype,
    /// Values along each axis; empty for a single value.
    pub shape: &'a [usize],
    /// The values, little-endian: as many bytes as type and shape ask for.
    pub bytes: &'a [u8],
}

/// A safetensors file, whole in memory, its header checked against the bytes that are there: each
/// tensor lies within the file, is as long as its shape says, and no byte belongs to two or none.
///
/// ```
/// use cortica_formats::{Safetensors, Tensor, TensorDtype, write_safetensors};
///
/// # let folder = tempfile::tempdir()?;
/// let path = folder.path().join("weights.safetensors");
/// let bias = Tensor { dtype: TensorDtype::I8, shape: &[3], bytes: &[1, 2, 255] };
/// write_safetensors(&path, &[("model", "example")], &[("bias", bias)])?;
///
/// let file = Safetensors::open(&path, 1 << 20)?;
/// file.check_seal()?; // The bytes are those that were written.
/// assert_eq!(file.metadata("model"), Some("example"));
/// assert_eq!(file.tensor("bias"), Some(bias));
/// # Ok::<(), cortica_formats::SafetensorsError>(())
/// ```
#[derive(Debug)]
pub struct Safetensors {
    bytes: Cow<'static, [u8]>,
    metadata: BTreeMap<String, String>,
    tensors: BTreeMap<String, Place>,
}

impl Safetensors {
    /// Reads a file of at most `bytes_max` bytes.
    pub fn open(path: &Path, bytes_max: u64) -> Result<Safetensors, SafetensorsError> {
        let (file, found) = regular::open(path)?;
        let too_large = |found| SafetensorsError::TooLarge {
            found,
            max: bytes_max,
        };
        if found > bytes_max {
            return Err(too_large(found));
        }
        let mut bytes = Vec::new();
        // A file that grows meanwhile is not followed further than was agreed.
        let read = file.take(bytes_max.saturating_add(1));
        let mut read = std::io::BufReader::new(read);
        read.read_to_end(&mut bytes)?;
        if bytes.len() as u64 > bytes_max {
            return Err(too_large(bytes.len() as u64));
        }
        Safetensors::from_bytes(bytes)
    }

    /// Reads from bytes in memory: an `include_bytes!` constant or a `Vec<u8>`.
    pub fn from_bytes(
        bytes: impl Into<Cow<'static, [u8]>>,
    ) -> Result<Safetensors, SafetensorsError> {
        let bytes = bytes.into();
        let (metadata, tensors) = parse(&bytes)?;
        Ok(Safetensors {
            bytes,
            metadata,
            tensors,
        })
    }

    /// A text from the metadata.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata.get(key).map(String::as_str)
    }

    /// All of the metadata, by key.
    pub fn all_metadata(&self) -> impl Iterator<Item = (&str, &str)> {
        let texts = self.metadata.iter();
        texts.map(|(key, text)| (key.as_str(), text.as_str()))
    }

    /// The names of the tensors, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// The tensor of that name.
    pub fn tensor(&self, name: &str) -> Option<Tensor<'_>> {
        let place = self.tensors.get(name)?;
        Some(Tensor {
            dtype: place.dtype,
            shape: &place.shape,
            bytes: self.bytes.get(place.bytes.clone())?,
        })
    }

    /// Whether the bytes are those that [`write_safetensors`](crate::write_safetensors) wrote: any
    /// flipped bit is found out, wherever it lies. Files of other tools carry no checksum and are
    /// refused as unsealed. Cost: one pass over the bytes.
    pub fn check_seal(&self) -> Result<(), SafetensorsError> {
        check_seal(&self.bytes)
    }
}

/// [`Safetensors::check_seal`], of the bytes of a whole file.
pub(crate) fn check_seal(bytes: &[u8]) -> Result<(), SafetensorsError> {
    let head = bytes.get(LENGTH_BYTES..).unwrap_or_default();
    let digits = head.strip_prefix(SEAL).and_then(|rest| {
        let digits = str::from_utf8(rest.get(..SEAL_DIGITS)?).ok()?;
        // The parser would let a sign pass, and the other case of a letter, one bit away.
        let plain = digits
            .bytes()
            .all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
        plain.then(|| u32::from_str_radix(digits, 16).ok())?
    });
    let expected = digits.ok_or(SafetensorsError::Unsealed)?;
    let found = checksum(bytes);
    if found == expected {
        Ok(())
    } else {
        Err(SafetensorsError::Checksum { expected, found })
    }
}

/// The CRC-32 of all bytes of a sealed file but the digits it is written in.
pub(crate) fn checksum(bytes: &[u8]) -> u32 {
    let from = LENGTH_BYTES + SEAL.len();
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(bytes.get(..from).unwrap_or(bytes));
    hasher.update(bytes.get(from + SEAL_DIGITS..).unwrap_or_default());
    hasher.finalize()
}
