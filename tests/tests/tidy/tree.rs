//! The house's files as rules read them.

use std::fmt;
use std::fs;
use std::path::Path;

use crate::rust::Rust;

/// What is built, installed or left behind, and so is not of the house.
const FOREIGN: [&str; 5] = ["target", "node_modules", "var", ".git", ".cache"];

/// One file of text.
pub(crate) struct File {
    /// From the root of the repository, with `/` between.
    pub(crate) path: String,
    pub(crate) text: String,
    /// Code and comments apart; of a file that is not Rust, empty.
    pub(crate) rust: Rust,
}

impl File {
    fn new(path: String, text: String) -> Self {
        let rust = if path.ends_with(".rs") { Rust::read(&text) } else { Rust::default() };
        Self { path, text, rust }
    }

    pub(crate) fn is_in(&self, folder: &str) -> bool {
        self.path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
    }

    /// A fault on a line, counted from 1.
    pub(crate) fn finding(&self, line: usize, message: impl Into<String>) -> Finding {
        Finding { path: self.path.clone(), line, message: message.into() }
    }
}

/// A fault, and what to do about it.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) path: String,
    pub(crate) line: usize,
    message: String,
}

impl Finding {
    /// A file that must be there is not.
    pub(crate) fn missing(path: &str) -> Self {
        Self { path: path.into(), line: 1, message: "this file is not there".into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.message)
    }
}

pub(crate) fn listing(findings: &[Finding]) -> String {
    findings.iter().fold(String::new(), |list, finding| format!("{list}\n{finding}"))
}

/// All files of text, sorted by path.
pub(crate) struct Tree {
    pub(crate) files: Vec<File>,
    /// Paths of all files, and of all folders with `/` at the end.
    paths: Vec<String>,
}

impl Tree {
    /// The house.
    pub(crate) fn read() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate lies in the workspace");
        let mut tree = Self { files: Vec::new(), paths: Vec::new() };
        tree.read_folder(root, "");
        assert!(tree.files.len() > 20, "the source tree is not at {}", root.display());
        tree.files.sort_by(|a, b| a.path.cmp(&b.path));
        tree
    }

    /// A made-up house.
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let paths = files.iter().flat_map(|(path, _)| {
            let folders = path.match_indices('/').map(|(end, _)| path[..=end].to_owned());
            folders.chain([(*path).to_owned()])
        });
        let paths = paths.collect();
        let files = files.iter().map(|(path, text)| File::new((*path).into(), (*text).into())).collect();
        Self { files, paths }
    }

    pub(crate) fn has(&self, path: &str) -> bool {
        let folder = format!("{}/", path.trim_end_matches('/'));
        self.paths.iter().any(|known| known == path || *known == folder)
    }

    pub(crate) fn rust(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| file.path.ends_with(".rs"))
    }

    fn read_folder(&mut self, folder: &Path, prefix: &str) {
        let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        for entry in entries {
            let entry = entry.unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
            let name = entry.file_name().to_string_lossy().into_owned();
            // In a second work tree, `.git` is a file that names the first.
            if FOREIGN.contains(&name.as_str()) {
                continue;
            }
            let path = format!("{prefix}{name}");
            let kind = entry.file_type().unwrap_or_else(|error| panic!("{path}: {error}"));
            if kind.is_dir() {
                self.read_folder(&entry.path(), &format!("{path}/"));
                self.paths.push(format!("{path}/"));
            } else if kind.is_file() {
                self.paths.push(path.clone());
                // What is not UTF-8 is no text: a picture, a key.
                if let Ok(text) = fs::read_to_string(entry.path()) {
                    self.files.push(File::new(path, text));
                }
            }
        }
    }
}
