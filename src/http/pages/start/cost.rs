//! The rate of cost, by meter.

use std::fmt::{self, Display};

use crate::http::pages::html::{Escaped, dollars, grouped};
use crate::metrics::Billed;
use crate::prices::{PRICES, Prices};

/// Hours of a month.
const MONTH_HOURS: f64 = 730.0;
/// Bytes of a GB.
const GB: f64 = 1_073_741_824.0;
/// The least TCU that AWS bills while there are queries.
const LEAST_TCU: f64 = 4.0;

/// Billed amounts of an hour and their prices.
pub(super) struct Cost<'a> {
    billed: &'a Billed,
    prices: Prices,
    region: &'a str,
}

impl<'a> Cost<'a> {
    /// Returns the cost in a region, by the prices of another one if its own are not known.
    pub(super) fn of(billed: &'a Billed, region: &'a str) -> Self {
        Self {
            billed,
            prices: Prices::of(region).unwrap_or_else(|| PRICES[0].clone()),
            region,
        }
    }

    /// Returns the dollars of an hour of writes.
    pub(super) fn of_writes(&self) -> f64 {
        self.billed.write_units / 1e6 * self.prices.writes_per_million
    }

    fn of_bytes(&self) -> f64 {
        self.billed.query_bytes / GB * self.prices.scanned_gb
    }
}

impl Display for Cost<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "<section>\n<h2>Cost</h2>\n<table>\n<thead><tr><th scope=\"col\"></th><th scope=\"col\">An hour</th>\
             <th scope=\"col\">A month</th></tr></thead>\n<tbody>\n",
        )?;
        let prices = &self.prices;
        let rows = [
            (
                "Writes",
                format!(
                    "{} units an hour, ${:.2} a million",
                    grouped(self.billed.write_units.round() as u64),
                    prices.writes_per_million
                ),
                self.of_writes(),
            ),
            (
                "Queries by bytes",
                format!(
                    "{:.1} GB an hour, ${} each, if the account pays by bytes",
                    self.billed.query_bytes / GB,
                    prices.scanned_gb
                ),
                self.of_bytes(),
            ),
            (
                "Queries by TCU",
                format!(
                    "{LEAST_TCU} TCU, ${} each, at least, if queries always run",
                    prices.tcu_hour
                ),
                LEAST_TCU * prices.tcu_hour,
            ),
        ];
        for (meter, amounts, an_hour) in rows {
            writeln!(
                f,
                "<tr><th scope=\"row\">{meter}<small>{amounts}</small></th><td>{}</td><td>{}</td></tr>",
                dollars(an_hour),
                dollars(an_hour * MONTH_HOURS)
            )?;
        }
        let own = match self.region == prices.region {
            true => String::new(),
            false => format!("; those of {} are not known here", Escaped(self.region)),
        };
        writeln!(
            f,
            "</tbody>\n</table>\n<p class=\"quiet\">Rates of the last ten minutes, without stores and jobs. Prices of \
             {} on {}, from {}{own}.</p>\n</section>",
            prices.region, prices.date, prices.source
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_have_their_amounts_and_prices() {
        let billed = Billed {
            write_units: 1_055_000.0,
            query_bytes: 2.5 * GB,
        };
        let cost = Cost::of(&billed, "us-east-1");
        let text = cost.to_string();
        for part in [
            "1\u{202f}055\u{202f}000 units an hour, $0.50 a million</small></th><td>$0.53</td><td>$385</td>",
            "2.5 GB an hour, $0.01 each, if the account pays by bytes</small></th><td>$0.0250</td><td>$18.25</td>",
            "4 TCU, $0.518 each, at least, if queries always run</small></th><td>$2.07</td><td>$1\u{202f}513</td>",
            "Prices of us-east-1 on 2026-08-08, from several sources",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(!text.contains("not known"), "{text}");
        let text = Cost::of(&billed, "eu-west-1").to_string();
        assert!(
            text.contains("; those of eu-west-1 are not known here."),
            "{text}"
        );
    }
}
