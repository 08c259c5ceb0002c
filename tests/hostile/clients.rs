//! Clients that stop in the middle: of their request, before the response, or of reading it.

use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tokio::net::TcpSocket;

use crate::bodies::{bytes, double, each, filled, number, put_bytes, snappy};
use crate::client::{head, receive};
use crate::group::{Group, LIMIT, RUNTIME, is_selected};
use crate::row::{Expected, Outcome, Route, tally};

/// Time that a client keeps its connection open without reading the response.
const UNREAD: Duration = Duration::from_secs(3);

pub(crate) fn measure(group: &mut Group) {
    let large = snappy(&series_of_long_labels());
    let query = snappy(&query_of_all());
    let mut streamed = query_of_all();
    streamed.extend_from_slice(&number(2, 1));
    let streamed = snappy(&streamed);
    stalled(
        group,
        "writes and reads that stall half way",
        [(Route::Write1, &large), (Route::Read, &query)],
    );
    for (name, route, body) in [
        ("a write whose client leaves", Route::Write1, &large),
        ("a read whose client leaves", Route::Read, &query),
        (
            "a streamed read whose client leaves",
            Route::Read,
            &streamed,
        ),
    ] {
        leaving(group, name, route, body);
    }
    // Something large to be found.
    let stored = group.post(Route::Write1, &large);
    assert_eq!(stored, Outcome::Status(204), "{}", group.server.log());
    for (name, body) in [
        ("a read without reading the response", &query),
        ("a streamed read without reading it", &streamed),
    ] {
        unread(group, name, body);
    }
}

/// Returns 3,000 series, with 6 MB of labels that do not compress.
fn series_of_long_labels() -> Vec<u8> {
    let sample = bytes(2, [double(1, 1.0), number(2, 1_600_000_000_000)].concat());
    // xorshift, as letters.
    let mut state = 88_172_645_463_325_252_u64;
    let mut letters = String::new();
    for _ in 0..6_000_000 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        letters.push(char::from(b'!' + (state % 90) as u8));
    }
    each(3_000, |out, i| {
        let value = &letters[2_000 * i..][..2_000];
        let label = |name: &str, value: &str| bytes(1, [bytes(1, name), bytes(2, value)].concat());
        let labels = [label("__name__", "large"), label("v", value)].concat();
        put_bytes(out, 1, &[labels, sample.clone()].concat());
    })
}

/// Returns a request for all of these series, three times.
fn query_of_all() -> Vec<u8> {
    let range = [number(1, 1_599_999_000_000), number(2, 1_600_001_000_000)].concat();
    let name = bytes(3, [bytes(2, "__name__"), bytes(3, "large")].concat());
    let query = bytes(1, [range, name].concat());
    filled(&query, 3 * query.len())
}

fn connect(group: &Group, buffer: Option<u32>) -> TcpStream {
    let address = group.server.address;
    let socket = TcpSocket::new_v4().expect("there is a socket");
    if let Some(buffer) = buffer {
        let set = socket.set_recv_buffer_size(buffer);
        set.expect("a small buffer is allowed");
    }
    let stream = RUNTIME.block_on(async {
        let stream = socket.connect(address).await;
        stream.and_then(tokio::net::TcpStream::into_std)
    });
    let stream = stream.expect("the server accepts connections");
    let blocking = stream.set_nonblocking(false);
    blocking.expect("a connected socket can be blocking");
    stream
}

/// Sends headers that announce the whole body, and half of the body. Half of the clients send each
/// request.
fn stalled(group: &mut Group, name: &str, requests: [(Route, &Vec<u8>); 2]) {
    if !is_selected(name) {
        return;
    }
    let sent = requests.map(|(route, body)| {
        let half = &body[..body.len() / 2];
        [&head(route, body.len())[..], half].concat()
    });
    let address = group.server.address;
    let clients = AtomicUsize::new(0);
    let request = || {
        let client = clients.fetch_add(1, Ordering::Relaxed);
        let stream = TcpStream::connect(address);
        let Ok(stream) = stream.and_then(|it| (&it).write_all(&sent[client % 2]).map(|()| it))
        else {
            return Outcome::Broken;
        };
        receive(&stream, Instant::now() + LIMIT)
    };
    let len = sent.iter().map(Vec::len).sum();
    group.measure_row(name, (len, 0), &request, |outcomes| {
        Expected::Definite.violation(outcomes)
    });
}

/// Sends the whole request, and closes the connection.
fn leaving(group: &mut Group, name: &str, route: Route, body: &[u8]) {
    if !is_selected(name) {
        return;
    }
    let sent = [&head(route, body.len())[..], body].concat();
    let address = group.server.address;
    let request = || {
        // Several in turn, or it is over before anything is measured.
        for _ in 0..5 {
            let stream = TcpStream::connect(address);
            if stream.and_then(|it| (&it).write_all(&sent)).is_err() {
                return Outcome::Broken;
            }
            thread::sleep(Duration::from_millis(200));
        }
        Outcome::Left
    };
    group.measure_row(name, (body.len(), 0), &request, all_left);
}

/// Sends the whole request, and reads nothing of the response.
fn unread(group: &mut Group, name: &str, body: &[u8]) {
    if !is_selected(name) {
        return;
    }
    let sent = [&head(Route::Read, body.len())[..], body].concat();
    let request = {
        let group = &*group;
        let streams: Vec<_> = (0..8).map(|_| connect(group, Some(4096))).collect();
        let streams = std::sync::Mutex::new(streams);
        move || {
            let stream = streams.lock().expect("no client panics").pop();
            let stream = stream.expect("there is one for each client");
            if (&stream).write_all(&sent).is_err() {
                return Outcome::Broken;
            }
            thread::sleep(UNREAD);
            Outcome::Left
        }
    };
    group.measure_row(name, (body.len(), 0), &request, all_left);
}

fn all_left(outcomes: &[Outcome]) -> Option<String> {
    let left = outcomes.iter().all(|outcome| *outcome == Outcome::Left);
    (!left).then(|| format!("requests were not accepted: {}", tally(outcomes)))
}
