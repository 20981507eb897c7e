//! The simulated HR department, an independent witness, over a real socket.

use sim::hr::{Hr, Person};

use crate::house::{ENTERPRISE, House, on_both_engines};

on_both_engines! {
    a_working_life_as_hr_tells_it
    a_group_as_hr_keeps_it
    hr_hears_why_it_is_refused
}

async fn a_working_life_as_hr_tells_it(house: &House) {
    let (base, server) = house.serve();
    let hr = Hr::new(&base, house.token.expose().as_str()).unwrap();
    hr.test_connection().await.unwrap();
    let boss = hr.hire(&Person::new("Grace", "Hopper", "nordgrid.example")).await.unwrap();
    let ada = Person {
        title: Some("Grid engineer".into()),
        department: Some("Operations".into()),
        manager: Some(boss.clone()),
        ..Person::new("Ada", "Lovelace", "nordgrid.example")
    };
    let id = hr.hire(&ada).await.unwrap();
    let found = hr.find("ADA.lovelace@NordGrid.example").await.unwrap().unwrap();
    assert_eq!((found.id.as_str(), found.active), (id.as_str(), Some(true)));
    assert_eq!(found.body[ENTERPRISE]["manager"]["$ref"], format!("{base}/Users/{boss}"));
    assert_eq!(found.body["meta"]["location"], format!("{base}/Users/{id}"));

    hr.move_department(&id, "Security").await.unwrap();
    hr.set_manager(&id, None).await.unwrap();
    let moved = hr.user(&id).await.unwrap().body;
    assert_eq!(moved[ENTERPRISE], serde_json::json!({"department": "Security"}));
    hr.set_manager(&id, Some(&boss)).await.unwrap();
    assert_eq!(hr.user(&id).await.unwrap().body[ENTERPRISE]["manager"]["value"], boss.as_str());

    let session = house.sign_in(&id).await;
    hr.end_employment(&id).await.unwrap();
    assert_eq!(hr.user(&id).await.unwrap().active, Some(false));
    assert_eq!(hr.find(&ada.user_name).await.unwrap().unwrap().active, Some(false));
    assert!(!house.is_signed_in(&session).await);
    hr.rehire(&id).await.unwrap();
    assert_eq!(hr.user(&id).await.unwrap().active, Some(true));
    assert!(!house.is_signed_in(&session).await);
    hr.end_employment(&id).await.unwrap();
    hr.delete(&id).await.unwrap();
    assert_eq!(hr.user(&id).await.unwrap_err().status(), Some(404));
    assert_eq!(hr.find(&ada.user_name).await.unwrap(), None);
    server.stop(false).await;
}

async fn a_group_as_hr_keeps_it(house: &House) {
    let (base, server) = house.serve();
    let hr = Hr::new(&base, house.token.expose().as_str()).unwrap();
    let ada = hr.hire(&Person::new("Ada", "Lovelace", "nordgrid.example")).await.unwrap();
    let bob = hr.hire(&Person::new("Bob", "Miner", "nordgrid.example")).await.unwrap();
    let group = hr.create_group("g-1", "Grid engineers").await.unwrap();
    let found = hr.find_group("GRID engineers").await.unwrap().unwrap();
    assert_eq!((found.id.as_str(), found.body.get("members")), (group.as_str(), None));
    assert!(!hr.is_member(&group, &ada).await.unwrap());
    hr.add_members(&group, &[&ada, &bob]).await.unwrap();
    hr.add_members(&group, &[&ada]).await.unwrap();
    assert!(hr.is_member(&group, &ada).await.unwrap() && hr.is_member(&group, &bob).await.unwrap());
    hr.remove_members(&group, &[&ada]).await.unwrap();
    assert!(!hr.is_member(&group, &ada).await.unwrap());
    assert!(hr.is_member(&group, &bob).await.unwrap(), "nobody else goes");
    hr.delete_group(&group).await.unwrap();
    assert_eq!(hr.find_group("Grid engineers").await.unwrap(), None);
    server.stop(false).await;
}

async fn hr_hears_why_it_is_refused(house: &House) {
    let (base, server) = house.serve();
    let hr = Hr::new(&base, house.token.expose().as_str()).unwrap();
    let ada = Person::new("Ada", "Lovelace", "nordgrid.example");
    hr.hire(&ada).await.unwrap();
    let again = hr.hire(&ada).await.unwrap_err();
    assert_eq!(again.status(), Some(409));
    assert!(again.to_string().contains("uniqueness"), "{again}");
    let stranger = Hr::new(&base, "scim_wrong").unwrap();
    assert_eq!(stranger.find("ada").await.unwrap_err().status(), Some(401));
    server.stop(false).await;
}
