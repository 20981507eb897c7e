//! Devices that ask us at each swipe: what they are told, who else may ask, and what becomes of a swipe while nobody
//! answers.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bridge::card::Card;
use bridge::conformance::{ConformanceTarget, Fault, run};
use bridge::connector::{
    AccessPointAddress, Asked, Connector, DECIDED_WITHIN, Decider, Finding, Health, RevocationClass, Verdict,
    WorstCase, described,
};
use kernel::Ctx;
use serde_json::{Value, json};
use sim::controlid::{Decided, Device, Misbehaviour, Swipe, event};
use tokio::runtime::Handle;
use tokio::task::{AbortHandle, block_in_place};

use crate::building::{Building, IDS, desired, number, opening, place};

/// Says yes to what the devices' own lists would open: an online door then opens as any other.
#[derive(Debug)]
struct ByLists {
    devices: Lists,
    ctx: Ctx,
}

struct Lists(Vec<Arc<Device>>);

impl std::fmt::Debug for Lists {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} devices", self.0.len())
    }
}

impl ByLists {
    fn of(building: &Building) -> Arc<Self> {
        Arc::new(Self { devices: Lists(building.devices.clone()), ctx: building.ctx.clone() })
    }
}

#[async_trait]
impl Decider for ByLists {
    async fn decide(&self, asked: &Asked) -> Verdict {
        let (device, portal) = place(&asked.access_point);
        let now = self.ctx.now().to_jiff().expect("the test clock stands in our century");
        let opens = |card: &Card| self.devices.0[device].opens(portal, number(card), now);
        Verdict { granted: asked.card.as_ref().is_some_and(opens), because: "its list".into() }
    }
}

/// Always says the same, after a while, and remembers what it was asked.
#[derive(Debug)]
pub(crate) struct Says {
    granted: bool,
    after: Duration,
    asked: Mutex<Vec<(String, Option<String>)>>,
}

impl Says {
    pub(crate) fn at_once(granted: bool) -> Arc<Self> {
        Self::after(granted, Duration::ZERO)
    }

    fn after(granted: bool, after: Duration) -> Arc<Self> {
        Arc::new(Self { granted, after, asked: Mutex::default() })
    }

    pub(crate) fn asked(&self) -> Vec<(String, Option<String>)> {
        self.asked.lock().expect("no panic").clone()
    }
}

#[async_trait]
impl Decider for Says {
    async fn decide(&self, asked: &Asked) -> Verdict {
        let what = (asked.access_point.0.clone(), asked.card.map(|card| card.to_string()));
        self.asked.lock().expect("no panic").push(what);
        tokio::time::sleep(self.after).await;
        Verdict { granted: self.granted, because: "it always says so".into() }
    }
}

/// A connector that answers. Dropping it leaves nobody at the port.
pub(crate) struct Attended {
    connector: Arc<dyn Connector>,
    attending: AbortHandle,
}

impl Drop for Attended {
    fn drop(&mut self) {
        self.attending.abort();
    }
}

/// Opens a connector in online mode that answers. Its devices may not have been told yet.
pub(crate) fn attend(building: &Building, more: &Value, decider: Arc<dyn Decider>) -> Attended {
    let mut config = json!({ "mode": "online" });
    for (key, value) in more.as_object().expect("an object") {
        config[key] = value.clone();
    }
    let connector = building.connector_deciding(&config, decider);
    let answering = connector.clone();
    let attending = tokio::spawn(async move { answering.attend().await }).abort_handle();
    Attended { connector, attending }
}

/// Waits until nothing is amiss: every device was told to ask, and whom.
async fn told(connector: &Arc<dyn Connector>) {
    let mut health = Health { units: Vec::new() };
    for _ in 0..400 {
        health = connector.health().await;
        if health.is_well() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the devices do not ask us: {health:?}");
}

pub(crate) async fn online(building: &Building, more: &Value, decider: Arc<dyn Decider>) -> Attended {
    let attended = attend(building, more, decider);
    told(&attended.connector).await;
    attended
}

/// The same building, whose connector is always online.
struct Online {
    building: Building,
    /// The connector that answers now; each device asks one only.
    attended: Mutex<Option<Attended>>,
}

#[async_trait]
impl ConformanceTarget for Online {
    fn connector(&self) -> Arc<dyn Connector> {
        let attended = block_in_place(|| {
            Handle::current().block_on(online(&self.building, &json!({}), ByLists::of(&self.building)))
        });
        let connector = attended.connector.clone();
        *self.attended.lock().expect("no panic") = Some(attended);
        connector
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
        let (device, portal) = place(at);
        let swipe = self.building.devices[device].swipe(portal, number(card)).await;
        assert_eq!(swipe.by, Decided::Server, "{card} at {at}: {swipe:?}");
        swipe.opened
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

#[tokio::test(flavor = "multi_thread")]
async fn the_connector_keeps_every_rule_also_where_devices_ask_us() {
    let target = Online { building: Building::open().await, attended: Mutex::default() };
    let broken = run(&target).await;
    assert!(broken.is_empty(), "{}", broken.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
}

fn by_server(event: u8, user_id: i64, log: i64) -> Swipe {
    Swipe { event, user_id, log: Some(log), opened: event == event::GRANTED, by: Decided::Server }
}

#[tokio::test]
async fn what_we_say_counts_whatever_stands_on_the_list() {
    let building = Building::open().await;
    let (card, stranger) = (building.wish(1).1, building.wish(2).1);
    let device = &building.devices[0];
    assert!(device.plant_at(1, number(&card)));
    let user = device.rows("users")[0]["id"].as_i64().expect("an id");
    let no = Says::at_once(false);
    let attended = online(&building, &json!({}), no.clone()).await;
    assert_eq!(device.swipe(1, number(&card)).await, by_server(event::DENIED, user, 1));
    drop(attended);
    let yes = Says::at_once(true);
    let _attended = online(&building, &json!({}), yes.clone()).await;
    assert_eq!(device.swipe(1, number(&card)).await, by_server(event::GRANTED, user, 2));
    assert_eq!(device.swipe(2, number(&stranger)).await, by_server(event::GRANTED, 0, 3));
    let about = |point: &str, card: &Card| (point.to_owned(), Some(card.to_string()));
    assert_eq!(no.asked(), [about("a", &card)]);
    assert_eq!(yes.asked(), [about("a", &card), about("b", &stranger)]);
}

#[tokio::test]
async fn each_device_is_answered_about_its_own_doors() {
    let building = Building::open().await;
    let yes = Says::at_once(true);
    let _attended = online(&building, &json!({}), yes.clone()).await;
    let cards = [1, 2].map(|n| building.wish(n).1);
    let [at_first, at_second] = [0, 1].map(|n| building.devices[n].swipe(1, number(&cards[n])));
    let (at_first, at_second) = tokio::join!(at_first, at_second);
    assert!(at_first.opened && at_second.opened, "{at_first:?} {at_second:?}");
    let mut asked = yes.asked();
    asked.sort();
    let about = |point: &str, card: &Card| (point.to_owned(), Some(card.to_string()));
    assert_eq!(asked, [about("a", &cards[0]), about("c", &cards[1])]);
    // A portal that the configuration does not name is no door of ours.
    let unnamed = building.devices[1].swipe(2, number(&cards[1])).await;
    assert_eq!((unnamed.event, unnamed.opened, yes.asked().len()), (event::DENIED, false, 2));
}

#[tokio::test]
async fn who_decides_too_slowly_has_said_no_in_time() {
    let building = Building::open().await;
    let slow = Says::after(true, DECIDED_WITHIN * 20);
    let _attended = online(&building, &json!({}), slow).await;
    let before = Instant::now();
    let swipe = building.devices[0].swipe(1, number(&building.wish(1).1)).await;
    assert_eq!(swipe, by_server(event::DENIED, 0, 1), "the device did not go on alone");
    // It waits for 2 s before it asks again.
    assert!(before.elapsed() < Duration::from_secs(2), "{:?}", before.elapsed());
}

/// Where a device asks.
pub(crate) fn server_of(device: &Device) -> String {
    let rows = device.rows("devices");
    let ours = rows.iter().find(|row| row["name"] == "cardea").expect("it knows us");
    ours["ip"].as_str().expect("an address").to_owned()
}

/// Asks as a device would, from an address of this machine. `None` when nobody answers.
pub(crate) async fn ask(from: [u8; 4], url: &str, body: &str) -> Option<Value> {
    let client = reqwest::Client::builder().no_proxy().local_address(IpAddr::V4(Ipv4Addr::from(from)));
    let client = client.build().expect("a client");
    let sent = client.post(url).body(body.to_owned()).send().await.ok()?;
    assert_eq!(sent.status(), 200, "{url} {body:.60}");
    sent.json().await.ok()
}

pub(crate) const HERE: [u8; 4] = [127, 0, 0, 1];

#[tokio::test]
async fn an_answer_is_as_the_vendor_has_it() {
    let building = Building::open().await;
    // The number of a portal is not that of its door.
    let devices = json!([
        { "device_id": IDS[0], "url": format!("http://{}", building.devices[0].address()),
          "portals": { "2": { "name": "b", "door": 1 } } },
    ]);
    let yes = Says::at_once(true);
    let attended = online(&building, &json!({ "devices": devices }), yes.clone()).await;
    let base = server_of(&building.devices[0]);
    assert!(base.ends_with("/cardea/online"), "{base}");
    let question = format!("device_id={}&portal_id=2&user_id=6&card_value=9&event=8&duress=0", IDS[0]);
    let result = |event: u8, actions: Value| {
        json!({ "result": {
            "event": event, "user_id": 6, "user_name": "", "user_image": false, "portal_id": 2,
            "actions": actions,
        } })
    };
    let door = json!([{ "action": "door", "parameters": "door=1" }]);
    for command in ["new_user_identified.fcgi", "new_card.fcgi"] {
        let answer = ask(HERE, &format!("{base}/{command}"), &question).await;
        assert_eq!(answer, Some(result(7, door.clone())), "{command}");
    }
    // What is asked by these is about no card, whatever it may say.
    for command in [
        "new_user_id_and_password.fcgi",
        "new_biometric_image.fcgi",
        "new_biometric_template.fcgi",
        "new_qrcode.fcgi",
        "new_uhf_tag.fcgi",
    ] {
        let asked = yes.asked().len();
        let answer = ask(HERE, &format!("{base}/{command}"), &question).await;
        assert_eq!(answer, Some(result(6, json!([]))), "{command}");
        assert_eq!(yes.asked()[asked..], [("b".to_owned(), None::<String>)], "{command}");
    }
    let image = ask(HERE, &format!("{base}/new_biometric_image.fcgi"), "\u{1}\u{2}\u{3}").await;
    assert_eq!(image.expect("an answer")["result"]["event"], 6);
    let pressed = ask(HERE, &format!("{base}/new_rex_log.fcgi"), &question).await;
    assert_eq!(pressed, Some(json!({})), "nothing is asked");
    drop(attended);
    let _attended = online(&building, &json!({}), Says::at_once(false)).await;
    let base = server_of(&building.devices[0]);
    let answer = ask(HERE, &format!("{base}/new_user_identified.fcgi"), &question).await;
    assert_eq!(answer, Some(result(6, json!([]))));
}

#[tokio::test]
async fn what_is_no_question_of_a_door_of_ours_is_answered_with_no_and_decided_by_nobody() {
    let building = Building::open().await;
    let yes = Says::at_once(true);
    let _attended = online(&building, &json!({}), yes.clone()).await;
    let url = format!("{}/new_user_identified.fcgi", server_of(&building.devices[0]));
    let ours = IDS[0];
    for body in [
        String::new(),
        "{\"device_id\": 14227560204340541}".into(),
        format!("device_id={ours}&card_value=9"),
        format!("device_id={ours}&portal_id=3&card_value=9"),
        format!("device_id={ours}&portal_id=one&card_value=9"),
        format!("device_id={ours}&portal_id=1&card_value=9&card_value=10"),
        format!("device_id={ours}&portal_id=1&card_value=99999999999999999999"),
        "device_id=77&portal_id=1&card_value=9".into(),
        format!("device_id={ours}&portal_id=1&card_value=9&user_name={}", "x".repeat(64 * 1024)),
    ] {
        let answer = ask(HERE, &url, &body).await.unwrap_or_else(|| panic!("an answer to {body:.60}"));
        assert_eq!(answer["result"]["event"], 6, "{body:.60}");
        assert_eq!(answer["result"]["actions"], json!([]), "{body:.60}");
    }
    assert!(yes.asked().is_empty(), "{:?}", yes.asked());
    let whole = format!("device_id={ours}&portal_id=1&card_value=9");
    assert_eq!(ask(HERE, &url, &whole).await.expect("an answer")["result"]["event"], 7);
}

#[tokio::test]
async fn a_device_that_says_it_is_another_is_let_in_nowhere() {
    let building = Building::open().await;
    let yes = Says::at_once(true);
    let _attended = online(&building, &json!({}), yes.clone()).await;
    building.devices[0].misbehave(Misbehaviour::OtherDevice(77));
    let swipe = building.devices[0].swipe(1, number(&building.wish(1).1)).await;
    assert_eq!(swipe, by_server(event::DENIED, 0, 1));
    assert!(yes.asked().is_empty(), "{:?}", yes.asked());
}

#[tokio::test]
async fn who_calls_from_elsewhere_is_not_answered_and_no_device_for_another() {
    let building = Building::open().await;
    let yes = Says::at_once(true);
    // The second device is at another address, where nobody answers.
    let devices = json!([
        { "device_id": IDS[0], "url": format!("http://{}", building.devices[0].address()),
          "portals": { "1": { "name": "a", "door": 1 } } },
        { "device_id": IDS[1], "url": "http://127.0.0.3:1", "portals": { "1": { "name": "c", "door": 1 } } },
    ]);
    let _attended = attend(&building, &json!({ "devices": devices }), yes.clone());
    for _ in 0..400 {
        if building.devices[0].rows("devices").iter().any(|row| row["name"] == "cardea") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let url = format!("{}/new_user_identified.fcgi", server_of(&building.devices[0]));
    let question = |device: usize| format!("device_id={}&portal_id=1&card_value=9", IDS[device]);
    let event = |answer: Option<Value>| answer.map(|answer| answer["result"]["event"].clone());
    assert_eq!(event(ask([127, 0, 0, 2], &url, &question(0)).await), None, "a stranger");
    assert_eq!(event(ask(HERE, &url, &question(1)).await), Some(json!(6)), "one in the name of another");
    assert_eq!(event(ask([127, 0, 0, 3], &url, &question(0)).await), Some(json!(6)), "the other way round");
    assert!(yes.asked().is_empty(), "{:?}", yes.asked());
    assert_eq!(event(ask([127, 0, 0, 3], &url, &question(1)).await), Some(json!(7)));
    assert_eq!(event(ask(HERE, &url, &question(0)).await), Some(json!(7)));
}

#[tokio::test]
async fn while_nobody_answers_nobody_enters_unless_lists_are_meant_to_count() {
    for (out_of_reach, by) in [("deny", Decided::Nobody), ("lists", Decided::Contingency)] {
        let building = Building::open().await;
        let more = json!({ "out_of_reach": out_of_reach });
        let attended = online(&building, &more, Says::at_once(true)).await;
        let wish = building.wish(1);
        attended.connector.apply(&desired(wish, 1, opening(&["a"]))).await.expect("granted");
        let device = &building.devices[0];
        assert_eq!(device.swipe(1, number(&wish.1)).await.by, Decided::Server, "{out_of_reach}");
        drop(attended);
        let swipe = device.swipe(1, number(&wish.1)).await;
        assert_eq!((swipe.opened, swipe.by), (out_of_reach == "lists", by), "{out_of_reach}");
        let stranger = device.swipe(1, number(&building.wish(2).1)).await;
        assert_eq!((stranger.opened, stranger.by), (false, by), "{out_of_reach}");
        // Somebody answers again, at another port, and contingency ends.
        let _attended = online(&building, &more, Says::at_once(false)).await;
        assert_eq!(device.knock().await, out_of_reach == "lists");
        assert_eq!(device.swipe(1, number(&wish.1)).await.by, Decided::Server, "{out_of_reach}");
    }
}

#[tokio::test]
async fn a_device_that_shall_not_ask_us_any_more_decides_again_and_what_others_told_it_stays() {
    let building = Building::open().await;
    let attended = online(&building, &json!({}), Says::at_once(true)).await;
    let wish = building.wish(1);
    attended.connector.apply(&desired(wish, 1, opening(&["a"]))).await.expect("granted");
    let other = json!({ "name": "Another", "ip": "http://127.0.0.1:9", "public_key": "" });
    building.hand(1, "create_objects", json!({ "object": "devices", "values": [other] })).await;
    let rows = building.devices[1].rows("devices");
    let other = rows.iter().find(|row| row["name"] == "Another").expect("it is there");
    let server = json!({ "online_client": { "server_id": other["id"].to_string() } });
    building.hand(1, "set_configuration", server).await;
    drop(attended);
    let device = &building.devices[0];
    let swipe = device.swipe(1, number(&wish.1)).await;
    assert_eq!((swipe.opened, swipe.by), (false, Decided::Nobody), "it was told to ask, and nobody answers");

    let connector = building.connector();
    let answering = connector.clone();
    let attending = tokio::spawn(async move { answering.attend().await }).abort_handle();
    let _attended = Attended { connector: connector.clone(), attending };
    for _ in 0..400 {
        if device.swipe(1, number(&wish.1)).await.by == Decided::Device {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let swipe = device.swipe(1, number(&wish.1)).await;
    assert_eq!((swipe.opened, swipe.by), (true, Decided::Device));
    let found: Vec<_> = connector.health().await.units.into_iter().map(|unit| unit.findings).collect();
    assert_eq!(found, [vec![], vec![Finding::AsksAnother]]);
    // Should it be told to ask somebody else one day, its lists count while it cannot.
    let set = building.asked(0, json!({ "online_client": ["contingency_enabled"] })).await;
    assert_eq!(set, json!({ "online_client": { "contingency_enabled": "1" } }));
}

async fn findings(connector: &Arc<dyn Connector>) -> Vec<Finding> {
    let unit = connector.health().await.units.remove(0);
    assert_eq!(unit.unreachable, None);
    unit.findings
}

#[tokio::test]
async fn a_device_that_could_decide_without_us_is_found() {
    let building = Building::open().await;
    let attended = online(&building, &json!({}), Says::at_once(true)).await;
    let connector = &attended.connector;
    let set = async |section: &str, key: &str, value: &str| {
        building.hand(0, "set_configuration", json!({ section: { key: value } })).await;
    };
    set("online_client", "contingency_enabled", "1").await;
    assert_eq!(findings(connector).await, [Finding::WouldDecideAlone]);
    set("online_client", "contingency_enabled", "0").await;
    let other = json!({ "name": "Another", "ip": "http://10.0.0.9:80", "public_key": "" });
    building.hand(0, "create_objects", json!({ "object": "devices", "values": [other] })).await;
    let rows = building.devices[0].rows("devices");
    let other = rows.iter().find(|row| row["name"] == "Another").expect("it is there");
    let ours = rows.iter().find(|row| row["name"] == "cardea").expect("it is there");
    set("online_client", "server_id", &other["id"].to_string()).await;
    assert_eq!(findings(connector).await, [Finding::AsksAnother]);
    set("online_client", "server_id", "").await;
    assert_eq!(findings(connector).await, [Finding::DecidesAlone]);
    set("online_client", "server_id", &ours["id"].to_string()).await;
    assert_eq!(findings(connector).await, []);
    set("general", "online", "0").await;
    assert_eq!(findings(connector).await, [Finding::DecidesAlone]);
}

#[tokio::test]
async fn firmware_that_cannot_be_forbidden_to_decide_alone_is_found_unless_its_lists_may_count() {
    for (out_of_reach, expect) in [("deny", &[Finding::WouldDecideAlone][..]), ("lists", &[])] {
        let unknown = vec![("online_client", "contingency_enabled"), ("online_client", "alive_interval")];
        let building = Building::with(|options| options.unknown_settings = unknown.clone()).await;
        let attended = attend(&building, &json!({ "out_of_reach": out_of_reach }), Says::at_once(true));
        let card = number(&building.wish(1).1);
        let mut found = findings(&attended.connector).await;
        for _ in 0..400 {
            if found == expect {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
            found = findings(&attended.connector).await;
        }
        assert_eq!(found, expect, "{out_of_reach}");
        assert_eq!(building.devices[0].swipe(1, card).await.by, Decided::Server, "{out_of_reach}");
    }
}

#[tokio::test]
async fn a_device_that_was_set_otherwise_while_nobody_looked_is_set_right_and_that_is_told() {
    let building = Building::open().await;
    drop(online(&building, &json!({}), Says::at_once(true)).await);
    building.hand(0, "set_configuration", json!({ "general": { "online": "0" } })).await;
    let card = number(&building.wish(1).1);
    assert_eq!(building.devices[0].swipe(1, card).await.by, Decided::Device);
    let attended = attend(&building, &json!({}), Says::at_once(true));
    found_set_otherwise(&attended.connector).await;
    assert_eq!(building.devices[0].swipe(1, card).await.by, Decided::Server);
}

/// Waits until it is told that the first device had to be set right, and nothing else is amiss.
async fn found_set_otherwise(connector: &Arc<dyn Connector>) {
    let expect = [vec![Finding::WasSetOtherwise], vec![]];
    let mut found = Vec::new();
    for _ in 0..400 {
        let units = connector.health().await.units.into_iter();
        found = units.map(|unit| unit.findings).collect();
        if found == expect {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(found, expect);
}

#[tokio::test]
async fn a_device_whose_server_was_moved_is_set_right_and_that_is_told() {
    let ours = json!({ "devices": { "name": ["cardea"] } });
    let moved = json!({ "object": "devices", "values": { "ip": "http://10.0.0.9:80" }, "where": ours });
    // The row that is made anew has the same id.
    let gone = json!({ "object": "devices", "where": ours });
    for (command, body) in [("modify_objects", moved), ("destroy_objects", gone)] {
        let building = Building::open().await;
        let attended = online(&building, &json!({}), Says::at_once(true)).await;
        let at = server_of(&building.devices[0]);
        building.hand(0, command, body).await;
        // Five minutes later every device is reminded.
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(301)).await;
        tokio::time::resume();
        found_set_otherwise(&attended.connector).await;
        assert_eq!(server_of(&building.devices[0]), at, "{command}");
    }
}

#[tokio::test]
async fn a_device_that_takes_no_notifications_is_told_all_the_same_whom_to_ask() {
    let unknown = vec![("monitor", "hostname")];
    let building = Building::with(|options| options.unknown_settings = unknown.clone()).await;
    let _attended = attend(&building, &json!({}), Says::at_once(true));
    let card = number(&building.wish(1).1);
    let mut by = Decided::Device;
    for _ in 0..400 {
        by = building.devices[0].swipe(1, card).await.by;
        if by == Decided::Server {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(by, Decided::Server);
}

#[tokio::test]
async fn a_device_that_nobody_told_to_ask_must_not() {
    let building = Building::open().await;
    let connector = building.connector();
    building.hand(0, "set_configuration", json!({ "general": { "online": "1" } })).await;
    assert_eq!(findings(&connector).await, [Finding::AsksAnother]);
}

#[tokio::test]
async fn a_device_that_goes_by_its_list_when_its_cable_is_pulled_opens_and_nobody_promises_that_it_does_not()
{
    let unknown = vec![("online_client", "contingency_enabled")];
    let building = Building::with(|options| options.unknown_settings = unknown.clone()).await;
    let attended = attend(&building, &json!({}), Says::at_once(false));
    let (wish, device) = (building.wish(1), &building.devices[0]);
    attended.connector.apply(&desired(wish, 1, opening(&["a"]))).await.expect("granted");
    for _ in 0..400 {
        if device.swipe(1, number(&wish.1)).await.by == Decided::Server {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    device.misbehave(Misbehaviour::Cut);
    let swipe = device.swipe(1, number(&wish.1)).await;
    assert_eq!((swipe.opened, swipe.by), (true, Decided::Contingency));
    assert_eq!(attended.connector.descriptor().worst_case, WorstCase::UntilReachable);
}

#[tokio::test]
async fn what_it_says_of_itself_depends_on_who_decides_and_is_in_its_configuration() {
    let building = Building::open().await;
    for (more, class) in [
        (json!({}), RevocationClass::R1),
        (json!({ "mode": "online" }), RevocationClass::R0),
        (json!({ "mode": "online", "out_of_reach": "lists" }), RevocationClass::R0),
    ] {
        let connector = building.connector_with(&more);
        let descriptor = connector.descriptor();
        assert_eq!((descriptor.revocation, descriptor.worst_case), (class, WorstCase::UntilReachable));
        let config = building.config(&more);
        assert_eq!(described("controlid", &config).as_ref(), Some(descriptor), "{more}");
    }
    let unread = described("controlid", &json!(null)).expect("a kind that there is");
    assert_eq!(unread.revocation, RevocationClass::R1);
}
