//! Domain names in a proxy: files, what it has, and a service that fails.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use beth_crn::names::{Names, NamesConfig};
use beth_protocol::ItemHash;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixListener;

use crate::fake::{FakeCore, within};

/// What a proxy has: map to name to address; and what it was told.
#[derive(Default)]
struct Proxy {
    maps: BTreeMap<String, BTreeMap<String, String>>,
    told: Vec<String>,
}

/// An admin socket that understands what the node says.
fn proxy(path: &Path) -> Arc<Mutex<Proxy>> {
    let proxy = Arc::new(Mutex::new(Proxy::default()));
    let (listener, shared) = (UnixListener::bind(path).unwrap(), proxy.clone());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (reader, mut writer) = stream.into_split();
            let mut line = String::new();
            BufReader::new(reader).read_line(&mut line).await.unwrap();
            let answer = obey(&mut shared.lock().unwrap(), line.trim());
            writer.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    proxy
}

fn obey(proxy: &mut Proxy, line: &str) -> String {
    proxy.told.push(line.to_owned());
    let words: Vec<&str> = line.split(' ').collect();
    let map = proxy.maps.entry(words[2].to_owned()).or_default();
    match words[..] {
        ["show", "map", _] => {
            let lines = map.iter().map(|(name, at)| format!("0x55 {name} {at}\n"));
            return lines.collect::<String>() + "\n";
        }
        ["clear", "map", _] => map.clear(),
        ["add", "map", _, name, at] => drop(map.insert(name.to_owned(), at.to_owned())),
        _ => panic!("{line}"),
    }
    "\n".to_owned()
}

fn vector() -> Value {
    serde_json::from_str(include_str!("../../../../vectors/crn/haproxy.json")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn names_follow_the_service_and_stay_when_it_is_silent() {
    let folder = tempfile::tempdir().unwrap();
    let proxy = proxy(&folder.path().join("admin.sock"));
    let core = FakeCore::start().await;
    let vector = vector();
    core.say("/names", vector["dns_list"].clone());
    let config = NamesConfig {
        haproxy_socket: Some(folder.path().join("admin.sock")),
        map_folder: folder.path().to_owned(),
        service_url: format!("{}/names", core.url),
        period_seconds: 600,
    };
    let client = crate::fake::client();
    let names = Names::new(&config, "crn.example.org", client.clone()).unwrap();
    assert!(Names::new(&config, "localhost", client).is_none());
    let here = |hash: &ItemHash| vector["local_vms"][0] == hash.as_str();

    within(names.refresh(&here)).await.unwrap();
    for map in ["http_domains.map", "https_domains.map", "ssh_domains.map"] {
        let text = std::fs::read_to_string(folder.path().join(map)).unwrap();
        assert_eq!(text, vector["map_file"]);
    }
    let expected = json!({"a.example.org": "172.16.6.2", "b.example.org": "172.16.6.2"});
    let shown = within(names.mappings()).await.unwrap();
    assert_eq!(
        shown,
        json!({"bk_http": expected, "bk_ssl": expected, "bk_ssh": expected})
    );

    // Nothing changed: the proxy is only asked.
    proxy.lock().unwrap().told.clear();
    within(names.refresh(&here)).await.unwrap();
    assert!(
        proxy
            .lock()
            .unwrap()
            .told
            .iter()
            .all(|line| line.starts_with("show"))
    );

    // A proxy that began anew without them gets them again.
    proxy.lock().unwrap().maps.clear();
    within(names.refresh(&here)).await.unwrap();
    assert_eq!(within(names.mappings()).await.unwrap(), shown);

    // No list, no change.
    core.say("/names", json!({"error": "later"}));
    assert!(within(names.refresh(&here)).await.is_err());
    assert_eq!(within(names.mappings()).await.unwrap(), shown);

    // A guest that went takes its names with it.
    core.say("/names", vector["dns_list"].clone());
    within(names.refresh(&|_: &ItemHash| false)).await.unwrap();
    let none = json!({"bk_http": {}, "bk_ssl": {}, "bk_ssh": {}});
    assert_eq!(within(names.mappings()).await.unwrap(), none);
}

#[tokio::test]
async fn a_proxy_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let core = FakeCore::start().await;
    core.say("/names", vector()["dns_list"].clone());
    let config = NamesConfig {
        haproxy_socket: Some(folder.path().join("admin.sock")),
        map_folder: folder.path().to_owned(),
        service_url: format!("{}/names", core.url),
        period_seconds: 600,
    };
    let names = Names::new(&config, "crn.example.org", crate::fake::client()).unwrap();
    let fault = within(names.refresh(&|_: &ItemHash| true))
        .await
        .unwrap_err();
    assert!(fault.contains("HAProxy at"), "{fault}");
    assert!(within(names.mappings()).await.is_none());
}
