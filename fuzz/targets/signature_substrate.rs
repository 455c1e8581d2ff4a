#![no_main]
beth_fuzz::signature_target!(Substrate);
