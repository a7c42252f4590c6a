//! Examples made ready ahead of the steps that learn from them.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

use super::{Batch, Batches, DataError, Examples};

/// Calls whose examples wait, besides those that are being made.
const AHEAD: usize = 2;
/// Examples after which a worker looks whether it should stop.
const EXAMPLES_BETWEEN_LOOKS: usize = 64;

/// The examples of each call of a run, in order, made by a thread of its own while earlier steps run. Dropping it
/// stops that thread within a few examples.
#[derive(Debug)]
pub struct Prefetch {
    /// Taken only by dropping, so that a worker which waits to send is told.
    ready: Option<Receiver<Result<Batch, DataError>>>,
    spare: Sender<Batch>,
    stop: Arc<AtomicBool>,
    worker: Option<JoinHandle<()>>,
}

impl Prefetch {
    /// Begins to make the examples of `steps`, `per_call` steps at a time, the last call maybe fewer.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn new(
        examples: Examples,
        batches: Batches,
        steps: Range<u64>,
        per_call: u64,
    ) -> Result<Prefetch, DataError> {
        let (send, ready) = sync_channel(AHEAD);
        let (spare, spares) = channel();
        let stop = Arc::new(AtomicBool::new(false));
        let work = Work { examples, batches, stop: Arc::clone(&stop), spares };
        let worker = std::thread::Builder::new()
            .name("natgrad-data".to_string())
            .spawn(move || work.run(steps, per_call.max(1), &send))
            .map_err(DataError::Thread)?;
        Ok(Prefetch { ready: Some(ready), spare, stop, worker: Some(worker) })
    }

    /// The examples of the next call; waits until they are there. None after the last call.
    ///
    /// # Errors
    /// Those of reading that call's examples.
    pub fn next_call(&mut self) -> Result<Option<Batch>, DataError> {
        match self.ready.as_ref().map(Receiver::recv) {
            Some(Ok(batch)) => batch.map(Some),
            Some(Err(_)) | None => match self.worker.take().map(JoinHandle::join) {
                Some(Err(_)) => Err(DataError::Thread(std::io::Error::other("it panicked"))),
                Some(Ok(())) | None => Ok(None),
            },
        }
    }

    /// Gives the memory of examples that are not needed any more to later ones.
    pub fn give_back(&mut self, batch: Batch) {
        // A worker that is done takes no more.
        let _ = self.spare.send(batch);
    }
}

impl Drop for Prefetch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.ready = None;
        if let Some(worker) = self.worker.take() {
            let _ = worker.join();
        }
    }
}

/// What the worker needs.
struct Work {
    examples: Examples,
    batches: Batches,
    stop: Arc<AtomicBool>,
    spares: Receiver<Batch>,
}

impl Work {
    fn run(mut self, steps: Range<u64>, per_call: u64, send: &SyncSender<Result<Batch, DataError>>) {
        let mut step = steps.start;
        while step < steps.end && !self.stopped() {
            let mut batch = self.spares.try_recv().unwrap_or_default();
            batch.clear();
            let next = steps.end.min(step.saturating_add(per_call));
            let made = (step..next).try_for_each(|step| self.append(step, &mut batch));
            let failed = made.is_err();
            if send.send(made.map(|()| batch)).is_err() || failed {
                return;
            }
            step = next;
        }
    }

    fn append(&mut self, step: u64, out: &mut Batch) -> Result<(), DataError> {
        let crops = self.batches.crops(&self.examples, step);
        let rows = self.batches.rows(step);
        for (index, part) in rows.chunks(EXAMPLES_BETWEEN_LOOKS).enumerate() {
            if self.stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            let first = index * EXAMPLES_BETWEEN_LOOKS;
            let crops = crops.as_ref().map(|crops| &crops[first..first + part.len()]);
            self.examples.append(part, crops, out)?;
        }
        Ok(())
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Augment, Features, Labels, Table};

    fn examples(rows: u32) -> Examples {
        let pixels = (0..rows * 6).map(|element| (element % 251) as u8).collect();
        let table = Table::new(
            [2, 3, 1],
            Features::pixels(pixels, &[0.1], &[0.5]),
            Labels::classes((0..rows).collect()),
        );
        Examples::Table(table.with_augment(Some(Augment { crop: 1, flip: true })))
    }

    #[test]
    fn calls_come_in_order_and_as_they_would_without_a_thread() {
        let examples = examples(1000);
        let batches = Batches::new(1000, 200, 5).unwrap();
        for (steps, per_call) in [(0..23, 4), (7..8, 3), (3..3, 1), (2..12, 5)] {
            let mut ahead =
                Prefetch::new(examples.clone(), batches.clone(), steps.clone(), per_call).unwrap();
            let mut step = steps.start;
            while let Some(batch) = ahead.next_call().unwrap() {
                let mut wanted = Batch::default();
                for step in step..steps.end.min(step + per_call) {
                    batches.clone().append(&examples, step, &mut wanted).unwrap();
                }
                assert_eq!(batch, wanted);
                step += per_call;
                ahead.give_back(batch);
            }
            assert!(step >= steps.end && step < steps.end + per_call);
            assert!(ahead.next_call().unwrap().is_none());
        }
    }

    #[test]
    fn an_error_comes_where_its_call_is() {
        // The rows of the table end before those of the batches: the first call that has one of them fails.
        let examples = examples(60);
        let mut batches = Batches::new(61, 1, 9).unwrap();
        let bad = (0..61).find(|&step| batches.rows(step) == [60]).unwrap();
        let mut ahead = Prefetch::new(examples, batches, 0..61, 1).unwrap();
        for _ in 0..bad {
            assert!(ahead.next_call().unwrap().is_some());
        }
        let error = ahead.next_call().unwrap_err().to_string();
        assert_eq!(error, "there is no example 60: there are 60, counted from 0");
        assert!(ahead.next_call().unwrap().is_none());
    }

    #[test]
    fn dropping_it_stops_the_worker() {
        let mut ahead =
            Prefetch::new(examples(100), Batches::new(100, 10, 0).unwrap(), 0..u64::MAX, 3).unwrap();
        assert!(ahead.next_call().unwrap().is_some());
        let stop = Arc::downgrade(&ahead.stop);
        drop(ahead);
        // The worker held the other reference.
        assert!(stop.upgrade().is_none());
    }
}
