//! Between a node and its PostgreSQL server: a cable that can be cut, and mended.

use std::net::SocketAddr;

use kernel::{Ctx, Secret};
use store::{Db, DbConfig, Sinks};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::house::House;

/// One more node on the database of a house on PostgreSQL, at the other end of a cable that is cut while `cut` says so.
pub(crate) async fn far_node(house: &House, cut: watch::Receiver<bool>) -> Db {
    let DbConfig::Postgres { url, .. } = &house.config else { unreachable!("PostgreSQL") };
    let (before, rest) = url.expose().split_once('@').unwrap();
    let (server, database) = rest.split_once('/').unwrap();
    let through = wire(server.to_owned(), cut).await;
    let url = Secret::new(format!("{before}@{through}/{database}"));
    let config = DbConfig::Postgres { url, connections: 4 };
    Db::open(&config, Ctx::system(), Sinks::default()).await.unwrap()
}

/// Passes everything on until told to swallow it, as a network does whose cable is cut. A connection whose words were
/// swallowed stays silent, also when the cable is mended; it ends when `cut`'s sender is dropped.
async fn wire(server: String, cut: watch::Receiver<bool>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((ours, _)) = listener.accept().await {
            let theirs = TcpStream::connect(&server).await.unwrap();
            let ((from_us, to_us), (from_them, to_them)) = (ours.into_split(), theirs.into_split());
            tokio::spawn(pass(from_us, to_them, cut.clone()));
            tokio::spawn(pass(from_them, to_us, cut.clone()));
        }
    });
    address
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut cut: watch::Receiver<bool>) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        if *cut.borrow() {
            // Neither an answer nor an end.
            while cut.changed().await.is_ok() {}
            return;
        }
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
