//! Cells: their discovery, and a move of the account.

use crate::{
    support::{DB, OLD, Service, T0, clients, code_and_message, sample},
    wire::{http, status_and_body},
};

async fn with_cells(cells: u16, require_discovery: bool) -> Service {
    Service::start_with(|config| {
        config.cells = cells;
        config.require_discovery = require_discovery;
    })
    .await
}

/// Returns the address that DescribeEndpoints gives a client of the regional address.
async fn discover(service: &Service) -> String {
    let write = service.write.describe_endpoints().send().await;
    let write = write.expect("endpoints").endpoints.remove(0).address;
    let query = service.query.describe_endpoints().send().await;
    assert_eq!(query.expect("endpoints").endpoints[0].address(), write);
    write
}

/// Writes and reads at an address; returns the codes and statuses of the errors.
async fn use_cell(url: &str) -> Vec<(u16, String)> {
    let (write, query) = clients(url, "local", "local");
    let call = write.write_records().database_name(DB).table_name(OLD);
    let written = call.records(sample(&[("job", "a")], T0, "1")).send().await;
    let queried = query.query().query_string("SELECT 1").send().await;
    let write_error = written.err().map(|error| {
        let status = error.raw_response().expect("a response").status().as_u16();
        (status, code_and_message(&error).0)
    });
    let query_error = queried.err().map(|error| {
        let status = error.raw_response().expect("a response").status().as_u16();
        (status, code_and_message(&error).0)
    });
    write_error.into_iter().chain(query_error).collect()
}

/// Developer guide, "The endpoint discovery pattern": an endpoint is valid until it is rejected,
/// then it must be requested again.
#[tokio::test]
async fn a_moved_account_is_found_again() {
    let service = with_cells(2, false).await;
    let invalid = || (421, "InvalidEndpointException".to_owned());
    let first = discover(&service).await;
    assert_eq!(first, service.emulator.cell_urls()[0]);
    assert_ne!(first, service.emulator.url());
    assert_eq!(use_cell(&first).await, []);

    service.emulator.move_to_cell(1).expect("there are two");
    for _ in 0..2 {
        assert_eq!(use_cell(&first).await, [invalid(), invalid()]);
    }
    let second = discover(&service).await;
    assert_eq!(second, service.emulator.cell_urls()[1]);
    assert_eq!(use_cell(&second).await, []);

    service.emulator.move_to_cell(0).expect("there are two");
    assert_eq!(use_cell(&second).await, [invalid(), invalid()]);
    assert_eq!(use_cell(&discover(&service).await).await, []);
    assert!(service.emulator.move_to_cell(2).is_err());
    assert_eq!(service.emulator.points(DB, OLD).len(), 1);
}

#[tokio::test]
async fn the_regional_address_serves_clients_without_discovery() {
    let service = with_cells(1, false).await;
    assert_eq!(use_cell(&service.emulator.url()).await, []);
}

/// Developer guide, "Using the API": DescribeEndpoints is the only action of the regional address;
/// others were seen to be unknown there.
#[tokio::test]
async fn the_regional_address_can_insist_on_discovery() {
    let service = with_cells(0, true).await;
    let unknown = || (404, "UnknownOperationException".to_owned());
    let regional = service.emulator.url();
    assert_eq!(use_cell(&regional).await, [unknown(), unknown()]);
    let cell = discover(&service).await;
    assert_eq!(use_cell(&cell).await, []);
    let (write, _) = clients(&cell, "local", "local");
    let error = write.describe_endpoints().send().await;
    let error = error.expect_err("a cell knows no others");
    assert_eq!(code_and_message(&error).0, "UnknownOperationException");
}

#[tokio::test]
async fn without_cells_there_is_one_address() {
    let service = Service::start().await;
    assert_eq!(discover(&service).await, service.emulator.url());
    assert!(service.emulator.cell_urls().is_empty());
    assert!(service.emulator.move_to_cell(0).is_err());
}

#[tokio::test]
async fn the_admin_path_moves_the_account() {
    let service = with_cells(2, false).await;
    let path = "/_emulator/cells";
    for url in [
        service.emulator.url(),
        service.emulator.cell_urls().remove(0),
    ] {
        let moved = http(&url, "POST", path, &[], r#"{"cell":1}"#).await;
        assert_eq!(status_and_body(&moved).0, 204);
        assert_eq!(discover(&service).await, service.emulator.cell_urls()[1]);
        service.emulator.move_to_cell(0).expect("there are two");
    }
    let url = service.emulator.url();
    let (status, body) = status_and_body(&http(&url, "GET", path, &[], "").await);
    let cells: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!((status, &cells["current"]), (200, &0.into()));
    assert_eq!(cells["cells"].as_array().map(Vec::len), Some(2));
    for order in [r#"{"cell":2}"#, r#"{"cell":-1}"#, "{}"] {
        let invalid = http(&url, "POST", path, &[], order).await;
        assert_eq!(status_and_body(&invalid).0, 400, "{order}");
    }
}
