//! `cardea task`: what people do while a door system cannot be reached.

use bridge::task::{self, State, Task, TaskError};
use clap::{Args, Subcommand};
use kernel::id::TaskId;
use kernel::{Actor, Ctx};
use store::{Db, Origin};

use super::time::{Way, time_of};
use super::{Failure, Outcome, USAGE, open_existing, say};
use crate::config::Config;

#[derive(Debug, Subcommand)]
pub(super) enum Tasks {
    /// Show the tasks that are open: each names a card, what it may open and must not, and what could be done.
    ///
    /// OPEN: somebody must see to it. ACCEPTED: somebody has accepted the risk of all that is named, and that time has
    /// not passed. A task is opened when a revocation is not proven for 5 minutes, at doors of class 3 or more when the
    /// first attempt failed; it closes when the revocation is proven, which is tried for ever. Exit code 0, whatever is
    /// open: see exposure.
    List(List),
    /// Accept the risk of a task by name, for a time. When that passes unproven, or more may be opened than the task
    /// had named, the task is open again.
    Accept(Accept),
    /// Note that a compensation was carried out. The task stays open until the revocation is proven.
    Done(Done),
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// Also those that are closed (CLOSED), the newest first.
    #[arg(long)]
    all: bool,
    /// As one JSON object.
    #[arg(long)]
    json: bool,
    /// Show at most so many.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(i64).range(1..=10_000))]
    limit: i64,
}

#[derive(Debug, Args)]
pub(super) struct Accept {
    /// The task's id, as the list shows it.
    id: TaskId,
    /// Who answers for it; the journal and the receipt keep the name.
    #[arg(long, value_name = "NAME")]
    who: String,
    /// Why.
    #[arg(long, value_name = "REASON")]
    because: String,
    /// Until when, 90 days ahead at most: a time (2026-11-27T06:00:00Z), the beginning of a day (2026-11-27, in UTC),
    /// or so long from now (90m, 24h, 7d).
    #[arg(long, value_name = "TIME")]
    until: String,
}

#[derive(Debug, Args)]
pub(super) struct Done {
    /// The task's id, as the list shows it.
    id: TaskId,
    /// Who did it; the journal and the receipt keep the name.
    #[arg(long, value_name = "NAME")]
    who: String,
    /// What was done.
    #[arg(long, value_name = "DEED")]
    what: String,
}

impl Tasks {
    pub(super) async fn run(self, config: Config, ctx: Ctx) -> Outcome {
        let db = open_existing(&config, ctx).await?;
        match self {
            Self::List(list) => list.run(&db).await,
            Self::Accept(accept) => accept.run(&db).await,
            Self::Done(done) => done.run(&db).await,
        }
    }
}

impl List {
    async fn run(self, db: &Db) -> Outcome {
        let tasks = task::list(db, self.all, self.limit).await.map_err(Failure::unread)?;
        if self.json {
            say(serde_json::json!({ "tasks": tasks }));
            return Ok(());
        }
        tasks.iter().for_each(show);
        let (open, accepted) = task::count(db).await.map_err(Failure::unread)?;
        say(format_args!("{} open, {accepted} accepted", open - accepted));
        Ok(())
    }
}

fn show(task: &Task) {
    let state = match task.state {
        State::Open => "OPEN    ",
        State::Accepted => "ACCEPTED",
        State::Closed => "CLOSED  ",
    };
    say(format_args!("{state}  {task}"));
}

impl Accept {
    async fn run(self, db: &Db) -> Outcome {
        let Self { id, who, because, until } = self;
        let until = time_of(&until, db.ctx().now(), Way::Ahead)?;
        let accepted = task::accept(db, Origin::of(Actor::Operator), id, &who, &because, until).await;
        let doors = accepted.map_err(refused)?.join(", ");
        say(format_args!(
            "{id} is accepted until {until}, of {doors}. The revocation is tried on until it is proven."
        ));
        Ok(())
    }
}

impl Done {
    async fn run(self, db: &Db) -> Outcome {
        let Self { id, who, what } = self;
        task::note_done(db, Origin::of(Actor::Operator), id, &who, &what).await.map_err(refused)?;
        say(format_args!("noted. {id} stays open until the revocation is proven."));
        Ok(())
    }
}

fn refused(error: TaskError) -> Failure {
    let code = match error {
        TaskError::Invalid(_) => USAGE,
        TaskError::NotFound(_) | TaskError::Closed { .. } | TaskError::Store(_) => 1,
    };
    Failure::from(error).code(code)
}
