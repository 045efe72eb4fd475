//! Spellings of the request's target.

/// All of them.
pub(super) fn all() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = bytes(PLAIN).collect();
    let bases = [
        "/admin/x",
        "/public/x",
        "/public/secret/x",
        "/exact",
        "/users/alice",
        "/users/me",
        "/users/alice/keys",
        "/api/v1/x",
    ];
    all.extend(bases.into_iter().flat_map(variants).map(String::into_bytes));
    let bases = ["/admin/x", "/exact", "/users/me", "/public/secret/x"];
    all.extend(bases.into_iter().flat_map(climbs).map(String::into_bytes));
    for byte in RAW {
        all.push([&b"/admin/x"[..], byte].concat());
        all.push([&b"/"[..], byte, b"admin/x"].concat());
        all.push([&b"/public/"[..], byte, b"/x"].concat());
    }
    all.push(b"/caf\xe9/x".to_vec());
    all.extend(bytes(FORMS));
    all
}

fn bytes(words: &str) -> impl Iterator<Item = Vec<u8>> {
    words.split_whitespace().map(|word| word.as_bytes().to_vec())
}

const PLAIN: &str = r#"
    / /admin /admin/ /public /public/ /public/secret /public/secret/ /exact /exact/ /users /users/ /users/alice
    /users/alice/ /users/alice/keys /users/alice/keys/ /users/me /users/me/ /api/v1 /api/v1/ /api/v11/ /administrator/
    /caf%C3%A9/x /caf%c3%a9/x /cafe%CC%81/x /CAF%C3%89/x /sp%20ace/x /sp+ace/x /~home/x /%7Ehome/x /%7ehome/x /@me/x
    /%40me/x /100%25/x /100%/x /100%2525/x /a,b/ /a|b/ /a^b/ /a[b]/ /a{b}/ /a"b/ /a<b>/ /a`b/ /a'b/ /a*b/
    /a!b$c&d(e)/ /a:b/ /a=b/ /adm%C4%B0n/x /public/%C5%BFecret/x /u%C5%BFers/me
"#;

/// Variants of a path: `{p}` is the path, `{rest}` the same without its first slash, `{head}` its first segment and
/// `{/tail}` what follows that. `{hex}{after}` is `{rest}`, the first byte as hexadecimal digits; `{most}{last}` is
/// the path, its last byte in such digits.
const VARIANTS: &str = r"
    {p}?a=1 {p}?a=/public/x {p}?a=/../public/x {p}?? {p}?a=%00 {p}?a=b#c {p}#f {p}#/../../public/x {p}%23f {p}%3fa=1
    {p}%3Fa=1 /{HEAD}{/tail} {P} /{Head}{/tail} /%{hex}{after} /{escaped}{/tail} {most}%{last} /%25{hex}{after}
    /%2525{hex}{after} {p}/ /{p} //{p} {doubled} {p}// /%2f{rest} /%2F{rest} %2f{rest} /\{rest} \{rest} /%5c{rest} /.{p}
    /%2e{p} {p}/. {p}/.. {p}/%2e%2e {p}/%2E%2E/ {p}. /x/..{p} /x/%2e%2e{p} /..{p} /%2e%2e{p} /...{p} /;{p} /;x=1{p}
    {p};x=1 {p}%3bx=1 /{head};x{/tail} /{head}%3Bx{/tail} /%00{rest} /%20{rest} /%0a{rest} /%c0%ae{rest} {p}% {p}%4
    {p}%zz {p}%g1 {p}%u0061 {p}%{space}41 /%u00{hex}{after} {rest} http://app.test{p} HTTP://APP.TEST:80{p}
    https://app.test{p}
";

/// Texts that stand for the slash behind the first segment.
const SEPARATORS: &str = r"
    %2f %2F %252f \ %5c %5C %255c // /./ /%2e/ /%2E/ /%252e/ /;/ /%3b/ /%20/ /%00/ %c0%af %e2%88%95 %EF%BC%8F
";

/// Escapes of what nobody sees, at the end of a path.
const CONTROLS: &str = "%00 %01 %09 %0a %0d %0d%0a %1f %20 %7f %80 %ff %c2%85 %e2%80%8b %EF%BB%BF";

fn variants(path: &str) -> Vec<String> {
    let hex = |byte: u8| format!("{byte:02x}");
    let (rest, bytes) = (&path[1..], path.as_bytes());
    let (head, tail) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let values = [
        ("{p}", path.to_owned()),
        ("{P}", path.to_uppercase()),
        ("{doubled}", path.replace('/', "//")),
        ("{rest}", rest.to_owned()),
        ("{head}", head.to_owned()),
        ("{HEAD}", head.to_uppercase()),
        ("{Head}", head[..1].to_uppercase() + &head[1..]),
        ("{escaped}", head.bytes().map(|byte| format!("%{byte:02X}")).collect()),
        ("{/tail}", tail.to_owned()),
        ("{space}", " ".to_owned()),
        ("{hex}", hex(bytes[1])),
        ("{after}", path[2..].to_owned()),
        ("{most}", path[..path.len() - 1].to_owned()),
        ("{last}", hex(bytes[bytes.len() - 1])),
    ];
    let fill = |variant: &str| {
        values.iter().fold(variant.to_owned(), |text, (name, value)| text.replace(name, value))
    };
    let mut all: Vec<_> = VARIANTS.split_whitespace().map(fill).collect();
    if !tail.is_empty() {
        all.extend(
            SEPARATORS.split_whitespace().map(|slash| format!("/{head}{slash}{}", &tail[1..])),
        );
    }
    all.extend(CONTROLS.split_whitespace().map(|byte| format!("{path}{byte}")));
    all
}

/// Texts that some read as the segment `..`.
const UPS: &str = r"
    .. %2e%2e %2E%2E .%2e %2e. %252e%252e ..; ..;x=1 ..%3b ..%00 ..%20 ..%09 ..{space} ... ..\ ..%5c %c0%ae%c0%ae
    %e3%80%82%e3%80%82 %EF%BC%8E%EF%BC%8E %uff0e%uff0e ..? ..#
";

/// Ways from elsewhere to a path, or from there.
fn climbs(path: &str) -> Vec<String> {
    let rest = &path[1..];
    let mut all = Vec::new();
    for up in UPS.split_whitespace().map(|up| up.replace("{space}", " ")) {
        all.push(format!("/public/{up}{path}"));
        all.push(format!("/public/x/../{up}{path}"));
    }
    for slash in ["%2f", "%2F", "%5c", "\\", "%252f", "//", "%c0%af"] {
        all.push(format!("/public/..{slash}{rest}"));
        all.push(format!("/public{slash}..{path}"));
    }
    all.extend([
        format!("/public//..{path}"),
        format!("/public//../..{path}"),
        format!("/public/./..{path}"),
        format!("/public/%2e/%2e%2e{path}"),
        format!("/admin/../public/..//{rest}"),
        format!("{path}/../../public/x"),
        format!("{path}/%2e%2e/%2e%2e/public/x"),
        format!("/public/secret/../..{path}"),
        format!("/users/../{rest}"),
        format!("/users/x%2f..{path}"),
    ]);
    all
}

/// Bytes that must not stand in a request line.
const RAW: &[&[u8]] = &[
    b"\x01",
    b"\t",
    b"\x0b",
    b"\x0c",
    b"\x7f",
    b"\x80",
    b"\xff",
    b"\xc3\xa9",
    b" ",
    b"\x00",
    b"\r",
    b"\xc0\xae\xc0\xae",
    b"\xe2\x80\xae",
];

/// Targets that are no path, or an absolute URL.
const FORMS: &str = r"
    /café/x /admin/é?é /admin/x?é * ?x ?/admin/x # #/admin/x /? /?/admin/x http://app.test http://app.test?x
    http://app.test?/admin/x http://app.test#/admin/x http://app.test/ http://admin.test/x http://admin.test/admin/x
    http://nobody.test/admin/x http://app.test:80/admin/x http://app.test:81/admin/x http://app.test:443/admin/x
    http://app.test:/admin/x http://app.test:x/admin/x http://app.test:99999/admin/x http://app.test./admin/x
    http://user@app.test/admin/x http://user:pw@app.test/admin/x http://app.test@admin.test/x
    http://admin.test\@app.test/x http:///admin/x http:/admin/x http:admin/x //app.test/admin/x //admin.test/x
    ftp://app.test/admin/x ws://app.test/admin/x file:///admin/x HtTp://app.test/admin/x http://app%2etest/admin/x
    http://[::1]/admin/x app.test:80 http://app.test/public/../admin/x http://app.test//admin/x
    http://app.test\admin/x /http://app.test/admin/x /public/http://app.test/../admin/x
";
