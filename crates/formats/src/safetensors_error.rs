//! Why a safetensors file was refused.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use crate::regular::Refused;

/// Why a safetensors file could not be read or written. Nothing was set aside for what a file
/// claims and does not hold.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SafetensorsError {
    /// There is no file at this path.
    #[error("there is no file {}", path.display())]
    Missing {
        /// The path as it was given.
        path: PathBuf,
    },
    /// The path names a folder, a pipe or a device.
    #[error("{} is not a regular file", path.display())]
    NotAFile {
        /// The path as it was given.
        path: PathBuf,
    },
    /// More bytes than the caller is ready to take in.
    #[error("the file has {found} bytes; at most {max} are accepted")]
    TooLarge {
        /// Length of the file in bytes.
        found: u64,
        /// Bytes accepted.
        max: u64,
    },
    /// The file ends before what it has begun.
    #[error("the safetensors file is cut short: {expected} bytes expected, {found} found")]
    Truncated {
        /// Bytes that the part read so far asks for.
        expected: u64,
        /// Bytes there are.
        found: u64,
    },
    /// The length that a file begins with is absurd for a header.
    #[error("the safetensors header claims {claimed} bytes; at most {max} are accepted")]
    HeaderTooLarge {
        /// Bytes claimed.
        claimed: u64,
        /// Bytes accepted.
        max: u64,
    },
    /// The header is not the JSON object that the format asks for.
    #[error("the safetensors header is malformed: {why}")]
    Header {
        /// What is wrong, and where.
        why: String,
    },
    /// A tensor of values that are not read.
    #[error("tensor {name}: got dtype {found}, expected F32, F16, BF16, I8, U8 or I32")]
    Dtype {
        /// The tensor.
        name: String,
        /// The type by the header's word, cut to a readable length.
        found: String,
        /// The metadata of a file whose seal holds, by which a reader tells whether a later release wrote
        /// it; empty if the file is damaged or carries no checksum.
        metadata: BTreeMap<String, String>,
    },
    /// A tensor's shape and its bytes do not belong together, or it lies outside the file.
    #[error("tensor {name}: got bytes {from}..{to} of {data_bytes}, expected {expected}")]
    Offsets {
        /// The tensor.
        name: String,
        /// First byte claimed.
        from: u64,
        /// One past the last byte claimed.
        to: u64,
        /// Bytes there are behind the header.
        data_bytes: u64,
        /// What its shape and its place ask for.
        expected: String,
    },
    /// Bytes behind the last tensor.
    #[error(
        "the safetensors file goes on after its last tensor: {expected} bytes expected, {found} found"
    )]
    Trailing {
        /// Bytes that the header asks for.
        expected: u64,
        /// Bytes there are.
        found: u64,
    },
    /// Written without a checksum, by a tool that knows none.
    #[error("the file carries no checksum: its metadata does not begin with one")]
    Unsealed,
    /// The bytes are not those that were written.
    #[error("the checksum is {found:08x}, {expected:08x} was written: the file is damaged")]
    Checksum {
        /// The checksum that the file carries.
        expected: u32,
        /// That of the bytes found.
        found: u32,
    },
    /// The caller's tensor is not as long as its shape says, or a name or key stands twice.
    #[error("{name}: {why}")]
    Write {
        /// The tensor or key.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The operating system refused.
    #[error("cannot read or write the safetensors file")]
    Io(#[from] io::Error),
}

impl From<Refused> for SafetensorsError {
    fn from(refused: Refused) -> SafetensorsError {
        match refused {
            Refused::Missing(path) => SafetensorsError::Missing { path },
            Refused::NotAFile(path) => SafetensorsError::NotAFile { path },
            Refused::Io(error) => SafetensorsError::Io(error),
        }
    }
}
