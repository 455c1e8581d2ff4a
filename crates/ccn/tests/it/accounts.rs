//! Recorded scenarios about permissions, balances, credits, confirmations and
//! removal, through the real pipeline and the real jobs. Every step is
//! compared; what differs on purpose is named with its reason.

mod expected;
mod life;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use beth_ccn::pipeline::now;
use beth_ccn::{CcnConfig, Context, api, node};
use beth_protocol::chain_event::ContractEvent;
use beth_protocol::decimal::Decimal;
use beth_protocol::judge::BalanceUpdate;
use beth_protocol::rejection::Code;
use beth_protocol::time::Timestamp;
use beth_protocol::{Chain, Message, Rejection, Status};
use beth_store::confirmations::Transaction;
use beth_store::pending::Arrival;
use beth_store::rows::Outcome;
use http::Request;
use serde_json::{Value, json};
use tower::ServiceExt;

use expected::*;

/// A step that ends differently on purpose.
struct Difference {
    /// Index of the step.
    step: usize,
    /// What this node answers there.
    ours: &'static str,
    /// Why.
    #[allow(dead_code)]
    reason: &'static str,
}

/// scenario_permissions_balances_credits.json
const PERMISSIONS: &[Difference] = &[Difference {
    step: 23,
    ours: r#"{"status":"processed"}"#,
    reason: "processing.md §8: null is absent in an entry of `security`",
}];

/// scenario_removal.json
const REMOVAL: &[Difference] = &[
    Difference {
        step: 3,
        ours: r#"{"confirmations":["0xaa"],"status":"processed"}"#,
        reason: "processing.md §3.4: a confirmation that comes while a message waits is remembered",
    },
    Difference {
        step: 31,
        ours: r#"{"39488df3":"processed","6d13909a":"removed","7f240a92":"processed","b06140f0":"processed","d8661eb1":"removed"}"#,
        reason: "processing.md §18.5: the body of a non-inline STORE does not keep it from being removed",
    },
    Difference {
        step: 32,
        ours: r#"[["message","39488df3",false],["message","7f240a92",false],["message","b06140f0",false]]"#,
        reason: "processing.md §18.5: a removed message keeps no body",
    },
];

struct World {
    context: Arc<Context>,
    transactions: BTreeMap<String, Transaction>,
    hashes: BTreeSet<String>,
    height: i64,
    _folder: tempfile::TempDir,
}

impl World {
    fn new(treasurer: &Value) -> World {
        let folder = tempfile::tempdir().unwrap();
        let mut config = CcnConfig::in_folder(folder.path());
        let address = treasurer["address"].as_str().unwrap().to_owned();
        config.rules.balances_addresses = vec![address.clone()];
        config.rules.credits_addresses = vec![address];
        World {
            context: node::offline(config).unwrap(),
            transactions: BTreeMap::new(),
            hashes: BTreeSet::new(),
            height: 1,
            _folder: folder,
        }
    }

    /// Does a step; what there is to compare: found, expected.
    async fn step(&mut self, step: &Value) -> Option<(Value, Value)> {
        match step["op"].as_str().unwrap() {
            // The addresses of the recording are in the configuration from the start.
            "config" => {}
            "add_chain_tx" => self.add_transaction(step),
            "put_file" => self.put_file(step).await,
            "set_balance" => self.set_balance(step).await,
            "submit_without_processing" => self.park(&step["message"]).await,
            "run_balance_job" => {
                self.context.jobs.run("balance", now()).await.unwrap();
            }
            "run_garbage_collector" => {
                let hours = step["now_plus_hours"].as_i64().unwrap();
                let at = Timestamp::from_micros(now().micros() + hours * 3_600_000_000);
                self.context
                    .jobs
                    .run("garbage_collector", at)
                    .await
                    .unwrap();
            }
            "message" => return Some((self.submit(step).await, expected_message(step))),
            "state" => return Some((self.state(step).await, expected_state(step))),
            other => panic!("unknown op {other}"),
        }
        None
    }

    fn add_transaction(&mut self, step: &Value) {
        let hash = step["hash"].as_str().unwrap().to_owned();
        let transaction = Transaction {
            hash: hash.clone(),
            chain: Chain::parse(step["chain"].as_str().unwrap()).unwrap(),
            height: step["height"].as_i64().unwrap(),
            time: Timestamp::from_iso(step["datetime"].as_str().unwrap()).unwrap(),
            publisher: "0x0".to_owned(),
        };
        self.transactions.insert(hash, transaction);
    }

    async fn put_file(&self, step: &Value) {
        let bytes = match step["content_utf8"].as_str() {
            Some(text) => text.as_bytes().to_vec(),
            None => {
                let byte = step["fill_byte"].as_str().unwrap().as_bytes()[0];
                vec![byte; step["size"].as_u64().unwrap() as usize]
            }
        };
        let kept = self.context.blobs.put(&bytes).unwrap();
        assert_eq!(kept.hash, step["hash"].as_str().unwrap());
        let pipeline = &self.context.pipeline;
        pipeline
            .add_upload(&kept.hash, kept.size_bytes)
            .await
            .unwrap();
    }

    async fn set_balance(&mut self, step: &Value) {
        self.height += 1;
        let update = BalanceUpdate {
            address: step["address"].as_str().unwrap().to_owned(),
            chain: step["chain"].as_str().unwrap().to_owned(),
            dapp: None,
            balance: Decimal::parse(step["balance"].as_str().unwrap()).unwrap(),
            height: self.height,
        };
        let set = self
            .context
            .pipeline
            .work(move |state| state.apply_balances(&[update]));
        set.await.unwrap();
    }

    /// A message that waits, as if its content were not here yet.
    async fn park(&self, raw: &Value) {
        let message = Message::parse(raw).unwrap();
        let arrival = Arrival {
            raw: raw.clone(),
            reception_time: now(),
            origin: "p2p",
            transaction: None,
            retry_of: None,
            gone: Vec::new(),
        };
        let rejection = Rejection::text(Code::ContentUnavailable, "File not found");
        let parked = self
            .context
            .pipeline
            .work(move |state| state.wait(&message, &arrival, rejection, 1.0, now()));
        assert!(matches!(parked.await.unwrap(), Outcome::Pending(_)));
    }

    async fn submit(&mut self, step: &Value) -> Value {
        let raw = step["message"].clone();
        let hash = raw["item_hash"].as_str().unwrap().to_owned();
        self.hashes.insert(hash.clone());
        let pipeline = &self.context.pipeline;
        let outcome = match step["tx_hash"].as_str() {
            Some(name) => {
                let transaction = self.transactions[name].clone();
                pipeline.offer_confirmed(raw, transaction).await
            }
            None => pipeline.offer(raw).await,
        };
        let mut found = match outcome.unwrap() {
            Outcome::Pending(rejection) | Outcome::Rejected(rejection) => json!({
                "error_code": rejection.code.number(), "details": rejection.details(),
                "retried": rejection.code.is_retryable(),
            }),
            _ => json!({}),
        };
        let status = self.status(&hash).await;
        found["status"] = match status {
            // Upstream was told not to retry, and rejected.
            Some(Status::Pending) => "rejected".into(),
            status => status.map(Status::as_str).into(),
        };
        if step["expect"].get("confirmations").is_some() {
            let confirmations = self
                .context
                .read(move |state| state.confirmations_of(&hash))
                .await
                .unwrap();
            found["confirmations"] = confirmations.into_iter().map(|one| one.hash).collect();
        }
        found
    }

    async fn status(&self, hash: &str) -> Option<Status> {
        let hash = hash.to_owned();
        let status = self.context.read(move |state| state.status(&hash)).await;
        status.unwrap().map(|(status, _)| status)
    }

    async fn state(&self, step: &Value) -> Value {
        let kind = step["kind"].as_str().unwrap();
        match kind.split(':').next().unwrap() {
            "status by item_hash" => {
                let mut statuses = BTreeMap::new();
                for hash in step["value"].as_object().unwrap().keys() {
                    let status = self.status(hash).await.map(Status::as_str);
                    statuses.insert(hash[..8].to_owned(), status);
                }
                json!(statuses)
            }
            "pins" => {
                let hashes = self.hashes.clone();
                let pins = self.context.read(move |state| {
                    let mut pins = Vec::new();
                    for hash in hashes {
                        for (kind, until) in state.pins_of(&hash)? {
                            let kind = if kind == "grace" {
                                "grace_period"
                            } else {
                                &kind
                            };
                            pins.push(json!([kind, hash[..8], until.is_some()]));
                        }
                    }
                    pins.sort_by_key(Value::to_string);
                    Ok(Value::Array(pins))
                });
                pins.await.unwrap()
            }
            "balances rows" => {
                self.of_everybody(|state, address| {
                    let rows = state.holdings_of(address)?.into_iter().map(|row| {
                        json!([
                            &address[..6],
                            row.chain,
                            row.dapp,
                            row.balance.to_string(),
                            row.height
                        ])
                    });
                    Ok(rows.collect())
                })
                .await
            }
            "credit lots" => {
                self.of_everybody(|state, address| {
                    let rows = state.lots_of(address)?.into_iter().map(|lot| {
                        let end = lot.expiration.map(Timestamp::seconds_f64);
                        json!([
                            &address[..6],
                            &lot.credit_ref[..4],
                            lot.index,
                            lot.remaining,
                            end
                        ])
                    });
                    Ok(rows.collect())
                })
                .await
            }
            "credit history" => {
                self.of_everybody(|state, address| {
                    let rows = state.credit_history_of(address)?.into_iter().map(|event| {
                        let record = event.record;
                        let origin = record
                            .origin
                            .map(|text| text.chars().take(6).collect::<String>());
                        json!([
                            &address[..6],
                            record.amount,
                            &event.credit_ref[..4],
                            record.index,
                            record.payment_method,
                            origin,
                            record.provider
                        ])
                    });
                    Ok(rows.collect())
                })
                .await
            }
            other => panic!("unknown question {other}"),
        }
    }

    /// Rows of every account of the recording, sorted.
    async fn of_everybody(
        &self,
        rows: fn(&beth_store::State<'_>, &str) -> Result<Vec<Value>, beth_store::Error>,
    ) -> Value {
        let read = self.context.read(move |state| {
            let mut all = Vec::new();
            for address in PEOPLE {
                all.extend(rows(state, address)?);
            }
            Ok(all)
        });
        sorted(read.await.unwrap())
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = api::router(self.context.clone())
            .oneshot(request)
            .await
            .unwrap();
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), 1 << 24).await.unwrap();
        let text = String::from_utf8(body.to_vec()).unwrap();
        (
            status,
            serde_json::from_str(&text).unwrap_or(Value::String(text)),
        )
    }
}

async fn run(text: &str, differences: &[Difference]) -> World {
    let scenario: Value = serde_json::from_str(text).unwrap();
    let mut world = World::new(&scenario["accounts"]["A"]);
    let mut wrong = Vec::new();
    let mut met = 0;
    for (index, step) in scenario["steps"].as_array().unwrap().iter().enumerate() {
        let Some((found, recorded)) = world.step(step).await else {
            continue;
        };
        let name = step["label"].as_str().or(step["kind"].as_str()).unwrap();
        let difference = differences.iter().find(|other| other.step == index);
        let expected = match difference {
            Some(difference) => {
                met += 1;
                assert_ne!(
                    found, recorded,
                    "{index} {name} is as recorded: no difference"
                );
                serde_json::from_str(difference.ours).unwrap()
            }
            None => recorded,
        };
        if found != expected {
            wrong.push(format!(
                "{index} {name}:\n  found    {found}\n  expected {expected}"
            ));
        }
    }
    assert_eq!(met, differences.len(), "a named step compares nothing");
    assert!(
        wrong.is_empty(),
        "{} steps differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn permissions_balances_and_credits() {
    run(
        include_str!("../../../../vectors/messages/scenario_permissions_balances_credits.json"),
        PERMISSIONS,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn removal() {
    let world = run(
        include_str!("../../../../vectors/messages/scenario_removal.json"),
        REMOVAL,
    )
    .await;
    let gone = "6d13909a62ba20c8cbc1fa2f097bf74179542be66482b308d871850ae6001c83";
    let file = "65e36d23aeaad3ac737252ccef4e55aec1b7bfab2b90bbb739e56148b3dc8ee7";
    assert!(
        !world.context.blobs.contains(file),
        "nobody keeps the file any more"
    );

    let (status, body) = world.get(&format!("/api/v0/messages/{gone}")).await;
    assert_eq!((status, &body["status"]), (200, &json!("removed")));
    assert_eq!(body["reason"], "balance_insufficient");
    assert_eq!(
        (&body["size"], &body["message"]["size"]),
        (&json!(27_262_976), &json!(27_262_976))
    );
    assert_eq!(body["removed_at"], body["message"]["removed_at"]);
    assert_eq!(body["message"]["payment_type"], "hold");

    let (_, list) = world.get("/api/v0/messages.json?msgStatuses=removed").await;
    assert_eq!(list["pagination_total"], 2);
    assert!(
        list["messages"]
            .as_array()
            .unwrap()
            .iter()
            .all(|item| item["status"] == "removed")
    );
    let (status, bill) = world.get(&format!("/api/v0/price/{gone}")).await;
    assert_eq!(
        (status, &bill["cost"]),
        (200, &json!("8.666666658000000000"))
    );
    let (status, text) = world.get(&format!("/api/v0/messages/{gone}/content")).await;
    assert_eq!(status, 422);
    assert!(text.as_str().unwrap().contains("MessageStatus.REMOVED"));

    let confirmed = "26d5b6ae9bdf93cf9e43b6db99bd805e2b196fe0cdd0aeb6ddd0c840f06961d3";
    let (_, body) = world.get(&format!("/api/v0/messages/{confirmed}")).await;
    assert_eq!(body["message"]["confirmed"], true);
    assert_eq!(
        body["message"]["confirmations"],
        json!([{"chain": "ETH", "height": 23_000_000, "hash": "0xaa"}])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_contracts_need_no_signature_but_a_chain() {
    let mut world = World::new(&json!({"address": "0x0"}));
    world.add_transaction(&json!({
        "hash": "ooTx", "chain": "TEZOS", "height": 5, "datetime": "2026-01-01T00:00:00Z",
    }));
    let event = ContractEvent {
        chain: Chain::Tezos,
        sender: "KT1VBeLD7hzKpj17aRJ3Kc6QQFeikCEXi7W6".to_owned(),
        event_type: "POST".to_owned(),
        content: json!({"type": "t", "address": "KT1VBeLD7hzKpj17aRJ3Kc6QQFeikCEXi7W6", "content": 1, "time": 1000})
            .to_string(),
        seconds: 1_668_611_900.0,
    };
    let transaction = world.transactions["ooTx"].clone();
    let raw = event.to_message(transaction.time);
    let pipeline = &world.context.pipeline;
    let outcome = pipeline.offer(raw.clone()).await.unwrap();
    assert!(
        matches!(outcome, Outcome::Rejected(rejection) if rejection.code == Code::InvalidSignature)
    );
    let mut events = world.context.events.subscribe();
    let outcome = pipeline.offer_event(&event, transaction).await.unwrap();
    assert_eq!(outcome, Outcome::Processed);
    let heard = events.recv().await.unwrap();
    assert!(!heard.is_announced(), "streams show what people send");
    let hash = raw["item_hash"].as_str().unwrap();
    let (_, body) = world.get(&format!("/api/v0/messages/{hash}")).await;
    assert_eq!(body["message"]["confirmations"][0]["hash"], "ooTx");
    assert_eq!(body["message"]["signature"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_wait_one_interval_and_are_listed() {
    let world = World::new(&json!({"address": "0x0"}));
    let jobs = &world.context.jobs;
    let names: Vec<&str> = jobs.list().map(|(name, _)| name).collect();
    assert_eq!(names, ["balance", "credit_balance", "garbage_collector"]);
    let last = async |name: &'static str| {
        let read = world.context.read(move |state| state.last_run(name));
        read.await.unwrap().map(|time| time.micros() / 1_000_000)
    };
    let at = |seconds| Timestamp::from_seconds(seconds);
    jobs.run_due(at(1_000)).await;
    assert_eq!(last("balance").await, Some(1_000));
    jobs.run_due(at(4_599)).await;
    assert_eq!(last("balance").await, Some(1_000), "not due yet");
    jobs.run_due(at(4_600)).await;
    assert_eq!(last("balance").await, Some(4_600));
    assert_eq!(last("garbage_collector").await, Some(1_000));
    let unknown = jobs.run("laundry", at(5_000)).await.unwrap_err();
    assert_eq!(unknown.to_string(), "there is no job named laundry");
}
