//! Sign-ins with a password, as many as go, beside what the processor could hash at all in the same run; and how long
//! discovery and token answers take meanwhile, beside what they take when nothing else happens.
//!
//! The real binary has one core and one hashing thread; whoever signs in is on the other core. A sign-in is the whole
//! of it: `/authorize`, the page, the form, a session, a code. It prints and judges nothing.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

mod rig;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use directory::authenticator::password::Hasher;
use kernel::{Ctx, Secret};
use rig::{CALLBACK, House, PASSWORD, VERIFIER, browser};
use serde_json::Value;
use sim::browser::Redirects;

/// How many people sign in at once, each as fast as they can.
const PEOPLE: usize = 24;
/// How many more arrive at once in the end, to fill the queue.
const CROWD: usize = 200;
const ROUNDS: usize = 7;
const WARM: Duration = Duration::from_secs(1);
const STORM: Duration = Duration::from_secs(4);
const RAW: Duration = Duration::from_secs(2);
/// How many answers each latency rests on.
const PROBES: usize = 2_000;
/// The word with which this program hashes and does nothing else.
const HASH: &str = "--only-hash";

fn main() {
    if std::env::args().any(|argument| argument == HASH) {
        return println!("{}", hashes());
    }
    rig::step_aside();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(measure());
}

/// Hashes on one thread for a while; how many a second.
fn hashes() -> f64 {
    let (ctx, hasher) = (Ctx::system(), Hasher::new(1));
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let (began, mut done) = (Instant::now(), 0_u32);
        while began.elapsed() < RAW {
            hasher.hash(&ctx, Secret::new(PASSWORD.into())).await.expect("it hashes");
            done += 1;
        }
        f64::from(done) / began.elapsed().as_secs_f64()
    })
}

/// The same on the server's core, by a process of its own.
fn raw() -> f64 {
    let own = std::env::current_exe().expect("this program");
    let output = rig::on_the_servers_core(own).arg(HASH).output().expect("it runs");
    String::from_utf8_lossy(&output.stdout).trim().parse().expect("a number")
}

async fn measure() {
    let house = House::open("", async |_| {}).await;
    let people = Arc::new(house.people(PEOPLE).await);
    let quiet = house.memory();
    // In turns: what a processor of a machine that others share can do changes within seconds.
    let mut rounds = Vec::new();
    let mut before = raw();
    for _ in 0..ROUNDS {
        let storm = Storm::begin(&house, &people);
        let rate = storm.rate().await;
        storm.end().await;
        let after = raw();
        rounds.push((rate, f64::midpoint(before, after)));
        before = after;
    }
    rounds.sort_by(|one, other| (one.0 / one.1).total_cmp(&(other.0 / other.1)));
    println!("  sign-ins and argon2id at the floor, /s, the same core, {ROUNDS} rounds (target 0.85)");
    for (rate, raw) in &rounds {
        println!("    {rate:>6.1} {raw:>6.1}   {:.2}", rate / raw);
    }
    let idle = (probe_discovery(&house).await, probe_token(&house, &people[0]).await);
    let storm = Storm::begin(&house, &people);
    let (discovery, token) = tokio::join!(probe_discovery(&house), probe_token(&house, &people[0]));
    let storming = house.memory();
    storm.end().await;
    println!("  memory before and in the storm            {quiet} and {storming} (one thread: 19 MiB)");
    told("discovery", idle.0, discovery);
    told("token (refresh)", idle.1, token);
    let turned_away = crowd(&house, &people).await;
    println!("  of {CROWD} at once, turned away with 429 and Retry-After: {turned_away}");
}

/// Everybody signs in, as fast as it goes.
struct Storm {
    over: Arc<AtomicBool>,
    signed_in: Arc<AtomicU64>,
    crowd: tokio::task::JoinSet<()>,
}

impl Storm {
    fn begin(house: &House, people: &Arc<Vec<String>>) -> Self {
        let (over, signed_in) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut crowd = tokio::task::JoinSet::new();
        for number in 0..people.len() {
            let (house, people) = (house.clone(), people.clone());
            let (over, signed_in) = (over.clone(), signed_in.clone());
            crowd.spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    house.sign_in(&people[number]).await;
                    signed_in.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        Self { over, signed_in, crowd }
    }

    /// How many a second, once it is on its way.
    async fn rate(&self) -> f64 {
        tokio::time::sleep(WARM).await;
        let (before, began) = (self.signed_in.load(Ordering::Relaxed), Instant::now());
        tokio::time::sleep(STORM).await;
        let (done, took) = (self.signed_in.load(Ordering::Relaxed) - before, began.elapsed());
        #[expect(clippy::cast_precision_loss, reason = "a few hundred")]
        let done = done as f64;
        done / took.as_secs_f64()
    }

    async fn end(self) {
        self.over.store(true, Ordering::Relaxed);
        self.crowd.join_all().await;
    }
}

fn told(what: &str, idle: Percentiles, storm: Percentiles) {
    println!(
        "  {what:<18} idle p50 {:>6.2} p99 {:>6.2} ms   storm p50 {:>6.2} p99 {:>6.2} ms   p99 {:.1} times (target 5)",
        idle.0,
        idle.1,
        storm.0,
        storm.1,
        storm.1 / idle.1
    );
}

/// The median and the 99th, in milliseconds.
struct Percentiles(f64, f64);

impl Percentiles {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort();
        let at =
            |percent: usize| times[(times.len() * percent / 100).min(times.len() - 1)].as_secs_f64() * 1e3;
        Self(at(50), at(99))
    }
}

async fn probe_discovery(house: &House) -> Percentiles {
    let (http, url) = (reqwest::Client::new(), format!("{}/.well-known/openid-configuration", house.issuer));
    let mut times = Vec::new();
    while times.len() < PROBES {
        let began = Instant::now();
        let answer = http.get(&url).send().await.expect("an answer");
        answer.bytes().await.expect("a body");
        times.push(began.elapsed());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Percentiles::of(times)
}

/// The answer of the token endpoint to `app`.
async fn token(house: &House, http: &reqwest::Client, form: &[(&str, &str)]) -> Value {
    let asked = http.post(format!("{}/token", house.issuer)).basic_auth("app", Some(&house.secret));
    let answer = asked.form(form).send().await.expect("an answer").text().await.expect("a body");
    serde_json::from_str(&answer).expect("JSON")
}

async fn probe_token(house: &House, user_name: &str) -> Percentiles {
    let code = house.sign_in(user_name).await.1;
    let first = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
    ];
    let next = |answer: &Value| answer["refresh_token"].as_str().expect("a refresh token").to_owned();
    let http = reqwest::Client::new();
    let mut refresh_token = next(&token(house, &http, &first).await);
    let mut times = Vec::new();
    while times.len() < PROBES {
        let began = Instant::now();
        let form = [("grant_type", "refresh_token"), ("refresh_token", refresh_token.as_str())];
        let answer = token(house, &http, &form).await;
        times.push(began.elapsed());
        refresh_token = next(&answer);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Percentiles::of(times)
}

/// Many at once; how many are asked to come back.
async fn crowd(house: &House, people: &[String]) -> usize {
    let mut all = tokio::task::JoinSet::new();
    for number in 0..CROWD {
        let (house, name) = (house.clone(), people[number % people.len()].clone());
        all.spawn(async move {
            let mut browser = browser();
            let page = browser.get(&house.authorization()).await.expect("the page");
            let form = page.form_with("password").expect("a form");
            browser.redirects = Redirects::Until(CALLBACK.into());
            let values = [("username", name.as_str()), ("password", PASSWORD)];
            browser.submit(&form, &values).await.map_or(0, |page| page.status)
        });
    }
    all.join_all().await.into_iter().filter(|status| *status == 429).count()
}
