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
            // A token belongs to one connection at a time: under another name it is free when the old one is gone.
            let (connections, others): (Vec<_>, Vec<_>) =
                undeclared.into_iter().partition(|item| item.kind == Kind::ScimConnection);
            plan.changes.splice(0..0, connections.into_iter().map(Change::Delete));
            plan.changes.extend(others.into_iter().map(Change::Delete));
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

#[cfg(test)]
mod tests {
    use kernel::Secret;
    use serde_json::{Value, json};

    use super::*;

    fn item(kind: Kind, name: &str, fields: Value) -> Item {
        Item::new(kind, name, fields)
    }

    /// `area lobby 3`: a kind, a name, and something that may differ.
    fn items(texts: &[&str]) -> Vec<Item> {
        let read = |text: &&str| {
            let [kind, name, n] = text.split(' ').collect::<Vec<_>>()[..] else { panic!("{text}") };
            let kind = Kind::ALL.into_iter().find(|known| known.as_str() == kind).unwrap();
            item(kind, name, json!({ "n": n }))
        };
        texts.iter().map(read).collect()
    }

    fn steps(plan: &Plan) -> Vec<String> {
        let step = |change: &Change| match change {
            Change::Create(item) => format!("+ {} {}", item.kind, item.name),
            Change::Change { before, after, fields } => {
                assert_eq!((before.kind, &before.name), (after.kind, &after.name));
                format!("~ {} {} {}", after.kind, after.name, fields.join(","))
            }
            Change::Delete(item) => format!("- {} {}", item.kind, item.name),
        };
        plan.changes().iter().map(step).collect()
    }

    #[track_caller]
    fn check(wanted: &[&str], present: &[&str], prune: bool, expect: &[&str]) {
        let plan = Plan::new(items(wanted), items(present), prune);
        assert_eq!(steps(&plan), expect);
        assert_eq!(plan.is_empty(), expect.is_empty());
        let what = |text: &str| text.rsplit_once(' ').map(|(what, _)| what.to_owned()).unwrap();
        let declared: Vec<String> = wanted.iter().map(|text| what(text)).collect();
        let kept = present.iter().filter(|text| !prune && !declared.contains(&what(text)));
        let mut there: Vec<String> = wanted.iter().chain(kept).map(|text| (*text).to_owned()).collect();
        let said = |item: &Item| {
            format!("{} {} {}", item.kind, item.name, item.fields["n"].as_str().unwrap_or_default())
        };
        let mut after: Vec<String> = plan.after().iter().map(said).collect();
        after.sort();
        there.sort();
        assert_eq!(after, there, "afterwards");
        assert!(Plan::new(items(wanted), plan.after(), prune).is_empty(), "twice changes nothing");
    }

    #[test]
    fn what_is_missing_is_made_what_differs_is_changed_and_the_rest_stays() {
        check(&[], &[], false, &[]);
        check(&["area lobby 1"], &[], false, &["+ area lobby"]);
        check(&["area lobby 1"], &["area lobby 1"], false, &[]);
        check(&["area lobby 2"], &["area lobby 1"], false, &["~ area lobby n"]);
        check(&["area lobby 1"], &["area Lobby 1"], false, &["+ area lobby"]);
        check(&["area a 1", "policy a 1"], &["client a 1"], false, &["+ policy a", "+ area a"]);
    }

    #[test]
    fn what_is_not_declared_goes_only_with_prune() {
        check(&[], &["area lobby 1"], false, &[]);
        check(&[], &["area lobby 1"], true, &["- area lobby"]);
        check(&["area hall 1"], &["area lobby 1", "area hall 1"], true, &["- area lobby"]);
    }

    #[test]
    fn things_are_made_before_what_rests_on_them_and_deleted_after() {
        let all = |n: &str| -> Vec<Item> {
            let texts = Kind::ALL.iter().rev().map(|kind| format!("{kind} b {n}"));
            let texts: Vec<String> = texts.chain([format!("area a {n}")]).collect();
            items(&texts.iter().map(String::as_str).collect::<Vec<_>>())
        };
        let in_order = [
            "client b",
            "scim_connection b",
            "policy b",
            "area a",
            "area b",
            "schedule b",
            "door_system b",
            "access_point b",
            "access_profile b",
            "card_pool b",
        ];
        let each = |sign: &str, end: &str| in_order.map(|what| format!("{sign} {what}{end}"));
        assert_eq!(steps(&Plan::new(all("1"), vec![], true)), each("+", ""));
        assert_eq!(steps(&Plan::new(all("2"), all("1"), true)), each("~", " n"));
        let mut reverse = Vec::from(each("-", ""));
        reverse.reverse();
        let connection = reverse.remove(8);
        reverse.insert(0, connection);
        assert_eq!(steps(&Plan::new(vec![], all("1"), true)), reverse);
    }

    #[test]
    fn what_moves_finds_its_new_place_made_and_leaves_its_old_one_to_be_deleted() {
        check(
            &["door_system new 1", "area new 1", "access_point door 2"],
            &["door_system old 1", "area old 1", "access_point door 1"],
            true,
            &["+ area new", "+ door_system new", "~ access_point door n", "- door_system old", "- area old"],
        );
        // A connection under another name keeps its token, which belongs to one at a time.
        check(
            &["scim_connection new 1", "client c 1"],
            &["scim_connection old 1"],
            true,
            &["- scim_connection old", "+ client c", "+ scim_connection new"],
        );
    }

    #[track_caller]
    fn shows(wanted: Vec<Item>, present: Vec<Item>, prune: bool, expect: &[&str]) {
        let shown = Plan::new(wanted, present, prune).to_string();
        assert_eq!(shown.lines().collect::<Vec<_>>(), expect);
    }

    #[test]
    fn the_difference_is_shown_line_by_line() {
        let area = |title: &str| item(Kind::Area, "lobby", json!({ "title": title, "protection_class": 1 }));
        let projected =
            || item(Kind::Area, "lobby", json!({ "title": "Lobby", "protection_class": 1, "project": "p" }));
        let nothing = "Nothing to change.";
        shows(vec![], vec![], false, &[nothing]);
        shows(vec![area("Lobby")], vec![area("Lobby")], true, &[nothing]);
        let made = ["+ area lobby", "    protection_class: 1", "    title: \"Lobby\""];
        shows(vec![area("Lobby")], vec![], false, &made);
        shows(
            vec![area("Hall")],
            vec![area("Lobby")],
            false,
            &["~ area lobby", "    title: \"Lobby\" → \"Hall\""],
        );
        shows(vec![projected()], vec![area("Lobby")], false, &["~ area lobby", "    project: - → \"p\""]);
        shows(vec![area("Lobby")], vec![projected()], false, &["~ area lobby", "    project: \"p\" → -"]);
        shows(vec![], vec![area("Lobby")], true, &["- area lobby"]);
        let kept = "  area lobby is there and not declared; it stays (delete it with --prune)";
        shows(vec![], vec![area("Lobby")], false, &[kept, nothing]);
    }

    #[test]
    fn a_value_cannot_forge_a_line_nor_move_the_cursor() {
        let forging = item(Kind::Area, "a", json!({ "title": "x\n- area lobby\u{1b}[2K" }));
        shows(vec![forging], vec![], false, &["+ area a", "    title: \"x\\n- area lobby\\u001b[2K\""]);
    }

    #[test]
    fn a_policy_is_shown_by_the_lines_that_differ() {
        let policy = |text: &str| item(Kind::Policy, "doors", json!({ "text": text }));
        shows(vec![policy("a\nb\nc\n")], vec![], false, &["+ policy doors", "    text: (3 lines)"]);
        shows(
            vec![policy("a\nb\nC\nd\n")],
            vec![policy("a\nb\nc\nd\n")],
            false,
            &["~ policy doors", "    @@ -2,3 +2,3 @@", "     b", "    -c", "    +C", "     d"],
        );
    }

    #[test]
    fn secrets_and_their_hashes_are_never_shown() {
        let client = |hash: Option<&str>| item(Kind::Client, "app", json!({ "secret_hash": hash }));
        let connection = |hash: &str| item(Kind::ScimConnection, "hr", json!({ "token_hash": hash }));
        let system = |secret: Option<&str>| {
            item(Kind::DoorSystem, "hq", json!({ "connector": "x" }))
                .with_secret(secret.map(|secret| Secret::new(secret.to_owned())))
        };
        shows(
            vec![client(Some("hush-1")), connection("hush-2"), system(Some("hush-3"))],
            vec![],
            false,
            &[
                "+ client app",
                "    secret_hash: (secret)",
                "+ scim_connection hr",
                "    token_hash: (secret)",
                "+ door_system hq",
                "    connector: \"x\"",
            ],
        );
        shows(
            vec![client(Some("hush-1")), connection("hush-2"), system(Some("hush-3"))],
            vec![client(None), connection("hush-4"), system(Some("hush-5"))],
            false,
            &[
                "~ client app",
                "    secret_hash: - → (secret)",
                "~ scim_connection hr",
                "    token_hash: (secret) → (secret)",
                "~ door_system hq",
                "    secret: (secret) changes",
            ],
        );
        let changes = ["~ door_system hq", "    secret: (secret) changes"];
        shows(vec![system(None)], vec![system(Some("hush"))], true, &changes);
        shows(vec![system(Some("hush"))], vec![system(None)], true, &changes);
        shows(vec![], vec![system(Some("hush"))], true, &["- door_system hq"]);
    }
}
