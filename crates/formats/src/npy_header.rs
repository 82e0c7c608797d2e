//! The header of an npy file: a Python dictionary literal with exactly three keys.
//!
//! Source: NumPy's `lib/format.py`, versions 1.0 to 3.0. The parser walks the bytes once, never
//! recurses and keeps nothing but the three values, so a hostile header costs at most its length.

use crate::NpyError;

/// The longest header text that is accepted, in bytes. NumPy writes about 120 for any array of two
/// dimensions; more means a structured type, which is refused anyway.
pub(crate) const HEADER_BYTES_MAX: u64 = 65_536;

/// Magic, version and the widest length field.
pub(crate) const PREFIX_BYTES_MAX: usize = 12;

pub(crate) const MAGIC: &[u8; 6] = b"\x93NUMPY";

/// The type of the values in a file. All are little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dtype {
    /// 32-bit float, `<f4`.
    F32,
    /// 16-bit float, `<f2`.
    F16,
    /// Signed byte, `|i1`.
    I8,
}

impl Dtype {
    /// Bytes per value.
    pub fn bytes(self) -> usize {
        match self {
            Dtype::F32 => 4,
            Dtype::F16 => 2,
            Dtype::I8 => 1,
        }
    }

    /// The name NumPy gives it.
    pub fn descr(self) -> &'static str {
        match self {
            Dtype::F32 => "<f4",
            Dtype::F16 => "<f2",
            Dtype::I8 => "|i1",
        }
    }
}

/// What the header says, checked for everything but the length of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) dtype: Dtype,
    pub(crate) rows: u64,
    pub(crate) columns: u64,
}

/// How long the prefix is and how long the header text after it claims to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Prefix {
    pub(crate) prefix_bytes: u64,
    pub(crate) text_bytes: u64,
}

/// Reads magic, version and length field from the first bytes of a file of `file_bytes` bytes.
pub(crate) fn parse_prefix(start: &[u8], file_bytes: u64) -> Result<Prefix, NpyError> {
    let seen = start.len().min(MAGIC.len());
    if start[..seen] != MAGIC[..seen] {
        return Err(NpyError::NotNpy);
    }
    let cut = |expected| NpyError::Truncated {
        expected,
        found: file_bytes,
    };
    let [major, minor] = *start
        .get(6..8)
        .and_then(|v| v.first_chunk())
        .ok_or(cut(10))?;
    let (prefix_bytes, text_bytes) = match (major, minor) {
        (1, 0) => {
            let length = start.get(8..10).and_then(|v| v.first_chunk());
            (10, u64::from(u16::from_le_bytes(*length.ok_or(cut(10))?)))
        }
        (2 | 3, 0) => {
            let length = start.get(8..12).and_then(|v| v.first_chunk());
            (12, u64::from(u32::from_le_bytes(*length.ok_or(cut(12))?)))
        }
        _ => return Err(NpyError::Version { major, minor }),
    };
    if text_bytes > HEADER_BYTES_MAX {
        return Err(NpyError::HeaderTooLarge {
            claimed: text_bytes,
            max: HEADER_BYTES_MAX,
        });
    }
    if prefix_bytes + text_bytes > file_bytes {
        return Err(cut(prefix_bytes + text_bytes));
    }
    Ok(Prefix {
        prefix_bytes,
        text_bytes,
    })
}

/// Reads the dictionary.
pub(crate) fn parse_text(text: &[u8]) -> Result<Header, NpyError> {
    let mut cursor = Cursor { text, at: 0 };
    let (mut descr, mut fortran, mut shape) = (None, None, None);
    cursor.expect(b'{', "a dictionary must begin with {")?;
    while !cursor.accept(b'}') {
        let key_at = cursor.at;
        let key = cursor.string()?;
        cursor.expect(b':', "a colon must follow the key")?;
        let again = match key {
            b"descr" => descr.replace(cursor.dtype()?).is_some(),
            b"fortran_order" => fortran.replace(cursor.boolean()?).is_some(),
            b"shape" => shape.replace(cursor.shape()?).is_some(),
            _ => {
                return Err(NpyError::Header {
                    at: key_at,
                    why: "only descr, fortran_order and shape are known keys",
                });
            }
        };
        if again {
            return Err(NpyError::Header {
                at: key_at,
                why: "the key stands twice",
            });
        }
        if !cursor.accept(b',') {
            cursor.expect(b'}', "a comma or } must follow the value")?;
            break;
        }
    }
    cursor.skip_space();
    if cursor.at != text.len() {
        return cursor.fail("nothing may follow the dictionary");
    }
    let (Some(dtype), Some(fortran), Some(shape)) = (descr, fortran, shape) else {
        return cursor.fail("descr, fortran_order and shape must all be there");
    };
    if fortran {
        return Err(NpyError::FortranOrder);
    }
    let [rows, columns] = shape.sizes;
    if shape.count != 2 {
        return Err(NpyError::Dimensions { found: shape.count });
    }
    if columns == 0 {
        return Err(NpyError::NoColumns { rows });
    }
    Ok(Header {
        dtype,
        rows,
        columns,
    })
}

/// The first two sizes are enough: any other count is refused.
struct Shape {
    count: usize,
    sizes: [u64; 2],
}

struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn fail<T>(&self, why: &'static str) -> Result<T, NpyError> {
        Err(NpyError::Header { at: self.at, why })
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn accept(&mut self, byte: u8) -> bool {
        self.skip_space();
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, byte: u8, why: &'static str) -> Result<(), NpyError> {
        if self.accept(byte) {
            Ok(())
        } else {
            self.fail(why)
        }
    }

    /// A quoted string without escapes: none of the three keys or of the types needs one.
    fn string(&mut self) -> Result<&'a [u8], NpyError> {
        self.skip_space();
        let Some(quote @ (b'\'' | b'"')) = self.peek() else {
            return self.fail("a quoted string is expected");
        };
        let rest = &self.text[self.at + 1..];
        match rest.iter().position(|&b| b == quote || b == b'\\') {
            Some(length) if rest[length] == quote => {
                self.at += length + 2;
                Ok(&rest[..length])
            }
            _ => self.fail("the string does not end, or holds an escape"),
        }
    }

    fn dtype(&mut self) -> Result<Dtype, NpyError> {
        self.skip_space();
        if matches!(self.peek(), Some(b'[' | b'(')) {
            return Err(NpyError::Dtype {
                found: "a structure".to_owned(),
            });
        }
        let name = self.string()?;
        for dtype in [Dtype::F32, Dtype::F16, Dtype::I8] {
            if name == dtype.descr().as_bytes() {
                return Ok(dtype);
            }
        }
        // Only the first bytes are shown: an error message is no place for 64 KiB of header.
        let shown = String::from_utf8_lossy(&name[..name.len().min(24)]);
        let found = format!("'{}'", shown.escape_debug());
        match name.first() {
            Some(b'>') => Err(NpyError::BigEndian { found }),
            _ => Err(NpyError::Dtype { found }),
        }
    }

    fn boolean(&mut self) -> Result<bool, NpyError> {
        self.skip_space();
        let rest = &self.text[self.at..];
        for (name, value) in [(&b"True"[..], true), (b"False", false)] {
            if rest.starts_with(name) {
                self.at += name.len();
                return Ok(value);
            }
        }
        self.fail("True or False is expected")
    }

    fn shape(&mut self) -> Result<Shape, NpyError> {
        let mut shape = Shape {
            count: 0,
            sizes: [0; 2],
        };
        self.expect(b'(', "a shape must begin with (")?;
        while !self.accept(b')') {
            let size = self.size()?;
            if let Some(slot) = shape.sizes.get_mut(shape.count) {
                *slot = size;
            }
            shape.count += 1;
            if !self.accept(b',') {
                self.expect(b')', "a comma or ) must follow the size")?;
                break;
            }
        }
        Ok(shape)
    }

    fn size(&mut self) -> Result<u64, NpyError> {
        self.skip_space();
        let mut size = 0_u64;
        let start = self.at;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            let next = size.checked_mul(10);
            let Some(next) = next.and_then(|s| s.checked_add(u64::from(digit - b'0'))) else {
                return self.fail("the size does not fit in 64 bits");
            };
            size = next;
            self.at += 1;
        }
        if self.at == start {
            return self.fail("a size in decimal digits is expected");
        }
        Ok(size)
    }
}
