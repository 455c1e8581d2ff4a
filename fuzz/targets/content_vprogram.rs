#![no_main]
beth_fuzz::content_target!(VerifiedProgram);
