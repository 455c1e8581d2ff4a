//! What kind of thing a file is: by its name, or by how it begins.

/// Bytes that are looked at.
pub(super) const SNIFFED_BYTES: u64 = 512;

const BYTES: &str = "application/octet-stream";
const TEXT: &str = "text/plain; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";

/// Endings of names, and what they mean.
const ENDINGS: [(&str, &str); 56] = [
    ("html", HTML),
    ("htm", HTML),
    ("xhtml", "application/xhtml+xml"),
    ("css", "text/css; charset=utf-8"),
    ("js", "text/javascript; charset=utf-8"),
    ("mjs", "text/javascript; charset=utf-8"),
    ("json", "application/json"),
    ("map", "application/json"),
    ("jsonl", "application/x-ndjson"),
    ("webmanifest", "application/manifest+json"),
    ("txt", TEXT),
    ("log", TEXT),
    ("toml", TEXT),
    ("yaml", TEXT),
    ("yml", TEXT),
    ("ini", TEXT),
    ("rs", TEXT),
    ("py", TEXT),
    ("sh", TEXT),
    ("md", "text/markdown; charset=utf-8"),
    ("csv", "text/csv; charset=utf-8"),
    ("xml", "text/xml; charset=utf-8"),
    ("rss", "application/rss+xml"),
    ("atom", "application/atom+xml"),
    ("svg", "image/svg+xml"),
    ("png", "image/png"),
    ("apng", "image/apng"),
    ("jpg", "image/jpeg"),
    ("jpeg", "image/jpeg"),
    ("gif", "image/gif"),
    ("webp", "image/webp"),
    ("avif", "image/avif"),
    ("bmp", "image/bmp"),
    ("ico", "image/x-icon"),
    ("woff", "font/woff"),
    ("woff2", "font/woff2"),
    ("ttf", "font/ttf"),
    ("otf", "font/otf"),
    ("mp3", "audio/mpeg"),
    ("m4a", "audio/mp4"),
    ("ogg", "audio/ogg"),
    ("opus", "audio/ogg"),
    ("wav", "audio/wav"),
    ("flac", "audio/flac"),
    ("mp4", "video/mp4"),
    ("webm", "video/webm"),
    ("mov", "video/quicktime"),
    ("mkv", "video/x-matroska"),
    ("pdf", "application/pdf"),
    ("wasm", "application/wasm"),
    ("zip", "application/zip"),
    ("gz", "application/gzip"),
    ("zst", "application/zstd"),
    ("tar", "application/x-tar"),
    ("car", "application/vnd.ipld.car"),
    ("glb", "model/gltf-binary"),
];

/// How files begin.
const BEGINNINGS: [(&[u8], &str); 17] = [
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"%PDF-", "application/pdf"),
    (b"PK\x03\x04", "application/zip"),
    (b"\x1f\x8b", "application/gzip"),
    (b"\x28\xb5\x2f\xfd", "application/zstd"),
    (b"\0asm", "application/wasm"),
    (b"OggS", "audio/ogg"),
    (b"ID3", "audio/mpeg"),
    (b"fLaC", "audio/flac"),
    (b"\x1a\x45\xdf\xa3", "video/webm"),
    (b"wOFF", "font/woff"),
    (b"wOF2", "font/woff2"),
    (b"BM", "image/bmp"),
    (b"<?xml", "text/xml; charset=utf-8"),
];

/// By the ending of a name; `None` when it tells nothing.
pub(super) fn of_name(name: &str) -> Option<&'static str> {
    let (_, ending) = name.rsplit_once('.')?;
    let known = ENDINGS.iter();
    let mut known = known.filter(|(known, _)| known.eq_ignore_ascii_case(ending));
    known.next().map(|(_, media)| *media)
}

/// By the first bytes.
pub(super) fn of_bytes(begin: &[u8]) -> &'static str {
    if let Some((_, media)) = BEGINNINGS
        .iter()
        .find(|(known, _)| begin.starts_with(known))
    {
        return media;
    }
    match begin {
        [
            b'R',
            b'I',
            b'F',
            b'F',
            _,
            _,
            _,
            _,
            b'W',
            b'E',
            b'B',
            b'P',
            ..,
        ] => return "image/webp",
        [
            b'R',
            b'I',
            b'F',
            b'F',
            _,
            _,
            _,
            _,
            b'W',
            b'A',
            b'V',
            b'E',
            ..,
        ] => return "audio/wav",
        [
            _,
            _,
            _,
            _,
            b'f',
            b't',
            b'y',
            b'p',
            b'a',
            b'v',
            b'i',
            b'f',
            ..,
        ] => return "image/avif",
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => return "video/mp4",
        _ => {}
    }
    let begin = begin.get(..SNIFFED_BYTES as usize).unwrap_or(begin);
    let text = match std::str::from_utf8(begin) {
        Ok(text) => text,
        // A letter may be cut in two where the look ends.
        Err(fault) if fault.error_len().is_none() => {
            let whole = begin.get(..fault.valid_up_to()).unwrap_or_default();
            std::str::from_utf8(whole).unwrap_or_default()
        }
        Err(_) => return BYTES,
    };
    let is_control =
        |c: char| c.is_ascii_control() && !matches!(c, '\n' | '\r' | '\t' | '\x0c' | '\x1b');
    if text.contains(is_control) {
        return BYTES;
    }
    let first = text.trim_start().to_ascii_lowercase();
    let marks = ["<!doctype html", "<html", "<head", "<body", "<script"];
    match marks.iter().any(|mark| first.starts_with(mark)) {
        true => HTML,
        false => TEXT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_beginnings() {
        for (name, media) in [
            ("a/b.HTML", Some(HTML)),
            ("x.tar.gz", Some("application/gzip")),
            ("logo.svg", Some("image/svg+xml")),
            ("README", None),
            ("odd.ending", None),
            (".", None),
        ] {
            assert_eq!(of_name(name), media, "{name}");
        }
        let long = format!("{}é", "a".repeat(511));
        for (begin, media) in [
            (&b"\x89PNG\r\n\x1a\n..."[..], "image/png"),
            (b"  <!DOCTYPE html><p>", HTML),
            (b"just words\n", TEXT),
            (b"", TEXT),
            (b"\0\0\0\x18ftypmp42", "video/mp4"),
            (b"a\0b", BYTES),
            (b"\xff\xfe", BYTES),
            (long.as_bytes(), TEXT),
        ] {
            assert_eq!(of_bytes(begin), media, "{begin:?}");
        }
    }
}
