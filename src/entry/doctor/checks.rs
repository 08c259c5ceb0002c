//! The checks that make calls.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use tokio::time::{Instant, sleep, timeout_at};

use super::remedy::{Place, REGIONS, account_of, allow, for_error};
use super::report::{Check, Outcome, Report};
use crate::config::RegionSource;
use crate::dead_letter::{DeadLetterTarget, DeadLetters};
use crate::query::now_ms;
use crate::state::{Expect, State, StateStore};
use crate::storage::destination::Destination;
use crate::storage::names::TEST_MEASURE;
use crate::storage::read::sql;
use crate::storage::write::metadata::METRIC_NAME;
use crate::storage::write::test_series::test_record;
use crate::timestream::retry::Limits;
use crate::timestream::tables::DEFAULT_RETENTION;
use crate::timestream::{
    ErrorKind, Identity, Page, Side, Timestream, TimestreamError, credentials_remedy, host_of,
};

/// The time of one call.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// Clocks that differ by more get a warning.
const SKEW_WARNING: Duration = Duration::from_secs(60);
/// AWS rejects the signatures of clocks that differ by more.
const MAX_SKEW: Duration = Duration::from_secs(300);
/// Queries for the test record, which may not be visible at once.
const READS: u32 = 5;

/// The destinations and the region that the options name.
#[derive(Clone, Debug)]
pub(super) struct Targets {
    /// The region.
    pub(super) region: String,
    /// The destination of samples without labels for it.
    pub(super) default: Option<Destination>,
    /// All tables of samples.
    pub(super) tables: Vec<Destination>,
    /// The table of metadata in the default database.
    pub(super) metadata: Option<Destination>,
}

/// Checks in progress.
#[derive(Debug)]
pub(super) struct Examination {
    targets: Targets,
    place: Place,
    timestream: Timestream,
    deadline: Instant,
    report: Report,
    /// The services that cannot be called.
    unreachable: Vec<Side>,
    /// Tables that do not exist.
    missing: Vec<Destination>,
    /// The dimensions that tables require of every record.
    required: BTreeMap<Destination, String>,
}

impl Examination {
    /// Returns checks of `targets` that are added to `report` and end at `deadline`.
    pub(super) fn new(
        targets: Targets,
        timestream: Timestream,
        deadline: Instant,
        report: Report,
    ) -> Self {
        let place = Place {
            region: targets.region.clone(),
            account: "ACCOUNT".to_owned(),
        };
        Self {
            targets,
            place,
            timestream,
            deadline,
            report,
            unreachable: Vec::new(),
            missing: Vec::new(),
            required: BTreeMap::new(),
        }
    }

    /// Returns the results.
    pub(super) fn into_report(self) -> Report {
        self.report
    }

    /// Returns the limits of a call; `None` if the time is over.
    fn limits(&self) -> Option<Limits> {
        let now = Instant::now();
        (now < self.deadline).then(|| Limits {
            max_retries: 1,
            deadline: self.deadline.min(now + CALL_TIMEOUT),
        })
    }

    /// Returns a check that was not made in time. It counts as failed: nothing says that it would pass.
    fn out_of_time(name: impl Into<String>) -> Check {
        let remedy = "give the checks more time: --timeout, or the timeout of the function";
        Check::fail(name, "the time of all checks is over", remedy)
    }

    /// Looks for credentials, and returns true if there are some.
    pub(super) async fn credentials(&mut self) -> bool {
        const NAME: &str = "credentials";
        let check = match timeout_at(self.deadline, self.timestream.identity()).await {
            Err(_) => {
                let remedy = "check the provider that AWS_PROFILE or the environment names, or give it more --timeout";
                Check::fail(NAME, "the default chain has not ended in time", remedy)
            }
            Ok(Err(error)) => {
                let (words, remedy) = credentials_remedy(&error.message).unwrap_or((
                    &error.message,
                    "correct the source of credentials that the environment or the profile names",
                ));
                Check::fail(NAME, words, remedy)
            }
            Ok(Ok(identity)) => {
                if let Some(account) = &identity.account {
                    self.place.account.clone_from(account);
                }
                Check::ok(NAME, described(&identity))
            }
        };
        self.report.add(check)
    }

    /// Adds the checks that need signed calls, which cannot be made for this reason.
    pub(super) fn skip_calls(&mut self, reason: &str) {
        let targets = &self.targets;
        let names = ["endpoint of writes", "endpoint of queries"].map(str::to_owned);
        let tables = targets.tables.iter().map(|it| format!("table {it}"));
        let metadata = targets
            .metadata
            .iter()
            .map(|it| format!("metadata table {it}"));
        let actions = ACTIONS.iter().map(|action| format!("timestream:{action}"));
        let names: Vec<_> = names
            .into_iter()
            .chain(tables)
            .chain(metadata)
            .chain(actions)
            .collect();
        for name in names.into_iter().chain(["test series".to_owned()]) {
            self.report.add(Check::skipped(name, reason));
        }
    }

    /// Looks whether the region has Timestream.
    pub(super) fn region(&mut self, source: RegionSource) {
        let region = &self.targets.region;
        let source = match source {
            RegionSource::Default => "the default, as nothing names another",
            RegionSource::Profile => "of the profile",
            source => source.as_str(),
        };
        self.report.add(match REGIONS.contains(&region.as_str()) {
            true => Check::ok("region", format!("{region} ({source})")),
            false => Check::warn(
                "region",
                format!("{region} ({source}) is not known to have Timestream for LiveAnalytics"),
                format!("use one of {}", REGIONS.join(", ")),
            ),
        });
    }

    /// Compares the clocks, and returns false if it is known that signatures cannot be valid.
    pub(super) async fn clock(&mut self) -> bool {
        const NAME: &str = "clock";
        let Some(limits) = self.limits() else {
            self.report.add(Self::out_of_time(NAME));
            return true;
        };
        let url = self.timestream.first_url(Side::Writes).to_owned();
        let measured = timeout_at(limits.deadline, self.timestream.clock_skew_ms(&url));
        let skew = measured.await.ok().and_then(Result::ok).flatten();
        self.report.add(match skew {
            None => {
                let reason = format!("{} has not responded with its time", host_of(&url));
                Check::skipped(NAME, reason)
            }
            Some(skew_ms) => clock_of(skew_ms),
        })
    }

    /// Looks for the endpoints of both services.
    pub(super) async fn endpoints(&mut self) {
        for (side, name) in [
            (Side::Writes, "endpoint of writes"),
            (Side::Queries, "endpoint of queries"),
        ] {
            let check = self.endpoint(side, name).await;
            // Checks after the time is over say so themselves.
            if !self.report.add(check) && self.limits().is_some() {
                self.unreachable.push(side);
            }
        }
    }

    async fn endpoint(&self, side: Side, name: &str) -> Check {
        let Some(limits) = self.limits() else {
            return Self::out_of_time(name);
        };
        let mut url = self.timestream.first_url(side).to_owned();
        let mut detail = format!("{} (custom, not discovered)", host_of(&url));
        let mut found = Ok(());
        if self.timestream.discovers(side) {
            match self.timestream.discover(side, limits).await {
                Ok(cell) => {
                    detail = format!("{} by {}", host_of(&cell), host_of(&url));
                    url = cell;
                }
                Err(error) => found = Err(error),
            }
        }
        if found.is_ok() {
            found = self.reach(&url).await;
        }
        match found {
            Ok(()) => Check::ok(name, detail),
            Err(error) => {
                let remedy = for_error(&error, &url, "timestream:DescribeEndpoints", "*");
                let remedy = match error.kind {
                    ErrorKind::AccessDenied => format!(
                        "{remedy}; an account that has never used Timestream for LiveAnalytics gets no access \
                         since 2025-06-20"
                    ),
                    _ => remedy,
                };
                Check::fail(name, error.message, remedy)
            }
        }
    }

    /// Looks whether a server responds, whatever that is.
    async fn reach(&self, url: &str) -> Result<(), TimestreamError> {
        let deadline = self.deadline.min(Instant::now() + CALL_TIMEOUT);
        let reached = timeout_at(deadline, self.timestream.clock_skew_ms(url)).await;
        let mut reached = reached.unwrap_or_else(|_| Err(TimestreamError::timeout()));
        if let Err(error) = &mut reached {
            error.name_host(url);
        }
        reached.map(drop)
    }

    /// Describes the tables that the options name.
    pub(super) async fn tables(&mut self) {
        if self.targets.tables.is_empty() {
            let reason = "labels name the destination; run it with --default-database and --default-table of one";
            self.report.add(Check::skipped("table", reason));
        }
        for destination in self.targets.tables.clone() {
            let name = format!("table {destination}");
            let check = self.table(name, &destination, true).await;
            self.report.add(check);
        }
        if let Some(destination) = self.targets.metadata.clone() {
            let name = format!("metadata table {destination}");
            let mut check = self.table(name, &destination, false).await;
            if check.has_failed() {
                // Only types, help texts and units of metrics get lost.
                check.outcome = Outcome::Warn;
            }
            self.report.add(check);
        }
    }

    async fn table(&mut self, name: String, destination: &Destination, has_samples: bool) -> Check {
        if self.unreachable.contains(&Side::Writes) {
            return Check::skipped(name, "it needs the endpoint of writes");
        }
        let Some(limits) = self.limits() else {
            return Self::out_of_time(name);
        };
        let (table, arn) = match self.timestream.describe(destination, limits).await {
            Ok(found) => found,
            Err(error) if error.kind == ErrorKind::NotFound => {
                self.missing.push(destination.clone());
                let mut remedy = self.place.create_table(destination, &error.message);
                if !has_samples {
                    remedy = format!("set metadata_table=off, or {remedy}");
                }
                return Check::fail(name, error.message, remedy);
            }
            Err(error) => {
                return self.failed(name, error, Side::Writes, "DescribeTable", destination);
            }
        };
        if let Some(account) = arn.as_deref().and_then(account_of) {
            account.clone_into(&mut self.place.account);
        }
        let hours = table.memory_hours.unwrap_or(DEFAULT_RETENTION.0);
        let days = table.magnetic_days.unwrap_or(DEFAULT_RETENTION.1);
        let account = &self.place.account;
        let mut detail =
            format!("memory store {hours} h, magnetic store {days} d, account {account}");
        if let Some(dimension) = table.required_dimension() {
            self.required
                .insert(destination.clone(), dimension.to_owned());
            if !has_samples && dimension != METRIC_NAME {
                return Check::fail(
                    name,
                    format!(
                        "{detail}; metadata has no dimension {dimension}, which the table requires"
                    ),
                    "set metadata_table to a table without a partition key, or off",
                );
            }
            let records = if has_samples { "series" } else { "records" };
            detail += &format!("; {records} without the dimension {dimension} are rejected");
        }
        match table.magnetic_writes || !has_samples {
            true => Check::ok(name, detail),
            false => Check::warn(
                name,
                format!(
                    "{detail}; samples older than {hours} h are rejected, as magnetic writes are off"
                ),
                self.place.enable_magnetic_writes(destination),
            ),
        }
    }

    /// Returns the check of a call that failed.
    fn failed(
        &self,
        name: impl Into<String>,
        error: TimestreamError,
        side: Side,
        action: &str,
        destination: &Destination,
    ) -> Check {
        let resource = match action {
            "CancelQuery" => "*".to_owned(),
            _ => self.place.table_arn(destination),
        };
        let action = format!("timestream:{action}");
        let remedy = for_error(&error, &self.timestream.url(side), &action, &resource);
        Check::fail(name, error.message, remedy)
    }

    /// Uses each permission once, on the default destination or else the first table.
    pub(super) async fn permissions(&mut self, writes: bool) {
        let first = self.targets.default.clone();
        let Some(destination) = first.or_else(|| self.targets.tables.first().cloned()) else {
            self.skip_permissions("it needs a table");
            return;
        };
        if self.missing.contains(&destination) {
            self.skip_permissions(&format!("it needs the table {destination}"));
            return;
        }
        let time_ms = now_ms();
        let is_written = self.write_test_record(writes, &destination, time_ms).await;
        let statements = [
            ("ListMeasures", sql::test_measures(&destination)),
            ("DescribeTable", sql::describe(&destination)),
            ("Select", sql::test_rows(&destination, time_ms)),
        ];
        let (mut query, mut rows) = (None, None);
        for (action, statement) in statements {
            let name = format!("timestream:{action}");
            let check = match self.query(&name, statement).await {
                Err(skipped) => skipped,
                Ok(Ok((found, id))) => {
                    query = id.or(query);
                    rows = (action == "Select").then_some(found);
                    Check::ok(name, "allowed")
                }
                Ok(Err(error)) => self.failed(name, error, Side::Queries, action, &destination),
            };
            self.report.add(check);
        }
        let check = self.cancel(query.as_deref(), &destination).await;
        self.report.add(check);
        let check = self.read_test_record(is_written, rows, &destination, time_ms);
        let check = check.await;
        self.report.add(check);
    }

    fn skip_permissions(&mut self, reason: &str) {
        for action in ACTIONS {
            self.report
                .add(Check::skipped(format!("timestream:{action}"), reason));
        }
        self.report.add(Check::skipped("test series", reason));
    }

    /// Writes the test record and returns true if it is stored.
    async fn write_test_record(
        &mut self,
        writes: bool,
        destination: &Destination,
        time_ms: i64,
    ) -> bool {
        const NAME: &str = "timestream:WriteRecords";
        let check = match self.limits() {
            _ if !writes => Check::skipped(NAME, "nothing is written (--no-write)"),
            _ if self.unreachable.contains(&Side::Writes) => {
                Check::skipped(NAME, "it needs the endpoint of writes")
            }
            None => Self::out_of_time(NAME),
            Some(limits) => {
                let required = self.required.get(destination).map(String::as_str);
                let body = test_record(destination, required, time_ms);
                match self.timestream.write_records(body, 1, limits).await.result {
                    Ok(()) => {
                        self.report.add(Check::ok(NAME, "allowed"));
                        return true;
                    }
                    Err(error) => {
                        let error = with_reason(error);
                        self.failed(NAME, error, Side::Writes, "WriteRecords", destination)
                    }
                }
            }
        };
        self.report.add(check);
        false
    }

    /// Runs a statement and returns the number of rows of its first page and the identifier of the query. The outer
    /// error is the check that cannot be made.
    async fn query(
        &self,
        name: &str,
        statement: String,
    ) -> Result<Result<(usize, Option<String>), TimestreamError>, Check> {
        if self.unreachable.contains(&Side::Queries) {
            return Err(Check::skipped(name, "it needs the endpoint of queries"));
        }
        let limits = self.limits().ok_or_else(|| Self::out_of_time(name))?;
        let mut pages = self.timestream.query(statement);
        let page = pages.next(limits).await.result;
        let rows = |page: Option<Page>| page.map_or(0, |page| page.rows.len());
        Ok(page.map(|page| (rows(page), pages.query_id().map(str::to_owned))))
    }

    /// Cancels a query that has ended: the response shows if it is allowed.
    async fn cancel(&self, query: Option<&str>, destination: &Destination) -> Check {
        const NAME: &str = "timestream:CancelQuery";
        let Some(id) = query else {
            return Check::skipped(NAME, "it needs a query that succeeds");
        };
        let Some(limits) = self.limits() else {
            return Self::out_of_time(NAME);
        };
        match self.timestream.cancel_query(id, limits).await {
            Ok(()) => Check::ok(NAME, "allowed"),
            Err(error) if matches!(error.kind, ErrorKind::Validation | ErrorKind::NotFound) => {
                Check::ok(NAME, "allowed")
            }
            Err(error) => self.failed(NAME, error, Side::Queries, "CancelQuery", destination),
        }
    }

    /// Reads the test record back; `rows` is what the first query found.
    async fn read_test_record(
        &self,
        is_written: bool,
        rows: Option<usize>,
        destination: &Destination,
        time_ms: i64,
    ) -> Check {
        const NAME: &str = "test series";
        let Some(mut rows) = rows.filter(|_| is_written) else {
            return Check::skipped(
                NAME,
                "it needs timestream:WriteRecords and timestream:Select",
            );
        };
        // Reads are eventually consistent.
        for _ in 1..READS {
            if rows > 0 {
                break;
            }
            sleep(Duration::from_secs(1)).await;
            let statement = sql::test_rows(destination, time_ms);
            rows = match self.query(NAME, statement).await {
                Err(skipped) => return skipped,
                Ok(Ok((rows, _))) => rows,
                Ok(Err(error)) => {
                    return self.failed(NAME, error, Side::Queries, "Select", destination);
                }
            };
        }
        match rows {
            0 => Check::warn(
                NAME,
                format!(
                    "the record of {TEST_MEASURE} is stored, but not visible after {READS} queries"
                ),
                "run it again in a minute: reads are eventually consistent",
            ),
            _ => Check::ok(
                NAME,
                format!("a record of {TEST_MEASURE} is written and read back"),
            ),
        }
    }

    /// Looks for the target of dead letters, if there is one.
    pub(super) async fn letters(&mut self, target: Option<&DeadLetterTarget>, shared: &SdkConfig) {
        const NAME: &str = "dead letters";
        let Some(target) = target else { return };
        let Some(limits) = self.limits() else {
            self.report.add(Self::out_of_time(NAME));
            return;
        };
        let letters = match DeadLetters::open(Some(target), shared) {
            Ok(letters) => letters,
            Err(error) => {
                let remedy = "correct dead_letter, or let the process write to the folder";
                self.report
                    .add(Check::fail(NAME, format!("{target}: {error}"), remedy));
                return;
            }
        };
        let DeadLetters::Queue(queue) = letters else {
            self.report.add(Check::ok(NAME, target.to_string()));
            return;
        };
        let found = timeout_at(limits.deadline, queue.arn()).await;
        let found = found.unwrap_or_else(|_| Err(queue.timeout()));
        self.report.add(match found {
            Ok(arn) => Check::ok(
                NAME,
                format!("{arn}; sqs:SendMessage is not tried, as a message would stay there"),
            ),
            Err(error) if error.to_string().contains("AccessDenied") => Check::warn(
                NAME,
                format!("{target} cannot be looked at"),
                allow(
                    "sqs:SendMessage, and for this check sqs:GetQueueAttributes,",
                    "the queue",
                ),
            ),
            Err(error) => Check::fail(
                NAME,
                error.to_string(),
                "create the queue (aws sqs create-queue), or correct dead_letter",
            ),
        });
    }

    /// Reads and writes the store of the state, if there is one, without a change.
    pub(super) async fn state(&mut self, store: Option<&StateStore>, shared: &SdkConfig) {
        const NAME: &str = "state store";
        let Some(store) = store else { return };
        let Some(limits) = self.limits() else {
            self.report.add(Self::out_of_time(NAME));
            return;
        };
        let used = async {
            let state = State::open(Some(store), shared).map_err(|error| error.to_string())?;
            let text = |error: crate::state::StateError| error.to_string();
            state.get(COLLECTION, COLLECTION).await.map_err(text)?;
            state.list(COLLECTION).await.map_err(text)?;
            // No item has this version, so nothing is stored.
            let expect = Expect::Version(COLLECTION.to_owned());
            let put = state.put(COLLECTION, COLLECTION, "", expect, None);
            put.await.map(drop).map_err(text)
        };
        let used = timeout_at(limits.deadline, used).await;
        self.report.add(
            match used.unwrap_or_else(|_| Err("no response in time".to_owned())) {
                Ok(()) => Check::ok(NAME, format!("{store} can be read and written")),
                Err(error) => Check::fail(
                    NAME,
                    format!("{store}: {error}"),
                    state_remedy(store, &error),
                ),
            },
        );
    }
}

/// A collection of the state that has no items.
const COLLECTION: &str = "doctor";

/// The permissions of reads and writes, in the order of their checks.
const ACTIONS: [&str; 5] = [
    "WriteRecords",
    "ListMeasures",
    "DescribeTable",
    "Select",
    "CancelQuery",
];

fn state_remedy(store: &StateStore, error: &str) -> String {
    let StateStore::DynamoDb(table) = store else {
        return "correct state_store, or let the process write to the folder".to_owned();
    };
    match error.contains("AccessDenied") {
        true => allow(
            "dynamodb:GetItem, dynamodb:PutItem, dynamodb:DeleteItem and dynamodb:Query",
            &format!("the table {table}"),
        ),
        false => format!(
            "create the table or correct state_store: aws dynamodb create-table --table-name {table} \
             --billing-mode PAY_PER_REQUEST --key-schema AttributeName=collection,KeyType=HASH \
             AttributeName=name,KeyType=RANGE --attribute-definitions \
             AttributeName=collection,AttributeType=S AttributeName=name,AttributeType=S"
        ),
    }
}

fn described(identity: &Identity) -> String {
    let account = identity.account.as_deref();
    let account = account.map_or_else(String::new, |account| format!(", account {account}"));
    let left = identity
        .expires
        .map(|end| end.duration_since(SystemTime::now()));
    let expires = match left {
        None => String::new(),
        Some(Ok(left)) => format!(", for {} min", left.as_secs() / 60),
        Some(Err(_)) => ", expired".to_owned(),
    };
    format!(
        "{}, key {}{account}{expires}",
        identity.source, identity.access_key
    )
}

/// Returns the check of clocks of which that of the service is ahead by so many milliseconds.
fn clock_of(skew_ms: i64) -> Check {
    const NAME: &str = "clock";
    let skew = Duration::from_millis(skew_ms.unsigned_abs());
    // The header has whole seconds.
    let seconds = skew.as_secs();
    let side = if skew_ms > 0 { "behind" } else { "ahead of" };
    let detail = format!("{seconds} s {side} that of AWS");
    let remedy = "synchronize the clock of this machine (timedatectl set-ntp true, or chrony)";
    match skew {
        _ if skew > MAX_SKEW => Check::fail(
            NAME,
            format!("{detail}, which rejects signatures from 300 s on"),
            remedy,
        ),
        _ if skew > SKEW_WARNING => Check::warn(NAME, detail, remedy),
        _ if seconds < 2 => Check::ok(NAME, "as that of AWS"),
        _ => Check::ok(NAME, detail),
    }
}

/// Adds the reasons of a rejected record to the words of the service.
fn with_reason(mut error: TimestreamError) -> TimestreamError {
    if let Some(rejection) = error.rejections.first() {
        error.message = format!("{} {}", error.message, rejection.message);
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks() {
        for (skew_ms, outcome, detail) in [
            (0, Outcome::Ok, "as that of AWS"),
            (-1_900, Outcome::Ok, "as that of AWS"),
            (59_000, Outcome::Ok, "59 s behind that of AWS"),
            (-61_000, Outcome::Warn, "61 s ahead of that of AWS"),
            (
                301_000,
                Outcome::Fail,
                "301 s behind that of AWS, which rejects signatures from 300 s on",
            ),
        ] {
            let check = clock_of(skew_ms);
            assert_eq!((check.outcome, check.detail.as_str()), (outcome, detail));
            assert_eq!(check.remedy.is_some(), outcome != Outcome::Ok);
        }
    }
}
