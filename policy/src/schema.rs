//! The Cedar schema and the names in it.

use std::sync::LazyLock;

use cedar_policy::{EntityId, EntityTypeName, EntityUid, Schema, Validator};

/// Holds policies to the schema, which is part of the program; a test parses it.
pub(crate) static VALIDATOR: LazyLock<Validator> = LazyLock::new(|| {
    let schema: Schema =
        include_str!("schema.cedarschema").parse().expect("the schema is a constant that parses");
    Validator::new(schema)
});

/// What an entity can be: one for each `entity` of the schema, and actions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Action,
    User,
    Group,
    Role,
    Department,
    Project,
    Client,
    Area,
    AccessProfile,
    AdminOperation,
    Factor,
    Network,
}

const KINDS: [&str; 12] = [
    "Action",
    "User",
    "Group",
    "Role",
    "Department",
    "Project",
    "Client",
    "Area",
    "AccessProfile",
    "AdminOperation",
    "Factor",
    "Network",
];

static TYPE_NAMES: LazyLock<[EntityTypeName; KINDS.len()]> =
    LazyLock::new(|| KINDS.map(|name| name.parse().expect("each is an identifier")));

impl Kind {
    /// The entity of this kind with any text as its id.
    pub(crate) fn uid(self, id: &str) -> EntityUid {
        EntityUid::from_type_name_and_id(TYPE_NAMES[self as usize].clone(), EntityId::new(id))
    }
}

/// What can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    SignIn,
    Enrol,
    Administer,
    Enter,
    Hold,
}

impl Action {
    pub(crate) const ALL: [Action; 5] =
        [Action::SignIn, Action::Enrol, Action::Administer, Action::Enter, Action::Hold];

    pub(crate) fn uid(self) -> EntityUid {
        Kind::Action.uid(match self {
            Action::SignIn => "signIn",
            Action::Enrol => "enrol",
            Action::Administer => "administer",
            Action::Enter => "enter",
            Action::Hold => "hold",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_name_here_is_in_the_schema_and_the_other_way_round() {
        let kinds: BTreeSet<String> = KINDS.iter().skip(1).map(ToString::to_string).collect();
        let types: BTreeSet<String> = VALIDATOR.schema().entity_types().map(ToString::to_string).collect();
        assert_eq!(kinds, types);
        let actions: BTreeSet<String> = Action::ALL.iter().map(|action| action.uid().to_string()).collect();
        let declared: BTreeSet<String> = VALIDATOR.schema().actions().map(ToString::to_string).collect();
        assert_eq!(actions, declared);
    }

    #[test]
    fn each_kind_has_its_own_name() {
        assert_eq!(Kind::Action.uid("a").to_string(), r#"Action::"a""#);
        assert_eq!(Kind::Department.uid("d").to_string(), r#"Department::"d""#);
        assert_eq!(Kind::Network.uid("n").to_string(), r#"Network::"n""#);
    }
}
