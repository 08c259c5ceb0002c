//! Sums that compensate for rounding, with the algorithm of Kahan and Neumaier.

/// A sum and what it lost to rounding.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Kahan {
    pub(crate) sum: f64,
    pub(crate) compensation: f64,
}

impl Kahan {
    #[inline]
    pub(crate) fn add(&mut self, value: f64) {
        let sum = self.sum + value;
        // Selections, because branches would be predicted badly.
        let lost = match self.sum.abs() >= value.abs() {
            true => (self.sum - sum) + value,
            false => (value - sum) + self.sum,
        };
        self.compensation = match sum.is_infinite() {
            true => 0.0,
            false => self.compensation + lost,
        };
        self.sum = sum;
    }

    pub(crate) fn total(self) -> f64 {
        self.sum + self.compensation
    }
}

/// Several sums that are made at the same time, because each addition has to wait for the one before it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kahans<const N: usize> {
    pub(crate) sums: [f64; N],
    pub(crate) compensations: [f64; N],
}

impl<const N: usize> Default for Kahans<N> {
    fn default() -> Self {
        Self {
            sums: [0.0; N],
            compensations: [0.0; N],
        }
    }
}

impl<const N: usize> Kahans<N> {
    /// Adds a value to each sum.
    #[inline]
    pub(crate) fn add(&mut self, values: [f64; N]) {
        for (lane, value) in values.into_iter().enumerate() {
            let mut one = self.get(lane);
            one.add(value);
            self.sums[lane] = one.sum;
            self.compensations[lane] = one.compensation;
        }
    }

    pub(crate) fn get(&self, lane: usize) -> Kahan {
        Kahan {
            sum: self.sums[lane],
            compensation: self.compensations[lane],
        }
    }
}
