//! The mail server as a mail client and a browser meet it.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;
use crate::browser::Browser;

const TO: &str = "mira@grid.example";

/// Says all of it at once and reads until the server hangs up.
async fn say(server: &MailServer, lines: &str) -> String {
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    stream.write_all(lines.as_bytes()).await.unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).await.unwrap();
    answers
}

async fn send(server: &MailServer, letter: &str) -> String {
    let head = format!("EHLO test\r\nMAIL FROM:<cardea@grid.example>\r\nRCPT TO:<{TO}>\r\nDATA\r\n");
    say(server, &format!("{head}{letter}.\r\nQUIT\r\n")).await
}

#[tokio::test]
async fn a_letter_arrives_and_is_shown_to_whom_it_is_for() {
    let server = MailServer::start().await.unwrap();
    let mut taken = server.taken();
    let letter = "Subject: <Hi>\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nfollow\r\n..\r\nhttp://localhost:1/i?a=1&b=2 now\r\n";
    let said = send(&server, letter).await;
    assert!(said.contains("\r\n250 2.0.0 taken\r\n221 "), "{said}");
    assert!(taken.has_changed().unwrap() && *taken.borrow_and_update() == 1);
    let letters = server.letters_to(TO);
    assert_eq!(
        (letters.len(), letters[0].subject.as_str(), letters[0].from.as_str()),
        (1, "<Hi>", "cardea@grid.example")
    );
    assert!(letters[0].text.contains("follow\n.\n"), "a dot that was doubled: {:?}", letters[0].text);
    assert!(server.letters_to("ada@grid.example").is_empty());
    let mut browser = Browser::new(Arc::new(|| jiff::Timestamp::UNIX_EPOCH));
    let page = browser.get(server.mailbox("ada@grid.example").as_str()).await.unwrap();
    assert!(page.text().contains("No letters yet"), "{}", page.text());
    let page = browser.get(server.mailbox(TO).as_str()).await.unwrap();
    let page = browser.click(&page, "<Hi>").await.unwrap();
    let links: Vec<_> = page.links().into_iter().map(|link| link.url.to_string()).collect();
    assert!(links.contains(&"http://localhost:1/i?a=1&b=2".to_owned()), "{links:?}");
    assert!(page.header("content-security-policy").unwrap().starts_with("default-src 'none'"));
    assert_eq!(browser.get(server.home().join("letters/2").unwrap().as_str()).await.unwrap().status, 404);
    assert_eq!(browser.get(server.home().join("letters/x").unwrap().as_str()).await.unwrap().status, 404);
}

#[tokio::test]
async fn html_is_shown_in_a_frame_that_runs_nothing() {
    let server = MailServer::start().await.unwrap();
    let letter =
        "Subject: Hi\r\nContent-Type: text/html\r\n\r\n<p class=\"x\">\"Hi\"</p><script>1</script>\r\n";
    send(&server, letter).await;
    let mut browser = Browser::new(Arc::new(|| jiff::Timestamp::UNIX_EPOCH));
    let page = browser.get(server.home().join("letters/1").unwrap().as_str()).await.unwrap();
    assert!(page.body.contains("sandbox=\"allow-top-navigation-by-user-activation\""), "{}", page.body);
    assert!(
        page.body.contains("&lt;p class=&quot;x&quot;&gt;") && !page.body.contains("<script>"),
        "{}",
        page.body
    );
}

#[tokio::test]
async fn what_is_out_of_order_or_shape_is_refused_and_no_letter_comes_of_it() {
    let server = MailServer::start().await.unwrap();
    let head = format!("EHLO test\r\nMAIL FROM:<a@x>\r\nRCPT TO:<{TO}>\r\n");
    let long = "x".repeat(600);
    let huge = format!("{}\r\n", "x".repeat(900)).repeat(300);
    for (lines, expect) in [
        ("MAIL FROM:<a@x>\r\nQUIT\r\n".to_owned(), "503"),
        ("EHLO\r\nQUIT\r\n".to_owned(), "501"),
        ("EHLO t\r\nRCPT TO:<a@x>\r\nQUIT\r\n".to_owned(), "503"),
        ("EHLO t\r\nMAIL FROM:<a@x>\r\nMAIL FROM:<a@x>\r\nQUIT\r\n".to_owned(), "503"),
        ("EHLO t\r\nMAIL FROM:<a@x>\r\nRCPT TO:<nobody>\r\nQUIT\r\n".to_owned(), "501"),
        ("EHLO t\r\nMAIL FROM:<a@x>\r\nDATA\r\nQUIT\r\n".to_owned(), "503"),
        (format!("{head}RSET\r\nDATA\r\nQUIT\r\n"), "503"),
        ("STARTTLS\r\nQUIT\r\n".to_owned(), "500"),
        ("EHLO t\nQUIT\r\n".to_owned(), "500"),
        (format!("EHLO {long}\r\n"), "500"),
        (format!("{head}DATA\r\nhi\n.\r\n"), "554"),
        (format!("{head}DATA\r\n{long}{long}\r\n.\r\n"), "554"),
        (format!("{head}DATA\r\n{huge}"), "552"),
        (format!("{head}DATA\r\nhi\r\n"), "354"),
    ] {
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        // A server that hangs up early does not read the rest.
        let _ = stream.write_all(lines.as_bytes()).await;
        let _ = stream.shutdown().await;
        let mut said = Vec::new();
        let _ = stream.read_to_end(&mut said).await;
        let said = String::from_utf8_lossy(&said);
        assert!(said.lines().any(|line| line.starts_with(expect)), "{expect}: {said}");
    }
    assert!(server.letters_to(TO).is_empty());
}
