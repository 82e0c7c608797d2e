//! Reading rows out of an npy file.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use half::f16;
use half::slice::HalfFloatSliceExt;

use crate::npy_header::{Header, PREFIX_BYTES_MAX, parse_prefix, parse_text};
use crate::{Dtype, NpyError, regular};

/// Values converted per step; the scratch buffers hold no more, whatever the rows are.
const STEP_VALUES: usize = 16_384;

/// An npy file of `rows x columns` values, of which any run of rows can be read as `f32`.
///
/// The header is held against the real length of the file when it is opened: what [`rows`] and
/// [`columns`] say is there. Opening costs one small read, whatever the file's size.
///
/// ```
/// # let bytes = {
/// #     let mut bytes = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
/// #     bytes.extend(b"{'descr': '<f2', 'fortran_order': False, 'shape': (1, 2), }");
/// #     bytes.resize(127, b' ');
/// #     bytes.extend([b'\n', 0x00, 0x3c, 0x00, 0xc0]);
/// #     bytes
/// # };
/// // Bytes in memory, from `include_bytes!` say, read the same way as a file.
/// let mut file = cortica_formats::NpyFile::from_bytes(bytes)?;
/// let mut values = Vec::new();
/// file.read_rows(0, file.rows(), &mut values)?;
/// assert_eq!(values, [1.0, -2.0]);
/// # Ok::<(), cortica_formats::NpyError>(())
/// ```
///
/// [`rows`]: NpyFile::rows
/// [`columns`]: NpyFile::columns
#[derive(Debug)]
pub struct NpyFile {
    source: Source,
    data_start: u64,
    dtype: Dtype,
    rows: usize,
    columns: usize,
    /// Bytes of one step; kept so that reading batch after batch sets aside nothing new.
    bytes: Vec<u8>,
    halves: Vec<f16>,
}

#[derive(Debug)]
enum Source {
    File(File),
    Bytes(Cow<'static, [u8]>),
}

impl Source {
    /// Fills `out` from byte `at` on. The caller has checked that the source is long enough; a file
    /// that has been cut since then gives an end-of-file error.
    fn read_at(&mut self, at: u64, out: &mut [u8]) -> io::Result<()> {
        match self {
            Source::File(file) => {
                file.seek(SeekFrom::Start(at))?;
                file.read_exact(out)
            }
            Source::Bytes(bytes) => {
                let from = usize::try_from(at).ok();
                let slice = from
                    .and_then(|from| bytes.get(from..))
                    .and_then(|rest| rest.get(..out.len()))
                    .ok_or(io::ErrorKind::UnexpectedEof)?;
                out.copy_from_slice(slice);
                Ok(())
            }
        }
    }
}

impl NpyFile {
    /// Opens a file and checks its header against its length.
    pub fn open(path: &Path) -> Result<NpyFile, NpyError> {
        let (file, length) = regular::open(path)?;
        NpyFile::new(Source::File(file), length)
    }

    /// Reads from bytes in memory: an `include_bytes!` constant or a `Vec<u8>`.
    pub fn from_bytes(bytes: impl Into<Cow<'static, [u8]>>) -> Result<NpyFile, NpyError> {
        let bytes = bytes.into();
        let length = bytes.len() as u64;
        NpyFile::new(Source::Bytes(bytes), length)
    }

    fn new(mut source: Source, file_bytes: u64) -> Result<NpyFile, NpyError> {
        let mut start = [0; PREFIX_BYTES_MAX];
        let seen = usize::try_from(file_bytes).unwrap_or(usize::MAX);
        let start = &mut start[..seen.min(PREFIX_BYTES_MAX)];
        source.read_at(0, start)?;
        let prefix = parse_prefix(start, file_bytes)?;
        // `parse_prefix` bounds the text by 64 KiB and by the file's length.
        let mut text = vec![0; prefix.text_bytes as usize];
        source.read_at(prefix.prefix_bytes, &mut text)?;
        let header = parse_text(&text)?;
        let data_start = prefix.prefix_bytes + prefix.text_bytes;
        let expected = whole_length(header, data_start)?;
        if file_bytes < expected {
            return Err(NpyError::Truncated {
                expected,
                found: file_bytes,
            });
        }
        if file_bytes > expected {
            return Err(NpyError::Trailing {
                expected,
                found: file_bytes,
            });
        }
        let oversized = NpyError::Oversized {
            rows: header.rows,
            columns: header.columns,
        };
        let (Ok(rows), Ok(columns)) = (header.rows.try_into(), header.columns.try_into()) else {
            return Err(oversized); // A 32-bit machine with a very large file.
        };
        Ok(NpyFile {
            source,
            data_start,
            dtype: header.dtype,
            rows,
            columns,
            bytes: Vec::new(),
            halves: Vec::new(),
        })
    }

    /// How many rows the file holds; may be 0.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Values per row, at least 1.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// How the values are stored.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// Appends rows `from..from + count` to `out`, row after row: `count * columns` values.
    ///
    /// `f16` and `i8` become the `f32` of the same value, exactly; NaN and infinity pass through
    /// for the caller to judge. Beyond `out` at most 128 KiB are set aside, once. On an error `out`
    /// is what it was before. Cost: one pass over the bytes of these rows.
    pub fn read_rows(
        &mut self,
        from: usize,
        count: usize,
        out: &mut Vec<f32>,
    ) -> Result<(), NpyError> {
        if from.checked_add(count).is_none_or(|end| end > self.rows) {
            return Err(NpyError::RowRange {
                from,
                count,
                rows: self.rows,
            });
        }
        // A row's byte count fits in 64 bits by `whole_length`; as f32 it may not fit in memory.
        let values = count.checked_mul(self.columns);
        let no_memory = || NpyError::Memory {
            values: values.unwrap_or(usize::MAX),
        };
        let values = values.ok_or_else(no_memory)?;
        out.try_reserve(values).map_err(|_| no_memory())?;
        let length_before = out.len();
        let result = self.append(from, values, out);
        if result.is_err() {
            out.truncate(length_before);
        }
        Ok(result?)
    }

    fn append(&mut self, from: usize, values: usize, out: &mut Vec<f32>) -> io::Result<()> {
        let width = self.dtype.bytes();
        let mut at = self.data_start + from as u64 * self.columns as u64 * width as u64;
        let mut left = values;
        while left > 0 {
            let step = left.min(STEP_VALUES);
            self.bytes.resize(step * width, 0);
            self.source.read_at(at, &mut self.bytes)?;
            match self.dtype {
                Dtype::F32 => {
                    let (chunks, _) = self.bytes.as_chunks::<4>();
                    out.extend(chunks.iter().map(|b| f32::from_le_bytes(*b)));
                }
                Dtype::F16 => {
                    let (chunks, _) = self.bytes.as_chunks::<2>();
                    self.halves.clear();
                    let halves = chunks.iter().map(|b| f16::from_le_bytes(*b));
                    self.halves.extend(halves);
                    // A whole slice at once: the hardware converts eight values per instruction.
                    let start = out.len();
                    out.resize(start + step, 0.0);
                    self.halves.convert_to_f32_slice(&mut out[start..]);
                }
                Dtype::I8 => out.extend(self.bytes.iter().map(|b| f32::from(b.cast_signed()))),
            }
            at += (step * width) as u64;
            left -= step;
        }
        Ok(())
    }
}

/// Bytes from the start of the file to the end of the last row.
fn whole_length(header: Header, data_start: u64) -> Result<u64, NpyError> {
    let bytes = header.rows.checked_mul(header.columns);
    bytes
        .and_then(|values| values.checked_mul(header.dtype.bytes() as u64))
        .and_then(|bytes| bytes.checked_add(data_start))
        .ok_or(NpyError::Oversized {
            rows: header.rows,
            columns: header.columns,
        })
}
