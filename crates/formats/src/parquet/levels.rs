//! The levels of a data page: runs of small numbers.

/// Takes the levels that a page begins with: their length in bytes, then runs. Leaves what is behind
/// them, and adds exactly `count` levels to `levels`, none of them above `most`, which is 1 or 2.
/// `None` where they are anything else.
pub(super) fn take(page: &mut &[u8], count: usize, most: u8, levels: &mut Vec<u8>) -> Option<()> {
    let (length, rest) = page.split_first_chunk::<4>()?;
    let length = u32::from_le_bytes(*length) as usize;
    let (mut runs, rest) = rest.split_at_checked(length)?;
    *page = rest;
    let bits = usize::from(most);
    let end = levels.len().checked_add(count)?;
    let first = levels.len();
    while levels.len() < end {
        let header = varint(&mut runs)?;
        let room = end - levels.len();
        let run = (header >> 1) as usize;
        if header & 1 == 0 {
            // One level, many times.
            let (&level, rest) = runs.split_first()?;
            runs = rest;
            if run == 0 || run > room {
                return None;
            }
            levels.resize(levels.len() + run, level);
        } else {
            // Eight levels in as many bytes as each has bits; the last few may be there for nothing.
            let bytes = run.checked_mul(bits)?;
            let (packed, rest) = runs.split_at_checked(bytes)?;
            runs = rest;
            if packed.is_empty() {
                return None;
            }
            let (mask, each) = ((1 << bits) - 1, 8 / bits);
            let unpacked = packed
                .iter()
                .flat_map(|byte| (0..each).map(move |at| byte >> (at * bits) & mask));
            levels.extend(unpacked.take(room));
        }
    }
    let sound = levels[first..].iter().all(|&level| level <= most);
    sound.then_some(())
}

/// Seven bits a byte, the lowest first; up to 32 bits.
fn varint(bytes: &mut &[u8]) -> Option<u32> {
    let mut number = 0_u32;
    for shift in [0, 7, 14, 21, 28] {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let part = u32::from(byte & 0x7f);
        number |= part.checked_shl(shift).filter(|it| it >> shift == part)?;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(runs: &[u8], count: usize, most: u8, want: Option<&[u8]>) {
        let mut page = (runs.len() as u32).to_le_bytes().to_vec();
        page.extend(runs);
        page.push(99);
        let (mut left, mut levels) = (&page[..], vec![7]);
        let taken = take(&mut left, count, most, &mut levels);
        assert_eq!(taken.map(|()| &levels[1..]), want);
        if want.is_some() {
            assert_eq!(left, [99]);
        }
    }

    #[test]
    fn runs_and_packed_levels() {
        check(&[], 0, 1, Some(&[]));
        check(&[6, 1], 3, 1, Some(&[1, 1, 1]));
        check(&[3, 0b1010_0101], 8, 1, Some(&[1, 0, 1, 0, 0, 1, 0, 1]));
        // The fourth to eighth are not asked for.
        check(&[3, 0b1110_0100, 0xff], 3, 2, Some(&[0, 1, 2]));
        check(
            &[4, 2, 3, 1, 0, 2, 0],
            11,
            2,
            Some(&[2, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0]),
        );
    }

    #[test]
    fn what_does_not_add_up_is_refused() {
        check(&[6, 1], 2, 1, None); // More than there are rows.
        check(&[6, 1], 4, 1, None);
        check(&[6], 3, 1, None);
        check(&[6, 2], 3, 1, None);
        check(&[3, 0xff, 0xff], 8, 2, None); // Three is no level.
        check(&[3], 8, 1, None);
        check(&[1, 1], 8, 1, None); // A run of nothing, for ever.
        check(&[0, 1], 1, 1, None);
        check(&[0xff, 0xff, 0xff, 0xff, 0xff, 1], 8, 1, None);
        check(&[0xfe, 0xff, 0xff, 0xff, 0x0f, 1], 8, 1, None);
        let mut page = &[9, 0, 0, 0, 2][..];
        assert_eq!(take(&mut page, 1, 1, &mut Vec::new()), None);
    }
}
