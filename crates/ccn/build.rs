//! Takes the parts of Swagger UI that the page at `/api/docs/` loads out of
//! the archive that a crate carries, compressed for sending.

use std::error::Error;
use std::io::{Cursor, Read, Write};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED;

const PARTS: [&str; 2] = ["swagger-ui.css", "swagger-ui-bundle.js"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    let folder = std::env::var("OUT_DIR")?;
    let mut archive = zip::ZipArchive::new(Cursor::new(SWAGGER_UI_VENDORED))?;
    for part in PARTS {
        let ending = format!("/dist/{part}");
        let index = (0..archive.len()).find(|&index| {
            let name = archive.name_for_index(index);
            name.and_then(Result::ok)
                .is_some_and(|name| name.ends_with(&ending))
        });
        let index = index.ok_or_else(|| format!("the archive of Swagger UI has no {part}"))?;
        let mut bytes = Vec::new();
        archive.by_index(index)?.read_to_end(&mut bytes)?;
        let file = std::fs::File::create(Path::new(&folder).join(format!("{part}.gz")))?;
        let mut encoder = GzEncoder::new(file, Compression::best());
        encoder.write_all(&bytes)?;
        encoder.finish()?;
    }
    Ok(())
}
