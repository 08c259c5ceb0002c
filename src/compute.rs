//! Long computations, off the threads that serve connections.
//!
//! A thread of the runtime serves many connections in turn, so whatever occupies it for longer than
//! some 10 ms delays all of them. Longer work is done here, for as many requests at a time as the
//! machine has processors; the others wait, and can be cancelled while they do.

use std::future::pending;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{block_in_place, spawn_blocking, yield_now};

/// The longest time for which work may occupy a thread of the runtime.
pub const SLICE: Duration = Duration::from_millis(10);

/// The time for which detached work runs before other work that waits.
pub const TURN: Duration = Duration::from_millis(50);

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

    /// Runs long work on a thread of its own. If the returned future is dropped, the work goes on until it looks at
    /// its [`Turn`].
    pub async fn run_detached<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Turn) -> T + Send + 'static,
    ) -> T {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let permit = permit.expect("the semaphore is never closed");
        let is_cancelled = Arc::default();
        let _guard = CancelOnDrop(Arc::clone(&is_cancelled));
        let mut turn = Turn {
            is_cancelled,
            permits: Arc::clone(&self.permits),
            permit: Some(permit),
            began: Instant::now(),
            runtime: Handle::current(),
        };
        let run = move || work(&mut turn);
        match spawn_blocking(run).await {
            Ok(done) => done,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => resume_unwind(panic),
                // The runtime ends, and with it whoever waits.
                Err(_) => pending().await,
            },
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

/// The place of detached work among all long work.
#[derive(Debug)]
pub struct Turn {
    is_cancelled: Arc<AtomicBool>,
    permits: Arc<Semaphore>,
    /// `None` while other work has the place.
    permit: Option<OwnedSemaphorePermit>,
    began: Instant,
    runtime: Handle,
}

impl Turn {
    /// Returns true once nobody waits for the result any more, so that the work should end.
    pub fn is_cancelled(&self) -> bool {
        self.is_cancelled.load(Ordering::Relaxed)
    }

    /// Lets other work that waits run first if this has run for long. Work that takes longer than [`TURN`] calls it
    /// again and again, on its own thread.
    pub fn share(&mut self) {
        if self.began.elapsed() < TURN {
            return;
        }
        if self.permits.available_permits() == 0 && !self.is_cancelled() {
            self.permit = None;
            // Those who wait already come first.
            let permit = Arc::clone(&self.permits).acquire_owned();
            let permit = self.runtime.block_on(permit);
            self.permit = Some(permit.expect("the semaphore is never closed"));
        }
        self.began = Instant::now();
    }
}

struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
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

    #[tokio::test]
    async fn detached_work_ends_when_nobody_waits_for_it() {
        let pool = ComputePool::default();
        let (sender, receiver) = std::sync::mpsc::channel();
        let work = move |turn: &mut Turn| {
            while !turn.is_cancelled() {
                std::thread::yield_now();
            }
            sender.send(()).unwrap();
        };
        let waiting = pool.run_detached(work);
        let left = tokio::time::timeout(Duration::from_millis(5), waiting).await;
        assert!(left.is_err());
        receiver.recv_timeout(Duration::from_secs(20)).unwrap();
        assert_eq!(pool.run_detached(|_| 7).await, 7);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn detached_work_shares_the_processors_with_work_that_waits() {
        let pool = ComputePool::default();
        let processors = std::thread::available_parallelism().unwrap().get();
        let endless = |turn: &mut Turn| {
            while !turn.is_cancelled() {
                turn.share();
            }
        };
        let endless: Vec<_> = (0..2 * processors)
            .map(|_| {
                let pool = pool.clone();
                tokio::spawn(async move { pool.run_detached(endless).await })
            })
            .collect();
        let others = async {
            assert_eq!(pool.run_detached(|_| 7).await, 7);
            assert_eq!(pool.run_if(true, || 8).await, 8);
        };
        let others = tokio::time::timeout(Duration::from_secs(20), others).await;
        others.unwrap();
        assert!(endless.iter().all(|it| !it.is_finished()));
        for work in endless {
            work.abort();
        }
    }

    #[tokio::test]
    async fn a_panic_of_detached_work_is_one_of_its_caller() {
        let pool = ComputePool::default();
        let work =
            tokio::spawn(async move { pool.run_detached::<()>(|_| panic!("as work does")).await });
        let error = work.await.unwrap_err();
        assert!(error.is_panic());
    }
}
