//! Users: made, read, changed, deleted.

use std::time::Duration;

use directory::facts::{UserChanged, UserCreated};
use directory::user;
use serde_json::{Value as Json, json};

use crate::house::{BASE, ENTERPRISE, House, USER, on_both_engines};

on_both_engines! {
    a_new_user_is_answered_whole_with_its_address_and_version
    what_was_written_is_read_back_whatever_it_is
    columns_of_the_directory_follow_the_document
    a_put_replaces_what_it_says_and_clears_what_it_leaves_out
    what_was_read_can_be_sent_back_and_changes_nothing
    a_change_that_changes_nothing_writes_nothing
    a_patch_is_whole_or_not_at_all
    a_name_is_taken_in_any_spelling
    taking_active_away_changes_nothing_about_the_account
    a_deleted_user_is_gone_and_its_names_are_free
    passwords_are_taken_from_nobody
    what_means_nothing_here_is_ignored_and_reported
    an_answer_shows_what_was_asked_for
    a_manager_of_ours_has_a_name_and_an_address
    every_change_names_its_connection_and_request
    an_empty_external_id_is_none
    the_biggest_user_there_can_be_is_deactivated
}

async fn a_new_user_is_answered_whole_with_its_address_and_version(house: &House) {
    let body = json!({
        "schemas": [USER, ENTERPRISE], "userName": "ada@example.org", "externalId": "7",
        "name": {"givenName": "Ada", "familyName": "Lovelace"}, "active": true,
        "emails": [{"value": "ada@example.org", "type": "work", "primary": true}],
        ENTERPRISE: {"department": "Grid"},
    });
    let answer = house.send("POST", "Users", &body).await.expect(201);
    let id = answer.id();
    let location = format!("{BASE}/Users/{id}");
    assert_eq!(answer.header("location"), location);
    assert_eq!(answer.header("etag"), "W/\"1\"");
    let made = house.db.ctx().now().to_string();
    let mut expect = body;
    expect["id"] = id.as_str().into();
    expect["meta"] = json!({
        "resourceType": "User", "created": made, "lastModified": made, "location": location,
        "version": "W/\"1\"",
    });
    assert_eq!(answer.body, expect);
    let read = house.get(&format!("Users/{id}")).await.expect(200);
    assert_eq!((read.header("etag"), &read.body), ("W/\"1\"", &expect));
    assert_eq!(
        house.facts::<UserCreated>(&id).await,
        [UserCreated { user_name: "ada@example.org".into(), active: true }]
    );
}

async fn what_was_written_is_read_back_whatever_it_is(house: &House) {
    let more = json!({
        "displayName": "Ada 🦆 \"quoted\" \\ Ünï", "nickName": "", "profileUrl": "https://example.org/~ada",
        "userType": "Employee", "preferredLanguage": "de-AT", "locale": "de-AT", "timezone": "Europe/Vienna",
        "active": false, "phoneNumbers": [{"value": "+43 1", "type": "mobile"}],
        "addresses": [{"type": "work", "country": "AT", "formatted": "Straße 1\n1010 Wien"}],
        "roles": [{"value": "Operator", "primary": true}], "entitlements": [{"value": "door"}],
        "x509Certificates": [{"value": "TWFu"}], "photos": [{"value": "https://example.org/a.png"}],
        ENTERPRISE: {"employeeNumber": "0042", "costCenter": "c", "organization": "o", "division": "d"},
    });
    let id = house.user("ada", more.clone()).await;
    let read = house.get(&format!("Users/{id}")).await.expect(200).body;
    for (name, value) in more.as_object().unwrap() {
        assert_eq!(&read[name], value, "{name}");
    }
    assert_eq!(read["schemas"], json!([USER, ENTERPRISE]));
}

async fn columns_of_the_directory_follow_the_document(house: &House) {
    let row = async |id: &str| user::get(&house.db, id.parse().unwrap()).await.unwrap().unwrap();
    let more = json!({
        "externalId": "7", "name": {"formatted": "Ada Lovelace"}, "title": "Engineer",
        "emails": [{"value": "h@x", "type": "home"}, {"value": "w@x", "type": "work"}],
        "roles": [{"value": "Operator"}], ENTERPRISE: {"department": "Grid"},
    });
    let id = house.user("Ada", more).await;
    let ada = row(&id).await;
    assert_eq!(ada.user_name, "Ada");
    assert_eq!(ada.external_id.as_deref(), Some("7"));
    assert_eq!(ada.display_name.as_deref(), Some("Ada Lovelace"));
    assert_eq!(ada.email.as_deref(), Some("w@x"));
    assert_eq!(ada.department.as_deref(), Some("Grid"));
    assert_eq!(ada.title.as_deref(), Some("Engineer"));
    assert!(ada.active);
    assert_eq!(ada.roles(), ["Operator"]);

    let operations = json!([
        {"op": "replace", "path": "displayName", "value": "Ada"},
        {"op": "replace", "path": format!("{ENTERPRISE}:department"), "value": "Security"},
        {"op": "remove", "path": "title"},
        {"op": "add", "path": "emails", "value": [{"value": "p@x", "primary": true}]},
        {"op": "remove", "path": "externalId"},
    ]);
    house.patch(&format!("Users/{id}"), operations).await.expect(200);
    let ada = row(&id).await;
    assert_eq!(ada.display_name.as_deref(), Some("Ada"));
    assert_eq!(ada.email.as_deref(), Some("p@x"));
    assert_eq!(ada.department.as_deref(), Some("Security"));
    assert_eq!((ada.title, ada.external_id), (None, None));
    let document: Json = serde_json::from_str(&ada.document).unwrap();
    for derived in ["id", "meta", "groups", "schemas", "password"] {
        assert_eq!(document.get(derived), None, "{derived} is not stored");
    }
    let [changed] = &house.facts::<UserChanged>(&id).await[..] else { panic!("one change, one fact") };
    let mut names = changed.attributes.clone();
    names.sort();
    let department = format!("{ENTERPRISE}:department");
    assert_eq!(names, ["displayName", "emails", "externalId", "title", &department]);
}

async fn a_put_replaces_what_it_says_and_clears_what_it_leaves_out(house: &House) {
    let more =
        json!({"title": "Engineer", "active": false, "externalId": "7", ENTERPRISE: {"department": "Grid"}});
    let id = house.user("ada", more).await;
    house.advance(Duration::from_secs(1));
    let body = json!({"schemas": [USER], "userName": "Ada", "nickName": "A", "id": "other", "meta": {"version": "x"}});
    let answer = house.send("PUT", &format!("Users/{id}"), &body).await.expect(200);
    assert_eq!(answer.id(), id);
    assert_eq!(answer.header("etag"), "W/\"2\"");
    assert_eq!(answer.body["userName"], "Ada");
    assert_eq!(answer.body["nickName"], "A");
    assert_eq!(answer.body["active"], false, "silence neither disables nor enables");
    for gone in ["title", "externalId", ENTERPRISE] {
        assert_eq!(answer.body.get(gone), None, "{gone}");
    }
    assert_eq!(answer.body["schemas"], json!([USER]));
    assert_eq!(answer.body["meta"]["lastModified"], house.db.ctx().now().to_string());
    assert_ne!(answer.body["meta"]["created"], answer.body["meta"]["lastModified"]);
    house.send("PUT", &format!("Users/{id}"), &json!({"schemas": [USER]})).await.refused(400, "invalidValue");
}

async fn what_was_read_can_be_sent_back_and_changes_nothing(house: &House) {
    let boss = house.user("boss", json!({})).await;
    let id = house.user("ada", json!({"title": "Engineer", ENTERPRISE: {"manager": {"value": boss}}})).await;
    house.group("Staff", &[&id]).await;
    let path = format!("Users/{id}");
    let read = house.get(&path).await.expect(200).body;
    assert_eq!(read["groups"].as_array().map(Vec::len), Some(1));
    assert_eq!(read[ENTERPRISE]["manager"], json!({"value": boss, "$ref": format!("{BASE}/Users/{boss}")}));
    let facts = house.fact_count().await;
    let put = house.send("PUT", &path, &read).await.expect(200);
    assert_eq!(put.body, read);
    let patched = house.patch(&path, json!([{"op": "replace", "value": read}])).await.expect(200);
    assert_eq!(patched.body, read);
    assert_eq!(house.fact_count().await, facts);
}

async fn a_change_that_changes_nothing_writes_nothing(house: &House) {
    let id = house.user("ada", json!({"title": "Engineer"})).await;
    let path = format!("Users/{id}");
    let before = house.get(&path).await.expect(200).body;
    let facts = house.fact_count().await;
    house.advance(Duration::from_secs(60));
    for operations in [
        json!([{"op": "replace", "path": "title", "value": "Engineer"}]),
        json!([{"op": "Replace", "path": "active", "value": "True"}]),
        json!([{"op": "remove", "path": "nickName"}]),
        json!([{"op": "remove", "path": r#"emails[type eq "work"]"#}]),
        json!([{"op": "replace", "path": "title", "value": "x"}, {"op": "replace", "path": "title", "value": "Engineer"}]),
        json!([{"op": "replace", "value": {"password": "three blue ducks sing"}}]),
        json!([{"op": "replace", "path": format!("{ENTERPRISE}:manager"), "value": ""}]),
    ] {
        let answer = house.patch(&path, operations.clone()).await.expect(200);
        assert_eq!(answer.body, before, "{operations}");
        assert_eq!(answer.header("etag"), "W/\"1\"");
    }
    assert_eq!(house.fact_count().await, facts);
}

async fn a_patch_is_whole_or_not_at_all(house: &House) {
    let id = house.user("ada", json!({})).await;
    let path = format!("Users/{id}");
    let title = json!({"op": "replace", "path": "title", "value": "Engineer"});
    for (operation, scim_type) in [
        (json!({"op": "remove", "path": "userName"}), "mutability"),
        (json!({"op": "replace", "path": "id", "value": "x"}), "mutability"),
        (json!({"op": "replace", "path": "emails[", "value": "x"}), "invalidFilter"),
        (json!({"op": "replace", "path": "a b", "value": "x"}), "invalidPath"),
        (json!({"op": "replace", "path": "active", "value": "x"}), "invalidValue"),
        (json!({"op": "remove"}), "noTarget"),
        (json!({"op": "replace", "path": "userName", "value": "x".repeat(2_000)}), "invalidValue"),
    ] {
        house.patch(&path, json!([title, operation])).await.refused(400, scim_type);
    }
    let read = house.get(&path).await.expect(200);
    assert_eq!((read.body.get("title"), read.header("etag")), (None, "W/\"1\""));
}

/// Clients may take every attribute away (RFC 7644, section 3.5.2.2), but nobody is enabled by silence, and the state
/// remains to be seen and found.
async fn taking_active_away_changes_nothing_about_the_account(house: &House) {
    for active in [true, false] {
        let id = house.user(&format!("ada-{active}"), json!({"active": active})).await;
        let path = format!("Users/{id}");
        let answer = house.patch(&path, json!([{"op": "remove", "path": "active"}])).await.expect(200);
        assert_eq!(answer.body.get("active"), None, "what was taken away is not shown");
        let found = house.found("Users", &format!("active eq {active}")).await;
        assert_eq!(found, std::slice::from_ref(&id), "and found");
        assert!(house.found("Users", &format!("active ne {active}")).await.is_empty());
        house.patch(&path, json!([{"op": "replace", "path": "title", "value": "x"}])).await.expect(200);
        let put = json!({"schemas": [USER], "userName": "ada"});
        house.send("PUT", &path, &put).await.expect(200);
        let row = user::get(&house.db, id.parse().unwrap()).await.unwrap().unwrap();
        assert_eq!(row.active, active);
        house.delete(&path).await.expect(204);
    }
    assert!(house.stored_facts("user.activated").await.is_empty());
    assert!(house.stored_facts("user.deactivated").await.is_empty());
}

async fn a_name_is_taken_in_any_spelling(house: &House) {
    let ada = house.user("ada@example.org", json!({"externalId": "A7"})).await;
    let bob = house.user("bob", json!({"externalId": "a7"})).await;
    for (name, more) in [("Ada@Example.ORG", json!({})), ("ada", json!({"externalId": "A7"}))] {
        let mut body = json!({"schemas": [USER], "userName": name});
        body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
        house.send("POST", "Users", &body).await.refused(409, "uniqueness");
        house.send("PUT", &format!("Users/{bob}"), &body).await.refused(409, "uniqueness");
    }
    let rename = json!([{"op": "replace", "path": "userName", "value": "ADA@example.org"}]);
    house.patch(&format!("Users/{bob}"), rename.clone()).await.refused(409, "uniqueness");
    house.patch(&format!("Users/{ada}"), rename).await.expect(200);
    let taken = json!([{"op": "replace", "path": "externalId", "value": "A7"}]);
    house.patch(&format!("Users/{bob}"), taken).await.refused(409, "uniqueness");
    assert_eq!(house.get(&format!("Users/{bob}")).await.header("etag"), "W/\"1\"");
}

async fn a_deleted_user_is_gone_and_its_names_are_free(house: &House) {
    let id = house.user("ada", json!({"externalId": "7"})).await;
    let group = house.group("Staff", &[&id]).await;
    let path = format!("Users/{id}");
    let answer = house.delete(&path).await.expect(204);
    assert_eq!(answer.body, Json::Null);
    house.get(&path).await.refused(404, "");
    house.delete(&path).await.refused(404, "");
    house.patch(&path, json!([{"op": "replace", "path": "active", "value": true}])).await.refused(404, "");
    assert!(house.found("Users", r#"userName eq "ada""#).await.is_empty());
    assert!(house.found("Users", &format!("id eq \"{id}\"")).await.is_empty());
    assert_eq!(house.get("Users").await.body["totalResults"], 0);
    assert!(house.members(&group).await.is_empty());
    let again = house.user("ada", json!({"externalId": "7"})).await;
    assert_ne!(again, id);
}

async fn passwords_are_taken_from_nobody(house: &House) {
    let password = "three blue ducks sing";
    let body = json!({"schemas": [USER], "userName": "ada", "password": password});
    let answer = house.send("POST", "Users", &body).await.expect(201);
    assert_eq!(answer.header("x-scim-ignored"), "password");
    let id = answer.id();
    let path = format!("Users/{id}");
    let put = house.send("PUT", &path, &body).await.expect(200);
    let operation = json!([{"op": "replace", "value": {"password": password, "title": "x"}}]);
    let patched = house.patch(&path, operation).await.expect(200);
    for answer in [&answer, &put, &patched] {
        assert_eq!(answer.header("x-scim-ignored"), "password");
        assert!(!answer.body.to_string().contains(password));
    }
    assert_eq!(patched.body["title"], "x");
    let user: kernel::id::UserId = id.parse().unwrap();
    assert_eq!(directory::authenticator::password::verifier(&house.db, user).await.unwrap(), None);
    assert!(!user::get(&house.db, user).await.unwrap().unwrap().document.contains(password));
    house.filter("Users", "password pr", "").await.refused(400, "invalidFilter");
}

async fn what_means_nothing_here_is_ignored_and_reported(house: &House) {
    let body = json!({
        "schemas": [USER, "urn:scim:schemas:core:1.0"], "userName": "ada", "shoeSize": 38,
        "urn:example:other": {"a": 1}, "name": {"givenName": "Ada", "petName": "A"},
    });
    let answer = house.send("POST", "Users", &body).await.expect(201);
    let ignored = "urn:scim:schemas:core:1.0, shoeSize, urn:example:other, name.petName";
    assert_eq!(answer.header("x-scim-ignored"), ignored);
    assert_eq!(answer.body["name"], json!({"givenName": "Ada"}));
    let path = format!("Users/{}", answer.id());
    let operations = json!([
        {"op": "replace", "path": "shoeSize", "value": 39}, {"op": "replace", "path": "active", "value": false},
    ]);
    let answer = house.patch(&path, operations).await.expect(200);
    assert_eq!((answer.header("x-scim-ignored"), &answer.body["active"]), ("shoeSize", &json!(false)));
}

async fn an_answer_shows_what_was_asked_for(house: &House) {
    let more = json!({"title": "x", "emails": [{"value": "a@x", "type": "work"}], ENTERPRISE: {"department": "Grid"}});
    let id = house.user("ada", more).await;
    let shown = async |query: &str| house.get(&format!("Users/{id}?{query}")).await.expect(200).body;
    assert_eq!(
        shown("attributes=userName,emails.value").await,
        json!({"schemas": [USER], "id": id, "userName": "ada", "emails": [{"value": "a@x"}]})
    );
    let without = shown(&format!("excludedAttributes=emails,meta,{ENTERPRISE}")).await;
    assert_eq!(
        without,
        json!({"schemas": [USER], "id": id, "userName": "ada", "active": true, "title": "x"})
    );
    let only = json!({"schemas": [USER], "id": id, "title": "y"});
    let path = format!("Users/{id}?attributes=title");
    let title = json!([{"op": "replace", "path": "title", "value": "y"}]);
    assert_eq!(house.patch(&path, title).await.expect(200).body, only);
    let put = json!({"schemas": [USER], "userName": "ada", "title": "y"});
    assert_eq!(house.send("PUT", &path, &put).await.expect(200).body, only);
    let post = json!({"schemas": [USER], "userName": "bob"});
    let made = house.send("POST", "Users?attributes=userName", &post).await.expect(201);
    assert_eq!(made.body, json!({"schemas": [USER], "id": made.id(), "userName": "bob"}));
}

async fn a_manager_of_ours_has_a_name_and_an_address(house: &House) {
    let boss = house.user("boss", json!({"displayName": "The Boss"})).await;
    let manager = |answer: &Json| answer[ENTERPRISE]["manager"].clone();
    let resolved = json!({"value": boss, "$ref": format!("{BASE}/Users/{boss}")});
    let sent = json!({"value": boss, "$ref": "../Users/elsewhere", "displayName": "Somebody"});
    let id = house.user("ada", json!({ENTERPRISE: {"manager": sent}})).await;
    let path = format!("Users/{id}");
    assert_eq!(manager(&house.get(&path).await.body), resolved);
    let listed = house.filter("Users", r#"userName eq "ada""#, "").await.expect(200).body;
    assert_eq!(manager(&listed["Resources"][0]), resolved);
    let named =
        house.get(&format!("{path}?attributes={ENTERPRISE}:manager.displayName")).await.expect(200).body;
    assert_eq!(manager(&named), json!({"displayName": "The Boss"}));
    let by_name = format!("{ENTERPRISE}:manager.displayName eq \"the boss\"");
    assert_eq!(house.found("Users", &by_name).await, std::slice::from_ref(&id));
    let set =
        |value: &str| json!([{"op": "replace", "path": format!("{ENTERPRISE}:manager"), "value": value}]);
    let elsewhere = house.patch(&path, set("4711")).await.expect(200);
    assert_eq!(manager(&elsewhere.body), json!({"value": "4711"}));
    assert_eq!(manager(&house.patch(&path, set(&boss)).await.expect(200).body), resolved);
    house.delete(&format!("Users/{boss}")).await.expect(204);
    assert_eq!(manager(&house.get(&path).await.body), json!({"value": boss}));
}

async fn every_change_names_its_connection_and_request(house: &House) {
    let body = json!({"schemas": [USER], "userName": "ada"});
    let answer = house.send("POST", "Users", &body).await.expect(201);
    let [fact] = &house.stored_facts("user.created").await[..] else { panic!("one fact") };
    assert_eq!(fact.actor, format!("scim_connection:{}", house.connection));
    assert_eq!(fact.request_id.as_deref(), Some(answer.header("x-request-id")));
}

async fn an_empty_external_id_is_none(house: &House) {
    house.user("ada", json!({"externalId": ""})).await;
    let bob = house.user("bob", json!({"externalId": ""})).await;
    assert_eq!(house.get(&format!("Users/{bob}")).await.body.get("externalId"), None);
}

async fn the_biggest_user_there_can_be_is_deactivated(house: &House) {
    let role = |at: usize, length: usize| json!({"value": format!("{at}{}", "x".repeat(length - 1))});
    let user = |last: usize| {
        let mut roles: Vec<Json> = (0..7).map(|at| role(at, 64 * 1024)).collect();
        roles.push(role(7, last));
        json!({"schemas": [USER], "userName": "ada", "active": true, "roles": roles})
    };
    // As near to the limit as bisection gets.
    let (mut fits, mut too_big) = (1, 64 * 1024 + 1);
    while too_big - fits > 1 {
        let middle = usize::midpoint(fits, too_big);
        let answer = house.send("POST", "Users", &user(middle)).await;
        match answer.status {
            201 => {
                house.delete(&format!("Users/{}", answer.id())).await.expect(204);
                fits = middle;
            }
            _ => too_big = middle,
        }
    }
    assert!(fits > 60 * 1024, "{fits}");
    let id = house.send("POST", "Users", &user(fits)).await.expect(201).id();
    for at in 0..100 {
        house.group(&format!("g{at}"), &[&id]).await;
    }
    let path = format!("Users/{id}");
    house.patch(&path, json!([{"op": "add", "path": "title", "value": "x"}])).await.refused(413, "");
    let off = json!([{"op": "Replace", "path": "active", "value": "False"}]);
    assert_eq!(house.patch(&path, off).await.expect(200).body["active"], false);
}
