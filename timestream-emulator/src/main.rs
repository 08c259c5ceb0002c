//! `timestream-emulator`: the emulator as a process of its own.

use std::{
    net::{SocketAddr, ToSocketAddrs},
    path::PathBuf,
    process::ExitCode,
};

use clap::Parser;
use timestream_emulator::{Clock, ColumnCase, Config, Emulator, TableSpec};
use tracing_subscriber::filter::LevelFilter;

/// A strict emulator of Amazon Timestream for LiveAnalytics.
#[derive(Debug, Parser)]
#[command(name = "timestream-emulator")]
struct Flags {
    /// Address to listen on.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9202", value_parser = resolve)]
    listen: SocketAddr,
    /// Folder of the database file; without it the data goes with the process.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Table to create if it is missing; may be given more than once.
    #[arg(
        long = "table",
        value_name = "DB/TABLE[,memory_hours=N,magnetic_days=N,magnetic_writes=BOOL]"
    )]
    tables: Vec<TableSpec>,
    /// Access key id that requests must be signed with.
    #[arg(long, value_name = "ID", default_value = "local")]
    access_key: String,
    /// Secret key that requests must be signed with.
    #[arg(long, value_name = "KEY", default_value = "local")]
    secret_key: String,
    /// Cells with a port of their own, which DescribeEndpoints gives out: the ports after that of
    /// --listen. Without cells everything is served on one address.
    #[arg(long, value_name = "N", default_value_t = 0)]
    cells: u16,
    /// Serve only DescribeEndpoints on the address of --listen, as the service does; all else is
    /// served by a cell.
    #[arg(long)]
    require_discovery: bool,
    /// Throttle changes of databases and tables at 1 per second, look-ups at 5 per second.
    #[arg(long)]
    rate_limits: bool,
    /// Check and meter written records but store none, to measure what writes.
    #[arg(long)]
    null_sink: bool,
    /// Accept dimension names with any character but a colon, not only those of the rule of 2021.
    #[arg(long)]
    wide_names: bool,
    /// Resolution of column names in a query: the column of exactly this name (exact), the one of
    /// this name in any case (ignored), or only one that both readings agree on (strict).
    #[arg(long, value_name = "strict|exact|ignored", default_value = "strict")]
    column_case: ColumnCase,
    /// Let faults that are ordered by rate meet the same calls of the same sequence each time.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let flags = Flags::parse();
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_max_level(LevelFilter::INFO)
        .init();
    let greeting = greeting(&flags);
    let config = Config {
        listen: flags.listen,
        data_dir: flags.data_dir,
        tables: flags.tables,
        access_key: flags.access_key,
        secret_key: flags.secret_key,
        cells: flags.cells,
        require_discovery: flags.require_discovery,
        rate_limits: flags.rate_limits,
        null_sink: flags.null_sink,
        wide_names: flags.wide_names,
        column_case: flags.column_case,
        seed: flags.seed,
        clock: Clock::default(),
        clock_ahead_seconds: 0,
    };
    match Emulator::start(config).await {
        Ok(emulator) => {
            println!(
                "timestream-emulator: listening on {}, {greeting}",
                emulator.url()
            );
            for (cell, url) in emulator.cell_urls().iter().enumerate() {
                println!("timestream-emulator: cell {cell} on {url}");
            }
            stop_signal().await;
            emulator.stop().await;
            println!("timestream-emulator: stopped");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("timestream-emulator: {}", with_sources(&error));
            ExitCode::FAILURE
        }
    }
}

/// Returns the first address of `host:port`.
fn resolve(text: &str) -> Result<SocketAddr, String> {
    let mut addresses = text.to_socket_addrs().map_err(|error| error.to_string())?;
    addresses
        .next()
        .ok_or_else(|| format!("\"{text}\" has no address"))
}

/// Returns the location of the data and the credentials; a configured secret is not included.
fn greeting(flags: &Flags) -> String {
    let data = match &flags.data_dir {
        Some(path) => format!("data in {}", path.display()),
        None => "data in memory".to_owned(),
    };
    let secret = if flags.secret_key == "local" {
        "local"
    } else {
        "(as given)"
    };
    format!("{data}, credentials {}/{secret}", flags.access_key)
}

fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}

/// Returns on ctrl-c or SIGTERM.
async fn stop_signal() {
    let terminated = async {
        #[cfg(unix)]
        if let Ok(mut signal) =
            tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        {
            signal.recv().await;
            return;
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminated => {}
    }
}
