//! Stores of connector definitions: the same tests for each.

use aws_config::{Region, SdkConfig};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType,
    ScalarAttributeType,
};
use jiff::Timestamp;
use timestream_prometheus_connector::state::{Expect, Folder, Memory, State, Table};

use crate::moto::Moto;
use crate::support::shared_at;

/// A server with a table as the template makes it.
pub(crate) struct Dynamo {
    #[allow(dead_code, reason = "it ends with this")]
    pub(crate) moto: Moto,
    pub(crate) shared: SdkConfig,
    pub(crate) client: Client,
}

pub(crate) const TABLE: &str = "connectors";

impl Dynamo {
    pub(crate) async fn start() -> Self {
        let moto = Moto::start_in_turn().await;
        let shared = shared_at(&moto.url).await;
        let client = Client::new(&shared);
        let key = |name: &str, key_type: KeyType| {
            let key = KeySchemaElement::builder().attribute_name(name);
            key.key_type(key_type).build().unwrap()
        };
        let text = |name: &str| {
            let attribute = AttributeDefinition::builder().attribute_name(name);
            let attribute = attribute.attribute_type(ScalarAttributeType::S);
            attribute.build().unwrap()
        };
        client
            .create_table()
            .table_name(TABLE)
            .billing_mode(BillingMode::PayPerRequest)
            .key_schema(key("collection", KeyType::Hash))
            .key_schema(key("name", KeyType::Range))
            .attribute_definitions(text("collection"))
            .attribute_definitions(text("name"))
            .send()
            .await
            .unwrap();
        Self {
            moto,
            shared,
            client,
        }
    }

    pub(crate) fn state(&self) -> State {
        State::DynamoDb(Table::new(&self.shared, TABLE))
    }
}

/// Checks the properties of every store; `other` is the same one, opened by another process.
async fn contract(state: State, other: State) {
    let put = async |name: &str, value: &str, expect: Expect| {
        state.put("c", name, value, expect, None).await.unwrap()
    };
    assert_eq!(state.get("c", "a").await.unwrap(), None);
    assert!(state.list("c").await.unwrap().is_empty());
    assert!(put("a", "1", Expect::Absent).await);
    assert!(!put("a", "2", Expect::Absent).await);
    assert!(!put("a", "2", Expect::Version("other".to_owned())).await);
    assert!(!put("b", "2", Expect::Version("other".to_owned())).await);
    let first = other.get("c", "a").await.unwrap().unwrap();
    assert_eq!((first.name.as_str(), first.value.as_str()), ("a", "1"));
    assert!(put("a", "2", Expect::Version(first.version.clone())).await);
    assert!(!put("a", "3", Expect::Version(first.version.clone())).await);
    assert!(put("a", "4\n{}\u{0}\u{1f980}", Expect::Anything).await);
    let last = other.get("c", "a").await.unwrap().unwrap();
    assert_eq!(last.value, "4\n{}\u{0}\u{1f980}");

    // One that was deleted and made again is another one.
    assert!(other.delete("c", "a").await.unwrap());
    assert!(!other.delete("c", "a").await.unwrap());
    assert!(put("a", "5", Expect::Anything).await);
    assert!(!put("a", "6", Expect::Version(last.version)).await);

    // Names are any texts, and collections are separate.
    let long = "x".repeat(300);
    let names = ["A", "B/../b", "\u{fc} {job=\"a\"}", "..", long.as_str()];
    for name in names {
        assert!(put(name, name, Expect::Absent).await);
        let item = other.get("c", name).await.unwrap().unwrap();
        assert_eq!((item.name.as_str(), item.value.as_str()), (name, name));
    }
    let put = other.put("C", "a", "other", Expect::Absent, None).await;
    assert!(put.unwrap());
    let mut expected: Vec<&str> = names.into_iter().chain(["a"]).collect();
    expected.sort_unstable();
    let listed = other.list("c").await.unwrap();
    let found: Vec<&str> = listed.iter().map(|item| item.name.as_str()).collect();
    assert_eq!(found, expected);
    state.clear("c").await.unwrap();
    assert!(other.list("c").await.unwrap().is_empty());
    assert_eq!(other.list("C").await.unwrap().len(), 1);

    // Of changes at the same time none is lost.
    let adding = (0..8).map(|index| {
        let state = if index % 2 == 0 { &state } else { &other }.clone();
        tokio::spawn(async move {
            for _ in 0..10 {
                add_one(&state).await;
            }
        })
    });
    for done in futures_util::future::join_all(adding).await {
        done.unwrap();
    }
    let sum = state.get("sum", "sum").await.unwrap().unwrap();
    assert_eq!(sum.value, "80");
}

async fn add_one(state: &State) {
    loop {
        let item = state.get("sum", "sum").await.unwrap();
        let value = item
            .as_ref()
            .map_or(0, |it| it.value.parse::<u32>().unwrap());
        let expect = match &item {
            Some(item) => Expect::Version(item.version.clone()),
            None => Expect::Absent,
        };
        let text = (value + 1).to_string();
        if state.put("sum", "sum", &text, expect, None).await.unwrap() {
            return;
        }
    }
}

#[tokio::test]
async fn memory() {
    let memory = State::Memory(Memory::default());
    contract(memory.clone(), memory).await;
}

#[tokio::test]
async fn a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let open = || State::Folder(Folder::open(folder.path()).unwrap());
    contract(open(), open()).await;
}

#[tokio::test]
async fn a_table() {
    let dynamo = Dynamo::start().await;
    contract(dynamo.state(), dynamo.state()).await;
}

#[tokio::test]
async fn a_list_of_several_pages_is_whole() {
    let dynamo = Dynamo::start().await;
    let state = dynamo.state();
    // A page has at most 1 MB.
    let value = "x".repeat(300_000);
    for index in 0..8 {
        let name = index.to_string();
        let put = state.put("c", &name, &value, Expect::Absent, None).await;
        assert!(put.unwrap());
    }
    assert_eq!(state.list("c").await.unwrap().len(), 8);
}

#[tokio::test]
async fn unused_entries_may_expire() {
    let dynamo = Dynamo::start().await;
    let until = Timestamp::from_millisecond(1_900_000_000_999).unwrap();
    let put = dynamo.state();
    let put = put.put("c", "n", "v", Expect::Absent, Some(until)).await;
    assert!(put.unwrap());
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let item = dynamo.client.get_item().table_name(TABLE);
    let item = item.key("collection", text("c")).key("name", text("n"));
    let item = item.send().await.unwrap().item.unwrap();
    let expires_at = AttributeValue::N("1900000000".to_owned());
    assert_eq!(item["expires_at"], expires_at);
}

#[tokio::test]
async fn a_table_by_its_arn_is_in_its_own_region() {
    let dynamo = Dynamo::start().await;
    let table = dynamo.client.describe_table().table_name(TABLE);
    let table = table.send().await.unwrap().table.unwrap();
    let arn = table.table_arn.unwrap();
    let elsewhere = Region::new("eu-west-1");
    let shared = dynamo.shared.into_builder().region(elsewhere).build();
    let by_name = State::DynamoDb(Table::new(&shared, TABLE));
    assert!(by_name.get("c", "n").await.is_err());
    let by_arn = State::DynamoDb(Table::new(&shared, &arn));
    let put = by_arn.put("c", "n", "v", Expect::Absent, None).await;
    assert!(put.unwrap());
    assert_eq!(by_arn.list("c").await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_table_that_is_not_there_is_named() {
    let dynamo = Dynamo::start().await;
    let state = State::DynamoDb(Table::new(&dynamo.shared, "missing"));
    let error = state.get("c", "n").await.unwrap_err().to_string();
    assert!(
        error.contains("DynamoDB table missing in us-east-1: "),
        "{error}"
    );
    assert!(error.contains("ResourceNotFoundException"), "{error}");
}
