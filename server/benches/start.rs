//! How long from starting the process to its first 200, on an empty database and on one that is there; and what it
//! holds of memory 30 seconds later. The real binary, over a real socket. It prints and judges nothing.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const ROUNDS: usize = 7;
const CARDEA: &str = env!("CARGO_BIN_EXE_cardea");

fn main() {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
    let folder = tempfile::tempdir().expect("a folder");
    let place = |round: usize| folder.path().join(round.to_string());
    (0..ROUNDS).for_each(|round| init(&place(round), port));
    line("on an empty database", (0..ROUNDS).map(|round| started(&place(round), port)).collect());
    line("on an existing database", (0..ROUNDS).map(|_| started(&place(0), port)).collect());
    let (serving, _) = started_and_kept(&place(0), port);
    std::thread::sleep(Duration::from_secs(30));
    println!("  memory 30 s after the start: {}", memory(&serving.0));
}

fn init(folder: &Path, port: u16) {
    let issuer = format!("http://localhost:{port}");
    let mut making = Command::new(CARDEA);
    making.arg("init").arg(folder).args(["--issuer", &issuer]).stdout(Stdio::null());
    assert!(making.status().expect("it runs").success());
}

/// Ended with the bench, however that ends.
struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status();
        let _ = self.0.wait();
    }
}

/// Starts it, and ends it again.
fn started(folder: &Path, port: u16) -> Duration {
    started_and_kept(folder, port).1
}

fn started_and_kept(folder: &Path, port: u16) -> (Serving, Duration) {
    let began = Instant::now();
    let mut serve = Command::new(CARDEA);
    serve.arg("-c").arg(folder.join("cardea.toml")).arg("serve").stdout(Stdio::null()).stderr(Stdio::null());
    let serving = Serving(serve.spawn().expect("it runs"));
    while !answers(port) {
        assert!(began.elapsed() < Duration::from_secs(30), "it does not answer");
        std::thread::sleep(Duration::from_micros(500));
    }
    (serving, began.elapsed())
}

fn answers(port: u16) -> bool {
    let ask = || -> std::io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        let head =
            "GET /.well-known/openid-configuration HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        stream.write_all(head.as_bytes())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.starts_with(b"HTTP/1.1 200"))
}

fn memory(child: &Child) -> String {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    resident.map_or("not told by this system".to_owned(), |resident| resident.trim().to_owned())
}

fn line(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |index: usize| times[index].as_secs_f64() * 1_000.0;
    let (least, median, most) = (at(0), at(times.len() / 2), at(times.len() - 1));
    println!(
        "  start to first 200 {what:<24} least {least:>6.1} ms   median {median:>6.1} ms   most {most:>6.1} ms"
    );
}
