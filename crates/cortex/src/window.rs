//! The last codes of each stream.

use crate::prototype::{CODE_DIMENSION, Code};
use std::collections::{BTreeMap, HashMap};

/// Codes that are kept of a stream.
pub const WINDOW: usize = 8;

/// Streams that are kept where no other number was chosen.
pub const STREAMS_MAX: usize = 4_096;

/// The last codes of one stream, oldest first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    codes: [Code; WINDOW],
    len: usize,
    /// When the stream was last used, counted in codes.
    stamp: u64,
}

impl Window {
    const EMPTY: Window = Window {
        codes: [[0.0; CODE_DIMENSION]; WINDOW],
        len: 0,
        stamp: 0,
    };

    /// The codes.
    #[must_use]
    pub fn codes(&self) -> &[Code] {
        &self.codes[..self.len]
    }

    /// The code that makes room for it.
    fn push(&mut self, code: &Code) -> Option<Code> {
        let oldest = (self.len == WINDOW).then_some(self.codes[0]);
        if oldest.is_some() {
            self.codes.rotate_left(1);
            self.len -= 1;
        }
        self.codes[self.len] = *code;
        self.len += 1;
        oldest
    }

    fn unpush(&mut self, oldest: Option<&Code>) {
        self.len -= 1;
        if let Some(oldest) = oldest {
            self.codes.rotate_right(1);
            self.codes[0] = *oldest;
            self.len += 1;
        }
    }
}

/// The last codes of each stream; of more streams than there may be, the one that was used least recently is dropped.
///
/// ```
/// use cortica_cortex::Windows;
///
/// let mut windows = Windows::new(2);
/// for stream in [7, 8, 7, 9] {
///     windows.push(stream, &[stream as f32; 64]);
/// }
/// assert_eq!(windows.codes(7).len(), 2);
/// assert!(windows.codes(8).is_empty(), "dropped for stream 9");
/// ```
#[derive(Clone, Debug)]
pub struct Windows {
    streams_max: usize,
    streams: HashMap<u64, Window>,
    /// Streams by their stamps.
    used: BTreeMap<u64, u64>,
    stamp: u64,
}

/// What [`Windows::push`] replaced, for [`Windows::undo`].
#[derive(Clone, Debug)]
#[must_use = "dropped where it is kept"]
pub struct Replaced {
    stream: u64,
    /// Its stamp before, if it is not new.
    before: Option<u64>,
    oldest: Option<Code>,
    dropped: Option<Box<(u64, Window)>>,
}

impl Windows {
    /// None yet, and at most so many; 1 at least.
    #[must_use]
    pub fn new(streams_max: usize) -> Windows {
        Windows {
            streams_max: streams_max.max(1),
            streams: HashMap::new(),
            used: BTreeMap::new(),
            stamp: 0,
        }
    }

    /// The last codes of a stream, oldest first.
    #[must_use]
    pub fn codes(&self, stream: u64) -> &[Code] {
        self.streams.get(&stream).map_or(&[], Window::codes)
    }

    /// The window of a stream; an empty one where there is none.
    #[must_use]
    pub fn window(&self, stream: u64) -> Window {
        let known = self.streams.get(&stream);
        known.copied().unwrap_or(Window::EMPTY)
    }

    /// Adds a code to its stream. O(log streams).
    pub fn push(&mut self, stream: u64, code: &Code) -> Replaced {
        self.stamp += 1;
        let before = self.streams.get(&stream).map(|window| window.stamp);
        let mut dropped = None;
        if let Some(before) = before {
            self.used.remove(&before);
        } else if self.streams.len() >= self.streams_max
            && let Some((_, oldest)) = self.used.pop_first()
        {
            let window = self.streams.remove(&oldest);
            dropped = window.map(|window| Box::new((oldest, window)));
        }
        let window = self.streams.entry(stream).or_insert(Window::EMPTY);
        let oldest = window.push(code);
        window.stamp = self.stamp;
        self.used.insert(self.stamp, stream);
        Replaced {
            stream,
            before,
            oldest,
            dropped,
        }
    }

    /// Takes the last push back that was not taken back yet.
    pub fn undo(&mut self, replaced: Replaced) {
        let Replaced {
            stream,
            before,
            oldest,
            dropped,
        } = replaced;
        self.used.remove(&self.stamp);
        self.stamp -= 1;
        match (before, self.streams.get_mut(&stream)) {
            (Some(stamp), Some(window)) => {
                window.unpush(oldest.as_ref());
                window.stamp = stamp;
                self.used.insert(stamp, stream);
            }
            _ => drop(self.streams.remove(&stream)),
        }
        if let Some(dropped) = dropped {
            let (stream, window) = *dropped;
            self.used.insert(window.stamp, stream);
            self.streams.insert(stream, window);
        }
    }

    /// How many streams there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.streams.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// All streams with their codes, the least recently used first: pushed in this order into empty windows, each
    /// code of each, they are these again.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &[Code])> {
        self.used
            .values()
            .filter_map(|stream| Some((*stream, self.streams.get(stream)?.codes())))
    }
}

impl Default for Windows {
    fn default() -> Windows {
        Windows::new(STREAMS_MAX)
    }
}

/// The same streams with the same codes, in the same order of use.
impl PartialEq for Windows {
    fn eq(&self, other: &Windows) -> bool {
        self.iter().eq(other.iter())
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn windows_are_those_of_a_plain_list_and_undone_to_the_bit() {
        let mut chance = cortica_env::Seed(5).rng();
        let mut windows = Windows::new(5);
        // The definition: all codes of a stream, and the order in which streams were used.
        let mut plain: Vec<(u64, Vec<Code>)> = Vec::new();
        for _ in 0..2_000 {
            let stream = chance.below(9);
            let code = [chance.unit() as f32; CODE_DIMENSION];
            let before = windows.clone();
            let replaced = windows.push(stream, &code);
            if chance.below(3) == 0 {
                windows.undo(replaced);
                assert_eq!(windows, before);
                continue;
            }
            let found = plain.iter().position(|(known, _)| *known == stream);
            let (_, mut codes) = found.map_or((stream, Vec::new()), |at| plain.remove(at));
            codes.push(code);
            plain.push((stream, codes));
            if plain.len() > 5 {
                plain.remove(0);
            }
            let got: Vec<_> = windows.iter().collect();
            let want: Vec<_> = plain
                .iter()
                .map(|(stream, codes)| (*stream, &codes[codes.len().saturating_sub(WINDOW)..]))
                .collect();
            assert_eq!(got, want);
        }
        let mut again = Windows::new(5);
        for (stream, codes) in windows.iter() {
            for code in codes {
                drop(again.push(stream, code));
            }
        }
        assert_eq!(again, windows);
    }
}
