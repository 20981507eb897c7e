//! Rules of the event feed.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Because, Trial, Verdict, ensure, rules};
use crate::card::Card;
use crate::connector::{ConnectorError, DoorEvent, EventCursor, EventKind, Refusal};

rules![
    a_denial_after_a_revocation_is_seen_with_its_card,
    the_feed_resumes_without_loss_or_double,
    the_feed_repeats_with_the_same_ids,
    a_long_log_is_read_to_its_end_in_order,
    a_foreign_event_cursor_is_refused,
    a_hint_says_look_now,
];

async fn a_denial_after_a_revocation_is_seen_with_its_card(trial: &Trial<'_>) -> Verdict {
    let wish = trial.credential(1);
    let (_, start) = read_on(trial, None).await?;
    wish.grant(1, &[0]).await?;
    ensure!(trial.opens(&wish.card, 0).await, "the granted door stayed shut");
    wish.revoke(2).await?;
    ensure!(!trial.opens(&wish.card, 0).await, "the door opened after the revocation");
    let (events, _) = read_on(trial, Some(start)).await?;
    let swipes: Vec<_> = events.iter().filter(|event| event.card == Some(wish.card)).collect();
    let [granted, denied] = swipes[..] else {
        return Err(Because(format!("expected a grant and a denial, got {events:?}")));
    };
    ensure!(granted.kind == EventKind::AccessGranted, "{granted:?}");
    ensure!(matches!(denied.kind, EventKind::Denied(_)), "{denied:?}");
    for event in [granted, denied] {
        ensure!(event.access_point.as_ref() == Some(&trial.points[0]), "{event:?}");
        ensure!(event.at.is_some(), "{event:?}");
    }
    Ok(())
}

async fn the_feed_resumes_without_loss_or_double(trial: &Trial<'_>) -> Verdict {
    let (_, start) = read_on(trial, None).await?;
    let first = swipe(trial, 1..=5).await;
    let (heard, cursor) = read_on(trial, Some(start)).await?;
    ensure!(cards(&heard) == first, "of {first:?} heard {:?}", cards(&heard));
    let second = swipe(trial, 6..=8).await;
    // The cursor is all that a restarted process has.
    let restarted = Trial::new(trial.target);
    let (heard, cursor) = read_on(&restarted, Some(cursor)).await?;
    ensure!(cards(&heard) == second, "of {second:?} heard {:?}", cards(&heard));
    let (heard, _) = read_on(&restarted, Some(cursor)).await?;
    ensure!(heard.is_empty(), "heard again {heard:?}");
    Ok(())
}

async fn the_feed_repeats_with_the_same_ids(trial: &Trial<'_>) -> Verdict {
    let (_, start) = read_on(trial, None).await?;
    swipe(trial, 1..=5).await;
    let (once, _) = read_on(trial, Some(start.clone())).await?;
    let (again, _) = read_on(trial, Some(start)).await?;
    ensure!(once == again, "first {once:?}, then {again:?}");
    let ids: BTreeSet<_> = once.iter().map(|event| &event.id).collect();
    ensure!(ids.len() == once.len(), "ids are not unique: {ids:?}");
    Ok(())
}

async fn a_long_log_is_read_to_its_end_in_order(trial: &Trial<'_>) -> Verdict {
    let (_, start) = read_on(trial, None).await?;
    let shown = swipe(trial, 1..=200).await;
    let (heard, _) = read_on(trial, Some(start)).await?;
    ensure!(cards(&heard) == shown, "of {} events heard {}, or in another order", shown.len(), heard.len());
    Ok(())
}

async fn a_foreign_event_cursor_is_refused(trial: &Trial<'_>) -> Verdict {
    let page = trial.connector.events(Some(&EventCursor("conformance".into()))).await;
    ensure!(page == Err(ConnectorError::Refused(Refusal::Cursor)), "gave {page:?}");
    Ok(())
}

/// Where the system can push: a swipe is hinted at. Hints may be lost, so the swipe is repeated.
async fn a_hint_says_look_now(trial: &Trial<'_>) -> Verdict {
    if !trial.connector.descriptor().events.push {
        return Ok(());
    }
    let hinted = trial.connector.hinted();
    tokio::pin!(hinted);
    for _ in 0..30 {
        trial.opens(&trial.target.card(1), 0).await;
        if tokio::time::timeout(Duration::from_millis(100), &mut hinted).await.is_ok() {
            return Ok(());
        }
    }
    Err(Because("30 swipes and no hint".into()))
}

/// Shows cards at the first access point, one after the other.
async fn swipe(trial: &Trial<'_>, n: std::ops::RangeInclusive<u16>) -> Vec<Card> {
    let shown: Vec<Card> = n.map(|n| trial.target.card(n)).collect();
    for card in &shown {
        trial.opens(card, 0).await;
    }
    shown
}

fn cards(events: &[DoorEvent]) -> Vec<Card> {
    events.iter().filter_map(|event| event.card).collect()
}

/// Reads to the end of the log.
async fn read_on(
    trial: &Trial<'_>,
    mut cursor: Option<EventCursor>,
) -> Result<(Vec<DoorEvent>, EventCursor), Because> {
    let mut events = Vec::new();
    loop {
        let page = trial.connector.events(cursor.as_ref()).await?;
        ensure!(page.gaps.is_empty() && page.unread.is_empty(), "{page:?}");
        ensure!(!page.more || !page.events.is_empty(), "promises more and brings nothing: {page:?}");
        events.extend(page.events);
        if !page.more {
            return Ok((events, page.next));
        }
        cursor = Some(page.next);
    }
}
