//! The controller on its socket: silence towards what is no request, misbehaviour, pushes, power cuts.

use std::sync::Arc;
use std::time::Duration;

use jiff::civil::date;
use sim::uhppote::{Card, Controller, ControllerOptions, Misbehaviour, Rejection, reason};
use tokio::net::UdpSocket;
use tokio::time::timeout;

const SERIAL: u32 = 405_419_896;
const CARD: u32 = 12_345_678;

/// How long a reply may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long to wait for what should never come.
const A_WHILE: Duration = Duration::from_millis(150);

async fn start() -> Controller {
    let now = date(2026, 3, 2).at(12, 0, 0, 0).in_tz("UTC").expect("UTC").timestamp();
    let options = ControllerOptions::new(Arc::new(move || now));
    Controller::start(SERIAL, options).await.expect("a free port")
}

fn request(operation: u8, fields: &[(usize, &[u8])]) -> [u8; 64] {
    let mut bytes = [0; 64];
    bytes[0] = 0x17;
    bytes[1] = operation;
    bytes[4..8].copy_from_slice(&SERIAL.to_le_bytes());
    for (at, field) in fields {
        bytes[*at..at + field.len()].copy_from_slice(field);
    }
    bytes
}

fn put(card: u32) -> [u8; 64] {
    let days = [0x20, 0x26, 0x01, 0x01, 0x20, 0x26, 0x12, 0x31];
    request(0x50, &[(8, &card.to_le_bytes()), (12, &days), (20, &[1, 0, 0, 0])])
}

fn get(card: u32) -> [u8; 64] {
    request(0x5a, &[(8, &card.to_le_bytes())])
}

fn delete(card: u32) -> [u8; 64] {
    request(0x52, &[(8, &card.to_le_bytes())])
}

struct Client(UdpSocket);

impl Client {
    async fn to(controller: &Controller) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
        socket.connect(controller.address()).await.expect("loopback");
        Self(socket)
    }

    /// The next datagram, or nothing if none comes in that time.
    async fn receive(&self, patience: Duration) -> Option<Vec<u8>> {
        let mut buffer = [0; 1024];
        let length = timeout(patience, self.0.recv(&mut buffer)).await.ok()?.ok()?;
        Some(buffer[..length].to_vec())
    }

    async fn ask(&self, request: &[u8]) -> Vec<u8> {
        self.0.send(request).await.expect("loopback");
        self.receive(PATIENCE).await.expect("a reply")
    }

    async fn is_unanswered(&self, request: &[u8]) -> bool {
        self.0.send(request).await.expect("loopback");
        self.receive(A_WHILE).await.is_none()
    }

    /// The `ok` of a reply.
    async fn ok(&self, request: &[u8]) -> bool {
        self.ask(request).await[8] == 1
    }
}

#[tokio::test]
async fn what_is_no_request_gets_no_answer_and_is_counted() {
    let controller = start().await;
    let client = Client::to(&controller).await;
    let status = request(0x20, &[]);
    let stranger = request(0x20, &[(4, &(SERIAL + 1).to_le_bytes())]);
    let no_date = request(0x50, &[(8, &CARD.to_le_bytes())]);
    let cases: [(&[u8], Rejection); 5] = [
        (&status[..63], Rejection::Length(63)),
        (&[&status[..], &[0; 100]].concat(), Rejection::Length(65)), // as much of it as was read
        (&stranger, Rejection::Serial(SERIAL + 1)),
        (&no_date, Rejection::Bcd(12)),
        (&request(0xff, &[]), Rejection::Opcode(0xff)),
    ];
    for (bytes, expect) in &cases {
        assert!(client.is_unanswered(bytes).await, "{expect}");
        assert_eq!(controller.rejections().last(), Some(expect));
    }
    assert_eq!(controller.rejected(), cases.len() as u64);
    assert!(controller.requests().is_empty());
    assert!(controller.cards().is_empty());
    assert_eq!(client.ask(&status).await.len(), 64, "it is still there");
}

#[tokio::test]
async fn discovery_is_answered_to_everybody() {
    let controller = start().await;
    let client = Client::to(&controller).await;
    let reply = client.ask(&request(0x94, &[(4, &[0; 4])])).await;
    assert_eq!(reply[..8], request(0x94, &[])[..8]);
}

#[tokio::test]
async fn requests_are_logged_with_card_and_time() {
    let controller = start().await;
    let client = Client::to(&controller).await;
    client.ask(&put(CARD)).await;
    client.ask(&request(0x20, &[])).await;
    client.ask(&delete(CARD)).await;
    let seen = controller.requests();
    let what: Vec<_> = seen.iter().map(|seen| (seen.operation, seen.card)).collect();
    assert_eq!(what, [(0x50, Some(CARD)), (0x20, None), (0x52, Some(CARD))]);
    assert!(
        seen.windows(2)
            .all(|pair| pair[0].received <= pair[0].replied && pair[0].replied <= pair[1].received)
    );
    controller.forget_requests();
    assert!(controller.requests().is_empty());
}

#[tokio::test]
async fn a_swipe_is_pushed_to_the_listener() {
    let controller = start().await;
    let client = Client::to(&controller).await;
    let listener = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port().to_le_bytes();
    assert!(client.ok(&request(0x90, &[(8, &[127, 0, 0, 1]), (12, &port)])).await);
    assert!(client.ok(&put(CARD)).await);

    let pushed = async |patience| {
        let mut buffer = [0; 1024];
        let length = timeout(patience, listener.recv(&mut buffer)).await.ok()?.ok()?;
        assert_eq!((length, buffer[0], buffer[1]), (64, 0x17, 0x20));
        let word = |at: usize| u32::from_le_bytes(buffer[at..at + 4].try_into().unwrap());
        Some((word(4), word(8), buffer[13], buffer[14], word(16), buffer[27]))
    };
    assert!(controller.swipe(CARD, 1).granted);
    assert_eq!(pushed(PATIENCE).await, Some((SERIAL, 1, 1, 1, CARD, reason::GRANTED)));
    assert!(client.ok(&delete(CARD)).await);
    assert!(!controller.swipe(CARD, 1).granted);
    assert_eq!(pushed(PATIENCE).await, Some((SERIAL, 2, 0, 1, CARD, reason::UNKNOWN)));

    controller.misbehave(Misbehaviour::Silent);
    assert_eq!(controller.swipe(CARD, 1).event, 3, "the door goes on deciding");
    assert_eq!(pushed(A_WHILE).await, None, "but nobody hears of it");
    controller.behave();
    assert_eq!(pushed(A_WHILE).await, None, "not even later: the index shows the gap");
}

#[tokio::test]
async fn a_silent_panel_hears_nothing() {
    let controller = start().await;
    let client = Client::to(&controller).await;
    controller.misbehave(Misbehaviour::Silent);
    assert!(client.is_unanswered(&put(CARD)).await);
    assert!(controller.cards().is_empty());
    assert_eq!((controller.rejected(), controller.requests().len()), (0, 0));
    controller.behave();
    assert!(client.ok(&put(CARD)).await);
}

#[tokio::test]
async fn a_dropped_reply_is_not_a_dropped_request() {
    let controller = start().await;
    let client = Client::to(&controller).await;
    controller.misbehave(Misbehaviour::DropReplies(2));
    assert!(client.is_unanswered(&put(CARD)).await);
    assert!(client.is_unanswered(&delete(CARD)).await);
    assert!(controller.cards().is_empty());
    assert!(client.ok(&put(CARD)).await, "the third is answered");
    assert_eq!(controller.requests().len(), 3);
}

#[tokio::test]
async fn delayed_replies_come_late_and_slow_ones_hold_up_the_others() {
    let controller = start().await;
    let client = Client::to(&controller).await;
    controller.misbehave(Misbehaviour::DelayReplies(Duration::from_millis(60)));
    assert!(client.ok(&put(CARD)).await);
    let seen = controller.requests();
    assert!(seen[0].replied - seen[0].received >= Duration::from_millis(60));

    controller.behave();
    controller.forget_requests();
    controller.misbehave(Misbehaviour::Slow(Duration::from_millis(20)));
    client.0.send(&get(CARD)).await.unwrap();
    client.0.send(&get(CARD)).await.unwrap();
    assert!(client.receive(PATIENCE).await.is_some() && client.receive(PATIENCE).await.is_some());
    let seen = controller.requests();
    assert!(seen[1].received >= seen[0].replied, "one after the other");
    assert!(seen.iter().all(|seen| seen.replied - seen.received >= Duration::from_millis(20)));
}

#[tokio::test]
async fn replies_can_be_doubled_garbled_shortened_and_forged() {
    let controller = start().await;
    let client = Client::to(&controller).await;
    controller.misbehave(Misbehaviour::DuplicateReplies);
    let first = client.ask(&put(CARD)).await;
    assert_eq!(client.receive(PATIENCE).await, Some(first));
    assert_eq!(controller.requests().len(), 1);
    controller.behave();

    controller.misbehave(Misbehaviour::GarbageReplies);
    assert_eq!(client.ask(&get(CARD)).await, [0xa5; 64]);
    controller.behave();

    controller.misbehave(Misbehaviour::ShortReplies);
    assert_eq!(client.ask(&get(CARD)).await.len(), 63);
    controller.behave();

    controller.misbehave(Misbehaviour::WrongSerial);
    let reply = client.ask(&get(CARD)).await;
    assert_eq!(reply[4..8], (SERIAL + 1).to_le_bytes());
    assert_eq!(reply[8..12], CARD.to_le_bytes());
}

#[tokio::test]
async fn a_panel_can_refuse_cards_or_lie_about_them() {
    let controller = start().await;
    let client = Client::to(&controller).await;
    controller.misbehave(Misbehaviour::RefusePuts);
    assert!(!client.ok(&put(CARD)).await);
    assert!(controller.cards().is_empty());
    controller.behave();

    controller.misbehave(Misbehaviour::ForgetWrites);
    assert!(client.ok(&put(CARD)).await);
    assert_eq!(client.ask(&get(CARD)).await[8..12], [0; 4], "the read-back tells");
    controller.behave();
    assert!(client.ok(&put(CARD)).await);
    controller.misbehave(Misbehaviour::ForgetWrites);
    assert!(client.ok(&delete(CARD)).await);
    assert_eq!(client.ask(&get(CARD)).await[8..12], CARD.to_le_bytes());
    assert!(controller.swipe(CARD, 1).granted, "the door still opens");
}

#[tokio::test]
async fn a_power_cut_closes_the_port_and_keeps_the_cards() {
    let controller = start().await;
    let client = Client::to(&controller).await;
    assert!(client.ok(&put(CARD)).await);
    assert_eq!(controller.swipe(CARD, 1).event, 1);
    controller.misbehave(Misbehaviour::DelayReplies(Duration::from_millis(50)));
    client.0.send(&get(CARD)).await.unwrap();
    while controller.requests().len() < 2 {
        tokio::task::yield_now().await;
    }
    let address = controller.address();
    controller.stop().await;
    controller.stop().await;
    drop(UdpSocket::bind(address).await.expect("the port is free"));
    let dead = controller.swipe(CARD, 1);
    assert_eq!((dead.granted, dead.reason, dead.event), (false, 0, 0));

    controller.behave();
    controller.restart().await.unwrap();
    controller.restart().await.unwrap();
    assert_eq!(controller.address(), address);
    assert_eq!(client.receive(A_WHILE).await, None, "the reply under way was lost with the power");
    assert_eq!(client.ask(&get(CARD)).await[8..12], CARD.to_le_bytes());
    assert_eq!(controller.swipe(CARD, 1).event, 2, "event numbers go on");
}

#[tokio::test]
async fn an_installer_works_behind_the_networks_back() {
    let controller = start().await;
    let days = (date(2026, 1, 1), date(2026, 12, 31));
    let card = Card { number: CARD, from: days.0, to: days.1, doors: [1; 4], pin: 0, first_card: 0 };
    assert!(controller.plant(card.clone()));
    assert!(!controller.plant(Card { number: 0, ..card.clone() }));
    assert_eq!(controller.cards(), [card]);
    assert!(controller.requests().is_empty());
    assert!(controller.swipe(CARD, 4).granted);
    assert!(controller.uproot(CARD));
    assert!(!controller.uproot(CARD));
    assert_eq!(controller.swipe(CARD, 4).reason, reason::UNKNOWN);
    assert_eq!(controller.events().len(), 2);
}

#[tokio::test]
async fn serial_number_zero_is_everybodys() {
    let now = jiff::Timestamp::UNIX_EPOCH;
    let options = ControllerOptions::new(Arc::new(move || now));
    assert!(Controller::start(0, options).await.is_err());
}
