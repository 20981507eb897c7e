//! Against servers that misbehave, and names that lie.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;

const HOME: &str = "http://localhost:8080";
const AWAY: &str = "https://id.example.org";

fn outbound(issuer: &str, allowed: &[&str]) -> Outbound {
    Outbound {
        allowed: Networks::parse(allowed).unwrap(),
        at_home: !issuer.parse::<Issuer>().unwrap().is_https(),
        names: Arc::new(SystemNames),
        tls: trusting(rustls::RootCertStore::empty()),
    }
}

/// A server that answers each connection with this, after it has read a head; the heads it read.
async fn serving(answer: Vec<u8>) -> (String, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://127.0.0.1:{}/hook?a=b", listener.local_addr().unwrap().port());
    let (heads, read) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            heads.send(head_of(&mut stream).await).unwrap();
            // Who does not read to the end hangs up: no concern of this server.
            let _ = stream.write_all(&answer).await;
            let _ = stream.shutdown().await;
        }
    });
    (url, read)
}

async fn head_of(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !(head.ends_with(b"token=x") || head.starts_with(b"GET") && head.ends_with(b"\r\n\r\n")) {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

async fn post(outbound: &Outbound, url: &str) -> Result<Answer, OutboundError> {
    outbound.post(url, "application/x-www-form-urlencoded", b"token=x".to_vec()).await
}

#[tokio::test]
async fn a_request_is_answered_and_says_what_it_carries() {
    let answer = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 5\r\n\r\nwrong".to_vec();
    let (url, mut heads) = serving(answer).await;
    let answer = post(&outbound(HOME, &[]), &url).await.unwrap();
    assert_eq!(
        (answer.status, answer.body.as_slice(), answer.is_success()),
        (400, b"wrong".as_slice(), false)
    );
    let head = heads.recv().await.unwrap().to_ascii_lowercase();
    assert!(head.starts_with("post /hook?a=b http/1.1\r\n"), "{head}");
    let host = url.strip_prefix("http://").unwrap().strip_suffix("/hook?a=b").unwrap();
    for line in [
        format!("host: {host}\r\n").as_str(),
        "content-type: application/x-www-form-urlencoded\r\n",
        "content-length: 7\r\n",
        "user-agent: cardea\r\n",
    ] {
        assert!(head.contains(line), "{line} in {head}");
    }
    let got = outbound(HOME, &[]).get(&url).await.unwrap();
    assert_eq!(got.status, 400);
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let (other, mut visits) = serving(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()).await;
    for status in ["301 Moved Permanently", "302 Found", "303 See Other", "307 Temporary Redirect"] {
        let redirect = format!("HTTP/1.1 {status}\r\nlocation: {other}\r\ncontent-length: 0\r\n\r\n");
        let (url, _heads) = serving(redirect.into_bytes()).await;
        let answer = post(&outbound(HOME, &[]), &url).await.unwrap();
        assert_eq!((answer.status / 100, answer.is_success()), (3, false), "{status}");
    }
    assert!(visits.try_recv().is_err(), "nobody came");
}

#[tokio::test]
async fn a_body_that_is_too_large_is_not_read_however_it_is_framed() {
    let announced = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", BODY + 1).into_bytes();
    let mut until_closed = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    until_closed.resize(until_closed.len() + BODY + 1, b'x');
    let mut chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    for _ in 0..=BODY / 0x1000 {
        chunked.extend_from_slice(b"1000\r\n");
        chunked.resize(chunked.len() + 0x1000, b'x');
        chunked.extend_from_slice(b"\r\n");
    }
    for answer in [announced, until_closed, chunked] {
        let (url, _heads) = serving(answer).await;
        let outcome = post(&outbound(HOME, &[]), &url).await;
        assert!(matches!(outcome, Err(OutboundError::TooLarge { .. })), "{outcome:?}");
    }
    let mut whole = format!("HTTP/1.1 200 OK\r\ncontent-length: {BODY}\r\n\r\n").into_bytes();
    whole.resize(whole.len() + BODY, b'x');
    let (url, _heads) = serving(whole).await;
    assert_eq!(post(&outbound(HOME, &[]), &url).await.unwrap().body.len(), BODY);
}

#[tokio::test]
async fn a_head_that_is_too_large_and_what_is_no_http_are_refused() {
    let long = format!("HTTP/1.1 200 OK\r\nx: {}\r\ncontent-length: 0\r\n\r\n", "x".repeat(64 * 1024));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(200));
    for answer in
        [long.as_str(), &many, "SSH-2.0-OpenSSH_9.2\r\n", "", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nx"]
    {
        let (url, _heads) = serving(answer.as_bytes().to_vec()).await;
        let outcome = post(&outbound(HOME, &[]), &url).await;
        assert!(matches!(outcome, Err(OutboundError::Unreachable { .. })), "{:.20}: {outcome:?}", answer);
    }
}

#[tokio::test]
async fn whoever_does_not_answer_is_given_up_in_time() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent_url = format!("http://{}/", silent.local_addr().unwrap());
    let dripping = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dripping_url = format!("http://{}/", dripping.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = dripping.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        while stream.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let began = Instant::now();
    let outbound = outbound(HOME, &[]);
    let (one, two) = tokio::join!(post(&outbound, &silent_url), post(&outbound, &dripping_url));
    for outcome in [one, two] {
        assert!(matches!(outcome, Err(OutboundError::TooSlow { .. })), "{outcome:?}");
    }
    assert!(began.elapsed() >= PATIENCE && began.elapsed() < PATIENCE * 4, "{:?}", began.elapsed());
}

#[tokio::test]
async fn nothing_of_the_house_is_called_unless_it_is_allowed() {
    for url in [
        "https://127.0.0.1:1/",
        "https://10.1.0.7:1/",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]:1/",
        "https://[::ffff:10.1.0.7]:1/",
        "https://0.0.0.0:1/",
        "https://localhost:1/",
        "https://0x7f.1:1/",
    ] {
        let outcome = post(&outbound(AWAY, &[]), url).await;
        assert!(matches!(outcome, Err(OutboundError::Forbidden { .. })), "{url}: {outcome:?}");
    }
    assert!(matches!(outbound(AWAY, &[]).check("https://10.1.0.7/"), Err(OutboundError::Forbidden { .. })));
    assert_eq!(outbound(AWAY, &["10.1.0.0/16"]).check("https://10.1.0.7/"), Ok(()));
    assert_eq!(outbound(AWAY, &["10.1.0.0/16"]).check("https://[::ffff:10.1.0.7]/"), Ok(()));
    assert!(outbound(AWAY, &["10.1.0.0/16"]).check("https://10.2.0.7/").is_err());
    assert!(
        outbound(HOME, &["10.1.0.0/16"]).check("http://10.1.0.7/").is_err(),
        "in clear to this machine only"
    );
    assert_eq!(outbound(AWAY, &[]).check("https://app.example.org/"), Ok(()));
}

/// Each time it is asked, it says the next of these.
struct Lying(Vec<&'static str>, AtomicUsize);

#[async_trait]
impl Names for Lying {
    async fn addresses(&self, _: &str) -> io::Result<Vec<IpAddr>> {
        let turn = self.1.fetch_add(1, Ordering::SeqCst);
        Ok(self.0[turn.min(self.0.len() - 1)].split(' ').map(|text| text.parse().unwrap()).collect())
    }
}

async fn addresses(says: &'static str) -> Result<Vec<String>, OutboundError> {
    let names = Arc::new(Lying(vec![says], AtomicUsize::new(0)));
    let outbound = Outbound { names, ..outbound(AWAY, &[]) };
    let target = Target::parse("https://app.example.org:8443/", false)?;
    let admitted = outbound.addresses(&target).await?;
    Ok(admitted.iter().map(ToString::to_string).collect())
}

#[tokio::test]
async fn of_the_addresses_of_a_name_only_public_ones_are_connected_to() {
    assert_eq!(addresses("10.0.0.1 8.8.8.8").await.unwrap(), ["8.8.8.8:8443"]);
    assert_eq!(addresses("::ffff:8.8.8.8").await.unwrap(), ["8.8.8.8:8443"]);
    assert_eq!(addresses("8.8.8.1 8.8.8.2 8.8.8.3 8.8.8.4").await.unwrap().len(), ADDRESSES);
    for says in ["10.0.0.1", "127.0.0.1 ::1", "::ffff:169.254.169.254", "0.0.0.0", "fd00::1"] {
        assert!(matches!(addresses(says).await, Err(OutboundError::Forbidden { .. })), "{says}");
    }
}

#[tokio::test]
async fn a_name_is_asked_once_and_the_connection_goes_to_what_was_checked() {
    let (url, mut heads) = serving(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()).await;
    // The second answer would lead to a machine that is not there.
    let names = Arc::new(Lying(vec!["127.0.0.1", "127.255.255.254"], AtomicUsize::new(0)));
    let outbound = Outbound { names: names.clone(), ..outbound(HOME, &[]) };
    let answer = post(&outbound, &url.replace("127.0.0.1", "localhost")).await.unwrap();
    assert_eq!((answer.status, names.1.load(Ordering::SeqCst)), (204, 1));
    assert!(heads.recv().await.unwrap().contains("localhost"), "the name stays in the request");
}

#[tokio::test]
async fn at_home_a_name_that_leads_elsewhere_is_not_called_in_clear() {
    let names = Arc::new(Lying(vec!["8.8.8.8"], AtomicUsize::new(0)));
    let outbound = Outbound { names, ..outbound(HOME, &["8.8.8.8"]) };
    let outcome = post(&outbound, "http://localhost:1/").await;
    assert!(matches!(outcome, Err(OutboundError::Forbidden { .. })), "{outcome:?}");
}

mod tls {
    //! The server's certificate is for `app.example.org` and comes from an authority that made no other. Its key
    //! stands in this repository, so it is worth nothing.

    use rustls::ServerConfig;
    use rustls_pki_types::pem::PemObject as _;
    use rustls_pki_types::{CertificateDer, PrivateKeyDer};
    use tokio_rustls::TlsAcceptor;

    use super::*;

    const AUTHORITY: &[u8] = include_bytes!("../../../tests/certificates/authority.pem");
    const CERTIFICATE: &[u8] = include_bytes!("../../../tests/certificates/server.pem");
    const KEY: &[u8] = include_bytes!("../../../tests/certificates/server.key");

    async fn server() -> u16 {
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![CertificateDer::from_pem_slice(CERTIFICATE).unwrap()],
                PrivateKeyDer::from_pem_slice(KEY).unwrap(),
            )
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let mut begin = [0; 16];
                let _ = stream.read(&mut begin).await;
                let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
                let _ = stream.shutdown().await;
            }
        });
        port
    }

    async fn ask(trusted: bool, host: &str) -> Result<Answer, OutboundError> {
        let mut roots = rustls::RootCertStore::empty();
        if trusted {
            roots.add(CertificateDer::from_pem_slice(AUTHORITY).unwrap()).unwrap();
        }
        let names = Arc::new(Lying(vec!["127.0.0.1"], AtomicUsize::new(0)));
        let outbound = Outbound { names, tls: trusting(roots), ..outbound(AWAY, &["127.0.0.1"]) };
        outbound.get(&format!("https://{host}:{}/", server().await)).await
    }

    #[tokio::test]
    async fn a_server_is_believed_by_its_name_and_a_known_authority_only() {
        assert_eq!(ask(true, "app.example.org").await.unwrap().status, 204);
        for (trusted, host) in [(false, "app.example.org"), (true, "other.example.org"), (true, "127.0.0.1")]
        {
            let outcome = ask(trusted, host).await;
            let said = matches!(&outcome, Err(OutboundError::Unreachable { reason, .. }) if reason.contains("certificate"));
            assert!(said, "{trusted} {host}: {outcome:?}");
        }
    }
}
