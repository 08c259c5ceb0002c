//! The blocks of time in which samples are cached, and the times at which samples may be cut.

use super::Span;
use crate::storage::read::windows::{Wanted, Windows};

const HOUR_MS: i64 = 3_600_000;

/// Windows in a block at least, so that thinned samples are not cached one by one.
const MIN_WINDOWS: i64 = 60;

/// Blocks of one width that follow one another: an hour, or more if that has few windows. A window never reaches
/// into two blocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grid {
    /// The last time of some block.
    end_ms: i64,
    width_ms: i64,
    /// The windows of which only the newest sample is there.
    thinned: Option<Windows>,
}

impl Grid {
    /// Returns the grid of what is wanted; `None` if that is not cached.
    pub(super) fn of(wanted: Wanted) -> Option<Self> {
        match wanted {
            Wanted::Labels => None,
            Wanted::All => Some(Self {
                end_ms: 0,
                width_ms: HOUR_MS,
                thinned: None,
            }),
            Wanted::Windows(windows) => {
                let step_ms = windows.step_ms();
                let steps_of_hour = HOUR_MS / step_ms + i64::from(HOUR_MS % step_ms > 0);
                Some(Self {
                    end_ms: windows.end_from(0)?,
                    width_ms: step_ms.checked_mul(steps_of_hour.max(MIN_WINDOWS))?,
                    thinned: windows.newest().then_some(windows),
                })
            }
        }
    }

    /// Returns the last time of the block that a time is in.
    pub(super) fn block_end(&self, time_ms: i64) -> i64 {
        let late_ms = time_ms
            .saturating_sub(self.end_ms)
            .rem_euclid(self.width_ms);
        match late_ms {
            0 => time_ms,
            _ => time_ms.saturating_add(self.width_ms - late_ms),
        }
    }

    /// Returns the last time of the block before the one that ends then.
    pub(super) fn previous_end(&self, end_ms: i64) -> i64 {
        end_ms.saturating_sub(self.width_ms)
    }

    /// Returns the times of the block that ends then.
    pub(super) fn block(&self, end_ms: i64) -> Span {
        Span::new(self.previous_end(end_ms).saturating_add(1), end_ms)
    }

    /// Returns how many blocks before the one that ends then the block of a time is.
    pub(super) fn blocks_before(&self, end_ms: i64, time_ms: i64) -> i64 {
        end_ms.saturating_sub(self.block_end(time_ms)) / self.width_ms
    }

    /// Returns the number of blocks that have times in a span.
    pub(super) fn blocks_in(&self, span: Span) -> u64 {
        let others = self.blocks_before(self.block_end(span.last_ms), span.first_ms);
        u64::try_from(others).unwrap_or(0) + 1
    }

    /// Returns the last time, up to `time_ms`, up to which samples are complete if those behind it are taken away.
    ///
    /// The newest sample of a window may be behind it; then the window has none any more, although it had others. So
    /// the samples of thinned windows are taken away together.
    pub(super) fn cut(&self, time_ms: i64) -> i64 {
        let Some(windows) = self.thinned else {
            return time_ms;
        };
        match windows.end_from(time_ms) {
            Some(end_ms) if end_ms == time_ms || end_ms - time_ms >= windows.length_ms() => time_ms,
            Some(end_ms) => end_ms - windows.length_ms(),
            // Up to the end before, which there is.
            None => time_ms.saturating_sub(windows.length_ms()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_window_is_in_one_block_and_never_cut(
            first in 0_i64..100_000, step in 1_i64..200_000, length in 1_i64..200_000, time in 0_i64..100_000_000,
        ) {
            let windows = Windows::new(first, step, length, true);
            let grid = Grid::of(Wanted::Windows(windows)).unwrap();
            let block = grid.block(grid.block_end(time));
            prop_assert!(block.first_ms <= time && time <= block.last_ms);
            prop_assert!(block.last_ms - block.first_ms + 1 >= HOUR_MS.max(60 * step));
            prop_assert_eq!(grid.block_end(block.first_ms), block.last_ms);
            prop_assert_eq!(grid.block_end(block.first_ms - 1), block.first_ms - 1);
            prop_assert_eq!(grid.blocks_in(block), 1);
            prop_assert_eq!(grid.blocks_in(Span::new(block.first_ms - 1, block.last_ms + 1)), 3);
            // No window has times on both sides.
            for cut in [block.last_ms, grid.cut(time)] {
                prop_assert!(cut == block.last_ms || cut <= time && time - cut < windows.length_ms());
                let is_between = windows.contains(cut)
                    && windows.contains(cut + 1)
                    && windows.end_from(cut) == windows.end_from(cut + 1);
                prop_assert!(!is_between);
            }
        }
    }

    #[test]
    fn blocks_are_hours_or_wider_and_some_things_are_in_none() {
        let width = |wanted| Grid::of(wanted).map(|grid| grid.width_ms);
        let windows = |step| Wanted::Windows(Windows::new(0, step, 1, false));
        assert_eq!(width(Wanted::All), Some(HOUR_MS));
        assert_eq!(width(windows(60_000)), Some(HOUR_MS));
        assert_eq!(width(windows(7_000)), Some(515 * 7_000));
        assert_eq!(width(windows(HOUR_MS)), Some(60 * HOUR_MS));
        assert_eq!(width(Wanted::Labels), None);
        assert_eq!(width(windows(i64::MAX / 2)), None);
    }
}
