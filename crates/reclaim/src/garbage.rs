//! Objects that wait to be freed.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// One object and what frees it; the type is forgotten.
#[derive(Debug)]
pub(crate) struct Retired {
    pointer: *mut (),
    free: unsafe fn(*mut ()),
}

impl Retired {
    /// # Safety
    ///
    /// `free` may be called with `pointer` once, on any thread, at any time until this is
    /// dropped.
    pub(crate) unsafe fn new<T: Send>(pointer: *mut T, free: unsafe fn(*mut T)) -> Retired {
        // SAFETY: pointers to sized types are passed alike whatever they point to ("ABI
        // compatibility" in the documentation of `fn`), and it is called with `pointer` only.
        let free = unsafe { std::mem::transmute::<unsafe fn(*mut T), unsafe fn(*mut ())>(free) };
        Retired {
            pointer: pointer.cast(),
            free,
        }
    }

    pub(crate) fn pointer(&self) -> *mut () {
        self.pointer
    }

    /// Frees it; says whether that went without a panic. The panic itself was reported by the
    /// hook when it happened and ends here.
    #[must_use]
    pub(crate) fn free(self) -> bool {
        // SAFETY: `new`'s caller allows one call, and `self` is consumed.
        let free = || unsafe { (self.free)(self.pointer) };
        if cfg!(loom) {
            free(); // Its panic may be loom's report, which must not end here.
            return true;
        }
        let freed = catch_unwind(AssertUnwindSafe(free));
        // A payload may panic on drop, too; what it owns is worth less than the rest of a batch.
        freed.map_err(std::mem::forget).is_ok()
    }
}
