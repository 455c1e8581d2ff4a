//! `beth-init`: process 1 of a microVM.
//!
//! ```text
//! kernel ─▶ mounts, modules ─▶ root (squashfs + overlay in memory) ─▶ hello
//!    ─▶ config ─▶ volumes, environment ─▶ python3 runner.py (gets the port)
//!    ─▶ reaps children until the runner ends ─▶ exit frame ─▶ reboot
//! ```
//!
//! Every way out of here is a reboot, which ends QEMU (`-no-reboot`), so the node
//! notices at once. What goes wrong is said on the port if it is open, and on the
//! console always. It never polls: it sleeps in `read` or `waitpid`.

mod api;
mod boot;
mod program;
mod sys;

use std::fs::File;
use std::io::{Read, Write};

use beth_guest::frame::{self, HEADER_BYTES, Header, Kind};
use rmpv::Value;

fn main() {
    let started_ms = sys::uptime_ms();
    if let Err(error) = run(started_ms) {
        say(&format!("beth-init: {error}"));
    }
    sys::restart();
}

fn run(started_ms: u64) -> Result<(), String> {
    boot::mount_system()?;
    boot::load_modules()?;
    boot::enter_root()?;
    let mut port = boot::open_port(frame::PORT)?;
    let log = boot::open_port(frame::LOG_PORT)?;
    let end = serve(&mut port, log, started_ms);
    let (status, error) = match &end {
        Ok(status) => (*status, Value::Nil),
        Err(error) => (-1, error.as_str().into()),
    };
    // The node may end the machine as soon as it hears of the program's end.
    sys::sync();
    sys::make_blocking(&port);
    send(
        &mut port,
        Kind::Exit,
        &frame::map([("status", status.into()), ("error", error)]),
    )?;
    end.map(|_| ())
}

fn serve(port: &mut File, log: File, started_ms: u64) -> Result<i32, String> {
    let hello = frame::map([
        ("version", frame::VERSION.into()),
        ("started_ms", started_ms.into()),
        ("uptime_ms", sys::uptime_ms().into()),
    ]);
    send(port, Kind::Hello, &hello)?;
    let raw = receive_config(port)?;
    let config = frame::decode(&raw)?;
    program::set_up(&config)?;
    api::serve(boot::open_port(frame::API_PORT)?)?;
    program::run(&config, &raw, program::Ends { port, log })
}

fn send(port: &mut File, kind: Kind, payload: &Value) -> Result<(), String> {
    port.write_all(&frame::encode(kind, 0, payload))
        .map_err(|error| format!("writing to the node: {error}"))
}

fn receive_config(port: &mut File) -> Result<Vec<u8>, String> {
    let reading = |error: std::io::Error| format!("reading from the node: {error}");
    let mut head = [0; HEADER_BYTES];
    port.read_exact(&mut head).map_err(reading)?;
    let header = Header::parse(head)?;
    if header.kind != Kind::Config {
        return Err(format!(
            "the node sent {:?} instead of a config",
            header.kind
        ));
    }
    let mut payload = vec![0; header.length];
    port.read_exact(&mut payload).map_err(reading)?;
    Ok(payload)
}

/// Writes a line to the console, if there is one.
fn say(line: &str) {
    if let Ok(mut console) = File::options().write(true).open("/dev/console") {
        let _ = writeln!(console, "{line}");
    }
}
