//! Commands, and the requests that they send.

use http::header::{AUTHORIZATION, COOKIE};

use super::flags::FLAGS;
use super::*;

fn sent(command: &str) -> String {
    let it = read(command).unwrap_or_else(|error| panic!("{command}: {error:#}"));
    format!("{} {}://{}{}", it.method, it.scheme, it.host, it.target)
}

#[test]
fn a_command_is_the_request_that_curl_sends() {
    for (command, expected) in [
        ("curl https://a.test/x", "GET https://a.test/x"),
        ("curl 'https://a.test/x?a=b&c=d'", "GET https://a.test/x?a=b&c=d"),
        ("curl \\\n  -s \\\n  https://a.test/%2F", "GET https://a.test/%2F"),
        ("curl a.test", "GET http://a.test/"),
        ("curl a.test?x", "GET http://a.test/?x"),
        ("curl 'a.test/cb?u=http://b.test/y'", "GET http://a.test/cb?u=http://b.test/y"),
        ("curl 'a.test?u=http://b.test/y'", "GET http://a.test/?u=http://b.test/y"),
        ("curl a.test/http://b.test/", "GET http://a.test/http://b.test/"),
        ("curl https://a.test/x#y?z", "GET https://a.test/x"),
        ("curl --url https://a.test/ -X DELETE", "DELETE https://a.test/"),
        ("curl -XPATCH https://a.test/", "PATCH https://a.test/"),
        ("curl -sSXPUT https://a.test/", "PUT https://a.test/"),
        ("curl --request OPTIONS https://a.test/", "OPTIONS https://a.test/"),
        ("curl -I https://a.test/", "HEAD https://a.test/"),
        ("curl -d a=b https://a.test/", "POST https://a.test/"),
        ("curl --data-raw '{}' https://a.test/", "POST https://a.test/"),
        ("curl --json '{}' https://a.test/", "POST https://a.test/"),
        ("curl -F a=@b https://a.test/", "POST https://a.test/"),
        ("curl -T file https://a.test/", "PUT https://a.test/"),
        ("curl -X PUT -d x https://a.test/", "PUT https://a.test/"),
        ("curl -G -d a=b -d c https://a.test/x", "GET https://a.test/x?a=b&c"),
        ("curl -G --data-urlencode 'q=a b' https://a.test/x?y", "GET https://a.test/x?y&q=a%20b"),
        ("curl -o out -w '%{http_code}' -m 5 https://a.test/", "GET https://a.test/"),
        ("curl -H 'Host: b.test' https://a.test/", "GET https://b.test/"),
        ("curl -g https://a.test/{x}", "GET https://a.test/{x}"),
        ("curl --path-as-is https://a.test/a/../b", "GET https://a.test/a/../b"),
        ("curl https://u:p@a.test/", "GET https://a.test/"),
        // A browser's "Copy as cURL", with a body of two lines.
        ("curl 'https://a.test/x' --data-raw $'it\\'s\\u0021\\n'", "POST https://a.test/x"),
        ("curl $'https://a.test/x\\u0021'", "GET https://a.test/x!"),
    ] {
        assert_eq!(sent(command), expected, "{command}");
    }
}

#[test]
fn credentials_are_headers() {
    for (command, name, value) in [
        ("curl -H 'Authorization: Bearer x' https://a.test/", AUTHORIZATION, "Bearer x"),
        ("curl -H 'Authorization:Bearer x' https://a.test/", AUTHORIZATION, "Bearer x"),
        ("curl --oauth2-bearer x https://a.test/", AUTHORIZATION, "Bearer x"),
        ("curl -u u:p https://a.test/", AUTHORIZATION, "Basic dTpw"),
        ("curl https://u:p@a.test/", AUTHORIZATION, "Basic dTpw"),
        ("curl -b 't=x; u=y' https://a.test/", COOKIE, "t=x; u=y"),
        ("curl -H \"Cookie: t=x\" https://a.test/", COOKIE, "t=x"),
    ] {
        let found = read(command).unwrap();
        assert_eq!(
            found.headers.get(&name).and_then(|it| it.to_str().ok()),
            Some(value),
            "{command}"
        );
    }
    let twice = read("curl -H 'Cookie: a=b' -b c=d https://a.test/").unwrap();
    assert_eq!(twice.headers.get_all(COOKIE).iter().count(), 2);
}

#[test]
fn what_cannot_be_read_for_certain_is_refused_and_no_value_is_repeated() {
    for (command, problem) in [
        ("wget https://a.test/", "begins with `curl`"),
        ("", "begins with `curl`"),
        ("curl", "one URL"),
        ("curl https://a.test/ https://secret.test/", "one URL"),
        ("curl https://a.test/ | secret", "one URL"),
        ("curl 'https://a.test/", "a quotation has no end"),
        ("curl -H $'a: \\xffsecret' https://a.test/", "an escape of a byte"),
        ("curl --secure-mode=secret https://a.test/", "the flag --secure-mode is not known"),
        ("curl -sZ https://a.test/", "the flag -Z is not known"),
        ("curl -K secret https://a.test/", "the flag -K is not known"),
        ("curl https://a.test/ -H", "--header has no value"),
        ("curl -H @secret https://a.test/", "a file of headers is not read"),
        ("curl -H secret https://a.test/", "write `NAME: VALUE`"),
        ("curl -b secret https://a.test/", "a file of cookies is not read"),
        ("curl -u secret https://a.test/", "write USER:PASSWORD"),
        ("curl -G -d @secret https://a.test/", "a file of data is not read"),
        ("curl https://a.test/{a,b}", "--globoff"),
        ("curl https://a.test/x/../b", "--path-as-is"),
    ] {
        let found = format!("{:#}", read(command).unwrap_err());
        assert!(found.contains(problem) && !found.contains("secret"), "{command}: {found}");
    }
}

#[test]
fn no_flag_is_listed_twice() {
    for flag in FLAGS {
        assert_eq!(FLAGS.iter().filter(|it| it.name == flag.name).count(), 1, "--{}", flag.name);
    }
    for letter in (' '..='~').filter(|letter| Flag::short(*letter).is_some()) {
        let named = FLAGS.iter().filter(|it| it.has_letter(letter)).count();
        assert_eq!(named, 1, "-{letter}");
    }
}
