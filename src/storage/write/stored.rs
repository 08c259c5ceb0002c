//! Series in their stored form.
//!
//! The series of a request have few different labels, each very often. So each different one is
//! held once, with the text that stands for it in a call, and a series is a list of numbers.

use std::borrow::Cow;

use hashbrown::HashMap;
use prom_wire::request::to_u32;

use super::json::{push_dimension, push_measure_name};

/// A dimension with its value, or a measure name.
#[derive(Debug)]
pub struct Attribute<'a> {
    /// The stored name of the dimension; empty for a measure name.
    pub name: Cow<'a, str>,
    /// The value of the dimension, or the measure name.
    pub value: Cow<'a, str>,
    column: Column,
    /// The end of its text.
    text_end: usize,
}

/// The position of a name of dimensions; all measure names have one together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column(u32);

/// The column of measure names.
const MEASURE_NAMES: Column = Column(0);

/// The index of an attribute of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttributeId(u32);

/// The index of a stored series of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SeriesId(u32);

/// The stored series of a request, and the attributes that they have.
#[derive(Debug, Default)]
pub struct StoredSeries<'a> {
    attributes: Vec<Attribute<'a>>,
    /// The texts of all attributes, one after the other.
    texts: Vec<u8>,
    /// By the names of dimensions.
    columns: HashMap<Cow<'a, str>, Column>,
    /// The dimensions of all series, one after the other.
    dimensions: Vec<AttributeId>,
    series: Vec<Series>,
}

#[derive(Debug)]
struct Series {
    measure: AttributeId,
    /// The end of its dimensions.
    dimensions_end: u32,
    bytes: u32,
}

impl Attribute<'_> {
    /// UTF-8 bytes of name and value, as AWS counts them.
    pub fn bytes(&self) -> usize {
        self.name.len() + self.value.len()
    }

    /// The same for attributes of one name.
    pub(super) fn column(&self) -> usize {
        self.column.0 as usize
    }
}

impl AttributeId {
    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

impl<'a> StoredSeries<'a> {
    /// No series yet, and room for so many that have so many dimensions together.
    pub(super) fn with_room_for(series: usize, dimensions: usize) -> Self {
        Self {
            dimensions: Vec::with_capacity(dimensions),
            series: Vec::with_capacity(series),
            ..Self::default()
        }
    }

    /// Returns the column of dimensions of this name.
    pub(super) fn column(&mut self, name: Cow<'a, str>) -> Column {
        let next = Column(to_u32(self.column_count()));
        *self.columns.entry(name).or_insert(next)
    }

    /// Adds a dimension that is not there yet.
    pub(super) fn add_dimension(&mut self, name: Cow<'a, str>, value: Cow<'a, str>) -> AttributeId {
        let column = self.column(name.clone());
        self.add_dimension_of(column, name, value)
    }

    /// Adds a dimension that is not there yet; `column` is that of its name.
    pub(super) fn add_dimension_of(
        &mut self,
        column: Column,
        name: Cow<'a, str>,
        value: Cow<'a, str>,
    ) -> AttributeId {
        push_dimension(&mut self.texts, &name, &value);
        self.add_attribute(column, name, value)
    }

    /// Adds a measure name that is not there yet.
    pub(super) fn add_measure_name(&mut self, name: Cow<'a, str>) -> AttributeId {
        push_measure_name(&mut self.texts, &name);
        self.add_attribute(MEASURE_NAMES, Cow::Borrowed(""), name)
    }

    /// Adds an attribute whose text was added.
    fn add_attribute(
        &mut self,
        column: Column,
        name: Cow<'a, str>,
        value: Cow<'a, str>,
    ) -> AttributeId {
        self.attributes.push(Attribute {
            name,
            value,
            column,
            text_end: self.texts.len(),
        });
        AttributeId(to_u32(self.attributes.len() - 1))
    }

    /// Adds a series, unless it has more bytes than that. It has at least one dimension, and no name
    /// of one twice.
    pub(super) fn add(
        &mut self,
        measure: AttributeId,
        dimensions: &[AttributeId],
        max_bytes: usize,
    ) -> Option<SeriesId> {
        let all = dimensions.iter().chain([&measure]);
        let bytes = all.map(|&id| self.attribute(id).bytes()).sum();
        if bytes > max_bytes {
            return None;
        }
        self.dimensions.extend_from_slice(dimensions);
        self.series.push(Series {
            measure,
            dimensions_end: to_u32(self.dimensions.len()),
            bytes: to_u32(bytes),
        });
        Some(SeriesId(to_u32(self.series.len() - 1)))
    }

    /// The dimensions of a series.
    pub fn dimensions(&self, id: SeriesId) -> &[AttributeId] {
        let index = id.0 as usize;
        let before = index.checked_sub(1);
        let start = before.map_or(0, |before| self.series[before].dimensions_end);
        let end = self.series[index].dimensions_end;
        &self.dimensions[start as usize..end as usize]
    }

    /// The measure name of a series.
    pub fn measure(&self, id: SeriesId) -> AttributeId {
        self.series[id.0 as usize].measure
    }

    /// UTF-8 bytes of the names and values that every record of a series has, as AWS counts them.
    pub fn bytes(&self, id: SeriesId) -> usize {
        self.series[id.0 as usize].bytes as usize
    }

    /// Returns the attribute of `id`.
    pub fn attribute(&self, id: AttributeId) -> &Attribute<'a> {
        &self.attributes[id.index()]
    }

    /// Returns the text of the attribute in a call: an element of a list or a field, with the comma before it.
    pub(super) fn text(&self, id: AttributeId) -> &[u8] {
        let before = id.index().checked_sub(1);
        let start = before.map_or(0, |before| self.attributes[before].text_end);
        &self.texts[start..self.attributes[id.index()].text_end]
    }

    /// Returns the number of attributes.
    pub(super) fn attribute_count(&self) -> usize {
        self.attributes.len()
    }

    /// Returns the number of columns.
    pub(super) fn column_count(&self) -> usize {
        self.columns.len() + 1
    }
}

#[cfg(test)]
impl StoredSeries<'_> {
    /// Adds a series, and what is new of its attributes.
    pub(super) fn add_new(&mut self, measure: &str, dimensions: &[(&str, &str)]) -> SeriesId {
        let mut id = |name: &str, value: &str| {
            let known = |it: &Attribute<'_>| it.name == name && it.value == value;
            match self.attributes.iter().position(known) {
                Some(position) => AttributeId(to_u32(position)),
                None if name.is_empty() => self.add_measure_name(value.to_owned().into()),
                None => self.add_dimension(name.to_owned().into(), value.to_owned().into()),
            }
        };
        let measure = id("", measure);
        let dimensions: Vec<_> = dimensions.iter().map(|it| id(it.0, it.1)).collect();
        let added = self.add(measure, &dimensions, usize::MAX);
        added.expect("nothing has so many bytes")
    }

    /// The series as people write it.
    pub(super) fn show(&self, id: SeriesId) -> String {
        let dimensions = self.dimensions(id).iter().map(|&id| self.attribute(id));
        let dimensions = dimensions.map(|it| format!("{}={:?}", it.name, it.value));
        let mut dimensions: Vec<_> = dimensions.collect();
        dimensions.sort_unstable();
        let measure = &self.attribute(self.measure(id)).value;
        format!("{measure}{{{}}}", dimensions.join(", "))
    }
}
