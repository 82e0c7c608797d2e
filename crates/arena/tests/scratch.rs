//! Slices out of one block.
#![cfg(not(loom))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a panic is how a test reports"
)]

use cortica_arena::{Scratch, ScratchError};

#[test]
fn slices_are_apart_whole_and_on_cache_lines() {
    let mut scratch = Scratch::new(64 << 10).unwrap();
    for round in 0..3_u8 {
        {
            let bytes: Vec<&mut [u8]> = (1..200)
                .map(|len| scratch.filled(len, round ^ len as u8).unwrap())
                .collect();
            let words = scratch.copied(&[u64::MAX; 9]).unwrap();
            words[8] = 0;
            for (at, slice) in bytes.iter().enumerate() {
                let len = at + 1;
                assert_eq!(slice.len(), len);
                assert!(slice.iter().all(|&byte| byte == round ^ len as u8));
                assert_eq!(slice.as_ptr().addr() % 64, 0);
            }
        }
        assert!(scratch.used() > 20_000);
        scratch.reset();
        assert_eq!(scratch.used(), 0);
    }
}

#[test]
fn a_full_scratch_says_so_and_goes_on() {
    let mut scratch = Scratch::new(256).unwrap();
    assert_eq!(scratch.limit(), 256);
    scratch.filled(100, 1_u8).unwrap();
    let refused = scratch.filled(33, 1_u32).err();
    let full = |needed, free| {
        Some(ScratchError::Full {
            needed,
            free,
            limit: 256,
        })
    };
    assert_eq!(refused, full(132 + 28, 156));
    assert_eq!(scratch.filled(32, 1_u32).unwrap().len(), 32);
    assert_eq!(scratch.filled(1, 1_u8).err(), full(1, 0));
    assert_eq!(scratch.filled(usize::MAX, 1_u64).err(), full(usize::MAX, 0));
    assert_eq!(scratch.filled(9, ()).unwrap().len(), 9); // Nothing takes no room.
    assert_eq!(scratch.filled(0, 1_u64).unwrap(), []);
    assert_eq!((scratch.used(), scratch.peak()), (256, 256));
    scratch.reset();
    assert_eq!(scratch.copied(&[1_u64; 32]).unwrap(), [1; 32]);
}

#[test]
fn larger_alignment_than_a_line() {
    #[derive(Clone, Copy, Debug, PartialEq)]
    #[repr(align(512))]
    struct Wide(u8);
    let scratch = Scratch::new(4_096).unwrap();
    scratch.filled(1, 1_u8).unwrap();
    let wide = scratch.filled(3, Wide(7)).unwrap();
    assert_eq!(wide, [Wide(7); 3]);
    assert_eq!(wide.as_ptr().addr() % 512, 0);
}

#[test]
fn scratch_of_nothing_and_of_too_much() {
    let scratch = Scratch::new(0).unwrap();
    assert!(scratch.filled(1, 1_u8).is_err());
    assert!(scratch.filled(0, 1_u8).is_ok());
    let refused = Scratch::new(usize::MAX).err();
    assert_eq!(
        refused,
        Some(ScratchError::OutOfMemory { bytes: usize::MAX })
    );
}

/// A worker keeps its scratch; it may be made by another thread.
#[test]
fn scratch_moves_between_threads() {
    let mut scratch = Scratch::new(1 << 12).unwrap();
    let sum: u32 = std::thread::spawn(move || {
        let first = scratch.filled(10, 2_u32).unwrap().iter().sum::<u32>();
        scratch.reset();
        first + scratch.filled(1, 1_u32).unwrap()[0]
    })
    .join()
    .unwrap();
    assert_eq!(sum, 21);
}
