//! Zeroed memory on cache lines, in huge pages where that is worth it and to be had.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::fmt;
use std::ptr::NonNull;

use crate::placement::PAGE;

/// A cache line, and the widest vector register.
const LINE: usize = 64;

/// Smaller memory comes from the allocator: a mapping of its own costs system calls.
const MAPPED_FROM: usize = 2 << 20;

/// What the system's huge pages hold.
const HUGE_PAGE: usize = 2 << 20;

/// Bytes that start on a cache line, stay where they are, and were zero at first.
pub(crate) struct Memory {
    start: NonNull<u8>,
    len: usize,
    origin: Origin,
}

enum Origin {
    /// From the allocator; an empty layout has no memory behind it.
    Allocated(Layout),
    /// With so many bytes.
    #[cfg(all(target_os = "linux", not(miri), not(loom)))]
    Mapped(usize),
}

// SAFETY: plain bytes, owned like a box of them; who may read or write them is said by those who
// hold it.
unsafe impl Send for Memory {}
// SAFETY: as above; a shared `Memory` gives nothing but an address and a length.
unsafe impl Sync for Memory {}

impl Memory {
    /// `None` if the system has no more.
    pub(crate) fn zeroed(len: usize) -> Option<Memory> {
        if len >= MAPPED_FROM
            && let Some(mapped) = Memory::mapped(len)
        {
            return Some(mapped);
        }
        let layout = Layout::from_size_align(len, LINE).ok()?;
        let start = if len == 0 {
            layout.dangling_ptr()
        } else {
            // SAFETY: the layout is not empty.
            NonNull::new(unsafe { alloc_zeroed(layout) })?
        };
        Some(Memory {
            start,
            len,
            origin: Origin::Allocated(layout),
        })
    }

    /// Pages that are zero and take no memory until they are touched: a page fault is dear, so as
    /// few and as large ones as can be had.
    #[cfg(all(target_os = "linux", not(miri), not(loom)))]
    fn mapped(len: usize) -> Option<Memory> {
        use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous};
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // A last page that is nearly a huge one is made one: in small ones it costs some 500 faults.
        let whole = len.checked_next_multiple_of(HUGE_PAGE)?;
        let mapped = if whole - len < HUGE_PAGE / 8 {
            whole
        } else {
            len
        };
        // SAFETY: at an address of the kernel's choice, so nothing that is mapped is touched.
        let start =
            unsafe { mmap_anonymous(std::ptr::null_mut(), mapped, access, MapFlags::PRIVATE) }
                .ok()?;
        // Only a hint: where huge pages are not to be had, small ones do.
        // SAFETY: the mapping was just made and is nobody else's; the advice changes no content.
        let _ = unsafe { madvise(start, mapped, Advice::LinuxHugepage) };
        Some(Memory {
            start: NonNull::new(start.cast())?,
            len,
            origin: Origin::Mapped(mapped),
        })
    }

    #[cfg(not(all(target_os = "linux", not(miri), not(loom))))]
    fn mapped(_len: usize) -> Option<Memory> {
        None
    }

    pub(crate) fn start(&self) -> NonNull<u8> {
        self.start
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Writes a zero into every page, so that the system puts them where this thread runs.
    pub(crate) fn touch(&mut self) {
        for at in (0..self.len).step_by(PAGE) {
            // SAFETY: within the memory, which `&mut self` makes ours; every bit pattern is a
            // byte. Volatile: zeros over zeros could be left out.
            unsafe { self.start.add(at).write_volatile(0) };
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        match self.origin {
            Origin::Allocated(layout) if layout.size() > 0 => {
                // SAFETY: allocated with this layout, and given back once.
                unsafe { dealloc(self.start.as_ptr(), layout) };
            }
            Origin::Allocated(_) => {}
            #[cfg(all(target_os = "linux", not(miri), not(loom)))]
            Origin::Mapped(mapped) => {
                // SAFETY: mapped with this length, and taken away once. It cannot fail for a
                // mapping that is there; if it did, the memory would stay, which is safe.
                let _ = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), mapped) };
            }
        }
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Memory({} bytes)", self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeroed_on_lines_and_writable_to_the_end() {
        for len in [0, 1, 64, 4_097, MAPPED_FROM - 1, MAPPED_FROM, 5 << 20] {
            let mut memory = Memory::zeroed(len).unwrap();
            assert_eq!(memory.start().addr().get() % LINE, 0, "{len}");
            memory.touch();
            // SAFETY: the memory is ours, and zeroed.
            let bytes =
                unsafe { std::slice::from_raw_parts_mut(memory.start().as_ptr(), memory.len()) };
            assert!(bytes.iter().all(|&byte| byte == 0), "{len}");
            bytes.fill(0xa5);
        }
    }

    #[test]
    fn too_much_is_refused() {
        assert!(Memory::zeroed(usize::MAX).is_none());
        assert!(Memory::zeroed(isize::MAX as usize - 4_096).is_none());
    }
}
