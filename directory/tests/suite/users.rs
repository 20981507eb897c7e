//! Accounts: names, versions, pages, and what a change records.

use directory::facts::{UserChanged, UserCreated};
use directory::user::{self, Profile};
use directory::{DirectoryError, LONGEST_NAME};
use store::{StoredFact, sql};

use crate::house::{House, change};
use crate::people::{create, current, profile, profile_of, set_active, update};

on_both_engines! {
    an_account_reads_back_as_it_was_written,
    names_that_people_take_for_one_are_taken_and_found,
    an_external_id_is_taken_exactly,
    a_refused_name_names_its_attribute_and_leaves_nothing,
    a_lost_update_is_refused,
    a_change_records_the_names_of_attributes_and_no_values,
    what_changes_nothing_is_not_written,
    no_change_goes_without_a_fact,
    pages_follow_each_other_without_gap_or_double,
    roles_come_from_the_document_whatever_it_is,
}

fn full(user_name: &str) -> Profile {
    Profile {
        user_name: user_name.into(),
        external_id: Some("E-1".into()),
        display_name: Some("Zoë Ärmel".into()),
        email: Some("zoe@example.org".into()),
        department: Some("Grid Operations".into()),
        title: Some("Dispatcher".into()),
        active: false,
        document: r#"{"userName":"Zoë","roles":[{"value":"dispatcher"}]}"#.into(),
    }
}

async fn an_account_reads_back_as_it_was_written(house: House) {
    let db = &house.db;
    let user = create(db, &full("Zoë")).await.unwrap();
    assert_eq!((user.version, user.created_at, user.updated_at), (1, db.ctx().now(), db.ctx().now()));
    assert_eq!(profile_of(&user), full("Zoë"));
    assert_eq!(user::get(db, user.id).await.unwrap().as_ref(), Some(&user));
    assert_eq!(user::by_user_name(db, "zoË").await.unwrap().as_ref(), Some(&user));
    assert_eq!(user::by_external_id(db, "E-1").await.unwrap().as_ref(), Some(&user));
    let locked = change::<_, DirectoryError>(db, async |tx| Ok(user::lock(tx, user.id).await?)).await;
    assert_eq!(locked.unwrap().as_ref(), Some(&user));
    assert_eq!(user.roles(), ["dispatcher"]);

    house.advance(std::time::Duration::from_secs(1));
    let plain = update(db, &user, &profile("Zo")).await.unwrap();
    assert_eq!((plain.version, plain.created_at, plain.updated_at), (2, user.created_at, db.ctx().now()));
    assert_eq!(profile_of(&plain), profile("Zo"));
    assert_eq!(current(db, user.id).await, plain);
    assert_eq!(user::by_external_id(db, "E-1").await.unwrap(), None);
}

async fn names_that_people_take_for_one_are_taken_and_found(house: House) {
    let db = &house.db;
    for (given, other) in [
        ("ada@example.org", "ADA@Example.Org"),
        ("İnci", "i\u{307}NCI"),
        ("Straße", "STRASSE"),
        ("ΟΔΟΣ", "οδος"),
        ("José", "Jose\u{301}"),
        ("ｆｕｌｌ", "full"),
        ("bo", " bo "),
    ] {
        let user = create(db, &profile(given)).await.unwrap();
        assert_eq!(user.user_name, given, "HR reads its own spelling back");
        assert_eq!(user::by_user_name(db, other).await.unwrap().as_ref(), Some(&user), "{other}");
        let refused = create(db, &profile(other)).await;
        assert!(matches!(refused, Err(DirectoryError::Taken("userName"))), "{other}: {refused:?}");
        let third = create(db, &profile("third")).await.unwrap();
        let refused = update(db, &third, &profile(other)).await;
        assert!(matches!(refused, Err(DirectoryError::Taken("userName"))), "{other}: {refused:?}");
        crate::people::delete(db, &third).await.unwrap();
        let respelt = update(db, &user, &profile(other)).await.unwrap();
        assert_eq!(respelt.user_name, other, "one's own name in another spelling is free");
    }
    assert_ne!(
        create(db, &profile("ilgaz")).await.unwrap().id,
        create(db, &profile("ılgaz")).await.unwrap().id
    );
}

async fn an_external_id_is_taken_exactly(house: House) {
    let db = &house.db;
    let with = |name: &str, id: &str| Profile { external_id: Some(id.into()), ..profile(name) };
    let a = create(db, &with("a", "X")).await.unwrap();
    let b = create(db, &with("b", "x")).await.unwrap();
    assert_eq!(user::by_external_id(db, "X").await.unwrap().map(|user| user.id), Some(a.id));
    assert!(matches!(create(db, &with("c", "X")).await, Err(DirectoryError::Taken("externalId"))));
    assert!(matches!(update(db, &b, &with("b", "X")).await, Err(DirectoryError::Taken("externalId"))));
    let (c, d) = (create(db, &profile("c")).await, create(db, &profile("d")).await);
    assert!(c.is_ok() && d.is_ok(), "none is not taken");
}

async fn a_refused_name_names_its_attribute_and_leaves_nothing(house: House) {
    let db = &house.db;
    let kept = create(db, &profile("kept")).await.unwrap();
    let facts = house.count(sql!("SELECT COUNT(*) FROM fact")).await;
    let long = "x".repeat(LONGEST_NAME + 1);
    let with = |id: &str| Profile { external_id: Some(id.into()), ..profile("a") };
    for (bad, attribute) in [
        (profile(""), "userName"),
        (profile(" \t"), "userName"),
        (profile("a\0b"), "userName"),
        (profile(&long), "userName"),
        (with(&long), "externalId"),
        (with("a\0"), "externalId"),
    ] {
        for refused in [create(db, &bad).await, update(db, &kept, &bad).await] {
            let Err(DirectoryError::Invalid(text)) = &refused else { panic!("{refused:?}") };
            assert!(text.starts_with(attribute), "{text}");
        }
    }
    assert_eq!(house.count(sql!("SELECT COUNT(*) FROM fact")).await, facts);
    assert_eq!(user::page(db, None, 9).await.unwrap(), [kept]);
    let longest = "é".repeat(LONGEST_NAME / 2);
    create(db, &Profile { external_id: Some(longest.clone()), ..profile(&longest) }).await.unwrap();
}

async fn a_lost_update_is_refused(house: House) {
    let db = &house.db;
    let seen = create(db, &profile("ada")).await.unwrap();
    let newer = update(db, &seen, &profile("bo")).await.unwrap();
    for stale in [update(db, &seen, &profile("cy")).await, set_active(db, &seen, false).await] {
        assert!(matches!(stale, Err(DirectoryError::VersionMismatch)), "{stale:?}");
    }
    let refused = crate::people::delete(db, &seen).await;
    assert!(matches!(refused, Err(DirectoryError::VersionMismatch)), "{refused:?}");
    assert_eq!(current(db, seen.id).await, newer);
}

async fn last_fact(house: &House, kind: &str) -> StoredFact {
    let text = sql!(
        "SELECT id, at, kind, subject, actor, request_id, digest, salt, body, seq, chain FROM fact \
         WHERE kind = $1 ORDER BY at DESC, id DESC LIMIT 1"
    );
    house.db.one(text, (kind,)).await.unwrap()
}

async fn a_change_records_the_names_of_attributes_and_no_values(house: House) {
    let db = &house.db;
    let seen = create(db, &full("Zaphod")).await.unwrap();
    let created = last_fact(&house, "user.created").await;
    assert_eq!(created.read(), Some(UserCreated { user_name: "Zaphod".into(), active: false }));
    let names = vec!["department".to_owned(), "active".to_owned(), "title".to_owned()];
    let wanted = Profile { department: Some("Magrathea".into()), active: true, ..full("Zaphod") };
    change(db, async |tx| user::update(tx, &seen, &wanted, names).await).await.unwrap();
    let fact = last_fact(&house, "user.changed").await;
    let attributes = vec!["department".to_owned(), "title".to_owned()];
    assert_eq!(fact.read(), Some(UserChanged { attributes }), "active has a fact of its own");
    assert!(!fact.body.unwrap().contains("Magrathea"));
    assert_eq!(house.facts("user.activated").await, 1);

    let envelopes: Vec<(String,)> = house
        .all(sql!("SELECT subject || ' ' || actor FROM fact UNION ALL SELECT subject FROM fact_about"))
        .await;
    for (envelope,) in envelopes {
        assert!(!envelope.contains("Zaphod") && !envelope.contains("zoe@"), "{envelope}");
    }
}

async fn what_changes_nothing_is_not_written(house: House) {
    let db = &house.db;
    let seen = create(db, &full("Zoë")).await.unwrap();
    let same = change(db, async |tx| user::update(tx, &seen, &full("Zoë"), Vec::new()).await).await;
    assert_eq!(same.unwrap(), seen);
    assert_eq!(current(db, seen.id).await, seen);
    assert_eq!(house.count(sql!("SELECT COUNT(*) FROM fact")).await, 1);
}

async fn no_change_goes_without_a_fact(house: House) {
    let db = &house.db;
    let seen = create(db, &profile("ada")).await.unwrap();
    // A caller that does not say what differs.
    let newer = change(db, async |tx| user::update(tx, &seen, &full("bo"), Vec::new()).await).await.unwrap();
    assert_eq!(newer.version, 2);
    assert_eq!((house.facts("user.deactivated").await, house.facts("user.changed").await), (1, 0));
    let wanted = Profile { title: None, ..full("bo") };
    change(db, async |tx| user::update(tx, &newer, &wanted, Vec::new()).await).await.unwrap();
    assert_eq!(house.facts("user.changed").await, 1);
}

async fn pages_follow_each_other_without_gap_or_double(house: House) {
    let db = &house.db;
    let mut made = Vec::new();
    for n in 0..23 {
        // Several in one millisecond, and some that are gone again.
        if n % 5 == 0 {
            house.advance(std::time::Duration::from_millis(1));
        }
        let user = create(db, &profile(&format!("user-{n}"))).await.unwrap();
        match n % 7 {
            3 => crate::people::delete(db, &user).await.unwrap(),
            _ => made.push((user.created_at, user.id)),
        }
    }
    made.sort();
    let (mut pages, mut after) = (Vec::new(), None);
    loop {
        let page = user::page(db, after, 4).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some((last.created_at, last.id));
        pages.extend(page.into_iter().map(|user| (user.created_at, user.id)));
    }
    assert_eq!(pages, made);
    let mut by_position = Vec::new();
    for offset in (0..30).step_by(6) {
        let page = user::page_at(db, offset, 6).await.unwrap();
        by_position.extend(page.into_iter().map(|user| (user.created_at, user.id)));
    }
    assert_eq!(by_position, made);
    assert_eq!(user::count(db).await.unwrap(), i64::try_from(made.len()).unwrap());
}

async fn roles_come_from_the_document_whatever_it_is(house: House) {
    let db = &house.db;
    for (n, (document, roles)) in [
        ("{}", vec![]),
        (r#"{"roles":[{"value":"a"},{"value":"b","primary":true}]}"#, vec!["a", "b"]),
        (r#"{"roles":[{"display":"no value"}]}"#, vec![]),
        (r#"{"roles":[{"value":"a"},{"display":"no value"},{"value":null},{"value":"b"}]}"#, vec!["a", "b"]),
        (r#"{"roles":"x"}"#, vec![]),
        ("[", vec![]),
    ]
    .into_iter()
    .enumerate()
    {
        let profile = Profile { document: document.into(), ..profile(&format!("user-{n}")) };
        assert_eq!(create(db, &profile).await.unwrap().roles(), roles, "{document}");
    }
}
