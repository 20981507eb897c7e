//! Commands, each in a process of its own: what they say and which exit code they end with.

use kernel::{Clock as _, SystemClock, Timestamp};
use serde_json::{Value, json};
use server::stage::at_device;
use sim::uhppote::Misbehaviour;
use store::delivery::Address;
use store::{Db, DbConfig, Fact, FactBody, Origin, Sinks, delivery, sql};
use world::{Served, Spoken, parts, skip, until};

use crate::steps::{Employee, PASSWORD, card_gone, hire_at, set_password};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_scripted_demo_proves_every_step() {
    let Some(binary) = parts::binary() else { skip!("{}", parts::NO_BINARY) };
    let house = Served::empty(&binary).await;
    let said = house.must(&["demo", "--script"]).await;
    let mut rest = said.as_str();
    // In this order.
    for step in [
        "hires Mira Holt",
        "is on the controller's list for the control room only",
        "the controller was asked afterwards what it holds, and showed the card",
        "the substation's device, of another maker, holds the same card",
        "a letter to mira.holt@grid.example",
        "follows the link in the letter and sets a password",
        "Grid Console (low): signed in with the password alone",
        "adds one-time codes",
        "adds a passkey",
        "Grid Console (low): in a new browser the password is still enough",
        "Switchgear Control (critical): asks for the passkey, and for nothing else",
        "Switchgear Control (critical): signed in (acr \"phrh\"",
        "swipe at the control room is granted",
        "swipe at the substation is granted",
        "stays shut",
        "ends the employment",
        "introspection says the token is inactive",
        "userinfo refuses the token (401)",
        "the refresh token is dead (invalid_grant)",
        "reloads both apps: signed out",
        "login_required",
        "tries the password again: refused",
        "the next swipe at the control room is denied",
        "the next swipe at the substation is denied",
        "both denials came back as events",
        "cardea receipt verify: good",
        "cardea audit verify",
        "Every step was proven",
    ] {
        let at = rest.find(step).unwrap_or_else(|| panic!("{step:?} is not in its place in:\n{said}"));
        rest = &rest[at + step.len()..];
    }
    // The doors and the back channel are looked at beside the tokens, so these have no order among them.
    for step in [
        "does not hold card",
        "the controller was asked afterwards, and shows no such card",
        "the substation's device does not hold the card any more",
        "the substation's device was asked afterwards, and shows no such card",
        "Grid Console: a valid logout token came, its session is gone",
        "Switchgear Control: a valid logout token came, its session is gone",
    ] {
        assert!(said.contains(step), "{step:?} is missing in:\n{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn apply_twice_changes_nothing_and_absence_deletes_only_when_told() {
    let Some(binary) = parts::binary() else { skip!("{}", parts::NO_BINARY) };
    let house = Served::prepare(&binary).await;
    let file = house.path("grid.toml");
    let again = house.must(&["apply", &file]).await;
    assert!(again.contains("Nothing to change."), "{again}");

    let less = house.declaration().replace(
        "[access_profile.high-voltage]\ntitle = \"High-voltage technicians\"\naccess_points = [\"transformer-hall-door\"]\n",
        "",
    );
    assert_ne!(less, house.declaration());
    house.write("less.toml", &less.replace("Grid operators", "Operators"));
    let less = house.path("less.toml");
    let dry = house.must(&["apply", "--dry-run", "--prune", &less]).await;
    assert!(
        dry.contains("- access profile high-voltage") || dry.contains("- access_profile high-voltage"),
        "{dry}"
    );
    assert!(house.must(&["apply", &file]).await.contains("Nothing to change."), "looking changes nothing");

    let unasked = house.cardea(&["apply", &less]).await;
    assert_eq!(unasked.code, Some(1), "{unasked:?}");
    assert!(unasked.err.contains("--yes"), "{unasked:?}");
    let kept = house.must(&["apply", "--yes", &less]).await;
    assert!(kept.contains("high-voltage is there and not declared; it stays"), "{kept}");
    assert!(kept.contains("\"Grid operators\" → \"Operators\""), "{kept}");
    house.must(&["apply", "--yes", "--prune", &less]).await;
    assert!(!house.must(&["apply", &less]).await.contains("high-voltage"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_says_ok_for_each_part_and_wrong_for_a_door_that_is_silent() {
    let Some(binary) = parts::binary() else { skip!("{}", parts::NO_BINARY) };
    let house = Served::prepare(&binary).await;
    let said = house.must(&["check"]).await;
    for part in [
        "configuration",
        "https",
        "address 127.0.0.1:",
        "sealing key",
        "ephemeral",
        "database",
        "policies",
        "signing keys",
        "door system headquarters",
    ] {
        assert!(said.contains(&format!("ok     {part}")), "{part} in:\n{said}");
    }
    for what in ["not device-tested", "versions ", "public code", "limit: A supervisor passcode"] {
        assert!(said.contains(what), "{what} in:\n{said}");
    }
    set_door(&house, 1).await;
    let said = house.cardea(&["check"]).await;
    assert_eq!(said.code, Some(1), "{said:?}");
    let open = "door `control-room-door` is set to stay unlocked";
    assert!(said.out.lines().any(|line| line.starts_with("WRONG") && line.contains(open)), "{said:?}");
    set_door(&house, 3).await;
    house.controller.misbehave(sim::uhppote::Misbehaviour::Silent);
    let said = house.cardea(&["check"]).await;
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.out.contains("WRONG  door system headquarters"), "{said:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_invited_whom_hr_does_not_know() {
    let Some(binary) = parts::binary() else { skip!("{}", parts::NO_BINARY) };
    let house = Served::prepare(&binary).await;
    let said = house.cardea(&["invite", "nobody@grid.example"]).await;
    assert_eq!((said.code, said.out.as_str()), (Some(1), ""));
    assert!(
        said.err.contains("there is no user \"nobody@grid.example\"; HR makes users over SCIM"),
        "{said:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn receipts_and_the_journal_are_verified_by_their_exit_codes() {
    let Some(binary) = parts::binary() else { skip!("{}", parts::NO_BINARY) };
    let mut house = Served::prepare(&binary).await;
    house.serve().await;
    let Employee { id, card, .. } = hire_at(&house, "Mira").await;
    let none = house.cardea(&["receipt", "show", &id]).await;
    assert_eq!(none.code, Some(1), "{none:?}");
    house.hr().end_employment(&id).await.unwrap();
    card_gone(&house.controller, card).await;
    let signed = until("a receipt", async || {
        let said = house.cardea(&["receipt", "show", &id, "--signed"]).await;
        (said.code == Some(0)).then_some(said.out)
    })
    .await;
    let jwks = reqwest::get(format!("{}/jwks/evidence", house.issuer)).await.unwrap().text().await.unwrap();
    assert_eq!(house.stop().await, Some(0));

    house.write("receipt.jws", &signed);
    house.write("evidence.jwks", &jwks);
    house.write("nobody.jwks", "{\"keys\":[]}");
    house.write("tampered.jws", &tampered(&signed));
    for (receipt, keys, code, says) in [
        ("receipt.jws", "evidence.jwks", 0, "GOOD"),
        ("tampered.jws", "evidence.jwks", 1, "changed"),
        ("receipt.jws", "nobody.jwks", 2, "none of the keys given has signed it"),
        ("evidence.jwks", "evidence.jwks", 1, ""),
        ("no-such-file", "evidence.jwks", 66, "cannot read"),
        ("receipt.jws", "no-such-file", 66, "cannot read"),
    ] {
        let said =
            house.cardea(&["receipt", "verify", &house.path(receipt), "--keys", &house.path(keys)]).await;
        assert_eq!(said.code, Some(code), "{receipt} with {keys}: {said:?}");
        assert!(format!("{}{}", said.out, said.err).contains(says), "{receipt} with {keys}: {said:?}");
    }

    let good = house.must(&["audit", "verify"]).await;
    assert!(good.contains(" 0 findings"), "{good}");
    for (arguments, code) in [
        (&["audit", "verify", "--keys", "no-such-file"][..], 66),
        (&["receipt", "verify", "receipt.jws"], 64),
        (&["audit", "verifi"], 64),
    ] {
        let said = house.cardea(arguments).await;
        assert_eq!(said.code, Some(code), "{arguments:?} is neither good nor bad: {said:?}");
    }
    // A file that is not there is nothing that was looked at, whichever command needs it.
    let (key, aside) = (house.path("sealing.key"), house.path("aside.key"));
    std::fs::rename(&key, &aside).unwrap();
    for arguments in [&["audit", "verify"][..], &["keys", "status"], &["credential", "suspend", "ada"]] {
        let said = house.cardea(arguments).await;
        assert_eq!(said.code, Some(66), "{arguments:?}: {said:?}");
    }
    std::fs::rename(&aside, &key).unwrap();
    change_third_fact(&house).await;
    let bad = house.cardea(&["audit", "verify"]).await;
    assert_eq!(bad.code, Some(1), "{bad:?}");
    let lines: Vec<&str> = bad.out.lines().filter(|line| line.starts_with("CHANGED")).collect();
    assert!(matches!(lines[..], [line] if line.contains("fact 3 (") && line.contains("body")), "{bad:?}");
}

/// Sets door 1 as an installer would: 1 stays unlocked, 3 obeys the list.
async fn set_door(house: &Served, mode: u8) {
    let mut packet = [0_u8; 64];
    packet[..2].copy_from_slice(&[0x17, 0x80]);
    packet[4..8].copy_from_slice(&house.controller.serial().to_le_bytes());
    packet[8..11].copy_from_slice(&[1, mode, 5]);
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.send_to(&packet, house.controller.address()).await.unwrap();
    socket.recv(&mut packet).await.unwrap();
}

#[tokio::test]
async fn help_and_version_are_no_mistake_and_all_else_is_one() {
    let Some(binary) = parts::binary() else { skip!("{}", parts::NO_BINARY) };
    let house = Served::empty(&binary).await;
    for asked in ["--help", "--version", "help"] {
        assert_eq!(house.cardea(&[asked]).await.code, Some(0), "{asked}");
    }
    assert!(house.must(&["--help"]).await.contains("Exit codes: 0 done"));
    for mistake in
        [&[][..], &["serv"], &["serve", "--fast"], &["receipt", "verify"], &["deliveries", "--retry", "7"]]
    {
        assert_eq!(house.cardea(mistake).await.code, Some(64), "{mistake:?}");
    }
    assert_eq!(house.cardea(&["check"]).await.code, Some(78), "there is no configuration");
}

#[tokio::test]
async fn the_catalogue_of_facts_is_shown_without_a_configuration() {
    let Some(binary) = parts::binary() else { skip!("{}", parts::NO_BINARY) };
    let house = Served::empty(&binary).await;
    assert_eq!(house.must(&["audit", "kinds"]).await, server::catalogue::document());
    let schemas: Value = serde_json::from_str(&house.must(&["audit", "kinds", "--json"]).await).unwrap();
    assert_eq!(schemas, Value::from(server::catalogue::schemas()));
}

#[tokio::test]
async fn looking_makes_nothing_where_a_path_is_mistyped() {
    let Some(binary) = parts::binary() else { skip!("{}", parts::NO_BINARY) };
    let house = Served::prepare(&binary).await;
    let config = std::fs::read_to_string(house.config()).unwrap();
    house.write("cardea.toml", &config.replace("[database]\n", "[database]\nsqlite = \"cardae.sqlite\"\n"));
    let before = std::fs::read_dir(house.folder.path()).unwrap().count();
    let (grid, user) = (house.path("grid.toml"), "0198c5a0-0000-7000-8000-000000000000");
    for (looking, code) in [
        (&["check"][..], 1),
        (&["apply", "--dry-run", &grid], 69),
        (&["invite", "mira.holt@grid.example"], 69),
        (&["receipt", "show", user], 69),
        (&["audit", "verify"], 69),
        (&["audit", "exports"], 69),
        (&["deliveries"], 69),
        (&["exposure"], 69),
        (&["task", "list"], 69),
        (&["quarantine", "list"], 69),
        (&["presence"], 69),
    ] {
        let said = house.cardea(looking).await;
        assert_eq!(said.code, Some(code), "{looking:?}: {said:?}");
        let told = format!("{}{}", said.out, said.err);
        assert!(
            told.contains("cardae.sqlite") && told.contains("there is no database"),
            "{looking:?}: {told}"
        );
    }
    assert_eq!(std::fs::read_dir(house.folder.path()).unwrap().count(), before, "nothing was made");
}

#[tokio::test]
async fn a_dead_delivery_is_shown_and_given_another_life() {
    let Some(binary) = parts::binary() else { skip!("{}", parts::NO_BINARY) };
    let house = Served::prepare(&binary).await;
    let id = bury_a_letter(&house).await;
    let shown = house.must(&["deliveries"]).await;
    let dead = shown.lines().find(|line| line.starts_with("DEAD")).unwrap();
    assert!(
        dead.contains(&id) && dead.contains("to mail about user:7") && dead.contains("no such mailbox"),
        "{dead}"
    );
    assert!(shown.contains("1 dead"), "{shown}");
    house.must(&["deliveries", "--retry", &id]).await;
    let shown = house.must(&["deliveries"]).await;
    assert!(shown.contains(" 0 dead"), "{shown}");
    assert!(shown.lines().any(|line| line.starts_with("waits") && line.contains(&id)), "{shown}");
    let again = house.cardea(&["deliveries", "--retry", &id]).await;
    assert_eq!(again.code, Some(1), "{again:?}");
    assert!(again.err.contains("no dead delivery has the id"), "{again:?}");
}

/// A message that was given up, as a lane gives it up.
async fn bury_a_letter(house: &Served) -> String {
    #[derive(serde::Serialize, serde::Deserialize)]
    struct Written {}
    impl FactBody for Written {
        const KIND: &'static str = "test.written";
    }
    let which = DbConfig::Sqlite { path: house.folder.path().join("cardea.sqlite") };
    let sinks = Sinks::default();
    sinks.set("mail", |fact| vec![Address::message("mail", fact.subject.clone())]);
    let db = Db::open(&which, kernel::Ctx::system(), sinks).await.unwrap();
    let mut tx = db.write(Origin::system()).await.unwrap();
    tx.record(Fact::new(kernel::Subject::new("user", 7), &Written {}));
    tx.commit().await.unwrap();
    let second = std::time::Duration::from_secs(1);
    let claimed = delivery::claim(&db, "mail", second, 1, false).await.unwrap();
    claimed[0].postpone(&db, "no such mailbox", second, true).await.unwrap();
    db.close().await;
    claimed[0].id.to_string()
}

/// The same receipt with one character of what it says changed.
fn tampered(signed: &str) -> String {
    let mut parts: Vec<String> = signed.trim().split('.').map(str::to_owned).collect();
    let middle = parts[1].len() / 2;
    let other = if parts[1].as_bytes()[middle] == b'A' { "B" } else { "A" };
    parts[1].replace_range(middle..=middle, other);
    parts.join(".")
}

/// Behind the house's back.
async fn change_third_fact(house: &Served) {
    let which = DbConfig::Sqlite { path: house.folder.path().join("cardea.sqlite") };
    let db = Db::open(&which, kernel::Ctx::system(), Sinks::default()).await.unwrap();
    let text = sql!("UPDATE fact SET body = '{\"v\":1}' WHERE seq = 3");
    assert_eq!(db.change(Origin::system(), text, (), Vec::new()).await.unwrap(), 1);
    db.close().await;
}

#[tokio::test]
async fn the_sealing_key_is_changed_step_by_step_and_nothing_is_lost() {
    let Some(binary) = parts::binary() else { skip!("{}", parts::NO_BINARY) };
    let mut house = Served::prepare(&binary).await;
    house.serve().await;
    let status = house.must(&["keys", "status"]).await;
    let old = status.trim().strip_prefix("seals  ").unwrap().to_owned();
    house.must(&["keys", "add"]).await;
    let status = house.must(&["keys", "status"]).await;
    let new = status.lines().find_map(|line| line.strip_prefix("opens  ")).unwrap().to_owned();
    assert!(status.contains(&format!("seals  {old}")), "adding changes nothing yet: {status}");
    assert_eq!(house.cardea(&["keys", "promote", "nobodys"]).await.code, Some(1));
    house.must(&["keys", "promote", &new]).await;

    let sealing = house.cardea(&["keys", "retire", &new]).await;
    assert!(sealing.code == Some(1) && sealing.err.contains("promote another first"), "{sealing:?}");
    let soon = house.cardea(&["keys", "retire", &old]).await;
    assert!(soon.code == Some(1) && soon.err.contains("try again in"), "{soon:?}");
    let file = std::fs::File::options().append(true).open(house.folder.path().join("sealing.key")).unwrap();
    let long_ago = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000);
    file.set_modified(long_ago).unwrap();
    house.must(&["keys", "retire", &old]).await;
    assert_eq!(house.must(&["keys", "status"]).await, format!("seals  {new}\n"));
    assert_eq!(house.stop().await, Some(0));
    // Everything that was sealed is opened with the new key alone.
    house.must(&["check"]).await;
    house.serve().await;
    house.hr().test_connection().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_auditor_finds_what_happened_to_a_person_at_a_door_and_with_an_app() {
    let Some(binary) = parts::binary() else { skip!("{}", parts::NO_BINARY) };
    let mut house = Served::prepare(&binary).await;
    house.serve().await;
    let before = SystemClock.now().to_string();
    let Employee { id, user_name, card } = hire_at(&house, "Mira").await;
    assert!(house.controller.swipe(card, 1).granted);
    let link = house.must(&["invite", &user_name]).await;
    let mut browser = house.browser();
    set_password(&mut browser, &link).await;
    house.app().code(&mut browser, &user_name, PASSWORD).await.unwrap();
    let between = SystemClock.now().to_string();
    house.hr().end_employment(&id).await.unwrap();
    card_gone(&house.controller, card).await;
    let search = async |arguments: &[&str]| house.cardea(&[&["audit", "search"], arguments].concat()).await;
    until("the swipe in the journal", async || {
        let at_door = search(&["--person", &user_name, "--door", "control-room-door", "--json"]).await;
        at_door.out.contains("access_granted").then_some(())
    })
    .await;
    let story = search(&["--person", &user_name]).await;
    assert_eq!(story.code, Some(0), "{story:?}");
    let at = |kind: &str| story.out.find(kind).unwrap_or_else(|| panic!("no {kind} in {}", story.out));
    assert!(at("user.deactivated") < at("user.created"), "the newest first: {}", story.out);
    let by_id = search(&["--person", &id, "--kind", "user.", "--since", "1h", "--json"]).await;
    let kinds = kinds_of(&by_id);
    assert!(kinds.iter().all(|kind| kind.starts_with("user.")) && kinds.len() >= 2, "{kinds:?}");
    // All that happened to a person, cut in two between hire and end.
    for (bound, finds, leaves_out) in
        [("--until", "user.created", "user.deactivated"), ("--since", "user.deactivated", "user.created")]
    {
        let kinds = kinds_of(&search(&["--person", &id, bound, &between, "--json"]).await);
        let has = |kind: &str| kinds.iter().any(|found| found == kind);
        assert!(has(finds) && !has(leaves_out), "{bound} {between}: {kinds:?}");
    }
    let at_app = kinds_of(&search(&["--app", "grid-console", "--person", &id, "--json"]).await);
    for kind in ["session.opened", "grant.created"] {
        assert!(at_app.iter().any(|found| found == kind), "{kind}: {at_app:?}");
    }
    // When the card was proven to be off, door by door.
    let door = ["--door", "control-room-door", "--kind", "placement.proven", "--json"];
    let proven = until("both proofs at the door", async || {
        let proven = search(&door).await.out;
        (proven.lines().count() >= 2).then_some(proven)
    })
    .await;
    assert!(proven.lines().next().is_some_and(|newest| newest.contains("absent")), "{proven}");
    for (arguments, code, says) in [
        (&["--kind", "no.such"][..], 1, "nothing was found"),
        (&["--person", "nobody"], 1, "no user"),
        (&["--person", &id, "--until", &before], 1, "nothing was found"),
        (&["--since", "yesterday"], 64, "2026-11-27"),
        (&["--until", "yesterday"], 64, "2026-11-27"),
        (&["--about", "nobody"], 64, "KIND:ID"),
        (&["--limit", "0"], 64, "limit"),
    ] {
        let said = search(arguments).await;
        assert_eq!(said.code, Some(code), "{arguments:?}: {said:?}");
        assert!(said.err.contains(says), "{arguments:?}: {said:?}");
    }
}

/// The kinds of all facts that were found, as JSON.
fn kinds_of(found: &Spoken) -> Vec<String> {
    let kind = |line: &str| {
        let fact: Value = serde_json::from_str(line).unwrap();
        fact["kind"].as_str().unwrap().to_owned()
    };
    found.out.lines().map(kind).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_leaver_could_still_open_is_shown_until_it_is_proven_shut() {
    let Some(binary) = parts::binary() else { skip!("{}", parts::NO_BINARY) };
    let mut house = Served::prepare(&binary).await;
    house.serve().await;
    let Employee { id, user_name, card } = hire_at(&house, "Mira").await;
    until("the card at the substation", async || house.device.holds(at_device(card)).then_some(())).await;
    let nothing = house.must(&["exposure"]).await;
    assert!(nothing.contains("PAST    a supervisor passcode") && !nothing.contains("CARD"), "{nothing}");
    house.controller.misbehave(Misbehaviour::Silent);
    let told = SystemClock.now();
    house.hr().end_employment(&id).await.unwrap();
    // The substation hears of it, and is not named any more.
    let shown = until("the leaver's card exposed at the headquarters alone", async || {
        let said = house.cardea(&["exposure", "--json"]).await;
        let shown: Value = serde_json::from_str(&said.out).ok()?;
        let is_alone = shown["cards"].as_array()?.len() == 1;
        (said.code == Some(1) && is_alone).then_some(shown)
    })
    .await;
    let exposed = &shown["cards"][0];
    let written = format!("h10301:{}:{}", card / 100_000, card % 100_000);
    assert_eq!((&exposed["user"], &exposed["card"]), (&json!(id), &json!(written)));
    assert_eq!(exposed["door_system"], "headquarters");
    assert_eq!(exposed["access_points"], json!(["control-room-door"]));
    let since = exposed["since"].as_str().unwrap();
    let at = Timestamp::parse(since).unwrap();
    assert!(told <= at && at <= SystemClock.now(), "not before the end was said: {exposed}");
    let because = "the door system has not done yet what it was told, or was not told";
    assert_eq!(exposed["because"], because);
    // People read the same.
    let said = house.cardea(&["exposure"]).await;
    assert_eq!(said.code, Some(1), "{said:?}");
    let line = format!(
        "CARD    {written} of {user_name} at control-room-door (headquarters): must not since {since}, \
         {because}; at worst until the panel can be reached again"
    );
    assert!(said.out.lines().any(|said| said.starts_with(&line)), "{line:?} is not in {said:?}");
    let count =
        "1 card(s) could open what they must not, 0 door(s) open for everybody, 0 card(s) are nobody's\n";
    assert!(said.out.ends_with(count), "{said:?}");
    assert!(said.err.contains("CARD: see cardea task list"), "{said:?}");
    house.controller.behave();
    card_gone(&house.controller, card).await;
    until("nothing exposed", async || (house.cardea(&["exposure"]).await.code == Some(0)).then_some(()))
        .await;
    let stranger = house.cardea(&["exposure", "--jsn"]).await;
    assert_eq!(stranger.code, Some(64));
}
