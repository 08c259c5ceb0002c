//! Nothing is lost and nothing is invented, under any fault: real processes, faults ordered and
//! processes killed while a sender delivers numbered samples, and then a search for each of them:
//! in the tables, else in the dead letters or, where these are not stored, in the responses. The samples are sent by
//! remote write, and as data points of OTLP.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use prom_wire::prompb::TimeSeries;
use regex::Regex;
use soak::programs::{Emulator, Program, get, start_connector};
use timestream_emulator::{Point, Value};
use tokio::sync::watch;

use crate::dead_letters::{letters, replay};
use crate::programs;
use crate::sender::{Progress, Protocol, Sender, Sent};
use crate::support::{create_table, now_ms, series};

const SHARDS: usize = 4;
/// Series of each shard.
const SERIES: usize = 12;
/// Samples of each series, a second apart.
const STEPS: usize = 20;
/// The first of them that are sent when all that was to happen has happened.
const STEPS_AFTERWARDS: usize = 15;
/// Samples in a request.
const BATCH: usize = 30;
/// Age of the first sample: in the memory store of most tables, where a record that is there with
/// another value is rejected, and too old for one.
const AGE_MS: i64 = 3 * 3_600_000;

/// One sample of the numbered stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Numbered {
    fate: Fate,
    series: usize,
    step: usize,
}

/// Expected outcome for a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fate {
    /// Stored in the default table.
    Default,
    /// Stored in the table that a label names.
    Other,
    /// Its table is missing, perhaps only at first.
    Missing,
    /// It names no database, and there is no default one.
    Homeless,
    /// Too old for its table, whose retention is short.
    TooOld,
    /// Its values are not numbers.
    NotFinite,
}

use Fate::{Default as Stored, Homeless, Missing, NotFinite, Other, TooOld};

/// The series of the cases in which all can be stored.
const GOOD: &[Fate] = &[Stored, Other];
/// The series of the others: most can be stored.
const MIXED: &[Fate] = &[
    Stored, Other, Missing, Stored, Homeless, TooOld, Stored, NotFinite,
];

impl Fate {
    /// Labels that name the destination.
    fn labels(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Stored | NotFinite => &[("database", "db")],
            Other => &[("database", "db"), ("table", "other")],
            Missing => &[("database", "db"), ("table", "missing")],
            Homeless => &[("table", "other")],
            TooOld => &[("database", "db"), ("table", "recent")],
        }
    }

    /// Returns the table that holds its samples once they are stored.
    fn table(self) -> Option<&'static str> {
        match self {
            Stored => Some("db/t"),
            Other => Some("db/other"),
            Missing => Some("db/missing"),
            Homeless | TooOld | NotFinite => None,
        }
    }

    /// Returns the reason why a sample is not stored, as a response and as a dead letter have it.
    fn reason(self, account: Account) -> Option<&'static str> {
        match self {
            Stored | Other => None,
            Missing => Some("ResourceNotFoundException"),
            Homeless => Some("MissingDatabaseWithWriteError"),
            TooOld if account == Account::Responds => Some("RejectedRecordsException"),
            TooOld => Some("outside_memory_window"),
            NotFinite => Some("value_not_finite"),
        }
    }
}

impl Numbered {
    /// Returns the sample of a series so many milliseconds after the start.
    fn at(case: &Case, series: usize, after_ms: i64) -> Self {
        let step = usize::try_from(after_ms / 1_000).unwrap();
        assert!(series < SHARDS * SERIES && step < STEPS && after_ms % 1_000 == 0);
        Self {
            fate: case.fate(series),
            series,
            step,
        }
    }

    fn time_ms(self, start_ms: i64) -> i64 {
        start_ms + self.step as i64 * 1_000
    }

    /// Differs between any two samples, and needs all its digits.
    fn value(self) -> f64 {
        match self.fate {
            NotFinite => [f64::NAN, f64::INFINITY, f64::NEG_INFINITY][self.step % 3],
            _ => (self.series * STEPS + self.step) as f64 + 1.0 / 3.0,
        }
    }

    fn measure_name(self) -> String {
        format!("metric_{}", self.series % 5)
    }

    fn timeseries(self, start_ms: i64) -> TimeSeries {
        let (name, number) = (self.measure_name(), self.series.to_string());
        let own = [
            ("__name__", name.as_str()),
            ("job", "loss"),
            ("series", number.as_str()),
        ];
        let labels = [&own, self.fate.labels()].concat();
        series(&labels, &[(self.time_ms(start_ms), self.value())])
    }
}

/// Something that happens while samples are sent.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// An order to the emulator, as JSON.
    Order(&'static str),
    /// All orders are withdrawn.
    Withdraw,
    KillEmulator,
    StartEmulator,
    /// In the midst of a request.
    KillConnector,
    StartConnector,
    CreateMissingTable,
}

use Event::{
    CreateMissingTable, KillConnector, KillEmulator, Order, StartConnector, StartEmulator, Withdraw,
};

/// Record of the samples that are not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Account {
    /// The text of the last response.
    Responds,
    /// Dead letters; the request succeeds then.
    Letters,
}

/// A row of the matrix.
struct Case {
    flags: &'static [&'static str],
    /// Samples in a request.
    batch: usize,
    fates: &'static [Fate],
    /// Events once so many attempts to send a batch have ended.
    events: &'static [(usize, Event)],
    /// The error that may keep out what could be stored, where it is one that Prometheus drops data
    /// for.
    dropped_for: Option<&'static str>,
}

impl Case {
    fn fate(&self, series: usize) -> Fate {
        self.fates[series % self.fates.len()]
    }

    fn creates_table(&self) -> bool {
        let mut events = self.events.iter();
        events.any(|(_, event)| matches!(event, CreateMissingTable))
    }
}

const fn case(fates: &'static [Fate], events: &'static [(usize, Event)]) -> Case {
    Case {
        flags: &[],
        batch: BATCH,
        fates,
        events,
        dropped_for: None,
    }
}

/// Fewer retries than usual, so that the sender sees faults.
const FLAGS: [&str; 5] = [
    "--database-label=database",
    "--table-label=table",
    "--default-table=t",
    "--max-write-retries=1",
    "--request-timeout=5s",
];

const THROTTLE_10: &str = r#"{"operation":"WriteRecords","kind":"throttle","when":{"rate":0.1}}"#;
const THROTTLE_30: &str = r#"{"operation":"WriteRecords","kind":"throttle","when":{"rate":0.3}}"#;
const THROTTLE_90: &str = r#"{"operation":"WriteRecords","kind":"throttle","when":{"rate":0.9}}"#;
const INTERNAL: &str =
    r#"{"operation":"WriteRecords","kind":"internal_server","when":{"rate":0.3}}"#;
const CUT_BEFORE: &str = r#"{"operation":"WriteRecords","kind":"cut_before","when":{"rate":0.25}}"#;
const CUT_AFTER: &str = r#"{"operation":"WriteRecords","kind":"cut_after","when":{"rate":0.25}}"#;
const GONE: &str = r#"{"kind":"invalid_endpoint","when":{"rate":0.5}}"#;
const DENIED: &str = r#"{"operation":"WriteRecords","kind":"access_denied","when":"always"}"#;
const EXPIRED: &str = r#"{"operation":"WriteRecords","kind":"expired_token","when":"always"}"#;
const SLOW: &str = r#"{"operation":"WriteRecords","kind":{"latency_ms":1000},"when":{"next":12}}"#;
const TOO_SLOW: &str =
    r#"{"operation":"WriteRecords","kind":{"latency_ms":1500},"when":{"next":6}}"#;
const HELD_UP: &str = r#"{"operation":"WriteRecords","kind":{"latency_ms":50},"when":"always"}"#;

/// Four tests for each row.
macro_rules! matrix {
    ($($name:ident: $case:expr;)*) => {$(
        mod $name {
            use super::*;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn with_dead_letters() {
                run($case, Account::Letters, Protocol::RemoteWrite).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn without_dead_letters() {
                run($case, Account::Responds, Protocol::RemoteWrite).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn of_otlp_with_dead_letters() {
                run($case, Account::Letters, Protocol::Otlp).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn of_otlp_without_dead_letters() {
                run($case, Account::Responds, Protocol::Otlp).await;
            }
        }
    )*};
}

matrix! {
    without_faults: case(MIXED, &[]);
    throttled_one_in_ten: case(MIXED, &[(0, Order(THROTTLE_10))]);
    throttled_three_in_ten: case(GOOD, &[(0, Order(THROTTLE_30))]);
    throttled_nine_in_ten_for_a_while: case(MIXED, &[(0, Order(THROTTLE_90)), (40, Withdraw)]);
    throttled_with_status_429: Case {
        flags: &["--throttled-write-status=429"],
        ..case(GOOD, &[(0, Order(THROTTLE_30))])
    };
    throttled_requests_of_several_calls: Case {
        batch: 180,
        ..case(&[Stored], &[(0, Order(THROTTLE_30))])
    };
    responded_500: case(MIXED, &[(0, Order(INTERNAL))]);
    cut_before_the_call_took_effect: case(MIXED, &[(0, Order(CUT_BEFORE))]);
    cut_after_the_call_took_effect: case(MIXED, &[(0, Order(CUT_AFTER))]);
    calls_that_take_a_second: case(MIXED, &[(0, Order(SLOW))]);
    calls_that_take_longer_than_a_request_may: Case {
        flags: &["--request-timeout=1s"],
        ..case(MIXED, &[(4, Order(TOO_SLOW))])
    };
    the_endpoint_is_gone: case(MIXED, &[(0, Order(GONE)), (30, Withdraw)]);
    the_endpoint_is_gone_and_discovered_again: Case {
        flags: &["--endpoint-discovery=on"],
        ..case(MIXED, &[(0, Order(GONE)), (30, Withdraw)])
    };
    the_missing_table_is_created_later: case(MIXED, &[(6, CreateMissingTable)]);
    the_missing_table_is_created_while_much_fails: case(
        MIXED,
        &[(0, Order(THROTTLE_30)), (10, CreateMissingTable)],
    );
    access_is_denied_for_a_while: Case {
        dropped_for: Some("AccessDeniedException"),
        ..case(MIXED, &[(4, Order(DENIED)), (8, Withdraw)])
    };
    credentials_are_expired_for_a_while: case(MIXED, &[(4, Order(EXPIRED)), (20, Withdraw)]);
    timestream_is_killed: case(MIXED, &[(4, KillEmulator), (12, StartEmulator)]);
    timestream_is_killed_twice_while_much_fails: case(
        MIXED,
        &[
            (0, Order(THROTTLE_30)),
            (0, Order(CUT_AFTER)),
            (5, KillEmulator),
            (12, StartEmulator),
            (12, Order(INTERNAL)),
            (18, KillEmulator),
            (25, StartEmulator),
        ],
    );
    the_connector_is_killed: case(
        MIXED,
        &[(0, Order(HELD_UP)), (3, KillConnector), (10, StartConnector)],
    );
    everything_is_killed_while_much_fails: case(
        MIXED,
        &[
            (0, Order(HELD_UP)),
            (0, Order(THROTTLE_10)),
            (0, Order(CUT_AFTER)),
            (3, KillConnector),
            (8, KillEmulator),
            (14, StartConnector),
            (20, StartEmulator),
            (20, Order(CUT_BEFORE)),
            (24, CreateMissingTable),
        ],
    );
}

/// The programs of one case.
struct World {
    emulator: Emulator,
    connector: Program,
}

impl World {
    async fn start(folder: &Path, flags: &[&str]) -> Self {
        let emulator_flags = [
            "--seed=1",
            "--table=db/t",
            "--table=db/other",
            "--table=db/recent,memory_hours=1",
        ];
        let emulator = Emulator::start(programs::emulator().await, folder, &emulator_flags).await;
        let flags = [&FLAGS, flags].concat();
        let connector = start_connector(programs::bootstrap(), folder, &emulator, &flags).await;
        Self {
            emulator,
            connector,
        }
    }

    async fn create_missing_table(&self) {
        create_table(&self.emulator.program.url, "db", "missing").await;
    }

    async fn bring_about(&mut self, event: Event) {
        match event {
            Order(fault) => self.emulator.order(fault).await,
            Withdraw => self.emulator.withdraw_orders().await,
            KillEmulator => self.emulator.kill().await,
            StartEmulator => self.emulator.program.start_again().await,
            KillConnector => self.connector.kill().await,
            StartConnector => self.connector.start_again().await,
            CreateMissingTable => self.create_missing_table().await,
        }
    }
}

async fn run(case: Case, account: Account, protocol: Protocol) {
    let folder = tempfile::tempdir().unwrap();
    let letters = folder.path().join("letters");
    let dead_letter = format!("--dead-letter=file:{}", letters.display());
    let mut flags = case.flags.to_vec();
    if account == Account::Letters {
        flags.push(&dead_letter);
    }
    let mut world = World::start(folder.path(), &flags).await;
    let (progress, mut seen) = watch::channel(Progress::default());
    let sender = Sender {
        protocol,
        url: world.connector.url.clone(),
        batch: case.batch,
        retries_429: true,
        progress: Arc::new(progress),
    };
    let start_ms = now_ms() - AGE_MS;
    let mut events = case.events.iter().peekable();
    // Events from the start on.
    while let Some((_, event)) = events.next_if(|(after, _)| *after == 0) {
        world.bring_about(*event).await;
    }
    let happening = async {
        for (after, event) in events {
            let due = |now: &Progress| {
                let midst = !matches!(event, KillConnector) || now.under_way > 0;
                now.is_over || (now.ended >= *after && midst)
            };
            seen.wait_for(due).await.expect("the sender is there");
            world.bring_about(*event).await;
        }
    };
    let stream = |steps| shards(&case, start_ms, steps);
    let (mut sent, ()) = tokio::join!(sender.send(stream(0..STEPS_AFTERWARDS)), happening);
    sent.extend(sender.send(stream(STEPS_AFTERWARDS..STEPS)).await);

    world.connector.assert_running();
    if world.connector.kills() == 0 {
        check_metrics(&world.connector, &sent, protocol).await;
    }
    let all: usize = sent.iter().map(|batch| batch.items.len()).sum();
    assert_eq!(all, SHARDS * SERIES * STEPS);
    match account {
        Account::Responds => check_responses(&case, world, &sent, start_ms, protocol).await,
        Account::Letters => {
            check_statuses(&sent, protocol);
            check_letters(&case, world, &sent, start_ms, &letters, protocol).await;
        }
    }
}

/// Returns a part of the stream: samples of each shard in the order of time.
fn shards(case: &Case, start_ms: i64, steps: Range<usize>) -> Vec<Vec<(Numbered, TimeSeries)>> {
    let shard = |shard: usize| {
        let numbered = steps.clone().flat_map(move |step| {
            let series = (0..SERIES).map(move |it| shard * SERIES + it);
            series.map(move |series| (series, step))
        });
        let with_data = numbered.map(|(series, step)| {
            let fate = case.fate(series);
            let numbered = Numbered { fate, series, step };
            (numbered, numbered.timeseries(start_ms))
        });
        with_data.collect()
    };
    (0..SHARDS).map(shard).collect()
}

/// Checks that each sample is stored, or that the last response to its batch accounts for it.
async fn check_responses(
    case: &Case,
    world: World,
    sent: &[Sent<Numbered>],
    start_ms: i64,
    protocol: Protocol,
) {
    let stored = stored(case, world, start_ms).await;
    for batch in sent {
        check_response(case, batch, protocol, |sample| stored.contains(sample));
    }
    if case.fates.contains(&Missing) {
        let is_stored = stored.iter().any(|sample| sample.fate == Missing);
        assert_eq!(
            is_stored,
            case.creates_table(),
            "samples for a table that was missing at first"
        );
    }
}

/// Checks that all is in order for the sender.
fn check_statuses(sent: &[Sent<Numbered>], protocol: Protocol) {
    let success = match protocol {
        Protocol::RemoteWrite => 204,
        Protocol::Otlp => 200,
    };
    for batch in sent {
        assert_eq!(
            (batch.status, batch.rejected),
            (success, 0),
            "{}",
            batch.text
        );
        assert_eq!(batch.text, "");
    }
}

/// Checks that each sample is stored or a dead letter; once the faults are gone and the letters
/// replayed, all that can be stored are stored, and all others are still dead letters.
async fn check_letters(
    case: &Case,
    world: World,
    sent: &[Sent<Numbered>],
    start_ms: i64,
    folder: &Path,
    protocol: Protocol,
) {
    let is_once = world.connector.kills() == 0;
    let letters_of = letters_of(case, start_ms, folder, is_once, protocol);

    world.emulator.withdraw_orders().await;
    if !case.creates_table() {
        world.create_missing_table().await;
    }
    let arguments = [&[folder.to_str().unwrap()], &FLAGS[..]].concat();
    let (status, text) = replay(&world.emulator.program.url, &arguments).await;
    let left = self::letters_of(case, start_ms, folder, is_once, protocol);
    assert_eq!(status, Some(i32::from(!left.is_empty())), "{text}");
    assert!(left.is_subset(&letters_of));

    let stored = stored(case, world, start_ms).await;
    for sample in sent.iter().flat_map(|batch| &batch.items) {
        let can_be_stored = sample.fate.table().is_some();
        assert_eq!(
            stored.contains(sample),
            can_be_stored,
            "{sample:?} stored: {text}"
        );
        assert_eq!(
            left.contains(sample),
            !can_be_stored,
            "{sample:?} left: {text}"
        );
    }
}

/// Returns the samples that are dead letters, each with its labels, its value and a reason that
/// fits, and once if no process was killed between storing it and the response to the sender.
fn letters_of(
    case: &Case,
    start_ms: i64,
    folder: &Path,
    is_once: bool,
    protocol: Protocol,
) -> BTreeSet<Numbered> {
    let mut letters_of = BTreeSet::new();
    for letter in letters(folder) {
        let number = letter.labels.iter().find(|(name, _)| name == "series");
        let series: usize = number.unwrap().1.parse().unwrap();
        for sample in &letter.samples {
            let numbered = Numbered::at(case, series, sample.timestamp_ms - start_ms);
            let expected = numbered.timeseries(start_ms).labels.into_iter();
            let mut expected: Vec<_> = expected.map(|label| (label.name, label.value)).collect();
            let mut labels = letter.labels.clone();
            if protocol == Protocol::Otlp {
                // The translation has its own order.
                expected.sort_unstable();
                labels.sort_unstable();
            }
            assert_eq!(labels, expected, "{letter}");
            assert_eq!(
                sample.value.to_bits(),
                numbered.value().to_bits(),
                "{letter}"
            );
            let reasons = [case.dropped_for, numbered.fate.reason(Account::Letters)];
            assert!(reasons.contains(&Some(letter.reason.as_str())), "{letter}");
            assert!(
                letters_of.insert(numbered) || !is_once,
                "stored twice: {letter}"
            );
        }
    }
    letters_of
}

/// Returns the samples that are on the emulator's disk.
async fn stored(case: &Case, world: World, start_ms: i64) -> BTreeSet<Numbered> {
    const TABLES: [&str; 4] = ["db/t", "db/other", "db/recent", "db/missing"];
    let points = world.emulator.into_points(&TABLES).await;
    let mut stored = BTreeSet::new();
    for (table, points) in TABLES.into_iter().zip(points) {
        for point in points {
            let numbered = recognised(case, &point, table, start_ms);
            assert!(stored.insert(numbered), "stored twice: {point:?}");
        }
    }
    stored
}

/// Returns the sample that `point` stores; everything about it must be as sent.
fn recognised(case: &Case, point: &Point, table: &str, start_ms: i64) -> Numbered {
    let series: usize = point.dimensions["series"].parse().unwrap();
    let numbered = Numbered::at(case, series, point.time_ns / 1_000_000 - start_ms);
    let expected = Point {
        measure_name: numbered.measure_name(),
        dimensions: BTreeMap::from([
            ("job".to_owned(), "loss".to_owned()),
            ("series".to_owned(), series.to_string()),
        ]),
        time_ns: numbered.time_ms(start_ms) * 1_000_000,
        value: Value::Double(numbered.value()),
        version: 1,
    };
    assert_eq!(*point, expected);
    assert_eq!(numbered.fate.table(), Some(table), "{point:?}");
    numbered
}

/// Checks that each sample is stored, or that the response accounts for it.
fn check_response(
    case: &Case,
    batch: &Sent<Numbered>,
    protocol: Protocol,
    is_stored: impl Fn(&Numbered) -> bool,
) {
    let Sent {
        status,
        text,
        rejected,
        ..
    } = batch;
    let (present, absent): (Vec<&Numbered>, Vec<_>) =
        batch.items.iter().partition(|it| is_stored(it));
    let (ignored, absent): (Vec<&Numbered>, Vec<_>) =
        absent.into_iter().partition(|it| it.fate == NotFinite);
    for sample in &absent {
        let denied = case.dropped_for.filter(|reason| text.contains(reason));
        let reason = denied.or(sample.fate.reason(Account::Responds));
        let reason = reason.unwrap_or_else(|| panic!("{sample:?} is lost: {status} {text}"));
        assert!(text.contains(reason), "{sample:?}: {status} {text}");
    }
    let is_success = match protocol {
        Protocol::RemoteWrite => *status == 204,
        Protocol::Otlp => *status == 200 && *rejected == 0,
    };
    if is_success {
        assert!(
            absent.is_empty(),
            "responded {status}, but {absent:?} are not stored"
        );
        assert_eq!(text, "");
        return;
    }
    match protocol {
        Protocol::RemoteWrite => assert!((400..500).contains(status), "{status} {text}"),
        // An error if nothing is stored because of the connector itself.
        Protocol::Otlp => assert!((200..500).contains(status), "{status} {text}"),
    }
    let counts = Regex::new(
        "of ([0-9]+) samples ([0-9]+) are stored, ([0-9]+) ignored, ([0-9]+) not stored$",
    );
    let counts = counts.unwrap();
    let counts = counts
        .captures(text)
        .unwrap_or_else(|| panic!("{status} {text}"));
    let [all, stored, ignored_count, failed] =
        [1, 2, 3, 4].map(|it| counts[it].parse::<usize>().unwrap());
    assert_eq!(
        (all, ignored_count),
        (batch.items.len(), ignored.len()),
        "{text}"
    );
    // The last attempt may have been rejected for samples that an earlier one has stored.
    assert!(stored <= present.len() && failed >= absent.len(), "{text}");
    if batch.attempts == 1 {
        assert_eq!((stored, failed), (present.len(), absent.len()), "{text}");
    }
    match (protocol, *status) {
        (Protocol::RemoteWrite, _) => {}
        (Protocol::Otlp, 200) => {
            assert_eq!(*rejected, failed, "a data point is a sample: {text}");
        }
        (Protocol::Otlp, _) => assert_eq!((stored, *rejected), (0, 0), "{text}"),
    }
}

/// Checks that every received sample is counted in one place.
async fn check_metrics(connector: &Program, sent: &[Sent<Numbered>], protocol: Protocol) {
    let metrics = get(&format!("{}/metrics", connector.url)).await;
    let sum = |name: &str| -> u64 {
        let lines = metrics.lines().filter_map(|line| {
            line.strip_prefix("timestream_connector_")?
                .strip_prefix(name)
        });
        let values = lines.filter(|rest| rest.starts_with(['{', ' ']));
        values
            .map(|rest| rest.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
            .sum()
    };
    let received = sum("received_samples_total");
    let [written, ignored, failed] = [
        "written_samples_total",
        "ignored_samples_total",
        "failed_samples_total",
    ]
    .map(sum);
    assert_eq!(received, written + ignored + failed);
    let expected: usize = sent
        .iter()
        .map(|batch| batch.items.len() * batch.attempts)
        .sum();
    assert_eq!(received, expected as u64, "each attempt arrived whole");
    let data_points = match protocol {
        Protocol::RemoteWrite => 0,
        Protocol::Otlp => received,
    };
    assert_eq!(sum("otlp_data_points_total"), data_points);
}
