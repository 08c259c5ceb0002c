//! The service's reasons for rejected records, as a small set.

/// A record that the service did not store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Position in the batch, from 0.
    pub index: usize,
    /// The reason, by its remedy.
    pub reason: RejectReason,
    /// The reason in the service's words.
    pub message: String,
    /// The version that is stored, where a version was the reason.
    pub existing_version: Option<i64>,
}

/// The reason why a record was rejected, by its remedy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RejectReason {
    /// Another value is stored at the same time: two senders write the same series.
    DuplicateVersion,
    /// A value of a higher version is stored.
    LowerVersion,
    /// The time is outside the memory store, and the table takes no magnetic writes.
    OutsideMemoryWindow,
    /// The time is older than the magnetic store keeps, or too far ahead.
    OutsideIngestionWindow,
    /// The measure or attribute is stored with another type.
    TypeConflict,
    /// A limit of the record or of the table.
    Limit,
    /// Words that are not documented.
    Other,
}

impl RejectReason {
    /// All reasons.
    pub const ALL: [Self; 7] = [
        Self::DuplicateVersion,
        Self::LowerVersion,
        Self::OutsideMemoryWindow,
        Self::OutsideIngestionWindow,
        Self::TypeConflict,
        Self::Limit,
        Self::Other,
    ];

    /// The reason behind the service's words. They are no part of its API, so this looks for as
    /// few of them as tell the reasons apart.
    pub(super) fn of(words: &str) -> Self {
        // Without what stands in quotes: names from the data may hold any of these words.
        let words: String = words.split('\'').step_by(2).collect();
        let words = words.to_ascii_lowercase();
        let any = |parts: &[&str]| parts.iter().any(|part| words.contains(part));
        if any(&["record already exists"]) {
            Self::DuplicateVersion
        } else if any(&["lower than the existing version"]) {
            Self::LowerVersion
        } else if any(&["memory store"]) {
            Self::OutsideMemoryWindow
        } else if any(&["time range", "ingestion window"]) {
            Self::OutsideIngestionWindow
        } else if any(&[" type"]) {
            Self::TypeConflict
        } else if any(&[
            "exceed", "limit", "maximum", "at most", "too long", "too many",
        ]) {
            Self::Limit
        } else {
            Self::Other
        }
    }

    /// Returns true if another value is stored at the same time.
    pub fn is_about_versions(self) -> bool {
        matches!(self, Self::DuplicateVersion | Self::LowerVersion)
    }

    /// The value of the label `reason` of `timestream_connector_rejected_samples_total`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DuplicateVersion => "duplicate_version",
            Self::LowerVersion => "lower_version",
            Self::OutsideMemoryWindow => "outside_memory_window",
            Self::OutsideIngestionWindow => "outside_ingestion_window",
            Self::TypeConflict => "type_conflict",
            Self::Limit => "limit",
            Self::Other => "other",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_the_service() {
        // The first four are the service's; its words for the others are not published.
        let cases = [
            (
                "A record already exists with the same time, dimensions, measure name, and record \
                 version. A higher record version must be specified in order to update the measure \
                 value. Specifying record version is supported by the latest SDKs.",
                RejectReason::DuplicateVersion,
            ),
            (
                "The record version 2 is lower than the existing version 200. A higher version is \
                 required to update the measure value.",
                RejectReason::LowerVersion,
            ),
            (
                "The record timestamp is outside the time range [2021-11-12T14:18:13.354Z, \
                 2021-11-12T16:58:13.354Z) of the memory store.",
                RejectReason::OutsideMemoryWindow,
            ),
            (
                "The record timestamp is outside the time range of the data ingestion window.",
                RejectReason::OutsideIngestionWindow,
            ),
            (
                "The measure 'rate_limit' already exists with type BIGINT; a record of type DOUBLE \
                 cannot be stored.",
                RejectReason::TypeConflict,
            ),
            (
                "The measure name is too long: 300 bytes.",
                RejectReason::Limit,
            ),
            (
                "The number of dimensions exceeds the limit.",
                RejectReason::Limit,
            ),
            ("Something new.", RejectReason::Other),
            ("", RejectReason::Other),
        ];
        for (words, expected) in cases {
            assert_eq!(RejectReason::of(words), expected, "{words}");
        }
    }
}
