//! The suite can fail: connectors with one flaw each, and the rule that finds it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use bridge::card::Card;
use bridge::conformance::{ConformanceTarget, Fault, run_only};
use bridge::connector::{
    AccessPointAddress, AckLevel, Connector, ConnectorError, Descriptor, DesiredCredential, EventCursor,
    EventPage, Health, ListCursor, ListPage, ReadBack, Reading, Refusal, Version, Want,
};

use crate::building::Building;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    NumbersAreNotCompared,
    RevocationIsOnlyPromised,
    GrantIsOnlyPromised,
    OneAccessPointIsForgotten,
    ReadBackIsWhatWasAsked,
    SilenceIsAbsence,
    SilenceIsForEver,
    AcceptanceIsCalledProof,
    CheckIsBlind,
    SweepEndsAfterAPage,
    SweepIsBlind,
    EventsBeginAnew,
    EventsSkipOne,
    EventIdsChange,
    HintsAreNotGiven,
    CursorsAreNotChecked,
}

/// A good connector, spoilt.
#[derive(Debug)]
struct Flawed {
    good: Arc<dyn Connector>,
    flaw: Flaw,
    readings: AtomicU32,
}

impl Flawed {
    fn has(&self, flaw: Flaw) -> bool {
        self.flaw == flaw
    }
}

#[async_trait]
impl Connector for Flawed {
    fn descriptor(&self) -> &Descriptor {
        self.good.descriptor()
    }

    fn access_points(&self) -> Vec<AccessPointAddress> {
        self.good.access_points()
    }

    fn check(&self, desired: &DesiredCredential) -> Result<(), Refusal> {
        if self.has(Flaw::CheckIsBlind) { Ok(()) } else { self.good.check(desired) }
    }

    async fn apply(&self, desired: &DesiredCredential) -> Result<AckLevel, ConnectorError> {
        let mut desired = desired.clone();
        match self.flaw {
            Flaw::NumbersAreNotCompared => desired.version.number = i64::MAX - 1,
            Flaw::GrantIsOnlyPromised => return Ok(AckLevel::Accepted),
            Flaw::OneAccessPointIsForgotten => {
                if let Want::Present(rights) = &mut desired.want
                    && rights.access.len() > 1
                {
                    rights.access.pop_last();
                }
            }
            _ => {}
        }
        let accepted = self.good.apply(&desired).await?;
        Ok(if self.has(Flaw::AcceptanceIsCalledProof) { AckLevel::ReadBack } else { accepted })
    }

    async fn revoke(&self, card: &Card, version: Option<Version>) -> Result<AckLevel, ConnectorError> {
        match self.flaw {
            Flaw::RevocationIsOnlyPromised => Ok(AckLevel::Accepted),
            Flaw::NumbersAreNotCompared => self.good.revoke(card, None).await,
            _ => self.good.revoke(card, version).await,
        }
    }

    async fn read_back(&self, card: &Card) -> Result<ReadBack, ConnectorError> {
        let absent = || {
            let points = self.access_points().into_iter().map(|point| (point, Reading::Absent)).collect();
            ReadBack { points, ..ReadBack::default() }
        };
        match (self.flaw, self.good.read_back(card).await) {
            (Flaw::ReadBackIsWhatWasAsked, _) => Ok(absent()),
            (Flaw::SilenceIsAbsence, Err(_)) => Ok(absent()),
            (Flaw::SilenceIsForEver, Err(_)) => std::future::pending().await,
            (_, read) => read,
        }
    }

    async fn list(&self, cursor: Option<&ListCursor>) -> Result<ListPage, ConnectorError> {
        let cursor = cursor.filter(|_| !self.has(Flaw::CursorsAreNotChecked));
        let page = self.good.list(cursor).await?;
        match self.flaw {
            Flaw::SweepIsBlind => Ok(ListPage::default()),
            Flaw::SweepEndsAfterAPage => Ok(ListPage { next: None, ..page }),
            _ => Ok(page),
        }
    }

    async fn events(&self, cursor: Option<&EventCursor>) -> Result<EventPage, ConnectorError> {
        let cursor = cursor.filter(|_| !self.has(Flaw::EventsBeginAnew));
        let mut page = self.good.events(cursor).await?;
        match self.flaw {
            Flaw::EventsSkipOne => page.events.truncate(page.events.len().saturating_sub(1)),
            Flaw::EventIdsChange => {
                let reading = self.readings.fetch_add(1, Ordering::SeqCst);
                page.events.iter_mut().for_each(|event| event.id = format!("{}/{reading}", event.id));
            }
            _ => {}
        }
        Ok(page)
    }

    async fn hinted(&self) {
        if self.has(Flaw::HintsAreNotGiven) { std::future::pending().await } else { self.good.hinted().await }
    }

    async fn health(&self) -> Health {
        self.good.health().await
    }
}

struct Spoilt {
    building: Building,
    flaw: Flaw,
}

#[async_trait]
impl ConformanceTarget for Spoilt {
    fn connector(&self) -> Arc<dyn Connector> {
        Arc::new(Flawed { good: self.building.connector(), flaw: self.flaw, readings: AtomicU32::new(0) })
    }
    fn card(&self, n: u16) -> Card {
        self.building.card(n)
    }
    fn unholdable(&self) -> Card {
        self.building.unholdable()
    }
    async fn reset(&self) {
        self.building.reset().await;
    }
    async fn swipe(&self, card: &Card, at: &AccessPointAddress) -> bool {
        self.building.swipe(card, at).await
    }
    async fn plant(&self, card: &Card, at: &AccessPointAddress) {
        self.building.plant(card, at).await;
    }
    async fn uproot(&self, card: &Card) {
        self.building.uproot(card).await;
    }
    async fn fault(&self, fault: Fault) {
        self.building.fault(fault).await;
    }
    async fn requests(&self) -> usize {
        self.building.requests().await
    }
}

#[tokio::test]
async fn each_flaw_is_found_by_its_rule() {
    let flaws = [
        (Flaw::NumbersAreNotCompared, "a_late_grant_is_refused"),
        (Flaw::NumbersAreNotCompared, "a_late_revocation_is_refused"),
        (Flaw::RevocationIsOnlyPromised, "a_revoked_card_opens_nothing"),
        (Flaw::RevocationIsOnlyPromised, "an_orphan_is_revoked_without_a_version"),
        (Flaw::GrantIsOnlyPromised, "a_grant_opens_its_doors_and_no_other"),
        (Flaw::OneAccessPointIsForgotten, "rights_change_as_a_whole"),
        (Flaw::ReadBackIsWhatWasAsked, "read_back_is_what_the_system_holds_and_not_what_we_asked"),
        (Flaw::ReadBackIsWhatWasAsked, "a_system_that_lies_is_found_out"),
        (Flaw::SilenceIsAbsence, "silence_is_unreachable_within_the_limit"),
        (Flaw::SilenceIsForEver, "nonsense_is_reported_as_such"),
        (Flaw::AcceptanceIsCalledProof, "no_verb_claims_more_than_acceptance"),
        (Flaw::CheckIsBlind, "a_card_that_cannot_be_held_is_refused_and_nothing_is_sent"),
        (Flaw::SweepEndsAfterAPage, "the_sweep_reaches_the_end_of_a_long_list"),
        (Flaw::SweepIsBlind, "the_sweep_finds_what_somebody_else_put"),
        (Flaw::EventsBeginAnew, "the_feed_resumes_without_loss_or_double"),
        (Flaw::EventsSkipOne, "a_denial_after_a_revocation_is_seen_with_its_card"),
        (Flaw::EventIdsChange, "the_feed_repeats_with_the_same_ids"),
        (Flaw::HintsAreNotGiven, "a_hint_says_look_now"),
        (Flaw::CursorsAreNotChecked, "a_foreign_sweep_cursor_is_refused"),
    ];
    let tried = flaws.map(|(flaw, rule)| {
        tokio::spawn(async move {
            let spoilt = Spoilt { building: Building::open().await, flaw };
            assert!(run_only(&spoilt, rule).await.is_some(), "{flaw:?} got past {rule}");
        })
    });
    for tried in tried {
        tried.await.expect("every flaw is found");
    }
}
