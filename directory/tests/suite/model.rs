//! The directory against a plain map: random deeds, after which both must say the same of everything.

use std::collections::{BTreeMap, BTreeSet};

use directory::credential::{self, State};
use directory::group::{self, Group, MemberChange, membership};
use directory::session::{self, Session, grant};
use directory::user::{self, Profile, User};
use directory::{DirectoryError, authenticator, fold, invitation};
use kernel::id::{CredentialId, GrantId};
use kernel::{Ctx, Token};
use store::{Db, sql};

use crate::house::{House, begin, change};
use crate::people::{
    ISSUER, POOL, accept_in, client, code_in, create, current, declare, exchange, grant_in, open, pool,
    profile, update,
};

on_both_engines! {
    the_directory_is_what_a_map_of_it_says,
}

const SEEDS: u64 = 6;
const DEEDS: usize = 120;
/// Few names in many spellings, so that they meet.
const NAMES: [&str; 8] = ["ada", "ADA", "Ada ", "bo", "BO", "Straße", "STRASSE", "zoë"];
const CARDS: i64 = 12;

/// What was made of an account, each with whether it can be used.
#[derive(Default)]
struct Account {
    seen: Option<User>,
    password: Option<String>,
    sessions: Vec<Sign>,
    cards: BTreeMap<CredentialId, (i64, State)>,
    invitation: Option<(Token, bool)>,
}

struct Sign {
    session: Session,
    cookie: Token,
    alive: bool,
    grants: Vec<Allowed>,
}

struct Allowed {
    id: GrantId,
    alive: bool,
    code: Token,
    unused: bool,
}

/// The same as the directory, in the plainest way.
struct Model<'a> {
    db: &'a Db,
    draw: Draw,
    accounts: Vec<Account>,
    groups: Vec<(Group, BTreeSet<String>)>,
    issued: i64,
}

/// Numbers that a seed determines.
struct Draw(Ctx);

impl Draw {
    fn below(&self, count: usize) -> usize {
        usize::try_from(u64::from_le_bytes(self.0.random()) % count.max(1) as u64).unwrap()
    }

    fn one<'a, T>(&self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}

#[expect(clippy::print_stdout, reason = "the seed of a failure")]
async fn the_directory_is_what_a_map_of_it_says(house: House) {
    declare(&house.db, &[client(crate::people::CLIENT), pool(POOL, 1, CARDS)]).await.unwrap();
    for seed in 0..SEEDS {
        println!("seed {seed}");
        let draw = Draw(Ctx::for_tests(seed));
        let mut model = Model { db: &house.db, draw, accounts: Vec::new(), groups: Vec::new(), issued: 0 };
        model.issued = house.count(sql!("SELECT COUNT(*) FROM credential")).await;
        for deed in 0..DEEDS {
            model.do_something().await;
            if deed % 10 == 9 {
                model.compare().await;
            }
        }
        model.compare().await;
        model.clear().await;
    }
}

impl Model<'_> {
    async fn do_something(&mut self) {
        match self.draw.below(20) {
            0 | 1 => self.create_user().await,
            2 => self.rename_user().await,
            3..=5 => self.switch_user().await,
            6 => self.delete_user().await,
            7 | 8 => self.sign_in().await,
            9 | 10 => self.allow().await,
            11 | 12 => self.exchange().await,
            13 => self.sign_out().await,
            14 => self.hand_out().await,
            15 => self.end_or_resume_card().await,
            16 => self.invite().await,
            17 => self.accept().await,
            18 => self.make_or_delete_group().await,
            _ => self.change_members().await,
        }
    }

    /// An account that is there, if there is one.
    fn some_account(&self) -> Option<usize> {
        let there: Vec<usize> = self.indices(|account| account.seen.is_some());
        (!there.is_empty()).then(|| *self.draw.one(&there))
    }

    fn indices(&self, which: impl Fn(&Account) -> bool) -> Vec<usize> {
        (0..self.accounts.len()).filter(|at| which(&self.accounts[*at])).collect()
    }

    fn is_active(&self, at: usize) -> bool {
        self.accounts[at].seen.as_ref().is_some_and(|user| user.active)
    }

    fn takes(&self, name: &str, but: Option<usize>) -> bool {
        let same = |user: &User| fold(&user.user_name) == fold(name);
        let others = self.accounts.iter().enumerate().filter(|(at, _)| Some(*at) != but);
        others.into_iter().any(|(_, account)| account.seen.as_ref().is_some_and(same))
    }

    async fn create_user(&mut self) {
        let name = *self.draw.one(&NAMES);
        let wanted = Profile { active: self.draw.below(4) > 0, ..profile(name) };
        match create(self.db, &wanted).await {
            Ok(user) => {
                assert!(!self.takes(name, None), "{name}");
                self.accounts.push(Account { seen: Some(user), ..Account::default() });
            }
            Err(DirectoryError::Taken("userName")) => assert!(self.takes(name, None), "{name}"),
            Err(error) => panic!("{error}"),
        }
    }

    async fn rename_user(&mut self) {
        let Some(at) = self.some_account() else { return };
        let (name, seen) = (*self.draw.one(&NAMES), self.accounts[at].seen.clone().unwrap());
        match update(self.db, &seen, &Profile { active: seen.active, ..profile(name) }).await {
            Ok(user) => {
                assert!(!self.takes(name, Some(at)), "{name}");
                assert_eq!((user.user_name.as_str(), user.version), (name, seen.version + 1));
                self.accounts[at].seen = Some(user);
            }
            Err(DirectoryError::Taken("userName")) => assert!(self.takes(name, Some(at)), "{name}"),
            Err(error) => panic!("{error}"),
        }
    }

    async fn switch_user(&mut self) {
        let Some(at) = self.some_account() else { return };
        let (active, seen) = (self.draw.below(2) == 0, self.accounts[at].seen.clone().unwrap());
        let user = crate::people::set_active(self.db, &seen, active).await.unwrap();
        if seen.active && !active {
            self.end(at, State::Suspended);
        }
        assert_eq!(user.version - seen.version, i64::from(seen.active != active));
        self.accounts[at].seen = Some(user);
    }

    async fn delete_user(&mut self) {
        let Some(at) = self.some_account() else { return };
        let seen = self.accounts[at].seen.take().unwrap();
        crate::people::delete(self.db, &seen).await.unwrap();
        self.accounts[at].password = None;
        self.end(at, State::Revoked);
        for (group, members) in &mut self.groups {
            if members.remove(&seen.id.to_string()) {
                group.version += 1;
                group.updated_at = self.db.ctx().now();
            }
        }
    }

    fn end(&mut self, at: usize, cards: State) {
        self.end_sign_ins(at);
        let account = &mut self.accounts[at];
        for (_, state) in account.cards.values_mut() {
            if *state == State::Active || cards == State::Revoked {
                *state = cards;
            }
        }
        account.invitation = account.invitation.take().map(|(token, _)| (token, false));
    }

    fn end_sign_ins(&mut self, at: usize) {
        for sign in &mut self.accounts[at].sessions {
            sign.alive = false;
            sign.grants.iter_mut().for_each(|allowed| allowed.alive = false);
        }
    }

    async fn sign_in(&mut self) {
        if self.accounts.is_empty() {
            return;
        }
        let at = self.draw.below(self.accounts.len());
        let Some(user) = self.accounts[at].seen.clone() else { return };
        match open(self.db, user.id).await {
            Ok((session, cookie)) => {
                assert!(user.active);
                let sign = Sign { session, cookie, alive: true, grants: Vec::new() };
                self.accounts[at].sessions.push(sign);
            }
            Err(DirectoryError::NotFound(_)) => assert!(!user.active),
            Err(error) => panic!("{error}"),
        }
    }

    /// A session, dead or alive.
    fn some_session(&self) -> Option<(usize, usize)> {
        let with = self.indices(|account| !account.sessions.is_empty());
        let at = *with.get(self.draw.below(with.len()))?;
        Some((at, self.draw.below(self.accounts[at].sessions.len())))
    }

    async fn allow(&mut self) {
        let Some((at, nth)) = self.some_session() else { return };
        let session = self.accounts[at].sessions[nth].session.clone();
        let made: Result<_, DirectoryError> = change(self.db, async |tx| {
            let grant = grant_in(tx, &session).await?;
            Ok((grant, code_in(tx, grant).await?))
        })
        .await;
        let (id, code) = made.unwrap();
        let sign = &mut self.accounts[at].sessions[nth];
        sign.grants.push(Allowed { id, alive: sign.alive, code, unused: true });
    }

    async fn exchange(&mut self) {
        let Some((at, nth)) = self.some_session() else { return };
        let count = self.accounts[at].sessions[nth].grants.len();
        if count == 0 {
            return;
        }
        let which = self.draw.below(count);
        let allowed = &mut self.accounts[at].sessions[nth].grants[which];
        let code = allowed.code.clone();
        let served = exchange(self.db, code.expose()).await.unwrap();
        assert_eq!(served, allowed.alive && allowed.unused);
        // Presented again, it ends what it gave.
        allowed.alive &= allowed.unused;
        allowed.unused = false;
    }

    async fn sign_out(&mut self) {
        let Some((at, nth)) = self.some_session() else { return };
        let sign = &mut self.accounts[at].sessions[nth];
        let id = sign.session.id;
        let ended = change(self.db, async |tx| session::end(tx, id).await).await.unwrap();
        assert_eq!(ended, sign.alive);
        sign.alive = false;
        sign.grants.iter_mut().for_each(|allowed| allowed.alive = false);
    }

    async fn hand_out(&mut self) {
        let Some(at) = self.some_account() else { return };
        let user = self.accounts[at].seen.as_ref().unwrap().id;
        let issued = change(self.db, async |tx| credential::issue(tx, user, POOL).await).await;
        if !self.is_active(at) {
            assert!(issued.is_err());
            return;
        }
        match issued.unwrap() {
            Some(card) => {
                self.issued += 1;
                assert_eq!(card.number, self.issued);
                self.accounts[at].cards.insert(card.id, (card.number, State::Active));
            }
            None => assert_eq!(self.issued, CARDS),
        }
    }

    async fn end_or_resume_card(&mut self) {
        let with = self.indices(|account| !account.cards.is_empty());
        let Some(at) = with.get(self.draw.below(with.len())).copied() else { return };
        let cards: Vec<CredentialId> = self.accounts[at].cards.keys().copied().collect();
        let id = *self.draw.one(&cards);
        let seen = credential::get(self.db, id).await.unwrap().unwrap();
        let wanted = *self.draw.one(&[State::Active, State::Suspended, State::Revoked]);
        let done = change(self.db, async |tx| match wanted {
            State::Active => credential::resume(tx, &seen, None).await,
            ending => credential::end(tx, &seen, ending, None).await,
        })
        .await;
        let active = self.is_active(at);
        let (_, state) = self.accounts[at].cards.get_mut(&id).unwrap();
        let may = match (*state, wanted) {
            (from, State::Active) => from == State::Suspended && active,
            (from, to) => from != State::Revoked || to == State::Revoked,
        };
        assert_eq!(done.is_ok(), may, "{state} to {wanted}: {done:?}");
        *state = if may { wanted } else { *state };
    }

    async fn invite(&mut self) {
        let Some(at) = self.some_account() else { return };
        let user = self.accounts[at].seen.as_ref().unwrap().id;
        let invited = change(self.db, async |tx| invitation::create(tx, ISSUER, user).await).await;
        assert_eq!(invited.is_ok(), self.is_active(at));
        if let Ok(token) = invited {
            self.accounts[at].invitation = Some((token, true));
        }
    }

    async fn accept(&mut self) {
        let with = self.indices(|account| account.invitation.is_some());
        let Some(at) = with.get(self.draw.below(with.len())).copied() else { return };
        let verifier = format!("$hash-{}", self.draw.below(1_000));
        let (token, usable) = self.accounts[at].invitation.clone().unwrap();
        let accepted =
            change(self.db, async |tx| accept_in(tx, token.expose(), &verifier).await).await.unwrap();
        assert_eq!(accepted, usable);
        if accepted {
            self.end_sign_ins(at);
            self.accounts[at].password = Some(verifier);
            self.accounts[at].invitation = Some((token, false));
        }
    }

    async fn make_or_delete_group(&mut self) {
        if self.groups.len() < 3 {
            let name = format!("group-{}-{}", self.groups.len(), self.draw.below(1 << 30));
            let members = self.some_members();
            let group = crate::people::create_group(self.db, &name, &members).await.unwrap();
            self.groups.push((group, members.into_iter().collect()));
        } else {
            let (group, _) = self.groups.swap_remove(self.draw.below(3));
            change(self.db, async |tx| group::delete(tx, &group).await).await.unwrap();
        }
    }

    /// Accounts, deleted ones among them, and nobody.
    fn some_members(&self) -> Vec<String> {
        let mut all: Vec<String> = vec!["nobody".into()];
        all.extend(self.accounts.iter().flat_map(|account| &account.seen).map(|user| user.id.to_string()));
        (0..self.draw.below(4)).map(|_| self.draw.one(&all).clone()).collect()
    }

    async fn change_members(&mut self) {
        if self.groups.is_empty() {
            return;
        }
        let at = self.draw.below(self.groups.len());
        let replace = (self.draw.below(3) == 0).then(|| self.some_members());
        let wanted = MemberChange { replace, remove: self.some_members(), add: self.some_members() };
        let (group, members) = &mut self.groups[at];
        let id = group.id;
        let changed =
            change(self.db, async |tx| membership::update_members(tx, id, &wanted).await).await.unwrap();
        let mut expect = members.clone();
        if let Some(replace) = &wanted.replace {
            expect = replace.iter().cloned().collect();
        }
        expect.retain(|member| !wanted.remove.contains(member));
        expect.extend(wanted.add);
        assert_eq!(changed.version - group.version, i64::from(expect != *members));
        (*group, *members) = (changed, expect);
    }

    /// Everything that can be asked, of everything that ever was.
    async fn compare(&self) {
        for account in &self.accounts {
            self.compare_account(account).await;
        }
        let there = self.indices(|account| account.seen.is_some()).len();
        assert_eq!(user::count(self.db).await.unwrap(), i64::try_from(there).unwrap());
        for (group, members) in &self.groups {
            assert_eq!(group::get(self.db, group.id).await.unwrap().as_ref(), Some(group));
            let listed = crate::people::member_ids(self.db, group).await;
            assert_eq!(listed.into_iter().collect::<BTreeSet<_>>(), *members);
        }
        assert_eq!(group::count(self.db).await.unwrap(), i64::try_from(self.groups.len()).unwrap());
    }

    async fn compare_account(&self, account: &Account) {
        if let Some(seen) = &account.seen {
            assert_eq!(&current(self.db, seen.id).await, seen);
            assert_eq!(user::by_user_name(self.db, &seen.user_name).await.unwrap().as_ref(), Some(seen));
            assert_eq!(authenticator::password::verifier(self.db, seen.id).await.unwrap(), account.password);
        }
        for sign in &account.sessions {
            let found = session::by_token(self.db, sign.cookie.expose()).await.unwrap();
            assert_eq!(found.as_ref(), sign.alive.then_some(&sign.session));
            for allowed in &sign.grants {
                let live = grant::live(self.db, allowed.id).await.unwrap();
                assert_eq!(live.is_some(), allowed.alive);
            }
        }
        for (id, (number, state)) in &account.cards {
            let card = credential::get(self.db, *id).await.unwrap().unwrap();
            assert_eq!((card.number, card.state.as_str()), (*number, state.as_str()));
        }
        if let Some((token, usable)) = &account.invitation {
            let found = invitation::find(self.db, ISSUER, token.expose()).await.unwrap();
            assert_eq!(found.is_some(), *usable);
        }
    }

    async fn clear(&mut self) {
        while self.some_account().is_some() {
            self.delete_user().await;
        }
        self.compare().await;
        let mut tx = begin(self.db).await;
        for (group, _) in self.groups.drain(..) {
            group::delete(&mut tx, &group).await.unwrap();
        }
        tx.commit().await.unwrap();
    }
}
