//! Tags, and the settings of the account.

use aws_sdk_timestreamwrite::types::Tag;

use crate::support::{DB, OLD, Service, clients, code_and_message};

fn tag(key: &str, value: &str) -> Tag {
    let tag = Tag::builder().key(key).value(value).build();
    tag.expect("key and value are set")
}

async fn arns(service: &Service) -> [String; 2] {
    let call = service.write.describe_database().database_name(DB);
    let database = call.send().await.expect("the database is there").database;
    let call = service
        .write
        .describe_table()
        .database_name(DB)
        .table_name(OLD);
    let table = call.send().await.expect("the table is there").table;
    [
        database.and_then(|database| database.arn).expect("an ARN"),
        table.and_then(|table| table.arn).expect("an ARN"),
    ]
}

async fn tags(service: &Service, arn: &str) -> Vec<(String, String)> {
    let call = service.write.list_tags_for_resource().resource_arn(arn);
    let response = call.send().await.expect("the resource is there");
    let tags = response.tags().iter();
    tags.map(|tag| (tag.key().to_owned(), tag.value().to_owned()))
        .collect()
}

/// Returns the code of the error on adding these tags.
async fn tag_error(service: &Service, arn: &str, tags: Vec<Tag>) -> String {
    let call = service.write.tag_resource().resource_arn(arn);
    let error = call.set_tags(Some(tags)).send().await;
    code_and_message(&error.expect_err("the tags are rejected")).0
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    pairs.iter().map(owned).collect()
}

/// API reference, TagResource, UntagResource, ListTagsForResource.
#[tokio::test]
async fn tags_come_and_go() {
    let service = Service::start().await;
    for arn in arns(&service).await {
        assert_eq!(tags(&service, &arn).await, []);
        let add = |tags| {
            let call = service.write.tag_resource().resource_arn(&arn);
            call.set_tags(Some(tags)).send()
        };
        add(vec![tag("b", "1"), tag("a", "")])
            .await
            .expect("tagged");
        add(vec![tag("b", "2")]).await.expect("tagged");
        assert_eq!(tags(&service, &arn).await, pairs(&[("a", ""), ("b", "2")]));
        let remove = service.write.untag_resource().resource_arn(&arn);
        let remove = remove.tag_keys("a").tag_keys("unknown");
        remove.send().await.expect("untagged");
        assert_eq!(tags(&service, &arn).await, pairs(&[("b", "2")]));
    }
}

#[tokio::test]
async fn tags_can_be_given_at_creation_and_go_with_the_resource() {
    let service = Service::start().await;
    let create = async || {
        let call = service.write.create_database().database_name("tagged");
        call.tags(tag("a", "1")).send().await.expect("a database");
        let call = service.write.create_table().database_name("tagged");
        let call = call.table_name("t").tags(tag("b", "2"));
        let table = call.send().await.expect("a table").table;
        table.and_then(|table| table.arn).expect("an ARN")
    };
    let table = create().await;
    let database = table.strip_suffix("/table/t").expect("the form of an ARN");
    assert_eq!(tags(&service, database).await, pairs(&[("a", "1")]));
    assert_eq!(tags(&service, &table).await, pairs(&[("b", "2")]));

    let delete = service.write.delete_table().database_name("tagged");
    delete.table_name("t").send().await.expect("the table goes");
    let delete = service.write.delete_database().database_name("tagged");
    delete.send().await.expect("the database goes");
    let code = tag_error(&service, &table, vec![tag("c", "3")]).await;
    assert_eq!(code, "ResourceNotFoundException");
    create().await;
    assert_eq!(tags(&service, &table).await, pairs(&[("b", "2")]));
}

/// Bounds of the service model; reserved prefix and unique keys by the developer guide.
#[tokio::test]
async fn tags_have_bounds() {
    let service = Service::start().await;
    let [arn, _] = arns(&service).await;
    let many = |count: usize| (0..count).map(|n| tag(&format!("k{n}"), "v")).collect();
    let cases: Vec<(&str, &str, Vec<Tag>, &str)> = vec![
        ("empty key", &arn, vec![tag("", "v")], "ValidationException"),
        (
            "long key",
            &arn,
            vec![tag(&"k".repeat(129), "v")],
            "ValidationException",
        ),
        (
            "long value",
            &arn,
            vec![tag("k", &"v".repeat(257))],
            "ValidationException",
        ),
        (
            "reserved",
            &arn,
            vec![tag("aws:k", "v")],
            "ValidationException",
        ),
        (
            "twice",
            &arn,
            vec![tag("k", "v"), tag("k", "w")],
            "ValidationException",
        ),
        ("too many at once", &arn, many(201), "ValidationException"),
        ("no ARN", "x", many(1), "ValidationException"),
        (
            "unknown",
            "arn:aws:timestream:us-east-1:000000000000:database/none",
            many(1),
            "ResourceNotFoundException",
        ),
    ];
    for (name, arn, tags, expected) in cases {
        assert_eq!(tag_error(&service, arn, tags).await, expected, "{name}");
    }
    assert_eq!(tags(&service, &arn).await, []);
    let call = service.write.tag_resource().resource_arn(&arn);
    call.set_tags(Some(many(200)))
        .send()
        .await
        .expect("as many as there may be");
    let code = tag_error(&service, &arn, vec![tag("more", "v")]).await;
    assert_eq!(code, "ServiceQuotaExceededException");
}

/// Developer guide, "Timestream compute unit (TCU)": 200 unless set, 4 to 1000 in steps of 4.
#[tokio::test]
async fn the_account_has_a_limit_of_compute_units() {
    let service = Service::start().await;
    let described = service.query.describe_account_settings().send().await;
    let described = described.expect("settings");
    assert_eq!(described.max_query_tcu(), Some(200));
    let model = described.query_pricing_model().map(|model| model.as_str());
    assert_eq!(model, Some("COMPUTE_UNITS"));
    let update = |tcu| {
        service
            .query
            .update_account_settings()
            .max_query_tcu(tcu)
            .send()
    };
    for tcu in [4, 1000, 48] {
        assert_eq!(update(tcu).await.expect("set").max_query_tcu(), Some(tcu));
    }
    for tcu in [-4, 0, 3, 5, 1001, 1004] {
        let error = update(tcu).await.expect_err("out of bounds");
        assert_eq!(code_and_message(&error).0, "ValidationException", "{tcu}");
    }
    for model in ["BYTES_SCANNED", "OTHER"] {
        let call = service.query.update_account_settings();
        let error = call.query_pricing_model(model.into()).send().await;
        let error = error.expect_err("no way back");
        assert_eq!(code_and_message(&error).0, "ValidationException", "{model}");
    }
    let described = service.query.describe_account_settings().send().await;
    assert_eq!(described.expect("settings").max_query_tcu(), Some(48));
}

#[tokio::test]
async fn tags_and_settings_survive_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let service = Service::start_in(Some(folder.path())).await;
    let arns = arns(&service).await;
    for arn in &arns {
        let call = service.write.tag_resource().resource_arn(arn);
        call.tags(tag("a", "1")).send().await.expect("tagged");
    }
    let update = service.query.update_account_settings().max_query_tcu(8);
    update.send().await.expect("set");
    service.emulator.stop().await;

    let service = Service::start_in(Some(folder.path())).await;
    for arn in &arns {
        assert_eq!(tags(&service, arn).await, pairs(&[("a", "1")]));
    }
    let (_, query) = clients(&service.emulator.url(), "local", "local");
    let described = query.describe_account_settings().send().await;
    assert_eq!(described.expect("settings").max_query_tcu(), Some(8));
}
