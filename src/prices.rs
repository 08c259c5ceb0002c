//! The prices of Timestream: the one place in which the program has them.

use std::borrow::Cow;

use serde_json::Value;

/// The prices of a region, in dollars.
#[derive(Clone, Debug, PartialEq)]
pub struct Prices {
    /// The region.
    pub region: Cow<'static, str>,
    /// The day on which the source had them.
    pub date: Cow<'static, str>,
    /// The source.
    pub source: Cow<'static, str>,
    /// A million write units.
    pub writes_per_million: f64,
    /// A GB in the memory store for an hour.
    pub memory_gb_hour: f64,
    /// A GB in the magnetic store for a month.
    pub magnetic_gb_month: f64,
    /// A TCU of queries for an hour.
    pub tcu_hour: f64,
    /// A GB that queries scan, for accounts that pay by bytes.
    pub scanned_gb: f64,
}

/// The prices by region. The first ones stand in for those of unknown regions.
pub const PRICES: &[Prices] = &[Prices {
    region: Cow::Borrowed("us-east-1"),
    date: Cow::Borrowed("2026-08-08"),
    source: Cow::Borrowed(
        "several sources that quote https://aws.amazon.com/timestream/pricing/, not AWS itself",
    ),
    writes_per_million: 0.50,
    memory_gb_hour: 0.036,
    magnetic_gb_month: 0.03,
    tcu_hour: 0.518,
    scanned_gb: 0.01,
}];

impl Prices {
    /// Returns the prices of a region, if they are known.
    pub fn of(region: &str) -> Option<Self> {
        PRICES.iter().find(|it| it.region == region).cloned()
    }

    /// Replaces those that a JSON object has under the names of the fields.
    ///
    /// # Errors
    /// It is no such object; the text names the key.
    pub fn replace(&mut self, json: &[u8]) -> Result<(), String> {
        let value: Value =
            serde_json::from_slice(json).map_err(|error| format!("no valid JSON: {error}"))?;
        let Value::Object(fields) = value else {
            return Err(format!("expected an object with some of {KEYS}"));
        };
        for (key, value) in fields {
            let price = match key.as_str() {
                "writes_per_million" => &mut self.writes_per_million,
                "memory_gb_hour" => &mut self.memory_gb_hour,
                "magnetic_gb_month" => &mut self.magnetic_gb_month,
                "tcu_hour" => &mut self.tcu_hour,
                "scanned_gb" => &mut self.scanned_gb,
                "region" | "date" | "source" => {
                    let text = match key.as_str() {
                        "region" => &mut self.region,
                        "date" => &mut self.date,
                        _ => &mut self.source,
                    };
                    let given = value.as_str();
                    let given = given.ok_or_else(|| format!("{key}: expected a string"))?;
                    *text = Cow::Owned(given.to_owned());
                    continue;
                }
                _ => return Err(format!("{key:?} is no price; expected {KEYS}")),
            };
            let given = value.as_f64().filter(|it| (0.0..=1e6).contains(it));
            *price = given
                .ok_or_else(|| format!("{key}: expected a number of dollars from 0 to 1000000"))?;
        }
        Ok(())
    }
}

/// The keys of a file of prices.
const KEYS: &str = "writes_per_million, memory_gb_hour, magnetic_gb_month, tcu_hour, scanned_gb, region, date \
    and source";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_replaces_single_prices() {
        let mut prices = Prices::of("us-east-1").unwrap();
        let json =
            br#"{"writes_per_million": 0.5654, "region": "eu-west-1", "date": "2026-09-01"}"#;
        prices.replace(json).unwrap();
        assert_eq!(prices.writes_per_million, 0.5654);
        assert_eq!(prices.memory_gb_hour, 0.036);
        assert_eq!(
            (&*prices.region, &*prices.date),
            ("eu-west-1", "2026-09-01")
        );
    }

    #[test]
    fn errors_name_the_key() {
        for (json, expected) in [
            ("{", "no valid JSON: EOF"),
            ("[1]", "expected an object with some of writes_per_million"),
            (
                r#"{"write": 1}"#,
                "\"write\" is no price; expected writes_per",
            ),
            (r#"{"tcu_hour": "1"}"#, "tcu_hour: expected a number"),
            (r#"{"tcu_hour": -1}"#, "tcu_hour: expected a number"),
            (r#"{"source": 1}"#, "source: expected a string"),
        ] {
            let mut prices = PRICES[0].clone();
            let error = prices.replace(json.as_bytes()).unwrap_err();
            assert!(error.starts_with(expected), "{json}: {error}");
        }
    }

    #[test]
    fn unknown_regions_have_no_prices() {
        assert_eq!(Prices::of("eu-west-9"), None);
    }

    #[test]
    fn prices_are_those_of_the_documentation() {
        let page = include_str!("../docs/cost.md");
        let prices = Prices::of("us-east-1").unwrap();
        for (meter, price) in [
            (
                "writes",
                format!("${:.2} per million units", prices.writes_per_million),
            ),
            (
                "memory store",
                format!("${} per GB and **hour**", prices.memory_gb_hour),
            ),
            (
                "magnetic store",
                format!("${} per GB and **month**", prices.magnetic_gb_month),
            ),
            ("queries", format!("${} per TCU and hour", prices.tcu_hour)),
        ] {
            assert!(page.contains(&format!("| {meter} | {price} |")), "{price}");
        }
        let scanned = format!("by the bytes they scan: ${} per GB", prices.scanned_gb);
        assert!(page.contains(&scanned), "{scanned}");
    }
}
