//! Any text as a return address: one that is accepted leads a browser to a listed host over https.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::clock::UnixTime;
use portcullis::policy::return_address::{ReturnAddress, ReturnAddresses, ReturnHost};
use url::Url;

fuzz_target!(|input: (bool, String)| {
    let (is_suffix, text) = input;
    let hosts = ["good.test", ".below.test"].map(|host| ReturnHost::parse(host).expect("a host"));
    let addresses = ReturnAddresses::new(hosts.into(), None).expect("a rule");
    let url = if is_suffix { format!("https://good.test{text}") } else { text };
    let address = ReturnAddress { url, signature: None };
    if addresses.check(&address, UnixTime::EPOCH).is_ok() {
        let read = Url::parse(&address.url).expect("a URL");
        let host = read.host_str().expect("a host");
        assert_eq!((read.scheme(), read.port()), ("https", None));
        assert!(host == "good.test" || host.ends_with(".below.test"), "{host}");
        assert!(read.username().is_empty() && read.password().is_none());
    }
});
