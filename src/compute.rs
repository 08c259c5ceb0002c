//! Long computations, off the threads that serve connections.
//!
//! A thread of the runtime serves many connections in turn, so whatever occupies it for longer than
//! some 10 ms delays all of them. Longer work is done here, for as many requests at a time as the
//! machine has processors; the others wait, and can be cancelled while they do.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::Semaphore;
use tokio::task::{block_in_place, yield_now};

/// The longest time for which work may occupy a thread of the runtime.
pub const SLICE: Duration = Duration::from_millis(10);

/// The threads that do long computations; cheap to clone.
#[derive(Clone, Debug)]
pub struct ComputePool {
    permits: Arc<Semaphore>,
}

impl Default for ComputePool {
    /// Returns a pool of as many threads as the machine has processors.
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            permits: Arc::new(Semaphore::new(processors)),
        }
    }
}

impl ComputePool {
    /// Runs `work` here if it `is_long`, else at once on the thread that serves the request.
    pub async fn run_if<T>(&self, is_long: bool, work: impl FnOnce() -> T) -> T {
        if !is_long {
            return work();
        }
        let permit = self.permits.acquire().await;
        let _permit = permit.expect("the semaphore is never closed");
        match Handle::current().runtime_flavor() {
            RuntimeFlavor::MultiThread => block_in_place(work),
            // There is no other thread that could go on meanwhile.
            _ => work(),
        }
    }

    /// Runs work in steps, until `step` returns a value. Between slices of time other requests are served,
    /// and this one can be cancelled.
    pub async fn run_in_slices<T>(&self, is_long: bool, mut step: impl FnMut() -> Option<T>) -> T {
        loop {
            let slice = || {
                let began = Instant::now();
                loop {
                    let done = step();
                    if done.is_some() || began.elapsed() >= SLICE {
                        return done;
                    }
                }
            };
            if let Some(done) = self.run_if(is_long, slice).await {
                return done;
            }
            yield_now().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn long_work_leaves_the_threads_of_the_runtime_to_others() {
        let pool = ComputePool::default();
        let (sender, receiver) = std::sync::mpsc::channel();
        // The only worker has to send while the work waits for it.
        let long = tokio::spawn(async move {
            pool.run_if(true, move || receiver.recv_timeout(Duration::from_secs(20)))
                .await
        });
        let other = tokio::spawn(async move { sender.send(7).unwrap() });
        assert_eq!(long.await.unwrap(), Ok(7));
        other.await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn at_most_as_many_run_as_there_are_processors() {
        let pool = ComputePool::default();
        let limit = std::thread::available_parallelism().unwrap().get();
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let work = |_| {
            let (pool, running, most) = (pool.clone(), running.clone(), most.clone());
            tokio::spawn(async move {
                let count = || {
                    let now = running.fetch_add(1, Ordering::SeqCst) + 1;
                    most.fetch_max(now, Ordering::SeqCst);
                    std::thread::sleep(Duration::from_millis(1));
                    running.fetch_sub(1, Ordering::SeqCst);
                };
                pool.run_if(true, count).await;
            })
        };
        let all: Vec<_> = (0..4 * limit).map(work).collect();
        for one in all {
            one.await.unwrap();
        }
        assert!((1..=limit).contains(&most.load(Ordering::SeqCst)));
    }

    #[tokio::test]
    async fn steps_are_done_until_one_returns_a_value() {
        let mut steps = 0;
        let step = || {
            steps += 1;
            (steps == 1_000).then_some(steps)
        };
        let done = ComputePool::default().run_in_slices(false, step).await;
        assert_eq!(done, 1_000);
    }
}
