//! Commands: one file each. Errors go to standard error, one line, and say what to do next; the exit code says
//! what kind it is, so that a script that verifies never takes "not looked at" for "looked at, and bad".

mod apply;
mod audit;
mod check;
mod credential;
mod deliveries;
#[cfg(feature = "demo")]
mod demo;
mod exports;
mod exposure;
mod init;
mod invite;
mod keys;
mod presence;
mod quarantine;
mod receipt;
mod serve;
mod stop;
mod task;
mod time;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ::keys::SealingKeys;
use clap::{Parser, Subcommand};
use kernel::Ctx;
use store::Db;

use crate::config::{Config, Log};
use crate::{files, house, logging};

/// Decides who gets in, through a browser or through a door, and proves it.
///
/// Cardea is an identity provider: OpenID Connect for apps, SCIM 2.0 for HR systems, and a bridge that puts
/// credentials into door systems and takes them back at once, with receipts.
///
/// See it work, with nothing to set up: cardea demo
///
/// Start for real: cardea init, then cardea serve; cardea check says what is wrong
#[derive(Debug, Parser)]
#[command(name = "cardea", version, max_term_width = 100, after_help = EXIT_CODES)]
struct Cli {
    /// The configuration file.
    #[arg(long, short, global = true, env = "CARDEA_CONFIG", default_value = "cardea.toml")]
    config: PathBuf,
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "\
Exit codes: 0 done, or good; 1 failed, or bad; 2 a receipt that none of the given keys has signed.
Not even looked at: 64 the command line is wrong; 66 a file that it names cannot be read;
69 the database cannot be opened; 78 the configuration is wrong.";

/// The command line is wrong (as in sysexits.h, like those below).
const USAGE: u8 = 64;
/// A file that was named cannot be read.
const UNREADABLE: u8 = 66;
/// The database cannot be opened.
const UNAVAILABLE: u8 = 69;
/// The configuration is wrong.
const MISCONFIGURED: u8 = 78;

/// What to do.
#[derive(Debug, Subcommand)]
enum Command {
    /// Write a configuration file and a sealing key into a folder.
    Init(init::Init),
    /// Run the server until it is told to stop (ctrl-C or SIGTERM).
    Serve,
    /// Check configuration, database, keys, policies, door systems and exports, and say what is wrong.
    Check,
    /// Make clients, policies, doors and connections what a file declares, showing the difference first.
    Apply(apply::Apply),
    /// Make a single-use link with which a person sets a first password.
    Invite(invite::Invite),
    /// Suspend, revoke or bring back a card by hand, or say how long it is valid.
    #[command(subcommand)]
    Credential(credential::Credentials),
    /// Show what waits on its way to doors and applications, and what was given up.
    Deliveries(deliveries::Deliveries),
    /// Show who could still open what, until when, and why.
    Exposure(exposure::Exposure),
    /// Show cards that stood on a list and were nobody's, tolerate one by name, say that many may go.
    #[command(subcommand)]
    Quarantine(quarantine::Quarantine),
    /// Show what somebody must do about doors that cannot be reached, accept a risk, note what was done.
    #[command(subcommand)]
    Task(task::Tasks),
    /// Show who is where, by what doors tell.
    Presence(presence::Presence),
    /// Show and change the keys that seal secrets in the database.
    #[command(subcommand)]
    Keys(keys::Keys),
    /// Look into the journal.
    #[command(subcommand)]
    Audit(audit::Audit),
    /// Look at receipts.
    #[command(subcommand)]
    Receipt(receipt::Receipt),
    /// Show the whole story on this machine: HR hires, a door opens, HR ends it, everything closes, with proof.
    #[cfg(feature = "demo")]
    Demo(demo::Demo),
}

/// What a command ends with: what to say, and the exit code.
struct Failure {
    message: String,
    code: u8,
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(next) = cause {
            let text = next.to_string();
            if !message.contains(&text) {
                message = format!("{message}: {text}");
            }
            cause = next.source();
        }
        Self { message, code: 1 }
    }
}

impl Failure {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 1 }
    }

    #[must_use]
    fn code(self, code: u8) -> Self {
        Self { code, ..self }
    }

    /// The database was not even looked at.
    fn unread(error: impl Into<Self>) -> Self {
        error.into().code(UNAVAILABLE)
    }
}

type Outcome = Result<(), Failure>;

/// Runs the command line.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(asked) => return answer_usage(&asked),
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(4);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build();
    let outcome = match runtime {
        Ok(runtime) => {
            let outcome = runtime.block_on(run(cli));
            runtime.shutdown_timeout(std::time::Duration::from_secs(2));
            outcome
        }
        Err(error) => Err(error.into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            say_error(&failure.message);
            ExitCode::from(failure.code)
        }
    }
}

/// Help and version were asked for; all else is a mistake.
fn answer_usage(asked: &clap::Error) -> ExitCode {
    // Nobody is there to be told that nobody reads.
    let _ = asked.print();
    if asked.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS }
}

async fn run(cli: Cli) -> Outcome {
    let config = || Config::read(&cli.config).map_err(|error| Failure::from(error).code(MISCONFIGURED));
    let ctx = Ctx::system();
    match cli.command {
        Command::Init(init) => init.run(&ctx),
        Command::Serve => {
            let config = config()?;
            logging::start(&config.log);
            serve::run(config, ctx).await
        }
        Command::Check => check::run(config()?, ctx).await,
        Command::Apply(apply) => apply.run(quiet(config()?), ctx).await,
        Command::Invite(invite) => invite.run(quiet(config()?), ctx).await,
        Command::Credential(credential) => credential.run(quiet(config()?), ctx).await,
        Command::Deliveries(deliveries) => deliveries.run(quiet(config()?), ctx).await,
        Command::Keys(keys) => keys.run(quiet(config()?), ctx).await,
        Command::Exposure(exposure) => exposure.run(quiet(config()?), ctx).await,
        Command::Audit(audit) => audit.run(|| Ok(quiet(config()?)), ctx).await,
        Command::Quarantine(quarantine) => quarantine.run(quiet(config()?), ctx).await,
        Command::Task(task) => task.run(quiet(config()?), ctx).await,
        Command::Presence(presence) => presence.run(quiet(config()?), ctx).await,
        Command::Receipt(receipt) => receipt.run(config, ctx).await,
        #[cfg(feature = "demo")]
        Command::Demo(demo) => demo.run(ctx).await,
    }
}

/// The database as it is: looking neither makes nor migrates one.
async fn open_existing(config: &Config, ctx: Ctx) -> Result<Db, Failure> {
    let which = config.database().map_err(|error| Failure::from(error).code(MISCONFIGURED))?;
    let opened = Db::open_existing(&which, ctx, house::sinks(config)).await;
    opened.map_err(Failure::unread)
}

/// The bytes of a file that the command line names.
fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    let said = |error| Failure::new(format!("cannot read {}: {error}", file.display())).code(UNREADABLE);
    files::read(file).map_err(said)
}

/// The keys that seal secrets.
fn sealing(config: &Config) -> Result<SealingKeys, Failure> {
    sealing_of(&config.path(&config.sealing.key_file))
}

fn sealing_of(file: &Path) -> Result<SealingKeys, Failure> {
    SealingKeys::load(file).map_err(|error| Failure::from(error).code(UNREADABLE))
}

/// Commands that end at once log only what goes wrong.
fn quiet(config: Config) -> Config {
    logging::start(&Log { filter: "warn".into(), ..config.log.clone() });
    config
}

/// A line on standard output: what the command is asked for.
#[expect(clippy::print_stdout, reason = "the one place where commands answer")]
fn say(line: impl std::fmt::Display) {
    println!("{line}");
}

#[expect(clippy::print_stderr, reason = "the one place where commands complain")]
fn say_error(line: impl std::fmt::Display) {
    eprintln!("cardea: {line}");
}

/// Progress of long work, on a terminal only: one line that is written over.
#[expect(clippy::print_stderr, reason = "progress goes where complaints go")]
fn say_progress(line: impl std::fmt::Display) {
    use std::io::IsTerminal as _;
    if std::io::stderr().is_terminal() {
        eprint!("\r{line}\x1b[K");
    }
}
