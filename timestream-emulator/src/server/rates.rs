//! The request rates of the catalog operations (developer guide, "Quotas"): 1 per second for what
//! changes databases and tables, 5 per second for what lists and describes them.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use crate::error::ServiceError;

const SECOND_NS: i64 = 1_000_000_000;
const CHANGES_PER_SECOND: usize = 1;
const LOOK_UPS_PER_SECOND: usize = 5;

/// The calls let through lately, if rates are limited at all.
#[derive(Debug, Default)]
pub(super) struct RateLimits {
    recent: Option<Mutex<Recent>>,
}

/// Times of the calls of the last second, oldest first.
#[derive(Debug, Default)]
struct Recent {
    changes: VecDeque<i64>,
    look_ups: VecDeque<i64>,
}

impl RateLimits {
    pub(super) fn new(is_limited: bool) -> Self {
        RateLimits {
            recent: is_limited.then(Mutex::default),
        }
    }

    /// Rejects a call at the time `now_ns` that comes too soon after the ones before.
    pub(super) fn admit(&self, operation: &str, now_ns: i64) -> Result<(), ServiceError> {
        let Some(recent) = &self.recent else {
            return Ok(());
        };
        let mut recent = recent.lock().unwrap_or_else(PoisonError::into_inner);
        let is_change = ["Create", "Update", "Delete", "Tag", "Untag"]
            .iter()
            .any(|verb| operation.starts_with(verb));
        let (calls, limit) = match operation {
            "DescribeEndpoints" | "WriteRecords" | "Query" | "CancelQuery" => return Ok(()),
            _ if is_change => (&mut recent.changes, CHANGES_PER_SECOND),
            _ => (&mut recent.look_ups, LOOK_UPS_PER_SECOND),
        };
        while calls.front().is_some_and(|call| now_ns - call >= SECOND_NS) {
            calls.pop_front();
        }
        if calls.len() >= limit {
            return Err(ServiceError::throttled());
        }
        calls.push_back(now_ns);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;

    #[test]
    fn calls_of_one_second() {
        let limits = RateLimits::new(true);
        let cases = [
            ("CreateTable", 0, true),
            ("DeleteTable", 999, false),
            ("UpdateDatabase", 1000, true),
            ("TagResource", 1999, false),
            ("DescribeTable", 0, true),
            ("ListTables", 100, true),
            ("ListDatabases", 200, true),
            ("DescribeDatabase", 300, true),
            ("ListTagsForResource", 400, true),
            ("DescribeTable", 999, false),
            ("DescribeTable", 1000, true),
            ("DescribeTable", 1099, false),
            ("DescribeTable", 1100, true),
        ];
        for (operation, ms, is_admitted) in cases {
            let outcome = limits.admit(operation, ms * MS);
            assert_eq!(outcome.is_ok(), is_admitted, "{operation} {ms}");
        }
    }

    #[test]
    fn data_and_discovery_have_no_such_rate() {
        let limits = RateLimits::new(true);
        for operation in ["DescribeEndpoints", "WriteRecords", "Query", "CancelQuery"] {
            for _ in 0..100 {
                assert!(limits.admit(operation, 0).is_ok(), "{operation}");
            }
        }
    }

    #[test]
    fn no_limits_by_default() {
        let limits = RateLimits::new(false);
        assert!((0..100).all(|_| limits.admit("CreateTable", 0).is_ok()));
    }
}
