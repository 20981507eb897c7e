//! One device: what it is told and what it holds.
//!
//! To a device each of our cards is a user of its own, without name: `cardea:` and the card's number. Rights are rules
//! of ours, one for each portal and hours, that a user is linked to. The card comes last when something is granted and
//! goes first when it is taken away, so whatever stops us half way leaves a card that opens nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use kernel::Secret;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::config::DeviceConfig;
use super::events::{self, Position};
use super::number;
use super::object::{
    CardRow, Contingency, GroupRule, Object, Pin, PortalRule, Role, Rule, RuleZone, Span, User, UserGroup,
    UserRule, Which, Zone,
};
use super::online;
use super::push::{self, Ear};
use super::rights::{self, Rows};
use super::transport::{Refused, SystemInformation, Turn, Wire, granting, in_flight, round, verb_limit};
use crate::card::Card;
use crate::connector::fleet::{Part, Slots, Told};
use crate::connector::lanes::{Lane, Patience, Putting, Stands, Unanswered, UnderWay};
use crate::connector::{
    Access, AccessPointAddress, ConnectorError, Deviation, Finding, Held, Listed, ReadBack, Reading, Refusal,
    Rights, Unit, UnitHealth, Want,
};

/// How many cards a page of the list has at most.
const PAGE: usize = 64;
/// How far a clock may be off before somebody should look.
const DRIFT_SECONDS: i64 = 30;
/// The hours that leave nothing out.
const ALWAYS: &str = "cardea always";

/// One device.
#[derive(Debug)]
pub(super) struct Device {
    wire: Wire,
    portals: BTreeMap<i64, AccessPointAddress>,
    putting: Putting<i64>,
    /// Until when a grant that was cut off may still arrive, by card.
    in_flight: Mutex<HashMap<i64, Instant>>,
    time_zone: TimeZone,
}

/// A grant, from its beginning to the moment when nothing of it is on the way any more.
///
/// INVARIANT: whatever ends it, a grant that may still arrive stands in [`Device::in_flight`] before `putting` says
/// that it is over.
struct OnTheWay<'a> {
    device: &'a Device,
    number: i64,
    /// Everything that was sent was answered.
    is_certain: bool,
}

impl Drop for OnTheWay<'_> {
    fn drop(&mut self) {
        let until = Instant::now() + in_flight(self.device.wire.patience());
        let mut in_flight = self.device.in_flight();
        match self.is_certain {
            true => drop(in_flight.remove(&self.number)),
            false => drop(in_flight.insert(self.number, until)),
        }
    }
}

/// Where a sweep of a device stands: after which row of which object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Slot {
    Cards(i64),
    Contingency(i64),
}

/// What was wanted could not be stored.
enum Failed {
    Refused(Refused),
    Unanswered(Unanswered),
}

impl From<Unanswered> for Failed {
    fn from(unanswered: Unanswered) -> Self {
        Self::Unanswered(unanswered)
    }
}

impl From<Refused> for Failed {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

/// A grant that is being carried out in the lane of grants.
struct Granting<'a> {
    // Dropped in this order: what is on the way is noted, then that nothing is being put, then it is another's turn.
    on_the_way: OnTheWay<'a>,
    _under_way: UnderWay<'a, i64>,
    turn: Turn<'a>,
    number: i64,
    stands: Stands<'a>,
    /// Whether the device said that it changed something.
    wrote: bool,
}

fn holder(number: i64) -> String {
    format!("cardea:{number}")
}

impl Device {
    pub(super) fn new(
        device: DeviceConfig,
        login: String,
        password: Secret<String>,
        patience: Patience,
        time_zone: TimeZone,
    ) -> Self {
        let wire = Wire::new(device.id, device.url, device.certificate, login, password, patience);
        let in_flight = Mutex::default();
        Self { wire, portals: device.portals, putting: Putting::default(), in_flight, time_zone }
    }

    fn in_flight(&self) -> MutexGuard<'_, HashMap<i64, Instant>> {
        // Nothing but instants is ever written here.
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Until when a grant of this card may still arrive, if one may.
    fn may_arrive_until(&self, number: i64) -> Option<Instant> {
        let mut in_flight = self.in_flight();
        in_flight.retain(|_, until| *until > Instant::now());
        in_flight.get(&number).copied()
    }

    pub(super) const fn wire(&self) -> &Wire {
        &self.wire
    }

    /// This device at each of its portals.
    pub(super) fn units(&self) -> impl Iterator<Item = (AccessPointAddress, Unit)> {
        self.portals.iter().map(|(portal, point)| {
            let device = self.wire.device_id().to_string();
            let id = format!("{device} portal {portal}");
            (point.clone(), Unit { device, id, address: self.wire.address() })
        })
    }

    /// The rights at this device's portals.
    fn wanted<'a>(&'a self, rights: &'a Rights) -> impl Iterator<Item = (i64, Access)> + 'a {
        let right =
            |(portal, point): (&i64, &'a AccessPointAddress)| Some((*portal, *rights.access.get(point)?));
        self.portals.iter().filter_map(right)
    }

    async fn put(&self, number: i64, rights: &Rights, stands: Stands<'_>) -> Result<bool, Failed> {
        let turn = self.wire.turn(Lane::Grants).await?;
        let _under_way = self.putting.begin(number);
        let on_the_way = OnTheWay { device: self, number, is_certain: false };
        let mut granting = Granting { on_the_way, _under_way, turn, number, stands, wrote: false };
        let mut is_lost = false;
        let mut attempts = self.wire.patience().attempts;
        loop {
            attempts = attempts.saturating_sub(1);
            match granting.carry_out(self.wanted(rights).collect(), rights).await {
                // What was lost before finds the card there and changes nothing, as long as the card is there.
                Ok(()) => {
                    granting.on_the_way.is_certain = !is_lost;
                    return Ok(granting.wrote);
                }
                // What is created is not sent twice: it is looked for first.
                Err(Failed::Unanswered(Unanswered::Silent(_))) if attempts > 0 => is_lost = true,
                Err(failed) => {
                    is_lost |= matches!(failed, Failed::Unanswered(Unanswered::Silent(_)));
                    granting.on_the_way.is_certain = !is_lost;
                    return Err(failed);
                }
            }
        }
    }

    /// One round of taking away. Whether the device said that there was something.
    async fn take_away(&self, number: i64, stands: Stands<'_>) -> Result<bool, ConnectorError> {
        let taking = async {
            let turn = self.wire.turn(Lane::Revocations).await?;
            let which = Which::Numbers("value", &[number]);
            let cards = turn.destroy::<CardRow>(&which, stands).await?;
            let contingency = turn.destroy::<Contingency>(&which, stands).await?;
            Ok(cards > 0 || contingency > 0)
        };
        match self.wire.bounded(round(self.wire.patience()), taking).await {
            Ok(said) => {
                self.tidy_up(number, stands).await;
                Ok(said)
            }
            Err(unanswered) => self.served(unanswered),
        }
    }

    /// Deletes the user that held a card. Without the card it opens nothing, so it waits for nobody: while something is
    /// granted, numbers of users may change hands, and it is left for the next time.
    async fn tidy_up(&self, number: i64, stands: Stands<'_>) {
        let Some(turn) = self.wire.turn_if_free() else { return };
        let forgetting =
            self.wire.bounded(self.wire.patience().request(), forget_holder(&turn, number, stands));
        if let Err(unanswered) = forgetting.await {
            tracing::debug!(device = self.wire.device_id(), ?unanswered, "a card's holder stays behind");
        }
    }

    fn missing(&self, unanswered: Unanswered) -> ConnectorError {
        unanswered.missing(self.points())
    }

    /// What is withdrawn was overtaken, and whoever overtook it serves this device.
    fn served(&self, unanswered: Unanswered) -> Result<bool, ConnectorError> {
        match unanswered {
            Unanswered::Withdrawn => Ok(false),
            unanswered => Err(self.missing(unanswered)),
        }
    }

    /// What the device holds for these cards, in their order.
    async fn seen_of(&self, turn: &Turn<'_>, cards: &[CardRow]) -> Result<Vec<ReadBack>, Unanswered> {
        let rows = rows_of(turn, cards).await?;
        let unit = self.wire.device_id().to_string();
        Ok(cards.iter().map(|card| rows.held(card, &self.portals, &unit)).collect())
    }

    /// A card that opens while the device cannot ask: on a list, without a right that we could mean.
    fn in_contingency(&self) -> ReadBack {
        let held = || Reading::Held(Held { access: None, valid_from: None, valid_to: None });
        let mut seen = self.seen(|_| held());
        seen.deviations.insert(Deviation::Contingency { unit: self.wire.device_id().to_string() });
        seen
    }

    async fn read(&self, number: i64) -> Result<ReadBack, Unanswered> {
        let may_arrive = self.may_arrive_until(number).is_some();
        let turn = self.wire.turn(Lane::Revocations).await?;
        let which = Which::Numbers("value", &[number]);
        let cards: Vec<CardRow> = turn.load(&which, &|| true).await?;
        let contingency: Vec<Contingency> = turn.load(&which, &|| true).await?;
        let mut seen = self.seen(|_| Reading::Absent);
        if !contingency.is_empty() {
            seen = self.in_contingency();
        }
        // A number stands once at most; whatever stands twice must be seen twice.
        for held in self.seen_of(&turn, &cards).await? {
            seen = seen.merged(held);
        }
        if cards.is_empty() && self.opens_without_card(&turn, number).await? {
            seen.deviations.insert(Deviation::Pin);
        }
        if may_arrive && seen.is_absent() {
            let device = self.wire.device_id();
            return Err(Unanswered::Silent(format!("{device}: a grant that was cut off may still arrive")));
        }
        Ok(seen)
    }

    /// Whether the holder of a card that is gone could still type its way in.
    async fn opens_without_card(&self, turn: &Turn<'_>, number: i64) -> Result<bool, Unanswered> {
        let holders: Vec<User> =
            turn.load(&Which::Texts("registration", &[holder(number)]), &|| true).await?;
        let ids: Vec<i64> = holders.iter().map(|user| user.id).collect();
        Ok(!turn.load_if_known::<Pin>(&Which::Numbers("user_id", &ids)).await?.is_empty())
    }

    /// Whether the device holds exactly these rights for a card, at its portals.
    async fn shows(&self, number: i64, rights: &Rights) -> bool {
        let Ok(seen) = self.wire.bounded(round(self.wire.patience()), self.read(number)).await else {
            return false;
        };
        let here = |point: &AccessPointAddress| self.portals.values().any(|portal| portal == point);
        let access = rights.access.iter().filter(|(point, _)| here(point));
        let access = access.map(|(point, access)| (point.clone(), *access)).collect();
        seen.meets(&Want::Present(Rights { access, ..rights.clone() }))
    }

    async fn sweep(&self, from: Slot) -> Result<Slots<Slot>, Unanswered> {
        let turn = self.wire.turn(Lane::Grants).await?;
        match from {
            Slot::Cards(from) => {
                let rows: Vec<CardRow> = turn.page(Some(from), PAGE, |row: &CardRow| row.id).await?;
                let seen = self.seen_of(&turn, &rows).await?;
                let listed = rows
                    .iter()
                    .zip(seen)
                    .filter_map(|(row, seen)| number::to_card(row.value).map(|card| Listed { card, seen }));
                let next = match rows.last() {
                    Some(last) if rows.len() == PAGE => Slot::Cards(last.id.saturating_add(1)),
                    _ => Slot::Contingency(i64::MIN),
                };
                Ok(Slots { listed: listed.collect(), next: Some(next) })
            }
            Slot::Contingency(from) => {
                let rows: Vec<Contingency> = turn.page(Some(from), PAGE, |row: &Contingency| row.id).await?;
                let listed = rows.iter().filter_map(|row| {
                    number::to_card(row.value).map(|card| Listed { card, seen: self.in_contingency() })
                });
                let next = rows.last().filter(|_| rows.len() == PAGE);
                let next = next.map(|last| Slot::Contingency(last.id.saturating_add(1)));
                Ok(Slots { listed: listed.collect(), next })
            }
        }
    }

    /// How the device is. `now` is the time that its clock should show, `ear` where it should send its notifications.
    pub(super) async fn health(&self, now: Option<DateTime>, ear: Option<&Ear>) -> UnitHealth {
        let unit = self.wire.device_id().to_string();
        let mut health = UnitHealth { unit, access_points: self.points(), ..UnitHealth::default() };
        let examined =
            self.wire.bounded(verb_limit(self.wire.patience()), self.examine(&mut health, now, ear));
        if let Err(unanswered) = examined.await {
            health.unreachable = Some(unanswered.words());
        }
        health
    }

    async fn examine(
        &self,
        health: &mut UnitHealth,
        now: Option<DateTime>,
        ear: Option<&Ear>,
    ) -> Result<(), Unanswered> {
        let turn = self.wire.turn(Lane::Grants).await?;
        let said: SystemInformation = turn.ask("system_information", &json!({}), &|| true).await?;
        health.firmware = Some(said.firmware());
        let shown = said.time.and_then(rights::wall_clock);
        health.clock_drift_seconds = shown.zip(now).map(|(shown, now)| shown.duration_since(now).as_secs());
        health.findings.extend(match (shown, health.clock_drift_seconds) {
            (None, _) => Some(Finding::NoClock),
            (_, Some(seconds)) if seconds.abs() > DRIFT_SECONDS => Some(Finding::Clock { seconds }),
            _ => None,
        });
        let exception = turn.setting("general", "exception_mode").await?;
        let attendance = turn.setting("general", "attendance_mode").await?;
        for access_point in self.points() {
            match (exception.as_deref().unwrap_or_default(), attendance.as_deref().unwrap_or_default()) {
                // In attendance mode no rule counts.
                ("emergency", _) | (_, "1") => health.findings.push(Finding::StaysUnlocked { access_point }),
                ("lock_down", _) => health.findings.push(Finding::StaysLocked { access_point }),
                _ => {}
            }
        }
        health.findings.extend(online::findings(&turn, ear).await?);
        if let Some(address) = ear.and_then(Ear::address) {
            let monitor = push::monitor(&turn).await?;
            let elsewhere = || Finding::HintsElsewhere { address: monitor.to_string() };
            health.findings.extend((!monitor.is(address)).then(elsewhere));
        }
        Ok(())
    }
}

#[async_trait]
impl Part for Device {
    type Number = i64;
    type Slot = Slot;
    type Position = Position;

    fn name(&self) -> String {
        self.wire.device_id().to_string()
    }

    fn points(&self) -> Vec<AccessPointAddress> {
        self.portals.values().cloned().collect()
    }

    async fn grant(
        &self,
        card: &Card,
        number: i64,
        rights: &Rights,
        stands: Stands<'_>,
    ) -> Result<bool, ConnectorError> {
        if self.wanted(rights).next().is_none() {
            return self.revoke(number, stands).await;
        }
        let limit = granting(self.wire.patience());
        let put = tokio::time::timeout(limit, self.put(number, rights, stands));
        match put.await {
            Ok(Ok(wrote)) => Ok(wrote),
            // Some refuse what they hold already, and say so of what they did.
            Ok(Err(Failed::Refused(_))) if self.shows(number, rights).await => Ok(false),
            Ok(Err(Failed::Refused(Refused(why)))) => {
                tracing::warn!(device = self.wire.device_id(), why, "a device did not store a card");
                let unit = format!("device {}", self.wire.device_id());
                Err(Refusal::NotStored { unit, card: *card }.into())
            }
            Ok(Err(Failed::Unanswered(unanswered))) => self.served(unanswered),
            Err(_) => {
                let detail = format!("{} took longer than {} ms", self.wire.device_id(), limit.as_millis());
                self.served(Unanswered::Silent(detail))
            }
        }
    }

    async fn revoke(&self, number: i64, stands: Stands<'_>) -> Result<bool, ConnectorError> {
        let first = self.take_away(number, stands).await;
        let waited = self.putting.waited_out(&number, granting(self.wire.patience())).await;
        let arrives = self.may_arrive_until(number);
        if let Some(until) = arrives {
            tokio::time::sleep_until(until).await;
        }
        if !waited && arrives.is_none() {
            return first;
        }
        let again = self.take_away(number, stands).await?;
        Ok(again || first.unwrap_or(false))
    }

    async fn read_back(&self, number: i64) -> Result<ReadBack, ConnectorError> {
        let read = self.wire.bounded(round(self.wire.patience()), self.read(number));
        read.await.map_err(|unanswered| self.missing(unanswered))
    }

    async fn list(&self, from: Option<&Slot>) -> Result<Slots<Slot>, ConnectorError> {
        let from = from.copied().unwrap_or(Slot::Cards(i64::MIN));
        let swept = self.wire.bounded(verb_limit(self.wire.patience()), self.sweep(from));
        swept.await.map_err(|unanswered| self.missing(unanswered))
    }

    async fn events(&self, after: Option<&Position>) -> Result<Told<Position>, ConnectorError> {
        let read = async {
            let turn = self.wire.turn(Lane::Grants).await?;
            events::read(&turn, self.wire.device_id(), after.copied(), &self.portals, &self.time_zone).await
        };
        let read = self.wire.bounded(verb_limit(self.wire.patience()), read).await;
        read.map_err(|unanswered| self.missing(unanswered))
    }
}

/// Deletes the user that was made for a card, children first: what a device does with those that are left behind,
/// nobody says.
async fn forget_holder(turn: &Turn<'_>, number: i64, stands: Stands<'_>) -> Result<(), Unanswered> {
    let holders: Vec<User> = turn.load(&Which::Texts("registration", &[holder(number)]), stands).await?;
    let ids: Vec<i64> = holders.iter().map(|user| user.id).collect();
    forget_users(turn, &ids, stands).await
}

async fn forget_users(turn: &Turn<'_>, ids: &[i64], stands: Stands<'_>) -> Result<(), Unanswered> {
    if ids.is_empty() {
        return Ok(());
    }
    let theirs = Which::Numbers("user_id", ids);
    turn.destroy::<CardRow>(&theirs, stands).await?;
    turn.destroy::<UserRule>(&theirs, stands).await?;
    turn.destroy::<UserGroup>(&theirs, stands).await?;
    forget_other_ways(turn, &theirs, stands).await?;
    turn.destroy::<User>(&Which::Numbers("id", ids), stands).await.map(|_| ())
}

/// Deletes what some users type, and their right to administer, where the device knows such.
async fn forget_other_ways(
    turn: &Turn<'_>,
    theirs: &Which<'_>,
    stands: Stands<'_>,
) -> Result<(), Unanswered> {
    if !turn.load_if_known::<Pin>(theirs).await?.is_empty() {
        turn.destroy::<Pin>(theirs, stands).await?;
    }
    if !turn.load_if_known::<Role>(theirs).await?.is_empty() {
        turn.destroy::<Role>(theirs, stands).await?;
    }
    Ok(())
}

/// All rows about the users of some cards.
async fn rows_of(turn: &Turn<'_>, cards: &[CardRow]) -> Result<Rows, Unanswered> {
    let distinct = |ids: &mut dyn Iterator<Item = i64>| -> Vec<i64> {
        ids.collect::<BTreeSet<_>>().into_iter().collect()
    };
    let users = distinct(&mut cards.iter().map(|card| card.user_id));
    let of_users = Which::Numbers("user_id", &users);
    let any: Stands<'_> = &|| true;
    let mut rows = Rows {
        users: turn.load(&Which::Numbers("id", &users), any).await?,
        user_rules: turn.load(&of_users, any).await?,
        user_groups: turn.load(&of_users, any).await?,
        pins: turn.load_if_known::<Pin>(&of_users).await?,
        roles: turn.load_if_known::<Role>(&of_users).await?,
        ..Rows::default()
    };
    let groups = distinct(&mut rows.user_groups.iter().map(|row| row.group_id));
    rows.group_rules = turn.load::<GroupRule>(&Which::Numbers("group_id", &groups), any).await?;
    let own = rows.user_rules.iter().map(|row| row.access_rule_id);
    let rules = distinct(&mut own.chain(rows.group_rules.iter().map(|row| row.access_rule_id)));
    rows.rules = turn.load::<Rule>(&Which::Numbers("id", &rules), any).await?;
    let of_rules = Which::Numbers("access_rule_id", &rules);
    rows.portal_rules = turn.load(&of_rules, any).await?;
    rows.rule_zones = turn.load(&of_rules, any).await?;
    let zones = distinct(&mut rows.rule_zones.iter().map(|row| row.time_zone_id));
    rows.spans = turn.load(&Which::Numbers("time_zone_id", &zones), any).await?;
    Ok(rows)
}

impl Granting<'_> {
    async fn carry_out(&mut self, wanted: Vec<(i64, Access)>, rights: &Rights) -> Result<(), Failed> {
        let mut rules = BTreeSet::new();
        let mut always = None;
        for (portal, access) in wanted {
            let (name, zone) = match access {
                Access::Always => {
                    let zone = match always {
                        Some(zone) => zone,
                        None => *always.insert(self.always().await?),
                    };
                    (format!("cardea portal {portal} always"), zone)
                }
                Access::TimeProfile(zone) => {
                    (format!("cardea portal {portal} time zone {zone}"), zone.into())
                }
            };
            rules.insert(self.rule(portal, name, zone).await?);
        }
        let user = self.user(rights, &rules).await?;
        self.link(user, &rules).await?;
        self.leave_contingency().await?;
        self.card(user).await
    }

    async fn load<T: Object>(&self, which: &Which<'_>) -> Result<Vec<T>, Unanswered> {
        self.turn.load(which, self.stands).await
    }

    async fn create<T: Object>(&mut self, values: &[Value]) -> Result<i64, Failed> {
        let id = self.turn.create::<T>(values, self.stands).await??;
        self.wrote = true;
        Ok(id)
    }

    async fn destroy<T: Object>(&mut self, which: &Which<'_>) -> Result<(), Failed> {
        self.wrote |= self.turn.destroy::<T>(which, self.stands).await? > 0;
        Ok(())
    }

    /// The rule that opens a portal in these hours and does nothing else, made or mended.
    async fn rule(&mut self, portal: i64, name: String, zone: i64) -> Result<i64, Failed> {
        let found: Vec<Rule> = self.load(&Which::Texts("name", std::slice::from_ref(&name))).await?;
        let rule = match found.iter().find(|rule| rule.name == name) {
            Some(rule) => {
                if rule.kind != Rule::ALLOWS {
                    let allows = json!({ "type": Rule::ALLOWS });
                    self.turn.modify::<Rule>(&allows, &Which::Numbers("id", &[rule.id]), self.stands).await?;
                    self.wrote = true;
                }
                rule.id
            }
            None => {
                let rule = json!({ "name": name, "type": Rule::ALLOWS, "priority": 0 });
                self.create::<Rule>(&[rule]).await?
            }
        };
        let of_rule = Which::Numbers("access_rule_id", &[rule]);
        let portals: Vec<PortalRule> = self.load(&of_rule).await?;
        if portals.iter().map(|row| row.portal_id).ne([portal]) {
            self.destroy::<PortalRule>(&of_rule).await?;
            let row = json!({ "portal_id": portal, "access_rule_id": rule });
            self.link_row::<PortalRule>(row).await?;
        }
        let zones: Vec<RuleZone> = self.load(&of_rule).await?;
        if zones.iter().map(|row| row.time_zone_id).ne([zone]) {
            self.destroy::<RuleZone>(&of_rule).await?;
            let row = json!({ "access_rule_id": rule, "time_zone_id": zone });
            self.link_row::<RuleZone>(row).await?;
        }
        Ok(rule)
    }

    /// The time zone that leaves nothing out, made or mended.
    async fn always(&mut self) -> Result<i64, Failed> {
        let name = [ALWAYS.to_owned()];
        let found: Vec<Zone> = self.load(&Which::Texts("name", &name)).await?;
        let zone = match found.iter().find(|zone| zone.name == ALWAYS) {
            Some(zone) => zone.id,
            None => self.create::<Zone>(&[json!({ "name": ALWAYS })]).await?,
        };
        let of_zone = Which::Numbers("time_zone_id", &[zone]);
        let spans: Vec<Span> = self.load(&of_zone).await?;
        if spans.len() != 1 || !spans.iter().all(Span::is_always) {
            self.destroy::<Span>(&of_zone).await?;
            self.link_row::<Span>(Span::always(zone)).await?;
        }
        Ok(zone)
    }

    /// A row whose id nobody needs: a device may give none.
    async fn link_row<T: Object>(&mut self, row: Value) -> Result<(), Failed> {
        self.turn.link::<T>(&[row], self.stands).await??;
        self.wrote = true;
        Ok(())
    }

    /// The user that holds this card and nothing else, with its validity, made or mended.
    async fn user(&mut self, rights: &Rights, rules: &BTreeSet<i64>) -> Result<i64, Failed> {
        let begin_time = rights.valid_from.map_or(0, rights::first_second);
        let end_time = rights.valid_to.map_or(0, rights::last_second);
        let holder = holder(self.number);
        let found: Vec<User> =
            self.load(&Which::Texts("registration", std::slice::from_ref(&holder))).await?;
        let mut found: Vec<User> = found.into_iter().filter(|user| user.registration == holder).collect();
        found.sort_by_key(|user| user.id);
        let Some((user, doubles)) = found.split_first() else {
            let user = json!({
                "registration": holder, "name": holder, "password": "", "salt": "",
                "begin_time": begin_time, "end_time": end_time,
            });
            return self.create::<User>(&[user]).await;
        };
        // Of two that were made because an answer was lost, the card may be at either.
        let doubles: Vec<i64> = doubles.iter().map(|user| user.id).collect();
        forget_users(&self.turn, &doubles, self.stands).await?;
        let is = |is: Option<i64>, wanted: i64| is.unwrap_or(0) == wanted;
        if !is(user.begin_time, begin_time) || !is(user.end_time, end_time) {
            // Whoever is stopped in between shall not leave the hours of before with the days of now.
            let of_user = Which::Numbers("user_id", &[user.id]);
            let linked: Vec<UserRule> = self.load(&of_user).await?;
            if linked.iter().map(|row| row.access_rule_id).collect::<BTreeSet<_>>() != *rules {
                self.destroy::<UserRule>(&of_user).await?;
            }
            let values = json!({ "begin_time": begin_time, "end_time": end_time });
            self.turn.modify::<User>(&values, &Which::Numbers("id", &[user.id]), self.stands).await?;
            self.wrote = true;
        }
        Ok(user.id)
    }

    /// Links the user to exactly these rules. A user that was just made may find the links of one before it: numbers
    /// of deleted users come again.
    async fn link(&mut self, user: i64, rules: &BTreeSet<i64>) -> Result<(), Failed> {
        let of_user = Which::Numbers("user_id", &[user]);
        // What another holder left behind would open as this one does.
        let cards: Vec<CardRow> = self.load(&of_user).await?;
        let strange: Vec<i64> =
            cards.iter().filter(|card| card.value != self.number).map(|card| card.id).collect();
        if !strange.is_empty() {
            self.destroy::<CardRow>(&Which::Numbers("id", &strange)).await?;
        }
        forget_other_ways(&self.turn, &of_user, self.stands).await?;
        if !self.load::<UserGroup>(&of_user).await?.is_empty() {
            self.destroy::<UserGroup>(&of_user).await?;
        }
        let linked: Vec<UserRule> = self.load(&of_user).await?;
        if linked.iter().map(|row| row.access_rule_id).collect::<BTreeSet<_>>() == *rules {
            return Ok(());
        }
        self.destroy::<UserRule>(&of_user).await?;
        let row = |rule: &i64| json!({ "user_id": user, "access_rule_id": rule });
        let rows: Vec<Value> = rules.iter().map(row).collect();
        self.turn.link::<UserRule>(&rows, self.stands).await??;
        self.wrote = true;
        Ok(())
    }

    /// Off the list of cards that open while the device cannot ask: no wish means that.
    async fn leave_contingency(&mut self) -> Result<(), Failed> {
        let number = [self.number];
        let which = Which::Numbers("value", &number);
        let listed: Vec<Contingency> = self.load(&which).await?;
        if !listed.is_empty() {
            self.destroy::<Contingency>(&which).await?;
        }
        Ok(())
    }

    /// The card, at this user and at no other.
    async fn card(&mut self, user: i64) -> Result<(), Failed> {
        let number = [self.number];
        let which = Which::Numbers("value", &number);
        let cards: Vec<CardRow> = self.load(&which).await?;
        match &cards[..] {
            [card] if card.user_id == user => return Ok(()),
            [] => {}
            _ => self.destroy::<CardRow>(&which).await?,
        }
        let card = json!({ "value": self.number, "user_id": user });
        self.create::<CardRow>(&[card]).await.map(drop)
    }
}
