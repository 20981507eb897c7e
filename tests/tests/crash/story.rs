//! What happened in a round, told if it is the last one.

use std::cell::RefCell;
use std::path::PathBuf;
use std::time::Instant;

use world::Served;

use crate::plan::Plan;

/// So much of the log is shown.
const LINES: usize = 60;

/// A round as it went. Tells itself when a panic ends it.
pub(crate) struct Story {
    title: String,
    log: PathBuf,
    began: Instant,
    lines: RefCell<Vec<String>>,
}

impl Story {
    pub(crate) fn begin(engines: &str, seed: u64, round: usize, plan: &Plan, house: &Served) -> Self {
        Self {
            title: format!("round {round} on {engines}, CARDEA_CRASH_SEED={seed}: {plan:?}"),
            log: house.node.log_file(),
            began: Instant::now(),
            lines: RefCell::default(),
        }
    }

    pub(crate) fn tell(&self, line: impl std::fmt::Display) {
        let at = self.began.elapsed().as_millis();
        self.lines.borrow_mut().push(format!("{at:>6} ms  {line}"));
    }
}

impl Drop for Story {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        println!("\n{}", self.title);
        if let Ok(lines) = self.lines.try_borrow() {
            lines.iter().for_each(|line| println!("{line}"));
        }
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        println!("\nthe end of the log:");
        lines[lines.len().saturating_sub(LINES)..].iter().for_each(|line| println!("{line}"));
    }
}
