//! The room itself: what every request is served with.

use std::sync::Arc;

use store::{Db, Ephemeral};
use web::Issuer;

use crate::discovery::Discovery;
use crate::endpoint::ROOT;
use crate::schema::{Registry, ResourceType};

/// The SCIM server over one directory. Cheap to clone; handlers find it as `actix_web::web::Data<Scim>`.
#[derive(Clone)]
pub struct Scim(Arc<Room>);

struct Room {
    db: Db,
    ephemeral: Ephemeral,
    user: Arc<ResourceType>,
    group: Arc<ResourceType>,
    base: String,
    discovery: Discovery,
}

impl Scim {
    /// Serves the directory in this database; `ephemeral` remembers where clients are in a list. Addresses in answers
    /// begin with the issuer's.
    #[must_use]
    pub fn new(db: Db, ephemeral: Ephemeral, issuer: Issuer) -> Self {
        let registry = Registry::standard();
        let kind = |name| registry.resource_type(name).expect("the standard has users and groups").clone();
        let (user, group) = (kind("User"), kind("Group"));
        let base = issuer.url(ROOT);
        let discovery = Discovery::new(&registry, &base);
        Self(Arc::new(Room { db, ephemeral, user, group, base, discovery }))
    }

    pub(crate) fn db(&self) -> &Db {
        &self.0.db
    }

    pub(crate) fn ephemeral(&self) -> &Ephemeral {
        &self.0.ephemeral
    }

    pub(crate) fn user_type(&self) -> &ResourceType {
        &self.0.user
    }

    pub(crate) fn group_type(&self) -> &ResourceType {
        &self.0.group
    }

    pub(crate) fn discovery(&self) -> &Discovery {
        &self.0.discovery
    }

    /// The address of a resource.
    pub(crate) fn location(&self, kind: &ResourceType, id: &str) -> String {
        format!("{}{}/{id}", self.0.base, kind.endpoint())
    }
}
