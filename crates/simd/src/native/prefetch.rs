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

/// How many bytes ahead of each stream of codes memory is asked for; 0: it is not.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ahead(usize);

impl Ahead {
    /// Starts to fetch the row of codes that lies so far beyond this one.
    #[inline(always)]
    pub(super) fn of<T>(self, row: *const T, stride: usize) {
        #[cfg(target_arch = "x86_64")]
        if self.0 > 0 {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            const LINE: usize = 64;
            let row = row.cast::<i8>().wrapping_add(self.0);
            let mut at = 0;
            while at < stride * size_of::<T>() {
                // SAFETY: a hint, as above.
                unsafe { _mm_prefetch::<_MM_HINT_T0>(row.wrapping_add(at)) }
                at += LINE;
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = (self.0, row, stride);
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
/// On an EPYC of Zen 5, whose memory is shared, nothing is steady. Of the speed of a plain read, i8 codes
/// from 1 GiB came at 0.80 to 0.85 without, at 0.82 to 0.85 with 1,024 bytes ahead and at 0.78 to
/// 0.84 with 2,048. Four neighbouring rows instead of four streams, asked for 4,096 bytes ahead, gave 0.89
/// in a calm minute and 0.71 in others.
pub(super) fn of_codes() -> Ahead {
    Ahead(match maker() {
        Maker::Intel => 2_048,
        Maker::Zen5 => 1_024,
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
