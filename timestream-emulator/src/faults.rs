//! Failures on purpose, ordered by a test or over the admin path.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Deserializer};

use crate::error::{ErrorKind, ServiceError};

/// An order to fail certain calls.
///
/// As JSON, for `POST /_emulator/faults`:
/// `{"operation":"WriteRecords","table":"t","kind":"throttle","when":{"next":3}}`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Only this operation, for example `WriteRecords`, or only what needs this permission: `Select`, `ListMeasures`
    /// and `DescribeTable` are those of Query, by the statement. `None` means all.
    #[serde(default)]
    pub operation: Option<String>,
    /// Only calls that name this database.
    #[serde(default)]
    pub database: Option<String>,
    /// Only calls that name this table.
    #[serde(default)]
    pub table: Option<String>,
    /// Effect of the fault.
    pub kind: FaultKind,
    /// The matching calls that fail; over JSON the next one by default.
    #[serde(default = "next_call")]
    pub when: When,
}

impl Fault {
    /// Returns the fault `kind` for the next `count` calls of `operation`.
    pub fn next(operation: impl Into<String>, count: u32, kind: FaultKind) -> Self {
        Fault {
            operation: Some(operation.into()),
            database: None,
            table: None,
            kind,
            when: When::Next(count),
        }
    }
}

/// Effect of a fault on a call.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// 429 ThrottlingException.
    Throttle,
    /// 500 InternalServerException.
    InternalServer,
    /// 421 InvalidEndpointException.
    InvalidEndpoint,
    /// 403 AccessDeniedException.
    AccessDenied,
    /// 403 ExpiredTokenException.
    ExpiredToken,
    /// 402 ServiceQuotaExceededException.
    QuotaExceeded,
    /// 404 ResourceNotFoundException.
    NotFound,
    /// 400 QueryExecutionException with this text.
    QueryExecution(String),
    /// 400 ValidationException with this text.
    Validation(String),
    /// The call is served after this long; JSON: `{"latency_ms": 250}`.
    #[serde(rename = "latency_ms", deserialize_with = "milliseconds")]
    Latency(Duration),
    /// The connection is closed; the call has no effect.
    CutBefore,
    /// The call takes effect; the connection is closed instead of a response.
    CutAfter,
}

impl FaultKind {
    /// Returns the error of the response to a call that needs the permission `action`, if the fault has one.
    pub(crate) fn error(&self, action: &str) -> Option<ServiceError> {
        Some(match self {
            FaultKind::Throttle => ServiceError::throttled(),
            FaultKind::InternalServer => ServiceError::new(
                ErrorKind::InternalServer,
                "The service has encountered an internal error.",
            ),
            FaultKind::InvalidEndpoint => ServiceError::invalid_endpoint(),
            FaultKind::AccessDenied => ServiceError::new(
                ErrorKind::AccessDenied,
                format!(
                    "User: arn:aws:iam::000000000000:user/local is not authorized to perform: \
                     timestream:{action}"
                ),
            ),
            FaultKind::ExpiredToken => ServiceError::new(
                ErrorKind::ExpiredToken,
                "The security token included in the request is expired",
            ),
            FaultKind::QuotaExceeded => ServiceError::new(
                ErrorKind::ServiceQuotaExceeded,
                "The instance quota of resource exceeded for this account.",
            ),
            FaultKind::NotFound => {
                ServiceError::not_found("The operation tried to access a nonexistent resource.")
            }
            FaultKind::QueryExecution(message) => {
                ServiceError::new(ErrorKind::QueryExecution, message)
            }
            FaultKind::Validation(message) => ServiceError::validation(message),
            FaultKind::Latency(_) | FaultKind::CutBefore | FaultKind::CutAfter => return None,
        })
    }
}

/// The matching calls that fail.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// The next so many, then the order is done.
    Next(u32),
    /// Each with this probability, 0 to 1.
    Rate(f64),
    /// All, until the orders are cleared.
    Always,
}

/// The orders that are in force.
#[derive(Debug)]
pub(crate) struct FaultOrders(Mutex<Orders>);

#[derive(Debug)]
struct Orders {
    /// Oldest first.
    faults: Vec<Fault>,
    /// Decides which calls an order by rate meets.
    random: fastrand::Rng,
}

impl FaultOrders {
    /// Returns an empty list of orders. With a seed, those by rate apply to the same calls of the
    /// same sequence each time.
    pub(crate) fn new(seed: Option<u64>) -> FaultOrders {
        FaultOrders(Mutex::new(Orders {
            faults: Vec::new(),
            random: seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed),
        }))
    }

    pub(crate) fn add(&self, fault: Fault) {
        self.lock().faults.push(fault);
    }

    pub(crate) fn clear(&self) {
        self.lock().faults.clear();
    }

    /// Returns true if there are no orders, so that the common case need not look for names.
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().faults.is_empty()
    }

    /// Returns the faults of this call: every matching latency, and the first other match.
    pub(crate) fn take(
        &self,
        operation: &str,
        action: &str,
        database: Option<&str>,
        table: Option<&str>,
    ) -> Vec<FaultKind> {
        let mut taken = Vec::new();
        let mut has_failure = false;
        let Orders { faults, random } = &mut *self.lock();
        faults.retain_mut(|fault| {
            let is_latency = matches!(fault.kind, FaultKind::Latency(_));
            let is_of_call = concerns(&fault.operation, Some(operation))
                || concerns(&fault.operation, Some(action));
            let applies = is_of_call
                && concerns(&fault.database, database)
                && concerns(&fault.table, table)
                && (is_latency || !has_failure)
                && falls_due(&mut fault.when, random);
            if applies {
                has_failure |= !is_latency;
                taken.push(fault.kind.clone());
            }
            fault.when != When::Next(0)
        });
        taken
    }

    fn lock(&self) -> MutexGuard<'_, Orders> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn concerns(ordered: &Option<String>, actual: Option<&str>) -> bool {
    ordered
        .as_deref()
        .is_none_or(|ordered| actual == Some(ordered))
}

fn falls_due(when: &mut When, random: &mut fastrand::Rng) -> bool {
    match when {
        When::Next(0) => false,
        When::Next(count) => {
            *count -= 1;
            true
        }
        When::Rate(rate) => random.f64() < *rate,
        When::Always => true,
    }
}

fn next_call() -> When {
    When::Next(1)
}

fn milliseconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    u64::deserialize(deserializer).map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_match_and_run_out() {
        let orders = FaultOrders::new(None);
        orders.add(Fault::next("Query", 1, FaultKind::CutAfter));
        orders.add(Fault {
            table: Some("t".to_owned()),
            ..Fault::next("WriteRecords", 2, FaultKind::Throttle)
        });
        assert_eq!(
            orders.take("WriteRecords", "WriteRecords", Some("d"), Some("other")),
            []
        );
        assert_eq!(
            orders.take("WriteRecords", "WriteRecords", Some("d"), Some("t")),
            [FaultKind::Throttle]
        );
        assert_eq!(
            orders.take("WriteRecords", "WriteRecords", Some("d"), Some("t")),
            [FaultKind::Throttle]
        );
        assert_eq!(
            orders.take("WriteRecords", "WriteRecords", Some("d"), Some("t")),
            []
        );
        assert_eq!(
            orders.take("Query", "Query", None, None),
            [FaultKind::CutAfter]
        );
        assert!(orders.is_empty());
    }

    #[test]
    fn orders_for_a_permission_match_what_needs_it() {
        let orders = FaultOrders::new(None);
        orders.add(Fault {
            when: When::Always,
            ..Fault::next("DescribeTable", 1, FaultKind::AccessDenied)
        });
        for (operation, action, matches) in [
            ("DescribeTable", "DescribeTable", true),
            ("Query", "DescribeTable", true),
            ("Query", "Select", false),
        ] {
            let taken = orders.take(operation, action, None, None);
            assert_eq!(!taken.is_empty(), matches, "{operation} {action}");
        }
        let error = FaultKind::AccessDenied.error("Select").expect("an error");
        assert!(
            error.message.ends_with("timestream:Select"),
            "{}",
            error.message
        );
    }

    #[test]
    fn rates_are_never_or_always_at_their_ends() {
        let orders = FaultOrders::new(None);
        for (rate, expected) in [(0.0, 0), (1.0, 100)] {
            orders.add(Fault {
                when: When::Rate(rate),
                ..Fault::next("Query", 1, FaultKind::CutBefore)
            });
            let hits: usize = (0..100)
                .map(|_| orders.take("Query", "Query", None, None).len())
                .sum();
            assert_eq!(hits, expected);
            orders.clear();
        }
    }

    #[test]
    fn a_seed_repeats_which_calls_fail() {
        let met = |seed| -> Vec<bool> {
            let orders = FaultOrders::new(Some(seed));
            orders.add(Fault {
                when: When::Rate(0.5),
                ..Fault::next("Query", 1, FaultKind::Throttle)
            });
            (0..100)
                .map(|_| !orders.take("Query", "Query", None, None).is_empty())
                .collect()
        };
        assert_eq!(met(1), met(1));
        assert_ne!(met(1), met(2));
    }

    #[test]
    fn orders_as_json() {
        let cases = [
            (r#"{"kind":"throttle"}"#, FaultKind::Throttle, When::Next(1)),
            (
                r#"{"kind":{"latency_ms":5},"when":"always"}"#,
                FaultKind::Latency(Duration::from_millis(5)),
                When::Always,
            ),
            (
                r#"{"kind":{"validation":"no"},"when":{"rate":0.5}}"#,
                FaultKind::Validation("no".to_owned()),
                When::Rate(0.5),
            ),
            (
                r#"{"operation":"Query","kind":"cut_after","when":{"next":3}}"#,
                FaultKind::CutAfter,
                When::Next(3),
            ),
        ];
        for (text, kind, when) in cases {
            let fault: Fault = serde_json::from_str(text).expect(text);
            assert_eq!((fault.kind, fault.when), (kind, when), "{text}");
        }
    }
}
