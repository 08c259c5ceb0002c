//! Counts to dollars.

use super::sink::Rates;
use crate::prices::Prices;

/// Hours of a month, as AWS counts them.
const MONTH_HOURS: f64 = 730.0;
const MONTH_SECONDS: f64 = MONTH_HOURS * 3_600.0;
const MONTH_DAYS: f64 = MONTH_HOURS / 24.0;
/// Bytes of a GB.
const GB: f64 = (1_u64 << 30) as f64;
/// The least GB of the magnetic store that an account and region pays for.
const LEAST_MAGNETIC_GB: f64 = 100.0;
/// The TCU that a query occupies, as long as they suffice.
pub const TCU: f64 = 4.0;
/// The least seconds for which they are billed.
pub const QUERY_SECONDS: f64 = 30.0;
/// The least MB that a query scans, for accounts that pay by bytes.
pub const SCANNED_MB: f64 = 10.0;

/// Retention and queries.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Terms {
    /// Retention of the memory store.
    pub memory_hours: f64,
    /// Retention of the magnetic store.
    pub magnetic_days: f64,
    /// Queries of a day, each of them alone.
    pub queries_per_day: f64,
}

/// The bill of a month in dollars, once the data has reached its retention.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bill {
    /// Write units.
    pub writes: f64,
    /// The memory store.
    pub memory: f64,
    /// The magnetic store.
    pub magnetic: f64,
    /// Queries by TCU.
    pub queries: f64,
}

impl Bill {
    /// Returns the bill of what is stored at these rates, `units` among them.
    pub fn new(rates: &Rates, units: f64, terms: Terms, prices: &Prices) -> Self {
        Self {
            writes: writes(units, prices),
            memory: memory(rates.stored_bytes, terms, prices),
            magnetic: match magnetic_gb(rates.stored_bytes, terms) {
                0.0 => 0.0,
                gb => gb.max(LEAST_MAGNETIC_GB) * prices.magnetic_gb_month,
            },
            queries: tcu_hours(terms) * prices.tcu_hour,
        }
    }

    /// Returns all of it.
    pub fn total(&self) -> f64 {
        self.writes + self.memory + self.magnetic + self.queries
    }
}

/// Returns the dollars of units and stored bytes a second, without the least amount of the magnetic store.
pub fn share(units: f64, stored_bytes: f64, terms: Terms, prices: &Prices) -> f64 {
    let magnetic = magnetic_gb(stored_bytes, terms) * prices.magnetic_gb_month;
    writes(units, prices) + memory(stored_bytes, terms, prices) + magnetic
}

/// Returns the dollars of the queries for accounts that pay by bytes, if each scans the least.
pub fn scanned(terms: Terms, prices: &Prices) -> f64 {
    terms.queries_per_day * MONTH_DAYS * SCANNED_MB / 1_024.0 * prices.scanned_gb
}

fn writes(units: f64, prices: &Prices) -> f64 {
    units * MONTH_SECONDS / 1e6 * prices.writes_per_million
}

fn memory(stored_bytes: f64, terms: Terms, prices: &Prices) -> f64 {
    let gb = stored_bytes * terms.memory_hours * 3_600.0 / GB;
    gb * MONTH_HOURS * prices.memory_gb_hour
}

fn magnetic_gb(stored_bytes: f64, terms: Terms) -> f64 {
    stored_bytes * terms.magnetic_days * 86_400.0 / GB
}

/// Returns the TCU-hours of a month: queries that follow one another sooner share their time.
fn tcu_hours(terms: Terms) -> f64 {
    let hours_of_day = (terms.queries_per_day * QUERY_SECONDS / 3_600.0).min(24.0);
    hours_of_day * TCU * MONTH_DAYS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prices::PRICES;

    /// 100,000 series, 15 s, 83 bytes and 43.9 units per 1,000 samples: the first row of `docs/cost.md`.
    fn node_exporters() -> (Rates, Terms) {
        let samples = 100_000.0 / 15.0;
        let rates = Rates {
            samples,
            units: samples * 0.0439,
            go_units: samples * 0.0864,
            stored_bytes: samples * 83.0,
            ..Rates::default()
        };
        let terms = Terms {
            memory_hours: 2.0,
            magnetic_days: 365.0,
            queries_per_day: 0.0,
        };
        (rates, terms)
    }

    fn cents(dollars: f64) -> f64 {
        (dollars * 100.0).round() / 100.0
    }

    #[test]
    fn dollars_are_those_computed_by_hand() {
        let (rates, terms) = node_exporters();
        let bill = Bill::new(&rates, rates.units, terms, &PRICES[0]);
        // 292.666667 units a second x 2,628,000 s = 769,128,000 units, at $0.50 a million.
        assert_eq!(cents(bill.writes), 384.56);
        // 553,333.33 B x 7,200 s / 2^30 = 3.7104 GB, x 730 h x $0.036.
        assert_eq!(cents(bill.memory), 97.51);
        // 553,333.33 B x 31,536,000 s / 2^30 = 16,251.56 GB, x $0.03.
        assert_eq!(cents(bill.magnetic), 487.55);
        assert_eq!(bill.queries, 0.0);
        let go = Bill::new(&rates, rates.go_units, terms, &PRICES[0]);
        assert_eq!((cents(go.writes), cents(go.memory)), (756.86, 97.51));
        let share = share(rates.units, rates.stored_bytes, terms, &PRICES[0]);
        assert_eq!(cents(share), cents(bill.total()));
    }

    #[test]
    fn the_magnetic_store_has_a_least_amount() {
        let (mut rates, terms) = node_exporters();
        rates.stored_bytes = 1.0;
        let bill = Bill::new(&rates, 0.0, terms, &PRICES[0]);
        assert_eq!(bill.magnetic, 3.0);
        rates.stored_bytes = 0.0;
        assert_eq!(Bill::new(&rates, 0.0, terms, &PRICES[0]).magnetic, 0.0);
    }

    #[test]
    fn queries_occupy_four_tcu_for_half_a_minute_at_least_and_no_more_than_always() {
        let queries = |queries_per_day: f64| {
            let (rates, terms) = node_exporters();
            let terms = Terms {
                queries_per_day,
                ..terms
            };
            let bill = Bill::new(&rates, 0.0, terms, &PRICES[0]);
            (bill.queries.round(), cents(scanned(terms, &PRICES[0])))
        };
        // One each minute, one each half minute, and ten times as many; see `docs/cost.md`.
        assert_eq!(queries(1_440.0), (756.0, 4.28));
        assert_eq!(queries(2_880.0), (1_513.0, 8.55));
        assert_eq!(queries(28_800.0), (1_513.0, 85.55));
    }
}
