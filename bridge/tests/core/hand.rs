//! A connector with a hand on it: it stops where the test wants, so that a process can die there, or be late; or it
//! tells of what did not happen, or cannot read some cards, or what happened at a door.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bridge::card::Card;
use bridge::connector::{
    Accepted, AccessPointAddress, Connector, ConnectorError, Descriptor, DesiredCredential, DoorEvent,
    EventCursor, EventPage, Health, ListCursor, ListPage, ReadBack, Refusal, Unit, Version,
};
use tokio::sync::Notify;

/// Where it stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    Check,
    BeforeApply,
    AfterApply,
    BeforeRevoke,
    AfterRevoke,
    AfterEvents,
}

#[derive(Debug)]
pub(crate) struct Hand {
    inner: Arc<dyn Connector>,
    stop: Option<Stop>,
    tells: Option<DoorEvent>,
    cannot_read: Vec<Card>,
    deaf: AtomicBool,
    reached: Notify,
    go_on: Notify,
}

impl Hand {
    fn over(inner: Arc<dyn Connector>) -> Self {
        let (reached, go_on, deaf) = (Notify::new(), Notify::new(), AtomicBool::new(false));
        Self { inner, stop: None, tells: None, cannot_read: Vec::new(), deaf, reached, go_on }
    }

    pub(crate) fn on(inner: Arc<dyn Connector>, stop: Stop) -> Arc<Self> {
        Arc::new(Self { stop: Some(stop), ..Self::over(inner) })
    }

    /// Tells of this event, whatever happens at the doors.
    pub(crate) fn telling(inner: Arc<dyn Connector>, event: DoorEvent) -> Arc<Self> {
        Arc::new(Self { tells: Some(event), ..Self::over(inner) })
    }

    /// Gets no good answer when it asks for one of these cards.
    pub(crate) fn that_cannot_read(inner: Arc<dyn Connector>, cards: Vec<Card>) -> Arc<Self> {
        Arc::new(Self { cannot_read: cards, ..Self::over(inner) })
    }

    /// Cannot read what happened at `yard`, until it hears.
    pub(crate) fn deaf(inner: Arc<dyn Connector>) -> Arc<Self> {
        Arc::new(Self { deaf: AtomicBool::new(true), ..Self::over(inner) })
    }

    pub(crate) fn hear(&self) {
        self.deaf.store(false, Ordering::SeqCst);
    }

    /// Waits until it has stopped.
    pub(crate) async fn reached(&self) {
        self.reached.notified().await;
    }

    pub(crate) fn go_on(&self) {
        self.go_on.notify_one();
    }

    async fn pass(&self, stop: Stop) {
        if self.stop == Some(stop) {
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
    fn units(&self) -> BTreeMap<AccessPointAddress, Unit> {
        self.inner.units()
    }
    fn check(&self, desired: &DesiredCredential) -> Result<(), Refusal> {
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(self.pass(Stop::Check)));
        self.inner.check(desired)
    }
    async fn apply(&self, desired: &DesiredCredential) -> Result<Accepted, ConnectorError> {
        self.pass(Stop::BeforeApply).await;
        let applied = self.inner.apply(desired).await;
        self.pass(Stop::AfterApply).await;
        applied
    }
    async fn revoke(&self, card: &Card, version: Option<Version>) -> Result<Accepted, ConnectorError> {
        self.pass(Stop::BeforeRevoke).await;
        let revoked = self.inner.revoke(card, version).await;
        self.pass(Stop::AfterRevoke).await;
        revoked
    }
    async fn read_back(&self, card: &Card) -> Result<ReadBack, ConnectorError> {
        if self.cannot_read.contains(card) {
            let detail = "no answer that can be read".to_owned();
            return Err(ConnectorError::Protocol { missing: self.access_points(), detail });
        }
        self.inner.read_back(card).await
    }
    async fn list(&self, cursor: Option<&ListCursor>) -> Result<ListPage, ConnectorError> {
        self.inner.list(cursor).await
    }
    async fn events(&self, cursor: Option<&EventCursor>) -> Result<EventPage, ConnectorError> {
        let mut page = self.inner.events(cursor).await?;
        self.pass(Stop::AfterEvents).await;
        if let Some(event) = &self.tells {
            page.events = vec![event.clone()];
        }
        if self.deaf.load(Ordering::SeqCst) {
            page.unread.insert("yard".into(), "a row of its log is no event".into());
        }
        Ok(page)
    }
    async fn health(&self) -> Health {
        self.inner.health().await
    }
}
