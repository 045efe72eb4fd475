//! The faults of a run, one after the other, until its time is over.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};

use super::{
    cluster::ClusterState,
    fault_injection::{Fault, FaultPlan, LinkState},
    rng::SeededRng,
    trace::NO_PROCESS,
};

const LINK_STATES: [LinkState; 4] =
    [LinkState::Slow, LinkState::SlowWrites, LinkState::Refusing, LinkState::Hanging];

/// Draws the plan of a run with this staleness bound: one of a few kinds, so that each rule meets runs in which it is all
/// that stands between a gate and a wrong answer.
pub fn draw_plan(rng: &SeededRng, bound: Duration) -> FaultPlan {
    let bound = u64::try_from(bound.as_millis()).expect("a short bound");
    let channel_faults =
        [Fault::ChannelBroken, Fault::ChannelBroken, Fault::ChannelFrozen].as_slice();
    let store_faults = [Fault::StoreDegraded, Fault::StoreDegraded, Fault::LinkDegraded].as_slice();
    let all = [
        Fault::StoreDegraded,
        Fault::LinkDegraded,
        Fault::ChannelBroken,
        Fault::ChannelFrozen,
        Fault::ProcessStalled,
    ]
    .as_slice();
    let (faults, loss_percent) = rng.pick(&[
        ([].as_slice(), 0),
        (channel_faults, 0),
        (store_faults, 0),
        (store_faults, 3),
        (&[Fault::ProcessStalled, Fault::ChannelBroken], 0),
        (all, 0),
        (all, 3),
        (all, 15),
    ]);
    let latency = rng.pick(&[0..=2, 0..=8, 3..=20]);
    FaultPlan {
        invalidation_latency: 0..=rng.pick(&[1, 5, 30]),
        latency,
        slow_latency: rng.pick(&[40..=120, 60..=400, 150..=1_900]),
        slow_write_latency: 600..=1_990,
        loss_percent,
        fault_duration: 30..=rng.pick(&[bound / 2, bound * 2, bound * 4]).max(200),
        faults: faults.to_vec(),
        tells_all: rng.percent(50),
    }
}

/// Injects the faults of the plan, for so long.
pub async fn inject_faults(cluster: Arc<ClusterState>, processes: usize, duration: Duration) {
    let (rng, plan) = (&cluster.rng, &cluster.injector.plan);
    if plan.faults.is_empty() {
        return;
    }
    let end = Instant::now() + duration;
    let between = u64::try_from(duration.as_millis()).expect("a short run") / 6;
    loop {
        let pause = rng.millis(1..=between.max(2));
        let duration = rng.millis(plan.fault_duration.clone());
        if Instant::now() + pause >= end {
            return;
        }
        sleep(pause).await;
        let process = rng.index(processes);
        inject(&cluster, rng.pick(&plan.faults), process, processes, duration).await;
    }
}

async fn inject(
    cluster: &ClusterState,
    fault: Fault,
    process: usize,
    processes: usize,
    duration: Duration,
) {
    let rng = &cluster.rng;
    match fault {
        Fault::StoreDegraded => {
            let link = rng.pick(&LINK_STATES);
            let breaks =
                matches!(link, LinkState::Refusing | LinkState::Hanging) && rng.percent(60);
            for channel in cluster.channels.iter().filter(|_| breaks) {
                match link {
                    LinkState::Hanging => channel.freeze(duration),
                    _ => channel.cut(rng.millis(0..=800)),
                }
            }
            degrade(cluster, 0..processes, link, duration).await;
        }
        Fault::LinkDegraded => {
            let link = rng.pick(&LINK_STATES);
            degrade(cluster, process..process + 1, link, duration).await;
        }
        Fault::ChannelBroken => {
            cluster.record(process, "channel breaks", "");
            cluster.channels[process].cut(rng.millis(0..=800));
        }
        Fault::ChannelFrozen => {
            cluster.record(process, "channel freezes", "");
            cluster.channels[process].freeze(duration);
        }
        Fault::ProcessStalled => {
            cluster.record(process, "stands still", "");
            cluster.injector.stall(process, Instant::now() + duration, cluster.stamp() + duration);
        }
    }
}

/// Puts the links of these processes into this state, for so long.
pub async fn degrade(
    cluster: &ClusterState,
    processes: std::ops::Range<usize>,
    link: LinkState,
    duration: Duration,
) {
    cluster.record(NO_PROCESS, "links are now", &format!("{link:?} for {processes:?}"));
    processes.clone().for_each(|process| cluster.injector.set(process, link, cluster.stamp()));
    sleep(duration).await;
    cluster.record(NO_PROCESS, "links are healthy", "");
    processes
        .for_each(|process| cluster.injector.set(process, LinkState::Healthy, cluster.stamp()));
}
