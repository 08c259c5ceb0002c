//! Reads YAML of bounded size and depth.
//!
//! The library follows nested nodes by recursion, and a tree of them is dropped so: without a bound, 5,000 lists
//! within one another overflow the stack, which ends the process.

use std::collections::HashMap;

use saphyr::{Yaml, YamlLoader};
use saphyr_parser::{Event, Parser, ScanError, SpannedEventReceiver};

/// The most bytes of a text. A node of one byte occupies some hundred.
const MAX_BYTES: usize = 4 << 20;
/// The most lists and mappings within one another. Prometheus' own configuration has some ten.
const MAX_DEPTH: usize = 64;

/// Returns the documents of a text.
///
/// # Errors
/// The text is no YAML, too long or too deep; the error names the line, never a value.
pub(crate) fn read(text: &str) -> Result<Vec<Yaml<'_>>, String> {
    if text.len() > MAX_BYTES {
        let bytes = text.len();
        return Err(format!(
            "has {bytes} bytes; expected at most {MAX_BYTES} of YAML"
        ));
    }
    let of_line = |error: &ScanError| format!("line {}: {}", error.marker().line(), error.info());
    let mut parser = Parser::new_from_str(text);
    let mut loader = YamlLoader::default();
    let mut heights = Heights::default();
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|error| of_line(&error))?;
        heights.pass(&event);
        if heights.depth() > MAX_DEPTH {
            let line = span.start.line();
            return Err(format!(
                "line {line}: more than {MAX_DEPTH} lists and mappings within one another; expected fewer"
            ));
        }
        loader.on_event(event, span);
        if let Some(error) = loader.error() {
            return Err(of_line(error));
        }
    }
    Ok(loader.into_documents())
}

/// The heights of nodes. An alias is as high as the node that it repeats.
#[derive(Default)]
struct Heights {
    /// The open nodes, outer ones first: number of the anchor, and the height so far.
    open: Vec<(usize, usize)>,
    of_anchors: HashMap<usize, usize>,
}

impl Heights {
    fn pass(&mut self, event: &Event<'_>) {
        match event {
            Event::SequenceStart(anchor, _) | Event::MappingStart(anchor, _) => {
                self.open.push((*anchor, 1));
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some((anchor, height)) = self.open.pop() {
                    self.of_anchors.insert(anchor, height);
                    self.add(height);
                }
            }
            Event::Alias(anchor) => self.add(self.of_anchors.get(anchor).copied().unwrap_or(0)),
            _ => {}
        }
    }

    /// Adds a node of this height to the open one.
    fn add(&mut self, height: usize) {
        if let Some((_, of_parent)) = self.open.last_mut() {
            *of_parent = (*of_parent).max(height + 1);
        }
    }

    /// Returns the depth that the open nodes reach together.
    fn depth(&self) -> usize {
        let last = self.open.last().map_or(0, |(_, height)| height - 1);
        self.open.len() + last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        read(text).expect_err("it is accepted")
    }

    #[test]
    fn yaml_that_is_too_deep_is_an_error() {
        let block = "- ".repeat(MAX_DEPTH);
        assert!(read(&format!("{block}a")).is_ok());
        for text in [
            "- ".repeat(5_000),
            "- ".repeat(MAX_DEPTH + 1),
            "? ".repeat(5_000),
            "[".repeat(200),
            "{a: ".repeat(200),
            (0..1_000)
                .map(|depth| format!("{}a:\n", " ".repeat(depth)))
                .collect(),
        ] {
            let error = error(&text);
            assert!(
                error.contains("more than 64 lists and mappings"),
                "{}: {error}",
                &text[..9]
            );
        }
    }

    #[test]
    fn an_alias_is_as_deep_as_its_anchor() {
        // Each list holds the one before, ten deeper.
        let list = |depth: usize, inner: &str| {
            format!("{}{inner}{}", "[".repeat(depth), "]".repeat(depth))
        };
        let mut text = format!("- &a0 {}\n", list(10, ""));
        for number in 1..6 {
            let inner = format!("*a{}", number - 1);
            text.push_str(&format!("- &a{number} {}\n", list(10, &inner)));
        }
        assert!(read(&text).is_ok());
        text.push_str(&format!("- {}\n", list(10, "*a5")));
        assert!(error(&text).starts_with("line 7: more than 64"));
    }

    #[test]
    fn long_yaml_is_an_error() {
        let text = "#".repeat(MAX_BYTES);
        assert_eq!(read(&text), Ok(Vec::new()));
        let error = error(&format!("{text}#"));
        assert_eq!(error, "has 4194305 bytes; expected at most 4194304 of YAML");
    }

    #[test]
    fn documents_and_errors_are_those_of_the_library() {
        use saphyr::LoadableYamlNode;
        for text in [
            "a: 1\nb: [x, 'y', {z: ~}]\n",
            "a: &a {b: c}\nd: *a\n",
            "a: 1\n---\nb: 2\n",
            "",
            "a: [",
            "a: 1\na: 2",
            "a: *b",
            "\tb: 1",
        ] {
            let expected = Yaml::load_from_str(text);
            let expected = expected
                .map_err(|error| format!("line {}: {}", error.marker().line(), error.info()));
            assert_eq!(read(text), expected, "{text}");
        }
    }
}
