//! A small exporter with a metric of each type, for trials: `make run` and the compose file start
//! it.
//!
//!     exporter [HOST:PORT]        127.0.0.1:9203

use std::time::Instant;

use axum::Router;
use axum::routing::get;
use soak::shop;
use tokio::net::TcpListener;

const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1);
    let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:9203")).await?;
    println!("metrics at http://{}/metrics", listener.local_addr()?);
    let start = Instant::now();
    let show = move || async move {
        let text = shop::metrics(start.elapsed().as_secs_f64());
        ([("content-type", CONTENT_TYPE)], text)
    };
    axum::serve(listener, Router::new().route("/metrics", get(show))).await
}
