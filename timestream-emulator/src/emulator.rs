//! Starting and stopping an emulator within a process.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

use crate::{
    config::{Config, TableSpec},
    counters::Counters,
    error::ServiceError,
    faults::Fault,
    operations,
    protocol::{DatabaseRequest, MagneticStoreWriteProperties, RetentionProperties, TableRequest},
    server::{self, Shared},
    sigv4::Credentials,
    store::{Store, StoreError, Writer, snapshot::Point},
};

const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// A running emulator; it stops when it is dropped.
#[derive(Debug)]
pub struct Emulator {
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    server: JoinHandle<std::io::Result<()>>,
}

/// Why an emulator cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be bound.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The data folder cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A table to create at start was refused.
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
    /// When the address is taken, the data folder is in use or unreadable, or a table cannot be
    /// created.
    pub async fn start(config: Config) -> Result<Emulator, StartError> {
        let store = Store::open(config.data_dir.as_deref())?;
        for table in &config.tables {
            let created = store.change(|writer| ensure_table(writer, table));
            created.map_err(|error| StartError::Table {
                database: table.database.clone(),
                table: table.table.clone(),
                reason: error.message,
            })?;
        }
        let failed = |source| StartError::Listen {
            address: config.listen,
            source,
        };
        let listener = TcpListener::bind(config.listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let credentials = Credentials {
            access_key: config.access_key,
            secret_key: config.secret_key,
        };
        let shared = Arc::new(Shared::new(address, credentials, store));
        let (stop, stopped) = oneshot::channel();
        let server = tokio::spawn(server::serve(listener, Arc::clone(&shared), stopped));
        Ok(Emulator {
            shared,
            stop: Some(stop),
            server,
        })
    }

    /// The URL to use as the AWS endpoint, `http://host:port`.
    pub fn url(&self) -> String {
        format!("http://{}", self.shared.address)
    }

    /// Orders a failure; orders are carried out in the order they were given.
    pub fn order_fault(&self, fault: Fault) {
        self.shared.faults.add(fault);
    }

    /// Withdraws all orders.
    pub fn clear_faults(&self) {
        self.shared.faults.clear();
    }

    /// What has been counted so far.
    pub fn counters(&self) -> Counters {
        self.shared.counters()
    }

    /// All points of a table, by measure name, then series in the order of their first write, then
    /// time; empty if there is no such table.
    pub fn points(&self, database: &str, table: &str) -> Vec<Point> {
        self.shared
            .with_store(|store| store.snapshot()?.points(database, table))
            .unwrap_or_default()
    }

    /// Finishes open calls, closes the storage and returns. Connections that are still open after
    /// ten seconds are left behind and find the storage closed.
    pub async fn stop(mut self) {
        drop(self.stop.take());
        match tokio::time::timeout(STOP_TIMEOUT, &mut self.server).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => tracing::error!(%error, "serving failed"),
            Ok(Err(error)) => tracing::error!(%error, "the server task failed"),
            Err(_) => self.server.abort(),
        }
        self.shared.close_store();
    }
}

fn ensure_table(writer: &mut Writer, spec: &TableSpec) -> Result<(), ServiceError> {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64();
    if !writer.catalog.databases.contains_key(&spec.database) {
        let request = DatabaseRequest {
            database_name: Some(spec.database.clone()),
            kms_key_id: None,
        };
        operations::create_database(writer, &request, now)?;
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
        }),
        schema: None,
    };
    operations::create_table(writer, &request, now).map(drop)
}
