use proptest::prelude::*;

use super::*;
use crate::filter::tests::any_filter;
use crate::samples::{group_type, user_type};

fn check(path: &str, want: &str) {
    let parsed = PatchPath::parse(path);
    let resolved = parsed.and_then(|path| path.resolve(user_type()));
    let got = match resolved {
        Err(why) => serde_json::to_value(why).unwrap()["scimType"].as_str().unwrap().to_owned(),
        Ok(None) => "nothing".into(),
        Ok(Some(Target::Extension(extension))) => format!("extension {}", extension.schema.name),
        Ok(Some(Target::Attribute(target))) => {
            let filtered = if target.filter.is_some() { " filtered" } else { "" };
            let schema = target.at.schema.as_ref().map_or("", |_| "extended ");
            let sub = target.at.sub.as_ref().map(|sub| format!(".{}", sub.name)).unwrap_or_default();
            format!("{schema}{}{sub}{filtered}", target.at.attribute.name)
        }
    };
    assert_eq!(got, want, "{path}");
}

#[test]
fn every_form_of_path_leads_to_its_target() {
    check("active", "active");
    check("name.familyName", "name.familyName");
    check("NAME.FAMILYNAME", "name.familyName");
    check("emails", "emails");
    check("emails.value", "emails.value");
    check("emails[type eq \"work\"]", "emails filtered");
    check("emails[type eq \"work\"].value", "emails.value filtered");
    check("EMAILS[Type Eq \"work\"].Value", "emails.value filtered");
    check("emails[type eq \"work\" and primary eq true].display", "emails.display filtered");
    check("roles[primary eq \"True\"].value", "roles.value filtered");
    check("addresses[not(type eq \"work\")]", "addresses filtered");
    check("urn:ietf:params:scim:schemas:core:2.0:User:active", "active");
    check("urn:ietf:params:scim:schemas:core:2.0:User:emails[type eq \"a\"].value", "emails.value filtered");
    check("urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department", "extended department");
    check(
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value",
        "extended manager.value",
    );
    check("urn:ietf:params:scim:schemas:extension:enterprise:2.0:User", "extension EnterpriseUser");
    check("urn:example:badge:2.0:User:tags[value eq \"x\"]", "extended tags filtered");
    check("urn:example:badge:2.0:User:tags[value eq \"x\"].value", "extended tags filtered");
    check("urn:example:badge:2.0:User:keys[value eq \"x\"].copies", "extended keys.copies filtered");
    check(" active ", "active");
}

#[test]
fn entra_extension_path_with_a_dot_scim_md_2_1_item_11() {
    check("urn:ietf:params:scim:schemas:extension:enterprise:2.0:User.department", "extended department");
    check(
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User.manager.value",
        "extended manager.value",
    );
}

#[test]
fn unknown_attributes_lead_nowhere() {
    check("nosuch", "nothing");
    check("name.nosuch", "nothing");
    check("emails[type eq \"work\"].nosuch", "nothing");
    check("urn:example:none:x", "nothing");
    check("members", "nothing");
    check("nosuch[foo eq 1]", "nothing");
}

#[test]
fn malformed_paths_are_invalid_path_and_their_filters_invalid_filter() {
    check("", "invalidPath");
    check("/emails", "invalidPath");
    check("emails.value.x", "invalidPath");
    check("emails]", "invalidPath");
    check("emails[type eq \"work\"]value", "invalidPath");
    check("emails[type eq \"work\"].", "invalidPath");
    check("emails[type eq \"work\"].value.x", "invalidPath");
    check("emails[type eq \"work\"] and x", "invalidPath");
    check("name[givenName eq \"x\"]", "invalidPath");
    check("emails.value[type eq \"work\"]", "invalidPath");
    check("emails[", "invalidFilter");
    check("emails[]", "invalidFilter");
    check("emails[type eq work]", "invalidFilter");
    check("emails[type eq \"work\"", "invalidFilter");
    check("emails[nosuch eq \"work\"]", "invalidFilter");
    check("emails[primary eq \"maybe\"]", "invalidFilter");
    check("emails[emails[type eq \"a\"]]", "invalidFilter");
}

#[test]
fn members_are_a_path_of_groups() {
    let path = PatchPath::parse("Members[Value eq \"u1\"]").unwrap();
    let Some(Target::Attribute(target)) = path.resolve(group_type()).unwrap() else { panic!("no target") };
    assert!(target.attribute().membership && target.filter.is_some());
}

fn any_path() -> impl Strategy<Value = PatchPath> {
    let attr =
        prop::sample::select(vec!["emails", "name.givenName", "urn:example:badge:2.0:User:tags", "$ref"]);
    let filter = prop::option::of((any_filter(false), prop::option::of("[a-z][a-zA-Z0-9_-]{0,6}")));
    (attr, filter).prop_map(|(attr, filter)| {
        let (filter, sub) = filter.map_or((None, None), |(filter, sub)| (Some(filter), sub));
        PatchPath { attr: AttrPath::parse(attr).unwrap(), filter, sub }
    })
}

proptest! {
    #[test]
    fn a_printed_path_reads_back(path in any_path()) {
        prop_assert_eq!(PatchPath::parse(&path.to_string()), Ok(path));
    }

    #[test]
    fn any_text_is_a_path_or_an_error(text in "\\PC{0,60}") {
        let _ = PatchPath::parse(&text).map(|path| path.resolve(user_type()));
    }
}
