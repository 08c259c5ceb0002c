//! Turns at work that costs a core some time: few at once, and fair between the addresses that ask.
//!
//! Whoever sends many wrong passwords waits for its own; others wait for one of them at most per address.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::hash::Hash;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::oneshot;

/// The most requests of one address that may wait. With bcrypt at its usual cost of 10 and two turns, the
/// last of them waits for some 2 s.
const MAX_WAITING_OF_ONE: usize = 64;
/// The most requests that may wait in all.
const MAX_WAITING: usize = 128;
/// The most turns at once, on a machine with as many processors.
const MAX_TURNS: usize = 2;

/// The part of a network that a request comes from, as far as one client can choose its address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Origin {
    /// Not known, as in Lambda: all share it.
    #[default]
    Unknown,
    /// An address of IPv4.
    V4(Ipv4Addr),
    /// A /64 of IPv6, which one client usually has to itself.
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

/// Too many requests wait already: nothing is known of the one that was not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crowded;

/// Waiting tickets, taken from one key after the other.
struct FairQueue<K, T> {
    max_of_one: usize,
    max: usize,
    /// No queue of it is empty.
    waiting: HashMap<K, VecDeque<(u64, T)>>,
    /// The keys of `waiting`, the next one first.
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

    /// Appends a ticket and returns its id, with the ticket that lost its place to it: where all places are
    /// taken, the newest of the key with the most goes, unless that has hardly more than this one.
    fn push(&mut self, key: K, ticket: T) -> Result<(u64, Option<T>), Crowded> {
        let own = self.waiting.get(&key).map_or(0, VecDeque::len);
        if own >= self.max_of_one {
            return Err(Crowded);
        }
        let displaced = if self.len < self.max {
            None
        } else {
            let most = self.waiting.iter().max_by_key(|(_, queue)| queue.len());
            let (most, queue) = most.ok_or(Crowded)?;
            // Equal shares may not displace each other in turn.
            if queue.len() <= own + 1 {
                return Err(Crowded);
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

    /// The oldest ticket of the key whose turn it is; the key goes to the end.
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

    /// Takes out a ticket that waits no longer.
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

/// Gives turns; cheap to clone.
#[derive(Clone)]
pub(super) struct Turns(Arc<Mutex<State>>);

struct State {
    /// Turns that nobody has; more than zero only while nobody waits.
    free: usize,
    queue: FairQueue<Origin, oneshot::Sender<Turn>>,
}

impl Default for Turns {
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self::new(processors.min(MAX_TURNS), MAX_WAITING_OF_ONE, MAX_WAITING)
    }
}

impl fmt::Debug for Turns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Turns")
    }
}

impl Turns {
    pub(super) fn new(turns: usize, max_of_one: usize, max: usize) -> Self {
        Self(Arc::new(Mutex::new(State {
            free: turns,
            queue: FairQueue::new(max_of_one, max),
        })))
    }

    /// Waits for a turn. Whoever stops waiting loses the place.
    ///
    /// # Errors
    /// Too many wait, of this origin or in all.
    pub(super) async fn turn(&self, origin: Origin) -> Result<Turn, Crowded> {
        let (mut place, displaced) = {
            let mut state = self.lock();
            if state.free > 0 {
                state.free -= 1;
                return Ok(Turn(Some(self.clone())));
            }
            let (sender, receiver) = oneshot::channel();
            let (id, displaced) = state.queue.push(origin, sender)?;
            let turns = self;
            let place = Place {
                turns,
                origin,
                id,
                receiver,
            };
            (place, displaced)
        };
        // Tells the displaced request at once.
        drop(displaced);
        (&mut place.receiver).await.map_err(|_| Crowded)
    }

    /// Passes a turn to whoever is next.
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
            match next.send(Turn(Some(self.clone()))) {
                Ok(()) => return,
                // It left meanwhile. Emptied, so that it is not passed on twice.
                Err(mut turn) => turn.0 = None,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }
}

/// A place in the queue, given up when dropped.
struct Place<'a> {
    turns: &'a Turns,
    origin: Origin,
    id: u64,
    receiver: oneshot::Receiver<Turn>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let _ = self.turns.lock().queue.remove(self.origin, self.id);
    }
}

/// A turn, passed on when dropped.
#[derive(Debug)]
pub(super) struct Turn(Option<Turns>);

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(turns) = self.0.take() {
            turns.pass_on();
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
    fn keys_take_turns() {
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
        assert_eq!(queue.push('a', 4), Err(Crowded));
        queue.push('b', 5).unwrap();
        // All four places are taken: the newest of the one with the most goes.
        assert_eq!(queue.push('c', 6).unwrap().1, Some(3));
        assert_eq!(queue.push('c', 7), Err(Crowded), "two each are fair");
        assert_eq!(queue.push('d', 8).unwrap().1, Some(2));
        assert_eq!(queue.push('e', 9), Err(Crowded), "one each is fair");
        assert_eq!(queue.remove('a', first), Some(1));
        assert_eq!(queue.remove('a', first), None);
        assert!(!queue.order.contains(&'a'));
        let order: Vec<i32> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(order, [5, 6, 8]);
    }

    /// Those that have a turn, by number; each holds it until it is taken out.
    type Waiting<'a> = Vec<BoxFuture<'a, Result<Turn, Crowded>>>;

    fn served(waiting: &mut Waiting<'_>) -> Vec<usize> {
        let polled = waiting.iter_mut().enumerate();
        polled
            .filter_map(|(index, future)| {
                let turn = future.now_or_never()?;
                // Never asked again.
                *future = std::future::pending().boxed();
                turn.map(|_turn| index).ok()
            })
            .collect()
    }

    #[tokio::test]
    async fn a_flood_of_one_address_delays_another_by_one_turn() {
        let turns = Turns::new(1, 400, 400);
        let held = turns.turn(v4(1)).await.unwrap();
        let mut waiting: Waiting<'_> = Vec::new();
        for _ in 0..300 {
            waiting.push(turns.turn(v4(1)).boxed());
        }
        waiting.push(turns.turn(v4(2)).boxed());
        assert_eq!(served(&mut waiting), Vec::<usize>::new());
        drop(held);
        // The sweep goes on from 0 with each turn that is given back, so the other address is seen in
        // the first one, after a single turn of the flood.
        assert_eq!(served(&mut waiting), [0, 300]);
    }

    #[tokio::test]
    async fn whoever_leaves_gives_the_place_and_the_turn_back() {
        let turns = Turns::new(2, 1, 2);
        let (one, two) = (turns.turn(v4(1)).await, turns.turn(v4(2)).await);
        {
            let mut waits = pin!(turns.turn(v4(1)));
            assert!((&mut waits).now_or_never().is_none());
            let crowded = turns.turn(v4(1)).await;
            assert_eq!(crowded.err(), Some(Crowded));
        }
        assert_eq!(turns.lock().queue.len, 0);
        {
            let mut waits = pin!(turns.turn(v4(1)));
            assert!((&mut waits).now_or_never().is_none());
            drop(one);
            assert_eq!(turns.lock().free, 0, "it was given to the one that waits");
        }
        assert_eq!(turns.lock().free, 1, "which left without taking it");
        drop(two);
        assert_eq!(turns.lock().free, 2);
    }

    #[tokio::test]
    async fn a_displaced_request_hears_of_it() {
        let turns = Turns::new(1, 2, 2);
        let _held = turns.turn(v4(1)).await.unwrap();
        let mut first = pin!(turns.turn(v4(1)));
        let mut second = pin!(turns.turn(v4(1)));
        let mut other = pin!(turns.turn(v4(2)));
        assert!((&mut first).now_or_never().is_none());
        assert!((&mut second).now_or_never().is_none());
        assert!((&mut other).now_or_never().is_none());
        assert!(matches!((&mut second).now_or_never(), Some(Err(Crowded))));
        assert!((&mut first).now_or_never().is_none());
    }
}
