//! A user as policies see one.

use directory::group::{self, MemberChange, membership};
use directory::session::{code, refresh};
use directory::user::{self, Profile};
use kernel::Token;
use store::Origin;

use crate::house::{House, change};
use crate::people::{Person, company, create, create_group, declare, group_profile, profile};

on_both_engines! {
    a_person_is_in_every_group_that_contains_one_of_hers,
    groups_that_contain_each_other_end_the_search,
    a_group_goes_by_id_and_by_name_and_a_rename_changes_only_the_name,
    nobody_takes_a_groups_place_by_its_id_as_a_name,
    what_hr_says_of_the_person_is_there,
    what_tokens_rest_on_knows_the_same_person,
}

async fn groups_of(house: &House, user: &user::User) -> Vec<String> {
    user::principal(&house.db, user).await.unwrap().groups
}

async fn a_person_is_in_every_group_that_contains_one_of_hers(house: House) {
    let db = &house.db;
    let (ada, bo) = (create(db, &profile("ada")).await.unwrap(), create(db, &profile("bo")).await.unwrap());
    let mut inner = ada.id.to_string();
    let mut expect = Vec::new();
    for depth in 0..20 {
        let group = create_group(db, &format!("depth-{depth}"), &[inner]).await.unwrap();
        inner = group.id.to_string();
        expect.extend([inner.clone(), group.display_name]);
    }
    create_group(db, "of bo", &[bo.id.to_string()]).await.unwrap();
    let mut groups = groups_of(&house, &ada).await;
    groups.sort();
    expect.sort();
    assert_eq!(groups, expect, "however deep: a policy that forbids must not stop half-way");
}

async fn groups_that_contain_each_other_end_the_search(house: House) {
    let db = &house.db;
    let ada = create(db, &profile("ada")).await.unwrap();
    let one = create_group(db, "one", &[ada.id.to_string()]).await.unwrap();
    let two = create_group(db, "two", &[one.id.to_string()]).await.unwrap();
    let add = MemberChange { add: vec![two.id.to_string()], ..MemberChange::default() };
    // Where the directory refuses the circle there is none to end.
    let circle = change(db, async |tx| membership::update_members(tx, one.id, &add).await).await;
    drop(circle);
    assert_eq!(groups_of(&house, &ada).await.len(), 4);
}

async fn a_group_goes_by_id_and_by_name_and_a_rename_changes_only_the_name(house: House) {
    let db = &house.db;
    let ada = create(db, &profile("ada")).await.unwrap();
    let group = create_group(db, "Grid", &[ada.id.to_string()]).await.unwrap();
    assert_eq!(groups_of(&house, &ada).await, [group.id.to_string(), "Grid".into()]);
    let renamed = group_profile("Network");
    let nobody = MemberChange::default();
    change(db, async |tx| group::update(tx, &group, &renamed, vec!["displayName".into()], &nobody).await)
        .await
        .unwrap();
    assert_eq!(groups_of(&house, &ada).await, [group.id.to_string(), "Network".into()]);
}

async fn nobody_takes_a_groups_place_by_its_id_as_a_name(house: House) {
    let db = &house.db;
    let eve = create(db, &profile("eve")).await.unwrap();
    let operators = create_group(db, "operators", &[]).await.unwrap();
    let hers = create_group(db, &operators.id.to_string(), &[eve.id.to_string()]).await.unwrap();
    assert_eq!(groups_of(&house, &eve).await, [hers.id.to_string()]);
}

async fn what_hr_says_of_the_person_is_there(house: House) {
    let db = &house.db;
    let document = r#"{"userType":"Contractor","roles":[{"display":"no value"},{"value":"dispatcher"}]}"#;
    let wanted = Profile {
        department: Some("Grid".into()),
        title: Some("Operator".into()),
        document: document.into(),
        ..profile("ada")
    };
    let ada = create(db, &wanted).await.unwrap();
    let seen = user::principal(db, &ada).await.unwrap();
    assert_eq!(seen.employee_type.as_deref(), Some("Contractor"));
    assert_eq!(seen.roles, ["dispatcher"], "an element without a value hides no other");
    assert_eq!((seen.department, seen.title), (Some("Grid".into()), Some("Operator".into())));
    assert_eq!((seen.id, seen.active), (ada.id.to_string(), true));
}

/// Read along with code and refresh token, in the same statement.
async fn what_tokens_rest_on_knows_the_same_person(house: House) {
    let db = &house.db;
    declare(db, &company()).await.unwrap();
    let document = r#"{"userType":"Contractor","roles":[{"value":"dispatcher"}]}"#;
    let (department, title) = (Some("Grid".to_owned()), Some("Operator".to_owned()));
    let wanted = Profile { department, title, document: document.into(), ..profile("ada") };
    let (ada, bo) = (create(db, &wanted).await.unwrap(), create(db, &profile("bo")).await.unwrap());
    let inner = create_group(db, "Grid, \"day\" | night", &[ada.id.to_string()]).await.unwrap();
    create_group(db, &inner.id.to_string(), &[inner.id.to_string()]).await.unwrap();
    create_group(db, "Ärzte", &[inner.id.to_string(), ada.id.to_string()]).await.unwrap();
    for (user, groups) in [(ada, 5), (bo, 0)] {
        let person = Person::furnish_user(&house, user).await;
        let mut expect = user::principal(db, &person.user).await.unwrap();
        expect.groups.sort();
        assert_eq!(expect.groups.len(), groups, "{:?}", expect.groups);
        let of_code = code::find(db, person.code.expose()).await.unwrap().unwrap();
        assert!(of_code.lives && of_code.used_at.is_none());
        let first = Token::generate(db.ctx(), refresh::PREFIX);
        let (redemption, values) = code::redemption(person.code.expose(), &first, db.ctx().now());
        assert_eq!(db.change(Origin::system(), redemption, values, Vec::new()).await.unwrap(), 1);
        let of_token = refresh::find(db, first.expose()).await.unwrap().unwrap();
        assert_eq!(of_token.basis.granted, of_code.basis.granted);
        let mut seen = of_token.basis.principal();
        seen.groups.sort();
        assert_eq!(seen, expect);
        let used = code::find(db, person.code.expose()).await.unwrap().unwrap();
        assert_eq!(used.used_at, Some(db.ctx().now()));
    }
}
