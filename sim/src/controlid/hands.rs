//! The hands of a tester: what is done at the device, and what is seen in it, without its network.

use std::sync::Arc;

use jiff::Timestamp;
use rustls::ServerConfig;
use serde_json::Value;

use super::decision::{self, event};
use super::device::Device;
use super::misbehaviour::{Faults, Misbehaviour};
use super::refusal::Refusal;
use super::row::{self, Cell, Row, ints};
use super::schema;
use super::state::{Counters, Seen};
use super::store::Store;

/// The group that the factory lets in everywhere.
const STANDARD: i64 = 1;

/// The time zone that leaves the factory and leaves nothing out.
const ALWAYS: i64 = 1;

/// The role of an administrator.
const ADMINISTRATOR: i64 = 1;

/// A Wiegand card as the device keeps it: the facility in the upper half, the number in the lower.
#[must_use]
pub fn card_value(facility: u16, number: u32) -> i64 {
    (i64::from(facility) << 32) | i64::from(number)
}

impl Device {
    /// From now on, until [`behave`](Self::behave).
    pub fn misbehave(&self, misbehaviour: Misbehaviour) {
        self.shared.lock().misbehave(misbehaviour);
        self.shared.changed.notify_one();
    }

    /// Ends every misbehaviour that lasts. What was lost stays lost, and the clock wrong.
    pub fn behave(&self) {
        self.shared.lock().faults = Faults::default();
    }

    /// From the next connection on it speaks HTTPS, and presents this.
    pub fn present(&self, tls: Arc<ServerConfig>) {
        self.shared.lock().options.tls = Some(tls);
    }

    /// Whether the card belongs to somebody here.
    #[must_use]
    pub fn holds(&self, card: i64) -> bool {
        self.shared.lock().store.find("cards", "value", card).is_some()
    }

    /// Whether the card is one of those for contingency.
    #[must_use]
    pub fn holds_for_contingency(&self, card: i64) -> bool {
        self.shared.lock().store.find("contingency_cards", "value", card).is_some()
    }

    /// Whether the card would open the portal at that moment, if the device decided in standalone mode.
    #[must_use]
    pub fn opens(&self, portal: i64, card: i64, at: Timestamp) -> bool {
        let state = self.shared.lock();
        decision::decide(&state.store, portal, card, state.local(at)).event == event::GRANTED
    }

    /// Whether the card would open the portal at that moment, if the device decided in contingency.
    #[must_use]
    pub fn opens_in_contingency(&self, portal: i64, card: i64, at: Timestamp) -> bool {
        let state = self.shared.lock();
        let (at, contingency) = (state.local(at), state.options.contingency);
        decision::decide_alone(&state.store, portal, card, at, contingency).event == event::GRANTED
    }

    /// The cards that it holds, in the order in which they came.
    #[must_use]
    pub fn cards(&self) -> Vec<i64> {
        let state = self.shared.lock();
        state.store.rows("cards").iter().map(|card| row::int(card, "value")).collect()
    }

    /// All rows of an object as JSON; users without what guards their passwords.
    ///
    /// # Panics
    /// If there is no such object.
    #[must_use]
    pub fn rows(&self, object: &str) -> Vec<Value> {
        let object = schema::object(object).expect("an object that the device has");
        let state = self.shared.lock();
        let rows = state.store.rows(object.name).iter();
        let open = rows.map(|row| {
            let open = row.iter().filter(|(name, _)| !["password", "salt"].contains(*name));
            row::json(object, &open.map(|(name, cell)| (*name, cell.clone())).collect())
        });
        open.collect()
    }

    /// Gives a card to a new person whom nobody over the network knows, and who enters everywhere. False if it does
    /// not fit.
    pub fn plant(&self, card: i64) -> bool {
        self.shared.by_hand(|store| stranger(store, card)).is_some()
    }

    /// Gives a card to a new person whom nobody over the network knows, and who enters at one portal, at any time.
    /// False if it does not fit.
    pub fn plant_at(&self, portal: i64, card: i64) -> bool {
        let planted = self.shared.by_hand(|store| {
            let user = person(store)?;
            let mut rule = Row::from([("name", Cell::Text("By hand".to_owned()))]);
            rule.extend(ints(&[("type", 1), ("priority", 0)]));
            let rule = insert(store, "access_rules", &rule)?;
            for (object, link) in [
                ("portal_access_rules", [("portal_id", portal), ("access_rule_id", rule)]),
                ("access_rule_time_zones", [("access_rule_id", rule), ("time_zone_id", ALWAYS)]),
                ("user_access_rules", [("user_id", user), ("access_rule_id", rule)]),
                ("cards", [("value", card), ("user_id", user)]),
            ] {
                insert(store, object, &ints(&link))?;
            }
            Ok(user)
        });
        planted.is_some()
    }

    /// The same as [`plant`](Self::plant), and the person is an administrator of the device.
    pub fn plant_supervisor(&self, card: i64) -> bool {
        let planted = self.shared.by_hand(|store| {
            let user = stranger(store, card)?;
            insert(store, "user_roles", &ints(&[("user_id", user), ("role", ADMINISTRATOR)]))
        });
        planted.is_some()
    }

    /// Puts a card on the list for contingency. False if it does not fit.
    pub fn plant_contingency(&self, card: i64) -> bool {
        let row = ints(&[("value", card)]);
        self.shared.by_hand(|store| insert(store, "contingency_cards", &row)).is_some()
    }

    /// Takes a card away. False if it was not there.
    pub fn uproot(&self, card: i64) -> bool {
        let cards = schema::object("cards").expect("an object of the schema");
        let gone =
            self.shared.by_hand(|store| store.destroy(cards, &|row: &Row| row::int(row, "value") == card));
        gone.is_some_and(|gone| gone > 0)
    }

    /// The requests that reached it, oldest first, at most the last 10,000.
    #[must_use]
    pub fn requests(&self) -> Vec<Seen> {
        self.shared.lock().seen.iter().cloned().collect()
    }

    /// Forgets the requests seen so far.
    pub fn forget_requests(&self) {
        self.shared.lock().seen.clear();
    }

    /// The names of the sessions that are open, as they were given out: whoever has one is logged in.
    #[must_use]
    pub fn sessions(&self) -> Vec<String> {
        self.shared.lock().sessions.names()
    }

    /// How often what happened.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.shared.lock().counters
    }

    /// Whether it goes on alone because its server did not answer.
    #[must_use]
    pub fn in_contingency(&self) -> bool {
        self.shared.lock().alone
    }

    /// Tells the monitor now that the device is there. Without a monitor nothing happens.
    pub async fn report_alive(&self) {
        self.shared.report_alive().await;
    }

    /// In contingency: asks the server now whether it is back, and ends the contingency if it is.
    pub async fn knock(&self) -> bool {
        self.shared.knock().await
    }
}

fn insert(store: &mut Store, object: &str, row: &Row) -> Result<i64, Refusal> {
    store.insert(schema::object(object).expect("an object of the schema"), row)
}

fn person(store: &mut Store) -> Result<i64, Refusal> {
    let person = ["registration", "name"].map(|field| (field, Cell::Text("Planted by hand".to_owned())));
    insert(store, "users", &Row::from(person))
}

/// A new person in the standard group, with that card.
fn stranger(store: &mut Store, card: i64) -> Result<i64, Refusal> {
    let user = person(store)?;
    insert(store, "user_groups", &ints(&[("user_id", user), ("group_id", STANDARD)]))?;
    insert(store, "cards", &ints(&[("value", card), ("user_id", user)]))?;
    Ok(user)
}
