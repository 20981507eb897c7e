//! Rules of describing, reading back and sweeping.

use std::collections::BTreeSet;

use super::{Trial, Verdict, ensure, rules};
use crate::connector::{ConnectorError, ListCursor, Refusal, RevocationClass, Verb};

rules![
    the_descriptor_says_what_a_customer_must_know,
    access_points_are_two_at_least_and_named_once,
    read_back_is_what_the_system_holds_and_not_what_we_asked,
    the_sweep_finds_what_somebody_else_put,
    the_sweep_reaches_the_end_of_a_long_list,
    an_orphan_is_revoked_without_a_version,
    a_foreign_sweep_cursor_is_refused,
    a_healthy_system_answers_in_every_part,
];

async fn the_descriptor_says_what_a_customer_must_know(trial: &Trial<'_>) -> Verdict {
    let descriptor = trial.connector.descriptor();
    ensure!(!descriptor.kind.is_empty() && !descriptor.tested_against.is_empty(), "{descriptor:?}");
    ensure!(!descriptor.verb_limit.is_zero(), "no limit of time");
    ensure!(descriptor.acks.is_sorted(), "the rungs of proof do not rise: {:?}", descriptor.acks);
    ensure!(descriptor.read_back == descriptor.verbs.contains(&Verb::ReadBack), "read-back is promised half");
    ensure!(
        descriptor.card_formats.contains(&trial.target.card(1).format()),
        "the card's format is not named"
    );
    let offline = descriptor.revocation >= RevocationClass::R2;
    ensure!(
        offline || descriptor.capacity.offline_cache == 0,
        "a lock with a cache is not {:?}",
        descriptor.revocation
    );
    Ok(())
}

async fn access_points_are_two_at_least_and_named_once(trial: &Trial<'_>) -> Verdict {
    let names: BTreeSet<_> = trial.points.iter().collect();
    ensure!(names.len() >= 2 && names.len() == trial.points.len(), "{:?}", trial.points);
    let seen = trial.credential(1).read_back().await?;
    ensure!(seen.points.keys().collect::<BTreeSet<_>>() == names, "read back {seen:?}");
    Ok(())
}

async fn read_back_is_what_the_system_holds_and_not_what_we_asked(trial: &Trial<'_>) -> Verdict {
    let wish = trial.credential(1);
    trial.target.plant(&wish.card, &trial.points[1]).await;
    wish.is_opening(&[1]).await?;
    wish.grant(1, &[0]).await?;
    wish.is_opening(&[0]).await?;
    trial.target.uproot(&wish.card).await;
    wish.is_absent().await
}

async fn the_sweep_finds_what_somebody_else_put(trial: &Trial<'_>) -> Verdict {
    let [ours, gone, orphan] = [1, 2, 3].map(|n| trial.credential(n));
    // What is gone stood before what is there: a gap is not the end.
    gone.grant(1, &[0]).await?;
    ours.grant(1, &[0]).await?;
    trial.target.plant(&orphan.card, &trial.points[1]).await;
    gone.revoke(2).await?;
    let listed = trial.listed().await?;
    let found: BTreeSet<_> = listed.keys().collect();
    ensure!(found == BTreeSet::from([&ours.card, &orphan.card]), "found {found:?}");
    ensure!(listed[&ours.card].meets(&ours.opening(&[0])), "ours shows {:?}", listed[&ours.card]);
    ensure!(listed[&orphan.card].meets(&orphan.opening(&[1])), "the orphan shows {:?}", listed[&orphan.card]);
    Ok(())
}

async fn the_sweep_reaches_the_end_of_a_long_list(trial: &Trial<'_>) -> Verdict {
    let planted: BTreeSet<_> = (1..=150).map(|n| trial.target.card(n)).collect();
    for card in &planted {
        trial.target.plant(card, &trial.points[0]).await;
    }
    let found: BTreeSet<_> = trial.listed().await?.into_keys().collect();
    ensure!(found == planted, "of {} cards found {}", planted.len(), found.len());
    Ok(())
}

async fn an_orphan_is_revoked_without_a_version(trial: &Trial<'_>) -> Verdict {
    let orphan = trial.credential(1);
    trial.target.plant(&orphan.card, &trial.points[0]).await;
    trial.connector.revoke(&orphan.card, None).await?;
    orphan.is_absent().await?;
    ensure!(!trial.opens(&orphan.card, 0).await, "the door opened after the revocation");
    Ok(())
}

async fn a_foreign_sweep_cursor_is_refused(trial: &Trial<'_>) -> Verdict {
    let page = trial.connector.list(Some(&ListCursor("conformance".into()))).await;
    ensure!(page == Err(ConnectorError::Refused(Refusal::Cursor)), "gave {page:?}");
    Ok(())
}

async fn a_healthy_system_answers_in_every_part(trial: &Trial<'_>) -> Verdict {
    let health = trial.connector.health().await;
    let named: BTreeSet<_> = health.units.iter().flat_map(|unit| &unit.access_points).collect();
    ensure!(named == trial.points.iter().collect(), "health is about {named:?}");
    for unit in &health.units {
        ensure!(unit.unreachable.is_none(), "{unit:?}");
        ensure!(unit.firmware.is_some(), "no version of {}", unit.unit);
    }
    Ok(())
}
