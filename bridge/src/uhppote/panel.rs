//! One controller: what it is told and what it holds.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddrV4;

use async_trait::async_trait;
use jiff::civil::{Date, DateTime, date};
use jiff::tz::TimeZone;
use tokio::time::{Instant, timeout};

use super::config::ControllerConfig;
use super::events::{self, Position};
use super::message::{
    CardRecord, CountCards, DeleteCard, EventRecord, GetCard, GetCardAt, GetController, GetDoor, GetListener,
    GetStatus, Mode, PutCard, Slot,
};
use super::number;
use super::transport::{Wire, verb_limit};
use crate::card::Card;
use crate::connector::fleet::{Part, Slots, Told};
use crate::connector::lanes::{Lane, Patience, Putting, Stands, Unanswered};
use crate::connector::{
    Access, AccessPointAddress, ConnectorError, Deviation, Finding, Held, Listed, ReadBack, Reading, Refusal,
    Rights, Unit, UnitHealth,
};

/// The days that stand for "no limit": a controller refuses a card without dates.
const FIRST_DAY: Date = date(2000, 1, 1);
const LAST_DAY: Date = date(2099, 12, 31);
/// Time profiles as controllers number them.
const PROFILES: std::ops::RangeInclusive<u8> = 2..=254;
/// How many slots of the list a page covers at most.
const PAGE: u32 = 64;
/// More slots than any controller has: a list that goes on is nonsense.
const SLOTS: u32 = 100_000;
/// How far a clock may be off before somebody should look.
const DRIFT_SECONDS: i64 = 30;

/// One controller.
#[derive(Debug)]
pub(super) struct Panel {
    wire: Wire,
    doors: BTreeMap<u8, AccessPointAddress>,
    putting: Putting<u32>,
    time_zone: TimeZone,
}

/// Whether controllers can hold these rights.
pub(super) fn check(rights: &Rights) -> Result<(), Refusal> {
    let (min, max) = (*PROFILES.start(), *PROFILES.end());
    for access in rights.access.values() {
        if let Access::TimeProfile(number) = access
            && !PROFILES.contains(number)
        {
            return Err(Refusal::TimeProfile { number: *number, min, max });
        }
    }
    let (from, to) = (rights.valid_from.unwrap_or(FIRST_DAY), rights.valid_to.unwrap_or(LAST_DAY));
    if from < FIRST_DAY || from > to || to > LAST_DAY {
        return Err(Refusal::Dates { from, to, min: FIRST_DAY, max: LAST_DAY });
    }
    Ok(())
}

impl Panel {
    pub(super) fn new(controller: ControllerConfig, patience: Patience, time_zone: TimeZone) -> Self {
        let wire = Wire::new(controller.serial, controller.address, patience);
        Self { wire, doors: controller.doors, putting: Putting::default(), time_zone }
    }

    pub(super) const fn wire(&self) -> &Wire {
        &self.wire
    }

    pub(super) const fn serial(&self) -> u32 {
        self.wire.serial()
    }

    /// This controller at each of its doors.
    pub(super) fn units(&self) -> impl Iterator<Item = (AccessPointAddress, Unit)> {
        self.doors.iter().map(|(door, point)| {
            let device = self.serial().to_string();
            let (id, address) = (format!("{device} door {door}"), self.wire.address().to_string());
            (point.clone(), Unit { device, id, address })
        })
    }

    async fn delete(&self, number: u32, stands: Stands<'_>) -> Result<bool, ConnectorError> {
        let deleted = match self.wire.turn(Lane::Revocations).await {
            Ok(turn) => turn.ask_while(&DeleteCard(number), stands).await,
            Err(unanswered) => Err(unanswered),
        };
        match deleted {
            // 0 is what a card that was absent answers.
            Ok(said) => Ok(said),
            Err(unanswered) => self.served(unanswered),
        }
    }

    async fn put(&self, put: &PutCard, stands: Stands<'_>) -> Result<bool, Unanswered> {
        let turn = self.wire.turn(Lane::Grants).await?;
        let _under_way = self.putting.begin(put.number);
        turn.ask_while(put, stands).await
    }

    /// How the controller is. `now` is the time that its clock should show, `ear` where it should push to.
    pub(super) async fn health(&self, now: Option<DateTime>, ear: Option<SocketAddrV4>) -> UnitHealth {
        let unit = self.serial().to_string();
        let mut health = UnitHealth { unit, access_points: self.points(), ..UnitHealth::default() };
        if let Err(unanswered) = self.bounded(self.examine(&mut health, now, ear)).await {
            health.unreachable = Some(unanswered.words());
        }
        health
    }

    /// For what takes many requests: however slow each is, together they end in time.
    async fn bounded<T>(&self, asking: impl Future<Output = Result<T, Unanswered>>) -> Result<T, Unanswered> {
        let limit = verb_limit(self.wire.patience());
        timeout(limit, asking).await.unwrap_or_else(|_| {
            Err(Unanswered::Silent(format!("{} took longer than {} ms", self.serial(), limit.as_millis())))
        })
    }

    async fn examine(
        &self,
        health: &mut UnitHealth,
        now: Option<DateTime>,
        ear: Option<SocketAddrV4>,
    ) -> Result<(), Unanswered> {
        health.firmware = Some(self.wire.ask(Lane::Grants, &GetController).await?.firmware);
        let status = self.wire.ask(Lane::Grants, &GetStatus).await?;
        health.clock_drift_seconds = status.at.zip(now).map(|(at, now)| at.duration_since(now).as_secs());
        health.findings.extend(clock_finding(status.at, health.clock_drift_seconds));
        health.findings.extend((status.fault != 0).then(|| Finding::Fault { code: status.fault.into() }));
        health.cards = Some(self.wire.ask(Lane::Grants, &CountCards).await?);
        if let Some(ear) = ear {
            let address = self.wire.ask(Lane::Grants, &GetListener).await?.address;
            health
                .findings
                .extend((address != ear).then(|| Finding::HintsElsewhere { address: address.to_string() }));
        }
        for (door, point) in &self.doors {
            let access_point = point.clone();
            match self.wire.ask(Lane::Grants, &GetDoor(*door)).await?.mode {
                Some(Mode::NormallyOpen) => health.findings.push(Finding::StaysUnlocked { access_point }),
                Some(Mode::NormallyClosed) => health.findings.push(Finding::StaysLocked { access_point }),
                Some(Mode::Controlled) | None => {}
            }
        }
        Ok(())
    }

    fn record(&self, number: u32, rights: &Rights) -> PutCard {
        let right = |door: u8| match self.doors.get(&door).and_then(|point| rights.access.get(point)) {
            None => 0,
            Some(Access::Always) => 1,
            Some(Access::TimeProfile(profile)) => *profile,
        };
        PutCard {
            number,
            from: rights.valid_from.unwrap_or(FIRST_DAY),
            to: rights.valid_to.unwrap_or(LAST_DAY),
            doors: [1, 2, 3, 4].map(right),
        }
    }

    fn held(&self, record: &CardRecord) -> ReadBack {
        let valid_from = record.from.filter(|from| *from != FIRST_DAY);
        let valid_to = record.to.filter(|to| *to != LAST_DAY);
        let held = |door| Reading::Held(Held { access: right_at(record, door), valid_from, valid_to });
        let points = self.doors.iter().map(|(door, point)| (point.clone(), held(*door))).collect();
        ReadBack { points, deviations: self.deviations(record) }
    }

    fn deviations(&self, record: &CardRecord) -> BTreeSet<Deviation> {
        let unnamed =
            (1..=4).filter(|door| !self.doors.contains_key(door) && right_at(record, *door).is_some());
        let unit = self.serial().to_string();
        let mut deviations: BTreeSet<_> =
            unnamed.map(|door| Deviation::UnnamedDoor { unit: unit.clone(), door: door.into() }).collect();
        deviations.extend((record.pin != 0).then_some(Deviation::Pin));
        deviations.extend((record.first_card != 0).then_some(Deviation::FirstCard));
        deviations
    }

    fn missing(&self, unanswered: Unanswered) -> ConnectorError {
        unanswered.missing(self.points())
    }

    /// What is withdrawn was overtaken, and whoever overtook it serves this controller.
    fn served(&self, unanswered: Unanswered) -> Result<bool, ConnectorError> {
        match unanswered {
            Unanswered::Withdrawn => Ok(false),
            unanswered => Err(self.missing(unanswered)),
        }
    }
}

#[async_trait]
impl Part for Panel {
    type Number = u32;
    type Slot = u32;
    type Position = Position;

    fn name(&self) -> String {
        self.serial().to_string()
    }

    fn points(&self) -> Vec<AccessPointAddress> {
        self.doors.values().cloned().collect()
    }

    async fn grant(
        &self,
        card: &Card,
        number: u32,
        rights: &Rights,
        stands: Stands<'_>,
    ) -> Result<bool, ConnectorError> {
        let put = self.record(number, rights);
        if put.doors == [0; 4] {
            return self.revoke(number, stands).await;
        }
        match self.put(&put, stands).await {
            Ok(true) => Ok(true),
            // The flag is not the truth: some firmware may answer 0 to what it holds already.
            Ok(false) => match self.wire.ask(Lane::Grants, &GetCard(number)).await {
                Ok(Some(held)) if shows(&held, &put) => Ok(false),
                Ok(_) => {
                    let unit = format!("controller {}", self.serial());
                    Err(Refusal::NotStored { unit, card: *card }.into())
                }
                Err(unanswered) => self.served(unanswered),
            },
            Err(unanswered) => self.served(unanswered),
        }
    }

    async fn revoke(&self, number: u32, stands: Stands<'_>) -> Result<bool, ConnectorError> {
        let first = self.delete(number, stands).await;
        if !self.putting.waited_out(&number, self.wire.patience().request()).await {
            return first;
        }
        let again = self.delete(number, stands).await?;
        Ok(again || first.unwrap_or(false))
    }

    async fn read_back(&self, number: u32) -> Result<ReadBack, ConnectorError> {
        match self.wire.ask(Lane::Revocations, &GetCard(number)).await {
            Ok(Some(record)) => Ok(self.held(&record)),
            Ok(None) => Ok(self.seen(|_| Reading::Absent)),
            Err(unanswered) => Err(self.missing(unanswered)),
        }
    }

    async fn list(&self, from: Option<&u32>) -> Result<Slots<u32>, ConnectorError> {
        let from = from.copied().unwrap_or(1);
        if from > SLOTS {
            return Err(
                self.missing(Unanswered::Garbled(format!("the list of {} does not end", self.serial())))
            );
        }
        let mut listed = Vec::new();
        let until = Instant::now() + self.wire.patience().request();
        for slot in from..from + PAGE {
            match self.wire.ask(Lane::Grants, &GetCardAt(slot)).await {
                Ok(Slot::End) => return Ok(Slots { listed, next: None }),
                Ok(Slot::Deleted) => {}
                Ok(Slot::Card(record)) => {
                    let card = number::to_card(record.number);
                    listed.extend(card.map(|card| Listed { card, seen: self.held(&record) }));
                }
                Err(unanswered) => return Err(self.missing(unanswered)),
            }
            // A slow controller gives a shorter page, so that the verb ends in time.
            if Instant::now() >= until {
                return Ok(Slots { listed, next: Some(slot + 1) });
            }
        }
        Ok(Slots { listed, next: Some(from + PAGE) })
    }

    async fn events(&self, after: Option<&Position>) -> Result<Told<Position>, ConnectorError> {
        let read = self.bounded(events::read(&self.wire, after.copied()));
        let told = read.await.map_err(|unanswered| self.missing(unanswered))?;
        let normalised =
            |event: &EventRecord| events::normalised(self.serial(), event, &self.doors, &self.time_zone);
        Ok(Told {
            events: told.events.iter().map(normalised).collect(),
            position: told.position,
            gaps: told.gaps,
            more: told.more,
        })
    }
}

/// When a door's right of a record opens it. 0 and the values nobody has described open nothing.
fn right_at(record: &CardRecord, door: u8) -> Option<Access> {
    match record.doors.get(usize::from(door).wrapping_sub(1))? {
        1 => Some(Access::Always),
        profile if PROFILES.contains(profile) => Some(Access::TimeProfile(*profile)),
        _ => None,
    }
}

fn shows(held: &CardRecord, put: &PutCard) -> bool {
    let PutCard { number, from, to, doors } = *put;
    *held == CardRecord { number, from: Some(from), to: Some(to), doors, pin: 0, first_card: 0 }
}

fn clock_finding(shown: Option<DateTime>, drift: Option<i64>) -> Option<Finding> {
    match (shown, drift) {
        (None, _) => Some(Finding::NoClock),
        (_, Some(seconds)) if seconds.abs() > DRIFT_SECONDS => Some(Finding::Clock { seconds }),
        _ => None,
    }
}
