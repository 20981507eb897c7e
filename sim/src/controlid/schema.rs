//! The objects of the device: their fields, what each field holds, and what it refers to.
//!
//! Names and types are those of the vendor's list of objects, of which this is the part that cards need. A field that
//! the list calls required is required here; an `id` may be left out, as in the vendor's own examples.
//!
//! To add an object: a row in [`OBJECTS`].

/// What a field holds on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A 64-bit integer.
    Int,
    /// A card's number: an integer above zero.
    Card,
    /// The integer 0 or 1; a JSON boolean is refused.
    Flag,
    /// A string.
    Text,
}

/// What becomes of a field that nobody gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// The request is refused.
    Refused,
    /// The device gives the next number.
    Assigned,
    /// It has no value; `null` may be given, too.
    Null,
    /// It is 0.
    Zero,
    /// It is the empty string.
    Empty,
}

/// One field of an object.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) missing: Missing,
    /// The object whose `id` this is.
    pub(super) refers_to: Option<&'static str>,
}

/// One object, which is a table on the device.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Object {
    pub(super) name: &'static str,
    pub(super) fields: &'static [Field],
    /// The fields that no two rows share; none is no such rule.
    pub(super) unique: &'static [&'static str],
    /// Only the device writes it.
    pub(super) read_only: bool,
    /// The monitor hears of its changes.
    pub(super) monitored: bool,
}

impl Object {
    pub(super) fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    pub(super) fn has_id(&self) -> bool {
        self.field("id").is_some()
    }
}

/// The object of that name.
pub(super) fn object(name: &str) -> Option<&'static Object> {
    OBJECTS.iter().find(|object| object.name == name)
}

/// The objects that refer to one, each with the field that does.
pub(super) fn dependents(of: &'static str) -> impl Iterator<Item = (&'static Object, &'static str)> {
    let pairs = OBJECTS.iter().flat_map(|object| object.fields.iter().map(move |field| (object, field)));
    pairs.filter(move |(_, field)| field.refers_to == Some(of)).map(|(object, field)| (object, field.name))
}

const fn field(name: &'static str, kind: Kind, missing: Missing) -> Field {
    Field { name, kind, missing, refers_to: None }
}

const fn int(name: &'static str) -> Field {
    field(name, Kind::Int, Missing::Refused)
}

const fn zero(name: &'static str) -> Field {
    field(name, Kind::Int, Missing::Zero)
}

const fn flag(name: &'static str) -> Field {
    field(name, Kind::Flag, Missing::Refused)
}

const fn text(name: &'static str) -> Field {
    field(name, Kind::Text, Missing::Refused)
}

const fn blank(name: &'static str) -> Field {
    field(name, Kind::Text, Missing::Empty)
}

const fn link(name: &'static str, to: &'static str) -> Field {
    Field { name, kind: Kind::Int, missing: Missing::Refused, refers_to: Some(to) }
}

const ID: Field = field("id", Kind::Int, Missing::Assigned);
const CARD: Field = field("value", Kind::Card, Missing::Refused);

const fn object_of(name: &'static str, fields: &'static [Field]) -> Object {
    Object { name, fields, unique: &[], read_only: false, monitored: false }
}

const fn pair_of(name: &'static str, fields: &'static [Field], unique: &'static [&'static str]) -> Object {
    Object { name, fields, unique, read_only: false, monitored: false }
}

const USERS: [Field; 10] = [
    ID,
    text("registration"),
    text("name"),
    blank("password"),
    blank("salt"),
    field("user_type_id", Kind::Int, Missing::Null),
    zero("begin_time"),
    zero("end_time"),
    zero("image_timestamp"),
    zero("last_access"),
];

const CARDS: [Field; 3] = [ID, CARD, link("user_id", "users")];

const TIME_SPANS: [Field; 14] = [
    ID,
    link("time_zone_id", "time_zones"),
    int("start"),
    int("end"),
    flag("sun"),
    flag("mon"),
    flag("tue"),
    flag("wed"),
    flag("thu"),
    flag("fri"),
    flag("sat"),
    flag("hol1"),
    flag("hol2"),
    flag("hol3"),
];

const PORTALS: [Field; 4] = [ID, text("name"), link("area_from_id", "areas"), link("area_to_id", "areas")];

const ACCESS_LOGS: [Field; 15] = [
    ID,
    zero("time"),
    zero("event"),
    zero("device_id"),
    zero("identifier_id"),
    zero("user_id"),
    zero("portal_id"),
    zero("identification_rule_id"),
    blank("qrcode_value"),
    blank("uhf_tag"),
    blank("pin_value"),
    zero("card_value"),
    zero("confidence"),
    zero("mask"),
    zero("log_type_id"),
];

const NAMED: [Field; 2] = [ID, text("name")];
const ACCESS_RULES: [Field; 4] = [ID, text("name"), flag("type"), int("priority")];
const USER_GROUPS: [Field; 2] = [link("user_id", "users"), link("group_id", "groups")];
const GROUP_RULES: [Field; 2] = [link("group_id", "groups"), link("access_rule_id", "access_rules")];
const USER_RULES: [Field; 2] = [link("user_id", "users"), link("access_rule_id", "access_rules")];
const PORTAL_RULES: [Field; 2] = [link("portal_id", "portals"), link("access_rule_id", "access_rules")];
const RULE_ZONES: [Field; 2] = [link("access_rule_id", "access_rules"), link("time_zone_id", "time_zones")];
const CONTINGENCY_CARDS: [Field; 2] = [ID, CARD];
const CONTINGENCY_RULES: [Field; 1] = [link("access_rule_id", "access_rules")];
const USER_ROLES: [Field; 2] = [link("user_id", "users"), int("role")];
const DEVICES: [Field; 4] = [ID, text("name"), text("ip"), blank("public_key")];

static OBJECTS: [Object; 18] = [
    object_of("users", &USERS),
    Object { name: "cards", fields: &CARDS, unique: &["value"], read_only: false, monitored: true },
    object_of("groups", &NAMED),
    pair_of("user_groups", &USER_GROUPS, &["user_id", "group_id"]),
    object_of("access_rules", &ACCESS_RULES),
    pair_of("group_access_rules", &GROUP_RULES, &["group_id", "access_rule_id"]),
    pair_of("user_access_rules", &USER_RULES, &["user_id", "access_rule_id"]),
    object_of("areas", &NAMED),
    object_of("portals", &PORTALS),
    pair_of("portal_access_rules", &PORTAL_RULES, &["portal_id", "access_rule_id"]),
    object_of("time_zones", &NAMED),
    object_of("time_spans", &TIME_SPANS),
    pair_of("access_rule_time_zones", &RULE_ZONES, &["access_rule_id", "time_zone_id"]),
    object_of("contingency_cards", &CONTINGENCY_CARDS),
    pair_of("contingency_card_access_rules", &CONTINGENCY_RULES, &["access_rule_id"]),
    pair_of("user_roles", &USER_ROLES, &["user_id"]),
    object_of("devices", &DEVICES),
    Object { name: "access_logs", fields: &ACCESS_LOGS, unique: &[], read_only: true, monitored: true },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_referred_to_or_unique_exists() {
        for object in &OBJECTS {
            for field in object.fields {
                let target = field.refers_to.map(|name| super::object(name).is_some_and(Object::has_id));
                assert_ne!(target, Some(false), "{}.{}", object.name, field.name);
            }
            assert!(object.unique.iter().all(|name| object.field(name).is_some()), "{}", object.name);
        }
    }

    #[test]
    fn an_object_knows_who_refers_to_it() {
        let of = |name| dependents(name).map(|(object, field)| format!("{}.{field}", object.name));
        let users: Vec<_> = of("users").collect();
        let expect =
            ["cards.user_id", "user_groups.user_id", "user_access_rules.user_id", "user_roles.user_id"];
        assert_eq!(users, expect);
        assert_eq!(of("areas").count(), 2);
        assert_eq!(of("cards").count(), 0);
    }
}
