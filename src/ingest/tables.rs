//! The tables of a job, described, created and deleted.

use tokio::time::Instant;

use super::Ingester;
use crate::storage::destination::Destination;
use crate::timestream::retry::Limits;
use crate::timestream::tables::{Table, TableError};

impl Ingester {
    /// Describes a table; returns `None` if there is no such table.
    ///
    /// # Errors
    /// The call fails.
    pub async fn describe_table(
        &self,
        destination: &Destination,
        deadline: Instant,
    ) -> Result<Option<Table>, TableError> {
        let limits = self.table_limits(deadline);
        self.timestream.describe_table(destination, limits).await
    }

    /// Creates a table.
    ///
    /// # Errors
    /// It cannot be created.
    pub async fn create_table(
        &self,
        destination: &Destination,
        table: &Table,
        deadline: Instant,
    ) -> Result<(), TableError> {
        let limits = self.table_limits(deadline);
        self.timestream
            .create_table(destination, table, limits)
            .await
    }

    /// Deletes a table with all that is in it; that there is none is no error.
    ///
    /// # Errors
    /// It cannot be deleted.
    pub async fn delete_table(
        &self,
        destination: &Destination,
        deadline: Instant,
    ) -> Result<(), TableError> {
        let limits = self.table_limits(deadline);
        self.timestream.delete_table(destination, limits).await
    }

    fn table_limits(&self, deadline: Instant) -> Limits {
        Limits {
            max_retries: self.max_retries,
            deadline,
        }
    }
}
