//! Read requests: no bytes make the connector panic, an accepted request equals the one of
//! generated code, and it occupies no more memory than was reserved for it.

use prom_wire::budget::MemoryBudget;
use prom_wire::prompb::{LabelMatcher, Query, ReadHints, ReadRequest};
use prom_wire::response::ResponseType;
use prost::Message;
use timestream_prometheus_connector::storage::read::patterns::PatternLimits;
use timestream_prometheus_connector::storage::read::selection::queries_to_selections;
use timestream_prometheus_connector::storage::routing::{RoutePart, Routing};

/// Memory of all requests here; a default server has half of it.
const BUDGET_BYTES: usize = 256 << 20;

/// Reads `input` as a decompressed read request.
pub(crate) fn check(input: &[u8]) {
    let budget = MemoryBudget::new(BUDGET_BYTES);
    let mut reservation = budget.reservation();
    let generated = ReadRequest::decode(input);
    let Ok(request) = prom_wire::decode_read_request(input, &mut reservation) else {
        return;
    };
    let reserved = reservation.bytes();
    assert_eq!(Some(&request), generated.as_ref().ok());
    assert!(
        decoded_bytes(&request) <= reserved,
        "{reserved} bytes are reserved"
    );
    // All outcomes are fine.
    let _ = ResponseType::preferred(&request.accepted_response_types);
    let limits = PatternLimits::new(&mut reservation);
    if let Ok(selections) = queries_to_selections(&request.queries, &routing(), limits) {
        assert_eq!(selections.len(), request.queries.len());
        assert!(reservation.bytes() >= reserved);
    }
    drop(reservation);
    assert_eq!(budget.reserved(), 0);
}

/// Returns the bytes of memory that a request occupies.
fn decoded_bytes(request: &ReadRequest) -> usize {
    let hints = |hints: &ReadHints| {
        let grouping = hints.grouping.iter().map(String::capacity);
        let list = hints.grouping.capacity() * size_of::<String>();
        hints.func.capacity() + list + grouping.sum::<usize>()
    };
    let query = |query: &Query| {
        let matchers = query.matchers.iter();
        let texts = matchers.map(|it| it.name.capacity() + it.value.capacity());
        let list = query.matchers.capacity() * size_of::<LabelMatcher>();
        list + texts.sum::<usize>() + query.hints.as_ref().map_or(0, hints)
    };
    let queries = request.queries.capacity() * size_of::<Query>();
    let types = request.accepted_response_types.capacity() * size_of::<i32>();
    queries + types + request.queries.iter().map(query).sum::<usize>()
}

/// Returns a default database, so that most queries have a table, and tables by label alone.
fn routing() -> Routing {
    let label = |name: &str| Some(name.to_owned());
    Routing {
        database: RoutePart {
            label: label("d"),
            default: Some("db".to_owned()),
        },
        table: RoutePart {
            label: label("t"),
            default: None,
        },
    }
}
