//! Dead letters in an SQS queue: a message holds as many of them as fit, one on each line.

use std::time::Duration;

use aws_config::{Region, SdkConfig};
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{Message, QueueAttributeName};
use aws_smithy_types::retry::RetryConfig;

use super::Letter;
use crate::causes::{causes, without_secrets};

/// Bytes of a message. SQS takes 1 MiB today, but not in every partition, and a queue that is older has
/// this as its own limit
/// (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html>).
const MAX_MESSAGE_BYTES: usize = 256 * 1024;
/// Messages of one ReceiveMessage call.
const MAX_RECEIVED: i32 = 10;
/// Visibility timeout of received messages: longer than a replay of ten messages takes.
const VISIBILITY: Duration = Duration::from_secs(300);

/// A queue of dead letters.
#[derive(Clone, Debug)]
pub struct Queue {
    client: Client,
    url: String,
}

/// The outcome of lines that were sent.
#[derive(Debug, Default)]
pub struct Sent {
    /// The identifiers of the messages.
    pub identifiers: Vec<String>,
    /// Lines that no message can hold, without their ends.
    pub too_long: Vec<String>,
}

/// The error of a call of SQS.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct QueueError(String);

impl Queue {
    /// Returns the queue with this URL; makes no call.
    pub fn new(shared: &SdkConfig, url: &str) -> Self {
        // The SDK's own retries: these few calls share nothing with those to Timestream.
        let mut config = aws_sdk_sqs::config::Builder::from(shared)
            .retry_config(RetryConfig::standard().with_max_attempts(4));
        if let Some(region) = region_of(url) {
            config = config.region(Region::new(region.to_owned()));
        }
        Self {
            client: Client::from_conf(config.build()),
            url: url.to_owned(),
        }
    }

    /// Sends complete lines, each with its end. A letter that exceeds a message is cut into several.
    ///
    /// # Errors
    /// A message was not accepted; those before it were.
    pub async fn send(&self, lines: &str) -> Result<Sent, QueueError> {
        let (messages, too_long) = messages(lines, MAX_MESSAGE_BYTES);
        let mut identifiers = Vec::new();
        for body in messages {
            let message = self.client.send_message().queue_url(&self.url);
            let sent = message.message_body(body).send().await;
            identifiers.extend(sent.map_err(|error| self.failed(&error))?.message_id);
        }
        Ok(Sent {
            identifiers,
            too_long,
        })
    }

    /// Receives some messages, which are hidden from other receivers for five minutes; none if the queue has none now.
    ///
    /// # Errors
    /// The queue cannot be read.
    pub async fn receive(&self) -> Result<Vec<Message>, QueueError> {
        let received = self
            .client
            .receive_message()
            .queue_url(&self.url)
            .max_number_of_messages(MAX_RECEIVED)
            .visibility_timeout(i32::try_from(VISIBILITY.as_secs()).unwrap_or(i32::MAX))
            // Long polling queries all servers; without it a message may be missed.
            .wait_time_seconds(2)
            .send()
            .await;
        let received = received.map_err(|error| self.failed(&error))?;
        Ok(received.messages.unwrap_or_default())
    }

    /// Removes a message.
    ///
    /// # Errors
    /// It is still there.
    pub async fn delete(&self, message: &Message) -> Result<(), QueueError> {
        let handle = message.receipt_handle().unwrap_or_default();
        let request = self.client.delete_message().queue_url(&self.url);
        let deleted = request.receipt_handle(handle).send().await;
        deleted.map_err(|error| self.failed(&error)).map(drop)
    }

    /// Makes a message visible to other receivers at once.
    ///
    /// # Errors
    /// It stays hidden for a while.
    pub async fn release(&self, message: &Message) -> Result<(), QueueError> {
        let handle = message.receipt_handle().unwrap_or_default();
        let request = self.client.change_message_visibility().queue_url(&self.url);
        let released = request.receipt_handle(handle).visibility_timeout(0);
        let released = released.send().await;
        released.map_err(|error| self.failed(&error)).map(drop)
    }

    /// Returns the ARN of the queue, which exists then.
    ///
    /// # Errors
    /// There is no such queue, or it may not be looked at.
    pub async fn arn(&self) -> Result<String, QueueError> {
        let request = self.client.get_queue_attributes().queue_url(&self.url);
        let request = request.attribute_names(QueueAttributeName::QueueArn);
        let found = request.send().await.map_err(|error| self.failed(&error))?;
        let mut attributes = found.attributes.unwrap_or_default();
        let arn = attributes.remove(&QueueAttributeName::QueueArn);
        arn.ok_or_else(|| self.error("the response has no ARN"))
    }

    /// Returns the error of a call without a response in time.
    pub fn timeout(&self) -> QueueError {
        self.error("no response in time")
    }

    fn failed(&self, error: &dyn std::error::Error) -> QueueError {
        self.error(&causes(error))
    }

    fn error(&self, text: &str) -> QueueError {
        QueueError(format!("{}: {text}", without_secrets(&self.url)))
    }
}

/// Two characters that JSON allows and SQS does not. They stand in strings only, so their escaped
/// forms mean the same.
fn escape(lines: &str) -> String {
    lines
        .replace('\u{fffe}', "\\ufffe")
        .replace('\u{ffff}', "\\uffff")
}

/// Puts lines into messages of at most `max_bytes`; returns those that no message can hold too.
fn messages(lines: &str, max_bytes: usize) -> (Vec<String>, Vec<String>) {
    let (mut messages, mut too_long) = (vec![String::new()], Vec::new());
    let mut add = |line: String| {
        if line.len() + 1 > max_bytes {
            return too_long.push(line);
        }
        if messages
            .last()
            .is_some_and(|last| last.len() + line.len() + 1 > max_bytes)
        {
            messages.push(String::new());
        }
        if let Some(last) = messages.last_mut() {
            last.push_str(&line);
            last.push('\n');
        }
    };
    for line in lines.lines() {
        let escaped = escape(line);
        let letter = (escaped.len() + 1 > max_bytes).then(|| Letter::parse(line));
        match letter {
            Some(Ok(letter)) => {
                let parts = letter.split(max_bytes - 1, |text| escape(text).len());
                parts.iter().for_each(|part| add(escape(&part.to_string())));
            }
            Some(Err(_)) | None => add(escaped),
        }
    }
    messages.retain(|message| !message.is_empty());
    (messages, too_long)
}

/// Returns the region in the URL of a queue of AWS, `https://sqs.REGION.amazonaws.com/...`.
fn region_of(url: &str) -> Option<&str> {
    let host = url.strip_prefix("https://")?.split('/').next()?;
    let region = host.strip_prefix("sqs.")?.split_once(".amazonaws.com")?.0;
    (!region.is_empty()).then_some(region)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_hold_everything_in_whole_lines() {
        let line = format!("{}\n", "ü".repeat(1_000));
        let lines = line.repeat(300);
        let (cut, too_long) = messages(&lines, MAX_MESSAGE_BYTES);
        assert_eq!(cut.concat(), lines);
        assert_eq!((cut.len(), too_long.len()), (3, 0));
        assert!(cut.iter().all(|message| message.len() <= MAX_MESSAGE_BYTES));
        assert!(cut.iter().all(|message| message.ends_with('\n')));
        assert!(messages("", MAX_MESSAGE_BYTES).0.is_empty());

        // What is no letter cannot be cut.
        let (cut, too_long) = messages("short\nlonger than that\nother\n", 12);
        assert_eq!(cut, ["short\nother\n"]);
        assert_eq!(too_long, ["longer than that"]);
    }

    #[test]
    fn a_letter_that_exceeds_a_message_is_cut() {
        let mut letter = Letter::new(jiff::Timestamp::UNIX_EPOCH, "duplicate_version");
        // Each of these characters grows when it is escaped.
        letter.labels = vec![("a".to_owned(), "\u{ffff}".repeat(100))];
        letter.samples = (0..100_000)
            .map(|i| prom_model::Sample {
                timestamp_ms: 1_600_000_000_000 + i,
                value: 0.1,
            })
            .collect();
        let (cut, too_long) = messages(&format!("{letter}\nx\n"), MAX_MESSAGE_BYTES);
        assert!(too_long.is_empty());
        assert_eq!(cut.len(), 9);
        assert!(cut.iter().all(|message| message.len() <= MAX_MESSAGE_BYTES));
        let all = cut.concat();
        let letters = all.lines().filter_map(|line| Letter::parse(line).ok());
        let (mut samples, mut labels) = (Vec::new(), Vec::new());
        for part in letters {
            samples.extend(part.samples);
            labels.push(part.labels);
        }
        assert_eq!(samples, letter.samples);
        assert!(labels.iter().all(|it| *it == letter.labels));
        assert!(all.ends_with("x\n"));

        letter.labels = vec![("a".to_owned(), "x".repeat(MAX_MESSAGE_BYTES))];
        let line = letter.to_string();
        let (cut, too_long) = messages(&line, MAX_MESSAGE_BYTES);
        assert_eq!((cut.len(), too_long), (0, vec![line]));
    }

    #[test]
    fn characters_that_sqs_refuses_are_escaped() {
        assert_eq!(
            escape("[\"a\u{ffff}\u{fffe}\"]\n"),
            "[\"a\\uffff\\ufffe\"]\n"
        );
    }

    #[test]
    fn the_region_of_a_queue() {
        let cases = [
            ("https://sqs.eu-west-1.amazonaws.com/1/q", Some("eu-west-1")),
            (
                "https://sqs.cn-north-1.amazonaws.com.cn/1/q",
                Some("cn-north-1"),
            ),
            ("http://127.0.0.1:5000/1/q", None),
            ("https://vpce-1.sqs.eu-west-1.vpce.amazonaws.com/1/q", None),
        ];
        for (url, region) in cases {
            assert_eq!(region_of(url), region, "{url}");
        }
    }
}
