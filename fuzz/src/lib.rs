//! What parsers must bear: one function for each, which any bytes may be given to, and which panics when a law is
//! broken.
//!
//! Each is run by libFuzzer (`fuzz/run`), which looks for bytes that reach something new, and by an ordinary test over
//! all that was kept: `corpus/NAME` is where a run begins, `regressions/NAME` is what runs have found, and both never
//! break the law again. `dictionaries/NAME.dict` tells libFuzzer words that it would not find by itself.
//!
//! What it is not: it holds no parser. Where one is private, its crate has a door of the name `fuzzing`.
//!
//! To add a target: a function in a file of its own, a line in [`TARGETS`], three lines in `targets/`, a `[[bin]]`, and
//! some input in `corpus/`.

mod controlid_json;
mod jwt;
mod provisioning;
mod redirect_uri;
mod toml;
mod uhppote_packet;

pub use controlid_json::controlid_json;
pub use jwt::jwt;
pub use provisioning::{scim_filter, scim_patch, scim_path};
pub use redirect_uri::redirect_uri;
pub use toml::toml;
pub use uhppote_packet::uhppote_packet;

/// A target: any bytes, and a panic when a law is broken.
pub type Target = fn(&[u8]);

/// Every target by its name.
pub const TARGETS: [(&str, Target); 8] = [
    ("controlid_json", controlid_json),
    ("jwt", jwt),
    ("redirect_uri", redirect_uri),
    ("scim_filter", scim_filter),
    ("scim_patch", scim_patch),
    ("scim_path", scim_path),
    ("toml", toml),
    ("uhppote_packet", uhppote_packet),
];
