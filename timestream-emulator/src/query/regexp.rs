//! `regexp_extract`, `regexp_extract_all`, `regexp_replace` and `regexp_split`.
//!
//! If such a function goes over all matches, a pattern that matches the empty text is rejected:
//! Java moves on after such a match otherwise than the `regex` crate.

use super::{
    pattern::Pattern,
    types::{Datum, Type},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RegexpFunction {
    Extract,
    ExtractAll,
    Replace,
    Split,
}

impl RegexpFunction {
    pub(crate) fn from_name(name: &str) -> Option<RegexpFunction> {
        Some(match name {
            "regexp_extract" => RegexpFunction::Extract,
            "regexp_extract_all" => RegexpFunction::ExtractAll,
            "regexp_replace" => RegexpFunction::Replace,
            "regexp_split" => RegexpFunction::Split,
            _ => return None,
        })
    }

    pub(crate) fn result(self) -> Type {
        match self {
            RegexpFunction::Extract | RegexpFunction::Replace => Type::Varchar,
            RegexpFunction::ExtractAll | RegexpFunction::Split => {
                Type::Array(Box::new(Type::Varchar))
            }
        }
    }

    /// Returns the type of the argument after the pattern, if there may be one: a group, or the
    /// replacement.
    pub(crate) fn third_argument(self) -> Option<Type> {
        match self {
            RegexpFunction::Extract | RegexpFunction::ExtractAll => Some(Type::Bigint),
            RegexpFunction::Replace => Some(Type::Varchar),
            RegexpFunction::Split => None,
        }
    }

    /// Returns the pattern, if the function accepts it.
    pub(crate) fn check(self, pattern: Pattern) -> Result<Pattern, String> {
        if self != RegexpFunction::Extract && pattern.is_match("") {
            return Err(
                "one that matches the empty text is not supported by the emulator".to_owned(),
            );
        }
        Ok(pattern)
    }

    /// Runs the function; `arguments` are the text and, if it was given, the third argument.
    pub(crate) fn apply(self, pattern: &Pattern, arguments: &[Datum]) -> Result<Datum, String> {
        let Datum::Text(text) = &arguments[0] else {
            return Ok(Datum::Null);
        };
        let group = match arguments.get(1) {
            Some(Datum::Int(group)) => pattern.group(*group)?,
            _ => 0,
        };
        let part = |captures: &regex::Captures<'_>| {
            let found = captures.get(group);
            found.map_or(Datum::Null, |found| Datum::text(found.as_str()))
        };
        let regex = pattern.regex();
        Ok(match self {
            RegexpFunction::Extract => regex.captures(text).as_ref().map_or(Datum::Null, part),
            RegexpFunction::ExtractAll => Datum::Array(
                regex
                    .captures_iter(text)
                    .map(|found| part(&found))
                    .collect(),
            ),
            RegexpFunction::Split => Datum::Array(regex.split(text).map(Datum::text).collect()),
            RegexpFunction::Replace => {
                let template = match arguments.get(1) {
                    Some(Datum::Text(template)) => template,
                    _ => "",
                };
                let template = Template::parse(template, regex.captures_len())?;
                let mut out = String::new();
                let mut copied = 0;
                for captures in regex.captures_iter(text) {
                    let Some(whole) = captures.get(0) else {
                        continue;
                    };
                    out.push_str(&text[copied..whole.start()]);
                    template.write(&captures, &mut out);
                    copied = whole.end();
                }
                out.push_str(&text[copied..]);
                Datum::text(&out)
            }
        })
    }
}

/// A replacement: `$1` is a group, a backslash makes the next character literal.
struct Template(Vec<Part>);

enum Part {
    Literal(char),
    Group(usize),
}

impl Template {
    fn parse(source: &str, groups: usize) -> Result<Template, String> {
        let mut parts = Vec::new();
        let mut chars = source.chars().peekable();
        while let Some(char) = chars.next() {
            parts.push(match char {
                '\\' => Part::Literal(
                    chars
                        .next()
                        .ok_or("Illegal replacement sequence: it ends in a backslash")?,
                ),
                '$' => {
                    let first = chars.next().and_then(|digit| digit.to_digit(10));
                    let first = first.ok_or(
                        "Illegal replacement sequence: a group's number must follow '$' for the \
                         emulator",
                    )?;
                    let mut group = first as usize;
                    if group >= groups {
                        return Err(format!(
                            "Illegal replacement sequence: unknown group {group}"
                        ));
                    }
                    // As many digits as still name a group.
                    while let Some(digit) = chars.peek().and_then(|next| next.to_digit(10)) {
                        let longer = group * 10 + digit as usize;
                        if longer >= groups {
                            break;
                        }
                        group = longer;
                        chars.next();
                    }
                    Part::Group(group)
                }
                literal => Part::Literal(literal),
            });
        }
        Ok(Template(parts))
    }

    fn write(&self, captures: &regex::Captures<'_>, out: &mut String) {
        for part in &self.0 {
            match part {
                Part::Literal(char) => out.push(*char),
                Part::Group(group) => {
                    out.push_str(captures.get(*group).map_or("", |found| found.as_str()));
                }
            }
        }
    }
}
