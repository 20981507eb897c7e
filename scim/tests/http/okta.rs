//! What Okta and Google Workspace send (must-survive list 2.3 and 2.4).

use serde_json::{Value as Json, json};

use crate::house::{GROUP, House, USER, on_both_engines};

on_both_engines! {
    the_connection_test_pages_through_nothing
    a_user_is_created_with_a_password_and_no_groups
    deactivation_is_a_patch_without_a_path
    a_whole_user_is_put_without_active
    an_external_id_of_a_deactivated_user_is_taken
    a_group_is_renamed_and_then_filled
    members_are_pushed_whole
    google_names_the_first_schema_too
}

async fn the_connection_test_pages_through_nothing(house: &House) {
    for query in ["Users?startIndex=1&count=2", "Groups?startIndex=1&count=100"] {
        let body = house.get(query).await.expect(200).body;
        for number in ["totalResults", "startIndex", "itemsPerPage"] {
            assert!(body[number].is_u64(), "{number} in {body}");
        }
        assert_eq!(body["Resources"], json!([]));
    }
}

async fn a_user_is_created_with_a_password_and_no_groups(house: &House) {
    let answer = house.filter("Users", r#"userName eq "ada@x""#, "&startIndex=1&count=100").await;
    assert_eq!(answer.expect(200).body["totalResults"], 0);
    let body = json!({
        "schemas": [USER], "userName": "ada@x", "password": "1mz050nq", "groups": [], "externalId": "00u",
        "name": {"givenName": "Ada", "familyName": "Lovelace"}, "locale": "en-US", "active": true,
        "emails": [{"primary": true, "value": "ada@x", "type": "work"}], "displayName": "Ada Lovelace",
    });
    let made = house.send("POST", "Users", &body).await.expect(201);
    assert_eq!(made.body["userName"], "ada@x");
    assert_eq!(made.body.get("groups"), None);
}

async fn deactivation_is_a_patch_without_a_path(house: &House) {
    let path = format!("Users/{}", house.user("ada", json!({})).await);
    let off = json!([{"op": "replace", "value": {"active": false}}]);
    assert_eq!(house.patch(&path, off).await.expect(200).body["active"], false);
    let password = json!([{"op": "replace", "value": {"password": "1mz050nq"}}]);
    assert_eq!(house.patch(&path, password).await.expect(200).body["active"], false);
}

async fn a_whole_user_is_put_without_active(house: &House) {
    for active in [true, false] {
        let name = format!("ada-{active}");
        let path = format!("Users/{}", house.user(&name, json!({"active": active})).await);
        let body = json!({"schemas": [USER], "userName": name, "title": "x"});
        assert_eq!(house.send("PUT", &path, &body).await.expect(200).body["active"], active);
        let body = json!({"schemas": [USER], "userName": name, "title": "x", "active": !active});
        assert_eq!(house.send("PUT", &path, &body).await.expect(200).body["active"], !active);
    }
}

async fn an_external_id_of_a_deactivated_user_is_taken(house: &House) {
    house.user("ada", json!({"externalId": "00u", "active": false})).await;
    let again = json!({"schemas": [USER], "userName": "ada2", "externalId": "00u"});
    house.send("POST", "Users", &again).await.refused(409, "uniqueness");
}

async fn a_group_is_renamed_and_then_filled(house: &House) {
    let group = house.group("Staff", &["a", "b"]).await;
    let path = format!("Groups/{group}");
    let rename = json!([{"op": "replace", "value": {"id": group, "displayName": "Crew"}}]);
    assert_eq!(house.patch(&path, rename).await.expect(200).body["displayName"], "Crew");
    let change = json!([
        {"op": "remove", "path": "members[value eq \"a\"]"},
        {"op": "add", "path": "members", "value": [{"value": "c", "display": "c@x"}]},
    ]);
    house.patch(&path, change).await.expect(200);
    assert_eq!(house.members(&group).await, ["b", "c"]);
}

async fn members_are_pushed_whole(house: &House) {
    let group = house.group("Staff", &["a", "b"]).await;
    let path = format!("Groups/{group}");
    let push = |members: Json| json!([{"op": "replace", "path": "members", "value": members}]);
    house.patch(&path, push(json!([{"value": "b"}, {"value": "c"}]))).await.expect(200);
    assert_eq!(house.members(&group).await, ["b", "c"]);
    house.patch(&path, json!([{"op": "replace", "value": {"members": [{"value": "d"}]}}])).await.expect(200);
    assert_eq!(house.members(&group).await, ["d"]);
    house.patch(&path, push(json!([]))).await.expect(200);
    assert!(house.members(&group).await.is_empty());
    let body = json!({"schemas": [GROUP], "displayName": "Staff", "members": [{"value": "e"}]});
    house.send("PUT", &path, &body).await.expect(200);
    assert_eq!(house.members(&group).await, ["e"]);
}

async fn google_names_the_first_schema_too(house: &House) {
    let body = json!({"schemas": ["urn:scim:schemas:core:1.0", USER], "userName": "ada"}).to_string();
    let request =
        house.request("POST", "Users").insert_header(("content-type", "application/json; charset=utf-8"));
    let request = request.insert_header(("user-agent", "Google-Auto-Provisioning")).set_payload(body);
    let made = house.ask(request.insert_header(("accept", "*/*"))).await.expect(201);
    assert_eq!(made.body["schemas"], json!([USER]));
}
