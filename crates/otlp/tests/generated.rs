//! Holds the checked-in messages in `generated` equal to what the .proto file compiles to.
//!
//! They are in the repository because the compiler of protobuf would be a sixth of a first build. After a change of the
//! .proto file run `UPDATE_GENERATED=1 cargo test -p otlp --test generated`.

use prost_build::Module;

#[test]
fn messages_are_those_of_the_proto_file() {
    let files = protox::compile(["proto/metrics.proto"], ["proto"]).unwrap();
    let mut generator = prost_build::Config::new();
    for field in [
        "SummaryDataPoint.sum",
        "SummaryDataPoint.ValueAtQuantile.quantile",
        "SummaryDataPoint.ValueAtQuantile.value",
        "ExponentialHistogramDataPoint.zero_threshold",
    ] {
        // Always written: else -0 would be taken for an absent 0.
        generator.field_attribute(format!("otlp.{field}"), "#[prost(required)]");
    }
    let module = Module::from_protobuf_package_name("otlp");
    let requests = files.file.into_iter().map(|file| (module.clone(), file));
    let code = generator.generate(requests.collect()).unwrap();
    let code = &code[&module];

    let file = "generated/otlp.rs";
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        std::fs::create_dir_all("generated").unwrap();
        std::fs::write(file, code).unwrap();
    }
    assert!(
        &std::fs::read_to_string(file).unwrap_or_default() == code,
        "{file} is not what the .proto file compiles to; run UPDATE_GENERATED=1 cargo test -p otlp --test generated"
    );
}
