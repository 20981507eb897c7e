//! Sign-ins with a password, as many as go, beside what the processor could hash at all in the same run; and how long
//! discovery and token answers take meanwhile, beside what they take when nothing else happens.
//!
//! The real binary has one core and one hashing thread; whoever signs in is on the other core. A sign-in is the whole
//! of it: `/authorize`, the page, the form, a session, a code. It prints and judges nothing.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use directory::authenticator::password::Hasher;
use kernel::{Ctx, Secret, SystemClock, Token};
use serde_json::Value;
use sim::browser::{Browser, Redirects};
use sim::hr::{Hr, Person};

const CARDEA: &str = env!("CARGO_BIN_EXE_cardea");
const CALLBACK: &str = "http://localhost:9/callback";
const PASSWORD: &str = "nine ducks on a cold river";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
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
    let own = std::process::id().to_string();
    let pinned = Command::new("taskset").args(["-a", "-c", "-p", "1", &own]).stdout(Stdio::null()).status();
    assert!(pinned.is_ok_and(|status| status.success()), "two cores and taskset (util-linux) are needed");
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
    let mut command = Command::new("taskset");
    let output = command.args(["-c", "0"]).arg(own).arg(HASH).output().expect("it runs");
    String::from_utf8_lossy(&output.stdout).trim().parse().expect("a number")
}

async fn measure() {
    let house = House::open().await;
    let people = Arc::new(house.people().await);
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
    let idle = (house.probe_discovery().await, house.probe_token(&people[0]).await);
    let storm = Storm::begin(&house, &people);
    let (discovery, token) = tokio::join!(house.probe_discovery(), house.probe_token(&people[0]));
    let storming = house.memory();
    storm.end().await;
    println!("  memory before and in the storm            {quiet} and {storming} (one thread: 19 MiB)");
    told("discovery", idle.0, discovery);
    told("token (refresh)", idle.1, token);
    let turned_away = house.crowd(&people).await;
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

/// Ended with the bench, however that ends.
struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status();
        let _ = self.0.wait();
    }
}

#[derive(Clone)]
struct House {
    issuer: String,
    hr_token: String,
    secret: String,
    folder: Arc<tempfile::TempDir>,
    serving: Arc<Serving>,
    http: reqwest::Client,
}

impl House {
    async fn open() -> Self {
        let ctx = Ctx::system();
        let folder = tempfile::tempdir().expect("a folder");
        let port =
            std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port");
        let issuer = format!("http://localhost:{}", port.port());
        let config = folder.path().join("cardea.toml");
        let path = |name: &str| folder.path().join(name);
        let init = Command::new(CARDEA).arg("init").arg(folder.path()).args(["--issuer", &issuer]).output();
        assert!(init.expect("it runs").status.success());
        let more = "\n[passwords]\nthreads = 1\n\n[log]\nfilter = \"error\"\n";
        let text = std::fs::read_to_string(&config).expect("init wrote it");
        let text = text.replace("[log]\n", "").replace("[passwords]\n", "") + more;
        std::fs::write(&config, text).expect("the folder is ours");
        let [hr_token, secret] = ["hr", "app"].map(|kind| Token::generate(&ctx, kind).expose().clone());
        std::fs::write(path("hr.token"), &hr_token).expect("the folder is ours");
        std::fs::write(path("app.secret"), &secret).expect("the folder is ours");
        let declaration = format!(
            "[scim_connection.hr]\ntoken_file = \"hr.token\"\n\n[client.app]\nname = \"App\"\nsecret_file = \
             \"app.secret\"\nredirect_uris = [\"{CALLBACK}\"]\nsensitivity = \"low\"\n"
        );
        std::fs::write(path("app.toml"), declaration).expect("the folder is ours");
        cardea(&config, &["apply", "--yes", &path("app.toml").display().to_string()]);
        let mut serve = Command::new("taskset");
        serve.args(["-c", "0", CARDEA, "--config"]).arg(&config).arg("serve");
        let serving = Serving(serve.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it runs"));
        let http = reqwest::Client::new();
        let ready = format!("{issuer}/health/ready");
        while !http.get(&ready).send().await.is_ok_and(|answer| answer.status().is_success()) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let (folder, serving) = (Arc::new(folder), Arc::new(serving));
        Self { issuer, hr_token, secret, folder, serving, http }
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("cardea.toml")
    }

    /// People with a password; their user names.
    async fn people(&self) -> Vec<String> {
        let hr = Hr::new(&format!("{}/scim/v2", self.issuer), self.hr_token.clone()).expect("a URL");
        let mut names = Vec::new();
        for number in 0..PEOPLE {
            let person = Person::new(&format!("Person{number}"), "Holt", "grid.example");
            hr.hire(&person).await.expect("hired");
            let said = cardea(&self.config(), &["invite", &person.user_name]);
            let link =
                said.split_whitespace().find(|word| word.starts_with("http")).expect("a link").to_owned();
            let mut browser = browser();
            let page = browser.get(&link).await.expect("the page");
            let form = page.form_with("password").expect("a form");
            let values = [("password", PASSWORD), ("password_again", PASSWORD)];
            assert_eq!(browser.submit(&form, &values).await.expect("an answer").status, 200);
            names.push(person.user_name);
        }
        names
    }

    fn authorization(&self) -> String {
        format!(
            "{}/authorize?response_type=code&client_id=app&redirect_uri={CALLBACK}&scope=openid&state=s\
             &code_challenge={CHALLENGE}&code_challenge_method=S256",
            self.issuer
        )
    }

    /// In a new browser; the code.
    async fn sign_in(&self, user_name: &str) -> String {
        let mut browser = browser();
        browser.redirects = Redirects::Until(CALLBACK.into());
        let page = browser.get(&self.authorization()).await.expect("the page");
        let form = page.form_with("password").expect("a form");
        let page = browser.submit(&form, &[("username", user_name), ("password", PASSWORD)]).await;
        let at = page.expect("an answer").stopped_at.expect("the application is reached");
        let code = at.query_pairs().find(|(name, _)| name == "code").map(|(_, code)| code.into_owned());
        code.expect("a code")
    }

    async fn token(&self, form: &[(&str, &str)]) -> Value {
        let asked = self.http.post(format!("{}/token", self.issuer)).basic_auth("app", Some(&self.secret));
        let answer = asked.form(form).send().await.expect("an answer").text().await.expect("a body");
        serde_json::from_str(&answer).expect("JSON")
    }

    async fn probe_discovery(&self) -> Percentiles {
        let url = format!("{}/.well-known/openid-configuration", self.issuer);
        let mut times = Vec::new();
        while times.len() < PROBES {
            let began = Instant::now();
            let answer = self.http.get(&url).send().await.expect("an answer");
            answer.bytes().await.expect("a body");
            times.push(began.elapsed());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Percentiles::of(times)
    }

    async fn probe_token(&self, user_name: &str) -> Percentiles {
        let code = self.sign_in(user_name).await;
        let first = [
            ("grant_type", "authorization_code"),
            ("code", code.as_str()),
            ("redirect_uri", CALLBACK),
            ("code_verifier", VERIFIER),
        ];
        let next = |answer: &Value| answer["refresh_token"].as_str().expect("a refresh token").to_owned();
        let mut refresh_token = next(&self.token(&first).await);
        let mut times = Vec::new();
        while times.len() < PROBES {
            let began = Instant::now();
            let form = [("grant_type", "refresh_token"), ("refresh_token", refresh_token.as_str())];
            let answer = self.token(&form).await;
            times.push(began.elapsed());
            refresh_token = next(&answer);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Percentiles::of(times)
    }

    /// Many at once; how many are asked to come back.
    async fn crowd(&self, people: &[String]) -> usize {
        let mut all = tokio::task::JoinSet::new();
        for number in 0..CROWD {
            let (house, name) = (self.clone(), people[number % people.len()].clone());
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

    fn memory(&self) -> String {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.serving.0.id())).unwrap_or_default();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        resident.map_or("not told by this system".to_owned(), |resident| resident.trim().to_owned())
    }
}

fn browser() -> Browser {
    use kernel::Clock as _;
    Browser::new(Arc::new(|| SystemClock.now().to_jiff().expect("now is a time")))
}

fn cardea(config: &Path, arguments: &[&str]) -> String {
    let output = Command::new(CARDEA).arg("--config").arg(config).args(arguments).output().expect("it runs");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
