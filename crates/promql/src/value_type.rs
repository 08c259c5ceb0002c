//! The types of values.

use std::fmt;

/// The type of a value.
///
/// ```
/// use promql::ValueType;
///
/// assert_eq!(ValueType::Vector.to_string(), "vector");
/// assert_eq!(ValueType::Vector.documented_name(), "instant vector");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ValueType {
    /// An instant vector.
    Vector,
    /// A number.
    Scalar,
    /// A range vector.
    Matrix,
    /// A string.
    String,
}

impl ValueType {
    /// Returns the name that Prometheus' HTTP API uses.
    ///
    /// ```
    /// assert_eq!(promql::ValueType::Matrix.name(), "matrix");
    /// ```
    pub fn name(self) -> &'static str {
        match self {
            Self::Vector => "vector",
            Self::Scalar => "scalar",
            Self::Matrix => "matrix",
            Self::String => "string",
        }
    }

    /// Returns the name that Prometheus' documentation and errors use.
    ///
    /// ```
    /// assert_eq!(promql::ValueType::Matrix.documented_name(), "range vector");
    /// ```
    pub fn documented_name(self) -> &'static str {
        match self {
            Self::Vector => "instant vector",
            Self::Matrix => "range vector",
            Self::Scalar | Self::String => self.name(),
        }
    }
}

impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
