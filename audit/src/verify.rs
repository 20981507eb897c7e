//! Reading the journal for the walk: page by page, beside a running server.
//!
//! The head is read first and nothing after it is looked at, so facts that are placed meanwhile are no
//! concern. What is compared with a moving head is read in one statement with it.

use std::collections::VecDeque;

use store::{Db, StoreError, sql};

use crate::sequence::Head;
use crate::walk::{End, Line, Walk};
use crate::{AuditError, Checkpoint, Report, What};

/// So many lines are in memory at most.
const PAGE: i64 = 500;
/// So many checkpoints, and inserted lines, are looked at in one place.
const MOST: i64 = 1_000;

/// How far a verification has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The last place that was verified.
    pub seq: i64,
    /// The last place that will be.
    pub until: i64,
}

/// Verifies the journal: every place taken, every link, every body, every checkpoint against the published
/// evidence keys. With `from`, only what comes after that checkpoint, and that the checkpoint itself still
/// stands: keep one elsewhere, and nothing up to it can be taken away unseen.
///
/// `progress` is called after each page. What is wrong is in the report; an error means that it could not be
/// read at all.
pub async fn verify(
    db: &Db,
    jwks: &[u8],
    from: Option<&Checkpoint>,
    mut progress: impl FnMut(Progress),
) -> Result<Report, AuditError> {
    let head = Head::read(db).await?;
    let signed_until = signed_beyond_head(db, jwks).await?;
    let until = head.seq.max(signed_until).max(from.map_or(0, |from| from.seq));
    let mut walk = Walk::from(from);
    if let Some(from) = from {
        check_start(db, from, &mut walk).await?;
    }
    while walk.last() < until && walk_page(db, jwks, until, &mut walk).await? {
        progress(Progress { seq: walk.last(), until });
    }
    for (seq, document) in checkpoints(db, walk.last(), until).await? {
        walk.checkpoint_of_missing(seq, Checkpoint::read(&document, jwks));
    }
    let end = End { head_seq: head.seq, head: head.link(), checkpoint_seq: head.checkpoint_seq, until };
    let mut report = walk.end(&end);
    find_inserted(db, until, &mut report).await?;
    let unsequenced = sql!("SELECT COUNT(*) FROM fact WHERE seq IS NULL");
    let (count,): (i64,) = db.one(unsequenced, ()).await?;
    report.unsequenced = count.unsigned_abs();
    Ok(report)
}

/// The last place over which there is a good checkpoint although the head does not reach it: then it was set
/// back.
async fn signed_beyond_head(db: &Db, jwks: &[u8]) -> Result<i64, StoreError> {
    let beyond: Vec<(i64, String)> = db
        .all(
            sql!(
                "SELECT c.seq, c.jws FROM checkpoint c, chain_head h WHERE c.seq > h.seq \
                 ORDER BY c.seq DESC LIMIT $1"
            ),
            (MOST,),
        )
        .await?;
    let good = |(seq, document): &(i64, String)| {
        Checkpoint::read(document, jwks).is_ok_and(|checkpoint| checkpoint.seq == *seq)
    };
    Ok(beyond.iter().find(|row| good(row)).map_or(0, |(seq, _)| *seq))
}

async fn check_start(db: &Db, from: &Checkpoint, walk: &mut Walk) -> Result<(), StoreError> {
    let row: Option<(Option<String>,)> =
        db.opt(sql!("SELECT chain FROM fact WHERE seq = $1"), (from.seq,)).await?;
    match row {
        None => walk.report.found(from.seq, None, What::Missing { until: from.seq }),
        Some((chain,)) if chain != Some(from.chain.to_string()) => {
            walk.report.found(from.seq, None, What::Relinked);
        }
        Some(_) => {}
    }
    Ok(())
}

/// Walks the next lines; `false` when there are none.
async fn walk_page(db: &Db, jwks: &[u8], until: i64, walk: &mut Walk) -> Result<bool, StoreError> {
    let read = match lines(db, walk.last(), until, PAGE).await {
        Ok(lines) => lines.into_iter().map(Ok).collect(),
        Err(StoreError::Inconsistent(_)) => one_by_one(db, walk.last(), until).await?,
        Err(error) => return Err(error),
    };
    let Some(last) = read.last().map(place) else { return Ok(false) };
    let mut signed: VecDeque<_> = checkpoints(db, walk.last(), last).await?.into();
    for line in read {
        let seq = place(&line);
        while let Some((of_missing, document)) = signed.pop_front_if(|(signed, _)| *signed < seq) {
            walk.checkpoint_of_missing(of_missing, Checkpoint::read(&document, jwks));
        }
        match line {
            Ok(line) => walk.line(&line),
            Err(seq) => walk.unreadable(seq),
        }
        if let Some((_, document)) = signed.pop_front_if(|(signed, _)| *signed == seq) {
            walk.checkpoint(seq, Checkpoint::read(&document, jwks));
        }
    }
    Ok(true)
}

/// A line, or the place of one that does not read.
type Read = Result<Line, i64>;

fn place(line: &Read) -> i64 {
    line.as_ref().map_or_else(|seq| *seq, |line| line.seq)
}

async fn lines(db: &Db, after: i64, until: i64, limit: i64) -> Result<Vec<Line>, StoreError> {
    db.all(
        sql!(
            "SELECT seq, id, at, kind, subject, actor, request_id, digest, salt, body, chain FROM fact \
             WHERE seq > $1 AND seq <= $2 ORDER BY seq LIMIT $3"
        ),
        (after, until, limit),
    )
    .await
}

/// A page of which some line does not read: which?
async fn one_by_one(db: &Db, mut after: i64, until: i64) -> Result<Vec<Read>, StoreError> {
    let mut read = Vec::new();
    for _ in 0..PAGE {
        let line = match lines(db, after, until, 1).await {
            Ok(lines) => lines.into_iter().next().map(Ok),
            Err(StoreError::Inconsistent(_)) => next_place(db, after, until).await?.map(Err),
            Err(error) => return Err(error),
        };
        let Some(line) = line else { break };
        after = place(&line);
        read.push(line);
    }
    Ok(read)
}

async fn next_place(db: &Db, after: i64, until: i64) -> Result<Option<i64>, StoreError> {
    let next = sql!("SELECT seq FROM fact WHERE seq > $1 AND seq <= $2 ORDER BY seq LIMIT 1");
    Ok(db.opt::<(i64,)>(next, (after, until)).await?.map(|(seq,)| seq))
}

async fn checkpoints(db: &Db, after: i64, until: i64) -> Result<Vec<(i64, String)>, StoreError> {
    let signed = sql!("SELECT seq, jws FROM checkpoint WHERE seq > $1 AND seq <= $2 ORDER BY seq LIMIT $3");
    db.all(signed, (after, until, MOST)).await
}

/// Lines with places that nobody gave.
async fn find_inserted(db: &Db, until: i64, report: &mut Report) -> Result<(), StoreError> {
    let inserted: Vec<(i64, String)> = db
        .all(
            sql!(
                "SELECT f.seq, f.id FROM fact f, chain_head h WHERE f.seq > h.seq AND f.seq > $1 \
                 ORDER BY f.seq LIMIT $2"
            ),
            (until, MOST),
        )
        .await?;
    let below: Vec<(i64, String)> =
        db.all(sql!("SELECT seq, id FROM fact WHERE seq < 1 ORDER BY seq LIMIT $1"), (MOST,)).await?;
    for (seq, fact) in below.into_iter().chain(inserted) {
        report.found(seq, Some(fact), What::Inserted);
    }
    Ok(())
}
