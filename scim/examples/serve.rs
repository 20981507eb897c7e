//! The SCIM server alone, over an empty directory in a temporary folder, for clients and checkers by hand:
//!
//! ```text
//! cargo run -p cardea-scim --example serve
//! ```
//!
//! It prints its address and the token of its one connection, and serves until it is ended.

#![expect(clippy::print_stdout, reason = "this is what it is for")]

use std::error::Error;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;

use actix_web::web::Data;
use actix_web::{App, HttpServer};
use kernel::id::ScimConnectionId;
use kernel::{Ctx, Token};
use scim::Scim;
use store::{Db, DbConfig, Origin, Sinks, sql};
use web::{Edge, Issuer, Networks, Refuse};

const REFUSED_BELOW: &[(&str, Refuse)] = &[("/scim/", scim::refuse)];

#[actix_web::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let ctx = Ctx::system();
    let config = DbConfig::Sqlite { path: folder.path().join("cardea.db") };
    let db = Db::open(&config, ctx.clone(), Sinks::default()).await?;
    let token = connect(&db, &ctx).await?;

    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let issuer: Issuer = format!("http://localhost:{}", listener.local_addr()?.port()).parse()?;
    println!("{} {}", issuer.url("/scim/v2"), token.expose());

    let scim = Data::new(Scim::new(db, issuer.clone()));
    let edge = Arc::new(Edge { ctx, issuer, proxies: Networks::default() });
    let app = move || {
        App::new()
            .app_data(scim.clone())
            .configure(|config| web::mount(config, &edge, &scim::routes(), REFUSED_BELOW))
    };
    Ok(HttpServer::new(app).workers(2).listen(listener)?.run().await?)
}

async fn connect(db: &Db, ctx: &Ctx) -> Result<Token, store::StoreError> {
    let token = Token::generate(ctx, "scim");
    let insert = sql!(
        "INSERT INTO scim_connection (id, version, name, token_hash, updated_at) VALUES ($1, 1, $2, $3, $4)"
    );
    let row = (ScimConnectionId::new(ctx), "example", token.hash().as_str().to_owned(), ctx.now());
    db.change(Origin::system(), insert, row, Vec::new()).await?;
    Ok(token)
}
