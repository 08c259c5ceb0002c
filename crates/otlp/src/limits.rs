//! The memory of a message while it is read. Each thing is charged before it is created, so that a small body cannot
//! become a large structure.

use prom_wire::budget::{BudgetExceeded, Meter, Reservation};

/// The least that a list has room for.
const FIRST_ELEMENTS: usize = 4;

/// The memory of a message.
#[derive(Debug)]
pub(crate) struct Limits<'m> {
    memory: Meter<'m>,
}

impl<'m> Limits<'m> {
    pub(crate) fn new(reservation: &'m mut Reservation) -> Self {
        Self {
            memory: Meter::new(reservation),
        }
    }

    /// Makes room for so many more elements of `list`, whose memory is charged before it is allocated.
    ///
    /// A list that grows occupies its old and its new room for a moment.
    #[inline]
    pub(crate) fn room<T>(&mut self, list: &mut Vec<T>, more: usize) -> Result<(), BudgetExceeded> {
        let needed = list.len() + more;
        if needed <= list.capacity() {
            return Ok(());
        }
        let old = list.capacity();
        let new = needed.max(2 * old).max(FIRST_ELEMENTS);
        self.memory.charge(new * size_of::<T>())?;
        list.reserve_exact(new - list.len());
        self.memory.release(old * size_of::<T>());
        Ok(())
    }

    /// Charges a copy of so many bytes.
    pub(crate) fn text(&mut self, bytes: usize) -> Result<(), BudgetExceeded> {
        const SLOT_BYTES: usize = 2 * size_of::<usize>() + 24;
        self.memory.charge(SLOT_BYTES + bytes)
    }
}
