//! The difference between what is declared and what is there, in the order in which it must be written.

use std::fmt;

use directory::declared::{Item, Kind};

/// One step.
#[derive(Clone, Debug)]
pub enum Change {
    /// It is not there yet.
    Create(Item),
    /// It is there, otherwise.
    Change {
        /// What is there.
        before: Item,
        /// What should be.
        after: Item,
        /// The names of fields that differ.
        fields: Vec<String>,
    },
    /// It is there, and is not declared.
    Delete(Item),
}

/// All steps.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    changes: Vec<Change>,
    unchanged: Vec<Item>,
    /// Not declared, and kept because nothing is pruned.
    kept: Vec<Item>,
}

impl Plan {
    /// Compares. What is there and not declared goes only with `prune`.
    #[must_use]
    pub fn new(mut wanted: Vec<Item>, present: Vec<Item>, prune: bool) -> Self {
        wanted.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
        let same = |a: &Item, b: &Item| a.kind == b.kind && a.name == b.name;
        let (mut declared, mut undeclared) = (Vec::new(), Vec::new());
        for item in present {
            if wanted.iter().any(|wanted| same(wanted, &item)) {
                declared.push(item)
            } else {
                undeclared.push(item)
            }
        }
        let mut plan = Self::default();
        for after in wanted {
            match declared.iter().find(|before| same(before, &after)) {
                None => plan.changes.push(Change::Create(after)),
                Some(before) => {
                    let fields = after.differing(before);
                    if fields.is_empty() {
                        plan.unchanged.push(after);
                    } else {
                        plan.changes.push(Change::Change { before: before.clone(), after, fields });
                    }
                }
            }
        }
        // What rests on others goes first.
        undeclared.sort_by(|a, b| (b.kind, &b.name).cmp(&(a.kind, &a.name)));
        if prune {
            plan.changes.extend(undeclared.into_iter().map(Change::Delete));
        } else {
            plan.kept = undeclared;
        }
        plan
    }

    /// The steps, in order.
    #[must_use]
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// Whether nothing is to be done.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Everything that will be there afterwards.
    #[must_use]
    pub fn after(&self) -> Vec<Item> {
        let changed = self.changes.iter().filter_map(|change| match change {
            Change::Create(item) | Change::Change { after: item, .. } => Some(item),
            Change::Delete(_) => None,
        });
        changed.chain(&self.unchanged).chain(&self.kept).cloned().collect()
    }
}

/// A line a step: `+` new, `~` changed, `-` deleted. Values of secrets and policies are not shown.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for change in &self.changes {
            match change {
                Change::Create(item) => {
                    writeln!(f, "+ {} {}", item.kind, item.name)?;
                    for (field, value) in &item.fields {
                        writeln!(f, "    {field}: {}", shown(item.kind, field, value))?;
                    }
                }
                Change::Change { before, after, fields } => {
                    writeln!(f, "~ {} {}", after.kind, after.name)?;
                    for field in fields {
                        show_difference(f, before, after, field)?;
                    }
                }
                Change::Delete(item) => writeln!(f, "- {} {}", item.kind, item.name)?,
            }
        }
        for item in &self.kept {
            writeln!(
                f,
                "  {} {} is there and not declared; it stays (delete it with --prune)",
                item.kind, item.name
            )?;
        }
        if self.is_empty() {
            writeln!(f, "Nothing to change.")?;
        }
        Ok(())
    }
}

fn shown(kind: Kind, field: &str, value: &serde_json::Value) -> String {
    match (kind, field) {
        (_, "secret_hash" | "token_hash") => "(secret)".into(),
        (Kind::Policy, "text") => format!("({} lines)", value.as_str().unwrap_or_default().lines().count()),
        _ => value.to_string(),
    }
}

fn show_difference(f: &mut fmt::Formatter<'_>, before: &Item, after: &Item, field: &str) -> fmt::Result {
    let value = |item: &Item| item.fields.get(field).map(|value| shown(item.kind, field, value));
    if after.kind == Kind::Policy && field == "text" {
        let text =
            |item: &Item| item.fields.get(field).and_then(|v| v.as_str()).unwrap_or_default().to_owned();
        let (old, new) = (text(before), text(after));
        let lines = similar::TextDiff::from_lines(&old, &new).unified_diff().context_radius(1).to_string();
        return lines.lines().try_for_each(|line| writeln!(f, "    {line}"));
    }
    match (value(before), value(after)) {
        (None, None) => writeln!(f, "    {field}: (secret) changes"),
        (old, new) => {
            writeln!(f, "    {field}: {} → {}", old.unwrap_or("-".into()), new.unwrap_or("-".into()))
        }
    }
}
