//! Rules of granting and revoking.

use std::collections::BTreeSet;

use jiff::civil::date;

use super::{Trial, Verdict, ensure, rules};
use crate::connector::{Access, AccessPointAddress, ConnectorError, DesiredCredential, Rights, Want};

rules![
    a_grant_opens_its_doors_and_no_other,
    applying_twice_is_applying_once,
    rights_change_as_a_whole,
    validity_reads_back,
    wanting_absence_is_revoking,
    a_revoked_card_opens_nothing,
    revoking_what_is_absent_succeeds,
    two_cards_do_not_disturb_each_other,
    a_late_grant_is_refused,
    a_late_revocation_is_refused,
    a_restart_forgets_versions,
    a_card_that_cannot_be_held_is_refused_and_nothing_is_sent,
    an_unknown_access_point_is_refused_and_nothing_is_sent,
    impossible_dates_are_refused_and_nothing_is_sent,
    acceptance_is_what_a_part_said_and_no_more,
];

async fn a_grant_opens_its_doors_and_no_other(trial: &Trial<'_>) -> Verdict {
    let wish = trial.credential(1);
    ensure!(!trial.opens(&wish.card, 0).await, "the door opened before the grant");
    wish.grant(1, &[0]).await?;
    wish.is_opening(&[0]).await?;
    ensure!(trial.opens(&wish.card, 0).await, "the granted door stayed shut");
    ensure!(!trial.opens(&wish.card, 1).await, "a door opened that was not granted");
    Ok(())
}

async fn applying_twice_is_applying_once(trial: &Trial<'_>) -> Verdict {
    let wish = trial.credential(1);
    wish.grant(1, &[0, 1]).await?;
    let once = (wish.read_back().await?, trial.listed().await?);
    wish.grant(1, &[0, 1]).await?;
    let twice = (wish.read_back().await?, trial.listed().await?);
    ensure!(once == twice, "once {once:?}, twice {twice:?}");
    Ok(())
}

async fn rights_change_as_a_whole(trial: &Trial<'_>) -> Verdict {
    let wish = trial.credential(1);
    for (number, at) in [(1, &[0][..]), (2, &[0, 1]), (3, &[1]), (4, &[]), (5, &[0])] {
        wish.grant(number, at).await?;
        let seen = wish.read_back().await?;
        ensure!(seen.meets(&wish.opening(at)), "version {number}: read back {seen:?}");
        for door in [0, 1] {
            let opens = trial.opens(&wish.card, door).await;
            ensure!(opens == at.contains(&door), "version {number}: door {door} opens: {opens}");
        }
    }
    Ok(())
}

async fn validity_reads_back(trial: &Trial<'_>) -> Verdict {
    let wish = trial.credential(1);
    let day = date(2026, 3, 29);
    for (number, (valid_from, valid_to)) in
        (1..).zip([(Some(day), None), (None, Some(day)), (Some(day), Some(day)), (None, None)])
    {
        let access = [(trial.points[0].clone(), Access::Always)].into();
        let desired = wish.desired(number, Want::Present(Rights { access, valid_from, valid_to }));
        trial.connector.apply(&desired).await?;
        let seen = wish.read_back().await?;
        ensure!(seen.meets(&desired.want), "wanted {:?}, read back {seen:?}", desired.want);
    }
    Ok(())
}

async fn wanting_absence_is_revoking(trial: &Trial<'_>) -> Verdict {
    let wish = trial.credential(1);
    wish.grant(1, &[0, 1]).await?;
    trial.connector.apply(&wish.desired(2, Want::Absent)).await?;
    wish.is_absent().await?;
    let late = wish.grant(2, &[0]).await;
    ensure!(late == Err(ConnectorError::Superseded { highest: 2 }), "the late grant gave {late:?}");
    Ok(())
}

async fn a_revoked_card_opens_nothing(trial: &Trial<'_>) -> Verdict {
    let wish = trial.credential(1);
    wish.grant(1, &[0, 1]).await?;
    ensure!(trial.opens(&wish.card, 0).await, "the granted door stayed shut");
    wish.revoke(2).await?;
    wish.is_absent().await?;
    for door in [0, 1] {
        ensure!(!trial.opens(&wish.card, door).await, "door {door} opened after the revocation");
    }
    let listed = trial.listed().await?;
    ensure!(!listed.contains_key(&wish.card), "the sweep still finds {listed:?}");
    Ok(())
}

async fn revoking_what_is_absent_succeeds(trial: &Trial<'_>) -> Verdict {
    let wish = trial.credential(1);
    for number in [1, 1, 2] {
        wish.revoke(number).await?;
        wish.is_absent().await?;
    }
    Ok(())
}

async fn two_cards_do_not_disturb_each_other(trial: &Trial<'_>) -> Verdict {
    let [one, other] = [1, 2].map(|n| trial.credential(n));
    one.grant(1, &[0]).await?;
    other.grant(1, &[1]).await?;
    one.is_opening(&[0]).await?;
    other.is_opening(&[1]).await?;
    one.revoke(2).await?;
    one.is_absent().await?;
    other.is_opening(&[1]).await?;
    ensure!(trial.opens(&other.card, 1).await, "revoking one card shut out another");
    Ok(())
}

async fn a_late_grant_is_refused(trial: &Trial<'_>) -> Verdict {
    let wish = trial.credential(1);
    wish.grant(1, &[0]).await?;
    wish.revoke(5).await?;
    let before = trial.target.requests().await;
    for number in [1, 4, 5] {
        let late = wish.grant(number, &[0]).await;
        ensure!(late == Err(ConnectorError::Superseded { highest: 5 }), "grant {number} gave {late:?}");
    }
    ensure!(trial.target.requests().await == before, "a late grant was sent");
    wish.is_absent().await?;
    wish.grant(6, &[0]).await?;
    wish.is_opening(&[0]).await
}

async fn a_late_revocation_is_refused(trial: &Trial<'_>) -> Verdict {
    let wish = trial.credential(1);
    wish.grant(6, &[0]).await?;
    let late = wish.revoke(5).await;
    ensure!(late == Err(ConnectorError::Superseded { highest: 6 }), "revocation 5 gave {late:?}");
    wish.is_opening(&[0]).await?;
    wish.revoke(6).await?;
    wish.is_absent().await
}

async fn a_restart_forgets_versions(trial: &Trial<'_>) -> Verdict {
    let wish = trial.credential(1);
    wish.revoke(9).await?;
    // The durable version is the caller's: it may have come from a backup, or another node.
    trial.target.connector().apply(&wish.desired(1, wish.opening(&[0]))).await?;
    wish.is_opening(&[0]).await
}

async fn a_card_that_cannot_be_held_is_refused_and_nothing_is_sent(trial: &Trial<'_>) -> Verdict {
    let mut wish = trial.credential(1);
    wish.card = trial.target.unholdable();
    is_refused(trial, &wish.desired(1, wish.opening(&[0])), "card_does_not_fit").await?;
    // It cannot be there: revoking it is done, and it reads back absent.
    let before = trial.target.requests().await;
    wish.revoke(2).await?;
    wish.is_absent().await?;
    ensure!(trial.target.requests().await == before, "something was sent");
    Ok(())
}

async fn an_unknown_access_point_is_refused_and_nothing_is_sent(trial: &Trial<'_>) -> Verdict {
    let nowhere = AccessPointAddress("conformance/nowhere".into());
    let access = [(trial.points[0].clone(), Access::Always), (nowhere, Access::Always)].into();
    let want = Want::Present(Rights { access, ..Rights::default() });
    is_refused(trial, &trial.credential(1).desired(1, want), "unknown_access_point").await
}

async fn impossible_dates_are_refused_and_nothing_is_sent(trial: &Trial<'_>) -> Verdict {
    let access = [(trial.points[0].clone(), Access::Always)].into();
    let (valid_from, valid_to) = (Some(date(2026, 3, 2)), Some(date(2026, 3, 1)));
    let want = Want::Present(Rights { access, valid_from, valid_to });
    is_refused(trial, &trial.credential(1).desired(1, want), "dates").await
}

/// A part that had nothing to do has not said that it did something.
async fn acceptance_is_what_a_part_said_and_no_more(trial: &Trial<'_>) -> Verdict {
    let wish = trial.credential(1);
    let points = BTreeSet::from_iter(trial.points.iter().cloned());
    let granted = trial.connector.apply(&wish.desired(1, wish.opening(&[0]))).await?;
    ensure!(
        granted.contains(&trial.points[0]) && granted.is_subset(&points),
        "the grant claimed {granted:?}"
    );
    let revoked = trial.connector.revoke(&wish.card, Some(wish.version(2))).await?;
    ensure!(
        revoked.contains(&trial.points[0]) && revoked.is_subset(&points),
        "the revocation claimed {revoked:?}"
    );
    let absent = trial.connector.revoke(&wish.card, Some(wish.version(3))).await?;
    ensure!(absent.is_empty(), "revoking what is absent claimed {absent:?}");
    Ok(())
}

async fn is_refused(trial: &Trial<'_>, desired: &DesiredCredential, code: &str) -> Verdict {
    let before = trial.target.requests().await;
    let checked = trial.connector.check(desired);
    ensure!(checked.as_ref().is_err_and(|refusal| refusal.code() == code), "check gave {checked:?}");
    let applied = trial.connector.apply(desired).await;
    let same = matches!((&applied, &checked), (Err(ConnectorError::Refused(a)), Err(b)) if a == b);
    ensure!(same, "check gave {checked:?}, apply {applied:?}");
    ensure!(trial.target.requests().await == before, "something was sent");
    Ok(())
}
