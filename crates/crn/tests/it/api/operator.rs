//! What owners do to their machines, against what upstream answers.

use beth_crn::workloads::Kind;
use serde_json::{Value, json};

use super::scene::{MACHINE, Scene, same, vectors};
use crate::fake::instances::line;
use crate::fake::wallet::{DOMAIN, Wallet, ago};
use crate::fake::{FakeCore, TestNode, read, within};

/// The two headers of a recorded case, and the target of its request.
fn forged(name: &str, owner: &Wallet, path: &str) -> Option<(String, Vec<(&'static str, String)>)> {
    let changed = |value: Value, name: &str, to: Value| {
        let mut value = value;
        value[name] = to;
        value
    };
    let statement = |name: &str, to: Value| owner.say(&changed(owner.statement(), name, to));
    let operation =
        |name: &str, to: Value| Wallet::ask(&changed(Wallet::operation("POST", path), name, to));
    let (mut say, mut ask) = (
        owner.say(&owner.statement()),
        Wallet::ask(&Wallet::operation("POST", path)),
    );
    let mut target = path.to_owned();
    match name {
        "f_sig_no0x_ok" => {
            let signature = say["signature"].as_str().unwrap().trim_start_matches("0x");
            say["signature"] = json!(signature);
        }
        "f_expires_naive" => say = statement("expires", json!("2099-12-31T23:59:59")),
        "f_expires_garbage" => say = statement("expires", json!("soon")),
        "f_expires_number" => say = statement("expires", json!(4102444799u64)),
        "f_wrong_signer" => say = Wallet::stranger().say(&owner.statement()),
        "f_chain_unknown" => say = statement("chain", json!("BASE")),
        "f_pubkey_domain_other_ok" => say = statement("domain", json!("other.example.org")),
        "f_op_domain" => ask = operation("domain", json!("evil.org")),
        "f_op_domain_port" => ask = operation("domain", json!(format!("{DOMAIN}:443"))),
        "f_op_path" => ask = operation("path", json!(path.replace("/stop", "/reboot"))),
        "f_op_path_query" => {
            target += "?a=b";
            ask = operation("path", json!(target));
        }
        "f_op_method" => ask = operation("method", json!("GET")),
        "f_op_method_lower" => ask = operation("method", json!("post")),
        "f_op_stale" => ask = operation("time", json!(ago(121.0))),
        "f_op_120s_past_ok" => ask = operation("time", json!(ago(110.0))),
        "f_op_120s_future_ok" => ask = operation("time", json!(ago(-110.0))),
        "f_op_sig_0x_ok" => {
            let signature = format!("0x{}", ask["signature"].as_str().unwrap());
            ask["signature"] = json!(signature);
        }
        "f_op_sig_empty" => ask["signature"] = json!(""),
        "f_unauthorized" => {
            let stranger = Wallet::stranger();
            say = stranger.say(&stranger.statement());
        }
        "f_missing_pubkey" | "f_missing_op" | "f_pubkey_notjson" | "f_pubkey_json_list"
        | "f_op_notjson" | "stop_ok" => {}
        _ => return None,
    }
    let mut headers = vec![
        ("X-SignedPubKey", say.to_string()),
        ("X-SignedOperation", ask.to_string()),
    ];
    match name {
        "f_missing_pubkey" => drop(headers.remove(0)),
        "f_missing_op" => drop(headers.remove(1)),
        "f_pubkey_notjson" => headers[0].1 = "{".into(),
        "f_pubkey_json_list" => headers[0].1 = "[]".into(),
        "f_op_notjson" => headers[1].1 = "{".into(),
        _ => {}
    }
    Some((target, headers))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recorded_authentications() {
    let scene = Scene::new().await;
    let cases = vectors();
    let mut count = 0;
    for (name, case) in cases["responses"].as_object().unwrap() {
        let Some((target, headers)) = forged(name, &scene.owner, &scene.path("stop")) else {
            continue;
        };
        count += 1;
        scene
            .instances
            .change(&scene.machine, |known| known.is_running = true);
        let request = scene.request("POST", &target, &headers);
        let response = within(request.send()).await.unwrap();
        let content_type = response.headers()["content-type"]
            .to_str()
            .unwrap()
            .to_owned();
        let answer = read(response).await;
        match name.as_str() {
            // Register 31: what cannot be read is the caller's fault.
            "f_expires_naive" => assert_eq!(
                answer,
                (400, r#"{"error": "Invalid X-SignedPubKey data"}"#.into())
            ),
            "f_op_sig_empty" => assert_eq!(
                answer,
                (
                    400,
                    r#"{"error": "Invalid X-SignedOperation fields"}"#.into()
                )
            ),
            _ => {
                same(name, case, &answer);
                assert_eq!(
                    content_type,
                    case["content_type"].as_str().unwrap(),
                    "{name}"
                );
            }
        }
    }
    assert_eq!(count, 25);
    let security = json!({"authorizations": [
        {"address": "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC", "types": ["POST"]},
        {"address": Wallet::stranger().0.address().to_lowercase(), "chain": "ETH", "types": ["INSTANCE"]},
    ]});
    let core = FakeCore::start().await;
    core.say_aggregate(scene.owner.0.address(), "security", security);
    let given = scene.instances.clone();
    let node =
        TestNode::start_given(&core, None, |_| {}, |parts| parts.instances = Some(given)).await;
    scene
        .instances
        .change(&scene.machine, |known| known.is_running = true);
    let stranger = Wallet::stranger();
    let path = scene.path("stop");
    let mut request = node.client.post(format!("{}{path}", node.url));
    for (name, value) in stranger.headers("POST", &path) {
        request = request.header(name, value);
    }
    let answer = read(within(request.send()).await.unwrap()).await;
    same(
        "f_delegated_ok",
        &cases["responses"]["f_delegated_ok"],
        &answer,
    );
    node.stop().await;
    scene.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn register_5_operations_are_done_once() {
    let scene = Scene::new().await;
    let path = scene.path("reinstall");
    let headers = scene.owner.headers("POST", &path);
    let keep = format!("{path}?erase_volumes=false");
    let first = read(
        within(scene.request("POST", &keep, &headers).send())
            .await
            .unwrap(),
    )
    .await;
    assert_eq!(first, (200, format!("Reinstalled VM with ref {MACHINE}")));
    // Whoever heard it cannot have the volumes erased: the query is not signed.
    let again = read(
        within(scene.request("POST", &path, &headers).send())
            .await
            .unwrap(),
    )
    .await;
    assert_eq!(again, first);
    assert_eq!(
        scene.instances.take_asked(),
        [format!("reinstall {MACHINE} Keep")]
    );
    assert_eq!(scene.says("POST", &path).await.0, 200);
    assert_eq!(
        scene.instances.take_asked(),
        [format!("reinstall {MACHINE} Erase")]
    );
    scene.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recorded_operations() {
    let scene = Scene::new().await;
    let cases = vectors();
    let recorded = |name: &str| &cases["responses"][name];
    let check = async |name: &str| {
        let case = recorded(name);
        let (method, target) = (
            case["method"].as_str().unwrap(),
            case["path"].as_str().unwrap(),
        );
        same(name, case, &scene.says(method, target).await);
    };
    check("stop_unknown").await;
    check("logs_json_unknown").await;
    // Register 3: without a time nothing is said to expire.
    check("expire").await;
    check("conf_measure_ok").await;
    let secret = scene.ask("POST", &scene.path("confidential/inject_secret"));
    let vectors = include_str!("../../../../../vectors/crn/sev_vectors.json");
    let vectors: Value = serde_json::from_str(vectors).unwrap();
    let answer = within(secret.body(vectors["inject_body"].to_string()).send())
        .await
        .unwrap();
    same(
        "conf_inject_ok",
        recorded("conf_inject_ok"),
        &read(answer).await,
    );
    let member = |name: &str| vectors["inject_body"][name].as_str().unwrap();
    let said = format!(
        "secret {MACHINE} {} {}",
        member("packet_header"),
        member("secret")
    );
    assert_eq!(scene.instances.take_asked(), [said]);
    check("backup_notqemu").await;
    *scene.instances.logs.lock().unwrap() =
        vec![line(1, false, "hello"), line(2_000_002, true, "oops")];
    let response = within(scene.ask("GET", &scene.path("logs")).send())
        .await
        .unwrap();
    assert_eq!(response.headers()["content-type"], "application/json");
    let answer = read(response).await;
    let first = &recorded("logs_json")["body"][0];
    assert_eq!(serde_json::from_str::<Value>(&answer.1).unwrap()[0], *first);
    assert!(answer.1.contains("},\n{"), "{}", answer.1);
    scene
        .instances
        .change(&scene.machine, |known| known.is_running = false);
    for name in [
        "conf_measure_notrunning",
        "stop_already",
        "backup_notrunning",
        "backup_delete_notfound",
    ] {
        check(name).await;
    }
    check("reboot_notrunning").await;
    let asked = scene.instances.take_asked();
    assert_eq!(
        asked.last(),
        Some(&format!("reboot {MACHINE}")),
        "register 16: it is begun"
    );
    for name in [
        "backup_download_nosig",
        "backup_download_expired",
        "backup_download_othervm",
    ] {
        let case = recorded(name);
        let answer = read(scene.node.get(case["path"].as_str().unwrap()).await).await;
        same(name, case, &answer);
    }
    scene
        .instances
        .change(&scene.machine, |known| known.kind = Kind::Microvm);
    check("restore_notqemu").await;
    check("erase_ok").await;
    check("reserve_notjson").await;
    scene.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn confidential_machines_are_initialized() {
    let scene = Scene::new().await;
    let cases = vectors();
    let path = scene.path("confidential/initialize");
    let part = |text: &str| reqwest::multipart::Part::text(text.to_owned()).file_name("f");
    let send = async |form: reqwest::multipart::Form| {
        let request = scene.ask("POST", &path).multipart(form);
        read(within(request.send()).await.unwrap()).await
    };
    let both = || {
        reqwest::multipart::Form::new()
            .part("session", part("S"))
            .part("godh", part("G"))
    };
    let (status, body) = send(both()).await;
    assert_eq!((status, body.contains("vm_running")), (400, true), "{body}");
    scene
        .instances
        .change(&scene.machine, |known| known.is_running = false);
    let (status, body) = send(both()).await;
    assert_eq!(
        (status, body.contains("not_confidential")),
        (400, true),
        "{body}"
    );
    scene
        .instances
        .change(&scene.machine, |known| known.is_confidential = true);
    let answer = send(reqwest::multipart::Form::new().part("session", part("S"))).await;
    same(
        "conf_init_nogodh",
        &cases["responses"]["conf_init_nogodh"],
        &answer,
    );
    // Register 31: a part without a file name is a part that is missing.
    let (status, body) = send(reqwest::multipart::Form::new().text("session", "S")).await;
    assert_eq!(
        (status, body.contains("Session field is missing")),
        (400, true),
        "{body}"
    );
    let answer = send(both()).await;
    assert_eq!(answer, (200, format!("Started VM with ref {MACHINE}")));
    assert_eq!(
        scene.instances.take_asked(),
        [format!("initialize {MACHINE} S G")]
    );
    scene.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn disks_are_restored_within_their_size() {
    let scene = Scene::new().await;
    let path = scene.path("restore");
    let upload = async |name: &'static str, bytes: usize| {
        let form = reqwest::multipart::Form::new().text(name, "x".repeat(bytes));
        let request = scene.ask("POST", &path).multipart(form);
        read(within(request.send()).await.unwrap()).await
    };
    let (status, body) = upload("rootfs", (1 << 20) + 1).await;
    assert_eq!(status, 413, "{body}");
    let (status, body) = upload("other", 3).await;
    assert_eq!(
        (status, body.contains("Missing 'rootfs' field")),
        (400, true),
        "{body}"
    );
    assert_eq!(upload("rootfs", 3).await.0, 200);
    assert_eq!(
        scene.instances.take_asked(),
        [format!("restore {MACHINE} xxx")]
    );
    let folder = scene.node.folder.path().join("crn/uploads");
    assert_eq!(
        std::fs::read_dir(folder).unwrap().count(),
        0,
        "nothing is left"
    );
    let json = async |body: Value| {
        let request = scene
            .ask("POST", &path)
            .header("content-type", "application/json");
        read(within(request.body(body.to_string()).send()).await.unwrap()).await
    };
    let refused = json(json!({"volume_ref": "../x"})).await;
    assert_eq!(
        refused,
        (400, r#"{"error": "Invalid volume_ref format"}"#.into())
    );
    let expected = format!(r#"{{"status": "restored", "vm_hash": "{MACHINE}"}}"#);
    assert_eq!(json(json!({"volume_ref": MACHINE})).await, (200, expected));
    scene.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn register_3_machines_expire() {
    let scene = Scene::new().await;
    let path = scene.path("expire");
    for bad in [
        "?timeout=0",
        "?timeout=864000",
        "?timeout=nan",
        "?timeout=x",
    ] {
        assert_eq!(
            scene.says("POST", &format!("{path}{bad}")).await.0,
            400,
            "{bad}"
        );
    }
    let answer = scene.says("POST", &format!("{path}?timeout=8639.5")).await;
    assert_eq!(
        answer,
        (
            200,
            format!("Expiring VM with ref {MACHINE} in 8639.5 seconds")
        )
    );
    let soon = scene.ask("POST", &path).body(r#"{"timeout": 0.05}"#);
    assert_eq!(within(soon.send()).await.unwrap().status().as_u16(), 200);
    within(async {
        while scene.instances.asked.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(scene.instances.take_asked(), [format!("stop {MACHINE}")]);
    scene.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn register_17_ports_stay_without_an_answer() {
    let scene = Scene::new().await;
    let path = scene.path("update");
    let update = async |path: &str| {
        let request = scene.request("POST", path, &[]);
        read(within(request.send()).await.unwrap()).await
    };
    let aggregates = format!("/api/v0/aggregates/{}.json", scene.owner.0.address());
    scene.core.say(&aggregates, Value::Null);
    assert_eq!(update(&path).await.0, 503);
    assert_eq!(
        scene.instances.take_asked(),
        [""; 0],
        "nothing was mapped anew"
    );
    let ports = json!({MACHINE: {"ports": {"80": {"tcp": true, "udp": false}}}});
    scene
        .core
        .say_aggregate(scene.owner.0.address(), "port-forwarding", ports.clone());
    assert_eq!(update(&path).await, (200, "{}".into()));
    let alias = format!("/control/{MACHINE}/update");
    assert_eq!(update(&alias).await, (200, "{}".into()));
    let asked = format!("ports {MACHINE} {}", ports[MACHINE]);
    assert_eq!(scene.instances.take_asked(), [asked.clone(), asked]);
    scene.node.stop().await;
}
