//! Somebody parts with something: a person signs out or reports the own card lost, an application gives its tokens
//! back. Each asks the process that is killed, so the answer may be lost; what became of it is learned afterwards.
//!
//! What it is not: an end that HR or a hand with the binary writes; those are the clerks' and the hand's.

use std::time::Instant;

use sim::browser::{Browser, Form, Redirects};
use tokio::time::sleep;

use super::Load;
use crate::model::{Employee, Ending, Fate, Life};
use crate::plan::{Dice, Parting, Plan};

/// Where one signs out.
const SIGN_OUT: &str = "/logout";
/// Where one reports a card lost.
const BADGE: &str = "/account/badge";

impl Load<'_> {
    /// Once in a round: of few people who are signed in, some shall be left.
    pub(super) async fn part(&self, plan: &Plan, mut dice: Dice) {
        let Some((after, parting)) = plan.parting else { return };
        sleep(after).await;
        if self.is_over.get() {
            return;
        }
        match parting {
            Parting::SignOut => self.sign_out(&mut dice).await,
            Parting::Revocation => self.give_back(&mut dice).await,
            Parting::LostCard => self.report_lost(&mut dice).await,
        }
    }

    /// As in a browser: the page asks, and the person says yes. It is done in a copy of the browser. The one that is
    /// looked at afterwards keeps its cookie, which must be worth nothing.
    async fn sign_out(&self, dice: &mut Dice) {
        let chosen = self.one_of_lives(dice, |life, employee| life.fate(employee) == Fate::Alive);
        let Some((at, n, mut browser)) = chosen else { return };
        let Some(form) = self.form(&mut browser, SIGN_OUT, "form_token").await else { return };
        self.asked(|life| &mut life.sign_out, at);
        let answer = browser.submit(&form, &[]).await.map(|page| page.status);
        if self.is_yes(&format!("{n} signs out"), answer) {
            let mut world = self.world.borrow_mut();
            world.lives[at].sign_out = Ending::Answered(Instant::now());
            world.tally.sign_outs += 1;
        }
    }

    /// By a refresh token, used up or not: with the grant all tokens of it end, and the session goes on.
    async fn give_back(&self, dice: &mut Dice) {
        let may =
            |life: &Life, employee: &Employee| life.refresh.is_some() && life.tokens(employee) == Fate::Alive;
        let Some((at, n, _)) = self.one_of_lives(dice, may) else { return };
        let Some(token) = self.world.borrow().lives[at].refresh.clone() else { return };
        self.asked(|life| &mut life.revocation, at);
        let form = [("token", token.as_str()), ("token_type_hint", "refresh_token")];
        let answer = self.house.app().post("/revoke", &form).await.map(|answer| answer.status);
        if self.is_yes(&format!("a token of {n} is given back"), answer) {
            let mut world = self.world.borrow_mut();
            world.lives[at].revocation = Ending::Answered(Instant::now());
            world.tally.revocations += 1;
        }
    }

    /// On the page of the own account. The card is suspended as by hand: only a hand brings it back.
    async fn report_lost(&self, dice: &mut Dice) {
        let has_card = |employee: &Employee| {
            employee.active && employee.card.is_some() && !employee.by_hand && !employee.hand_is_open
        };
        let may = |life: &Life, employee: &Employee| has_card(employee) && life.fate(employee) == Fate::Alive;
        let Some((_, n, mut browser)) = self.one_of_lives(dice, may) else { return };
        let began = Instant::now();
        {
            let employee = &mut self.world.borrow_mut().staff[n];
            (employee.touched, employee.hand_is_open) = (true, true);
        }
        let Some(form) = self.form(&mut browser, BADGE, "lost").await else { return };
        self.parting.notify_one();
        // Whoever is not signed in any more is sent elsewhere.
        browser.redirects = Redirects::Stay;
        let answer = browser.submit(&form, &[]).await;
        let is_back = answer
            .as_ref()
            .is_ok_and(|page| page.stopped_at.as_ref().is_some_and(|address| address.path() == BADGE));
        let answer = answer.map(|page| page.status);
        if !self.is_yes(&format!("{n} reports the card lost"), answer) || !is_back {
            return;
        }
        let mut world = self.world.borrow_mut();
        // Of an account that ends, the card is suspended already: nobody did it by hand, and it comes back.
        if !world.staff[n].may_have_ended(began, Instant::now()) {
            let employee = &mut world.staff[n];
            (employee.by_hand, employee.hand_is_open) = (true, false);
            world.tally.cards_lost += 1;
        }
    }

    /// A life of somebody about whom HR is not writing, with its employee and a copy of its browser.
    fn one_of_lives(
        &self,
        dice: &mut Dice,
        may: impl Fn(&Life, &Employee) -> bool,
    ) -> Option<(usize, usize, Browser)> {
        let world = self.world.borrow();
        let is_one = |at: &usize| {
            let life = &world.lives[*at];
            let employee = &world.staff[life.n];
            employee.open.is_none() && may(life, employee)
        };
        let all: Vec<usize> = (0..world.lives.len()).filter(is_one).collect();
        let at = dice.one_of(&all)?;
        Some((at, world.lives[at].n, world.lives[at].browser.clone()))
    }

    /// The form of a page; `None` where the process is dead, or the page does not offer it any more.
    async fn form(&self, browser: &mut Browser, path: &str, field: &str) -> Option<Form> {
        let page = browser.get(&format!("{}{path}", self.house.issuer)).await.ok()?;
        self.world.borrow_mut().tally.errors += usize::from(page.status >= 500);
        let form = page.form_with(field);
        if let Err(error) = &form {
            self.story.tell(format!("nobody parts with anything: {error}"));
        }
        form.ok()
    }

    /// Notes that an end is about to be asked for.
    fn asked(&self, of: impl FnOnce(&mut Life) -> &mut Ending, at: usize) {
        let mut world = self.world.borrow_mut();
        let life = &mut world.lives[at];
        // What is left of it is looked at afterwards.
        life.is_new = true;
        *of(life) = Ending::Open;
        self.parting.notify_one();
    }

    /// Whether the answer was yes. What became of what was answered with an error of the server, nobody knows.
    fn is_yes<E: std::fmt::Display>(&self, what: &str, answer: Result<u16, E>) -> bool {
        let heard = answer.as_ref().map_or_else(ToString::to_string, ToString::to_string);
        self.story.tell(format!("{what}: {heard}"));
        let Ok(status) = answer else { return false };
        self.world.borrow_mut().tally.errors += usize::from(status >= 500);
        assert!(!(400..500).contains(&status), "{what} and is refused: {status}");
        status < 400
    }
}
