//! The order of series in which neighbours share the most bytes.
//!
//! Attributes that all records of a call share are billed once, so the series of one pod, of one target, of one
//! metric should stand together; which of these matters most depends on the data. The attributes of
//! a series (its dimensions and its measure name) are put into an order of importance, and the
//! series are sorted by them in that order. The first attribute is the one whose values divide the
//! series into groups that would save the most as calls of their own; then it goes on within the
//! groups. What is the same throughout every group comes before the attribute that divides them, so
//! that it also holds neighbouring groups together.

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

/// The cost of a call of its own to a group: on average half of its last unit is empty, and about half of that again
/// stands for the price of a call. In the 70 combinations of data sets, shards and orders that were tried a
/// whole unit took up to 30 % more units and saved 2 % at most; half a unit took up to 11 % more.
const CALL_BYTES: usize = UNIT_BYTES * 3 / 4;

/// The series in an order, and what each shares with the one before.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Order {
    /// The place of each series; equal ones have the same.
    pub(super) places: Vec<u32>,
    /// For each place, bytes of the attributes up to the first in which its series differ from those
    /// of the place before; 0 for the first place.
    pub(super) shared_bytes: Vec<u32>,
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
    /// Series that have each attribute.
    uses: Vec<u32>,
    columns: Vec<Column>,
}

struct Attribute {
    id: AttributeId,
    column: u32,
    /// Its number among the values of the column, counted from 0.
    value: u32,
    bytes: u32,
}

/// The attributes of one name.
#[derive(Clone, Debug, Default)]
struct Column {
    /// Series that have it.
    present: usize,
    /// Different values.
    distinct: u32,
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
        let cells = series
            .iter()
            .map(|&it| stored.dimensions(it).len() + 1)
            .sum();
        let mut rows = Rows {
            cells: Vec::with_capacity(cells),
            ends: Vec::with_capacity(series.len()),
            attributes: Vec::new(),
            uses: Vec::new(),
            columns: Vec::new(),
        };
        for &series in series {
            for ids in [stored.dimensions(series), &[stored.measure(series)]] {
                for &id in ids {
                    let mut number = self.attributes[id.index()];
                    if number == NONE {
                        number = self.add(stored, id, &mut rows);
                    }
                    rows.uses[number as usize] += 1;
                    rows.cells.push(number);
                }
            }
            rows.ends.push(to_u32(rows.cells.len()));
        }
        for (attribute, &uses) in rows.attributes.iter().zip(&rows.uses) {
            let column = &mut rows.columns[attribute.column as usize];
            column.present += uses as usize;
            column.repeated_bytes += attribute.bytes as usize * (uses as usize - 1);
            // The next destination starts again.
            self.attributes[attribute.id.index()] = NONE;
            self.columns[stored.attribute(attribute.id).column()] = NONE;
        }
        rows
    }

    /// Numbers an attribute that no series before has.
    fn add(&mut self, stored: &StoredSeries<'_>, id: AttributeId, rows: &mut Rows) -> u32 {
        let number = to_u32(rows.attributes.len());
        self.attributes[id.index()] = number;
        let attribute = stored.attribute(id);
        let column = &mut self.columns[attribute.column()];
        if *column == NONE {
            *column = to_u32(rows.columns.len());
            rows.columns.push(Column::default());
        }
        let distinct = &mut rows.columns[*column as usize].distinct;
        rows.attributes.push(Attribute {
            id,
            column: *column,
            value: *distinct,
            bytes: to_u32(attribute.bytes()),
        });
        rows.uses.push(0);
        *distinct += 1;
        number
    }

    /// The order of these series, which are those of one destination.
    pub(super) fn order(&mut self, stored: &StoredSeries<'_>, series: &[SeriesId]) -> Order {
        let rows = self.rows(stored, series);
        let columns = by_importance(&rows);
        Sorter::new(&rows, &columns).order()
    }
}

impl Rows {
    fn len(&self) -> usize {
        self.ends.len()
    }

    fn row(&self, series: usize) -> &[u32] {
        let start = series.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.cells[start as usize..self.ends[series] as usize]
    }

    fn iter(&self) -> impl Iterator<Item = &[u32]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts
            .zip(&self.ends)
            .map(|(start, &end)| &self.cells[start as usize..end as usize])
    }
}

/// The columns, the most important one first.
fn by_importance(rows: &Rows) -> Vec<usize> {
    let columns = &rows.columns;
    let mut rest: Vec<usize> = (0..columns.len()).collect();
    rest.sort_by_key(|&column| std::cmp::Reverse(columns[column].repeated_bytes));
    let structural = rest.iter().copied();
    let structural = structural.filter(|&column| 4 * columns[column].present >= rows.len());
    let mut table = Table::new(rows, structural.take(MAX_STRUCTURAL).collect());
    let mut ordered = Vec::with_capacity(columns.len());
    let mut groups = Groups::all(rows.len());
    for place in 0..TRIED_PLACES {
        let candidates = rest.iter().copied().filter_map(|it| table.position(it));
        let divisions = table.divisions(&groups, candidates.take(MAX_CANDIDATES).collect());
        let best = divisions.into_iter().max_by_key(|it| it.saved_bytes);
        let Some(best) = best.filter(|best| best.saved_bytes > 0) else {
            break;
        };
        let mut same = table.columns_of(best.same);
        same.retain(|column| rest.contains(column));
        let dividing = table.columns[best.position];
        same.sort_by_key(|&column| (columns[column].distinct, column == dividing));
        rest.retain(|column| !same.contains(column));
        ordered.extend(same);
        if place + 1 < TRIED_PLACES {
            groups = table.split(&groups, best.position);
        }
    }
    ordered.extend(rest);
    ordered
}

/// The structural attributes.
struct Table {
    columns: Vec<usize>,
    rows: Vec<TableRow>,
    /// For each column the bytes of each of its values.
    bytes: Vec<Vec<u32>>,
    slots: Slots,
}

/// The attributes of a series: for each structural column the number of its value, counted from 1; 0 stands for none.
///
/// Of more than 65,535 values some have the same number. They are taken for equal, which costs units at most.
type TableRow = [u16; MAX_STRUCTURAL];

/// Series divided into groups.
struct Groups {
    /// The series of each group, one group after the other.
    series: Vec<u32>,
    /// The end of each group.
    ends: Vec<u32>,
}

impl Groups {
    /// All series in one group.
    fn all(series: usize) -> Self {
        Self {
            series: (0..to_u32(series)).collect(),
            ends: vec![to_u32(series)],
        }
    }

    fn iter(&self) -> impl Iterator<Item = &[u32]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts
            .zip(&self.ends)
            .map(|(start, &end)| &self.series[start as usize..end as usize])
    }
}

/// Groups divided further by the values of a column.
struct Division {
    /// Position of the dividing column in the table.
    position: usize,
    /// None if there are so many that to put them together takes as long as to divide again.
    parts: Parts,
    /// Bytes that need not be billed if each part that is worth it is a call.
    saved_bytes: usize,
    /// A bit for each column of the table that is the same throughout each part, the dividing one
    /// among them.
    same: u16,
}

/// The parts of groups, those of one group after those of the other.
#[derive(Default)]
struct Parts {
    all: Vec<Part>,
    /// The end of each group.
    ends: Vec<u32>,
}

/// The series of a group that have the same value, in short.
#[derive(Clone, Copy)]
struct Part {
    first: u32,
    count: u32,
    /// For each column zero if all of them agree.
    differ: TableRow,
}

impl Part {
    fn empty(first: u32) -> Self {
        Self {
            first,
            count: 0,
            differ: [0; MAX_STRUCTURAL],
        }
    }
}

/// Numbers the values in a group of series in the order in which they appear, one group after the other: a map
/// that is empty again at no cost.
#[derive(Default)]
struct Slots {
    /// For each value its number, counted from `start`; less if this group does not have it yet.
    numbers: Vec<u32>,
    start: u32,
    count: u32,
}

impl Slots {
    /// Starts with a group of series.
    fn clear(&mut self) {
        self.start += self.count;
        self.count = 0;
    }

    /// Returns the number of a value, counted from 0.
    fn number(&mut self, value: u16) -> usize {
        let number = &mut self.numbers[value as usize];
        if *number < self.start {
            *number = self.start + self.count;
            self.count += 1;
        }
        (*number - self.start) as usize
    }

    /// Forgets all groups; values are less than `values`.
    fn reset(&mut self, values: usize) {
        self.numbers.clear();
        self.numbers.resize(values, 0);
        (self.start, self.count) = (1, 0);
    }
}

impl Table {
    fn new(rows: &Rows, columns: Vec<usize>) -> Self {
        // One more for the columns that are not in the table.
        let mut positions = vec![MAX_STRUCTURAL; rows.columns.len()];
        for (position, &column) in columns.iter().enumerate() {
            positions[column] = position;
        }
        let mut bytes = vec![Vec::new(); columns.len()];
        let place = |attribute: &Attribute| {
            let position = positions[attribute.column as usize];
            if let Some(bytes) = bytes.get_mut(position) {
                bytes.push(attribute.bytes);
            }
            let value = (attribute.value % u32::from(u16::MAX)) as u16 + 1;
            (position as u16, value)
        };
        let places: Vec<(u16, u16)> = rows.attributes.iter().map(place).collect();
        let table_row = |cells: &[u32]| {
            let mut row = [0; MAX_STRUCTURAL + 1];
            for &cell in cells {
                let (position, value) = places[cell as usize];
                row[position as usize] = value;
            }
            let (row, _) = row.split_first_chunk().expect("it has one more");
            *row
        };
        Self {
            columns,
            rows: rows.iter().map(table_row).collect(),
            bytes,
            slots: Slots::default(),
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

    /// Prepares to number the values of the column at `position`.
    fn reset_slots(&mut self, position: usize) {
        let values = self.bytes[position].len().min(usize::from(u16::MAX));
        self.slots.reset(values + 1);
    }

    /// Divides the groups further by each of these columns, in their order.
    ///
    /// If a column is the same throughout the parts that another one makes, its parts are put together from
    /// those: with columns such as node, namespace, pod and id that is most of the work. So the columns of many values
    /// come first.
    fn divisions(&mut self, groups: &Groups, positions: Vec<usize>) -> Vec<Division> {
        let mut by_values = positions.clone();
        by_values.sort_by_key(|&position| std::cmp::Reverse(self.bytes[position].len()));
        let mut divisions: Vec<Division> = Vec::with_capacity(positions.len());
        for position in by_values {
            let finer = divisions
                .iter()
                .filter(|finer| !finer.parts.all.is_empty() && finer.same >> position & 1 == 1);
            let finer = finer.min_by_key(|it| it.parts.all.len());
            let parts = match finer {
                Some(finer) => self.join(&finer.parts, position),
                None => self.divide(groups, position),
            };
            let mut division = self.division(position, parts);
            if 2 * division.parts.all.len() > self.rows.len() {
                division.parts = Parts::default();
            }
            divisions.push(division);
        }
        divisions.sort_by_key(|it| {
            positions
                .iter()
                .position(|position| *position == it.position)
        });
        divisions
    }

    /// Divides the groups further by the values of the column at `position`.
    fn divide(&mut self, groups: &Groups, position: usize) -> Parts {
        self.reset_slots(position);
        let mut parts = Parts::default();
        for group in groups.iter() {
            self.slots.clear();
            let start = parts.all.len();
            // Series of a target follow one another.
            let value = |series: u32| self.rows[series as usize][position];
            for same in group.chunk_by(|&a, &b| value(a) == value(b)) {
                let number = start + self.slots.number(value(same[0]));
                if number == parts.all.len() {
                    parts.all.push(Part::empty(same[0]));
                }
                let part = &mut parts.all[number];
                let first = &self.rows[part.first as usize];
                let mut differ = part.differ;
                for &series in same {
                    add_difference(&mut differ, &self.rows[series as usize], first);
                }
                part.differ = differ;
                part.count += to_u32(same.len());
            }
            parts.ends.push(to_u32(parts.all.len()));
        }
        parts
    }

    /// As [`Self::divide`], from finer parts: the column is the same throughout each of them.
    fn join(&mut self, finer: &Parts, position: usize) -> Parts {
        self.reset_slots(position);
        let mut parts = Parts::default();
        let mut finer_start = 0;
        for &finer_end in &finer.ends {
            self.slots.clear();
            let start = parts.all.len();
            for finer in &finer.all[finer_start..finer_end as usize] {
                let row = &self.rows[finer.first as usize];
                match parts.all.get_mut(start + self.slots.number(row[position])) {
                    Some(part) => {
                        part.count += finer.count;
                        add_difference(&mut part.differ, row, &self.rows[part.first as usize]);
                        for (differ, it) in part.differ.iter_mut().zip(&finer.differ) {
                            *differ |= it;
                        }
                    }
                    None => parts.all.push(*finer),
                }
            }
            parts.ends.push(to_u32(parts.all.len()));
            finer_start = finer_end as usize;
        }
        parts
    }

    /// Looks at what the parts by the values of the column at `position` save and share.
    fn division(&self, position: usize, parts: Parts) -> Division {
        let mut differ = [0; MAX_STRUCTURAL];
        for part in &parts.all {
            for (all, it) in differ.iter_mut().zip(&part.differ) {
                *all |= it;
            }
        }
        Division {
            position,
            saved_bytes: parts.all.iter().map(|part| self.saved_bytes(part)).sum(),
            same: equal_columns(&differ),
            parts,
        }
    }

    /// Returns the parts into which [`Self::divide`] divides the groups.
    fn split(&mut self, groups: &Groups, position: usize) -> Groups {
        self.reset_slots(position);
        let mut parts = Groups {
            series: vec![0; groups.series.len()],
            ends: Vec::new(),
        };
        // The part of each series of a group, and then where the next series of each part goes.
        let (mut numbers, mut next) = (Vec::new(), Vec::new());
        let mut start = 0;
        for group in groups.iter() {
            self.slots.clear();
            numbers.clear();
            next.clear();
            for &series in group {
                let number = self.slots.number(self.rows[series as usize][position]);
                if number == next.len() {
                    next.push(0);
                }
                next[number] += 1;
                numbers.push(number);
            }
            for count in &mut next {
                let end = start + *count;
                *count = start;
                start = end;
                parts.ends.push(end);
            }
            for (&series, &number) in group.iter().zip(&numbers) {
                parts.series[next[number] as usize] = series;
                next[number] += 1;
            }
        }
        parts
    }

    /// The size that all but one of a part need not repeat, less the call that the part takes.
    fn saved_bytes(&self, part: &Part) -> usize {
        if part.count == 1 {
            return 0;
        }
        let row = &self.rows[part.first as usize];
        let columns = self.bytes.iter().zip(row).zip(&part.differ);
        let common = columns.filter(|((_, value), differ)| **value > 0 && **differ == 0);
        let bytes = common.map(|((bytes, &value), _)| bytes[usize::from(value) - 1] as usize);
        let repeated = bytes.sum::<usize>() * (part.count as usize - 1);
        repeated.saturating_sub(CALL_BYTES)
    }
}

/// Adds to the columns in which series differ those in which these two do.
fn add_difference(differ: &mut TableRow, a: &TableRow, b: &TableRow) {
    for ((differ, a), b) in differ.iter_mut().zip(a).zip(b) {
        *differ |= a ^ b;
    }
}

/// Returns a bit for each column in which series do not differ.
fn equal_columns(differ: &TableRow) -> u16 {
    let bits = differ.iter().enumerate();
    bits.map(|(position, it)| u16::from(*it == 0) << position)
        .sum()
}

/// Sorts series by their columns in the order of importance, and within a column by the order in which values
/// first appear; a series without the column comes after all that have it.
///
/// Most comparisons are of one number: [`KEY_BITS`] bits have the values of the first columns, mostly of all of
/// them. The number of the series is below them, so the sort is stable.
struct Sorter<'r> {
    rows: &'r Rows,
    /// The part that each attribute takes from the key of a series without columns.
    keys: Vec<u128>,
    /// For each attribute the place of its column, and its bytes.
    places: Vec<(u32, u32)>,
    /// The key of a series that has none of the columns.
    without_columns: u128,
    /// The place of the column that each bit of a key belongs to, from the highest bit on.
    place_of_bit: [u32; KEY_BITS as usize],
    /// The first place whose column is not in the key.
    places_in_key: u32,
}

/// Bits of a key that hold values.
const KEY_BITS: u32 = 128 - SERIES_BITS;
/// The lowest bits of a key, which hold the number of the series.
const SERIES_BITS: u32 = 32;

impl<'r> Sorter<'r> {
    fn new(rows: &'r Rows, columns: &[usize]) -> Self {
        let mut sorter = Self {
            rows,
            keys: Vec::with_capacity(rows.attributes.len()),
            places: Vec::with_capacity(rows.attributes.len()),
            without_columns: 0,
            place_of_bit: [0; KEY_BITS as usize],
            places_in_key: to_u32(columns.len()),
        };
        // For each column its place and, if it takes bits of the key, its last value and their position.
        let mut fields = vec![(0, None); columns.len()];
        let mut bits_left = KEY_BITS;
        for (place, &column) in (0..).zip(columns) {
            let Column {
                distinct, present, ..
            } = rows.columns[column];
            // Without a value counts as the value after all others.
            let last = match present < rows.len() {
                true => distinct,
                false => distinct - 1,
            };
            let bits = u32::BITS - last.leading_zeros();
            if bits > bits_left {
                sorter.places_in_key = sorter.places_in_key.min(place);
            }
            fields[column] = (place, None);
            if bits == 0 || place >= sorter.places_in_key {
                continue;
            }
            let start = (KEY_BITS - bits_left) as usize;
            sorter.place_of_bit[start..start + bits as usize].fill(place);
            bits_left -= bits;
            let shift = SERIES_BITS + bits_left;
            sorter.without_columns |= u128::from(last) << shift;
            fields[column] = (place, Some((last, shift)));
        }
        for attribute in &rows.attributes {
            let (place, field) = fields[attribute.column as usize];
            let key = field.map_or(0, |(last, shift)| {
                u128::from(last - attribute.value) << shift
            });
            sorter.keys.push(key);
            sorter.places.push((place, attribute.bytes));
        }
        sorter
    }

    fn order(&self) -> Order {
        let mut order = Order {
            places: vec![0; self.rows.len()],
            shared_bytes: Vec::with_capacity(self.rows.len()),
        };
        let mut before = None;
        for equal in self
            .sorted_keys()
            .chunk_by(|a, b| a >> SERIES_BITS == b >> SERIES_BITS)
        {
            let key = equal[0];
            let place = before.map_or(0, |before| self.first_difference(before, key));
            before = Some(key);
            let shared_bytes = self.shared_bytes(series_of(key), place);
            order.shared_bytes.push(shared_bytes);
            if equal.len() == 1 || self.places_in_key as usize == self.rows.columns.len() {
                equal.iter().for_each(|&key| order.put_last(series_of(key)));
            } else {
                self.sort_by_tail(equal, &mut order);
            }
        }
        order
    }

    fn sorted_keys(&self) -> Vec<u128> {
        let key = |(series, cells): (u32, &[u32])| {
            let keys = cells.iter().map(|&cell| self.keys[cell as usize]);
            self.without_columns - keys.sum::<u128>() + u128::from(series)
        };
        let mut keys: Vec<u128> = (0..).zip(self.rows.iter()).map(key).collect();
        keys.sort_unstable();
        keys
    }

    /// Returns the place of the first column in which two series have different values, by their keys.
    fn first_difference(&self, a: u128, b: u128) -> u32 {
        self.place_of_bit[(a ^ b).leading_zeros() as usize]
    }

    /// Sorts series of equal keys by their other columns.
    fn sort_by_tail(&self, equal: &[u128], order: &mut Order) {
        let series = equal.iter().map(|&key| series_of(key));
        let mut sorted: Vec<_> = series.map(|series| (self.tail(series), series)).collect();
        sorted.sort_unstable();
        let mut before: Option<&Vec<_>> = None;
        for (tail, series) in &sorted {
            let differ = before.and_then(|it| it.iter().zip(tail).find(|(a, b)| a != b));
            if let Some(((place, _), (other_place, _))) = differ {
                let shared_bytes = self.shared_bytes(*series, *place.min(other_place));
                order.shared_bytes.push(shared_bytes);
            }
            order.put_last(*series);
            before = Some(tail);
        }
    }

    /// Returns what follows the key of a series: the places and values of its other columns, and an end after all of
    /// them.
    fn tail(&self, series: usize) -> Vec<(u32, u32)> {
        let cells = self.rows.row(series).iter().map(|&cell| cell as usize);
        let others = cells.filter(|&cell| self.places[cell].0 >= self.places_in_key);
        let mut tail: Vec<_> = others
            .map(|cell| (self.places[cell].0, self.rows.attributes[cell].value))
            .collect();
        tail.sort_unstable();
        tail.push((u32::MAX, 0));
        tail
    }

    /// Returns the bytes of the attributes of a series before the column at `place`.
    fn shared_bytes(&self, series: usize, place: u32) -> u32 {
        let cells = self.rows.row(series).iter();
        let before = |&cell: &u32| {
            let (its_place, bytes) = self.places[cell as usize];
            if its_place < place { bytes } else { 0 }
        };
        cells.map(before).sum()
    }
}

/// Returns the series of a key.
fn series_of(key: u128) -> usize {
    key as u32 as usize
}

impl Order {
    /// Puts a series to the last place.
    fn put_last(&mut self, series: usize) {
        self.places[series] = to_u32(self.shared_bytes.len() - 1);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// For each series the values of the columns that it has.
    type Values = Vec<Vec<Option<u8>>>;

    /// Series with these values; those of each column have a length of their own.
    fn stored(values: &Values) -> (StoredSeries<'static>, Vec<SeriesId>) {
        let mut stored = StoredSeries::default();
        let add = |values: &Vec<Option<u8>>| {
            let values = values.iter().enumerate();
            let dimensions = values.filter_map(|(column, value)| {
                let length = 3 + column * 61 % 130;
                value.map(|value| (format!("c{column}"), format!("{value:0>length$}")))
            });
            let dimensions: Vec<_> = dimensions.collect();
            let dimensions = dimensions.iter().map(|(name, value)| (&**name, &**value));
            stored.add_new("m", &dimensions.collect::<Vec<_>>())
        };
        let series = values.iter().map(add).collect();
        (stored, series)
    }

    fn rows(values: &Values) -> Rows {
        let (stored, series) = stored(values);
        Numbering::new(&stored).rows(&stored, &series)
    }

    /// A group and the value by which it is divided, and series of both.
    type PlainParts = BTreeMap<(u32, u16), Vec<usize>>;

    /// The parts of `groups` by the values of a column, the bytes that they save, and the columns that are the same in
    /// each of them: as [`Table::divide`], by looking at all rows of each part.
    fn plain_division(table: &Table, groups: &[u32], position: usize) -> (PlainParts, usize, u16) {
        let mut parts = PlainParts::new();
        for (series, (row, &group)) in table.rows.iter().zip(groups).enumerate() {
            parts
                .entry((group, row[position]))
                .or_default()
                .push(series);
        }
        let is_same = |part: &[usize], column: usize| {
            let mut values = part.iter().map(|&series| table.rows[series][column]);
            let first = values.next().expect("no part is empty");
            values.all(|value| value == first).then_some(first)
        };
        let saved = |part: &Vec<usize>| {
            let columns = table.bytes.iter().enumerate();
            let values = columns.map(|(column, bytes)| match is_same(part, column) {
                None | Some(0) => 0,
                Some(value) => bytes[usize::from(value) - 1] as usize,
            });
            (values.sum::<usize>() * (part.len() - 1)).saturating_sub(CALL_BYTES)
        };
        let saved_bytes = parts.values().map(saved).sum();
        let columns = (0..MAX_STRUCTURAL)
            .filter(|&column| parts.values().all(|part| is_same(part, column).is_some()));
        let same = columns.map(|column| 1 << column).sum();
        (parts, saved_bytes, same)
    }

    /// Series of columns of which some say what others do.
    fn dependent_values() -> impl Strategy<Value = Values> {
        let series = (0..8_u8, 0..3_u8, prop::option::weighted(0.8, 0..4_u8));
        prop::collection::vec(series, 1..80).prop_map(|series| {
            let values = series.into_iter().map(|(a, b, c)| {
                vec![
                    Some(b),
                    Some(a / 2),
                    Some(a),
                    c,
                    Some(a / 4),
                    Some(a * 3 + b),
                    c.map(|c| c / 2),
                    Some(0),
                ]
            });
            values.collect()
        })
    }

    /// Series of more columns than a key holds, that differ in few of them.
    fn long_values() -> impl Strategy<Value = Values> {
        let value = || prop::option::weighted(0.9, 0..6_u8);
        let templates = prop::collection::vec(prop::collection::vec(value(), 50), 2..8);
        let changes = prop::collection::vec((0..8_usize, 0..50_usize, value()), 1..60);
        (templates, changes).prop_map(|(templates, changes)| {
            let changed = changes.into_iter().map(|(template, column, value)| {
                let mut values = templates[template % templates.len()].clone();
                values[column] = value;
                values
            });
            changed.collect()
        })
    }

    /// Places and shared bytes as [`Sorter::order`] finds them, from the values of all columns.
    fn plain_order(rows: &Rows, columns: &[usize]) -> Order {
        let values = |series: usize| -> Vec<(u32, u32)> {
            let value = |&column: &usize| {
                let mut attributes = rows
                    .row(series)
                    .iter()
                    .map(|&it| &rows.attributes[it as usize]);
                let found = attributes.find(|it| it.column as usize == column);
                // Without a value counts as the last one.
                found.map_or((u32::MAX, 0), |it| (it.value, it.bytes))
            };
            columns.iter().map(value).collect()
        };
        let mut sorted: Vec<_> = (0..rows.len())
            .map(|series| (values(series), series))
            .collect();
        sorted.sort();
        let mut places = vec![0; rows.len()];
        let mut shared_bytes: Vec<u32> = Vec::new();
        for (index, (own, series)) in sorted.iter().enumerate() {
            let before = index.checked_sub(1).map(|before| &sorted[before].0);
            if before != Some(own) {
                let shared = before.into_iter().flatten().zip(own);
                let shared = shared.take_while(|(a, b)| a == b);
                shared_bytes.push(shared.map(|(it, _)| it.1).sum());
            }
            places[*series] = to_u32(shared_bytes.len() - 1);
        }
        Order {
            places,
            shared_bytes,
        }
    }

    fn assert_sorted_as_plain(values: &Values) {
        let rows = rows(values);
        for columns in [
            by_importance(&rows),
            (0..rows.columns.len()).rev().collect(),
        ] {
            let order = Sorter::new(&rows, &columns).order();
            assert_eq!(order, plain_order(&rows, &columns));
        }
    }

    #[test]
    fn more_columns_than_a_key_holds() {
        let values: Values = (0..6).map(|it| vec![Some(it); 50]).collect();
        let rows = rows(&values);
        let sorter = Sorter::new(&rows, &by_importance(&rows));
        assert_eq!((sorter.places_in_key, rows.columns.len()), (33, 51));
    }

    proptest! {
        #[test]
        fn divisions_are_those_of_the_plain_way(values in dependent_values()) {
            let rows = rows(&values);
            let mut table = Table::new(&rows, (0..rows.columns.len()).collect());
            let mut groups = Groups::all(rows.len());
            let mut group_of = vec![0; rows.len()];
            for position in [3, 1, 2] {
                let position = position % table.columns.len();
                let candidates: Vec<_> = (0..table.columns.len()).rev().collect();
                for division in table.divisions(&groups, candidates) {
                    let (parts, saved_bytes, same) = plain_division(&table, &group_of, division.position);
                    prop_assert_eq!((division.saved_bytes, division.same), (saved_bytes, same));
                    let found = table.divide(&groups, division.position).all;
                    let found = found.iter().map(|it| (it.first as usize, it.count as usize));
                    let mut found: Vec<_> = found.collect();
                    let mut expected: Vec<_> = parts.values().map(|it| (it[0], it.len())).collect();
                    found.sort_unstable();
                    expected.sort_unstable();
                    prop_assert_eq!(found, expected);
                }
                let (parts, ..) = plain_division(&table, &group_of, position);
                groups = table.split(&groups, position);
                let found = groups.iter().map(|it| it.iter().map(|&it| it as usize).collect());
                let mut found: Vec<Vec<usize>> = found.collect();
                for (group, series) in found.iter().enumerate() {
                    series.iter().for_each(|&it| group_of[it] = to_u32(group));
                }
                found.sort_unstable();
                let mut expected: Vec<_> = parts.into_values().collect();
                expected.sort_unstable();
                prop_assert_eq!(found, expected);
            }
        }

        #[test]
        fn few_columns_are_sorted_as_by_their_values(values in dependent_values()) {
            assert_sorted_as_plain(&values);
        }

        #[test]
        fn many_columns_are_sorted_as_by_their_values(values in long_values()) {
            assert_sorted_as_plain(&values);
        }
    }
}
