//! The demo with a person: everything runs, and a page in a browser, or a few words typed here, play HR and the door.

use std::sync::Arc;

use tokio::io::{AsyncBufReadExt as _, BufReader};

use super::timeline::until;
use crate::commands::stop::Stop;
use crate::commands::{Failure, Outcome, say};
use crate::live::{Live, Play};
use crate::stage::{Stage, at_device};

const WORDS: &str =
    "\x20 hire       HR hires the next person; policy gives a card; a letter brings an invitation
  swipe      show the card of whom you hired last at both of their doors
  end        HR ends that employment
  cards      what the lists of both door systems hold
  receipt    the signed receipt of what was closed
  audit      verify the journal
  quit       stop";

pub(super) async fn attend(stage: &Arc<Stage>, live_port: u16, stop: &mut Stop) -> Outcome {
    let play = Arc::new(Play::new(stage));
    let live = Live::open(stage, &play, live_port).await?;
    welcome(stage, &live);
    let outcome = listen(&Terminal { stage, play: &play }, stop).await;
    live.close().await;
    outcome
}

fn welcome(stage: &Stage, live: &Live) {
    say("Cardea runs: the real server, and simulators of HR, mail, two apps and two door systems.");
    say(super::ABOUT);
    say("");
    say("Begin here, in a browser:");
    say(format_args!("  live page          {}/", live.home()));
    say("");
    say(format_args!("  identity provider  {}", stage.house.issuer.as_str()));
    for app in [&stage.app, &stage.control] {
        say(format_args!("  {:<18} {}", app.name(), app.home()));
    }
    if let Some(mail) = &stage.mail {
        say(format_args!("  mailbox            {}", mail.home()));
    }
    say(format_args!("  its configuration  {}", stage.folder.path().display()));
    say("");
    say("Or type:");
    say(WORDS);
}

/// Until told to stop.
async fn listen(terminal: &Terminal<'_>, stop: &mut Stop) -> Outcome {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    loop {
        let line = tokio::select! {
            () = stop.asked() => return Ok(()),
            line = lines.next_line() => line?,
        };
        match line.as_deref().map(str::trim) {
            Some("quit" | "exit") => return Ok(()),
            Some("") => {}
            Some(word) => {
                if let Err(failure) = terminal.act(word).await {
                    say(failure.message);
                }
            }
            // Nobody types: go on serving until told to stop.
            None => {
                stop.asked().await;
                return Ok(());
            }
        }
    }
}

struct Terminal<'a> {
    stage: &'a Stage,
    play: &'a Play,
}

impl Terminal<'_> {
    async fn act(&self, word: &str) -> Outcome {
        match word {
            "hire" => self.hire().await,
            "swipe" => self.swipe().await,
            "end" => self.end().await,
            "cards" => {
                say(format_args!("headquarters (UHPPOTE): {:#?}", self.stage.controller.cards()));
                say(format_args!("substation (Control iD): {:#?}", self.stage.device.cards()));
                Ok(())
            }
            "receipt" => self.cardea(&["receipt", "show", &self.play.last()?.to_string()]).await,
            "audit" => self.cardea(&["audit", "verify"]).await,
            _ => {
                say(WORDS);
                Ok(())
            }
        }
    }

    async fn hire(&self) -> Outcome {
        let before = self.stage.controller.cards();
        let person = self.play.hire().await?;
        let is_new = |number: &u32| before.iter().all(|held| held.number != *number);
        let card = until("a card on the controller", || {
            self.stage.controller.cards().iter().map(|held| held.number).find(is_new)
        });
        let card = card.await?;
        until("the card at the substation", || self.stage.device.holds(at_device(card)).then_some(()))
            .await?;
        say(format_args!("{} is hired; both door systems hold card {card}.", person.display_name()));
        if let Some(mail) = &self.stage.mail {
            let letter = until("a letter", || mail.letters_to(&person.email).into_iter().next()).await?;
            let link = letter.links().into_iter().next().map(String::from).unwrap_or_default();
            say(format_args!("A letter came:   {}", mail.mailbox(&person.email)));
            say(format_args!("Set a password:  {link}"));
        }
        say(format_args!("Then sign in:    {}  as {}", self.stage.app.home(), person.user_name));
        Ok(())
    }

    async fn swipe(&self) -> Outcome {
        let last = self.play.last().map_err(|_| Failure::new("Nobody has a card yet: type hire."))?;
        for (door, name) in
            [("control-room-door", "control room's door"), ("substation-gate", "substation's gate")]
        {
            let does = if self.play.swipe(last, door).await? { "opens" } else { "stays shut" };
            say(format_args!("The {name} {does}."));
        }
        Ok(())
    }

    async fn end(&self) -> Outcome {
        self.play.end(self.play.last()?).await?;
        say("The employment has ended. Try swipe, reload the apps, type receipt.");
        Ok(())
    }

    async fn cardea(&self, arguments: &[&str]) -> Outcome {
        let (_, said) = self.stage.cardea(arguments).await?;
        say(said.trim_end());
        Ok(())
    }
}
