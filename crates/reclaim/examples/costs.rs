//! What a protected read costs, piece by piece, and what a search of a list costs with it.
//!
//! `cargo run --release -p cortica-reclaim --features signal --example costs`: nanoseconds, the
//! median of interleaved rounds. See `docs/decisions/0010-reads-keep-their-slot.md`.
#![allow(clippy::print_stdout, reason = "it is what the example is for")]

#[cfg(not(loom))]
fn main() {
    of_loops::run();
}

#[cfg(loom)]
fn main() {}

#[cfg(not(loom))]
mod of_loops {
    use std::hint::{black_box, cold_path};
    use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
    use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, compiler_fence, fence};
    use std::time::Instant;

    use cortica_reclaim::{Epoch, PublishOnPing, Reclaim, Shared, SortedSet};

    /// Reads, and searches, in one timed piece.
    const READS: u32 = 1_000_000;
    const SEARCHES: u32 = 10_000;

    const ROUNDS: usize = 41;

    type Object = [u64; 8];

    /// A slot without a domain.
    #[derive(Default)]
    #[repr(align(128))]
    struct Slot {
        reserved: AtomicUsize,
        late: AtomicU64,
    }

    /// How the reader keeps its store before its second look.
    #[derive(Clone, Copy)]
    enum Keep {
        Compiler,
        LookWhether,
        Fence,
        Exchange,
    }

    /// A name, and what is timed; it returns nanoseconds for one read or search.
    type Row<'a> = (String, Box<dyn FnMut() -> f64 + 'a>);

    pub(super) fn run() {
        let (membarrier, fenced) = (PublishOnPing::new(), PublishOnPing::fenced());
        let epoch = Epoch::new();
        println!("reads; the best form here is {:?}", membarrier.form());
        let object: Object = black_box([7; 8]);
        let values = [&membarrier, &fenced].map(|domain| Shared::new(domain, object));
        let pinned = Shared::new(&epoch, object);
        let mut rows: Vec<Row<'_>> = vec![
            row("a load alone", READS, || load_alone(&object)),
            row("load, store, look, store: the least", READS, || {
                least::<{ Keep::Compiler as u8 }>(&object);
            }),
            row("the same, and whether it is late", READS, || {
                least::<{ Keep::LookWhether as u8 }>(&object);
            }),
            row("the least and a fence", READS, || {
                least::<{ Keep::Fence as u8 }>(&object);
            }),
            row("the least, its store an exchange", READS, || {
                least::<{ Keep::Exchange as u8 }>(&object);
            }),
        ];
        for (shared, form) in values.iter().zip(["best form", "fenced"]) {
            rows.push(row(
                &format!("Reader, {form}: read and release"),
                READS,
                || {
                    let mut reader = shared.reader();
                    for _ in 0..READS {
                        black_box(reader.read()[0]);
                        reader.release();
                    }
                },
            ));
            rows.push(row(&format!("Shared::read, {form}"), READS, || {
                (0..READS).for_each(|_| _ = black_box(shared.read()[0]));
            }));
        }
        rows.push(row("Shared::read, epochs", READS, || {
            (0..READS).for_each(|_| _ = black_box(pinned.read()[0]));
        }));
        measure(rows);

        for (keys, changes) in [(128, 2), (512, 2), (512, 5), (2_048, 5), (20_000, 5)] {
            println!(
                "searches: {keys} keys, half there; {changes}% insertions, as many removals; two threads"
            );
            lists(
                keys,
                changes,
                &[
                    #[cfg(all(feature = "signal", target_os = "linux"))]
                    ("signal", PublishOnPing::signalled().unwrap_or_default()),
                    ("best form", PublishOnPing::new()),
                    ("fenced", PublishOnPing::fenced()),
                ],
            );
        }
    }

    fn row<'a>(name: &str, times: u32, mut work: impl FnMut() + 'a) -> Row<'a> {
        let timed = move || {
            let start = Instant::now();
            work();
            1e9 * start.elapsed().as_secs_f64() / f64::from(times)
        };
        (name.to_owned(), Box::new(timed))
    }

    fn measure(mut rows: Vec<Row<'_>>) {
        let mut times = vec![Vec::new(); rows.len()];
        for _ in 0..ROUNDS {
            for ((_, timed), times) in rows.iter_mut().zip(&mut times) {
                times.push(timed());
            }
        }
        for ((name, _), times) in rows.iter().zip(&mut times) {
            times.sort_by(f64::total_cmp);
            println!(
                "{name:40} {:8.2} (least {:.2})",
                times[ROUNDS / 2],
                times[0]
            );
        }
    }

    #[inline(never)]
    fn load_alone(object: &Object) {
        let source = AtomicUsize::new(1);
        for _ in 0..READS {
            black_box(object[source.load(Acquire) % object.len()]);
        }
    }

    #[inline(never)]
    fn least<const KEEP: u8>(object: &Object) {
        let (source, slot) = (AtomicUsize::new(1), Slot::default());
        let (source, slot) = (black_box(&source), black_box(&slot));
        for _ in 0..READS {
            let found = source.load(Acquire);
            if KEEP == Keep::Exchange as u8 {
                slot.reserved.swap(found, SeqCst);
            } else {
                slot.reserved.store(found, Release);
            }
            compiler_fence(SeqCst);
            if KEEP == Keep::Fence as u8 {
                fence(SeqCst);
            }
            if KEEP == Keep::LookWhether as u8 && slot.late.load(Acquire) != 0 {
                cold_path();
                fence(SeqCst);
            }
            if source.load(Acquire) != found {
                changed();
            }
            black_box(object[found % object.len()]);
            slot.reserved.store(0, Release);
        }
    }

    /// Nobody changes it; a reader has to look.
    #[cold]
    #[inline(never)]
    fn changed() {
        black_box(());
    }

    fn lists(keys: u64, changes: u64, domains: &[(&str, PublishOnPing)]) {
        let sets = domains.iter().map(|(name, domain)| {
            let set = SortedSet::new(domain);
            for key in (0..keys).rev().step_by(2) {
                let _ = set.insert(key); // A new set has none of them.
            }
            (*name, set)
        });
        let sets: Vec<_> = sets.collect();
        let searches = (SEARCHES * 512 / keys as u32).max(100);
        let mut rows: Vec<Row<'_>> = Vec::new();
        for (seed, (name, set)) in (1..).zip(&sets) {
            let mut seed = seed;
            rows.push((
                (*name).to_owned(),
                Box::new(move || {
                    seed += 10;
                    beside_another(set, keys, changes, seed, searches)
                }),
            ));
        }
        measure(rows);
    }

    fn beside_another<R: Reclaim>(
        set: &SortedSet<u64, R>,
        keys: u64,
        changes: u64,
        seed: u64,
        searches: u32,
    ) -> f64 {
        let (working, done) = (AtomicBool::new(false), AtomicBool::new(false));
        std::thread::scope(|threads| {
            threads.spawn(|| {
                let mut other = seed;
                while !done.load(Relaxed) {
                    operate(set, keys, changes, &mut other);
                    working.store(true, Relaxed);
                }
            });
            while !working.load(Relaxed) {
                std::thread::yield_now();
            }
            let mut own = !seed;
            let start = Instant::now();
            (0..searches).for_each(|_| operate(set, keys, changes, &mut own));
            let took = start.elapsed().as_secs_f64();
            done.store(true, Relaxed);
            1e9 * took / f64::from(searches)
        })
    }

    fn operate<R: Reclaim>(set: &SortedSet<u64, R>, keys: u64, changes: u64, random: &mut u64) {
        // Knuth's generator; the upper bits are the good ones.
        *random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        let (key, chance) = ((*random >> 33) % keys, (*random >> 20) % 100);
        let changed = if chance < changes {
            set.insert(key).is_ok()
        } else if chance < 2 * changes {
            set.remove(&key)
        } else {
            set.contains(&key)
        };
        black_box(changed);
    }
}
