//! Users and groups as resources: rows of the directory as trees, and trees as rows.
//!
//! A request is answered in three steps that never overlap: read what is committed; work out in memory, with
//! the pure engine, what is to be written; write it in one transaction over the version that was read. When
//! another was faster, all three are done again. Who was overtaken some times takes the row first, and does the
//! rest while the others wait.
//!
//! What it is not: it knows no HTTP ([`crate::endpoint`]) and no SQL (`directory`).
//!
//! To add a kind of resource: a type in the registry, and a `Noun` beside `user.rs` and `group.rs`.

mod change;
mod failure;
mod group;
mod keys;
mod list;
mod noun;
mod user;
mod version;
mod walk;
mod wanted;

pub(crate) use change::{Done, Edit};
pub(crate) use failure::not_found;
pub(crate) use noun::{Noun, Place};
pub(crate) use version::{Condition, Tags, tag};
pub(crate) use wanted::{Budget, Wanted};

use kernel::Timestamp;
use serde_json::Value as Json;
use store::StoreError;

use crate::schema::ResourceType;
use crate::value::{Object, Projection, Tree, Value, write};
use crate::{Scim, ScimError};

/// Most resources in one answer.
pub(crate) const MAX_PAGE: u64 = 1_000;
/// How many are in an answer when the client does not say.
pub(crate) const DEFAULT_PAGE: u64 = 100;
/// Most rows that are read for a filter or an order that no index answers.
pub(crate) const MAX_SCAN: usize = 50_000;
/// Members up to which a group is sent back after a PATCH.
const MANY_MEMBERS: u32 = 1_000;
/// Members of all groups, or groups of all users, in one list, about: a page ends before it has more.
const MAX_LISTED: i64 = 20_000;

impl Scim {
    /// The resource of this id.
    ///
    /// # Errors
    /// 404.
    pub(crate) async fn get<N: Noun>(&self, id: &str) -> Result<N, ScimError> {
        let found = N::get(self.db(), id).await?;
        found.ok_or_else(|| self.absent::<N>())
    }

    fn absent<N: Noun>(&self) -> ScimError {
        not_found(&N::kind(self).name().to_lowercase())
    }

    /// Resources as a client may see them.
    pub(crate) async fn show<N: Noun>(
        &self,
        rows: &[N],
        projection: &Projection,
    ) -> Result<Vec<Json>, ScimError> {
        let kind = N::kind(self);
        let trees = self.trees(rows, &Wanted::shown(kind, projection), &mut Budget::unbounded()).await?;
        Ok(trees.iter().map(|tree| write(kind, tree, projection)).collect())
    }

    /// Resources whole, with what is wanted of other rows.
    async fn trees<N: Noun>(
        &self,
        rows: &[N],
        wanted: &Wanted,
        budget: &mut Budget,
    ) -> Result<Vec<Tree>, ScimError> {
        let trees: Result<Vec<Tree>, StoreError> = rows.iter().map(|row| self.tree(row, wanted)).collect();
        let mut trees = trees?;
        N::derive(self, rows, &mut trees, wanted, budget).await?;
        Ok(trees)
    }

    /// A resource without what is derived from other rows.
    fn tree<N: Noun>(&self, row: &N, wanted: &Wanted) -> Result<Tree, StoreError> {
        let kind = N::kind(self);
        let document: Json = serde_json::from_str(row.document())
            .map_err(|why| StoreError::Inconsistent(format!("document of {}: {why}", row.id())))?;
        let mut tree = Tree::default();
        tree.set("id", Value::text(row.id()));
        for (name, value) in Tree::from_stored(kind, &document).entries().iter() {
            tree.set(name.clone(), value.clone());
        }
        row.restore(&mut tree, wanted);
        tree.set("meta", self.meta(kind, row));
        Ok(tree)
    }

    /// RFC 7643, section 3.1.
    fn meta<N: Noun>(&self, kind: &ResourceType, row: &N) -> Value {
        let (created, last_modified) = row.times();
        let time = |at: Timestamp| Value::DateTime(at.into());
        complex([
            ("resourceType", Value::text(kind.name().to_string())),
            ("created", time(created)),
            ("lastModified", time(last_modified)),
            ("location", Value::Reference(self.location(kind, &row.id()))),
            ("version", Value::text(tag(row.version()))),
        ])
    }
}

fn complex<const N: usize>(parts: [(&str, Value); N]) -> Value {
    Value::Complex(parts.into_iter().map(|(name, value)| (name.into(), value)).collect::<Object>())
}

/// How many of the first rows have no more than `most` together, when each has so many: one at least.
fn fitting(most: i64, counts: impl ExactSizeIterator<Item = i64>) -> usize {
    let (rows, mut sum) = (counts.len(), 0_i64);
    for (at, count) in counts.enumerate() {
        sum = sum.saturating_add(count);
        if sum > most {
            return at.max(1);
        }
    }
    rows
}

/// Sets a list, which is never empty inside a tree.
fn set_list(tree: &mut Tree, name: &str, elements: Vec<Value>) {
    if !elements.is_empty() {
        tree.set(name, Value::Multi(elements));
    }
}
