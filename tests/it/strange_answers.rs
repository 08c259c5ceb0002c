//! Answers that no Timestream gives: somebody else is at its address, or stands between.

use axum::Router;
use timestream_prometheus_connector::prompb::label_matcher::Type;
use timestream_prometheus_connector::prompb::read_request::ResponseType::{
    Samples, StreamedXorChunks,
};
use tokio::net::TcpListener;

use crate::support::{TestApp, query};

#[tokio::test]
async fn what_is_no_page_is_no_empty_result() {
    let bodies = [
        "",
        "{}",
        "<html>",
        r#"{"QueryId": "Q"}"#,
        r#"{"QueryId": "Q", "Rows": [{"Data": 1}]}"#,
    ];
    for body in bodies {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let stranger = Router::new().fallback(async move || body);
        let server = tokio::spawn(async { axum::serve(listener, stranger).await });
        let endpoint = format!("--query-base-endpoint={url}");
        let app = TestApp::start_with(&[&endpoint, "--max-retries=0"]).await;
        for form in [Samples, StreamedXorChunks] {
            let queries = vec![query(&[(Type::Eq, "__name__", "m")])];
            let answer = app.read_as(&[form], queries).await;
            assert_eq!(answer.status, 503, "{body:?}: {}", answer.text());
            assert!(
                answer.text().starts_with("Unavailable: "),
                "{}",
                answer.text()
            );
        }
        server.abort();
    }
}
