//! Where a fact must go: addresses, and the routes that find them.

use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};

use kernel::Subject;

use crate::Fact;

/// Who goes first in a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// In the order of `due_at`.
    Normal = 0,
    /// Before everything that is not a revocation.
    Revocation = 1,
}

/// One sink that a fact must reach, and what the sink keys its work by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The sink's name.
    pub sink: String,
    /// What order or state is kept by.
    pub subject: Subject,
    /// Whether the sink reconciles (one row per subject) or takes messages (one row per fact).
    pub reconcile: bool,
    /// Who goes first.
    pub priority: Priority,
}

impl Address {
    /// A message: ordered per sink and subject.
    #[must_use]
    pub fn message(sink: impl Into<String>, subject: Subject) -> Self {
        Self { sink: sink.into(), subject, reconcile: false, priority: Priority::Normal }
    }

    /// A hint to a reconciler: look at this subject again.
    #[must_use]
    pub fn reconcile(sink: impl Into<String>, subject: Subject) -> Self {
        Self { sink: sink.into(), subject, reconcile: true, priority: Priority::Normal }
    }

    /// The same, overtaking what is not a revocation.
    #[must_use]
    pub fn revoking(mut self, revokes: bool) -> Self {
        self.priority = if revokes { Priority::Revocation } else { Priority::Normal };
        self
    }

    pub(crate) fn key(&self) -> (&str, &Subject) {
        (&self.sink, &self.subject)
    }
}

type Route = dyn Fn(&Fact) -> Vec<Address> + Send + Sync;

/// Which sinks hear of which facts. Rooms add their routes when they start; door systems come and go.
#[derive(Clone, Default)]
pub struct Sinks {
    routes: Arc<RwLock<Routes>>,
}

type Routes = Vec<(String, Arc<Route>)>;

impl Sinks {
    /// Adds or replaces the route of this name: given a fact, the addresses it goes to.
    pub fn set(
        &self,
        name: impl Into<String>,
        route: impl Fn(&Fact) -> Vec<Address> + Send + Sync + 'static,
    ) {
        let name = name.into();
        let mut routes = self.write();
        routes.retain(|(existing, _)| *existing != name);
        routes.push((name, Arc::new(route)));
    }

    /// Forgets the route of this name.
    pub fn remove(&self, name: &str) {
        self.write().retain(|(existing, _)| existing != name);
    }

    fn write(&self) -> RwLockWriteGuard<'_, Routes> {
        // A panic inside a route leaves the list whole: routes only read.
        self.routes.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn addressed(&self, fact: &Fact) -> Vec<Address> {
        let routes = self.routes.read().unwrap_or_else(PoisonError::into_inner);
        routes.iter().flat_map(|(_, route)| route(fact)).collect()
    }
}

impl std::fmt::Debug for Sinks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sinks")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FactBody;

    #[derive(serde::Serialize, serde::Deserialize)]
    struct Happened {}
    impl FactBody for Happened {
        const KIND: &'static str = "test.happened";
    }

    #[test]
    fn a_route_is_replaced_by_its_name_and_gone_when_removed() {
        let sinks = Sinks::default();
        let fact = Fact::new(Subject::new("user", 1), &Happened {});
        let found = |sinks: &Sinks| {
            sinks.addressed(&fact).into_iter().map(|address| address.sink).collect::<Vec<_>>()
        };
        let to = |sink: &'static str| move |fact: &Fact| vec![Address::message(sink, fact.subject.clone())];
        sinks.set("mail", to("mail-1"));
        sinks.set("door", to("door"));
        sinks.set("mail", to("mail-2"));
        assert_eq!(found(&sinks), ["door", "mail-2"]);
        sinks.remove("door");
        assert_eq!(found(&sinks), ["mail-2"]);
    }
}
