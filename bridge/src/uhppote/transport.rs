//! One controller over UDP: who may send when, how long to wait, and which reply counts.
//!
//! The protocol has no numbers that tie a reply to its request. So each request has a socket, and with it
//! a port, of its own: a reply that comes late finds nobody and can never pass for the answer to the next
//! question. What does not answer exactly our question is dropped, and counted, so that a misbehaving
//! device can be told from a silent one.

use std::io;
use std::net::SocketAddrV4;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::SemaphorePermit;
use tokio::time::{Instant, timeout_at};

use super::message::Ask;
use crate::connector::lanes::{Lane, Lanes, Patience, Stands, Unanswered};

/// Requests of the revocation lane that may be under way at one controller at once.
const REVOCATIONS_AT_ONCE: usize = 8;

/// The way to one controller.
#[derive(Debug)]
pub(super) struct Wire {
    serial: u32,
    address: SocketAddrV4,
    patience: Patience,
    lanes: Lanes,
}

/// Unless the configuration says otherwise.
pub(super) const PATIENCE: Patience = Patience { reply: Duration::from_millis(500), attempts: 3 };

/// The longest that a verb takes. The longest of all is a revocation that has to undo a grant: two deletions with
/// their turns, and between them the rest of the grant.
pub(super) fn verb_limit(patience: Patience) -> Duration {
    patience.request() * 6
}

/// The right to send to a controller now.
pub(super) struct Turn<'a> {
    wire: &'a Wire,
    _permit: SemaphorePermit<'a>,
}

impl Wire {
    pub(super) fn new(serial: u32, address: SocketAddrV4, patience: Patience) -> Self {
        Self { serial, address, patience, lanes: Lanes::new(patience.request(), REVOCATIONS_AT_ONCE) }
    }

    pub(super) const fn serial(&self) -> u32 {
        self.serial
    }

    pub(super) const fn address(&self) -> SocketAddrV4 {
        self.address
    }

    pub(super) const fn patience(&self) -> Patience {
        self.patience
    }

    /// Waits for a turn in a lane.
    pub(super) async fn turn(&self, lane: Lane) -> Result<Turn<'_>, Unanswered> {
        let permit = self.lanes.turn(lane, self.serial).await?;
        Ok(Turn { wire: self, _permit: permit })
    }

    /// Waits for a turn, asks, and waits for the answer.
    pub(super) async fn ask<A: Ask>(&self, lane: Lane, ask: &A) -> Result<A::Reply, Unanswered> {
        self.turn(lane).await?.ask_while(ask, &|| true).await
    }

    async fn exchange<A: Ask>(&self, ask: &A, stands: Stands<'_>) -> Result<A::Reply, Unanswered> {
        let socket = self.socket().await.map_err(|error| self.silent(&error))?;
        let request = ask.encode(self.serial);
        let mut noise = 0u32;
        let mut trouble = None;
        for _ in 0..self.patience.attempts {
            if !stands() {
                return Err(Unanswered::Withdrawn);
            }
            let until = Instant::now() + self.patience.reply;
            // A refusal by the network may pass: the next attempt tries again.
            if let Err(error) = socket.send(request.as_bytes()).await {
                trouble = Some(error);
            }
            if let Some(reply) = self.reply(&socket, ask, until, &mut noise).await {
                return Ok(reply);
            }
        }
        Err(match (noise, trouble) {
            (0, Some(error)) => self.silent(&error),
            (0, None) => {
                let Patience { reply, attempts } = self.patience;
                Unanswered::Silent(format!(
                    "{} at {} did not answer {attempts} times within {} ms",
                    self.serial,
                    self.address,
                    reply.as_millis()
                ))
            }
            (noise, _) => Unanswered::Garbled(format!(
                "{} at {} sent {noise} datagrams, none of them an answer to request {:#04x}",
                self.serial,
                self.address,
                A::OPERATION
            )),
        })
    }

    /// The answer, if it comes in time.
    async fn reply<A: Ask>(
        &self,
        socket: &UdpSocket,
        ask: &A,
        until: Instant,
        noise: &mut u32,
    ) -> Option<A::Reply> {
        // One byte more than a packet, so that a longer datagram is seen to be longer.
        let mut buffer = [0; super::packet::LENGTH + 1];
        loop {
            match timeout_at(until, socket.recv(&mut buffer)).await.ok()? {
                Ok(length) => match ask.decode(self.serial, &buffer[..length]) {
                    Some(reply) => return Some(reply),
                    None => *noise = noise.saturating_add(1),
                },
                // Nobody listens there (yet): wait out this attempt instead of burning all at once.
                Err(_) => {
                    tokio::time::sleep_until(until).await;
                    return None;
                }
            }
        }
    }

    /// A port of this request's own that hears only this controller.
    async fn socket(&self) -> io::Result<UdpSocket> {
        let socket = UdpSocket::bind((std::net::Ipv4Addr::UNSPECIFIED, 0)).await?;
        socket.connect(self.address).await?;
        Ok(socket)
    }

    fn silent(&self, error: &io::Error) -> Unanswered {
        Unanswered::Silent(format!("{} at {}: {error}", self.serial, self.address))
    }
}

impl Turn<'_> {
    /// Asks as long as the question stands, and waits for the answer.
    pub(super) async fn ask_while<A: Ask>(
        &self,
        ask: &A,
        stands: Stands<'_>,
    ) -> Result<A::Reply, Unanswered> {
        self.wire.exchange(ask, stands).await
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::super::message::{CountCards, GetCard, GetTime};
    use super::super::packet::Packet;
    use super::*;

    const SERIAL: u32 = 405_419_896;

    /// A socket that answers the nth request with what `script` says.
    async fn responder(
        script: impl Fn(u32, &[u8]) -> Vec<Vec<u8>> + Send + 'static,
    ) -> (SocketAddrV4, Arc<AtomicU32>) {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let SocketAddr::V4(address) = socket.local_addr().unwrap() else { unreachable!() };
        let asked = Arc::new(AtomicU32::new(0));
        let counter = Arc::clone(&asked);
        tokio::spawn(async move {
            let mut buffer = [0; 2048];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                let number = counter.fetch_add(1, Ordering::SeqCst) + 1;
                for datagram in script(number, &buffer[..length]) {
                    let _ = socket.send_to(&datagram, from).await;
                }
            }
        });
        (address, asked)
    }

    fn wire(address: SocketAddrV4) -> Wire {
        Wire::new(SERIAL, address, Patience { reply: Duration::from_millis(60), attempts: 3 })
    }

    /// The reply to [`CountCards`].
    fn count(cards: u32) -> Vec<u8> {
        let mut packet = Packet::new(CountCards::OPERATION, SERIAL);
        packet.put_u32(8, cards);
        packet.as_bytes().to_vec()
    }

    #[tokio::test]
    async fn a_lost_request_is_sent_again() {
        let (address, asked) = responder(|number, _| if number < 3 { vec![] } else { vec![count(5)] }).await;
        assert_eq!(wire(address).ask(Lane::Grants, &CountCards).await, Ok(5));
        assert_eq!(asked.load(Ordering::SeqCst), 3);
    }

    #[tokio::test]
    async fn silence_ends_after_the_last_attempt() {
        let (address, asked) = responder(|_, _| vec![]).await;
        let answer = wire(address).ask(Lane::Grants, &CountCards).await;
        assert_eq!(
            answer,
            Err(Unanswered::Silent(format!("{SERIAL} at {address} did not answer 3 times within 60 ms")))
        );
        assert_eq!(asked.load(Ordering::SeqCst), 3);
    }

    #[tokio::test]
    async fn nobody_listening_is_silence_and_takes_no_longer() {
        let taken = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let SocketAddr::V4(address) = taken.local_addr().unwrap() else { unreachable!() };
        drop(taken);
        assert!(matches!(wire(address).ask(Lane::Grants, &CountCards).await, Err(Unanswered::Silent(_))));
    }

    #[tokio::test]
    async fn what_is_no_answer_is_passed_over() {
        let (address, _) = responder(|_, _| {
            let mut other = count(7);
            other[4] ^= 1;
            let operation = Packet::new(GetTime::OPERATION, SERIAL).as_bytes().to_vec();
            let (short, long) = (count(7)[..63].to_vec(), [count(7), vec![0; 900]].concat());
            vec![vec![], vec![0xa5; 64], short, long, operation, other, count(5)]
        })
        .await;
        assert_eq!(wire(address).ask(Lane::Grants, &CountCards).await, Ok(5));
    }

    #[tokio::test]
    async fn only_nonsense_is_told_from_silence() {
        let (address, _) = responder(|_, _| vec![vec![0xa5; 64], vec![1, 2, 3]]).await;
        let answer = wire(address).ask(Lane::Grants, &CountCards).await;
        assert_eq!(
            answer,
            Err(Unanswered::Garbled(format!(
                "{SERIAL} at {address} sent 6 datagrams, none of them an answer to request 0x58"
            )))
        );
    }

    #[tokio::test]
    async fn a_late_reply_never_answers_the_next_question() {
        // The first question's reply, "not on the list", leaves only when the second one is asked.
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let SocketAddr::V4(address) = socket.local_addr().unwrap() else { unreachable!() };
        let reply = |card: u32| {
            let mut packet = Packet::new(GetCard::OPERATION, SERIAL);
            packet.put_u32(8, card);
            packet
        };
        tokio::spawn(async move {
            let mut buffer = [0; 64];
            let (_, first) = socket.recv_from(&mut buffer).await.unwrap();
            let (_, second) = socket.recv_from(&mut buffer).await.unwrap();
            assert_ne!(first, second, "a port of its own");
            let _ = socket.send_to(reply(0).as_bytes(), first).await;
            let _ = socket.send_to(reply(9).as_bytes(), second).await;
        });
        let once = Patience { reply: Duration::from_millis(60), attempts: 1 };
        let wire = Wire::new(SERIAL, address, once);
        assert!(wire.ask(Lane::Grants, &GetCard(9)).await.is_err());
        let found = wire.ask(Lane::Grants, &GetCard(9)).await.unwrap();
        assert_eq!(found.map(|record| record.number), Some(9));
    }

    #[tokio::test]
    async fn a_question_taken_back_is_not_sent_again() {
        let (address, asked) = responder(|_, _| vec![]).await;
        let sent = Arc::clone(&asked);
        let stands = move || sent.load(Ordering::SeqCst) == 0;
        let wire = wire(address);
        let turn = wire.turn(Lane::Grants).await.unwrap();
        let answer = turn.ask_while(&CountCards, &stands).await;
        assert_eq!(answer, Err(Unanswered::Withdrawn));
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_stuck_grant_delays_no_revocation() {
        // Only deletions are answered.
        let (address, _) = responder(|_, request| {
            let deletion = request[1] == super::super::message::DeleteCard::OPERATION;
            if deletion { vec![request.to_vec()] } else { vec![] }
        })
        .await;
        let wire = wire(address);
        let (stuck, asked) = (wire.ask(Lane::Grants, &CountCards), super::super::message::DeleteCard(1));
        tokio::select! {
            biased;
            _ = stuck => panic!("the revocation waited for the grant"),
            deleted = wire.ask(Lane::Revocations, &asked) => assert_eq!(deleted, Ok(true)),
        }
    }

    #[tokio::test]
    async fn waiting_for_a_turn_is_bounded() {
        let (address, _) = responder(|_, _| vec![]).await;
        let wire = wire(address);
        let answers =
            futures_util::future::join_all((0..5).map(|_| wire.ask(Lane::Grants, &CountCards))).await;
        let busy = format!("{SERIAL} is busy with earlier requests");
        let turned_away = answers.iter().filter(|answer| **answer == Err(Unanswered::Silent(busy.clone())));
        assert!(turned_away.count() >= 3);
    }
}
