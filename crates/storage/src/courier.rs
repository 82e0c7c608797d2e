//! A thread that writes the parts of a large commit while the next part is being made.

use cortica_env::DiskFile;
use std::io;
use std::ops::Range;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

/// Parts that may be on their way at once: one that is being written and one that waits. So no more
/// than three buffers are in use, and their memory is used again.
const UNDER_WAY_MAX: usize = 2;

/// A buffer's memory that is kept.
const SPARE_BYTES_MAX: usize = 4 << 20;

/// A stretch of a buffer and the place in a file that it goes to.
#[derive(Debug)]
pub(crate) struct Stretch {
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) bytes: Range<usize>,
    pub(crate) offset: u64,
}

/// Writes parts in the order they are handed over. The thread is started for the first one.
#[derive(Debug, Default)]
pub(crate) struct Courier {
    worker: Option<Worker>,
    under_way: usize,
    /// Buffers that are empty.
    spare: Vec<Vec<u8>>,
}

#[derive(Debug)]
struct Worker {
    parts: Sender<Part>,
    /// Never waited for: whoever has the courier has it alone.
    done: Mutex<Receiver<Done>>,
    thread: JoinHandle<()>,
}

#[derive(Debug)]
struct Part {
    buffer: Vec<u8>,
    stretches: Vec<Stretch>,
}

#[derive(Debug)]
struct Done {
    buffer: Vec<u8>,
    written: io::Result<()>,
}

impl Stretch {
    pub(crate) fn write(&self, buffer: &[u8]) -> io::Result<()> {
        self.file.write_at(&buffer[self.bytes.clone()], self.offset)
    }
}

impl Courier {
    /// Has a part written and the disk start on it, and gives an empty buffer for the next one.
    ///
    /// An error is one of this part or of an earlier one. Behind a part that could not be written,
    /// nothing more is.
    pub(crate) fn hand_over(
        &mut self,
        buffer: Vec<u8>,
        stretches: Vec<Stretch>,
    ) -> io::Result<Vec<u8>> {
        while self.under_way >= UNDER_WAY_MAX {
            self.wait()?;
        }
        let part = Part { buffer, stretches };
        if self.worker.is_none() {
            self.worker = Worker::start();
        }
        match &self.worker {
            Some(worker) => {
                worker.parts.send(part).map_err(|_| has_ended())?;
                self.under_way += 1;
            }
            None => self.take_back(part.write())?, // The system had no thread to give.
        }
        Ok(self.spare.pop().unwrap_or_default())
    }

    /// Returns when all that was handed over is written.
    pub(crate) fn settle(&mut self) -> io::Result<()> {
        while self.under_way > 0 {
            self.wait()?;
        }
        Ok(())
    }

    /// Waits for one part.
    fn wait(&mut self) -> io::Result<()> {
        self.under_way -= 1;
        let worker = self.worker.as_mut().ok_or_else(has_ended)?;
        let done = worker.done.get_mut();
        let done = done.unwrap_or_else(PoisonError::into_inner).recv();
        self.take_back(done.map_err(|_| has_ended())?)
    }

    fn take_back(&mut self, done: Done) -> io::Result<()> {
        let Done {
            mut buffer,
            written,
        } = done;
        buffer.clear();
        buffer.shrink_to(SPARE_BYTES_MAX);
        self.spare.push(buffer);
        written
    }
}

impl Drop for Courier {
    fn drop(&mut self) {
        if let Some(Worker { parts, thread, .. }) = self.worker.take() {
            drop(parts); // It ends when nothing is left to write.
            let _ = thread.join(); // What it had to say was said with each part.
        }
    }
}

impl Worker {
    fn start() -> Option<Self> {
        let (parts, to_write) = channel::<Part>();
        let (tell, done) = channel();
        let work = move || {
            let mut failed = false;
            for part in to_write {
                let done = if failed { part.leave() } else { part.write() };
                failed |= done.written.is_err();
                if tell.send(done).is_err() {
                    return;
                }
            }
        };
        let named = thread::Builder::new().name("cortica-log".to_owned());
        Some(Self {
            parts,
            done: Mutex::new(done),
            thread: named.spawn(work).ok()?,
        })
    }
}

impl Part {
    fn write(self) -> Done {
        let Self { buffer, stretches } = self;
        let written = stretches.iter().try_for_each(|stretch| {
            stretch.write(&buffer)?;
            let len = stretch.bytes.len() as u64;
            stretch.file.start_sync(stretch.offset, len);
            Ok(())
        });
        Done { buffer, written }
    }

    /// Does not write it: an earlier one is missing.
    fn leave(self) -> Done {
        Done {
            buffer: self.buffer,
            written: Err(io::Error::other("what comes before it was not written")),
        }
    }
}

fn has_ended() -> io::Error {
    io::Error::other("the thread that writes has ended")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic is how a test reports")]
mod tests {
    use super::*;
    use std::sync::Condvar;

    /// A file whose writes wait until they are let go, and fail where it is told.
    #[derive(Debug, Default)]
    struct Slow {
        state: Mutex<State>,
        changed: Condvar,
        fails_at: Option<u64>,
    }

    #[derive(Debug, Default)]
    struct State {
        let_go: usize,
        offsets: Vec<u64>,
    }

    impl Slow {
        fn let_go(&self, writes: usize) {
            self.state.lock().unwrap().let_go += writes;
            self.changed.notify_all();
        }

        fn offsets(&self) -> Vec<u64> {
            self.state.lock().unwrap().offsets.clone()
        }
    }

    impl DiskFile for Slow {
        fn len(&self) -> io::Result<u64> {
            Ok(0)
        }

        fn read_at(&self, _: &mut [u8], _: u64) -> io::Result<usize> {
            Ok(0)
        }

        fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
            assert!(bytes.iter().all(|&byte| u64::from(byte) == offset));
            let state = self.state.lock().unwrap();
            let mut state = self
                .changed
                .wait_while(state, |state| state.let_go == 0)
                .unwrap();
            state.let_go -= 1;
            state.offsets.push(offset);
            match self.fails_at {
                Some(at) if at == offset => Err(io::Error::other("on purpose")),
                _ => Ok(()),
            }
        }

        fn allocate(&self, _: u64) -> io::Result<()> {
            Ok(())
        }

        fn set_len(&self, _: u64) -> io::Result<()> {
            Ok(())
        }

        fn sync(&self) -> io::Result<()> {
            Ok(())
        }
    }

    fn hand(courier: &mut Courier, file: &Arc<Slow>, offset: u64) -> io::Result<Vec<u8>> {
        let stretch = Stretch {
            file: file.clone(),
            bytes: 1..3,
            offset,
        };
        let byte = offset as u8;
        courier.hand_over(vec![99, byte, byte, 99], vec![stretch])
    }

    #[test]
    fn parts_are_written_beside_in_order_and_two_at_most_wait() {
        let file = Arc::new(Slow::default());
        let mut courier = Courier::default();
        for offset in 0..2 {
            assert!(hand(&mut courier, &file, offset).unwrap().is_empty());
        }
        assert_eq!(file.offsets(), [], "it waited for the disk");
        let other = file.clone();
        let letting_go = thread::spawn(move || other.let_go(1));
        // Only when the first one is done is there room for a third.
        let buffer = hand(&mut courier, &file, 2).unwrap();
        assert!(buffer.is_empty() && buffer.capacity() >= 4, "used again");
        assert_eq!(file.offsets(), [0]);
        letting_go.join().unwrap();
        file.let_go(2);
        courier.settle().unwrap();
        assert_eq!(file.offsets(), [0, 1, 2]);
        courier.settle().unwrap();
        hand(&mut courier, &file, 3).unwrap();
        file.let_go(1);
        drop(courier);
        assert_eq!(file.offsets(), [0, 1, 2, 3], "dropped before it was done");
        assert_eq!(Arc::strong_count(&file), 1);
    }

    #[test]
    fn behind_one_that_fails_nothing_is_written() {
        let file = Arc::new(Slow {
            fails_at: Some(1),
            ..Slow::default()
        });
        file.let_go(9);
        let mut courier = Courier::default();
        hand(&mut courier, &file, 0).unwrap();
        hand(&mut courier, &file, 1).unwrap();
        let third = hand(&mut courier, &file, 2); // Knows of the first one alone.
        assert!(third.is_ok());
        assert!(courier.settle().is_err());
        let _ = courier.settle();
        assert!(hand(&mut courier, &file, 3).is_err() || courier.settle().is_err());
        drop(courier);
        assert_eq!(file.offsets(), [0, 1]);
    }
}
