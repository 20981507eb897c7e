//! `fuzz::controlid_json` under libFuzzer.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::controlid_json(data));
