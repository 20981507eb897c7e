//! What the endpoints need to know of a kind of resource: `user.rs` and `group.rs` say it.

use directory::DirectoryError;
use directory::group::MemberChange;
use kernel::Timestamp;
use store::{Db, StoreError, Tx};

use super::keys::Key;
use super::wanted::{Budget, Wanted};
use crate::patch::MemberDelta;
use crate::schema::ResourceType;
use crate::value::Tree;
use crate::{Scim, ScimError};

/// Where a row stands among all: when it was made, and its id.
pub(crate) type Place = (Timestamp, String);

/// What an index finds.
pub(crate) enum Found<N> {
    /// The rows.
    Rows(Vec<N>),
    /// Where the rows stand, since they may be many.
    Places(Vec<Place>),
    /// The index does not know everything yet.
    NotYet,
}

/// What is written over a row.
pub(crate) struct Draft<P> {
    /// The columns afterwards.
    pub(crate) profile: P,
    /// Paths of the attributes that differ.
    pub(crate) changed: Vec<String>,
    /// Who joins and leaves.
    pub(crate) members: MemberChange,
}

/// A row of the directory that is a resource of the protocol.
pub(crate) trait Noun: Sized + 'static {
    /// What the directory writes, made from a tree.
    type Profile;
    /// The attribute that is unique among all, in any case.
    const NAME: &'static str;

    /// The definition.
    fn kind(room: &Scim) -> &ResourceType;
    /// The id as text.
    fn id(&self) -> String;
    /// Raised by one at each change.
    fn version(&self) -> i64;
    /// When it was made and last changed.
    fn times(&self) -> (Timestamp, Timestamp);
    /// The stored form of its tree.
    fn document(&self) -> &str;
    /// Where it stands among all.
    fn place(&self) -> Place {
        (self.times().0, self.id())
    }

    /// Sets what a new one has when the client is silent.
    fn begin(tree: &mut Tree);
    /// Sets what a column says better than the document: what must be seen whatever a client took away, and for
    /// comparing everything.
    fn restore(&self, tree: &mut Tree, wanted: &Wanted);
    /// Drops what is worked out anew at each answer.
    fn settle(tree: &mut Tree);
    /// Keeps in the profile what silence of the tree must not change.
    fn keep(&self, tree: &Tree, profile: &mut Self::Profile);
    /// What to write of a settled tree.
    fn profile(tree: &Tree) -> Self::Profile;
    /// Who really joins and leaves.
    async fn member_change(&self, room: &Scim, delta: MemberDelta) -> Result<MemberChange, ScimError>;
    /// The same of what a request says; `None` when it says nothing.
    async fn members_changed(
        &self,
        room: &Scim,
        delta: Option<MemberDelta>,
    ) -> Result<Option<MemberChange>, ScimError> {
        match delta.filter(|delta| !delta.is_empty()) {
            Some(delta) => Ok(Some(self.member_change(room, delta).await?)),
            None => Ok(None),
        }
    }

    /// The row of this id; a text that can be no id has none.
    async fn get(db: &Db, id: &str) -> Result<Option<Self>, StoreError>;
    /// The row of this id, which nobody else changes until the transaction ends.
    async fn lock(tx: &mut Tx, id: &str) -> Result<Option<Self>, StoreError>;
    /// The rows of these ids, in no order.
    async fn of_ids(db: &Db, ids: &[String]) -> Result<Vec<Self>, StoreError>;
    /// What has this key; of places, `limit` at most.
    async fn find(db: &Db, key: &Key, limit: i64) -> Result<Found<Self>, StoreError>;
    /// How many there are.
    async fn count(db: &Db) -> Result<i64, StoreError>;
    /// Rows in the order in which they were made, by position.
    async fn page_at(db: &Db, offset: i64, limit: i64) -> Result<Vec<Self>, StoreError>;
    /// Rows in the same order, after one of them.
    async fn page(db: &Db, after: Option<&Place>, limit: i64) -> Result<Vec<Self>, StoreError>;

    /// Adds to the trees of these rows what is wanted of other rows.
    async fn derive(
        room: &Scim,
        rows: &[Self],
        trees: &mut [Tree],
        wanted: &Wanted,
        budget: &mut Budget,
    ) -> Result<(), ScimError>;
    /// How many of the first rows fit into one list with what is wanted: one at least.
    async fn fitting(db: &Db, rows: &[Self], wanted: &Wanted) -> Result<usize, StoreError>;
    /// Whether an answer to a PATCH with what is wanted is of reasonable size.
    async fn is_small(&self, db: &Db, wanted: &Wanted) -> Result<bool, StoreError>;

    /// Makes a row.
    async fn insert(tx: &mut Tx, profile: &Self::Profile, members: &[String])
    -> Result<Self, DirectoryError>;
    /// Writes over a row; over whatever version there is by now when `at_version` is false and that is safe.
    async fn update(
        &self,
        tx: &mut Tx,
        draft: &Draft<Self::Profile>,
        at_version: bool,
    ) -> Result<Self, DirectoryError>;
    /// Deletes the row.
    async fn delete(&self, tx: &mut Tx) -> Result<(), DirectoryError>;
}
