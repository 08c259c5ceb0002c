//! SQL as a person who explores the data would run it.

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use timestream_emulator::Emulator;
use timestream_prometheus_connector::timestream::{Discovery, Settings, TrustedRoots, sdk_config};

/// Returns the rows of a short result, NULL as `None`.
pub(crate) async fn rows(emulator: &Emulator, statement: &str) -> Vec<Vec<Option<String>>> {
    let settings = Settings {
        region: "us-east-1".to_owned(),
        write_endpoint: None,
        query_endpoint: None,
        discovery: Discovery::Off,
        roots: TrustedRoots::default(),
    };
    let credentials = Credentials::new("local", "local", None, None, "tests");
    let config = sdk_config(&settings)
        .endpoint_url(emulator.url())
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .load()
        .await;
    let response = aws_sdk_timestreamquery::Client::new(&config)
        .query()
        .query_string(statement)
        .send()
        .await
        .unwrap();
    assert_eq!(response.next_token, None, "the result has several pages");
    let texts = |row: aws_sdk_timestreamquery::types::Row| {
        let fields = row.data.into_iter();
        fields.map(|field| field.scalar_value).collect()
    };
    response.rows.into_iter().map(texts).collect()
}

/// Returns the documented statement that begins like this, up to the end of its block.
pub(crate) fn documented(start: &str) -> &'static str {
    let blocks = include_str!("../../docs/data-model.md")
        .split("```sql\n")
        .skip(1);
    let mut statements = blocks.map(|block| block.split("```").next().unwrap());
    statements
        .find(|statement| statement.starts_with(start))
        .expect("the page has this statement")
}
