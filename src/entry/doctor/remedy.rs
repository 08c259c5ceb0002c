//! Remedies: permissions by action and resource, commands of the AWS command line, and what to do about errors.

use crate::storage::destination::Destination;
use crate::timestream::{ErrorKind, TimestreamError, host_of, is_account};

/// The regions of Timestream for LiveAnalytics
/// (<https://docs.aws.amazon.com/timestream/latest/developerguide/what-is-timestream.html>, read on 2026-11-29).
pub(super) const REGIONS: [&str; 9] = [
    "us-east-1",
    "us-east-2",
    "us-west-2",
    "eu-west-1",
    "eu-central-1",
    "ap-northeast-1",
    "ap-southeast-2",
    "ap-south-1",
    "us-gov-west-1",
];

/// The region and account of what a permission is about.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) region: String,
    /// `ACCOUNT` as long as it is not known.
    pub(super) account: String,
}

impl Place {
    /// Returns the ARN of a table.
    pub(super) fn table_arn(&self, destination: &Destination) -> String {
        let Self { region, account } = self;
        let partition = match region.starts_with("us-gov-") {
            true => "aws-us-gov",
            false => "aws",
        };
        let Destination { database, table } = destination;
        format!("arn:{partition}:timestream:{region}:{account}:database/{database}/table/{table}")
    }

    /// Returns the commands that create a table, and its database if that does not exist.
    pub(super) fn create_table(&self, destination: &Destination, error: &str) -> String {
        let Destination { database, table } = destination;
        let region = &self.region;
        let create_table = format!(
            "aws timestream-write create-table --database-name {database} --table-name {table} \
             --retention-properties MemoryStoreRetentionPeriodInHours=2,MagneticStoreRetentionPeriodInDays=365 \
             --magnetic-store-write-properties EnableMagneticStoreWrites=true --region {region}"
        );
        let create_database = format!(
            "aws timestream-write create-database --database-name {database} --region {region} && "
        );
        let create_database = match error.to_ascii_lowercase().contains("database") {
            true => create_database,
            false => String::new(),
        };
        format!("create it, or correct the options or the region: {create_database}{create_table}")
    }

    /// Returns the command that lets a table take samples older than its memory store.
    pub(super) fn enable_magnetic_writes(&self, destination: &Destination) -> String {
        let Destination { database, table } = destination;
        format!(
            "let the magnetic store take older ones: aws timestream-write update-table --database-name \
             {database} --table-name {table} --magnetic-store-write-properties \
             EnableMagneticStoreWrites=true --region {}",
            self.region
        )
    }
}

/// Returns the remedy for a missing permission.
pub(super) fn allow(action: &str, resource: &str) -> String {
    format!("allow {action} on {resource} in the IAM policy of these credentials")
}

/// Returns the remedy for an error of a call to the server at `url` that needs this permission.
pub(super) fn for_error(
    error: &TimestreamError,
    url: &str,
    action: &str,
    resource: &str,
) -> String {
    let host = host_of(url);
    match error.kind {
        ErrorKind::AccessDenied => allow(action, resource),
        ErrorKind::Credentials => {
            "renew or correct the access key, secret key and session token, and check the clock".to_owned()
        }
        ErrorKind::Unavailable | ErrorKind::Timeout => format!(
            "check that this machine resolves and reaches {host} (region, network, proxy, VPC endpoint), or \
             set write_base_endpoint and query_base_endpoint"
        ),
        ErrorKind::UnexpectedResponse => {
            format!("check that {host} is Timestream and that no proxy changes its responses")
        }
        ErrorKind::InvalidEndpoint => {
            "set endpoint_discovery=on, or remove the custom endpoint: the account is served elsewhere"
                .to_owned()
        }
        ErrorKind::Throttled | ErrorKind::InternalServer | ErrorKind::Conflict => {
            "run it again in a minute".to_owned()
        }
        ErrorKind::QuotaExceeded => "raise the quota of the AWS account".to_owned(),
        ErrorKind::NotFound | ErrorKind::NotFoundByQuery => {
            "create the database and the table, or correct the options that name them".to_owned()
        }
        ErrorKind::Rejected => "compare the partition key, the retention and the limits of the table with the reason (aws \
             timestream-write describe-table): samples are rejected, too"
            .to_owned(),
        ErrorKind::Validation
        | ErrorKind::RowTooLarge
        | ErrorKind::QueryExecution => "report this as a bug, with the text above".to_owned(),
    }
}

/// Returns the account in an ARN.
pub(super) fn account_of(arn: &str) -> Option<&str> {
    arn.split(':').nth(4).filter(|it| is_account(it))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn destination() -> Destination {
        Destination {
            database: "db".to_owned(),
            table: "t".to_owned(),
        }
    }

    fn place(region: &str) -> Place {
        Place {
            region: region.to_owned(),
            account: "123456789012".to_owned(),
        }
    }

    #[test]
    fn permissions_have_their_resource() {
        let arn = place("eu-west-1").table_arn(&destination());
        let expected = "arn:aws:timestream:eu-west-1:123456789012:database/db/table/t";
        assert_eq!(arn, expected);
        assert_eq!(account_of(&arn), Some("123456789012"));
        for arn in [
            "arn:aws:timestream",
            "arn:aws:timestream:eu-west-1::database/db",
            "arn:aws:timestream:eu-west-1:12345678901/database/db",
            "arn:aws:timestream:eu-west-1:1234567890123:database/db",
            "arn:aws:timestream:eu-west-1:12345678901a:database/db",
            "arn:aws:timestream:eu-west-1:12345678901\u{1b}:database/db",
        ] {
            assert_eq!(account_of(arn), None, "{arn}");
        }
        let government = place("us-gov-west-1").table_arn(&destination());
        assert!(government.starts_with("arn:aws-us-gov:"), "{government}");
        assert_eq!(
            allow("timestream:Select", &arn),
            format!("allow timestream:Select on {expected} in the IAM policy of these credentials")
        );
    }

    #[test]
    fn commands_create_what_is_missing() {
        let place = place("eu-west-1");
        let table = place.create_table(&destination(), "The table t does not exist.");
        assert!(!table.contains("create-database"), "{table}");
        let both = place.create_table(&destination(), "The database db does not exist.");
        for part in [
            "create-database --database-name db --region eu-west-1 && ",
            "--table-name t ",
        ] {
            assert!(both.contains(part), "{both}");
        }
    }

    #[test]
    fn every_error_has_a_remedy_on_one_line() {
        for kind in ErrorKind::ALL {
            let error = TimestreamError::new(kind, "x");
            let remedy = for_error(&error, "https://a.example/", "timestream:Select", "*");
            assert!(!remedy.is_empty() && !remedy.contains('\n'), "{remedy}");
            let is_of_the_way = matches!(kind, ErrorKind::Unavailable | ErrorKind::Timeout);
            assert!(!is_of_the_way || remedy.contains("a.example"), "{remedy}");
        }
    }
}
