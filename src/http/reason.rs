//! The reasons of errors, and the one place of their remedies: responses, log, start page and `docs/operating.md` have
//! the same.

use crate::storage::write::route::SeriesError;
use crate::timestream::ErrorKind;

/// The reason of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Timestream returned an error.
    Timestream(ErrorKind),
    /// Series of a write cannot be stored.
    Series(SeriesError),
    /// Dead letters could not be stored.
    DeadLetter,
    /// `fail_on_long_label` rejected the request.
    LongLabelName,
    /// `fail_on_invalid_sample_value` rejected the request.
    InvalidSampleValue,
    /// The request has no valid credential.
    Unauthenticated,
    /// The credential does not open the route.
    NoAccess,
    /// Too many passwords wait to be checked.
    AuthenticationBusy,
    /// A page of another origin sent the request.
    ForeignOrigin,
    /// A request to a loopback listener has another host name.
    ForeignHost,
    /// A request to a loopback listener came through a proxy.
    Forwarded,
    /// Neither the path nor a header names a protocol.
    MissingHeader,
    /// Nothing is at the path.
    NotFound,
    /// The path does not accept the method.
    Method,
    /// The configuration of a function cannot be used.
    Misconfiguration,
    /// The content headers name a form that is not supported.
    UnsupportedMedia,
    /// The body cannot be decoded.
    InvalidBody,
    /// The body broke off.
    IncompleteBody,
    /// The body did not arrive in time.
    SlowBody,
    /// The body is larger than the limit.
    BodyTooLarge,
    /// A write has more of one thing than a request may.
    RequestTooLarge,
    /// A read has more of one thing than it may, or its result has.
    ReadLimit,
    /// Requests in flight occupy all memory.
    MemoryBusy,
    /// The request needs more memory than one may occupy.
    MemoryLimit,
    /// The system has no memory.
    NoMemory,
    /// No processor was free before the deadline.
    NoProcessor,
    /// A matcher has a type that does not exist.
    UnknownMatcher,
    /// A regular expression is not valid.
    InvalidRegex,
    /// A query names no database.
    MissingDatabaseInQuery,
    /// A query names no table.
    MissingTableInQuery,
    /// A query matches a label of the destination in a way that names no destinations.
    OpenDestination,
    /// The SQL of a query would be too long.
    QueryTooLong,
    /// The result exceeds the limit of its way to the client.
    ResultTooLarge,
    /// The client accepts no known type of response.
    NoResponseType,
    /// An expression or a parameter of the query API is wrong.
    InvalidQuery,
    /// The evaluation of an expression failed.
    QueryFailed,
    /// The time of a query was over.
    QueryTimeout,
    /// The client left before the response.
    ClientLeft,
    /// The handler panicked.
    Panicked,
}

impl Reason {
    /// The reasons but those of [`ErrorKind`] and [`SeriesError`].
    const OTHERS: [Self; 37] = [
        Self::DeadLetter,
        Self::LongLabelName,
        Self::InvalidSampleValue,
        Self::Unauthenticated,
        Self::NoAccess,
        Self::AuthenticationBusy,
        Self::ForeignOrigin,
        Self::ForeignHost,
        Self::Forwarded,
        Self::MissingHeader,
        Self::NotFound,
        Self::Method,
        Self::Misconfiguration,
        Self::UnsupportedMedia,
        Self::InvalidBody,
        Self::IncompleteBody,
        Self::SlowBody,
        Self::BodyTooLarge,
        Self::RequestTooLarge,
        Self::ReadLimit,
        Self::MemoryBusy,
        Self::MemoryLimit,
        Self::NoMemory,
        Self::NoProcessor,
        Self::UnknownMatcher,
        Self::InvalidRegex,
        Self::MissingDatabaseInQuery,
        Self::MissingTableInQuery,
        Self::OpenDestination,
        Self::QueryTooLong,
        Self::ResultTooLarge,
        Self::NoResponseType,
        Self::InvalidQuery,
        Self::QueryFailed,
        Self::QueryTimeout,
        Self::ClientLeft,
        Self::Panicked,
    ];

    /// Returns all reasons.
    pub fn all() -> impl Iterator<Item = Self> {
        let timestream = ErrorKind::ALL.into_iter().map(Self::Timestream);
        let series = SeriesError::ALL.into_iter().map(Self::Series);
        timestream.chain(series).chain(Self::OTHERS)
    }

    /// Returns the name: the word with which texts of the error begin, if they begin with one.
    pub fn name(self) -> &'static str {
        match self {
            Self::Timestream(kind) => kind.as_str(),
            Self::Series(error) => error.name(),
            Self::DeadLetter => "DeadLetterError",
            Self::LongLabelName => "LongLabelNameError",
            Self::InvalidSampleValue => "InvalidSampleValueError",
            Self::Unauthenticated => "AuthenticationError",
            Self::NoAccess => "AccessError",
            Self::AuthenticationBusy => "AuthenticationBusyError",
            Self::ForeignOrigin => "ForeignOriginError",
            Self::ForeignHost => "ForeignHostError",
            Self::Forwarded => "ForwardedError",
            Self::MissingHeader => "MissingHeaderError",
            Self::NotFound => "NoSuchPath",
            Self::Method => "MethodNotAllowed",
            Self::Misconfiguration => "Misconfiguration",
            Self::UnsupportedMedia => "UnsupportedMedia",
            Self::InvalidBody => "InvalidBody",
            Self::IncompleteBody => "IncompleteBody",
            Self::SlowBody => "SlowBody",
            Self::BodyTooLarge => "BodyTooLarge",
            Self::RequestTooLarge => "RequestTooLarge",
            Self::ReadLimit => "ReadLimitError",
            Self::MemoryBusy => "MemoryBusy",
            Self::MemoryLimit => "MemoryLimit",
            Self::NoMemory => "NoMemory",
            Self::NoProcessor => "NoProcessor",
            Self::UnknownMatcher => "UnknownMatcherError",
            Self::InvalidRegex => "InvalidRegex",
            Self::MissingDatabaseInQuery => "MissingDatabaseWithQueryError",
            Self::MissingTableInQuery => "MissingTableWithQueryError",
            Self::OpenDestination => "OpenDestination",
            Self::QueryTooLong => "QueryTooLong",
            Self::ResultTooLarge => "ResultTooLarge",
            Self::NoResponseType => "NoResponseType",
            Self::InvalidQuery => "InvalidQuery",
            Self::QueryFailed => "QueryFailed",
            Self::QueryTimeout => "QueryTimeout",
            Self::ClientLeft => "ClientLeft",
            Self::Panicked => "Panic",
        }
    }

    /// Returns the remedy, without a mark at its end.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::Timestream(kind) => of_timestream(kind),
            Self::Series(error) => error.remedy(),
            Self::DeadLetter => "fix the target set by dead_letter; send again",
            Self::LongLabelName => {
                "shorten names or drop labels by relabelling, or unset fail_on_long_label"
            }
            Self::InvalidSampleValue => {
                "drop the series by relabelling, set store_special_values, or unset fail_on_invalid_sample_value"
            }
            Self::Unauthenticated => {
                "set basic_auth or authorization in both remote_write and remote_read"
            }
            Self::NoAccess => "use the token that the text names",
            Self::AuthenticationBusy => {
                "send again, or use a bearer token, which is checked at once"
            }
            Self::ForeignOrigin => {
                "send the request from a page of this host, or from another program than a browser, or admit the \
                 origin to the query API by web_cors_origin"
            }
            Self::ForeignHost => "use localhost or a loopback address, or configure a credential",
            Self::Forwarded => {
                "configure a credential, or have the proxy remove its headers once it authenticates clients"
            }
            Self::MissingHeader | Self::NotFound => "correct the URL",
            Self::Method => "use the method that the text names",
            Self::Misconfiguration => "set the environment variables of the function",
            Self::UnsupportedMedia => "correct the content headers of the sender",
            Self::InvalidBody => "correct the sender, or a proxy that changes requests",
            Self::IncompleteBody => "send again",
            Self::SlowBody => {
                "send again, in smaller batches or with a longer request_timeout (read_timeout for reads)"
            }
            Self::BodyTooLarge => {
                "send smaller batches (max_samples_per_send) or raise max_request_bytes"
            }
            Self::RequestTooLarge => "send smaller batches (max_samples_per_send)",
            Self::ReadLimit => {
                "query a shorter range or fewer series (more label matchers), or raise the limit"
            }
            Self::MemoryBusy => "send again, or raise max_in_flight_bytes",
            Self::MemoryLimit => "send or query less at a time, or raise max_in_flight_bytes",
            Self::NoMemory => {
                "send again, or lower max_in_flight_bytes or give the connector more memory"
            }
            Self::NoProcessor => {
                "send again, or give the connector more processors (a function: more memory)"
            }
            Self::UnknownMatcher => "correct the client",
            Self::InvalidRegex => "correct the query",
            Self::MissingDatabaseInQuery => {
                "add a matcher on the label of the database, or set default_database"
            }
            Self::MissingTableInQuery => {
                "add a matcher on the label of the table, or set default_table"
            }
            Self::OpenDestination => "name the tables by = or by =~ over plain alternatives",
            Self::QueryTooLong => "shorten the matchers or split the query",
            Self::ResultTooLarge => {
                "query a shorter range or fewer series (more label matchers), or run the connector as a server, which \
                 has no such limit"
            }
            Self::NoResponseType => "use a client that accepts SAMPLES or STREAMED_XOR_CHUNKS",
            Self::InvalidQuery => "correct the expression or the parameter",
            Self::QueryFailed => "change the expression as the text says",
            Self::QueryTimeout => {
                "query a shorter range, a longer step or fewer series, or raise query_timeout and the timeout of the \
                 request"
            }
            Self::ClientLeft => {
                "raise the timeout of the sender (remote_timeout) above request_timeout"
            }
            Self::Panicked => {
                "report it with the lines of the log: it is an error of the connector"
            }
        }
    }
}

fn of_timestream(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Throttled => "Timestream scales with the load; send again",
        ErrorKind::InternalServer => "send again",
        ErrorKind::Timeout => "send again, or raise request_timeout (read_timeout for reads)",
        ErrorKind::Unavailable | ErrorKind::InvalidEndpoint => {
            "check region, endpoint and network of the connector; send again"
        }
        ErrorKind::UnexpectedResponse => {
            "check that the endpoint is Timestream's and that no proxy changes its responses; send again"
        }
        ErrorKind::Credentials => {
            "check the AWS credentials and the clock of the connector; send again"
        }
        ErrorKind::Validation | ErrorKind::RowTooLarge | ErrorKind::QueryExecution => {
            "change the request"
        }
        ErrorKind::QuotaExceeded => "raise the quota of the AWS account",
        ErrorKind::AccessDenied => {
            "allow the connector this action and timestream:DescribeEndpoints"
        }
        ErrorKind::NotFound | ErrorKind::NotFoundByQuery => {
            "create the database and table, or correct the labels or options that name them"
        }
        ErrorKind::Conflict => "wait until the change of the table is done",
        ErrorKind::Rejected => {
            "send each series from one place, with times within the retention of its table"
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Returns the cells of the rows of all tables below the heading of errors.
    fn documented() -> Vec<Vec<String>> {
        let page = include_str!("../../docs/operating.md");
        let (_, errors) = page.split_once("\n## Troubleshooting\n").unwrap();
        let (errors, _) = errors.split_once("\n## ").unwrap_or((errors, ""));
        let rows = errors.lines().filter(|line| line.starts_with("| "));
        let cells = |row: &str| {
            let row = row.replace("\\|", "\u{1}");
            let cells = row.trim_matches('|').split('|');
            cells
                .map(|cell| cell.replace('\u{1}', "|").trim().to_owned())
                .collect()
        };
        rows.map(cells).collect()
    }

    /// Returns the text of a cell, without marks of Markdown.
    fn plain(cell: &str) -> String {
        let mut text = String::new();
        let mut rest = cell;
        while let Some((before, link)) = rest.split_once('[') {
            let (label, after) = link.split_once("](").unwrap();
            let (_, after) = after.split_once(')').unwrap();
            text += before;
            text += label;
            rest = after;
        }
        (text + rest).replace('`', "")
    }

    #[test]
    fn remedies_are_those_of_the_documentation() {
        let rows = documented();
        let mut missing = BTreeSet::new();
        for reason in Reason::all() {
            let names = ["`", ":"].map(|end| format!("`{}{end}", reason.name()));
            let is_named = |row: &&Vec<String>| names.iter().any(|name| row[0].contains(name));
            let of_reason: Vec<_> = rows.iter().filter(is_named).collect();
            let has_remedy =
                |row: &&&Vec<String>| plain(row.last().unwrap()).starts_with(reason.remedy());
            // An exception may have one remedy for each of its kinds.
            let is_documented = match reason {
                Reason::Timestream(_) => of_reason.iter().any(|row| has_remedy(&row)),
                _ => !of_reason.is_empty() && of_reason.iter().all(|row| has_remedy(&row)),
            };
            if !is_documented {
                missing.insert(format!(
                    "| `{}` | ... | {} |",
                    reason.name(),
                    reason.remedy()
                ));
            }
        }
        let missing: Vec<_> = missing.into_iter().collect();
        assert!(
            missing.is_empty(),
            "docs/operating.md lacks these reasons, or their last cells begin otherwise:\n{}",
            missing.join("\n")
        );
    }
}
