//! Journeys through the whole server, seen from outside: by HR, an app, a browser, a door, an auditor.
//!
//! A journey is an `async fn(&Scene)`. [`journeys!`] makes a test of it on each pair of engines: SQLite and memory,
//! PostgreSQL and Redis, set with [`StageOptions`](server::stage::StageOptions) if they say `on`; whatever it has
//! recorded is then held against the catalogue of facts. What needs the binary in a process of its own takes a
//! [`world::Served`].

#![expect(clippy::unwrap_used, reason = "a journey that cannot go on ends here")]

/// Makes tests of journeys: each on both pairs of engines.
macro_rules! journeys {
    (on $options:expr; $($(#[$attribute:meta])* $journey:ident),+ $(,)?) => {
        mod on_sqlite_and_memory {
            use server::stage::StageOptions;
            $($(#[$attribute])* #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $journey() {
                let scene = world::Scene::light($options).await;
                super::$journey(&scene).await;
                crate::catalogue::has_every_fact_of(&scene.stage.house.db).await;
                scene.end().await;
            })+
        }
        mod on_postgres_and_redis {
            use server::stage::StageOptions;
            $($(#[$attribute])* #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $journey() {
                let Some(scene) = world::Scene::heavy($options).await else { world::skip!("{}", world::NO_ENGINES) };
                super::$journey(&scene).await;
                crate::catalogue::has_every_fact_of(&scene.stage.house.db).await;
                scene.end().await;
            })+
        }
    };
    ($($journeys:tt)+) => {
        journeys!(on StageOptions::default(); $($journeys)+);
    };
}

mod apache;
mod bad_input;
mod catalogue;
mod clients;
mod commands;
mod crash;
mod demo;
mod export;
mod facts;
mod first_administrator;
mod front;
mod health;
mod hours;
mod https;
mod life;
mod live;
mod log;
mod lost_card;
mod mail;
mod newcomer;
mod nodes;
mod online;
mod quarantine;
mod routes;
mod slow;
mod steps;
mod stopping;
mod story;
mod tasks;
mod walk;
mod walker;
