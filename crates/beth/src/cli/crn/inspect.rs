//! `beth crn inspect`: everything a node tells of one machine.

use serde_json::{Value, json};

use super::{Place, age, named, unknown};
use crate::cli::failure::Failure;
use crate::cli::output::table;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Item hash, or the beginning of it
    #[arg(value_name = "HASH")]
    name: String,
    #[command(flatten)]
    pub(super) place: Place,
}

/// Runs it.
pub(super) async fn run(args: &Args) -> Result<(), Failure> {
    let node = args.place.open()?;
    let name = named(&node, &args.name).await?;
    let machine = node.machine(&name).await?;
    let machine = machine.ok_or_else(|| unknown(&node, &name))?;
    let object = json!(machine);
    let members = object.as_object().into_iter().flatten();
    let rows: Vec<(&str, String)> = members
        .filter(|(name, value)| !value.is_null() && *name != "networking")
        .map(|(name, value)| (name.as_str(), told(name, value)))
        .collect();
    let mut text = table(&rows);
    if let Some(Value::Object(networking)) = &machine.networking {
        text += "\n";
        let rows: Vec<(&str, String)> = networking
            .iter()
            .map(|(name, value)| (name.as_str(), told(name, value)))
            .collect();
        text += &table(&rows);
    }
    args.place.output().result(&text, &object)
}

fn told(name: &str, value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(seconds) if name.ends_with("_at") => {
            format!("{} ago", age(seconds.as_u64()))
        }
        value => value.to_string(),
    }
}
