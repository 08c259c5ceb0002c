//! A semaphore for work that occupies a core for some time: few permits at once, and fair between addresses.
//!
//! An address that sends many wrong passwords waits for its own requests; others wait for at most one request of
//! each address.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::hash::Hash;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::oneshot;

/// Maximum number of waiting requests of one address. With bcrypt at its usual cost of 10 and two permits, the
/// last of them waits for some 2 s.
const MAX_WAITING_OF_ONE: usize = 64;
/// Maximum number of waiting requests of all addresses.
const MAX_WAITING: usize = 128;
/// Maximum number of permits, on a machine with as many processors.
const MAX_PERMITS: usize = 2;

/// The source of a request: the part of a network within which one client can choose its address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Origin {
    /// Unknown, as in Lambda: all clients share it.
    #[default]
    Unknown,
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 /64 network, which usually belongs to one client.
    V6([u8; 8]),
}

impl From<IpAddr> for Origin {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(address) => {
                let [a, b, c, d, e, f, g, h, ..] = address.octets();
                Self::V6([a, b, c, d, e, f, g, h])
            }
        }
    }
}

/// Too many requests wait already; the credential of this one was not checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueFull;

/// Waiting tickets, served one key after the other.
struct FairQueue<K, T> {
    max_of_one: usize,
    max: usize,
    /// Queues by key, none of them empty.
    waiting: HashMap<K, VecDeque<(u64, T)>>,
    /// The keys of `waiting`, in the order of service.
    order: VecDeque<K>,
    len: usize,
    next_id: u64,
}

impl<K: Copy + Eq + Hash, T> FairQueue<K, T> {
    fn new(max_of_one: usize, max: usize) -> Self {
        Self {
            max_of_one,
            max,
            waiting: HashMap::new(),
            order: VecDeque::new(),
            len: 0,
            next_id: 0,
        }
    }

    /// Appends a ticket and returns its id, with the ticket that it displaces: if the queue is full, that is
    /// the newest ticket of the key with the most tickets, provided that key has at least two more.
    fn push(&mut self, key: K, ticket: T) -> Result<(u64, Option<T>), QueueFull> {
        let own = self.waiting.get(&key).map_or(0, VecDeque::len);
        if own >= self.max_of_one {
            return Err(QueueFull);
        }
        let displaced = if self.len < self.max {
            None
        } else {
            let most = self.waiting.iter().max_by_key(|(_, queue)| queue.len());
            let (most, queue) = most.ok_or(QueueFull)?;
            // Equal shares must not displace each other by turns.
            if queue.len() <= own + 1 {
                return Err(QueueFull);
            }
            let (most, newest) = (*most, queue.back().map(|(id, _)| *id));
            newest.and_then(|id| self.remove(most, id))
        };
        let id = self.next_id;
        self.next_id += 1;
        let queue = self.waiting.entry(key).or_default();
        if queue.is_empty() {
            self.order.push_back(key);
        }
        queue.push_back((id, ticket));
        self.len += 1;
        Ok((id, displaced))
    }

    /// Removes and returns the oldest ticket of the next key; the key moves to the end.
    fn pop(&mut self) -> Option<T> {
        let key = self.order.pop_front()?;
        let queue = self.waiting.get_mut(&key)?;
        let (_, ticket) = queue.pop_front()?;
        self.len -= 1;
        if queue.is_empty() {
            self.waiting.remove(&key);
        } else {
            self.order.push_back(key);
        }
        Some(ticket)
    }

    /// Removes a ticket that waits no longer.
    fn remove(&mut self, key: K, id: u64) -> Option<T> {
        let queue = self.waiting.get_mut(&key)?;
        // Ids ascend.
        let index = queue.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        let (_, ticket) = queue.remove(index)?;
        self.len -= 1;
        if queue.is_empty() {
            self.waiting.remove(&key);
            self.order.retain(|other| *other != key);
        }
        Some(ticket)
    }
}

/// A semaphore that serves one origin after the other; cheap to clone.
#[derive(Clone)]
pub(super) struct FairSemaphore(Arc<Mutex<State>>);

struct State {
    /// Free permits; more than zero only while no request waits.
    free: usize,
    queue: FairQueue<Origin, oneshot::Sender<Permit>>,
}

impl Default for FairSemaphore {
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self::new(processors.min(MAX_PERMITS), MAX_WAITING_OF_ONE, MAX_WAITING)
    }
}

impl fmt::Debug for FairSemaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FairSemaphore")
    }
}

impl FairSemaphore {
    pub(super) fn new(permits: usize, max_of_one: usize, max: usize) -> Self {
        Self(Arc::new(Mutex::new(State {
            free: permits,
            queue: FairQueue::new(max_of_one, max),
        })))
    }

    /// Waits for a permit. A request that stops waiting loses its place in the queue.
    ///
    /// # Errors
    /// Too many wait, of this origin or in all.
    pub(super) async fn acquire(&self, origin: Origin) -> Result<Permit, QueueFull> {
        let (mut entry, displaced) = {
            let mut state = self.lock();
            if state.free > 0 {
                state.free -= 1;
                return Ok(Permit(Some(self.clone())));
            }
            let (sender, receiver) = oneshot::channel();
            let (id, displaced) = state.queue.push(origin, sender)?;
            let semaphore = self;
            let entry = QueueEntry {
                semaphore,
                origin,
                id,
                receiver,
            };
            (entry, displaced)
        };
        // Notifies the displaced request at once.
        drop(displaced);
        (&mut entry.receiver).await.map_err(|_| QueueFull)
    }

    /// Passes the permit to the next request.
    fn pass_on(self) {
        loop {
            let next = {
                let mut state = self.lock();
                let next = state.queue.pop();
                if next.is_none() {
                    state.free += 1;
                }
                next
            };
            let Some(next) = next else { return };
            match next.send(Permit(Some(self.clone()))) {
                Ok(()) => return,
                // It left meanwhile. The permit is emptied, so that it is not passed on twice.
                Err(mut permit) => permit.0 = None,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }
}

/// A place in the queue, given up when dropped.
struct QueueEntry<'a> {
    semaphore: &'a FairSemaphore,
    origin: Origin,
    id: u64,
    receiver: oneshot::Receiver<Permit>,
}

impl Drop for QueueEntry<'_> {
    fn drop(&mut self) {
        let _ = self.semaphore.lock().queue.remove(self.origin, self.id);
    }
}

/// A permit, passed on when dropped.
#[derive(Debug)]
pub(super) struct Permit(Option<FairSemaphore>);

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(semaphore) = self.0.take() {
            semaphore.pass_on();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::FutureExt;
    use futures_util::future::BoxFuture;

    use super::*;

    fn v4(last: u8) -> Origin {
        Origin::from(IpAddr::from([127, 0, 0, last]))
    }

    #[test]
    fn origins() {
        let origin = |text: &str| Origin::from(text.parse::<IpAddr>().unwrap());
        let cases = [
            ("10.0.0.1", "10.0.0.1", true),
            ("10.0.0.1", "10.0.0.2", false),
            ("10.0.0.1", "::ffff:10.0.0.1", true),
            ("2001:db8::1", "2001:db8::ffff:0:0:2", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
        ];
        for (a, b, same) in cases {
            assert_eq!(origin(a) == origin(b), same, "{a} {b}");
        }
    }

    #[test]
    fn keys_are_served_by_turns() {
        let mut queue = FairQueue::new(4, 8);
        for (key, ticket) in [('a', 1), ('a', 2), ('a', 3), ('b', 4), ('c', 5), ('b', 6)] {
            assert!(queue.push(key, ticket).is_ok());
        }
        let order: Vec<i32> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(order, [1, 4, 5, 2, 6, 3]);
        assert_eq!(
            (queue.len, queue.waiting.len(), queue.order.len()),
            (0, 0, 0)
        );
    }

    #[test]
    fn what_waits_is_bounded_and_the_greediest_loses() {
        let mut queue = FairQueue::new(3, 4);
        let (first, _) = queue.push('a', 1).unwrap();
        queue.push('a', 2).unwrap();
        queue.push('a', 3).unwrap();
        assert_eq!(queue.push('a', 4), Err(QueueFull));
        queue.push('b', 5).unwrap();
        // All four places are taken: the newest of the one with the most goes.
        assert_eq!(queue.push('c', 6).unwrap().1, Some(3));
        assert_eq!(queue.push('c', 7), Err(QueueFull), "two each are fair");
        assert_eq!(queue.push('d', 8).unwrap().1, Some(2));
        assert_eq!(queue.push('e', 9), Err(QueueFull), "one each is fair");
        assert_eq!(queue.remove('a', first), Some(1));
        assert_eq!(queue.remove('a', first), None);
        assert!(!queue.order.contains(&'a'));
        let order: Vec<i32> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(order, [5, 6, 8]);
    }

    /// Requests that wait for a permit or hold one, by number.
    type Waiting<'a> = Vec<BoxFuture<'a, Result<Permit, QueueFull>>>;

    fn served(waiting: &mut Waiting<'_>) -> Vec<usize> {
        let polled = waiting.iter_mut().enumerate();
        polled
            .filter_map(|(index, future)| {
                let permit = future.now_or_never()?;
                // Never polled again.
                *future = std::future::pending().boxed();
                permit.map(|_permit| index).ok()
            })
            .collect()
    }

    #[tokio::test]
    async fn a_flood_of_one_address_delays_another_by_one_permit() {
        let semaphore = FairSemaphore::new(1, 400, 400);
        let held = semaphore.acquire(v4(1)).await.unwrap();
        let mut waiting: Waiting<'_> = Vec::new();
        for _ in 0..300 {
            waiting.push(semaphore.acquire(v4(1)).boxed());
        }
        waiting.push(semaphore.acquire(v4(2)).boxed());
        assert_eq!(served(&mut waiting), Vec::<usize>::new());
        drop(held);
        // The sweep goes on from 0 with each permit that is given back, so the other address is seen in
        // the first one, after a single permit of the flood.
        assert_eq!(served(&mut waiting), [0, 300]);
    }

    #[tokio::test]
    async fn a_request_that_leaves_gives_back_its_place_and_permit() {
        let semaphore = FairSemaphore::new(2, 1, 2);
        let (one, two) = (
            semaphore.acquire(v4(1)).await,
            semaphore.acquire(v4(2)).await,
        );
        {
            let mut waits = pin!(semaphore.acquire(v4(1)));
            assert!((&mut waits).now_or_never().is_none());
            let full = semaphore.acquire(v4(1)).await;
            assert_eq!(full.err(), Some(QueueFull));
        }
        assert_eq!(semaphore.lock().queue.len, 0);
        {
            let mut waits = pin!(semaphore.acquire(v4(1)));
            assert!((&mut waits).now_or_never().is_none());
            drop(one);
            assert_eq!(semaphore.lock().free, 0, "the waiting request has it");
        }
        assert_eq!(semaphore.lock().free, 1, "which left without taking it");
        drop(two);
        assert_eq!(semaphore.lock().free, 2);
    }

    #[tokio::test]
    async fn a_displaced_request_hears_of_it() {
        let semaphore = FairSemaphore::new(1, 2, 2);
        let _held = semaphore.acquire(v4(1)).await.unwrap();
        let mut first = pin!(semaphore.acquire(v4(1)));
        let mut second = pin!(semaphore.acquire(v4(1)));
        let mut other = pin!(semaphore.acquire(v4(2)));
        assert!((&mut first).now_or_never().is_none());
        assert!((&mut second).now_or_never().is_none());
        assert!((&mut other).now_or_never().is_none());
        assert!(matches!((&mut second).now_or_never(), Some(Err(QueueFull))));
        assert!((&mut first).now_or_never().is_none());
    }
}
