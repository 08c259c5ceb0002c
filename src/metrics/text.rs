//! The two text formats of metrics.
//!
//! The registry writes OpenMetrics. Prometheus' own format differs in that a counter is described
//! under the full name of its samples, and an info metric is a gauge:
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>.

/// A text format of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus' own text format, which everything reads.
    Prometheus,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Format {
    /// OpenMetrics for whoever names it among what it accepts.
    pub fn for_accept(accept: &str) -> Self {
        if accept.contains("application/openmetrics-text") {
            Self::OpenMetrics
        } else {
            Self::Prometheus
        }
    }

    /// Returns the content type of a response in this format.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// The same metrics in Prometheus' own format.
pub(super) fn openmetrics_to_prometheus(openmetrics: &str) -> String {
    let mut text = String::with_capacity(openmetrics.len());
    let mut lines = openmetrics.lines().peekable();
    while let Some(line) = lines.next() {
        let help = line.strip_prefix("# HELP ");
        let kind = lines.peek().and_then(|next| next.strip_prefix("# TYPE "));
        match (
            help.and_then(|help| help.split_once(' ')),
            kind.and_then(|kind| kind.split_once(' ')),
        ) {
            (Some((name, help)), Some((_, kind))) => {
                let (suffix, kind) = match kind {
                    "counter" => ("_total", "counter"),
                    "info" => ("_info", "gauge"),
                    kind => ("", kind),
                };
                text += &format!("# HELP {name}{suffix} {help}\n# TYPE {name}{suffix} {kind}\n");
                lines.next();
            }
            _ if line == "# EOF" => {}
            _ => {
                text += line;
                text.push('\n');
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_take_the_names_of_their_samples() {
        let openmetrics = "# HELP calls Calls made.\n# TYPE calls counter\ncalls_total{a=\"b\"} 1\n\
                           # HELP build Version.\n# TYPE build info\nbuild_info{version=\"1\"} 1\n\
                           # HELP open Open.\n# TYPE open gauge\nopen 2\n# EOF\n";
        assert_eq!(
            openmetrics_to_prometheus(openmetrics),
            "# HELP calls_total Calls made.\n# TYPE calls_total counter\ncalls_total{a=\"b\"} 1\n\
             # HELP build_info Version.\n# TYPE build_info gauge\nbuild_info{version=\"1\"} 1\n\
             # HELP open Open.\n# TYPE open gauge\nopen 2\n"
        );
    }

    #[test]
    fn who_gets_which_format() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;q=0.3";
        assert_eq!(Format::for_accept(prometheus), Format::OpenMetrics);
        assert_eq!(Format::for_accept("*/*"), Format::Prometheus);
        assert_eq!(Format::for_accept(""), Format::Prometheus);
    }
}
