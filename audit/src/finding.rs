//! What a verification tells.

use std::fmt;

use crate::Link;

/// So many findings are kept; the rest are counted.
const KEPT: usize = 100;

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Salt or body is not what was recorded.
    BodyChanged,
    /// Something else of the fact is not what was recorded.
    EnvelopeChanged,
    /// The link is not what was given.
    ChainChanged,
    /// Facts were removed: from this place up to and with `until`.
    Missing {
        /// The last one that is missing.
        until: i64,
    },
    /// The line does not read: a value has another type than was recorded.
    Unreadable,
    /// The line has a place that was never given.
    Inserted,
    /// The head of the chain is not what it was.
    HeadChanged,
    /// The chain up to here is not the one that was signed: lines were changed and linked anew.
    Relinked,
    /// The signature of the checkpoint here is wrong, or it says something else than its row.
    CheckpointChanged,
    /// None of the keys given has signed the checkpoint here.
    CheckpointOfUnknownSigner,
    /// The checkpoint here was removed.
    CheckpointMissing,
}

/// Something that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The place in the journal's order.
    pub seq: i64,
    /// The id of the fact there, when there is one.
    pub fact: Option<String>,
    /// What is wrong with it.
    pub what: What,
}

/// A line for a person: `fact 17 (019d…): its body is not what was recorded`.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fact {}", self.seq)?;
        if let Some(fact) = &self.fact {
            write!(f, " ({fact})")?;
        }
        match self.what {
            What::BodyChanged => f.write_str(": its body is not what was recorded"),
            What::EnvelopeChanged => f.write_str(": it is not what was recorded"),
            What::ChainChanged => f.write_str(": its link in the chain was changed"),
            What::Missing { until } if until == self.seq => f.write_str(" is missing"),
            What::Missing { until } => write!(f, " to {until} are missing"),
            What::Unreadable => f.write_str(": a value in it cannot be read"),
            What::Inserted => f.write_str(": it has a place that was never given"),
            What::HeadChanged => f.write_str(": the head of the chain was changed"),
            What::Relinked => f.write_str(": the chain up to here is not the one that was signed"),
            What::CheckpointChanged => f.write_str(": the checkpoint here was changed"),
            What::CheckpointOfUnknownSigner => {
                f.write_str(": none of the keys given has signed the checkpoint here")
            }
            What::CheckpointMissing => f.write_str(": the checkpoint here is missing"),
        }
    }
}

/// What a verification has seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Facts that were verified.
    pub facts: u64,
    /// Those of them whose body was erased, which leaves the chain whole.
    pub erased: u64,
    /// Facts that have no place yet.
    pub unsequenced: u64,
    /// Checkpoints that fit.
    pub checkpoints: u64,
    /// The first hundred things that are wrong, in the order of the journal.
    pub findings: Vec<Finding>,
    /// How many more there are.
    pub more: u64,
    /// The place and link of the last fact verified.
    pub head: Option<(i64, Link)>,
}

impl Report {
    /// Nothing is wrong.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.findings.is_empty()
    }

    pub(crate) fn found(&mut self, seq: i64, fact: Option<String>, what: What) {
        if self.findings.len() < KEPT {
            self.findings.push(Finding { seq, fact, what });
        } else {
            self.more += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_read_as_sentences() {
        let finding = |what| Finding { seq: 17, fact: Some("019d".into()), what };
        assert_eq!(
            finding(What::BodyChanged).to_string(),
            "fact 17 (019d): its body is not what was recorded"
        );
        let missing = |until| Finding { seq: 17, fact: None, what: What::Missing { until } };
        assert_eq!(missing(17).to_string(), "fact 17 is missing");
        assert_eq!(missing(19).to_string(), "fact 17 to 19 are missing");
    }
}
