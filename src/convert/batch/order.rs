//! The order of series in which neighbours share the most bytes.
//!
//! What all records of a call share is billed once, so the series of one pod, of one target, of one
//! metric should stand together; which of these matters most depends on the data. The attributes of
//! a series (its dimensions and its metric) are put into an order of importance, and the series are
//! sorted by them in that order. The first attribute is the one whose values divide the series into
//! groups that share the most bytes among themselves, in any attribute; then it goes on within the
//! groups. What is the same throughout every group comes before the attribute that divides them, so
//! that it also holds neighbouring groups together.

use std::collections::HashMap;

use crate::convert::series::StoredSeries;

/// Attributes that are looked at closely: those that most series have. More cost time and change
/// nothing, because an attribute of few series cannot divide all of them.
const MAX_STRUCTURAL: usize = 16;
/// Attributes that are tried for each of the first places.
const MAX_CANDIDATES: usize = 6;
/// Places that are filled by trying; the others go by the bytes that an attribute repeats.
const TRIED_PLACES: usize = 3;

/// The series in an order, and what each shares with the one before.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Order {
    /// The place of each series; equal ones have the same.
    pub(super) places: Vec<usize>,
    /// For each place, bytes of the attributes up to the first in which its series differ from those
    /// of the place before; 0 for the first place.
    pub(super) shared_bytes: Vec<usize>,
}

/// One attribute of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Attribute {
    /// Position of its name in the order of importance, once that is known.
    place: u32,
    /// Which value it has; equal for equal values of one name.
    value: u32,
    bytes: u32,
}

/// What is known about the attributes of one name.
#[derive(Clone, Debug, Default)]
struct Column {
    /// Series that have it.
    present: usize,
    /// Different values.
    distinct: usize,
    /// Bytes of all its values, less those of different ones.
    repeated_bytes: usize,
}

/// The measure name is an attribute as well; no dimension has an empty name.
const MEASURE: &str = "";

pub(super) fn order(series: &[StoredSeries<'_>]) -> Order {
    let (mut attributes, columns) = read(series);
    let places = places(&attributes, &columns);
    for attributes in &mut attributes {
        for attribute in attributes.iter_mut() {
            attribute.place = places[attribute.place as usize];
        }
        attributes.sort_unstable();
    }
    let mut order: Vec<usize> = (0..series.len()).collect();
    // Stable: what is equal stays in the order received.
    order.sort_by(|&a, &b| attributes[a].cmp(&attributes[b]));
    let mut places = vec![0; series.len()];
    let mut shared_bytes = Vec::with_capacity(series.len());
    let mut before: &[Attribute] = &[];
    for series in order {
        let own = attributes[series].as_slice();
        // No series is without attributes, so the first one differs from nothing.
        if own != before {
            let shared = before.iter().zip(own).take_while(|(a, b)| a == b);
            shared_bytes.push(shared.map(|(it, _)| it.bytes as usize).sum());
        }
        places[series] = shared_bytes.len() - 1;
        before = own;
    }
    Order {
        places,
        shared_bytes,
    }
}

/// The attributes of each series, their places being positions in the list of columns.
fn read(series: &[StoredSeries<'_>]) -> (Vec<Vec<Attribute>>, Vec<Column>) {
    let mut names: HashMap<&str, u32> = HashMap::new();
    let mut values: HashMap<(u32, &str), u32> = HashMap::new();
    let mut columns: Vec<Column> = Vec::new();
    let attributes = series
        .iter()
        .map(|series| {
            let dimensions = series.dimensions.iter();
            let dimensions = dimensions.map(|it| (it.name.as_ref(), it.value.as_ref()));
            dimensions
                .chain([(MEASURE, series.measure_name.as_ref())])
                .map(|(name, value)| {
                    let place = *names.entry(name).or_insert_with(|| {
                        columns.push(Column::default());
                        narrow(columns.len() - 1)
                    });
                    let bytes = name.len() + value.len();
                    let column = &mut columns[place as usize];
                    column.present += 1;
                    column.repeated_bytes += bytes;
                    let next = narrow(values.len());
                    let value = *values.entry((place, value)).or_insert_with(|| {
                        column.distinct += 1;
                        column.repeated_bytes -= bytes;
                        next
                    });
                    Attribute {
                        place,
                        value,
                        bytes: narrow(bytes),
                    }
                })
                .collect()
        })
        .collect();
    (attributes, columns)
}

fn narrow(number: usize) -> u32 {
    u32::try_from(number).expect("a request has less than 4 GiB")
}

/// The place of each column in the order of importance.
fn places(attributes: &[Vec<Attribute>], columns: &[Column]) -> Vec<u32> {
    let mut rest: Vec<usize> = (0..columns.len()).collect();
    rest.sort_by_key(|&column| std::cmp::Reverse(columns[column].repeated_bytes));
    let mut ordered = Vec::with_capacity(columns.len());
    let structural: Vec<usize> = rest
        .iter()
        .copied()
        .filter(|&column| 4 * columns[column].present >= attributes.len())
        .take(MAX_STRUCTURAL)
        .collect();
    let table = Table::new(attributes, &structural);
    let mut groups = vec![0; attributes.len()];
    for _ in 0..TRIED_PLACES {
        let candidates = rest.iter().filter(|column| structural.contains(column));
        let best = candidates
            .take(MAX_CANDIDATES)
            .map(|&column| table.divide(&groups, column))
            .max_by_key(|division| division.shared_bytes);
        let Some(best) = best else { break };
        let mut same: Vec<usize> = best
            .same
            .iter()
            .copied()
            .filter(|it| rest.contains(it))
            .collect();
        same.sort_by_key(|&column| (columns[column].distinct, column == best.column));
        rest.retain(|column| !same.contains(column));
        ordered.extend(same);
        groups = best.groups;
    }
    ordered.extend(rest);
    let mut places = vec![0; columns.len()];
    for (place, column) in ordered.into_iter().enumerate() {
        places[column] = narrow(place);
    }
    places
}

/// The structural attributes, one row for each series.
struct Table<'s> {
    columns: &'s [usize],
    /// Value and bytes; the value 0 stands for none.
    cells: Vec<(u32, u32)>,
}

/// Series divided by a column.
struct Division {
    column: usize,
    /// The group of each series.
    groups: Vec<u32>,
    /// Bytes that need not be repeated where each group is a call.
    shared_bytes: usize,
    /// Columns that are the same throughout each group, the dividing one among them.
    same: Vec<usize>,
}

impl<'s> Table<'s> {
    fn new(attributes: &[Vec<Attribute>], columns: &'s [usize]) -> Self {
        let mut cells = vec![(0, 0); attributes.len() * columns.len()];
        for (row, attributes) in attributes.iter().enumerate() {
            for attribute in attributes {
                let wanted = |column: &usize| *column == attribute.place as usize;
                if let Some(position) = columns.iter().position(wanted) {
                    cells[row * columns.len() + position] = (attribute.value + 1, attribute.bytes);
                }
            }
        }
        Self { columns, cells }
    }

    fn row(&self, series: usize) -> &[(u32, u32)] {
        &self.cells[series * self.columns.len()..][..self.columns.len()]
    }

    /// Divides `groups` further by the values of `column`.
    fn divide(&self, groups: &[u32], column: usize) -> Division {
        let position = self.columns.iter().position(|&it| it == column);
        let position = position.expect("only columns of the table are tried");
        let mut known: HashMap<(u32, u32), u32> = HashMap::new();
        // The first series of each group, how many there are, and a bit for each column in which
        // all of them agree.
        let mut members: Vec<(usize, usize, u32)> = Vec::new();
        let divided: Vec<u32> = groups
            .iter()
            .enumerate()
            .map(|(series, &group)| {
                let row = self.row(series);
                let group = *known.entry((group, row[position].0)).or_insert_with(|| {
                    members.push((series, 0, u32::MAX));
                    narrow(members.len() - 1)
                });
                let (first, count, agree) = &mut members[group as usize];
                *count += 1;
                for (bit, (cell, of_first)) in row.iter().zip(self.row(*first)).enumerate() {
                    *agree &= !(u32::from(cell.0 != of_first.0) << bit);
                }
                group
            })
            .collect();
        let shared = |&(first, count, agree): &(usize, usize, u32)| {
            let cells = self.row(first).iter().enumerate();
            let common = cells.filter(|(bit, _)| agree >> bit & 1 == 1);
            common.map(|(_, cell)| cell.1 as usize).sum::<usize>() * (count - 1)
        };
        let everywhere = members.iter().fold(u32::MAX, |all, member| all & member.2);
        Division {
            column,
            groups: divided,
            shared_bytes: members.iter().map(shared).sum(),
            same: (0..self.columns.len())
                .filter(|bit| everywhere >> bit & 1 == 1)
                .map(|bit| self.columns[bit])
                .collect(),
        }
    }
}
