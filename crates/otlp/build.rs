//! Compiles `proto/metrics.proto` with a compiler in Rust, so that `protoc` need not be installed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto");
    let files = protox::compile(["proto/metrics.proto"], ["proto"])?;
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
    generator.compile_fds(files)?;
    Ok(())
}
