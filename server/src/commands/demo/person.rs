//! The demo with a person: everything runs, and a few words typed here play HR and the door.

use sim::hr::Person;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use super::script::person;
use super::timeline::until;
use crate::commands::serve::asked_to_stop;
use crate::commands::{Failure, Outcome, say};
use crate::stage::{CONTROL_ROOM, Stage};

const WORDS: &str = "\x20 hire       HR hires Mira Holt; policy gives her a card; you get an invitation link
  swipe      show her card at the control room's door
  end        HR ends the employment
  cards      what the door controller's list holds
  receipt    the signed receipt of what was closed
  audit      verify the journal
  quit       stop";

pub(super) async fn attend(stage: &Stage) -> Outcome {
    let issuer = stage.house.issuer.as_str();
    say("Cardea runs: the real server, and simulators of HR, an app and a door controller.");
    say(super::ABOUT);
    say("");
    say(format_args!("  identity provider  {issuer}"));
    say(format_args!("  an app to sign in  {}", stage.app.home()));
    say(format_args!("  its configuration  {}", stage.folder.path().display()));
    say("");
    say("Type:");
    say(WORDS);
    let mut play = Play { stage, person: person(), id: None, card: None };
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let mut stop = std::pin::pin!(asked_to_stop());
    loop {
        let line = tokio::select! {
            () = &mut stop => return Ok(()),
            line = lines.next_line() => line?,
        };
        match line.as_deref().map(str::trim) {
            Some("quit" | "exit") => return Ok(()),
            Some("") => {}
            Some(word) => {
                if let Err(failure) = play.act(word).await {
                    say(failure.message);
                }
            }
            // Nobody types: go on serving until told to stop.
            None => {
                stop.await;
                return Ok(());
            }
        }
    }
}

struct Play<'a> {
    stage: &'a Stage,
    person: Person,
    id: Option<String>,
    /// The person keeps the card in hand, whatever the controller thinks of it.
    card: Option<u32>,
}

impl Play<'_> {
    async fn act(&mut self, word: &str) -> Outcome {
        match word {
            "hire" => self.hire().await,
            "swipe" => self.swipe(),
            "end" => self.end().await,
            "cards" => {
                say(format_args!("{:#?}", self.stage.controller.cards()));
                Ok(())
            }
            "receipt" => self.cardea(&["receipt", "show", &self.known()?]).await,
            "audit" => self.cardea(&["audit", "verify"]).await,
            _ => {
                say(WORDS);
                Ok(())
            }
        }
    }

    fn known(&self) -> Result<String, Failure> {
        self.id.clone().ok_or_else(|| Failure::new("Nobody is hired yet: type hire."))
    }

    async fn hire(&mut self) -> Outcome {
        match &self.id {
            Some(id) => self.stage.hr.rehire(id).await?,
            None => self.id = Some(self.stage.hr.hire(&self.person).await?),
        }
        let card = until("a card on the controller", || self.stage.only_card()).await?;
        self.card = Some(card);
        let link = self.stage.invite(&self.person.user_name).await?;
        say(format_args!("{} is hired; the door holds card {card}.", self.person.display_name()));
        say(format_args!("Set a password:  {link}"));
        say(format_args!("Then sign in:    {}  as {}", self.stage.app.home(), self.person.user_name));
        Ok(())
    }

    fn swipe(&self) -> Outcome {
        let card = self.card.ok_or_else(|| Failure::new("Nobody has a card yet: type hire."))?;
        let swipe = self.stage.controller.swipe(card, CONTROL_ROOM);
        say(if swipe.granted { "The door opens." } else { "The door stays shut." });
        Ok(())
    }

    async fn end(&self) -> Outcome {
        self.stage.hr.end_employment(&self.known()?).await?;
        say("The employment has ended. Try swipe, reload the app, type receipt.");
        Ok(())
    }

    async fn cardea(&self, arguments: &[&str]) -> Outcome {
        let (_, said) = self.stage.cardea(arguments).await?;
        say(said.trim_end());
        Ok(())
    }
}
