//! What a request to the gateway asks for.

use beth_protocol::cid::Version;
use beth_protocol::dag::BlockName;
use http::{HeaderMap, StatusCode, header};

use crate::api::answer::ApiError;
use crate::api::params::{Names, Params};

/// How an answer is wanted, when not as a browser wants it.
pub const FORMAT: Names = &["format"];
/// The name that a file is saved under.
pub const FILENAME: Names = &["filename"];
/// Whether a file is saved rather than shown.
pub const DOWNLOAD: Names = &["download"];
/// How much of a graph an archive has.
pub const SCOPE: Names = &["dag-scope"];
/// Words of [`FORMAT`].
pub const FORMATS: [&str; 2] = ["raw", "car"];
/// Words of [`SCOPE`].
pub const SCOPES: [&str; 2] = ["block", "all"];

/// In which form a content is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Files and directories.
    Deserialized,
    /// One block.
    Block,
    /// Blocks.
    Car,
}

/// What is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub root: BlockName,
    /// How the root is spelt.
    pub version: Version,
    /// Names that lead down from it.
    pub path: Vec<String>,
    pub form: Form,
    /// An archive of the one block alone.
    pub is_one_block: bool,
    pub filename: Option<String>,
    pub is_download: bool,
}

impl Target {
    /// Reads the path, the query and the headers.
    pub fn read(
        (cid, path): (&str, &str),
        params: &Params,
        request: &HeaderMap,
    ) -> Result<Target, ApiError> {
        let format = params.text(FORMAT);
        let scope = params.text(SCOPE).unwrap_or("all");
        let filename = params.text(FILENAME).map(str::to_owned);
        let is_download = params.text(DOWNLOAD) == Some("true");
        let refused = |text: String| ApiError::text(StatusCode::BAD_REQUEST, text);
        let (root, version) = BlockName::parse(cid)
            .map_err(|unknown| refused(format!("this CID cannot be opened here: {unknown}")))?;
        let form = match format {
            None => accepted(request),
            Some("raw") => Form::Block,
            Some("car") => Form::Car,
            Some(other) => {
                let text = format!(
                    "there is no format {other:?}: leave it out, or ask for `raw` or `car`"
                );
                return Err(refused(text));
            }
        };
        if !matches!(scope, "block" | "entity" | "all") {
            return Err(refused(format!(
                "there is no dag-scope {scope:?}: say `block` or `all`"
            )));
        }
        let steps = path.split('/').filter(|step| !step.is_empty());
        Ok(Target {
            root,
            version,
            path: steps.map(str::to_owned).collect(),
            form,
            is_one_block: scope == "block",
            filename,
            is_download,
        })
    }

    /// The name of what is sent: as asked for, or the last of the path.
    pub fn name(&self) -> Option<&str> {
        let last = self.path.last().map(String::as_str);
        self.filename.as_deref().or(last)
    }
}

/// The first kind of a list that means something here.
fn accepted(request: &HeaderMap) -> Form {
    let kinds = request.get_all(header::ACCEPT).iter();
    let kinds = kinds.filter_map(|value| value.to_str().ok());
    let mut kinds = kinds.flat_map(|text| text.split(',')).map(|kind| {
        let kind = kind.split(';').next().unwrap_or_default();
        kind.trim().to_ascii_lowercase()
    });
    let form = kinds.find_map(|kind| match kind.as_str() {
        "application/vnd.ipld.raw" => Some(Form::Block),
        "application/vnd.ipld.car" => Some(Form::Car),
        "text/html" => Some(Form::Deserialized),
        _ => None,
    });
    form.unwrap_or(Form::Deserialized)
}
