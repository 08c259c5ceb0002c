//! The fields and rows of a query's result, as Timestream returns them.

/// Times and values, each as the service's text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TimeSeries {
    /// All texts behind one another: each sample's time, and then its value.
    text: String,
    /// The ends of each time and each value in it.
    ends: Vec<(usize, usize)>,
}

impl TimeSeries {
    /// Appends a sample.
    pub fn push(&mut self, time: &str, value: &str) {
        self.text.push_str(time);
        let time_end = self.text.len();
        self.text.push_str(value);
        self.ends.push((time_end, self.text.len()));
    }

    /// The samples, as time and value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut start = 0;
        self.ends.iter().map(move |&(time_end, end)| {
            let sample = (&self.text[start..time_end], &self.text[time_end..end]);
            start = end;
            sample
        })
    }
}

impl<T: AsRef<str>, V: AsRef<str>> FromIterator<(T, V)> for TimeSeries {
    fn from_iter<I: IntoIterator<Item = (T, V)>>(samples: I) -> Self {
        let mut series = Self::default();
        for (time, value) in samples {
            series.push(time.as_ref(), value.as_ref());
        }
        series
    }
}

/// One field of a result row of a Timestream query.
#[derive(Clone, Debug, PartialEq)]
pub enum Datum {
    /// SQL NULL.
    Null,
    /// Any scalar, as the service's text.
    Scalar(String),
    /// A time series, without the samples that are NULL.
    TimeSeries(TimeSeries),
    /// An array of fields.
    Array(Vec<Datum>),
    /// A nested row.
    Row(Vec<Datum>),
}

impl Datum {
    /// The text of a scalar, `None` for everything else.
    pub fn as_scalar(&self) -> Option<&str> {
        match self {
            Self::Scalar(text) => Some(text),
            _ => None,
        }
    }
}

/// One result row of a Timestream query, its fields in the order of the select list.
pub type Row = Vec<Datum>;
