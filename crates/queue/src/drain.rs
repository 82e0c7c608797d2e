//! Dropping what is left in a queue.

/// Drops what `pop` gives until it gives nothing, even if an item panics while it is dropped. If a
/// second one does, the process ends, as it does for a `Vec`.
pub(crate) fn drop_each<T>(mut pop: impl FnMut() -> Option<T>) {
    struct Rest<'a, T>(&'a mut dyn FnMut() -> Option<T>);
    impl<T> Drop for Rest<'_, T> {
        fn drop(&mut self) {
            while let Some(item) = (self.0)() {
                drop(item);
            }
        }
    }
    let rest = Rest(&mut pop);
    while let Some(item) = (rest.0)() {
        drop(item);
    }
}
