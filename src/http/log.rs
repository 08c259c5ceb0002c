//! Fields that the log lines about requests have in common.

use crate::storage::destination::Destination;

/// Destinations named in one line.
const MAX_DESTINATIONS: usize = 10;

/// Returns destinations as the value of one field, with the number of those that are not named; `None` omits the
/// field.
pub(super) fn destinations<'d>(
    destinations: impl IntoIterator<Item = &'d Destination>,
) -> Option<String> {
    let mut names: Vec<String> = destinations.into_iter().map(ToString::to_string).collect();
    names.dedup();
    if names.is_empty() {
        return None;
    }
    let more = names.len().saturating_sub(MAX_DESTINATIONS);
    names.truncate(MAX_DESTINATIONS);
    let mut text = names.join(",");
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_destinations_are_named() {
        let all: Vec<Destination> = (0..12)
            .map(|i| Destination {
                database: "db".to_owned(),
                table: format!("t{i}"),
            })
            .collect();
        assert_eq!(destinations(&[]), None);
        let two = destinations([&all[0], &all[0], &all[1]]);
        assert_eq!(two.unwrap(), "db/t0,db/t1");
        let text = destinations(&all).unwrap();
        assert!(text.starts_with("db/t0,db/t1,"), "{text}");
        assert!(text.ends_with(",db/t9 and 2 more"), "{text}");
    }
}
