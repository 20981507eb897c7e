//! Changes: POST, PUT, PATCH and DELETE of any kind of resource.
//!
//! Passwords are taken from no client: `password` is passed over and reported as ignored. Okta sends one with
//! every new user and must not fail over it, but a password that an HR system knows would prove nothing.

use directory::DirectoryError;
use store::{Origin, Tx};

use super::noun::{Draft, Noun};
use super::version::Condition;
use super::wanted::{Budget, Wanted};
use super::{failure, group};
use crate::patch::{self, Change, Outcome, PatchOp};
use crate::room::INTEROP;
use crate::value::{Body, Tree};
use crate::{Scim, ScimError};

/// How often a change is tried when others are faster each time.
const ATTEMPTS: usize = 24;

/// How a request changes a resource.
pub(crate) enum Edit {
    /// PUT.
    Replace(Body),
    /// PATCH.
    Patch(Vec<PatchOp>),
}

/// A resource after a change.
pub(crate) struct Done<N> {
    pub(crate) row: N,
    /// Names that were sent and mean nothing here.
    pub(crate) ignored: Vec<String>,
}

impl Scim {
    /// Makes a resource.
    pub(crate) async fn create<N: Noun>(&self, origin: &Origin, body: Body) -> Result<Done<N>, ScimError> {
        let Body { mut tree, members, secrets, ignored } = body;
        N::begin(&mut tree);
        settle::<N>(&mut tree);
        let profile = N::profile(None, &tree);
        let members = group::ids(members.unwrap_or_default());
        let attempt =
            async || self.in_tx(origin, async |tx: &mut Tx| N::insert(tx, &profile, &members).await).await;
        let row = persistently(attempt).await?;
        Ok(Done { row, ignored: with_secrets(ignored, secrets.into_iter().map(|(path, _)| path)) })
    }

    /// Changes a resource. A change that changes nothing writes nothing.
    pub(crate) async fn change<N: Noun>(
        &self,
        origin: &Origin,
        id: &str,
        edit: &Edit,
        condition: &Condition,
    ) -> Result<Done<N>, ScimError> {
        persistently(async || {
            let seen: N = self.get(id).await?;
            condition.check(seen.version())?;
            let (draft, ignored) = self.draft(&seen, edit).await?;
            let Some(draft) = draft else { return Ok(Some(Done { row: seen, ignored })) };
            let at_version = condition.names_version();
            let work = async |tx: &mut Tx| seen.update(tx, &draft, at_version).await;
            let written = self.in_tx(origin, work).await?;
            Ok(written.map(|row| Done { row, ignored }))
        })
        .await
    }

    /// Deletes a resource.
    pub(crate) async fn delete<N: Noun>(
        &self,
        origin: &Origin,
        id: &str,
        condition: &Condition,
    ) -> Result<(), ScimError> {
        persistently(async || {
            let seen: N = self.get(id).await?;
            condition.check(seen.version())?;
            self.in_tx(origin, async |tx: &mut Tx| seen.delete(tx).await).await
        })
        .await
    }

    /// What an edit writes over the row; `None` when nothing. And the names that it ignores.
    async fn draft<N: Noun>(
        &self,
        seen: &N,
        edit: &Edit,
    ) -> Result<(Option<Draft<N::Profile>>, Vec<String>), ScimError> {
        let Outcome { mut tree, delta, ignored } = self.outcome(seen, edit).await?;
        settle::<N>(&mut tree);
        let differs = |change: &&Change| {
            tree.lookup(change.schema.as_ref(), &change.attribute) != change.before.as_ref()
        };
        let changed: Vec<String> = delta.changes.iter().filter(differs).map(Change::path).collect();
        let ignored = with_secrets(ignored, delta.secrets.into_iter().map(|secret| secret.path));
        let members = delta.members.filter(|members| !members.is_empty());
        if changed.is_empty() && members.is_none() {
            return Ok((None, ignored));
        }
        let members = match members {
            Some(delta) => seen.member_change(self, delta).await?,
            None => Default::default(),
        };
        Ok((Some(Draft { profile: N::profile(Some(seen), &tree), changed, members }), ignored))
    }

    /// What the engine makes of the edit, on the resource as its clients see it: they may send back what they
    /// read.
    async fn outcome<N: Noun>(&self, seen: &N, edit: &Edit) -> Result<Outcome, ScimError> {
        let kind = N::kind(self);
        let wanted = Wanted { groups: true, ..Wanted::default() };
        let current = self.trees(std::slice::from_ref(seen), &wanted, &mut Budget::unbounded()).await?;
        let [current] = &current[..] else { return Err(failure::not_found("resource")) };
        match edit {
            Edit::Replace(body) => patch::replace(kind, current, body.clone()),
            Edit::Patch(operations) => patch::apply(kind, current, operations, INTEROP),
        }
    }

    /// Runs one transaction; `None` when another was faster.
    async fn in_tx<T>(
        &self,
        origin: &Origin,
        work: impl AsyncFnOnce(&mut Tx) -> Result<T, DirectoryError>,
    ) -> Result<Option<T>, ScimError> {
        let mut tx = self.db().write(origin.clone()).await?;
        let outcome = work(&mut tx).await;
        match tx.end(outcome).await {
            Ok(done) => Ok(Some(done)),
            Err(DirectoryError::VersionMismatch) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// Tries again while others are faster.
async fn persistently<T>(attempt: impl AsyncFn() -> Result<Option<T>, ScimError>) -> Result<T, ScimError> {
    for _ in 0..ATTEMPTS {
        if let Some(done) = attempt().await? {
            return Ok(done);
        }
    }
    Err(failure::overtaken())
}

/// From the tree as clients see it to the tree that is stored.
fn settle<N: Noun>(tree: &mut Tree) {
    for derived in ["id", "meta", "groups"] {
        tree.remove(derived);
    }
    // An index takes an empty text for one that nobody else may have.
    if tree.text("externalId") == Some("") {
        tree.remove("externalId");
    }
    N::settle(tree);
}

fn with_secrets(mut ignored: Vec<String>, secrets: impl Iterator<Item = String>) -> Vec<String> {
    ignored.extend(secrets);
    ignored
}
