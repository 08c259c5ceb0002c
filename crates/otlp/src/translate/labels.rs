//! The labels of series: those of attributes, and those that a resource and a scope add to all of their series.

use std::borrow::Cow;
use std::collections::BTreeMap;

use hashbrown::HashMap;
use prom_model::METRIC_NAME_LABEL;
use prom_wire::limits::DecodeLimits;
use prom_wire::protobuf::MessageError;
use prom_wire::request::{LabelId, Request, StringArena};

use crate::model::{KeyValue, ResourceMetrics, ScopeMetrics};
use crate::names::{NameError, label_name};
use crate::options::Options;
use crate::text::{text_bytes, value_text};

/// The attributes of a resource that make `job` and `instance`.
const IDENTIFYING: [&str; 3] = [SERVICE_NAME, SERVICE_NAMESPACE, SERVICE_INSTANCE_ID];
const SERVICE_NAME: &str = "service.name";
const SERVICE_NAMESPACE: &str = "service.namespace";
const SERVICE_INSTANCE_ID: &str = "service.instance.id";

/// A label; its number in the request once a series has it.
#[derive(Clone, Debug)]
pub(super) struct Label<'a> {
    pub(super) name: &'a str,
    /// Empty if it was owned and the label has a number.
    value: Cow<'a, str>,
    /// The bytes of name and value.
    bytes: usize,
    id: Option<LabelId>,
}

impl<'a> Label<'a> {
    pub(super) fn new(name: &'a str, value: impl Into<Cow<'a, str>>) -> Self {
        let value = value.into();
        Self {
            name,
            bytes: name.len() + value.len(),
            value,
            id: None,
        }
    }

    /// Returns true if the value is empty, which is as if there were no label.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes == self.name.len()
    }

    /// Returns the value of a label that has no number yet.
    pub(super) fn value(&self) -> &str {
        &self.value
    }

    /// Adds the label to the series that is being built.
    #[inline]
    fn push(
        &mut self,
        request: &mut Request<'a>,
        arena: &'a StringArena,
        limits: &mut DecodeLimits<'_>,
    ) -> Result<(), MessageError> {
        match self.id {
            Some(id) => request.push_known_label(id),
            None => {
                let known = request.distinct_labels();
                let value = match &mut self.value {
                    Cow::Borrowed(value) => Cow::Borrowed(*value),
                    Cow::Owned(value) => Cow::Owned(std::mem::take(value)),
                };
                let id = request.push_label_in(arena, Cow::Borrowed(self.name), value);
                if request.distinct_labels() > known {
                    let (name, value) = request.label(id);
                    limits.new_label(name, value)?;
                }
                self.id = Some(id);
            }
        }
        Ok(())
    }
}

/// Adds the labels of a series, ordered by name, to the series that is being built. `base` is ordered; a label of
/// `own`, which is ordered too, replaces those of its name.
pub(super) fn push_labels<'a>(
    request: &mut Request<'a>,
    arena: &'a StringArena,
    limits: &mut DecodeLimits<'_>,
    base: &mut [Label<'a>],
    own: &mut [&mut Label<'a>],
) -> Result<(), MessageError> {
    let bytes: usize = base.iter().map(|it| it.bytes).sum();
    let own_bytes: usize = own.iter().map(|it| it.bytes).sum();
    limits.labels(base.len() + own.len())?;
    limits.text(bytes + own_bytes)?;
    let mut own = own.iter_mut().peekable();
    for label in base {
        while let Some(first) = own.next_if(|it| it.name < label.name) {
            if !first.is_empty() {
                first.push(request, arena, limits)?;
            }
        }
        if own.peek().is_none_or(|it| it.name != label.name) {
            label.push(request, arena, limits)?;
        }
    }
    for last in own {
        if !last.is_empty() {
            last.push(request, arena, limits)?;
        }
    }
    Ok(())
}

/// The memory in which the labels of one thing are made before a series has them. It is used again for the next thing, so
/// only more than before is charged.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    bytes: usize,
}

impl Scratch {
    /// Charges the memory for the labels of these attributes.
    #[inline]
    pub(super) fn charge(
        &mut self,
        attributes: &[KeyValue<'_>],
        limits: &mut DecodeLimits<'_>,
    ) -> Result<(), MessageError> {
        /// Labels are in a list that grows, a map, or two lists that are merged.
        const LABEL_BYTES: usize = 3 * size_of::<OverlayLabel<'_>>();
        let texts = attributes.iter().map(|it| text_bytes(&it.value));
        let bytes = LABEL_BYTES * attributes.len() + texts.sum::<usize>();
        if let Some(more) = bytes.checked_sub(self.bytes) {
            limits.text(more)?;
            self.bytes = bytes;
        }
        Ok(())
    }
}

/// Labels that are added to those of attributes, ordered by name.
#[derive(Debug, Default)]
pub(super) struct Overlay<'a> {
    labels: Vec<OverlayLabel<'a>>,
    is_learned: bool,
}

/// A label of an overlay.
#[derive(Clone, Debug)]
struct OverlayLabel<'a> {
    label: Label<'a>,
    precedence: Precedence,
}

impl<'a> OverlayLabel<'a> {
    /// Adds the label to those of attributes, which are ordered by name.
    fn insert_into(&self, labels: &mut Vec<Label<'a>>) {
        let name = self.label.name;
        let start = labels.partition_point(|it| it.name < name);
        let same = labels[start..].iter().take_while(|it| it.name == name);
        let end = start + same.count();
        match (start == end, self.label.is_empty()) {
            (false, _) if self.precedence == Precedence::Attribute => {}
            (true, true) => {}
            (true, false) => labels.insert(start, self.label.clone()),
            (false, true) => drop(labels.drain(start..end)),
            (false, false) => {
                labels[start] = self.label.clone();
                labels.drain(start + 1..end);
            }
        }
    }
}

/// The label that counts where an attribute has the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Precedence {
    Attribute,
    Overlay,
}

impl<'a> Overlay<'a> {
    /// Adds the labels to those of attributes, which are ordered by name, too.
    pub(super) fn add_to(&self, labels: &mut Vec<Label<'a>>) {
        /// More than these are merged, so that the costs stay linear.
        const MAX_INSERTED: usize = 8;
        let overlay = &self.labels;
        if overlay.len() <= MAX_INSERTED {
            overlay.iter().for_each(|own| own.insert_into(labels));
            return;
        }
        let attributes =
            std::mem::replace(labels, Vec::with_capacity(labels.len() + overlay.len()));
        let mut attributes = attributes.into_iter().peekable();
        for OverlayLabel {
            label: own,
            precedence,
        } in overlay
        {
            while let Some(label) = attributes.next_if(|it| it.name < own.name) {
                labels.push(label);
            }
            let has_attribute = attributes.peek().is_some_and(|it| it.name == own.name);
            if has_attribute && *precedence == Precedence::Attribute {
                continue;
            }
            while attributes.next_if(|it| it.name == own.name).is_some() {}
            if !own.is_empty() {
                labels.push(own.clone());
            }
        }
        labels.extend(attributes);
    }

    /// Stores the numbers that labels have got in a series, so that the next one has them at once.
    pub(super) fn learn(&mut self, labels: &[Label<'a>]) {
        if std::mem::replace(&mut self.is_learned, true) {
            return;
        }
        let own = self.labels.iter_mut().map(|it| &mut it.label);
        for own in own.filter(|it| !it.is_empty()) {
            let found = labels.binary_search_by_key(&own.name, |it| it.name);
            if let Ok(found) = found
                && labels[found].value == own.value
            {
                own.id = labels[found].id;
            }
        }
    }
}

/// The names of labels, each made once.
pub(super) struct LabelNames<'a, 'o> {
    options: &'o Options,
    arena: &'a StringArena,
    known: HashMap<&'a str, Result<&'a str, NameError>>,
    scratch: Scratch,
}

/// An attribute that cannot be a label.
#[derive(Clone, Copy, Debug)]
pub(super) struct BadLabel<'a> {
    pub(super) attribute: &'a str,
    pub(super) error: NameError,
}

/// Labels that cannot be made.
#[derive(Debug)]
pub(super) enum LabelError<'a> {
    Bad(BadLabel<'a>),
    /// The whole request ends.
    Fatal(MessageError),
}

impl From<MessageError> for LabelError<'_> {
    fn from(error: MessageError) -> Self {
        Self::Fatal(error)
    }
}

impl<'a, 'o> LabelNames<'a, 'o> {
    pub(super) fn new(options: &'o Options, arena: &'a StringArena) -> Self {
        Self {
            options,
            arena,
            known: HashMap::new(),
            scratch: Scratch::default(),
        }
    }

    /// Returns the name of the label that an attribute becomes.
    #[inline]
    fn get(
        &mut self,
        attribute: &'a str,
        limits: &mut DecodeLimits<'_>,
    ) -> Result<&'a str, LabelError<'a>> {
        let name = match self.known.get(attribute) {
            Some(&name) => name,
            None => {
                const ENTRY_BYTES: usize = 160;
                limits.text(ENTRY_BYTES + attribute.len())?;
                let name = label_name(attribute, self.options).map(|it| self.arena.store(it));
                self.known.insert(attribute, name);
                name
            }
        };
        name.map_err(|error| LabelError::Bad(BadLabel { attribute, error }))
    }

    /// Makes the labels of attributes, ordered by name and without empty ones. Attributes that become one label are
    /// joined in the order of their keys.
    pub(super) fn of_attributes(
        &mut self,
        attributes: &[KeyValue<'a>],
        is_ignored: impl Fn(&str) -> bool,
        limits: &mut DecodeLimits<'_>,
        labels: &mut Vec<Label<'a>>,
    ) -> Result<(), LabelError<'a>> {
        labels.clear();
        self.scratch.charge(attributes, limits)?;
        let counted = attributes.iter().filter(|it| !is_ignored(it.key));
        labels.extend(counted.map(|it| Label::new(it.key, value_text(&it.value))));
        if !labels.is_sorted_by(|a, b| a.name < b.name) {
            labels.sort_by_key(|it| it.name);
        }
        if !self.options.translation_strategy.escapes() {
            // An empty value removes all labels of its name.
            if labels.iter().any(Label::is_empty) {
                let groups = labels.chunk_by(|a, b| a.name == b.name);
                let groups = groups.filter(|it| !it.iter().any(Label::is_empty));
                *labels = groups.flatten().cloned().collect();
            }
            return Ok(());
        }
        for label in labels.iter_mut() {
            let name = self.get(label.name, limits)?;
            label.bytes = label.bytes - label.name.len() + name.len();
            label.name = name;
        }
        if !labels.is_sorted_by(|a, b| a.name < b.name) {
            labels.sort_by_key(|it| it.name);
            labels.dedup_by(|label, before| {
                let is_same = label.name == before.name;
                if is_same && before.is_empty() {
                    std::mem::swap(label, before);
                } else if is_same {
                    let joined = before.value.to_mut();
                    joined.push(';');
                    joined.push_str(&label.value);
                    before.bytes = before.name.len() + joined.len();
                }
                is_same
            });
        }
        labels.retain(|it| !it.is_empty());
        Ok(())
    }

    /// Returns the labels that a resource adds to all of its series.
    pub(super) fn of_resource(
        &mut self,
        resource: &ResourceMetrics<'a>,
        limits: &mut DecodeLimits<'_>,
    ) -> Result<Overlay<'a>, LabelError<'a>> {
        self.scratch.charge(&resource.attributes, limits)?;
        let mut labels = BTreeMap::new();
        let options = self.options;
        let promoted = resource.attributes.iter();
        for attribute in promoted.filter(|it| options.promotes(it.key)) {
            let name = self.get(attribute.key, limits)?;
            let label = Label::new(name, value_text(&attribute.value));
            // The last one of a name counts, and an empty one is none.
            match label.is_empty() {
                true => labels.remove(name),
                false => labels.insert(name, (label, Precedence::Attribute)),
            };
        }
        for label in identity(resource) {
            labels.insert(label.name, (label, Precedence::Overlay));
        }
        self.store(labels, limits)
    }

    /// Returns the labels that a resource and a promoted scope add to all of their series.
    pub(super) fn of_promoted(
        &mut self,
        resource: &Overlay<'a>,
        scope: &ScopeMetrics<'a>,
        limits: &mut DecodeLimits<'_>,
    ) -> Result<Overlay<'a>, LabelError<'a>> {
        let labels = resource.labels.iter();
        let labels = labels.map(|it| (it.label.name, (it.label.clone(), it.precedence)));
        let mut labels: BTreeMap<_, _> = labels.collect();
        if !scope.name.is_empty() {
            for label in self.of_scope(scope, limits)? {
                labels.insert(label.name, (label, Precedence::Overlay));
            }
        }
        self.store(labels, limits)
    }

    /// Returns the labels of a scope, of which the last one of a name counts.
    fn of_scope(
        &mut self,
        scope: &ScopeMetrics<'a>,
        limits: &mut DecodeLimits<'_>,
    ) -> Result<Vec<Label<'a>>, LabelError<'a>> {
        self.scratch.charge(&scope.attributes, limits)?;
        let mut labels = BTreeMap::new();
        for attribute in &scope.attributes {
            const SLOT_BYTES: usize = 64;
            limits.text(SLOT_BYTES + attribute.key.len())?;
            let key = self.arena.store(format!("otel_scope_{}", attribute.key));
            let name = self.get(key, limits)?;
            let label = Label::new(name, value_text(&attribute.value));
            match label.is_empty() {
                true => labels.remove(name),
                false => labels.insert(name, label),
            };
        }
        let properties = [
            ("otel_scope_name", scope.name),
            ("otel_scope_version", scope.version),
            ("otel_scope_schema_url", scope.schema_url),
        ];
        for (name, value) in properties {
            labels.insert(name, Label::new(name, value));
        }
        Ok(labels.into_values().collect())
    }

    /// Returns the labels as an overlay, for which owned values are stored.
    fn store(
        &self,
        labels: BTreeMap<&'a str, (Label<'a>, Precedence)>,
        limits: &mut DecodeLimits<'_>,
    ) -> Result<Overlay<'a>, LabelError<'a>> {
        let labels = labels.into_values();
        let labels = labels.map(|(label, precedence)| OverlayLabel { label, precedence });
        let mut labels: Vec<_> = labels.collect();
        for OverlayLabel { label, .. } in &mut labels {
            limits.text(4 * size_of::<OverlayLabel<'_>>() + label.bytes)?;
            let value = std::mem::take(&mut label.value);
            label.value = Cow::Borrowed(self.arena.store(value));
        }
        Ok(Overlay {
            labels,
            is_learned: false,
        })
    }

    /// Makes the labels of `target_info` of a resource without the name; `None` if the resource has too little to tell.
    pub(super) fn of_target_info(
        &mut self,
        resource: &ResourceMetrics<'a>,
        limits: &mut DecodeLimits<'_>,
        labels: &mut Vec<Label<'a>>,
    ) -> Result<Option<()>, LabelError<'a>> {
        let attributes = &resource.attributes;
        let has = |key: &&str| attributes.iter().any(|it| it.key == *key);
        let identifying = IDENTIFYING.iter().filter(|it| has(it)).count();
        if attributes.len() == identifying {
            return Ok(None);
        }
        let keeps = self.options.keep_identifying_resource_attributes;
        let is_ignored = |key: &str| !keeps && IDENTIFYING.contains(&key);
        self.of_attributes(attributes, is_ignored, limits, labels)?;
        let identity = identity(resource);
        let identity = identity.map(|label| (label.name, (label, Precedence::Overlay)));
        let overlay = self.store(identity.collect(), limits)?;
        overlay.add_to(labels);
        labels.retain(|it| it.name != METRIC_NAME_LABEL);
        let has_identity = labels
            .iter()
            .any(|it| ["job", "instance"].contains(&it.name));
        Ok(has_identity.then_some(()))
    }
}

/// Returns the labels `job` and `instance` of a resource, if it has them.
fn identity<'a>(resource: &ResourceMetrics<'a>) -> impl Iterator<Item = Label<'a>> + use<'a> {
    let get = |key| {
        let found = resource.attributes.iter().find(|it| it.key == key)?;
        Some(value_text(&found.value))
    };
    let job = get(SERVICE_NAME).map(|name| match get(SERVICE_NAMESPACE) {
        Some(namespace) => Cow::Owned(format!("{namespace}/{name}")),
        None => name,
    });
    let job = job.map(|value| Label::new("job", value));
    let instance = get(SERVICE_INSTANCE_ID).map(|value| Label::new("instance", value));
    job.into_iter().chain(instance).filter(|it| !it.is_empty())
}
