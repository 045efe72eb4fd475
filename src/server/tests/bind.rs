//! Addresses and the sockets behind them.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener as StdUnixListener;
use std::path::Path;

use super::{Address, Limits, Listeners, Server};

fn unix(path: &Path) -> Address {
    Address::Unix(path.to_owned())
}

fn any() -> Address {
    "127.0.0.1:0".parse().unwrap()
}

#[test]
fn addresses_are_read_as_they_are_shown() {
    for text in ["127.0.0.1:8080", "[::1]:0", "0.0.0.0:80", "unix:/run/x.sock", "unix:x.sock"] {
        assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
    }
}

#[test]
fn only_this_host_is_loopback() {
    for (text, loopback) in [
        ("127.0.0.1:1", true),
        ("127.9.9.9:1", true),
        ("[::1]:1", true),
        ("[::ffff:127.0.0.1]:1", true),
        ("unix:/x", true),
        ("0.0.0.0:1", false),
        ("[::]:1", false),
        ("10.0.0.1:1", false),
    ] {
        assert_eq!(text.parse::<Address>().unwrap().is_loopback(), loopback, "{text}");
    }
}

#[test]
fn a_mistaken_address_says_what_to_write() {
    for (text, hint) in [
        ("", "write for example 127.0.0.1:8080"),
        ("unix:", "unix:/run/portcullis.sock"),
        ("/run/x.sock", "unix:/run/x.sock"),
        ("http://127.0.0.1:1", "the address alone"),
        ("8080", "127.0.0.1:8080"),
        (":8080", "0.0.0.0:8080"),
        ("127.0.0.1", "write 127.0.0.1:8080"),
        ("::1", "write [::1]:8080"),
        ("[::1]", "write [::1]:8080"),
        ("localhost:8080", "names are not resolved"),
        ("127.0.0.1:65536", "from 0 to 65535"),
        ("127.0.0.1:80 ", "is no address"),
    ] {
        let error = text.parse::<Address>().unwrap_err().to_string();
        assert!(error.contains(hint), "{text:?}: {error}");
    }
}

#[tokio::test]
async fn a_port_in_use_is_named_and_nothing_stays_open() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gate.sock");
    let server = Server::start();
    let taken = Address::Tcp(server.address);
    let error = Listeners::bind(&[unix(&path), any(), taken], &Limits::default()).unwrap_err();
    assert!(error.to_string().contains("another process listens there"), "{error}");
    assert!(error.to_string().contains(&server.address.to_string()), "{error}");
    assert!(!path.exists(), "the socket of the address before stayed behind");
}

#[tokio::test]
async fn a_port_is_free_again_at_once_after_a_drain() {
    let server = Server::start();
    let address = Address::Tcp(server.address);
    // The side that closes first, here the server, keeps the port in TIME-WAIT.
    server.assert_alive().await;
    server.shutdown.begin();
    server.report().await;
    Listeners::bind(&[address], &Limits::default()).unwrap();
}

#[tokio::test]
async fn a_stale_socket_is_replaced_and_a_living_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gate.sock");
    drop(StdUnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let living = Listeners::bind(&[unix(&path)], &Limits::default()).unwrap();
    let error = Listeners::bind(&[unix(&path)], &Limits::default()).unwrap_err();
    assert!(error.to_string().contains("another process listens there"), "{error}");
    assert!(path.exists(), "the refused one removed the living one's file");
    drop(living);
    assert!(!path.exists());
}

#[tokio::test]
async fn the_socket_has_the_mode_of_the_limits() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gate.sock");
    for mode in [0o660, 0o600, 0o777] {
        let limits = Limits { socket_mode: mode, ..Limits::default() };
        let _listeners = Listeners::bind(&[unix(&path)], &limits).unwrap();
        let found = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(found & 0o7777, mode);
    }
}

#[tokio::test]
async fn files_that_are_not_our_socket_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gate.sock");
    std::fs::write(&path, "precious").unwrap();
    let error = Listeners::bind(&[unix(&path)], &Limits::default()).unwrap_err();
    assert!(error.to_string().contains("is no socket"), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    std::fs::remove_file(&path).unwrap();

    let listeners = Listeners::bind(&[unix(&path)], &Limits::default()).unwrap();
    let old = folder.path().join("old.sock");
    std::fs::rename(&path, &old).unwrap();
    std::fs::write(&path, "a successor's").unwrap();
    drop(listeners);
    assert!(path.exists(), "a file of another was removed");
}

#[tokio::test]
async fn a_missing_folder_is_named() {
    let error =
        Listeners::bind(&[unix(Path::new("/nowhere/gate.sock"))], &Limits::default()).unwrap_err();
    assert!(error.to_string().contains("its folder does not exist"), "{error}");
    assert!(error.to_string().contains("unix:/nowhere/gate.sock"), "{error}");
}
