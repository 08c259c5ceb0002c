//! Dead letters in SQS, which a server from PyPI plays over the real wire protocol.

use std::time::Duration;

use http::StatusCode;
use prom_wire::prompb::TimeSeries;
use serde_json::{Value, json};
use timestream_emulator::Emulator;
use timestream_prometheus_connector::config::{Invocation, read};
use timestream_prometheus_connector::dead_letter::{DeadLetters, Letter};
use timestream_prometheus_connector::entry::build;
use timestream_prometheus_connector::entry::lambda::{SqsEvent, replay_event};
use timestream_prometheus_connector::replay::{Fallback, Replay, Summary, ToTimestream};

use crate::jobs::sink::{Received, Receiver};
use crate::moto::Moto;
use crate::standalone::{Connector, command};
use crate::support::{
    START_MS, create_table, series, shared_config, start_emulator, table, write_body,
};

/// A server that plays SQS, with one queue.
struct Sqs {
    server: Moto,
    queue: String,
    http: reqwest::Client,
}

impl Sqs {
    async fn start() -> Self {
        let mut sqs = Self {
            server: Moto::start().await,
            queue: String::new(),
            http: soak::http::client(),
        };
        let created = sqs
            .call("CreateQueue", json!({"QueueName": "letters"}))
            .await;
        sqs.queue = created["QueueUrl"].as_str().unwrap().to_owned();
        sqs
    }

    /// A call as anybody may make it; this server looks at no signature.
    async fn call(&self, operation: &str, input: Value) -> Value {
        let credential = "AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/sqs/aws4_request";
        let answer = self
            .http
            .post(&self.server.url)
            .header("x-amz-target", format!("AmazonSQS.{operation}"))
            .header("content-type", "application/x-amz-json-1.0")
            .header(
                "authorization",
                format!("{credential}, SignedHeaders=host, Signature=0"),
            )
            .body(input.to_string())
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200, "{operation}");
        let text = answer.text().await.unwrap();
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    /// The bodies of all messages that can be seen now; they stay visible.
    async fn messages(&self) -> Vec<Value> {
        let input =
            json!({"QueueUrl": self.queue, "MaxNumberOfMessages": 10, "VisibilityTimeout": 0});
        let received = self.call("ReceiveMessage", input).await;
        received["Messages"].as_array().cloned().unwrap_or_default()
    }

    async fn letters(&self) -> Vec<Letter> {
        let messages = self.messages().await;
        let bodies = messages
            .iter()
            .map(|message| message["Body"].as_str().unwrap());
        bodies
            .flat_map(str::lines)
            .map(|line| Letter::parse(line).unwrap())
            .collect()
    }

    fn variables(&self) -> [(&str, &str); 3] {
        [
            ("AWS_ENDPOINT_URL_SQS", &self.server.url),
            ("AWS_ACCESS_KEY_ID", "local"),
            ("AWS_SECRET_ACCESS_KEY", "local"),
        ]
    }
}

const FLAGS: [&str; 3] = [
    "--default-database=db",
    "--default-table=t",
    "--table-label=table",
];

fn samples(table: &str, count: u32) -> Vec<TimeSeries> {
    (0..count)
        .map(|i| {
            // Two characters that JSON may hold and SQS may not.
            let value = format!("{i}\u{ffff}\u{fffe}");
            let labels = [("__name__", "m"), ("table", table), ("i", &value)];
            series(&labels, &[(START_MS, f64::from(i))])
        })
        .collect()
}

async fn replay(emulator: &Emulator, sqs: &Sqs) -> (Option<i32>, String) {
    replay_with(emulator, sqs, &FLAGS).await
}

async fn replay_with(emulator: &Emulator, sqs: &Sqs, flags: &[&str]) -> (Option<i32>, String) {
    let source = format!("sqs:{}", sqs.queue);
    let output = command(&[&["replay", &source], flags].concat())
        .env("AWS_ENDPOINT_URL", emulator.url())
        .envs(sqs.variables())
        .output()
        .await
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.code(), text)
}

#[tokio::test]
async fn letters_go_to_the_queue_and_back() {
    let sqs = Sqs::start().await;
    let emulator = start_emulator(vec![table("db", "t")]).await;
    let place = format!("--dead-letter=sqs:{}", sqs.queue);
    let flags = [&FLAGS[..], &[&place]].concat();
    let connector = Connector::start_with(&emulator, &flags, &sqs.variables()).await;
    // More than one message holds, to two tables that are not there.
    assert_eq!(
        connector
            .post("/write", write_body(samples("gone", 1_200)))
            .await,
        204
    );
    assert_eq!(
        connector
            .post("/write", write_body(samples("missing", 3)))
            .await,
        204
    );
    assert_eq!(sqs.letters().await.len(), 1_203);
    assert!(sqs.messages().await.len() > 2);

    create_table(&emulator.url(), "db", "gone").await;
    let (status, text) = replay(&emulator, &sqs).await;
    assert_eq!(status, Some(1), "{text}");
    assert!(
        text.starts_with("replayed 1203 samples: 1200 stored, 3 not stored\n"),
        "{text}"
    );
    assert_eq!(emulator.points("db", "gone").len(), 1_200);
    let left = sqs.letters().await;
    assert_eq!(left.len(), 3);
    assert!(
        left.iter()
            .all(|letter| letter.table.as_deref() == Some("missing"))
    );

    create_table(&emulator.url(), "db", "missing").await;
    let (status, text) = replay(&emulator, &sqs).await;
    assert_eq!(status, Some(0), "{text}");
    assert_eq!(emulator.points("db", "missing").len(), 3);
    assert!(sqs.messages().await.is_empty());
}

#[tokio::test]
async fn a_series_that_exceeds_a_message_goes_to_the_queue_and_back() {
    const SAMPLES: i32 = 100_000;
    let sqs = Sqs::start().await;
    let emulator = start_emulator(vec![table("db", "t")]).await;
    let place = format!("--dead-letter=sqs:{}", sqs.queue);
    let flags = [&FLAGS[..], &[&place]].concat();
    let connector = Connector::start_with(&emulator, &flags, &sqs.variables()).await;
    let samples: Vec<(i64, f64)> = (0..SAMPLES)
        .map(|i| (START_MS + i64::from(i), f64::from(i) + 0.1))
        .collect();
    let one = vec![series(&[("__name__", "m"), ("table", "gone")], &samples)];
    assert_eq!(connector.post("/write", write_body(one)).await, 204);

    create_table(&emulator.url(), "db", "gone").await;
    let (status, text) = replay(&emulator, &sqs).await;
    assert_eq!(status, Some(0), "{text}");
    assert!(
        text.starts_with("replayed 100000 samples: 100000 stored, 0 not stored\n"),
        "{text}"
    );
    assert_eq!(emulator.points("db", "gone").len(), 100_000);
    assert!(sqs.messages().await.is_empty());
}

#[tokio::test]
async fn a_message_that_is_stored_in_part_is_replaced_by_the_rest() {
    let sqs = Sqs::start().await;
    let emulator = start_emulator(vec![table("db", "t")]).await;
    let place = format!("--dead-letter=sqs:{}", sqs.queue);
    let flags = [&FLAGS[..], &[&place]].concat();
    let connector = Connector::start_with(&emulator, &flags, &sqs.variables()).await;
    let mut both = samples("gone", 20);
    both.extend(samples("missing", 2));
    assert_eq!(connector.post("/write", write_body(both)).await, 204);
    assert_eq!(sqs.messages().await.len(), 1);
    create_table(&emulator.url(), "db", "gone").await;
    let (status, text) = replay(&emulator, &sqs).await;
    assert_eq!(status, Some(1), "{text}");
    assert_eq!(sqs.letters().await.len(), 2);
}

#[tokio::test]
async fn letters_of_a_sink_go_to_its_endpoint_and_others_stay() {
    let sqs = Sqs::start().await;
    let emulator = start_emulator(vec![table("db", "t")]).await;
    let receiver = Receiver::start(|_, received: &Received| {
        let is_bad = |it: &(String, i64, f64)| it.0.contains("bad");
        match received.samples.iter().any(is_bad) {
            true => (StatusCode::CONFLICT, "out of order sample"),
            false => (StatusCode::OK, ""),
        }
    })
    .await;
    let letter = |connector: &str, name: &str| {
        format!(
            r#"{{"dead_letter":1,"time":"2026-01-01T00:00:00Z","reason":"x",{connector}"labels":[["__name__","{name}"]],"samples":[[1600000000000,"1.5"]]}}"#
        ) + "\n"
    };
    let own = r#""connector":"s","#;
    let bodies = [
        letter(own, "a") + &letter(own, "bad") + &letter("", "timestream"),
        letter(own, "b"),
        letter(r#""connector":"other","#, "c"),
        // What is left of them is longer than all of them.
        ["d", "bad1", "bad2", "bad3", "bad4"]
            .map(|name| letter(own, name))
            .concat(),
    ];
    for body in &bodies {
        let input = json!({"QueueUrl": sqs.queue, "MessageBody": body});
        sqs.call("SendMessage", input).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("s.json");
    let definition = json!({
        "name": "s", "type": "prometheus_sink",
        "config": {"url": receiver.url, "key_label": "l", "key_value": "v"},
    });
    std::fs::write(&file, definition.to_string()).unwrap();
    let flag = format!("--sink={}", file.display());
    let (status, text) = replay_with(&emulator, &sqs, &[&flag]).await;
    assert_eq!(status, Some(1), "{text}");
    assert!(
        text.starts_with("replayed 8 samples: 3 stored, 5 not stored"),
        "{text}"
    );
    let mut names: Vec<_> = sqs
        .letters()
        .await
        .iter()
        .map(|it| it.labels[0].1.clone())
        .collect();
    names.sort_unstable();
    assert_eq!(
        names,
        ["bad", "bad1", "bad2", "bad3", "bad4", "c", "timestream"]
    );
    let (status, text) = replay(&emulator, &sqs).await;
    assert_eq!(status, Some(0), "{text}");
    assert_eq!(sqs.letters().await.len(), 6);
    assert_eq!(emulator.points("db", "t").len(), 1);
}

#[tokio::test]
async fn a_queue_that_is_gone_makes_the_sender_send_again() {
    let sqs = Sqs::start().await;
    let emulator = start_emulator(vec![table("db", "t")]).await;
    let flags = [
        &FLAGS[..],
        &["--dead-letter=sqs:http://127.0.0.1:1/1/letters"],
    ]
    .concat();
    let variables = [
        ("AWS_ENDPOINT_URL_SQS", "http://127.0.0.1:1"),
        ("AWS_ACCESS_KEY_ID", "local"),
        ("AWS_SECRET_ACCESS_KEY", "local"),
    ];
    let connector = Connector::start_with(&emulator, &flags, &variables).await;
    assert_eq!(
        connector
            .post("/write", write_body(samples("gone", 1)))
            .await,
        503
    );
    let (_, log) = connector.terminate().await;
    assert!(
        log.contains("the dead letter queue cannot be written"),
        "{log}"
    );

    sqs.call("DeleteQueue", json!({"QueueUrl": sqs.queue}))
        .await;
    let (status, text) = replay(&emulator, &sqs).await;
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains("queue"), "{text}");
}

#[tokio::test]
async fn an_event_of_the_queue_is_answered_with_what_it_has_to_keep() {
    let emulator = start_emulator(vec![table("db", "t")]).await;
    let url = emulator.url();
    let arguments = [
        "bootstrap",
        "--default-database=db",
        "--default-table=t",
        &format!("--write-base-endpoint={url}"),
    ];
    let Ok(Invocation::Serve(config)) = read(arguments, |_| None) else {
        panic!("the configuration is valid");
    };
    let shared = shared_config(&config).await;
    let parts = build::parts(&config, &shared, DeadLetters::Log);
    let ten_seconds = Duration::from_secs(10);
    let target = ToTimestream::new(&parts.ingester, Fallback::default(), ten_seconds);
    let replay = Replay::new(target, ());

    let letter = |table: &str| {
        format!(
            r#"{{"dead_letter":1,"time":"2026-01-01T00:00:00Z","reason":"x","database":"db","table":"{table}","labels":[["__name__","m"],["i","1"]],"samples":[[1600000000000,"1.5"]]}}"#
        )
    };
    let message = |id: &str, body: &str| {
        json!({"messageId": id, "receiptHandle": "h", "body": body, "attributes": {},
               "messageAttributes": {}, "md5OfBody": "", "eventSource": "aws:sqs",
               "eventSourceARN": "arn:aws:sqs:us-east-1:1:q", "awsRegion": "us-east-1"})
    };
    let event = json!({"Records": [
        message("stored", &letter("t")),
        message("in part", &format!("{}\n{}\n", letter("t"), letter("gone"))),
        message("garbage", "no letter"),
    ]});
    let event: SqsEvent = serde_json::from_value(event).unwrap();
    let mut summary = Summary::default();
    let response = replay_event(&replay, &event, &mut summary).await;
    assert_eq!(
        serde_json::to_value(&response).unwrap(),
        json!({"batchItemFailures": [{"itemIdentifier": "in part"}, {"itemIdentifier": "garbage"}]})
    );
    assert_eq!((summary.replayed.stored, summary.unreadable), (2, 1));
    assert_eq!(emulator.points("db", "t").len(), 1);
}
