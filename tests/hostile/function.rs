//! The same requests as invocations of AWS Lambda: each gets a response before its deadline.

use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::join_all;
use serde_json::Value;
use tokio::process::Command;
use tokio::time::timeout;

use crate::group::{AT_ONCE, RUNTIME, Table, emulator, is_selected, ordinary_write, turn};
use crate::row::{Outcome, Route, tally};
use crate::runtime_api::{Ended, Function, RuntimeApi};
use crate::server::{Memory, binary};
use crate::{reads, writes};

/// Time that an invocation has.
const DEADLINE: Duration = Duration::from_secs(10);
/// Maximum size of an invocation's event
/// (<https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>).
const MAX_EVENT_BYTES: usize = 6 << 20;
/// Memory of the function that the runtime API sets up. Lambda ends a function that uses more.
const MAX_BYTES: u64 = 512 << 20;

/// A function and the runtime API in front of it.
struct Running {
    api: RuntimeApi,
    function: Function,
}

impl Running {
    fn start(emulator_url: &str, variables: &[(&str, &str)]) -> Self {
        RUNTIME.block_on(async {
            let api = RuntimeApi::start().await;
            let mut all = api.variables(emulator_url);
            let variables = variables.iter();
            all.extend(variables.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
            let function = Function::start(Command::new(binary()), &all);
            api.polled(1).await;
            Self { api, function }
        })
    }

    /// Invokes the function; a response after the deadline is none.
    async fn invoke(&self, event: &str) -> Outcome {
        let ended = self.api.invoke_within(DEADLINE, event.to_owned());
        match timeout(DEADLINE, ended).await {
            Ok(Ended::Responded(response)) => {
                let status = response["statusCode"].as_u64();
                let status = status.and_then(|status| status.try_into().ok());
                status.map_or(Outcome::Broken, Outcome::Status)
            }
            Ok(Ended::Failed { .. }) => Outcome::Broken,
            Err(_) => Outcome::Late,
        }
    }
}

/// Returns the event of an HTTP API, or `None` if it were too large for one.
fn event(route: Route, body: &[u8]) -> Option<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/events/http-api-write.json");
    let file = std::fs::read(path).expect("the file is there");
    let mut event: Value = serde_json::from_slice(&file).expect("it is JSON");
    event["rawPath"] = route.path().into();
    event["headers"]["content-type"] = route.content_type().into();
    event["headers"]["content-length"] = body.len().to_string().into();
    event["body"] = STANDARD.encode(body).into();
    let event = event.to_string();
    (event.len() <= MAX_EVENT_BYTES).then_some(event)
}

pub(crate) fn one_at_a_time() {
    measure("Invocations", &[], 1);
}

pub(crate) fn eight_at_once() {
    let variables = [("AWS_LAMBDA_MAX_CONCURRENCY", "8")];
    measure("Concurrent invocations", &variables, AT_ONCE);
}

fn measure(name: &'static str, more: &[(&str, &str)], at_once: usize) {
    let _turn = turn();
    let emulator = emulator();
    let options = [
        ("default_database", "db"),
        ("default_table", "t"),
        ("database_label", "database"),
        ("table_label", "table"),
    ];
    let variables = [&options[..], more].concat();
    let mut running = Running::start(&emulator.url(), &variables);
    let mut table = Table::new(&format!(
        "{:<44} {:>9} {:<12} {:>10} {:>10} {:>9}",
        "row", "sent KB", "responses", "longest ms", "next write", "peak MiB"
    ));
    let ordinary = || event(Route::Write1, &ordinary_write()).expect("it is small");
    let rows = reads::rows().into_iter().chain(writes::rows());
    for row in rows.filter(|row| is_selected(row.name)) {
        let (body, _) = row.body();
        let Some(event) = event(row.route, &body) else {
            continue;
        };
        let memory = Memory::watch(running.function.id());
        let invoked = (0..at_once).map(|_| async {
            let began = Instant::now();
            (running.invoke(&event).await, began.elapsed())
        });
        let ended = RUNTIME.block_on(join_all(invoked));
        let (outcomes, times): (Vec<_>, Vec<_>) = ended.into_iter().unzip();
        let longest = times.into_iter().max().unwrap_or_default();
        // Nothing of the invocation goes on to take the time of the next one.
        let began = Instant::now();
        let next = RUNTIME.block_on(running.invoke(&ordinary()));
        let next_took = began.elapsed();
        let peak = memory.peak();
        table.add(&format!(
            "{:<44} {:>9} {:<12} {:>10} {:>10} {:>9}",
            row.name,
            body.len() / 1000,
            tally(&outcomes),
            longest.as_millis(),
            next_took.as_millis(),
            peak >> 20
        ));
        let mut violations: Vec<String> = row.expected.violation(&outcomes).into_iter().collect();
        if next != Outcome::Status(204) || next_took > Duration::from_secs(3) {
            violations.push(format!("the next write: {next} after {next_took:.1?}"));
        }
        if peak > MAX_BYTES {
            violations.push(format!("it took {} MiB of memory", peak >> 20));
        }
        if !violations.is_empty() {
            table.violate(row.name, &violations);
            running = Running::start(&emulator.url(), &variables);
        }
    }
    table.finish(name);
}
