//! The rows that a recorded fact adds: messages, and raised reconcilers.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};

use kernel::id::{DeliveryId, FactId};
use kernel::{Ctx, Timestamp};

use super::Address;
use crate::sql::placeholders;
use crate::{Sql, Value};

/// One fact for one address.
#[derive(Debug, Clone)]
pub(crate) struct Hint {
    pub(crate) address: Address,
    pub(crate) fact: FactId,
}

const COLUMNS: usize = 11;
type Row = [Value; COLUMNS];

const INSERT: &str = "INSERT INTO delivery (id, sink, subject, fact, reconcile, version, done_version, priority, \
                      due_at, created_at, position) VALUES ";

/// Recording raises the version and the priority, is due at once and resets the back-off.
const RAISE: &str = " ON CONFLICT (sink, subject) WHERE reconcile DO UPDATE SET version = delivery.version + 1, \
                     fact = excluded.fact, attempt = 0, due_at = excluded.due_at, dead_at = NULL, \
                     claimed_by = NULL, \
                     created_at = CASE WHEN delivery.due_at IS NULL OR excluded.priority > delivery.priority \
                     THEN excluded.created_at ELSE delivery.created_at END, \
                     priority = CASE WHEN excluded.priority > delivery.priority THEN excluded.priority \
                     ELSE delivery.priority END";

/// At most this many rows in one statement, so that the set of distinct texts stays small enough to cache.
const ROWS_PER_INSERT: usize = 64;

/// A statement and its parameters.
pub(crate) type Statement = (Sql, Vec<Value>);

/// Inserts messages, each after all that wait for the same sink and subject.
pub(crate) fn insert_messages(ctx: &Ctx, positions: &Positions, messages: Vec<Hint>) -> Vec<Statement> {
    let mut firsts: HashMap<(String, String), i64> = HashMap::new();
    let rows = messages.into_iter().map(|message| {
        let position = positions.next(ctx.now());
        let key = (message.address.sink.clone(), message.address.subject.to_string());
        let first = *firsts.entry(key).or_insert(position);
        let mut values = Vec::from(row(ctx, message, position));
        values.push(first.into());
        values
    });
    insert(INSERT, message_tuple, "", rows.collect())
}

/// The position is this process's own, unless a message that waits already was given a later one, by a node
/// whose clock is ahead: then all of this statement move behind it, in their order.
fn message_tuple(first: usize) -> String {
    let [sink, subject, position, first_position] =
        [first + 1, first + 2, first + COLUMNS - 1, first + COLUMNS];
    format!(
        "({}, ${position} + COALESCE((SELECT MAX(position) - ${first_position} + 1 FROM delivery WHERE sink = ${sink} \
         AND subject = ${subject} AND NOT reconcile AND dead_at IS NULL AND position >= ${first_position}), 0))",
        placeholders(first, COLUMNS - 1)
    )
}

/// Raises reconcilers: one row per sink and subject, in one order everywhere. PostgreSQL refuses to touch a
/// row twice in one statement, and two transactions that lock in different orders would deadlock.
pub(crate) fn raise_reconcilers(ctx: &Ctx, positions: &Positions, mut hints: Vec<Hint>) -> Vec<Statement> {
    hints.sort_by(|a, b| {
        a.address.key().cmp(&b.address.key()).then(b.address.priority.cmp(&a.address.priority))
    });
    hints.dedup_by(|later, first| later.address.key() == first.address.key());
    let rows = hints.into_iter().map(|hint| Vec::from(row(ctx, hint, positions.next(ctx.now()))));
    insert(INSERT, |first| format!("({})", placeholders(first, COLUMNS)), RAISE, rows.collect())
}

/// Inserts rows, many in one statement. `tuple` writes one row's part from its first parameter on.
pub(crate) fn insert(
    head: &str,
    tuple: impl Fn(usize) -> String,
    tail: &str,
    rows: Vec<Vec<Value>>,
) -> Vec<Statement> {
    let mut rows = rows.into_iter().peekable();
    let mut statements = Vec::new();
    while rows.peek().is_some() {
        let (mut tuples, mut values) = (Vec::new(), Vec::new());
        for row in rows.by_ref().take(ROWS_PER_INSERT) {
            tuples.push(tuple(values.len() + 1));
            values.extend(row);
        }
        statements.push((Sql::assembled(format!("{head}{}{tail}", tuples.join(", "))), values));
    }
    statements
}

fn row(ctx: &Ctx, hint: Hint, position: i64) -> Row {
    let Hint { address, fact } = hint;
    let now = ctx.now();
    [
        DeliveryId::new(ctx).into(),
        address.sink.into(),
        address.subject.into(),
        fact.into(),
        address.reconcile.into(),
        1i64.into(),
        0i64.into(),
        (address.priority as i64).into(),
        now.into(),
        now.into(),
        position.into(),
    ]
}

/// The last position given out: milliseconds times a thousand plus a running number, which keeps the order of
/// what one node records within one millisecond.
#[derive(Debug, Default)]
pub(crate) struct Positions(AtomicI64);

impl Positions {
    fn next(&self, now: Timestamp) -> i64 {
        let floor = now.as_millis().saturating_mul(1000);
        let next = |last: i64| floor.max(last + 1);
        match self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(next(last))) {
            Ok(last) | Err(last) => next(last),
        }
    }
}

#[cfg(test)]
mod tests {
    use kernel::Subject;

    use super::*;
    use crate::Priority;

    fn hint(sink: &str, id: u8, priority: Priority) -> Hint {
        let address = Address::reconcile(sink, Subject::new("user", id));
        Hint {
            address: address.revoking(priority == Priority::Revocation),
            fact: FactId::new(&Ctx::for_tests(1)),
        }
    }

    #[test]
    fn reconcilers_are_raised_once_each_in_one_order_by_the_highest_priority() {
        use Priority::{Normal, Revocation};
        let hints =
            vec![hint("b", 1, Normal), hint("a", 2, Normal), hint("b", 1, Revocation), hint("a", 1, Normal)];
        let statements = raise_reconcilers(&Ctx::for_tests(1), &Positions::default(), hints);
        assert_eq!(statements.len(), 1);
        let rows: Vec<_> = statements[0]
            .1
            .chunks(COLUMNS)
            .map(|row| (row[1].clone(), row[2].clone(), row[7].clone()))
            .collect();
        assert_eq!(
            rows,
            [
                ("a".into(), "user:1".into(), 0i64.into()),
                ("a".into(), "user:2".into(), 0i64.into()),
                ("b".into(), "user:1".into(), 1i64.into()),
            ]
        );
    }

    #[test]
    fn many_rows_are_split_into_statements_that_number_their_parameters_from_1() {
        let rows = (0..150i64).map(|n| vec![n.into(), n.into()]).collect();
        let statements =
            insert("INSERT INTO t VALUES ", |first| format!("({})", placeholders(first, 2)), "", rows);
        let sizes: Vec<_> = statements.iter().map(|(_, values)| values.len()).collect();
        assert_eq!(sizes, [128, 128, 44]);
        assert!(
            statements
                .iter()
                .all(|(sql, _)| sql.text().starts_with("INSERT INTO t VALUES ($1, $2), ($3, $4), "))
        );
        assert!(statements[2].0.text().ends_with("($43, $44)"));
        assert!(insert("", |_| String::new(), "", Vec::new()).is_empty());
    }

    #[test]
    fn positions_only_rise_also_when_the_clock_does_not() {
        let (positions, now) = (Positions::default(), Ctx::for_tests(1).now());
        let mut given: Vec<_> = (0..5_000).map(|_| positions.next(now)).collect();
        given.push(positions.next(Timestamp::EPOCH));
        assert!(given.is_sorted_by(|a, b| a < b));
    }
}
