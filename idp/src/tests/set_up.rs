//! The first administrator is made with a link, once.

use std::time::Duration;

use directory::group::{self, GroupProfile, MemberChange, membership};
use directory::set_up::ADMINISTRATORS;
use directory::user;
use serde_json::json;
use store::Origin;

use super::world::set_up_link;
use super::*;

on_both_engines! {
    the_first_administrator_is_made_signed_in_and_led_to_a_second_factor,
    what_cannot_be_is_refused_with_its_reason_and_uses_nothing_up,
    the_page_is_gone_once_somebody_administers,
    a_link_is_good_once_and_for_an_hour_and_only_here,
    two_who_submit_at_once_make_one_administrator,
    a_group_that_hr_wrote_is_joined,
    a_set_up_form_belongs_to_one_browser,
}

async fn open(browser: &Browser<'_>, link: &str) -> Answer {
    let page = browser.get(link).await;
    assert_eq!(page.status, 200, "{}", page.body);
    page
}

/// The form as it is right, with other values.
async fn submit(browser: &Browser<'_>, page: &Answer, other: &[(&str, &str)]) -> Answer {
    let [form_token, token] = ["form_token", "token"].map(|name| page.field(name));
    let usual = [
        ("form_token", form_token.as_str()),
        ("token", &token),
        ("username", "mira"),
        ("display_name", "Mira Holt"),
        ("email", "mira.holt@example.org"),
        ("password", PASSWORD),
        ("password_again", PASSWORD),
    ];
    let usual = usual.into_iter().filter(|(name, _)| other.iter().all(|(changed, _)| changed != name));
    let form: Vec<(&str, &str)> = usual.chain(other.iter().copied()).collect();
    browser.post("/set-up", &form).await
}

/// Who is in the group, by user name.
async fn administrators(world: &World) -> Vec<String> {
    let Some(group) = group::by_display_name(&world.db, ADMINISTRATORS).await.unwrap() else {
        return Vec::new();
    };
    let users = membership::users_within(&world.db, group.id, 10).await.unwrap();
    let ids: Vec<_> = users.into_iter().map(|(_, id)| id).collect();
    user::of_ids(&world.db, &ids).await.unwrap().into_iter().map(|user| user.user_name).collect()
}

async fn the_first_administrator_is_made_signed_in_and_led_to_a_second_factor(world: World) {
    let browser = world.browser();
    let link = set_up_link(&world).await.unwrap();
    let page = open(&browser, &link).await;
    let made = submit(&browser, &page, &[]).await;
    assert_eq!(made.location(), "/enrol?way=passkey&to=add-passkey");
    assert_eq!(administrators(&world).await, ["mira"]);
    let enrol = browser.get(made.location()).await;
    assert_eq!(enrol.status, 200, "{}", enrol.body);
    assert!(enrol.body.contains("/enrol?way=totp&#38;to=add-totp"), "{}", enrol.body);
    assert_eq!(browser.get("/enrol?way=totp&to=add-totp").await.status, 200);
    assert!(browser.get("/account").await.body.contains("Mira Holt"));
    let mira = user::by_user_name(&world.db, "Mira").await.unwrap().unwrap();
    assert_eq!(
        (mira.email.as_deref(), mira.roles()),
        (Some("mira.holt@example.org"), vec!["administrator".into()])
    );
    let (subject, actor, _) = world.facts("set-up.done").await.pop().unwrap();
    assert_eq!((subject, actor.as_str()), (mira.id.subject().to_string(), "anonymous"));
    for kind in ["user.created", "group.created", "authenticator.password-set", "session.opened"] {
        assert_eq!(world.facts(kind).await.len(), 1, "{kind}");
    }
    let again = world.browser();
    let page = again.sign_in_page("app", &[]).await;
    again.enter(&page, "mira", PASSWORD).await.code();
}

async fn what_cannot_be_is_refused_with_its_reason_and_uses_nothing_up(world: World) {
    let browser = world.browser();
    let page = open(&browser, &set_up_link(&world).await.unwrap()).await;
    let long = "m".repeat(2_000);
    for (other, expect) in [
        (("username", " "), "cannot be a user name"),
        (("username", long.as_str()), "cannot be a user name"),
        (("username", "ADA@example.org"), "has this user name already"),
        (("display_name", ""), "what you are called"),
        (("email", "mira"), "not a mail address"),
        (("password", "short"), "at least 15 characters"),
        (("password_again", "something else"), "differ"),
    ] {
        let answer = submit(&browser, &page, &[other]).await;
        assert_eq!(answer.status, 422, "{other:?}");
        assert!(answer.body.contains(expect), "{other:?}: {}", answer.body);
        assert!(!answer.body.contains(PASSWORD), "a password is never sent back");
    }
    assert!(administrators(&world).await.is_empty());
    let kept = submit(&browser, &page, &[("email", "mira")]).await;
    assert_eq!((kept.field("username"), kept.field("display_name")), ("mira".into(), "Mira Holt".into()));
    submit(&browser, &page, &[]).await.location();
    assert_eq!(administrators(&world).await, ["mira"]);
}

async fn the_page_is_gone_once_somebody_administers(world: World) {
    let browser = world.browser();
    let [first, second] = [set_up_link(&world).await.unwrap(), set_up_link(&world).await.unwrap()];
    let (page, other) = (open(&browser, &first).await, open(&browser, &second).await);
    submit(&browser, &page, &[]).await.location();
    for link in [first.as_str(), &second, "/set-up?token=cdu_invented", "/set-up"] {
        assert_eq!(browser.get(link).await.status, 404, "{link}");
    }
    for page in [&page, &other] {
        assert_eq!(submit(&browser, page, &[("username", "eve")]).await.status, 404);
    }
    assert_eq!(set_up_link(&world).await, None, "no new link is shown");
    assert_eq!(administrators(&world).await, ["mira"]);
    // The only administrator leaves; that opens the house to nobody.
    let mira = user::by_user_name(&world.db, "mira").await.unwrap().unwrap();
    let mut tx = world.db.write(Origin::system()).await.unwrap();
    let gone = user::Profile { user_name: "mira".into(), active: false, ..super::world::profile() };
    user::update(&mut tx, &mira, &gone, vec!["active".into()]).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(set_up_link(&world).await, None);
    assert_eq!(submit(&browser, &other, &[("username", "eve")]).await.status, 404);
}

async fn a_link_is_good_once_and_for_an_hour_and_only_here(world: World) {
    let browser = world.browser();
    let link = set_up_link(&world).await.unwrap();
    let page = open(&browser, &link).await;
    for bad in ["/set-up?token=cdu_invented", "/set-up?token=", "/set-up"] {
        assert_eq!(browser.get(bad).await.status, 410, "{bad}");
    }
    let offered =
        directory::set_up::offer(&world.db, Origin::system(), "https://evil.example").await.unwrap();
    let foreign = format!("/set-up?token={}", offered.unwrap().0.expose());
    assert_eq!(browser.get(&foreign).await.status, 410, "a link of another issuer");
    world.advance(Duration::from_secs(3_599));
    assert_eq!(browser.get(&link).await.status, 200, "looking uses nothing up");
    world.advance(Duration::from_secs(1));
    assert_eq!(browser.get(&link).await.status, 410);
    assert_eq!(submit(&browser, &page, &[]).await.status, 410);
    // A link that was used stays used although nobody administers any more.
    let page = open(&browser, &set_up_link(&world).await.unwrap()).await;
    submit(&browser, &page, &[]).await.location();
    let mira = user::by_user_name(&world.db, "mira").await.unwrap().unwrap();
    let mut tx = world.db.write(Origin::system()).await.unwrap();
    user::delete(&mut tx, &mira).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(submit(&browser, &page, &[("username", "eve")]).await.status, 410);
    assert!(administrators(&world).await.is_empty());
}

async fn two_who_submit_at_once_make_one_administrator(world: World) {
    let browser = world.browser();
    let [first, second] = [set_up_link(&world).await.unwrap(), set_up_link(&world).await.unwrap()];
    let (page, other) = (open(&browser, &first).await, open(&browser, &second).await);
    let names = ["a", "b", "c", "d"];
    let all = names.iter().enumerate().map(|(at, name)| {
        let page = if at % 2 == 0 { &page } else { &other };
        let browser = &browser;
        async move { submit(browser, page, &[("username", name)]).await }
    });
    let statuses: Vec<u16> =
        futures_util::future::join_all(all).await.into_iter().map(|answer| answer.status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 303).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| [303, 404, 410].contains(status)), "{statuses:?}");
    assert_eq!(administrators(&world).await.len(), 1);
    assert_eq!(world.facts("set-up.done").await.len(), 1);
    assert_eq!(world.facts("user.created").await.len(), 1, "nobody is left behind half made");
}

async fn a_group_that_hr_wrote_is_joined(world: World) {
    let mut tx = world.db.write(Origin::system()).await.unwrap();
    let profile = |display_name: &str| GroupProfile {
        display_name: display_name.into(),
        external_id: None,
        document: json!({ "displayName": display_name }).to_string(),
    };
    let below = group::create(&mut tx, &profile("operations"), &[]).await.unwrap();
    let members = [below.id.to_string()];
    group::create(&mut tx, &profile("Administrators"), &members).await.unwrap();
    tx.commit().await.unwrap();
    let browser = world.browser();
    let page = open(&browser, &set_up_link(&world).await.unwrap()).await;
    submit(&browser, &page, &[]).await.location();
    assert_eq!(administrators(&world).await, ["mira"]);
    // Somebody in a group below administers, too.
    let mira = user::by_user_name(&world.db, "mira").await.unwrap().unwrap();
    let mut tx = world.db.write(Origin::system()).await.unwrap();
    user::delete(&mut tx, &mira).await.unwrap();
    let join = MemberChange { add: vec![world.ada.to_string()], ..MemberChange::default() };
    membership::update_members(&mut tx, below.id, &join).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(set_up_link(&world).await, None);
}

async fn a_set_up_form_belongs_to_one_browser(world: World) {
    let page = open(&world.browser(), &set_up_link(&world).await.unwrap()).await;
    let stranger = world.browser();
    assert_eq!(submit(&stranger, &page, &[]).await.status, 403);
    assert!(administrators(&world).await.is_empty());
}
