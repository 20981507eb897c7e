//! Walking along the journal and telling what is wrong with which line. Pure: lines and checkpoints in,
//! findings out, in bounded memory.
//!
//! A line whose link does not fit is in *doubt*: either its envelope was changed or its link. The next line
//! tells, since it was linked to what stood here before. So one change gives one finding, at its line, and
//! the walk goes on behind it.

use keys::VerifyError;
use store::SALT_LENGTH;

use crate::chain::{Envelope, Link, digest};
use crate::{Checkpoint, Report, What};

/// A fact as the journal holds it, every text unread.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct Line {
    pub(crate) seq: i64,
    pub(crate) id: String,
    pub(crate) at: i64,
    pub(crate) kind: String,
    pub(crate) subject: String,
    pub(crate) actor: String,
    pub(crate) request_id: Option<String>,
    pub(crate) digest: String,
    pub(crate) salt: Option<String>,
    pub(crate) body: Option<String>,
    pub(crate) chain: Option<String>,
}

impl Line {
    fn envelope(&self) -> Envelope<'_> {
        Envelope {
            seq: self.seq,
            id: &self.id,
            at: self.at,
            kind: &self.kind,
            subject: &self.subject,
            actor: &self.actor,
            request_id: self.request_id.as_deref(),
            digest: &self.digest,
        }
    }

    fn is_erased(&self) -> bool {
        self.salt.is_none() && self.body.is_none()
    }

    fn body_fits(&self) -> bool {
        match (&self.salt, &self.body) {
            // Only with a length that is known does the digest say where the salt ends.
            (Some(salt), Some(body)) => salt.len() == SALT_LENGTH && digest(salt, body) == self.digest,
            _ => self.is_erased(),
        }
    }

    fn link(&self) -> Option<Link> {
        Link::parse(self.chain.as_deref()?)
    }
}

/// A line whose link does not fit.
struct Doubt {
    seq: i64,
    fact: String,
    /// What its link would be, were its envelope right.
    computed: Link,
}

/// Where the journal ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End {
    /// The place that the head names.
    pub(crate) head_seq: i64,
    /// The link that it names.
    pub(crate) head: Option<Link>,
    /// The checkpoint that it names.
    pub(crate) checkpoint_seq: i64,
    /// The last place that the head or a signature vouches for.
    pub(crate) until: i64,
}

/// How far the walk has come.
pub(crate) struct Walk {
    /// The place of the last line.
    last: i64,
    /// Its link, as it stands there. `None` when that cannot be known: the next line is then believed.
    link: Option<Link>,
    doubt: Option<Doubt>,
    /// The place of the last checkpoint.
    checkpoint: i64,
    pub(crate) report: Report,
}

impl Walk {
    /// From the beginning, or from what a checkpoint vouches for.
    pub(crate) fn from(checkpoint: Option<&Checkpoint>) -> Self {
        let (last, link) = checkpoint.map_or((0, Link::BEGINNING), |at| (at.seq, at.chain));
        Self { last, link: Some(link), doubt: None, checkpoint: last, report: Report::default() }
    }

    pub(crate) fn last(&self) -> i64 {
        self.last
    }

    /// The next line in the order of `seq`.
    pub(crate) fn line(&mut self, line: &Line) {
        self.gap_before(line.seq);
        let stored = line.link();
        let from_stored = self.link.map(|link| link.next(&line.envelope()));
        let from_computed = self.doubt.as_ref().map(|doubt| doubt.computed.next(&line.envelope()));
        let fits = |computed: Option<Link>| computed.is_some() && computed == stored;
        let believed = self.link.is_none() && self.doubt.is_none();
        if fits(from_computed) {
            self.settle(What::ChainChanged);
        } else {
            self.settle(What::EnvelopeChanged);
            if !believed && !fits(from_stored) {
                self.doubt = from_stored.or(from_computed).map(|computed| Doubt {
                    seq: line.seq,
                    fact: line.id.clone(),
                    computed,
                });
            }
        }
        if believed && stored.is_none() {
            self.report.found(line.seq, Some(line.id.clone()), What::ChainChanged);
        }
        if !line.body_fits() {
            self.report.found(line.seq, Some(line.id.clone()), What::BodyChanged);
        }
        self.report.facts += 1;
        self.report.erased += u64::from(line.is_erased());
        self.last = line.seq;
        self.link = stored;
    }

    /// A line whose values do not read, at this place.
    pub(crate) fn unreadable(&mut self, seq: i64) {
        self.gap_before(seq);
        self.settle(What::EnvelopeChanged);
        self.report.found(seq, None, What::Unreadable);
        self.last = seq;
        self.link = None;
    }

    /// The checkpoint of the line that was just walked.
    pub(crate) fn checkpoint(&mut self, seq: i64, document: Result<Checkpoint, VerifyError>) {
        if self.signed(seq, document).is_some_and(|checkpoint| Some(checkpoint.chain) != self.link) {
            self.report.found(seq, None, What::Relinked);
        }
    }

    /// A checkpoint over a line that is not there.
    pub(crate) fn checkpoint_of_missing(&mut self, seq: i64, document: Result<Checkpoint, VerifyError>) {
        self.signed(seq, document);
    }

    fn signed(&mut self, seq: i64, document: Result<Checkpoint, VerifyError>) -> Option<Checkpoint> {
        let previous = std::mem::replace(&mut self.checkpoint, seq);
        let what = match document {
            Ok(checkpoint) if checkpoint.seq == seq => {
                if checkpoint.previous != previous {
                    self.report.found(checkpoint.previous, None, What::CheckpointMissing);
                }
                self.report.checkpoints += 1;
                return Some(checkpoint);
            }
            Err(VerifyError::UnknownSigner) => What::CheckpointOfUnknownSigner,
            _ => What::CheckpointChanged,
        };
        self.report.found(seq, None, what);
        None
    }

    /// The end, as the head and the checkpoints say it.
    pub(crate) fn end(mut self, end: &End) -> Report {
        let at_head = end.head_seq == self.last;
        if at_head && self.doubt.as_ref().is_some_and(|doubt| Some(doubt.computed) == end.head) {
            self.settle(What::ChainChanged);
        } else if self.doubt.is_some() {
            self.settle(What::EnvelopeChanged);
        } else if at_head && self.link.is_some() && self.link != end.head {
            self.report.found(self.last, None, What::HeadChanged);
        }
        if self.last < end.until {
            self.report.found(self.last.saturating_add(1), None, What::Missing { until: end.until });
        }
        if end.head_seq < end.until {
            self.report.found(end.head_seq, None, What::HeadChanged);
        }
        if self.checkpoint < end.checkpoint_seq {
            self.report.found(end.checkpoint_seq, None, What::CheckpointMissing);
        }
        self.report.head = self.link.filter(|_| self.last > 0).map(|link| (self.last, link));
        self.report
    }

    fn gap_before(&mut self, seq: i64) {
        let next = self.last.saturating_add(1);
        if seq <= next {
            return;
        }
        self.settle(What::EnvelopeChanged);
        self.report.found(next, None, What::Missing { until: seq - 1 });
        self.link = None;
    }

    fn settle(&mut self, what: What) {
        if let Some(doubt) = self.doubt.take() {
            self.report.found(doubt.seq, Some(doubt.fact), what);
        }
    }
}

#[cfg(test)]
mod tests {
    use kernel::Timestamp;
    use proptest::prelude::*;

    use super::*;

    fn salt(seq: i64) -> String {
        format!("{seq:0SALT_LENGTH$}")
    }

    /// A journal of `count` facts, whole.
    fn journal(count: i64) -> Vec<Line> {
        let mut link = Link::BEGINNING;
        let line = |seq: i64| {
            let (salt, body) = (salt(seq), format!("{{\"n\":{seq}}}"));
            let mut line = Line {
                seq,
                id: format!("id-{seq}"),
                at: 1_000 + seq,
                kind: "user.created".into(),
                subject: format!("user:{seq}"),
                actor: "system".into(),
                request_id: (seq % 2 == 0).then(|| format!("request-{seq}")),
                digest: digest(&salt, &body),
                salt: Some(salt),
                body: Some(body),
                chain: None,
            };
            link = link.next(&line.envelope());
            line.chain = Some(link.to_string());
            line
        };
        (1..=count).map(line).collect()
    }

    /// What a checkpoint over this line says.
    fn signed(lines: &[Line], seq: i64, previous: i64) -> Checkpoint {
        let chain = lines[seq as usize - 1].link().unwrap();
        Checkpoint { seq, chain, at: Timestamp::EPOCH, previous }
    }

    fn end_of(lines: &[Line]) -> End {
        let head_seq = lines.len() as i64;
        let head = lines.last().map_or(Some(Link::BEGINNING), Line::link);
        End { head_seq, head, checkpoint_seq: 0, until: head_seq }
    }

    fn walk(lines: &[Line], end: &End) -> Report {
        let mut walk = Walk::from(None);
        lines.iter().for_each(|line| walk.line(line));
        walk.end(end)
    }

    fn found(report: &Report) -> Vec<(i64, What)> {
        report.findings.iter().map(|finding| (finding.seq, finding.what)).collect()
    }

    type Change = fn(&mut Line);
    const ENVELOPE: [Change; 6] = [
        |line| line.id.push('x'),
        |line| line.at += 1,
        |line| line.kind = "user.deleted".into(),
        |line| line.subject = "user:0".into(),
        |line| line.actor = "operator".into(),
        |line| line.request_id = line.request_id.take().xor(Some(String::new())),
    ];
    const BODY: [Change; 6] = [
        |line| line.salt = Some(line.salt.take().unwrap() + &line.body.as_mut().unwrap().split_off(0)),
        |line| {
            let mut salt = line.salt.take().unwrap();
            let last = salt.pop().unwrap();
            (line.salt, line.body) = (Some(salt), line.body.take().map(|body| format!("{last}{body}")));
        },
        |line| line.body = Some("{}".into()),
        |line| line.salt = Some("pepper".into()),
        |line| line.body = None,
        |line| line.salt = None,
    ];
    const CHAIN: [Change; 3] = [
        |line| line.chain = Some(Link::BEGINNING.to_string()),
        |line| line.chain = Some("no link".into()),
        |line| line.chain = None,
    ];

    #[test]
    fn a_whole_journal_is_good() {
        for count in [0, 1, 2, 50] {
            let lines = journal(count);
            let report = walk(&lines, &end_of(&lines));
            assert!(report.is_good(), "{count}: {:?}", report.findings);
            assert_eq!(report.facts, count as u64);
            assert_eq!(report.head.map_or(0, |(seq, _)| seq), count);
        }
    }

    #[test]
    fn an_erased_body_leaves_the_chain_whole() {
        let mut lines = journal(5);
        let end = end_of(&lines);
        for line in &mut lines[1..3] {
            (line.salt, line.body) = (None, None);
        }
        let report = walk(&lines, &end);
        assert!(report.is_good());
        assert_eq!(report.erased, 2);
    }

    #[test]
    fn one_change_gives_one_finding_at_its_line() {
        let whole = journal(5);
        for at in 0..whole.len() {
            let check = |changes: &[Change], what: What| {
                for (number, change) in changes.iter().enumerate() {
                    let mut lines = whole.clone();
                    change(&mut lines[at]);
                    let report = walk(&lines, &end_of(&whole));
                    assert_eq!(found(&report), [(at as i64 + 1, what)], "change {number} of {what:?}");
                    assert_eq!(report.findings[0].fact, Some(lines[at].id.clone()));
                }
            };
            check(&ENVELOPE, What::EnvelopeChanged);
            check(&BODY, What::BodyChanged);
            check(&CHAIN, What::ChainChanged);
        }
    }

    #[test]
    fn a_changed_digest_shows_on_both_sides() {
        let mut lines = journal(3);
        let end = end_of(&lines);
        lines[1].digest = digest(&salt(2), "{}");
        assert_eq!(found(&walk(&lines, &end)), [(2, What::BodyChanged), (2, What::EnvelopeChanged)]);
    }

    #[test]
    fn missing_lines_are_counted_out() {
        let whole = journal(10);
        let without = |gone: &[i64]| {
            let lines: Vec<Line> = whole.iter().filter(|line| !gone.contains(&line.seq)).cloned().collect();
            found(&walk(&lines, &end_of(&whole)))
        };
        assert_eq!(without(&[1]), [(1, What::Missing { until: 1 })]);
        assert_eq!(without(&[4, 5, 8]), [(4, What::Missing { until: 5 }), (8, What::Missing { until: 8 })]);
        assert_eq!(without(&[9, 10]), [(9, What::Missing { until: 10 })]);
        assert_eq!(without(&(1..=10).collect::<Vec<_>>()), [(1, What::Missing { until: 10 })]);
    }

    #[test]
    fn lines_that_changed_places_are_found() {
        let whole = journal(5);
        let mut lines = whole.clone();
        lines.swap(1, 2);
        (lines[1].seq, lines[2].seq) = (2, 3);
        let places: Vec<i64> =
            walk(&lines, &end_of(&whole)).findings.iter().map(|finding| finding.seq).collect();
        assert!(places.contains(&2) && places.contains(&3), "{places:?}");
    }

    #[test]
    fn a_chain_that_was_computed_anew_contradicts_the_head_and_the_checkpoint() {
        let whole = journal(6);
        let mut lines = whole.clone();
        lines[2].subject = "user:0".into();
        let mut link = lines[1].link().unwrap();
        for line in &mut lines[2..] {
            link = link.next(&line.envelope());
            line.chain = Some(link.to_string());
        }
        assert_eq!(found(&walk(&lines, &end_of(&whole))), [(6, What::HeadChanged)]);

        let end = End { head: Some(link), ..end_of(&whole) };
        assert!(walk(&lines, &end).is_good(), "nothing but a signature tells");
        let mut with_checkpoint = Walk::from(None);
        for line in &lines {
            with_checkpoint.line(line);
            if line.seq == 4 {
                with_checkpoint.checkpoint(4, Ok(signed(&whole, 4, 0)));
            }
        }
        let report = with_checkpoint.end(&End { checkpoint_seq: 4, ..end });
        assert_eq!(found(&report), [(4, What::Relinked)]);
    }

    #[test]
    fn checkpoints_are_checked_one_after_the_other() {
        let lines = journal(8);
        #[track_caller]
        fn check(
            lines: &[Line],
            at: &[(i64, Result<Checkpoint, VerifyError>)],
            latest: i64,
            expect: &[(i64, What)],
        ) {
            let mut walk = Walk::from(None);
            for line in lines {
                walk.line(line);
                if let Some((seq, document)) = at.iter().find(|(seq, _)| *seq == line.seq) {
                    walk.checkpoint(*seq, *document);
                }
            }
            let report = walk.end(&End { checkpoint_seq: latest, ..end_of(lines) });
            assert_eq!(found(&report), expect);
        }
        let good = |seq, previous| (seq, Ok(signed(&lines, seq, previous)));
        check(&lines, &[good(2, 0), good(5, 2), good(8, 5)], 8, &[]);
        check(&lines, &[good(2, 0), good(8, 5)], 8, &[(5, What::CheckpointMissing)]);
        check(&lines, &[good(2, 0), good(5, 2)], 8, &[(8, What::CheckpointMissing)]);
        check(&lines, &[], 8, &[(8, What::CheckpointMissing)]);
        check(&lines, &[(2, Err(VerifyError::Bad))], 2, &[(2, What::CheckpointChanged)]);
        check(&lines, &[(2, Err(VerifyError::UnknownSigner))], 2, &[(2, What::CheckpointOfUnknownSigner)]);
        check(&lines, &[(3, Ok(signed(&lines, 2, 0)))], 3, &[(3, What::CheckpointChanged)]);
        let mut other = signed(&lines, 2, 0);
        other.chain = Link::BEGINNING;
        check(&lines, &[(2, Ok(other))], 2, &[(2, What::Relinked)]);
    }

    #[test]
    fn a_head_that_was_set_back_is_found() {
        let lines = journal(6);
        let end = End { head_seq: 3, head: lines[2].link(), checkpoint_seq: 0, until: 6 };
        assert_eq!(found(&walk(&lines, &end)), [(3, What::HeadChanged)]);
        assert_eq!(
            found(&walk(&lines[..3], &end)),
            [(4, What::Missing { until: 6 }), (3, What::HeadChanged)]
        );
    }

    #[test]
    fn the_walk_can_begin_at_a_checkpoint() {
        let lines = journal(6);
        let from = signed(&lines, 4, 2);
        let walked = |tail: &[Line]| {
            let mut walk = Walk::from(Some(&from));
            tail.iter().for_each(|line| walk.line(line));
            walk.end(&end_of(&lines))
        };
        let report = walked(&lines[4..]);
        assert!(report.is_good());
        assert_eq!(report.facts, 2);
        assert_eq!(found(&walked(&lines[5..])), [(5, What::Missing { until: 5 })]);
        let mut changed = lines[4..].to_vec();
        changed[0].at += 1;
        assert_eq!(found(&walked(&changed)), [(5, What::EnvelopeChanged)]);
    }

    #[test]
    fn an_unreadable_line_is_named_and_the_walk_goes_on() {
        let lines = journal(6);
        let mut walk = Walk::from(None);
        for line in &lines {
            if line.seq == 3 { walk.unreadable(3) } else { walk.line(line) }
        }
        assert_eq!(found(&walk.end(&end_of(&lines))), [(3, What::Unreadable)]);
    }

    #[test]
    fn findings_are_bounded_and_counted() {
        let mut lines = journal(400);
        let end = end_of(&lines);
        lines.iter_mut().for_each(|line| line.body = Some("{}".into()));
        let report = walk(&lines, &end);
        assert_eq!((report.findings.len(), report.more), (100, 300));
        assert!(!report.is_good());
    }

    proptest! {
        #[test]
        fn any_changes_and_removals_are_found_at_their_lines(
            changed in proptest::collection::btree_set(0usize..30, 0..6),
            removed in proptest::collection::btree_set(0usize..30, 0..6),
            which in 0usize..ENVELOPE.len()
        ) {
            let whole = journal(30);
            let mut lines = whole.clone();
            for at in &changed {
                ENVELOPE[which](&mut lines[*at]);
            }
            let lines: Vec<Line> =
                lines.into_iter().filter(|line| !removed.contains(&(line.seq as usize - 1))).collect();
            let report = walk(&lines, &end_of(&whole));
            let mut missing = Vec::new();
            for finding in &report.findings {
                match finding.what {
                    What::Missing { until } => missing.extend(finding.seq..=until),
                    What::EnvelopeChanged => {
                        prop_assert!(changed.contains(&(finding.seq as usize - 1)));
                    }
                    other => prop_assert!(false, "{other:?}"),
                }
            }
            let expected: Vec<i64> = removed.iter().map(|at| *at as i64 + 1).collect();
            prop_assert_eq!(missing, expected);
            // A line right behind a gap has nothing to be compared with.
            for at in &changed {
                let behind_gap = *at > 0 && removed.contains(&(at - 1));
                let is_found = report.findings.iter().any(|finding| {
                    finding.seq == *at as i64 + 1 && finding.what == What::EnvelopeChanged
                });
                prop_assert!(removed.contains(at) || behind_gap || is_found);
            }
        }

        #[test]
        fn no_lines_make_the_walk_panic(
            places in proptest::collection::vec((prop_oneof![any::<i64>(), 0i64..10], "[A-Za-z0-9]{0,3}"), 0..20),
            until in any::<i64>()
        ) {
            let mut walk = Walk::from(None);
            for (seq, text) in places {
                let line = Line { seq, chain: Some(text), ..journal(1).remove(0) };
                walk.line(&line);
            }
            let report = walk.end(&End { head_seq: until, head: None, checkpoint_seq: until, until });
            prop_assert!(report.facts <= 20);
        }
    }
}
