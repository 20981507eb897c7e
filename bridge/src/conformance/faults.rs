//! Rules of bad days: silence, loss, doubling, delay, nonsense, lies.

use std::time::Duration;

use super::{Fault, Trial, Verdict, ensure, rules};
use crate::connector::{ConnectorError, Refusal};

rules![
    silence_is_unreachable_within_the_limit,
    a_system_that_comes_back_is_served,
    a_lost_reply_is_asked_for_again,
    doubled_replies_change_nothing,
    slow_replies_are_waited_for,
    a_late_reply_never_passes_for_a_newer_one,
    nonsense_is_reported_as_such,
    a_refused_write_is_refused,
    a_system_that_lies_is_found_out,
    a_part_out_of_reach_leaves_the_others_served_and_is_named,
    a_revocation_never_waits_for_a_grant,
    a_revocation_beats_a_grant_that_is_under_way,
    a_grant_given_up_half_way_does_no_harm,
];

/// Runs a verb that must end within the connector's own limit, with some air for a busy machine.
async fn in_time<T>(trial: &Trial<'_>, verb: impl Future<Output = T>) -> Result<T, super::Because> {
    let limit = trial.connector.descriptor().verb_limit + Duration::from_secs(5);
    Ok(tokio::time::timeout(limit, verb).await?)
}

async fn silence_is_unreachable_within_the_limit(trial: &Trial<'_>) -> Verdict {
    let wish = trial.credential(1);
    trial.target.fault(Fault::Silent).await;
    let unreachable = |error: &ConnectorError| {
        let mut missing = error.missing().to_vec();
        missing.sort();
        let mut points = trial.points.clone();
        points.sort();
        matches!(error, ConnectorError::Unreachable { .. }) && missing == points && error.is_passing()
    };
    let applied = in_time(trial, wish.grant(1, &[0, 1])).await?;
    ensure!(applied.as_ref().is_err_and(unreachable), "apply gave {applied:?}");
    let revoked = in_time(trial, wish.revoke(2)).await?;
    ensure!(revoked.as_ref().is_err_and(unreachable), "revoke gave {revoked:?}");
    let read = in_time(trial, wish.read_back()).await?;
    ensure!(read.as_ref().is_err_and(unreachable), "read_back gave {read:?}");
    let listed = in_time(trial, trial.connector.list(None)).await?;
    ensure!(listed.as_ref().is_err_and(unreachable), "list gave {listed:?}");
    let events = in_time(trial, trial.connector.events(None)).await?;
    ensure!(events.as_ref().is_err_and(unreachable), "events gave {events:?}");
    let health = in_time(trial, trial.connector.health()).await?;
    ensure!(health.units.iter().all(|unit| unit.unreachable.is_some()), "health gave {health:?}");
    Ok(())
}

async fn a_system_that_comes_back_is_served(trial: &Trial<'_>) -> Verdict {
    let wish = trial.credential(1);
    wish.grant(1, &[0]).await?;
    trial.target.fault(Fault::Silent).await;
    ensure!(wish.revoke(2).await.is_err(), "a revocation succeeded in silence");
    trial.target.fault(Fault::None).await;
    wish.is_opening(&[0]).await?;
    // The same version again: the caller's retry.
    wish.revoke(2).await?;
    wish.is_absent().await
}

async fn a_lost_reply_is_asked_for_again(trial: &Trial<'_>) -> Verdict {
    let wish = trial.credential(1);
    trial.target.fault(Fault::LoseOneReply).await;
    wish.grant(1, &[0]).await?;
    trial.target.fault(Fault::LoseOneReply).await;
    wish.is_opening(&[0]).await?;
    trial.target.fault(Fault::LoseOneReply).await;
    wish.revoke(2).await?;
    wish.is_absent().await
}

async fn doubled_replies_change_nothing(trial: &Trial<'_>) -> Verdict {
    trial.target.fault(Fault::DoubleReplies).await;
    let [one, other] = [1, 2].map(|n| trial.credential(n));
    for number in [1, 3, 5] {
        one.grant(number, &[0]).await?;
        other.is_absent().await?;
        one.is_opening(&[0]).await?;
        other.grant(number, &[1]).await?;
        one.revoke(number + 1).await?;
        one.is_absent().await?;
        other.is_opening(&[1]).await?;
        other.revoke(number + 1).await?;
        other.is_absent().await?;
    }
    Ok(())
}

async fn slow_replies_are_waited_for(trial: &Trial<'_>) -> Verdict {
    let wish = trial.credential(1);
    trial.target.fault(Fault::SlowReplies).await;
    wish.grant(1, &[0]).await?;
    wish.is_opening(&[0]).await?;
    wish.revoke(2).await?;
    wish.is_absent().await
}

async fn a_late_reply_never_passes_for_a_newer_one(trial: &Trial<'_>) -> Verdict {
    let wish = trial.credential(1);
    trial.target.fault(Fault::LateReplies).await;
    let read = wish.read_back().await;
    ensure!(read.as_ref().is_err_and(ConnectorError::is_passing), "a reply in time: {read:?}");
    trial.target.fault(Fault::None).await;
    wish.grant(1, &[0]).await?;
    // "Absent" is still on its way from before the grant.
    for _ in 0..20 {
        wish.is_opening(&[0]).await?;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

async fn nonsense_is_reported_as_such(trial: &Trial<'_>) -> Verdict {
    let wish = trial.credential(1);
    trial.target.fault(Fault::Garbage).await;
    let protocol =
        |error: &ConnectorError| matches!(error, ConnectorError::Protocol { .. }) && error.is_passing();
    let applied = in_time(trial, wish.grant(1, &[0])).await?;
    ensure!(applied.as_ref().is_err_and(protocol), "apply gave {applied:?}");
    let revoked = in_time(trial, wish.revoke(2)).await?;
    ensure!(revoked.as_ref().is_err_and(protocol), "revoke gave {revoked:?}");
    let read = in_time(trial, wish.read_back()).await?;
    ensure!(read.as_ref().is_err_and(protocol), "read_back gave {read:?}");
    trial.target.fault(Fault::None).await;
    wish.revoke(2).await?;
    wish.is_absent().await
}

async fn a_refused_write_is_refused(trial: &Trial<'_>) -> Verdict {
    let wish = trial.credential(1);
    trial.target.fault(Fault::RefuseWrites).await;
    let refused = wish.grant(1, &[0]).await;
    ensure!(matches!(refused, Err(ConnectorError::Refused(Refusal::NotStored { .. }))), "gave {refused:?}");
    trial.target.fault(Fault::None).await;
    wish.is_absent().await?;
    wish.grant(1, &[0]).await?;
    wish.is_opening(&[0]).await
}

async fn a_system_that_lies_is_found_out(trial: &Trial<'_>) -> Verdict {
    let [granted, revoked] = [1, 2].map(|n| trial.credential(n));
    revoked.grant(1, &[0]).await?;
    trial.target.fault(Fault::ForgetWrites).await;
    granted.grant(1, &[0]).await?;
    revoked.revoke(2).await?;
    let (never, still) = (granted.read_back().await?, revoked.read_back().await?);
    ensure!(!never.meets(&granted.opening(&[0])), "a grant that was forgotten read back as done: {never:?}");
    ensure!(!still.is_absent(), "a revocation that was forgotten read back as done: {still:?}");
    Ok(())
}

/// A system of one part has none that could be out of reach alone.
async fn a_part_out_of_reach_leaves_the_others_served_and_is_named(trial: &Trial<'_>) -> Verdict {
    let units = trial.connector.health().await.units;
    let [near, .., far] = &units[..] else { return Ok(()) };
    let (near, far) = (&near.access_points[0], &far.access_points);
    let (wish, at) = (trial.credential(1), |point| trial.points.iter().position(|known| known == point));
    let (Some(near), Some(away)) = (at(near), at(&far[0])) else {
        return Err(super::Because("health names unknown access points".into()));
    };
    wish.grant(1, &[near, away]).await?;
    trial.target.fault_at(&trial.points[away], Fault::Silent).await;
    let revoked = wish.revoke(2).await;
    let named = |error: &ConnectorError| error.missing() == *far && error.is_passing();
    ensure!(revoked.as_ref().is_err_and(named), "revoke gave {revoked:?}");
    ensure!(!trial.opens(&wish.card, near).await, "the reachable door still opens");
    ensure!(trial.opens(&wish.card, away).await, "the target's other door does not open: it tries nothing");
    let seen = wish.read_back().await?;
    ensure!(seen.unread().collect::<Vec<_>>() == far.iter().collect::<Vec<_>>(), "read back {seen:?}");
    ensure!(!seen.is_absent(), "absence is claimed for what was not read: {seen:?}");
    let (listed, events) = (trial.connector.list(None).await?, trial.connector.events(None).await?);
    ensure!(listed.unread == *far, "list {listed:?}");
    ensure!(events.unread.keys().eq(far), "events {events:?}");
    ensure!(events.unread.values().all(|because| !because.is_empty()), "nobody learns why: {events:?}");
    trial.target.fault(Fault::None).await;
    wish.revoke(2).await?;
    wish.is_absent().await
}

async fn a_revocation_never_waits_for_a_grant(trial: &Trial<'_>) -> Verdict {
    let [leaver, joiner] = [1, 2].map(|n| trial.credential(n));
    leaver.grant(1, &[0]).await?;
    let before = trial.target.requests().await;
    // The grant waits for a reply that never comes, and then asks again.
    trial.target.fault(Fault::LoseOneReply).await;
    let revocation = async {
        while trial.target.requests().await == before {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        leaver.revoke(2).await?;
        leaver.is_absent().await
    };
    let grant = joiner.grant(1, &[0]);
    tokio::pin!(grant);
    tokio::select! {
        biased;
        revoked = revocation => revoked?,
        granted = &mut grant => return Err(super::Because(format!("the revocation waited for a grant: {granted:?}"))),
    }
    Ok(grant.await?)
}

async fn a_revocation_beats_a_grant_that_is_under_way(trial: &Trial<'_>) -> Verdict {
    for n in 1..=10 {
        let wish = trial.credential(n);
        trial.target.fault(if n % 2 == 0 { Fault::SlowReplies } else { Fault::LoseOneReply }).await;
        let (granted, revoked) = tokio::join!(biased; wish.grant(1, &[0, 1]), wish.revoke(2));
        revoked?;
        ensure!(
            granted == Err(ConnectorError::Superseded { highest: 2 }),
            "the grant gave {granted:?} although a revocation overtook it"
        );
        wish.is_absent().await?;
        ensure!(!trial.opens(&wish.card, 0).await, "the door opened after the revocation");
    }
    Ok(())
}

async fn a_grant_given_up_half_way_does_no_harm(trial: &Trial<'_>) -> Verdict {
    let wish = trial.credential(1);
    trial.target.fault(Fault::SlowReplies).await;
    let given_up = tokio::time::timeout(Duration::from_millis(1), wish.grant(1, &[0])).await;
    ensure!(given_up.is_err(), "a slow system answered within 1 ms: {given_up:?}");
    trial.target.fault(Fault::None).await;
    wish.revoke(2).await?;
    wish.is_absent().await?;
    let other = trial.credential(2);
    other.grant(1, &[0]).await?;
    other.is_opening(&[0]).await
}
