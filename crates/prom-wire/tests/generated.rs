//! Holds the checked-in messages in `generated` equal to what the .proto files compile to.
//!
//! They are in the repository because the compiler of protobuf would be a sixth of a first build. After a change of a
//! .proto file run `UPDATE_GENERATED=1 cargo test -p prom-wire --test generated`.

use std::path::{Path, PathBuf};

use prost_build::Module;

/// The types of fields, as descriptors of messages have them.
const TYPE_STRING: i32 = 9;
const TYPE_BYTES: i32 = 12;

fn generator() -> prost_build::Config {
    let mut config = prost_build::Config::new();
    config
        // The name of a message is what a content type may carry.
        .enable_type_names()
        // Always written: else -0 would be taken for an absent 0.
        .field_attribute("prometheus.Sample.value", "#[prost(required)]")
        .field_attribute("prometheus.Histogram.sum", "#[prost(required)]")
        .field_attribute("prometheus.Histogram.zero_threshold", "#[prost(required)]")
        .field_attribute("io.prometheus.write.v2.Sample.value", "#[prost(required)]")
        .field_attribute("io.prometheus.write.v2.Histogram.sum", "#[prost(required)]");
    config
}

/// Compares the code with the file, or writes the file if `UPDATE_GENERATED` is set.
fn assert_checked_in(file: &Path, code: &str) {
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, code).unwrap();
    }
    let stored = std::fs::read_to_string(file).unwrap_or_default();
    assert!(
        stored == code,
        "{} is not what the .proto files compile to; run UPDATE_GENERATED=1 cargo test -p prom-wire --test generated",
        file.display()
    );
}

#[test]
fn messages_are_those_of_the_proto_files() {
    let files = protox::compile(
        ["proto/prometheus.proto", "proto/write_v2.proto"],
        ["proto"],
    );
    let files = files.unwrap().file;
    // For tests: the same messages with bytes in the places of texts, which need not be UTF-8.
    let mut with_bytes = files.clone();
    let messages = with_bytes
        .iter_mut()
        .flat_map(|file| &mut file.message_type);
    let mut messages: Vec<_> = messages.collect();
    while let Some(message) = messages.pop() {
        let fields = message.field.iter_mut();
        for field in fields.filter(|field| field.r#type == Some(TYPE_STRING)) {
            field.r#type = Some(TYPE_BYTES);
        }
        messages.extend(&mut message.nested_type);
    }
    let folder = PathBuf::from("generated");
    for (files, folder) in [
        (files, folder.clone()),
        (with_bytes, folder.join("with_bytes")),
    ] {
        let requests = files.into_iter().map(|file| {
            let module = Module::from_protobuf_package_name(file.package());
            (module, file)
        });
        let code = generator().generate(requests.collect()).unwrap();
        assert_eq!(code.len(), 2, "a file for each version of the protocol");
        for (module, code) in code {
            assert_checked_in(&folder.join(module.to_file_name_or("messages")), &code);
        }
    }
}
