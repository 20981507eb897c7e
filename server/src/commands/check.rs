//! `cardea check`: a line a part, and what is wrong with it.

use bridge::connector::Descriptor;
use bridge::systems::open_connector;
use kernel::Ctx;
use keys::{KeyRing, SealingKeys};
use store::{Db, Ephemeral};
use web::mail::Mailer;

use super::{Failure, Outcome, exports, say};
use crate::config::Config;
use crate::{house, policies, tls};

/// Prints what was found and counts what is wrong.
#[derive(Default)]
struct Report {
    wrong: usize,
}

impl Report {
    fn part<T, E: std::fmt::Display>(&mut self, part: &str, outcome: Result<(T, String), E>) -> Option<T> {
        match outcome {
            Ok((value, detail)) => {
                say(format_args!("ok     {part}: {detail}"));
                Some(value)
            }
            Err(error) => {
                self.wrong += 1;
                say(format_args!("WRONG  {part}: {error}"));
                None
            }
        }
    }
}

pub(super) async fn run(config: Config, ctx: Ctx) -> Outcome {
    let mut report = Report::default();
    report.part("configuration", fine(format!("issuer {}", config.issuer)));
    check_listening(&mut report, &config, &ctx);
    let key_file = config.path(&config.sealing.key_file);
    let sealing = SealingKeys::load(&key_file).map(|keys| (keys, key_file.display().to_string()));
    let sealing = report.part("sealing key", sealing);
    check_ephemeral(&mut report, &config).await;
    check_mail(&mut report, &config).await;
    let db = check_database(&mut report, &config, &ctx).await;
    if let Some(db) = &db {
        check_contents(&mut report, db, sealing.as_ref()).await;
    }
    check_exports(&mut report, &config, db.as_ref(), &ctx).await;
    match report.wrong {
        0 => Ok(()),
        wrong => Err(Failure::new(format!("{wrong} part(s) are wrong"))),
    }
}

fn fine(detail: impl Into<String>) -> Result<((), String), String> {
    Ok(((), detail.into()))
}

fn check_listening(report: &mut Report, config: &Config, ctx: &Ctx) {
    if let Ok(issuer) = config.issuer() {
        let examined = tls::examine(config, issuer.host(), ctx.now());
        report.part("https", examined.map(|detail| ((), detail)));
    }
    for address in &config.http.listen {
        report.part(&format!("address {address}"), may_listen(address));
    }
}

/// Where this server runs already, its address is taken.
fn may_listen(address: &str) -> Result<((), String), String> {
    match std::net::TcpListener::bind(address) {
        Ok(_) => fine("free to listen on"),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            fine("somebody listens there now; well, if it is this server")
        }
        Err(error) => Err(format!("cannot be listened on: {error}; change http.listen")),
    }
}

async fn check_database(report: &mut Report, config: &Config, ctx: &Ctx) -> Option<Db> {
    let which = match config.database() {
        Ok(which) => which,
        Err(error) => return report.part::<Db, _>("database", Err(error)),
    };
    let opened = Db::open_existing(&which, ctx.clone(), house::sinks(config)).await;
    report.part(
        "database",
        opened.map(|db| {
            let kind =
                if db.is_postgres() { "PostgreSQL, migrated, clocks agree" } else { "SQLite, migrated" };
            (db, kind.to_owned())
        }),
    )
}

async fn check_ephemeral(report: &mut Report, config: &Config) {
    let Some(redis) = &config.ephemeral.redis else {
        report.part("ephemeral", fine("in this process"));
        return;
    };
    let outcome = async {
        let url =
            config.secret("ephemeral.redis.url_file", &redis.url_file).map_err(|error| error.to_string())?;
        let opened = Ephemeral::on_redis(&url, &redis.prefix).await.map_err(|error| error.to_string())?;
        opened.check().await.map_err(|error| error.to_string())?;
        Ok::<_, String>(((), "Redis".to_owned()))
    };
    report.part("ephemeral", outcome.await);
}

/// Says hello to the mail server, and signs in to it; no letter is sent.
async fn check_mail(report: &mut Report, config: &Config) {
    let outcome = async {
        let Some(smtp) = config.smtp().map_err(|error| error.to_string())? else {
            return fine("not set up: no letters are written");
        };
        let place = format!("{}:{}", smtp.place.host, smtp.place.port);
        let mailer = Mailer::new(&smtp).map_err(|error| format!("mail.authority: {error}"))?;
        mailer.check().await.map_err(|error| format!("{place} does not take letters: {error}"))?;
        fine(format!("{place} answers"))
    };
    report.part("mail", outcome.await);
}

async fn check_contents(report: &mut Report, db: &Db, sealing: Option<&SealingKeys>) {
    let policies = policies::load(db).await;
    report.part("policies", policies.map(|_| ((), "all acceptable".to_owned())));
    let Some(sealing) = sealing else { return };
    let keys = KeyRing::check(db, sealing).await;
    report.part("signing keys", keys.map(|count| ((), format!("{count} can be opened"))));
    let systems = match directory::door::systems(db).await {
        Ok(systems) => systems,
        Err(error) => {
            report.part::<(), _>("door systems", Err(error));
            return;
        }
    };
    for system in systems {
        check_door_system(report, db, sealing, &system).await;
    }
}

async fn check_door_system(
    report: &mut Report,
    db: &Db,
    sealing: &SealingKeys,
    system: &directory::door::DoorSystem,
) {
    let part = format!("door system {}", system.name);
    let opened = open_connector(db, sealing, system).map(|it| (it, "configured".to_owned()));
    let Some(connector) = report.part(&part, opened) else { return };
    say_described(&part, connector.descriptor());
    match directory::door::time_profiles_of(db, &system.name).await {
        Ok(profiles) => profiles.iter().for_each(|(schedule, number)| {
            say(format_args!(
                "       {part}: schedule {schedule} is its time profile {number}, set at its devices"
            ));
        }),
        Err(error) => {
            report.part::<(), _>(&part, Err(error));
        }
    }
    for unit in connector.health().await.units {
        let part = format!("{part}, {}", unit.unit);
        let outcome = match &unit.unreachable {
            Some(why) => Err(why.clone()),
            None => fine(described_unit(&unit)),
        };
        report.part(&part, outcome);
        for finding in &unit.findings {
            if finding.is_harmless() {
                say(format_args!("       {part}: {finding}"));
            } else {
                report.part::<(), _>(&part, Err(finding));
            }
        }
    }
}

/// Whether each receiver can be reached from here, how long our certificate lasts, and how far it has come.
async fn check_exports(report: &mut Report, config: &Config, db: Option<&Db>, ctx: &Ctx) {
    for (name, to) in &config.export {
        let part = format!("export {name}");
        let reached = exports::reach(config, name, to, ctx.now()).await;
        report.part(&part, reached.map(|detail| ((), detail)));
        if let Some(lasts) = config.export_certificate(name, to, ctx.now()) {
            report.part(&format!("{part}, our certificate"), lasts.map(|detail| ((), detail)));
        }
        if let Some(db) = db {
            let standing = audit::export::standing(db, name).await.map_err(|error| error.to_string());
            let described = standing.and_then(|standing| exports::described(&standing));
            report.part(&format!("{part}, delivery"), described.map(|detail| ((), detail)));
        }
    }
}

/// What may be relied on: with what it was tested and with what not, and where it has limits.
fn say_described(part: &str, described: &Descriptor) {
    let Descriptor { kind, tested_against, versions, provenance, revocation, worst_case, limits, .. } =
        described;
    say(format_args!("       {part}: {kind} ({tested_against})"));
    say(format_args!("       {part}: versions {versions}; interface known from {provenance}"));
    say(format_args!("       {part}: revocation class {revocation:?}, at worst {worst_case}"));
    for limit in *limits {
        say(format_args!("       {part}: limit: {limit}"));
    }
}

fn described_unit(unit: &bridge::connector::UnitHealth) -> String {
    let mut parts = vec!["answers".to_owned()];
    parts.extend(unit.firmware.as_ref().map(|firmware| format!("firmware {firmware}")));
    parts.extend(unit.cards.map(|cards| format!("{cards} cards")));
    parts.extend(
        unit.clock_drift_seconds.filter(|drift| *drift != 0).map(|drift| format!("clock {drift} s off")),
    );
    parts.join(", ")
}
