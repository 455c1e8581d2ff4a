//! `/status/check/host`: what this node reaches, by address family
//! (compute.md §6.11).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::json;

use super::super::{Api, json};
use crate::limits;

/// One of the two internets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Family {
    V4,
    V6,
}

/// The handler. HTTP is advisory: the other three decide.
pub(in super::super) async fn host(State(api): State<Arc<Api>>) -> Response {
    let ((v4, v4_http), (v6, v6_http)) =
        tokio::join!(family(&api, Family::V4), family(&api, Family::V6));
    let body = |[egress, dns, domain]: [bool; 3], http| json!({"egress": egress, "dns": dns, "domain": domain, "http": http});
    let is_well = v4.iter().chain(&v6).all(|check| *check);
    let status = match is_well {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    json::response(
        status,
        &json!({"ipv4": body(v4, v4_http), "ipv6": body(v6, v6_http)}),
    )
}

async fn family(api: &Api, family: Family) -> ([bool; 3], bool) {
    let checks = &api.config.checks;
    let url = match family {
        Family::V4 => &checks.ipv4_url,
        Family::V6 => &checks.ipv6_url,
    };
    let http = async {
        for url in &checks.http_urls {
            if egress(url, family).await {
                return true;
            }
        }
        false
    };
    let (egress, dns, domain, http) = tokio::join!(
        egress(url, family),
        has_address(&checks.dns_hostname, family),
        has_address(&api.config.domain_name, family),
        tokio::time::timeout(limits::CONNECT_DEADLINE, http),
    );
    ([egress, dns, domain], http.unwrap_or(false))
}

/// True when anything answers at that URL over that family.
pub(in super::super) async fn egress(url: &str, family: Family) -> bool {
    if url.is_empty() {
        return false;
    }
    let local: IpAddr = match family {
        Family::V4 => Ipv4Addr::UNSPECIFIED.into(),
        Family::V6 => Ipv6Addr::UNSPECIFIED.into(),
    };
    let client = reqwest::Client::builder()
        .local_address(local)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build();
    let Ok(client) = client else {
        return false;
    };
    let asked = tokio::time::timeout(limits::CONNECT_DEADLINE, client.get(url).send()).await;
    matches!(asked, Ok(Ok(_)))
}

async fn has_address(name: &str, family: Family) -> bool {
    let found = tokio::net::lookup_host((name, 443));
    match tokio::time::timeout(limits::CONNECT_DEADLINE, found).await {
        Ok(Ok(mut addresses)) => {
            addresses.any(|address| address.is_ipv4() == (family == Family::V4))
        }
        _ => false,
    }
}
