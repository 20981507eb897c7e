//! Policies cut by what their scope names, so that a decision costs what applies to it.
//!
//! Cedar evaluates every policy it is given, one after the other. A policy whose scope names an entity
//! (`principal in Group::"g"`, `resource == Client::"c"`) can only hold when that entity is the principal or
//! resource of the request or one of its ancestors; so policies lie here under the pair of entities that they
//! name, and a request looks up its own. Cut once, when the policies are loaded: nothing is cached later,
//! nothing is locked, nothing grows.

use std::collections::HashMap;

use cedar_policy::{
    ActionConstraint, EntityUid, Policy, PolicySet, PolicySetError, PrincipalConstraint, ResourceConstraint,
};

use crate::entities::Query;
use crate::schema::Action;

/// What a scope names; `None` when it leaves the principal or resource open.
type Named = Option<EntityUid>;

/// All policies, by action, then by what the principal scope names, then by what the resource scope names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slices(HashMap<Action, HashMap<Named, HashMap<Named, PolicySet>>>);

impl Slices {
    /// Adds a policy under each action that it speaks of.
    pub(crate) fn add(&mut self, policy: &Policy) -> Result<(), Box<PolicySetError>> {
        let constraint = policy.action_constraint();
        for action in Action::ALL.into_iter().filter(|action| applies(&constraint, *action)) {
            self.0
                .entry(action)
                .or_default()
                .entry(named_principal(policy))
                .or_default()
                .entry(named_resource(policy))
                .or_default()
                .add(policy.clone())?;
        }
        Ok(())
    }

    /// The slices whose policies can hold for the request. Each policy is in at most one of them.
    pub(crate) fn of(&self, query: &Query) -> Vec<&PolicySet> {
        let Some(by_principal) = self.0.get(&query.action) else { return Vec::new() };
        query
            .principal
            .scopes()
            .filter_map(|named| by_principal.get(named))
            .flat_map(|by_resource| query.resource.scopes().filter_map(|named| by_resource.get(named)))
            .collect()
    }
}

fn applies(constraint: &ActionConstraint, action: Action) -> bool {
    match constraint {
        ActionConstraint::Any => true,
        ActionConstraint::Eq(named) => *named == action.uid(),
        ActionConstraint::In(named) => named.contains(&action.uid()),
    }
}

fn named_principal(policy: &Policy) -> Named {
    match policy.principal_constraint() {
        PrincipalConstraint::Any | PrincipalConstraint::Is(_) => None,
        PrincipalConstraint::Eq(named)
        | PrincipalConstraint::In(named)
        | PrincipalConstraint::IsIn(_, named) => Some(named),
    }
}

fn named_resource(policy: &Policy) -> Named {
    match policy.resource_constraint() {
        ResourceConstraint::Any | ResourceConstraint::Is(_) => None,
        ResourceConstraint::Eq(named)
        | ResourceConstraint::In(named)
        | ResourceConstraint::IsIn(_, named) => Some(named),
    }
}
