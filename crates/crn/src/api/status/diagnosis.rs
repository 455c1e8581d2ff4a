//! `/status/check/fastapi`: the diagnostic program of the network, called as
//! anybody would call it (compute.md §6.10, §31.1).

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::super::error::ApiError;
use super::super::settings::{CHECK_PROGRAM, LEGACY_CHECK_PROGRAM};
use super::super::{Api, json};
use crate::limits;

/// How long a machine may take to say whether it reaches IPv6.
const IPV6_DEADLINE: Duration = Duration::from_secs(2);

/// Checks that must pass for the whole to pass.
const REQUIRED: [&str; 7] = [
    "index",
    "environ",
    "ipv4",
    "internet",
    "dns",
    "error_handling",
    "lifespan",
];

#[derive(Deserialize)]
pub(in super::super) struct Retro {
    #[serde(rename = "retro-compatibility")]
    retro_compatibility: Option<String>,
}

/// The program of today; without its newest checks when asked so.
pub(in super::super) async fn fastapi(
    State(api): State<Arc<Api>>,
    Query(retro): Query<Retro>,
) -> Result<Response, ApiError> {
    let is_retro = retro.retro_compatibility.is_some_and(|text| text == "true");
    diagnose(&api, CHECK_PROGRAM, !is_retro).await
}

/// The program of yesterday.
pub(in super::super) async fn fastapi_legacy(
    State(api): State<Arc<Api>>,
) -> Result<Response, ApiError> {
    diagnose(&api, LEGACY_CHECK_PROGRAM, false).await
}

/// True when a machine reaches the internet over IPv6.
pub(super) async fn reaches_ipv6(api: &Api) -> bool {
    let program = Program {
        api,
        name: CHECK_PROGRAM,
    };
    let asked = tokio::time::timeout(IPV6_DEADLINE, program.json("/ip/6")).await;
    matches!(asked, Ok(Ok(Some(value))) if value["result"] == true)
}

async fn diagnose(api: &Api, name: &str, with_newest: bool) -> Result<Response, ApiError> {
    let program = Program { api, name };
    let checks = program.checks(with_newest).await.map_err(|error| {
        let text = format!("Server disconnected: {error}");
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, text)
    })?;
    let fails = |name: &str| checks.get(name).is_some_and(|passed| *passed == false);
    let status = match REQUIRED.iter().any(|name| fails(name)) {
        true => StatusCode::SERVICE_UNAVAILABLE,
        false => StatusCode::OK,
    };
    Ok(json::response(status, &checks))
}

struct Program<'a> {
    api: &'a Api,
    name: &'a str,
}

impl Program<'_> {
    /// One after the other, as the scoring service counts.
    async fn checks(&self, with_newest: bool) -> Result<Map<String, Value>, reqwest::Error> {
        let mut checks = Map::new();
        let mut note = |name: &str, passed: bool| {
            checks.insert(name.to_owned(), passed.into());
        };
        let says =
            |value: Option<Value>, test: fn(&Value) -> bool| value.as_ref().is_some_and(test);
        note(
            "index",
            says(self.json("/").await?, |v| v["Example"] == "example_fastapi"),
        );
        note(
            "environ",
            says(self.json("/environ").await?, |v| {
                [
                    "ALEPH_API_HOST",
                    "ALEPH_API_UNIX_SOCKET",
                    "ALEPH_REMOTE_CRYPTO_HOST",
                    "ALEPH_REMOTE_CRYPTO_UNIX_SOCKET",
                    "ALEPH_ADDRESS_TO_USE",
                ]
                .iter()
                .all(|name| v.get(name).is_some())
            }),
        );
        note(
            "messages",
            says(self.json("/messages").await?, |v| {
                v.pointer("/Messages/messages/0/item_hash").is_some()
            }),
        );
        note(
            "dns",
            says(self.json("/dns").await?, |v| {
                ["ipv4", "ipv6"].iter().all(|name| is_filled(v.get(name)))
            }),
        );
        note(
            "ipv4",
            says(self.json("/ip/4").await?, |v| v["result"] == true),
        );
        note(
            "internet",
            says(self.json("/internet").await?, |v| {
                v["result"].as_u64().is_some_and(|status| status < 400)
            }),
        );
        let cached = says(self.json("/cache/set/a/42").await?, |v| *v == true)
            && says(self.json("/cache/get/a").await?, |v| *v == "42")
            && says(self.json("/cache/keys").await?, |v| {
                v.as_array()
                    .is_some_and(|keys| keys.iter().any(|key| key == "a"))
            });
        note("cache", cached);
        let counter = |value: Option<Value>| value?.get("counter")?.as_i64();
        let first = counter(self.json("/state/increment").await?);
        let second = counter(self.json("/state/increment").await?);
        note("persistent_storage", first.is_some() && second > first);
        let (status, text) = self.get("/raise").await?;
        note(
            "error_handling",
            status == 500 && text.contains("Traceback"),
        );
        if with_newest {
            note(
                "get_a_message",
                says(self.json("/get_a_message").await?, |v| {
                    v.get("item_hash").is_some()
                }),
            );
            note(
                "lifespan",
                says(self.json("/lifespan").await?, |v| v["Lifespan"] == true),
            );
        }
        Ok(checks)
    }

    async fn json(&self, path: &str) -> Result<Option<Value>, reqwest::Error> {
        let (status, text) = self.get(path).await?;
        Ok((status == 200)
            .then(|| serde_json::from_str(&text).ok())
            .flatten())
    }

    async fn get(&self, path: &str) -> Result<(u16, String), reqwest::Error> {
        let url = format!("{}/vm/{}{path}", self.api.own_url, self.name);
        let request = self.api.client.get(url).timeout(limits::DIAGNOSIS_DEADLINE);
        let response = request.send().await?;
        let status = response.status().as_u16();
        Ok((status, response.text().await?))
    }
}

fn is_filled(value: Option<&Value>) -> bool {
    value.is_some_and(|value| match value {
        Value::Array(list) => !list.is_empty(),
        Value::String(text) => !text.is_empty(),
        _ => false,
    })
}
