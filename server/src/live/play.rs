//! What can be done on the stage: HR hires and ends, somebody shows a card at a door. The page and the terminal play
//! with the same hands, so each sees what the other did.

use std::sync::{Arc, Mutex, PoisonError};

use directory::{credential, user};
use kernel::id::UserId;
use sim::hr::{HrError, Person};
use store::StoreError;
use tokio::sync::watch;

use crate::stage::{DEPARTMENT, DOMAIN, DOORS, Stage};

/// Who is hired, one after the other.
const PEOPLE: [(&str, &str, &str); 8] = [
    ("Mira", "Holt", "Grid operator"),
    ("Jonas", "Veld", "Shift supervisor"),
    ("Aino", "Laine", "Load forecaster"),
    ("Samir", "Haddad", "Grid operator"),
    ("Lucia", "Prado", "Dispatcher"),
    ("Tomasz", "Wilk", "Protection engineer"),
    ("Ingrid", "Moe", "Grid operator"),
    ("Noor", "Bakker", "Shift supervisor"),
];

/// Why nothing was done, in words for whoever asked.
#[derive(Debug, thiserror::Error)]
pub enum PlayError {
    /// Nobody was hired.
    #[error("Nobody is hired yet: type hire.")]
    Nobody,
    /// Whoever it is carries no card.
    #[error("Nobody has a card yet: type hire.")]
    NoCard,
    /// There is no such person or door.
    #[error("there is no such person or door here")]
    Unknown,
    /// All names are used.
    #[error("everybody works here already")]
    Everybody,
    /// HR did not get through.
    #[error(transparent)]
    Hr(#[from] HrError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What was done last, for whoever looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Done {
    /// Somebody showed a card at a door.
    Swiped { name: String, door: &'static str, granted: bool },
}

/// The hands.
pub struct Play {
    stage: Arc<Stage>,
    /// How many of [`PEOPLE`] were hired. Held while one is, so that two buttons do not hire one person.
    hired: tokio::sync::Mutex<usize>,
    last: Mutex<Option<UserId>>,
    done: watch::Sender<Option<Done>>,
}

impl Play {
    /// Nobody works here yet.
    #[must_use]
    pub fn new(stage: &Arc<Stage>) -> Self {
        let (stage, done) = (stage.clone(), watch::Sender::new(None));
        Self { stage, hired: tokio::sync::Mutex::default(), last: Mutex::default(), done }
    }

    /// The first of those who are hired here.
    #[must_use]
    pub fn first_person() -> Person {
        person(PEOPLE[0])
    }

    /// HR hires the next person.
    ///
    /// # Errors
    /// See [`PlayError`].
    pub async fn hire(&self) -> Result<Person, PlayError> {
        let mut hired = self.hired.lock().await;
        let person = person(*PEOPLE.get(*hired).ok_or(PlayError::Everybody)?);
        let id = self.stage.hr.hire(&person).await?;
        *hired += 1;
        self.remember(id.parse().map_err(|_| PlayError::Unknown)?);
        Ok(person)
    }

    /// HR takes somebody back.
    ///
    /// # Errors
    /// See [`PlayError`].
    pub async fn rehire(&self, id: UserId) -> Result<(), PlayError> {
        self.known(id).await?;
        self.stage.hr.rehire(&id.to_string()).await?;
        self.remember(id);
        Ok(())
    }

    /// HR ends somebody's employment.
    ///
    /// # Errors
    /// See [`PlayError`].
    pub async fn end(&self, id: UserId) -> Result<(), PlayError> {
        self.known(id).await?;
        Ok(self.stage.hr.end_employment(&id.to_string()).await?)
    }

    /// Somebody shows the card at a door: whether it opens. The card stays in the hand, whatever HR thinks of it.
    ///
    /// # Errors
    /// See [`PlayError`].
    pub async fn swipe(&self, id: UserId, door: &str) -> Result<bool, PlayError> {
        let name = self.known(id).await?;
        let door = *DOORS.iter().find(|known| known.name == door).ok_or(PlayError::Unknown)?;
        let card = self.card(id).await?.ok_or(PlayError::NoCard)?;
        let granted = self.stage.swipe(card, door).await;
        self.done.send_replace(Some(Done::Swiped { name, door: door.name, granted }));
        Ok(granted)
    }

    /// The number of somebody's card as the controller knows it: facility × 100,000 + number.
    ///
    /// # Errors
    /// See [`PlayError`].
    pub async fn card(&self, id: UserId) -> Result<Option<u32>, PlayError> {
        let cards = credential::of_user(&self.stage.house.db, id).await?;
        let last = cards.iter().max_by_key(|card| card.issued_at);
        Ok(last.and_then(|card| u32::try_from(card.facility * 100_000 + card.number).ok()))
    }

    /// Who was hired last.
    ///
    /// # Errors
    /// [`PlayError::Nobody`].
    pub fn last(&self) -> Result<UserId, PlayError> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).ok_or(PlayError::Nobody)
    }

    /// What was done last; changes with it.
    pub(super) fn done(&self) -> watch::Receiver<Option<Done>> {
        self.done.subscribe()
    }

    fn remember(&self, id: UserId) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(id);
    }

    /// The name of somebody who is here.
    async fn known(&self, id: UserId) -> Result<String, PlayError> {
        let user = user::get(&self.stage.house.db, id).await?.ok_or(PlayError::Unknown)?;
        Ok(user.display_name.unwrap_or(user.user_name))
    }
}

fn person((given_name, family_name, title): (&str, &str, &str)) -> Person {
    let mut person = Person::new(given_name, family_name, DOMAIN);
    person.department = Some(DEPARTMENT.into());
    person.title = Some(title.into());
    person
}
