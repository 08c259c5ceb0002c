//! Writes the events of this directory: `make events`.

mod shapes;

use std::path::Path;

fn main() -> std::io::Result<()> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("events");
    for (name, text) in shapes::files() {
        std::fs::write(directory.join(name), text)?;
    }
    Ok(())
}
