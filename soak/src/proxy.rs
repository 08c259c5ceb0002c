//! A proxy that passes requests on and spoils some of the responses, as servers and the proxies
//! before them do.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// Bytes of a request; those of these programs have fewer.
const MAX_REQUEST_BYTES: usize = 64 << 20;

/// Requests that are spoiled in one way.
#[derive(Debug, Clone, Copy)]
pub struct Order {
    /// Part of the path.
    pub path: &'static str,
    /// Part of the query or the body; all have the empty one.
    pub about: &'static str,
    /// The share of such requests, up to 1.
    pub rate: f64,
    /// The way in which they are spoiled.
    pub kind: Spoil,
}

/// A way to spoil a request.
#[derive(Debug, Clone, Copy)]
pub enum Spoil {
    /// It is not passed on; the response has this status and this body.
    Status(u16, &'static str),
    /// It is passed on, and the response has this status nonetheless.
    StatusAfter(u16),
    /// It is passed on; half of the body of the response comes back before the connection ends.
    Cut,
    /// It is passed on; half of the list of the response comes back, marked by `isPartial`.
    Partial,
    /// It is passed on; half of the list of the response comes back, with a warning.
    Warned,
    /// It is not passed on if it is about more than so many steps: a gateway's timeout.
    TooLong(u32),
}

/// A running proxy; it ends with the runtime.
pub struct Proxy {
    /// The address that it serves.
    pub url: String,
    inside: Arc<Inside>,
}

struct Inside {
    client: reqwest::Client,
    target: String,
    orders: Mutex<Vec<OrderInForce>>,
    spoiled: AtomicU64,
}

/// An order, and the share of the next request that is to be spoiled.
///
/// Of n requests, n times the rate are spoiled, so that a short run has each kind, too.
struct OrderInForce {
    order: Order,
    share: f64,
}

impl OrderInForce {
    fn new(order: Order) -> Self {
        let share = fastrand::f64();
        Self { order, share }
    }

    /// Returns true if one more request is to be spoiled.
    fn spoils(&mut self) -> bool {
        self.share += self.order.rate;
        let spoils = self.share >= 1.0;
        if spoils {
            self.share -= 1.0;
        }
        spoils
    }
}

impl Proxy {
    /// Serves in front of `target`, `http://HOST:PORT`.
    pub async fn start(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("the loopback interface has free ports");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        let inside = Arc::new(Inside {
            client: crate::http::client(),
            target: target.to_owned(),
            orders: Mutex::default(),
            spoiled: AtomicU64::new(0),
        });
        let router = Router::new().fallback(pass).with_state(Arc::clone(&inside));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, inside }
    }

    /// Replaces the orders in force.
    pub fn order(&self, orders: &'static [Order]) {
        *self.inside.orders() = orders.iter().copied().map(OrderInForce::new).collect();
    }

    /// Returns the number of spoiled requests.
    pub fn spoiled(&self) -> u64 {
        self.inside.spoiled.load(Ordering::Relaxed)
    }
}

impl Inside {
    fn orders(&self) -> std::sync::MutexGuard<'_, Vec<OrderInForce>> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns how a request is spoiled, if it is.
    fn spoil(&self, path: &str, query: &str, body: &[u8]) -> Option<Spoil> {
        let is_about = |words: &str| {
            let in_body = body.windows(words.len().max(1));
            words.is_empty()
                || query.contains(words)
                || in_body.into_iter().any(|it| it == words.as_bytes())
        };
        let mut orders = self.orders();
        let spoil = orders.iter_mut().find_map(|in_force| {
            let order = in_force.order;
            let is_long = match order.kind {
                Spoil::TooLong(steps) => has_more_steps(query, steps),
                _ => true,
            };
            let matches = path.contains(order.path) && is_long && is_about(order.about);
            (matches && in_force.spoils()).then_some(order.kind)
        })?;
        self.spoiled.fetch_add(1, Ordering::Relaxed);
        Some(spoil)
    }

    /// Passes a request on; a server that is away is a bad gateway.
    async fn pass(
        &self,
        parts: axum::http::request::Parts,
        body: Bytes,
    ) -> Result<(StatusCode, reqwest::header::HeaderMap, Bytes), Response> {
        let bad_gateway = |_| (StatusCode::BAD_GATEWAY, "the server is away").into_response();
        let path = parts.uri.path_and_query().map_or("/", |it| it.as_str());
        let mut headers = parts.headers;
        headers.remove("host");
        // So that a body can be cut and changed.
        headers.remove("accept-encoding");
        let request = self
            .client
            .request(parts.method, format!("{}{path}", self.target))
            .headers(headers)
            .body(body);
        let response = request.send().await.map_err(bad_gateway)?;
        let (status, mut headers) = (response.status(), response.headers().clone());
        headers.remove("content-length");
        headers.remove("transfer-encoding");
        Ok((
            status,
            headers,
            response.bytes().await.map_err(bad_gateway)?,
        ))
    }
}

async fn pass(State(inside): State<Arc<Inside>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, MAX_REQUEST_BYTES).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let query = parts.uri.query().unwrap_or_default();
    let spoil = inside.spoil(parts.uri.path(), query, &body);
    match spoil {
        Some(Spoil::Status(status, text)) => return (code(status), text).into_response(),
        Some(Spoil::TooLong(_)) => {
            return (StatusCode::GATEWAY_TIMEOUT, "<html>504</html>").into_response();
        }
        _ => {}
    }
    let (status, headers, body) = match inside.pass(parts, body).await {
        Ok(passed) => passed,
        Err(response) => return response,
    };
    match spoil {
        Some(Spoil::StatusAfter(status)) => code(status).into_response(),
        Some(Spoil::Cut) => (status, headers, cut(&body)).into_response(),
        Some(Spoil::Partial) => {
            (status, headers, half(&body, "isPartial", &json!(true))).into_response()
        }
        Some(Spoil::Warned) => {
            let warnings = json!(["some stores did not respond"]);
            (status, headers, half(&body, "warnings", &warnings)).into_response()
        }
        _ => (status, headers, body).into_response(),
    }
}

fn code(status: u16) -> StatusCode {
    StatusCode::from_u16(status).expect("orders have valid statuses")
}

/// Returns true if a range query has more points than `steps` for each series.
fn has_more_steps(query: &str, steps: u32) -> bool {
    let seconds = |key: &str| -> Option<f64> {
        let (_, rest) = query.split_once(&format!("{key}="))?;
        rest.split('&').next()?.parse().ok()
    };
    let points = || Some((seconds("end")? - seconds("start")?) / seconds("step")?);
    points().is_some_and(|points| points > f64::from(steps))
}

/// Returns the first half of a body, and then an error.
fn cut(body: &Bytes) -> Body {
    let half = body.slice(..body.len() / 2);
    let end = Err(std::io::Error::other("cut off"));
    Body::from_stream(futures_util::stream::iter([Ok(half), end]))
}

/// Returns the same response with half of its list, and `key` on top; another response as it is.
fn half(body: &Bytes, key: &str, value: &Value) -> Bytes {
    let Ok(mut response) = serde_json::from_slice::<Value>(body) else {
        return body.clone();
    };
    let data = &mut response["data"];
    let list = match data.is_array() {
        true => data,
        false => &mut data["result"],
    };
    if let Some(list) = list.as_array_mut() {
        list.truncate(list.len() / 2);
    }
    response[key] = value.clone();
    response.to_string().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_a_list_is_marked() {
        let matrix = br#"{"status":"success","data":{"resultType":"matrix","result":[1,2,3]}}"#;
        let halved = half(&Bytes::from_static(matrix), "isPartial", &json!(true));
        let halved: Value = serde_json::from_slice(&halved).unwrap();
        assert_eq!(halved["data"]["result"], json!([1]));
        assert_eq!(halved["isPartial"], json!(true));
        let names = Bytes::from_static(br#"{"status":"success","data":["a","b"]}"#);
        let halved: Value =
            serde_json::from_slice(&half(&names, "warnings", &json!(["w"]))).unwrap();
        assert_eq!(
            halved,
            json!({"status": "success", "data": ["a"], "warnings": ["w"]})
        );
        let other = Bytes::from_static(b"\x00\x01");
        assert_eq!(half(&other, "isPartial", &json!(true)), other);
    }

    #[test]
    fn of_four_requests_half_are_two() {
        let order = Order {
            path: "",
            about: "",
            rate: 0.5,
            kind: Spoil::Cut,
        };
        for _ in 0..20 {
            let mut in_force = OrderInForce::new(order);
            let spoiled = (0..4).filter(|_| in_force.spoils()).count();
            assert_eq!(spoiled, 2);
        }
    }

    #[test]
    fn steps_are_counted() {
        let query = "query=x&start=10.000&end=60.000&step=5.000";
        assert!(has_more_steps(query, 9) && !has_more_steps(query, 10));
        assert!(!has_more_steps("start=10", 0));
    }
}
