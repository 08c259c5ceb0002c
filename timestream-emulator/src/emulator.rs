//! Starting and stopping an emulator within a process.

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use tokio::{net::TcpListener, sync::watch, task::JoinHandle, time::Instant};

use crate::{
    config::{Config, TableSpec},
    counters::Counters,
    error::ServiceError,
    faults::Fault,
    operations,
    protocol::{DatabaseRequest, MagneticStoreWriteProperties, RetentionProperties, TableRequest},
    server::{
        self, Shared,
        cells::{Cells, Door, NoSuchCell},
    },
    store::{Store, StoreError, Writer, snapshot::Point},
};

const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// A running emulator; it stops when it is dropped.
#[derive(Debug)]
pub struct Emulator {
    shared: Arc<Shared>,
    /// Serving ends when it is dropped.
    stop: watch::Sender<()>,
    servers: Vec<JoinHandle<std::io::Result<()>>>,
}

/// An error that prevents an emulator from starting.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be bound.
    #[error("cannot listen on {address}")]
    Listen {
        /// The requested address.
        address: SocketAddr,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The data folder cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A table to create at start was rejected.
    #[error("table {database}/{table} cannot be created: {reason}")]
    Table {
        /// Its database.
        database: String,
        /// Its name.
        table: String,
        /// The service's words.
        reason: String,
    },
}

impl Emulator {
    /// Opens the storage, creates missing tables and serves on a background task.
    ///
    /// # Errors
    ///
    /// When the address is in use, the data folder is in use or unreadable, or a table cannot be
    /// created.
    pub async fn start(config: Config) -> Result<Emulator, StartError> {
        let store = Store::open(config.data_dir.as_deref())?;
        let now_ns = config.clock.now_ns();
        for table in &config.tables {
            let created = store.change(|writer| ensure_table(writer, table, now_ns));
            created.map_err(|error| StartError::Table {
                database: table.database.clone(),
                table: table.table.clone(),
                reason: error.message,
            })?;
        }
        let (regional, regional_address) = bind(config.listen).await?;
        let mut doors = vec![(regional, Door::Regional)];
        let mut cells = Cells {
            regional: regional_address,
            cells: Vec::new(),
            require_discovery: config.require_discovery,
            current: AtomicUsize::new(0),
        };
        for cell in 0..config.cells.max(config.require_discovery.into()) {
            let (listener, address) = bind(cell_address(config.listen, cell)?).await?;
            doors.push((listener, Door::Cell(cell.into())));
            cells.cells.push(address);
        }
        let shared = Arc::new(Shared::new(config, cells, store));
        let (stop, stopped) = watch::channel(());
        let servers = doors.into_iter().map(|(listener, door)| {
            let serving = server::serve(listener, door, Arc::clone(&shared), stopped.clone());
            tokio::spawn(serving)
        });
        let servers = servers.collect();
        Ok(Emulator {
            shared,
            stop,
            servers,
        })
    }

    /// Returns the URL to use as the AWS endpoint, `http://host:port`.
    pub fn url(&self) -> String {
        format!("http://{}", self.shared.cells.regional)
    }

    /// Returns the URLs of the cells; none if there are no cells.
    pub fn cell_urls(&self) -> Vec<String> {
        let cells = self.shared.cells.cells.iter();
        cells.map(|address| format!("http://{address}")).collect()
    }

    /// Moves the account to another cell: DescribeEndpoints returns its address from now on, and
    /// the others respond with InvalidEndpointException.
    ///
    /// # Errors
    ///
    /// When there is no such cell.
    pub fn move_to_cell(&self, cell: usize) -> Result<(), NoSuchCell> {
        self.shared.cells.move_to(cell)
    }

    /// Orders a failure; orders are carried out in the order they were given.
    pub fn order_fault(&self, fault: Fault) {
        self.shared.faults.add(fault);
    }

    /// Withdraws all orders.
    pub fn clear_faults(&self) {
        self.shared.faults.clear();
    }

    /// Returns the counters at this moment.
    pub fn counters(&self) -> Counters {
        self.shared.counters()
    }

    /// Returns all points of a table, by measure name, then series in the order of their first
    /// write, then time; empty if there is no such table.
    pub fn points(&self, database: &str, table: &str) -> Vec<Point> {
        self.shared
            .with_store(|store| store.snapshot()?.points(database, table))
            .unwrap_or_default()
    }

    /// Finishes open calls, closes the storage and returns. Connections that are still open after
    /// ten seconds are left behind and find the storage closed.
    pub async fn stop(self) {
        let Emulator {
            shared,
            stop,
            servers,
        } = self;
        drop(stop);
        let deadline = Instant::now() + STOP_TIMEOUT;
        for mut server in servers {
            match tokio::time::timeout_at(deadline, &mut server).await {
                Ok(Ok(Ok(()))) => {}
                Ok(Ok(Err(error))) => tracing::error!(%error, "serving failed"),
                Ok(Err(error)) => tracing::error!(%error, "the server task failed"),
                Err(_) => server.abort(),
            }
        }
        shared.close_store();
    }
}

async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |source| StartError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// Returns the port after the regional one and the cells before, or a free one if port 0 was
/// requested.
fn cell_address(regional: SocketAddr, cell: u16) -> Result<SocketAddr, StartError> {
    if regional.port() == 0 {
        return Ok(regional);
    }
    let port = cell
        .checked_add(1)
        .and_then(|offset| regional.port().checked_add(offset));
    let port = port.ok_or_else(|| StartError::Listen {
        address: regional,
        source: std::io::Error::other("there are not enough ports after it for the cells"),
    })?;
    Ok(SocketAddr::new(regional.ip(), port))
}

fn ensure_table(writer: &mut Writer, spec: &TableSpec, now_ns: i64) -> Result<(), ServiceError> {
    if !writer.catalog.databases.contains_key(&spec.database) {
        let request = DatabaseRequest {
            database_name: Some(spec.database.clone()),
            kms_key_id: None,
            tags: None,
        };
        operations::databases::create(writer, &request, now_ns)?;
    }
    if writer.catalog.table(&spec.database, &spec.table).is_ok() {
        return Ok(());
    }
    let request = TableRequest {
        database_name: Some(spec.database.clone()),
        table_name: Some(spec.table.clone()),
        retention_properties: Some(RetentionProperties {
            memory_store_retention_period_in_hours: Some(spec.memory_hours),
            magnetic_store_retention_period_in_days: Some(spec.magnetic_days),
        }),
        magnetic_store_write_properties: Some(MagneticStoreWriteProperties {
            enable_magnetic_store_writes: Some(spec.magnetic_writes),
            magnetic_store_rejected_data_location: None,
        }),
        schema: None,
        tags: None,
    };
    operations::tables::create(writer, &request, now_ns).map(drop)
}
