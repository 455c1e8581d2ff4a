//! The guest network on a host of its own: a namespace with taps, rules, an
//! internet and tenants that are up to no good.

pub mod bed;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use beth_crn::lan::{End, Kind, Lan, LanConfig, Link, Mode, Protocols, WantedPorts, Wishes};
use beth_protocol::ItemHash;

use bed::{Bed, inside, probe, run};

const FOLDER: &str = "BETH_TEST_LAN_FOLDER";

fn config() -> LanConfig {
    LanConfig {
        mode: Mode::Tap,
        ipv6_pool: "2a01:4f8:171:787::/64".parse().unwrap(),
        dns: vec!["10.0.0.2".parse().unwrap()],
        ..LanConfig::default()
    }
}

fn hash(text: &str) -> ItemHash {
    ItemHash::of_bytes(text.as_bytes())
}

fn ports(ports: &[(u16, bool, bool)]) -> WantedPorts {
    ports
        .iter()
        .map(|&(port, tcp, udp)| (port, Protocols { tcp, udp }))
        .collect()
}

async fn attach(lan: &Lan, name: &str, wanted: WantedPorts) -> Link {
    let wishes = Wishes {
        kind: Kind::Instance,
        ports: Some(wanted),
        ..Wishes::default()
    };
    lan.attach(&hash(name), wishes).await.unwrap().unwrap()
}

#[tokio::test]
async fn tenants_reach_the_internet_and_nobody_else() {
    if !inside("lan::tenants_reach_the_internet_and_nobody_else") {
        return;
    }
    let mut bed = Bed::new();
    let lan = Lan::start(&config(), &bed.folder().join("lan"))
        .await
        .unwrap();
    assert_eq!(lan.mode(), Mode::Tap);
    let one = attach(&lan, "one", ports(&[(53, false, true)])).await;
    let two = attach(&lan, "two", WantedPorts::new()).await;
    assert_eq!((one.vm_id, two.vm_id), (4, 5));
    bed.tenant("one", &one);
    bed.tenant("two", &two);
    bed.serve("internet", "53,80", "9999");
    bed.serve("one", "22", "53");
    bed.serve("two", "22,80", "");
    bed.serve("", "4020", "");
    outwards(&one);
    inwards(&one);
    apart(&two);
    spoofed(&bed, &one, &two);
    lan.detach(&hash("two")).await.unwrap();
    assert_eq!(
        probe("internet", "tcp 203.0.113.10 24002 -"),
        "error: [Errno 111] Connection refused"
    );
    assert_eq!(probe("one", "tcp 203.0.113.1 80 -"), "203.0.113.10");
}

fn outwards(one: &Link) {
    let own = one.ipv6.unwrap().address.to_string();
    for (to, expected) in [
        ("203.0.113.1 80", "203.0.113.10"),
        ("2001:db8:1::1 80", own.as_str()),
        // The name server is private and was told; nothing else of it is open.
        ("10.0.0.2 53", "203.0.113.10"),
        ("10.0.0.2 80", "silence"),
        ("10.1.2.3 80", "silence"),
        ("169.254.169.254 80", "silence"),
        ("fd00:ec2::254 80", "silence"),
        ("172.16.4.1 4020", "silence"),
        ("203.0.113.10 4020", "silence"),
        ("2001:db8:1::10 4020", "silence"),
    ] {
        assert_eq!(probe("one", &format!("tcp {to} -")), expected, "{to}");
    }
}

fn inwards(one: &Link) {
    let host = |port: u16| one.ports[&port].host;
    assert_eq!((host(22), host(53)), (24_000, 24_001));
    assert_eq!(probe("internet", "tcp 203.0.113.10 24000 -"), "203.0.113.1");
    assert_eq!(probe("internet", "udp 203.0.113.10 24001 hello"), "hello");
    let address = one.ipv6.unwrap().address;
    assert_eq!(
        probe("internet", &format!("tcp {address} 22 -")),
        "2001:db8:1::1"
    );
    // The host itself reaches its guests; who only routes through it does not.
    assert_eq!(probe("", &format!("tcp {} 22 -", one.ipv4)), "172.16.4.1");
    run("ip", "-n internet route add 172.16.0.0/12 via 203.0.113.10");
    assert_eq!(
        probe("internet", &format!("tcp {} 22 -", one.ipv4)),
        "silence"
    );
    run("ip", "-n internet route delete 172.16.0.0/12");
}

fn apart(two: &Link) {
    let ipv6 = two.ipv6.unwrap();
    for to in [
        format!("{} 22", two.ipv4),
        format!("{} 80", two.ipv4),
        format!("{} 22", ipv6.address),
        format!("{} 4020", two.ipv4_gateway),
        format!("{} 4020", ipv6.gateway),
        format!("203.0.113.10 {}", two.ports[&22].host),
    ] {
        assert_eq!(probe("one", &format!("tcp {to} -")), "silence", "{to}");
    }
    assert_eq!(probe("internet", "tcp 203.0.113.10 24002 -"), "203.0.113.1");
}

fn spoofed(bed: &Bed, one: &Link, two: &Link) {
    let (other4, other6) = (two.ipv4, two.ipv6.unwrap().address);
    for address in [format!("{other4}/32"), format!("{other6}/128")] {
        run("ip", &format!("-n one address add {address} dev eth0"));
    }
    run(
        "ip",
        "-n one address add 2a01:4f8:171:787::bad/128 dev eth0 nodad",
    );
    for (to, from) in [
        ("203.0.113.1", other4.to_string()),
        ("2001:db8:1::1", other6.to_string()),
        ("2001:db8:1::1", "2a01:4f8:171:787::bad".to_owned()),
    ] {
        let heard = probe("one", &format!("udp {to} 9999 false {from}"));
        assert_ne!(heard, "false", "{from}");
    }
    run("ip", "-n one link set eth0 address 02:00:00:00:00:66");
    assert_ne!(probe("one", "udp 203.0.113.1 9999 false"), "false");
    run("ip", &format!("-n one link set eth0 address {}", one.mac));
    assert_eq!(probe("one", "udp 203.0.113.1 9999 true"), "true");
    assert_eq!(bed.datagrams("internet"), "203.0.113.10 true\n");
}

#[tokio::test]
async fn one_tenant_does_not_take_all_connections() {
    if !inside("lan::one_tenant_does_not_take_all_connections") {
        return;
    }
    let mut bed = Bed::new();
    let config = LanConfig {
        connections_max: 5,
        host_ports: vec![4020],
        open_ranges: vec!["10.1.2.0/24".parse().unwrap()],
        ..config()
    };
    let lan = Lan::start(&config, &bed.folder().join("lan"))
        .await
        .unwrap();
    let (one, two) = (
        attach(&lan, "one", WantedPorts::new()).await,
        attach(&lan, "two", WantedPorts::new()).await,
    );
    bed.tenant("one", &one);
    bed.tenant("two", &two);
    bed.serve("internet", "80", "");
    bed.serve("", "4020", "");
    assert_eq!(probe("one", "hold 203.0.113.1 80 7"), "5");
    // What the operator opened is open, to who has connections left.
    assert_eq!(probe("two", "tcp 10.1.2.3 80 -"), "203.0.113.10");
    assert_eq!(probe("two", "tcp 203.0.113.10 4020 -"), "172.16.5.2");
    assert_eq!(probe("two", "tcp 169.254.169.254 80 -"), "silence");
}

#[tokio::test]
async fn a_killed_node_finds_everything_again() {
    if !inside("lan::a_killed_node_finds_everything_again") {
        return;
    }
    let mut bed = Bed::new();
    run("nft", "add table inet other");
    run(
        "nft",
        "add chain inet other forward { type filter hook forward priority 0 ; }",
    );
    run(
        "nft",
        "add rule inet other forward ip daddr 198.51.100.1 drop",
    );
    let others = run("nft", "-a list table inet other");
    let folder = bed.folder().join("lan");
    killed(&folder);
    let (taps, rules) = (taps(), run("nft", "list table inet beth"));
    assert_eq!(taps, ["vmtap4", "vmtap5", "vmtap6"]);
    let lan = Lan::start(&config(), &folder).await.unwrap();
    assert_eq!(run("nft", "list table inet beth"), rules);
    let again = Lan::start(&config(), &bed.folder().join("second")).await;
    assert!(again.unwrap_err().to_string().contains("another node"));
    let wishes = Wishes::default;
    let one = lan.adopt(&hash("one"), wishes()).await.unwrap().unwrap();
    assert_eq!((one.vm_id, one.ports[&22].host), (4, 24_000));
    bed.tenant("one", &one);
    bed.serve("internet", "80", "");
    assert_eq!(probe("one", "tcp 203.0.113.1 80 -"), "203.0.113.10");
    let swept = lan
        .sweep(|item_hash, _| *item_hash == hash("one"))
        .await
        .unwrap();
    assert_eq!(swept.guests.len(), 2);
    assert_eq!(self::taps(), ["vmtap4"]);
    let proxied = run("ip", "-6 neighbour show proxy");
    assert_eq!(proxied.lines().count(), 15, "{proxied}");
    repaired(&lan).await;
    assert_eq!(probe("one", "tcp 203.0.113.1 80 -"), "203.0.113.10");
    let two = attach(&lan, "two", WantedPorts::new()).await;
    assert_eq!((two.vm_id, two.ports[&22].host), (5, 24_001));
    for name in ["one", "two", "three"] {
        lan.forget(&hash(name)).await.unwrap();
    }
    assert!(self::taps().is_empty());
    lan.stop().await.unwrap();
    assert_eq!(run("nft", "list tables"), "table inet other\n");
    assert_eq!(run("nft", "-a list table inet other"), others);
    assert_eq!(run("ip", "-6 neighbour show proxy"), "");
}

/// What somebody destroyed is made again.
async fn repaired(lan: &Lan) {
    let rules = run("nft", "list table inet beth");
    run("nft", "delete chain inet beth hide");
    run("sysctl", "-qw net.ipv4.ip_forward=0");
    run("ip", "address flush dev vmtap4");
    let done = lan.recreate().await.unwrap();
    assert_eq!((done.guests, done.failed), (vec![hash("one")], Vec::new()));
    assert!(done.removed_chains.contains(&"from_guest".to_owned()));
    assert!(
        !done
            .removed_chains
            .contains(&"forward_of_others".to_owned())
    );
    assert_eq!(run("nft", "list table inet beth"), rules);
}

/// Lets another process attach three guests, and kills it.
fn killed(folder: &Path) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["lan::is_killed", "--exact", "--ignored", "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().ends_with("attached")));
    child.kill().unwrap();
    child.wait().unwrap();
}

#[tokio::test]
#[ignore = "started by another test"]
#[allow(clippy::print_stdout)]
async fn is_killed() {
    let folder = PathBuf::from(std::env::var_os(FOLDER).unwrap());
    let lan = Lan::start(&config(), &folder).await.unwrap();
    for name in ["one", "two", "three"] {
        attach(&lan, name, WantedPorts::new()).await;
    }
    println!("attached");
    std::future::pending::<()>().await;
}

fn taps() -> Vec<String> {
    let links = run("ip", "-br link show");
    let names = links.lines().filter_map(|line| line.split(' ').next());
    let mut taps: Vec<String> = names
        .filter(|name| name.starts_with("vmtap"))
        .map(str::to_owned)
        .collect();
    taps.sort();
    taps
}

#[tokio::test]
async fn the_taps_of_others_are_left_alone() {
    if !inside("lan::the_taps_of_others_are_left_alone") {
        return;
    }
    let bed = Bed::new();
    run("ip", "tuntap add dev vmtap4 mode tap");
    run("ip", "tuntap add dev vmtap99 mode tap");
    let lan = Lan::start(&config(), &bed.folder().join("lan"))
        .await
        .unwrap();
    let one = attach(&lan, "one", WantedPorts::new()).await;
    assert_eq!(one.vm_id, 5);
    lan.sweep(|_, _| false).await.unwrap();
    assert_eq!(taps(), ["vmtap4", "vmtap99"]);
    drop(lan);
    run("ip", "link set dev vmtap99 alias beth:0123456789abcdef");
    let error = Lan::start(&config(), &bed.folder().join("lan")).await;
    assert!(error.unwrap_err().to_string().contains("vmtap99"));
}

#[tokio::test]
async fn without_taps_the_host_is_not_changed() {
    let folder = tempfile::tempdir().unwrap();
    let config = LanConfig::default();
    let lan = Lan::start(&config, folder.path()).await.unwrap();
    assert_eq!(lan.mode(), Mode::User);
    assert_eq!(
        lan.free_vm_id(&hash("one"), Kind::Instance).await.unwrap(),
        4
    );
    let one = attach(&lan, "one", ports(&[(80, true, false)])).await;
    assert_eq!((one.vm_id, one.ipv6), (4, None));
    assert!(matches!(one.end, End::User(_)));
    assert!(one.netdev("net0").contains("-172.16.4.2:80"));
    let commands = lan
        .map_ports(&hash("one"), WantedPorts::new(), "net0")
        .await;
    let host = one.ports[&80].host;
    assert_eq!(
        commands.unwrap(),
        [format!("hostfwd_remove net0 tcp:127.0.0.1:{host}")]
    );
    drop(lan);
    let lan = Lan::start(&config, folder.path()).await.unwrap();
    let networking = serde_json::to_value(lan.networking(&hash("one")).unwrap()).unwrap();
    let names: Vec<&String> = networking.as_object().unwrap().keys().collect();
    let expected = [
        "ipv4_network",
        "host_ipv4",
        "ipv6_network",
        "ipv6_ip",
        "ipv4_ip",
        "mapped_ports",
    ];
    assert_eq!(names, expected);
    let ssh = &networking["mapped_ports"]["22"];
    assert_eq!(
        *ssh,
        serde_json::json!({"host": one.ports[&22].host, "tcp": true, "udp": false})
    );
    assert_eq!(lan.attached().len(), 1);
    lan.forget(&hash("one")).await.unwrap();
    assert!(lan.networking(&hash("one")).is_none());
    let none = LanConfig {
        mode: Mode::None,
        ..config
    };
    let lan = Lan::start(&none, folder.path()).await.unwrap();
    assert_eq!(
        lan.attach(&hash("one"), Wishes::default()).await.unwrap(),
        None
    );
    assert!(lan.attached().is_empty());
}
