//! The sources of a sink: tables and queries of Timestream.
//!
//! Tables are read hour by hour, the series of an hour one after the other, and of several tables first the
//! one that is behind: so samples of a series are in the order of time, and none is much older than the
//! newest one that the receiver has.

use std::collections::BTreeMap;
use std::sync::Arc;

use prom_model::{Labels, METRIC_NAME_LABEL, Sample};
use prom_wire::response::Series;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::config::{Settings, Source};
use super::point::{Content, Point};
use super::row::{checked, labels_of_text, number, timestamp_ms};
use super::send::Sender;
use crate::jobs::job::{JobContext, RunError};
use crate::query::ReadError;
use crate::storage::destination::Destination;
use crate::storage::histogram::from_text;
use crate::storage::names::Measure;
use crate::storage::read::datum::{Datum, Row};
use crate::storage::read::rows::row_labels;
use crate::timestream::ErrorKind;

/// Span of a table that is read at once: half the range of a block of Prometheus, which accepts nothing
/// older than that before its newest sample of any series.
const WINDOW_MS: i64 = 3_600_000;
/// The cursor.
const KEY: &str = "tables";

/// The labels of a series.
type Pairs = Vec<(String, String)>;

/// The progress of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Position {
    /// The first millisecond of the next window.
    from: i64,
    /// The position that was reached in the next window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reached: Option<Reached>,
}

/// A place in a window of which part is delivered.
///
/// Earlier positions have it without the end of the window, as `last`. Such a window is read from its
/// start: some samples after its unknown end would count as delivered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Reached {
    /// The first millisecond after the window. The next run may know a later one: the samples there
    /// are not delivered.
    end: i64,
    /// The last sample that is delivered, by the labels of its series and its time; all before
    /// it in this order are delivered.
    last: (Pairs, i64),
}

/// Delivers the samples of all sources.
pub(super) async fn deliver(
    settings: &Settings,
    run: &JobContext<'_>,
    sender: &mut Sender<'_>,
) -> Result<(), RunError> {
    // New samples need not be readable yet, and writers may be late.
    let present_ms = (run.now)().as_millisecond() - settings.lateness_ms;
    let mut tables = Vec::new();
    for source in &settings.sources {
        if let Source::Table {
            destination,
            metrics,
            start_ms,
            end_ms,
        } = source
        {
            tables.push(Table {
                destination,
                metrics,
                start_ms: *start_ms,
                end_ms: end_ms.unwrap_or(present_ms),
                name: source.name(),
            });
        }
    }
    if !tables.is_empty() {
        Tables::start(run, tables).await?.deliver(sender).await?;
    }
    for source in &settings.sources {
        if let Source::Query(query) = source {
            deliver_query(query, settings, run, sender).await?;
        }
    }
    Ok(())
}

/// A table that is read.
struct Table<'r> {
    destination: &'r Destination,
    metrics: &'r [String],
    start_ms: Option<i64>,
    /// The first millisecond that is not read.
    end_ms: i64,
    /// In the cursor.
    name: String,
}

/// The tables of a run, and the progress of each.
struct Tables<'r> {
    run: &'r JobContext<'r>,
    tables: Vec<Table<'r>>,
    positions: BTreeMap<String, Position>,
}

impl<'r> Tables<'r> {
    async fn start(run: &'r JobContext<'r>, tables: Vec<Table<'r>>) -> Result<Self, RunError> {
        let positions = match run.cursors.get(KEY).await? {
            Some(text) => serde_json::from_str(&text).map_err(|error| {
                RunError::Failed(format!("the cursor '{KEY}' cannot be read: {error}"))
            })?,
            None => BTreeMap::new(),
        };
        let mut tables = Self {
            run,
            tables,
            positions,
        };
        for index in 0..tables.tables.len() {
            let table = &tables.tables[index];
            let first = match (tables.positions.get(&table.name), table.start_ms) {
                (Some(position), _) => position.from,
                (None, Some(start)) => start,
                (None, None) => tables.next_time(table, 0).await?.unwrap_or(table.end_ms),
            };
            let seconds = (table.end_ms - first).max(0) / 1_000;
            run.progress.expect(seconds.unsigned_abs());
            let name = table.name.clone();
            tables.positions.entry(name).or_insert(Position {
                from: first,
                reached: None,
            });
        }
        Ok(tables)
    }

    async fn deliver(mut self, sender: &mut Sender<'_>) -> Result<(), RunError> {
        loop {
            let behind = self.tables.iter().enumerate();
            let behind = behind.map(|(index, table)| (self.positions[&table.name].from, index));
            let behind = behind.filter(|(from, index)| *from < self.tables[*index].end_ms);
            let Some((from, index)) = behind.min() else {
                break;
            };
            self.deliver_window(index, from, sender).await?;
            if sender.is_due() {
                sender.flush().await?;
            }
            if sender.waiting() == 0 {
                self.save().await?;
            }
        }
        sender.flush().await?;
        self.save().await
    }

    /// Reads an hour of a table and passes it to the sender.
    async fn deliver_window(
        &mut self,
        index: usize,
        from: i64,
        sender: &mut Sender<'_>,
    ) -> Result<(), RunError> {
        let name = self.tables[index].name.clone();
        let reached = self.positions[&name].reached.clone();
        let end_ms = self.tables[index].end_ms;
        let end = match &reached {
            Some(reached) => reached.end.min(end_ms),
            None => ((from / WINDOW_MS + 1) * WINDOW_MS).min(end_ms),
        };
        let series = self.series(&self.tables[index], (from, end - 1)).await?;
        let next = match series.is_empty() {
            // An empty hour may begin an empty year.
            true => {
                let next = self.next_time(&self.tables[index], end).await?;
                next.unwrap_or(end_ms).clamp(end, end_ms)
            }
            false => end,
        };
        let mut skip = reached.map(|reached| reached.last);
        for one in series {
            self.deliver_series((&name, end), one, &mut skip, sender)
                .await?;
        }
        let position = Position {
            from: next,
            reached: None,
        };
        self.positions.insert(name, position);
        self.run
            .progress
            .advance(((next - from) / 1_000).unsigned_abs());
        Ok(())
    }

    /// Passes a series of the window of a table that ends before `end` to the sender. `skip` is the last
    /// sample that is delivered already.
    async fn deliver_series(
        &mut self,
        (name, end): (&str, i64),
        series: Series,
        skip: &mut Option<(Pairs, i64)>,
        sender: &mut Sender<'_>,
    ) -> Result<(), RunError> {
        let labels = series.labels.iter();
        let pairs: Pairs = labels
            .map(|it| (it.name.clone(), it.value.clone()))
            .collect();
        let mut delivered_through = i64::MIN;
        if let Some((labels, through)) = &*skip {
            match pairs.cmp(labels) {
                std::cmp::Ordering::Less => return Ok(()),
                std::cmp::Ordering::Equal => delivered_through = *through,
                std::cmp::Ordering::Greater => *skip = None,
            }
        }
        let mut through = delivered_through;
        for point in points(&series) {
            if point.timestamp_ms() <= delivered_through {
                continue;
            }
            through = point.timestamp_ms();
            sender.push(point).await?;
            if sender.waiting() == 0 {
                let last = (pairs.clone(), through);
                self.note(name, Reached { end, last });
                self.save().await?;
            }
        }
        // Another table may be the one that fills the batch.
        let last = (pairs, through);
        self.note(name, Reached { end, last });
        Ok(())
    }

    fn note(&mut self, name: &str, reached: Reached) {
        if let Some(position) = self.positions.get_mut(name) {
            position.reached = Some(reached);
        }
    }

    /// Saves the progress; call it when no sample waits, as all that was passed to the sender is delivered then.
    async fn save(&self) -> Result<(), RunError> {
        let text = serde_json::to_string(&self.positions);
        let text = text.expect("texts and numbers are always valid JSON");
        Ok(self.run.cursors.set(KEY, &text).await?)
    }

    async fn series(&self, table: &Table<'_>, range: (i64, i64)) -> Result<Vec<Series>, RunError> {
        let querier = self.run.querier;
        let read = querier.series_of(table.destination, table.metrics, range, self.run.deadline);
        let what = format!("the table {}", table.destination);
        tokio::select! {
            read = read => read.map_err(|error| failed(&error, &what)),
            () = self.run.stop.cancelled() => Err(RunError::Interrupted),
        }
    }

    async fn next_time(&self, table: &Table<'_>, from_ms: i64) -> Result<Option<i64>, RunError> {
        let querier = self.run.querier;
        let read = querier.first_time(table.destination, from_ms, self.run.deadline);
        let what = format!("the table {}", table.destination);
        tokio::select! {
            read = read => read.map_err(|error| failed(&error, &what)),
            () = self.run.stop.cancelled() => Err(RunError::Interrupted),
        }
    }
}

fn failed(error: &ReadError, what: &str) -> RunError {
    match error {
        // A run with a deadline continues from its cursor.
        ReadError::Timestream(it) if it.kind == ErrorKind::Timeout => RunError::Interrupted,
        error => RunError::Failed(format!("{what} cannot be read: {error}")),
    }
}

/// The samples and native histograms of a series in the order of time.
fn points(series: &Series) -> Vec<Point> {
    let labels = Arc::new(series.labels.clone());
    let point = |content| Point {
        labels: Arc::clone(&labels),
        content,
    };
    let samples = series.samples().map(|sample| point(Content::Float(sample)));
    let mut points: Vec<Point> = samples.collect();
    if !series.histograms.is_empty() {
        let histograms = series.histograms.iter().cloned();
        let histograms = histograms.map(|it| Content::Histogram(Arc::new(it.into())));
        points.extend(histograms.map(point));
        points.sort_by_key(Point::timestamp_ms);
    }
    points
}

/// Delivers the rows of a query, in its order.
async fn deliver_query(
    query: &str,
    settings: &Settings,
    run: &JobContext<'_>,
    sender: &mut Sender<'_>,
) -> Result<(), RunError> {
    let mut pages = run.querier.run_statement(query.to_owned(), run.deadline);
    let now_ms = (run.now)().as_millisecond();
    let mut number = 0;
    loop {
        let page = tokio::select! {
            page = pages.next() => page.map_err(|error| failed(&error, "the query"))?,
            () = run.stop.cancelled() => return Err(RunError::Interrupted),
        };
        let Some((columns, rows)) = page else {
            return sender.flush().await;
        };
        if columns.is_empty() && rows.is_empty() {
            continue;
        }
        let layout = Layout::of(&columns, settings).map_err(RunError::Failed)?;
        run.progress.expect(rows.len() as u64);
        let mut bad = Vec::new();
        for row in &rows {
            number += 1;
            match layout.point(row, now_ms) {
                Ok(Some(point)) => sender.push(point).await?,
                Ok(None) => {}
                Err(error) => bad.push(format!("row {number} of the query: {error}")),
            }
        }
        sender.store_bad_rows(&bad).await?;
        if sender.is_due() {
            sender.flush().await?;
        }
        run.progress.advance(rows.len() as u64);
    }
}

/// The columns of a result.
#[derive(Debug, PartialEq, Eq)]
struct Layout {
    labels: LabelColumns,
    value: usize,
    time: Option<usize>,
}

#[derive(Debug, PartialEq, Eq)]
enum LabelColumns {
    /// One that holds them all as JSON.
    Map(usize),
    /// One for each, beside that with the metric's name.
    Each {
        metric: usize,
        names: Vec<String>,
        places: Vec<usize>,
    },
}

/// The error of a row without a value.
const NO_VALUE: &str = "the value is NULL, so the row is no sample";
/// The column that holds the metric name, in tables of Timestream.
const MEASURE_NAME: &str = "measure_name";

impl Layout {
    /// Without a column that `key_label` names, every other column is a label.
    fn of(columns: &[String], settings: &Settings) -> Result<Self, String> {
        let place = |name: &str| columns.iter().position(|column| column == name);
        let needed = |key: &str, name: &str| {
            place(name).ok_or_else(|| {
                let columns = columns.join(", ");
                format!("the query has no column '{name}' ({key}); it has {columns}")
            })
        };
        let fields = &settings.fields;
        let value = needed("key_value", &fields.value)?;
        let time = match &fields.timestamp {
            Some(name) => Some(needed("key_timestamp", name)?),
            None => None,
        };
        let metric = place(METRIC_NAME_LABEL).or(place(MEASURE_NAME));
        let labels = match (place(&fields.labels), metric) {
            (Some(map), _) => LabelColumns::Map(map),
            (None, None) => {
                return Err(format!(
                    "the query has neither a column '{}' (key_label) with a map of labels nor one with the metric's name ({MEASURE_NAME} or {METRIC_NAME_LABEL})",
                    fields.labels
                ));
            }
            (None, Some(metric)) => {
                let is_label = |it: &usize| {
                    ![Some(value), time, Some(metric)].contains(&Some(*it))
                        && columns[*it] != MEASURE_NAME
                };
                let places: Vec<usize> = (0..columns.len()).filter(is_label).collect();
                LabelColumns::Each {
                    metric,
                    names: places.iter().map(|it| columns[*it].clone()).collect(),
                    places,
                }
            }
        };
        Ok(Self {
            labels,
            value,
            time,
        })
    }

    /// Converts a row to a sample or native histogram; that of the test series is none.
    fn point(&self, row: &Row, now_ms: i64) -> Result<Option<Point>, String> {
        let text = |place: usize| row.get(place).and_then(Datum::as_scalar);
        let time = self.time.map(|place| {
            let time = text(place).ok_or("the time is absent")?;
            timestamp_ms(&Value::from(time))
        });
        let timestamp_ms = time.transpose()?.unwrap_or(now_ms);
        let (labels, special) = match &self.labels {
            LabelColumns::Map(place) => {
                let labels = text(*place).ok_or("the labels are absent")?;
                (labels_of_text(labels)?, None)
            }
            LabelColumns::Each {
                metric,
                names,
                places,
            } => {
                let values = places.iter().map(|it| row.get(*it).cloned());
                let values: Vec<_> = values.map(|it| it.unwrap_or(Datum::Null)).collect();
                let measure = Measure::of(text(*metric).unwrap_or_default());
                let name = match &measure {
                    Measure::Samples(name) | Measure::Histograms(name) => name,
                    Measure::Exemplars(_) => {
                        return Err("it is an exemplar, which a sink does not send".to_owned());
                    }
                    Measure::Test => return Ok(None),
                };
                let read = row_labels(names, &values, name).map_err(|error| error.to_string());
                let (labels, special) = read?;
                let labels = checked(labels.iter().cloned().collect())?;
                if let Measure::Histograms(_) = measure {
                    return self.histogram(row, labels, timestamp_ms).map(Some);
                }
                (labels, special)
            }
        };
        let value = match special {
            // The value beside it stands for it.
            Some(value) => value,
            None => {
                let shown = text(self.value).ok_or(NO_VALUE)?;
                number(shown).ok_or_else(|| format!("no number: {shown:?}"))?
            }
        };
        Ok(Some(Point {
            labels: Arc::new(labels),
            content: Content::Float(Sample {
                timestamp_ms,
                value,
            }),
        }))
    }

    fn histogram(&self, row: &Row, labels: Labels, timestamp_ms: i64) -> Result<Point, String> {
        let text = row.get(self.value).and_then(Datum::as_scalar);
        let histogram = from_text(text.ok_or(NO_VALUE)?, timestamp_ms);
        let histogram = histogram.ok_or("the value is no native histogram")?;
        Ok(Point {
            labels: Arc::new(labels),
            content: Content::Histogram(Arc::new(histogram.into())),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn layout(columns: &[&str]) -> Result<Layout, String> {
        let settings = Settings::parse(&json!({
            "url": "http://p", "key_label": "labels", "key_value": "v", "key_timestamp": "time",
        }));
        let columns: Vec<_> = columns.iter().map(|&it| it.to_owned()).collect();
        Layout::of(&columns, &settings.unwrap())
    }

    fn shown(columns: &[&str], row: &[&str]) -> Result<String, String> {
        let layout = layout(columns)?;
        let row = row.iter().map(|&text| match text {
            "NULL" => Datum::Null,
            text => Datum::Scalar(text.to_owned()),
        });
        let Some(point) = layout.point(&row.collect(), 7)? else {
            return Ok("no sample".to_owned());
        };
        let labels = point
            .labels
            .iter()
            .map(|it| format!("{}={}", it.name, it.value));
        let labels = labels.collect::<Vec<_>>().join(",");
        Ok(format!(
            "{labels} {} {:?}",
            point.timestamp_ms(),
            point.content
        ))
    }

    #[test]
    fn rows_of_a_query() {
        let sample = |ms: i64, value: f64| {
            format!("{ms} Float(Sample {{ timestamp_ms: {ms}, value: {value:?} }})")
        };
        let row = [
            "2020-09-13 12:26:40.000000000",
            "{\"__name__\":\"up\",\"a\":\"1\"}",
            "1.5E1",
        ];
        let expected = format!("__name__=up,a=1 {}", sample(1_600_000_000_000, 15.0));
        assert_eq!(shown(&["time", "labels", "v"], &row), Ok(expected));
        let columns = ["measure_name", "a", "b", "time", "v", "U__x_2e_yx"];
        let row = ["U__job_3a_upx", "1", "NULL", "5", "2", "z"];
        let expected = format!("__name__=job:up,a=1,x.y=z {}", sample(5, 2.0));
        assert_eq!(shown(&columns, &row), Ok(expected));
        // Reserved columns are not labels.
        let columns = ["measure_name", "time", "v", "U__value_bits", "U__no_labels"];
        for (row, expected) in [
            (
                ["a", "5", "0", "7ff0000000000000", "1"],
                format!("__name__=a {}", sample(5, f64::INFINITY)),
            ),
            (
                ["a", "5", "3", "NULL", "1"],
                format!("__name__=a {}", sample(5, 3.0)),
            ),
            (
                ["a", "5", "3", "of another writer", "2"],
                format!(
                    "U__no_labels=2,U__value_bits=of another writer,__name__=a {}",
                    sample(5, 3.0)
                ),
            ),
        ] {
            assert_eq!(shown(&columns, &row), Ok(expected));
        }
        let histogram = prom_model::Histogram {
            sum: 2.5,
            ..prom_model::Histogram::default()
        };
        let text = crate::storage::histogram::to_text(&histogram);
        let row = ["U__histogram_of_m", "5", &text, "NULL", "NULL"];
        let seen = shown(&columns, &row).unwrap();
        assert!(seen.starts_with("__name__=m 5 Histogram("), "{seen}");
        let row = ["U__doctor", "5", "NULL", "NULL", "1"];
        assert_eq!(shown(&columns, &row).as_deref(), Ok("no sample"));
        for (columns, row, expected) in [
            (
                &["measure_name", "time", "v"][..],
                &["U__histogram_of_m", "5", "1.5"][..],
                "the value is no native histogram",
            ),
            (
                &["measure_name", "time", "v"],
                &["U__exemplar_of_m", "5", "x"],
                "it is an exemplar",
            ),
            (
                &["time", "v"][..],
                &["5", "1"][..],
                "neither a column 'labels'",
            ),
            (
                &["time", "labels"],
                &["5", "{}"],
                "no column 'v' (key_value); it has time, labels",
            ),
            (&["labels", "v"], &["{}", "1"], "no column 'time'"),
            (
                &["time", "labels", "v"],
                &["5", "{}", "1"],
                "the labels have no __name__",
            ),
            (
                &["time", "measure_name", "v"],
                &["5", "a", "NULL"],
                "the value is NULL",
            ),
            (
                &["time", "measure_name", "v"],
                &["NULL", "a", "1"],
                "the time is absent",
            ),
            (
                &["time", "measure_name", "v"],
                &["5", "a", "x"],
                "no number: \"x\"",
            ),
        ] {
            let error = shown(columns, row).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
