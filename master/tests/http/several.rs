//! Several masters: a standby sends on, and a framework goes over to the next leader.

use crate::{
    etcd::Server,
    kit::{Stream, Web, soon},
};
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, StatusCode};
use serde_json::{Value, json};
use skep_master::{Config, Keep, Master, Policy, Shared};
use std::{net::SocketAddr, path::Path, time::Duration};

/// The shortest that an etcd with ordinary settings grants.
const LEASE: Duration = Duration::from_secs(2);

async fn master(etcd: &Server, home: &Path, name: &str) -> Master {
    let shared = Shared {
        folder: home.join(name),
        etcd: etcd.address().parse().expect("an etcd"),
        key: home.join("store.key"),
        lease: LEASE,
    };
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let (keep, policy) = (Keep::Shared(shared), Policy::default());
    let config = Config { listen, advertise: None, keep, policy };
    Master::start(config).await.expect("a master")
}

/// Asks again and again, as long as nobody is known to lead.
async fn subscribe(web: &Web, call: &Value) -> Stream {
    let asking = async {
        loop {
            match web.try_subscribe(call.clone()).await {
                Ok(stream) => return stream,
                Err(status) => assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE),
            }
        }
    };
    soon("a leader", asking).await
}

#[tokio::test]
async fn a_standby_sends_on_to_the_leader_and_takes_over_from_it() {
    let etcd = tokio::task::spawn_blocking(Server::start).await.expect("an etcd");
    let home = tempfile::tempdir().expect("a folder");
    let first = master(&etcd, home.path(), "first").await;
    let to_first = Web::new(first.address(), first.operator());
    let call = json!({"info": {"name": "test"}});
    let mut stream = subscribe(&to_first, &call).await;
    let framework = stream.expect("SUBSCRIBED").await["framework"].clone();

    let second = master(&etcd, home.path(), "second").await;
    let to_second = Web::new(second.address(), first.operator());
    let redirected = async {
        loop {
            let path = "/api/v1/blobs/sha256:1?x=y";
            let request = Request::get(path).body(Full::default()).expect("a request");
            let response = to_second.request(request).await.expect("an answer");
            if response.status() != StatusCode::SERVICE_UNAVAILABLE {
                assert_eq!(response.status(), StatusCode::TEMPORARY_REDIRECT);
                let location = format!("https://{}{path}", first.address());
                assert_eq!(response.headers()["location"], location.as_str());
                let body = response.into_body().collect().await.expect("a body").to_bytes();
                return serde_json::from_slice::<Value>(&body).expect("JSON");
            }
        }
    };
    let answer = soon("the standby", redirected).await;
    assert_eq!(answer["error"]["kind"], "not_leader");

    first.stop().await;
    while stream.next().await.is_some() {}
    let call = json!({"framework": framework, "info": {"name": "test"}});
    // It may send back to the first until it has seen that nobody leads.
    let mut stream = soon("the second", async {
        loop {
            match to_second.try_subscribe(call.clone()).await {
                Ok(stream) => return stream,
                Err(status) => assert!(
                    [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TEMPORARY_REDIRECT]
                        .contains(&status)
                ),
            }
        }
    })
    .await;
    assert_eq!(stream.expect("SUBSCRIBED").await["framework"], framework);
    second.stop().await;
}
