//! The functions of PromQL and their types.

use crate::value_type::ValueType;
use ValueType::{Matrix, Scalar, String, Vector};

/// A function of PromQL.
///
/// ```
/// use promql::{Function, ValueType, Variadic};
///
/// let round = Function::named("round").unwrap();
/// assert_eq!(round.arguments, [ValueType::Vector, ValueType::Scalar]);
/// assert_eq!(round.variadic, Variadic::UpTo(1));
/// assert!(!round.is_experimental);
/// ```
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Function {
    /// The name.
    pub name: &'static str,
    /// The types of the arguments. The last one holds for all further arguments too.
    pub arguments: &'static [ValueType],
    /// The number of arguments that may be absent or added at the end.
    pub variadic: Variadic,
    /// The type of the result.
    pub returns: ValueType,
    /// True if the function needs [`crate::ParserOptions::experimental_functions`].
    pub is_experimental: bool,
}

/// The number of arguments beyond all but the last declared one.
///
/// ```
/// use promql::{Function, Variadic};
///
/// assert_eq!(Function::named("label_join").unwrap().variadic, Variadic::Unlimited);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variadic {
    /// Exactly the declared arguments.
    No,
    /// The last declared argument occurs this often at most, or not at all.
    UpTo(usize),
    /// The last declared argument occurs as often as wanted, or not at all.
    Unlimited,
}

impl Function {
    /// Returns the function with this name.
    ///
    /// ```
    /// use promql::{Function, ValueType};
    ///
    /// let rate = Function::named("rate").unwrap();
    /// assert_eq!(rate.arguments, [ValueType::Matrix]);
    /// assert_eq!(rate.returns, ValueType::Vector);
    /// assert!(Function::named("rates").is_none());
    /// ```
    pub fn named(name: &str) -> Option<&'static Self> {
        let found = FUNCTIONS.binary_search_by(|function| function.name.cmp(name));
        found.ok().map(|index| &FUNCTIONS[index])
    }

    /// Returns all functions in the order of their names.
    ///
    /// ```
    /// use promql::Function;
    ///
    /// assert_eq!(Function::all().len(), 90);
    /// assert!(Function::all().is_sorted_by_key(|function| function.name));
    /// ```
    pub fn all() -> &'static [Self] {
        &FUNCTIONS
    }

    /// Returns the type of the argument at `index`; `None` if the function does not accept that many.
    pub(crate) fn argument(&self, index: usize) -> Option<ValueType> {
        match self.variadic {
            Variadic::No => self.arguments.get(index).copied(),
            _ => self.arguments.get(index).or(self.arguments.last()).copied(),
        }
    }
}

const fn function(
    name: &'static str,
    arguments: &'static [ValueType],
    variadic: Variadic,
    returns: ValueType,
    is_experimental: bool,
) -> Function {
    Function {
        name,
        arguments,
        variadic,
        returns,
        is_experimental,
    }
}

#[rustfmt::skip]
static FUNCTIONS: [Function; 90] = [
    function("abs", &[Vector], Variadic::No, Vector, false),
    function("absent", &[Vector], Variadic::No, Vector, false),
    function("absent_over_time", &[Matrix], Variadic::No, Vector, false),
    function("acos", &[Vector], Variadic::No, Vector, false),
    function("acosh", &[Vector], Variadic::No, Vector, false),
    function("asin", &[Vector], Variadic::No, Vector, false),
    function("asinh", &[Vector], Variadic::No, Vector, false),
    function("atan", &[Vector], Variadic::No, Vector, false),
    function("atanh", &[Vector], Variadic::No, Vector, false),
    function("avg_over_time", &[Matrix], Variadic::No, Vector, false),
    function("ceil", &[Vector], Variadic::No, Vector, false),
    function("changes", &[Matrix], Variadic::No, Vector, false),
    function("clamp", &[Vector, Scalar, Scalar], Variadic::No, Vector, false),
    function("clamp_max", &[Vector, Scalar], Variadic::No, Vector, false),
    function("clamp_min", &[Vector, Scalar], Variadic::No, Vector, false),
    function("cos", &[Vector], Variadic::No, Vector, false),
    function("cosh", &[Vector], Variadic::No, Vector, false),
    function("count_over_time", &[Matrix], Variadic::No, Vector, false),
    function("day_of_month", &[Vector], Variadic::UpTo(1), Vector, false),
    function("day_of_week", &[Vector], Variadic::UpTo(1), Vector, false),
    function("day_of_year", &[Vector], Variadic::UpTo(1), Vector, false),
    function("days_in_month", &[Vector], Variadic::UpTo(1), Vector, false),
    function("deg", &[Vector], Variadic::No, Vector, false),
    function("delta", &[Matrix], Variadic::No, Vector, false),
    function("deriv", &[Matrix], Variadic::No, Vector, false),
    function("double_exponential_smoothing", &[Matrix, Scalar, Scalar], Variadic::No, Vector, true),
    function("end", &[], Variadic::No, Scalar, true),
    function("exp", &[Vector], Variadic::No, Vector, false),
    function("first_over_time", &[Matrix], Variadic::No, Vector, false),
    function("floor", &[Vector], Variadic::No, Vector, false),
    function("histogram_avg", &[Vector], Variadic::No, Vector, false),
    function("histogram_count", &[Vector], Variadic::No, Vector, false),
    function("histogram_fraction", &[Scalar, Scalar, Vector], Variadic::No, Vector, false),
    function("histogram_quantile", &[Scalar, Vector], Variadic::No, Vector, false),
    function("histogram_quantiles", &[Vector, String, Scalar, Scalar], Variadic::UpTo(9), Vector, true),
    function("histogram_stddev", &[Vector], Variadic::No, Vector, false),
    function("histogram_stdvar", &[Vector], Variadic::No, Vector, false),
    function("histogram_sum", &[Vector], Variadic::No, Vector, false),
    function("hour", &[Vector], Variadic::UpTo(1), Vector, false),
    function("idelta", &[Matrix], Variadic::No, Vector, false),
    function("increase", &[Matrix], Variadic::No, Vector, false),
    function("info", &[Vector, Vector], Variadic::UpTo(1), Vector, true),
    function("irate", &[Matrix], Variadic::No, Vector, false),
    function("label_join", &[Vector, String, String, String], Variadic::Unlimited, Vector, false),
    function("label_replace", &[Vector, String, String, String, String], Variadic::No, Vector, false),
    function("last_over_time", &[Matrix], Variadic::No, Vector, false),
    function("ln", &[Vector], Variadic::No, Vector, false),
    function("log10", &[Vector], Variadic::No, Vector, false),
    function("log2", &[Vector], Variadic::No, Vector, false),
    function("mad_over_time", &[Matrix], Variadic::No, Vector, true),
    function("max_of", &[Scalar, Scalar], Variadic::No, Scalar, true),
    function("max_over_time", &[Matrix], Variadic::No, Vector, false),
    function("min_of", &[Scalar, Scalar], Variadic::No, Scalar, true),
    function("min_over_time", &[Matrix], Variadic::No, Vector, false),
    function("minute", &[Vector], Variadic::UpTo(1), Vector, false),
    function("month", &[Vector], Variadic::UpTo(1), Vector, false),
    function("pi", &[], Variadic::No, Scalar, false),
    function("predict_linear", &[Matrix, Scalar], Variadic::No, Vector, false),
    function("present_over_time", &[Matrix], Variadic::No, Vector, false),
    function("quantile_over_time", &[Scalar, Matrix], Variadic::No, Vector, false),
    function("rad", &[Vector], Variadic::No, Vector, false),
    function("range", &[], Variadic::No, Scalar, true),
    function("rate", &[Matrix], Variadic::No, Vector, false),
    function("resets", &[Matrix], Variadic::No, Vector, false),
    function("round", &[Vector, Scalar], Variadic::UpTo(1), Vector, false),
    function("scalar", &[Vector], Variadic::No, Scalar, false),
    function("sgn", &[Vector], Variadic::No, Vector, false),
    function("sin", &[Vector], Variadic::No, Vector, false),
    function("sinh", &[Vector], Variadic::No, Vector, false),
    function("sort", &[Vector], Variadic::No, Vector, false),
    function("sort_by_label", &[Vector, String], Variadic::Unlimited, Vector, true),
    function("sort_by_label_desc", &[Vector, String], Variadic::Unlimited, Vector, true),
    function("sort_desc", &[Vector], Variadic::No, Vector, false),
    function("sqrt", &[Vector], Variadic::No, Vector, false),
    function("start", &[], Variadic::No, Scalar, true),
    function("start_timestamp", &[Vector], Variadic::No, Vector, true),
    function("stddev_over_time", &[Matrix], Variadic::No, Vector, false),
    function("stdvar_over_time", &[Matrix], Variadic::No, Vector, false),
    function("step", &[], Variadic::No, Scalar, true),
    function("sum_over_time", &[Matrix], Variadic::No, Vector, false),
    function("tan", &[Vector], Variadic::No, Vector, false),
    function("tanh", &[Vector], Variadic::No, Vector, false),
    function("time", &[], Variadic::No, Scalar, false),
    function("timestamp", &[Vector], Variadic::No, Vector, false),
    function("ts_of_first_over_time", &[Matrix], Variadic::No, Vector, true),
    function("ts_of_last_over_time", &[Matrix], Variadic::No, Vector, true),
    function("ts_of_max_over_time", &[Matrix], Variadic::No, Vector, true),
    function("ts_of_min_over_time", &[Matrix], Variadic::No, Vector, true),
    function("vector", &[Scalar], Variadic::No, Vector, false),
    function("year", &[Vector], Variadic::UpTo(1), Vector, false),
];
