//! The document, asked what it says about one answer.

use std::collections::BTreeMap;

use jsonschema::Validator;
use serde_json::{Value, json};

use crate::api::exchange::Answer;

/// One method of one path.
pub struct Operation {
    pub path: String,
    pub method: String,
    pub body: Value,
}

impl Operation {
    /// Its parameters in the path or the query.
    pub fn parameters<'a>(&'a self, place: &'a str) -> impl Iterator<Item = &'a Value> {
        let parameters = self.body["parameters"].as_array().into_iter().flatten();
        parameters.filter(move |parameter| parameter["in"] == place)
    }
}

/// Every operation of a document.
pub fn operations(document: &Value) -> Vec<Operation> {
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, body) in item.as_object().unwrap() {
            found.push(Operation {
                path: path.clone(),
                method: method.to_uppercase(),
                body: body.clone(),
            });
        }
    }
    found
}

/// The names in the braces of a path.
pub fn placeholders(path: &str) -> impl Iterator<Item = String> {
    path.split('{')
        .skip(1)
        .filter_map(|rest| Some(rest.split_once('}')?.0.to_owned()))
}

/// The document, ready to judge answers. Objects have no members but those
/// that it names.
pub struct Described {
    operations: Vec<Operation>,
    schemas: Value,
    validators: BTreeMap<String, Validator>,
}

impl Described {
    pub fn new() -> Described {
        let mut document = beth_ccn::api::document();
        close(&mut document["components"]);
        Described {
            operations: operations(&document),
            schemas: document["components"]["schemas"].clone(),
            validators: BTreeMap::new(),
        }
    }

    /// What of an answer is not as described; `None` for what no route gave.
    pub fn difference(&mut self, method: &str, uri: &str, answer: &Answer) -> Option<String> {
        let path = uri.split('?').next().unwrap();
        let method = if method == "HEAD" { "GET" } else { method };
        let status = answer.status.as_u16();
        let operation = self
            .operations
            .iter()
            .filter(|operation| operation.method == method && fits(&operation.path, path))
            .min_by_key(|operation| operation.path.matches('{').count());
        let Some(operation) = operation else {
            let unknown = [404, 405].contains(&status) || method == "OPTIONS";
            return (!unknown).then(|| format!("{method} {path} is not in the document"));
        };
        let place = format!("{method} {} {status}", operation.path);
        let Some(response) = operation.body["responses"].get(status.to_string()) else {
            return Some(format!("{place} is not in the document"));
        };
        let Some(contents) = response["content"].as_object() else {
            let empty = answer.body.is_empty();
            return (!empty)
                .then(|| format!("{place} has a body, which the document does not say"));
        };
        let kind = answer.header("content-type").split(';').next().unwrap();
        let Some(content) = contents.get(kind) else {
            return Some(format!("{place} is {kind:?}, not in the document"));
        };
        if kind != "application/json" || answer.body.is_empty() {
            return None;
        }
        let place = format!("{place} {kind}");
        let schema = &content["schema"];
        let validator = self.validators.entry(place.clone()).or_insert_with(|| {
            let mut schema = schema.clone();
            close(&mut schema);
            let whole = json!({"allOf": [schema], "components": {"schemas": self.schemas}});
            jsonschema::draft202012::new(&whole).unwrap()
        });
        let body: Value = serde_json::from_slice(&answer.body).unwrap();
        let errors: Vec<String> = validator
            .iter_errors(&body)
            .map(|error| {
                format!(
                    "{} at {}",
                    shortened(&error.to_string()),
                    error.instance_path()
                )
            })
            .collect();
        (!errors.is_empty()).then(|| format!("{place}: {}", errors.join("; ")))
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(1_500).collect()
}

/// Whether a path is one of those that a template stands for.
fn fits(template: &str, path: &str) -> bool {
    let (templates, parts) = (template.split('/'), path.split('/'));
    templates.clone().count() == parts.clone().count()
        && templates.zip(parts).all(|(template, part)| {
            match template
                .split_once('{')
                .map(|(_, rest)| rest.split_once('}'))
            {
                Some(Some((_, ending))) => part.len() > ending.len() && part.ends_with(ending),
                _ => template == part,
            }
        })
}

/// Says of every object with named members that it has no others.
fn close(value: &mut Value) {
    match value {
        Value::Object(members) => {
            let is_open = members.contains_key("additionalProperties");
            if members.get("properties").is_some_and(Value::is_object) && !is_open {
                members.insert("additionalProperties".into(), false.into());
            }
            members.values_mut().for_each(close);
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}
