//! The limits of one request: the number of each thing and the memory that these occupy, so that a small body cannot
//! become a large structure.
//!
//! Each thing is counted and its memory reserved before it is created. The charges cover the use of a receiver that
//! converts the request to records of its own and sends those on: the decoded form, the records and the calls. A test
//! of the connector (`tests/memory`) holds them above the measured use.

use crate::budget::{Meter, Reservation};
use crate::protobuf::MessageError;

/// Time series, histograms' buckets and so on of one write request. Prometheus sends 2,000 items in
/// a request by default, and 100,000 where `max_samples_per_send` is raised to what its largest
/// queues hold.
const MAX_SERIES: usize = 100_000;
const MAX_LABELS: usize = 1_000_000;
const MAX_ITEMS: usize = 1_000_000;
const MAX_BUCKETS: usize = 2_000_000;
const MAX_METADATA: usize = 100_000;
const MAX_SYMBOLS: usize = 1_000_000;

/// Queries of one read request. Prometheus sends one, Thanos and Mimir a few.
const MAX_QUERIES: usize = 100;
/// Matchers of one query.
const MAX_MATCHERS: usize = 200;
/// Labels that the hints of all queries name as the grouping of an aggregation.
const MAX_GROUPING_LABELS: usize = 10_000;
/// Response types that a client accepts; there are two.
const MAX_RESPONSE_TYPES: usize = 100;

const SERIES_BYTES: usize = 120;
/// For each occurrence of a label in a series.
const LABEL_BYTES: usize = 24;
/// For the first occurrence of a label, with a copy or two of its strings.
const NEW_LABEL_BYTES: usize = 500;
const SAMPLE_BYTES: usize = 260;
const HISTOGRAM_BYTES: usize = 700;
const BUCKET_BYTES: usize = 32;
const EXEMPLAR_BYTES: usize = 640;
const EXEMPLAR_LABEL_BYTES: usize = 128;
const METADATA_BYTES: usize = 1_000;
const SYMBOL_BYTES: usize = 48;
/// For a symbol that is not UTF-8, which is an entry of a map.
const BROKEN_SYMBOL_BYTES: usize = 96;
/// For the reason that makes a series unreadable.
const UNREADABLE_SERIES_BYTES: usize = 176;
/// For each byte of a label that is not UTF-8, in the string that a dead letter has in its place.
const BROKEN_BYTES: usize = 15;
/// A query with the state of its statements while they run.
const QUERY_BYTES: usize = 16 << 10;
const MATCHER_BYTES: usize = 512;
const GROUPING_LABEL_BYTES: usize = 128;
const RESPONSE_TYPE_BYTES: usize = 16;
/// Copies of a string of a query: in the message, in a key by which queries are shared and in the matcher; and in a
/// statement, with its quotes doubled.
const TEXT_COPIES: usize = 6;

/// The limits of one request while it is decoded.
#[derive(Debug)]
pub struct DecodeLimits<'m> {
    memory: Meter<'m>,
    series: Quota,
    labels: Quota,
    items: Quota,
    buckets: Quota,
    metadata: Quota,
    symbols: Quota,
    queries: Quota,
    grouping_labels: Quota,
    response_types: Quota,
}

/// The number of one thing that a request may still have.
#[derive(Debug)]
struct Quota {
    what: &'static str,
    limit: usize,
    left: usize,
}

impl Quota {
    const fn of(what: &'static str, limit: usize) -> Self {
        Self {
            what,
            limit,
            left: limit,
        }
    }

    #[inline]
    fn consume(&mut self) -> Result<(), MessageError> {
        self.consume_many(1)
    }

    #[inline]
    fn consume_many(&mut self, count: usize) -> Result<(), MessageError> {
        match self.left.checked_sub(count) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(MessageError::TooMany {
                what: self.what,
                limit: self.limit,
            }),
        }
    }
}

impl<'m> DecodeLimits<'m> {
    /// Returns the limits of a request before it is decoded; its memory is added to `reservation`.
    pub fn new(reservation: &'m mut Reservation) -> Self {
        Self {
            memory: Meter::new(reservation),
            series: Quota::of("time series", MAX_SERIES),
            labels: Quota::of("labels", MAX_LABELS),
            items: Quota::of("samples, histograms and exemplars", MAX_ITEMS),
            buckets: Quota::of("buckets of histograms", MAX_BUCKETS),
            metadata: Quota::of("metadata entries", MAX_METADATA),
            symbols: Quota::of("symbols", MAX_SYMBOLS),
            queries: Quota::of("queries", MAX_QUERIES),
            grouping_labels: Quota::of("grouping labels", MAX_GROUPING_LABELS),
            response_types: Quota::of("accepted response types", MAX_RESPONSE_TYPES),
        }
    }

    /// Reserves `bytes` more.
    #[inline]
    fn charge(&mut self, bytes: usize) -> Result<(), MessageError> {
        Ok(self.memory.charge(bytes)?)
    }

    /// Charges a series.
    ///
    /// # Errors
    /// The request has too many of them, or there is no memory.
    pub fn series(&mut self) -> Result<(), MessageError> {
        self.series.consume()?;
        self.charge(SERIES_BYTES)
    }

    /// Charges an occurrence of a label in a series.
    ///
    /// # Errors
    /// The request has too many of them, or there is no memory.
    #[inline]
    pub fn label(&mut self) -> Result<(), MessageError> {
        self.labels(1)
    }

    /// Charges so many occurrences of labels in a series.
    ///
    /// # Errors
    /// The request has too many of them, or there is no memory.
    #[inline]
    pub fn labels(&mut self, count: usize) -> Result<(), MessageError> {
        self.labels.consume_many(count)?;
        self.charge(LABEL_BYTES * count)
    }

    /// Charges a label that is new in the request.
    ///
    /// # Errors
    /// The request has too many of them, or there is no memory.
    pub fn new_label(&mut self, name: &str, value: &str) -> Result<(), MessageError> {
        self.charge(NEW_LABEL_BYTES + escaped_bytes(name) + escaped_bytes(value))
    }

    /// Charges a label that is new in the request and not UTF-8. A dead letter may have it, with three bytes for each
    /// of them.
    pub(super) fn broken_label(&mut self, name: &[u8], value: &[u8]) -> Result<(), MessageError> {
        let bytes = name.len() + value.len();
        self.charge(NEW_LABEL_BYTES + BROKEN_BYTES * bytes)
    }

    /// Charges a sample of a series.
    ///
    /// # Errors
    /// The request has too many of them, or there is no memory.
    #[inline]
    pub fn sample(&mut self) -> Result<(), MessageError> {
        self.items.consume()?;
        self.charge(SAMPLE_BYTES)
    }

    /// Charges a native histogram of a series, without its buckets.
    ///
    /// # Errors
    /// The request has too many of them, or there is no memory.
    pub fn histogram(&mut self) -> Result<(), MessageError> {
        self.items.consume()?;
        self.charge(HISTOGRAM_BYTES)
    }

    /// Charges a bucket, or a boundary of one, of a native histogram.
    ///
    /// # Errors
    /// The request has too many of them, or there is no memory.
    #[inline]
    pub fn bucket(&mut self) -> Result<(), MessageError> {
        self.buckets.consume()?;
        self.charge(BUCKET_BYTES)
    }

    /// Charges an exemplar of a series, without its labels.
    ///
    /// # Errors
    /// The request has too many of them, or there is no memory.
    pub fn exemplar(&mut self) -> Result<(), MessageError> {
        self.items.consume()?;
        self.charge(EXEMPLAR_BYTES)
    }

    /// Charges a label of an exemplar, in addition to [`Self::label`].
    ///
    /// # Errors
    /// The request has too many of them, or there is no memory.
    pub fn exemplar_label(&mut self, name: &str, value: &str) -> Result<(), MessageError> {
        self.charge(EXEMPLAR_LABEL_BYTES + escaped_bytes(name) + escaped_bytes(value))
    }

    /// Charges an entry of metadata with strings of `text_bytes` bytes.
    ///
    /// # Errors
    /// The request has too many of them, or there is no memory.
    pub fn metadata(&mut self, text_bytes: usize) -> Result<(), MessageError> {
        self.metadata.consume()?;
        self.charge(METADATA_BYTES + TEXT_COPIES * text_bytes)
    }

    pub(super) fn symbol(&mut self) -> Result<(), MessageError> {
        self.symbols.consume()?;
        self.charge(SYMBOL_BYTES)
    }

    /// Charges a symbol that is not UTF-8, in addition to [`Self::symbol`].
    pub(super) fn broken_symbol(&mut self) -> Result<(), MessageError> {
        self.charge(BROKEN_SYMBOL_BYTES)
    }

    /// Charges a series that cannot be read, in addition to [`Self::series`].
    pub(super) fn unreadable_series(&mut self) -> Result<(), MessageError> {
        self.charge(UNREADABLE_SERIES_BYTES)
    }

    pub(super) fn query(&mut self) -> Result<(), MessageError> {
        self.queries.consume()?;
        self.charge(QUERY_BYTES)
    }

    /// Charges a matcher, the `matchers`th of its query, with strings of `text_bytes` bytes.
    pub(super) fn matcher(
        &mut self,
        matchers: usize,
        text_bytes: usize,
    ) -> Result<(), MessageError> {
        if matchers > MAX_MATCHERS {
            return Err(MessageError::TooMany {
                what: "matchers in a query",
                limit: MAX_MATCHERS,
            });
        }
        self.charge(MATCHER_BYTES + TEXT_COPIES * text_bytes)
    }

    pub(super) fn grouping_label(&mut self, text_bytes: usize) -> Result<(), MessageError> {
        self.grouping_labels.consume()?;
        self.charge(GROUPING_LABEL_BYTES + text_bytes)
    }

    /// Charges strings of `bytes` bytes that are copied, or processed, once.
    ///
    /// # Errors
    /// The request has too many of them, or there is no memory.
    #[inline]
    pub fn text(&mut self, bytes: usize) -> Result<(), MessageError> {
        self.charge(bytes)
    }

    pub(super) fn response_type(&mut self) -> Result<(), MessageError> {
        self.response_types.consume()?;
        self.charge(RESPONSE_TYPE_BYTES)
    }
}

/// Returns the most bytes that an escaped and a JSON form of a string occupy while they are created: lists of them
/// grow by doubling, and a control character has six bytes in JSON.
fn escaped_bytes(text: &str) -> usize {
    let escaped = text
        .bytes()
        .filter(|byte| matches!(byte, 0..0x20 | b'"' | b'\\'));
    3 * text.len() + 15 * escaped.count()
}
