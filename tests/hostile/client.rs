//! Requests over sockets of their own, from threads: neither a pool nor a runtime of the test delays them.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use crate::row::{Outcome, Route};

/// Returns the headers of a request with a body of `len` bytes.
pub(crate) fn head(route: Route, len: usize) -> Vec<u8> {
    format!(
        "{} {} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Type: {}\r\n\
         {}Content-Length: {len}\r\n\r\n",
        route.method(),
        route.path(),
        route.content_type(),
        route.content_encoding(),
    )
    .into_bytes()
}

/// Returns the headers of a request whose body has parts without an announced end.
pub(crate) fn chunked_head(route: Route) -> Vec<u8> {
    let head = String::from_utf8(head(route, 0)).expect("headers are text");
    head.replace("Content-Length: 0", "Transfer-Encoding: chunked")
        .into_bytes()
}

/// Returns the whole of a GET, whose target is that of the route and then `rest`.
pub(crate) fn get(route: Route, rest: &[u8]) -> Vec<u8> {
    let target = [b"GET ", route.path().as_bytes(), rest].concat();
    [
        &target[..],
        b" HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n",
    ]
    .concat()
}

/// Sends a request and reads its response to the end.
pub(crate) fn send(address: SocketAddr, head: &[u8], body: &[u8], limit: Duration) -> Outcome {
    let deadline = Instant::now() + limit;
    let Ok(stream) = TcpStream::connect_timeout(&address, limit) else {
        return Outcome::Broken;
    };
    // A response may come before the body is sent, and the connection may be reset then, so the body is
    // sent beside the reading.
    thread::scope(|scope| {
        let sent = stream.set_write_timeout(Some(limit));
        sent.expect("the limit is not zero");
        scope.spawn(|| {
            let _ = (&stream)
                .write_all(head)
                .and_then(|()| (&stream).write_all(body));
        });
        let outcome = receive(&stream, deadline);
        let _ = stream.shutdown(Shutdown::Both);
        outcome
    })
}

/// Reads a response to the end of the connection.
pub(crate) fn receive(mut stream: &TcpStream, deadline: Instant) -> Outcome {
    let mut start = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Outcome::Late;
        }
        let set = stream.set_read_timeout(Some(left));
        set.expect("the time left is not zero");
        match stream.read(&mut buffer) {
            Ok(0) => return status(&start),
            Ok(read) => {
                let missing = 64_usize.saturating_sub(start.len()).min(read);
                start.extend_from_slice(&buffer[..missing]);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return Outcome::Late;
            }
            // Reset after the response, because not all of the body was read.
            Err(_) => return status(&start),
        }
    }
}

fn status(response: &[u8]) -> Outcome {
    let text = String::from_utf8_lossy(response);
    let status = text.strip_prefix("HTTP/1.1 ").and_then(|rest| {
        let status = rest.get(..3)?;
        status.parse().ok()
    });
    status.map_or(Outcome::Broken, Outcome::Status)
}
