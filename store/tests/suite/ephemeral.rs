//! Ephemeral: exact counters and single-use values, in memory and on Redis.

use std::sync::Arc;
use std::time::Duration;

use kernel::{Ctx, Secret};
use store::{Ephemeral, EphemeralError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::house::{MovedClock, ctx, patient};

/// A store of its own, and how to let time pass in it.
struct Shelf {
    ephemeral: Ephemeral,
    clock: Option<Arc<MovedClock>>,
}

impl Shelf {
    async fn memory() -> Option<Self> {
        let clock = Arc::new(MovedClock::default());
        Some(Self { ephemeral: Ephemeral::in_memory(ctx(&clock)), clock: Some(clock) })
    }

    async fn redis() -> Option<Self> {
        let url = parts::or_skip(parts::redis_server(), parts::NO_REDIS)?;
        let ephemeral = Ephemeral::on_redis(&Secret::new(url), &prefix()).await.expect("Redis answers");
        Some(Self { ephemeral, clock: None })
    }

    async fn pass(&self, time: Duration) {
        match &self.clock {
            Some(clock) => clock.pass(time),
            None => tokio::time::sleep(time).await,
        }
    }
}

/// Keeps the tests that share a server apart.
fn prefix() -> String {
    let random: [u8; 8] = Ctx::system().random();
    format!("store-test-{random:02x?}")
}

macro_rules! on_every_shelf {
    ($($name:ident),+ $(,)?) => { $(
        mod $name {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn memory() {
                let Some(shelf) = super::Shelf::memory().await else { return };
                super::$name(shelf).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn redis() {
                let Some(shelf) = super::Shelf::redis().await else { return };
                super::$name(shelf).await;
            }
        }
    )+ };
}

on_every_shelf!(
    a_count_is_exact_under_200_at_once,
    a_window_begins_with_its_first_count,
    of_200_who_put_once_one_wins,
    of_200_who_take_one_gets_it,
    a_value_dies_at_its_time,
    putting_replaces_and_forgetting_forgets,
    too_long_is_refused,
    keys_and_values_are_any_text,
);

const LONG: Duration = Duration::from_secs(60);
/// Short enough to wait for on a real server.
const SHORT: Duration = Duration::from_millis(300);

async fn at_once<T: Send + 'static, W: Future<Output = T> + Send + 'static>(
    what: impl Fn(usize) -> W,
) -> Vec<T> {
    let tasks: Vec<_> = (0..200).map(|n| tokio::spawn(what(n))).collect();
    let mut results = Vec::new();
    for task in tasks {
        results.push(patient(task).await.unwrap());
    }
    results
}

async fn a_count_is_exact_under_200_at_once(shelf: Shelf) {
    let mut counts = at_once(|_| {
        let ephemeral = shelf.ephemeral.clone();
        async move { ephemeral.count("sign-in:ada", LONG).await.unwrap() }
    })
    .await;
    counts.sort_unstable();
    assert_eq!(counts, (1..=200).collect::<Vec<_>>());
    assert_eq!(shelf.ephemeral.count("sign-in:bob", LONG).await.unwrap(), 1, "each key counts for itself");
}

async fn a_window_begins_with_its_first_count(shelf: Shelf) {
    assert_eq!(shelf.ephemeral.count("k", SHORT).await.unwrap(), 1);
    shelf.pass(SHORT.mul_f64(0.7)).await;
    assert_eq!(shelf.ephemeral.count("k", LONG).await.unwrap(), 2, "a later count does not prolong it");
    shelf.pass(SHORT.mul_f64(0.5)).await;
    assert_eq!(shelf.ephemeral.count("k", LONG).await.unwrap(), 1, "a new window");
}

async fn of_200_who_put_once_one_wins(shelf: Shelf) {
    let won = at_once(|n| {
        let ephemeral = shelf.ephemeral.clone();
        async move { ephemeral.put_once("jti", &n.to_string(), LONG).await.unwrap() }
    })
    .await;
    let winners: Vec<_> =
        won.iter().enumerate().filter(|(_, won)| **won).map(|(n, _)| n.to_string()).collect();
    assert_eq!(winners.len(), 1);
    assert_eq!(shelf.ephemeral.get("jti").await.unwrap().as_ref(), winners.first());
}

async fn of_200_who_take_one_gets_it(shelf: Shelf) {
    shelf.ephemeral.put("challenge", "secret", LONG).await.unwrap();
    let taken = at_once(|_| {
        let ephemeral = shelf.ephemeral.clone();
        async move { ephemeral.take("challenge").await.unwrap() }
    })
    .await;
    assert_eq!(taken.iter().flatten().collect::<Vec<_>>(), ["secret"]);
    assert_eq!(shelf.ephemeral.get("challenge").await.unwrap(), None);
}

async fn a_value_dies_at_its_time(shelf: Shelf) {
    shelf.ephemeral.put("short", "v", SHORT).await.unwrap();
    shelf.ephemeral.put("long", "v", LONG).await.unwrap();
    assert!(!shelf.ephemeral.put_once("short", "w", SHORT).await.unwrap());
    shelf.pass(SHORT * 2).await;
    assert_eq!(shelf.ephemeral.get("short").await.unwrap(), None);
    assert_eq!(shelf.ephemeral.take("short").await.unwrap(), None);
    assert!(shelf.ephemeral.put_once("short", "w", LONG).await.unwrap(), "once more, after it died");
    assert_eq!(shelf.ephemeral.get("long").await.unwrap().as_deref(), Some("v"));
}

async fn putting_replaces_and_forgetting_forgets(shelf: Shelf) {
    shelf.ephemeral.put("k", "1", SHORT).await.unwrap();
    shelf.ephemeral.put("k", "2", LONG).await.unwrap();
    shelf.pass(SHORT * 2).await;
    assert_eq!(shelf.ephemeral.get("k").await.unwrap().as_deref(), Some("2"), "its time is the new one's");
    shelf.ephemeral.forget("k").await.unwrap();
    shelf.ephemeral.forget("k").await.unwrap();
    assert_eq!(shelf.ephemeral.get("k").await.unwrap(), None);
    shelf.ephemeral.count("n", LONG).await.unwrap();
    shelf.ephemeral.forget("n").await.unwrap();
    assert_eq!(shelf.ephemeral.count("n", LONG).await.unwrap(), 1);
    shelf.ephemeral.check().await.unwrap();
}

async fn too_long_is_refused(shelf: Shelf) {
    let (key, value) = ("k".repeat(Ephemeral::KEY_BYTES), "v".repeat(Ephemeral::VALUE_BYTES));
    shelf.ephemeral.put(&key, &value, LONG).await.unwrap();
    assert_eq!(shelf.ephemeral.get(&key).await.unwrap(), Some(value.clone()));
    let (longer_key, longer) = (format!("{key}k"), format!("{value}v"));
    for refused in [
        shelf.ephemeral.put(&longer_key, "", LONG).await,
        shelf.ephemeral.put("k", &longer, LONG).await,
        shelf.ephemeral.put_once("k", &longer, LONG).await.map(drop),
        shelf.ephemeral.count(&longer_key, LONG).await.map(drop),
    ] {
        assert!(matches!(refused, Err(EphemeralError::TooLong)), "{refused:?}");
    }
}

async fn keys_and_values_are_any_text(shelf: Shelf) {
    for text in ["", " ", "*", "a\r\nDEL b", "\0", "ключ\u{1F6AA}"] {
        shelf.ephemeral.put(text, text, LONG).await.unwrap();
        assert_eq!(shelf.ephemeral.take(text).await.unwrap().as_deref(), Some(text));
    }
}

/// A link to the real server that can be cut and restored.
struct Link {
    url: Secret<String>,
    mood: watch::Sender<Mood>,
}

#[derive(Clone, Copy, PartialEq)]
enum Mood {
    Passing,
    /// Connections are closed, new ones too.
    Cut,
    /// Connections stay, and nothing comes back.
    Silent,
}

impl Link {
    async fn to(server: &str) -> Self {
        let target = server.trim_start_matches("redis://").trim_end_matches('/');
        let (login, target) = target.rsplit_once('@').map_or(("", target), |(login, target)| (login, target));
        let (login, target) = (login.to_owned(), target.to_owned());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (mood, watched) = watch::channel(Mood::Passing);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, target.clone(), watched.clone()));
            }
        });
        let at = if login.is_empty() { String::new() } else { format!("{login}@") };
        Self { url: Secret::new(format!("redis://{at}{address}")), mood }
    }
}

async fn pass(mut client: TcpStream, target: String, mut mood: watch::Receiver<Mood>) {
    let mut server = TcpStream::connect(target).await.unwrap();
    let (mut question, mut answer) = ([0; 4096], [0; 4096]);
    loop {
        let now = *mood.borrow_and_update();
        if now == Mood::Cut {
            return;
        }
        tokio::select! {
            read = client.read(&mut question) => match read {
                Ok(n) if n > 0 => server.write_all(&question[..n]).await.unwrap(),
                _ => return,
            },
            read = server.read(&mut answer), if now == Mood::Passing => match read {
                Ok(n) if n > 0 => client.write_all(&answer[..n]).await.unwrap(),
                _ => return,
            },
            changed = mood.changed() => if changed.is_err() { return },
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_down_or_silent_fails_soon_and_is_used_again_when_it_is_back() {
    let Some(url) = parts::or_skip(parts::redis_server(), parts::NO_REDIS) else { return };
    let link = Link::to(&url).await;
    let ephemeral = Ephemeral::on_redis(&link.url, &prefix()).await.unwrap();
    ephemeral.put("k", "v", LONG).await.unwrap();
    for mood in [Mood::Cut, Mood::Silent] {
        link.mood.send(mood).unwrap();
        for call in 0..4 {
            // Twice the patience of one call, and room for a busy machine.
            let answer = tokio::time::timeout(Duration::from_secs(4), ephemeral.count("n", LONG)).await;
            let answer = answer.unwrap_or_else(|_| panic!("call {call} was not answered"));
            assert!(matches!(answer, Err(EphemeralError::Failed(_))), "call {call}: {answer:?}");
        }
        ephemeral.check().await.unwrap_err();
        link.mood.send(Mood::Passing).unwrap();
        patient(async {
            while ephemeral.get("k").await.ok().flatten().is_none() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
    }
}

#[tokio::test]
async fn a_redis_that_is_not_there_is_told_at_the_start() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let url = Secret::new(format!("redis://:secret-password@{nobody}"));
    let error = patient(Ephemeral::on_redis(&url, "x")).await.unwrap_err();
    assert!(matches!(error, EphemeralError::Failed(_)), "{error:?}");
    assert!(!error.to_string().contains("secret-password"), "{error}");
}
