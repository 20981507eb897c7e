//! What an authorization request calls for, given who is signed in. Pure.

use directory::session::Session;
use kernel::Timestamp;

use super::{Prompt, Refusal, Wishes};

/// The next step.
#[derive(Debug, PartialEq)]
pub(crate) enum Next {
    /// Show the sign-in page.
    SignIn,
    /// The session will do, as far as the request goes: ask policy.
    Ask,
    /// Tell the application.
    Refuse(Refusal),
}

/// OpenID Connect Core, section 3.1.2.3. `began` is when the sign-in that answers the request began, if one did.
pub(crate) fn next(
    wishes: &Wishes,
    session: Option<&Session>,
    began: Option<Timestamp>,
    now: Timestamp,
) -> Next {
    match session.filter(|session| will_do(wishes, session, began, now)) {
        Some(_) => Next::Ask,
        None if wishes.prompt == Prompt::None => Next::Refuse(Refusal::LOGIN_REQUIRED),
        None => Next::SignIn,
    }
}

fn will_do(wishes: &Wishes, session: &Session, began: Option<Timestamp>, now: Timestamp) -> bool {
    let right = wishes.only_user.as_ref().is_none_or(|only| *only == session.user_id.to_string());
    let fresh = if wishes.only_new() {
        began.is_some_and(|began| session.authenticated_at >= began)
    } else {
        // `auth_time` is in whole seconds, and so is the age that the client will reckon from it.
        let age = now.as_secs().saturating_sub(session.authenticated_at.as_secs());
        wishes.max_age.is_none_or(|most| age <= i64::try_from(most.as_secs()).unwrap_or(i64::MAX))
    };
    right && fresh
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kernel::Ctx;
    use kernel::id::{SessionId, UserId};
    use store::JsonText;

    use super::*;

    fn session(ctx: &Ctx) -> Session {
        Session {
            id: SessionId::new(ctx),
            user_id: UserId::new(ctx),
            assurance: 1,
            amr: JsonText(vec!["pwd".into()]),
            authenticated_at: ctx.now(),
            expires_at: ctx.now().plus(Duration::from_secs(3600)),
            methods: JsonText(vec!["password".into()]),
            seen_at: ctx.now(),
            idle_time: None,
            device: String::new(),
        }
    }

    #[test]
    fn who_is_signed_in_is_not_asked_again_without_need() {
        let ctx = Ctx::for_tests(1);
        let session = session(&ctx);
        ctx.advance_for_tests(Duration::from_secs(60));
        let check = |prompt, max_age: Option<u64>, only: Option<&str>, signed_in: bool| {
            let wishes = Wishes {
                prompt,
                max_age: max_age.map(Duration::from_secs),
                only_user: only.map(str::to_owned),
                ..Wishes::default()
            };
            match next(&wishes, signed_in.then_some(&session), None, ctx.now()) {
                Next::SignIn => "sign in",
                Next::Ask => "answer",
                Next::Refuse(refusal) => refusal.error,
            }
        };
        let own = session.user_id.to_string();
        let other = UserId::new(&ctx).to_string();
        for (prompt, max_age, only, signed_in, expect) in [
            (Prompt::Maybe, None, None, true, "answer"),
            (Prompt::Maybe, None, None, false, "sign in"),
            (Prompt::Maybe, Some(60), None, true, "answer"),
            (Prompt::Maybe, Some(59), None, true, "sign in"),
            (Prompt::Maybe, Some(0), None, true, "sign in"),
            (Prompt::Maybe, Some(10_000), None, false, "sign in"),
            (Prompt::Maybe, None, Some(own.as_str()), true, "answer"),
            (Prompt::Maybe, None, Some(other.as_str()), true, "sign in"),
            (Prompt::Maybe, None, Some(""), true, "sign in"),
            (Prompt::Login, None, None, true, "sign in"),
            (Prompt::Login, None, None, false, "sign in"),
            (Prompt::None, None, None, true, "answer"),
            (Prompt::None, Some(60), Some(own.as_str()), true, "answer"),
            (Prompt::None, None, None, false, "login_required"),
            (Prompt::None, Some(59), None, true, "login_required"),
            (Prompt::None, None, Some(other.as_str()), true, "login_required"),
        ] {
            assert_eq!(
                check(prompt, max_age, only, signed_in),
                expect,
                "{prompt:?} {max_age:?} {only:?} {signed_in}"
            );
        }
    }

    #[test]
    fn a_sign_in_that_must_be_new_is_one_that_began_for_this_request() {
        let ctx = Ctx::for_tests(1);
        let session = session(&ctx);
        let at = session.authenticated_at;
        let second = Duration::from_secs(1);
        for (prompt, max_age) in [(Prompt::Login, None), (Prompt::Maybe, Some(0)), (Prompt::Login, Some(60))]
        {
            let max_age = max_age.map(Duration::from_secs);
            let wishes = Wishes { prompt, max_age, ..Wishes::default() };
            for (began, expect) in [
                (None, Next::SignIn),
                (Some(at.minus(second)), Next::Ask),
                (Some(at), Next::Ask),
                (Some(at.plus(second)), Next::SignIn),
            ] {
                assert_eq!(next(&wishes, Some(&session), began, ctx.now()), expect, "{prompt:?} {began:?}");
            }
        }
    }
}
