//! State in a table of DynamoDB, for functions and for processes on several machines.
//!
//! Its partition key is `collection`, its sort key `name`, both texts; `expires_at` is the attribute
//! of time to live. Every change names the version that it expects, so one of several concurrent ones wins.

use std::collections::HashMap;
use std::time::Duration;

use aws_config::{Region, SdkConfig};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use jiff::Timestamp;

use super::{Expect, Item, StateError, new_version};
use crate::causes::causes;

/// The time limit of one operation, its retries included.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(10);

const COLLECTION: &str = "collection";
const NAME: &str = "name";
const VALUE: &str = "value";
const VERSION: &str = "version";
/// Seconds since the Unix epoch.
const EXPIRES_AT: &str = "expires_at";

/// Texts in a table.
#[derive(Clone, Debug)]
pub struct Table {
    client: Client,
    name: String,
    region: String,
}

impl Table {
    /// Returns a table by its name or ARN, without a call.
    pub fn new(shared: &SdkConfig, name: &str) -> Self {
        let timeouts = TimeoutConfig::builder().operation_timeout(OPERATION_TIMEOUT);
        // The SDK's own retries: these few calls share nothing with those to Timestream.
        let mut config = aws_sdk_dynamodb::config::Builder::from(shared)
            .timeout_config(timeouts.build())
            .retry_config(RetryConfig::standard().with_max_attempts(4));
        if let Some(region) = region_of(name) {
            config = config.region(Region::new(region.to_owned()));
        }
        let config = config.build();
        let region = config.region().map_or_else(String::new, Region::to_string);
        Self {
            client: Client::from_conf(config),
            name: name.to_owned(),
            region,
        }
    }

    pub(super) async fn get(
        &self,
        collection: &str,
        name: &str,
    ) -> Result<Option<Item>, StateError> {
        let request = self.client.get_item().table_name(&self.name);
        let request = request.set_key(Some(key(collection, name)));
        let response = request.consistent_read(true).send().await;
        let found = response.map_err(|error| self.failed(&error))?.item;
        found.map(|it| self.item(&it)).transpose()
    }

    pub(super) async fn put(
        &self,
        collection: &str,
        name: &str,
        value: &str,
        expect: Expect,
        expires_at: Option<Timestamp>,
    ) -> Result<bool, StateError> {
        let mut request = self.client.put_item().table_name(&self.name);
        request = match expect {
            Expect::Anything => request,
            Expect::Absent => request
                .condition_expression("attribute_not_exists(#name)")
                .expression_attribute_names("#name", NAME),
            Expect::Version(version) => request
                .condition_expression("#version = :version")
                .expression_attribute_names("#version", VERSION)
                .expression_attribute_values(":version", text(&version)),
        };
        let mut item = key(collection, name);
        item.insert(VALUE.to_owned(), text(value));
        item.insert(VERSION.to_owned(), text(&new_version()));
        if let Some(until) = expires_at {
            let seconds = AttributeValue::N(until.as_second().to_string());
            item.insert(EXPIRES_AT.to_owned(), seconds);
        }
        match request.set_item(Some(item)).send().await {
            Ok(_) => Ok(true),
            Err(error) if error.code() == Some("ConditionalCheckFailedException") => Ok(false),
            Err(error) => Err(self.failed(&error)),
        }
    }

    pub(super) async fn delete(&self, collection: &str, name: &str) -> Result<bool, StateError> {
        let request = self.client.delete_item().table_name(&self.name);
        let request = request.set_key(Some(key(collection, name)));
        let response = request.return_values(ReturnValue::AllOld).send().await;
        let deleted = response.map_err(|error| self.failed(&error))?;
        Ok(deleted.attributes.is_some())
    }

    pub(super) async fn list(&self, collection: &str) -> Result<Vec<Item>, StateError> {
        let query = self
            .client
            .query()
            .table_name(&self.name)
            .consistent_read(true)
            .key_condition_expression("#collection = :collection")
            .expression_attribute_names("#collection", COLLECTION)
            .expression_attribute_values(":collection", text(collection));
        let mut found = Vec::new();
        let mut pages = query.into_paginator().items().send();
        while let Some(item) = pages.next().await {
            let item = item.map_err(|error| self.failed(&error))?;
            found.push(self.item(&item)?);
        }
        Ok(found)
    }

    fn item(&self, attributes: &HashMap<String, AttributeValue>) -> Result<Item, StateError> {
        let text = |name: &str| match attributes.get(name) {
            Some(AttributeValue::S(text)) => Ok(text.clone()),
            _ => Err(StateError(format!(
                "an item of the table {} has no text {name}; give the connector a table of its own",
                self.name
            ))),
        };
        Ok(Item {
            name: text(NAME)?,
            value: text(VALUE)?,
            version: text(VERSION)?,
        })
    }

    fn failed(&self, error: &dyn std::error::Error) -> StateError {
        let Self { name, region, .. } = self;
        let error = causes(error);
        StateError(format!("DynamoDB table {name} in {region}: {error}"))
    }
}

fn key(collection: &str, name: &str) -> HashMap<String, AttributeValue> {
    HashMap::from([
        (COLLECTION.to_owned(), text(collection)),
        (NAME.to_owned(), text(name)),
    ])
}

fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

/// Returns the region in an ARN, `arn:aws:dynamodb:REGION:ACCOUNT:table/NAME`.
fn region_of(name: &str) -> Option<&str> {
    name.strip_prefix("arn:")?.split(':').nth(2)
}
