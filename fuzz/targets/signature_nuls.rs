#![no_main]
beth_fuzz::signature_target!(Nuls);
