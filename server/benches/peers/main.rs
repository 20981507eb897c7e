//! What one core answers, in requests or flows a second, beside what that core can do at all in the same run: the rows
//! that other products were measured with, each with its target.
//!
//! The real binary has the first core, SQLite with `synchronous=FULL`, plain HTTP and no log but of errors; the load
//! generator, and nothing else, has the second. Each round of a measurement stands between two looks at its limit, and
//! the median round counts: what a machine that others share can do changes within seconds. So a row meets its target
//! when it has the share of its limit that the target had of it where targets were set. What is written is durable when
//! it is answered. It prints, and fails for nothing.
//!
//! `cargo bench -p cardea-server --bench peers -- [NAME…] [--seconds N] [--rounds N] [--users N] [--profile]`
//!
//! Names choose measurements by what they contain. `--profile` has `perf` look at the server during the last round of
//! each, prints the functions that took most, and leaves the whole list in the target folder; for their names, build
//! with `CARGO_PROFILE_BENCH_STRIP=none`.
//!
//! To add a measurement: a variant of [`work::Work`], its requests there, and a row of [`ROWS`].
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

mod limits;
mod load;
mod profile;
#[path = "../rig/mod.rs"]
mod rig;
mod work;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use directory::user::{self, Profile};
use kernel::Ctx;
use limits::Limit;
use load::{Figure, Script};
use profile::Recording;
use rig::House;
use store::{Db, DbConfig, Origin, Sinks, sql};
use work::{Asker, Work};

/// How long each round runs before it counts.
const WARM: Duration = Duration::from_millis(500);
/// How long the server may take to work off what a measurement left behind.
const PATIENCE: Duration = Duration::from_secs(180);
/// People that are filled in with one commit.
const AT_ONCE: usize = 1_000;

/// A measurement: its name, its target per second, what limits it, and how often it needs that.
struct Row {
    name: &'static str,
    work: Work,
    target: f64,
    limit: Limit,
    each: f64,
}

const fn row(name: &'static str, work: Work, target: f64, limit: Limit, each: f64) -> Row {
    Row { name, work, target, limit, each }
}

const ROWS: [Row; 13] = [
    row("discovery", Work::Discovery, 100_000.0, Limit::Hello, 1.0),
    row("jwks", Work::Jwks, 100_000.0, Limit::Hello, 1.0),
    row("client_credentials ES256", Work::ServiceEs256, 15_000.0, Limit::SignEs256, 1.0),
    row("client_credentials RS256", Work::ServiceRs256, 2_800.0, Limit::SignRs256, 1.0),
    row("refresh, rotating", Work::Refresh, 8_000.0, Limit::Commits, 1.0),
    row("refresh, 1 connection", Work::RefreshAlone, 1_200.0, Limit::CommitsAlone, 1.0),
    row("code flow, session exists", Work::Code, 3_500.0, Limit::Commits, 2.0),
    row("introspection", Work::Introspection, 20_000.0, Limit::Hello, 1.0),
    row("userinfo", Work::Userinfo, 20_000.0, Limit::Hello, 1.0),
    row("scim POST", Work::ScimPost, 4_000.0, Limit::Commits, 1.0),
    row("scim PATCH active", Work::ScimPatch, 4_000.0, Limit::Commits, 1.0),
    row("scim userName eq", Work::ScimFilter, 20_000.0, Limit::Hello, 1.0),
    row("scim page of 50", Work::ScimPage, 1_500.0, Limit::Hello, 1.0),
];

/// What was asked for.
struct Asked {
    names: Vec<String>,
    time: Duration,
    rounds: usize,
    users: usize,
    profile: bool,
}

impl Asked {
    fn read() -> Self {
        let mut asked = Self {
            names: Vec::new(),
            time: Duration::from_secs(3),
            rounds: 3,
            users: 50_000,
            profile: false,
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut number = || {
                let number = arguments.next().and_then(|number| number.parse::<u32>().ok());
                number.unwrap_or_else(|| panic!("{argument} takes a number"))
            };
            match argument.as_str() {
                // Cargo says this to every bench.
                "--bench" => {}
                "--seconds" => asked.time = Duration::from_secs(number().max(1).into()),
                "--rounds" => asked.rounds = number().max(1) as usize,
                "--users" => asked.users = number() as usize,
                "--profile" => asked.profile = true,
                name => asked.names.push(name.to_lowercase()),
            }
        }
        asked
    }

    fn wants(&self, row: &Row) -> bool {
        let name = row.name.to_lowercase();
        self.names.is_empty() || self.names.iter().any(|part| name.contains(part))
    }

    /// Only those who search need many people.
    fn needs_users(&self) -> bool {
        ROWS.iter().any(|row| matches!(row.work, Work::ScimFilter | Work::ScimPage) && self.wants(row))
    }
}

fn main() {
    if limits::only() {
        return;
    }
    let asked = Asked::read();
    rig::step_aside();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(measure(&asked));
}

async fn measure(asked: &Asked) {
    let users = if asked.needs_users() { asked.users } else { 0 };
    let services = ["es256", "rs256"].map(|alg| {
        let id_token_alg = alg.to_uppercase();
        format!(
            "[client.service-{alg}]\nsecret_file = \"app.secret\"\nredirect_uris = []\nid_token_alg = \"{id_token_alg}\"\n"
        )
    });
    let (declared, mut database) = (services.concat(), PathBuf::new());
    let house = House::open(&declared, async |path: PathBuf| {
        fill(&path, users).await;
        database = path;
    })
    .await;
    let journal = Journal::open(database).await;
    let person = house.people(1).await.remove(0);
    let (browser, _) = house.sign_in(&person).await;
    let cookies: Vec<String> =
        browser.cookies().map(|cookie| format!("{}={}", cookie.name, cookie.value)).collect();
    let port = house.issuer.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
    let asker = Asker { house: &house, port, cookies: cookies.join("; "), users };
    for limit in Limit::ALL {
        println!("  {:<15} {:>8.0} per second", limit.name(), limit.measure().await);
    }
    println!("  {users} people in the directory; the server holds {}", house.memory());
    println!(
        "  {:<26} {:>8} {:>7} {:>7}   {:<15} {:>8} {:>6}   {:>7} {:>6}",
        "per second", "median", "p50 ms", "p99 ms", "limit", "per s", "share", "target", "share"
    );
    for row in ROWS.iter().filter(|row| asked.wants(row)) {
        journal.settle().await;
        Measurement { asked, row, house: &house, port }.run(asker.scripts(row.work).await).await;
        if let Some(left) = journal.unordered().await {
            println!("    {left} facts wait for their place in the journal's order");
        }
    }
    println!("  afterwards the server holds {}", house.memory());
}

struct Measurement<'a> {
    asked: &'a Asked,
    row: &'a Row,
    house: &'a House,
    port: u16,
}

impl Measurement<'_> {
    async fn run(&self, mut scripts: Vec<Box<dyn Script>>) {
        let (asked, row) = (self.asked, self.row);
        let mut rounds: Vec<(Figure, f64)> = Vec::new();
        let (mut before, mut recording) = (row.limit.measure().await, None);
        for round in 1..=asked.rounds {
            if asked.profile && round == asked.rounds {
                recording = Recording::begin(self.house.process(), row.name, WARM + asked.time);
            }
            let (after_it, figure) = load::run(self.port, scripts, WARM, asked.time).await;
            scripts = after_it;
            let after = row.limit.measure().await;
            rounds.push((figure, f64::midpoint(before, after) / row.each));
            before = after;
        }
        rounds.sort_by(|one, other| one.0.per_second.total_cmp(&other.0.per_second));
        let (figure, limit) = rounds[rounds.len() / 2];
        let Figure { per_second, p50, p99 } = figure;
        let (share, wanted) = (per_second / limit, row.target * row.each / row.limit.then());
        let met = if share >= wanted { "met" } else { "not met" };
        println!(
            "  {:<26} {per_second:>8.0} {p50:>7.2} {p99:>7.2}   {:<15} {limit:>8.0} {share:>6.3}   {:>7.0} {wanted:>6.3} {met}",
            row.name,
            row.limit.name(),
            row.target
        );
        if let Some(recording) = recording {
            recording.tell();
        }
    }
}

/// People as HR would have sent them, without anybody who hears of it: no door system and no application is there.
async fn fill(path: &std::path::Path, users: usize) {
    let config = DbConfig::Sqlite { path: path.to_owned() };
    let db = Db::open(&config, Ctx::system(), Sinks::default()).await.expect("the database opens");
    for first in (0..users).step_by(AT_ONCE) {
        let mut tx = db.write(Origin::system()).await.expect("a transaction");
        for number in first..users.min(first + AT_ONCE) {
            user::create(&mut tx, &profile(&work::user_name(number))).await.expect("a user");
        }
        tx.commit().await.expect("a commit");
    }
    db.close().await;
}

fn profile(user_name: &str) -> Profile {
    Profile {
        user_name: user_name.to_owned(),
        external_id: None,
        display_name: Some(format!("Somebody {user_name}")),
        email: Some(user_name.to_owned()),
        department: None,
        title: Some("Operator".into()),
        active: true,
        document: work::document(user_name).to_string(),
    }
}

/// What the server has still to do for what it has answered.
struct Journal(Db);

impl Journal {
    async fn open(path: PathBuf) -> Self {
        let config = DbConfig::Sqlite { path };
        let opened = Db::open_existing(&config, Ctx::system(), Sinks::default()).await;
        Self(opened.expect("the server has made it"))
    }

    /// Facts without a place in the order, which is given after the commit; `None` when there are none.
    async fn unordered(&self) -> Option<i64> {
        let count: (i64,) =
            self.0.one(sql!("SELECT COUNT(*) FROM fact WHERE seq IS NULL"), ()).await.expect("a count");
        Some(count.0).filter(|count| *count > 0)
    }

    /// Waits until it has done it: a measurement shall not pay for the one before.
    async fn settle(&self) {
        let began = Instant::now();
        loop {
            let due = sql!("SELECT COUNT(*) FROM delivery WHERE due_at IS NOT NULL");
            let due: (i64,) = self.0.one(due, ()).await.expect("a count");
            if due.0 == 0 && self.unordered().await.is_none() {
                return;
            }
            if began.elapsed() > PATIENCE {
                println!("    the server still works off what came before");
                return;
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }
}
