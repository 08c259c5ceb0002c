//! Parts of pages: escaped texts, numbers and times for people, and the policy.

use std::fmt::{self, Display};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use ring::digest::{SHA256, digest};

/// Returns the Content-Security-Policy of a page that has one style and one script, in elements whose tags stand on
/// lines of their own, and loads nothing but from its own origin.
pub(super) fn policy(style: &str, script: &str) -> String {
    // The content of an element begins behind its tag, with the line break.
    format!(
        "default-src 'none'; script-src {}; style-src {}; img-src data:; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        source(&format!("\n{script}")),
        source(&format!("\n{style}"))
    )
}

/// Returns the expression of a policy that allows an inline element with this content.
pub(super) fn source(content: &str) -> String {
    let hash = digest(&SHA256, content.as_bytes());
    format!("'sha256-{}'", STANDARD.encode(hash))
}

/// Displays a string escaped for HTML, quoted attributes included.
pub(super) struct Escaped<'a>(pub(super) &'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                other => write!(f, "{other}")?,
            }
        }
        Ok(())
    }
}

/// Formats a number with its digits in groups of three.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            // A narrow space that does not break.
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// Formats an amount in dollars; two digits of it, if it is small.
pub(super) fn dollars(amount: f64) -> String {
    match amount {
        99.5.. => format!("${}", grouped(amount.round() as u64)),
        0.0995.. => format!("${amount:.2}"),
        0.000_995.. => format!("${amount:.4}"),
        ..=0.0 => "$0".to_owned(),
        _ => "less than $0.001".to_owned(),
    }
}

/// Formats a duration by its two largest units.
pub(super) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

/// Displays the time since a time as an element with the time itself as its title.
pub(super) struct Ago {
    pub(super) time: Timestamp,
    pub(super) now: Timestamp,
}

impl Ago {
    /// Returns the time since, zero if the time is in the future.
    pub(super) fn elapsed(&self) -> Duration {
        let elapsed = self.now.duration_since(self.time);
        elapsed.try_into().unwrap_or_default()
    }
}

impl Display for Ago {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.elapsed().as_secs();
        let text = match seconds {
            ..60 => format!("{seconds} s ago"),
            60..3_600 => format!("{} min ago", seconds / 60),
            3_600..86_400 => format!("{} h ago", seconds / 3_600),
            _ => format!("{} d ago", seconds / 86_400),
        };
        let time = self.time.strftime("%Y-%m-%dT%H:%M:%SZ");
        write!(
            f,
            "<time datetime=\"{time}\" title=\"{time}\">{text}</time>"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts() {
        for (amount, expected) in [
            (0.0, "$0"),
            (0.000_01, "less than $0.001"),
            (0.001, "$0.0010"),
            (0.0423, "$0.0423"),
            (0.5, "$0.50"),
            (1.267, "$1.27"),
            (99.4, "$99.40"),
            (99.5, "$100"),
            (12_345.6, "$12\u{202f}346"),
        ] {
            assert_eq!(dollars(amount), expected);
        }
    }

    #[test]
    fn times_since() {
        let at = |second| Timestamp::from_second(second).unwrap();
        for (now, expected) in [
            (0, "0 s ago"),
            (59, "59 s ago"),
            (60, "1 min ago"),
            (7_199, "1 h ago"),
            (90_000, "1 d ago"),
            // The clock was set back.
            (-9, "0 s ago"),
        ] {
            let text = Ago {
                time: at(0),
                now: at(now),
            };
            let time = "1970-01-01T00:00:00Z";
            let expected = format!("<time datetime=\"{time}\" title=\"{time}\">{expected}</time>");
            assert_eq!(text.to_string(), expected);
        }
    }
}
