//! Dead letters in an SQS queue: a message holds as many of them as fit, one on each line.

use std::time::Duration;

use aws_config::{Region, SdkConfig};
use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::DisplayErrorContext;
use aws_sdk_sqs::types::Message;
use aws_smithy_types::retry::RetryConfig;

/// Bytes of a message. SQS takes more today, but not in every partition
/// (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html>).
const MAX_MESSAGE_BYTES: usize = 256 * 1024;
/// Messages of one ReceiveMessage call.
const MAX_RECEIVED: i32 = 10;
/// How long a receiver has a message for itself: longer than a replay of ten messages takes.
const VISIBILITY: Duration = Duration::from_secs(300);

/// A queue of dead letters.
#[derive(Clone, Debug)]
pub struct Queue {
    client: Client,
    url: String,
}

/// SQS did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct QueueError(String);

impl QueueError {
    fn of(error: impl std::error::Error) -> Self {
        Self(DisplayErrorContext(error).to_string())
    }
}

impl Queue {
    /// A queue by its URL. Nothing is called yet.
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

    /// Sends complete lines, each with its end, and returns the identifiers of the messages.
    ///
    /// # Errors
    /// A message was not accepted; those before it were.
    pub async fn send(&self, lines: &str) -> Result<Vec<String>, QueueError> {
        let mut identifiers = Vec::new();
        for body in messages(&escape(lines)) {
            let message = self.client.send_message().queue_url(&self.url);
            let sent = message.message_body(body).send().await;
            identifiers.extend(sent.map_err(QueueError::of)?.message_id);
        }
        Ok(identifiers)
    }

    /// Some messages, which nobody else gets for five minutes; none if the queue has none now.
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
            // Long polling asks all servers; without it a message may be missed.
            .wait_time_seconds(2)
            .send()
            .await;
        Ok(received
            .map_err(QueueError::of)?
            .messages
            .unwrap_or_default())
    }

    /// Removes a message.
    ///
    /// # Errors
    /// It is still there.
    pub async fn delete(&self, message: &Message) -> Result<(), QueueError> {
        let handle = message.receipt_handle().unwrap_or_default();
        let request = self.client.delete_message().queue_url(&self.url);
        let deleted = request.receipt_handle(handle).send().await;
        deleted.map_err(QueueError::of).map(drop)
    }

    /// Lets others see a message again at once.
    ///
    /// # Errors
    /// It stays hidden for a while.
    pub async fn release(&self, message: &Message) -> Result<(), QueueError> {
        let handle = message.receipt_handle().unwrap_or_default();
        let request = self.client.change_message_visibility().queue_url(&self.url);
        let released = request.receipt_handle(handle).visibility_timeout(0);
        released.send().await.map_err(QueueError::of).map(drop)
    }
}

/// Two characters that JSON allows and SQS does not. They stand in strings only, so their escaped
/// forms mean the same.
fn escape(lines: &str) -> String {
    lines
        .replace('\u{fffe}', "\\ufffe")
        .replace('\u{ffff}', "\\uffff")
}

/// Cuts lines into messages, at line ends.
fn messages(lines: &str) -> Vec<&str> {
    let mut messages = Vec::new();
    let mut rest = lines;
    while rest.len() > MAX_MESSAGE_BYTES {
        let limit = rest.floor_char_boundary(MAX_MESSAGE_BYTES);
        // A line that is longer than a message goes alone: SQS may take it.
        let end = rest[..limit].rfind('\n').or_else(|| rest.find('\n'));
        let (message, after) = rest.split_at(end.map_or(rest.len(), |end| end + 1));
        messages.push(message);
        rest = after;
    }
    if !rest.is_empty() {
        messages.push(rest);
    }
    messages
}

/// The region in the URL of a queue of AWS, `https://sqs.REGION.amazonaws.com/...`.
fn region_of(url: &str) -> Option<&str> {
    let host = url.strip_prefix("https://")?.split('/').next()?;
    let region = host.strip_prefix("sqs.")?.split_once(".amazonaws.com")?.0;
    (!region.is_empty()).then_some(region)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_end_at_line_ends_and_hold_everything() {
        let line = format!("{}\n", "ü".repeat(1_000));
        let lines = line.repeat(300);
        let messages = messages(&lines);
        assert_eq!(messages.concat(), lines);
        assert_eq!(messages.len(), 3);
        assert!(
            messages
                .iter()
                .all(|message| message.len() <= MAX_MESSAGE_BYTES)
        );
        assert!(messages.iter().all(|message| message.ends_with('\n')));

        let long = format!("{}\nshort\n", "x".repeat(2 * MAX_MESSAGE_BYTES));
        let cut = super::messages(&long);
        assert_eq!((cut.len(), cut[1]), (2, "short\n"));
        assert!(super::messages("").is_empty());
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
