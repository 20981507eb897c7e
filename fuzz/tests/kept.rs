//! What was kept: where runs begin, and what they have found.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use fuzz::TARGETS;

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("a file").path()).collect();
    paths.sort();
    paths
}

fn kept(target: &str) -> Vec<PathBuf> {
    let folders = ["corpus", "regressions"].map(|kind| entries(&here().join(kind).join(target)));
    folders.concat()
}

#[test]
fn no_input_that_was_kept_breaks_a_law() {
    let mut broken = Vec::new();
    for (name, target) in TARGETS {
        for path in kept(name) {
            let bytes = fs::read(&path).unwrap();
            if std::panic::catch_unwind(|| target(&bytes)).is_err() {
                broken.push(path);
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

/// What arrives may end anywhere.
#[test]
fn no_beginning_of_an_input_breaks_a_law() {
    for (name, target) in TARGETS {
        for path in kept(name) {
            let bytes = fs::read(&path).unwrap();
            let step = 1 + bytes.len() / 64;
            for end in (0..bytes.len()).step_by(step) {
                let outcome = std::panic::catch_unwind(|| target(&bytes[..end]));
                assert!(outcome.is_ok(), "the first {end} bytes of {}", path.display());
            }
        }
    }
}

#[test]
fn every_target_has_input_and_a_program_and_nothing_is_kept_for_none() {
    let names: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    for name in &names {
        assert!(!entries(&here().join("corpus").join(name)).is_empty(), "corpus/{name} is empty");
    }
    let stems = |kind: &str| -> BTreeSet<String> {
        let stems = entries(&here().join(kind)).into_iter();
        stems.map(|path| path.file_stem().unwrap().to_string_lossy().into_owned()).collect()
    };
    assert_eq!(stems("targets"), names);
    for kind in ["corpus", "regressions", "dictionaries"] {
        assert!(stems(kind).is_subset(&names), "{kind} has one more than there are targets");
    }
}
