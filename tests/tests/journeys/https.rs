//! HTTPS by itself: the binary with a certificate of its own, spoken to by rustls and by Node.js.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kernel::{Clock as _, SystemClock};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};
use serde_json::{Value, json};
use sim::browser::Browser;
use world::{PATIENCE, Served, Wire, parts, skip, until};

use crate::steps::{PASSWORD, person, set_password};

/// A certificate for `localhost` that is its own issuer, and its key.
struct Pair {
    der: CertificateDer<'static>,
    certificate: String,
    key: String,
}

fn pair() -> Pair {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    Pair { der: made.cert.der().clone(), certificate: made.cert.pem(), key: made.signing_key.serialize_pem() }
}

/// From now on the house is https, with these files.
fn encrypt(house: &mut Served, certificate: &str, key: &str) {
    house.write("certificate.pem", certificate);
    house.write("certificate.key", key);
    let config = std::fs::read_to_string(house.config()).unwrap();
    let issuer = house.issuer.replace("http://", "https://");
    let tls = "\n[http.tls]\ncertificate = \"certificate.pem\"\nkey = \"certificate.key\"\n";
    house.write("cardea.toml", &(config.replace(&house.issuer, &issuer) + tls));
    house.issuer = issuer;
}

/// The client's side of a connection; it trusts one certificate, speaks one version, and offers these protocols over it
/// (RFC 7301), if any.
fn client(
    trusted: CertificateDer<'static>,
    version: &'static SupportedProtocolVersion,
    offered: &[&str],
) -> Result<ClientConnection, String> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted).map_err(|error| error.to_string())?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = offered.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    let name = ServerName::try_from("localhost").map_err(|error| error.to_string())?;
    ClientConnection::new(Arc::new(config), name).map_err(|error| error.to_string())
}

/// What is agreed on with a client that offers these protocols, or why nothing is.
async fn agreed(
    house: &Served,
    trusted: &CertificateDer<'static>,
    offered: &[&str],
) -> Result<Option<String>, String> {
    let mut connection = client(trusted.clone(), &rustls::version::TLS13, offered)?;
    let address = house.issuer.trim_start_matches("https://").to_owned();
    let shaken = tokio::task::spawn_blocking(move || {
        let mut socket = TcpStream::connect(address).map_err(|error| error.to_string())?;
        connection.complete_io(&mut socket).map_err(|error| error.to_string())?;
        Ok(connection.alpn_protocol().map(|protocol| String::from_utf8_lossy(protocol).into_owned()))
    });
    shaken.await.unwrap()
}

/// One GET by a client that trusts one certificate and speaks one version: the whole answer, or why there is none.
async fn ask(
    house: &Served,
    trusted: &CertificateDer<'static>,
    version: &'static SupportedProtocolVersion,
    path: &str,
) -> Result<String, String> {
    let (trusted, path) = (trusted.clone(), path.to_owned());
    let address = house.issuer.trim_start_matches("https://").to_owned();
    let asked = tokio::task::spawn_blocking(move || {
        let connection = client(trusted, version, &[])?;
        let socket = TcpStream::connect(address).map_err(|error| error.to_string())?;
        let mut stream = StreamOwned::new(connection, socket);
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).map_err(|error| error.to_string())?;
        let mut answer = Vec::new();
        match stream.read_to_end(&mut answer) {
            // The end of an answer that says so itself.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof && !answer.is_empty() => {}
            read => {
                read.map_err(|error| error.to_string())?;
            }
        }
        assert_eq!(stream.conn.protocol_version(), Some(version.version));
        Ok(String::from_utf8_lossy(&answer).into_owned())
    });
    asked.await.unwrap()
}

async fn answers(house: &Served, pair: &Pair) {
    until("an answer over https", async || {
        ask(house, &pair.der, &rustls::version::TLS13, "/health/live").await.ok()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_versions_of_tls_are_spoken_to_those_who_trust_the_certificate() {
    let Some(binary) = parts::binary() else { skip!("{}", parts::NO_BINARY) };
    let mut house = Served::prepare(&binary).await;
    let (ours, other) = (pair(), pair());
    encrypt(&mut house, &ours.certificate, &ours.key);
    let said = house.must(&["check"]).await;
    assert!(said.contains("ok     https: the certificate is valid until 4096-01-01"), "{said}");
    house.start();
    answers(&house, &ours).await;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let metadata = ask(&house, &ours.der, version, "/.well-known/openid-configuration").await.unwrap();
        assert!(metadata.starts_with("HTTP/1.1 200"), "{metadata}");
        assert!(metadata.contains(&format!("\"issuer\":\"{}\"", house.issuer)), "{metadata}");
        assert!(
            metadata.to_lowercase().contains("strict-transport-security: max-age=31536000"),
            "{metadata}"
        );
        let refused = ask(&house, &other.der, version, "/health/live").await.unwrap_err();
        assert!(refused.contains("certificate"), "{refused}");
    }
    let authorization = house.app().authorization(&[]);
    // Where it is sent to sign in: the page there sets a cookie.
    let path = authorization.strip_prefix(&house.issuer).unwrap().replace("/authorize?", "/sign-in?");
    let page = ask(&house, &ours.der, &rustls::version::TLS13, &path).await.unwrap();
    let cookies: Vec<&str> =
        page.lines().filter(|line| line.to_lowercase().starts_with("set-cookie:")).collect();
    assert!(!cookies.is_empty(), "{page}");
    for cookie in cookies {
        assert!(cookie.contains("__Host-") && cookie.contains("; Secure"), "{cookie}");
    }
    // Over the same port nothing is said in clear.
    let clear = reqwest::get(house.issuer.replace("https", "http") + "/health/live").await;
    assert!(clear.is_err(), "{clear:?}");
    assert_eq!(house.stop().await, Some(0));
}

/// A house that speaks HTTPS by itself, and answers.
async fn encrypted(binary: &Path) -> (Served, Pair) {
    let mut house = Served::prepare(binary).await;
    let ours = pair();
    encrypt(&mut house, &ours.certificate, &ours.key);
    house.start();
    answers(&house, &ours).await;
    (house, ours)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_tls_nothing_but_http_1_1_is_agreed_on() {
    let Some(binary) = parts::binary() else { skip!("{}", parts::NO_BINARY) };
    let (mut house, ours) = encrypted(&binary).await;
    let http_1_1 = Ok(Some("http/1.1".to_owned()));
    assert_eq!(agreed(&house, &ours.der, &["h2", "http/1.1"]).await, http_1_1);
    assert_eq!(agreed(&house, &ours.der, &["http/1.1", "h2"]).await, http_1_1);
    assert_eq!(agreed(&house, &ours.der, &[]).await, Ok(None), "who offers nothing means HTTP/1.1");
    let refused = agreed(&house, &ours.der, &["h2"]).await.unwrap_err();
    assert!(refused.contains("NoApplicationProtocol"), "{refused}");
    assert_eq!(house.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_does_not_agree_on_tls_in_time_is_hung_up_on() {
    let Some(binary) = parts::binary() else { skip!("{}", parts::NO_BINARY) };
    let (mut house, ours) = encrypted(&binary).await;
    let server = house.issuer.trim_start_matches("https://").to_owned();
    let (mut silent, mut half, began) = (Wire::to(&server).await, Wire::to(&server).await, Instant::now());
    // The beginning of a hello of 512 bytes.
    assert!(half.say(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc").await);
    tokio::time::timeout(PATIENCE, async { (silent.end().await, half.end().await) }).await.expect("the end");
    assert!(began.elapsed() > Duration::from_secs(2), "who is only far away has some time");
    answers(&house, &ours).await;
    assert_eq!(house.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_agrees_on_nothing_keeps_nobody_waiting() {
    let Some(binary) = parts::binary() else { skip!("{}", parts::NO_BINARY) };
    let mut house = Served::prepare(&binary).await;
    let ours = pair();
    encrypt(&mut house, &ours.certificate, &ours.key);
    let config = std::fs::read_to_string(house.config()).unwrap();
    let one_thread = config.replacen("[http]\n", "[http]\nworkers = 1\n", 1);
    assert_ne!(one_thread, config);
    house.write("cardea.toml", &one_thread);
    house.start();
    answers(&house, &ours).await;
    let server = house.issuer.trim_start_matches("https://").to_owned();
    // Each is hung up on after 3 s. A busy machine may be late once.
    let mut fastest = Duration::MAX;
    for _ in 0..3 {
        let mut silent = Vec::new();
        for _ in 0..300 {
            silent.push(Wire::to(&server).await);
        }
        let began = Instant::now();
        let answer = ask(&house, &ours.der, &rustls::version::TLS13, "/health/live").await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        fastest = fastest.min(began.elapsed());
    }
    assert!(fastest < Duration::from_secs(2), "who behaves waited {fastest:?}");
    assert_eq!(house.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_of_another_certificate_is_told_before_anything_begins() {
    let Some(binary) = parts::binary() else { skip!("{}", parts::NO_BINARY) };
    let mut house = Served::prepare(&binary).await;
    let (ours, other) = (pair(), pair());
    encrypt(&mut house, &ours.certificate, &other.key);
    for (certificate, key, says) in [
        (ours.certificate.as_str(), other.key.as_str(), "certificate and key cannot be used together"),
        ("no PEM", &ours.key, "certificate.pem: it holds no PEM certificate"),
        (&ours.certificate, "no PEM", "http.tls.key"),
    ] {
        house.write("certificate.pem", certificate);
        house.write("certificate.key", key);
        let said = house.cardea(&["serve"]).await;
        assert_eq!(said.code, Some(1), "{said:?}");
        assert!(said.err.contains(says), "{says}: {said:?}");
        assert!(!said.err.contains("serving"), "{said:?}");
        let said = house.cardea(&["check"]).await;
        assert_eq!(said.code, Some(1), "{said:?}");
        assert!(said.out.contains("WRONG  https: ") && said.out.contains(says), "{says}: {said:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn npm_openid_client_signs_in_over_https() {
    let Some(binary) = parts::binary() else { skip!("{}", parts::NO_BINARY) };
    let Some(clients) = parts::node_clients() else { skip!("{}", parts::NO_NODE_CLIENTS) };
    let mut house = Served::prepare(&binary).await;
    // HR and the invited come before the certificate does: their simulators speak no TLS.
    house.serve().await;
    let mira = person("Mira");
    let id = house.hr().hire(&mira).await.unwrap();
    let link = house.must(&["invite", &mira.user_name]).await;
    let mut browser = Browser::new(Arc::new(|| SystemClock.now().to_jiff().unwrap()));
    set_password(&mut browser, &link).await;
    assert_eq!(house.stop().await, Some(0));

    let ours = pair();
    encrypt(&mut house, &ours.certificate, &ours.key);
    house.start();
    answers(&house, &ours).await;
    let config = json!({
        "issuer": house.issuer,
        "client_id": "grid-console",
        "client_secret": house.app_secret,
        "redirect_uri": "http://localhost:9/callback",
        "username": mira.user_name,
        "password": PASSWORD,
        "id_token_alg": "ES256",
    });
    let certificate = house.folder.path().join("certificate.pem");
    let said: Value = parts::run_node_client_trusting(&certificate, &clients, "openid_client.mjs", &config)
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((&said["ok"], &said["userinfo"]["sub"]), (&json!(true), &json!(id)), "{said}");
    let refused = parts::run_node_client(&clients, "openid_client.mjs", &config).await.unwrap_err();
    assert_eq!(refused.result["step"], "discovery", "{refused}");
    assert_eq!(house.stop().await, Some(0));
}
