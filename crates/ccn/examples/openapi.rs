//! Writes the document of the API: `docs/openapi.json` is made by this.

use std::io::{Write, stdout};

fn main() -> std::io::Result<()> {
    let document = beth_ccn::api::document();
    writeln!(stdout(), "{document:#}")
}
