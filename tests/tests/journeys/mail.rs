//! Letters, taken by a real mail server and read by a real reader of mail.

use serde_json::{Value, json};
use sim::browser::Browser;
use sim::hr::Person;
use world::{PostOffice, Served, parts, skip, until};

use crate::steps::{PASSWORD, person, set_password};

const NEW: &str = "eleven swans on a warm lake";

/// A house with mail, not served yet, and its mail server, closed.
async fn set_up(change: impl FnOnce(PostOffice) -> PostOffice, more: &str) -> Option<(Served, PostOffice)> {
    let (binary, python) = (parts::binary()?, parts::python()?);
    let house = Served::prepare(&binary).await;
    let office = change(PostOffice::new(&python));
    let config = std::fs::read_to_string(house.config()).unwrap();
    let url = format!("smtp://localhost:{}", office.port);
    let mail = format!("\n[mail]\nurl = \"{url}\"\nfrom = \"Cardea <cardea@grid.example>\"\n{more}\n");
    house.write("cardea.toml", &format!("{config}{mail}"));
    Some((house, office))
}

const MISSING: &str =
    "no binary or no Python clients: CARDEA_BIN or CARDEA_PYTHON is not set (tests/run sets them)";
const PLAIN: &str = "tls = \"none\"";

fn browser() -> Browser {
    use kernel::Clock as _;
    Browser::new(std::sync::Arc::new(|| kernel::SystemClock.now().to_jiff().unwrap()))
}

/// The one link in a letter; both of its forms have it, and nothing else leads anywhere.
fn link_in(letter: &Value) -> String {
    let (text, html) = (letter["text"].as_str().unwrap(), letter["html"].as_str().unwrap());
    let links: Vec<&str> = text.split_whitespace().filter(|word| word.contains("://")).collect();
    let [link] = links[..] else { panic!("{links:?} in {text}") };
    assert_eq!(html.matches("://").count(), html.matches(link).count(), "{html}");
    assert_eq!(letter["defects"], json!([]), "{letter}");
    link.to_owned()
}

async fn hire_speaking(house: &Served, person: &Person, language: &str) {
    let user = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": person.user_name, "active": true,
        "displayName": person.display_name(), "preferredLanguage": language,
        "emails": [{ "value": person.email, "type": "work", "primary": true }],
    });
    let answer = reqwest::Client::new()
        .post(format!("{}/scim/v2/Users", house.issuer))
        .bearer_auth(&house.hr_token)
        .header("content-type", "application/scim+json")
        .body(user.to_string())
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 201, "{}", answer.text().await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_hired_while_the_mail_server_is_down_is_invited_when_it_is_back_by_one_letter() {
    let Some((mut house, mut office)) = set_up(|office| office, PLAIN).await else { skip!("{MISSING}") };
    house.serve().await;
    let mira = person("Mira");
    house.hr().hire(&mira).await.unwrap();
    // It was tried, and waits with its id.
    let id = until("a letter that could not be sent", async || {
        let said = house.must(&["deliveries"]).await;
        let line = said.lines().find(|line| line.contains("to mail about"))?.to_owned();
        let tried = !line.contains("0 attempt(s)") && line.contains(':');
        tried.then(|| line.split_whitespace().nth(1).unwrap().to_owned())
    })
    .await;
    // What was asked for survives the house's own end, too.
    house.kill().await;
    office.open().await;
    house.serve().await;
    let letter = office.letter_to(&mira.email, 0).await;
    let headers = &letter["headers"];
    assert_eq!(headers["message-id"], format!("<{id}@localhost>"));
    assert_eq!(headers["auto-submitted"], "auto-generated");
    assert_eq!(headers["from"], "Cardea <cardea@grid.example>");
    assert_eq!(headers["subject"], "Choose your password for localhost");
    let link = link_in(&letter);
    assert!(link.starts_with(&format!("{}/invitation?token=", house.issuer)), "{link}");

    let mut hers = browser();
    set_password(&mut hers, &link).await;
    house.app().code(&mut hers, &mira.user_name, PASSWORD).await.unwrap();
    assert_eq!(hers.get(&link).await.unwrap().status, 410, "it works once");
    let notice = office.letter_to(&mira.email, 1).await;
    assert_eq!(notice["headers"]["subject"], "Your password for localhost was set");
    let subjects: Vec<Value> =
        office.letters_to(&mira.email).iter().map(|letter| letter["headers"]["subject"].clone()).collect();
    assert_eq!(subjects.len(), 2, "{subjects:?}");
    assert!(!house.log().contains(link.split_once("token=").unwrap().1), "no log has the token");
    assert_eq!(house.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_forgot_the_password_sets_another_by_mail_and_nobody_else_hears_of_it() {
    let Some((mut house, mut office)) = set_up(|office| office, PLAIN).await else { skip!("{MISSING}") };
    office.open().await;
    house.serve().await;
    let mira = person("Mira");
    hire_speaking(&house, &mira, "de-DE").await;
    let invitation = office.letter_to(&mira.email, 0).await;
    assert_eq!(invitation["headers"]["subject"], "Ihr Passwort für localhost");
    assert!(invitation["text"].as_str().unwrap().contains("Wählen Sie ein Passwort"), "{invitation}");
    let mut hers = browser();
    set_password(&mut hers, &link_in(&invitation)).await;
    office.letter_to(&mira.email, 1).await;

    let mut answers = Vec::new();
    for name in ["nobody@grid.example", mira.user_name.as_str()] {
        let page = hers.get(&format!("{}/recover", house.issuer)).await.unwrap();
        let form = page.form_with("username").unwrap();
        let sent = hers.submit(&form, &[("username", name)]).await.unwrap();
        answers.push((sent.status, sent.text()));
    }
    assert_eq!(answers[0], answers[1], "the same page for nobody and somebody");
    let letter = office.letter_to(&mira.email, 2).await;
    assert_eq!(letter["headers"]["subject"], "Choose a new password for localhost", "as the page was");
    let link = link_in(&letter);
    let page = hers.get(&link).await.unwrap();
    let form = page.form_with("password").unwrap();
    let done = hers.submit(&form, &[("password", NEW), ("password_again", NEW)]).await.unwrap();
    assert_eq!(done.status, 200, "{}", done.text());
    assert_eq!(hers.get(&link).await.unwrap().status, 410);
    house.app().code(&mut browser(), &mira.user_name, NEW).await.unwrap();
    assert!(office.letters_to("nobody@grid.example").is_empty());
    assert_eq!(house.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn letters_go_over_tls_to_a_server_that_is_known_and_check_says_when_they_cannot() {
    let authority = format!("authority = {:?}", PostOffice::authority());
    let more =
        format!("user = \"cardea\"\npassword_file = \"mail.password\"\ninvite_on_hire = false\n{authority}");
    let for_user = |office: PostOffice| office.for_user("cardea", "a mail secret");
    let Some((mut house, mut office)) = set_up(for_user, &more).await else { skip!("{MISSING}") };
    let config = std::fs::read_to_string(house.config()).unwrap();
    let wrong = async |house: &Served, because: &str| {
        let said = house.cardea(&["check"]).await;
        let line = said.out.lines().find(|line| line.contains(" mail: ")).unwrap_or_default();
        assert!(line.starts_with("WRONG") && line.contains(because), "{because}: {said:?}");
    };
    wrong(&house, "mail.password").await;
    house.write("mail.password", "another secret\n");
    wrong(&house, "does not take letters").await;
    office.open().await;
    wrong(&house, "535").await;
    house.write("mail.password", "a mail secret\n");
    house.write("cardea.toml", &config.replace(&authority, ""));
    wrong(&house, "certificate").await;
    house.write("cardea.toml", &config);
    let said = house.must(&["check"]).await;
    assert!(said.contains(&format!("ok     mail: localhost:{} answers", office.port)), "{said}");

    house.serve().await;
    let mira = person("Mira");
    house.hr().hire(&mira).await.unwrap();
    house.must(&["invite", "--mail", &mira.user_name]).await;
    assert_eq!(office.letter_to(&mira.email, 0).await["tls"], true);
    assert_eq!(house.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_server_without_tls_is_told_nothing() {
    let Some((house, mut office)) = set_up(|office| office, "").await else { skip!("{MISSING}") };
    office.open().await;
    let said = house.cardea(&["check"]).await;
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.out.contains("WRONG  mail: localhost"), "{said:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_administrator_sends_a_link_by_mail_and_a_dead_letter_is_shown() {
    let more = format!("{PLAIN}\ninvite_on_hire = false");
    let Some((mut house, mut office)) = set_up(|office| office, &more).await else { skip!("{MISSING}") };
    office.open().await;
    house.serve().await;
    let (mira, nobody) = (person("Mira"), person("Nobody"));
    for person in [&mira, &nobody] {
        house.hr().hire(person).await.unwrap();
    }
    assert!(office.letters_to(&mira.email).is_empty(), "nobody is invited on hire");
    let said = house.must(&["invite", "--mail", &mira.user_name]).await;
    assert!(said.contains(&mira.email) && !said.contains("token="), "{said}");
    let letter = office.letter_to(&mira.email, 0).await;
    set_password(&mut browser(), &link_in(&letter)).await;

    house.must(&["invite", "--mail", &nobody.user_name]).await;
    until("a dead letter", async || {
        let said = house.must(&["deliveries"]).await;
        said.lines().any(|line| line.contains("DEAD") && line.contains("no such mailbox")).then_some(())
    })
    .await;
    assert_eq!(house.stop().await, Some(0));
}
