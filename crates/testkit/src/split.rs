//! Which concepts are for training and which for testing.

/// The side of the split on which a concept stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Split {
    /// Networks may be trained on it; about four fifths of any folder.
    Train,
    /// Held out: quality is measured on it.
    Test,
}

impl Split {
    /// The word in the fourth column of the bundle's `items.tsv`.
    pub fn as_str(self) -> &'static str {
        match self {
            Split::Train => "train",
            Split::Test => "test",
        }
    }
}

/// Noun offsets that are held out, as half-open ranges. Their ends are where the fewest hypernym
/// edges pass over; see `docs/decisions/0002-train-test-split.md` for how they were found.
const NOUNS: [(u32, u32); 14] = [
    (800_000, 880_000),
    (1_650_000, 1_750_000),
    (2_610_000, 2_690_000),
    (4_570_000, 5_220_000),
    (6_900_000, 7_000_000),
    (7_280_000, 7_480_000),
    (7_610_000, 7_800_000),
    (9_190_000, 9_480_000),
    (9_690_000, 9_770_000),
    (10_990_000, 11_070_000),
    (11_400_000, 11_530_000),
    (11_750_000, 12_140_000),
    (13_420_000, 13_780_000),
    (15_110_000, 15_300_000),
];

/// Verb offsets that are held out.
const VERBS: [(u32, u32); 5] = [
    (560_000, 750_000),
    (1_080_000, 1_140_000),
    (1_760_000, 1_820_000),
    (2_120_000, 2_200_000),
    (2_600_000, 2_770_000),
];

/// Adjectives and adverbs have no hypernyms; a cluster of similar adjectives lies in one run of
/// offsets, so every fifth block of this many is held out.
const BLOCK: u32 = 50_000;

/// The side on which a concept stands, by its part of speech and WordNet 3.0 offset alone
/// (`n00001740`): the same concept is on the same side in every folder.
///
/// An id of another form is held out when its FNV-1a hash is a multiple of five, so that data from
/// elsewhere has a split too, though not one by subtree.
pub fn split_of(id: &str) -> Split {
    let held_out = match parse(id) {
        Some((b'n', offset)) => within(&NOUNS, offset),
        Some((b'v', offset)) => within(&VERBS, offset),
        // Adjective satellites (s) lie in the same file as adjectives.
        Some((_, offset)) => (offset / BLOCK).is_multiple_of(5),
        None => fnv1a(id).is_multiple_of(5),
    };
    if held_out { Split::Test } else { Split::Train }
}

fn parse(id: &str) -> Option<(u8, u32)> {
    let (&part, digits) = id.as_bytes().split_first()?;
    let known = matches!(part, b'n' | b'v' | b'a' | b's' | b'r');
    let plain = digits.len() == 8 && digits.iter().all(u8::is_ascii_digit);
    (known && plain).then_some(())?;
    Some((part, id[1..].parse().ok()?))
}

fn within(ranges: &[(u32, u32)], offset: u32) -> bool {
    ranges
        .iter()
        .any(|&(from, to)| (from..to).contains(&offset))
}

fn fnv1a(id: &str) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325_u64;
    id.bytes().fold(start, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(id: &str, want: Split) {
        assert_eq!(split_of(id), want, "{id}");
    }

    #[test]
    fn ends_of_ranges() {
        check("n00001740", Split::Train); // entity
        check("n00799999", Split::Train);
        check("n00800000", Split::Test);
        check("n00879999", Split::Test);
        check("n00880000", Split::Train);
        check("v00559999", Split::Train);
        check("v00560000", Split::Test);
        check("a00049999", Split::Test);
        check("a00050000", Split::Train);
        check("a00250000", Split::Test);
        check("s00250000", Split::Test);
        check("r00250000", Split::Test);
        check("r00249999", Split::Train);
    }

    #[test]
    fn any_other_id_has_a_side() {
        for id in [
            "",
            "n",
            "n1",
            "n0000174x",
            "x00001740",
            "é0001740",
            "n000017400",
        ] {
            assert_eq!(split_of(id), split_of(id));
        }
        let held = |i: &u32| split_of(&format!("doc-{i}")) == Split::Test;
        let share = (0..10_000).filter(held).count() as f64 / 10_000.0;
        assert!((0.18..0.22).contains(&share), "{share}");
    }
}
