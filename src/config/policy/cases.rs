//! The cases of `policy test`: requests, and the verdicts that are expected, in a TOML file.

use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use http::header::{AUTHORIZATION, COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Map;
use toml::de::DeValue;
use toml::{Spanned, Table, Value};

use super::read_text;
use super::table::{self, Read, Source, Tell};
use crate::config::mistakes::Mistakes;
use crate::gate::denial::DenialCode;
use crate::gate::policy_case::{CaseUser, PolicyCase};
use crate::policy::canonical::Told;
use crate::policy::{Certificates, Requirement};
use crate::token::{Thumbprint, is_scope};

/// A case, and the verdict that is expected.
#[derive(Debug)]
pub struct ExpectedCase {
    /// Its name.
    pub name: String,
    /// The line of the file in which it begins.
    pub line: usize,
    /// The request.
    pub case: PolicyCase,
    /// The verdict.
    pub expected: Expectation,
}

/// The verdict that is expected.
#[derive(Debug)]
pub struct Expectation {
    /// True where the request must pass.
    pub allow: bool,
    /// The reason for which it must be denied; `None` is any.
    pub code: Option<DenialCode>,
    /// The route that must decide; `None` is any, or none.
    pub route: Option<String>,
}

/// The file as it is written, but for its cases, which are read one by one.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CasesFile {
    /// Its name alone, for the list of keys in a message.
    #[serde(rename = "case")]
    _cases: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseTable {
    name: String,
    method: Option<String>,
    url: String,
    client: Option<IpAddr>,
    headers: Option<BTreeMap<String, String>>,
    credential: Option<Credential>,
    claims: Option<Table>,
    session_claims: Option<Table>,
    /// In seconds.
    login_age: Option<u32>,
    demanded_scopes: Option<Vec<String>>,
    gateway_certificate: Option<bool>,
    /// The SHA-256 of the client's.
    client_certificate: Option<String>,
    /// The answer that the external authorizer is taken to give.
    authorizer: Option<Expect>,
    expect: Expect,
    code: Option<String>,
    route: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Credential {
    None,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Expect {
    Allow,
    Deny,
}

/// Reads the cases of a file; what is wrong in it is added to the mistakes.
pub(in crate::config) fn read_cases(path: &Path, mistakes: &mut Mistakes) -> Vec<ExpectedCase> {
    let place = path.display().to_string();
    let read = read_text(path, "the cases").map_err(|problem| mistakes.add(&place, problem));
    let Ok(text) = read else { return Vec::new() };
    let mut source = Source::new(&place, &text, mistakes);
    let Some(mut file) = source.parse() else { return Vec::new() };
    let tables = source.take_tables(&mut file, "case");
    let has_head = source.read_head::<CasesFile>(file).is_some();
    if tables.is_empty() && has_head {
        source.mistakes.add(&place, "there is no [[case]]");
    }
    let mut names = HashSet::new();
    let mut cases = Vec::new();
    for (number, table) in tables.into_iter().enumerate() {
        let (start, name) = (table.span().start, format!(" (case {})", number + 1));
        let line = source.line(start);
        let mut tell = |at: usize, problem: String| source.wrong(at, &name, problem);
        let Some(case) = read_case(table, line, &mut tell) else { continue };
        if !names.insert(case.name.clone()) {
            tell(start, format!("another case is called {:?}", case.name));
        }
        cases.push(case);
    }
    cases
}

fn read_case(case: Spanned<DeValue<'_>>, line: usize, tell: &mut Tell<'_>) -> Option<ExpectedCase> {
    let span = case.span();
    let start = span.start;
    let DeValue::Table(table) = case.into_inner() else {
        tell(start, "a case is a table".to_owned());
        return None;
    };
    let read = table::read(table, span, "", tell);
    checked(read.and_then(Read::whole)?, line, &mut |problem| tell(start, problem))
}

/// The case of a table; `None` where something is wrong.
fn checked(table: CaseTable, line: usize, wrong: &mut impl FnMut(String)) -> Option<ExpectedCase> {
    if table.name.trim().is_empty() {
        wrong("`name` is empty".to_owned());
    }
    if Told::of_url("GET", &table.url).is_none() {
        wrong("`url` begins with https:// or http://".to_owned());
    }
    let (user, expected) = (user(&table, wrong), expectation(&table, wrong));
    let certificates = certificates(&table, wrong);
    let case = PolicyCase {
        user: user?,
        authorizer: table.authorizer.map(|answer| answer == Expect::Allow),
        certificates,
        headers: headers(table.headers.unwrap_or_default(), wrong),
        demanded: demanded(table.demanded_scopes.unwrap_or_default(), wrong),
        method: table.method.unwrap_or_else(|| "GET".to_owned()),
        url: table.url,
        client: table.client,
    };
    Some(ExpectedCase { name: table.name, line, case, expected })
}

/// The user of a case, or that there is none; the outer `None` is a mistake.
#[expect(clippy::option_option, reason = "a user that cannot be read is not one who sends nothing")]
fn user(table: &CaseTable, wrong: &mut impl FnMut(String)) -> Option<Option<CaseUser>> {
    let Some(claims) = &table.claims else {
        if table.credential != Some(Credential::None) {
            wrong(
                "say who asks: `claims = { sub = \"..\" }`, or `credential = \"none\"`".to_owned(),
            );
        }
        if table.session_claims.is_some() || table.login_age.is_some() {
            wrong("`session_claims` and `login_age` need `claims`".to_owned());
        }
        return Some(None);
    };
    if table.credential.is_some() {
        wrong("`claims` and `credential = \"none\"` exclude each other".to_owned());
    }
    if claims.contains_key("auth_time") {
        wrong("claims: write `login_age`, in seconds, in place of `auth_time`".to_owned());
    }
    let mut object = |key: &str, table: &Table| {
        json_object(table).map_err(|problem| wrong(format!("{key}: {problem}"))).ok()
    };
    let claims = object("claims", claims)?;
    let session = match &table.session_claims {
        Some(claims) => Some(object("session_claims", claims)?),
        None => None,
    };
    let login_age = table.login_age.map(|age| Duration::from_secs(age.into()));
    let user = CaseUser::new(claims, session, login_age);
    user.map(Some).map_err(|problem| wrong(format!("claims: {problem}"))).ok()
}

fn expectation(table: &CaseTable, wrong: &mut impl FnMut(String)) -> Expectation {
    let allow = table.expect == Expect::Allow;
    let code = table.code.as_deref().and_then(|name| {
        let known = DenialCode::ALL.iter().copied().find(|code| code.as_str() == name);
        if known.is_none() || allow {
            wrong(format!("`code`: {name:?} is no code of a denial"));
        }
        known
    });
    Expectation { allow, code, route: table.route.clone() }
}

fn headers(named: BTreeMap<String, String>, wrong: &mut impl FnMut(String)) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in named {
        match (name.parse::<HeaderName>(), HeaderValue::from_str(&value)) {
            (Ok(known), _) if [AUTHORIZATION, COOKIE].contains(&known) => {
                wrong(format!("headers: {name} is a credential; say who asks by `claims`"));
            }
            (Ok(known), Ok(value)) => {
                headers.insert(known, value);
            }
            _ => wrong(format!("headers: {name:?} or its value cannot stand in a request")),
        }
    }
    headers
}

/// The certificates that were shown; by default none was.
fn certificates(table: &CaseTable, wrong: &mut impl FnMut(String)) -> Certificates {
    let client = table.client_certificate.as_deref().and_then(|text| {
        let read = Thumbprint::from_hex(text);
        if read.is_none() {
            wrong(format!("client_certificate: {text:?} is no SHA-256 in hexadecimal digits"));
        }
        read
    });
    Certificates { is_gateway_certified: table.gateway_certificate == Some(true), client }
}

fn demanded(scopes: Vec<String>, wrong: &mut impl FnMut(String)) -> Requirement {
    if let Some(bad) = scopes.iter().find(|scope| !is_scope(scope)) {
        wrong(format!("demanded_scopes: {bad:?} is no scope (RFC 6749, 3.3)"));
    }
    Requirement::scopes(scopes)
}

/// An object of claims, as JSON has it.
fn json_object(table: &Table) -> Result<Map<String, serde_json::Value>, String> {
    table.iter().map(|(name, value)| Ok((name.clone(), json(value)?))).collect()
}

fn json(value: &Value) -> Result<serde_json::Value, String> {
    Ok(match value {
        Value::String(text) => text.as_str().into(),
        Value::Integer(number) => (*number).into(),
        Value::Boolean(boolean) => (*boolean).into(),
        Value::Float(number) => {
            let number = serde_json::Number::from_f64(*number);
            number.ok_or("there is no such number in JSON")?.into()
        }
        Value::Datetime(time) => time.to_string().into(),
        Value::Array(members) => members.iter().map(json).collect::<Result<Vec<_>, _>>()?.into(),
        Value::Table(table) => json_object(table)?.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(text: &str) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cases.toml");
        std::fs::write(&path, text).unwrap();
        let mut mistakes = Mistakes::default();
        read_cases(&path, &mut mistakes);
        let plain = |line: &String| line.replace(&path.display().to_string(), "FILE");
        mistakes.lines().iter().map(plain).collect()
    }

    #[test]
    fn every_mistake_is_named_with_its_line() {
        let good = "name = \"x\"\nurl = \"https://a.test/\"\nexpect = \"deny\"\n";
        let case = |rest: &str| format!("\n[[case]]\n{good}{rest}");
        assert_eq!(mistakes(&case("credential = \"none\"")), [""; 0]);
        for (text, problem) in [
            (String::new(), "FILE: there is no [[case]]"),
            ("[[cases]]".to_owned(), "FILE, line 1: unknown field `cases`, expected `case`"),
            ("\n[[case]]\nname = ".to_owned(), "FILE, line 3: "),
            ("\n[[case]]\nname = \"x\"".to_owned(), "FILE, line 2 (case 1): missing field `url`"),
            (case(""), "say who asks"),
            (case("claims = {}\ncredential = \"none\""), "exclude each other"),
            (case("credential = \"basic\""), "unknown variant `basic`, expected `none`"),
            (case("credential = \"none\"\nlogin_age = 5"), "need `claims`"),
            (case("claims = { auth_time = 5 }"), "write `login_age`"),
            (case("claims = { sub = 5 }"), "claims: "),
            (case("claims = { scope = 5 }"), "claims: "),
            (case("credential = \"none\"\ncode = \"nonsense\""), "is no code of a denial"),
            (case("credential = \"none\"\nheaders = { Cookie = \"a=b\" }"), "is a credential"),
            (case("credential = \"none\"\nheaders = { \"a b\" = \"\" }"), "cannot stand"),
            (case("credential = \"none\"\ndemanded_scopes = [\"a b\"]"), "\"a b\" is no scope"),
            (case("credential = \"none\"\nverdict = \"allow\""), "unknown field `verdict`"),
            (case("credential = \"none\"\nclient_certificate = \"any\""), "is no SHA-256"),
        ] {
            let found = mistakes(&text);
            assert_eq!(found.len(), 1, "{text}: {found:?}");
            assert!(
                found[0].starts_with("FILE") && found[0].contains(problem),
                "{text}: {found:?}"
            );
        }
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let text = "[[case]]\nname = \"\"\nurl = \"a\"\nexpect = \"allow\"\ncode = \"no_route\"\n\
                    [[case]]\nname = \"b\"\nurl = \"https://b.test/\"\nexpect = \"allow\"\n";
        assert_eq!(mistakes(text).len(), 5, "{:?}", mistakes(text));
    }
}
