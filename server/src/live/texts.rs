//! The words of the live page, in every language.
//!
//! The fields are the keys: a template that names a missing one does not compile, and a language that lacks one does
//! not load. To add a text: a field here and a line in each of `templates/messages/live-*.toml`.

use std::sync::LazyLock;

use kit::Locale;
use serde::Deserialize;

use ::web as kit;

macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident { $($field:ident: $ty:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub(super) struct $name { $(pub(super) $field: $ty,)* }
    )*};
}

texts! {
    /// Everything.
    Texts {
        page: PageTexts,
        person: PersonTexts,
        levels: Levels,
        who: Whose,
        facts: Facts,
        things: Things,
    }
    /// What stands around everything.
    PageTexts {
        title: String,
        lead: String,
        about: String,
        skip: String,
        places: String,
        mailbox: String,
        account: String,
        low: String,
        critical: String,
        hire: String,
        people: String,
        nobody: String,
        happens: String,
        nothing: String,
        opens: String,
        stays_shut: String,
        lost: String,
        everybody: String,
    }
    /// What is said of one person.
    PersonTexts {
        employed: String,
        ended: String,
        letters: String,
        end: String,
        rehire: String,
        swipe: String,
        signed_in_where: String,
        carries: String,
        nowhere: String,
        provider: String,
        signed_in: String,
        signed_out: String,
        by_logout_token: String,
        by_refusal: String,
        card: String,
        no_card: String,
        on_list: String,
        being_placed: String,
        being_revoked: String,
        revoked: String,
        levels: String,
        reached: String,
        not_reached: String,
        not_offered: String,
        receipt: String,
    }
    /// The rungs of proof, as an answer to what happened.
    Levels {
        recorded: String,
        accepted: String,
        read_back: String,
        lock_confirmed: String,
        observed_denial: String,
    }
    /// Where something happened.
    Whose {
        hr: String,
        person: String,
        policy: String,
        door: String,
        mail: String,
        proof: String,
        alarm: String,
    }
    /// What happened. `{name}` is a person.
    Facts {
        created: String,
        changed: String,
        deactivated: String,
        activated: String,
        deleted: String,
        password_set: String,
        added: String,
        removed: String,
        codes_made: String,
        signed_in: String,
        renewed: String,
        refused: String,
        signed_out: String,
        let_in: String,
        told: String,
        entitled: String,
        not_entitled: String,
        issued: String,
        suspended: String,
        resumed: String,
        revoked: String,
        placed: String,
        absent_said: String,
        absent: String,
        refusal_seen: String,
        opened: String,
        denied: String,
        stranger: String,
        events_lost: String,
        deviation: String,
        alert: String,
        alert_closed: String,
        receipt: String,
        letter: String,
        no_letter: String,
    }
    /// Things that facts are about.
    Things {
        totp: String,
        passkey: String,
        recovery_code: String,
        password: String,
        invitation: String,
        recovery: String,
        password_set: String,
        authenticator_added: String,
        authenticator_removed: String,
        none: String,
    }
}

static TEXTS: LazyLock<kit::Texts<Texts>> = LazyLock::new(|| {
    let en = include_str!("../../../templates/messages/live-en.toml");
    let de = include_str!("../../../templates/messages/live-de.toml");
    // Fixed texts, which a test reads.
    kit::Texts::read(en, de).expect("the message files have every key")
});

/// The texts in one language.
pub(super) fn of(locale: Locale) -> &'static Texts {
    TEXTS.of(locale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_language_has_every_text_with_the_same_places_in_it() {
        for locale in Locale::ALL {
            let shown = format!("{:?}", of(locale));
            assert!(!shown.contains("\"\""), "an empty text in {locale}: {shown}");
        }
        let lines = |text: &'static str| text.lines().filter(|line| line.contains(" = "));
        let en = lines(include_str!("../../../templates/messages/live-en.toml"));
        let de = lines(include_str!("../../../templates/messages/live-de.toml"));
        let places = |line: &str| {
            let mut places: Vec<String> =
                line.split('{').skip(1).filter_map(|rest| Some(rest.split_once('}')?.0.to_owned())).collect();
            places.sort();
            places
        };
        for (en, de) in en.zip(de) {
            assert_eq!(places(en), places(de), "{en}\n{de}");
        }
    }
}
