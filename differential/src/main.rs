//! Compares our PromQL engine with Prometheus' own. The environment selects the queries:
//!
//! ```text
//! ONLY=rate,increase N=500 SEED=1 DEPTH=2 PRINT=5 cargo run -p differential
//! ```

use std::process::ExitCode;

use differential::judge::Judge;
use differential::run::{Settings, run};

fn main() -> ExitCode {
    let settings = Settings::from_environment(1, 2_000);
    let report = run(&Judge::obtain(), &settings);
    for difference in &report.differences {
        println!("{difference}");
    }
    println!("{}seed {}", report.summary(), settings.seed);
    match report.differing {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}
