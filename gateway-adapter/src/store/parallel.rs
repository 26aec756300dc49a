//! A few threads for a stream of jobs.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// More of them would wait for the disk, each with a file's piece in memory.
const MAX_THREADS: usize = 4;
/// Jobs that weigh less are handed over together: a switch of threads costs as much as reading some KiB.
const BATCH: u64 = 1 << 20;
/// At most so many.
const MAX_BATCH: usize = 64;

/// Whether anyone still waits for a piece of work. Blocking work goes on when whoever asked for it is gone; long work looks here.
#[derive(Debug, Clone, Default)]
pub(super) struct Wanted(Arc<AtomicBool>);

/// While it is there, the work is wanted.
#[derive(Debug)]
pub(super) struct Waiting(Wanted);

// === impl Wanted ===

impl Wanted {
    /// Nobody waits any more.
    pub(super) fn gone(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// For whoever waits.
    pub(super) fn waiting(&self) -> Waiting {
        Waiting(self.clone())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}

/// Does all jobs, a few at a time, in no order, as long as they are wanted. Blocks until the last one is done; at most a few
/// batches wait. `weight` is a job's in bytes: light ones are handed over together.
pub(super) fn each<J: Send>(
    jobs: impl Iterator<Item = J>,
    wanted: &Wanted,
    weight: impl Fn(&J) -> u64,
    work: impl Fn(J) + Sync,
) {
    let threads = thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS);
    let (sender, receiver) = sync_channel::<Vec<J>>(threads);
    let receiver = Mutex::new(receiver);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let batch = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok(batch) = batch else { return };
                    batch.into_iter().take_while(|_| !wanted.gone()).for_each(&work);
                }
            });
        }
        let jobs = jobs.take_while(|_| !wanted.gone()).fuse();
        for batch in (Batches { jobs, weight }) {
            // A thread ends only with the channel, or by a panic that the scope passes on.
            if sender.send(batch).is_err() {
                return;
            }
        }
        drop(sender);
    });
}

struct Batches<I, W> {
    jobs: I,
    weight: W,
}

impl<I: Iterator, W: Fn(&I::Item) -> u64> Iterator for Batches<I, W> {
    type Item = Vec<I::Item>;

    fn next(&mut self) -> Option<Vec<I::Item>> {
        let (mut batch, mut total) = (Vec::new(), 0_u64);
        while batch.len() < MAX_BATCH && total < BATCH {
            let Some(job) = self.jobs.next() else { break };
            total = total.saturating_add((self.weight)(&job));
            batch.push(job);
        }
        (!batch.is_empty()).then_some(batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn light_jobs_go_together_and_heavy_ones_alone() {
        let sizes = |jobs: Vec<u64>| {
            let batches = Batches { jobs: jobs.into_iter().fuse(), weight: |job: &u64| *job };
            batches.map(|batch| batch.len()).collect::<Vec<_>>()
        };
        assert_eq!(sizes(vec![0; 130]), [64, 64, 2]);
        assert_eq!(sizes(vec![BATCH, BATCH * 9, BATCH / 2, BATCH / 2, 1]), [1, 1, 2, 1]);
        assert_eq!(sizes(vec![]), [0; 0]);
    }

    #[test]
    fn all_jobs_are_done() {
        let done = Mutex::new(Vec::new());
        let work = |job| done.lock().unwrap().push(job);
        each(0..1000_u64, &Wanted::default(), |job| job * 1000, work);
        let mut done = done.into_inner().unwrap();
        done.sort_unstable();
        assert_eq!(done, (0..1000).collect::<Vec<_>>());
    }

    #[test]
    fn what_nobody_wants_any_more_is_not_done() {
        let (wanted, done) = (Wanted::default(), Mutex::new(0));
        drop(wanted.waiting());
        each(0..1000_u64, &wanted, |_| 1, |_| *done.lock().unwrap() += 1);
        assert_eq!(done.into_inner().unwrap(), 0);
    }
}
