//! Loading policies: every text is checked whole before any of it counts.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use cedar_policy::{Effect, Policy, PolicyId, PolicySet, ValidationMode, ValidationWarning};

use crate::decide::NO_PERMIT;
use crate::monotone::{self, Breach};
use crate::schema::VALIDATOR;
use crate::slices::Slices;
use crate::text::{MAX_NESTING, MAX_OPERATORS, MAX_POLICY, MAX_SOURCE, Statement, statements};

/// What holds where an organisation has decided nothing yet: a source for [`Policies::parse`].
pub const BASELINE: (&str, &str) = ("baseline.cedar", include_str!("baseline.cedar"));

const ALWAYS: (&str, &str) = ("always.cedar", include_str!("always.cedar"));
const MAX_ID: usize = 64;
const MAX_BECAUSE: usize = 300;

/// Where a policy begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The name of the source, as it was given.
    pub source: String,
    /// The line, counted from 1.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.source, self.line)
    }
}

/// Why policies were refused, and what to write instead. Nothing of the texts is in force.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// A source is too long to be read.
    #[error("{name}: longer than {MAX_SOURCE} bytes; split it into several sources")]
    SourceTooLong {
        /// The name of the source.
        name: String,
    },
    /// A policy is too long or too deep to be parsed.
    #[error(
        "{at}: a policy has at most {MAX_POLICY} bytes, {MAX_NESTING} levels of nesting and \
         {MAX_OPERATORS} operator characters; split it into several, the strictest wins"
    )]
    TooComplex {
        /// Where the policy begins.
        at: Place,
    },
    /// The text is not a Cedar policy.
    #[error(
        "{at}: {message}; write `@id(\"…\") @because(\"…\") permit (principal, action, resource) \
         when {{ … }};` or the same with `forbid` and `unless`"
    )]
    Syntax {
        /// Where the policy begins.
        at: Place,
        /// What Cedar says.
        message: String,
    },
    /// `@id` is missing or not an id.
    #[error(
        "{at}: give the policy an `@id(\"…\")` of 1 to {MAX_ID} letters, digits, `.`, `-` and `_`, \
         other than `{NO_PERMIT}`"
    )]
    Unnamed {
        /// Where the policy begins.
        at: Place,
    },
    /// `@because` is missing, or not something to show.
    #[error(
        "{at}: policy `{id}` needs a `@because(\"…\")` of 1 to {MAX_BECAUSE} characters on one line, and so do \
         `@because_de` and the like: users read it"
    )]
    Unexplained {
        /// Where the policy begins.
        at: Place,
        /// The policy.
        id: String,
    },
    /// Two policies have the same id.
    #[error("{at}: policy `{id}` is already defined at {first}; give one of them another `@id`")]
    Duplicate {
        /// Where the second one begins.
        at: Place,
        /// The id.
        id: String,
        /// Where the first one begins.
        first: Place,
    },
    /// The policy does not fit the schema, or can never apply.
    #[error("{at}: policy `{id}` does not fit the schema: {message}")]
    Invalid {
        /// Where the policy begins.
        at: Place,
        /// The policy.
        id: String,
        /// What Cedar says.
        message: String,
    },
    /// The policy could turn a higher assurance into a deny, or a higher risk into an allow.
    #[error("{at}: policy `{id}`: `{found}`: {breach}")]
    NotMonotone {
        /// Where the policy begins.
        at: Place,
        /// The policy.
        id: String,
        /// The part of it that is wrong.
        found: String,
        /// What is wrong with it.
        breach: Breach,
    },
}

/// Policies that passed every check, ready to decide. Immutable: a change is a new set.
#[derive(Clone, Debug)]
pub struct Policies {
    pub(crate) slices: Slices,
    pub(crate) known: HashMap<PolicyId, Known>,
}

/// What a decision needs to say about a policy.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    /// Reasons are given in the order of the sources.
    pub(crate) position: usize,
    pub(crate) effect: Effect,
    pub(crate) words: Words,
}

/// What users read, in one language and in others by tag.
#[derive(Clone, Debug, Default)]
pub(crate) struct Words {
    pub(crate) because: String,
    pub(crate) translated: BTreeMap<String, String>,
}

impl Words {
    /// `None` when something is missing or not to be shown.
    fn of(policy: &Policy) -> Option<Self> {
        let mut words = Self::default();
        for (name, text) in policy.annotations() {
            let Some(language) = name.strip_prefix("because") else { continue };
            if !is_showable(text) {
                return None;
            }
            match language.strip_prefix('_') {
                Some(language) => drop(words.translated.insert(language.to_owned(), text.to_owned())),
                None if language.is_empty() => text.clone_into(&mut words.because),
                None => {}
            }
        }
        (!words.because.is_empty()).then_some(words)
    }
}

impl Policies {
    /// Reads policies from sources, each a name for error messages and a text in Cedar.
    ///
    /// The order of sources and policies matters only for the order of reasons. That an inactive user is
    /// permitted nothing holds besides any sources; [`BASELINE`] holds only if it is among them.
    ///
    /// # Errors
    /// The first thing that is wrong: its place, the policy, and what to write instead.
    pub fn parse(sources: &[(&str, &str)]) -> Result<Self, PolicyError> {
        let read = read_all(sources)?;
        validate(&read)?;
        let mut policies = Self { slices: Slices::default(), known: HashMap::new() };
        for (position, one) in read.into_iter().enumerate() {
            one.check_monotone()?;
            policies.slices.add(&one.policy).map_err(|error| one.invalid(&error.to_string()))?;
            let known = Known { position, effect: one.policy.effect(), words: one.words };
            policies.known.insert(one.policy.id().clone(), known);
        }
        Ok(policies)
    }
}

/// A policy that parsed and has its annotations.
struct Read {
    at: Place,
    words: Words,
    policy: Policy,
}

impl Read {
    fn id(&self) -> String {
        self.policy.id().to_string()
    }

    fn invalid(&self, message: &str) -> PolicyError {
        PolicyError::Invalid { at: self.at.clone(), id: self.id(), message: message.into() }
    }

    fn check_monotone(&self) -> Result<(), PolicyError> {
        let tree = self.policy.to_pst().map_err(|error| self.invalid(&error.to_string()))?;
        monotone::check(tree.body()).map_err(|(breach, found)| PolicyError::NotMonotone {
            at: self.at.clone(),
            id: self.id(),
            found,
            breach,
        })
    }
}

fn read_all(sources: &[(&str, &str)]) -> Result<Vec<Read>, PolicyError> {
    let mut all: Vec<Read> = Vec::new();
    let mut places: HashMap<PolicyId, Place> = HashMap::new();
    for (name, text) in [ALWAYS].iter().chain(sources) {
        if text.len() > MAX_SOURCE {
            return Err(PolicyError::SourceTooLong { name: (*name).into() });
        }
        for statement in statements(text) {
            let one = read(Place { source: (*name).into(), line: statement.line }, &statement)?;
            if let Some(first) = places.insert(one.policy.id().clone(), one.at.clone()) {
                return Err(PolicyError::Duplicate { id: one.id(), at: one.at, first });
            }
            all.push(one);
        }
    }
    Ok(all)
}

fn read(at: Place, statement: &Statement<'_>) -> Result<Read, PolicyError> {
    if !statement.bounded {
        return Err(PolicyError::TooComplex { at });
    }
    let policy = Policy::parse(None, statement.text)
        .map_err(|error| PolicyError::Syntax { at: at.clone(), message: error.to_string() })?;
    let Some(id) = policy.annotation("id").filter(|id| is_id(id)).map(str::to_owned) else {
        return Err(PolicyError::Unnamed { at });
    };
    let Some(words) = Words::of(&policy) else {
        return Err(PolicyError::Unexplained { at, id });
    };
    Ok(Read { at, words, policy: policy.new_id(PolicyId::new(id)) })
}

fn is_id(text: &str) -> bool {
    (1..=MAX_ID).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
        && text != NO_PERMIT
}

fn is_showable(text: &str) -> bool {
    !text.trim().is_empty() && text.chars().count() <= MAX_BECAUSE && !text.contains(char::is_control)
}

/// Validates strictly. A policy that can never apply is refused too: nobody writes one on purpose.
fn validate(all: &[Read]) -> Result<(), PolicyError> {
    let policies = PolicySet::from_policies(all.iter().map(|one| one.policy.clone()));
    // Ids are unique by now, which is all that can be refused.
    let policies = policies.map_err(|error| refuse(all, None, error.to_string()))?;
    let result = VALIDATOR.validate(&policies, ValidationMode::Strict);
    let errors = result.validation_errors().map(|error| (error.policy_id(), error.to_string()));
    let warnings = result.validation_warnings().filter(|warning| !is_about_names(warning));
    let warnings = warnings.map(|warning| (warning.policy_id(), warning.to_string()));
    let position = |id: &PolicyId| all.iter().position(|one| one.policy.id() == id);
    match errors.chain(warnings).min_by_key(|(id, _)| position(id)) {
        Some((id, message)) => Err(refuse(all, Some(id), message)),
        None => Ok(()),
    }
}

/// Names of departments and places are written in the scripts and with the signs of their languages. What
/// remains harmful are characters that turn the direction of writing.
fn is_about_names(warning: &ValidationWarning) -> bool {
    matches!(
        warning,
        ValidationWarning::MixedScriptString(_)
            | ValidationWarning::MixedScriptIdentifier(_)
            | ValidationWarning::ConfusableIdentifier(_)
    )
}

fn refuse(all: &[Read], id: Option<&PolicyId>, message: String) -> PolicyError {
    let nowhere = Place { source: "policies".into(), line: 0 };
    let found = all.iter().find(|one| Some(one.policy.id()) == id);
    PolicyError::Invalid {
        at: found.map_or(nowhere, |one| one.at.clone()),
        id: id.map_or_else(String::new, ToString::to_string),
        message,
    }
}
