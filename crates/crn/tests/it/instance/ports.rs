//! Ports that lead to a guest, as its owner wants them at the moment.

use std::net::{SocketAddr, TcpListener, TcpStream};

use beth_crn::instance::Forward;
use beth_crn::workloads::Workloads;
use serde_json::json;

use super::fixture::{Reaper, Ship};

/// The forward that leads to a port of the guest.
fn forward(forwards: &[Forward], guest_port: u16) -> Option<SocketAddr> {
    let found = forwards.iter().find(|found| found.guest_port == guest_port);
    found.map(|found| found.host)
}

#[tokio::test(flavor = "multi_thread")]
async fn ports_open_and_close_while_the_guest_runs() {
    let ship = Ship::quick().await;
    let _reaper = Reaper(ship.folder.path().to_owned());
    let image = ship.core.store(vec![0xeb; 4096].into());
    let hash = ship.instance(&image, json!({"resources": {"vcpus": 1, "memory": 128}}));
    let node = ship.node();
    node.allocate(&hash).await.unwrap();
    let forwards = || node.state(&hash).unwrap().link.unwrap().forwards().to_vec();
    let ssh = forward(&forwards(), 22).unwrap();
    assert_eq!(forwards().len(), 1);

    let wish = json!({"ports": {
        "80": {"tcp": true, "udp": false}, "53": {"tcp": false, "udp": true},
        "0": {"tcp": true, "udp": false},
    }});
    Workloads::map_ports(&node, &hash, Some(wish))
        .await
        .unwrap();
    let web = forward(&forwards(), 80).unwrap();
    assert_eq!(forwards().len(), 3);
    assert_eq!(forward(&forwards(), 22), Some(ssh), "SSH stays where it is");
    assert!(TcpStream::connect(web).is_ok(), "QEMU listens");
    assert!(TcpStream::connect(ssh).is_ok());

    // What is remembered is what QEMU has, also for the next node.
    node.close().await;
    let node = ship.node();
    node.settled().await;
    let forwards = || node.state(&hash).unwrap().link.unwrap().forwards().to_vec();
    assert_eq!(forward(&forwards(), 80), Some(web));
    Workloads::map_ports(&node, &hash, None).await.unwrap();
    assert_eq!(forwards().len(), 1);
    assert!(TcpListener::bind(web).is_ok(), "nobody listens there now");
    assert!(TcpStream::connect(ssh).is_ok());
    node.erase(&hash).await.unwrap();
    node.close().await;
}
