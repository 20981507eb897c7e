//! `fuzz::redirect_uri` under libFuzzer.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::redirect_uri(data));
