//! The suite can fail: connectors with one flaw each, and the rule that finds it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use async_trait::async_trait;
use bridge::card::Card;
use bridge::conformance::{ConformanceTarget, Fault, run_only};
use bridge::connector::{
    Accepted, AccessPointAddress, Connector, ConnectorError, Descriptor, DesiredCredential, EventCursor,
    EventPage, Health, ListCursor, ListPage, ReadBack, Reading, Refusal, Unit, Version, Want,
};
use tokio::sync::Mutex;

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
    SilenceOfAPartIsAbsence,
    LateRepliesPass,
    RefusalsAreHidden,
    RevocationsWait,
    ValidityIsDropped,
    AcceptanceIsAssumed,
    HealthForgetsAPart,
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
    read_failed: AtomicBool,
    lane: Mutex<()>,
}

impl Flawed {
    fn new(good: Arc<dyn Connector>, flaw: Flaw) -> Self {
        Self {
            good,
            flaw,
            readings: AtomicU32::new(0),
            read_failed: AtomicBool::new(false),
            lane: Mutex::new(()),
        }
    }

    fn everywhere(&self) -> Accepted {
        self.good.access_points().into_iter().collect()
    }

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

    fn units(&self) -> BTreeMap<AccessPointAddress, Unit> {
        self.good.units()
    }

    fn check(&self, desired: &DesiredCredential) -> Result<(), Refusal> {
        if self.has(Flaw::CheckIsBlind) { Ok(()) } else { self.good.check(desired) }
    }

    async fn apply(&self, desired: &DesiredCredential) -> Result<Accepted, ConnectorError> {
        let mut desired = desired.clone();
        let _lane = self.lane.lock().await;
        match (self.flaw, &mut desired.want) {
            (Flaw::NumbersAreNotCompared, _) => desired.version.number = i64::MAX - 1,
            (Flaw::GrantIsOnlyPromised, _) => return Ok(self.everywhere()),
            (Flaw::OneAccessPointIsForgotten, Want::Present(rights)) if rights.access.len() > 1 => {
                rights.access.pop_last();
            }
            (Flaw::ValidityIsDropped, Want::Present(rights)) => {
                (rights.valid_from, rights.valid_to) = (None, None);
            }
            _ => {}
        }
        match self.good.apply(&desired).await {
            Err(ConnectorError::Refused(Refusal::NotStored { .. })) if self.has(Flaw::RefusalsAreHidden) => {
                Ok(self.everywhere())
            }
            applied => applied,
        }
    }

    async fn revoke(&self, card: &Card, version: Option<Version>) -> Result<Accepted, ConnectorError> {
        let _lane = if self.has(Flaw::RevocationsWait) { Some(self.lane.lock().await) } else { None };
        match self.flaw {
            Flaw::RevocationIsOnlyPromised => Ok(self.everywhere()),
            Flaw::NumbersAreNotCompared => self.good.revoke(card, None).await,
            Flaw::AcceptanceIsAssumed => self.good.revoke(card, version).await.map(|_| self.everywhere()),
            _ => self.good.revoke(card, version).await,
        }
    }

    async fn read_back(&self, card: &Card) -> Result<ReadBack, ConnectorError> {
        let absent = || {
            let points = self.access_points().into_iter().map(|point| (point, Reading::Absent)).collect();
            ReadBack { points, ..ReadBack::default() }
        };
        let read = self.good.read_back(card).await;
        let failed_before = self.read_failed.swap(read.is_err(), Ordering::SeqCst);
        match (self.flaw, read) {
            (Flaw::ReadBackIsWhatWasAsked, _) => Ok(absent()),
            (Flaw::LateRepliesPass, Ok(_)) if failed_before => Ok(absent()),
            (Flaw::SilenceIsAbsence, Err(_)) => Ok(absent()),
            (Flaw::SilenceIsForEver, Err(_)) => std::future::pending().await,
            (Flaw::SilenceOfAPartIsAbsence, Ok(mut read)) => {
                let unread = read.points.values_mut().filter(|reading| matches!(reading, Reading::Unread(_)));
                unread.for_each(|reading| *reading = Reading::Absent);
                Ok(read)
            }
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
        let begins_anew = [Flaw::EventsBeginAnew, Flaw::CursorsAreNotChecked].contains(&self.flaw);
        let cursor = cursor.filter(|_| !begins_anew);
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
        let mut health = self.good.health().await;
        if self.has(Flaw::HealthForgetsAPart) {
            health.units.pop();
        }
        health
    }
}

struct Spoilt {
    building: Building,
    flaw: Flaw,
}

#[async_trait]
impl ConformanceTarget for Spoilt {
    fn connector(&self) -> Arc<dyn Connector> {
        Arc::new(Flawed::new(self.building.connector(), self.flaw))
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
    async fn fault_at(&self, at: &AccessPointAddress, fault: Fault) {
        self.building.fault_at(at, fault).await;
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
        (Flaw::NumbersAreNotCompared, "a_revocation_beats_a_grant_that_is_under_way"),
        (Flaw::RevocationIsOnlyPromised, "two_cards_do_not_disturb_each_other"),
        (Flaw::RevocationIsOnlyPromised, "a_system_that_comes_back_is_served"),
        (Flaw::GrantIsOnlyPromised, "a_restart_forgets_versions"),
        (Flaw::ValidityIsDropped, "validity_reads_back"),
        (Flaw::SilenceOfAPartIsAbsence, "a_part_out_of_reach_leaves_the_others_served_and_is_named"),
        (Flaw::LateRepliesPass, "a_late_reply_never_passes_for_a_newer_one"),
        (Flaw::RefusalsAreHidden, "a_refused_write_is_refused"),
        (Flaw::RevocationsWait, "a_revocation_never_waits_for_a_grant"),
        (Flaw::AcceptanceIsAssumed, "acceptance_is_what_a_part_said_and_no_more"),
        (Flaw::HealthForgetsAPart, "a_healthy_system_answers_in_every_part"),
        (Flaw::CheckIsBlind, "an_unknown_access_point_is_refused_and_nothing_is_sent"),
        (Flaw::CheckIsBlind, "impossible_dates_are_refused_and_nothing_is_sent"),
        (Flaw::EventsSkipOne, "a_long_log_is_read_to_its_end_in_order"),
        (Flaw::CursorsAreNotChecked, "a_foreign_event_cursor_is_refused"),
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
