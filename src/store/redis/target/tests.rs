//! URLs that are understood, and those that are refused.

use super::*;

fn parse(url: &str) -> Result<Target, InvalidAddress> {
    Target::parse(&Secret::new(url), 9, None)
}

#[test]
fn several_hosts_are_read_with_their_usual_ports() {
    for (url, name) in [
        (
            "redis+sentinel://a,b:7,[::1]/mymaster",
            "sentinel [::1]:26379,a:26379,b:7 master mymaster database 9",
        ),
        (
            "valkeys+sentinel://u:p@10.0.0.1:1,[fe80::1]:2/m-1.x/",
            "sentinel 10.0.0.1:1,[fe80::1]:2 master m-1.x database 9",
        ),
        ("redis+cluster://h1:7000,h2", "cluster h1:7000,h2:6379 prefix 9"),
        ("rediss+cluster://h1/", "cluster h1:6379 prefix 9"),
        ("valkey+cluster://h1/3", "cluster h1:6379 prefix 9"),
        (" redis://h1 ", "h1:6379 database 9"),
    ] {
        let target = parse(url).unwrap_or_else(|error| panic!("{url}: {error}"));
        assert_eq!(target.name(9), name, "{url}");
    }
}

#[test]
fn credentials_are_for_whom_they_are_given_and_the_database_for_whom_has_one() {
    let told = |address: &Address| {
        let settings = address.preferred.get_connection_info().redis_settings();
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        (text(settings.username()), text(settings.password()), settings.db())
    };
    let server = HostPort { host: "master".to_owned(), port: 1 };
    for (url, user, password) in [
        ("redis+sentinel://h/m", "", ""),
        ("redis+sentinel://:p%40%2C%2F%23%25@h/m", "", "p@,/#%"),
        ("redis+sentinel://joe:a:b,c@h,i/m", "joe", "a:b,c"),
        ("redis+sentinel://j%C3%B6e:x@h/m", "j\u{f6}e", "x"),
    ] {
        let Ok(Target::Sentinel { sentinels, access, .. }) = parse(url) else {
            panic!("{url}");
        };
        assert_eq!(told(&sentinels[0]), (String::new(), String::new(), 0), "{url}");
        let master = access.address_of(&server).expect("address");
        assert_eq!(told(&master), (user.to_owned(), password.to_owned(), 9), "{url}");
    }
    let url = "rediss+sentinel://u:p@h/m?sentinel_username=s%26&sentinel_password=%2B%40";
    let Ok(Target::Sentinel { sentinels, access, .. }) = parse(url) else { panic!("{url}") };
    assert_eq!(told(&sentinels[0]), ("s&".to_owned(), "+@".to_owned(), 0));
    let master = access.address_of(&server).expect("address");
    assert_eq!(told(&master), ("u".to_owned(), "p".to_owned(), 9));
    let tls = |it: &Address| {
        matches!(it.preferred.get_connection_info().addr(), ConnectionAddr::TcpTls { .. })
    };
    assert!(tls(&sentinels[0]) && tls(&master));
    let Ok(Target::Cluster { access, .. }) = parse("redis+cluster://u:p@h?protocol=resp2") else {
        panic!("cluster");
    };
    let node = access.address_of(&server).expect("address");
    assert_eq!(told(&node), ("u".to_owned(), "p".to_owned(), 0));
    let protocol = node.preferred.get_connection_info().redis_settings().protocol();
    assert_eq!(protocol, ProtocolVersion::RESP2);
    assert!(!tls(&node));
}

#[test]
fn what_names_no_servers_is_refused_without_repeating_it() {
    for (url, expected) in [
        ("redis+sentinel://h1,h2", InvalidAddress::Master),
        ("redis+sentinel://h1,h2/", InvalidAddress::Master),
        ("redis+sentinel://h/a/hunter2", InvalidAddress::Master),
        ("redis+sentinel://h/%20", InvalidAddress::Master),
        ("redis+sentinel:///m", InvalidAddress::Host),
        ("redis+sentinel://:hunter2@/m", InvalidAddress::Host),
        ("redis+sentinel://h1,,h2/m", InvalidAddress::Host),
        ("redis+sentinel://h1,/m", InvalidAddress::Host),
        ("redis+sentinel://h1:0/m", InvalidAddress::Host),
        ("redis+sentinel://h1:hunter2/m", InvalidAddress::Host),
        ("redis+sentinel://h1:70000/m", InvalidAddress::Host),
        ("redis+sentinel://0.0.0.0/m", InvalidAddress::Host),
        ("redis+sentinel://[::]/m", InvalidAddress::Host),
        ("redis+sentinel://[::1/m", InvalidAddress::Host),
        ("redis+sentinel://[::1]7/m", InvalidAddress::Host),
        ("redis+sentinel://::1/m", InvalidAddress::Host),
        ("redis+sentinel://h 1/m", InvalidAddress::Host),
        ("redis+sentinel://h1,h2,h1:26379/m", InvalidAddress::Repeated),
        ("redis+sentinel://:hunter2@x@h/m", InvalidAddress::NotEncoded),
        ("redis+sentinel://:hunter2/x@h/m", InvalidAddress::NotEncoded),
        ("redis+sentinel://:a?hunter2@h/m", InvalidAddress::NotEncoded),
        ("redis+sentinel://:a#hunter2@h/m", InvalidAddress::NotEncoded),
        ("redis+sentinel://:hunter2%ff@h/m", InvalidAddress::Credentials),
        ("redis+sentinel://h/m?sentinel_password=hunter2%ff", InvalidAddress::Credentials),
        ("redis+sentinel://h/m?protocol=hunter2", InvalidAddress::Credentials),
        ("redis+sentinel://h/m?password=hunter2", InvalidAddress::Parameter),
        ("redis+cluster://h?sentinel_password=hunter2", InvalidAddress::Parameter),
        ("redis+cluster://", InvalidAddress::Host),
        ("redis+cluster://h/hunter2", InvalidAddress::NotEncoded),
        ("rediss+cluster://h#insecure", InvalidAddress::Insecure),
        ("dragonfly+cluster://h", InvalidAddress::Scheme),
        ("http+sentinel://h/m", InvalidAddress::Scheme),
        ("redis+magic://hunter2", InvalidAddress::Scheme),
    ] {
        let error = parse(url).err().unwrap_or_else(|| panic!("{url} was taken"));
        assert_eq!(error, expected, "{url}");
        assert!(!error.to_string().contains("hunter2"));
    }
    let ca = Target::parse(&Secret::new("redis+cluster://h"), 9, Some(b"x")).err();
    assert_eq!(ca, Some(InvalidAddress::CaWithoutTls));
    let ca = Target::parse(&Secret::new("rediss+sentinel://h/m"), 9, Some(b"x")).err();
    assert_eq!(ca, Some(InvalidAddress::Ca));
}
