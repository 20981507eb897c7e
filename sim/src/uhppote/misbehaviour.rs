//! What can be wrong with a panel or with the wire to it.

use std::time::Duration;

use super::packet::{LEN, Packet};
use super::request::Request;

/// One way to be difficult. Several add up; `Controller::behave` ends them all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misbehaviour {
    /// The wire is cut: requests do not arrive, replies and events do not leave. The doors go on deciding.
    Silent,
    /// The next so many requests are carried out, but their replies are lost.
    DropReplies(u32),
    /// Replies leave this much later; meanwhile the panel goes on.
    DelayReplies(Duration),
    /// Each request keeps the panel busy for this long; the others wait.
    Slow(Duration),
    /// Each reply arrives twice.
    DuplicateReplies,
    /// Replies are 64 bytes of nonsense.
    GarbageReplies,
    /// Replies are cut short.
    ShortReplies,
    /// Replies carry the next serial number.
    WrongSerial,
    /// Cards are not taken, and the panel says so.
    RefusePuts,
    /// Cards are neither taken nor deleted, yet the panel says they were.
    ForgetWrites,
}

/// All that is wrong at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Faults {
    pub(super) silent: bool,
    drop: u32,
    pub(super) delay: Duration,
    pub(super) busy: Duration,
    duplicate: bool,
    garbage: bool,
    short: bool,
    wrong_serial: bool,
    refuse_puts: bool,
    forget_writes: bool,
}

impl Faults {
    pub(super) fn add(&mut self, misbehaviour: Misbehaviour) {
        match misbehaviour {
            Misbehaviour::Silent => self.silent = true,
            Misbehaviour::DropReplies(count) => self.drop = count,
            Misbehaviour::DelayReplies(delay) => self.delay = delay,
            Misbehaviour::Slow(busy) => self.busy = busy,
            Misbehaviour::DuplicateReplies => self.duplicate = true,
            Misbehaviour::GarbageReplies => self.garbage = true,
            Misbehaviour::ShortReplies => self.short = true,
            Misbehaviour::WrongSerial => self.wrong_serial = true,
            Misbehaviour::RefusePuts => self.refuse_puts = true,
            Misbehaviour::ForgetWrites => self.forget_writes = true,
        }
    }

    /// The `ok` that a request gets without being carried out; nothing if it is to be carried out.
    pub(super) fn instead(&self, request: &Request) -> Option<bool> {
        match request {
            Request::PutCard(_) if self.refuse_puts => Some(false),
            Request::PutCard(_) | Request::DeleteCard(_) | Request::DeleteAllCards if self.forget_writes => {
                Some(true)
            }
            _ => None,
        }
    }

    /// What becomes of a reply on its way out: none, one or two datagrams.
    pub(super) fn mangle(&mut self, reply: Packet) -> Vec<Vec<u8>> {
        if self.silent {
            return Vec::new();
        }
        if self.drop > 0 {
            self.drop -= 1;
            return Vec::new();
        }
        let mut bytes = reply.0.to_vec();
        if self.wrong_serial {
            let serial = u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]).wrapping_add(1);
            bytes[4..8].copy_from_slice(&serial.to_le_bytes());
        }
        if self.garbage {
            bytes = vec![0xa5; LEN];
        }
        if self.short {
            bytes.truncate(LEN - 1);
        }
        vec![bytes; if self.duplicate { 2 } else { 1 }]
    }
}
