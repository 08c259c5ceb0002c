//! Clients that stop in the middle: of their request, before the response, or of reading it.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tokio::net::TcpSocket;

use crate::bodies::{bytes, double, each, filled, number, put_bytes, snappy};
use crate::client::{chunked_head, head, receive};
use crate::group::{Group, LIMIT, RUNTIME, is_selected};
use crate::row::{Expected, Outcome, Route, tally};

/// Time that a client keeps its connection open without reading the response.
const UNREAD: Duration = Duration::from_secs(3);
const SECOND: Duration = Duration::from_secs(1);

/// The paths of the query API that accept forms.
const FORMS: [&str; 7] = [
    "/api/v1/query",
    "/api/v1/query_range",
    "/api/v1/query_exemplars",
    "/api/v1/format_query",
    "/api/v1/parse_query",
    "/api/v1/series",
    "/api/v1/labels",
];

pub(crate) fn measure(group: &mut Group) {
    let large = snappy(&series_of_long_labels());
    let query = snappy(&query_of_all());
    let mut streamed = query_of_all();
    streamed.extend_from_slice(&number(2, 1));
    let streamed = snappy(&streamed);
    stalled(
        group,
        "writes and reads that stall half way",
        &[(Route::Write1, &large), (Route::Read, &query)],
    );
    let form = [b"query=1".to_vec(), filled("&a=b", 100_000)].concat();
    let forms = FORMS.map(|path| (Route::Form(path), &form));
    stalled(group, "forms that stall half way", &forms);
    endless(
        group,
        "forms that never end",
        64 << 10,
        Duration::ZERO,
        Expected::Always(&[413]),
    );
    endless(
        group,
        "forms of a byte a second",
        1,
        SECOND,
        Expected::Always(&[503]),
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

/// Sends headers that announce the whole body, and half of the body. The clients send the requests in turn.
fn stalled(group: &mut Group, name: &str, requests: &[(Route, &Vec<u8>)]) {
    if !is_selected(name) {
        return;
    }
    let sent = requests.iter().map(|(route, body)| {
        let half = &body[..body.len() / 2];
        [&head(*route, body.len())[..], half].concat()
    });
    let sent: Vec<_> = sent.collect();
    let address = group.server.address;
    let clients = AtomicUsize::new(0);
    let request = || {
        let client = clients.fetch_add(1, Ordering::Relaxed);
        let stream = TcpStream::connect(address);
        let Ok(stream) =
            stream.and_then(|it| (&it).write_all(&sent[client % sent.len()]).map(|()| it))
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

/// Sends parts of a form, of `len` bytes each, until there is a response.
fn endless(group: &mut Group, name: &str, len: usize, pause: Duration, expected: Expected) {
    if !is_selected(name) {
        return;
    }
    let part = "a".repeat(len);
    let part = format!("{len:x}\r\n{part}\r\n");
    let address = group.server.address;
    let clients = AtomicUsize::new(0);
    let request = || {
        let client = clients.fetch_add(1, Ordering::Relaxed);
        let head = chunked_head(Route::Form(FORMS[client % FORMS.len()]));
        let Ok(stream) = TcpStream::connect(address) else {
            return Outcome::Broken;
        };
        let set = stream.set_write_timeout(Some(LIMIT));
        set.expect("the limit is not zero");
        let has_response = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut sent = (&stream).write_all(&head);
                while sent.is_ok() && !has_response.load(Ordering::Relaxed) {
                    sent = (&stream).write_all(part.as_bytes());
                    thread::sleep(pause);
                }
            });
            let outcome = receive(&stream, Instant::now() + LIMIT);
            has_response.store(true, Ordering::Relaxed);
            // Ends the writing, too.
            let _ = stream.shutdown(Shutdown::Both);
            outcome
        })
    };
    group.measure_row(name, (0, 0), &request, |outcomes| {
        expected.violation(outcomes)
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
