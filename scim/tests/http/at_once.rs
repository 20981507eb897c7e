//! Requests at the same time.

use directory::facts::{GroupChanged, UserChanged, UserDeactivated};
use futures_util::future::join_all;
use serde_json::json;

use crate::house::{GROUP, House, USER, on_both_engines};

on_both_engines! {
    fifty_patches_of_one_group_lose_no_member
    joining_and_leaving_at_once_is_as_one_after_the_other
    pushes_of_whole_member_lists_do_not_add_up
    patches_of_one_user_lose_nothing
    fifty_patches_of_one_user_all_succeed
    a_rename_succeeds_among_patches_of_members
    a_delete_succeeds_among_patches
    a_deactivation_among_other_changes_is_not_lost
    of_two_who_name_the_version_one_wins
    of_many_who_create_a_name_one_wins
    a_deleted_user_does_not_come_back
}

async fn fifty_patches_of_one_group_lose_no_member(house: &House) {
    let id = house.group("Staff", &[]).await;
    let path = format!("Groups/{id}");
    let add = async |at: usize| {
        let member = json!([{"op": "Add", "path": "members", "value": [{"$ref": null, "value": format!("m{at:02}")}]}]);
        house.patch(&path, member).await.expect(200)
    };
    join_all((0..50).map(add)).await;
    let expect: Vec<String> = (0..50).map(|at| format!("m{at:02}")).collect();
    assert_eq!(house.members(&id).await, expect);
    assert_eq!(house.get(&path).await.header("etag"), "W/\"51\"");
    assert_eq!(house.facts::<GroupChanged>(&id).await.len(), 50);
}

async fn joining_and_leaving_at_once_is_as_one_after_the_other(house: &House) {
    let first: Vec<String> = (0..20).map(|at| format!("a{at:02}")).collect();
    let id = house.group("Staff", &first.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let path = format!("Groups/{id}");
    let change = async |at: usize| {
        let operation = match at % 2 {
            0 => json!({"op": "add", "path": "members", "value": [{"value": format!("b{at:02}")}]}),
            _ => json!({"op": "remove", "path": format!("members[value eq \"a{:02}\"]", at / 2)}),
        };
        house.patch(&path, json!([operation])).await.expect(200)
    };
    join_all((0..40).map(change)).await;
    let expect: Vec<String> = (0..40).step_by(2).map(|at| format!("b{at:02}")).collect();
    assert_eq!(house.members(&id).await, expect);
}

async fn pushes_of_whole_member_lists_do_not_add_up(house: &House) {
    let id = house.group("Staff", &["x"]).await;
    let path = format!("Groups/{id}");
    let push = async |at: usize| {
        let members = json!([{"value": format!("m{at}")}, {"value": format!("n{at}")}]);
        match at % 2 {
            0 => {
                let push = json!([{"op": "replace", "path": "members", "value": members}]);
                house.patch(&path, push).await.expect(200)
            }
            _ => {
                let body = json!({"schemas": [GROUP], "displayName": "Staff", "members": members});
                house.send("PUT", &path, &body).await.expect(200)
            }
        }
    };
    join_all((0..16).map(push)).await;
    let members = house.members(&id).await;
    let [m, n] = &members[..] else { panic!("more than one list: {members:?}") };
    assert_eq!(m.replace('m', "n"), *n);
}

async fn patches_of_one_user_lose_nothing(house: &House) {
    let id = house.user("ada", json!({})).await;
    let path = format!("Users/{id}");
    let names = ["title", "nickName", "userType", "locale", "timezone", "displayName", "preferredLanguage"];
    let set = async |name: &&str| {
        house.patch(&path, json!([{"op": "replace", "path": name, "value": name}])).await.expect(200)
    };
    join_all(names.iter().map(set)).await;
    let read = house.get(&path).await.expect(200);
    for name in names {
        assert_eq!(read.body[name], name);
    }
    assert_eq!(read.header("etag"), "W/\"8\"");
    assert_eq!(house.facts::<UserChanged>(&id).await.len(), 7);
}

async fn fifty_patches_of_one_user_all_succeed(house: &House) {
    let id = house.user("ada", json!({})).await;
    let path = format!("Users/{id}");
    let set = async |at: usize| {
        let value = json!([{"op": "replace", "path": "title", "value": format!("t{at}")}]);
        house.patch(&path, value).await.status
    };
    assert_eq!(join_all((0..50).map(set)).await, [200; 50]);
    assert_eq!(house.get(&path).await.header("etag"), "W/\"51\"");
    assert_eq!(house.facts::<UserChanged>(&id).await.len(), 50);
}

async fn a_rename_succeeds_among_patches_of_members(house: &House) {
    let id = house.group("g", &[]).await;
    let path = format!("Groups/{id}");
    let change = async |at: usize| {
        let operation = match at % 5 {
            0 => json!({"op": "replace", "path": "displayName", "value": format!("g{at}")}),
            _ => json!({"op": "add", "path": "members", "value": [{"value": format!("m{at}")}]}),
        };
        house.patch(&path, json!([operation])).await.status
    };
    assert_eq!(join_all((0..50).map(change)).await, [200; 50]);
    assert_eq!(house.members(&id).await.len(), 40);
    assert_eq!(house.get(&path).await.header("etag"), "W/\"51\"");
}

async fn a_delete_succeeds_among_patches(house: &House) {
    let id = house.user("ada", json!({})).await;
    let path = format!("Users/{id}");
    let change = async |at: usize| match at {
        20 => house.delete(&path).await.status,
        at => {
            let value = json!([{"op": "replace", "path": "title", "value": format!("t{at}")}]);
            house.patch(&path, value).await.status
        }
    };
    let statuses = join_all((0..40).map(change)).await;
    assert_eq!(statuses[20], 204);
    assert!(statuses.iter().all(|status| [200, 204, 404].contains(status)), "{statuses:?}");
}

async fn a_deactivation_among_other_changes_is_not_lost(house: &House) {
    let id = house.user("ada", json!({})).await;
    let session = house.sign_in(&id).await;
    let path = format!("Users/{id}");
    let change = async |at: usize| match at {
        3 => house.patch(&path, json!([{"op": "Replace", "path": "active", "value": "False"}])).await,
        at if at % 2 == 0 => {
            house.patch(&path, json!([{"op": "replace", "path": "title", "value": format!("t{at}")}])).await
        }
        at => {
            let body = json!({"schemas": [USER], "userName": "ada", "nickName": format!("n{at}")});
            house.send("PUT", &path, &body).await
        }
    };
    for answer in join_all((0..10).map(change)).await {
        answer.expect(200);
    }
    assert_eq!(house.get(&path).await.body["active"], false);
    assert!(!house.is_signed_in(&session).await);
    assert_eq!(house.facts::<UserDeactivated>(&id).await.len(), 1);
}

async fn of_two_who_name_the_version_one_wins(house: &House) {
    let path = format!("Users/{}", house.user("ada", json!({})).await);
    let set = async |at: usize| {
        let body = json!({"Operations": [{"op": "replace", "path": "title", "value": format!("t{at}")}]});
        let request = house.with_body("PATCH", &path, &body).insert_header(("if-match", "W/\"1\""));
        house.ask(request).await.status
    };
    let mut statuses = join_all((0..8).map(set)).await;
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412, 412, 412, 412, 412, 412, 412]);
    assert_eq!(house.get(&path).await.header("etag"), "W/\"2\"");
}

async fn of_many_who_create_a_name_one_wins(house: &House) {
    let create = async |at: usize| {
        let name = ["ada", "ADA"][at % 2];
        house.send("POST", "Users", &json!({"schemas": [USER], "userName": name})).await.status
    };
    let mut statuses = join_all((0..8).map(create)).await;
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409, 409, 409, 409, 409, 409, 409]);
    assert_eq!(house.get("Users").await.body["totalResults"], 1);
}

async fn a_deleted_user_does_not_come_back(house: &House) {
    let id = house.user("ada", json!({})).await;
    let path = format!("Users/{id}");
    let change = async |at: usize| match at {
        4 => house.delete(&path).await.status,
        at => {
            house
                .patch(&path, json!([{"op": "replace", "path": "title", "value": format!("t{at}")}]))
                .await
                .status
        }
    };
    let statuses = join_all((0..9).map(change)).await;
    assert_eq!(statuses[4], 204);
    assert!(statuses.iter().all(|status| [200, 204, 404].contains(status)), "{statuses:?}");
    house.get(&path).await.refused(404, "");
}
