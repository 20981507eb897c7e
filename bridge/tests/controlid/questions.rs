//! Whatever may come to us from a device or from whoever stands in for one: only a whole question of a device of ours
//! opens a door, and only an answer that ends is one.

use std::net::Ipv4Addr;
use std::time::Duration;

use bridge::connector::ConnectorError;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::building::{Building, IDS};
use crate::online::{HERE, Says, ask, attend, online, server_of};

/// It says yes, and then it goes on and on.
#[tokio::test]
async fn an_answer_that_does_not_end_is_none() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("its address"));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                // Who answers before anything was asked is no server.
                let _ = stream.read(&mut [0; 4 * 1024]).await;
                let head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n";
                let mut taken = stream.write_all(head).await;
                while taken.is_ok() {
                    taken = stream.write_all(&[b' '; 16 * 1024]).await;
                }
            });
        }
    });
    let building = Building::open().await;
    let devices = json!([{ "device_id": IDS[0], "url": url, "portals": { "1": "a" } }]);
    let more = json!({ "devices": devices, "timeout_ms": 3_000, "attempts": 1 });
    let error = building.connector_with(&more).read_back(&building.wish(1).1).await;
    let error = error.expect_err("there is no end of it");
    assert!(matches!(error, ConnectorError::Protocol { .. }), "{error}");
    assert!(error.to_string().ends_with("with more than is ever asked for"), "{error}");
}

/// What devices ask by these commands somebody must decide, or it is no command of ours.
const QUESTIONS: [&str; 6] = [
    "new_user_identified.fcgi",
    "new_card.fcgi",
    "new_user_id_and_password.fcgi",
    "new_qrcode.fcgi",
    "new_uhf_tag.fcgi",
    "new_biometry_image.fcgi",
];
/// By these they ask for nothing that opens.
const OTHERS: [&str; 3] = ["device_is_alive.fcgi", "session_is_valid.fcgi", "new_rex_log.fcgi"];

/// Sends something, and gives the status and the body of the answer.
async fn sent(method: reqwest::Method, url: &str, body: Vec<u8>) -> (u16, String) {
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let answer = client.request(method, url).body(body).send().await.expect("an answer");
    (answer.status().as_u16(), answer.text().await.expect("a text"))
}

/// Sends a request whose body ends before it should, and gives what was answered, if anything was.
async fn cut_short(url: &str, body: &str) -> String {
    let url = reqwest::Url::parse(url).expect("an address");
    let port = url.port().expect("a port of its own");
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.expect("somebody listens");
    let length = body.len() + 100;
    let head = format!("POST {} HTTP/1.1\r\nhost: cardea\r\ncontent-length: {length}\r\n\r\n", url.path());
    stream.write_all(format!("{head}{body}").as_bytes()).await.expect("it is taken");
    stream.shutdown().await.expect("it ends");
    let mut answer = Vec::new();
    // An end, or a connection that was reset.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn no_command_opens_by_what_is_no_whole_question_of_a_device_of_ours() {
    let building = Building::open().await;
    let yes = Says::at_once(true);
    let _attended = online(&building, &json!({}), yes.clone()).await;
    let base = server_of(&building.devices[0]);
    let whole = format!("device_id={}&portal_id=1&card_value=9", IDS[0]);
    let bodies = [
        ("too long", format!("{whole}&user_name={}", "x".repeat(64 * 1024)).into_bytes()),
        ("not UTF-8", [whole.as_bytes(), b"\xff"].concat()),
        ("with two cards", format!("{whole}&card_value=10").into_bytes()),
        ("with two doors", format!("{whole}&portal_id=2").into_bytes()),
        ("of two devices", format!("{whole}&device_id={}", IDS[1]).into_bytes()),
        ("of a device of others", b"device_id=77&portal_id=1&card_value=9".to_vec()),
        (
            "in another form",
            json!({ "device_id": IDS[0], "portal_id": 1, "card_value": 9 }).to_string().into(),
        ),
    ];
    for command in QUESTIONS.iter().chain(&OTHERS) {
        let url = format!("{base}/{command}");
        let asked = sent(reqwest::Method::GET, &format!("{url}?{whole}"), Vec::new()).await;
        assert_eq!(asked, (405, String::new()), "GET {command}");
        for (what, body) in &bodies {
            let (status, answer) = sent(reqwest::Method::POST, &url, body.clone()).await;
            if status != 200 {
                assert_eq!(answer, "", "{command} {what}");
                continue;
            }
            let said: Value = serde_json::from_str(&answer).expect("JSON");
            match QUESTIONS.contains(command) {
                true => {
                    assert_eq!(said["result"]["event"], 6, "{command} {what}: {answer}");
                    assert_eq!(said["result"]["actions"], json!([]), "{command} {what}: {answer}");
                }
                false => assert_eq!(said["result"], Value::Null, "{command} {what}: {answer}"),
            }
        }
        let answer = cut_short(&url, &whole).await;
        let opens = ["door=", "\"event\":7"].iter().any(|word| answer.contains(word));
        assert!(!opens, "{command} cut short: {answer}");
    }
    assert!(yes.asked().is_empty(), "{:?}", yes.asked());
    let answer = ask(HERE, &format!("{base}/new_card.fcgi"), &whole).await;
    assert_eq!(answer.expect("an answer")["result"]["event"], 7, "it answers still");
}

#[tokio::test]
async fn a_device_that_hogs_its_connections_takes_none_from_another() {
    let building = Building::open().await;
    let devices = json!([
        { "device_id": IDS[0], "url": format!("http://{}", building.devices[0].address()),
          "portals": { "1": { "name": "a", "door": 1 } } },
        { "device_id": IDS[1], "url": "http://127.0.0.3:1", "portals": { "1": { "name": "c", "door": 1 } } },
    ]);
    let _attended = attend(&building, &json!({ "devices": devices }), Says::at_once(true));
    for _ in 0..400 {
        if building.devices[0].rows("devices").iter().any(|row| row["name"] == "cardea") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let url = format!("{}/new_card.fcgi", server_of(&building.devices[0]));
    let port = reqwest::Url::parse(&url).expect("an address").port().expect("a port of its own");
    let question = |device: usize| format!("device_id={}&portal_id=1&card_value=9", IDS[device]);
    let mut hogged = Vec::new();
    for _ in 0..16 {
        hogged.push(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.expect("somebody listens"));
    }
    assert_eq!(ask(HERE, &url, &question(0)).await, None, "one more");
    let answer = ask([127, 0, 0, 3], &url, &question(1)).await.expect("an answer");
    assert_eq!(answer["result"]["event"], 7, "another is answered");
    drop(hogged);
    for _ in 0..400 {
        if ask(HERE, &url, &question(0)).await.is_some_and(|answer| answer["result"]["event"] == 7) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it is not answered any more");
}
