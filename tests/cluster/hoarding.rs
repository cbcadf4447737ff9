//! A framework that never answers its offers, and one that waits: the waiting one is served.

use crate::kit::{Cluster, Ended};
use skep_framework::{
    Cluster as Master,
    prelude::{Amount, Driver, Offer, OfferId, Resources, Scheduler, framework_info},
};
use std::{
    sync::mpsc,
    time::{Duration, Instant},
};

/// Short, so that the test is; yet far longer than a run takes that need not wait for it.
const OFFER_TIMEOUT: Duration = Duration::from_secs(4);
/// What the run itself may take on a busy machine, once it is offered something.
const RUN_MAX: Duration = Duration::from_secs(20);

/// Sits on its offers.
struct Hoarder {
    offered: mpsc::Sender<Resources>,
    rescinded: mpsc::Sender<Instant>,
}

impl Scheduler for Hoarder {
    fn resource_offers(&mut self, _: &mut Driver, offers: Vec<Offer>) {
        for offer in offers {
            let _ = self.offered.send(offer.resources);
        }
    }

    fn offer_rescinded(&mut self, _: &mut Driver, _: OfferId) {
        let _ = self.rescinded.send(Instant::now());
    }
}

#[test]
fn who_waits_beside_a_hoarder_is_served_within_the_time_out_of_an_offer() {
    let timeout = format!("{}s", OFFER_TIMEOUT.as_secs());
    let cluster = Cluster::start_with(&["cpus:1;mem:512"], &["--offer-timeout", &timeout]);
    // So that no compilation is in what is measured.
    Ended::from(cluster.run(&[], "noop", &[]).output().unwrap()).expect_code(0);

    let (offered, offers) = mpsc::channel();
    let (rescinded, rescissions) = mpsc::channel();
    let folder = cluster.home.path("config/clusters").join(cluster.address.replace(':', "_"));
    let masters = vec![cluster.address.clone()];
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let hoarding = runtime.spawn(async move {
        let master = Master::connect_with(&masters, Some(&folder), None).await.unwrap();
        let mut hoarder = Hoarder { offered, rescinded };
        master.run(framework_info("hoarder"), &mut hoarder).await
    });
    let all = offers.recv_timeout(RUN_MAX).expect("the hoarder is offered what is free");
    let hoarded = Instant::now();
    assert_eq!(all.cpus(), Amount::units(1), "it is offered all");

    let waiting = cluster.run(&["--cpus", "1", "--mem", "64MiB"], "noop", &[]).spawn().unwrap();
    Ended::from(waiting.wait_with_output().unwrap()).expect_code(0);
    let served = hoarded.elapsed();

    let rescinded = rescissions.try_recv().expect("the offer was taken from the hoarder");
    let held = rescinded.duration_since(hoarded);
    // Exactly how long is a matter of the core's tests: here a busy machine must not decide.
    assert!(held < OFFER_TIMEOUT + RUN_MAX, "it sat on it for {held:?}");
    assert!(held * 2 > OFFER_TIMEOUT, "it had but {held:?} to answer");
    assert!(served < OFFER_TIMEOUT + RUN_MAX, "the other waited for {served:?}");
    hoarding.abort();
}
