//! Compiles `proto/*.proto` with a compiler in Rust, so that `protoc` need not be installed.

use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto");
    let files = protox::compile(
        ["proto/prometheus.proto", "proto/write_v2.proto"],
        ["proto"],
    )?;
    generator().compile_fds(files.clone())?;
    // For tests: the same messages with bytes in the places of texts, which need not be UTF-8.
    let mut with_bytes = files;
    let files = with_bytes.file.iter_mut();
    let mut messages: Vec<_> = files.flat_map(|file| &mut file.message_type).collect();
    while let Some(message) = messages.pop() {
        let fields = message.field.iter_mut();
        for field in fields.filter(|field| field.r#type == Some(TYPE_STRING)) {
            field.r#type = Some(TYPE_BYTES);
        }
        messages.extend(&mut message.nested_type);
    }
    let folder = PathBuf::from(std::env::var("OUT_DIR")?).join("with_bytes");
    std::fs::create_dir_all(&folder)?;
    generator().out_dir(folder).compile_fds(with_bytes)?;
    Ok(())
}

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
