#![no_main]
beth_fuzz::signature_target!(Ed25519);
