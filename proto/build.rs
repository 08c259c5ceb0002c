//! Compiles `proto/*.proto` with a Rust compiler, so that no `protoc` has to be installed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto");
    let files = protox::compile(["proto/prometheus.proto"], ["proto"])?;
    prost_build::Config::new()
        // The name of a message is what a content type may carry.
        .enable_type_names()
        .compile_fds(files)?;
    Ok(())
}
