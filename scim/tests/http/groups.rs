//! Groups and their members.

use std::time::Duration;

use directory::facts::{GroupChanged, GroupCreated, GroupDeleted};
use serde_json::{Value as Json, json};

use crate::house::{BASE, GROUP, House, on_both_engines};

on_both_engines! {
    a_new_group_is_answered_with_its_members
    a_name_is_taken_in_any_case
    members_of_every_kind_are_shown_as_what_they_are
    members_are_added_and_removed_and_nobody_else
    who_is_a_member_already_changes_nothing
    a_put_that_is_silent_about_members_keeps_them
    a_rename_keeps_members
    members_are_removed_by_what_they_are
    a_big_group_is_not_sent_back_after_a_patch
    a_group_is_read_without_its_members
    a_deleted_group_is_gone
    too_many_members_at_once_are_refused
    a_page_of_groups_ends_before_it_has_too_many_members
}

fn members(ids: &[&str]) -> Json {
    ids.iter().map(|id| json!({"value": id})).collect()
}

async fn a_new_group_is_answered_with_its_members(house: &House) {
    let ada = house.user("ada", json!({"displayName": "Ada"})).await;
    let body =
        json!({"schemas": [GROUP], "displayName": "Staff", "externalId": "g7", "members": members(&[&ada])});
    let answer = house.send("POST", "Groups", &body).await.expect(201);
    let (id, made) = (answer.id(), house.db.ctx().now().to_string());
    let location = format!("{BASE}/Groups/{id}");
    assert_eq!((answer.header("location"), answer.header("etag")), (location.as_str(), "W/\"1\""));
    let expect = json!({
        "schemas": [GROUP], "id": id, "displayName": "Staff", "externalId": "g7",
        "members": [{"value": ada, "$ref": format!("{BASE}/Users/{ada}"), "type": "User"}],
        "meta": {"resourceType": "Group", "created": made, "lastModified": made, "location": location,
                 "version": "W/\"1\""},
    });
    assert_eq!(answer.body, expect);
    assert_eq!(house.get(&format!("Groups/{id}")).await.expect(200).body, expect);
    let named = house.get(&format!("Groups/{id}?attributes=members.display")).await.expect(200).body;
    assert_eq!(named["members"], json!([{"display": "Ada"}]));
    let created = GroupCreated { display_name: "Staff".into(), members: vec![ada] };
    assert_eq!(house.facts::<GroupCreated>(&id).await, [created]);
}

async fn a_name_is_taken_in_any_case(house: &House) {
    house.group("Staff", &[]).await;
    let other = house.group("Crew", &[]).await;
    let body = json!({"schemas": [GROUP], "displayName": "STAFF"});
    house.send("POST", "Groups", &body).await.refused(409, "uniqueness");
    house.send("PUT", &format!("Groups/{other}"), &body).await.refused(409, "uniqueness");
    let rename = json!([{"op": "replace", "path": "displayName", "value": "staff"}]);
    house.patch(&format!("Groups/{other}"), rename).await.refused(409, "uniqueness");
    house.send("POST", "Groups", &json!({"schemas": [GROUP]})).await.refused(400, "invalidValue");
}

async fn members_of_every_kind_are_shown_as_what_they_are(house: &House) {
    let ada = house.user("ada", json!({})).await;
    let inner = house.group("Inner", &[]).await;
    let outer = house.group("Outer", &[&ada, &inner, "unresolved"]).await;
    let read = house.get(&format!("Groups/{outer}")).await.expect(200).body;
    let member = |id: &str| {
        let all = read["members"].as_array().unwrap();
        all.iter().find(|member| member["value"] == id).cloned().unwrap()
    };
    let (user, group) = (format!("{BASE}/Users/{ada}"), format!("{BASE}/Groups/{inner}"));
    assert_eq!(member(&ada), json!({"value": ada, "$ref": user, "type": "User"}));
    assert_eq!(member(&inner), json!({"value": inner, "$ref": group, "type": "Group"}));
    assert_eq!(member("unresolved"), json!({"value": "unresolved"}));
}

async fn members_are_added_and_removed_and_nobody_else(house: &House) {
    let id = house.group("Staff", &["a", "b"]).await;
    let path = format!("Groups/{id}");
    let patch = async |operations: Json| {
        house.advance(Duration::from_secs(1));
        house.patch(&path, operations).await.expect(200)
    };
    let add = json!([{"op": "add", "path": "members", "value": members(&["b", "c", "d"])}]);
    let answer = patch(add).await;
    assert_eq!(answer.header("etag"), "W/\"2\"");
    assert_eq!(answer.body["meta"]["lastModified"], house.db.ctx().now().to_string());
    assert_eq!(house.members(&id).await, ["a", "b", "c", "d"]);
    let both = json!([
        {"op": "remove", "path": "members[value eq \"a\"]"},
        {"op": "add", "path": "members", "value": members(&["e"])},
    ]);
    patch(both).await;
    assert_eq!(house.members(&id).await, ["b", "c", "d", "e"]);
    let several = json!([{"op": "remove", "path": "members[value eq \"b\" or value eq \"c\"]"}]);
    patch(several).await;
    assert_eq!(house.members(&id).await, ["d", "e"]);
    let all = json!([{"op": "replace", "path": "members", "value": members(&["e", "f"])}]);
    patch(all).await;
    assert_eq!(house.members(&id).await, ["e", "f"]);
    patch(json!([{"op": "remove", "path": "members"}])).await;
    assert!(house.members(&id).await.is_empty());
    let changes: Vec<_> =
        house.facts::<GroupChanged>(&id).await.into_iter().map(|f| (f.added, f.removed)).collect();
    let list = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
    let expect = [
        (list(&["c", "d"]), list(&[])),
        (list(&["e"]), list(&["a"])),
        (list(&[]), list(&["b", "c"])),
        (list(&["f"]), list(&["d"])),
        (list(&[]), list(&["e", "f"])),
    ];
    assert_eq!(changes, expect);
}

async fn who_is_a_member_already_changes_nothing(house: &House) {
    let id = house.group("Staff", &["a", "b"]).await;
    let facts = house.fact_count().await;
    house.advance(Duration::from_secs(1));
    for operation in [
        json!({"op": "add", "path": "members", "value": members(&["a"])}),
        json!({"op": "remove", "path": "members", "value": members(&["x"])}),
        json!({"op": "remove", "path": "members[value eq \"x\"]"}),
        json!({"op": "replace", "path": "members", "value": members(&["b", "a"])}),
        json!({"op": "add", "path": "members", "value": []}),
        json!({"op": "replace", "path": "displayName", "value": "Staff"}),
        json!({"op": "replace", "value": {"id": id, "displayName": "Staff"}}),
    ] {
        let answer = house.patch(&format!("Groups/{id}"), json!([operation])).await.expect(200);
        assert_eq!(answer.header("etag"), "W/\"1\"", "{operation}");
        assert_eq!(answer.body["meta"]["lastModified"], answer.body["meta"]["created"]);
    }
    assert_eq!(house.fact_count().await, facts);
}

async fn a_put_that_is_silent_about_members_keeps_them(house: &House) {
    let id = house.group("Staff", &["a", "b"]).await;
    let path = format!("Groups/{id}");
    let body = json!({"schemas": [GROUP], "displayName": "Crew"});
    let answer = house.send("PUT", &path, &body).await.expect(200);
    assert_eq!((&answer.body["displayName"], answer.header("etag")), (&json!("Crew"), "W/\"2\""));
    assert_eq!(house.members(&id).await, ["a", "b"]);
    let body = json!({"schemas": [GROUP], "displayName": "Crew", "members": members(&["b", "c"])});
    house.send("PUT", &path, &body).await.expect(200);
    assert_eq!(house.members(&id).await, ["b", "c"]);
    let body = json!({"schemas": [GROUP], "displayName": "Crew", "members": []});
    house.send("PUT", &path, &body).await.expect(200);
    assert!(house.members(&id).await.is_empty());
}

async fn a_rename_keeps_members(house: &House) {
    let ada = house.user("ada", json!({})).await;
    let id = house.group("Staff", &[&ada]).await;
    let rename = json!([{"op": "replace", "value": {"id": id, "displayName": "Crew"}}]);
    house.patch(&format!("Groups/{id}"), rename).await.expect(200);
    assert_eq!(house.members(&id).await, std::slice::from_ref(&ada));
    let read = house.get(&format!("Users/{ada}")).await.expect(200).body;
    assert_eq!(read["groups"][0]["display"], "Crew");
    let [changed] = &house.facts::<GroupChanged>(&id).await[..] else { panic!("one fact") };
    assert_eq!((&changed.attributes[..], changed.added.len()), (&["displayName".to_owned()][..], 0));
}

async fn members_are_removed_by_what_they_are(house: &House) {
    let (ada, bob) = (house.user("ada", json!({})).await, house.user("bob", json!({})).await);
    let inner = house.group("Inner", &[]).await;
    let id = house.group("Staff", &[&ada, &bob, &inner]).await;
    let path = format!("Groups/{id}");
    house.patch(&path, json!([{"op": "remove", "path": "members[type eq \"Group\"]"}])).await.expect(200);
    let mut both = vec![ada.clone(), bob.clone()];
    both.sort();
    assert_eq!(house.members(&id).await, both);
    house.patch(&path, json!([{"op": "remove", "path": "members[display sw \"A\"]"}])).await.expect(200);
    assert_eq!(house.members(&id).await, [bob]);
    house
        .patch(&path, json!([{"op": "remove", "path": "members[shoeSize pr]"}]))
        .await
        .refused(400, "invalidFilter");
}

async fn a_big_group_is_not_sent_back_after_a_patch(house: &House) {
    let ids: Vec<String> = (0..999).map(|at| format!("m{at:04}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let id = house.group("Everybody", &ids).await;
    let path = format!("Groups/{id}");
    let add = |id: &str| json!([{"op": "add", "path": "members", "value": members(&[id])}]);
    let remove = json!([{"op": "remove", "path": "members", "value": members(&["x"])}]);
    let whole = house.patch(&path, remove).await.expect(200);
    assert_eq!(whole.body["members"].as_array().map(Vec::len), Some(999));
    let none = house.patch(&path, add("n1")).await.expect(204);
    assert_eq!((none.header("etag"), &none.body), ("W/\"2\"", &Json::Null));
    for query in ["excludedAttributes=members", "attributes=displayName"] {
        let small = house.patch(&format!("{path}?{query}"), add("n1")).await.expect(200);
        assert_eq!(small.body["displayName"], "Everybody");
        assert_eq!(small.body.get("members"), None);
    }
    assert_eq!(house.members(&id).await.len(), 1_000);
}

async fn a_group_is_read_without_its_members(house: &House) {
    let id = house.group("Staff", &["a"]).await;
    for path in
        [format!("Groups/{id}?excludedAttributes=members"), format!("Groups/{id}?attributes=displayName")]
    {
        let read = house.get(&path).await.expect(200);
        assert_eq!((&read.body["displayName"], read.body.get("members")), (&json!("Staff"), None));
    }
}

async fn a_deleted_group_is_gone(house: &House) {
    let ada = house.user("ada", json!({})).await;
    let id = house.group("Staff", &[&ada]).await;
    let outer = house.group("Outer", &[&id]).await;
    house.delete(&format!("Groups/{id}")).await.expect(204);
    house.get(&format!("Groups/{id}")).await.refused(404, "");
    house.delete(&format!("Groups/{id}")).await.refused(404, "");
    let add = json!([{"op": "add", "path": "members", "value": members(&[&ada])}]);
    house.patch(&format!("Groups/{id}"), add).await.refused(404, "");
    assert!(house.members(&outer).await.is_empty());
    assert_eq!(house.get(&format!("Users/{ada}")).await.body.get("groups"), None);
    assert_eq!(house.facts::<GroupDeleted>(&id).await, [GroupDeleted { members: vec![ada] }]);
    house.group("Staff", &[]).await;
}

async fn too_many_members_at_once_are_refused(house: &House) {
    let ids: Vec<String> = (0..10_001).map(|at| format!("m{at}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let id = house.group("Staff", &["a"]).await;
    let all = json!([{"op": "add", "path": "members", "value": members(&ids)}]);
    house.patch(&format!("Groups/{id}"), all).await.refused(400, "invalidValue");
    assert_eq!(house.members(&id).await, ["a"], "nothing is half-done");
}

async fn a_page_of_groups_ends_before_it_has_too_many_members(house: &House) {
    let many: Vec<String> = (0..9_000).map(|at| format!("m{at}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let mut ids = Vec::new();
    for name in ["One", "Two", "Three"] {
        ids.push(house.group(name, &many).await);
        house.advance(Duration::from_secs(1));
    }
    for (query, expect) in [
        ("count=10", &ids[..2]),
        ("startIndex=3&count=10", &ids[2..]),
        ("count=10&excludedAttributes=members", &ids[..]),
    ] {
        let page = house.get(&format!("Groups?{query}")).await.expect(200);
        assert_eq!(page.ids(), expect, "{query}");
        assert_eq!(
            (&page.body["totalResults"], &page.body["itemsPerPage"]),
            (&json!(3), &json!(expect.len()))
        );
    }
}
