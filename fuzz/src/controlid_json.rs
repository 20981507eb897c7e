//! What a Control iD device answers and sends, in clear and on a network that others may be on.

use bridge::connector::{DoorEvent, Reading};
use bridge::controlid::fuzzing::{CARD, hear};

/// Of words no more is kept than anybody reads.
const WORDS: usize = 800;

/// Nothing is read that was not asked about, and however much a device says, little of it is kept.
pub fn controlid_json(data: &[u8]) {
    let heard = hear(data);
    assert!(heard.cards.iter().all(|card| *card == CARD), "{:?}", heard.cards);
    for words in &heard.words {
        assert!(words.chars().count() <= WORDS, "{} characters: {words:.100}", words.chars().count());
    }
    for held in &heard.held {
        assert!(held.points.values().all(|reading| matches!(reading, Reading::Held(_))), "{held:?}");
    }
    for event in &heard.events {
        let json = serde_json::to_string(event).expect("an event is JSON");
        let kept: DoorEvent = serde_json::from_str(&json).expect("what was kept is read");
        assert_eq!(kept, *event);
    }
    if heard.speaker.is_some() {
        assert!(serde_json::from_slice::<serde_json::Value>(data).is_ok());
    }
    // Anything is a form; of most nothing is said. What is said twice has no meaning, and opens nothing.
    for (name, read) in heard.question.into_iter().flatten() {
        let said = said_of(data, name);
        let meant =
            said.first().filter(|value| !value.is_empty()).map_or(Ok(0), |value| value.parse::<i64>());
        assert!(said.len() <= 1 && meant == Ok(read), "{name} is {said:?}, and was read as {read}");
    }
    if heard.question.is_some() {
        assert!(said_of(data, "card_value").len() <= 1);
    }
}

/// All that a form says of a name.
fn said_of(form: &[u8], name: &str) -> Vec<String> {
    let fields = url::form_urlencoded::parse(form).filter(|(key, _)| key == name);
    fields.map(|(_, value)| value.into_owned()).collect()
}
