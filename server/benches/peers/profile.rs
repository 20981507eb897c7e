//! Where the server's time goes, as `perf` sees it: by thread and function, without callers.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// How many functions are printed; all are in the file.
const PRINTED: usize = 30;

/// `perf` while it looks at a process.
pub(crate) struct Recording {
    perf: Child,
    data: PathBuf,
}

impl Recording {
    /// Looks at a process for a while. `None`, saying so, where `perf` cannot.
    pub(crate) fn begin(process: u32, name: &str, time: Duration) -> Option<Self> {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("peers");
        std::fs::create_dir_all(&folder).expect("the target folder is ours");
        let data = folder.join(format!("{}.data", name.replace([' ', ','], "-")));
        let mut command = Command::new("perf");
        command.args(["record", "--quiet", "-F", "1999", "-p", &process.to_string(), "-o"]).arg(&data);
        command.args(["--", "sleep", &time.as_secs_f64().to_string()]);
        match command.stdout(Stdio::null()).stderr(Stdio::null()).spawn() {
            Ok(perf) => Some(Self { perf, data }),
            Err(error) => {
                println!("    no profile: perf does not run: {error}");
                None
            }
        }
    }

    /// Prints what took most, and leaves the whole list beside the recording.
    pub(crate) fn tell(mut self) {
        let recorded = self.perf.wait().is_ok_and(|status| status.success());
        let mut command = Command::new("perf");
        command.args(["report", "--stdio", "--no-children", "--sort", "comm,symbol", "-i"]).arg(&self.data);
        let report = command.stderr(Stdio::null()).output();
        let Some(report) = report.ok().filter(|report| recorded && report.status.success()) else {
            println!(
                "    no profile: perf may not look at processes (kernel.perf_event_paranoid), or was cut off"
            );
            return;
        };
        let list = self.data.with_extension("txt");
        std::fs::write(&list, &report.stdout).expect("the target folder is ours");
        let text = String::from_utf8_lossy(&report.stdout);
        let lines = text.lines().map(str::trim_end);
        for line in lines.filter(|line| !line.is_empty() && !line.starts_with('#')).take(PRINTED) {
            println!("      {}", line.trim_start());
        }
        println!("    all of it: {}", list.display());
    }
}
