//! What is worked out from other rows, and only when somebody looks at it: groups of a user, the name of a
//! manager, members of a group.

use std::collections::BTreeSet;

use crate::error::{ScimError, ScimType};
use crate::filter::{Bound, Filter, Literal, Op};
use crate::schema::{Resolved, ResourceType};
use crate::value::Projection;

/// Which members of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Members {
    /// None: they are never read without need.
    #[default]
    None,
    /// Those of these ids that are members, without anything else about them.
    Named(BTreeSet<String>),
    /// All.
    All,
}

/// What of other rows a tree shall hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Of a user: whether it is active, also when a client took the attribute away.
    pub(crate) active: bool,
    /// Of a user: the groups.
    pub(crate) groups: bool,
    /// Of a user: name and address of the manager.
    pub(crate) manager: bool,
    /// Of a group.
    pub(crate) members: Members,
}

impl Wanted {
    /// What an answer shows.
    pub(crate) fn shown(kind: &ResourceType, projection: &Projection) -> Self {
        let members = if projection.shows(kind, "members") { Members::All } else { Members::None };
        Self { active: false, groups: projection.shows(kind, "groups"), manager: true, members }
    }

    /// What a filter and an order look at.
    pub(super) fn compared(filter: Option<&Bound>, order: Option<&Resolved>) -> Self {
        let mut wanted = Self::default();
        filter.into_iter().for_each(|filter| wanted.add_filter(filter));
        order.into_iter().for_each(|at| wanted.add(at, None));
        wanted
    }

    fn add_filter(&mut self, filter: &Bound) {
        match filter {
            Filter::And(parts) | Filter::Or(parts) => parts.iter().for_each(|part| self.add_filter(part)),
            Filter::Not(inner) | Filter::Has(_, inner) => self.add_filter(inner),
            Filter::Present(at) => self.add(at, None),
            Filter::Compare(at, op, literal) => {
                let is_value = at.sub.as_ref().is_some_and(|sub| sub.name == "value");
                let named = match literal {
                    Literal::Text(id) if is_value && matches!(op, Op::Eq | Op::Ne) => Some(id.as_str()),
                    _ => None,
                };
                self.add(at, named);
            }
        }
    }

    /// `named`: the one element that it is about, when it is about one.
    fn add(&mut self, at: &Resolved, named: Option<&str>) {
        match &*at.attribute.name {
            "active" => self.active = true,
            "groups" => self.groups = true,
            "manager" => self.manager = true,
            "members" => match (named, &mut self.members) {
                (None, _) => self.members = Members::All,
                (Some(id), Members::None) => self.members = Members::Named(BTreeSet::from([id.into()])),
                (Some(id), Members::Named(ids)) => ids.extend([id.into()]),
                (Some(_), Members::All) => {}
            },
            _ => {}
        }
    }
}

/// How many rows a request may still read.
#[derive(Debug)]
pub(crate) struct Budget(usize);

impl Budget {
    /// For a search that no index answers.
    pub(super) const fn of_a_search() -> Self {
        Self(super::MAX_SCAN)
    }

    /// For the rows of an answer, whose number is bounded elsewhere.
    pub(crate) const fn unbounded() -> Self {
        Self(usize::MAX)
    }

    /// How many to read at most: one more than are left, which shows that there are too many.
    pub(super) fn limit(&self) -> i64 {
        i64::try_from(self.0.saturating_add(1)).unwrap_or(i64::MAX)
    }

    /// Takes some away.
    ///
    /// # Errors
    /// `tooMany`, with what to do instead.
    pub(super) fn spend(&mut self, rows: usize) -> Result<(), ScimError> {
        let left = self.0.checked_sub(rows);
        self.0 = left.ok_or_else(|| {
            let why = "too many resources to look through: ask for userName, externalId, id, emails, groups, \
                       displayName of groups or members with eq, perhaps together with others by and";
            ScimError::new(ScimType::TooMany, why)
        })?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{AttrPath, Registry};

    fn compared(kind: &str, filter: &str) -> Wanted {
        let registry = Registry::standard();
        let kind = registry.resource_type(kind).unwrap();
        Wanted::compared(Some(&Filter::parse(filter).unwrap().bind(kind).unwrap()), None)
    }

    #[test]
    fn members_are_read_no_further_than_a_filter_looks() {
        let check = |filter, expect| assert_eq!(compared("Group", filter).members, expect, "{filter}");
        let named = |ids: &[&str]| Members::Named(ids.iter().map(|id| (*id).to_owned()).collect());
        check(r#"displayName eq "a""#, Members::None);
        check(r#"id eq "g" and members eq "u""#, named(&["u"]));
        check(r#"not (members[value eq "u" or value eq "v"])"#, named(&["u", "v"]));
        check(r#"members.value ne "u""#, named(&["u"]));
        check("members pr", Members::All);
        check("members eq null", Members::All);
        check(r#"members.value sw "u""#, Members::All);
        check(r#"members[value eq "u" and type eq "User"]"#, Members::All);
        check(r#"members[type eq "User" and value eq "u"]"#, Members::All);
    }

    #[test]
    fn a_filter_on_what_is_derived_wants_it() {
        let enterprise = crate::schema::ENTERPRISE_URN;
        assert_eq!(compared("User", "title pr"), Wanted::default());
        assert!(compared("User", r#"groups.display eq "Staff""#).groups);
        assert!(compared("User", &format!(r#"{enterprise}:manager.displayName eq "Ada""#)).manager);
    }

    #[test]
    fn what_an_answer_leaves_out_is_not_read() {
        let registry = Registry::standard();
        let kind = registry.resource_type("Group").unwrap();
        let members = [AttrPath::parse("members").unwrap()];
        let name = [AttrPath::parse("displayName").unwrap()];
        for (projection, expect) in [
            (Projection::default(), Members::All),
            (Projection::new(kind, None, &members), Members::None),
            (Projection::new(kind, Some(&name), &[]), Members::None),
            (Projection::new(kind, Some(&members), &[]), Members::All),
        ] {
            assert_eq!(Wanted::shown(kind, &projection).members, expect, "{projection:?}");
        }
    }

    #[test]
    fn a_budget_ends() {
        let mut budget = Budget::of_a_search();
        budget.spend(super::super::MAX_SCAN).unwrap();
        assert_eq!(budget.spend(1).unwrap_err().scim_type, Some(ScimType::TooMany));
    }
}
