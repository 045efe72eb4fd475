//! What goes wrong in a run, one thing after the other, until its time is over.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};

use super::{
    chance::Chance,
    trace::NOBODY,
    weather::{Climate, Ill, Sky},
    world::World,
};

const SKIES: [Sky; 4] = [Sky::Slow, Sky::Busy, Sky::Refusing, Sky::Hanging];

/// The climate of a run whose bound is so long: one of a few kinds, so that each rule meets runs in which it is all that
/// stands between a gate and a wrong answer.
pub fn climate(chance: &Chance, bound: Duration) -> Climate {
    let bound = u64::try_from(bound.as_millis()).expect("a short bound");
    let news = [Ill::Broken, Ill::Broken, Ill::Frozen].as_slice();
    let store = [Ill::Store, Ill::Store, Ill::Way].as_slice();
    let all = [Ill::Store, Ill::Way, Ill::Broken, Ill::Frozen, Ill::Stall].as_slice();
    let (ills, lost) = chance.pick(&[
        ([].as_slice(), 0),
        (news, 0),
        (store, 0),
        (store, 3),
        (&[Ill::Stall, Ill::Broken], 0),
        (all, 0),
        (all, 3),
        (all, 15),
    ]);
    let way = chance.pick(&[0..=2, 0..=8, 3..=20]);
    Climate {
        news: 0..=chance.pick(&[1, 5, 30]),
        way,
        slow: chance.pick(&[40..=120, 60..=400, 150..=1_900]),
        busy: 600..=1_990,
        lost,
        lasts: 30..=chance.pick(&[bound / 2, bound * 2, bound * 4]).max(200),
        ills: ills.to_vec(),
    }
}

/// Does what the climate says, for so long.
pub async fn rage(world: Arc<World>, processes: usize, lasts: Duration) {
    let (chance, climate) = (&world.chance, &world.weather.climate);
    if climate.ills.is_empty() {
        return;
    }
    let end = Instant::now() + lasts;
    let between = u64::try_from(lasts.as_millis()).expect("a short run") / 6;
    loop {
        let pause = chance.millis(1..=between.max(2));
        let lasts = chance.millis(climate.lasts.clone());
        if Instant::now() + pause >= end {
            return;
        }
        sleep(pause).await;
        let process = chance.index(processes);
        happen(&world, chance.pick(&climate.ills), process, processes, lasts).await;
    }
}

async fn happen(world: &World, ill: Ill, process: usize, processes: usize, lasts: Duration) {
    let chance = &world.chance;
    match ill {
        Ill::Store => {
            let sky = chance.pick(&SKIES);
            let breaks = matches!(sky, Sky::Refusing | Sky::Hanging) && chance.percent(60);
            for channel in world.channels.iter().filter(|_| breaks) {
                match sky {
                    Sky::Hanging => channel.freeze(lasts),
                    _ => channel.cut(chance.millis(0..=800)),
                }
            }
            cloud(world, 0..processes, sky, lasts).await;
        }
        Ill::Way => {
            let sky = chance.pick(&SKIES);
            cloud(world, process..process + 1, sky, lasts).await;
        }
        Ill::Broken => {
            world.note(process, "hears nothing", "");
            world.channels[process].cut(chance.millis(0..=800));
        }
        Ill::Frozen => {
            world.note(process, "hears late", "");
            world.channels[process].freeze(lasts);
        }
        Ill::Stall => {
            world.note(process, "stands still", "");
            world.weather.stall(process, Instant::now() + lasts, world.stamp() + lasts);
        }
    }
}

/// The sky over these is like this for so long.
pub async fn cloud(world: &World, processes: std::ops::Range<usize>, sky: Sky, lasts: Duration) {
    world.note(NOBODY, "the sky turns", &format!("{sky:?} for {processes:?}"));
    processes.clone().for_each(|process| world.weather.set(process, sky, world.stamp()));
    sleep(lasts).await;
    world.note(NOBODY, "the sky clears", "");
    processes.for_each(|process| world.weather.set(process, Sky::Clear, world.stamp()));
}
