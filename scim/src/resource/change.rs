//! Changes: POST, PUT, PATCH and DELETE of any kind of resource.
//!
//! Passwords are taken from no client: `password` is passed over and reported as ignored. Okta sends one with
//! every new user and must not fail over it, but a password that an HR system knows would prove nothing.

use directory::DirectoryError;
use directory::group::MemberChange;
use store::{Origin, Tx};

use super::group;
use super::noun::{Draft, Noun};
use super::version::Condition;
use super::wanted::{Budget, Wanted};
use crate::patch::{self, Change, Outcome, PatchOp};
use crate::schema::Name;
use crate::value::{Body, Tree};
use crate::{Scim, ScimError};

/// How often a change is tried over what was read before it makes the others wait.
const ATTEMPTS: usize = 4;

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
        let profile = N::profile(&tree);
        let members = group::ids(members.unwrap_or_default());
        let insert = async |tx: &mut Tx| Ok::<_, ScimError>(N::insert(tx, &profile, &members).await?);
        let row = self.in_tx(origin, insert).await?;
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
        for _ in 0..ATTEMPTS {
            let seen: N = self.get(id).await?;
            condition.check(seen.version())?;
            let (draft, ignored) = self.draft(&seen, edit).await?;
            let Some(draft) = draft else { return Ok(Done { row: seen, ignored }) };
            let at_version = condition.names_version();
            let update = async |tx: &mut Tx| seen.update(tx, &draft, at_version).await;
            if let Some(row) = self.unless_overtaken(origin, update).await? {
                return Ok(Done { row, ignored });
            }
        }
        self.change_locked(origin, id, edit, condition).await
    }

    /// Changes a resource that nobody else changes meanwhile. What other rows say of it is read before, since a
    /// transaction waits for nothing but its own statements; the engine, which needs it only to see that a client
    /// sends back what it has read, runs inside.
    async fn change_locked<N: Noun>(
        &self,
        origin: &Origin,
        id: &str,
        edit: &Edit,
        condition: &Condition,
    ) -> Result<Done<N>, ScimError> {
        let seen: N = self.get(id).await?;
        let current = self.current(&seen).await?;
        let members = self.outcome::<N>(&current, edit)?.delta.members;
        let members = seen.members_changed(self, members).await?;
        let work = async |tx: &mut Tx| {
            let held = self.lock::<N>(tx, id, condition).await?;
            let mut tree = self.tree(&held, &Wanted::default())?;
            tree.put(None, &Name::from("groups"), current.get("groups").cloned());
            let (draft, ignored) = draft(&held, self.outcome::<N>(&tree, edit)?, members);
            let row = match draft {
                Some(draft) => held.update(tx, &draft, true).await?,
                None => held,
            };
            Ok(Done { row, ignored })
        };
        self.in_tx(origin, work).await
    }

    async fn lock<N: Noun>(&self, tx: &mut Tx, id: &str, condition: &Condition) -> Result<N, ScimError> {
        let held = N::lock(tx, id).await?.ok_or_else(|| self.absent::<N>())?;
        condition.check(held.version())?;
        Ok(held)
    }

    /// Deletes a resource.
    pub(crate) async fn delete<N: Noun>(
        &self,
        origin: &Origin,
        id: &str,
        condition: &Condition,
    ) -> Result<(), ScimError> {
        for _ in 0..ATTEMPTS {
            let seen: N = self.get(id).await?;
            condition.check(seen.version())?;
            let delete = async |tx: &mut Tx| seen.delete(tx).await;
            if self.unless_overtaken(origin, delete).await?.is_some() {
                return Ok(());
            }
        }
        let delete = async |tx: &mut Tx| {
            let held: N = self.lock(tx, id, condition).await?;
            Ok::<_, ScimError>(held.delete(tx).await?)
        };
        self.in_tx(origin, delete).await
    }

    /// What an edit writes over the row; `None` when nothing. And the names that it ignores.
    async fn draft<N: Noun>(
        &self,
        seen: &N,
        edit: &Edit,
    ) -> Result<(Option<Draft<N::Profile>>, Vec<String>), ScimError> {
        let outcome = self.outcome::<N>(&self.current(seen).await?, edit)?;
        let members = seen.members_changed(self, outcome.delta.members.clone()).await?;
        Ok(draft(seen, outcome, members))
    }

    /// The resource as its clients see it: they may send back what they read.
    async fn current<N: Noun>(&self, seen: &N) -> Result<Tree, ScimError> {
        let wanted = Wanted { groups: true, ..Wanted::default() };
        let trees = self.trees(std::slice::from_ref(seen), &wanted, &mut Budget::unbounded()).await?;
        trees.into_iter().next().ok_or_else(|| self.absent::<N>())
    }

    /// What the engine makes of the edit.
    fn outcome<N: Noun>(&self, current: &Tree, edit: &Edit) -> Result<Outcome, ScimError> {
        match edit {
            Edit::Replace(body) => patch::replace(N::kind(self), current, body.clone()),
            Edit::Patch(operations) => patch::apply(N::kind(self), current, operations),
        }
    }

    /// Runs one transaction; `None` when another was faster.
    async fn unless_overtaken<T>(
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

    /// Runs one transaction.
    async fn in_tx<T>(
        &self,
        origin: &Origin,
        work: impl AsyncFnOnce(&mut Tx) -> Result<T, ScimError>,
    ) -> Result<T, ScimError> {
        let mut tx = self.db().write(origin.clone()).await?;
        let outcome = work(&mut tx).await;
        tx.end(outcome).await
    }
}

/// What an outcome writes over the row; `None` when nothing. And the names that were ignored.
fn draft<N: Noun>(
    seen: &N,
    outcome: Outcome,
    members: Option<MemberChange>,
) -> (Option<Draft<N::Profile>>, Vec<String>) {
    let Outcome { mut tree, delta, ignored } = outcome;
    settle::<N>(&mut tree);
    let differs =
        |change: &&Change| tree.lookup(change.schema.as_ref(), &change.attribute) != change.before.as_ref();
    let changed: Vec<String> = delta.changes.iter().filter(differs).map(Change::path).collect();
    let ignored = with_secrets(ignored, delta.secrets.into_iter().map(|secret| secret.path));
    if changed.is_empty() && members.is_none() {
        return (None, ignored);
    }
    let mut profile = N::profile(&tree);
    seen.keep(&tree, &mut profile);
    (Some(Draft { profile, changed, members: members.unwrap_or_default() }), ignored)
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
