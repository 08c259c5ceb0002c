//! The labels of a request, each different one looked at once: what it means, and its stored form.

use std::borrow::Cow;

use hashbrown::HashMap;
use prom_model::METRIC_NAME_LABEL;
use prom_wire::request::{Label, LabelId, Labels, Request};

use super::stored::{AttributeId, Column, StoredSeries};
use crate::storage::limits::{MAX_DIMENSION_NAME_BYTES, MAX_MEASURE_NAME_BYTES};
use crate::storage::names::escape;
use crate::storage::routing::Routing;

/// The labels that were seen so far.
pub(super) struct KnownLabels<'r, 'a> {
    routing: &'r Routing,
    /// By what the labels are called in the request.
    meanings: Vec<Option<(usize, Meaning<'a>)>>,
    positions: HashMap<&'a str, usize>,
    names: Vec<LabelName<'a>>,
    series: usize,
    dimensions: Vec<AttributeId>,
}

/// A label name.
struct LabelName<'a> {
    role: Role,
    /// The stored form and its column, if it is that of a dimension and Timestream can have it.
    stored: Option<(Column, Cow<'a, str>)>,
    /// The series that had it last, counted from 1.
    last_series: usize,
}

#[derive(Clone, Copy)]
enum Role {
    Metric,
    Database,
    Table,
    Dimension,
}

/// The meaning of a label for its series.
#[derive(Clone, Copy)]
enum Meaning<'a> {
    /// Its value is empty, which is as if it were not there.
    Nothing,
    Metric(Metric<'a>),
    Database(&'a str),
    Table(&'a str),
    Dimension(AttributeId),
    /// Its stored name is too long.
    LongName,
    /// Its name is empty, which no label may have, whatever its value.
    EmptyName,
}

/// The metric name of a series.
#[derive(Clone, Copy)]
pub(super) struct Metric<'a> {
    pub(super) name: &'a str,
    /// The measure name; `None` if it is too long.
    pub(super) measure: Option<AttributeId>,
}

/// The meaning of the labels of a series.
pub(super) struct Parts<'k, 'a> {
    pub(super) metric: Option<Metric<'a>>,
    pub(super) database: Option<&'a str>,
    pub(super) table: Option<&'a str>,
    /// True if a label name occurs twice.
    pub(super) is_repeated: bool,
    /// True if a label name is empty.
    pub(super) has_empty_name: bool,
    pub(super) dimensions: &'k [AttributeId],
    /// Labels that would be dimensions.
    pub(super) count: usize,
    /// One of them whose stored name is too long.
    pub(super) long_name: Option<&'a str>,
}

impl<'r, 'a> KnownLabels<'r, 'a> {
    /// None yet of those of `request`; `routing` says which ones name the destination.
    pub(super) fn new(request: &Request<'_>, routing: &'r Routing) -> Self {
        Self {
            routing,
            meanings: vec![None; request.distinct_labels()],
            positions: HashMap::new(),
            names: Vec::new(),
            series: 0,
            dimensions: Vec::new(),
        }
    }

    /// Takes the labels of the next series apart; what is new among them becomes attributes.
    pub(super) fn take_apart(
        &mut self,
        labels: Labels<'_, 'a>,
        stored: &mut StoredSeries<'a>,
    ) -> Parts<'_, 'a> {
        self.series += 1;
        self.dimensions.clear();
        let (mut metric, mut database, mut table, mut long_name) = (None, None, None, None);
        let (mut is_repeated, mut has_empty_name) = (false, false);
        let mut long_names = 0;
        for id in labels.ids() {
            let (name, meaning) = match self.meanings[id.index()] {
                Some(known) => known,
                None => self.learn(id, labels.label(id), stored),
            };
            let last_series = &mut self.names[name].last_series;
            is_repeated |= *last_series == self.series;
            *last_series = self.series;
            match meaning {
                Meaning::Nothing => {}
                Meaning::Metric(it) => metric = Some(it),
                Meaning::Database(name) => database = Some(name),
                Meaning::Table(name) => table = Some(name),
                Meaning::Dimension(id) => self.dimensions.push(id),
                Meaning::LongName => {
                    long_names += 1;
                    long_name = Some(labels.label(id).0);
                }
                Meaning::EmptyName => has_empty_name = true,
            }
        }
        Parts {
            metric,
            database,
            table,
            is_repeated,
            has_empty_name,
            dimensions: &self.dimensions,
            count: self.dimensions.len() + long_names,
            long_name,
        }
    }

    fn learn(
        &mut self,
        id: LabelId,
        (name, value): Label<'a>,
        stored: &mut StoredSeries<'a>,
    ) -> (usize, Meaning<'a>) {
        let position = match self.positions.get(name) {
            Some(position) => *position,
            None => self.learn_name(name, stored),
        };
        let known = &self.names[position];
        let meaning = match known.role {
            _ if name.is_empty() => Meaning::EmptyName,
            _ if value.is_empty() => Meaning::Nothing,
            Role::Metric => {
                let stored_name = escape(value);
                let fits = stored_name.len() <= MAX_MEASURE_NAME_BYTES;
                Meaning::Metric(Metric {
                    name: value,
                    measure: fits.then(|| stored.add_measure_name(stored_name)),
                })
            }
            Role::Database => Meaning::Database(value),
            Role::Table => Meaning::Table(value),
            Role::Dimension => match &known.stored {
                Some((column, name)) => Meaning::Dimension(stored.add_dimension_of(
                    *column,
                    name.clone(),
                    Cow::Borrowed(value),
                )),
                None => Meaning::LongName,
            },
        };
        *self.meanings[id.index()].insert((position, meaning))
    }

    fn learn_name(&mut self, name: &'a str, stored: &mut StoredSeries<'a>) -> usize {
        let is = |label: &Option<String>| label.as_deref() == Some(name);
        let role = match name {
            METRIC_NAME_LABEL => Role::Metric,
            _ if is(&self.routing.database.label) => Role::Database,
            _ if is(&self.routing.table.label) => Role::Table,
            _ => Role::Dimension,
        };
        let stored = match role {
            Role::Dimension => Some(escape(name))
                .filter(|name| name.len() <= MAX_DIMENSION_NAME_BYTES)
                .map(|name| (stored.column(name.clone()), name)),
            Role::Metric | Role::Database | Role::Table => None,
        };
        self.names.push(LabelName {
            role,
            stored,
            last_series: 0,
        });
        self.positions.insert(name, self.names.len() - 1);
        self.names.len() - 1
    }
}
