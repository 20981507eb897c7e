//! The words of this room's pages, in every language.
//!
//! The fields are the keys: a template that names a missing one does not compile, and a language that lacks
//! one does not load. To add a text: a field here and a line in each file of `templates/messages/`.

use std::sync::LazyLock;

use serde::Deserialize;
use web::Locale;

macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident { $($field:ident: $ty:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub(crate) struct $name { $(pub(crate) $field: $ty,)* }
    )*};
}

texts! {
    /// Everything.
    Texts {
        layout: Layout,
        home: Home,
        sign_in: SignIn,
        step_up: StepUp,
        passkey: Passkey,
        enrol: Enrol,
        consent: Consent,
        account: Account,
        methods: Methods,
        sessions: Sessions,
        badge: Badge,
        activity: Activity,
        refused: Refused,
        rungs: Rungs,
        logout: Logout,
        invitation: Invitation,
        set_up: SetUp,
        recovery: Recovery,
        mail: Mail,
        errors: Errors,
    }
    /// What stands around every page.
    Layout {
        tagline: String,
        skip: String,
        reference: String,
    }
    /// The page at `/`.
    Home {
        title: String,
        text: String,
        connect: String,
    }
    /// The sign-in page. `{client}` is the application's name.
    SignIn {
        title: String,
        to: String,
        to_account: String,
        user_name: String,
        password: String,
        submit: String,
        wrong: String,
        forgot: String,
    }
    /// The page of one more step.
    StepUp {
        title: String,
        totp: String,
        totp_hint: String,
        recovery_code: String,
        recovery_code_hint: String,
        passkey_hint: String,
        submit: String,
        wrong_code: String,
        wrong_recovery_code: String,
        others: String,
        use_passkey: String,
        use_totp: String,
        use_recovery_code: String,
    }
    /// Whatever asks for a passkey.
    Passkey {
        use_one: String,
        create: String,
        failed: String,
        unknown: String,
        too_late: String,
        needs_script: String,
    }
    /// The page where something to sign in with is added.
    Enrol {
        totp_title: String,
        totp_scan: String,
        totp_qr: String,
        totp_here: String,
        totp_by_hand: String,
        totp_then: String,
        totp_instead: String,
        passkey_title: String,
        passkey_hint: String,
        passkey_instead: String,
        passkey_failed: String,
        passkeys_impossible: String,
        name: String,
        name_hint: String,
        add: String,
        wrong_code: String,
        taken: String,
        too_many: String,
    }
    /// The page that asks for consent, and what becomes of it. `{client}` is the application's name, `{name}` the
    /// person's.
    Consent {
        title: String,
        answering: String,
        learns: String,
        openid: String,
        profile: String,
        email: String,
        address: String,
        phone: String,
        not_ours: String,
        withdraw_later: String,
        allow: String,
        deny: String,
        may_know: String,
        since: String,
        withdraw: String,
        withdraw_hint: String,
    }
    /// The pages of one's own account.
    Account {
        title: String,
        overview: String,
        apps: String,
        no_apps: String,
        methods_about: String,
        sessions_about: String,
        apps_about: String,
        badge_about: String,
        activity_about: String,
    }
    /// The list of what one signs in with.
    Methods {
        title: String,
        password: String,
        totp: String,
        passkey: String,
        device_bound: String,
        synced: String,
        added: String,
        used: String,
        remove: String,
        codes: String,
        codes_left: String,
        codes_hint: String,
        codes_once: String,
        make_codes: String,
    }
    /// The list of where one is signed in.
    Sessions {
        title: String,
        here: String,
        unknown_device: String,
        signed_in: String,
        seen: String,
        end: String,
        end_others: String,
        more: String,
    }
    /// The page of what one carries to a door.
    Badge {
        title: String,
        none: String,
        card: String,
        active: String,
        suspended: String,
        revoked: String,
        issued: String,
        lost: String,
        lost_hint: String,
        opens: String,
    }
    /// What happened, in words. `{what}` is a way to sign in.
    Activity {
        title: String,
        none: String,
        older: String,
        not_you: String,
        signed_in: String,
        signed_in_again: String,
        signed_out: String,
        wrong_credentials: String,
        wrong_factor: String,
        denied_by_policy: String,
        assurance_too_low: String,
        consent_denied: String,
        throttled: String,
        refused: String,
        password_set: String,
        added: String,
        removed: String,
        a_method: String,
        codes_made: String,
        consent_given: String,
        consent_withdrawn: String,
        badge_issued: String,
        badge_suspended: String,
        badge_resumed: String,
        badge_revoked: String,
        deactivated: String,
        activated: String,
        something: String,
    }
    /// The page of who may not sign in. `{client}` is the application's name.
    Refused {
        step_up: String,
        denied: String,
        because: String,
        needed: String,
        ask_for_factor: String,
        back: String,
    }
    /// The rungs of assurance in plain words.
    Rungs {
        aal1: String,
        aal2: String,
        phr: String,
        phrh: String,
    }
    /// The page that asks whether to sign out, and the one after it.
    Logout {
        title: String,
        text: String,
        submit: String,
        done: String,
        done_text: String,
    }
    /// The page where a password is set: a first one, or one instead of a forgotten one.
    Invitation {
        title: String,
        intro: String,
        intro_recovery: String,
        user_name: String,
        password: String,
        hint: String,
        again: String,
        submit: String,
        too_short: String,
        too_long: String,
        too_common: String,
        differ: String,
        done: String,
        done_text: String,
    }
    /// The page of the first administrator.
    SetUp {
        title: String,
        intro: String,
        display_name: String,
        email: String,
        again: String,
        submit: String,
        bad_user_name: String,
        taken: String,
        bad_display_name: String,
        bad_email: String,
    }
    /// The page where a forgotten password is asked about.
    Recovery {
        title: String,
        intro: String,
        user_name: String,
        submit: String,
        sent: String,
        sent_text: String,
    }
    /// Letters. `{host}` is where this is found, `{name}` and `{user_name}` are the person's.
    Mail {
        greeting: String,
        greeting_nameless: String,
        copy: String,
        closing: String,
        invitation: LinkLetter,
        recovery: LinkLetter,
        password_set: Notice,
        authenticator_added: Notice,
        authenticator_removed: Notice,
        kinds: Kinds,
    }
    /// A letter with a link. `{until}` is when the link is over.
    LinkLetter {
        subject: String,
        text: String,
        action: String,
        limit: String,
        unexpected: String,
    }
    /// A letter that says what happened. `{at}` is when, `{what}` is one of [`Kinds`].
    Notice {
        subject: String,
        text: String,
        unexpected: String,
    }
    /// What people sign in with, as the object of a sentence.
    Kinds {
        password: String,
        totp: String,
        passkey: String,
        recovery_code: String,
        other: String,
    }
    /// Pages that say what went wrong.
    Errors {
        unknown_client: Message,
        unregistered_redirect: Message,
        invalid_request: Message,
        foreign_form: Message,
        invitation_gone: Message,
        set_up_link_gone: Message,
        no_recovery: Message,
        throttled: Message,
        busy: Message,
        failed: Message,
        not_found: Message,
    }
    /// What happened, and what to do next.
    Message {
        title: String,
        text: String,
    }
}

static TEXTS: LazyLock<web::Texts<Texts>> = LazyLock::new(|| {
    let en = include_str!("../../templates/messages/en.toml");
    let de = include_str!("../../templates/messages/de.toml");
    // Fixed texts, which a test reads.
    web::Texts::read(en, de).expect("the message files have every key")
});

/// The texts in one language.
pub(crate) fn of(locale: Locale) -> &'static Texts {
    TEXTS.of(locale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_language_has_every_text() {
        for locale in Locale::ALL {
            let shown = format!("{:?}", of(locale));
            assert!(!shown.contains("\"\""), "an empty text in {locale}: {shown}");
        }
        assert_ne!(format!("{:?}", of(Locale::En)), format!("{:?}", of(Locale::De)));
    }
}
