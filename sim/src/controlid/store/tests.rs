use super::*;

const DEVICE: i64 = 14_227_560_204_340_541;

fn store(dependents: Dependents) -> Store {
    Store::factory(DEVICE, 2, Room { cards: 3, logs: 2 }, dependents)
}

fn object(name: &str) -> &'static Object {
    schema::object(name).unwrap()
}

fn user(store: &mut Store) -> i64 {
    let texts = ["registration", "name"].map(|field| (field, Cell::Text("x".to_owned())));
    store.insert(object("users"), &Row::from(texts)).unwrap()
}

fn card(store: &mut Store, value: i64, user: i64) -> Result<i64, Refusal> {
    store.insert(object("cards"), &row::ints(&[("value", value), ("user_id", user)]))
}

fn by(field: &'static str, number: i64) -> impl Fn(&Row) -> bool {
    move |row: &Row| row::int(row, field) == number
}

#[test]
fn the_factory_lets_group_1_through_every_portal() {
    let store = store(Dependents::Follow);
    assert_eq!(store.rows("portal_access_rules").len(), 2);
    assert_eq!(store.rows("devices").iter().map(|row| row::int(row, "id")).collect::<Vec<_>>(), [DEVICE]);
    assert!(store.rows("users").is_empty() && store.rows("cards").is_empty());
}

#[test]
fn the_next_id_is_the_highest_plus_one_and_may_come_back() {
    let mut store = store(Dependents::Follow);
    assert_eq!((user(&mut store), user(&mut store)), (1, 2));
    assert_eq!(store.destroy(object("users"), &by("id", 2)).unwrap(), 1);
    assert_eq!(user(&mut store), 2);
    let server = Row::from(["name", "ip"].map(|field| (field, Cell::Text("x".to_owned()))));
    assert_eq!(store.insert(object("devices"), &server).unwrap(), DEVICE + 1);
}

#[test]
fn what_is_taken_or_leads_nowhere_is_refused() {
    let mut store = store(Dependents::Follow);
    let (ana, bob) = (user(&mut store), user(&mut store));
    card(&mut store, 7, ana).unwrap();
    let words = |refused: Result<i64, Refusal>| refused.unwrap_err().words;
    assert_eq!(words(card(&mut store, 7, bob)), "UNIQUE constraint failed: cards.value");
    assert_eq!(words(card(&mut store, 8, 99)), "FOREIGN KEY constraint failed");
    let pair = row::ints(&[("user_id", ana), ("group_id", 1)]);
    store.insert(object("user_groups"), &pair).unwrap();
    let twice = words(store.insert(object("user_groups"), &pair));
    assert_eq!(twice, "UNIQUE constraint failed: user_groups.user_id, user_groups.group_id");
    card(&mut store, 8, ana).unwrap();
    card(&mut store, 9, ana).unwrap();
    assert_eq!(words(card(&mut store, 10, ana)), "Database is full");
}

#[test]
fn a_write_is_whole_or_not_at_all() {
    let mut store = store(Dependents::Follow);
    let ana = user(&mut store);
    let two = [7, 7].map(|value| row::ints(&[("value", value), ("user_id", ana)]));
    assert!(store.insert_all(object("cards"), &two).is_err());
    assert!(store.rows("cards").is_empty() && store.take_changes().is_empty());
    card(&mut store, 7, ana).unwrap();
    card(&mut store, 8, ana).unwrap();
    store.take_changes();
    let same = row::ints(&[("value", 9)]);
    assert!(store.modify(object("cards"), &same, &by("user_id", ana)).is_err());
    assert!(store.find("cards", "value", 7).is_some() && store.take_changes().is_empty());
    assert!(store.modify(object("cards"), &row::ints(&[("id", 5)]), &by("value", 7)).is_err(), "an id stays");
}

#[test]
fn rows_that_refer_to_a_row_follow_it_forbid_it_or_stay() {
    let check = |dependents, expect: Option<usize>, left: usize| {
        let mut store = store(dependents);
        let ana = user(&mut store);
        card(&mut store, 7, ana).unwrap();
        let pair = row::ints(&[("user_id", ana), ("group_id", 1)]);
        store.insert(object("user_groups"), &pair).unwrap();
        let destroyed = store.destroy(object("users"), &by("id", ana));
        assert_eq!(destroyed.ok(), expect, "{dependents:?}");
        assert_eq!(store.rows("cards").len() + store.rows("user_groups").len(), left, "{dependents:?}");
    };
    check(Dependents::Follow, Some(1), 0);
    check(Dependents::Forbid, None, 2);
    check(Dependents::Stay, Some(1), 2);
}

#[test]
fn rows_are_put_by_their_id() {
    let mut store = store(Dependents::Follow);
    let ana = user(&mut store);
    let named = |id: i64, name: &str| {
        let mut row = row::ints(&[("id", id)]);
        row.extend(["name", "registration"].map(|field| (field, Cell::Text(name.to_owned()))));
        row
    };
    assert_eq!(store.put_all(object("users"), &[named(ana, "Ana"), named(40, "Bob")]).unwrap(), 2);
    let names: Vec<_> = store.rows("users").iter().map(|row| row::text(row, "name")).collect();
    assert_eq!(names, ["Ana", "Bob"]);
}

#[test]
fn log_numbers_grow_and_the_oldest_give_way() {
    let mut store = store(Dependents::Follow);
    let numbers: Vec<_> = [3, 6, 7].map(|event| store.log(&row::ints(&[("event", event)]))).into();
    assert_eq!(numbers, [1, 2, 3]);
    let kept: Vec<_> = store.rows("access_logs").iter().map(|row| row::int(row, "event")).collect();
    assert_eq!(kept, [6, 7]);
    let kinds: Vec<_> = store.take_changes().iter().map(|change| change.kind).collect();
    assert_eq!(kinds, ["inserted"; 3]);
}
