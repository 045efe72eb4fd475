//! The differential test of the canonical request: real gateways are asked hundreds of spellings, and the route that each
//! takes is held against the route that the policy finds in what the gateway told.
//!
//! A refusal is no disagreement, and neither is a request that no route names: both are denied. The random spellings
//! come from a seed, which is printed; `PORTCULLIS_TEST_SEED` takes it back, and `PORTCULLIS_TEST_SPELLINGS=N` asks so
//! many of each gateway.

mod cases;
mod client;
mod gateways;
mod outcome;
mod readings;
mod recorder;
mod report;
mod routes;

use std::sync::{LazyLock, OnceLock};

use cases::Case;
use gateways::{COUNT, GATEWAYS, Gateway};
use outcome::{Outcome, Row};
use readings::{OURS, RELAXED, Reading};
use recorder::Recorder;
pub(crate) use report::tables;

use crate::support::{found_or_skipped, proxy, say};

/// The number of random spellings where nobody says another.
const RANDOM: usize = 400;

/// The fewest cases in which gateway and policy agree. The rest of the table is what somebody reads differently.
const AGREED: usize = 300;

/// All cases of one gateway.
struct Asked {
    /// The gateway's version.
    version: String,
    /// Those of the table.
    table: Vec<Row>,
    /// The random ones.
    random: Vec<Row>,
}

static RANDOM_CASES: LazyLock<Vec<Case>> = LazyLock::new(|| {
    let count = std::env::var("PORTCULLIS_TEST_SPELLINGS");
    let count =
        count.map_or(RANDOM, |text| text.parse().expect("PORTCULLIS_TEST_SPELLINGS is a number"));
    let seed = proxy::seed();
    say(&format!("the spellings' seed: PORTCULLIS_TEST_SEED={seed}"));
    cases::random(seed, count)
});

/// The cases of a gateway; it is asked once, whichever test comes first.
fn asked(place: usize) -> Option<&'static Asked> {
    static ASKED: [OnceLock<Option<Asked>>; COUNT] = [const { OnceLock::new() }; COUNT];
    let gateway = &GATEWAYS[place];
    found_or_skipped(gateway.name, ASKED[place].get_or_init(|| ask(gateway)).as_ref())
}

/// The cases of all gateways; `None` where one of them is not on this machine.
fn asked_of_all() -> Option<Vec<&'static Asked>> {
    (0..COUNT).map(asked).collect()
}

fn ask(gateway: &Gateway) -> Option<Asked> {
    let cases = cases::table();
    let in_table = cases.len();
    let cases = [cases, RANDOM_CASES.clone()].concat();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let (version, mut arrived) = runtime.expect("a runtime").block_on(async {
        let recorder = Recorder::start().await;
        let started = gateway.start(&recorder)?;
        let late = client::send_all(started.addresses, &cases).await;
        assert_eq!(late, 0, "{}: cases without an answer in time", gateway.name);
        Some((started.version, recorder.take()))
    })?;
    let row = |(number, case)| Row::new(gateway, case, arrived.remove(&number).unwrap_or_default());
    let mut table: Vec<_> = cases.into_iter().enumerate().map(row).collect();
    let random = table.split_off(in_table);
    Some(Asked { version, table, random })
}

/// The gateway of this name takes the route that is judged, and forwards the request that is judged.
fn agrees(name: &str) {
    let place = GATEWAYS.iter().position(|gateway| gateway.name == name).expect("a gateway");
    let Some(asked) = asked(place) else { return };
    let (mut agreed, mut wrong) = (0, Vec::new());
    for row in asked.table.iter().chain(&asked.random) {
        match row.outcome(&OURS) {
            Outcome::Stopped | Outcome::Refused(_) | Outcome::Unnamed => {}
            Outcome::Disagreed(ours) => {
                wrong.push(format!(
                    "{}: forwarded by {:?}, judged by {ours:?}",
                    row.case,
                    row.route()
                ));
            }
            Outcome::Agreed => {
                agreed += 1;
                wrong.extend(row.difference().map(|it| format!("{}: forwarded is {it}", row.case)));
            }
        }
    }
    assert!(wrong.is_empty(), "{name} {}:\n{}", asked.version, wrong.join("\n"));
    assert!(agreed >= AGREED, "{name} {}: only {agreed} cases agree", asked.version);
}

macro_rules! agree {
    ($($test:ident: $name:literal;)*) => {
        $(#[test]
        fn $test() {
            agrees($name);
        })*
    };
}

agree! {
    nginx_takes_the_route_that_is_judged: "nginx";
    nginx_that_keeps_slashes_takes_the_route_that_is_judged: "nginx unmerged";
    traefik_takes_the_route_that_is_judged: "Traefik";
    traefik_that_keeps_paths_takes_the_route_that_is_judged: "Traefik unsanitized";
    caddy_takes_the_route_that_is_judged: "Caddy";
    haproxy_takes_the_route_that_is_judged: "HAProxy";
    haproxy_that_normalizes_takes_the_route_that_is_judged: "HAProxy normalized";
    envoy_takes_the_route_that_is_judged: "Envoy";
    envoy_that_normalizes_takes_the_route_that_is_judged: "Envoy hardened";
}

/// The number of spellings in the table that disagree where they are read so.
fn disagreements(asked: &Asked, reading: &Reading) -> usize {
    let disagrees = |row: &&Row| matches!(row.outcome(reading), Outcome::Disagreed(_));
    asked.table.iter().filter(disagrees).count()
}

/// The mutation: a judge that relaxes one rule is caught by some gateway, and one that decodes twice by each of them.
#[test]
fn a_rule_that_is_relaxed_is_caught() {
    let Some(all) = asked_of_all() else { return };
    for reading in &RELAXED {
        let caught: Vec<_> = all.iter().map(|asked| disagreements(asked, reading)).collect();
        let needed = if reading.name == "decode twice" { COUNT } else { 1 };
        let by = caught.iter().filter(|count| **count > 0).count();
        assert!(by >= needed, "{}: caught by {by} gateways: {caught:?}", reading.name);
    }
}

#[test]
fn the_table_holds_more_than_a_thousand_spellings() {
    let cases = cases::table();
    let http2 = cases.iter().filter(|case| matches!(case, Case::Http2(_))).count();
    assert!(cases.len() - http2 > 1300 && http2 > 150, "{} and {http2}", cases.len() - http2);
}
