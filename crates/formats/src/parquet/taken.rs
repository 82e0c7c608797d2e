//! One column of a row group, decoded, and given out cell by cell.
//!
//! The decoders of the crate `parquet` take for granted that a page holds what its header says, and
//! panic where it does not. Pages as plain as ours take little to decode, so they are decoded here.

use std::borrow::Cow;
use std::vec::IntoIter;

use super::levels;
use super::pages::{PlainPage, PlainPages};
use super::{Cell, Kind, ParquetError};

/// The values of a column and the levels that say which row they are of.
pub(super) struct Taken {
    kind: Kind,
    values: Values,
    /// Of each level, whether a row begins there, and what there is: 0 nothing; of a list 1 an empty
    /// one; else a value.
    levels: std::iter::Peekable<IntoIter<(bool, u8)>>,
}

enum Values {
    Texts(IntoIter<String>),
    /// Eight bytes each or four.
    Wide(IntoIter<[u8; 8]>),
    Narrow(IntoIter<[u8; 4]>),
}

impl Taken {
    /// Reads all of a chunk, which must have so many rows.
    pub(super) fn read(pages: PlainPages, kind: Kind, rows: usize) -> Result<Taken, ParquetError> {
        let listed = matches!(kind, Kind::Texts | Kind::Floats);
        let (mut texts, mut wide, mut narrow) = (Vec::new(), Vec::new(), Vec::new());
        let mut levels = Vec::new();
        for page in pages {
            let PlainPage {
                bytes,
                levels: count,
            } = page?;
            let mut rest = &bytes[..];
            let (mut repeated, mut there) = (Vec::new(), Vec::new());
            if listed {
                let taken = levels::take(&mut rest, count, 1, &mut repeated);
                taken.ok_or_else(|| malformed("the levels of a page do not add up"))?;
            } else {
                repeated.resize(count, 0);
            }
            let most = 1 + u8::from(listed);
            let taken = levels::take(&mut rest, count, most, &mut there);
            taken.ok_or_else(|| malformed("the levels of a page do not add up"))?;
            let values = there.iter().map(|&it| usize::from(it == most)).sum();
            let taken = match kind {
                Kind::Text | Kind::Json | Kind::Texts => take_texts(rest, values, &mut texts),
                Kind::Micros => take_numbers(rest, values, &mut wide),
                Kind::Count | Kind::Float | Kind::Floats => take_numbers(rest, values, &mut narrow),
            };
            taken.ok_or_else(|| malformed("a page holds other values than it says"))?;
            levels.extend(repeated.iter().map(|&it| it == 0).zip(there));
        }
        let found = levels.iter().filter(|&&(begins, _)| begins).count();
        // Only what begins a row can be nothing, and only what is there can go on.
        let goes_on = |&(begins, there): &(bool, u8)| begins || there == 2;
        if found != rows || !levels.first().is_none_or(|it| it.0) || !levels.iter().all(goes_on) {
            return Err(malformed("a column has not the rows of its group"));
        }
        Ok(Taken {
            kind,
            values: match kind {
                Kind::Text | Kind::Json | Kind::Texts => Values::Texts(texts.into_iter()),
                Kind::Micros => Values::Wide(wide.into_iter()),
                Kind::Count | Kind::Float | Kind::Floats => Values::Narrow(narrow.into_iter()),
            },
            levels: levels.into_iter().peekable(),
        })
    }

    /// The cell of the next row; there are as many as the group has rows.
    pub(super) fn next_cell(&mut self) -> Option<Cell<'static>> {
        let listed = matches!(self.kind, Kind::Texts | Kind::Floats);
        let (_, there) = self.levels.next()?;
        let mut values = usize::from(there == 1 + u8::from(listed));
        while self.levels.next_if(|&(begins, _)| !begins).is_some() {
            values += 1;
        }
        if there == 0 {
            return Some(Cell::Null);
        }
        let float = |bytes| f32::from_bits(u32::from_le_bytes(bytes));
        Some(match (&mut self.values, self.kind) {
            (Values::Texts(texts), Kind::Texts) => {
                Cell::Texts(Cow::Owned(texts.take(values).collect()))
            }
            (Values::Texts(texts), _) => Cell::Text(Cow::Owned(texts.next()?)),
            (Values::Wide(numbers), _) => Cell::Micros(i64::from_le_bytes(numbers.next()?)),
            (Values::Narrow(numbers), Kind::Count) => {
                Cell::Count(u32::from_le_bytes(numbers.next()?))
            }
            (Values::Narrow(numbers), Kind::Floats) => {
                Cell::Floats(Cow::Owned(numbers.take(values).map(float).collect()))
            }
            (Values::Narrow(numbers), _) => Cell::Float(float(numbers.next()?)),
        })
    }
}

/// Texts, each behind its length in bytes: so many of them, and nothing else.
fn take_texts(mut bytes: &[u8], count: usize, texts: &mut Vec<String>) -> Option<()> {
    for _ in 0..count {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let (text, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        texts.push(std::str::from_utf8(text).ok()?.to_owned());
        bytes = rest;
    }
    bytes.is_empty().then_some(())
}

/// So many numbers of `N` bytes each, and nothing else.
fn take_numbers<const N: usize>(
    bytes: &[u8],
    count: usize,
    numbers: &mut Vec<[u8; N]>,
) -> Option<()> {
    let (whole, rest) = bytes.as_chunks();
    numbers.extend_from_slice(whole);
    (whole.len() == count && rest.is_empty()).then_some(())
}

fn malformed(why: &str) -> ParquetError {
    let why = why.to_owned();
    ParquetError::Malformed { why }
}
