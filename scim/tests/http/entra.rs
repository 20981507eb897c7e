//! What Entra ID's provisioning job sends, line by line of `reference` must-survive list 2.1 and 2.2.

use serde_json::{Value as Json, json};

use crate::house::{ENTERPRISE, GROUP, House, PATCH, USER, on_both_engines};

on_both_engines! {
    disabling_by_every_shape
    a_disabled_user_stays_readable_and_filterable
    matching_by_user_name_in_another_case_and_by_external_id
    test_connection_finds_nobody
    value_paths_make_what_they_do_not_find
    a_filtered_remove_that_finds_nothing_is_no_error
    a_manager_is_a_bare_id
    a_user_is_created_with_no_roles
    a_group_is_created_with_a_foreign_schema
    membership_is_asked_without_reading_members
    members_come_with_an_empty_reference_and_go_by_a_list
    paths_and_keys_in_odd_spellings
    keys_without_a_path_are_paths
    a_conflict_says_uniqueness
}

const ENTRA_GROUP: &str = "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group";

/// Every shape in which `active` was seen to be set.
pub(crate) fn shapes_of_active(active: bool) -> Vec<Json> {
    let word = if active { "True" } else { "False" };
    vec![
        json!({"op": "Replace", "path": "active", "value": word}),
        json!({"op": "Add", "path": "active", "value": word}),
        json!({"op": "Replace", "path": "active", "value": active}),
        json!({"op": "replace", "path": "active", "value": word.to_lowercase()}),
        json!({"op": "Replace", "path": "Active", "value": word}),
        json!({"op": "Replace", "path": format!("{USER}:active"), "value": word}),
        json!({"op": "replace", "value": {"active": active}}),
        json!({"op": "Replace", "value": {"active": word}}),
        json!({"op": "Replace", "value": {(format!("{USER}:active")): active}}),
        json!({"op": "Replace", "path": "active", "value": [word]}),
        json!({"op": "Replace", "path": "active", "value": word, "name": "active"}),
    ]
}

async fn disabling_by_every_shape(house: &House) {
    let path = format!("Users/{}", house.user("ada", json!({})).await);
    for (off, on) in shapes_of_active(false).into_iter().zip(shapes_of_active(true)) {
        let answer = house.patch(&path, json!([off])).await.expect(200);
        assert_eq!(answer.body["active"], false, "{off}");
        let answer = house.patch(&path, json!([on])).await.expect(200);
        assert_eq!(answer.body["active"], true, "{on}");
    }
}

async fn a_disabled_user_stays_readable_and_filterable(house: &House) {
    let id = house.user("ada", json!({"externalId": "7"})).await;
    let path = format!("Users/{id}");
    house.patch(&path, json!([shapes_of_active(false)[0]])).await.expect(200);
    assert_eq!(house.get(&path).await.expect(200).body["active"], false);
    for filter in [r#"userName eq "ada""#, r#"externalId eq "7""#, "active eq false"] {
        let found = house.filter("Users", filter, "").await.expect(200).body;
        assert_eq!((&found["totalResults"], &found["Resources"][0]["active"]), (&json!(1), &json!(false)));
    }
}

async fn matching_by_user_name_in_another_case_and_by_external_id(house: &House) {
    let id = house.user("Ada.Lovelace@Example.org", json!({"externalId": "ada-7"})).await;
    assert_eq!(
        house.found("Users", r#"userName eq "ada.lovelace@example.ORG""#).await,
        std::slice::from_ref(&id)
    );
    assert_eq!(house.found("Users", r#"externalId eq "ada-7""#).await, [id]);
    assert!(house.found("Users", r#"externalId eq "ADA-7""#).await.is_empty());
}

async fn test_connection_finds_nobody(house: &House) {
    let guid = "1b0c7a4c-66d5-4f0a-8d32-0a4d0c3b9f11";
    for (kind, name) in [("Users", "userName"), ("Groups", "displayName")] {
        let answer = house.filter(kind, &format!("{name} eq \"{guid}\""), "").await.expect(200);
        assert_eq!((&answer.body["totalResults"], &answer.body["Resources"]), (&json!(0), &json!([])));
    }
    house
        .filter("Groups", &format!("displayName eq \"{guid}\""), "&excludedAttributes=members")
        .await
        .expect(200);
}

async fn value_paths_make_what_they_do_not_find(house: &House) {
    let path = format!("Users/{}", house.user("ada", json!({})).await);
    let parts = ["formatted", "streetAddress", "locality", "postalCode", "country"];
    let adds: Vec<Json> = parts
        .iter()
        .map(
            |part| json!({"op": "Add", "path": format!("addresses[type eq \"work\"].{part}"), "value": part}),
        )
        .collect();
    let body = house.patch(&path, adds.into()).await.expect(200).body;
    let [address] = &body["addresses"].as_array().unwrap()[..] else { panic!("one address: {body}") };
    assert_eq!(address["type"], "work");
    assert!(parts.iter().all(|part| address[part] == *part), "{address}");
    for op in ["Add", "Replace"] {
        let set = json!([{"op": op, "path": "emails[type eq \"work\"].value", "value": format!("{op}@x")}]);
        let body = house.patch(&path, set).await.expect(200).body;
        assert_eq!(body["emails"], json!([{"type": "work", "value": format!("{op}@x")}]));
    }
}

async fn a_filtered_remove_that_finds_nothing_is_no_error(house: &House) {
    let path = format!("Users/{}", house.user("ada", json!({})).await);
    for operation in [
        json!({"op": "Remove", "path": "emails[type eq \"work\"]"}),
        json!({"op": "Remove", "path": "emails[type eq \"work\"].value"}),
        json!({"op": "Remove", "path": "emails[type eq \"work\"].value", "value": "x@y"}),
        json!({"op": "Remove", "path": "title"}),
    ] {
        let body = house.patch(&path, json!([operation])).await.expect(200).body;
        assert_eq!(body.get("emails"), None, "{operation}");
    }
}

async fn a_manager_is_a_bare_id(house: &House) {
    let boss = house.user("boss", json!({})).await;
    let manager = |body: &Json| body[ENTERPRISE]["manager"]["value"].clone();
    let body = json!({"schemas": [USER, ENTERPRISE], "userName": "ada", ENTERPRISE: {"manager": boss}});
    let made = house.send("POST", "Users", &body).await.expect(201);
    assert_eq!(manager(&made.body), boss);
    let path = format!("Users/{}", made.id());
    let at = format!("{ENTERPRISE}:manager");
    for (operation, expect) in [
        (json!({"op": "Replace", "path": at, "value": ""}), Json::Null),
        (json!({"op": "Add", "path": at, "value": boss}), boss.clone().into()),
        (json!({"op": "Remove", "path": at}), Json::Null),
        (json!({"op": "Replace", "path": at, "value": boss}), boss.clone().into()),
        (json!({"op": "Replace", "path": at, "value": {"value": ""}}), Json::Null),
        (json!({"op": "Add", "path": at, "value": [{"$ref": "x", "value": boss}]}), boss.clone().into()),
    ] {
        let answer = house.patch(&path, json!([operation])).await.expect(200);
        assert_eq!(manager(&answer.body), expect, "{operation}");
    }
    house.patch(&path, json!([{"op": "Replace", "path": at, "value": ""}])).await.expect(200);
    let read = house.get(&path).await.expect(200).body;
    assert_eq!((read.get(ENTERPRISE), &read["schemas"]), (None, &json!([USER])), "the extension is gone");
}

async fn a_user_is_created_with_no_roles(house: &House) {
    let body = json!({
        "schemas": [USER, ENTERPRISE], "userName": "ada", "active": true, "roles": [],
        "meta": {"resourceType": "User"},
    });
    let made = house.send("POST", "Users", &body).await.expect(201);
    assert_eq!(made.body.get("roles"), None);
    assert_eq!(made.body["schemas"], json!([USER]));
    let path = format!("Users/{}", made.id());
    let role = json!([{"op": "Add", "path": "roles[primary eq \"True\"].value", "value": "Operator"}]);
    let body = house.patch(&path, role).await.expect(200).body;
    assert_eq!(body["roles"], json!([{"primary": true, "value": "Operator"}]));
}

async fn a_group_is_created_with_a_foreign_schema(house: &House) {
    let body = json!({
        "schemas": [GROUP, ENTRA_GROUP], "externalId": "g7", "displayName": "Staff",
        "meta": {"resourceType": "Group"},
    });
    let made = house.send("POST", "Groups", &body).await.expect(201);
    assert_eq!(made.body["schemas"], json!([GROUP]));
    assert_eq!(made.header("x-scim-ignored"), ENTRA_GROUP);
    assert_eq!(house.found("Groups", r#"externalId eq "g7""#).await, [made.id()]);
    assert_eq!(house.found("Groups", r#"displayName eq "STAFF""#).await, [made.id()]);
}

async fn membership_is_asked_without_reading_members(house: &House) {
    let (ada, bob) = (house.user("ada", json!({})).await, house.user("bob", json!({})).await);
    let group = house.group("Staff", &[&ada]).await;
    for (user, expect) in [(&ada, 1), (&bob, 0)] {
        let filter = format!("id eq \"{group}\" and members eq \"{user}\"");
        let answer = house.filter("Groups", &filter, "&excludedAttributes=members").await.expect(200);
        assert_eq!(answer.body["totalResults"], expect);
        assert_eq!(answer.body["Resources"].as_array().map(Vec::len), Some(expect));
        assert!(!answer.body.to_string().contains("members"));
    }
}

async fn members_come_with_an_empty_reference_and_go_by_a_list(house: &House) {
    let group = house.group("Staff", &[]).await;
    let path = format!("Groups/{group}");
    let list = |ids: &[&str]| ids.iter().map(|id| json!({"$ref": null, "value": id})).collect::<Json>();
    let body = json!({
        "schemas": [PATCH],
        "Operations": [{"name": "addMember", "op": "Add", "path": "members", "value": list(&["a", "b", "c", "d"])}],
    });
    house.send("PATCH", &path, &body).await.expect(200);
    house
        .patch(&path, json!([{"op": "Remove", "path": "members", "value": list(&["a", "x"])}]))
        .await
        .expect(200);
    assert_eq!(house.members(&group).await, ["b", "c", "d"]);
    house.patch(&path, json!([{"op": "Remove", "path": "members", "value": []}])).await.expect(200);
    assert_eq!(house.members(&group).await, ["b", "c", "d"], "an empty list removes nobody");
    house.patch(&path, json!([{"op": "Remove", "path": "members", "value": ["b"]}])).await.expect(200);
    house.patch(&path, json!([{"op": "Remove", "path": "members[value eq \"c\"]"}])).await.expect(200);
    assert_eq!(house.members(&group).await, ["d"]);
}

async fn paths_and_keys_in_odd_spellings(house: &House) {
    let path = format!("Users/{}", house.user("ada", json!({})).await);
    let operations = json!([
        {"op": "Add", "path": "emails[type eq \"work\"].Value", "value": "ada@x"},
        {"op": "Add", "path": format!("{ENTERPRISE}.department"), "value": "Grid"},
        {"OP": "add", "PATH": "name.GIVENNAME", "Value": "Ada", "name": "x"},
    ]);
    let body = house.patch(&path, operations).await.expect(200).body;
    assert_eq!(body["emails"], json!([{"type": "work", "value": "ada@x"}]));
    assert_eq!(body[ENTERPRISE]["department"], "Grid");
    assert_eq!(body["name"]["givenName"], "Ada");
}

async fn keys_without_a_path_are_paths(house: &House) {
    let path = format!("Users/{}", house.user("ada", json!({})).await);
    let value = json!({
        "name.givenName": "Ada", (format!("{ENTERPRISE}:employeeNumber")): "42", "active": false,
        "emails[type eq \"work\"].value": "ada@x",
    });
    let body = house.patch(&path, json!([{"op": "replace", "value": value}])).await.expect(200).body;
    assert_eq!(body["name"], json!({"givenName": "Ada"}));
    assert_eq!(body[ENTERPRISE], json!({"employeeNumber": "42"}));
    assert_eq!(body["emails"], json!([{"type": "work", "value": "ada@x"}]));
    assert_eq!(body["active"], false);
}

async fn a_conflict_says_uniqueness(house: &House) {
    house.user("ada", json!({})).await;
    let body = json!({"schemas": [USER], "userName": "ADA"});
    house.send("POST", "Users", &body).await.refused(409, "uniqueness");
}
