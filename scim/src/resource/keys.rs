//! Filters that an index answers: `userName eq "x"`, and whatever can only hold where such a term does.
//!
//! The candidates go through the evaluator with the whole filter afterwards, so a plan can be too wide but
//! never wrong.

use super::noun::Noun;
use crate::filter::{Bound, Filter, Literal, Op};
use crate::schema::Resolved;

/// A column with an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Column {
    Id,
    /// `userName` of users, `displayName` of groups.
    Name,
    ExternalId,
    /// Of groups: a member's id. Of users: a group's.
    Member,
    /// Of users: a mail address.
    Email,
}

/// A column and the value it must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) column: Column,
    pub(crate) text: String,
}

/// Keys of which each match has at least one. `None` when no index helps.
pub(super) fn keys<N: Noun>(filter: &Bound) -> Option<Vec<Key>> {
    match filter {
        Filter::And(parts) => parts.iter().filter_map(keys::<N>).min_by_key(|keys| cost(keys)),
        Filter::Or(parts) => Some(parts.iter().map(keys::<N>).collect::<Option<Vec<_>>>()?.concat()),
        Filter::Compare(at, Op::Eq, Literal::Text(text)) => {
            Some(vec![Key { column: column::<N>(at)?, text: text.clone() }])
        }
        Filter::Has(_, inner) => keys::<N>(inner),
        _ => None,
    }
}

fn column<N: Noun>(at: &Resolved) -> Option<Column> {
    match (&*at.attribute.name, at.sub.as_ref().map(|sub| &*sub.name)) {
        _ if at.schema.is_some() => None,
        ("id", None) => Some(Column::Id),
        ("externalId", None) => Some(Column::ExternalId),
        ("members" | "groups", Some("value")) => Some(Column::Member),
        ("emails", Some("value")) => Some(Column::Email),
        (name, None) if name == N::NAME => Some(Column::Name),
        _ => None,
    }
}

/// Groups have many members and members many groups; of the others one key finds one row, or few.
fn cost(keys: &[Key]) -> usize {
    let cost = |key: &Key| match key.column {
        Column::Member => 100,
        Column::Email => 2,
        Column::Id | Column::Name | Column::ExternalId => 1,
    };
    keys.iter().map(cost).sum()
}

#[cfg(test)]
mod tests {
    use directory::group::Group;
    use directory::user::User;

    use super::*;
    use crate::schema::{Registry, ResourceType};

    fn check<N: Noun>(kind: &ResourceType, filter: &str, expect: Option<&[(Column, &str)]>) {
        let bound = Filter::parse(filter).unwrap().bind(kind).unwrap();
        let expect: Option<Vec<Key>> = expect.map(|keys| {
            keys.iter().map(|(column, text)| Key { column: *column, text: (*text).into() }).collect()
        });
        assert_eq!(keys::<N>(&bound), expect, "{filter}");
    }

    #[test]
    fn an_index_answers_what_needs_one_of_its_keys() {
        use Column::{Email, ExternalId, Id, Member, Name};
        let registry = Registry::standard();
        let check = |filter, expect| check::<User>(registry.resource_type("User").unwrap(), filter, expect);
        check(r#"userName eq "Ada""#, Some(&[(Name, "Ada")]));
        check(r#"urn:ietf:params:scim:schemas:core:2.0:User:USERNAME Eq "Ada""#, Some(&[(Name, "Ada")]));
        check(r#"externalId eq "7""#, Some(&[(ExternalId, "7")]));
        check(r#"active eq true and id eq "7""#, Some(&[(Id, "7")]));
        check(r#"userName eq "a" or userName eq "b""#, Some(&[(Name, "a"), (Name, "b")]));
        check(r#"userName eq "a" or title eq "b""#, None);
        check(r#"not (userName eq "a")"#, None);
        check(r#"userName ne "a""#, None);
        check(r#"userName sw "a""#, None);
        check(r#"displayName eq "a""#, None);
        check(r#"emails[value eq "a"]"#, Some(&[(Email, "a")]));
        check(r#"emails[type eq "work"].value eq "a""#, Some(&[(Email, "a")]));
        check(r#"emails.value eq "a" and userName eq "b""#, Some(&[(Name, "b")]));
        check(r#"emails eq "a" or externalId eq "b""#, Some(&[(Email, "a"), (ExternalId, "b")]));
        check(r#"emails[type eq "work"]"#, None);
        check(r#"emails.value ne "a""#, None);
        check(r#"emails.value sw "a""#, None);
        check(r#"groups.value eq "g""#, Some(&[(Member, "g")]));
        check(r#"groups eq "g" and emails eq "a""#, Some(&[(Email, "a")]));
        check(r#"groups.display eq "g""#, None);
    }

    #[test]
    fn a_group_is_found_by_itself_before_its_members() {
        use Column::{Id, Member, Name};
        let registry = Registry::standard();
        let check = |filter, expect| check::<Group>(registry.resource_type("Group").unwrap(), filter, expect);
        check(r#"displayName eq "Staff""#, Some(&[(Name, "Staff")]));
        check(r#"members eq "u""#, Some(&[(Member, "u")]));
        check(r#"members.value eq "u""#, Some(&[(Member, "u")]));
        check(r#"members[value eq "u"]"#, Some(&[(Member, "u")]));
        check(r#"members[value eq "u" and type eq "User"]"#, Some(&[(Member, "u")]));
        check(r#"members[display eq "u"]"#, None);
        check(r#"members eq "u" and id eq "g""#, Some(&[(Id, "g")]));
        check(r#"id eq "g" and members eq "u""#, Some(&[(Id, "g")]));
    }
}
