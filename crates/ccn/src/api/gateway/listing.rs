//! The list of what is in a directory, as a page.

use beth_store::blobs::Listing;

/// What the page looks like. No script, nothing from elsewhere.
const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:52rem;margin:2rem auto;padding:0 1rem;color:#222;\
background:#fff}h1{font-size:1.1rem;overflow-wrap:anywhere}code{color:#666;font-size:.8rem;overflow-wrap:anywhere}\
table{width:100%;border-collapse:collapse}td{padding:.3rem .4rem;border-bottom:1px solid #e4e4e4;overflow-wrap:anywhere}\
td:last-child{text-align:right;color:#666;white-space:nowrap}a{color:#0b57d0;text-decoration:none}\
a:hover{text-decoration:underline}@media(prefers-color-scheme:dark){body{background:#16181c;color:#ddd}\
td{border-color:#333}a{color:#8ab4f8}code,td:last-child{color:#999}}";

/// The page of a directory: its CID, and the names that led to it.
pub(super) fn page(listing: &Listing, cid: &str, path: &[String]) -> String {
    let title = path.last().map_or(cid, String::as_str);
    let mut rows = String::new();
    if !path.is_empty() {
        rows.push_str("<tr><td><a href=\"../\">../</a></td><td></td></tr>");
    }
    for entry in &listing.entries {
        let is_directory = entry.extent.is_some_and(|extent| extent.is_directory());
        let slash = if is_directory { "/" } else { "" };
        let size = match entry.extent {
            Some(extent) if !is_directory => size(extent.size_bytes),
            _ => String::new(),
        };
        // A name could be read as a scheme (`javascript:`) without the dot.
        rows.push_str(&format!(
            "<tr><td><a href=\"./{}{slash}\">{}{slash}</a></td><td>{size}</td></tr>",
            encoded(&entry.name),
            escaped(&entry.name)
        ));
    }
    let rest = match listing.is_whole {
        true => String::new(),
        false => format!(
            "<p>Only {} names are shown; there are more.</p>",
            listing.entries.len()
        ),
    };
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>{title}</title><style>{STYLE}</style><h1>{title}</h1>\
         <p><code>{cid}</code></p><table>{rows}</table>{rest}</html>",
        title = escaped(title)
    )
}

/// In text and in attributes of HTML.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

/// As a segment of a path, or a value of a header.
pub(super) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

/// For people.
fn size(bytes: u64) -> String {
    let (mut value, mut unit) = (bytes as f64, "B");
    for larger in ["KiB", "MiB", "GiB", "TiB"] {
        if value < 1024.0 {
            break;
        }
        (value, unit) = (value / 1024.0, larger);
    }
    match unit {
        "B" => format!("{bytes} B"),
        unit => format!("{value:.1} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use beth_store::blobs::{Extent, Listed};

    #[test]
    fn names_do_no_harm() {
        let bad = "<script>alert(1)</script>\"'&.html";
        let listing = Listing {
            entries: vec![Listed {
                name: bad.to_owned(),
                extent: Some(Extent::of_file(1_536)),
            }],
            is_whole: false,
        };
        let page = page(&listing, "bafy", &[bad.to_owned()]);
        assert!(!page.contains("<script"), "{page}");
        assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp;.html"));
        assert!(page.contains("href=\"./%3Cscript%3Ealert%281%29%3C%2Fscript%3E%22%27%26.html\""));
        assert!(page.contains("1.5 KiB") && page.contains("href=\"../\""));
        assert!(page.contains("Only 1 names"));
    }
}
