//! Changes of groups with many members, and of groups in groups: who is looked at again, and when.

use std::collections::BTreeSet;

use directory::group::ripple::{AT_ONCE, Ripple, SINK};
use directory::group::{self, ENTITLEMENT_SINK, Group, GroupProfile, MemberChange, membership};
use directory::{DirectoryError, user};
use kernel::id::UserId;
use store::{Db, Delivery, Origin, Sink as _, delivery, sql};

use crate::house::{House, begin, change, let_others_work};
use crate::people::{create, create_group, group_profile, profile};

on_both_engines! {
    few_are_looked_at_in_the_change_itself_and_many_behind_it,
    a_deleted_group_of_many_is_empty_at_the_commit_and_loses_nobody,
    many_who_leave_at_once_are_looked_at_again_though_the_group_stays,
    work_that_is_cut_off_loses_nobody,
    groups_in_groups_stand_for_their_members,
    groups_that_contain_each_other_come_to_an_end,
}

const MANY: usize = 2 * AT_ONCE + 1;

async fn users(db: &Db, count: usize) -> Vec<UserId> {
    let mut tx = db.write(Origin::system()).await.unwrap();
    let mut ids = Vec::new();
    for n in 0..count {
        ids.push(user::create(&mut tx, &profile(&format!("user-{n}"))).await.unwrap().id);
    }
    tx.commit().await.unwrap();
    ids
}

fn strings(ids: &[UserId]) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
}

async fn due(house: &House, sink: &str) -> BTreeSet<(String, i64)> {
    let text = sql!("SELECT subject, priority FROM delivery WHERE sink = $1 AND due_at IS NOT NULL");
    let due: Vec<(String, i64)> = house.db.all(text, (sink,)).await.unwrap();
    due.into_iter().collect()
}

fn all(ids: &[UserId], priority: i64) -> BTreeSet<(String, i64)> {
    ids.iter().map(|id| (id.subject().to_string(), priority)).collect()
}

async fn claim(db: &Db) -> Vec<Delivery> {
    let lease = std::time::Duration::from_millis(1);
    delivery::claim(db, SINK, lease, 99, false).await.unwrap()
}

/// Does what the lane would do.
async fn hand_on(house: &House) {
    let ripple = Ripple::new(house.db.clone());
    for delivery in claim(&house.db).await {
        ripple.deliver(&delivery).await.unwrap();
        change::<_, DirectoryError>(&house.db, async |tx| Ok(delivery.complete(tx).await?)).await.unwrap();
    }
}

async fn delete(db: &Db, group: &Group) {
    change(db, async |tx| group::delete(tx, group).await).await.unwrap();
}

async fn rename(db: &Db, seen: &Group, name: &str) -> Group {
    let profile = GroupProfile { display_name: name.into(), ..group_profile("") };
    let names = vec!["displayName".to_owned()];
    change(db, async |tx| group::update(tx, seen, &profile, names, &MemberChange::default()).await)
        .await
        .unwrap()
}

async fn change_members(db: &Db, group: &Group, members: MemberChange) {
    change(db, async |tx| membership::update_members(tx, group.id, &members).await).await.unwrap();
}

async fn few_are_looked_at_in_the_change_itself_and_many_behind_it(house: House) {
    let db = &house.db;
    let ids = users(db, AT_ONCE + 1).await;
    for count in [AT_ONCE, AT_ONCE + 1] {
        let group = create_group(db, "before", &strings(&ids[..count])).await.unwrap();
        hand_on(&house).await;
        assert_eq!(due(&house, ENTITLEMENT_SINK).await, all(&ids[..count], 0));
        house.settle_all().await;
        let group = rename(db, &group, "after").await;
        let at_once = due(&house, ENTITLEMENT_SINK).await.len();
        assert_eq!(at_once, if count == AT_ONCE { AT_ONCE } else { 0 });
        hand_on(&house).await;
        assert_eq!(
            due(&house, ENTITLEMENT_SINK).await,
            all(&ids[..count], 1),
            "policies know a group by name"
        );
        assert_eq!(due(&house, SINK).await, BTreeSet::new());
        delete(db, &group).await;
        hand_on(&house).await;
        house.settle_all().await;
    }
}

async fn a_deleted_group_of_many_is_empty_at_the_commit_and_loses_nobody(house: House) {
    let db = &house.db;
    let ids = users(db, MANY).await;
    let group = create_group(db, "g", &strings(&ids)).await.unwrap();
    hand_on(&house).await;
    house.settle_all().await;
    let about = sql!("SELECT COUNT(*) FROM fact_about");
    let before = house.count(about.clone()).await;
    delete(db, &group).await;
    assert_eq!(user::all_groups(db, ids[7]).await.unwrap(), []);
    assert_eq!(due(&house, ENTITLEMENT_SINK).await, BTreeSet::new());
    assert_eq!(due(&house, SINK).await, BTreeSet::from([(group.id.subject().to_string(), 1)]));
    assert_eq!(house.count(about).await, before, "one row, not one for each");
    hand_on(&house).await;
    assert_eq!(due(&house, ENTITLEMENT_SINK).await, all(&ids, 1));
    assert_eq!(house.count(sql!("SELECT COUNT(*) FROM departure")).await, 0);
}

async fn many_who_leave_at_once_are_looked_at_again_though_the_group_stays(house: House) {
    let db = &house.db;
    let ids = users(db, MANY).await;
    let group = create_group(db, "g", &strings(&ids)).await.unwrap();
    hand_on(&house).await;
    house.settle_all().await;
    let keep = MemberChange { replace: Some(strings(&ids[..1])), ..MemberChange::default() };
    change_members(db, &group, keep).await;
    hand_on(&house).await;
    let due = due(&house, ENTITLEMENT_SINK).await;
    assert!(due.is_superset(&all(&ids[1..], 1)), "{} of them", due.len());
}

async fn work_that_is_cut_off_loses_nobody(house: House) {
    let db = &house.db;
    let ids = users(db, MANY).await;
    let group = create_group(db, "g", &strings(&ids)).await.unwrap();
    hand_on(&house).await;
    house.settle_all().await;
    delete(db, &group).await;
    let [delivery] = &claim(db).await[..] else { panic!("one row") };
    let (ripple, cut_off) = (Ripple::new(db.clone()), delivery.clone());
    let work = tokio::spawn(async move { ripple.deliver(&cut_off).await.map(drop) });
    let_others_work().await;
    work.abort();
    let _ = work.await;
    let left: Vec<(String,)> = house.all(sql!("SELECT member_id FROM departure")).await;
    let mut known = due(&house, ENTITLEMENT_SINK).await;
    known.extend(left.into_iter().map(|(id,)| (format!("user:{id}"), 1)));
    assert_eq!(known, all(&ids, 1), "each is due, or still to be handed on");
    house.advance(std::time::Duration::from_secs(1));
    hand_on(&house).await;
    assert_eq!(due(&house, ENTITLEMENT_SINK).await, all(&ids, 1));
}

async fn groups_in_groups_stand_for_their_members(house: House) {
    let db = &house.db;
    let ids = users(db, 2).await;
    let inner = create_group(db, "inner", &strings(&ids[..1])).await.unwrap();
    let middle = create_group(db, "middle", &[inner.id.to_string()]).await.unwrap();
    let outer = create_group(db, "outer", &strings(&ids[1..])).await.unwrap();
    hand_on(&house).await;
    house.settle_all().await;
    let only_middle = vec![middle.id.to_string()];
    change_members(db, &outer, MemberChange { add: only_middle.clone(), ..MemberChange::default() }).await;
    assert_eq!(due(&house, ENTITLEMENT_SINK).await, BTreeSet::new(), "a group is no user");
    let about = sql!("SELECT COUNT(*) FROM fact_about WHERE subject = $1");
    let as_group = db.one::<(i64,)>(about.clone(), (middle.id.subject(),)).await.unwrap();
    assert_eq!(as_group, (1,), "the fact is about the group");
    hand_on(&house).await;
    assert_eq!(due(&house, ENTITLEMENT_SINK).await, all(&ids[..1], 0));
    let names = async |user: UserId| -> Vec<String> {
        user::all_groups(db, user).await.unwrap().into_iter().map(|(_, name)| name).collect()
    };
    assert_eq!(names(ids[0]).await, ["inner", "middle", "outer"]);
    assert_eq!(names(ids[1]).await, ["outer"]);
    let direct: Vec<_> = membership::of_users(db, &ids[..1]).await.unwrap();
    assert_eq!(direct.iter().map(|belonging| belonging.direct).collect::<Vec<_>>(), [true, false, false]);
    let within = membership::users_within(db, outer.id, 9).await.unwrap();
    assert_eq!(within.into_iter().map(|(_, id)| id).collect::<BTreeSet<_>>(), ids.iter().copied().collect());

    house.settle_all().await;
    rename(db, &group::get(db, outer.id).await.unwrap().unwrap(), "renamed").await;
    hand_on(&house).await;
    assert_eq!(due(&house, ENTITLEMENT_SINK).await, all(&ids, 1));
    house.settle_all().await;
    change_members(db, &outer, MemberChange { remove: only_middle, ..MemberChange::default() }).await;
    hand_on(&house).await;
    assert_eq!(due(&house, ENTITLEMENT_SINK).await, all(&ids[..1], 1));
    assert_eq!(names(ids[0]).await, ["inner", "middle"]);
    house.settle_all().await;
    delete(db, &middle).await;
    hand_on(&house).await;
    assert_eq!(due(&house, ENTITLEMENT_SINK).await, all(&ids[..1], 1));
    assert_eq!(names(ids[0]).await, ["inner"]);
}

async fn groups_that_contain_each_other_come_to_an_end(house: House) {
    let db = &house.db;
    let ada = create(db, &profile("ada")).await.unwrap().id;
    let a = create_group(db, "a", &[ada.to_string()]).await.unwrap();
    let b = create_group(db, "b", &[a.id.to_string()]).await.unwrap();
    let both = vec![a.id.to_string(), b.id.to_string()];
    change_members(db, &a, MemberChange { add: both, ..MemberChange::default() }).await;
    hand_on(&house).await;
    assert_eq!(due(&house, SINK).await, BTreeSet::new());
    let names: Vec<_> = user::all_groups(db, ada).await.unwrap().into_iter().map(|(_, name)| name).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(membership::below(db, b.id).await.unwrap().len(), 2);
    let mut tx = begin(db).await;
    let seen = group::get(db, a.id).await.unwrap().unwrap();
    let gone = group::delete(&mut tx, &seen).await;
    tx.end(gone).await.unwrap();
    hand_on(&house).await;
    assert_eq!(user::all_groups(db, ada).await.unwrap(), []);
}
