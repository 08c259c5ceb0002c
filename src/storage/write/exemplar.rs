//! Exemplars: the text under which one is stored.
//!
//! The text is JSON, so that SQL can show it: `{"labels":{"trace_id":"ab12"},"value":0.25,
//! "timestamp":1600000000000}`. JSON has no number for some values; these are texts: `"NaN"`,
//! `"+Inf"`, `"-Inf"` and, for a NaN with other bits than Prometheus', `"NaN:7ff8000000000000"`.

use std::fmt::Write as _;

use prom_model::PROMETHEUS_NAN_BITS;
use prom_wire::request::Label;

/// Nanoseconds in a millisecond.
const NANOS_PER_MS: u64 = 1_000_000;

/// The text that stores an exemplar.
pub fn to_text(labels: &[Label<'_>], value: f64, timestamp_ms: i64) -> String {
    let mut text = String::from("{\"labels\":{");
    for (index, (name, value)) in labels.iter().enumerate() {
        let separator = if index == 0 { "" } else { "," };
        write!(text, "{separator}{}:{}", json(name), json(value)).expect("a String takes all");
    }
    let value = json_value(value);
    write!(text, "}},\"value\":{value},\"timestamp\":{timestamp_ms}}}")
        .expect("a String takes all");
    text
}

/// Nanoseconds to add to the time of the record that holds `text`.
///
/// A series can have several exemplars in one millisecond, but Timestream holds one record for a
/// time. So they are set apart by what they hold, which is the same however often they are sent.
pub fn nanos(text: &str) -> u32 {
    // FNV-1a, which is the same in every version of this program.
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (hash % NANOS_PER_MS) as u32
}

fn json(text: &str) -> String {
    serde_json::to_string(text).expect("a string is always valid JSON")
}

fn json_value(value: f64) -> String {
    if value.is_finite() {
        // The shortest text that reads back to the same bits.
        format!("{value:?}")
    } else if value.is_infinite() {
        let sign = if value > 0.0 { '+' } else { '-' };
        format!("\"{sign}Inf\"")
    } else if value.to_bits() == PROMETHEUS_NAN_BITS {
        "\"NaN\"".to_owned()
    } else {
        format!("\"NaN:{:016x}\"", value.to_bits())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_exemplars() {
        let trace = vec![("trace_id", "ab12"), ("ü \"q\"", "\n")];
        let cases = [
            (
                vec![],
                0.25,
                r#"{"labels":{},"value":0.25,"timestamp":1600000000001}"#,
            ),
            (
                trace,
                -0.0,
                r#"{"labels":{"trace_id":"ab12","ü \"q\"":"\n"},"value":-0.0,"timestamp":1600000000001}"#,
            ),
        ];
        for (labels, value, expected) in cases {
            let text = to_text(&labels, value, 1_600_000_000_001);
            assert_eq!(text, expected);
            let json: serde_json::Value = serde_json::from_str(&text).unwrap();
            let read = json["value"].as_f64().unwrap();
            assert_eq!(read.to_bits(), value.to_bits());
        }
    }

    #[test]
    fn values_that_json_has_no_number_for() {
        let cases = [
            (f64::INFINITY, "\"+Inf\""),
            (f64::NEG_INFINITY, "\"-Inf\""),
            (f64::from_bits(PROMETHEUS_NAN_BITS), "\"NaN\""),
            (
                f64::from_bits(0x7ff0_0000_0000_0002),
                "\"NaN:7ff0000000000002\"",
            ),
            (5e-324, "5e-324"),
            (1e300, "1e300"),
        ];
        for (value, expected) in cases {
            assert_eq!(json_value(value), expected);
        }
    }

    #[test]
    fn exemplars_of_one_millisecond_are_distinct() {
        // FNV-1a of nothing and of "a", as published, in millionths.
        assert_eq!(nanos(""), (0xcbf2_9ce4_8422_2325_u64 % 1_000_000) as u32);
        assert_eq!(nanos("a"), (0xaf63_dc4c_8601_ec8c_u64 % 1_000_000) as u32);
        assert_ne!(nanos("a"), nanos("b"));
    }
}
