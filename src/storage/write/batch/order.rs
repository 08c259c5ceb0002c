//! The order of series in which neighbours share the most bytes.
//!
//! Attributes that all records of a call share are billed once, so the series of one pod, of one target, of one
//! metric should stand together; which of these matters most depends on the data. The attributes of
//! a series (its dimensions and its measure name) are put into an order of importance, and the
//! series are sorted by them in that order. The first attribute is the one whose values divide the
//! series into groups that would save the most as calls of their own; then it goes on within the
//! groups. What is the same throughout every group comes before the attribute that divides them, so
//! that it also holds neighbouring groups together.

use hashbrown::HashMap;
use prom_wire::request::to_u32;

use crate::storage::write::body::UNIT_BYTES;
use crate::storage::write::stored::{AttributeId, SeriesId, StoredSeries};

/// Attributes that are looked at closely: those that most series have. More cost time and change
/// nothing, because an attribute of few series cannot divide all of them.
const MAX_STRUCTURAL: usize = 16;
/// Attributes that are tried for each of the first places.
const MAX_CANDIDATES: usize = 6;
/// Places that are filled by trying; the others go by the bytes that an attribute repeats.
const TRIED_PLACES: usize = 3;

/// What a call of its own costs a group: on average half of its last unit is empty, and about half of that again
/// stands for the price of a call. In the 70 combinations of data sets, shards and orders that were tried a
/// whole unit took up to 30 % more units and saved 2 % at most; half a unit took up to 11 % more.
const CALL_BYTES: usize = UNIT_BYTES * 3 / 4;

/// The series in an order, and what each shares with the one before.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Order {
    /// The place of each series; equal ones have the same.
    pub(super) places: Vec<usize>,
    /// For each place, bytes of the attributes up to the first in which its series differ from those
    /// of the place before; 0 for the first place.
    pub(super) shared_bytes: Vec<usize>,
}

/// Numbers what the series of a destination have, one destination after the other.
///
/// The attributes of a destination are numbered from 0, so the work for each depends on its own series alone.
pub(super) struct Numbering {
    /// The number of each attribute of the request.
    attributes: Vec<u32>,
    /// The number of each name of attributes of the request.
    columns: Vec<u32>,
}

/// Not numbered yet.
const NONE: u32 = u32::MAX;

/// The series of a destination as lists of numbers.
struct Rows {
    /// The attributes of all series, one after the other.
    cells: Vec<u32>,
    /// The end of each series.
    ends: Vec<u32>,
    attributes: Vec<Attribute>,
    columns: Vec<Column>,
}

struct Attribute {
    id: AttributeId,
    column: u32,
    bytes: usize,
    /// Series that have it.
    uses: usize,
}

/// The attributes of one name.
#[derive(Clone, Debug, Default)]
struct Column {
    /// Series that have it.
    present: usize,
    /// Different values.
    distinct: usize,
    /// Bytes of all its values, less those of different ones.
    repeated_bytes: usize,
}

impl Numbering {
    pub(super) fn new(stored: &StoredSeries<'_>) -> Self {
        Self {
            attributes: vec![NONE; stored.attribute_count()],
            columns: vec![NONE; stored.column_count()],
        }
    }

    fn rows(&mut self, stored: &StoredSeries<'_>, series: &[SeriesId]) -> Rows {
        let mut rows = Rows {
            cells: Vec::with_capacity(series.len() * 12),
            ends: Vec::with_capacity(series.len()),
            attributes: Vec::new(),
            columns: Vec::new(),
        };
        for &series in series {
            let measure = stored.measure(series);
            for &id in stored.dimensions(series).iter().chain([&measure]) {
                let number = &mut self.attributes[id.index()];
                if *number == NONE {
                    *number = to_u32(rows.attributes.len());
                    let attribute = stored.attribute(id);
                    let column = &mut self.columns[attribute.column()];
                    if *column == NONE {
                        *column = to_u32(rows.columns.len());
                        rows.columns.push(Column::default());
                    }
                    rows.attributes.push(Attribute {
                        id,
                        column: *column,
                        bytes: attribute.bytes(),
                        uses: 0,
                    });
                }
                rows.attributes[*number as usize].uses += 1;
                rows.cells.push(*number);
            }
            rows.ends.push(to_u32(rows.cells.len()));
        }
        for attribute in &rows.attributes {
            let column = &mut rows.columns[attribute.column as usize];
            column.present += attribute.uses;
            column.distinct += 1;
            column.repeated_bytes += attribute.bytes * (attribute.uses - 1);
            // The next destination starts again.
            self.attributes[attribute.id.index()] = NONE;
            self.columns[stored.attribute(attribute.id).column()] = NONE;
        }
        rows
    }

    /// The order of these series, which are those of one destination.
    pub(super) fn order(&mut self, stored: &StoredSeries<'_>, series: &[SeriesId]) -> Order {
        let mut rows = self.rows(stored, series);
        let ranks = ranks(&rows);
        let mut start = 0;
        for &end in &rows.ends {
            let row = &mut rows.cells[start..end as usize];
            for cell in row.iter_mut() {
                *cell = ranks[*cell as usize];
            }
            row.sort_unstable();
            start = end as usize;
        }
        let mut bytes = vec![0; ranks.len()];
        for (attribute, &rank) in rows.attributes.iter().zip(&ranks) {
            bytes[rank as usize] = attribute.bytes;
        }
        let mut order: Vec<usize> = (0..series.len()).collect();
        // Stable: what is equal stays in the order received.
        order.sort_by(|&a, &b| rows.row(a).cmp(rows.row(b)));
        let mut places = vec![0; series.len()];
        let mut shared_bytes = Vec::with_capacity(series.len());
        let mut before: &[u32] = &[];
        for series in order {
            let own = rows.row(series);
            // No series is without attributes, so the first one differs from nothing.
            if own != before {
                let shared = before.iter().zip(own).take_while(|(a, b)| a == b);
                shared_bytes.push(shared.map(|(&rank, _)| bytes[rank as usize]).sum());
            }
            places[series] = shared_bytes.len() - 1;
            before = own;
        }
        Order {
            places,
            shared_bytes,
        }
    }
}

impl Rows {
    fn row(&self, series: usize) -> &[u32] {
        let start = series.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.cells[start as usize..self.ends[series] as usize]
    }
}

/// For each attribute its position among all, sorted by the importance of their names.
fn ranks(rows: &Rows) -> Vec<u32> {
    let mut places = vec![0; rows.columns.len()];
    for (place, column) in by_importance(rows).into_iter().enumerate() {
        places[column] = place;
    }
    let mut sorted: Vec<usize> = (0..rows.attributes.len()).collect();
    sorted.sort_by_key(|&attribute| places[rows.attributes[attribute].column as usize]);
    let mut ranks = vec![0; sorted.len()];
    for (rank, attribute) in sorted.into_iter().enumerate() {
        ranks[attribute] = to_u32(rank);
    }
    ranks
}

/// The columns, the most important one first.
fn by_importance(rows: &Rows) -> Vec<usize> {
    let columns = &rows.columns;
    let mut rest: Vec<usize> = (0..columns.len()).collect();
    rest.sort_by_key(|&column| std::cmp::Reverse(columns[column].repeated_bytes));
    let structural = rest.iter().copied();
    let structural = structural.filter(|&column| 4 * columns[column].present >= rows.ends.len());
    let table = Table::new(rows, structural.take(MAX_STRUCTURAL).collect());
    let mut ordered = Vec::with_capacity(columns.len());
    let mut groups = vec![0; table.rows.len()];
    for _ in 0..TRIED_PLACES {
        let candidates = rest.iter().copied().filter_map(|it| table.position(it));
        let best = candidates
            .take(MAX_CANDIDATES)
            .map(|position| table.divide(&groups, position))
            .max_by_key(|division| division.saved_bytes);
        let Some(best) = best.filter(|best| best.saved_bytes > 0) else {
            break;
        };
        let mut same = table.columns_of(best.same);
        same.retain(|column| rest.contains(column));
        let dividing = table.columns[best.position];
        same.sort_by_key(|&column| (columns[column].distinct, column == dividing));
        rest.retain(|column| !same.contains(column));
        ordered.extend(same);
        groups = best.groups;
    }
    ordered.extend(rest);
    ordered
}

/// The structural attributes, one row for each series.
struct Table<'r> {
    columns: Vec<usize>,
    attributes: &'r [Attribute],
    /// Numbers of attributes, counted from 1; 0 stands for none.
    rows: Vec<[u32; MAX_STRUCTURAL]>,
}

/// Series divided by a column.
struct Division {
    /// Position of the dividing column in the table.
    position: usize,
    /// The group of each series.
    groups: Vec<u32>,
    /// Bytes that need not be billed if each group that is worth it is a call.
    saved_bytes: usize,
    /// A bit for each column of the table that is the same throughout each group, the dividing one
    /// among them.
    same: u16,
}

/// Some series.
struct Group {
    first: u32,
    count: u32,
    /// A bit for each column of the table in which not all of them agree.
    differ: u16,
}

impl<'r> Table<'r> {
    fn new(rows: &'r Rows, columns: Vec<usize>) -> Self {
        let mut positions = vec![None; rows.columns.len()];
        for (position, &column) in columns.iter().enumerate() {
            positions[column] = Some(position);
        }
        let table_row = |series| {
            let mut row = [0; MAX_STRUCTURAL];
            for &cell in rows.row(series) {
                if let Some(position) = positions[rows.attributes[cell as usize].column as usize] {
                    row[position] = cell + 1;
                }
            }
            row
        };
        Self {
            rows: (0..rows.ends.len()).map(table_row).collect(),
            columns,
            attributes: &rows.attributes,
        }
    }

    fn position(&self, column: usize) -> Option<usize> {
        self.columns.iter().position(|&it| it == column)
    }

    fn columns_of(&self, bits: u16) -> Vec<usize> {
        let columns = self.columns.iter().enumerate();
        let columns = columns.filter(|(position, _)| bits >> position & 1 == 1);
        columns.map(|(_, &column)| column).collect()
    }

    /// Divides `groups` further by the values of the column at `position`.
    fn divide(&self, groups: &[u32], position: usize) -> Division {
        let mut known: HashMap<u64, u32> = HashMap::new();
        let mut divided = Vec::with_capacity(groups.len());
        let mut members: Vec<Group> = Vec::new();
        // Series come target by target, so many are in the group of the one before.
        let mut before = (u64::MAX, 0);
        for ((series, row), &group) in (0..).zip(&self.rows).zip(groups) {
            let key = u64::from(group) << 32 | u64::from(row[position]);
            if before.0 != key {
                let group = known.entry(key).or_insert_with(|| {
                    members.push(Group {
                        first: series,
                        count: 0,
                        differ: 0,
                    });
                    to_u32(members.len() - 1)
                });
                before = (key, *group);
            }
            let group = before.1;
            let member = &mut members[group as usize];
            member.count += 1;
            member.differ |= difference(row, &self.rows[member.first as usize]);
            divided.push(group);
        }
        Division {
            position,
            groups: divided,
            saved_bytes: members.iter().map(|group| self.saved_bytes(group)).sum(),
            same: !members.iter().fold(0, |all, group| all | group.differ),
        }
    }

    /// The size that all but one of a group need not repeat, less the call that the group takes.
    fn saved_bytes(&self, group: &Group) -> usize {
        let row = self.rows[group.first as usize].iter().enumerate();
        let common = row.filter(|(position, cell)| **cell > 0 && group.differ >> position & 1 == 0);
        let common = common.map(|(_, &cell)| self.attributes[cell as usize - 1].bytes);
        let repeated = common.sum::<usize>() * (group.count as usize - 1);
        repeated.saturating_sub(CALL_BYTES)
    }
}

/// A bit for each position in which the rows differ.
fn difference(a: &[u32; MAX_STRUCTURAL], b: &[u32; MAX_STRUCTURAL]) -> u16 {
    let mut bits = 0;
    for position in 0..MAX_STRUCTURAL {
        bits |= u16::from(a[position] != b[position]) << position;
    }
    bits
}
