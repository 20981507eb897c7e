//! The device's database: rows, the rules between them, and what changed.
//!
//! Ids are 64-bit and the next one is the highest plus one, so the id of the last row that went may come back. Numbers
//! of access logs never do. A write with several rows is carried out whole or not at all.

use std::collections::{BTreeMap, BTreeSet};

use super::refusal::Refusal;
use super::row::{self, Cell, Row};
use super::schema::{self, Object};

/// What becomes of the rows that refer to a row which is destroyed. The vendor does not say, so a client must get along
/// with each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Dependents {
    /// They go with it.
    #[default]
    Follow,
    /// It is refused as long as there are any.
    Forbid,
    /// They stay and lead nowhere.
    Stay,
    /// They stay and lead nowhere, and a new row may lead nowhere, too: its database looks at no reference.
    Loose,
}

/// How much the device holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pub(super) cards: usize,
    pub(super) logs: usize,
}

/// One change of a table that the monitor hears of.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) object: &'static Object,
    /// `inserted`, `updated` or `deleted`.
    pub(super) kind: &'static str,
    pub(super) row: Row,
}

/// All rows of all objects.
#[derive(Clone, Debug)]
pub(super) struct Store {
    tables: BTreeMap<&'static str, Vec<Row>>,
    changes: Vec<Change>,
    /// The numbers given to rows without an id of their own.
    links: i64,
    /// The number of the last access log.
    last_log: i64,
    room: Room,
    dependents: Dependents,
}

impl Store {
    /// What a device holds that leaves the factory: one rule that always allows, for the group 1 and every portal.
    pub(super) fn factory(device_id: i64, portals: u8, room: Room, dependents: Dependents) -> Self {
        let (tables, changes) = (BTreeMap::new(), Vec::new());
        let mut store = Self { tables, changes, links: 0, last_log: 0, room, dependents };
        store.seed("areas", "Outside", &[]);
        store.seed("areas", "Inside", &[]);
        store.seed("groups", "Standard", &[]);
        store.seed("time_zones", "Always", &[]);
        let days = ["sun", "mon", "tue", "wed", "thu", "fri", "sat", "hol1", "hol2", "hol3"];
        let mut always = row::ints(&[("time_zone_id", 1), ("start", 0), ("end", 86_399)]);
        always.extend(days.map(|day| (day, Cell::Int(1))));
        store.plant("time_spans", &always);
        store.seed("access_rules", "Always", &[("type", 1), ("priority", 0)]);
        store.plant("access_rule_time_zones", &row::ints(&[("access_rule_id", 1), ("time_zone_id", 1)]));
        store.plant("group_access_rules", &row::ints(&[("group_id", 1), ("access_rule_id", 1)]));
        store.plant("contingency_card_access_rules", &row::ints(&[("access_rule_id", 1)]));
        for portal in 1..=i64::from(portals) {
            store.seed("portals", &format!("Portal {portal}"), &[("area_from_id", 1), ("area_to_id", 2)]);
            store.plant("portal_access_rules", &row::ints(&[("portal_id", portal), ("access_rule_id", 1)]));
        }
        let mut itself = row::ints(&[("id", device_id)]);
        itself.insert("name", Cell::Text("This device".to_owned()));
        itself.insert("ip", Cell::Text("127.0.0.1".to_owned()));
        store.plant("devices", &itself);
        store.changes.clear();
        store
    }

    fn seed(&mut self, object: &str, name: &str, numbers: &[(&'static str, i64)]) {
        let mut row = row::ints(numbers);
        row.insert("name", Cell::Text(name.to_owned()));
        self.plant(object, &row);
    }

    /// Puts in a row that keeps the rules, and gives its number.
    ///
    /// # Panics
    /// If it does not keep them; only rows made in this crate come this way.
    pub(super) fn plant(&mut self, object: &str, row: &Row) -> i64 {
        let object = schema::object(object).expect("an object of the schema");
        self.insert(object, row).expect("a row that keeps the rules")
    }

    pub(super) fn rows(&self, object: &str) -> &[Row] {
        self.tables.get(object).map_or(&[], Vec::as_slice)
    }

    /// The first row with that number in that field.
    pub(super) fn find(&self, object: &str, field: &str, number: i64) -> Option<&Row> {
        self.rows(object).iter().find(|row| row.get(field) == Some(&Cell::Int(number)))
    }

    /// What changed since this was last asked.
    pub(super) fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// Adds one row and gives its number.
    pub(super) fn insert(&mut self, object: &'static Object, given: &Row) -> Result<i64, Refusal> {
        let mut row = row::complete(object, given)?;
        if object.has_id() && row.get("id") == Some(&Cell::Null) {
            row.insert("id", Cell::Int(self.next_id(object.name)));
        }
        self.check(object, &row, None)?;
        if object.name == "cards" && self.rows("cards").len() >= self.room.cards {
            return Err(Refusal::full());
        }
        let number = if object.has_id() {
            row::int(&row, "id")
        } else {
            self.links += 1;
            self.links
        };
        self.note(object, "inserted", &row);
        self.tables.entry(object.name).or_default().push(row);
        Ok(number)
    }

    /// Adds all rows, or none.
    pub(super) fn insert_all(&mut self, object: &'static Object, given: &[Row]) -> Result<Vec<i64>, Refusal> {
        let (held, noted) = (self.rows(object.name).len(), self.changes.len());
        let ids: Result<Vec<_>, _> = given.iter().map(|row| self.insert(object, row)).collect();
        if let (Err(_), Some(rows)) = (&ids, self.tables.get_mut(object.name)) {
            rows.truncate(held);
            self.changes.truncate(noted);
        }
        ids
    }

    /// Changes the rows whose `id` there is, adds the others; all or none.
    pub(super) fn put_all(&mut self, object: &'static Object, given: &[Row]) -> Result<usize, Refusal> {
        self.whole(object, |store| {
            for row in given {
                let id = row.get("id").cloned();
                let known =
                    id.filter(|id| store.rows(object.name).iter().any(|row| row.get("id") == Some(id)));
                match known {
                    Some(id) => {
                        store.modify(object, row, &|other: &Row| other.get("id") == Some(&id))?;
                    }
                    None => {
                        store.insert(object, row)?;
                    }
                }
            }
            Ok(given.len())
        })
    }

    /// Undoes what was changed in one table, should it be refused half-way.
    fn whole<T>(
        &mut self,
        object: &'static Object,
        write: impl FnOnce(&mut Self) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let before = self.rows(object.name).to_vec();
        let noted = self.changes.len();
        let written = write(self);
        if written.is_err() {
            self.tables.insert(object.name, before);
            self.changes.truncate(noted);
        }
        written
    }

    /// Changes the rows that match, all or none, and counts them.
    pub(super) fn modify(
        &mut self,
        object: &'static Object,
        given: &Row,
        matches: &dyn Fn(&Row) -> bool,
    ) -> Result<usize, Refusal> {
        self.whole(object, |store| {
            let all = store.rows(object.name).iter().enumerate();
            let places: Vec<usize> = all.filter(|&(_, row)| matches(row)).map(|(at, _)| at).collect();
            for &at in &places {
                let mut row = store.rows(object.name)[at].clone();
                let id = row.get("id").cloned();
                row.extend(given.iter().map(|(name, cell)| (*name, cell.clone())));
                if row.get("id") != id.as_ref() {
                    return Err(Refusal::bad("Invalid member 'id' (an id stays)"));
                }
                store.check(object, &row, Some(at))?;
                store.note(object, "updated", &row);
                if let Some(place) = store.tables.get_mut(object.name).and_then(|rows| rows.get_mut(at)) {
                    *place = row;
                }
            }
            Ok(places.len())
        })
    }

    /// Takes away the rows that match and counts them; those that follow them are not counted.
    pub(super) fn destroy(
        &mut self,
        object: &'static Object,
        matches: &dyn Fn(&Row) -> bool,
    ) -> Result<usize, Refusal> {
        let held = |row: &Row| matches(row) && self.is_referred_to(object, row::int(row, "id"));
        if self.dependents == Dependents::Forbid && self.rows(object.name).iter().any(held) {
            return Err(Refusal::constraint("FOREIGN KEY"));
        }
        Ok(self.take(object, matches))
    }

    fn is_referred_to(&self, object: &'static Object, id: i64) -> bool {
        object.has_id()
            && schema::dependents(object.name)
                .any(|(child, field)| self.find(child.name, field, id).is_some())
    }

    fn take(&mut self, object: &'static Object, matches: &dyn Fn(&Row) -> bool) -> usize {
        let rows = std::mem::take(self.tables.entry(object.name).or_default());
        let (gone, kept): (Vec<Row>, Vec<Row>) = rows.into_iter().partition(|row| matches(row));
        self.tables.insert(object.name, kept);
        for row in &gone {
            self.note(object, "deleted", row);
        }
        if self.dependents == Dependents::Follow && object.has_id() && !gone.is_empty() {
            let ids: BTreeSet<i64> = gone.iter().map(|row| row::int(row, "id")).collect();
            for (child, field) in schema::dependents(object.name) {
                self.take(child, &|row: &Row| ids.contains(&row::int(row, field)));
            }
        }
        gone.len()
    }

    /// Writes an access log and gives its number; the oldest give way.
    pub(super) fn log(&mut self, given: &Row) -> i64 {
        self.last_log += 1;
        let mut row = given.clone();
        row.insert("id", Cell::Int(self.last_log));
        self.plant("access_logs", &row);
        let room = self.room.logs.max(1);
        if let Some(logs) = self.tables.get_mut("access_logs").filter(|logs| logs.len() > room) {
            logs.remove(0);
        }
        self.last_log
    }

    /// Notes when the user was last let in.
    pub(super) fn let_in(&mut self, user_id: i64, at: i64) {
        let users = self.tables.get_mut("users").into_iter().flatten();
        for user in users.filter(|user| row::int(user, "id") == user_id) {
            user.insert("last_access", Cell::Int(at));
        }
    }

    fn next_id(&self, object: &str) -> i64 {
        let highest = self.rows(object).iter().map(|row| row::int(row, "id")).max().unwrap_or(0);
        highest.max(0).saturating_add(1)
    }

    fn note(&mut self, object: &'static Object, kind: &'static str, row: &Row) {
        if object.monitored {
            self.changes.push(Change { object, kind, row: row.clone() });
        }
    }

    /// Whether the row may stand beside the others; `but` is the place of the row that it replaces.
    fn check(&self, object: &'static Object, row: &Row, but: Option<usize>) -> Result<(), Refusal> {
        let others = || self.rows(object.name).iter().enumerate().filter(move |(at, _)| Some(*at) != but);
        let same = |other: &Row, names: &[&str]| names.iter().all(|name| other.get(*name) == row.get(*name));
        if object.has_id() && others().any(|(_, other)| same(other, &["id"])) {
            return Err(taken(object, &["id"]));
        }
        if !object.unique.is_empty() && others().any(|(_, other)| same(other, object.unique)) {
            return Err(taken(object, object.unique));
        }
        for field in object.fields {
            if let Some(target) = field.refers_to
                && self.dependents != Dependents::Loose
                && self.find(target, "id", row::int(row, field.name)).is_none()
            {
                return Err(Refusal::constraint("FOREIGN KEY"));
            }
        }
        Ok(())
    }
}

/// The words of the device's database when a row is there already.
fn taken(object: &Object, names: &[&str]) -> Refusal {
    let fields: Vec<_> = names.iter().map(|name| format!("{}.{name}", object.name)).collect();
    Refusal::bad(format!("UNIQUE constraint failed: {}", fields.join(", ")))
}

#[cfg(test)]
mod tests;
