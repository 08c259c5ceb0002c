//! Pages of a result, their tokens, and cancelling.

use std::time::Duration;

use aws_sdk_timestreamquery::operation::query::QueryOutput;

use crate::support::{OLD, Service, T0, TestClock, code_and_message, sample};

const ALL: &str = "SELECT time, job FROM db.old";

/// Returns a service with `rows` rows of about 1,900 bytes each.
async fn filled(rows: i64) -> Service {
    let service = Service::start().await;
    let value = "v".repeat(1800);
    for first in (0..rows).step_by(100) {
        let batch =
            (first..rows.min(first + 100)).map(|n| sample(&[("job", &*value)], T0 + n, "1"));
        service.put(OLD, batch.collect()).await;
    }
    service
}

async fn page(service: &Service, token: Option<&str>, max_rows: Option<i32>) -> QueryOutput {
    let call = service
        .query
        .query()
        .query_string(ALL)
        .set_max_rows(max_rows);
    call.set_next_token(token.map(str::to_owned))
        .send()
        .await
        .expect("a page")
}

async fn page_error(service: &Service, sql: &str, token: &str) -> String {
    let call = service.query.query().query_string(sql).next_token(token);
    code_and_message(&call.send().await.expect_err("no page")).1
}

#[tokio::test]
async fn a_small_result_is_one_page() {
    let service = filled(5).await;
    let only = page(&service, None, None).await;
    assert_eq!((only.rows().len(), only.next_token()), (5, None));
    assert_eq!(only.query_status().unwrap().progress_percentage(), 100.0);
    assert_eq!(page(&service, None, Some(5)).await.rows().len(), 5);
}

/// Developer guide, "Metering and pricing", queries: 10 MB at least; SHOW and DESCRIBE were seen
/// with 0.
#[tokio::test]
async fn a_query_is_metered() {
    let service = filled(5).await;
    let status = async |sql: &str| {
        let page = service.query.query().query_string(sql).send().await;
        let status = page.expect("a page").query_status.expect("a status");
        (
            status.cumulative_bytes_scanned(),
            status.cumulative_bytes_metered(),
        )
    };
    let select = "SELECT time, measure_value::double FROM db.old";
    assert_eq!(status(select).await, (5 * 16, 10_000_000));
    for sql in ["SHOW TABLES FROM db", "DESCRIBE db.old"] {
        assert_eq!(status(sql).await, (0, 0), "{sql}");
    }
    let counters = service.emulator.counters();
    assert_eq!(counters.query_bytes_scanned, 5 * 16);
    assert_eq!(counters.query_bytes_metered, 10_000_000);
}

#[tokio::test]
async fn max_rows_cuts_a_small_result() {
    let service = filled(5).await;
    let first = page(&service, None, Some(2)).await;
    assert_eq!(first.rows().len(), 2);
    let second = page(&service, first.next_token(), Some(2)).await;
    let third = page(&service, second.next_token(), Some(2)).await;
    assert_eq!((third.rows().len(), third.next_token()), (1, None));
    assert_eq!(first.query_id(), third.query_id());
}

#[tokio::test]
async fn a_large_result_starts_with_an_empty_page() {
    let service = filled(1200).await;
    for max_rows in [None, Some(1000)] {
        let first = page(&service, None, max_rows).await;
        assert!(first.rows().is_empty() && !first.column_info().is_empty());
        let mut token = first.next_token().map(str::to_owned);
        let mut sizes = Vec::new();
        while let Some(used) = token {
            let next = page(&service, Some(&used), max_rows).await;
            sizes.push(next.rows().len());
            token = next.next_token().map(str::to_owned);
        }
        assert_eq!(sizes.iter().sum::<usize>(), 1200);
        assert!(
            sizes.len() >= 3 && sizes.iter().all(|size| *size * 1800 < 1_000_000),
            "{sizes:?}"
        );
    }
}

#[tokio::test]
async fn tokens_are_bound_to_their_query_and_to_the_latest_page() {
    let service = filled(10).await;
    let first = page(&service, None, Some(2)).await;
    let a = first.next_token().unwrap();
    let second = page(&service, Some(a), Some(2)).await;
    let again = page(&service, Some(a), Some(2)).await;
    assert_eq!(
        second.rows(),
        again.rows(),
        "the same token gives the same rows"
    );
    assert_eq!(second.next_token(), again.next_token());
    let b = second.next_token().unwrap();
    assert_eq!(
        page_error(&service, "SELECT 1", b).await,
        "Invalid pagination token"
    );
    page(&service, Some(b), Some(2)).await;
    assert_eq!(
        page_error(&service, ALL, a).await,
        "Invalid pagination token",
        "b was used"
    );
    assert_eq!(
        page_error(&service, ALL, "nonsense").await,
        "Invalid pagination token"
    );
}

/// API reference, Query: a token is good for an hour or five calls.
#[tokio::test]
async fn tokens_expire() {
    let time = TestClock::new();
    let clock = time.clock();
    let service = Service::start_with(|config| config.clock = clock).await;
    let records = (0..3).map(|n| sample(&[("job", "a")], T0 + n, "1"));
    service.put(OLD, records.collect()).await;
    let first = page(&service, None, Some(1)).await;
    let token = first.next_token().expect("there is more");
    time.advance(Duration::from_secs(3599));
    let second = page(&service, Some(token), Some(1)).await;
    time.advance(Duration::from_secs(1));
    assert_eq!(
        page_error(&service, ALL, token).await,
        "Invalid pagination token"
    );
    let token = second.next_token().expect("there is more");
    for _ in 0..5 {
        assert_eq!(page(&service, Some(token), Some(1)).await.rows().len(), 1);
    }
    assert_eq!(
        page_error(&service, ALL, token).await,
        "Invalid pagination token"
    );
}

#[tokio::test]
async fn a_row_over_a_page_aborts_the_query() {
    let service = Service::start().await;
    for first in (0..15_000).step_by(100) {
        let batch =
            (first..first + 100).map(|n| sample(&[("job", "a")], T0 + n, "1.2345678901234567"));
        service.put(OLD, batch.collect()).await;
    }
    let sql =
        "SELECT job, CREATE_TIME_SERIES(time, measure_value::double) FROM db.old GROUP BY job";
    let message =
        "Query aborted as max page response size has been exceeded by the output result row";
    assert_eq!(service.query_error(sql).await, message);
    let binned = "SELECT job, CREATE_TIME_SERIES(time, measure_value::double) FROM db.old GROUP BY job, bin(time, 5s)";
    assert_eq!(service.rows(binned).await.len(), 3);
}

#[tokio::test]
async fn a_cancelled_query_gives_no_more_pages() {
    let service = filled(10).await;
    let first = page(&service, None, Some(2)).await;
    let cancel = || {
        service
            .query
            .cancel_query()
            .query_id(first.query_id())
            .send()
    };
    assert_eq!(cancel().await.unwrap().cancellation_message(), None);
    assert!(
        cancel().await.unwrap().cancellation_message().is_some(),
        "cancelled before"
    );
    let call = service
        .query
        .query()
        .query_string(ALL)
        .set_next_token(first.next_token);
    let (code, message) = code_and_message(&call.send().await.unwrap_err());
    assert_eq!(code, "ConflictException");
    assert_eq!(message, "Unable to poll results for a cancelled query");
}

#[tokio::test]
async fn requests_keep_to_the_service_model() {
    let service = filled(1).await;
    for (sql, max_rows) in [(ALL, Some(0)), (ALL, Some(1001)), ("", None)] {
        let call = service
            .query
            .query()
            .query_string(sql)
            .set_max_rows(max_rows);
        let (code, message) = code_and_message(&call.send().await.unwrap_err());
        assert_eq!(code, "ValidationException");
        assert!(
            message.contains("failed to satisfy constraint"),
            "{message}"
        );
    }
    let long = format!("SELECT '{}'", "x".repeat(262_144));
    let (_, message) = code_and_message(
        &service
            .query
            .query()
            .query_string(long)
            .send()
            .await
            .unwrap_err(),
    );
    assert!(
        message.contains("less than or equal to 262144"),
        "{}",
        &message[message.len() - 100..]
    );
}
