//! Hostile requests: each is small or legal in size, and made to cost as much as it can.
//!
//! The real binary must respond to each of them in time, eight at once, while it serves ordinary
//! requests and stays within its memory. This is a test target of its own because it measures time:
//! cargo runs targets one after the other, and the groups here wait for one another.
//!
//! `HOSTILE_BINARY` names another binary to measure, such as the release build; `HOSTILE_ROWS` selects
//! the rows whose name contains it.

mod bodies;
mod client;
mod clients;
mod connectors;
mod function;
mod group;
mod otlp;
mod queries;
mod reads;
mod row;
#[allow(dead_code, reason = "other tests need more of it")]
#[path = "../support/runtime_api.rs"]
mod runtime_api;
mod server;
mod writes;

use crate::group::Group;

#[test]
fn reads() {
    let mut group = Group::start("Reads");
    group.measure(&reads::rows());
    group.finish();
}

#[test]
fn queries() {
    let mut group = Group::start("Queries");
    queries::check_ordinary(&group);
    group.measure(&queries::rows());
    group.finish();
}

#[test]
fn writes() {
    let mut group = Group::start("Writes");
    group.measure(&writes::rows());
    group.finish();
}

#[test]
fn otlp_metrics() {
    let mut group = Group::start("OTLP");
    group.measure(&otlp::rows());
    group.finish();
}

#[test]
fn connector_definitions_and_rows() {
    let mut group = Group::start("Connectors");
    connectors::create_sink(&group);
    group.measure(&connectors::rows());
    group.finish();
}

#[test]
fn clients_that_stall_or_leave() {
    let mut group = Group::start("Clients");
    clients::measure(&mut group);
    group.finish();
}

#[test]
fn invocations_of_a_function() {
    function::one_at_a_time();
}

#[test]
fn concurrent_invocations_of_a_function() {
    function::eight_at_once();
}
