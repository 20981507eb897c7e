//! Lists: by position, by key, or by looking through everything.

use std::collections::{BTreeMap, HashMap};

use directory::group::Group;
use directory::user::User;
use kernel::Actor;

use super::keys::keys;
use super::noun::{Found, Noun, Place};
use super::walk::{Stand, Walk};
use super::wanted::{Budget, Wanted};
use super::{DEFAULT_PAGE, MAX_PAGE};
use crate::error::ScimType;
use crate::filter::{Bound, Filter};
use crate::list::{ListResponse, Query, SortKey};
use crate::schema::Resolved;
use crate::value::Tree;
use crate::{Scim, ScimError};

/// How many rows are read and evaluated at a time.
const CHUNK: usize = 500;
/// How many comparisons cost as much as reading a row.
const TERMS_PER_ROW: usize = 8;

/// What of a list is asked for.
#[derive(Clone, Copy, Debug)]
struct Window {
    /// How many come before.
    skip: u64,
    /// How many at most.
    count: u64,
}

impl Window {
    fn of(query: &Query) -> Self {
        Self { skip: query.start_index - 1, count: query.count.unwrap_or(DEFAULT_PAGE).min(MAX_PAGE) }
    }

    fn holds(self, position: u64) -> bool {
        position >= self.skip && position - self.skip < self.count
    }
}

/// What an index finds, where it stands; without the row where it is to be read yet.
type Candidates<N> = BTreeMap<Place, Option<N>>;

/// A page of rows, and how many match on all pages.
struct Page<N> {
    total: u64,
    rows: Vec<N>,
}

impl Scim {
    /// The resources that a query asks for.
    ///
    /// # Errors
    /// `invalidFilter`, `invalidValue` for an unknown `sortBy`, `tooMany` when no index answers and the
    /// directory is big.
    pub(crate) async fn list<N: Noun>(
        &self,
        caller: &Actor,
        query: &Query,
    ) -> Result<ListResponse, ScimError> {
        let kind = N::kind(self);
        let filter = query.filter.as_ref().map(|filter| filter.bind(kind)).transpose()?;
        let unknown =
            |path| ScimError::new(ScimType::InvalidValue, format!("sortBy: {path}: no such attribute"));
        let resolve = |path| kind.resolve_attribute(path).ok_or_else(|| unknown(path));
        let order = query.sort_by.as_ref().map(resolve).transpose()?;
        let window = Window::of(query);
        let walk = Walk::new(self.ephemeral(), caller, kind.name());
        let page: Page<N> = match (&filter, &order) {
            (None, None) => self.by_position(&walk, window).await?,
            (filter, None) => self.filtered(filter.as_ref(), window).await?,
            (filter, Some(order)) => self.ordered(filter.as_ref(), order, query.descending, window).await?,
        };
        // A page may hold less than what was asked for (RFC 7644, section 3.4.2.4).
        let projection = query.projection(kind);
        let fitting = N::fitting(self.db(), &page.rows, &Wanted::shown(kind, &projection)).await?;
        if let (None, None, Some(last)) = (filter, order, page.rows[..fitting].last()) {
            let stand = Stand { total: page.total, last: last.place() };
            walk.remember(window.skip + fitting as u64, &stand).await;
        }
        let resources = self.show(&page.rows[..fitting], &projection).await?;
        Ok(ListResponse { total_results: page.total, start_index: query.start_index, resources })
    }

    /// The same over users and groups, in this order (RFC 7644, section 3.4.2.1). A kind that lacks an attribute
    /// of the filter has no match.
    ///
    /// # Errors
    /// As [`Scim::list`]; `invalidValue` for any `sortBy`.
    pub(crate) async fn list_everything(
        &self,
        caller: &Actor,
        query: &Query,
    ) -> Result<ListResponse, ScimError> {
        if query.sort_by.is_some() {
            let why = "sortBy: only resources of one kind can be ordered: ask /Users or /Groups";
            return Err(ScimError::new(ScimType::InvalidValue, why));
        }
        let (total_results, start_index) = (0, query.start_index);
        let mut answer = ListResponse { total_results, start_index, resources: Vec::new() };
        let users = self.append::<User>(caller, query, &mut answer).await?;
        let groups = self.append::<Group>(caller, query, &mut answer).await?;
        match (users, groups) {
            (Some(why), Some(_)) => Err(why),
            _ => Ok(answer),
        }
    }

    /// Adds the resources of one kind; why there are none when the filter does not speak of this kind.
    async fn append<N: Noun>(
        &self,
        caller: &Actor,
        query: &Query,
        answer: &mut ListResponse,
    ) -> Result<Option<ScimError>, ScimError> {
        if let Some(Err(why)) = query.filter.as_ref().map(|filter| filter.bind(N::kind(self))) {
            return Ok(Some(why));
        }
        let rest = Query {
            start_index: query.start_index.saturating_sub(answer.total_results).max(1),
            count: Some(Window::of(query).count - answer.resources.len() as u64),
            ..query.clone()
        };
        let page = self.list::<N>(caller, &rest).await?;
        answer.total_results += page.total_results;
        answer.resources.extend(page.resources);
        Ok(None)
    }

    async fn by_position<N: Noun>(&self, walk: &Walk<'_>, window: Window) -> Result<Page<N>, ScimError> {
        if window.count > 0
            && let Some(stand) = walk.after(window.skip).await
        {
            return self.walk_on(stand, window).await;
        }
        let total = u64::try_from(N::count(self.db()).await?).unwrap_or(0);
        if window.count == 0 || window.skip >= total {
            return Ok(Page { total, rows: Vec::new() });
        }
        let rows = N::page_at(self.db(), signed(window.skip), signed(window.count)).await?;
        Ok(Page { total, rows })
    }

    async fn walk_on<N: Noun>(&self, stand: Stand, window: Window) -> Result<Page<N>, ScimError> {
        let rows = N::page(self.db(), Some(&stand.last), signed(window.count)).await?;
        let seen = window.skip + rows.len() as u64;
        // Where the end is, it is known exactly, and no client waits for those who were deleted meanwhile.
        let total = if (rows.len() as u64) < window.count { seen } else { stand.total.max(seen) };
        Ok(Page { total, rows })
    }

    async fn filtered<N: Noun>(&self, filter: Option<&Bound>, window: Window) -> Result<Page<N>, ScimError> {
        let mut page = Page { total: 0, rows: Vec::new() };
        let visit = |row, _: &Tree| {
            if window.holds(page.total) {
                page.rows.push(row);
            }
            page.total += 1;
        };
        self.each_match(filter, &Wanted::compared(filter, None), visit).await?;
        Ok(page)
    }

    /// Holds the ids and what they are ordered by, not the resources.
    async fn ordered<N: Noun>(
        &self,
        filter: Option<&Bound>,
        order: &Resolved,
        descending: bool,
        window: Window,
    ) -> Result<Page<N>, ScimError> {
        let mut matches: Vec<(SortKey, String)> = Vec::new();
        let visit = |row: N, tree: &Tree| matches.push((SortKey::of(order, tree), row.id()));
        self.each_match(filter, &Wanted::compared(filter, Some(order)), visit).await?;
        matches.sort_by(|(a, _), (b, _)| a.order(b, descending));
        let total = matches.len() as u64;
        let mut rows = Vec::new();
        for (_, (_, id)) in (0..).zip(matches).filter(|(position, _)| window.holds(*position)) {
            rows.extend(N::get(self.db(), &id).await?);
        }
        Ok(Page { total, rows })
    }

    /// Visits what matches, in the order in which it was made.
    async fn each_match<N: Noun>(
        &self,
        filter: Option<&Bound>,
        wanted: &Wanted,
        mut visit: impl FnMut(N, &Tree),
    ) -> Result<(), ScimError> {
        let mut budget = Budget::of_a_search();
        let weight = 1 + filter.map_or(0, Filter::terms) / TERMS_PER_ROW;
        let mut evaluate = async |rows: Vec<N>| {
            budget.spend(rows.len() * weight)?;
            let trees = self.trees(&rows, wanted, &mut budget).await?;
            for (row, tree) in rows.into_iter().zip(&trees) {
                if filter.is_none_or(|filter| filter.matches(N::kind(self), tree)) {
                    visit(row, tree);
                }
            }
            Ok::<_, ScimError>(())
        };
        if let Some(found) = self.candidates::<N>(filter).await? {
            let mut found = found.into_iter().peekable();
            while found.peek().is_some() {
                let chunk = found.by_ref().take(CHUNK).collect();
                evaluate(self.rows(chunk).await?).await?;
            }
            return Ok(());
        }
        let mut rows = N::page(self.db(), None, CHUNK as i64).await?;
        while let Some(last) = rows.last() {
            let next = match rows.len() < CHUNK {
                true => Vec::new(),
                false => N::page(self.db(), Some(&last.place()), CHUNK as i64).await?,
            };
            evaluate(std::mem::replace(&mut rows, next)).await?;
        }
        Ok(())
    }

    /// What can match at all; `None` when no index can say.
    async fn candidates<N: Noun>(&self, filter: Option<&Bound>) -> Result<Option<Candidates<N>>, ScimError> {
        let Some(keys) = filter.and_then(keys::<N>) else { return Ok(None) };
        let (mut candidates, mut budget) = (Candidates::new(), Budget::of_a_search());
        for key in keys {
            match N::find(self.db(), &key, budget.limit()).await? {
                Found::Rows(rows) => candidates.extend(rows.into_iter().map(|row| (row.place(), Some(row)))),
                Found::Places(places) => {
                    budget.spend(places.len())?;
                    for place in places {
                        candidates.entry(place).or_insert(None);
                    }
                }
                Found::NotYet => return Ok(None),
            }
        }
        Ok(Some(candidates))
    }

    /// The rows of candidates, in their order. Who is gone by now is left out.
    async fn rows<N: Noun>(&self, candidates: Candidates<N>) -> Result<Vec<N>, ScimError> {
        let unread = candidates.iter().filter(|(_, row)| row.is_none());
        let ids: Vec<String> = unread.map(|((_, id), _)| id.clone()).collect();
        let read = N::of_ids(self.db(), &ids).await?;
        let mut read: HashMap<String, N> = read.into_iter().map(|row| (row.id(), row)).collect();
        Ok(candidates.into_iter().filter_map(|((_, id), row)| row.or_else(|| read.remove(&id))).collect())
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
