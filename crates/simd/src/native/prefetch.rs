//! Asking for memory before it is needed.

/// Which cache is to hold what is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Into {
    First,
    Second,
}

/// Starts to fetch the cache line of `values[at]`, which may lie beyond the end: rows are often
/// lent a part at a time, and the next part is what follows. Nothing happens where the address is
/// not there, and on processors other than x86-64.
#[inline(always)]
pub(crate) fn prefetch<T>(values: &[T], at: usize, into: Into) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _MM_HINT_T1, _mm_prefetch};
        let address = values.as_ptr().wrapping_add(at).cast::<i8>();
        // SAFETY: a prefetch is a hint: it reads nothing that could be seen and faults nowhere,
        // whatever the address. Every x86-64 has the instruction.
        unsafe {
            match into {
                Into::First => _mm_prefetch::<_MM_HINT_T0>(address),
                Into::Second => _mm_prefetch::<_MM_HINT_T1>(address),
            }
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (values, at, into);
}

/// Where rows that lie anywhere are fetched to on this machine.
///
/// On an EPYC a walk along a graph whose rows come from memory took 63 us with the first cache,
/// which waits for a few lines at a time and lets nothing else pass meanwhile, and 53 us with the
/// second.
#[inline]
pub(crate) fn of_rows() -> Into {
    match maker() {
        Maker::Intel => Into::First,
        Maker::Zen5 | Maker::Other => Into::Second,
    }
}

/// Where the next rows of a tile are fetched to on this machine.
///
/// On a Xeon it made no difference. On an EPYC the first cache has 32 KB and few places in which
/// to wait for what lies far away: a tile of 16 queries and 10,000 rows of 768 values ran at 77
/// GFLOP/s with its rows fetched there, at 67 with none fetched and at 101 with the second cache. On one of
/// Zen 5, with 48 KB, the first is faster by a fiftieth.
#[inline]
pub(crate) fn of_tiles() -> Into {
    match maker() {
        Maker::Intel | Maker::Zen5 => Into::First,
        Maker::Other => Into::Second,
    }
}

/// Bytes of rows that are cut into four streams at a time: few enough pages for the translation cache, long
/// enough for the prefetchers to run ahead.
///
/// On an EPYC of Zen 5 sign codes came at 0.85 of the speed of a plain read in streams of 98 KB and at 0.91 in
/// streams of 393 KB, i8 codes at 0.95 in 128 KB and at 0.97 in 768 KB. Elsewhere it was not measured.
pub(super) fn streamed_bytes() -> usize {
    match maker() {
        Maker::Zen5 => 1 << 21,
        Maker::Intel | Maker::Other => 1 << 19,
    }
}

/// Bytes in a cache line.
pub(super) const LINE_BYTES: usize = 64;

/// How many bytes ahead of each stream of codes memory is asked for; 0: it is not.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ahead(usize);

impl Ahead {
    /// For rows that lie anywhere: what comes next is not known.
    pub(super) const NONE: Ahead = Ahead(0);

    /// Whether nothing is asked for.
    pub(super) fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Starts to fetch the row of codes that lies so far beyond this one.
    #[inline(always)]
    pub(super) fn of<T>(self, row: *const T, stride: usize) {
        let row = row.cast::<u8>();
        let mut at = 0;
        while self.0 > 0 && at < stride * size_of::<T>() {
            self.line(row.wrapping_add(at));
            at += LINE_BYTES;
        }
    }

    /// Starts to fetch the line that lies so far beyond this place in a row.
    #[inline(always)]
    pub(super) fn line<T>(self, place: *const T) {
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            // SAFETY: a hint, as above.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(place.cast::<i8>().wrapping_add(self.0)) }
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = (self.0, place);
    }
}

/// For kernels that wait for memory most of the time.
///
/// Intel's prefetchers stop at each page, and short rows keep too few of them busy: on a Xeon, 16.6
/// GB/s of sign codes from memory where there were 13.1, at a price of a twentieth where everything
/// is in the second-level cache. AMD's up to Zen 4 run ahead on their own, and what is asked for
/// besides takes the places in which they wait for memory: on an EPYC, i8 codes came at 0.61 of the
/// speed of a plain read with it, at 0.97 without, and at 0.78 with the second cache asked to fetch.
///
/// On an EPYC of Zen 5 i8 codes of 768 from 1 GiB came at these parts of the speed of a plain read, in turn
/// with it, medians of eleven: four streams with nothing asked for 0.84; a row asked for at once, 1,024 bytes ahead,
/// 0.86 to 0.87; a line of it at each step, as is done now, 768 ahead 0.92, 1,536 ahead 0.95, 3,072 ahead 0.89;
/// eight streams 0.78; four neighbouring rows 0.88 to 0.89 with 4,096 ahead, but 0.71 in a less calm minute.
pub(super) fn of_codes() -> Ahead {
    Ahead(match maker() {
        Maker::Intel => 2_048,
        Maker::Zen5 => 1_536,
        Maker::Other => 0,
    })
}

/// For kernels that have much to do with each line: by the time they look for the next one,
/// AMD's prefetchers have not been asked for it long enough. On an EPYC without AVX-512, sign codes
/// came at 0.84 of the speed of a plain read without it and at 0.88 with it, 512 to 2,048 bytes
/// ahead alike; 4,096 was slower than none. On one of Zen 5 with AVX2, at 0.71 without, 0.77 with 1,024,
/// 0.90 with 2,048 and 0.88 with 4,096; with VPOPCNTDQ at 0.69 without, 0.84 to 0.92 with 2,048, and
/// neighbouring rows at 0.62 to 0.88.
pub(super) fn of_counting() -> Ahead {
    Ahead(match maker() {
        Maker::Intel | Maker::Zen5 => 2_048,
        Maker::Other => 1_024,
    })
}

/// For counting in one step a line.
pub(super) fn of_counting_at_once() -> Ahead {
    match maker() {
        Maker::Intel | Maker::Zen5 => of_counting(),
        Maker::Other => of_codes(),
    }
}

/// Makers whose caches and prefetchers differ in what suits them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Maker {
    Intel,
    /// AMD's, and later ones of theirs.
    Zen5,
    Other,
}

/// Found out once.
#[cfg(target_arch = "x86_64")]
#[inline]
fn maker() -> Maker {
    use std::arch::x86_64::__cpuid;
    use std::sync::OnceLock;
    static MAKER: OnceLock<Maker> = OnceLock::new();
    *MAKER.get_or_init(|| {
        let vendor = __cpuid(0);
        let name = [vendor.ebx, vendor.edx, vendor.ecx].map(u32::to_le_bytes);
        let family = __cpuid(1).eax;
        // The extended family counts on where the four bits of the old one end.
        let family = (family >> 8 & 0xf) + (family >> 20 & 0xff);
        match name.as_flattened() {
            b"GenuineIntel" => Maker::Intel,
            b"AuthenticAMD" if family >= 0x1a => Maker::Zen5,
            _ => Maker::Other,
        }
    })
}

#[cfg(not(target_arch = "x86_64"))]
fn maker() -> Maker {
    Maker::Other
}
