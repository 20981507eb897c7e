//! The panel on a socket, and the hands of a tester.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::card::Card;
use super::decision::Swipe;
use super::event::Event;
use super::misbehaviour::{Faults, Misbehaviour};
use super::packet::{Packet, Rejection};
use super::panel::{Answer, Panel};
use super::request::Request;
use crate::Now;

/// How many requests and rejections are remembered; the oldest give way.
const REMEMBERED: usize = 100_000;

/// Which firmware the panel says it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Firmware {
    /// The usual one.
    V8_92,
    /// Pushes events whose first byte is 0x19.
    V6_62,
}

/// What a controller is made of.
#[derive(Clone)]
pub struct ControllerOptions {
    /// Where it listens; port 0 takes a free one.
    pub bind: SocketAddrV4,
    /// The clock behind the panel's own, which can be set over the wire.
    pub now: Now,
    /// The panel's local time.
    pub zone: TimeZone,
    /// Room in the card list.
    pub cards: usize,
    /// Room in the event ring.
    pub events: usize,
    /// What it says it is.
    pub firmware: Firmware,
}

impl ControllerOptions {
    /// A free loopback port, UTC, room for 20,000 cards and 100,000 events, firmware 8.92.
    #[must_use]
    pub fn new(now: Now) -> Self {
        Self {
            bind: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0),
            now,
            zone: TimeZone::UTC,
            cards: 20_000,
            events: 100_000,
            firmware: Firmware::V8_92,
        }
    }
}

/// One request that the panel understood and worked on.
///
/// `replied - received` is the panel's own time, which a benchmark subtracts.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// The operation, the second byte of the request.
    pub operation: u8,
    /// The card it was about, if it was about one.
    pub card: Option<u32>,
    /// When the request was read from the socket.
    pub received: Instant,
    /// When the reply was due to leave (or would have been, had it not been dropped).
    pub replied: Instant,
}

struct Shared {
    serial: u32,
    address: SocketAddrV4,
    now: Now,
    state: Mutex<State>,
}

struct State {
    panel: Panel,
    faults: Faults,
    seen: VecDeque<Seen>,
    rejections: VecDeque<Rejection>,
    rejected: u64,
    power: Option<Power>,
}

/// The running half; dropping it ends the task.
struct Power {
    outgoing: mpsc::UnboundedSender<Datagram>,
    off: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

struct Datagram {
    to: SocketAddr,
    bytes: Vec<u8>,
}

/// A door controller on a UDP port. Dropping it cuts its power.
pub struct Controller {
    shared: Arc<Shared>,
}

impl Controller {
    /// Binds the port and answers from then on. Serial number 0 stands for "everybody" and is refused.
    ///
    /// # Errors
    /// If the port cannot be bound, or the serial number is 0.
    pub async fn start(serial: u32, options: ControllerOptions) -> io::Result<Self> {
        if serial == 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "serial number 0 is everybody's"));
        }
        let socket = UdpSocket::bind(options.bind).await?;
        let SocketAddr::V4(address) = socket.local_addr()? else {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "the protocol knows IPv4 only"));
        };
        let state = State {
            panel: Panel::new(serial, address, &options),
            faults: Faults::default(),
            seen: VecDeque::new(),
            rejections: VecDeque::new(),
            rejected: 0,
            power: None,
        };
        let shared = Shared { serial, address, now: options.now, state: Mutex::new(state) };
        let controller = Self { shared: Arc::new(shared) };
        controller.switch_on(socket);
        Ok(controller)
    }

    /// Where it listens; stays the same over `stop` and `restart`.
    #[must_use]
    pub fn address(&self) -> SocketAddrV4 {
        self.shared.address
    }

    /// Its serial number.
    #[must_use]
    pub fn serial(&self) -> u32 {
        self.shared.serial
    }

    /// Shows a card at door 1..=4: the panel decides, stores the event and pushes it to its listener.
    ///
    /// A panel without power opens nothing and records nothing.
    ///
    /// # Panics
    /// If there is no such door.
    #[must_use]
    pub fn swipe(&self, card: u32, door: u8) -> Swipe {
        let door = index(door);
        let mut state = self.shared.lock();
        if state.power.is_none() {
            return Swipe { granted: false, reason: 0, event: 0 };
        }
        let (swipe, event) = state.panel.swipe(card, door, (self.shared.now)());
        self.shared.push(&mut state, &event);
        swipe
    }

    /// The card list as it is, in slot order.
    #[must_use]
    pub fn cards(&self) -> Vec<Card> {
        self.shared.lock().panel.cards()
    }

    /// The events that are still kept, oldest first.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        self.shared.lock().panel.events()
    }

    /// Puts a card in behind the network's back, as an installer at the panel would. False if it does not fit.
    pub fn plant(&self, card: Card) -> bool {
        self.shared.lock().panel.put(card)
    }

    /// Takes a card out behind the network's back. False if it was not there.
    pub fn uproot(&self, card: u32) -> bool {
        self.shared.lock().panel.delete(card)
    }

    /// The supervisor codes that open door 1..=4 without a card; 0 is none. The wire can set but not read them.
    ///
    /// # Panics
    /// If there is no such door.
    #[must_use]
    pub fn passcodes(&self, door: u8) -> [u32; 4] {
        self.shared.lock().panel.passcodes(index(door))
    }

    /// Whether door and button events were asked for. The wire can set but not read it.
    #[must_use]
    pub fn records_special_events(&self) -> bool {
        self.shared.lock().panel.records_special_events()
    }

    /// From now on, until [`behave`](Self::behave).
    pub fn misbehave(&self, misbehaviour: Misbehaviour) {
        self.shared.lock().faults.add(misbehaviour);
    }

    /// Ends every misbehaviour.
    pub fn behave(&self) {
        self.shared.lock().faults = Faults::default();
    }

    /// The requests that were understood, oldest first, at most the last 100,000.
    #[must_use]
    pub fn requests(&self) -> Vec<Seen> {
        self.shared.lock().seen.iter().copied().collect()
    }

    /// Forgets the requests seen so far.
    pub fn forget_requests(&self) {
        self.shared.lock().seen.clear();
    }

    /// How many datagrams got no answer because they were not proper requests.
    #[must_use]
    pub fn rejected(&self) -> u64 {
        self.shared.lock().rejected
    }

    /// Why they were not, oldest first, at most the last 100,000.
    #[must_use]
    pub fn rejections(&self) -> Vec<Rejection> {
        self.shared.lock().rejections.iter().copied().collect()
    }

    /// Cuts the power: the port is closed when this returns. Stopping twice changes nothing.
    pub async fn stop(&self) {
        let power = self.shared.lock().power.take();
        if let Some(Power { off, task, .. }) = power {
            // Either may already be gone when the runtime is shutting down; then the port is closed as well.
            let _ = off.send(());
            let _ = task.await;
        }
    }

    /// Gives the power back on the same port, with the cards, events and settings of before.
    ///
    /// # Errors
    /// If somebody else has taken the port. Restarting a running panel changes nothing.
    pub async fn restart(&self) -> io::Result<()> {
        if self.shared.lock().power.is_none() {
            let socket = UdpSocket::bind(self.shared.address).await?;
            self.switch_on(socket);
        }
        Ok(())
    }

    fn switch_on(&self, socket: UdpSocket) {
        let (outgoing, queue) = mpsc::unbounded_channel();
        let (off, is_off) = oneshot::channel();
        let shared = Arc::clone(&self.shared);
        let sender = outgoing.clone();
        let task = tokio::spawn(async move {
            tokio::select! {
                () = serve(&shared, &socket, sender, queue) => (),
                _ = is_off => (),
            }
        });
        self.shared.lock().power = Some(Power { outgoing, off, task });
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        // Dropping `Power` drops `off`, which ends the task.
        self.shared.lock().power = None;
    }
}

impl Shared {
    /// A tester's panic elsewhere does not spoil what the panel holds.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, state: &mut State, event: &Event) {
        let (Some(to), false) = (state.panel.listener(), state.faults.silent) else { return };
        let bytes = state.panel.push(event, (self.now)()).0.to_vec();
        state.send(Datagram { to: to.into(), bytes });
    }

    /// What the request at hand gets, or nothing if it does not arrive or is none.
    fn take(&self, bytes: &[u8]) -> Option<Request> {
        let mut state = self.lock();
        if state.faults.silent {
            return None;
        }
        let request = Request::parse(bytes, self.serial);
        if let Err(rejection) = request {
            tracing::debug!(%rejection, "a datagram that is no request");
            state.rejected += 1;
            remember(&mut state.rejections, rejection);
        }
        request.ok()
    }

    /// Carries the request out; gives the datagrams that answer it, and when.
    fn carry_out(&self, operation: u8, request: Request, received: Instant) -> (Vec<Vec<u8>>, Duration) {
        let mut state = self.lock();
        let card = request.card();
        let answer = match state.faults.instead(&request) {
            Some(ok) => Answer { reply: Packet::new(operation, self.serial).flag(8, ok), event: None },
            None => state.panel.answer(request, (self.now)()),
        };
        if let Some(event) = answer.event {
            self.push(&mut state, &event);
        }
        let replies = state.faults.mangle(answer.reply);
        let delay = state.faults.delay;
        remember(&mut state.seen, Seen { operation, card, received, replied: Instant::now() + delay });
        (replies, delay)
    }
}

impl State {
    fn send(&self, datagram: Datagram) {
        if let Some(power) = &self.power {
            // The task may be ending: then the datagram is lost like any other.
            let _ = power.outgoing.send(datagram);
        }
    }
}

/// Answers requests one after the other, as the panel does, and lets datagrams out.
async fn serve(
    shared: &Shared,
    socket: &UdpSocket,
    outgoing: mpsc::UnboundedSender<Datagram>,
    mut queue: mpsc::UnboundedReceiver<Datagram>,
) {
    // One byte more than a packet, so that a longer datagram is seen to be longer.
    let mut buffer = [0; super::packet::LEN + 1];
    loop {
        tokio::select! {
            biased;
            Some(Datagram { to, bytes }) = queue.recv() => {
                if let Err(error) = socket.send_to(&bytes, to).await {
                    tracing::debug!(%to, %error, "a datagram was lost");
                }
            }
            received = socket.recv_from(&mut buffer) => {
                // An ICMP "unreachable" from an earlier reply shows up here and concerns nobody.
                let Ok((length, from)) = received else { continue };
                answer(shared, &buffer[..length], from, &outgoing).await;
            }
        }
    }
}

async fn answer(shared: &Shared, bytes: &[u8], from: SocketAddr, outgoing: &mpsc::UnboundedSender<Datagram>) {
    let received = Instant::now();
    let Some(request) = shared.take(bytes) else { return };
    let busy = shared.lock().faults.busy;
    if !busy.is_zero() {
        tokio::time::sleep(busy).await;
    }
    let (replies, delay) = shared.carry_out(bytes[1], request, received);
    if delay.is_zero() {
        send(outgoing, replies, from);
        return;
    }
    // Weak, so that a reply still under way does not outlive a power cut.
    let outgoing = outgoing.downgrade();
    tokio::spawn(async move {
        tokio::time::sleep(delay).await;
        if let Some(outgoing) = outgoing.upgrade() {
            send(&outgoing, replies, from);
        }
    });
}

fn send(outgoing: &mpsc::UnboundedSender<Datagram>, replies: Vec<Vec<u8>>, to: SocketAddr) {
    for bytes in replies {
        // The panel may have lost its power meanwhile: then the reply is lost with it.
        let _ = outgoing.send(Datagram { to, bytes });
    }
}

fn remember<T>(memory: &mut VecDeque<T>, item: T) {
    if memory.len() == REMEMBERED {
        memory.pop_front();
    }
    memory.push_back(item);
}

fn index(door: u8) -> usize {
    assert!((1..=4).contains(&door), "doors are 1 to 4, not {door}");
    usize::from(door) - 1
}
