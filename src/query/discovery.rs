//! Reading what there is beside samples: names and values of labels, series, metadata and exemplars.
//!
//! Names of labels and metrics come from the table's description, so they cost no scan and are those of any time.
//! Values of one label are one `SELECT DISTINCT`, and what conditions select are label sets without samples. All but
//! exemplars is remembered for a minute, so ranges are of whole minutes.

mod shelf;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use prom_model::{Labels, METRIC_NAME_LABEL};
use prom_wire::budget::Reservation;
use prom_wire::prompb;
use prom_wire::prompb::label_matcher::Type;
use promql::Matcher;
use tokio::time::Instant;

use super::evaluate::remote_matchers;
use super::progress::Progress;
use super::reads::{MAX_CONCURRENT_QUERIES, NEVER, Reads};
use super::result::{QueryResult, ReadError};
use super::single_flight::{QueryKey, Running, SharedQueries};
use super::statements::Statements;
use crate::query::Querier;
use crate::storage::destination::Destination;
use crate::storage::names::Dimension;
use crate::storage::read::discovery::{
    Exemplar, MetricMetadata, column_names, exemplar_of_row, metric_names, single_string,
};
use crate::storage::read::rows::Size;
use crate::storage::read::schema::Schema;
use crate::storage::read::selection::Selection;
use crate::storage::read::sql;
use crate::timestream::retry::Limits;
use crate::timestream::{ErrorKind, TimestreamError};
use shelf::{Shelf, Weighed};

/// Ranges begin and end at multiples of it, so that requests of one minute have the same.
const ROUNDED_TO_MS: i64 = 60_000;

/// Metadata is written again every twelve hours, and a table holds it for at least a day.
const METADATA_AGE: Duration = Duration::from_secs(24 * 3_600);

/// Strings of this number take longer to put into order than a thread that serves connections may be occupied.
const LONG_STRINGS: usize = 20_000;

/// Memory of a string in an ordered set beside its text.
const STRING_BYTES: usize = 2 * size_of::<String>();

/// The series in question.
#[derive(Clone, Debug)]
pub struct Scope {
    /// A series matches all conditions of at least one list; without lists every series of the default table does.
    pub selectors: Vec<Vec<Matcher>>,
    /// First and last millisecond.
    pub range_ms: (i64, i64),
    /// True if nothing that is remembered may be used.
    pub is_fresh: bool,
}

/// The exemplars of a series, oldest first.
pub type SeriesExemplars = BTreeMap<Labels, Vec<Exemplar>>;

/// The latest results, to be used again for a while.
#[derive(Debug, Default)]
pub(super) struct Discovered {
    schemas: Shelf<Destination, Arc<Schema>>,
    metrics: Shelf<Destination, Arc<[String]>>,
    values: Shelf<ValuesKey, Arc<[String]>>,
    series: Shelf<QueryKey, QueryResult>,
    metadata: Shelf<Destination, Arc<[MetricMetadata]>>,
    exemplars: SharedQueries<QueryKey, Arc<SeriesExemplars>>,
}

/// A table, a label and a range.
type ValuesKey = (Destination, String, (i64, i64));

/// A selection, and the query that it was read from.
type Selected = (prompb::Query, Selection);

/// A part of a list of strings.
enum Part {
    /// Strings.
    Strings(Arc<[String]>),
    /// Names of metrics, of which those that match are in the list.
    Metrics(Arc<[String]>, Selection),
    /// Series that have what is listed.
    Series(QueryResult),
}

impl Reads {
    /// Returns the names of the labels of series.
    ///
    /// # Errors
    /// As those of a read.
    pub async fn label_names(
        &mut self,
        scope: &Scope,
        reservation: &mut Reservation,
    ) -> Result<Vec<String>, ReadError> {
        let mut parts = Vec::new();
        for selected in self.selected(scope, reservation).await? {
            if !selects_all(&selected) {
                parts.push(self.label_sets(selected, scope));
                continue;
            }
            for destination in &selected.1.destinations {
                let schema = self.schema(destination, scope);
                parts.push(
                    async move { Ok(Part::Strings(label_names_of(&*schema.await?))) }.boxed(),
                );
            }
        }
        let names = |series: &QueryResult| -> Vec<String> {
            let labels = series.iter().flat_map(|series| series.labels.iter());
            let names: BTreeSet<&str> = labels.map(|label| label.name.as_str()).collect();
            names.into_iter().map(str::to_owned).collect()
        };
        self.strings(parts, names, reservation).await
    }

    /// Returns the values of a label of series.
    ///
    /// # Errors
    /// As those of a read.
    pub async fn label_values(
        &mut self,
        label: &str,
        scope: &Scope,
        reservation: &mut Reservation,
    ) -> Result<Vec<String>, ReadError> {
        let mut parts = Vec::new();
        for selected in self.selected(scope, reservation).await? {
            let (_, selection) = &selected;
            if label == METRIC_NAME_LABEL && has_only_names(selection) {
                for destination in &selection.destinations {
                    let (metrics, selection) =
                        (self.metrics(destination, scope), selection.clone());
                    parts.push(async move { Ok(Part::Metrics(metrics.await?, selection)) }.boxed());
                }
                continue;
            }
            if label == METRIC_NAME_LABEL || !selects_all(&selected) {
                parts.push(self.label_sets(selected, scope));
                continue;
            }
            let schemas = selection.destinations.iter();
            let schemas: Vec<_> = schemas.map(|it| self.schema(it, scope)).collect();
            let schemas = stream::iter(schemas).buffered(MAX_CONCURRENT_QUERIES);
            let schemas: Vec<_> = schemas.try_collect().await?;
            // Only series tell labels in reserved columns from what these are reserved for.
            if schemas.iter().any(|schema| schema.has_reserved(label)) {
                parts.push(self.label_sets(selected, scope));
                continue;
            }
            let Some(range) = selection.range else {
                continue;
            };
            for (destination, schema) in selection.destinations.iter().zip(schemas) {
                let statement = sql::label_values(destination, &schema, label, range);
                let Some(statement) = statement else { continue };
                let key = (destination.clone(), label.to_owned(), range);
                let run = |querier, progress| values(querier, progress, statement).boxed();
                let values = self.find(|it| &it.values, key, scope, run);
                parts.push(async move { Ok(Part::Strings(values.await?)) }.boxed());
            }
        }
        let values = |series: &QueryResult| -> Vec<String> {
            let values = series.iter().map(|series| series.labels.get(label));
            let values: BTreeSet<&str> = values.filter(|value| !value.is_empty()).collect();
            values.into_iter().map(str::to_owned).collect()
        };
        self.strings(parts, values, reservation).await
    }

    /// Returns the label sets of series, sorted, each once.
    ///
    /// # Errors
    /// As those of a read.
    pub async fn label_sets_of(
        &mut self,
        scope: &Scope,
        reservation: &mut Reservation,
    ) -> Result<Vec<Labels>, ReadError> {
        let selected = self.selected(scope, reservation).await?;
        let parts = selected
            .into_iter()
            .map(|selected| self.series(selected, scope));
        let parts: Vec<_> = parts.collect();
        let mut found = stream::iter(parts).buffered(MAX_CONCURRENT_QUERIES);
        let mut results = Vec::new();
        while let Some(series) = found.try_next().await? {
            let bytes = series
                .iter()
                .map(|it| it.labels.bytes() + size_of::<Labels>());
            let grown = reservation.grow(bytes.sum());
            grown.map_err(ReadError::Memory)?;
            results.push(series);
        }
        results.iter().for_each(|series| self.count(series));
        let all = || results.iter().flat_map(|series| series.iter());
        let merge = || {
            let sorted: BTreeSet<&Labels> = all().map(|series| &series.labels).collect();
            sorted.into_iter().cloned().collect()
        };
        let is_long = all().count() > LONG_STRINGS;
        Ok(self.querier().compute().run_if(is_long, merge).await)
    }

    /// Returns the metadata of metrics in the default database, newest first, each text once.
    ///
    /// # Errors
    /// As those of a read.
    pub async fn metadata(&mut self, is_fresh: bool) -> Result<Arc<[MetricMetadata]>, ReadError> {
        let querier = self.querier();
        let database = querier.routing.database.default.clone();
        let (Some(database), Some(table)) = (database, querier.metadata_table.clone()) else {
            return Ok(Arc::default());
        };
        let destination = Destination { database, table };
        let scope = Scope {
            selectors: Vec::new(),
            range_ms: (0, 0),
            is_fresh,
        };
        self.add_destinations(std::slice::from_ref(&destination));
        let table = destination.clone();
        let run = |querier, progress| metadata(querier, progress, table).boxed();
        match self.find(|it| &it.metadata, destination, &scope, run).await {
            // Nobody has created the table: there is no metadata.
            Err(ReadError::Timestream(TimestreamError {
                kind: ErrorKind::NotFound | ErrorKind::NotFoundByQuery,
                ..
            })) => Ok(Arc::default()),
            found => found,
        }
    }

    /// Returns the exemplars of series.
    ///
    /// # Errors
    /// As those of a read.
    pub async fn exemplars(
        &mut self,
        scope: &Scope,
        reservation: &mut Reservation,
    ) -> Result<SeriesExemplars, ReadError> {
        let queries = remote_queries(&scope.selectors, scope.range_ms);
        let selections = self.selections(&queries, reservation).await?;
        let mut parts = Vec::new();
        for (query, selection) in queries.iter().zip(selections) {
            self.add_destinations(&selection.destinations);
            let key = QueryKey::new(query, &selection);
            let querier = self.querier().clone();
            let discovered = Arc::clone(&querier.discovered);
            let start = |progress| exemplars(querier, progress, selection).boxed();
            let shared = discovered.exemplars.join(key, start);
            parts.push(self.wait_for(shared));
        }
        let mut found = stream::iter(parts).buffered(MAX_CONCURRENT_QUERIES);
        let mut all = SeriesExemplars::new();
        while let Some(part) = found.try_next().await? {
            let grown = reservation.grow(part.bytes());
            grown.map_err(ReadError::Memory)?;
            for (labels, exemplars) in part.iter() {
                let known = all.entry(labels.clone()).or_default();
                known.extend_from_slice(exemplars);
            }
        }
        for exemplars in all.values_mut() {
            exemplars.sort_by(|a, b| {
                let order = a.timestamp_ms.cmp(&b.timestamp_ms);
                let order = order.then_with(|| a.value.total_cmp(&b.value));
                order.then_with(|| a.labels.cmp(&b.labels))
            });
            exemplars.dedup_by(|a, b| {
                (a.timestamp_ms, a.value.to_bits()) == (b.timestamp_ms, b.value.to_bits())
                    && a.labels == b.labels
            });
        }
        Ok(all)
    }

    /// Reads what a scope selects, without what cannot match.
    async fn selected(
        &mut self,
        scope: &Scope,
        reservation: &mut Reservation,
    ) -> Result<Vec<Selected>, ReadError> {
        let queries = remote_queries(&scope.selectors, rounded(scope.range_ms));
        let selections = self.selections(&queries, reservation).await?;
        let mut selected: Vec<Selected> = queries.into_iter().zip(selections).collect();
        selected.retain(|(_, selection)| selection.range.is_some());
        for (_, selection) in &selected {
            self.add_destinations(&selection.destinations);
        }
        Ok(selected)
    }

    fn schema(
        &mut self,
        destination: &Destination,
        scope: &Scope,
    ) -> BoxFuture<'static, Result<Arc<Schema>, ReadError>> {
        let statement = sql::describe(destination);
        let run = |querier: Querier, progress: Arc<Progress>| {
            async move {
                let statements = statements(&querier, &progress);
                let rows = statements.rows(statement).await?;
                Ok(Arc::new(Schema::from_describe(&rows)?))
            }
            .boxed()
        };
        self.find(|it| &it.schemas, destination.clone(), scope, run)
    }

    fn metrics(
        &mut self,
        destination: &Destination,
        scope: &Scope,
    ) -> BoxFuture<'static, Result<Arc<[String]>, ReadError>> {
        let statement = sql::all_measures(destination);
        let run = |querier: Querier, progress: Arc<Progress>| {
            async move {
                let mut pages = statements(&querier, &progress).pages(statement);
                let mut names = BTreeSet::new();
                while let Some(rows) = pages.next().await? {
                    let mut found = metric_names(&rows)?;
                    grow(
                        &progress,
                        found.iter().map(|it| it.len() + STRING_BYTES).sum(),
                    );
                    names.append(&mut found);
                }
                Ok(names.into_iter().collect())
            }
            .boxed()
        };
        self.find(|it| &it.metrics, destination.clone(), scope, run)
    }

    fn label_sets(
        &mut self,
        selected: Selected,
        scope: &Scope,
    ) -> BoxFuture<'static, Result<Part, ReadError>> {
        let series = self.series(selected, scope);
        async move { Ok(Part::Series(series.await?)) }.boxed()
    }

    fn series(
        &mut self,
        (query, selection): Selected,
        scope: &Scope,
    ) -> BoxFuture<'static, Result<QueryResult, ReadError>> {
        let key = QueryKey::new(&query, &selection);
        let run = |querier: Querier, progress| querier.start(selection, None, progress);
        self.find(|it| &it.series, key, scope, run)
    }

    /// Returns what is on a shelf, else what runs to get there, else what `run` finds.
    fn find<K, V>(
        &mut self,
        shelf: fn(&Discovered) -> &Shelf<K, V>,
        key: K,
        scope: &Scope,
        run: impl FnOnce(Querier, Arc<Progress>) -> Running<V>,
    ) -> BoxFuture<'static, Result<V, ReadError>>
    where
        K: Weighed + Clone + Eq + Hash + Send + Sync + 'static,
        V: Weighed + Clone + Send + Sync + 'static,
    {
        let querier = self.querier().clone();
        let discovered = Arc::clone(&querier.discovered);
        if !scope.is_fresh
            && let Some(known) = shelf(&discovered).get(&key)
        {
            return std::future::ready(Ok(known)).boxed();
        }
        let start = |progress| run(querier, progress);
        let shared = shelf(&discovered).running.join(key.clone(), start);
        let found = self.wait_for(shared);
        async move {
            let found = found.await?;
            shelf(&discovered).put(key, found.clone());
            Ok(found)
        }
        .boxed()
    }

    /// Returns the strings of all parts, sorted, each once.
    async fn strings(
        &mut self,
        parts: Vec<BoxFuture<'static, Result<Part, ReadError>>>,
        of_series: impl Fn(&QueryResult) -> Vec<String>,
        reservation: &mut Reservation,
    ) -> Result<Vec<String>, ReadError> {
        let compute = self.querier().compute().clone();
        let mut parts = stream::iter(parts).buffered(MAX_CONCURRENT_QUERIES);
        let mut all = BTreeSet::new();
        while let Some(part) = parts.try_next().await? {
            let is_long = match &part {
                Part::Strings(strings) => strings.len() > LONG_STRINGS,
                Part::Metrics(names, selection) => {
                    names.len() > LONG_STRINGS || selection.is_heavy()
                }
                Part::Series(series) => series.len() > LONG_STRINGS / 10,
            };
            let add = || {
                let mut bytes = 0;
                let mut add = |string: String| {
                    let added = string.len() + STRING_BYTES;
                    bytes += usize::from(all.insert(string)) * added;
                };
                match &part {
                    Part::Strings(strings) => strings.iter().cloned().for_each(&mut add),
                    Part::Metrics(names, selection) => {
                        let matching = names
                            .iter()
                            .filter(|name| selection.matchers.iter().all(|it| it.matches(name)));
                        matching.cloned().for_each(&mut add);
                    }
                    Part::Series(series) => of_series(series).into_iter().for_each(&mut add),
                }
                bytes
            };
            let bytes = compute.run_if(is_long, add).await;
            reservation.grow(bytes).map_err(ReadError::Memory)?;
        }
        Ok(all.into_iter().collect())
    }
}

/// Returns the statements of a query that has no deadline of its own: those who wait for it have theirs.
fn statements<'q>(querier: &'q Querier, progress: &'q Progress) -> Statements<'q> {
    let limits = Limits {
        max_retries: querier.max_retries,
        deadline: Instant::now() + NEVER,
    };
    Statements::new(&querier.timestream, limits, progress)
}

fn grow(progress: &Progress, bytes: usize) {
    progress.grow(Size {
        samples: 0,
        bytes: bytes as u64,
    });
}

async fn values(
    querier: Querier,
    progress: Arc<Progress>,
    statement: String,
) -> Result<Arc<[String]>, ReadError> {
    let mut pages = statements(&querier, &progress).pages(statement);
    let mut values = Vec::new();
    while let Some(rows) = pages.next().await? {
        let before = values.len();
        for row in rows {
            values.extend(single_string(row)?);
        }
        let added = values[before..].iter();
        grow(&progress, added.map(|it| it.len() + STRING_BYTES).sum());
    }
    Ok(values.into())
}

async fn metadata(
    querier: Querier,
    progress: Arc<Progress>,
    table: Destination,
) -> Result<Arc<[MetricMetadata]>, ReadError> {
    let statements = statements(&querier, &progress);
    let present = statements.rows(sql::describe(&table)).await?;
    let present = column_names(&present)?;
    let columns = MetricMetadata::COLUMNS.map(str::to_owned);
    let columns: Vec<_> = columns
        .into_iter()
        .filter(|it| present.contains(it))
        .collect();
    if columns
        .first()
        .is_none_or(|it| it != MetricMetadata::COLUMNS[0])
    {
        return Ok(Arc::default());
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let from = now.unwrap_or_default().saturating_sub(METADATA_AGE);
    let from_ms = i64::try_from(from.as_millis()).unwrap_or(i64::MAX);
    let mut pages = statements.pages(sql::metadata(&table, &columns, from_ms));
    let mut found = Vec::new();
    while let Some(rows) = pages.next().await? {
        for row in rows {
            let entry = MetricMetadata::from_row(&columns, &row)?;
            grow(&progress, entry.bytes());
            found.push(entry);
        }
    }
    Ok(found.into())
}

async fn exemplars(
    querier: Querier,
    progress: Arc<Progress>,
    selection: Selection,
) -> Result<Arc<SeriesExemplars>, ReadError> {
    let statements = statements(&querier, &progress);
    let is_heavy = selection.is_heavy();
    let mut all = SeriesExemplars::new();
    let destinations = match selection.range {
        Some(_) => &selection.destinations[..],
        None => &[],
    };
    for destination in destinations {
        let columns = statements.rows(sql::describe(destination)).await?;
        let schema = Schema::from_describe(&columns)?;
        // The column is that of histograms and of exemplars.
        let statement = match schema.has_histograms() {
            true => sql::exemplars(&selection, destination, &schema)?,
            false => None,
        };
        let Some(statement) = statement else { continue };
        let mut pages = statements.pages(statement);
        while let Some(rows) = pages.next().await? {
            let mut rows = rows.iter();
            let add_row = || {
                let Some(row) = rows.next() else {
                    return Some(Ok(()));
                };
                match exemplar_of_row(&selection, schema.dimensions(), row) {
                    Ok(Some((labels, exemplar))) => {
                        grow(&progress, labels.bytes() + exemplar.bytes());
                        all.entry(labels).or_default().push(exemplar);
                        None
                    }
                    Ok(None) => None,
                    Err(error) => Some(Err(error)),
                }
            };
            querier.compute.run_in_slices(is_heavy, add_row).await?;
        }
    }
    Ok(Arc::new(all))
}

/// Returns queries of remote read for label sets; one without conditions if there are no selectors.
fn remote_queries(selectors: &[Vec<Matcher>], range_ms: (i64, i64)) -> Vec<prompb::Query> {
    let query = |selector: &[Matcher]| prompb::Query {
        start_timestamp_ms: range_ms.0,
        end_timestamp_ms: range_ms.1,
        matchers: remote_matchers(selector),
        hints: Some(prompb::ReadHints {
            func: "series".to_owned(),
            start_ms: range_ms.0,
            end_ms: range_ms.1,
            ..prompb::ReadHints::default()
        }),
    };
    let mut queries: Vec<prompb::Query> = Vec::new();
    for selector in selectors {
        let query = query(selector);
        if !queries.contains(&query) {
            queries.push(query);
        }
    }
    if selectors.is_empty() {
        queries.push(query(&[]));
    }
    queries
}

/// Returns a range of whole minutes around `range`.
fn rounded((start, end): (i64, i64)) -> (i64, i64) {
    if start > end {
        return (start, end);
    }
    let start = start.saturating_sub(start.rem_euclid(ROUNDED_TO_MS));
    let end = end.saturating_add(ROUNDED_TO_MS - 1 - end.rem_euclid(ROUNDED_TO_MS));
    (start, end)
}

/// Returns true if conditions are on the name of the metric alone.
fn has_only_names(selection: &Selection) -> bool {
    let mut matchers = selection.matchers.iter();
    matchers.all(|matcher| matcher.name == METRIC_NAME_LABEL)
}

/// Returns true if every series of the tables is selected.
fn selects_all((query, selection): &Selected) -> bool {
    let mut on_name = query
        .matchers
        .iter()
        .filter(|it| it.name == METRIC_NAME_LABEL);
    has_only_names(selection)
        && on_name.all(|it| {
            let op = Type::try_from(it.r#type);
            matches!(
                (op, it.value.as_str()),
                (Ok(Type::Neq), "") | (Ok(Type::Re), ".+" | ".*")
            )
        })
}

/// Returns the names of the labels of a table, that of the metric among them.
fn label_names_of(schema: &Schema) -> Arc<[String]> {
    if !schema.has_doubles() && !schema.has_histograms() {
        return Arc::default();
    }
    let columns = schema.dimensions().iter();
    let labels = columns.filter_map(|column| match Dimension::of(column) {
        Dimension::Label(name) => Some(name.into_owned()),
        Dimension::NoLabels | Dimension::ValueBits => None,
    });
    let names: BTreeSet<String> = labels.chain([METRIC_NAME_LABEL.to_owned()]).collect();
    names.into_iter().collect()
}

impl Weighed for Destination {
    fn bytes(&self) -> usize {
        self.database.len() + self.table.len()
    }
}

impl Weighed for ValuesKey {
    fn bytes(&self) -> usize {
        self.0.bytes() + self.1.len()
    }
}

impl Weighed for QueryKey {
    fn bytes(&self) -> usize {
        Self::bytes(self)
    }
}

impl Weighed for Arc<[String]> {
    fn bytes(&self) -> usize {
        self.iter().map(|it| it.len() + size_of::<String>()).sum()
    }
}

impl Weighed for Arc<Schema> {
    fn bytes(&self) -> usize {
        let names = self.dimensions().iter();
        size_of::<Schema>()
            + names
                .map(|it| it.len() + size_of::<String>())
                .sum::<usize>()
    }
}

impl Weighed for QueryResult {
    fn bytes(&self) -> usize {
        let series = self.iter();
        let series = series.map(|it| it.labels.bytes() + size_of::<prom_wire::response::Series>());
        series.sum()
    }
}

impl Weighed for Arc<[MetricMetadata]> {
    fn bytes(&self) -> usize {
        self.iter().map(MetricMetadata::bytes).sum()
    }
}

impl Weighed for SeriesExemplars {
    fn bytes(&self) -> usize {
        let series = self.iter().map(|(labels, exemplars)| {
            labels.bytes() + exemplars.iter().map(Exemplar::bytes).sum::<usize>()
        });
        series.sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_of_whole_minutes() {
        assert_eq!(rounded((60_000, 119_999)), (60_000, 119_999));
        assert_eq!(rounded((119_999, 120_000)), (60_000, 179_999));
        assert_eq!(rounded((-1, 0)), (-60_000, 59_999));
        assert_eq!(rounded((2, 1)), (2, 1));
        let all = rounded((i64::MIN, i64::MAX));
        assert_eq!(all, (i64::MIN, i64::MAX));
    }

    #[test]
    fn equal_selectors_are_one_query() {
        let selector = |text| promql::parse_selector(text, &promql::ParserOptions::default());
        let selectors = ["up", "{job=\"a\"}", "up"].map(|text| selector(text).unwrap());
        assert_eq!(remote_queries(&selectors, (1, 2)).len(), 2);
        let all = remote_queries(&[], (1, 2));
        assert!(all.len() == 1 && all[0].matchers.is_empty());
    }
}
