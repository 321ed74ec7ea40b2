#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| spindrift_fuzz::targets::cookie_fields(data));
