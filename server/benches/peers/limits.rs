//! What the server's core can do at all, by a process of its own on it: signatures, requests that are answered with a
//! word, and commits of the store.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use actix_web::{App, HttpServer, web};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256,
    UnparsedPublicKey,
};
use kernel::{Ctx, Subject};
use serde::{Deserialize, Serialize};
use store::{Db, DbConfig, Fact, FactBody, Origin, Sinks, StoreError, sql};

use crate::load::{self, Answer, Script};
use crate::rig::{Serving, on_the_servers_core};
use crate::work::CONNECTIONS;

/// The word with which this program measures one limit and does nothing else.
const ONLY: &str = "--only-limit";
/// How long.
const TIME: Duration = Duration::from_secs(1);
/// As long as what is signed of a token.
const MESSAGE: [u8; 700] = [b'x'; 700];

/// What limits a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    /// actix-web answers a word, to the same load generator.
    Hello,
    SignEs256,
    SignRs256,
    VerifyEs256,
    /// An update with its fact, 32 at once, in the store.
    Commits,
    /// The same one after the other.
    CommitsAlone,
}

impl Limit {
    pub(crate) const ALL: [Limit; 6] = [
        Limit::Hello,
        Limit::SignEs256,
        Limit::SignRs256,
        Limit::VerifyEs256,
        Limit::Commits,
        Limit::CommitsAlone,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Limit::Hello => "actix hello",
            Limit::SignEs256 => "ES256 signs",
            Limit::SignRs256 => "RS256 signs",
            Limit::VerifyEs256 => "ES256 verifies",
            Limit::Commits => "shared commits",
            Limit::CommitsAlone => "commits alone",
        }
    }

    /// How many a second there were where the targets were set. What a row is held against is its target's share of
    /// this: no two machines, and no two hours of one, can do the same.
    pub(crate) const fn then(self) -> f64 {
        match self {
            Limit::Hello => 165_682.0,
            Limit::SignEs256 => 59_981.0,
            Limit::SignRs256 => 3_467.0,
            Limit::VerifyEs256 => 18_400.0,
            Limit::Commits => 24_000.0,
            Limit::CommitsAlone => 3_580.0,
        }
    }

    /// How many a second.
    pub(crate) async fn measure(self) -> f64 {
        if self == Limit::Hello {
            return hello().await;
        }
        let own = std::env::current_exe().expect("this program");
        let output = on_the_servers_core(own).args([ONLY, self.name()]).output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stdout).trim().parse();
        said.unwrap_or_else(|_| panic!("{}: {}", self.name(), String::from_utf8_lossy(&output.stderr)))
    }
}

/// Whether this process is to measure a limit; then it did, and has printed what there was.
pub(crate) fn only() -> bool {
    let mut arguments = std::env::args().skip_while(|argument| argument != ONLY).skip(1);
    let Some(name) = arguments.next() else { return false };
    let limit = Limit::ALL.into_iter().find(|limit| limit.name() == name).expect("one of them");
    let random = SystemRandom::new();
    let pair = || EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
    let rate = match limit {
        Limit::Hello => {
            say_hello();
            return true;
        }
        Limit::SignEs256 => {
            let pair = pair();
            rate(|| {
                std::hint::black_box(pair.sign(&random, &MESSAGE)).expect("it signs");
            })
        }
        Limit::SignRs256 => {
            let pair = RsaKeyPair::generate(KeySize::Rsa2048).expect("a key");
            let mut signature = vec![0; pair.public_modulus_len()];
            rate(|| pair.sign(&RSA_PKCS1_SHA256, &random, &MESSAGE, &mut signature).expect("it signs"))
        }
        Limit::VerifyEs256 => {
            let pair = pair();
            let signature = pair.sign(&random, &MESSAGE).expect("it signs");
            let public = pair.public_key().as_ref().to_vec();
            rate(|| {
                let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &public);
                key.verify(&MESSAGE, signature.as_ref()).expect("it is right");
            })
        }
        Limit::Commits => of_store(CONNECTIONS, change),
        Limit::CommitsAlone => of_store(1, change),
    };
    println!("{rate}");
    true
}

fn rate(mut once: impl FnMut()) -> f64 {
    let (began, mut done) = (Instant::now(), 0_u32);
    while began.elapsed() < TIME {
        (0..8).for_each(|_| once());
        done += 8;
    }
    f64::from(done) / began.elapsed().as_secs_f64()
}

// --- The store ---------------------------------------------------------------------------------------

#[derive(Serialize, Deserialize)]
struct Counted {
    n: i64,
}

impl FactBody for Counted {
    const KIND: &'static str = "bench.counted";
}

async fn change(db: Db, id: i64) -> Result<(), StoreError> {
    let fact = Fact::new(Subject::new("bench", id), &Counted { n: 1 });
    let text = sql!("UPDATE bench SET version = version + 1 WHERE id = $1");
    db.change(Origin::system(), text, (id,), vec![fact]).await.map(drop)
}

/// So many at once on a new database, `synchronous=FULL` as everywhere.
fn of_store<W>(at_once: usize, work: fn(Db, i64) -> W) -> f64
where
    W: Future<Output = Result<(), StoreError>> + Send + 'static,
{
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let folder = tempfile::tempdir().expect("a folder");
        let config = DbConfig::Sqlite { path: folder.path().join("bench.db") };
        let db = Db::open(&config, Ctx::system(), Sinks::default()).await.expect("the database opens");
        let mut tx = db.write(Origin::system()).await.expect("a transaction");
        let table = sql!("CREATE TABLE bench (id BIGINT NOT NULL PRIMARY KEY, version BIGINT NOT NULL)");
        tx.run(table, ()).await.expect("a table");
        let ids = 0..i64::try_from(at_once).expect("a few");
        for id in ids.clone() {
            tx.run(sql!("INSERT INTO bench (id, version) VALUES ($1, 0)"), (id,)).await.expect("a row");
        }
        tx.commit().await.expect("a commit");
        let (done, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let began = Instant::now();
        let all = ids.map(|id| {
            let (db, done, over) = (db.clone(), done.clone(), over.clone());
            tokio::spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    work(db.clone(), id).await.expect("it works");
                    done.fetch_add(1, Ordering::Relaxed);
                }
            })
        });
        let all: Vec<_> = all.collect();
        tokio::time::sleep(TIME).await;
        over.store(true, Ordering::Relaxed);
        for one in all {
            one.await.expect("no panic");
        }
        done.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64()
    })
}

// --- A word ------------------------------------------------------------------------------------------

/// Serves until killed; says where.
fn say_hello() {
    actix_web::rt::System::new().block_on(async {
        let app = || App::new().route("/", web::get().to(|| async { "hello" }));
        let server =
            HttpServer::new(app).workers(1).disable_signals().bind(("127.0.0.1", 0)).expect("a port");
        println!("{}", server.addrs()[0].port());
        std::io::stdout().flush().expect("somebody reads");
        server.run().await.expect("it serves");
    });
}

struct Hello;

impl Script for Hello {
    fn request(&self) -> &[u8] {
        b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"
    }

    fn hear(&mut self, answer: &Answer<'_>) -> bool {
        assert_eq!((answer.status, answer.body), (200, &b"hello"[..]));
        true
    }
}

async fn hello() -> f64 {
    let own = std::env::current_exe().expect("this program");
    let mut command = on_the_servers_core(own);
    command.args([ONLY, Limit::Hello.name()]).stdout(Stdio::piped());
    let mut serving = Serving(command.spawn().expect("it runs"));
    let mut port = String::new();
    let said = serving.0.stdout.take().expect("it is piped");
    BufReader::new(said).read_line(&mut port).expect("it says where");
    let port = port.trim().parse().expect("a port");
    let scripts = (0..CONNECTIONS).map(|_| Box::new(Hello) as Box<dyn Script>).collect();
    let warm = Duration::from_millis(300);
    load::run(port, scripts, warm, TIME).await.1.per_second
}
