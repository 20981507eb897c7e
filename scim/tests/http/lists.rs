//! Lists: pages, filters, order, searches.

use std::time::Duration;

use serde_json::{Value as Json, json};
use store::{Origin, sql};

use crate::house::{BASE, ENTERPRISE, GROUP, House, LIST, USER, on_both_engines};

on_both_engines! {
    an_empty_directory_lists_nobody
    pages_have_a_stable_order_and_the_right_total
    a_filter_finds_what_it_says_with_the_right_total
    a_filter_on_what_nobody_has_is_refused
    an_index_and_a_walk_find_the_same
    a_name_is_found_in_the_spelling_in_which_it_is_taken
    pages_of_a_filter_count_on
    an_order_is_kept_over_pages
    a_search_is_a_list
    a_search_of_everything_goes_over_users_and_groups
    unknown_parameters_are_ignored
    lists_show_what_was_asked_for
    what_is_derived_can_be_asked_about
    a_walk_reads_every_page_of_the_database
    pages_that_follow_each_other_miss_nobody_while_others_are_deleted
    a_mail_address_is_found_as_a_look_at_everybody_would
    a_page_of_users_ends_before_it_has_too_many_groups
}

async fn an_empty_directory_lists_nobody(house: &House) {
    for kind in ["Users", "Groups"] {
        let answer = house.get(kind).await.expect(200);
        let expect = json!({
            "schemas": [LIST], "totalResults": 0, "startIndex": 1, "itemsPerPage": 0, "Resources": [],
        });
        assert_eq!(answer.body, expect);
    }
}

/// Seven users, made one after the other, and their ids in that order.
async fn seven(house: &House) -> Vec<String> {
    let mut ids = Vec::new();
    for (at, name) in ["dora", "Ada", "eve", "bob", "gus", "cleo", "finn"].iter().enumerate() {
        let odd = at % 2 == 1;
        let title = if odd { json!({"title": "Odd", "nickName": format!("n{at}")}) } else { json!({}) };
        ids.push(house.user(name, title).await);
        house.advance(Duration::from_secs(1));
    }
    ids
}

async fn pages_have_a_stable_order_and_the_right_total(house: &House) {
    let ids = seven(house).await;
    for (query, start, expect) in [
        ("", 1, &ids[..]),
        ("startIndex=1&count=2", 1, &ids[..2]),
        ("startIndex=3&count=2", 3, &ids[2..4]),
        ("startIndex=7&count=2", 7, &ids[6..]),
        ("startIndex=8&count=2", 8, &[]),
        ("startIndex=99999999999999999999&count=2", 0, &[]),
        ("startIndex=9223372036854775807&count=9223372036854775807", u64::MAX >> 1, &[]),
        ("startIndex=0&count=2", 1, &ids[..2]),
        ("startIndex=-7", 1, &ids[..]),
        ("count=0", 1, &[]),
        ("count=-1", 1, &[]),
    ] {
        if start == 0 {
            house.get(&format!("Users?{query}")).await.refused(400, "invalidValue");
            continue;
        }
        let answer = house.get(&format!("Users?{query}")).await.expect(200);
        assert_eq!(answer.ids(), expect, "{query}");
        assert_eq!(answer.body["totalResults"], 7, "{query}");
        assert_eq!(answer.body["startIndex"], json!(start), "{query}");
        assert_eq!(answer.body["itemsPerPage"], expect.len(), "{query}");
    }
}

async fn a_filter_finds_what_it_says_with_the_right_total(house: &House) {
    let ada = house.user(
        "ada@example.org",
        json!({"externalId": "A7", "active": false, "emails": [{"value": "ada@work", "type": "work"}],
               ENTERPRISE: {"department": "Grid", "employeeNumber": "42"}}),
    );
    let ada = [ada.await];
    house.user("bob@example.org", json!({"emails": [{"value": "bob@work", "type": "work"}]})).await;
    let check = async |filter: &str, found: bool| {
        let expect: &[String] = if found { &ada } else { &[] };
        assert_eq!(house.found("Users", filter).await, expect, "{filter}");
    };
    check(r#"userName eq "ADA@example.org""#, true).await;
    check(r#"userName Eq "ada@example.org" and active eq false"#, true).await;
    check(r#"userName eq "ada@example.org" and active eq true"#, false).await;
    check(r#"externalId eq "A7""#, true).await;
    check(r#"externalId eq "a7""#, false).await;
    check(&format!("id eq \"{}\"", ada[0]), true).await;
    check(&format!("{USER}:userName eq \"ada@example.org\""), true).await;
    check(r#"emails[type eq "work" and value eq "ada@work"]"#, true).await;
    check(r#"emails[type eq "work"].value eq "ada@work""#, true).await;
    check(r#"emails eq "ADA@work""#, true).await;
    check(&format!("{ENTERPRISE}:department co \"rid\""), true).await;
    check("active eq false", true).await;
    check(r#"active eq "False""#, true).await;
    check(r#"not (userName sw "bob")"#, true).await;
    check(r#"userName eq "ada@example.org" or title pr"#, true).await;
    check(r#"schemas eq "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User""#, true).await;
    check(r#"meta.created gt "2999-01-01T00:00:00Z""#, false).await;
    check(r#"userName eq "7f9c4a52-1c6b-4f6e-8d0a-8c4f3f1d2b1a""#, false).await;
}

async fn a_filter_on_what_nobody_has_is_refused(house: &House) {
    house.user("ada", json!({})).await;
    for filter in [
        r#"shoeSize eq "38""#,
        r#"userName eq "ada" and shoeSize pr"#,
        r#"userName eq "nobody" and shoeSize pr"#,
        r#"name.petName eq "A""#,
        r#"urn:example:other:attribute eq "x""#,
        r#"members eq "x""#,
        "userName",
        "userName eq",
        "userName eq ada",
        r#"userName like "a""#,
        r#"(userName eq "a""#,
        "active gt true",
        "active eq 7",
        r#"meta.created eq "yesterday""#,
    ] {
        house.filter("Users", filter, "").await.refused(400, "invalidFilter");
        house.send("POST", "Users/.search", &json!({"filter": filter})).await.refused(400, "invalidFilter");
    }
    house.filter("Groups", r#"userName eq "ada""#, "").await.refused(400, "invalidFilter");
}

async fn an_index_and_a_walk_find_the_same(house: &House) {
    seven(house).await;
    for user in ["ada", "BOB", "nobody"] {
        for (keyed, walked) in [
            (format!("userName eq \"{user}\""), format!("userName eq \"{user}\" or nickName eq \"none\"")),
            (format!("not (not (userName eq \"{user}\"))"), format!("userName eq \"{user}\"")),
            (
                format!("userName eq \"{user}\" and title eq \"Odd\""),
                format!("title eq \"odd\" and (nickName eq \"x\" or userName eq \"{user}\")"),
            ),
        ] {
            assert_eq!(
                house.found("Users", &keyed).await,
                house.found("Users", &walked).await,
                "{keyed} | {walked}"
            );
        }
    }
    let some = r#"userName eq "eve" or userName eq "ada" or userName eq "ADA""#;
    let names = house.filter("Users", some, "").await.expect(200);
    assert_eq!(names.body["totalResults"], 2, "each once");
    assert_eq!(names.body["Resources"][0]["userName"], "Ada", "in the order in which they were made");
}

/// Who does not find a name that is taken would try to create it for ever.
async fn a_name_is_found_in_the_spelling_in_which_it_is_taken(house: &House) {
    for (name, spelling) in
        [("Straße", "STRASSE"), ("jose\u{301}", "JOSÉ"), ("ΟΔΟΣ", "οδος"), ("cleo ", "cleo")]
    {
        let id = house.user(name, json!({})).await;
        let body = json!({"schemas": [USER], "userName": spelling});
        house.send("POST", "Users", &body).await.refused(409, "uniqueness");
        assert_eq!(
            house.found("Users", &format!("userName eq \"{spelling}\"")).await,
            std::slice::from_ref(&id)
        );
        let walked = format!("userName eq \"{spelling}\" or nickName pr");
        assert_eq!(house.found("Users", &walked).await, std::slice::from_ref(&id));
        let not = format!("id eq \"{id}\" and userName ne \"{spelling}\"");
        assert!(house.found("Users", &not).await.is_empty());

        let id = house.group(name, &[]).await;
        let body = json!({"schemas": [GROUP], "displayName": spelling});
        house.send("POST", "Groups", &body).await.refused(409, "uniqueness");
        assert_eq!(house.found("Groups", &format!("displayName eq \"{spelling}\"")).await, [id]);
    }
}

async fn pages_of_a_filter_count_on(house: &House) {
    let ids = seven(house).await;
    let odd = [ids[1].clone(), ids[3].clone(), ids[5].clone()];
    for (more, expect) in [
        ("", &odd[..]),
        ("&count=2", &odd[..2]),
        ("&startIndex=2&count=1", &odd[1..2]),
        ("&startIndex=3", &odd[2..]),
        ("&startIndex=4", &[]),
        ("&count=0", &[]),
    ] {
        let answer = house.filter("Users", r#"title eq "odd""#, more).await.expect(200);
        assert_eq!(answer.ids(), expect, "{more}");
        assert_eq!(answer.body["totalResults"], 3, "{more}");
    }
}

async fn an_order_is_kept_over_pages(house: &House) {
    let ids = seven(house).await;
    let by = |order: &[usize]| order.iter().map(|at| ids[*at].clone()).collect::<Vec<_>>();
    let names = by(&[1, 3, 5, 0, 2, 6, 4]);
    let listed = async |query: &str| {
        let answer = house.get(&format!("Users?{query}")).await.expect(200);
        assert_eq!(answer.body["totalResults"], 7, "{query}");
        answer.ids()
    };
    assert_eq!(listed("sortBy=userName").await, names);
    assert_eq!(listed("sortBy=userName&startIndex=3&count=2").await, names[2..4]);
    let down: Vec<_> = names.iter().rev().cloned().collect();
    assert_eq!(listed("sortBy=userName&sortOrder=descending").await, down);
    assert_eq!(listed("sortBy=meta.created&sortOrder=descending").await[0], ids[6]);
    assert_eq!(listed("sortBy=nickName").await, by(&[1, 3, 5, 0, 2, 4, 6]), "without a value last");
    let some = house.filter("Users", r#"title eq "Odd""#, "&sortBy=userName&count=2").await.expect(200);
    assert_eq!((some.ids(), &some.body["totalResults"]), (by(&[1, 3]), &json!(3)));
    house.get("Users?sortBy=shoeSize").await.refused(400, "invalidValue");
}

async fn a_search_is_a_list(house: &House) {
    let ids = seven(house).await;
    let body = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"],
        "filter": "title eq \"Odd\"", "startIndex": 2, "count": 1, "attributes": ["userName"],
    });
    let answer = house.send("POST", "Users/.search", &body).await.expect(200);
    assert_eq!(answer.body["totalResults"], 3);
    assert_eq!(answer.body["Resources"], json!([{"schemas": [USER], "id": ids[3], "userName": "bob"}]));
    let all = house.send("POST", "Groups/.search", &json!({})).await.expect(200);
    assert_eq!(all.body["totalResults"], 0);
}

async fn a_search_of_everything_goes_over_users_and_groups(house: &House) {
    let mut ids = Vec::new();
    for name in ["ada", "bob", "cleo"] {
        ids.push(house.user(name, json!({"externalId": name})).await);
        house.advance(Duration::from_secs(1));
    }
    for name in ["Crew", "Staff"] {
        ids.push(house.group(name, &[]).await);
        house.advance(Duration::from_secs(1));
    }
    for (query, total, expect) in [
        (json!({}), 5, &ids[..]),
        (json!({"startIndex": 2, "count": 3}), 5, &ids[1..4]),
        (json!({"startIndex": 4, "count": 1}), 5, &ids[3..4]),
        (json!({"startIndex": 5}), 5, &ids[4..]),
        (json!({"startIndex": 6}), 5, &[]),
        (json!({"count": 0}), 5, &[]),
        (json!({"filter": "meta.resourceType eq \"Group\""}), 2, &ids[3..]),
        (json!({"filter": "userName eq \"bob\""}), 1, &ids[1..2]),
        (json!({"filter": "externalId pr"}), 3, &ids[..3]),
        (json!({"filter": "displayName eq \"Staff\""}), 1, &ids[4..]),
    ] {
        let answer = house.send("POST", ".search", &query).await.expect(200);
        assert_eq!((answer.ids(), &answer.body["totalResults"]), (expect.to_vec(), &json!(total)), "{query}");
        assert_eq!(answer.body["startIndex"], query.get("startIndex").cloned().unwrap_or(json!(1)));
    }
    house.send("POST", ".search", &json!({"filter": "shoeSize pr"})).await.refused(400, "invalidFilter");
    house.send("POST", ".search", &json!({"sortBy": "id"})).await.refused(400, "invalidValue");
}

async fn unknown_parameters_are_ignored(house: &House) {
    house.user("ada", json!({})).await;
    for query in ["aadOptscim062020", "?aadOptscim062020", "filter=", "x=%ff", "&&=", "COUNT=1&StartIndex=1"]
    {
        let answer = house.get(&format!("Users?{query}")).await.expect(200);
        assert_eq!(answer.body["totalResults"], 1, "{query}");
    }
    house.get("Users?count=many").await.refused(400, "invalidValue");
}

async fn lists_show_what_was_asked_for(house: &House) {
    let ada = house.user("ada", json!({"title": "x"})).await;
    let group = house.group("Staff", &[&ada]).await;
    let users = house.get("Users?attributes=title").await.expect(200);
    assert_eq!(users.body["Resources"], json!([{"schemas": [USER], "id": ada, "title": "x"}]));
    let groups = house.get("Groups?attributes=members.value").await.expect(200);
    let expect = json!([{"schemas": [GROUP], "id": group, "members": [{"value": ada}]}]);
    assert_eq!(groups.body["Resources"], expect);
    let groups = house.get("Groups?excludedAttributes=members,meta").await.expect(200);
    let expect = json!([{"schemas": [GROUP], "id": group, "displayName": "Staff"}]);
    assert_eq!(groups.body["Resources"], expect);
    let users = house.get("Users").await.expect(200);
    let expect = json!([{
        "value": group, "$ref": format!("{BASE}/Groups/{group}"), "display": "Staff", "type": "direct",
    }]);
    assert_eq!(users.body["Resources"][0]["groups"], expect);
}

async fn what_is_derived_can_be_asked_about(house: &House) {
    let (ada, bob) = (house.user("ada", json!({})).await, house.user("bob", json!({})).await);
    let staff = house.group("Staff", &[&ada, &bob]).await;
    let crew = house.group("Crew", &[&bob, &staff, "4711"]).await;
    let check = async |kind: &str, filter: String, expect: &[&String]| {
        // All were made in the same millisecond: their order is chance.
        let mut found = house.found(kind, &filter).await;
        let mut expect: Vec<String> = expect.iter().map(|id| (*id).clone()).collect();
        found.sort();
        expect.sort();
        assert_eq!(found, expect, "{filter}");
    };
    check("Users", r#"groups.display eq "staff""#.into(), &[&ada, &bob]).await;
    check("Users", format!("groups.value eq \"{staff}\""), &[&ada, &bob]).await;
    check("Users", format!("groups.value eq \"{crew}\""), &[&ada, &bob]).await;
    check("Users", r#"groups.type eq "indirect""#.into(), &[&ada]).await;
    check("Users", format!("not (groups eq \"{crew}\")"), &[]).await;
    check("Users", format!("groups eq \"{ada}\" or groups eq \"4711\""), &[]).await;
    check("Users", format!("userName eq \"bob\" and groups eq \"{crew}\""), &[&bob]).await;
    check("Groups", format!("members eq \"{ada}\""), &[&staff]).await;
    check("Groups", format!("members.value eq \"{bob}\""), &[&staff, &crew]).await;
    check("Groups", format!("members[value eq \"{bob}\"]"), &[&staff, &crew]).await;
    check("Groups", format!("members[value eq \"{bob}\" and type eq \"User\"]"), &[&staff, &crew]).await;
    check("Groups", format!("members[value eq \"{bob}\" and type eq \"Group\"]"), &[]).await;
    check("Groups", r#"members[type eq "Group"]"#.into(), &[&crew]).await;
    check("Groups", r#"members[display eq "ADA"]"#.into(), &[&staff]).await;
    check("Groups", r#"members eq "4711""#.into(), &[&crew]).await;
    check("Groups", "members pr".into(), &[&staff, &crew]).await;
    check("Groups", format!("not (members eq \"{ada}\")"), &[&crew]).await;
    check("Groups", format!("members ne \"{ada}\""), &[&crew]).await;
    check("Groups", format!("id eq \"{staff}\" and members eq \"{ada}\""), &[&staff]).await;
    check("Groups", format!("id eq \"{crew}\" and members eq \"{ada}\""), &[]).await;
    check("Groups", format!("members eq \"{ada}\" and members eq \"{bob}\""), &[&staff]).await;
    check("Groups", format!("members eq \"{ada}\" or displayName eq \"crew\""), &[&staff, &crew]).await;
}

async fn a_walk_reads_every_page_of_the_database(house: &House) {
    let profile = |at: usize| directory::user::Profile {
        user_name: format!("u{at:04}"),
        external_id: None,
        display_name: None,
        email: None,
        department: None,
        title: None,
        active: true,
        document: json!({"userName": format!("u{at:04}"), "active": true}).to_string(),
    };
    // Most at one instant: the walk must go on by id there.
    let mut tx = house.db.write(Origin::system()).await.unwrap();
    for at in 0..1_203 {
        if at == 1_000 {
            house.advance(Duration::from_secs(1));
        }
        directory::user::create(&mut tx, &profile(at)).await.unwrap();
    }
    tx.commit().await.unwrap();
    let walked = house.filter("Users", r#"userName sw "u""#, "&count=1000").await.expect(200);
    assert_eq!(walked.body["totalResults"], 1_203);
    assert_eq!(walked.body["itemsPerPage"], 1_000);
    let listed = house.get("Users?count=5000").await.expect(200);
    assert_eq!(listed.body["itemsPerPage"], 1_000, "the most that an answer holds");
    assert_eq!(listed.ids(), walked.ids());
    let rest = house.get("Users?startIndex=1001&count=1000").await.expect(200);
    let mut all: Vec<String> = [listed.ids(), rest.ids()].concat();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 1_203);
    let page: Json = house.get("Users").await.expect(200).body;
    assert_eq!(page["itemsPerPage"], 100);
}

async fn pages_that_follow_each_other_miss_nobody_while_others_are_deleted(house: &House) {
    for kind in ["Users", "Groups"] {
        let mut ids = Vec::new();
        for at in 0..9 {
            let name = format!("n{at}");
            ids.push(if kind == "Users" {
                house.user(&name, json!({})).await
            } else {
                house.group(&name, &[]).await
            });
        }
        ids.sort();
        let page = async |start: usize| {
            let answer = house.get(&format!("{kind}?startIndex={start}&count=3")).await.expect(200);
            (answer.ids(), answer.body["totalResults"].as_u64().unwrap())
        };
        assert_eq!(page(1).await, (ids[..3].to_vec(), 9));
        // Two of those who were shown go: by position, the next page would begin two further on.
        house.delete(&format!("{kind}/{}", ids[0])).await.expect(204);
        house.delete(&format!("{kind}/{}", ids[2])).await.expect(204);
        assert_eq!(page(4).await, (ids[3..6].to_vec(), 9));
        house.delete(&format!("{kind}/{}", ids[7])).await.expect(204);
        assert_eq!(page(7).await.0, [ids[6].clone(), ids[8].clone()]);
        assert_eq!(page(9).await, (Vec::new(), 8), "the end is where nobody is left");
        // Whoever begins anew, or comes from nowhere, is shown what there is now.
        assert_eq!(page(1).await, ([&ids[1], &ids[3], &ids[4]].map(Clone::clone).to_vec(), 6));
        assert_eq!(page(2).await.0, [&ids[3], &ids[4], &ids[5]].map(Clone::clone));
    }
}

async fn a_mail_address_is_found_as_a_look_at_everybody_would(house: &House) {
    let long = "x".repeat(300);
    let addresses = ["Ada@Example.org", "ada@example.ORG ", "straße@x", "STRASSE@x", "", &long, "b@x"];
    for (at, address) in addresses.iter().enumerate() {
        let emails = json!([
            {"value": address, "type": (["work", "home", "Work"][at % 3])}, {"value": format!("own{at}@x")},
        ]);
        house.user(&format!("u{at}"), json!({"emails": emails})).await;
    }
    house.user("without", json!({"emails": [{"type": "work"}]})).await;
    let changed = house.user("changed", json!({"emails": [{"value": "old@x"}, {"value": "kept@x"}]})).await;
    let emails = json!([{"value": "KEPT@x"}, {"value": "new@x", "type": "work"}]);
    let put = json!([{"op": "replace", "path": "emails", "value": emails}]);
    house.patch(&format!("Users/{changed}"), put).await.expect(200);
    let gone = house.user("gone", json!({"emails": [{"value": "gone@x"}]})).await;
    house.delete(&format!("Users/{gone}")).await.expect(204);
    let also = ["own3@x", "old@x", "kept@x", "new@x", "gone@x", "nobody@x", &format!("{long}y"), " B@X "];
    let mut found = 0;
    for address in addresses.into_iter().chain(also) {
        for filter in [
            format!("emails eq \"{address}\""),
            format!("emails.value eq \"{address}\""),
            format!("emails[type eq \"work\"].value eq \"{address}\""),
            format!("emails[value eq \"{address}\" and not (type eq \"work\")]"),
        ] {
            let keyed = house.found("Users", &filter).await;
            found += keyed.len();
            assert_eq!(keyed, house.found("Users", &format!("{filter} or nickName pr")).await, "{filter}");
        }
    }
    assert!(found > 20, "{found}: the test asks for what there is");
    assert_eq!(house.found("Users", r#"emails eq "kept@x""#).await, std::slice::from_ref(&changed));
    assert!(house.found("Users", r#"emails eq "old@x" or emails eq "gone@x""#).await.is_empty());
}

async fn a_page_of_users_ends_before_it_has_too_many_groups(house: &House) {
    let ids = seven(house).await;
    // 3,000 groups with all seven: as many as six users may have together.
    let groups = sql!(
        "INSERT INTO groups (id, version, display_name, display_name_key, document, created_at, updated_at) \
         WITH RECURSIVE n (i) AS (SELECT 100000000001 UNION ALL SELECT i + 1 FROM n WHERE i < 100000003000) \
         SELECT '00000000-0000-7000-8000-' || i, 1, 'g' || i, 'g' || i, '{}', 0, 0 FROM n"
    );
    let members = sql!(
        "INSERT INTO membership (group_id, member_id, added_at) SELECT g.id, u.id, 0 FROM groups g CROSS JOIN users u"
    );
    for text in [groups, members] {
        house.db.change(Origin::system(), text, (), Vec::new()).await.unwrap();
    }
    let page = house.get("Users").await.expect(200);
    assert_eq!((page.ids(), &page.body["totalResults"]), (ids[..6].to_vec(), &json!(7)));
    assert_eq!(page.body["Resources"][0]["groups"].as_array().map(Vec::len), Some(3_000));
    assert_eq!(house.get("Users?startIndex=7").await.expect(200).ids(), ids[6..]);
    assert_eq!(house.get("Users?excludedAttributes=groups").await.expect(200).ids(), ids);
    // And what such a user is made of does not weigh on what is changed.
    let off = json!([{"op": "Replace", "path": "active", "value": "False"}]);
    let answer = house.patch(&format!("Users/{}", ids[0]), off).await.expect(200);
    assert_eq!(answer.body["active"], false);
}
