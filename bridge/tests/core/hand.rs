//! A connector with a hand on it: it stops where the test wants, so that a process can die there, or be late.

use std::sync::Arc;

use async_trait::async_trait;
use bridge::card::Card;
use bridge::connector::{
    AccessPointAddress, AckLevel, Connector, ConnectorError, DeniedReason, Descriptor, DesiredCredential, DoorEvent,
    EventCursor, EventKind, EventPage, Health, ListCursor, ListPage, ReadBack, Refusal, Version,
};
use tokio::sync::Notify;

/// Where it stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    Check,
    BeforeApply,
    AfterApply,
    AfterRevoke,
}

#[derive(Debug)]
pub(crate) struct Hand {
    inner: Arc<dyn Connector>,
    stop: Stop,
    reached: Notify,
    go_on: Notify,
}

impl Hand {
    pub(crate) fn on(inner: Arc<dyn Connector>, stop: Stop) -> Arc<Self> {
        Arc::new(Self { inner, stop, reached: Notify::new(), go_on: Notify::new() })
    }

    /// Waits until it has stopped.
    pub(crate) async fn reached(&self) {
        self.reached.notified().await;
    }

    pub(crate) fn go_on(&self) {
        self.go_on.notify_one();
    }

    async fn pass(&self, stop: Stop) {
        if self.stop == stop {
            self.reached.notify_one();
            self.go_on.notified().await;
        }
    }
}

#[async_trait]
impl Connector for Hand {
    fn descriptor(&self) -> &Descriptor {
        self.inner.descriptor()
    }
    fn access_points(&self) -> Vec<AccessPointAddress> {
        self.inner.access_points()
    }
    fn check(&self, desired: &DesiredCredential) -> Result<(), Refusal> {
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(self.pass(Stop::Check)));
        self.inner.check(desired)
    }
    async fn apply(&self, desired: &DesiredCredential) -> Result<AckLevel, ConnectorError> {
        self.pass(Stop::BeforeApply).await;
        let applied = self.inner.apply(desired).await;
        self.pass(Stop::AfterApply).await;
        applied
    }
    async fn revoke(&self, card: &Card, version: Option<Version>) -> Result<AckLevel, ConnectorError> {
        let revoked = self.inner.revoke(card, version).await;
        self.pass(Stop::AfterRevoke).await;
        revoked
    }
    async fn read_back(&self, card: &Card) -> Result<ReadBack, ConnectorError> {
        self.inner.read_back(card).await
    }
    async fn list(&self, cursor: Option<&ListCursor>) -> Result<ListPage, ConnectorError> {
        self.inner.list(cursor).await
    }
    async fn events(&self, cursor: Option<&EventCursor>) -> Result<EventPage, ConnectorError> {
        self.inner.events(cursor).await
    }
    async fn health(&self) -> Health {
        self.inner.health().await
    }
}

/// A connector that tells of one event at the first door, with any reason a panel may give.
#[derive(Debug)]
pub(crate) struct Teller {
    inner: Arc<dyn Connector>,
    event: DoorEvent,
}

impl Teller {
    pub(crate) fn new(inner: Arc<dyn Connector>, number: u32, index: u64, reason: u8) -> Self {
        let kind = match reason {
            7 => DeniedReason::InvalidPin,
            _ => DeniedReason::Other,
        };
        let event = DoorEvent {
            id: format!("told/{index}"),
            index,
            kind: EventKind::Denied(kind),
            at: None,
            access_point: Some("main".into()),
            card: Some(Card::h10301((number / 100_000) as u8, (number % 100_000) as u16)),
            vendor: format!("reason {reason}"),
        };
        Self { inner, event }
    }
}

#[async_trait]
impl Connector for Teller {
    fn descriptor(&self) -> &Descriptor {
        self.inner.descriptor()
    }
    fn access_points(&self) -> Vec<AccessPointAddress> {
        self.inner.access_points()
    }
    fn check(&self, desired: &DesiredCredential) -> Result<(), Refusal> {
        self.inner.check(desired)
    }
    async fn apply(&self, desired: &DesiredCredential) -> Result<AckLevel, ConnectorError> {
        self.inner.apply(desired).await
    }
    async fn revoke(&self, card: &Card, version: Option<Version>) -> Result<AckLevel, ConnectorError> {
        self.inner.revoke(card, version).await
    }
    async fn read_back(&self, card: &Card) -> Result<ReadBack, ConnectorError> {
        self.inner.read_back(card).await
    }
    async fn list(&self, cursor: Option<&ListCursor>) -> Result<ListPage, ConnectorError> {
        self.inner.list(cursor).await
    }
    async fn events(&self, cursor: Option<&EventCursor>) -> Result<EventPage, ConnectorError> {
        let next = cursor.cloned().unwrap_or_else(|| EventCursor("{}".into()));
        Ok(EventPage { events: vec![self.event.clone()], next, more: false, gaps: Vec::new(), unread: Vec::new() })
    }
    async fn health(&self) -> Health {
        self.inner.health().await
    }
}
