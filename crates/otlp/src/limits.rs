//! The memory of a message while it is read. Each thing is charged before it is created, so that a small body cannot
//! become a large structure. Lists grow by doubling, so each element counts twice.

use prom_wire::budget::{BudgetExceeded, Meter, Reservation};

/// The least that a list allocates: room for four elements.
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

    /// Charges one more element of `list`.
    #[inline]
    pub(crate) fn element<T>(&mut self, list: &[T]) -> Result<(), BudgetExceeded> {
        let elements = match list.is_empty() {
            true => FIRST_ELEMENTS,
            false => 2,
        };
        self.memory.charge(elements * size_of::<T>())
    }

    /// Charges room for so many numbers.
    #[inline]
    pub(crate) fn numbers(&mut self, count: usize) -> Result<(), BudgetExceeded> {
        self.memory.charge(count * size_of::<u64>())
    }

    /// Charges a copy of so many bytes.
    pub(crate) fn text(&mut self, bytes: usize) -> Result<(), BudgetExceeded> {
        const SLOT_BYTES: usize = 2 * size_of::<usize>() + 24;
        self.memory.charge(SLOT_BYTES + bytes)
    }
}
