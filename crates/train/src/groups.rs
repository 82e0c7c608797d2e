//! The lexicographers' files from which WordNet was made.

/// Offsets at which the first concept of each file lies in WordNet 3.0, as its own files list them
/// (second field of `data.noun`, `data.verb` and `data.adj`); adverbs come from a single one.
const NOUNS: [u32; 26] = [
    1_740, 34_479, 1_313_093, 2_665_985, 4_615_866, 5_216_365, 5_611_302, 6_251_781, 7_283_364,
    7_479_926, 7_555_863, 7_938_773, 8_489_497, 9_178_727, 9_186_064, 9_483_738, 11_408_559,
    11_529_603, 13_240_514, 13_423_405, 13_575_869, 13_780_449, 13_860_793, 13_920_012, 14_580_597,
    15_113_229,
];
const VERBS: [u32; 15] = [
    1_740, 109_660, 588_221, 740_595, 1_072_280, 1_156_852, 1_205_714, 1_617_210, 1_759_344,
    1_831_549, 2_105_828, 2_199_608, 2_367_050, 2_603_699, 2_756_558,
];
const ADJECTIVES: [u32; 3] = [1_740, 2_598_609, 3_147_282];

/// The part of speech and the file that a concept with an id like `n00001740` comes from, satellite
/// adjectives being adjectives. Ids of another form come from none.
pub(crate) fn group_of(id: &str) -> Option<(u8, usize)> {
    let (&part, digits) = id.as_bytes().split_first()?;
    if digits.len() != 8 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let offset: u32 = id.get(1..)?.parse().ok()?;
    let part = if part == b's' { b'a' } else { part };
    let starts: &[u32] = match part {
        b'n' => &NOUNS,
        b'v' => &VERBS,
        b'a' => &ADJECTIVES,
        _ => &[],
    };
    Some((part, starts.partition_point(|&start| start <= offset)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(id: &str, part: u8, file: usize) {
        assert_eq!(group_of(id), Some((part, file)), "{id}");
    }

    #[test]
    fn first_and_last_of_files() {
        check("n00001740", b'n', 1); // entity
        check("n00034478", b'n', 1);
        check("n00034479", b'n', 2); // thing done
        check("n15300051", b'n', 26);
        check("v00109660", b'v', 2);
        check("a00001740", b'a', 1);
        check("s00002312", b'a', 1);
        check("a02598609", b'a', 2); // pertaining to
        check("r00001740", b'r', 0);
        for id in ["", "n1", "doc-1", "n0000174x", "é0001740"] {
            assert_eq!(group_of(id), None, "{id}");
        }
    }

    #[test]
    fn files_follow_each_other() {
        for starts in [&NOUNS[..], &VERBS, &ADJECTIVES] {
            assert!(starts.is_sorted_by(|a, b| a < b));
        }
    }
}
