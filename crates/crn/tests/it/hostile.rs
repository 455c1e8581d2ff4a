//! Hostile programs: in jails, where they try to get at everything, and in
//! machines, where they try to take everything. Others keep running.

mod escape;
mod files;
mod guests;
