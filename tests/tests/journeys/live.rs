//! The live page of the demo: its buttons over HTTP, its stream of events, on both pairs of engines.

use std::sync::Arc;
use std::time::Duration;

use kernel::Ctx;
use server::live::{Live, Play};
use server::stage::{Stage, StageOptions};
use sim::browser::{Browser, Form, Page};
use world::{parts, skip, until, within};

use crate::steps::{PASSWORD, set_password};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_hiring_to_the_red_line_on_sqlite() {
    from_hiring_to_the_red_line(StageOptions { mail: true, ..StageOptions::default() }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_hiring_to_the_red_line_on_postgres() {
    let (Some(database), Some(keyspace)) = (parts::postgres(), parts::redis()) else {
        skip!("{}", world::NO_ENGINES)
    };
    let (postgres, redis) = (Some(database.url().to_owned()), Some(keyspace.url().to_owned()));
    from_hiring_to_the_red_line(StageOptions { mail: true, postgres, redis, ..StageOptions::default() })
        .await;
}

/// A stage with its live page.
pub(crate) struct Shown {
    pub(crate) stage: Arc<Stage>,
    play: Arc<Play>,
    pub(crate) live: Live,
    browser: Browser,
}

impl Shown {
    pub(crate) async fn open(options: StageOptions) -> Self {
        let stage = Arc::new(Stage::set(&Ctx::system(), options).await.unwrap());
        let play = Arc::new(Play::new(&stage));
        let live = Live::open(&stage, &play, 0).await.unwrap();
        let browser = stage.browser();
        Self { stage, play, live, browser }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.live.home())
    }

    async fn page(&mut self) -> Page {
        let url = self.url("/");
        self.browser.get(&url).await.unwrap()
    }

    /// The page, once it reads like this.
    async fn page_with(&mut self, text: &str) -> Page {
        for _ in 0..400 {
            let page = self.page().await;
            if page.text().contains(text) {
                return page;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("no {text:?} on {}", self.page().await.text());
    }

    async fn press(&mut self, path: &str, values: &[(&str, &str)]) -> Page {
        let page = self.page().await;
        let form = button(&page, path, values).unwrap_or_else(|| panic!("no {path} on {}", page.text()));
        self.browser.submit(&form, &[]).await.unwrap()
    }

    /// All eight, once the buttons that lead there are for them.
    async fn everybody(&mut self, path: &str) -> Vec<String> {
        for _ in 0..400 {
            let forms = self.page().await.forms().into_iter().filter(|form| form.action.path() == path);
            let people: Vec<_> =
                forms.filter_map(|form| Some(form.control("person")?.value.clone())).collect();
            if people.len() == 8 {
                return people;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("not everybody can be sent to {path}");
    }

    pub(crate) async fn close(self) {
        self.live.close().await;
        drop(self.play);
        // A stream that was just closed may hold it for a moment.
        until("everybody off the stage", async || (Arc::strong_count(&self.stage) == 1).then_some(())).await;
        Arc::into_inner(self.stage).expect("nobody else has the stage").strike().await;
    }
}

/// The form that is sent there with these values.
fn button(page: &Page, path: &str, values: &[(&str, &str)]) -> Option<Form> {
    let fits = |form: &Form| {
        form.action.path() == path
            && values
                .iter()
                .all(|(name, value)| form.control(name).map_or("", |control| &control.value) == *value)
    };
    page.forms().into_iter().find(fits)
}

/// A stream of events, and what was read of it.
struct Events {
    answer: reqwest::Response,
    read: String,
    /// Behind what was waited for last.
    place: usize,
}

impl Events {
    async fn open(url: String, last: Option<&str>) -> Self {
        let mut request = reqwest::Client::new().get(url);
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Self { answer, read: String::new(), place: 0 }
    }

    /// Reads on until this comes, after what was waited for last.
    async fn until(&mut self, text: &str) {
        self.until_all(&[text]).await;
    }

    /// The same with several, in any order.
    async fn until_all(&mut self, texts: &[&str]) {
        let ends = |read: &str| {
            let ends = texts.iter().map(|text| Some(read.find(text)? + text.len()));
            ends.collect::<Option<Vec<_>>>().and_then(|ends| ends.into_iter().max())
        };
        let reading = async {
            loop {
                if let Some(end) = ends(&self.read[self.place..]) {
                    break self.place += end;
                }
                let chunk = self.answer.chunk().await.unwrap();
                let chunk =
                    chunk.unwrap_or_else(|| panic!("the stream ended before {texts:?}: {}", self.read));
                self.read.push_str(std::str::from_utf8(&chunk).unwrap());
            }
        };
        let in_time = tokio::time::timeout(Duration::from_secs(20), reading).await;
        in_time.unwrap_or_else(|_| panic!("no {texts:?} in time"));
    }

    fn ids(&self) -> Vec<&str> {
        self.read.lines().filter_map(|line| line.strip_prefix("id: ")).collect()
    }
}

async fn from_hiring_to_the_red_line(options: StageOptions) {
    let mut shown = Shown::open(options).await;
    let page = shown.page().await;
    assert!(page.text().contains("Nobody works here yet") && page.text().contains("not device-tested"));
    let policy = page.header("content-security-policy").unwrap();
    for part in ["default-src 'none'", "script-src 'nonce-", "connect-src 'self'", "form-action 'self'"] {
        assert!(policy.contains(part), "{part} in {policy}");
    }
    let after = page.body.split("data-after=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let mut events = Events::open(shown.url(&format!("/events?after={after}")), None).await;

    shown.press("/hire", &[]).await;
    events.until("Mira Holt is hired.").await;
    events.until("A2: the list of headquarters holds the card of Mira Holt.").await;
    let mira = shown.play.last().unwrap();
    let page = shown.page_with("on the list").await;
    // Eight people, each with three doors and two door systems.
    assert!(page.body.len() < 72_000, "{} bytes", page.body.len());
    assert!(button(&page, "/end", &[]).is_some());

    let mail = shown.stage.mail.as_ref().unwrap();
    let letter =
        until("a letter", async || mail.letters_to("mira.holt@grid.example").into_iter().next()).await;
    let mut desk = shown.stage.browser();
    set_password(&mut desk, letter.links()[0].as_str()).await;
    shown.stage.app.sign_in(&mut desk, "mira.holt@grid.example", PASSWORD).await.unwrap();
    events.until("Mira Holt comes in.").await;
    shown.page_with("Grid Console signed in (aal1)").await;

    let door = [("door", "control-room-door")];
    shown.press("/swipe", &door).await;
    shown.page_with("Mira Holt's card: the control room door opens.").await;
    events.until("The control room door opens for Mira Holt.").await;
    let before = events.ids().last().unwrap().to_string();

    shown.press("/end", &[]).await;
    let (word, heard) =
        ("The employment of Mira Holt ends.", "Heard a valid logout token; sessions ended here: 1.");
    // In whatever order door and app are quicker.
    events.until_all(&[word, heard, "A2: the card of Mira Holt is not on the list of headquarters."]).await;
    let page = shown.page_with("revoked").await;
    assert!(page.body.contains("class=\"card revoked\"") && page.body.contains("<li class=\"over\">"));
    shown.page_with("by logout token").await;
    shown.page_with("Receipt, edition").await;

    // A denial counts once the absence is watched, so its holder tries again.
    until("a denial that was seen", async || {
        assert!(!shown.play.swipe(mira, "control-room-door").await.unwrap(), "the door stays shut");
        let seen = bridge::receipt::latest(&shown.stage.house.db, mira).await.unwrap()?;
        let said = server::stage::payload(&seen.document)?;
        (said["doors"][0]["level"] == "A4").then_some(())
    })
    .await;
    events.until("A4: headquarters was seen to refuse the card of Mira Holt.").await;
    assert!(events.read.contains("The control room door stays shut for Mira Holt."));
    shown.page_with("revoked A4 the door was seen to refuse").await;

    // Whoever comes back hears what was missed, once and in order.
    let mut again = Events::open(shown.url("/events"), Some(&before)).await;
    again.until("event: picture").await;
    let heard = events.ids();
    let missed = heard.iter().position(|id| *id == before).unwrap() + 1;
    let (missed, ids) = (&heard[missed..], again.ids());
    assert!(ids.starts_with(missed) || missed.starts_with(&ids), "{ids:?} after {before}, not {missed:?}");
    assert!(again.read.contains("The employment of Mira Holt ends.") && !again.read.contains("is hired"));
    let mut strange = Events::open(shown.url("/events"), Some("1-1")).await;
    strange.until("event: anew").await;

    let german =
        reqwest::Client::new().get(shown.url("/")).header("accept-language", "de").send().await.unwrap();
    assert!(german.text().await.unwrap().contains("Was geschieht"));

    shown.press("/hire", &[("person", &mira.to_string())]).await;
    events.until("Mira Holt is back.").await;
    shown.page_with("on the list").await;
    shown.close().await;
    within(Duration::from_secs(10), "the stream ends with the page", async || {
        events.answer.chunk().await.ok().flatten().is_none().then_some(())
    })
    .await;
}

/// As large as it becomes: everybody was hired, dismissed, hired again and dismissed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_house_where_everybody_came_and_went_twice_is_one_small_page() {
    let mut shown = Shown::open(StageOptions::default()).await;
    while shown.press("/hire", &[("person", "")]).await.status == 200 {}
    for path in ["/end", "/hire", "/end"] {
        for person in shown.everybody(path).await {
            assert_eq!(shown.press(path, &[("person", &person)]).await.status, 200, "{path}");
        }
    }
    shown.everybody("/hire").await;
    let page = shown.page().await;
    assert!(page.body.matches("<time ").count() >= 40, "as many lines as are shown");
    // Eight people, each with three doors and two door systems.
    assert!(page.body.len() < 72_000, "{} bytes", page.body.len());
    shown.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_button_works_only_from_the_page_and_the_page_is_no_part_of_the_product() {
    let mut shown = Shown::open(StageOptions::default()).await;
    let (hire, page) = (shown.url("/hire"), shown.page().await);
    let token = page.form().unwrap().control("form_token").unwrap().value.clone();
    let mut stranger = shown.stage.browser();
    for (what, answer) in [
        ("no token", shown.browser.post_form(&hire, &[]).await.unwrap()),
        ("another's token", stranger.post_form(&hire, &[("form_token", &token)]).await.unwrap()),
        (
            "from another page",
            shown
                .browser
                .post_form_from(shown.stage.app.home().as_str(), &hire, &[("form_token", &token)])
                .await
                .unwrap(),
        ),
    ] {
        assert_eq!(answer.status, 403, "{what}");
    }
    assert!(shown.page().await.text().contains("Nobody works here yet"));
    let nobody = [("form_token", &*token), ("person", "0198c5a0-0000-7000-8000-000000000000")];
    for path in ["/end", "/swipe", "/hire"] {
        let answer = shown.browser.post_form(&shown.url(path), &nobody).await.unwrap();
        assert_eq!(answer.status, 422, "{path}");
        assert!(answer.text().contains("there is no such person"), "{}", answer.text());
    }
    for path in ["/events", "/hire"] {
        let answer = reqwest::get(shown.stage.house.issuer.url(path)).await.unwrap();
        assert_eq!(answer.status(), 404, "{path}");
    }
    // Two tabs that press at once hire two people, not one twice.
    let mut other = shown.stage.browser();
    let ours = [("form_token", token.as_str())];
    let others = other.get(&shown.url("/")).await.unwrap().form().unwrap();
    let (first, second) = tokio::join!(shown.browser.post_form(&hire, &ours), other.submit(&others, &[]));
    assert_eq!((first.unwrap().status, second.unwrap().status), (200, 200));
    let people = shown.page_with("Jonas Veld").await;
    assert!(people.text().contains("Mira Holt"), "{}", people.text());
    shown.close().await;
}
