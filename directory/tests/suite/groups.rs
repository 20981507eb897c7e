//! Groups: who belongs to them, who is looked at again when they change, and changes that meet.

use std::collections::BTreeSet;

use directory::facts::{GroupChanged, GroupCreated, GroupDeleted};
use directory::group::{
    self, ENTITLEMENT_SINK, Group, GroupProfile, MEMBER_CHANGES, MemberChange, membership,
};
use directory::{DirectoryError, LONGEST_NAME, user};
use kernel::id::{GroupId, UserId};
use store::{Db, StoredFact, sql};
use tokio::task::JoinSet;

use crate::house::{House, begin, change};
use crate::people::{create, create_group, group_profile, member_ids, profile};

on_both_engines! {
    members_are_replaced_removed_and_added_in_this_order,
    a_change_in_effect_is_one_version_and_one_fact,
    members_added_at_once_are_all_there,
    members_added_at_once_over_a_version_are_refused_and_not_lost,
    members_replaced_at_once_are_those_of_one,
    a_thousand_members_join_and_leave_at_once,
    references_that_name_nobody_are_listed_and_without_effect,
    who_joins_or_leaves_is_looked_at_again_and_leavers_first,
    a_renamed_group_has_all_its_members_looked_at_again,
    a_deleted_group_has_its_members_looked_at_again_and_leaves_the_groups_above,
    names_are_unique_however_they_are_spelt,
    a_lost_update_of_a_group_is_refused,
    what_no_index_could_hold_is_refused,
    groups_are_found_and_paged,
    groups_that_change_and_go_at_once_do_not_block_each_other,
    a_group_and_its_member_that_go_at_once_do_not_block_each_other,
}

fn texts(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

async fn users(db: &Db, count: usize) -> Vec<UserId> {
    let mut ids = Vec::new();
    for n in 0..count {
        ids.push(create(db, &profile(&format!("user-{n}"))).await.unwrap().id);
    }
    ids
}

fn strings(ids: &[UserId]) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
}

async fn current(db: &Db, group: &Group) -> Group {
    group::get(db, group.id).await.unwrap().unwrap()
}

async fn count_members(db: &Db, group: &Group) -> usize {
    let counts = membership::counts(db, &[group.id]).await.unwrap();
    counts.first().map_or(0, |(_, count)| usize::try_from(*count).unwrap())
}

async fn change_members(db: &Db, group: GroupId, members: &MemberChange) -> Result<Group, DirectoryError> {
    change(db, async |tx| membership::update_members(tx, group, members).await).await
}

async fn rename(db: &Db, seen: &Group, name: &str) -> Result<Group, DirectoryError> {
    let names = vec!["displayName".to_owned()];
    let profile = GroupProfile { display_name: name.into(), ..group_profile("") };
    change(db, async |tx| group::update(tx, seen, &profile, names, &MemberChange::default()).await).await
}

async fn last_fact(house: &House, kind: &str) -> StoredFact {
    let text = sql!(
        "SELECT id, at, kind, subject, actor, request_id, digest, salt, body, seq, chain FROM fact \
         WHERE kind = $1 ORDER BY at DESC, id DESC LIMIT 1"
    );
    house.db.one(text, (kind,)).await.unwrap()
}

/// Who replaces everybody, who leaves, who joins, and who is in the group then.
type MemberCase = (
    Option<&'static [&'static str]>,
    &'static [&'static str],
    &'static [&'static str],
    &'static [&'static str],
);

async fn members_are_replaced_removed_and_added_in_this_order(house: House) {
    let db = &house.db;
    let cases: [MemberCase; 9] = [
        (None, &[], &["c", "d"], &["a", "b", "c", "d"]),
        (None, &["a"], &[], &["b"]),
        (None, &["a", "x"], &["b", "c", "c"], &["b", "c"]),
        (Some(&["c"]), &[], &[], &["c"]),
        (Some(&[]), &[], &[], &[]),
        (Some(&["b", "c"]), &["c"], &[], &["b"]),
        (Some(&["c"]), &["c"], &["c"], &["c"]),
        (None, &["a"], &["a"], &["a", "b"]),
        (Some(&["b", "a"]), &[], &[], &["a", "b"]),
    ];
    for (n, (replace, remove, add, expect)) in cases.into_iter().enumerate() {
        for blind in [true, false] {
            let group =
                create_group(db, &format!("group-{n}-{blind}"), &texts(&["a", "b", "a"])).await.unwrap();
            assert_eq!(member_ids(db, &group).await, ["a", "b"]);
            let wanted = MemberChange { replace: replace.map(texts), remove: texts(remove), add: texts(add) };
            let changed = match blind {
                true => change_members(db, group.id, &wanted).await,
                false => {
                    let profile = group_profile(&group.display_name);
                    change(db, async |tx| group::update(tx, &group, &profile, Vec::new(), &wanted).await)
                        .await
                }
            };
            assert_eq!(member_ids(db, &group).await, expect, "{wanted:?}");
            let expect_version = if expect == ["a", "b"] { 1 } else { 2 };
            assert_eq!(changed.unwrap(), current(db, &group).await, "{wanted:?}");
            assert_eq!(current(db, &group).await.version, expect_version, "{wanted:?}");
            assert_eq!(count_members(db, &group).await, expect.len());
            let asked = texts(&["a", "b", "c", "d"]);
            let among = membership::among(db, &[group.id], asked.iter()).await.unwrap();
            let expect_among: Vec<_> = expect.iter().map(|id| (group.id, (*id).to_owned())).collect();
            assert_eq!(among, expect_among);
            for at_least in 0..6 {
                let has = membership::has_at_least(db, group.id, at_least).await.unwrap();
                assert_eq!(has, expect.len() >= at_least as usize);
            }
        }
    }
}

async fn a_change_in_effect_is_one_version_and_one_fact(house: House) {
    let db = &house.db;
    let ids = strings(&users(db, 3).await);
    let group = create_group(db, "g", &ids[..2]).await.unwrap();
    let created = GroupCreated { display_name: "g".into(), members: sorted(&ids[..2]) };
    assert_eq!(last_fact(&house, "group.created").await.read(), Some(created));
    let wanted = MemberChange { replace: None, remove: vec![ids[0].clone()], add: ids[1..].to_vec() };
    let changed = change_members(db, group.id, &wanted).await.unwrap();
    assert_eq!(changed.version, 2);
    let expect =
        GroupChanged { attributes: vec![], added: vec![ids[2].clone()], removed: vec![ids[0].clone()] };
    assert_eq!(
        last_fact(&house, "group.changed").await.read(),
        Some(expect),
        "only who really came and went"
    );
    let again = change_members(db, group.id, &wanted).await.unwrap();
    assert_eq!(again, changed);
    assert_eq!(house.facts("group.changed").await, 1);

    // Over a version, with a name too.
    let names = vec!["displayName".to_owned()];
    let removal = MemberChange { remove: vec![ids[2].clone()], ..MemberChange::default() };
    let profile = group_profile("h");
    let renamed =
        change(db, async |tx| group::update(tx, &changed, &profile, names, &removal).await).await.unwrap();
    assert_eq!((renamed.version, &renamed), (3, &current(db, &group).await));
    let expect =
        GroupChanged { attributes: vec!["displayName".into()], added: vec![], removed: vec![ids[2].clone()] };
    assert_eq!(last_fact(&house, "group.changed").await.read(), Some(expect));
    let same = change(db, async |tx| {
        group::update(tx, &renamed, &profile, Vec::new(), &MemberChange::default()).await
    })
    .await;
    assert_eq!(same.unwrap(), renamed);
    assert_eq!(house.facts("group.changed").await, 2);
}

fn sorted(texts: &[String]) -> Vec<String> {
    texts.iter().cloned().collect::<BTreeSet<_>>().into_iter().collect()
}

async fn members_added_at_once_are_all_there(house: House) {
    let db = &house.db;
    let group = create_group(db, "g", &[]).await.unwrap();
    let mut all = JoinSet::new();
    for n in 0..20 {
        let (db, id) = (db.clone(), group.id);
        all.spawn(async move {
            // Overlapping, and in orders that would lock each other out.
            let mut add: Vec<String> = (0..5).map(|m| format!("member-{:02}", n + m)).collect();
            if n % 2 == 0 {
                add.reverse();
            }
            let mut tx = begin(&db).await;
            let changed =
                membership::update_members(&mut tx, id, &MemberChange { add, ..MemberChange::default() })
                    .await;
            tx.end(changed).await.map(drop)
        });
    }
    let answers = all.join_all().await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    let expect: Vec<String> = (0..24).map(|n| format!("member-{n:02}")).collect();
    assert_eq!(member_ids(db, &group).await, expect);
    let effective = 1 + house.facts("group.changed").await;
    assert_eq!(current(db, &group).await.version, effective, "one version a change in effect");
}

async fn members_added_at_once_over_a_version_are_refused_and_not_lost(house: House) {
    let db = &house.db;
    let group = create_group(db, "g", &[]).await.unwrap();
    let mut all = JoinSet::new();
    for n in 0..12 {
        let (db, id) = (db.clone(), group.id);
        all.spawn(async move {
            let members = MemberChange { add: vec![format!("member-{n:02}")], ..MemberChange::default() };
            let mut refused = 0;
            loop {
                let seen = group::get(&db, id).await.unwrap().unwrap();
                let mut tx = begin(&db).await;
                let changed = group::update(&mut tx, &seen, &group_profile("g"), Vec::new(), &members).await;
                match tx.end(changed).await {
                    Ok(_) => return refused,
                    Err(DirectoryError::VersionMismatch) => refused += 1,
                    Err(error) => panic!("{error}"),
                }
            }
        });
    }
    all.join_all().await;
    assert_eq!(count_members(db, &group).await, 12);
    assert_eq!(current(db, &group).await.version, 13);
}

async fn members_replaced_at_once_are_those_of_one(house: House) {
    let db = &house.db;
    let group = create_group(db, "g", &texts(&["old"])).await.unwrap();
    let mut all = JoinSet::new();
    for n in 0..10 {
        let (db, id) = (db.clone(), group.id);
        all.spawn(async move {
            let replace = Some(vec![format!("a-{n}"), format!("b-{n}")]);
            let mut tx = begin(&db).await;
            let members = MemberChange { replace, ..MemberChange::default() };
            let changed = membership::update_members(&mut tx, id, &members).await;
            tx.end(changed).await.map(drop).unwrap();
        });
    }
    all.join_all().await;
    let left = member_ids(db, &group).await;
    let [a, b] = left.as_slice() else { panic!("{left:?}") };
    assert_eq!(a.strip_prefix("a-"), b.strip_prefix("b-"));
}

async fn a_thousand_members_join_and_leave_at_once(house: House) {
    let db = &house.db;
    let members: Vec<String> = (0..1_001).map(|n| format!("m-{n:04}")).collect();
    let group = create_group(db, "g", &members).await.unwrap();
    assert_eq!(member_ids(db, &group).await, members);
    let keep = MemberChange { replace: Some(members[..1].to_vec()), ..MemberChange::default() };
    change_members(db, group.id, &keep).await.unwrap();
    assert_eq!(member_ids(db, &group).await, members[..1]);

    let too_many = MemberChange { add: vec!["x".into(); MEMBER_CHANGES + 1], ..MemberChange::default() };
    let refused = change_members(db, group.id, &too_many).await;
    assert!(matches!(&refused, Err(DirectoryError::Invalid(text)) if text.contains("10000")), "{refused:?}");
    let refused = create_group(db, "h", &too_many.add).await;
    assert!(matches!(refused, Err(DirectoryError::Invalid(_))), "{refused:?}");
}

async fn references_that_name_nobody_are_listed_and_without_effect(house: House) {
    let db = &house.db;
    let ada =
        create(db, &user::Profile { display_name: Some("Ada L".into()), ..profile("ada") }).await.unwrap();
    let bo = create(db, &profile("bo")).await.unwrap();
    let inner = create_group(db, "inner", &[]).await.unwrap();
    let nobody = UserId::new(db.ctx()).to_string();
    let all = [ada.id.to_string(), bo.id.to_string(), inner.id.to_string(), nobody.clone(), "E-17".into()];
    let group = create_group(db, "outer", &all).await.unwrap();
    let listed = group::members(db, group.id, 9).await.unwrap();
    let shown = |id: &str| {
        let member = listed.iter().find(|member| member.member_id == id).unwrap();
        (member.user_display.as_deref(), member.group_display.as_deref())
    };
    assert_eq!(listed.len(), 5);
    assert_eq!(shown(&all[0]), (Some("Ada L"), None));
    assert_eq!(shown(&all[1]), (Some("bo"), None));
    assert_eq!(shown(&all[2]), (None, Some("inner")));
    assert_eq!(shown(&nobody), (None, None));
    assert_eq!(shown("E-17"), (None, None));
    assert_eq!(group::members(db, group.id, 2).await.unwrap(), listed[..2]);

    crate::people::delete(db, &bo).await.unwrap();
    let again = MemberChange { add: vec![bo.id.to_string()], ..MemberChange::default() };
    change_members(db, group.id, &again).await.unwrap();
    let listed = group::members(db, group.id, 9).await.unwrap();
    let gone = listed.iter().find(|member| member.member_id == bo.id.to_string()).unwrap();
    assert_eq!((&gone.user_display, &gone.group_display), (&None, &None), "a deleted user is nobody");
    assert_eq!(user::all_groups(db, ada.id).await.unwrap(), [(group.id, "outer".to_owned())]);
}

async fn who_joins_or_leaves_is_looked_at_again_and_leavers_first(house: House) {
    let db = &house.db;
    let ids = users(db, 3).await;
    let subject = |id: &UserId| id.subject().to_string();
    let mut both = strings(&ids[..2]);
    both.push("E-17".into());
    let group = create_group(db, "g", &both).await.unwrap();
    let expect: BTreeSet<_> = ids[..2].iter().map(|id| (subject(id), 0)).collect();
    assert_eq!(due(&house).await, expect, "nobody but users is looked at");

    house.settle_all().await;
    let swap = MemberChange { replace: Some(strings(&ids[1..])), ..MemberChange::default() };
    change_members(db, group.id, &swap).await.unwrap();
    let expect: BTreeSet<_> = [&ids[0], &ids[2]].map(|id| (subject(id), 1)).into();
    assert_eq!(due(&house).await, expect, "one who leaves may lose something; who stays is not looked at");

    house.settle_all().await;
    let nothing = MemberChange { add: strings(&ids[1..]), ..MemberChange::default() };
    change_members(db, group.id, &nothing).await.unwrap();
    assert_eq!(due(&house).await, BTreeSet::new());
}

async fn due(house: &House) -> BTreeSet<(String, i64)> {
    house.due(ENTITLEMENT_SINK).await.into_iter().collect()
}

async fn a_renamed_group_has_all_its_members_looked_at_again(house: House) {
    let db = &house.db;
    let ids = users(db, 3).await;
    let group = create_group(db, "Grid Operations", &strings(&ids)).await.unwrap();
    house.settle_all().await;
    let names = vec!["externalId".to_owned()];
    let profile = GroupProfile { external_id: Some("x".into()), ..group_profile("Grid Operations") };
    let seen =
        change(db, async |tx| group::update(tx, &group, &profile, names, &MemberChange::default()).await)
            .await
            .unwrap();
    assert_eq!(due(&house).await, BTreeSet::new(), "policies know a group by its name alone");
    rename(db, &seen, "Grid operations").await.unwrap();
    let expect: BTreeSet<_> = ids.iter().map(|id| (id.subject().to_string(), 1)).collect();
    assert_eq!(due(&house).await, expect);
}

async fn a_deleted_group_has_its_members_looked_at_again_and_leaves_the_groups_above(house: House) {
    let db = &house.db;
    let ids = users(db, 2).await;
    let group = create_group(db, "inner", &strings(&ids)).await.unwrap();
    let above = create_group(db, "outer", &[group.id.to_string()]).await.unwrap();
    house.settle_all().await;
    change(db, async |tx| group::delete(tx, &group).await).await.unwrap();
    let expect: BTreeSet<_> = ids.iter().map(|id| (id.subject().to_string(), 1)).collect();
    assert_eq!(due(&house).await, expect);
    let deleted = GroupDeleted { members: sorted(&strings(&ids)) };
    assert_eq!(last_fact(&house, "group.deleted").await.read(), Some(deleted));
    assert_eq!(group::get(db, group.id).await.unwrap(), None);
    assert_eq!(user::all_groups(db, ids[0]).await.unwrap(), []);
    assert_eq!(house.count(sql!("SELECT COUNT(*) FROM membership")).await, 0);
    assert_eq!(current(db, &above).await.version, 2);
    let again = change(db, async |tx| group::delete(tx, &group).await).await;
    assert!(matches!(again, Err(DirectoryError::VersionMismatch)));
    assert!(create_group(db, "INNER", &[]).await.is_ok(), "its name is free");
}

async fn names_are_unique_however_they_are_spelt(house: House) {
    let db = &house.db;
    let group = create_group(db, "Straße", &[]).await.unwrap();
    let other = create_group(db, "other", &[]).await.unwrap();
    assert!(matches!(create_group(db, "STRASSE", &[]).await, Err(DirectoryError::Taken("displayName"))));
    assert!(matches!(rename(db, &other, "strasse").await, Err(DirectoryError::Taken("displayName"))));
    assert_eq!(rename(db, &group, "STRASSE").await.unwrap().display_name, "STRASSE");
    assert_eq!(group::by_display_name(db, "straße").await.unwrap().unwrap().id, group.id);
}

async fn a_lost_update_of_a_group_is_refused(house: House) {
    let db = &house.db;
    let seen = create_group(db, "a", &texts(&["x"])).await.unwrap();
    let newer = rename(db, &seen, "b").await.unwrap();
    let add = MemberChange { add: texts(&["y"]), ..MemberChange::default() };
    let stale =
        change(db, async |tx| group::update(tx, &seen, &group_profile("a"), vec![], &add).await).await;
    assert!(matches!(stale, Err(DirectoryError::VersionMismatch)), "{stale:?}");
    assert!(matches!(rename(db, &seen, "c").await, Err(DirectoryError::VersionMismatch)));
    let gone = change(db, async |tx| group::delete(tx, &seen).await).await;
    assert!(matches!(gone, Err(DirectoryError::VersionMismatch)), "{gone:?}");
    assert_eq!(current(db, &seen).await, newer);
    assert_eq!(member_ids(db, &seen).await, ["x"], "nothing of it is half-done");
    let absent = change_members(db, GroupId::new(db.ctx()), &add).await;
    assert!(matches!(absent, Err(DirectoryError::NotFound("group"))), "{absent:?}");
}

async fn what_no_index_could_hold_is_refused(house: House) {
    let db = &house.db;
    let long = "x".repeat(LONGEST_NAME + 1);
    for (name, external_id, members) in [
        ("", None, vec![]),
        (" ", None, vec![]),
        ("a\u{7}", None, vec![]),
        (&long, None, vec![]),
        ("a", Some(long.clone()), vec![]),
        ("a", None, vec![long.clone()]),
        ("a", None, vec!["\0".to_owned()]),
    ] {
        let profile = GroupProfile { display_name: name.into(), external_id, document: "{}".into() };
        let refused = change(db, async |tx| group::create(tx, &profile, &members).await).await;
        assert!(matches!(refused, Err(DirectoryError::Invalid(_))), "{profile:?} {members:?}: {refused:?}");
    }
    assert_eq!(group::count(db).await.unwrap(), 0);
    let longest = "y".repeat(LONGEST_NAME);
    create_group(db, &longest, std::slice::from_ref(&longest)).await.unwrap();
}

async fn groups_are_found_and_paged(house: House) {
    let db = &house.db;
    let mut made = Vec::new();
    for n in 0..9 {
        if n % 3 == 0 {
            house.advance(std::time::Duration::from_millis(1));
        }
        let profile = GroupProfile { external_id: Some("same".into()), ..group_profile(&format!("g-{n}")) };
        let group = change(db, async |tx| group::create(tx, &profile, &texts(&["m"])).await).await.unwrap();
        made.push(group);
    }
    made.sort_by_key(|group| (group.created_at, group.id));
    assert_eq!(
        group::by_external_id(db, "same").await.unwrap(),
        made,
        "an external id of a group is not unique"
    );
    assert_eq!(membership::containing(db, "m").await.unwrap(), made);
    assert_eq!(group::count(db).await.unwrap(), 9);
    let (mut pages, mut after) = (Vec::new(), None);
    loop {
        let page = group::page(db, after, 4).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some((last.created_at, last.id));
        pages.extend(page);
    }
    assert_eq!(pages, made);
    assert_eq!(
        [group::page_at(db, 0, 5).await.unwrap(), group::page_at(db, 5, 5).await.unwrap()].concat(),
        made
    );

    let ids = users(db, 2).await;
    create_group(db, "z", &strings(&ids)).await.unwrap();
    create_group(db, "y", &strings(&ids[..1])).await.unwrap();
    let belongings = membership::of_users(db, &ids).await.unwrap();
    let names: Vec<_> = belongings.iter().map(|b| (b.group_name.as_str(), b.user_id == ids[0])).collect();
    assert_eq!(names.len(), 3);
    assert!(names.contains(&("y", true)) && names.contains(&("z", true)) && names.contains(&("z", false)));
    assert_eq!(membership::of_users(db, &[]).await.unwrap(), []);
    let mut names = user::names(db, &ids).await.unwrap();
    names.sort();
    let mut expect: Vec<_> = ids.iter().copied().zip(["user-0".to_owned(), "user-1".to_owned()]).collect();
    expect.sort();
    assert_eq!(names, expect);
}

async fn groups_that_change_and_go_at_once_do_not_block_each_other(house: House) {
    let db = &house.db;
    for round in 0..10 {
        let leavers = [
            create(db, &profile(&format!("a-{round}"))).await.unwrap(),
            create(db, &profile(&format!("b-{round}"))).await.unwrap(),
        ];
        let members: Vec<String> = leavers.iter().map(|user| user.id.to_string()).collect();
        let mut all = JoinSet::new();
        for n in 0..4 {
            let group = create_group(db, &format!("g-{round}-{n}"), &members).await.unwrap();
            let (db, members) = (db.clone(), members.clone());
            all.spawn(async move {
                let mut tx = begin(&db).await;
                let done = match n {
                    0 => group::delete(&mut tx, &group).await,
                    _ => {
                        let change = MemberChange { remove: members, ..MemberChange::default() };
                        membership::update_members(&mut tx, group.id, &change).await.map(drop)
                    }
                };
                match tx.end(done).await {
                    // The user who left it was faster.
                    Err(DirectoryError::VersionMismatch) if n == 0 => Ok(()),
                    other => other,
                }
            });
        }
        for leaver in leavers {
            let db = db.clone();
            all.spawn(async move { crate::people::delete(&db, &leaver).await });
        }
        let answers = all.join_all().await;
        assert!(answers.iter().all(Result::is_ok), "round {round}: {answers:?}");
        assert_eq!(house.count(sql!("SELECT COUNT(*) FROM membership")).await, 0);
    }
}

async fn a_group_and_its_member_that_go_at_once_do_not_block_each_other(house: House) {
    let db = &house.db;
    for round in 0..10 {
        let leaver = create(db, &profile(&format!("u-{round}"))).await.unwrap();
        let member = leaver.id.to_string();
        // The outer one is the elder: whoever leaves both takes it first.
        let outer = create_group(db, &format!("outer-{round}"), std::slice::from_ref(&member)).await.unwrap();
        let inner = create_group(db, &format!("inner-{round}"), std::slice::from_ref(&member)).await.unwrap();
        let add = MemberChange { add: vec![inner.id.to_string()], ..MemberChange::default() };
        change_members(db, outer.id, &add).await.unwrap();
        let mut all = JoinSet::new();
        let (db_of_group, db_of_user) = (db.clone(), db.clone());
        all.spawn(async move {
            loop {
                let Some(seen) = group::get(&db_of_group, inner.id).await.unwrap() else { return Ok(()) };
                let mut tx = begin(&db_of_group).await;
                let done = group::delete(&mut tx, &seen).await;
                match tx.end(done).await {
                    // The leaver was faster.
                    Err(DirectoryError::VersionMismatch) => {}
                    other => return other,
                }
            }
        });
        all.spawn(async move { crate::people::delete(&db_of_user, &leaver).await });
        let answers = all.join_all().await;
        assert!(answers.iter().all(Result::is_ok), "round {round}: {answers:?}");
        assert_eq!(member_ids(db, &outer).await, Vec::<String>::new());
    }
}
