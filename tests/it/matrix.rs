//! The matrix: each gateway with its example, and what client and app saw of the same requests.
//!
//! All gateways are started once, in front of apps of their own and with one gate. Each cell must be what
//! [`situations::SITUATIONS`] expects of every gateway, and no gateway is an exception.

pub mod calls;
pub mod gateways;
mod requests;
mod seen;
mod situations;

use std::net::SocketAddr;
use std::sync::LazyLock;

use crate::support::{
    app::App, found_or_skipped, free_address, issuer::Issuer, realm::Realm, tokens,
};

use calls::Calls;
use gateways::{Gateway, Site};
use requests::Bench;
use seen::Cell;
use situations::{SITUATIONS, Situation};

/// The cells of each gateway, in the order of [`SITUATIONS`]; `None` for one that is not on this machine.
type Columns = Vec<Option<Vec<Cell>>>;

static COLUMNS: LazyLock<Columns> = LazyLock::new(ask_all);

/// Starts the gate and all gateways, asks everything, and ends them.
fn ask_all() -> Columns {
    // The shipped staleness: what ends here is over at once, whatever was cached.
    let asked = free_address();
    let realm =
        Realm::issuing().without("SESSION_STALENESS").with("EXT_AUTHZ_LISTEN", &asked.to_string());
    let issuer = Issuer::start(&realm);
    std::thread::scope(|scope| {
        let ask = |gateway| {
            let (realm, issuer) = (&realm, &issuer);
            scope.spawn(move || ask(gateway, realm, issuer, asked))
        };
        let columns = Gateway::ALL.map(ask);
        columns.map(|column| column.join().expect("all was asked")).into()
    })
}

/// All cells of one gateway.
fn ask(gateway: Gateway, realm: &Realm, issuer: &Issuer, asked: SocketAddr) -> Option<Vec<Cell>> {
    let (app, calls) = (App::start(), Calls::start());
    let site = Site { gate: issuer.gate.address, asked, app: app.address, calls: calls.address };
    let running = gateway.start(&site)?;
    app.take();
    let good = realm.mint("alice", &["--scope", "user:read"]);
    let expired = tokens::expired(&good, &realm.private_pem());
    let bench = Bench { realm, issuer, app: &app, calls: &calls, running: &running, good, expired };
    Some(SITUATIONS.iter().map(|situation| (situation.ask)(&bench)).collect())
}

/// Each cell of a gateway is the expected one.
fn holds(gateway: Gateway) {
    let place = Gateway::ALL.iter().position(|other| *other == gateway).expect("one of them");
    let column = found_or_skipped(gateway.name(), COLUMNS[place].as_ref());
    let wrong = |(situation, seen): (&Situation, &Cell)| {
        let expected = situation.expected();
        (*seen != expected).then(|| format!("{}\n  seen {seen}\n  not  {expected}", situation.name))
    };
    let wrong: Vec<_> =
        SITUATIONS.iter().zip(column.into_iter().flatten()).filter_map(wrong).collect();
    assert!(wrong.is_empty(), "{}:\n{}", gateway.name(), wrong.join("\n"));
}

macro_rules! hold {
    ($($test:ident: $gateway:ident;)*) => {
        $(#[test]
        fn $test() {
            holds(Gateway::$gateway);
        })*
    };
}

hold! {
    every_cell_of_nginx_is_as_expected: Nginx;
    every_cell_of_traefik_is_as_expected: Traefik;
    every_cell_of_caddy_is_as_expected: Caddy;
    every_cell_of_haproxy_is_as_expected: Haproxy;
    every_cell_of_envoy_over_http_is_as_expected: EnvoyHttp;
    every_cell_of_envoy_over_grpc_is_as_expected: EnvoyGrpc;
}

/// The tables for the page of the documents; `None` where a gateway is not on this machine.
pub(crate) fn tables() -> Option<String> {
    let columns: Option<Vec<&Vec<Cell>>> = COLUMNS.iter().map(Option::as_ref).collect();
    let columns = found_or_skipped("one of the gateways", columns)?;
    let client = table("The client saw", |place, row| &columns[place][row].client);
    let app = table("The app saw", |place, row| &columns[place][row].app);
    Some(format!("{client}\n{app}"))
}

fn table<'c>(title: &str, cell: impl Fn(usize, usize) -> &'c str) -> String {
    let names = Gateway::ALL.map(Gateway::name).join(" | ");
    let mut text = format!("| {title} | {names} |\n|---|{}\n", "---|".repeat(Gateway::ALL.len()));
    for (row, situation) in SITUATIONS.iter().enumerate() {
        let cells: Vec<_> = (0..Gateway::ALL.len()).map(|place| cell(place, row)).collect();
        text += &format!("| {} | {} |\n", situation.name, cells.join(" | "));
    }
    text
}
