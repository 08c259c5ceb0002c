//! The rules that reject single records: limits, the ingestion window, the contents of the table.

use crate::{
    limits, metering,
    store::{
        catalog::{PartitionKey, Table, TableSettings},
        value::{Value, ValueType},
    },
    write::record::NewPoint,
};

const NS_PER_HOUR: i128 = 3_600_000_000_000;

/// Store of a record by its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Destination {
    Memory,
    Magnetic,
}

/// The times that a table accepts at one moment.
///
/// The guide gives the memory store as "now - retention" to "now + 15 minutes". Error texts seen
/// from the service had 25 minutes more at the older end; the narrower reading holds here. When the
/// retention is raised, the older times that it brings are not accepted (API reference,
/// RejectedRecord): the store only grows into them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    pub(crate) memory_start_ns: i64,
    magnetic_start_ns: Option<i64>,
    end_ns: i64,
}

impl Window {
    pub(crate) fn of(settings: &TableSettings, now_ns: i64) -> Window {
        let before = |hours: i64| {
            let start = i128::from(now_ns) - i128::from(hours) * NS_PER_HOUR;
            i64::try_from(start).unwrap_or(i64::MIN)
        };
        Window {
            memory_start_ns: before(settings.memory_hours).max(settings.memory_floor_ns),
            magnetic_start_ns: settings
                .magnetic_writes
                .then(|| before(settings.magnetic_days * 24)),
            end_ns: now_ns.saturating_add(limits::FUTURE_INGESTION_NS),
        }
    }

    /// Returns the reason to reject a record of this time, if there is one, as an error.
    pub(crate) fn check(&self, time_ns: i64) -> Result<(), String> {
        let start = self
            .magnetic_start_ns
            .map_or(self.memory_start_ns, |magnetic| {
                magnetic.min(self.memory_start_ns)
            });
        if (start..self.end_ns).contains(&time_ns) {
            return Ok(());
        }
        Err(match self.magnetic_start_ns {
            Some(_) => {
                "The record timestamp is outside the time range of the data ingestion window."
                    .to_owned()
            }
            None => format!(
                "The record timestamp is outside the time range [{}, {}) of the memory store.",
                iso_milliseconds(self.memory_start_ns),
                iso_milliseconds(self.end_ns)
            ),
        })
    }

    pub(crate) fn destination(&self, time_ns: i64) -> Destination {
        if time_ns >= self.memory_start_ns {
            Destination::Memory
        } else {
            Destination::Magnetic
        }
    }
}

/// Returns the reason to reject a record that is too large by itself, as an error.
pub(crate) fn check_limits(point: &NewPoint) -> Result<(), String> {
    let names = point.dimensions.keys();
    let longest_name = names.map(String::len).max().unwrap_or(0);
    at_most(
        "dimension name",
        longest_name,
        limits::MAX_DIMENSION_NAME_BYTES,
        "bytes",
    )?;
    at_most(
        "measure name",
        point.measure_name.len(),
        limits::MAX_MEASURE_NAME_BYTES,
        "bytes",
    )?;
    at_most(
        "number of dimensions",
        point.dimensions.len(),
        limits::MAX_DIMENSIONS_PER_TABLE,
        "",
    )?;
    let dimensions = metering::dimension_bytes(&point.dimensions);
    let what = "total size of dimension names and values";
    at_most(
        what,
        dimensions,
        limits::MAX_SERIES_DIMENSION_BYTES,
        "bytes",
    )?;
    if let Value::Multi(attributes) = &point.value {
        let count = attributes.len();
        at_most(
            "number of measure values",
            count,
            limits::MAX_VALUES_PER_MULTI_RECORD,
            "",
        )?;
        let longest = attributes.keys().map(String::len).max().unwrap_or(0);
        at_most(
            "measure name",
            longest,
            limits::MAX_MEASURE_NAME_BYTES,
            "bytes",
        )?;
        let values = attributes.values().map(metering::value_bytes).sum();
        at_most(
            "total size of measure values",
            values,
            limits::MAX_MULTI_VALUE_BYTES,
            "bytes",
        )?;
    }
    let size = metering::event_bytes(&point.dimensions, &point.measure_name, &point.value);
    at_most("record size", size, limits::MAX_RECORD_BYTES, "bytes")
}

/// Returns the reason to reject a record that lacks the partition dimension of its table, as an
/// error.
///
/// Developer guide, "Customer-defined partition keys". That the record alone is rejected, and the
/// text, are not established.
pub(crate) fn check_partition_key(key: &PartitionKey, point: &NewPoint) -> Result<(), String> {
    match key {
        PartitionKey::Dimension {
            name,
            is_required: true,
        } if !point.dimensions.contains_key(name) => Err(format!(
            "The record does not contain the dimension '{name}', which is required as the \
             partition key of the table."
        )),
        PartitionKey::Dimension { .. } | PartitionKey::Measure => Ok(()),
    }
}

/// Returns the reason to reject a record that does not fit the table's contents, as an error.
pub(crate) fn check_table(table: &Table, point: &NewPoint) -> Result<(), String> {
    check_measure(table, point)?;
    let is_new = |name: &&String| !table.dimension_names.contains(*name);
    let new_names = point.dimensions.keys().filter(is_new).count();
    let dimensions = table.dimension_names.len() + new_names;
    at_most(
        "number of dimensions of the table",
        dimensions,
        limits::MAX_DIMENSIONS_PER_TABLE,
        "",
    )?;
    let attributes = match &point.value {
        Value::Multi(attributes) => Some(attributes),
        _ => None,
    };
    let clash = point.dimensions.keys().find(|name| {
        table.attributes.contains_key(*name)
            || attributes.is_some_and(|own| own.contains_key(*name))
    });
    if let Some(name) = clash {
        return Err(format!(
            "The dimension name '{name}' is the name of a multi-measure attribute."
        ));
    }
    attributes.map_or(Ok(()), |attributes| {
        let values = attributes
            .iter()
            .map(|(name, value)| (name, value.value_type()));
        check_attributes(table, values.collect())
    })
}

fn check_measure(table: &Table, point: &NewPoint) -> Result<(), String> {
    let Some(measure) = table.measures.get(&point.measure_name) else {
        let measures = table.measures.len() + 1;
        return at_most(
            "number of measures of the table",
            measures,
            limits::MAX_MEASURES_PER_TABLE,
            "",
        );
    };
    let (stored, given) = (measure.value_type, point.value.value_type());
    if stored != given {
        return Err(format!(
            "The measure '{}' already exists with type {}; a record of type {} cannot be stored.",
            point.measure_name,
            stored.name(),
            given.name()
        ));
    }
    Ok(())
}

fn check_attributes(table: &Table, attributes: Vec<(&String, ValueType)>) -> Result<(), String> {
    let mut total = table.attributes.len();
    for (name, given) in attributes {
        if table.dimension_names.contains(name) {
            return Err(format!(
                "The multi-measure attribute '{name}' has the name of a dimension."
            ));
        }
        match table.attributes.get(name) {
            None => total += 1,
            Some(stored) if *stored != given => {
                return Err(format!(
                    "The multi-measure attribute '{name}' already exists with type {}; type {} \
                     cannot be stored.",
                    stored.name(),
                    given.name()
                ));
            }
            Some(_) => {}
        }
    }
    at_most(
        "number of attributes of the table",
        total,
        limits::MAX_ATTRIBUTES_PER_TABLE,
        "",
    )
}

fn at_most(what: &str, actual: usize, limit: usize, unit: &str) -> Result<(), String> {
    if actual <= limit {
        return Ok(());
    }
    let limit = format!("{limit} {unit}");
    Err(format!(
        "The {what} is {actual}, which exceeds the limit of {}.",
        limit.trim_end()
    ))
}

fn iso_milliseconds(time_ns: i64) -> String {
    jiff::Timestamp::from_nanosecond(i128::from(time_ns))
        .map(|time| time.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_600_000_000_000_000_000;
    const HOUR: i64 = 3_600_000_000_000;
    const MINUTE: i64 = 60_000_000_000;

    fn window(magnetic_writes: bool) -> Window {
        Window::of(
            &TableSettings {
                memory_hours: 2,
                memory_floor_ns: i64::MIN,
                magnetic_days: 1,
                magnetic_writes,
                partition_key: PartitionKey::Measure,
                rejected_data_location: None,
            },
            NOW,
        )
    }

    #[test]
    fn windows() {
        let cases = [
            ("now", NOW, true, true),
            ("oldest in memory", NOW - 2 * HOUR, true, true),
            ("too old for memory", NOW - 2 * HOUR - 1, false, true),
            ("oldest in magnetic", NOW - 24 * HOUR, false, true),
            ("too old for magnetic", NOW - 24 * HOUR - 1, false, false),
            ("newest", NOW + 15 * MINUTE - 1, true, true),
            ("too new", NOW + 15 * MINUTE, false, false),
        ];
        for (name, time, in_memory, in_magnetic) in cases {
            assert_eq!(window(false).check(time).is_ok(), in_memory, "{name}");
            assert_eq!(window(true).check(time).is_ok(), in_magnetic, "{name}");
        }
    }

    #[test]
    fn window_reasons() {
        assert_eq!(
            window(false).check(0).unwrap_err(),
            "The record timestamp is outside the time range [2020-09-13T10:26:40.000Z, \
             2020-09-13T12:41:40.000Z) of the memory store."
        );
        assert_eq!(
            window(true).check(0).unwrap_err(),
            "The record timestamp is outside the time range of the data ingestion window."
        );
    }
}
