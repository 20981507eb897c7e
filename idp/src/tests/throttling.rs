//! Guessing: how it is slowed, and whom that does not touch.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use directory::authenticator::password::{Cost, Hasher};
use futures_util::future::{Either, join_all, select};
use kernel::{Ctx, Secret};
use store::Ephemeral;

use super::step_up::of_two_hundred_codes_guessed_at_once_five_are_looked_at;
use super::*;
use crate::Settings;
use crate::sign_in::attempts;

on_both_engines! {
    of_two_hundred_guesses_at_once_ten_are_looked_at,
    of_two_hundred_passwords_sent_at_once_ten_are_hashed_for,
    of_two_hundred_names_guessed_at_once_from_one_address_a_hundred_are_looked_at,
    a_stopped_address_locks_nobody_out,
    successes_stop_no_address_and_guessing_beside_them_still_does,
    what_was_turned_away_unseen_take_back,
    an_ipv6_site_cannot_go_on_from_network_to_network,
    a_window_that_is_over_is_forgotten,
    being_stopped_leaves_one_trace_in_a_window,
    who_finds_the_queue_full_is_asked_to_come_back_in_a_moment,
}

#[actix_web::test]
async fn on_redis_too_two_hundred_guesses_at_once_are_counted_exactly() {
    let Some(world) = on_redis().await else { return };
    of_two_hundred_guesses_at_once_ten_are_looked_at(world).await;
    let Some(world) = on_redis().await else { return };
    of_two_hundred_names_guessed_at_once_from_one_address_a_hundred_are_looked_at(world).await;
    let Some(world) = on_redis().await else { return };
    of_two_hundred_codes_guessed_at_once_five_are_looked_at(world).await;
}

/// The world with its counters on a Redis, if there is one.
async fn on_redis() -> Option<World> {
    let url = parts::or_skip(parts::redis_server(), parts::NO_REDIS)?;
    let random: [u8; 8] = Ctx::system().random();
    let prefix = random.iter().fold(String::from("idp-"), |prefix, byte| format!("{prefix}{byte:02x}"));
    let ephemeral = Ephemeral::on_redis(&Secret::new(url), &prefix).await.unwrap();
    let world = World::sqlite().await;
    let hasher = world.hasher.clone();
    Some(world.rebuilt(ephemeral, hasher, Settings::default()))
}

fn address(last: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, last])
}

/// Begins these attempts at once; how many are let through to the password.
async fn let_through(world: &World, attempts: impl Iterator<Item = (String, IpAddr)>) -> usize {
    let begin = |(name, from): (String, IpAddr)| async move {
        attempts::begin(&world.idp, &attempts::SIGN_IN, &name, from).await.unwrap().is_ok()
    };
    let all = futures_util::future::join_all(attempts.map(begin)).await;
    all.into_iter().filter(|through| *through).count()
}

async fn of_two_hundred_guesses_at_once_ten_are_looked_at(world: World) {
    let guesses = (0..200).map(|n| ("ada@example.org".to_owned(), address(n)));
    assert_eq!(let_through(&world, guesses).await, 10);
}

async fn of_two_hundred_names_guessed_at_once_from_one_address_a_hundred_are_looked_at(world: World) {
    for expect in [100, 0] {
        let guesses = (0..200).map(|n| (format!("name-{n}"), address(1)));
        assert_eq!(let_through(&world, guesses).await, expect);
    }
}

async fn a_stopped_address_locks_nobody_out(world: World) {
    let_through(&world, (0..100).map(|n| (format!("name-{n}"), address(1)))).await;
    let victim = || (0..20).map(|_| ("ada@example.org".to_owned(), address(1)));
    assert_eq!(let_through(&world, victim()).await, 0);
    assert_eq!(let_through(&world, (0..1_000).map(|n| (format!("more-{n}"), address(1)))).await, 0);
    let browser = world.browser();
    browser.address.set(Some(address(1)));
    let page = browser.sign_in_page("app", &[]).await;
    let stopped = browser.enter(&page, "ada@example.org", PASSWORD).await;
    let wait: u64 = stopped.header("retry-after").parse().unwrap();
    assert_eq!((stopped.status, (1..=300).contains(&wait)), (429, true));
    browser.address.set(Some(address(2)));
    browser.enter(&page, "ada@example.org", PASSWORD).await.code();
}

async fn successes_stop_no_address_and_guessing_beside_them_still_does(world: World) {
    let begin =
        async |name: &str| attempts::begin(&world.idp, &attempts::SIGN_IN, name, address(1)).await.unwrap();
    for n in 0..250 {
        let Ok(attempt) = begin(&format!("colleague-{n}")).await else {
            panic!("{n}: an office in the morning")
        };
        attempt.succeeded(&world.idp).await.unwrap();
    }
    let mut guessed = 0;
    while begin(&format!("name-{guessed}")).await.is_ok() {
        guessed += 1;
        let Ok(own) = begin("eve").await else { break };
        own.succeeded(&world.idp).await.unwrap();
    }
    assert!((99..=100).contains(&guessed), "{guessed}: an account of one's own buys no guess");
}

async fn what_was_turned_away_unseen_take_back(world: World) {
    for n in 0..150 {
        let attempt = attempts::begin(&world.idp, &attempts::SIGN_IN, "ada", address(1)).await.unwrap();
        let Ok(attempt) = attempt else { panic!("{n}: nothing was guessed") };
        attempt.take_back(&world.idp).await.unwrap();
    }
    assert_eq!(let_through(&world, (0..20).map(|n| ("ada".to_owned(), address(n)))).await, 10, "and no more");
}

async fn an_ipv6_site_cannot_go_on_from_network_to_network(world: World) {
    let from = |site: u16, network: u16| IpAddr::from([0x2001, 0xdb8, site, network, 0, 0, 0, 1]);
    let guesses = |site| (0..1_200_u16).map(move |n| (format!("name-{site}-{n}"), from(site, n / 10)));
    assert_eq!(let_through(&world, guesses(1)).await, 1_000);
    assert_eq!(let_through(&world, (0..200).map(|n| (format!("x-{n}"), from(2, 0)))).await, 100);
    assert_eq!(let_through(&world, (0..200).map(|n| (format!("y-{n}"), from(2, 1)))).await, 100);
}

async fn a_window_that_is_over_is_forgotten(world: World) {
    let guesses = || (0..200).map(|n| (format!("name-{n}"), address(1)));
    assert_eq!(let_through(&world, guesses()).await, 100);
    world.advance(Duration::from_secs(300));
    assert_eq!(let_through(&world, guesses()).await, 100);
}

async fn being_stopped_leaves_one_trace_in_a_window(world: World) {
    let browser = world.browser();
    let page = browser.sign_in_page("app", &[]).await;
    let enter = async |last: u8| {
        browser.address.set(Some(address(last)));
        browser.enter(&page, "ada@example.org", "wrong").await.status
    };
    let_through(&world, (0..10).map(|n| ("ada@example.org".to_owned(), address(n)))).await;
    assert_eq!([enter(1).await, enter(2).await, enter(3).await], [429; 3]);
    let_through(&world, (0..99).map(|n| (format!("name-{n}"), address(9)))).await;
    // The hundredth meets the stopped account, the next ones the stopped address.
    assert_eq!([enter(9).await, enter(9).await, enter(9).await], [429; 3]);
    let refused = world.facts("sign-in.refused").await;
    let traces: BTreeSet<(String, String)> =
        refused.iter().map(|(subject, _, body)| (subject.clone(), body["reason"].to_string())).collect();
    let expect = |reason: &str| (format!("user:{}", world.ada), format!("{reason:?}"));
    assert_eq!(refused.len(), 2);
    assert_eq!(traces, BTreeSet::from([expect("throttled-account"), expect("throttled-address")]));
}

/// One is hashed for, dearly, and as many wait as may.
async fn who_finds_the_queue_full_is_asked_to_come_back_in_a_moment(world: World) {
    let (ephemeral, dear) = (Ephemeral::in_memory(world.ctx.clone()), Cost { passes: 100, ..Cost::FLOOR });
    let world = world.rebuilt(ephemeral, Hasher::with_cost(1, dear), Settings::default());
    let browser = world.browser();
    let page = browser.sign_in_page("app", &[]).await;
    let hash = || {
        let (hasher, ctx) = (world.hasher.clone(), world.ctx.clone());
        async move { hasher.hash(&ctx, Secret::new("no such password".to_owned())).await }
    };
    let hashed = tokio::spawn(hash());
    while world.hasher.runs() == 0 {
        tokio::task::yield_now().await;
    }
    let waiting = join_all((0..64).map(|_| hash()));
    let asking = Box::pin(browser.enter(&page, "ada@example.org", PASSWORD));
    let Either::Right((answer, _)) = select(waiting, asking).await else { panic!("it was hashed for") };
    hashed.abort();
    assert_eq!((answer.status, answer.header("retry-after")), (429, "2"), "{}", answer.body);
}

/// From as many browsers and addresses: only the account is theirs in common.
async fn of_two_hundred_passwords_sent_at_once_ten_are_hashed_for(world: World) {
    let mut open = Vec::new();
    for last in 0..200 {
        let browser = world.browser();
        browser.address.set(Some(address(last)));
        let page = browser.sign_in_page("app", &[]).await;
        open.push((browser, page));
    }
    let before = world.hasher.runs();
    let sent = open.iter().map(|(browser, page)| browser.enter(page, "ada@example.org", "wrong"));
    let statuses: Vec<u16> = join_all(sent).await.iter().map(|answer| answer.status).collect();
    let count = |status| statuses.iter().filter(|one| **one == status).count();
    assert_eq!((count(422), count(429), world.hasher.runs() - before), (10, 190, 10));
}
