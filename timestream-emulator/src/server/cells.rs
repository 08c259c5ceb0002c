//! The addresses of the emulator, and the cell that holds the account.
//!
//! The service has one regional address, which returns the address of a cell, and cells, one of
//! which serves the account (developer guide, "The endpoint discovery pattern"). On loopback and
//! plain HTTP cells can only differ by their port, so each has a listener of its own. The target
//! header is the same for the write and the query service, so one cell serves both.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
};

use crate::error::{ErrorKind, ServiceError};

/// The operation by which clients find their cell.
pub(super) const DISCOVERY: &str = "DescribeEndpoints";

/// The address that a request came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    Regional,
    Cell(usize),
}

/// All addresses. Without cells the regional one serves everything.
#[derive(Debug)]
pub(crate) struct Cells {
    pub(crate) regional: SocketAddr,
    pub(crate) cells: Vec<SocketAddr>,
    /// Limits the regional address to [`DISCOVERY`], as the service's is limited.
    pub(crate) require_discovery: bool,
    /// Index of the cell that holds the account.
    pub(crate) current: AtomicUsize,
}

/// An order to move the account to a cell that does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no cell {requested}: the emulator has {cells}, counted from 0")]
pub struct NoSuchCell {
    requested: usize,
    cells: usize,
}

impl Cells {
    /// Moves the account; from now on the other cells reject it.
    pub(crate) fn move_to(&self, cell: usize) -> Result<(), NoSuchCell> {
        let cells = self.cells.len();
        if cell >= cells {
            return Err(NoSuchCell {
                requested: cell,
                cells,
            });
        }
        self.current.store(cell, Ordering::Release);
        Ok(())
    }

    pub(crate) fn current(&self) -> usize {
        self.current.load(Ordering::Acquire)
    }

    /// Rejects an operation that this address does not serve.
    pub(super) fn admit(&self, door: Door, operation: &str) -> Result<(), ServiceError> {
        let is_discovery = operation == DISCOVERY;
        match door {
            Door::Regional if self.require_discovery && !is_discovery => {
                Err(ServiceError::new(ErrorKind::UnknownOperation, ""))
            }
            Door::Cell(_) if is_discovery => {
                Err(ServiceError::new(ErrorKind::UnknownOperation, ""))
            }
            Door::Cell(cell) if cell != self.current() => Err(ServiceError::invalid_endpoint()),
            Door::Regional | Door::Cell(_) => Ok(()),
        }
    }

    /// Returns the URL that serves the account, for a caller that has reached the regional address
    /// as `host` (`name:port`).
    pub(super) fn serving_url(&self, host: &str) -> String {
        match self.cells.get(self.current()) {
            None => format!("http://{host}"),
            Some(cell) => {
                let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
                format!("http://{name}:{}", cell.port())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(ports: &[u16], require_discovery: bool) -> Cells {
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Cells {
            regional: address(9000),
            cells: ports.iter().copied().map(address).collect(),
            require_discovery,
            current: AtomicUsize::new(0),
        }
    }

    #[test]
    fn doors_and_operations() {
        use ErrorKind::{InvalidEndpoint, UnknownOperation};
        let cases = [
            (false, Door::Regional, DISCOVERY, None),
            (false, Door::Regional, "Query", None),
            (true, Door::Regional, DISCOVERY, None),
            (true, Door::Regional, "Query", Some(UnknownOperation)),
            (true, Door::Cell(0), "Query", None),
            (false, Door::Cell(0), DISCOVERY, Some(UnknownOperation)),
            (false, Door::Cell(1), "Query", Some(InvalidEndpoint)),
        ];
        for (require_discovery, door, operation, expected) in cases {
            let outcome = cells(&[9001, 9002], require_discovery).admit(door, operation);
            let actual = outcome.err().map(|error| error.kind);
            assert_eq!(actual, expected, "{require_discovery} {door:?} {operation}");
        }
    }

    #[test]
    fn urls_keep_the_name_the_caller_uses() {
        let none = cells(&[], false);
        assert_eq!(none.serving_url("emulator:9000"), "http://emulator:9000");
        assert!(none.move_to(0).is_err());
        let two = cells(&[9001, 9002], false);
        assert_eq!(two.serving_url("emulator:9000"), "http://emulator:9001");
        two.move_to(1).expect("the cell exists");
        assert_eq!(two.serving_url("127.0.0.1:9000"), "http://127.0.0.1:9002");
        assert_eq!(two.serving_url("emulator"), "http://emulator:9002");
        assert!(two.move_to(2).is_err());
        assert_eq!(two.current(), 1);
    }
}
