//! The bodies that Entra ID's default provisioning job sends
//! (Microsoft, "Develop and plan provisioning for a SCIM endpoint").

use serde_json::{Value, json};

const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
const ENTRA_GROUP: &str = "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group";
const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

/// An employee as HR knows one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// HR's own key for the person.
    pub external_id: String,
    /// What the person signs in as.
    pub user_name: String,
    /// Work address.
    pub email: String,
    /// First name.
    pub given_name: String,
    /// Last name.
    pub family_name: String,
    /// Job title, if there is one.
    pub title: Option<String>,
    /// Department, if there is one.
    pub department: Option<String>,
    /// The manager's id at the server, if there is one.
    pub manager: Option<String>,
}

impl Person {
    /// Somebody whose name at work is `given.family@domain`, which is also what HR knows the person by: two of one
    /// name in two domains are two.
    #[must_use]
    pub fn new(given_name: &str, family_name: &str, domain: &str) -> Self {
        let email = format!("{given_name}.{family_name}@{domain}").to_lowercase();
        Self {
            external_id: email.clone(),
            user_name: email.clone(),
            email,
            given_name: given_name.to_owned(),
            family_name: family_name.to_owned(),
            title: None,
            department: None,
            manager: None,
        }
    }

    /// First and last name.
    #[must_use]
    pub fn display_name(&self) -> String {
        format!("{} {}", self.given_name, self.family_name)
    }

    pub(super) fn to_scim(&self) -> Value {
        let mut user = json!({
            "schemas": [USER, ENTERPRISE],
            "externalId": self.external_id,
            "userName": self.user_name,
            "active": true,
            "displayName": self.display_name(),
            "emails": [{ "primary": true, "type": "work", "value": self.email }],
            "meta": { "resourceType": "User" },
            "name": {
                "formatted": self.display_name(),
                "familyName": self.family_name,
                "givenName": self.given_name,
            },
            "roles": [],
        });
        if let Some(title) = &self.title {
            user["title"] = title.as_str().into();
        }
        for (name, value) in [("department", &self.department), ("manager", &self.manager)] {
            if let Some(value) = value {
                user[ENTERPRISE][name] = value.as_str().into();
            }
        }
        user
    }
}

pub(super) fn group(external_id: &str, display_name: &str) -> Value {
    json!({
        "schemas": [GROUP, ENTRA_GROUP],
        "externalId": external_id,
        "displayName": display_name,
        "meta": { "resourceType": "Group" },
    })
}

/// The job sends a word where a boolean belongs.
pub(super) fn active(active: bool) -> Value {
    patch(json!({ "op": "Replace", "path": "active", "value": if active { "True" } else { "False" } }))
}

pub(super) fn department(department: &str) -> Value {
    patch(json!({ "op": "Replace", "path": format!("{ENTERPRISE}:department"), "value": department }))
}

/// The job sends a bare id where a complex value belongs, and an empty one to clear it.
pub(super) fn manager(manager: Option<&str>) -> Value {
    let value = manager.unwrap_or_default();
    patch(json!({ "op": "Replace", "path": format!("{ENTERPRISE}:manager"), "value": value }))
}

pub(super) fn members(op: &str, users: &[&str]) -> Value {
    let members: Vec<_> = users.iter().map(|user| json!({ "$ref": null, "value": user })).collect();
    patch(json!({ "op": op, "path": "members", "value": members }))
}

fn patch(operation: Value) -> Value {
    json!({ "schemas": [PATCH], "Operations": [operation] })
}

/// A filter for equality, with the value quoted as a JSON string (RFC 7644, section 3.4.2.2).
pub(super) fn eq(attribute: &str, value: &str) -> String {
    format!("{attribute} eq {}", Value::from(value))
}

/// The first sixteen bytes in the form of a GUID, version 4 (RFC 9562, section 5.4).
pub(super) fn guid(bytes: &[u8]) -> String {
    let byte = |at: usize| match at {
        6 => bytes[at] & 0x0f | 0x40,
        8 => bytes[at] & 0x3f | 0x80,
        _ => bytes[at],
    };
    let hex = |range: std::ops::Range<usize>| range.map(|at| format!("{:02x}", byte(at))).collect::<String>();
    [0..4, 4..6, 6..8, 8..10, 10..16].map(hex).join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_becomes_the_user_that_entra_posts() {
        let person = Person {
            title: Some("Grid engineer".into()),
            department: Some("Operations".into()),
            manager: Some("m-1".into()),
            ..Person::new("Ada", "Lovelace", "nordgrid.example")
        };
        let expect = json!({
            "schemas": [
                "urn:ietf:params:scim:schemas:core:2.0:User",
                "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
            ],
            "externalId": "ada.lovelace@nordgrid.example",
            "userName": "ada.lovelace@nordgrid.example",
            "active": true,
            "displayName": "Ada Lovelace",
            "emails": [{ "primary": true, "type": "work", "value": "ada.lovelace@nordgrid.example" }],
            "meta": { "resourceType": "User" },
            "name": { "formatted": "Ada Lovelace", "familyName": "Lovelace", "givenName": "Ada" },
            "roles": [],
            "title": "Grid engineer",
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {
                "department": "Operations",
                "manager": "m-1"
            }
        });
        assert_eq!(person.to_scim(), expect);
    }

    #[test]
    fn two_of_one_name_in_two_domains_are_two() {
        let of = |domain: &str| Person::new("Ada", "Lovelace", domain);
        let (a, b) = (of("nordgrid.example"), of("seegrid.example"));
        assert!(a.external_id != b.external_id && a.user_name != b.user_name);
    }

    #[test]
    fn what_hr_does_not_know_is_not_sent() {
        let user = Person::new("Ada", "Lovelace", "nordgrid.example").to_scim();
        assert!(user.get("title").is_none() && user.get(ENTERPRISE).is_none());
    }

    #[test]
    fn a_value_cannot_break_out_of_its_filter() {
        assert_eq!(eq("userName", r#"a" or "b\"#), r#"userName eq "a\" or \"b\\""#);
    }

    #[test]
    fn a_guid_has_its_version_and_variant() {
        assert_eq!(guid(&[0xff; 32]), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(guid(&[0; 32]), "00000000-0000-4000-8000-000000000000");
    }
}
