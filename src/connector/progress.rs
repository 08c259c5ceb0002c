//! What is known of a query while it runs.

use std::sync::{Mutex, MutexGuard};

use super::statements::StatementCounts;
use crate::convert::rows::Size;

/// Told by the query, asked by those who wait for it.
#[derive(Debug, Default)]
pub(super) struct Progress(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    counts: StatementCounts,
    size: Size,
    may_have_histograms: bool,
    is_planned: bool,
}

impl Progress {
    /// Adds to what the query took.
    pub(super) fn count(&self, add: impl FnOnce(&mut StatementCounts)) {
        add(&mut self.lock().counts);
    }

    /// What the query took, as far as nobody was told yet: of several who wait for it, one counts
    /// it.
    pub(super) fn take_counts(&self) -> StatementCounts {
        std::mem::take(&mut self.lock().counts)
    }

    /// Adds to what the query holds.
    pub(super) fn grow(&self, added: Size) {
        self.lock().size += added;
    }

    /// What the query holds.
    pub(super) fn size(&self) -> Size {
        self.lock().size
    }

    /// Goes back to what the query held before: it starts a part again.
    pub(super) fn set_size(&self, size: Size) {
        self.lock().size = size;
    }

    /// Says whether the statements for a table can find native histograms, and whether there are
    /// further tables.
    pub(super) fn plan(&self, may_have_histograms: bool, is_last: bool) {
        let mut state = self.lock();
        state.may_have_histograms |= may_have_histograms;
        state.is_planned |= is_last;
    }

    /// Whether no native histogram is going to be found, as far as the columns tell now.
    pub(super) fn excludes_histograms(&self) -> bool {
        let state = self.lock();
        state.is_planned && !state.may_have_histograms
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0
            .lock()
            .expect("nothing panics while it holds the lock")
    }
}
