//! Scalars at all steps.

/// A number at each step.
#[derive(Clone, Debug)]
pub(crate) enum Scalar {
    /// The same at all steps.
    Constant(f64),
    /// By the index of the step.
    PerStep(Vec<f64>),
}

impl Scalar {
    /// Returns the number at a step.
    pub(crate) fn at(&self, step: u32) -> f64 {
        match self {
            Self::Constant(value) => *value,
            Self::PerStep(values) => values[step as usize],
        }
    }

    /// Returns the scalar with each number changed.
    pub(crate) fn map(self, change: impl Fn(f64) -> f64) -> Self {
        match self {
            Self::Constant(value) => Self::Constant(change(value)),
            Self::PerStep(mut values) => {
                values.iter_mut().for_each(|value| *value = change(*value));
                Self::PerStep(values)
            }
        }
    }

    /// Returns the scalar of two combined.
    pub(crate) fn zip(self, other: Self, combine: impl Fn(f64, f64) -> f64) -> Self {
        match (self, other) {
            (left, Self::Constant(right)) => left.map(|left| combine(left, right)),
            (Self::Constant(left), right) => right.map(|right| combine(left, right)),
            (Self::PerStep(mut left), Self::PerStep(right)) => {
                for (left, right) in left.iter_mut().zip(right) {
                    *left = combine(*left, right);
                }
                Self::PerStep(left)
            }
        }
    }

    /// Returns the numbers at `count` steps; constants only once.
    pub(crate) fn distinct(&self) -> &[f64] {
        match self {
            Self::Constant(value) => std::slice::from_ref(value),
            Self::PerStep(values) => values,
        }
    }
}
