//! What was sent and is not settled. Pure.
//!
//! Time begins to count for a fact when the receiver's machine was seen to have all of it, not when it was written:
//! what waits on our own side does not settle, however long it waits.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// What is sent at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) bytes: Vec<u8>,
    /// The place of the last fact that ends in it; in the midst of a long one none does.
    pub(super) ends: Option<i64>,
}

/// Messages as parts, in their order: as many as fit into `longest` bytes are one part, and what does not fit is many.
pub(super) fn parts(messages: impl Iterator<Item = (i64, Vec<u8>)>, longest: usize) -> VecDeque<Part> {
    let mut parts: VecDeque<Part> = VecDeque::new();
    for (seq, message) in messages {
        match parts.back_mut() {
            Some(part) if part.bytes.len().saturating_add(message.len()) <= longest => {
                part.bytes.extend_from_slice(&message);
                part.ends = Some(seq);
            }
            _ => {
                parts.extend(message.chunks(longest).map(|piece| Part { bytes: piece.to_vec(), ends: None }));
                if let Some(part) = parts.back_mut() {
                    part.ends = Some(seq);
                }
            }
        }
    }
    parts
}

/// In the order of sending.
#[derive(Debug)]
pub(super) struct OnTheWay {
    settle: Duration,
    /// Of all that was sent.
    bytes: u64,
    /// Of all that was taken, and when that was last seen to have grown, or nothing waited.
    taken: u64,
    moved: Instant,
    facts: VecDeque<Sent>,
}

#[derive(Debug)]
struct Sent {
    seq: i64,
    /// How many bytes had been sent when it was.
    end: u64,
    /// When the receiver's machine was seen to have it.
    taken: Option<Instant>,
}

impl OnTheWay {
    /// Nothing yet; what is taken settles after this time.
    pub(super) fn new(settle: Duration, now: Instant) -> Self {
        Self { settle, bytes: 0, taken: 0, moved: now, facts: VecDeque::new() }
    }

    pub(super) fn sent(&mut self, part: &Part) {
        self.bytes += part.bytes.len() as u64;
        self.facts.extend(part.ends.map(|seq| Sent { seq, end: self.bytes, taken: None }));
    }

    /// Whether there is anything of which it is not known that it was taken.
    pub(super) fn waits(&self) -> bool {
        self.facts.back().is_some_and(|fact| fact.taken.is_none())
    }

    /// Of all bytes that were sent at most so many are not taken; that may be more than all.
    pub(super) fn taken_but(&mut self, bytes: u64, now: Instant) {
        let taken = self.bytes.saturating_sub(bytes);
        if taken > self.taken || bytes == 0 {
            (self.taken, self.moved) = (taken, now);
        }
        for fact in self.facts.iter_mut().take_while(|fact| fact.end <= taken) {
            fact.taken = fact.taken.or(Some(now));
        }
    }

    /// For how long the receiver's machine has taken nothing of what waits for it.
    pub(super) fn stands_still(&mut self, now: Instant) -> Duration {
        if !self.waits() {
            self.moved = now;
        }
        now.duration_since(self.moved)
    }

    /// The place up to which all is settled, if it is not the one of the time before.
    pub(super) fn settled(&mut self, now: Instant) -> Option<i64> {
        let is_settled =
            |fact: &&Sent| fact.taken.is_some_and(|taken| now.duration_since(taken) >= self.settle);
        let count = self.facts.iter().take_while(is_settled).count();
        self.facts.drain(..count).next_back().map(|fact| fact.seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTLE: Duration = Duration::from_secs(60);

    fn part(bytes: usize, ends: Option<i64>) -> Part {
        Part { bytes: vec![0; bytes], ends }
    }

    #[test]
    fn parts_are_whole_messages_and_pieces_of_long_ones() {
        let messages = [3, 4, 4, 25, 1, 9, 10, 1];
        let messages = messages.into_iter().zip(1..).map(|(length, seq)| (seq, vec![0; length]));
        let parts = Vec::from(parts(messages, 10));
        let expect = [
            part(7, Some(2)),
            part(4, Some(3)),
            part(10, None),
            part(10, None),
            part(6, Some(5)),
            part(9, Some(6)),
            part(10, Some(7)),
            part(1, Some(8)),
        ];
        assert_eq!(parts, expect);
        assert_eq!(super::parts(std::iter::empty(), 10).len(), 0);
    }

    #[test]
    fn what_waits_on_our_side_does_not_settle_however_long_it_waits() {
        let begun = Instant::now();
        let after = |seconds| begun + Duration::from_secs(seconds);
        let mut on_the_way = OnTheWay::new(SETTLE, Instant::now());
        assert!(!on_the_way.waits());
        for sent in [part(100, Some(1)), part(100, None), part(50, Some(3)), part(10, Some(4))] {
            on_the_way.sent(&sent);
        }
        // More than all waits: the handshake, too.
        on_the_way.taken_but(1_000, after(0));
        assert_eq!(on_the_way.settled(after(1_000)), None);
        // All of the first, and half of what the third is in.
        on_the_way.taken_but(110, after(1_000));
        on_the_way.taken_but(11, after(1_030));
        assert_eq!((on_the_way.settled(after(1_059)), on_the_way.waits()), (None, true));
        assert_eq!(on_the_way.settled(after(1_060)), Some(1));
        assert_eq!(on_the_way.settled(after(9_000)), None);
        on_the_way.taken_but(10, after(9_000));
        on_the_way.taken_but(0, after(9_010));
        // Seen again, it is no younger.
        on_the_way.taken_but(0, after(9_050));
        assert_eq!((on_the_way.settled(after(9_060)), on_the_way.waits()), (Some(3), false));
        assert_eq!(on_the_way.settled(after(9_069)), None);
        assert_eq!(on_the_way.settled(after(9_070)), Some(4));
        assert_eq!((on_the_way.settled(after(9_999)), on_the_way.waits()), (None, false));
    }

    #[test]
    fn a_machine_that_takes_nothing_of_what_waits_is_noticed_and_one_that_rests_is_not() {
        let begun = Instant::now();
        let after = |seconds| begun + Duration::from_secs(seconds);
        let mut on_the_way = OnTheWay::new(SETTLE, begun);
        assert_eq!(on_the_way.stands_still(after(100)), Duration::ZERO, "nothing waits");
        on_the_way.sent(&part(100, Some(1)));
        on_the_way.taken_but(100, after(101));
        assert_eq!(on_the_way.stands_still(after(115)), Duration::from_secs(15));
        on_the_way.taken_but(99, after(116));
        on_the_way.taken_but(99, after(130));
        assert_eq!(on_the_way.stands_still(after(130)), Duration::from_secs(14), "one byte was taken");
        on_the_way.taken_but(0, after(131));
        assert_eq!(on_the_way.stands_still(after(999)), Duration::ZERO);
    }
}
